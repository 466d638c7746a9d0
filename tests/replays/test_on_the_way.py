"""Frees that go straight to a zone are recorded before they have its lock, and come behind what other CPUs do first."""

import random
from pathlib import Path

import numpy as np
import pytest

from pagehint.mm.zone import Zone
from pagehint.proc.kpageflags import KPageFlag
from pagehint.replays.playback import Playback
from pagehint.replays.replay import replay
from pagehint.replays.totals import make_run
from pagehint.trace import Meta, Trace

from .recording import Row, record, zone

_PAGES = 1 << 14


class _Guest:
    """A zone, and what is recorded of it."""

    def __init__(self) -> None:
        self.zone = Zone(_PAGES)
        self.rows: list[Row] = []

    def tell(self, letter: str, cpu: int, pfn: int, order: int, detail: int = 0) -> None:
        self.rows.append((letter, pfn, order, cpu, detail))

    def take(self, cpu: int, order: int) -> int:
        pfn = self.zone.alloc(order)
        self.tell("Z", cpu, pfn, order)
        self.tell("A", cpu, pfn, order)
        return pfn

    def refill(self, cpu: int, pages: int) -> list[int]:
        taken = []
        for _ in range(pages):
            taken.append(self.zone.alloc(0))
            self.tell("Z", cpu, taken[-1], 0, 1)
        return taken

    def drain(self, cpu: int, pfn: int) -> None:
        self.zone.free(pfn, 0)
        self.tell("D", cpu, pfn, 0)

    def frees(self, cpu: int, pfn: int, order: int) -> None:
        """Its event; it `lands` later."""
        self.tell("F", cpu, pfn, order)

    def lands(self, pfn: int, order: int) -> None:
        self.zone.free(pfn, order)

    def recorded(self, path: Path) -> Trace:
        """At the start all of the zone was free."""
        flags = np.full(_PAGES, int(KPageFlag.BUDDY), np.uint64)
        meta = Meta(recorder="test", source="test", kernel="6.12.118", zones=[zone(_PAGES)])
        return record(path, self.rows, [], meta, step=1000, flags=flags)

    def placed(self, path: Path) -> float | None:
        run = replay(self.recorded(path))
        assert run.anomalies == {}
        return run.prediction.placed_as_recorded


def test_a_free_amid_another_cpus_refill_comes_behind_it(tmp_path: Path) -> None:
    """The rest of the refill was taken from what had not come yet, and one block after the other elsewhere."""
    guest = _Guest()
    blocks = [guest.take(0, 4) for _ in range(3)]
    guest.refill(1, 10)
    guest.frees(0, blocks[1], 4)
    guest.refill(1, 40)
    guest.lands(blocks[1], 4)
    guest.refill(2, 40)
    assert guest.placed(tmp_path / "t") == 1


def test_a_free_amid_another_cpus_drain_comes_behind_it(tmp_path: Path) -> None:
    guest = _Guest()
    block, *_ = guest.take(0, 4), guest.take(0, 4)
    pages = []
    for _ in range(4):
        pages += guest.refill(1, 16)
        guest.take(0, 4)
    for k, pfn in enumerate(pages):
        guest.drain(1, pfn)
        if k == 20:
            guest.frees(0, block, 4)
    guest.lands(block, 4)
    for _ in range(5):
        guest.take(2, 4)
    assert guest.placed(tmp_path / "t") == 1


def test_a_free_between_a_cpus_drain_and_its_refill_is_there_for_that(tmp_path: Path) -> None:
    """They are not under one lock."""
    guest = _Guest()
    blocks = [guest.take(0, 4) for _ in range(3)]
    page, *_ = guest.refill(1, 16)
    guest.drain(1, page)
    guest.frees(0, blocks[1], 4)
    guest.lands(blocks[1], 4)
    for _ in range(2):
        guest.tell("Z", 1, guest.zone.alloc(2), 2, 1)
    assert guest.placed(tmp_path / "t") == 1


@pytest.mark.parametrize("lands", range(4))
def test_where_it_came_is_told_by_what_others_take(lands: int, tmp_path: Path) -> None:
    """A CPU may stop between the two: where its machine has others to run, for milliseconds."""
    guest = _Guest()
    blocks = [guest.take(0, 4) for _ in range(12)]
    for k in (1, 3, 5):
        guest.frees(0, blocks[k], 4)
        guest.lands(blocks[k], 4)
    guest.frees(0, blocks[7], 4)
    for k in range(4):
        if k == lands:
            guest.lands(blocks[7], 4)
        guest.take(1, 4)
    guest.take(0, 4)
    assert guest.placed(tmp_path / "t") == 1


def test_what_others_free_meanwhile_may_come_before_it(tmp_path: Path) -> None:
    guest = _Guest()
    blocks = [guest.take(0, 4) for _ in range(12)]
    guest.frees(0, blocks[1], 4)
    guest.frees(1, blocks[3], 4)
    guest.lands(blocks[3], 4)
    guest.lands(blocks[1], 4)
    for cpu in (1, 0):
        guest.tell("B", cpu, 7, 0)
    for _ in range(3):
        guest.take(2, 4)
    assert guest.placed(tmp_path / "t") == 1


def test_it_takes_back_what_it_merged_with(tmp_path: Path) -> None:
    """Its buddies stand where they stood."""
    guest = _Guest()
    blocks = [guest.take(0, 4) for _ in range(16)]
    for k in (9, 2, 12, 6):
        guest.frees(1, blocks[k], 4)
        guest.lands(blocks[k], 4)
    guest.frees(0, blocks[k ^ 1], 4)
    for _ in range(3):
        guest.take(1, 4)
    guest.lands(blocks[k ^ 1], 4)
    for _ in range(4):
        guest.take(0, 4)
    assert guest.placed(tmp_path / "t") == 1


def test_what_is_still_on_its_way_at_the_end_is_there(tmp_path: Path) -> None:
    guest = _Guest()
    blocks = [guest.take(0, 4) for _ in range(3)]
    guest.frees(1, blocks[0], 4)
    guest.lands(blocks[0], 4)
    guest.frees(0, blocks[2], 4)
    guest.take(1, 4)
    trace = guest.recorded(tmp_path / "t")
    one = Playback(trace, None, None, "simulated", None, None, frozenset({"alloc"}), None)
    run = one.run(make_run)
    assert run.prediction.placed_as_recorded == 1
    assert one.start.zones[0].check() == []
    assert one.start.zones[0].free_pages == guest.zone.free_pages + 16


def test_a_page_that_allocations_pass_over_has_merged_with_one_that_came_straight(tmp_path: Path) -> None:
    """Where no later event named the other page it stayed on a CPU's list for good: 91 % on 6.18, now 100 %."""
    guest = _Guest()
    pages = guest.refill(0, 16)
    for pfn in pages:
        guest.tell("A", 0, pfn, 0)
    for pfn in (pages[8], pages[4]):
        guest.tell("F", 0, pfn, 0)
        guest.drain(0, pfn)
    guest.frees(1, pages[5], 0)
    guest.lands(pages[5], 0)
    guest.tell("B", 1, 7, 0)
    guest.refill(0, 1)
    assert guest.placed(tmp_path / "t") == 1


def test_several_pages_that_allocations_pass_over_have_merged(tmp_path: Path) -> None:
    guest = _Guest()
    pages = guest.refill(0, 16)
    for pfn in pages:
        guest.tell("A", 0, pfn, 0)
    for pfn in (pages[12], pages[8], pages[4]):
        guest.tell("F", 0, pfn, 0)
        guest.drain(0, pfn)
    for pfn in (pages[9], pages[5]):
        guest.frees(1, pfn, 0)
        guest.lands(pfn, 0)
        guest.tell("B", 1, 7, 0)
    guest.refill(0, 1)
    assert guest.placed(tmp_path / "t") == 1


@pytest.mark.parametrize("seed", range(6))
def test_a_guest_whose_cpus_stop_at_any_time(seed: int, tmp_path: Path) -> None:
    """Whatever the model makes of it, no page is lost."""
    guest, chance = _Guest(), random.Random(seed)
    held: list[tuple[int, int]] = []
    lists: dict[int, list[int]] = {cpu: [] for cpu in range(3)}
    stopped: dict[int, tuple[int, int]] = {}

    def stops(cpu: int) -> None:
        stopped[cpu] = held.pop(chance.randrange(len(held)))
        guest.frees(cpu, *stopped[cpu])

    def others_go_on(cpu: int) -> None:
        other = chance.randrange(3)
        if other not in (cpu, *stopped) and len(held) > 20 and chance.random() < 0.1:
            stops(other)

    for _ in range(3000):
        cpu = chance.randrange(3)
        if cpu in stopped:
            if chance.random() < 0.7:
                continue
            guest.lands(*stopped.pop(cpu))
        what = chance.random()
        if what < 0.3:
            order = chance.choice((4, 4, 5, 6))
            held.append((guest.take(cpu, order), order))
        elif what < 0.4:
            for _ in range(chance.randrange(1, 40)):
                lists[cpu] += guest.refill(cpu, 1)
                others_go_on(cpu)
            guest.tell("B", cpu, 7, 0)
        elif what < 0.5:
            for pfn in lists[cpu][:30]:
                guest.drain(cpu, pfn)
                others_go_on(cpu)
            del lists[cpu][:30]
            guest.tell("B", cpu, 7, 0)
        elif held and len(held) > chance.randrange(60):
            stops(cpu)
            if chance.random() < 0.8:
                guest.lands(*stopped.pop(cpu))
    trace = guest.recorded(tmp_path / "t")
    one = Playback(trace, None, None, "simulated", None, None, frozenset({"alloc"}), None)
    one.run(make_run)
    assert one.start.zones[0].check() == []
    on_the_way = sum(1 << order for _, order in stopped.values())
    assert one.start.zones[0].free_pages == guest.zone.free_pages + on_the_way
