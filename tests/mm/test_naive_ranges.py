"""Ranges of pages against the naive model: random histories, the order of all lists compared after each step."""

import random

import pytest

from pagehint.errors import BusyError, InputError
from pagehint.kernel.profiles import PROFILES
from pagehint.mm.zone import Zone

from .naive_profiles import naive_zone
from .naive_ranges import alloc_range, free_exact
from .test_naive_profiles import SHAPES, isolate_some, same


def done(do, *arguments):
    try:
        do(*arguments)
    except (BusyError, InputError):
        return False
    return True


@pytest.mark.parametrize("profile", PROFILES, ids=lambda row: row.name)
def test_ranges_are_the_naive_model_s(profile):
    chance = random.Random(profile.name)
    did = {"alloc_range": 0, "free_exact": 0}
    for shape in SHAPES:
        zone, model = Zone(profile=profile, **shape), naive_zone(profile.name, **shape)
        for _ in range(60):
            pages = min(int(chance.expovariate(0.1)) + 1, shape["pages"])
            pfn = shape["start_pfn"] + chance.randrange(shape["pages"] - pages + 1)
            order, mt = min(int(chance.expovariate(0.6)), shape["max_order"] - 1), chance.randrange(3)
            op = chance.random()
            if op < 0.25:
                assert zone.alloc(order, mt) == model.alloc(order, mt)
            elif op < 0.55:
                found = alloc_range(model, pfn, pages, mt)
                assert done(zone.alloc_range, pfn, pages, mt) == found
                did["alloc_range"] += found
            elif op < 0.9:
                if model.used:
                    pfn, (order, _) = chance.choice(sorted(model.used.items()))
                    pages = min(chance.randrange(1, 2 << order), model.end - pfn)
                found = free_exact(model, pfn, pages)
                assert done(zone.free_exact, pfn, pages) == found
                did["free_exact"] += found
            else:
                isolate_some(chance, zone, model)
            same(zone, model)
        assert zone.check() == []
    assert min(did.values()) > 20
