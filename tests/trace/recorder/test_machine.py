"""What this machine says of itself, against what it says elsewhere."""

import gzip
import os
import time
from pathlib import Path

import pytest

from pagehint.proc.zoneinfo import zone_layouts
from pagehint.trace.recorder import machine
from pagehint.trace.recorder.machine import (
    memory_bytes,
    pfn_end,
    put_snapshot,
    reporting_mark,
    reporting_state,
    system_files,
)
from pagehint.trace.reporting import is_state


def _meminfo(name: str) -> int:
    lines = Path("/proc/meminfo").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith(f"{name}:"))


def test_memory_and_its_end() -> None:
    assert memory_bytes() == _meminfo("MemTotal")
    zones = zone_layouts(Path("/proc/zoneinfo").read_text(), "zoneinfo")
    assert pfn_end() == max((zone.end_pfn for zone in zones), default=0)


def test_short_files_as_they_read() -> None:
    files = system_files()
    assert files["/proc/version"] == Path("/proc/version").read_text().strip()
    for path, text in files.items():
        assert Path(path).exists()
        assert text == text.strip()
        assert len(text) <= 1 << 16


def test_a_snapshot_in_its_order() -> None:
    pieces: list[tuple[str, bytes]] = []
    between: list[int] = []
    missing = put_snapshot(
        lambda name, data: pieces.append((name, bytes(data))),
        "init",
        lambda text: pieces.append((text, b"")),
        lambda: between.append(len(pieces)),
    )
    names = [name for name, _ in pieces]
    assert names[-1] == "init/end"
    whole = dict(pieces)
    assert whole["init/buddyinfo"].startswith(b"Node 0, zone")
    assert set(missing).isdisjoint(name.removeprefix("init/").removesuffix(".gz") for name in names)
    if "init/kpageflags.gz" not in names:
        assert "kpageflags" in missing
        return
    begin, end = names.index("KPF-BEGIN init"), names.index("KPF-END init")
    assert set(names[begin + 1 : end]) == {"init/kpageflags.gz"}
    flags = b"".join(gzip.decompress(data) for name, data in pieces if name == "init/kpageflags.gz")
    assert len(flags) == 8 * pfn_end()
    assert len(between) == names.count("init/kpageflags.gz")


def test_where_marks_can_not_be_written_the_snapshot_is_there() -> None:
    def refused(text: str) -> None:
        raise OSError(text)

    names: list[str] = []
    put_snapshot(lambda name, data: names.append(name), "final", refused, lambda: None)
    assert names[-1] == "final/end"
    assert "final/zoneinfo" in names or not os.path.exists("/proc/zoneinfo")


@pytest.fixture
def guest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A guest's files of reporting: this machine may have none, and another's are not to be changed."""
    for name, folder in (("PARAMETERS", "parameters"), ("_DEVICES", "devices"), ("_DRIVER", "driver")):
        (tmp_path / folder).mkdir()
        monkeypatch.setattr(machine, name, f"{tmp_path}/{folder}" + "/" * (name == "PARAMETERS"))
    (tmp_path / "parameters" / "page_reporting_order").write_text("9\n")
    (tmp_path / "devices" / "virtio0" / "driver").mkdir(parents=True)
    (tmp_path / "devices" / "virtio0" / "device").write_text("0x0005\n")
    (tmp_path / "devices" / "virtio0" / "features").write_text("000001" + "0" * 58 + "\n")
    (tmp_path / "driver" / "unbind").write_text("")
    return tmp_path


def words(state: dict[str, str]) -> str:
    return " ".join(state.values())


def test_how_reporting_stands(guest: Path) -> None:
    device = guest / "devices" / "virtio0"
    assert words(reporting_state()) == "on page_reporting_order=9"
    (guest / "parameters" / "page_reporting_delay_ms").write_text("100\n")
    (guest / "parameters" / "page_reporting_order").write_text("4\n")
    assert words(reporting_state()) == "on page_reporting_order=4 page_reporting_delay_ms=100"
    assert str(device / "features") in system_files()
    (device / "driver").rmdir()
    assert words(reporting_state()).startswith("off ")
    assert str(device / "features") not in system_files()
    (device / "driver").mkdir()
    (device / "features").write_text("0" * 64)
    assert words(reporting_state()).startswith("off ")


@pytest.mark.parametrize("what", ["order", "driver"])
def test_since_when_it_is_so_the_file_that_was_written_tells(guest: Path, what: str) -> None:
    """That of another was that of the first look at it: 320 ms late in a guest on a busy host."""
    before, looked = reporting_state(), time.monotonic_ns()
    written = guest / ("parameters/page_reporting_order" if what == "order" else "driver/unbind")
    written.write_text("4\n")
    if what == "driver":
        (guest / "devices" / "virtio0" / "driver").rmdir()
    done, state = time.monotonic_ns(), reporting_state()
    for other in {guest / "parameters/page_reporting_order", guest / "driver/unbind"} - {written}:
        os.utime(other, (time.time() + 0.001,) * 2)
    mark = reporting_mark(state, before, looked)
    assert is_state(mark)
    text, since = mark.split(" since=")
    assert text == f"REPORTING {words(state)}"
    assert looked - 10**7 <= int(since) <= done
    # A time before the last look, or one that is still to come, is none at which it was changed.
    for ago in (100, -100):
        os.utime(written, (time.time() - ago,) * 2)
        assert reporting_mark(state, before, looked) == text
