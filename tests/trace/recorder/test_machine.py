"""What this machine says of itself, against what it says elsewhere."""

import gzip
import os
from pathlib import Path

from pagehint.proc.zoneinfo import zone_layouts
from pagehint.trace.recorder.machine import memory_bytes, pfn_end, put_snapshot, system_files


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
