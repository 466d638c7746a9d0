"""Why an allocation failed: the kernel's own test of watermarks and lists, by hand for a zone of known blocks."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pagehint.diagnosis.failure import Failure, ZoneVerdict, explain_failures
from pagehint.diagnosis.memory_report import MemoryReport, OrderCount, ReportedZone

KIB = 1024
KERNEL, ATOMIC, MOVABLE = ("GFP_KERNEL",), ("GFP_ATOMIC",), ("GFP_HIGHUSER_MOVABLE",)
_CLOSER = ("none", "fragmentation", "boost", "reserve", "lowmem", "watermark")


def zone(
    free: int, blocks: tuple[int, ...] = (), types: str = "UME", name: str = "Normal", **values: int
) -> ReportedZone:
    """A zone of so many free pages; `values` in pages too; min is 100 pages."""
    counts = [OrderCount(count, types if count else "") for count in blocks]
    pages = {"free": free, "min": 100, "managed": 100_000, "present": 100_000, "free_cma": 0, **values}
    return ReportedZone(0, name, {key: value * 4 * KIB for key, value in pages.items()}, orders=counts)


def explain(*zones: ReportedZone, order: int = 0, flags: tuple[str, ...] = KERNEL, reserve=(0, 0, 0, 0, 0)) -> Failure:
    for each in zones:
        each.reserve = each.reserve or list(reserve)
    report = MemoryReport("failure", "x", order, None, flags, zones={(0, each.name): each for each in zones})
    (found,) = explain_failures([report], 4096)
    return found


@pytest.mark.parametrize(
    ("free", "order", "flags", "more", "why"),
    [
        (101, 0, KERNEL, {}, "none"),
        (100, 0, KERNEL, {}, "watermark"),  # it must stay above min
        (100, 0, ATOMIC, {}, "none"),
        (38, 0, ATOMIC, {}, "watermark"),  # half of min, and a quarter of that less: 50 - 12
        (39, 0, ATOMIC, {}, "none"),
        (50, 0, ("GFP_KERNEL", "__GFP_HIGH"), {}, "watermark"),  # it can wait: half
        (51, 0, ("GFP_KERNEL", "__GFP_HIGH"), {}, "none"),
        (1, 0, ("GFP_KERNEL", "__GFP_MEMALLOC"), {}, "none"),  # no watermark at all
        (100, 0, ("GFP_KERNEL", "__GFP_MEMALLOC", "__GFP_NOMEMALLOC"), {}, "watermark"),  # but for this, which counts
        (150, 0, ("GFP_KERNEL", "__GFP_MEMALLOC", "__GFP_NOMEMALLOC"), {"reserved_highatomic": 60}, "reserve"),
        (130, 0, KERNEL, {"boost": 40}, "none"),
        (100, 0, KERNEL, {"boost": 40}, "boost"),  # min holds boost already: 60 without
        (60, 0, KERNEL, {"boost": 40}, "watermark"),
        (150, 0, KERNEL, {"reserved_highatomic": 60}, "reserve"),
        (150, 0, ATOMIC, {"reserved_highatomic": 60}, "none"),
        (150, 0, KERNEL, {"free_cma": 60}, "reserve"),
        (150, 0, MOVABLE, {"free_cma": 60}, "none"),
        (150, 0, KERNEL, {"reserved_highatomic": 60, "free_highatomic": 10}, "none"),  # only what is free of it
    ],
)
def test_why_in_a_zone(free, order, flags, more, why) -> None:
    # Enough blocks of every order, so that what is asked is the watermark.
    assert explain(zone(free, (9,) * 11, "UMEHC", **more), order=order, flags=flags).reason == why


@pytest.mark.parametrize(
    ("blocks", "types", "order", "flags", "why"),
    [
        ((5000, 0, 0), "UME", 1, KERNEL, "fragmentation"),
        ((5000, 1, 0), "U", 1, KERNEL, "none"),
        ((5000, 0, 1), "M", 1, KERNEL, "none"),  # a larger one is split
        ((4000, 500, 0), "H", 1, KERNEL, "fragmentation"),
        ((4000, 500, 0), "H", 1, ATOMIC, "none"),
        ((4000, 500, 0), "C", 1, KERNEL, "fragmentation"),
        ((4000, 500, 0), "C", 1, MOVABLE, "none"),
        ((4000, 500, 0), "I", 1, MOVABLE, "fragmentation"),
    ],
)
def test_enough_is_free_but_in_which_blocks(blocks, types, order, flags, why) -> None:
    found = explain(zone(5000, blocks, types), order=order, flags=flags)
    assert found.reason == why
    (verdict,) = found.verdicts
    blocks = () if types == "I" else blocks
    larger = sum(count << each for each, count in enumerate(blocks) if each >= order)
    assert (verdict.in_larger_blocks, verdict.in_smaller_blocks) == (larger << 12, (5000 - larger) << 12)
    assert verdict.largest_order == max((each for each, count in enumerate(blocks) if count), default=None)


def test_what_a_lower_zone_keeps_for_others() -> None:
    """lowmem_reserve: by the highest zone that the allocation may use."""
    for flags, why in ((("GFP_KERNEL", "__GFP_DMA32"), "none"), (KERNEL, "lowmem"), (MOVABLE, "lowmem")):
        dma32 = zone(400, (9,) * 11, name="DMA32")
        dma32.reserve = [0, 0, 500, 500, 500]
        assert explain(dma32, flags=flags).reason == why


@pytest.mark.parametrize(
    ("name", "reserve", "others", "movable_pages", "kept"),
    [
        ("Normal", [0, 0, 900, 900], ["DMA"], 0, 0),  # i386: DMA Normal HighMem Movable
        ("Normal", [0, 900, 900], [], 0, 0),  # arm: Normal HighMem Movable
        ("DMA", [0, 0, 900, 900], [], 5000, 0),  # ppc, the lower memory of which is all DMA
        ("DMA", [0, 300, 900, 900], ["Normal"], 5000, 300),
        ("DMA", [0, 0, 900, 1000], ["DMA32", "Normal"], 5000, 900),  # x86-64: DMA DMA32 Normal Movable
        ("DMA", [0, 0, 900, 1000], ["Normal"], 5000, 900),
        ("DMA", [0, 0, 0, 1000], [], 5000, 0),  # arm64, all of it but Movable in DMA
        ("DMA", [0, 0, 900, 900], ["DMA32", "Normal", "HighMem"], 5000, 900),  # kernels of 2.6
    ],
)
def test_what_a_zone_keeps_where_higher_zones_are_not_printed(name, reserve, others, movable_pages, kept) -> None:
    """Kernels from 6.1 on leave them out: what is kept for HighMem was said to be kept from the kernel."""
    asked = replace(zone(5000, (9,) * 11, name=name), reserve=reserve)
    zones = [asked, *(replace(zone(0, (0,) * 11, name=other), reserve=[0] * len(reserve)) for other in others)]
    pages = {"HighMem/MovableOnly": movable_pages}
    report = MemoryReport("failure", "x", 0, None, KERNEL, zones={(0, each.name): each for each in zones}, pages=pages)
    (found,) = explain_failures([report], 4096)
    (verdict,) = [verdict for verdict in found.verdicts if verdict.zone == name]
    assert verdict.lowmem_reserve == kept * 4 * KIB


def test_zones_that_it_may_not_use_are_left_out() -> None:
    zones = [zone(5000, (9,) * 11, name=name) for name in ("DMA", "DMA32", "Normal", "Movable")]
    for flags, may in (
        (("GFP_DMA",), ["DMA"]),
        (("GFP_KERNEL", "__GFP_DMA32"), ["DMA32", "DMA"]),
        (KERNEL, ["Normal", "DMA32", "DMA"]),
        (MOVABLE, ["Movable", "Normal", "DMA32", "DMA"]),
    ):
        found = explain(*zones, flags=flags)
        assert [verdict.zone for verdict in found.verdicts] == may
        assert sorted([*found.skipped, *may]) == ["DMA", "DMA32", "Movable", "Normal"]


def test_the_zone_that_came_closest_is_told_but_no_small_one() -> None:
    small = replace(zone(150, (9,) * 11, name="DMA", reserved_highatomic=60))
    small.values["managed"] = 3000 * 4 * KIB
    assert explain(small, zone(90, (9,) * 11)).reason == "watermark"
    # But where one could have served it, that is what is strange.
    small.values["free"] = 3000 * 4 * KIB
    found = explain(small, zone(90, (9,) * 11))
    assert (found.reason, found.closest.zone if found.closest else None) == ("none", "DMA")


@given(
    st.integers(0, 300), st.integers(0, 300), st.integers(0, 100), st.integers(0, 200), st.integers(0, 3),
    st.sampled_from([KERNEL, ATOMIC, MOVABLE]), st.integers(0, 100),
)  # fmt: skip
def test_more_free_memory_is_never_further_from_enough(free, more, boost, reserved, order, flags, kept) -> None:
    def why(pages: int) -> str:
        return explain(
            zone(pages, (3,) * 11, boost=boost, reserved_highatomic=reserved),
            order=order,
            flags=flags,
            reserve=(kept,) * 5,
        ).reason

    assert _CLOSER.index(why(free + more)) <= _CLOSER.index(why(free))


@given(st.sampled_from([KERNEL, ATOMIC, MOVABLE]), st.integers(0, 10), st.data())
def test_whatever_is_missing_of_a_zone_it_is_no_error(flags, order, data) -> None:
    whole = zone(5000, (9,) * 11, boost=3, reserved_highatomic=7)
    left = {key: whole.values[key] for key in data.draw(st.sets(st.sampled_from(sorted(whole.values))))}
    found = explain(
        replace(whole, values=left, orders=data.draw(st.sampled_from([whole.orders, []]))), order=order, flags=flags
    )
    assert found.reason in (*_CLOSER, "unknown")
    if not {"free", "min"} <= left.keys():
        assert found.reason == "unknown"
    assert found.to_dict()["reason"] == found.reason
    assert all(isinstance(each, ZoneVerdict) for each in found.verdicts)


def test_a_cgroups_limit_is_no_matter_of_zones() -> None:
    report = MemoryReport(
        "cgroup oom", "x", 0, None, KERNEL, limit=1 << 20, zones={(0, "Normal"): zone(5000, (9,) * 11)}
    )
    (found,) = explain_failures([report], 4096)
    assert (found.reason, found.limit) == ("limit", 1 << 20)
    assert explain_failures([replace(report, kind="report")], 4096) == []


def test_a_node_that_could_have_served_is_not_the_one_that_was_asked() -> None:
    """__GFP_THISNODE names none: it was said that the allocation could have been served, by another node."""
    short, ample = zone(50, (50,)), replace(zone(5000, (5000,)), node=1)
    flags = ("GFP_KERNEL", "__GFP_THISNODE")
    zones = {(each.node, each.name): each for each in (short, ample)}
    (found,) = explain_failures([MemoryReport("failure", "x", 0, None, flags, zones=zones)], 4096)
    assert (found.reason, found.closest and found.closest.zone) == ("watermark", "Normal")
    assert found.skipped == ["Normal, node 1"]
    (found,) = explain_failures([MemoryReport("failure", "x", 0, None, flags, zones={(1, "Normal"): ample})], 4096)
    assert found.reason == "none"
