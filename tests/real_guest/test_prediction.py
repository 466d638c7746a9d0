"""What the replay predicts, beside what was measured on the host of a real guest."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from pagehint.hinting.designs.reporting import PageReporting
from pagehint.replays.replay import replay
from pagehint.replays.run import Run
from pagehint.replays.start import guest_reporting
from pagehint.replays.truth import guest_host, measured_residency
from pagehint.trace import Trace
from pagehint.trace.shipped import example

_MOST_ERROR = 0.005
_RSS = {"phased": "rss_kib", "churn": "memfd_kib"}


def columns(run: Run, name: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    return run.timeline.column("time").to_numpy(), run.timeline.column(name).to_numpy()


@pytest.mark.parametrize("name", ["phased", "churn"])
def test_residency(name: str, request: pytest.FixtureRequest) -> None:
    trace = request.getfixturevalue(name)
    run = replay(trace, guest_reporting(trace))
    assert run.prediction.residency_error <= _MOST_ERROR / 10
    assert run.prediction.reported_mib == run.truth["reported_mib"]


@pytest.mark.parametrize("name", ["phased", "churn"])
def test_residency_where_nothing_tells_what_was_backed(
    name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """What a user has: no residency map, which would tell the start. What the host measured is only compared with."""
    alone = shutil.copytree(request.getfixturevalue(name).path, tmp_path / f"{name}.pagetrace")
    (alone / "residency_bitmaps.parquet").unlink()
    trace = Trace.open(alone)
    run = replay(trace, guest_reporting(trace), guest_host(trace, "THP" if name == "phased" else "4KiB"))
    assert run.prediction.residency_error <= 0.02


@pytest.mark.parametrize("name", ["phased", "pandas", "compile72", "db612"])
def test_a_user_has_nothing_of_the_host(name: str, tmp_path: Path) -> None:
    """Recordings that begin seconds after boot were 6 to 156 % off: free memory that nobody had used was resident."""
    own = Path(__file__).parent / "data" / f"{name}.pagetrace"
    measured = Trace.open(own) if own.exists() else example(name)
    alone = shutil.copytree(measured.path, tmp_path / f"{name}.pagetrace")
    for file in ("residency_bitmaps", "residency", "reported"):
        (alone / f"{file}.parquet").unlink()
    trace = Trace.open(alone)
    run = replay(trace, guest_reporting(trace))
    times, resident = columns(run, "resident")
    known = measured_residency(measured)
    when, truth = known["time"].to_numpy(), known["resident"].to_numpy().astype(np.float64)
    inside = (when >= measured.meta.reporting.device_load_ns) & (when <= times[-1])
    when, truth = when[inside], truth[inside]
    predicted = resident[np.searchsorted(times, when, side="right") - 1]
    spans = np.diff(when)
    assert (np.abs(predicted - truth)[:-1] * spans).sum() <= 0.02 * (truth[:-1] * spans).sum()


def test_what_if_reporting_had_been_off(phased: Trace, control: Path) -> None:
    """phased_on with no design, beside a guest that ran the same workload without reporting."""
    run = replay(phased, None)
    measured = json.loads(control.read_text())
    times, resident = columns(run, "resident")
    ours = {phase["name"]: phase["time"] for phase in run.phases}
    names = [name for name in measured["phases"] if name in ours]
    begin, end = measured["phases"]["balloon_loaded"], measured["phases"]["workload_end"]
    when = np.array(measured["time"], np.float64)
    inside = (when >= begin) & (when <= end)
    aligned = np.interp(when[inside], [measured["phases"][name] for name in names], [ours[name] for name in names])
    predicted = resident[np.searchsorted(times, aligned, side="right") - 1]
    truth = np.array(measured["ram_resident_kib"], np.float64)[inside] * 1024
    spans = np.gradient(aligned)
    assert (np.abs(predicted - truth) * spans).sum() / (truth * spans).sum() <= 0.01


def to_90_percent(times: NDArray[np.int64], resident: NDArray[np.int64], begin: int, end: int) -> float | None:
    inside = (times >= begin) & (times < end)
    values = resident[inside]
    if not len(values) or values[0] - values.min() < 10 << 20:
        return None
    reached = values <= values[0] - 0.9 * (values[0] - values.min())
    return float(times[inside][np.argmax(reached)] - begin) / 1e9


@pytest.mark.parametrize(("name", "gives_back"), [("phased", 6), ("churn", 2)])
def test_time_from_a_phases_free_to_given_back(name: str, gives_back: int, request: pytest.FixtureRequest) -> None:
    trace = request.getfixturevalue(name)
    run = replay(trace, guest_reporting(trace), sample="10ms")
    times, resident = columns(run, "resident")
    table = trace.residency
    when, kib = table.column("time").to_numpy(), table.column(_RSS[name]).to_numpy()
    found = 0
    for phase, following in zip(run.phases, run.phases[1:], strict=False):
        predicted = to_90_percent(times, resident, phase["time"], following["time"])
        measured = to_90_percent(when, kib * 1024, phase["time"], following["time"])
        if measured is not None:
            found += 1
            assert predicted == pytest.approx(measured, abs=0.1)
    assert found == gives_back


@pytest.mark.parametrize(("name", "most"), [("db612", 0.0001), ("compile72", 0.002)])
def test_other_guests_with_a_disk(name: str, most: float) -> None:
    """PostgreSQL under pgbench on 6.12, lua compiled on 7.2: no figure here was fitted to them.

    On 7.2 the guest's scheduler delayed passes, which no model can know: it is said, and what it is worth.
    """
    trace = Trace.open(Path(__file__).parent / "data" / f"{name}.pagetrace")
    run = replay(trace, guest_reporting(trace), sample=None)
    told = run.to_dict()["recording"]["warnings"]
    late = [warning.partition(",")[0] for warning in told if "passes came up to" in warning]
    assert late == (name == "compile72") * [
        "3 of the guest's 13 passes came up to 620.8 ms after their timer",
        "1 of the guest's 13 passes came up to 26.9 ms before those here",
    ]
    off = [warning for warning in told if "off what was measured" in warning]
    assert [warning[:49] for warning in off] == ["residency is 0.143 % off what was measured: 0.022"] * (
        name == "compile72"
    )
    if off:
        whole, *parts = (float(each) for each in re.findall(r"[0-9.]+(?= %)", off[0]))
        assert whole == pytest.approx(sum(parts), abs=0.002)
    prediction = run.prediction
    assert prediction is not None
    assert prediction.residency_error is not None
    assert prediction.residency_error <= most


def test_what_is_placed_elsewhere_is_said() -> None:
    """By the rules of another kernel, or what compaction did: a replay that goes another way says since when."""
    data = Path(__file__).parent / "data"
    for name, kernel, expected in (
        ("compile72", None, ""),
        ("compile72", "5.3", "2.6 % of the blocks are placed as recorded: no event tells how its lists stood"),
    ):
        trace = Trace.open(data / f"{name}.pagetrace")
        run = replay(trace, guest_reporting(trace), sample=None, kernel=kernel)
        *told, own = [each for each in run.to_dict()["recording"]["warnings"] if "placed as recorded" in each]
        assert told == [expected] * bool(expected)
        assert own.startswith("with the guest's own times of passes, and its host's of batches, residency is ")
        assert kernel is not None or "residency is 0.081 % off and 100.0 % of the blocks are placed" in own
        # Other settings are not the recorded guest's: nothing is missed.
        other = replay(trace, None, sample=None, kernel=kernel).to_dict()["recording"]["warnings"]
        assert not [each for each in other if "placed as recorded" in each or "off what was" in each]


def test_a_sample_counts_what_is_zeroed_just_then(phased: Trace) -> None:
    """What an allocation zeroes is resident before its event is written: half a millisecond counts."""
    prediction = replay(phased, guest_reporting(phased), sample=None).prediction
    assert prediction.residency_error is not None
    assert prediction.residency_error <= 0.00011  # 0.00014 by the events' times


def test_a_pandas_job_on_6_12_as_measured() -> None:
    trace = example("pandas")
    prediction = replay(trace, guest_reporting(trace), sample=None).prediction
    assert prediction is not None
    assert prediction.residency_error is not None
    assert prediction.residency_error <= 0.0001
    assert prediction.placed_as_recorded is not None
    assert prediction.placed_as_recorded == 1.0


def test_what_lies_beyond_the_guests_zones_is_not_measured(tmp_path: Path) -> None:
    """A guest that `mem=` keeps from 4 MiB of its firmware was predicted 2.5 % too low, and nothing said why."""
    trace = Trace.open(shutil.copytree(example("pandas").path, tmp_path / "beyond.pagetrace"))
    name = "ram_resident_kib"
    samples = pq.read_table(trace.path / "residency.parquet")
    more = pc.add(samples[name], 4096).cast(samples[name].type)
    pq.write_table(
        samples.set_column(samples.schema.get_field_index(name), name, more), trace.path / "residency.parquet"
    )
    run = replay(trace, guest_reporting(trace), sample=None)
    assert run.prediction.residency_error <= 0.0001
    assert any(line.startswith("4 MiB beyond the guest's zones were resident") for line in run.recording["warnings"])


def test_what_compaction_turned_is_followed_in_a_second_figure() -> None:
    """A guest of 256 MiB on 7.2 under pressure: the headline follows nothing, and other settings never do."""
    trace = Trace.open(Path(__file__).parent / "data" / "pressure72.pagetrace")
    prediction = replay(trace, guest_reporting(trace), sample=None).prediction
    assert prediction.residency_error is not None
    assert prediction.residency_error <= 0.005
    assert prediction.followed_error is not None
    assert prediction.followed_error <= 0.0005
    assert prediction.followed is not None
    assert 0 < prediction.followed < 0.5
    for other in (None, PageReporting(5)):
        prediction = replay(trace, other, sample=None).prediction
        assert prediction.followed_error is prediction.followed is None
    placed = replay(trace, guest_reporting(trace), placement="recorded", sample=None).prediction
    assert placed.placed_as_recorded == 1.0


def test_a_guest_of_two_nodes_and_of_zones_for_movable_pages() -> None:
    """A pageblock that no event told of counted as MOVABLE: 5 % of blocks were placed as recorded, and 0.55 % off."""
    trace = Trace.open(Path(__file__).parent / "data" / "nodes612.pagetrace")
    run = replay(trace, guest_reporting(trace))
    assert (run.prediction.placed_as_recorded, run.prediction.reported_mib) == (1.0, run.truth["reported_mib"])
    assert run.prediction.residency_error <= 0.0001


@pytest.mark.parametrize("name", ["db612", "nodes612", "churn_smp2"])
def test_what_the_host_discarded_tells_how_lists_stood(name: str, tmp_path: Path) -> None:
    """Without kprobes the first to leave a list seemed to be what left it behind the first passes: 6 to 34 % placed."""
    own = shutil.copytree(Path(__file__).parent / "data" / f"{name}.pagetrace", tmp_path / f"{name}.pagetrace")
    events = pq.read_table(own / "events.parquet")
    probes = [ord(letter) for letter in "IiPRr"]
    pq.write_table(
        events.filter(pc.invert(pc.is_in(events["event"], pa.array(probes, pa.uint8())))), own / "events.parquet"
    )
    meta = json.loads((own / "meta.json").read_text())
    meta["events"] = {letter: count for letter, count in meta["events"].items() if letter not in "IiPRr"}
    (own / "meta.json").write_text(json.dumps(meta))
    trace = Trace.open(own)
    run = replay(trace, guest_reporting(trace))
    assert run.prediction.placed_as_recorded == 1.0
    assert run.prediction.residency_error <= _MOST_ERROR / 10


def test_a_guest_whose_reporting_was_changed_meanwhile_is_followed() -> None:
    """6.12: order 4, its balloon's driver unbound and bound, order 9 again. Not followed, it was 13.7 % off."""
    trace = Trace.open(Path(__file__).parent / "data" / "changed612.pagetrace")
    told = [(change.on, change.order) for change in trace.reporting_changes]
    assert told == [(None, 4), (False, None), (True, None), (None, 9)]
    own = guest_reporting(trace)
    before = own.values()
    run = replay(trace, own)
    assert run.prediction.residency_error <= 0.001
    assert run.prediction.placed_as_recorded == 1
    assert own.values() == before
    assert {name: run.settings[name] for name in before} == before
    free = run.totals.footprint - run.totals.ideal_footprint
    assert sum(run.attribution.values()) == pytest.approx(free)
    assert run.attribution["no_device"] > 0.05 * free
    # Another setting is a what-if: it stays.
    other = replay(trace, PageReporting(order=own.order - 1, delay=own.delay))
    orders = np.log2(other.batches["pages"].to_numpy() / other.batches["blocks"].to_numpy())
    assert orders.min() >= own.order - 1
    assert other.attribution["no_device"] < run.attribution["no_device"]
