"""The constants of a page's state word are the same for Python and for the compiled engine."""

import re
from pathlib import Path

import numpy as np
import pytest

import pagehint
from pagehint.kernel.migratetype import Migratetype
from pagehint.mm import page

PXD = (Path(pagehint.__file__).parent / "mm" / "page.pxd").read_text()
COMPILED = {name: int(value, 0) for name, value in re.findall(r"^    (\w+) = (\w+)", PXD, re.MULTILINE)}
# Beyond what an enum holds.
COMPILED["UNREACHABLE"] = 1 << int(re.findall(r"#define pagehint_unreachable \(.*1\) << (\d+)\)", PXD)[0])


def test_constants_of_the_compiled_engine():
    assert len(COMPILED) > 15
    for name in page.__all__:
        if name.isupper():
            assert COMPILED[name] == getattr(page, name), name


def test_migratetypes_of_the_compiled_engine():
    assert {member.name: COMPILED[member.name] for member in Migratetype} == {m.name: int(m) for m in Migratetype}


def test_fields_do_not_overlap():
    fields = [page.ORDER, page.KIND, page.HINTED, 7 << page.TYPE_SHIFT]
    assert sum(fields) == fields[0] | fields[1] | fields[2] | fields[3] < 1 << 16
    kinds = [page.FREE, page.USED, page.IN_FLIGHT, page.PCP, page.OFFLINE]
    assert len(set(kinds)) == 5
    assert all(kind & ~page.KIND == 0 for kind in kinds)


def test_block_pages():
    assert [page.block_pages(order) for order in (0, 9, 31)] == [1, 512, 1 << 31]


def test_each_page_has_an_entry_of_its_own_behind_the_heads():
    pages = np.arange(page.ROWS * 130)
    entries = page.entry(pages)
    assert np.array_equal(np.sort(entries), pages + page.ROWS)
    assert page.LISTS <= page.ROWS
    assert np.array_equal(entries // page.ROWS, pages // page.ROWS + 1), "links have a multiple of so many rows"
    assert np.array_equal(page.page_of(entries), pages)
    assert [page.entry(int(i)) for i in pages[:2000]] == entries[:2000].tolist()


@pytest.mark.parametrize("order", [9, 10])
def test_large_blocks_next_to_each_other_lie_in_different_sets_of_a_cache(order):
    line, sets = 64, 64
    entries = page.entry(np.arange(32) << order)
    assert len(np.unique(entries * 8 // line % sets)) == 32
