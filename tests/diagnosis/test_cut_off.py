"""Logs and /proc files cut off anywhere: no traceback, and no figure that the whole would contradict."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from pagehint.diagnosis.examine import diagnose
from pagehint.diagnosis.failure import explain_failures
from pagehint.diagnosis.memory_report import parse_memory_reports
from pagehint.diagnosis.pasted import plain_lines
from pagehint.errors import InputError
from tests.diagnosis.conftest import DATA
from tests.diagnosis.machines import make_machine
from tests.diagnosis.samples import SAMPLES

MOST = 400


# In steps, of long ones longer: they are the same lines again, for other zones.
def cuts(text: str, least: int) -> Iterator[str]:
    for end in range(0, len(text), max(least, len(text) // MOST | 1)):
        yield text[:end]


@pytest.mark.parametrize("name", SAMPLES)
def test_a_log_cut_off_says_nothing_that_the_whole_contradicts(name: str) -> None:
    whole, _ = parse_memory_reports(plain_lines(SAMPLES[name]))
    for text in cuts(SAMPLES[name], 1):
        reports, _ = parse_memory_reports(plain_lines(text))
        explain_failures(reports, 4096)
        assert len(reports) <= len(whole)
        for cut, full in zip(reports, whole, strict=False):
            for what in ("order", "mode", "page_size", "hugetlb", "kernel"):
                assert getattr(cut, what) in (None, getattr(full, what)), (what, text[-60:])
            assert cut.pages.items() <= full.pages.items(), text[-60:]
            for key, zone in cut.zones.items():
                assert key in full.zones, text[-60:]
                assert zone.values.items() <= full.zones[key].values.items(), text[-60:]
                assert zone.reserve in ([], full.zones[key].reserve), text[-60:]
                if zone.orders and zone.is_whole:
                    assert zone.orders == full.zones[key].orders, text[-60:]
                assert zone.orders == full.zones[key].orders[: len(zone.orders)], text[-60:]


def test_a_log_cut_off_before_what_is_reserved_does_not_say_that_nothing_is(tmp_path: Path) -> None:
    """Its total was all that the machine has, to the byte."""
    path = tmp_path / "log"
    whole = SAMPLES["6.18"]
    cut = whole.replace("12500 pages reserved\n", "")
    for text, total in (
        (whole, 1_950_000 << 10),
        (cut, 1_950_000 << 10),
        (cut.replace("managed:1950000kB ", ""), None),
        (cut.replace("500000 pages RAM", "800000 pages RAM"), None),
    ):
        path.write_text(text)
        assert diagnose(path).total == total


_FILES = sorted(path for path in (DATA / "pasted").iterdir() if "meminfo_block" not in path.name)
_FILES += [DATA / "compile618" / f"{name}.txt" for name in ("buddyinfo", "pagetypeinfo", "meminfo", "vmstat")]


@pytest.mark.parametrize("path", _FILES, ids=lambda path: path.stem)
def test_a_file_cut_off_says_nothing_that_the_whole_contradicts(path: Path, tmp_path: Path) -> None:
    text = path.read_text()
    full = diagnose(path)
    zones = {(zone.node, zone.name): zone for zone in full.zones}
    told = compared = 0
    for cut in cuts(text, 7):
        (tmp_path / "cut").write_text(cut)
        try:
            found = diagnose(tmp_path / "cut")
        except InputError:
            continue
        told += 1
        where = cut[-60:]
        if found.warnings:
            continue
        compared += len(found.evidence.meminfo)
        assert found.evidence.meminfo.items() <= full.evidence.meminfo.items(), where
        for zone in found.zones:
            whole = zones[zone.node, zone.name]
            for what in ("min", "low", "high", "boost", "managed", "present", "begin", "end"):
                assert getattr(zone, what) in (None, 0, getattr(whole, what)), (what, where)
            if zone.counts and not zone.is_lower_bound:
                assert zone.counts == whole.counts, where
    assert told
    assert compared or not full.evidence.meminfo


@pytest.mark.parametrize("share", [0.4, 0.5, 1.0])
def test_zones_that_a_cut_zoneinfo_lacks_are_said(share: float, tmp_path: Path) -> None:
    """A guest of 1 GiB was said to have 15 MiB, and nothing else."""
    text = (DATA / "compile618" / "zoneinfo.txt").read_text()
    path = tmp_path / "zoneinfo.txt"
    path.write_text(text[: int(len(text) * share)])
    said = [warning for warning in diagnose(path).warnings if "zones above DMA of node 0 are missing" in warning]
    assert bool(said) == (share < 1)


@pytest.mark.parametrize("share", [0.3, 0.9])
def test_a_zone_within_which_zoneinfo_is_cut_off_is_said(share: float, tmp_path: Path) -> None:
    """Of the highest zone nothing was said: the lists of CPUs that were missing held nothing."""
    text = (DATA / "compile618" / "zoneinfo.txt").read_text()
    zones = re.split("(?m)^(?=Node)", text)[1:]
    path = tmp_path / "zoneinfo.txt"
    (normal,) = (place for place, zone in enumerate(zones) if zone.startswith("Node 0, zone    DMA32"))
    for before in ("", "".join(zones[:normal])):
        cut = before + zones[normal][: int(len(zones[normal]) * share)].replace("protection: (", "protection: (0)")
        path.write_text(cut)
        said = [line for line in diagnose(path).warnings if "cut off within zone DMA32 of node 0" in line]
        assert bool(said) == (before != "" or "cpu: 0" in cut)
    path.write_text(text)
    assert not any("cut off within" in line for line in diagnose(path).warnings)


@pytest.mark.parametrize("name", ["buddyinfo", "pagetypeinfo"])
def test_rows_that_all_are_cut_off_count_nothing(name: str, tmp_path: Path) -> None:
    """Of a guest of 1 GiB it was said that 15 MiB are free, in pageblocks of order 5."""
    rows = (DATA / "compile612" / f"{name}.txt").read_text().splitlines()
    path = tmp_path / name
    path.write_text(
        "".join(f"{' '.join(row.split()[: 12 if ', type' in row else 10])}\n" for row in rows if "zone" in row)
    )
    with pytest.raises(
        InputError, match=rf"rows of {name} are cut off behind order 5, and left out.*Nothing else"
    ) as found:
        diagnose(path)
    assert "\n" not in str(found.value)
    path.write_text(path.read_text() + "MemTotal: 1048576 kB\nMemFree: 524288 kB\n")
    told = diagnose(path)
    assert told.free == 512 << 20
    assert any(f"rows of {name} are cut off" in warning for warning in told.warnings)


def test_a_log_that_begins_behind_a_zone_is_said_to_lack_its_beginning(tmp_path: Path) -> None:
    """What the zones have that are left was said to be all that is free; and of anonymous memory, what one list has."""
    log, path = make_machine(1).log(), tmp_path / "log"
    path.write_text(log[log.index("Node 0 Normal:") :])
    assert any("lacks the beginning of a report of memory" in line for line in diagnose(path).warnings)
    path.write_text(log.replace("500 pages reserved", "0 pages HighMem/MovableOnly\n500 pages reserved"))
    assert not any("lacks the beginning" in line for line in diagnose(path).warnings)
    path.write_text(re.sub(r"inactive_anon:\d+ ", "", log))
    assert "anon" not in diagnose(path).used_by
