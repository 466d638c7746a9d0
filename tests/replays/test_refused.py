"""Recordings that a replay refuses, before it takes memory for them."""

import json
from dataclasses import replace

import pytest

from pagehint.errors import InputError
from pagehint.kernel.profiles import LINUX_6_1
from pagehint.replays.columns import COLUMNS
from pagehint.replays.replay import replay
from pagehint.replays.scan import Scan
from pagehint.replays.start import check_replayable
from pagehint.trace import Meta, Trace

from .recording import record, zone

ROWS = [("A", 1165, 0, 1), ("F", 0xFFFFFFF, 0, 1)]


def test_one_far_page_without_a_snapshot(tmp_path):
    with pytest.raises(InputError, match="an event names pfn 268435455, and no snapshot tells"):
        replay(record(tmp_path / "t", ROWS, []))


def test_pages_of_another_size(tmp_path):
    meta = Meta(recorder="test", source="test", page_size=65536)
    with pytest.raises(InputError, match="its pages have 65536 bytes: replays are of 4096 only"):
        replay(record(tmp_path / "t", ROWS[:1], [zone(4096)], meta))


@pytest.mark.parametrize(("end", "refused"), [((1 << 24) + (1 << 19), False), ((1 << 24) + (1 << 21), True)])
def test_a_guest_of_64_gib_and_its_hole(tmp_path, end, refused):
    """QEMU's of 64 GiB ends at 66 GiB: it was refused as one of more."""
    layouts = [zone(1 << 19), zone(end - (1 << 20), 1 << 20, "Normal")]
    meta = Meta(recorder="test", source="test", zones=layouts)
    trace = record(tmp_path / "t", [("A", 0, 0, 0)], layouts, meta)
    if not refused:
        check_replayable(trace)
        return
    with pytest.raises(InputError, match="guests of more than 64GiB need them"):
        check_replayable(trace)


def test_a_guest_that_only_zoneinfo_claims_is_bounded(tmp_path):
    """A meta.json of 1 TiB replayed, with 10 GB of memory."""
    for name, claimed in (("claimed", [zone(1 << 27)]), ("enough", [zone(1 << 20)])):
        trace = record(tmp_path / name, [("Z", 0, 0, 0), ("A", 0, 0, 0)], claimed)
        if name == "claimed":
            with pytest.raises(InputError, match="no kpageflags tell what is there"):
                replay(trace, None)
        else:
            assert replay(trace, None).anomalies == {}


def test_a_meta_that_tells_of_no_zone_events_where_there_are_some(tmp_path):
    """The look at the events wrote beyond an array that had no room for any: a crash, before what they add up to."""
    trace = record(tmp_path / "t", [("Z", 5, 0, 0), ("A", 5, 0, 0)], [zone(4096)])
    scan = Scan(4096, 9, False, LINUX_6_1, 0)
    for batch in trace.batches(COLUMNS):
        scan.add(batch)
    assert len(scan.first_order) == 4096
    path = trace.path / "meta.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "events": {"A": 2}}))
    with pytest.raises(InputError, match=r"events is \{'A': 2\}, but the events tell \{'A': 1, 'Z': 1\}"):
        replay(Trace.open(trace.path))


@pytest.mark.parametrize(("cpus", "zones", "refused"), [(8192, 8, False), (8192, 9, True), (1, 9, False)])
def test_as_many_cpus_and_zones_as_no_machine_has(cpus, zones, refused, tmp_path):
    """Each has lists of its own: a table of 8,192 CPUs and 4,096 zones took all memory."""
    layouts = [replace(zone(64, 64 * node), node=node) for node in range(zones)]
    trace = record(tmp_path / "t", [("A", 0, 0, cpus - 1)], layouts)
    if not refused:
        check_replayable(trace)
        return
    with pytest.raises(InputError, match="8192 CPUs and 9 zones: replays go up to 65536 CPUs' lists of a zone"):
        replay(trace)


def test_lists_that_may_hold_much_more_than_there_is(tmp_path):
    layouts = [replace(zone(1 << 16), pcp_high=1 << 30, pcp_batch=1 << 16)]
    trace = record(tmp_path / "t", [("A", cpu, 0, cpu) for cpu in range(257)], layouts)
    with pytest.raises(InputError, match="its CPUs' lists may hold 16842752 pages, and its zones end at pfn 65536"):
        replay(trace)
