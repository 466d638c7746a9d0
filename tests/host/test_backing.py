"""Backing against a model made of sets, page by page, in each way of backing; compiled and uncompiled."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pagehint.host.backing as built
from pagehint.errors import InputError
from pagehint.host.backing import Backing


def uncompiled() -> ModuleType:
    source = next(Path(folder, "backing.py") for folder in __import__("pagehint.host").host.__path__)
    spec = importlib.util.spec_from_file_location("backing_uncompiled", source)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


UNCOMPILED = uncompiled()
MODULES = [UNCOMPILED] if built.__file__.endswith(".py") else [built, UNCOMPILED]
both = pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__.rpartition(".")[2])


class Naive:
    """What backing.py's docstring says, in sets of pages."""

    def __init__(self, pages: int, page_size: str, limit: int | None = None) -> None:
        self.pages, self.page_size, self.limit = pages, page_size, limit
        self.backed: set[int] = set()
        self.given: set[int] = set()
        self.swap: set[int] = set()
        self.huge: set[int] = set()
        self.table: set[int] = set()
        self.hand = self.scanned = 0
        self.counters = dict.fromkeys(
            [
                "faults_4kib",
                "faults_2mib",
                "refaults_4kib",
                "refaults_2mib",
                "given_back",
                "given_back_4kib",
                "given_back_2mib",
                "discards",
                "empty_discards",
                "splits",
                "swapped_out",
                "swapped_in",
                "collapsed",
            ],
            0,
        )

    def area(self, area: int) -> set[int]:
        return set(range(area * 512, min(area * 512 + 512, self.pages)))

    def cut(self, pfn: int, order: int) -> Iterator[tuple[int, set[int]]]:
        block = {page for page in range(pfn, pfn + 2**order) if page < self.pages}
        for area in sorted({page // 512 for page in block}):
            yield area, block & self.area(area)

    def touch(self, pfn: int, order: int) -> None:
        for area, pages in self.cut(pfn, order):
            missing = pages - self.backed
            if not missing:
                continue
            whole = self.area(area)
            if (self.page_size == "2MiB") or (
                self.page_size == "THP" and area not in self.huge | self.table and len(whole) == 512
            ):
                self.counters["faults_2mib"] += 1
                self.counters["refaults_2mib"] += bool(whole & self.given)
                self.huge.add(area)
                missing = whole
            else:
                self.counters["swapped_in"] += len(missing & self.swap)
                self.counters["faults_4kib"] += len(missing - self.swap)
                self.counters["refaults_4kib"] += len(missing & self.given)
                self.table.add(area)
            self.backed |= missing
            self.given -= missing
            self.swap -= missing
            self.swap_out(area)

    def swap_out(self, kept: int) -> None:
        while self.limit is not None and len(self.backed) > self.limit:
            area, self.hand = self.hand, (self.hand + 1) % -(-self.pages // 512)
            if area != kept:
                out = self.backed & self.area(area)
                self.backed -= out
                self.swap |= out
                self.counters["swapped_out"] += len(out)
                if area in self.huge:
                    self.huge.remove(area)
                    self.table.add(area)

    def discard(self, pfn: int, order: int) -> int:
        given = 0
        nothing = True
        for area, pages in self.cut(pfn, order):
            whole = pages == self.area(area)
            if self.page_size == "2MiB" and not whole:
                continue
            nothing &= not pages & (self.backed | self.swap)
            gone = pages & self.backed
            given += len(gone)
            if area in self.huge and whole:
                self.counters["given_back_2mib"] += 1
            else:
                self.counters["given_back_4kib"] += len(gone)
            if area in self.huge:
                self.huge.remove(area)
                if not whole:
                    self.counters["splits"] += 1
                    self.table.add(area)
            if whole:
                self.table.discard(area)
            self.backed -= gone
            self.swap -= pages
            self.given |= gone
        self.counters["given_back"] += given
        self.counters["discards"] += 1
        self.counters["empty_discards"] += nothing
        return given

    def collapse(self, areas: int) -> int:
        before = self.counters["collapsed"]
        number = -(-self.pages // 512)
        for _ in range(min(areas, number)):
            area, self.scanned = self.scanned, (self.scanned + 1) % number
            whole = self.area(area)
            if self.page_size != "THP" or area not in self.table or len(whole) < 512 or not whole & self.backed:
                continue
            self.counters["collapsed"] += len(whole - self.backed)
            self.counters["swapped_in"] += len(whole & self.swap)
            self.backed |= whole
            self.given -= whole
            self.swap -= whole
            self.table.remove(area)
            self.huge.add(area)
            self.swap_out(area)
        return self.counters["collapsed"] - before

    def load(self, pages: set[int]) -> None:
        self.__init__(self.pages, self.page_size, self.limit)  # type: ignore[misc]
        for area in range(-(-self.pages // 512)):
            backed = pages & self.area(area)
            if self.page_size == "2MiB" and backed:
                backed = self.area(area)
            if (self.page_size == "2MiB" and backed) or (self.page_size == "THP" and len(backed) == 512):
                self.huge.add(area)
            elif backed:
                self.table.add(area)
            self.backed |= backed
        self.swap_out(-1)
        self.counters["swapped_out"] = 0


def same(backing: Backing, naive: Naive) -> None:
    assert {name: getattr(backing, name) for name in naive.counters} == naive.counters
    assert backing.resident == len(naive.backed)
    assert backing.swapped == len(naive.swap)
    bits = np.unpackbits(backing.snapshot(), bitorder="little")
    assert set(np.flatnonzero(bits).tolist()) == naive.backed


@st.composite
def histories(draw: st.DrawFn) -> tuple[int, list[tuple[str, int, int]]]:
    pages = draw(st.sampled_from([1, 63, 64, 512, 1024, 2048, 2049, 2500, 3071]))
    order = st.one_of(st.just(9), st.integers(0, 11))
    step = st.tuples(st.sampled_from(["touch", "touch", "discard", "collapse"]), st.integers(0, pages + 600), order)
    steps = [(what, pfn >> order << order, order) for what, pfn, order in draw(st.lists(step, max_size=40))]
    return pages, steps


@both
@pytest.mark.parametrize(
    ("page_size", "limit"), [("4KiB", None), ("2MiB", None), ("THP", None), ("4KiB", 700), ("THP", 700), ("THP", 512)]
)
@given(history=histories(), start=st.one_of(st.none(), st.integers(0, 2**32)))
@settings(max_examples=120, deadline=None)
def test_histories(
    module: ModuleType,
    page_size: str,
    limit: int | None,
    history: tuple[int, list[tuple[str, int, int]]],
    start: int | None,
) -> None:
    pages, steps = history
    backing, naive = module.Backing(pages, page_size, limit), Naive(pages, page_size, limit)
    if start is not None:
        rng = np.random.default_rng(start)
        bits = np.repeat(rng.random(-(-pages // 256)) < 0.5, 256)[:pages] & (rng.random(pages) < rng.choice([0.9, 1]))
        backing.load(bits)
        naive.load(set(np.flatnonzero(bits).tolist()))
        same(backing, naive)
    for what, pfn, order in steps:
        if what == "collapse":
            assert backing.collapse(order) == naive.collapse(order)
        elif what == "touch":
            before = dict(naive.counters)
            naive.touch(pfn, order)
            faults = tuple(naive.counters[name] - before[name] for name in ("faults_4kib", "faults_2mib"))
            assert backing.touch(pfn, order) == faults
        else:
            would = backing.count_blocks(np.array([pfn]), np.array([order], np.uint8))
            before = dict(naive.counters)
            assert backing.discard(pfn, order) == naive.discard(pfn, order)
            gave = tuple(naive.counters[name] - before[name] for name in ("given_back_4kib", "given_back_2mib"))
            assert would == gave
        same(backing, naive)


@both
@pytest.mark.parametrize("page_size", ["4KiB", "2MiB", "THP"])
def test_a_batch_is_its_blocks_in_order(module: ModuleType, page_size: str) -> None:
    one, other = module.Backing(8192, page_size), module.Backing(8192, page_size)
    pfns, orders = np.array([512, 0, 2048, 2048, 4096]), np.array([9, 8, 10, 3, 9], np.uint8)
    for backing in (one, other):
        backing.touch(0, 12)
    assert one.discard_blocks(pfns, orders) == sum(
        other.discard(int(pfn), int(order)) for pfn, order in zip(pfns, orders, strict=True)
    )
    assert one.given_back == other.given_back == 4096 - one.resident
    assert one.empty_discards == other.empty_discards == {"4KiB": 2, "2MiB": 3, "THP": 2}[page_size]


@both
def test_read_only_batches(module: ModuleType) -> None:
    pfns, orders = np.array([0]), np.array([9], np.uint8)
    pfns.flags.writeable = orders.flags.writeable = False
    backing = module.Backing(512)
    backing.touch(0, 3)
    assert backing.count_blocks(pfns, orders) == (8, 0)
    assert backing.discard_blocks(pfns, orders) == 8


@both
def test_one_tebibyte(module: ModuleType) -> None:
    backing = module.Backing(1 << 28, "THP")
    last = (1 << 28) - 1
    assert backing.touch(last, 0) == (0, 1)
    assert backing.discard(last - 511, 9) == 512
    assert backing.resident == 0


@both
@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((0,), "a guest's pages 0"),
        ((-5, "THP"), "a guest's pages -5"),
        ((512, "1GiB"), "'1GiB' is not a page size"),
        ((512, "2MiB", 512), "not swapped"),
        ((512, "THP", 511), "511 pages are too little"),
        ((1 << 63,), "a guest's pages 9223372036854775808: expected 1"),
        ((512.5,), "a guest's pages 512.5: expected 1"),
        ((512, "THP", float("nan")), "a host's pages nan: expected 0"),
    ],
)
def test_bad_backing(module: ModuleType, arguments: tuple[int, str, int], text: str) -> None:
    with pytest.raises(InputError, match=text):
        module.Backing(*arguments)


@both
def test_bad_input(module: ModuleType) -> None:
    backing = module.Backing(1000)
    for order in (-1, 48):
        with pytest.raises(InputError, match="expected 0 to 47"):
            backing.touch(0, order)
        with pytest.raises(InputError, match="expected 0 to 47"):
            backing.discard(0, order)
    for wrong in (1 << 63, 1.5, None):
        for call in (backing.touch, backing.discard):
            with pytest.raises(InputError, match=r"pfn .*: expected "):
                call(wrong, 0)
        with pytest.raises(InputError, match=r"areas .*: expected 0 to "):
            backing.collapse(wrong)
    with pytest.raises(InputError, match=r"uint8 of shape \(125,\): expected bool of shape \(1000,\)"):
        backing.load(np.zeros(125, np.uint8))
    for pfn in (-1, -512, 1000, 1 << 40, (1 << 62)):
        assert backing.touch(pfn, 9) == (0, 0)
        assert backing.discard(pfn, 9) == 0
