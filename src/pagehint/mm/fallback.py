"""Falling back to another migratetype, one way a kernel's rule (spec 1, section 4; spec 4, section 4).

A *fallback* takes a block of ``2**order`` pages from another type's lists, and returns where it starts, or -1. A
*claim* makes what it can of a free block's pageblock the asked type's, and returns whether the block is on that type's
lists now. Each zone has one of each, chosen by its kernel profile. Where a guest has other zones to try first, whole
pageblocks alone may be taken (NOFRAGMENT): `_least_fallback` is their order then.
"""

import cython

if not cython.compiled:
    from pagehint.mm.page import HIGHATOMIC, ISOLATE, MOVABLE, ORDER, RECLAIMABLE, TYPE_SHIFT, UNMOVABLE, block_pages


# The first type of those that this one falls back to that has a block of the order, or -1.
# UNMOVABLE: RECLAIMABLE, MOVABLE; MOVABLE: RECLAIMABLE, UNMOVABLE; RECLAIMABLE: UNMOVABLE, MOVABLE.
def first_type(buddy, order, migratetype):
    fallback: cython.int
    step: cython.int
    for step in range(2):
        if migratetype == RECLAIMABLE:
            fallback = MOVABLE if step else UNMOVABLE
        elif step:
            fallback = UNMOVABLE if migratetype == MOVABLE else MOVABLE
        else:
            fallback = RECLAIMABLE
        if buddy._first(order, fallback) >= 0:
            return fallback
    return -1


# Whether a pageblock may be claimed for the sake of a block of this order.
def may_claim(buddy, order, migratetype):
    return order >= buddy.pageblock_order // 2 or migratetype != MOVABLE


# The first block to take from another type: of the largest order, but the smallest that fits if nothing may be claimed.
def largest(buddy, order, migratetype):
    found: cython.int = buddy._top
    fallback: cython.int = -1
    while found >= max(order, buddy._least_fallback):
        fallback = first_type(buddy, found, migratetype)
        if fallback >= 0:
            break
        found -= 1
    if fallback < 0:
        return -1
    if not may_claim(buddy, found, migratetype):
        return smallest(buddy, order, migratetype)
    return buddy._first(found, fallback)


# The first block that fits, from the asked order upwards.
def smallest(buddy, order, migratetype):
    found: cython.int
    fallback: cython.int
    for found in range(order, buddy.max_order):
        fallback = first_type(buddy, found, migratetype)
        if fallback >= 0:
            return buddy._first(found, fallback)
    return -1


# Pages of a pageblock, `free` of them free, that suit the type beside the free ones.
def alike(buddy, pageblock, migratetype, free):
    movable: cython.Py_ssize_t = buddy._movable[pageblock]
    if migratetype == MOVABLE:
        return movable
    return block_pages(buddy.pageblock_order) - free - movable if buddy._types[pageblock] == MOVABLE else 0


# A block of pageblock order or more moves, and its pageblocks become the type.
def claim_pageblocks(buddy, i, migratetype):
    first: cython.Py_ssize_t = buddy._pageblock(i)
    k: cython.Py_ssize_t
    for k in range(first, first + block_pages((buddy._state[i] & ORDER) - buddy.pageblock_order)):
        if buddy._types[k] != ISOLATE:
            buddy._types[k] = migratetype
    buddy._move(i, migratetype)


# Up to 6.9: whatever is found moves to the asked type's lists, and is taken from there.


def claim_moving(buddy, i, migratetype):
    pageblock: cython.Py_ssize_t = buddy._pageblock(i)
    kind: cython.int = buddy._types[pageblock]
    order: cython.int = buddy._state[i] & ORDER
    moved: cython.Py_ssize_t
    half: cython.Py_ssize_t = block_pages(buddy.pageblock_order) >> 1
    if kind != HIGHATOMIC and order >= buddy.pageblock_order:
        claim_pageblocks(buddy, i, migratetype)
    elif kind == HIGHATOMIC or not may_claim(buddy, order, migratetype) or not buddy._pageblock_is_whole(pageblock):
        buddy._move(i, migratetype)
    else:
        moved = buddy._move_free_blocks(pageblock, migratetype)
        # An isolated pageblock can be stolen from where a block that spans it was split: the count stays (golden E10).
        if moved + alike(buddy, pageblock, migratetype, moved) >= half:
            buddy._types[pageblock] = migratetype
    return True


def fall_back_moving(buddy, order, migratetype):
    i: cython.Py_ssize_t = largest(buddy, order, migratetype)
    if i < 0:
        return -1
    claim_moving(buddy, i, migratetype)
    return buddy._rmqueue_smallest(order, migratetype)


# From 6.10 on: a pageblock is claimed whole, or only what was asked is taken and the rest stays where it is.


# Whether a pageblock is one that may be claimed, whatever is free in it.
def is_claimable(buddy, pageblock):
    return buddy._types[pageblock] <= RECLAIMABLE and buddy._pageblock_is_whole(pageblock)


def claim(buddy, pageblock, migratetype):
    buddy._move_free_blocks(pageblock, migratetype)
    buddy._types[pageblock] = migratetype


def claim_whole(buddy, i, migratetype):
    pageblock: cython.Py_ssize_t = buddy._pageblock(i)
    order: cython.int = buddy._state[i] & ORDER
    free: cython.Py_ssize_t
    if order >= buddy.pageblock_order:
        claim_pageblocks(buddy, i, migratetype)
        return True
    if not may_claim(buddy, order, migratetype) or not is_claimable(buddy, pageblock):
        return False
    free = buddy._free_in_pageblock(pageblock)
    if free + alike(buddy, pageblock, migratetype, free) < block_pages(buddy.pageblock_order) >> 1:
        return False
    claim(buddy, pageblock, migratetype)
    return True


def take_part(buddy, i, order):
    kind: cython.int = buddy._state[i] >> TYPE_SHIFT
    found: cython.int = buddy._state[i] & ORDER
    buddy._unlink(i)
    buddy._split(i, found, order, kind)
    return i


def fall_back_taking(buddy, order, migratetype):
    i: cython.Py_ssize_t = largest(buddy, order, migratetype)
    if i < 0:
        return -1
    if claim_whole(buddy, i, migratetype):
        return buddy._rmqueue_smallest(order, migratetype)
    return take_part(buddy, i, order)


# From 6.15 on: first claim, from the largest order down; then steal, from the smallest up.
def claim_then_steal(buddy, order, migratetype):
    found: cython.int = buddy._top
    fallback: cython.int
    while found >= max(order, buddy._least_fallback):
        fallback = first_type(buddy, found, migratetype)
        if fallback >= 0:
            if not may_claim(buddy, found, migratetype):
                break
            if claim_whole(buddy, buddy._first(found, fallback), migratetype):
                return buddy._rmqueue_smallest(order, migratetype)
        found -= 1
    return steal(buddy, order, migratetype)


def steal(buddy, order, migratetype):
    i: cython.Py_ssize_t = -1
    if not buddy._least_fallback:
        i = smallest(buddy, order, migratetype)
    if i < 0:
        return -1
    buddy._steals = True
    return take_part(buddy, i, order)


# The next block of a refill: after a steal, the next is stolen at once.
def alloc_next(buddy, order, migratetype):
    i: cython.Py_ssize_t = steal(buddy, order, migratetype) if buddy._steals else -1
    if i < 0:
        return buddy._alloc(order, migratetype)
    buddy._use(i, order, migratetype)
    return i


# What a recorded fallback did, where it comes to the same block here: which of a pageblock's pages are movable, and so
# whether it is claimed, is known but roughly.


# It claimed the pageblock of block `i`, by a block of this order and type. -1: that is not the first one here.
def claim_told(buddy, i, order, migratetype, found, kind):
    pageblock: cython.Py_ssize_t = buddy._pageblock(i)
    first: cython.Py_ssize_t = buddy._first(found, kind)
    if first < 0 or buddy._pageblock(first) != pageblock or not is_claimable(buddy, pageblock):
        return -1
    claim(buddy, pageblock, migratetype)
    return buddy._alloc(order, migratetype)


# It claimed none, and took block `i` alone. -1: another would be taken here.
def take_told(buddy, i, order, migratetype):
    steals: cython.bint = buddy._fallback == claim_then_steal
    first: cython.Py_ssize_t = smallest(buddy, order, migratetype) if steals else largest(buddy, order, migratetype)
    if first != i:
        return -1
    buddy._steals = steals
    take_part(buddy, i, order)
    buddy._use(i, order, migratetype)
    return i


def choose_fallback(buddy):
    """Give the zone the fallback and the claim of its kernel profile."""
    rule = buddy.profile.fallback
    if rule == "moving":
        buddy._fallback = fall_back_moving
        buddy._claim = claim_moving
    elif rule == "taking":
        buddy._fallback = fall_back_taking
        buddy._claim = claim_whole
    else:
        buddy._fallback = claim_then_steal
        buddy._claim = claim_whole
