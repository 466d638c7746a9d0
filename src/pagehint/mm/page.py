"""A page's state word (``Zone.page_state``, uint16), and its entry in ``Zone.page_links``.

The word holds order, kind, hinted flag and migratetype.

Only the first page of a block has one; every other page's word is 0.

===== ============== ==================================================================
bits  name           meaning
===== ============== ==================================================================
0-4   ORDER          the block's order
5-7   KIND           FREE, USED, IN_FLIGHT (told to a device), PCP (on a per-CPU list), OFFLINE, HELD (used by
                     an owner, such as an arena, that alone frees it)
8     HINTED         free, its host memory given up, and not used since
9-11  TYPE_SHIFT     FREE: the migratetype of its list; USED: the one it was asked for as
===== ============== ==================================================================

The compiled engine has the same constants in ``page.pxd``; a test compares the two.
"""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from pagehint.kernel.migratetype import Migratetype

__all__ = [
    "AHEAD",
    "AT_TAIL",
    "FREE",
    "HELD",
    "HIGHATOMIC",
    "HINTED",
    "IN_FLIGHT",
    "ISOLATE",
    "KIND",
    "LISTS",
    "MOVABLE",
    "NEVER",
    "OFFLINE",
    "ORDER",
    "ORDINARY",
    "PCP",
    "PUT_BACK",
    "RECLAIMABLE",
    "ROWS",
    "TYPE_SHIFT",
    "UNMOVABLE",
    "UNREACHABLE",
    "USED",
    "block_pages",
    "entry",
    "page_of",
    "prefetch",
]

ORDER = 0x1F
KIND = 0xE0
FREE = 0x20
USED = 0x40
IN_FLIGHT = 0x60
PCP = 0x80
OFFLINE = 0xA0
HELD = 0xC0
HINTED = 0x100
TYPE_SHIFT = 9

UNMOVABLE, MOVABLE, RECLAIMABLE, HIGHATOMIC, ISOLATE = map(int, Migratetype)

ORDINARY, PUT_BACK, AT_TAIL = range(3)
"""How a block is freed: as docs/spec/1 says; or at its list's tail, where nobody is notified, and where they are."""

LISTS = 160
"""Rings of a zone: 5 migratetypes, 32 orders each."""
NEVER = 255
"""An order that none reaches."""
UNREACHABLE = 1 << 60
"""A number of blocks that none reaches."""
ROWS = 512
"""Entries of ``page_links`` that ``entry`` mixes among themselves; the first so many are the lists' heads."""
AHEAD = 12
"""Operations that a bulk call looks ahead, to fetch what they will touch."""

_Numbers = TypeVar("_Numbers", int, NDArray[np.intp])


def block_pages(order: int) -> int:
    """Pages of a block of ``order``."""
    return 1 << order


def prefetch(address: object) -> None:
    """Fetch what is there into the cache: compiled code alone does so."""


def entry(page: _Numbers) -> _Numbers:
    """The entry of a page, by its index in the zone: the row of ``page_links`` with its links, (next, before).

    Links are entries too. A list's head is the entry of its number, ``(migratetype << 5) + order``. Pages have theirs
    in another order than their own, cache line by cache line within each ``ROWS``: blocks of order 9 would lie 4 KiB of
    links apart, and all of them share one set of a cache, which holds eight.
    """
    return _mixed(page + ROWS)


def page_of(entry: _Numbers) -> _Numbers:
    """The page that an entry is of: ``entry`` the other way round."""
    return _mixed(entry) - ROWS


def _mixed(number: _Numbers) -> _Numbers:
    return number ^ (((number >> 9) & 63) << 3)
