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
    reporting_state,
    reporting_written,
    system_files,
)


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


def test_how_reporting_stands(guest: Path) -> None:
    device = guest / "devices" / "virtio0"
    assert reporting_state() == "REPORTING on page_reporting_order=9"
    (guest / "parameters" / "page_reporting_delay_ms").write_text("100\n")
    (guest / "parameters" / "page_reporting_order").write_text("4\n")
    assert reporting_state() == "REPORTING on page_reporting_order=4 page_reporting_delay_ms=100"
    assert str(device / "features") in system_files()
    (device / "driver").rmdir()
    assert reporting_state().startswith("REPORTING off ")
    assert str(device / "features") not in system_files()
    (device / "driver").mkdir()
    (device / "features").write_text("0" * 64)
    assert reporting_state().startswith("REPORTING off ")


@pytest.mark.parametrize("name", ["parameters/page_reporting_order", "driver/unbind"])
def test_when_reporting_was_changed_its_files_tell(guest: Path, name: str) -> None:
    before = time.monotonic_ns()
    (guest / name).write_text("4\n")
    written = reporting_written(before)
    assert written is not None
    assert before - 10**7 <= written <= time.monotonic_ns()
    # What was not written since, or at a time that is still to come, tells nothing.
    assert reporting_written(before + 10**11) is None
    for path in guest.rglob("*"):
        os.utime(path, (time.time() + 100,) * 2)
    assert reporting_written(before) is None
