"""What the parameters of a guest's module page_reporting say, and marks of their changes."""

import pytest

from pagehint.trace.meta import GuestReporting
from pagehint.trace.reporting import ReportingChange, changes_in_words, is_state, reporting_by, reporting_changes

FIRST = GuestReporting(on=True, order=9, delay_ns=2 * 10**9)


@pytest.mark.parametrize(
    ("texts", "order", "delay", "parameters"),
    [
        ({}, None, 2 * 10**9, {}),
        ({"page_reporting_order": "5"}, 5, 2 * 10**9, {"page_reporting_order": 5}),
        ({"page_reporting_order": "-1"}, None, 2 * 10**9, {"page_reporting_order": -1}),
        ({"page_reporting_delay_ms": "134"}, None, 134 * 10**6, {"page_reporting_delay_ms": 134}),
        ({"page_reporting_delay_ms": "-1"}, None, 2 * 10**9, {"page_reporting_delay_ms": -1}),
        ({"of_a_vendor": "Y", "another": "7", "third": "9" * 30}, None, 2 * 10**9, {"another": 7}),
    ],
)
def test_parameters(texts: dict[str, str], order: int | None, delay: int, parameters: dict[str, int]) -> None:
    found = reporting_by(texts)
    assert (found.on, found.order, found.delay_ns, found.parameters) == (None, order, delay, parameters)


def changes(*texts: str, first: GuestReporting = FIRST) -> list[ReportingChange]:
    return reporting_changes([(10 * k, text) for k, text in enumerate(texts)], first)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("REPORTING on page_reporting_order=9", []),
        ("REPORTING on page_reporting_order=4", [ReportingChange(0, order=4)]),
        ("REPORTING off page_reporting_order=4", [ReportingChange(0, False, 4)]),
        ("REPORTING page_reporting_order=4 of_a_vendor=7", [ReportingChange(0, order=4)]),
        ("REPORTING on page_reporting_delay_ms=100", [ReportingChange(0, delay_ns=10**8)]),
        # What is no order or delay says nothing.
        ("REPORTING on page_reporting_order=-1 page_reporting_delay_ms=-5", []),
        ("REPORTING", []),
        ("REPORTING on", []),
    ],
)
def test_a_mark_tells_what_is_not_as_before(text: str, expected: list[ReportingChange]) -> None:
    assert is_state(text)
    assert changes(text) == expected


@pytest.mark.parametrize(
    "text", ["MARK REPORTING off", "REPORTING begins", "REPORTING on order=x", "REPORTING\noff", ""]
)
def test_other_marks_tell_nothing_of_it(text: str) -> None:
    assert not is_state(text)
    assert changes(text) == []


def test_each_change_is_one_from_the_state_before() -> None:
    found = changes("REPORTING off", "MARK a", "REPORTING on page_reporting_order=5", "REPORTING on")
    assert found == [ReportingChange(0, False), ReportingChange(20, True, 5)]
    unknown = changes("REPORTING on page_reporting_order=9", first=GuestReporting())
    assert unknown == [ReportingChange(0, True, 9)]


def test_since_when_it_is_so_is_told_where_the_recorder_knows() -> None:
    """Times that can't be, as behind the mark's or before the change before, are not believed."""
    texts = [f"REPORTING on page_reporting_order={order}" for order in range(5)]
    given = [texts[0], f"{texts[1]} since=7", f"{texts[2]} since=25", f"{texts[3]} since=3", texts[4]]
    found = changes(*given)
    assert [change.time for change in found] == [0, 7, 20, 20, 40]
    assert [change.file_told for change in found] == [False, True, False, False, False]


def test_changes_in_words() -> None:
    found = changes(*(f"REPORTING {'off' if order % 2 else 'on'} page_reporting_order={order}" for order in range(8)))
    words = changes_in_words(found)
    assert words.startswith("order 0 at 0.00 s, off and order 1 at 0.00 s, on and order 2 ")
    assert words.endswith(", and 2 more")
    assert changes_in_words([ReportingChange(12 * 10**9, delay_ns=10**8)]) == "delay 100 ms at 12.00 s"
