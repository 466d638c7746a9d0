from dataclasses import replace
from pathlib import Path

import pytest

from pagehint.errors import InputError
from pagehint.proc.pagetypeinfo import PageTypeInfo, of_another_machine, parse_buddyinfo, parse_pagetypeinfo
from pagehint.proc.zoneinfo import ZoneInfo

DATA = Path(__file__).parent / "data"
USUAL = ("Unmovable", "Movable", "Reclaimable", "HighAtomic")


def read(name):
    return (DATA / f"{name}.txt").read_text()


def test_types_have_the_numbers_of_the_header():
    info = parse_pagetypeinfo(read("pagetypeinfo_with_cma"), "pagetypeinfo")
    assert info.types == (*USUAL, "CMA", "Isolate")
    assert info.pageblock_order == 9
    assert info.free[0, "DMA32"]["Movable"] == [36, 26, 39, 40, 37, 36, 24, 29, 14, 6, 767]
    assert info.pageblocks[0, "Normal"]["Reclaimable"] == 15
    assert not info.at_least


def test_a_count_that_the_kernel_gave_up_is_a_lower_bound():
    info = parse_pagetypeinfo(read("pagetypeinfo_over_100000"), "pagetypeinfo")
    assert info.free[0, "Normal"]["Movable"][:2] == [100_000, 93493]
    assert info.at_least == {(0, "Normal"): {("Movable", 0)}}


def test_a_text_without_its_end():
    info = parse_pagetypeinfo(read("pagetypeinfo_with_cma").partition("Number of blocks")[0], "pagetypeinfo")
    assert info.types == (*USUAL, "CMA", "Isolate")
    assert not info.pageblocks
    assert parse_pagetypeinfo("", "pagetypeinfo").pageblock_order is None


def test_arm64_with_64_kib_pages():
    orders = "".join(f"{order:6} " for order in range(14))
    text = f"""Page block order: 13
Pages per block:  8192

Free pages count per migrate type at order  {orders}
Node    0, zone   Normal, type    Unmovable {orders}

Number of blocks type     Unmovable
Node 0, zone   Normal            7
"""
    info = parse_pagetypeinfo(text, "pagetypeinfo")
    assert (info.pageblock_order, info.free[0, "Normal"]["Unmovable"]) == (13, list(range(14)))
    assert info.pageblocks == {(0, "Normal"): {"Unmovable": 7}}


def test_this_machines_files():
    buddyinfo = parse_buddyinfo(Path("/proc/buddyinfo").read_text(), "buddyinfo")
    info = parse_pagetypeinfo(Path("/proc/pagetypeinfo").read_text(), "pagetypeinfo")
    assert info.free.keys() == info.pageblocks.keys() == buddyinfo.keys()
    assert set(info.types) == info.free.popitem()[1].keys()
    assert {len(counts) for counts in buddyinfo.values()} == {11}


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (read("pagetypeinfo_wrapped_by_mail"), "line 5: counts without a zone before them: .* wrapped by a mail"),
        (read("pagetypeinfo_with_cma").replace("   1      3\n", "   1\n      3\n", 1), "line 6: 10 counts, .* 11"),
        (read("pagetypeinfo_with_cma")[:-20], "line 27: 4 counts, where the heading has 6 types"),
        (read("pagetypeinfo_with_cma").replace("767", "x"), "line 12: 'x' is no count"),
        (read("pagetypeinfo_with_cma").replace("order: 9", "order: " + "9" * 100_000), r"line 1: '9+\.\.\.' is no"),
        (read("pagetypeinfo_with_cma").replace("order: 9", "order: 21"), "line 1: page block order 21"),
        (2 * read("pagetypeinfo_with_cma"), "line 32: type Unmovable of zone DMA again"),
    ],
)
def test_pagetypeinfo_that_is_not_whole(text, error):
    with pytest.raises(InputError, match=f"^pagetypeinfo: {error}"):
        parse_pagetypeinfo(text, "pagetypeinfo")


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (
            "Node 0, zone      DMA      0      1\nNode 0, zone   Normal      3\n",
            "line 2: 1 counts, .* has 2",
        ),
        ("Node 0, zone      DMA      0      1\n     3   4\n", "line 2: counts without a zone"),
        ("Node 0, zone      DMA \n", "line 1: 0 counts"),
        ("Node 0, zone      DMA 1\nNode 0, zone      DMA 1\n", "line 2: zone DMA again"),
    ],
)
def test_buddyinfo_that_is_not_whole(text, error):
    with pytest.raises(InputError, match=f"^buddyinfo: {error}"):
        parse_buddyinfo(text, "buddyinfo")


def test_memory_that_is_not_accepted_yet_is_on_no_list():
    """Since 6.5 a confidential guest counts it as free: its own pagetypeinfo was taken for another machine's."""
    free = {kind: [0] * 10 + [blocks] for kind, blocks in (("Unmovable", 0), ("Movable", 100), ("Reclaimable", 0))}
    types = PageTypeInfo(types=tuple(free), free={(0, "Normal"): free})
    zone = ZoneInfo(node=0, name="Normal", free=(100 << 10) + (1 << 18), stats={"nr_unaccepted": 1 << 18})
    assert of_another_machine(types, {}, [zone]) is None
    assert of_another_machine(types, {}, [replace(zone, stats={})]) is not None


@pytest.mark.parametrize(("blocks", "other"), [(560, False), (512, False), (1024, False), (400, True), (2000, True)])
def test_what_a_kernel_has_not_initialised_yet_is_no_pageblock(blocks, other):
    """A machine whose kernel initialises memory only as it is needed was taken for two."""
    types = PageTypeInfo(types=USUAL, pageblock_order=9, pageblocks={(0, "Normal"): {"Movable": blocks}})
    zone = ZoneInfo(node=0, name="Normal", spanned=1 << 19, present=1 << 19, managed=1 << 18)
    assert (of_another_machine(types, {}, [zone]) is not None) == other
