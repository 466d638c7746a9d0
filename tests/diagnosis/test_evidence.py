"""What is known of one machine's memory, whichever of its files tell."""

import itertools

import pytest

from pagehint.diagnosis.evidence import COUNTERS, Evidence
from pagehint.diagnosis.examine import examine
from pagehint.diagnosis.memory_report import HugePool, MemoryReport, ReportedZone
from pagehint.diagnosis.recognise import read_files
from pagehint.proc.zoneinfo import ZoneInfo
from tests.diagnosis.conftest import DATA, GUESTS

MIB = 1 << 20


@pytest.mark.parametrize("guest", GUESTS)
def test_meminfo_vmstat_and_zoneinfo_count_alike(guest: str) -> None:
    """Pages there, KiB here, of one guest a moment apart."""
    told = {name: read_files([DATA / guest / f"{name}.txt"]).memory() for name in ("meminfo", "vmstat", "zoneinfo")}
    assert told["meminfo"].keys() >= {"total", "free", "anon", "slab_reclaimable", "page_tables", "available"}
    assert told["vmstat"].keys() >= {"free", "anon", "slab_reclaimable", "page_tables"}
    for one, other in itertools.combinations(told.values(), 2):
        for name in one.keys() & other.keys():
            # Cached has no buffers, nr_file_pages has.
            beside = max(one.get("buffers", 0), other.get("buffers", 0)) if name == "cached" else 0
            assert one[name] == pytest.approx(other[name], abs=4 * MIB + beside), name


@pytest.mark.parametrize("guest", GUESTS)
def test_free_pages_are_alike_wherever_they_are_counted(guest: str) -> None:
    files = [DATA / guest / f"{name}.txt" for name in ("buddyinfo", "vmstat", "zoneinfo")]
    found = read_files(files).free_pages()
    assert set(found) == {"buddyinfo", "zoneinfo", "vmstat"}
    assert max(found.values()) - min(found.values()) < 1024
    assert read_files(files[:1]).free_pages() == {"buddyinfo": found["buddyinfo"]}


def test_the_first_that_tells_counts() -> None:
    report = MemoryReport("oom", pages={"free": 4, "active_anon": 50, "inactive_anon": 30, "shmem": 20, "RAM": 1000,
                                        "reserved": 100}, pools={2 * MIB: HugePool(4, 0, 0)},
                          zones={(0, "Normal"): ReportedZone(0, "Normal")})  # fmt: skip
    zone = ZoneInfo(0, "Normal", free=3, managed=700)
    zone.stats["nr_free_pages"] = 3
    everything = Evidence(
        meminfo={"MemTotal": 4000, "MemFree": 1}, vmstat={"nr_free_pages": 2, "nr_dirty": 9}, zones=[zone],
        reports=[MemoryReport("oom", pages={"free": 77}), report], figures={"free": 5, "available": 6},
    )  # fmt: skip
    found = everything.memory()
    assert (found["total"], found["free"], found["dirty"]) == (4000 << 10, 1 << 10, 9 << 12)
    assert (found["available"], found["hugetlb"]) == (6, 8 * MIB)
    assert found["anon"] == 60 << 12  # on the lists of anonymous pages is shmem too
    everything.meminfo = {}
    assert (everything.memory()["free"], everything.memory()["total"]) == (2 << 12, 700 << 12)
    everything.vmstat = {}
    assert everything.memory()["free"] == 3 << 12
    everything.zones = []
    assert (everything.memory()["free"], everything.memory()["total"]) == (4 << 12, 900 << 12)
    everything.reports = []
    assert everything.memory() == {"free": 5, "available": 6}


def test_nothing_is_known_of_nothing() -> None:
    assert Evidence().memory() == {}
    assert Evidence().free_pages() == {}


def test_pages_are_as_large_as_the_machines() -> None:
    assert Evidence(page_size=65536, vmstat={"nr_free_pages": 3}).memory() == {"free": 3 << 16}


def test_compressed_swap_is_zrams_too() -> None:
    """zswap's share of it is a counter of its own; zram's was the kernel's."""
    zone = ReportedZone(0, "Normal", {"zspages": 7 << 12})
    report = MemoryReport("oom", zones={(0, "Normal"): zone, (1, "Normal"): zone})
    evidence = Evidence(meminfo={"Zswap": 0}, vmstat={"nr_zspages": 9}, reports=[report])
    assert evidence.memory()["compressed"] == 9 << 12
    evidence.meminfo["Zswap"] = 50
    assert evidence.memory()["compressed"] == 50 << 10
    evidence.vmstat = {}
    evidence.meminfo = {}
    assert evidence.memory()["compressed"] == 14 << 12
    found = examine(Evidence(meminfo={"MemTotal": 4000, "MemFree": 1000, "Cached": 0, "AnonPages": 500, "Zswap": 800}))
    assert (found.used_by["compressed"].best, found.used_by["other"].best) == (800 << 10, 1700 << 10)


def test_the_names_of_counters_are_of_the_kernels_files() -> None:
    text = {name: (DATA / "compile618" / f"{name}.txt").read_text() for name in ("meminfo", "vmstat")}
    # Of kernels built with them.
    optional = {"CmaFree", "Balloon", "Unaccepted", "Zswap", "nr_free_cma", "nr_balloon_pages", "nr_unaccepted",
                "nr_zspages"}  # fmt: skip
    for meminfo, vmstat in COUNTERS.values():
        assert meminfo in optional or f"\n{meminfo}:" in f"\n{text['meminfo']}"
        assert vmstat is None or vmstat in optional or f"\n{vmstat} " in f"\n{text['vmstat']}"
