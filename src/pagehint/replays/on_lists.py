"""What lies on CPUs' lists at the start of a recording without zone events: which blocks, and on whose lists.

What a CPU allocates first, and was not free as kpageflags tell, lay on its list, until one that was free tells that the
list has ended; and not more than zoneinfo counts. What else was not free, and is allocated before it is freed, was
drained from a list before: it lay behind the rest on the list that has most left of the count, but on none that began
empty.
"""

from dataclasses import dataclass
from heapq import heapify, heapreplace

import numpy as np
from numpy.typing import NDArray

from pagehint.proc.kpageflags import KPageFlag
from pagehint.replays.scan import FREE_AT_START, PER_CPU_AT_START, Scan
from pagehint.trace.meta import ZoneLayout
from pagehint.trace.snapshot import Snapshot

__all__ = ["OnLists", "find_on_lists"]

_LIST = 0xFF


@dataclass(frozen=True)
class OnLists:
    """`pfns` (int64): blocks, the first of a list first; `lists` (uint32): whose each is, CPU << 8 | order << 4 |
    migratetype. `highs`: of each zone (node, name), the length at which a CPU's lists are drained, a CPU each."""

    pfns: NDArray[np.int64]
    lists: NDArray[np.uint32]
    highs: dict[tuple[int, str], list[int]]


def find_on_lists(
    snapshot: Snapshot,
    flags: NDArray[np.uint32],
    states: NDArray[np.uint8],
    layouts: list[ZoneLayout],
    early: NDArray[np.bool_] | None,
    scan: Scan,
) -> OnLists:
    """Finds them, and makes their `states` PER_CPU_AT_START. O(pages * log(pages)). Raises InputError.

    `flags`: the snapshot's kpageflags, without their upper half. `early` (bool a page): those that events name before.
    """
    free = flags[: len(states)] & np.uint32(KPageFlag.BUDDY) != 0
    told = {(zone.node, zone.name): zone.per_cpu for zone in snapshot.zoneinfo}
    pfns, lists = [], []
    for layout in layouts:
        here = slice(layout.start_pfn, min(layout.end_pfn, len(free)))
        first = np.flatnonzero((states[here] == FREE_AT_START) & (scan.first_taker[here] > 0)) + here.start
        first = first[np.argsort(scan.first_left[first], kind="stable")]
        first = first[scan.has_list(scan.first_taker[first] - 1 >> 4 & 15)]
        whose = scan.first_taker[first] - 1
        left = [per_cpu.count or 0 for per_cpu in told.get((layout.node, layout.name), [])]
        gone = np.zeros(len(first), np.bool_) if early is None else early[first]
        found, on = _find(whose, free[first] & ~gone, gone, left)
        pfns.append(first[found])
        lists.append(on)
    result = OnLists(
        np.concatenate(pfns),
        np.concatenate(lists),
        {zone: [per_cpu.high or 0 for per_cpu in per_cpus] for zone, per_cpus in told.items()},
    )
    for pfn, pages in zip(result.pfns.tolist(), (1 << (result.lists >> 4 & 15)).tolist(), strict=True):
        states[pfn : pfn + pages] = PER_CPU_AT_START
    return result


def _pages(which: int) -> int:
    return 1 << (which >> 4 & 15)


# Which of these blocks, in the order in which they are taken, lie on lists, and on which. `gone`: were taken before
# zoneinfo counted; `left`: pages that it counted, a CPU each.
def _find(
    whose: NDArray[np.uint32], free: NDArray[np.bool_], gone: NDArray[np.bool_], left: list[int]
) -> tuple[NDArray[np.int64], NDArray[np.uint32]]:
    found: list[tuple[int, int]] = []
    others: list[int] = []
    began: dict[int, bool] = {}  # with something on it
    ended = set()
    # Of those that were free, a list's first tells all.
    was_free = np.flatnonzero(free)
    was_free = was_free[np.unique(whose[was_free], return_index=True)[1]]
    for k in np.sort(np.concatenate([np.flatnonzero(~free), was_free])).tolist():
        which = int(whose[k])
        cpu, pages = which >> 8, _pages(which)
        if free[k]:
            began.setdefault(which, False)
            ended.add(which)
        elif which not in ended and cpu < len(left) and (gone[k] or pages <= left[cpu]):
            began[which] = True
            left[cpu] -= 0 if gone[k] else pages
            found.append((k, which))
        elif not gone[k]:
            others.append(k)
    rooms: dict[int, list[tuple[int, int]]] = {}  # by order and type: a heap of CPUs, the one with most left first
    for k in others:
        kind, pages = int(whose[k]) & _LIST, _pages(int(whose[k]))
        if kind not in rooms:
            rooms[kind] = [(-room, cpu) for cpu, room in enumerate(left) if began.get(kind | cpu << 8, True)]
            heapify(rooms[kind])
        heap = rooms[kind]
        while heap and -heap[0][0] != left[cpu := heap[0][1]]:
            heapreplace(heap, (-left[cpu], cpu))
        if heap and left[cpu := heap[0][1]] >= pages:
            left[cpu] -= pages
            found.append((k, kind | cpu << 8))
    return np.array([k for k, _ in found], np.int64), np.array([which for _, which in found], np.uint32)
