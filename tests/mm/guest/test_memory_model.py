"""Random histories of a guest with two zones, per-CPU lists, hotplug and both designs: every page accounted for."""

import contextlib

import hypothesis.strategies as st
import numpy as np
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pagehint.errors import AllocationError, BusyError
from pagehint.hinting.action import Idle, React, Sleep
from pagehint.hinting.designs.hinting import PageHinting
from pagehint.hinting.designs.reporting import PageReporting
from pagehint.hinting.drivers.stepper import Stepper
from pagehint.kernel.gfp import GFP_ATOMIC, GFP_DMA, GFP_HIGHUSER_MOVABLE, GFP_KERNEL, Gfp
from pagehint.kernel.profiles import PROFILES
from pagehint.mm.check import check
from pagehint.mm.guest.memory import GuestMemory
from pagehint.mm.page import KIND, OFFLINE, ORDER, PCP, USED

PAGES = 6 << 10
CPUS = 2
FLAGS = (GFP_KERNEL, GFP_HIGHUSER_MOVABLE, GFP_KERNEL | Gfp.RECLAIMABLE, GFP_DMA, GFP_ATOMIC)


class _Device:
    def __init__(self, capacity):
        self.capacity = capacity

    def react(self, batch):
        raise AssertionError("a stepper's caller does that")


def _kind_pages(zone, kind):
    heads = np.flatnonzero((zone.page_state & KIND) == kind)
    return int((1 << (zone.page_state[heads] & ORDER).astype(np.int64)).sum())


class Guest(RuleBasedStateMachine):
    @initialize(
        profile=st.sampled_from(PROFILES),
        hinting=st.booleans(),
        order=st.sampled_from((0, 3, 9, 10)),
        capacity=st.integers(1, 5),
    )
    def make(self, profile, hinting, order, capacity):
        self.memory = GuestMemory(PAGES * 4096, cpus=CPUS, profile=profile, min_free_kbytes=128)
        design = PageHinting(order, high_water_mark=1, delay=5) if hinting else PageReporting(order, delay=5)
        self.stepper = Stepper(design, self.memory.zones)
        self.device = _Device(capacity)
        self.stepper.start(self.device)
        self.blocks, self.ranges, self.offline, self.isolated = [], [], [], set()

    # The guest

    @rule(order=st.integers(0, 10), gfp=st.sampled_from(FLAGS), cpu=st.integers(0, CPUS - 1), count=st.integers(1, 40))
    def alloc(self, order, gfp, cpu, count):
        for _ in range(count):
            try:
                self.blocks.append((self.memory.alloc_pages(order, gfp, cpu=cpu), order))
            except AllocationError:
                break

    @rule(data=st.data(), cpu=st.integers(0, CPUS - 1), count=st.integers(1, 40), step=st.integers(1, 7))
    def free(self, data, cpu, count, step):
        for _ in range(min(count, len(self.blocks))):
            index = data.draw(st.integers(0, len(self.blocks) - 1)) if step == 7 else -step % len(self.blocks)
            self.memory.free_pages(*self.blocks.pop(index), cpu)

    @rule(pages=st.integers(1, 1024), gfp=st.sampled_from(FLAGS))
    def alloc_exact(self, pages, gfp):
        with contextlib.suppress(AllocationError):
            self.ranges.append((self.memory.alloc_pages_exact(pages, gfp), pages))

    @precondition(lambda self: self.ranges)
    @rule(data=st.data())
    def free_exact(self, data):
        self.memory.free_pages_exact(*self.ranges.pop(data.draw(st.integers(0, len(self.ranges) - 1))))

    @rule(pfn=st.integers(0, PAGES - 1), pages=st.integers(1, 3000), migratetype=st.integers(0, 2))
    def alloc_contig(self, pfn, pages, migratetype):
        zone = self.memory.zone_of(pfn)
        pages = min(pages, zone.start_pfn + zone.pages - pfn)
        with contextlib.suppress(BusyError):
            self.memory.alloc_contig_range(pfn, pages, migratetype)
            self.ranges.append((pfn, pages))

    @rule(pfn=st.integers(0, PAGES - 1), pages=st.integers(1, PAGES), aligned=st.booleans())
    def take_offline(self, pfn, pages, aligned):
        pages = min(pages, PAGES - pfn)
        if aligned:
            pfn, pages = pfn & ~511, (pages + 511) & ~511
        with contextlib.suppress(BusyError):
            self.memory.offline(pfn, min(pages, PAGES - pfn))
            self.offline.append((pfn, min(pages, PAGES - pfn)))

    @rule()
    def take_all_offline(self):
        for pfn in range(0, PAGES, 256):
            with contextlib.suppress(BusyError):
                self.memory.offline(pfn, 256)
                self.offline.append((pfn, 256))
        for zone in self.memory.zones:
            if not zone.present_pages:
                assert not zone.requested
                assert zone.nr_hinted is None

    @precondition(lambda self: self.offline)
    @rule(data=st.data(), count=st.integers(1, 9))
    def bring_online(self, data, count):
        for _ in range(min(count, len(self.offline))):
            self.memory.online(*self.offline.pop(data.draw(st.integers(0, len(self.offline) - 1))))

    @rule(pageblock=st.integers(0, PAGES // 512 - 1))
    def isolate(self, pageblock):
        with contextlib.suppress(BusyError):
            self.memory.zone_of(pageblock * 512).isolate(pageblock * 512)
            self.isolated.add(pageblock)

    @precondition(lambda self: self.isolated)
    @rule(data=st.data(), migratetype=st.integers(0, 3))
    def unisolate(self, data, migratetype):
        pageblock = data.draw(st.sampled_from(sorted(self.isolated)))
        self.isolated.remove(pageblock)
        self.memory.zone_of(pageblock * 512).unisolate(pageblock * 512, migratetype)

    @rule(zone=st.integers(0, 1), order=st.integers(0, 10), migratetype=st.integers(0, 3), place=st.integers(0, 99))
    def reorder(self, zone, order, migratetype, place):
        pfns = self.memory.zones[zone].free_list(order, migratetype)
        if len(pfns):
            self.memory.zones[zone].reorder(int(pfns[place % len(pfns)]))

    @rule()
    def drain(self):
        self.memory.drain_all_pages()
        assert self.memory.counts.per_cpu == 0

    # The design

    @precondition(lambda self: not self.stepper.design.started)
    @rule()
    def start(self):
        self.stepper.start(self.device)

    @rule(steps=st.integers(1, 12), fails=st.booleans(), to_react=st.booleans())
    def work(self, steps, fails, to_react):
        for _ in range(steps):
            if self.stepper.reacting is not None:
                self.stepper.reacted(OSError("no") if fails else None)
            action = self.stepper.step()
            if isinstance(action, Sleep):
                self.stepper.now = action.until
            elif isinstance(action, Idle) or (to_react and isinstance(action, React)):
                break

    @rule()
    def stop(self):
        self.stepper.stop()

    @precondition(lambda self: self.stepper.reacting is not None)
    @rule(fails=st.booleans())
    def react_ends(self, fails):
        self.stepper.reacted(OSError("no") if fails else None)
        assert not isinstance(self.stepper.step(), React) or self.memory.counts.in_flight

    # What holds at all times

    @invariant()
    def every_page_is_accounted_for(self):
        memory = self.memory
        assert [problem for zone in memory.zones for problem in check(zone)] == []
        counts = memory.counts
        mine = sum(1 << order for _, order in self.blocks) + sum(pages for _, pages in self.ranges)
        offline = sum(pages for _, pages in self.offline)
        assert (counts.allocated, counts.offline) == (mine, offline)
        assert counts.span == PAGES
        assert counts.present == PAGES - offline
        assert counts.isolated == 0 or self.isolated
        for guest_zone in memory.guest_zones:
            zone = guest_zone.zone
            assert guest_zone.per_cpu_pages == _kind_pages(zone, PCP)
            assert zone.pages - zone.present_pages == _kind_pages(zone, OFFLINE)
        assert sum(_kind_pages(zone, USED) for zone in memory.zones) == mine


TestGuest = Guest.TestCase
TestGuest.settings = settings(stateful_step_count=40, deadline=None)
