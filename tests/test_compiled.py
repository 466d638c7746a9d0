"""Objects of compiled classes are made where the class is called, in no other way, and of nothing they don't crash."""

import copy
import importlib
import pickle
import pkgutil
import subprocess
import sys
from collections.abc import Iterator

import pytest

import pagehint
from pagehint.hinting.clock import VirtualClock
from pagehint.hinting.designs.reporting import PageReporting
from pagehint.hinting.drivers.virtual import VirtualWorker
from pagehint.mm.zone import Zone
from tests.limits import HANGS

_HEAP, _BASE = 1 << 9, 1 << 10  # flags of a type: made by a class statement; may be derived from

_ATTACK = """
import faulthandler
import itertools
import numpy as np
from tests.test_compiled import KINDS, derived

faulthandler.enable()
ONE = [(0,), (1,), (None,), (b"x" * 99,), (np.zeros(5, np.int64),)]
GIVEN = [(), *ONE, (1, 1), (None, None), *((0,) * count for count in range(3, 9))]


def attack(thing):
    print(type(thing).__name__, flush=True)
    for name in dir(thing):
        if name.startswith("__") and name not in ("__len__", "__getitem__", "__iter__", "__repr__", "__enter__"):
            continue
        for given in GIVEN:
            try:
                getattr(thing, name)(*given)
            except Exception:
                pass


for kind in derived():
    attack(kind())
for kind in KINDS:
    for given in itertools.chain(*(itertools.product((None, ()), repeat=count) for count in range(5))):
        try:
            thing = kind(*given)
        except Exception:
            continue
        attack(thing)
print("all")
"""


def _compiled() -> Iterator[type]:
    for found in pkgutil.walk_packages(pagehint.__path__, "pagehint."):
        module = importlib.import_module(found.name)
        if (module.__file__ or "").endswith(".so"):
            for value in vars(module).values():
                if isinstance(value, type) and value.__module__ == found.name and not value.__flags__ & _HEAP:
                    yield value


def derived() -> list[type]:
    """A class derived from each that allows it, which does not make what it derives from."""
    return [type(kind.__name__, (kind,), {"__init__": lambda self: None}) for kind in KINDS if kind.__flags__ & _BASE]


KINDS = [*_compiled()]
pytestmark = pytest.mark.skipif(not KINDS, reason="nothing is compiled")


@pytest.mark.parametrize("kind", KINDS)
def test_an_object_is_made_by_its_class_alone(kind: type) -> None:
    """Without its constructor none of its fields was set: the first call of a method was the end of Python."""
    with pytest.raises(TypeError, match="is not safe"):
        kind.__new__(kind)
    assert not hasattr(kind, "__setstate__")


def test_what_is_compiled_is_not_copied() -> None:
    zone, clock = Zone(64, max_order=4, pageblock_order=3), VirtualClock()
    for thing in (zone, clock, clock.call_at(3, list), VirtualWorker(PageReporting(order=3), [zone], clock)):
        for copied in (copy.copy, copy.deepcopy, pickle.dumps):
            with pytest.raises(TypeError, match="cannot pickle"):
                copied(thing)


def test_what_is_made_of_nothing_does_not_crash() -> None:
    """A worker of no design was the end of Python, and lists of a CPU whose class derives from them."""
    ended = subprocess.run([sys.executable, "-c", _ATTACK], capture_output=True, text=True, timeout=HANGS, check=False)
    assert (ended.returncode, ended.stdout.split()[-1]) == (0, "all"), ended.stdout + ended.stderr[-2000:]
