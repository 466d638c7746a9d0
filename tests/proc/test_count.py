"""Counts in the text of /proc files: what is one, and what no machine has."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pagehint.errors import InputError
from pagehint.proc.count import parse_count, parse_pages


@given(st.integers(0, (1 << 63) - 1))
def test_a_count_is_read(value: int) -> None:
    assert parse_count(str(value), "here", 1) == value


@given(
    st.text(max_size=60)
    | st.sampled_from(["-1", "+1", "1_000", "1.0", "0x10", "٣", "²", " 1", "", str(1 << 63), "9" * 99])
)
def test_anything_else_names_the_file_the_line_and_the_word(text: str) -> None:
    if text.isascii() and text.isdigit() and len(text) < 19:
        return
    with pytest.raises(InputError, match=r"^zoneinfo: line 7: .* is no count$") as raised:
        parse_count(text, "zoneinfo", 7)
    assert len(str(raised.value)) < 400


@pytest.mark.parametrize(("text", "order"), [(str(1 << 36), None), (str(1 << 36), 0), (str(1 << 26), 10), ("0", 40)])
def test_as_much_as_the_largest_machine_has(text: str, order: int | None) -> None:
    assert parse_pages(text, "here", 1, order) == int(text)


@pytest.mark.parametrize(
    ("text", "order", "what"),
    [(str((1 << 36) + 1), None, "pages"), (str((1 << 26) + 1), 10, "free blocks of order 10"), ("1", 37, "order 37")],
)
def test_more_than_any_machine_has(text: str, order: int | None, what: str) -> None:
    with pytest.raises(InputError, match=f"here: line 3: {text} .*{what}: no machine has so much memory"):
        parse_pages(text, "here", 3, order)
