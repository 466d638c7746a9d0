"""Under real memory pressure, made by processes that read more than their cgroup may hold."""

import contextlib
import gc
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pagehint.arena import Arena
from pagehint.arena.pressure import Pressure, _Events, _Stall, sources
from tests.limits import HANGS

MIB = 1 << 20
MACHINE = Path("/proc/pressure/memory")
READ_IT_ALL = (
    "import os, sys\n"
    "fd = os.open(sys.argv[1], os.O_RDONLY)\n"
    "while True:\n"
    "    for offset in range(0, 256 << 20, 1 << 20): os.pread(fd, 1 << 20, offset)\n"
)


def stalled() -> int:
    """Microseconds that some task waited for memory, so far."""
    return int(MACHINE.read_text().split("total=")[1].split()[0])


def small_cgroup() -> Path:
    """A new cgroup whose memory is limited to 24 MiB."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        for base, limit in (
            (Path(f"/sys/fs/cgroup/memory{path}"), "memory.limit_in_bytes"),
            (Path(f"/sys/fs/cgroup{path}"), "memory.max"),
        ):
            group = base / f"pagehint-test-{os.getpid()}"
            if "memory" in controllers.split(",") or not controllers:
                with contextlib.suppress(OSError):
                    group.mkdir()
                    try:
                        (group / limit).write_text(str(24 * MIB))
                        return group
                    except OSError:
                        group.rmdir()
    pytest.skip("no cgroup of ours can be limited on this machine")


@pytest.fixture
def pressure(tmp_path: Path) -> Iterator[None]:
    """Pressure on the machine, as long as the kernel counts it."""
    if not MACHINE.exists() or not sources():
        pytest.skip("the machine has no pressure stall information that we may wait for")
    group = small_cgroup()
    file = tmp_path / "much"
    file.write_bytes(bytes(MIB) * 256)
    with file.open() as written:
        os.fsync(written.fileno())
        os.posix_fadvise(written.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)  # else the pages stay charged to us
    processes = [subprocess.Popen([sys.executable, "-c", READ_IT_ALL, str(file)]) for _ in range(6)]
    try:
        for process in processes:
            (group / "cgroup.procs").write_text(str(process.pid))
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()
        deadline = time.monotonic() + HANGS
        while group.exists() and time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                group.rmdir()


@pytest.mark.parametrize(("kind", "name"), [(_Stall, "memory.pressure"), (_Events, "cgroup.events")])
def test_a_cgroup_that_is_gone_tells_of_no_pressure(kind: type[_Stall | _Events], name: str) -> None:
    """All arenas were trimmed each second, for ever, or the thread ended."""
    group = Path("/nowhere")
    for mount in ("/sys/fs/cgroup", "/sys/fs/cgroup/unified"):
        with contextlib.suppress(OSError):
            (Path(mount) / f"pagehint-gone-{os.getpid()}").mkdir()
            group = Path(mount) / f"pagehint-gone-{os.getpid()}"
            if (group / name).exists():
                break
            group.rmdir()
    if not group.exists():
        pytest.skip("no cgroup of ours can be made on this machine")
    try:
        source = kind(group / name)
    finally:
        group.rmdir()
    poll = select.poll()
    poll.register(source.fd, select.POLLPRI)
    assert [source.happened(event) for _, event in poll.poll()] == [None]
    os.close(source.fd)


def test_an_arena_gives_back_what_is_free(make: Callable[..., Arena], pressure: None) -> None:
    arena = make("256MiB", idle="1h")
    kept = arena.empty(10 * MIB, "u1")
    kept[:] = 1
    arena.empty(100 * MIB, "u1")[:] = 1
    before, start = stalled(), time.monotonic()
    while arena.stats().given_back < 100 * MIB:
        if time.monotonic() - start > 15:
            if stalled() - before < 3_000_000:
                pytest.skip("the machine did not get under pressure")
            pytest.fail(f"not given back after {(stalled() - before) // 1000} ms of stalls")
        time.sleep(0.01)
    assert (kept == 1).all()
    assert (arena.stats().given_back, arena.stats().resident) == (100 * MIB, 10 * MIB)


class Trimmed:
    def __init__(self, fails: bool) -> None:
        self.times = 0
        self.fails = fails

    def trim(self) -> int:
        self.times += 1
        if self.fails:
            raise OSError("no")
        return 0


def test_whoever_is_watched_has_his_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that fails keeps no other from it, and one that is gone is not called."""
    monkeypatch.setattr("pagehint.arena.pressure.sources", list)  # else the machine's own pressure trims too
    pressure = Pressure()
    watched = [Trimmed(True), Trimmed(False), Trimmed(False)]
    for one in watched:
        pressure.watch(one)
    pressure._trim()
    assert [one.times for one in watched] == [1, 1, 1]
    del one
    last = watched.pop()
    pressure._trim()
    del last
    gc.collect()
    pressure._trim()
    assert [one.times for one in watched] == [3, 3]
    assert len(pressure._watched) == 2


def test_a_thread_that_could_not_start_is_tried_again(
    no_threads: Callable[[], contextlib.AbstractContextManager[None]],
) -> None:
    pressure = Pressure()
    with no_threads(), pytest.raises(RuntimeError, match="can't start new thread"):
        pressure.watch(Trimmed(False))
    assert not pressure._waits
    pressure.watch(Trimmed(False))
    assert pressure._waits
