"""Our reporting on a real guest's clock and blocks: the guest's own passes, batches and blocks come out."""

from dataclasses import dataclass

import pytest

from pagehint.mm.batch import Batch
from pagehint.mm.check import check
from pagehint.replays.playback import Playback
from pagehint.replays.start import guest_reporting
from pagehint.replays.totals import make_run
from pagehint.trace import Trace

_PASS = 500_000_000


@dataclass
class Told:
    time: int
    pfn: int
    pages: int


def replayed(trace: Trace, placement: str) -> tuple[Playback, list[Told], list[Told]]:
    """A replay that has ended, every block that its device was told of, and those of the guest's own."""
    replay = Playback(
        trace,
        guest_reporting(trace),
        None,
        placement,
        None,
        True,
        frozenset({"alloc"}),
        None,  # type: ignore[arg-type]
    )
    told: list[Told] = []
    react = replay.device.react

    def listen(blocks: Batch) -> None:
        told.extend(Told(replay.clock.now, pfn, 1 << order) for pfn, order in blocks)
        react(blocks)

    replay.device.react = listen  # type: ignore[method-assign]
    run = replay.run(make_run)
    for zone in replay.start.zones:
        assert check(zone) == []
    assert run.totals.errors == 0
    columns = trace.reported.to_pydict()
    guest = [Told(*row) for row in zip(columns["time"], columns["pfn"], columns["pages"], strict=True)]
    return replay, told, guest


def passes(told: list[Told]) -> list[list[Told]]:
    found: list[list[Told]] = []
    last = -_PASS
    for block in told:
        if block.time - last > _PASS:
            found.append([])
        found[-1].append(block)
        last = block.time
    return found


def where(told: list[Told]) -> list[tuple[int, int]]:
    return [(block.pfn, block.pages) for block in told]


@pytest.mark.parametrize("placement", ["recorded", "simulated"])
def test_one_cpu_every_block_in_order(phased: Trace, placement: str) -> None:
    _, ours, guest = replayed(phased, placement)
    assert len(guest) == 533
    assert where(ours) == where(guest)


@pytest.mark.parametrize("placement", ["recorded", "simulated"])
@pytest.mark.parametrize("name", ["phased", "churn"])
def test_passes_are_the_guests(name: str, placement: str, request: pytest.FixtureRequest) -> None:
    _, ours, guest = replayed(request.getfixturevalue(name), placement)
    assert sum(block.pages for block in ours) == sum(block.pages for block in guest)
    assert len(passes(ours)) == len(passes(guest))
    for mine, theirs in zip(passes(ours), passes(guest), strict=True):
        assert abs(mine[0].time - theirs[0].time) <= 50_000_000
        assert sorted(block.pages for block in mine) == sorted(block.pages for block in theirs)


def test_two_cpus_the_same_blocks_after_the_first_cycle(churn: Trace) -> None:
    """Boot freed memory on two CPUs at once, in an order that no recording tells: three passes report it all."""
    _, ours, guest = replayed(churn, "recorded")
    assert sum(block.pages for block in ours) * 4096 == 1100 << 20
    assert set(where(ours)) == set(where(guest))
    for mine, theirs in zip(passes(ours)[3:], passes(guest)[3:], strict=True):
        assert sorted(where(mine)) == sorted(where(theirs))


def test_the_zone_chooses_what_the_guest_chose(phased: Trace) -> None:
    replay, _, _ = replayed(phased, "simulated")
    assert replay.engine.placed == 241_717
    assert replay.engine.placed_as_recorded / replay.engine.placed >= 0.999
