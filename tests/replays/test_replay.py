"""Replays: attribution, determinism, settings, and recordings that are not as they should be."""

import gc
import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pagehint.errors import BusyError, InputError, PagehintError
from pagehint.hinting.clock import VirtualClock
from pagehint.hinting.design import Design
from pagehint.hinting.designs.hinting import PageHinting
from pagehint.hinting.designs.registry import reasons_of
from pagehint.hinting.designs.reporting import PageReporting
from pagehint.hinting.drivers.virtual import VirtualWorker
from pagehint.host.costs import Costs
from pagehint.host.model import ModelHost
from pagehint.kernel.profiles import LINUX_6_1
from pagehint.mm.batch import Batch
from pagehint.mm.check import check
from pagehint.mm.zone import Zone
from pagehint.replays.engine import Engine
from pagehint.replays.playback import Placement, Playback
from pagehint.replays.real import RealKind
from pagehint.replays.replay import replay
from pagehint.replays.run import Run
from pagehint.replays.start import Start, guest_reporting
from pagehint.replays.totals import make_run
from pagehint.trace import Trace, TraceWriter

from .recording import Row, record
from .recording import zone as zone_of

_TOUCH = frozenset({"alloc"})


def rewritten(trace: Trace, path: Path, keep: str, drop_every: int = 0) -> Trace:
    """The same recording with only these kinds of event, and every n-th event lost."""
    rng = np.random.default_rng(7)
    with TraceWriter(path) as writer:
        for mark in trace.marks.to_pylist():
            writer.add_mark(mark["time"], mark["text"])
        for batch in trace.batches():
            kept = np.isin(batch["event"], [ord(letter) for letter in keep])
            if drop_every:
                kept &= rng.integers(0, drop_every, len(kept)) > 0
            if kept.any():
                writer.add_events({name: np.ascontiguousarray(column[kept]) for name, column in batch.items()})
        folder = trace.snapshot.path
        writer.add_snapshot({each.name.split(".")[0]: each for each in folder.iterdir()})
        writer.add_residency(trace.residency)
        writer.add_residency_bitmaps(trace.residency_bitmaps())
        writer.finish(trace.meta)
    return Trace.open(path)


@pytest.mark.parametrize("shift", [60 * 24 * 3600 * 10**9, -100 * 10**9])
def test_waits_do_not_depend_on_how_long_the_guest_was_up(shift: int, phased: Trace, tmp_path: Path) -> None:
    waits = []
    for name, by in (("as it was", 0), ("shifted", shift)):
        with TraceWriter(tmp_path / name) as writer:
            for batch in phased.batches():
                writer.add_events({**batch, "time": batch["time"] + by})
            load = phased.meta.reporting.device_load_ns + by
            writer.finish(replace(phased.meta, reporting=replace(phased.meta.reporting, device_load_ns=load)))
        trace = Trace.open(tmp_path / name)
        waits.append(replay(trace, guest_reporting(trace)).waits.tolist())
    assert waits[0] == waits[1]


@pytest.mark.parametrize("key", ["pageblock_order", "reporting.order"])
def test_orders_that_no_replay_goes_up_to(key: str, phased: Trace, tmp_path: Path) -> None:
    meta = phased.meta
    meta = (
        replace(meta, pageblock_order=13)
        if key == "pageblock_order"
        else replace(meta, reporting=replace(meta.reporting, order=13))
    )
    bundle = Path(shutil.copytree(phased.path, tmp_path / "t"))
    (bundle / "snapshot" / "pagetypeinfo.txt").unlink()
    trace = Trace(bundle, meta)
    with pytest.raises(InputError, match=rf"meta\.json: {key} is 13: replays go up to order 10"):
        replay(trace, guest_reporting(trace))


@pytest.mark.parametrize("placement", ["simulated", "recorded"])
def test_blocks_that_no_buddy_allocator_has_are_left_out(placement: Placement, phased: Trace, tmp_path: Path) -> None:
    batch = next(iter(phased.batches()))
    columns = {name: column[:4].copy() for name, column in batch.items()}
    columns["event"][:] = list(b"AFAF")
    columns["order"][:] = [3, 3, 0, 0]
    columns["pfn"][:] = [8193, 8193, 8200, 8200]
    with TraceWriter(tmp_path / "t") as writer:
        writer.add_events(columns)
        writer.finish(phased.meta)
    run = replay(Trace.open(tmp_path / "t"), placement=placement)
    assert run.anomalies == {"outside every zone": 2}


def test_a_recording_too_long(phased: Trace) -> None:
    trace = Trace(phased.path, replace(phased.meta, last_ns=4 * 10**18))
    with pytest.raises(InputError, match=r"lasts 4,000,000,000 s: too long"):
        replay(trace)


def same(one: Run, other: Run) -> bool:
    return (
        one.to_dict() == other.to_dict()
        and one.timeline.equals(other.timeline)
        and one.batches.equals(other.batches)
        and np.array_equal(one.waits, other.waits)
        and np.array_equal(one.memory_map["counts"], other.memory_map["counts"])
    )


class Counting(Playback):
    """Compares each sample with the same figures, counted another way."""

    def _go_on(self, time: int) -> None:
        super()._go_on(time)
        self.timeline.end(self.clock.now)
        rows = self.timeline.table()
        row = rows.slice(rows.num_rows - 1).to_pylist()[0] if rows.num_rows else {}
        if row.get("time") != time:
            return
        backed = np.unpackbits(self.host.backing.snapshot(), bitorder="little")[: self.start.pages].astype(bool)
        used = np.unpackbits(self.engine.used.view(np.uint8), bitorder="little")[: self.start.pages].astype(bool)
        assert row["resident"] == backed.sum() * 4096
        assert row["used"] == (backed & used).sum() * 4096 == self.engine.used_resident * 4096
        assert row["free_resident"] == (backed & ~used).sum() * 4096
        assert sum(row[name] for name in reasons_of()) == row["free_resident"]
        assert min(row[name] for name in reasons_of()) >= 0
        self.rows = getattr(self, "rows", 0) + 1


@pytest.mark.parametrize(
    "design",
    [
        lambda: None,
        PageReporting,
        lambda: PageReporting(order=4, delay="500ms"),
        lambda: PageReporting(order=0),
        PageHinting,
        lambda: PageHinting(order=7, high_water_mark=4),
    ],
)
@pytest.mark.parametrize("slow", [False, True])
def test_attribution_sums_to_free_and_resident_at_every_sample(phased: Trace, design: object, slow: bool) -> None:
    host = ModelHost("THP", Costs(react_call=3e8) if slow else None)
    counting = Counting(phased, design(), host, "simulated", "250ms", True, _TOUCH, None)  # type: ignore[operator]
    run = counting.run(make_run)
    assert counting.rows > 40
    for zone in counting.start.zones:
        assert check(zone) == []
    assert run.anomalies.keys() <= {"allocated without an event (in bulk)"}
    in_flight = run.timeline.column("in_flight").to_numpy()
    assert in_flight.any() == (slow and run.totals.blocks > 0)


@pytest.mark.parametrize(("page_size", "memory"), [("4KiB", "300MiB"), ("THP", "40MiB"), ("2MiB", None)])
def test_what_is_in_use_is_counted_on_any_host(phased: Trace, page_size: str, memory: str | None) -> None:
    host = ModelHost(page_size, memory=memory)
    Counting(phased, PageReporting(), host, "simulated", "250ms", True, _TOUCH, None).run(make_run)


def test_what_is_in_use_does_not_depend_on_the_step(phased: Trace) -> None:
    totals = [replay(phased, guest_reporting(phased), sample=sample).totals for sample in (None, "50ms", "20s")]
    assert totals[0].ideal_footprint == pytest.approx(totals[1].ideal_footprint, rel=1e-12)
    assert totals[0].ideal_footprint == pytest.approx(totals[2].ideal_footprint, rel=1e-12)
    assert totals[0].cost == pytest.approx(totals[2].cost, rel=1e-12)


def test_the_same_twice_and_on_two_threads(phased: Trace) -> None:
    first = replay(phased, guest_reporting(phased))
    runs: list[Run] = []

    def run() -> None:
        runs.append(replay(phased, guest_reporting(phased)))

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(runs) == 2
    assert all(same(first, other) for other in runs)


def test_less_comes_back_the_higher_the_order(phased: Trace) -> None:
    given_back = [replay(phased, PageReporting(order=order)).totals.given_back for order in (10, 9, 7, 4, 0)]
    assert given_back == sorted(given_back)
    assert given_back[0] < given_back[-1]


def test_designs_differ_and_none_gives_nothing_back(phased: Trace) -> None:
    none, hinting = replay(phased, None), replay(phased, PageHinting())
    assert none.totals.given_back == 0
    assert none.totals.batches == 0
    assert hinting.totals.given_back > 0
    assert hinting.totals.footprint < none.totals.footprint
    assert none.attribution["no_device"] > 0


def test_a_device_that_takes_long_costs_its_time(phased: Trace) -> None:
    run = replay(phased, PageHinting(high_water_mark=1), ModelHost("THP", Costs(react_call=2e9), capacity=512))
    assert run.totals.allocations_delayed == run.totals.allocation_delay == 0
    assert run.totals.device_time >= run.totals.batches * 2e9


def test_an_allocation_waits_while_all_that_is_free_is_in_flight(phased: Trace) -> None:
    host = ModelHost("THP", Costs(react_call=20e9), capacity=4096)
    run = replay(phased, PageHinting(high_water_mark=1), host)
    assert run.totals.allocations_delayed > 0
    assert 0 < run.totals.allocation_delay <= run.totals.allocations_delayed * 21 * 10**9
    assert run.totals.allocations_failed == 0


def test_overcommit_swaps(phased: Trace) -> None:
    run = replay(phased, None, ModelHost("4KiB", memory="300MiB"))
    assert run.host.swapped_out > 0
    totals = run.to_dict()["totals"]
    assert totals["swapped_out"] == run.host.swapped_out * 4096
    assert totals["swap_time"] == run.host.swap_time > 0
    assert run.totals.peak_resident <= 300 << 20
    assert replay(phased, guest_reporting(phased), ModelHost("4KiB", memory="300MiB")).host.swapped_out < (
        run.host.swapped_out
    )


def test_page_events_alone_go_through_the_models_own_per_cpu_lists(phased: Trace, tmp_path: Path) -> None:
    pages = rewritten(phased, tmp_path / "pages.pagetrace", "AFM")
    run = replay(pages, guest_reporting(pages))
    assert run.prediction.residency_error < 0.04
    assert run.attribution["per_cpu"] > 0
    counting = Counting(pages, guest_reporting(pages), None, "simulated", "250ms", True, _TOUCH, None)
    counting.run(make_run)
    assert counting.rows > 40


@pytest.mark.parametrize("keep", ["AFZDM", "AFM", "AZM", "AM", "FM", "DM"])
def test_lost_events_are_counted_and_never_fatal(phased: Trace, tmp_path: Path, keep: str) -> None:
    lossy = rewritten(phased, tmp_path / "lossy.pagetrace", keep, drop_every=20)
    counting = Counting(lossy, guest_reporting(lossy), None, "simulated", "5s", True, _TOUCH, None)
    run = counting.run(make_run)
    for zone in counting.start.zones:
        assert check(zone) == []
    if keep == "AFZDM":
        assert sum(run.anomalies.values()) > 1000


def test_recorded_placement_of_lost_events(phased: Trace, tmp_path: Path) -> None:
    lossy = rewritten(phased, tmp_path / "lossy.pagetrace", "AFZDM", drop_every=20)
    counting = Counting(lossy, guest_reporting(lossy), None, "recorded", "5s", True, _TOUCH, None)
    counting.run(make_run)
    for zone in counting.start.zones:
        assert check(zone) == []


def test_a_recording_without_a_snapshot(phased: Trace, tmp_path: Path) -> None:
    path = tmp_path / "bare.pagetrace"
    with TraceWriter(path) as writer:
        for batch in phased.batches():
            kept = batch["event"] != ord("M")
            writer.add_events({name: np.ascontiguousarray(column[kept]) for name, column in batch.items()})
        writer.finish(replace(phased.meta, zones=[], reporting=None, clock=None))
    run = replay(Trace.open(path), PageReporting())
    assert run.settings["backed_at_start"].startswith("assumed")
    assert run.totals.given_back > 100 << 20
    # It begins with the guest's boot, when nothing was in use before, but what lies where the kernel was loaded.
    nothing_backed, all_backed = (replay(Trace.open(path), PageReporting(), backed=backed) for backed in (False, True))
    assert nothing_backed.totals.footprint < run.totals.footprint < all_backed.totals.footprint
    assert run.totals.footprint == pytest.approx(nothing_backed.totals.footprint, rel=1e-4)
    assert "boot" in run.settings["backed_at_start"]


@pytest.mark.filterwarnings("error")
def test_a_guest_of_which_nothing_was_ever_resident(phased: Trace) -> None:
    trace = Trace(phased.path, phased.meta)
    nothing = pa.array([0] * phased.residency.num_rows, pa.int64())
    trace.residency = phased.residency.set_column(1, "ram_resident_kib", nothing)
    assert replay(trace).prediction.residency_error is None


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"placement": "elsewhere"}, "placement"),
        ({"touch": frozenset({"read"})}, "touch"),
        ({"touch": "alloc"}, "touch 'alloc': expected a set"),
        ({"touch": None}, "touch None: expected a set"),
        ({"design": "reporting"}, "'reporting' is no design"),
        ({"host": "THP"}, "'THP' is no modelled host"),
        ({"sample": "0s"}, "step above 0"),
        ({"sample": "soon"}, "not a time"),
    ],
)
def test_bad_options(phased: Trace, options: dict[str, object], expected: str) -> None:
    with pytest.raises(InputError, match=expected):
        replay(phased, **options)  # type: ignore[arg-type]
    for call in (replay, guest_reporting):
        with pytest.raises(InputError, match=r"'guest\.pagetrace' is no recording: expected a Trace"):
            call("guest.pagetrace")  # type: ignore[operator]


@pytest.mark.parametrize(
    "make",
    [partial(PageReporting, 9, "100ms"), partial(PageHinting, 9, 32, "20ms", idle="200ms")],
    ids=["reporting", "hinting"],
)
def test_a_design_that_was_replayed_is_as_good_as_new(make: Callable[[], Design], phased: Trace) -> None:
    design = make()
    first = replay(phased, design)
    assert same(first, replay(phased, design))
    assert same(first, replay(phased, make()))


def test_errors_of_an_earlier_use_are_not_the_replays(phased: Trace, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(blocks: Batch) -> None:
        raise OSError("no more")

    design = PageReporting(9, "2s")
    one = Playback(phased, design, None, "simulated", None, True, _TOUCH, None)
    monkeypatch.setattr(one.device, "react", fail)
    failed = one.run(make_run)
    assert failed.totals.errors == design.statistics.errors > 0
    assert replay(phased, design, sample=None).totals.errors == 0


@pytest.mark.parametrize("real", [None, "anonymous", "memfd"])
def test_an_interrupted_replay_leaves_nothing(
    real: RealKind | None, phased: Trace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C left the design started, and real memory mapped and touched."""

    design = PageReporting(9, "2s")
    host = ModelHost("4KiB", Costs(react_call=10**6))
    one = Playback(phased, design, host, "simulated", "50ms", True, _TOUCH, None, real)
    tell = one.device.react

    def interrupted(blocks: Batch) -> None:
        tell(blocks)
        if len(one.device.batches) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(one.device, "react", interrupted)
    with pytest.raises(KeyboardInterrupt):
        one.run(make_run)
    assert not design.started
    for zone in one.start.zones:
        assert check(zone) == []
        assert not zone.in_flight_pages
    if one.device.real is not None:
        with pytest.raises(PagehintError, match="closed"):
            one.device.real.sample(0)
    replay(phased, design, sample=None)


def test_a_design_that_runs_elsewhere_goes_on(phased: Trace) -> None:
    design, zone = PageReporting(9, "2s"), Zone(4096)
    worker = VirtualWorker(design, [zone], VirtualClock())
    worker.start(ModelHost())
    with pytest.raises(BusyError, match="give each replay a design of its own"):
        replay(phased, design)
    assert design.started
    worker.stop()


@pytest.mark.parametrize("capacity", [1, 8, 32, 128])
def test_a_pass_tells_about_a_sixteenth_whatever_the_capacity(capacity: int) -> None:
    """The budget scales with the device's capacity, as the reserve does."""
    zone, told = Zone(1 << 20, profile=LINUX_6_1), []
    clock = VirtualClock()

    class Counting:
        def __init__(self) -> None:
            self.capacity = capacity

        def react(self, blocks: Batch) -> None:
            told.append(len(blocks))

    worker = VirtualWorker(PageReporting(9, "2s"), [zone], clock)
    worker.start(Counting())
    clock.run_until(2 * 10**9)
    # ceil(1024 blocks / (16 x capacity)) batches, and the one in which the budget falls below 0.
    assert sum(told) == (-(-1024 // (16 * capacity)) + 1) * capacity
    worker.stop()
    worker.stop()


def test_a_replay_leaves_nothing_behind(phased: Trace) -> None:
    """Zones, device and worker knew each other: a guest of 256 GiB kept 2 GiB until Python looked for circles."""
    gc.collect()
    gc.disable()
    try:
        before = [each for each in gc.get_objects() if isinstance(each, Engine)]
        runs = [replay(phased, guest_reporting(phased), sample="5s"), replay(phased, None, sample="5s")]
        assert len([each for each in gc.get_objects() if isinstance(each, Engine)]) == len(before)
    finally:
        gc.enable()
    assert len(runs) == 2


def test_a_long_rest_costs_no_decay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """CPUs' lists that tune themselves decayed each second: nine events within half a year took minutes."""
    calls: list[bool] = []
    decay = Start.decay

    def counted(start: Start) -> bool:
        calls.append(decay(start))
        return calls[-1]

    monkeypatch.setattr(Start, "decay", counted)
    rows: list[Row] = [("A", 0, 0), ("F", 0, 0), ("A", 1, 0), ("F", 1, 0)]
    trace = record(tmp_path / "t", rows, [zone_of(4096)], step=10**15)
    assert replay(trace, PageReporting(9, "2s"), kernel="6.8").totals.duration > 10**15
    assert 3 <= len(calls) < 200
