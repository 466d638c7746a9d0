"""Random ring buffer pages of machines with formats of their own, whole and damaged, against the naive reader."""

import random

import pytest

from pagehint.trace.recorder.formats import parse_format, parse_header_page
from pagehint.trace.recorder.pages import PageDecoder

from .naive_pages import Machine, NaiveReader

VMEMMAP = 0xFFFFEA0000000000


def decoded(machine, data, vmemmap):
    """The same of both readers: rows, and what they counted."""
    layout = parse_header_page(machine.header_page)
    formats = [parse_format(text) for text in machine.formats.values()]
    decoder, reader = PageDecoder(layout, formats, vmemmap), NaiveReader(layout, formats, vmemmap)
    columns, texts = decoder.decode(data, 3)
    texts = iter(texts)
    names = ("time", "pid", "event", "pfn", "order", "migratetype", "gfp", "detail")
    rows = []
    for row in zip(*(columns[name].tolist() for name in names), strict=True):
        mark = row[2] == ord("M")
        rows.append((*row[:-1], 0, next(texts)) if mark else (*row, None))
    reader.read(data)
    counts = [(each.lost, each.uncounted, each.damaged, each.others) for each in (decoder, reader)]
    return (rows, counts[0]), (reader.rows, counts[1])


def flipped(chance, data):
    data = bytearray(data)
    for _ in range(chance.choice((1, 1, 3, 40))):
        at = chance.choice((chance.randrange(len(data)), chance.randrange(min(len(data), 40))))
        data[at] = chance.choice((data[at] ^ 1 << chance.randrange(8), chance.randrange(256), 0, 255))
    return bytes(data)


@pytest.mark.parametrize("damaged", [False, True])
def test_pages_read_as_the_naive_reader_reads_them(damaged):
    events = 0
    for seed in range(100):
        chance = random.Random(f"{seed} {damaged}")
        machine = Machine(chance)
        data = machine.pages(chance.randrange(1, 4))
        for _ in range(3 if damaged else 1):
            pages = flipped(chance, data) if damaged else data
            found, expected = decoded(machine, pages, chance.choice((0, VMEMMAP)))
            assert found == expected, seed
            events += len(found[0])
    assert events > 2000
