import os

import numpy as np
import pytest

from pagehint.errors import InputError
from pagehint.trace.events import NO_PFN, NONE, Event, pack_fallback
from pagehint.trace.recorder.formats import EVENTS, GfpNames, parse_format, parse_header_page
from pagehint.trace.recorder.pages import PageDecoder

VMEMMAP = 0xFFFFEA0000000000
MUTATED = int(os.environ.get("MUTATED_PAGES", 100_000))


def expected_row(row):
    """The columns of EVENT_SCHEMA of a row that the plain reader wrote."""
    event = EVENTS[row["event"]]
    fields = {}
    for item in row["fields"].split(" "):
        name, _, value = item.partition("=")
        fields[name] = int(value, 0) if value.lstrip("-").isdecimal() else value
    pfn, order, migratetype, gfp, detail = NO_PFN, NONE, NONE, 0, 0
    if event in (Event.ALLOC, Event.FREE, Event.ZONE_ALLOC, Event.PCPU_DRAIN):
        pfn, order, migratetype = fields["pfn"], fields["order"], fields.get("migratetype", NONE)
        pfn = NO_PFN if pfn == 2**64 - 1 else pfn
        gfp = fields.get("gfp_flags", 0)
    if event is Event.FREE_BATCHED:
        pfn, order = fields["pfn"], 0
    if event is Event.ZONE_ALLOC:
        detail = fields.get("percpu_refill", int(order == 0))
    if event is Event.EXTFRAG:
        pfn, order, migratetype = fields["pfn"], fields["alloc_order"], fields["alloc_migratetype"]
        detail = pack_fallback(fields["fallback_order"], fields["fallback_migratetype"], fields["change_ownership"])
    if event in (Event.ISOLATE, Event.PUTBACK):
        pfn, order = (fields["page"] - VMEMMAP) // 64, fields["order"]
        migratetype = fields.get("mt", NONE)
    if event in (Event.ISOLATE_RETURN, Event.REPORT_RETURN):
        detail = fields["ret"]
    if event is Event.REPORT:
        detail = fields["nents"]
    return int(row["time_ns"]), int(row["pid"]), int(event), pfn, order, migratetype, gfp, detail


def rows_of(columns):
    names = ("time", "pid", "event", "pfn", "order", "migratetype", "gfp", "detail")
    return list(zip(*(columns[name].tolist() for name in names), strict=True))


@pytest.mark.parametrize("vmemmap", [0, VMEMMAP], ids=["guessed", "known"])
def test_each_event_of_four_kernels(raw, vmemmap):
    decoder = PageDecoder(raw.layout, raw.formats, vmemmap)
    for cpu, pages in enumerate(raw.cpus):
        columns, texts = decoder.decode(pages, cpu)
        expected = [expected_row(row) for row in raw.expected if int(row["cpu"]) == cpu]
        got = rows_of(columns)
        assert len(got) == len(expected) > 2000
        assert got == expected
        assert all(texts)
        assert (columns["cpu"] == cpu).all()
    assert (decoder.lost, decoder.uncounted, decoder.damaged) == (0, 0, 0)


def test_pages_one_by_one_are_the_same(raw):
    whole = PageDecoder(raw.layout, raw.formats).decode(raw.cpus[0], 0)[0]
    decoder = PageDecoder(raw.layout, raw.formats)
    size = raw.layout.size
    parts = []
    for at in range(0, len(raw.cpus[0]), size):
        columns = decoder.decode(raw.cpus[0][at : at + size], 0)[0]
        parts.append({name: array.copy() for name, array in columns.items()})
    for name, array in whole.items():
        np.testing.assert_array_equal(array, np.concatenate([part[name] for part in parts]))


def test_mutated_pages_neither_crash_nor_hang(raw):
    random = np.random.default_rng(12)
    size, decoder = raw.layout.size, PageDecoder(raw.layout, raw.formats)
    pages = np.frombuffer(b"".join(raw.cpus), np.uint8).reshape(-1, size)
    for _ in range(MUTATED // 4 // 100):
        batch = pages[random.integers(0, len(pages), 100)]
        for page in batch:
            where = random.integers(0, size, random.integers(1, 40))
            page[where] = random.integers(0, 256, len(where))
        batch[0] = random.integers(0, 256, size)
        batch[1, 16 : 16 + 8] = random.choice([0, 1, 29, 30, 31, 255], 8)
        batch[2, 8:16] = 255
        columns, _ = decoder.decode(batch.tobytes(), 3)
        assert len(columns["time"]) <= 100 * size // 12
        orders, pfns = columns["order"], columns["pfn"]
        assert ((orders <= 20) | (orders == NONE)).all()
        assert ((pfns >= -1) & (pfns < 1 << 40)).all()
        assert (columns["time"] >= 0).all()
    assert decoder.damaged > 1000


def event_page(raw, commit, payload=b"", begun=10**9):
    page = begun.to_bytes(8, "little") + commit.to_bytes(8, "little") + payload
    return page.ljust(raw.layout.size, b"\0")


def test_losses_are_counted_by_what_the_page_says(raw):
    decoder = PageDecoder(raw.layout, raw.formats)
    flags = 1 << 31
    decoder.decode(event_page(raw, flags), 0)
    assert (decoder.lost, decoder.uncounted) == (0, 1)
    decoder.decode(event_page(raw, flags | 1 << 30, (77).to_bytes(8, "little")), 0)
    assert (decoder.lost, decoder.uncounted) == (77, 1)


def record(raw, name, **fields):
    form = next(form for form in raw.formats if form.name == name)
    size = -(-max(field.offset + max(field.size, 1) for field in form.fields.values()) // 4) * 4
    data = bytearray(size)
    for key, value in {"common_type": form.id, "common_pid": 7, **fields}.items():
        at = form.fields[key]
        data[at.offset : at.offset + at.size] = value.to_bytes(at.size, "little", signed=value < 0)
    return bytes(data)


def word(type_len, delta):
    return (type_len | delta << 5).to_bytes(4, "little")


def test_time_padding_and_long_records(raw):
    free = record(raw, "mm_page_free", pfn=5, order=1)
    short = word(len(free) // 4, 3) + free
    long = word(0, 2) + (len(free) + 4).to_bytes(4, "little") + free
    extend = word(30, 1) + (1).to_bytes(4, "little")
    stamp = word(31, 9) + (4).to_bytes(4, "little")
    dropped = word(29, 100) + (12).to_bytes(4, "little") + bytes(8)
    payload = short + extend + long + stamp + short + dropped + short + word(29, 0)
    columns, _ = PageDecoder(raw.layout, raw.formats).decode(event_page(raw, len(payload), payload), 0)
    start, stamped = 10**9, (4 << 27) + 9
    assert columns["time"].tolist() == [start + 3, start + 3 + 1 + (1 << 27) + 2, stamped + 3, stamped + 106]
    assert columns["pid"].tolist() == [7] * 4


def test_a_failed_allocation_and_a_mark(raw):
    failed = record(raw, "mm_page_alloc", pfn=2**64 - 1, order=3)
    text = record(raw, "print")[:16] + b"MARK phase\n\0\0"
    text = text.ljust(-(-len(text) // 4) * 4, b"\0")
    payload = word(len(failed) // 4, 0) + failed + word(len(text) // 4, 1) + text
    columns, texts = PageDecoder(raw.layout, raw.formats).decode(event_page(raw, len(payload), payload), 0)
    assert columns["event"].tolist() == [Event.ALLOC, Event.MARK]
    assert columns["pfn"].tolist() == [NO_PFN, NO_PFN]
    assert columns["order"].tolist() == [3, NONE]
    assert (columns["detail"][1], columns["gfp"][1], texts) == (0, 0, ["MARK phase"])


def test_the_probes_of_reporting(raw):
    page = VMEMMAP + 64 * 1234
    records = [
        record(raw, "isolate", page=page, order=9),
        record(raw, "isolate_ret", ret=512),
        record(raw, "putback", page=page, order=9, mt=1),
        record(raw, "report", nents=3),
        record(raw, "report_ret", ret=-5),
    ]
    payload = b"".join(word(len(each) // 4, 1) + each for each in records)
    columns, _ = PageDecoder(raw.layout, raw.formats).decode(event_page(raw, len(payload), payload), 0)
    assert [(chr(event), *rest) for event, *rest in (row[2:] for row in rows_of(columns))] == [
        ("I", 1234, 9, NONE, 0, 0),
        ("i", NO_PFN, NONE, NONE, 0, 512),
        ("P", 1234, 9, 1, 0, 0),
        ("R", NO_PFN, NONE, NONE, 0, 3),
        ("r", NO_PFN, NONE, NONE, 0, -5),
    ]


def test_what_is_not_pages_is_refused(raw):
    with pytest.raises(InputError, match="not whole ring buffer pages of 4096"):
        PageDecoder(raw.layout, raw.formats).decode(b"x" * 100, 0)


def test_an_event_without_its_fields_is_refused(raw):
    form = next(form for form in raw.formats if form.name == "mm_page_free")
    del form.fields["order"]
    with pytest.raises(InputError, match="mm_page_free has no field order"):
        PageDecoder(raw.layout, raw.formats)


def test_flags_by_name(raw):
    form = next(form for form in raw.formats if form.name == "mm_page_alloc")
    names = GfpNames(form.flags)
    assert names[0xCC0] == 0xCC0
    assert names[0x140DCA] == 0x140DCA
    moved = GfpNames(((0x3, "GFP_KERNEL"), (0x1, "__GFP_IO"), (0x2, "__GFP_FS"), (0x10, "__GFP_NEW")))
    assert names[0] == moved[0] == 0
    assert moved[0x3] == 0xCC0
    assert moved[0x1] == 0x40
    assert moved[0x31] == 0x40 | 0x20
    assert moved.unknown == {"__GFP_NEW": 1}


def test_headers_that_are_not():
    with pytest.raises(InputError, match="no field timestamp"):
        parse_header_page("nothing")
    with pytest.raises(InputError, match="no name and ID"):
        parse_format("format:")
