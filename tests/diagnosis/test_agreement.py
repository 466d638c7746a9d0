"""What files together say of a page's size, and whether they are of one machine."""

from pathlib import Path

import pytest

from pagehint.diagnosis.examine import diagnose
from pagehint.report.doctor_words import headline
from tests.diagnosis.conftest import DATA, snapshot_files
from tests.diagnosis.samples import SAMPLES

ZONE = (
    "Node 0, zone {}\n  pages free 10000\n min 100\n low 125\n spanned 65536\n present 65536\n managed 65000\n"
    "  start_pfn: {}\n"
)
EMPTY = "Node 0, zone DMA32\n  pages free 0\n spanned 0\n present 0\n managed 0\n"


@pytest.mark.parametrize("with_buddyinfo", [True, False])
def test_a_pagetypeinfo_of_another_machine_is_said(with_buddyinfo: bool) -> None:
    own = [path for path in snapshot_files("compile612") if with_buddyinfo or "buddyinfo" not in path.name]
    others = [path for path in own if "pagetypeinfo" not in path.name]
    foreign = diagnose([*others, DATA / "pasted" / "pagetypeinfo_with_cma.txt"])
    (warning,) = (line for line in foreign.warnings if "of another machine, or of another moment" in line)
    assert "zone DMA32 has 1,656 pageblocks" in warning
    assert warning.endswith("it is left out") == with_buddyinfo
    if with_buddyinfo:
        assert foreign.zones == diagnose(others).zones
    assert not any("another machine" in line for line in diagnose(own).warnings)


MEMINFO = "MemTotal: {} kB\nMemFree: 400000 kB\n"
PSUTIL = "svmem(total={}, available=9, percent=9.0, used=9, free=400000, active=9, inactive=9, buffers=9, cached=9)\n"


@pytest.mark.parametrize(
    ("texts", "says"),
    [
        (
            [SAMPLES["6.18"], MEMINFO.format(16 << 20)],
            "meminfo has 16 GiB in all, a kernel log 1.907 GiB: they are of several",
        ),
        (
            [MEMINFO.format(8 << 20), PSUTIL.format(16 << 30)],
            "meminfo has 8 GiB in all, glances, psutil or telegraf 16 GiB",
        ),
        (
            [PSUTIL.format(16 << 30), "ansible_memtotal_mb: 7700\nansible_memfree_mb: 900\n"],
            "16 GiB in all, Ansible's facts 7",
        ),
        ([SAMPLES["6.18"], MEMINFO.format(1_950_000)], None),
        ([SAMPLES["6.18"], MEMINFO.format(1_990_000)], None),  # a balloon gave it back
        ([PSUTIL.format(15 * 10**9 + 5), "ansible_memtotal_mb: 14305\nansible_memfree_mb: 900\n"], None),
    ],
)
def test_files_of_machines_with_more_and_less_memory_are_said(
    tmp_path: Path, texts: list[str], says: str | None
) -> None:
    """One machine's free memory was set beside another's total, and nothing said so."""
    files = []
    for number, text in enumerate(texts):
        files.append(tmp_path / f"file{number}.txt")
        files[-1].write_text(text)
    warnings = [line for line in diagnose(files).warnings if "several machines" in line]
    assert [says in line for line in warnings] == [True] if says else not warnings


def test_zoneinfo_has_as_much_as_meminfo(tmp_path: Path) -> None:
    """Beside another machine's, or cut off, it said nothing, where as much was free."""
    zoneinfo, meminfo = (
        path for name in ("zoneinfo", "meminfo") for path in snapshot_files("compile612") if name in path.name
    )
    assert not diagnose([zoneinfo, meminfo]).warnings
    other = tmp_path / "meminfo"
    text = meminfo.read_text().split("\n", 1)[1]
    for total, told, part in ((500_000, "488.3 MiB", False), (16_250_000, "15.5 GiB", True)):
        other.write_text(f"MemTotal: {total} kB\n{text}")
        (warning,) = (line for line in diagnose([zoneinfo, other]).warnings if "several machines" in line)
        assert f"meminfo has {told} in all, zoneinfo 967.7 MiB" in warning
        assert ("or zoneinfo is not whole" in warning) == part
    # A container's.
    other.write_text("MemTotal: 500000 kB\nMemFree: 400000 kB\nSlab: 0 kB\n")
    assert not any("several machines" in line for line in diagnose([zoneinfo, other]).warnings)


@pytest.mark.parametrize(
    ("free_kib", "page_size", "warned"),
    [(4 * 50_000, 4096, False), (64 * 50_000, 65536, False), (30 * 50_000, 4096, True), (10**7, 4096, True)],
)
def test_files_of_two_machines(tmp_path: Path, free_kib: int, page_size: int, warned: bool) -> None:
    """Whatever MemFree was, the size of pages that was nearest to it was taken, and nothing said."""
    (tmp_path / "buddyinfo").write_text(f"Node 0, zone   Normal {50_000 - 40_960} {' 0' * 9} 40\n")
    (tmp_path / "meminfo").write_text(f"MemTotal: 99999999 kB\nMemFree: {free_kib} kB\nMemAvailable: 5 kB\n")
    found = diagnose([tmp_path / "buddyinfo", tmp_path / "meminfo"])
    assert found.evidence.page_size == page_size
    assert any("they are not of one machine" in line for line in found.warnings) == warned


@pytest.mark.parametrize(("start", "size"), [(1 << 20, 4096), (1 << 18, 16384), (1 << 16, 65536)])
def test_where_normal_begins_tells_a_pages_size(tmp_path: Path, start: int, size: int) -> None:
    """Of zoneinfo alone pages of 64 KiB were taken for 4 KiB, without a word: a sixteenth of what is free."""
    path = tmp_path / "zoneinfo"
    path.write_text(
        "Node 0, zone    DMA32\n  pages free     0\n        spanned  0\n        present  0\n        managed  0\n"
        "Node 0, zone   Normal\n  pages free     10000\n        min      100\n        low      125\n"
        f"        spanned  65536\n        present  65536\n        managed  65000\n  start_pfn:           {start}\n"
    )
    found = diagnose(path)
    assert (found.setting.page_size, found.free) == (size, 10000 * size)
    assert any("pages are taken to be of" in warning for warning in found.warnings) == (size > 4096)


@pytest.mark.parametrize(("more", "told"), [("", True), ("direct_map_level2_splits 12\n", False)])
def test_that_vmstat_alone_tells_no_pages_size_is_said(tmp_path: Path, more: str, told: bool) -> None:
    path = tmp_path / "vmstat"
    path.write_text(f"nr_free_pages 123456\nnr_zone_active_file 1\n{more}pgfault 4\n")
    found = diagnose(path)
    assert found.free == 123456 << 12
    assert any("which vmstat doesn't tell" in warning for warning in found.warnings) == told


def test_a_logs_report_of_another_moment_tells_nothing_of_what_is_free(tmp_path: Path) -> None:
    """Its zones were taken for today's, whatever meminfo or free said."""
    path = tmp_path / "text.txt"
    for free in (
        "MemTotal:        1950000 kB\nMemFree:         1048576 kB\n",
        "               total        used        free      shared  buff/cache   available\n"
        "Mem:         1950000      301424     1048576       10000      600000     1500000\n",
    ):
        path.write_text(f"{SAMPLES['6.18']}{free}")
        found = diagnose(path)
        assert (found.free, found.zones, len(found.failures)) == (1 << 30, [], 1)
        assert "another moment, when 62 MiB were free, not 1,024 as in the other files" in "".join(found.warnings)
        path.write_text(f"{SAMPLES['6.18']}{free.replace('1048576', '  64200')}")
        found = diagnose(path)
        assert (found.free, len(found.zones), found.warnings) == (64160 << 10, 1, [])


def test_logs_of_several_machines(tmp_path: Path) -> None:
    """One file's report was taken for all, without a word."""
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_text(SAMPLES["6.18"])
    other.write_text(SAMPLES["6.12, CMA"])
    assert not diagnose([one, other]).warnings
    other.write_text(SAMPLES["6.12, CMA"].replace("500000 pages RAM", "900000 pages RAM"))
    assert "they are of several machines, or of moments" in "".join(diagnose([one, other]).warnings)
    for name, path in (("web-1", one), ("db-2", other)):
        path.write_text("".join(f"Nov 28 00:47:11 {name} kernel: {line}\n" for line in SAMPLES["6.18"].splitlines()))
    assert diagnose([one, other]).warnings == [
        "a log of several machines (web-1, db-2): what is free is the last report's"
    ]


PROC_VERSION, UNAME = "Linux version {} (gcc) #1 SMP\n", "Linux web1 {} #1 SMP x86_64 GNU/Linux\n"
BUDDYINFO = "Node 0, zone   Normal 1 2 3 4 5 6 7 8 9 10 11\n"


@pytest.mark.parametrize(
    ("texts", "says"),
    [
        (
            [UNAME.format("6.8.12-4-pve"), PROC_VERSION.format("5.10.0-30-amd64"), BUDDYINFO],
            "file1.txt is of kernel 5.10.",
        ),
        ([UNAME.format("6.12.3"), PROC_VERSION.format("6.1"), BUDDYINFO], "others of 6.12.3, which counts"),
        (
            [PROC_VERSION.format("5.10.0-30-amd64"), SAMPLES["6.18"]],
            "the log's last report is of kernel 6.18.0, others",
        ),
        ([UNAME.format("6.18.0"), PROC_VERSION.format("6.18.0"), SAMPLES["6.18"]], None),
        ([UNAME.format("6.8.12-4-pve"), PROC_VERSION.format("6.8.12"), BUDDYINFO], None),
        # One log of two boots.
        ([SAMPLES["6.12, CMA"] + PROC_VERSION.format("6.18.0") + SAMPLES["6.18"]], None),
    ],
)
def test_files_that_name_several_kernels(tmp_path: Path, texts: list[str], says: str | None) -> None:
    """The first counted, without a word."""
    files = [tmp_path / f"file{number}.txt" for number in range(len(texts))]
    for file, text in zip(files, texts, strict=True):
        file.write_text(text)
    warnings = [line for line in diagnose(files).warnings if " is of kernel " in line]
    assert [says in line for line in warnings] == [True] if says else not warnings


@pytest.mark.parametrize(("free", "warned"), [("1597", True), ("330", False)])
def test_buddyinfo_of_one_zone_beside_the_machines_free(tmp_path: Path, free: str, warned: bool) -> None:
    """As `grep Normal /proc/buddyinfo; free -m` leaves it: the zone's was taken for all that is free."""
    path = tmp_path / "text.txt"
    path.write_text(
        "Node 0, zone   Normal 3000 2000 1500 900 500 200 100 50 20 10 20\n"
        "               total        used        free      shared  buff/cache   available\n"
        f"Mem:            7926        2166        {free}           8        3814        5478\n"
    )
    warnings = [line for line in diagnose(path).warnings if "they are not of one machine" in line]
    assert [f"free tells of {int(free):,} MiB free, buddyinfo of 305" in line for line in warnings] == [True] * warned


def test_zoneinfo_of_zone_normal_alone_is_said_to_lack_zones(tmp_path: Path) -> None:
    """As `grep -A` leaves it: its free memory was the machine's."""
    whole = (DATA / "compile618" / "zoneinfo.txt").read_text()
    path = tmp_path / "zoneinfo"
    normal = ZONE.format("Normal", 1 << 20)
    for text, warned in (
        (whole, False),
        (normal, True),
        (ZONE.format("DMA32", 4096) + normal, False),
        (EMPTY + normal, False),
        (ZONE.format("Normal", 0), False),
        (ZONE.format("DMA", 1 << 18), False),
    ):
        path.write_text(text)
        assert any("zones below it are missing" in line for line in diagnose(path).warnings) == warned, text


@pytest.mark.parametrize("times", [2, 2.2, 3.6, 4.5, 14])
@pytest.mark.parametrize(
    "zone", [f"Node 0, zone Normal{' 100' * 11}\n", "Node 0, zone Normal\n  pages free 200000\n min 100\n low 125\n"]
)
def test_one_node_or_another_moment_makes_no_larger_pages(tmp_path: Path, zone: str, times: float) -> None:
    """Half of what is free in the zones that were given was taken for pages of 8 KiB: twice as much was free."""
    path = tmp_path / "text"
    path.write_text(zone)
    free = diagnose(path).free
    assert free is not None
    path.write_text(f"{zone}MemFree: {int(times * 1.05 * free) >> 10} kB\n")
    found = diagnose(path)
    assert (found.setting.page_size, found.free) == (4096, free)
    assert any("not of one machine, not of one moment, or not whole" in line for line in found.warnings)


def test_a_containers_meminfo_makes_no_larger_pages(tmp_path: Path) -> None:
    path = tmp_path / "text"
    free = 100 * 2047 * 4
    path.write_text(f"MemTotal: 16777216 kB\nMemFree: {4 * free} kB\nSlab: 0 kB\nNode 0, zone Normal{' 100' * 11}\n")
    found = diagnose(path)
    assert (found.setting.page_size, found.free) == (4096, free << 10)


@pytest.mark.parametrize(
    ("what", "text"),
    [
        ("buddyinfo", f"Node {{}}, zone Normal{' 100' * 11}\n"),
        ("pagetypeinfo", f"Node {{}}, zone Normal, type Movable{' 100' * 11}\n"),
        ("zoneinfo", "Node {}, zone Normal\n  pages free 200000\n min 100\n low 125\n"),
    ],
)
def test_zones_of_a_later_node_alone_are_said_to_be_that(tmp_path: Path, what: str, text: str) -> None:
    """What node 0 has free was missing, without a word."""
    path = tmp_path / "text"
    said = {}
    for nodes in ((1,), (1, 2), (0, 1), (0,)):
        path.write_text("".join(text.format(node) for node in nodes))
        said[nodes] = [line for line in diagnose(path).warnings if "what other nodes have" in line]
    assert said == {
        (1,): [f"{what} is of node 1 alone: what other nodes have is not counted"],
        (1, 2): [f"{what} is of nodes 1, 2 alone: what other nodes have is not counted"],
        (0, 1): [],
        (0,): [],
    }


def test_a_log_whose_zones_are_not_all_tells_no_more_than_the_least_that_is_free(tmp_path: Path) -> None:
    """Where zones were left out that have little free, what others have was all of it, without a word."""
    path = tmp_path / "log.txt"
    text = SAMPLES["6.18"].replace("64160kB", "56kB", 1).replace("free:16040 ", "free:1241 ")
    rows = text[: text.index("Node 0 Normal:")] + text[text.index("Node 0 hugepages") :]
    path.write_text(rows)
    assert diagnose(path).to_dict()["free_mib"] == 0.055
    path.write_text(rows.replace("500000 pages RAM", "800000 pages RAM"))
    found = diagnose(path)
    assert found.to_dict()["free_mib"] == [0.055, 4.848]
    assert headline(found) == "0.055 to 4.8 MiB are free; how much of it reporting can still take, the files don't tell"
    assert any("counts 3.052 GiB of memory, its zones have 1.907 GiB: some are missing" in w for w in found.warnings)
    # Kernels before 3.11 count holes there too.
    path.write_text(rows.replace("500000 pages RAM", "800000 pages RAM").replace("0 pages HighMem/MovableOnly\n", ""))
    assert not any("are missing" in warning for warning in diagnose(path).warnings)


@pytest.mark.parametrize(("mark", "is_said"), [("99395541895224kB", True), ("40000kB", False)])
def test_a_watermark_above_all_that_a_logs_zone_has_is_said(tmp_path: Path, mark: str, is_said: bool) -> None:
    """A kernel whose memory was taken away printed it: that so much more must be free was said without a word."""
    path = tmp_path / "log.txt"
    path.write_text(SAMPLES["6.18"].replace("min:40000kB", f"min:{mark}"))
    assert any("has a watermark above all that it has" in line for line in diagnose(path).warnings) == is_said
