"""Zones of each kernel's profile against the naive model: random histories, the lists compared after each step."""

import random

import pytest

from pagehint.errors import BusyError
from pagehint.kernel.profiles import PROFILES
from pagehint.mm.zone import Zone

from .naive_profiles import NaiveProfileZone

SHAPES = (
    {"pages": 200, "start_pfn": 0, "max_order": 6, "pageblock_order": 3},
    {"pages": 203, "start_pfn": 37, "max_order": 6, "pageblock_order": 4},
    {"pages": 61, "start_pfn": 5, "max_order": 5, "pageblock_order": 4},
    {"pages": 64, "start_pfn": 64, "max_order": 4, "pageblock_order": 0},
    {"pages": 1, "start_pfn": 3, "max_order": 3, "pageblock_order": 1},
)


def isolated(zone, pfn):
    try:
        zone.isolate(pfn)
    except BusyError:
        return -16
    return 0


def isolate_some(chance, zone, model):
    """Isolate a pageblock of both, or end that of one that may be isolated."""
    pfn = zone.start_pfn + chance.randrange(zone.pages)
    if chance.random() < 0.3:
        assert isolated(zone, pfn) == model.isolate(pfn)
    else:
        mt = chance.randrange(4)
        zone.unisolate(pfn, mt)
        model.unisolate(pfn, mt)


def same(zone, model):
    lists = {which: zone.free_list(*which).tolist() for which in model.lists}
    assert lists == model.lists
    assert zone.pageblock_types.tolist() == list(model.types.values())
    assert zone.free_pages == model.free_pages
    assert zone.isolated == model.isolated


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: f"{shape['pages']}-{shape['start_pfn']}")
@pytest.mark.parametrize("profile", PROFILES[1:], ids=lambda row: row.name)
def test_lists_are_the_naive_model_s(profile, shape):
    chance = random.Random(repr((profile.name, shape)))
    for _ in range(3):
        zone, model = Zone(profile=profile, **shape), NaiveProfileZone(profile.name, **shape)
        used = []
        same(zone, model)
        for _ in range(120):
            op = chance.random()
            if op < 0.5 or not used:
                order, mt = min(int(chance.expovariate(0.6)), shape["max_order"] - 1), chance.randrange(3)
                pfn = model.alloc(order, mt)
                assert zone.alloc(order, mt) == pfn
                used += [(pfn, order)] if pfn >= 0 else []
            elif op < 0.9:
                pfn, order = used.pop(chance.randrange(len(used)))
                model.free(pfn)
                zone.free(pfn, order)
            else:
                pfn, mt = shape["start_pfn"] + chance.randrange(shape["pages"]), chance.randrange(4)
                if op < 0.94:
                    assert isolated(zone, pfn) == model.isolate(pfn)
                else:
                    zone.unisolate(pfn, mt)
                    model.unisolate(pfn, mt)
            same(zone, model)
        assert zone.check() == []
