"""What tracefs says of its data: layouts, fields, and the names of flags as C expressions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pagehint.errors import InputError
from pagehint.kernel.gfp import Gfp
from pagehint.trace.recorder.formats import GfpNames, is_guessable, parse_format, parse_header_page

HEAD = "name: mm_page_alloc\nID: 500\nformat:\n"
FIELDS = """\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;
\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;

\tfield:unsigned long pfn;\toffset:8;\tsize:8;\tsigned:0;
\tfield:char comm[16];\toffset:16;\tsize:16;\tsigned:0;
\tfield:__data_loc char[] what;\toffset:32;\tsize:4;
"""


def test_the_fields_of_an_event() -> None:
    form = parse_format(HEAD + FIELDS)
    assert (form.name, form.id) == ("mm_page_alloc", 500)
    assert {name: tuple(field) for name, field in form.fields.items()} == {
        "common_type": (0, 2, False),
        "common_pid": (4, 4, True),
        "pfn": (8, 8, False),
        "comm": (16, 16, False),
        "what": (32, 4, False),
    }


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0x400", 0x400),
        ("(unsigned long)0x400u", 0x400),
        ("(( gfp_t)0x400u|( gfp_t)0x800u)", 0xC00),
        ("((((gfp_t)(0x400u|0x800u)) | (gfp_t)0x40u))", 0xC40),
        ("((gfp_t)((((1UL))) << (5)))", 32),
        ("(1 << 3) + 2 - 1", 9),
        ("~0x1", 0xFFFFFFFE),
        ("0x10000000000", None),  # no bit of a 32-bit flag
        ("(0xc0 & ~0x40)", 0x80),
        ("010", 8),  # octal, as in C
        ("1 ? 2 : 3", None),
        ("___GFP_DMA", None),
        ("__import__('os')", None),
        ("2 ** 99999", None),
        ("1 << 100", None),
        ("(" * 300 + "1" + ")" * 300, None),
    ],
)
def test_a_flags_value_is_what_c_makes_of_it(text: str, value: int | None) -> None:
    flags = parse_format(f'{HEAD}print fmt: "x", __print_flags(REC->gfp_flags, "|", {{{text}, "GFP_X"}})').flags
    assert flags == (() if value is None else ((value, "GFP_X"),))


@given(st.integers(0, 2**32 - 1))
def test_bits_without_a_name_are_kept_and_without_names_all_are(raw: int) -> None:
    assert GfpNames(())[raw] == raw
    names = GfpNames(((1 << 4, "__GFP_IO"),))
    assert names[raw] & ~(Gfp.IO | 1 << 4) == raw & ~(Gfp.IO | 1 << 4)
    if raw & 1 << 4:
        assert names[raw] & Gfp.IO


def test_names_that_moved_and_that_nobody_knows() -> None:
    names = GfpNames(((0x3, "GFP_NOFS"), (0x1, "__GFP_IO"), (0x8, "__GFP_OF_A_VENDOR")))
    assert names[0x1] == Gfp.IO
    assert names[0x9] & Gfp.IO
    assert names.unknown == {"__GFP_OF_A_VENDOR": 1}
    assert names[0x9] == names[0x9]
    assert names.unknown == {"__GFP_OF_A_VENDOR": 1}  # once, however often it is asked


@pytest.mark.parametrize(
    "text",
    ["", "name: x", "ID: 5", "name: x\nID: 65536\n", "name: x\nID: -1\n", "name: x\nID: 5x\n", "name x\nID 5\n"],
)
def test_what_is_no_format(text: str) -> None:
    with pytest.raises(InputError, match="where: no name and ID: expected the format file of an event"):
        parse_format(text, "where")


def test_a_field_far_away_is_refused() -> None:
    with pytest.raises(InputError, match="field pfn lies at 70000, 8 bytes: no event is so large"):
        parse_format(f"{HEAD}\tfield:unsigned long pfn;\toffset:70000;\tsize:8;\tsigned:0;")


def _header(
    stamp: tuple[int, int] = (0, 8), commit: tuple[int, int] = (8, 8), data: tuple[int, int] = (16, 4080)
) -> str:
    fields = {"u64 timestamp": stamp, "local_t commit": commit, "int overwrite": (8, 1), "char data": data}
    return "".join(f"\tfield: {name};\toffset:{at};\tsize:{size};\tsigned:0;\n" for name, (at, size) in fields.items())


def test_pages_of_64_and_32_bit_kernels() -> None:
    assert tuple(parse_header_page(_header())) == (4096, 16, 8, 8)
    assert tuple(parse_header_page(_header(commit=(8, 4), data=(12, 4084)))) == (4096, 12, 8, 4)
    assert parse_header_page(_header(data=(16, 65520))).size == 65536


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "no field timestamp: expected tracefs' events/header_page"),
        (_header().replace("commit", "committed"), "no field commit"),
        (_header(stamp=(0, 4)), "a layout of ring buffer pages that this reader doesn't know"),
        (_header(commit=(8, 2), data=(10, 4000)), "a layout"),
        (_header(data=(24, 4072)), "a layout"),
        (_header(data=(16, 1 << 20)), "pages of 1048592 bytes are absurd"),
        (_header(data=(16, 0)), "pages of 16 bytes are absurd"),
    ],
)
def test_pages_that_this_reader_can_not_read(text: str, error: str) -> None:
    with pytest.raises(InputError, match=f"^header_page: {error}"):
        parse_header_page(text)


def test_a_field_of_spaces_takes_no_time() -> None:
    assert parse_format(f"{HEAD}field:{' ' * 200_000}").fields == {}


@given(st.text(max_size=300))
def test_any_text_is_a_format_or_an_error(text: str) -> None:
    for parse in (parse_format, parse_header_page):
        try:
            parse(HEAD + text)
        except InputError:
            continue


@pytest.mark.parametrize(
    ("architecture", "end", "guessable"),
    [("x86_64", 1 << 18, True), ("x86_64", (1 << 24) + 1, False), ("x86_64", 0, False), ("aarch64", 1 << 18, False),
     ("x86_64", None, False), (None, 5, False), ("x86_64", "5", False)],
)  # fmt: skip
def test_where_a_page_tells_its_pfn(architecture: object, end: object, guessable: bool) -> None:
    assert is_guessable(architecture, end) == guessable
