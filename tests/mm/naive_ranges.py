"""Ranges of pages that are no single block, on a naive zone: cut out of blocks, isolated, allocated, freed."""

from .naive import ISOLATE


def pieces(zone, begin, end):
    """Blocks as large as alignment allows."""
    while begin < end:
        order = max(o for o in range(zone.max_order) if begin % 2**o == 0 and begin + 2**o <= end)
        yield begin, order
        begin += 2**order


def around(zone, page):
    """The block that holds this page: its first page and its order."""
    blocks = {**zone.used, **zone.free_blocks}
    heads = [(page >> order << order, order) for order in range(zone.max_order)]
    return next((head, order) for head, order in heads if head in blocks and blocks[head][0] == order)


def cut(zone, page):
    """Halve the block around a page until one starts there; of a free one the lower half is its list's first."""
    if page >= zone.end:
        return
    head, order = around(zone, page)
    if head == page:
        return
    upper = head + 2 ** (order - 1)
    if head in zone.used:
        _, mt = zone.used[head]
        zone.used[head] = zone.used[upper] = order - 1, mt
    else:
        _, mt = zone.remove(head)
        zone.add(upper, order - 1, mt, 0)
        zone.add(head, order - 1, mt, 0)
    cut(zone, page)


def blocks_of(zone, begin, end):
    page = begin
    while page < end:
        head, order = around(zone, page)
        yield head
        page = head + 2**order


def free_exact(zone, begin, pages):
    """False, and nothing is changed, unless all of it is allocated."""
    end = begin + pages
    if any(head not in zone.used for head in blocks_of(zone, begin, end)):
        return False
    cut(zone, begin)
    cut(zone, end)
    for head in list(blocks_of(zone, begin, end)):
        del zone.used[head]
    for head, order in pieces(zone, begin, end):
        zone.used[head] = order, 0
        zone.free(head)
    return True


def alloc_range(zone, begin, pages, mt):
    """False, and nothing is changed, unless all of it is free, and none of its pageblocks isolated."""
    end, size = begin + pages, 2**zone.pageblock_order
    pageblocks = zone.pageblocks(begin, pages)
    types = [zone.types[pageblock] for pageblock in pageblocks]
    if ISOLATE in types or any(head not in zone.free_blocks for head in blocks_of(zone, begin, end)):
        return False
    cut(zone, max(pageblocks[0] * size, zone.start))
    cut(zone, pageblocks[-1] * size + size)
    for pageblock in pageblocks:
        zone.isolate(pageblock * size)
    cut(zone, begin)
    cut(zone, end)
    for head in list(blocks_of(zone, begin, end)):
        zone.remove(head)
    zone.used.update({head: (order, mt) for head, order in pieces(zone, begin, end)})
    for pageblock, kind in zip(pageblocks, types, strict=True):
        zone.unisolate(pageblock * size, kind)
    return True
