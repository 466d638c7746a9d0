"""Which slab drop_caches frees, and what it leaves: by the kernel's counters, or better by /proc/slabinfo.

A slab is freed when its last object is. Names (dentries) that nobody uses go, and with them the inodes of file systems
on a disk; a file system in memory has all its names in use. What the kernel keeps for page cache goes with the cache. A
journal (jbd2) holds each block that it has written, but whose own place it hasn't: the block's page stays, and its
buffer head. These were made together, so that they fill slabs of their own, in many places.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from pagehint.diagnosis.bounds import MOST_MEMORY
from pagehint.proc.slabinfo import SlabCache

__all__ = ["HANGS_ON", "HANGS_ON_MOST", "JOURNAL", "Slab", "SlabByOrder", "by_order"]

HANGS_ON, HANGS_ON_MOST = 0.1, 0.25
"""Of what is counted as reclaimable: the share that goes with it, and is counted as unreclaimable; and at the most."""
JOURNAL = "jbd2_journal_head"
"""The cache with an object for each block of a file system that its journal holds."""

_STAYS = 0.02
_NAMES, _BUFFERS, _CACHED, _LONG_NAMES = "dentry", "buffer_head", "radix_tree_node", "kmalloc-rcl"
_IN_MEMORY = frozenset(
    f"{name}_inode_cache" for name in ("shmem", "sock", "tracefs", "debugfs", "hugetlbfs", "mqueue", "rpc")
)
# Of several: sysfs, whose inodes go, and debugfs, and before 6.6 tracefs, whose don't.
_OF_SEVERAL = "inode_cache"
# Security modules have an object for each inode.
_OF_ALL = frozenset(("lsm_inode_cache", "selinux_inode_security"))
_WITH_INODES = frozenset(("extent_status", "ext4_extent_status", "xfs_ili", "btrfs_extent_map"))


class SlabByOrder(NamedTuple):
    """What /proc/slabinfo tells: the pages that go, by the order of their slabs; and what a journal holds.

    `journal` are pages of page cache, `scattered` the slabs of their buffer heads.
    """

    going: Mapping[int, float]
    journal: int
    scattered: float


@dataclass(frozen=True)
class Slab:
    """Pages of slab as the kernel counts them, and the share of its names that nobody uses, where it is known.

    `reclaimable` is None where no counter is known: all slab may go then, and without slabinfo nobody can guess how
    much does.
    `stays`: pages of the reclaimable that the kernel itself holds, where the share is not known. `by_order`: None where
    slabinfo isn't known.
    """

    reclaimable: int | None = 0
    unreclaimable: int = 0
    unused: float | None = None
    stays: int = 0
    by_order: SlabByOrder | None = None

    @property
    def is_known(self) -> bool:
        """Whether anything tells how much of it goes."""
        return self.reclaimable is not None or self.by_order is not None

    @property
    def likely(self) -> float:
        """Pages of the reclaimable that drop_caches frees."""
        if self.reclaimable is None:
            return 0.0
        if self.unused is not None:
            return self.reclaimable * self.unused
        return max(self.reclaimable * (1 - _STAYS) - self.stays, 0)

    def with_what_hangs_on(self, share: float) -> int:
        """Pages that go, likely, where `share` of them in addition hangs on them: slabinfo has HANGS_ON in it."""
        if self.by_order is not None:
            return min(int(sum(self.by_order.going.values()) * (1 + share - HANGS_ON)), self.most)
        return min(int(self.likely * (1 + share)), self.most)

    @property
    def most(self) -> int:
        """Pages that go at the most, with what hangs on them."""
        if self.reclaimable is None:
            return MOST_MEMORY
        return self.reclaimable + min(self.unreclaimable, int(self.reclaimable * HANGS_ON_MOST))


def by_order(caches: Mapping[str, SlabCache], unused: float, kept: float) -> SlabByOrder | None:
    """What slabinfo's caches tell; None where the one of names isn't among them.

    `unused` is the share of the names that nobody uses, `kept` the share of page cache that stays. O(caches).
    """
    if _NAMES not in caches:
        return None
    used = caches[_NAMES].active * (1 - unused)
    journal = caches[JOURNAL].active if JOURNAL in caches else 0
    buffers = caches.get(_BUFFERS)
    held = min(journal / max(buffers.active, 1), 1.0) if buffers is not None else 0.0
    shares = {_NAMES: unused, _BUFFERS: 1 - held, _CACHED: 1 - kept}
    inodes = gone = 0.0
    for name, cache in caches.items():
        if "inode" in name and name not in _OF_ALL:
            shares[name] = 0.0 if name in _IN_MEMORY else 1.0
            if name == _OF_SEVERAL:
                shares[name] -= min(used / max(cache.objects, 1), 1.0)
            inodes += cache.objects
            gone += cache.objects * shares[name]
        elif name in _WITH_INODES:
            shares[name] = 1.0
        elif name.startswith(_LONG_NAMES):
            shares[name] = unused
    shares |= dict.fromkeys(_OF_ALL, gone / max(inodes, 1))
    going: dict[int, float] = {}
    for name, share in shares.items():
        if name in caches:
            order = caches[name].pages_per_slab.bit_length() - 1
            going[order] = going.get(order, 0.0) + caches[name].pages * share
    return SlabByOrder(going, journal, held * buffers.slabs if buffers is not None else 0.0)
