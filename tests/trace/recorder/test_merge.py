"""The events of several CPUs in one order of time: nothing is lost, doubled or turned round."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pagehint.trace.events import EVENT_SCHEMA, Event
from pagehint.trace.recorder import merge
from pagehint.trace.recorder.merge import Merge


class Out:
    """What was handed out: rows (time, pfn, text of a mark)."""

    def __init__(self):
        self.rows = []
        self.merge = Merge(self.emit)

    def emit(self, rows, texts):
        marks = iter(texts)
        for time, event, pfn, detail in zip(
            *(rows[name].tolist() for name in ("time", "event", "pfn", "detail")), strict=True
        ):
            text = None
            if event == Event.MARK:
                text = next(marks)
                assert texts[detail] == text
            self.rows.append((time, pfn, text))

    def add(self, rows):
        """(time, pfn, text of a mark or None), in the order of one CPU."""
        columns = {field.name: np.zeros(len(rows), field.type.to_pandas_dtype()) for field in EVENT_SCHEMA}
        texts = [text for _, _, text in rows if text is not None]
        columns["time"][:] = [row[0] for row in rows]
        columns["pfn"][:] = [row[1] for row in rows]
        columns["event"][:] = [Event.FREE if row[2] is None else Event.MARK for row in rows]
        columns["detail"][columns["event"] == Event.MARK] = np.arange(len(texts))
        self.merge.add(columns, texts)


_ROWS = st.lists(st.tuples(st.integers(0, 50), st.booleans()), max_size=12).map(sorted)


@given(st.lists(st.lists(_ROWS, max_size=4), min_size=1, max_size=5))
def test_rounds_of_several_cpus_are_one_order_of_time(rounds):
    """Each round's events are of its own 50 ns; all before a round are complete at its end."""
    out, number, expected = Out(), 0, []
    for which, cpus in enumerate(rounds):
        for cpu in cpus:
            rows = []
            for time, is_mark in cpu:
                rows.append((time + 100 * which, number, f"text {number}" if is_mark else None))
                number += 1
            out.add(rows)
            expected += rows
        done = len(out.rows)
        out.merge.complete(100 * which)
        assert all(time < 100 * which for time, _, _ in out.rows[done:])
    out.merge.finish()
    assert out.rows == sorted(expected, key=lambda row: row[0])  # and those of one time as they came
    assert out.merge.late == 0


def test_what_comes_after_later_ones_have_gone_is_late_and_gets_the_last_ones_time():
    out = Out()
    out.add([(10, 1, None), (20, 2, None), (30, 3, None)])
    out.merge.complete(25)
    out.add([(5, 4, None), (19, 5, None), (20, 6, None), (40, 7, "mark")])
    out.merge.finish()
    assert out.rows == [(10, 1, None), (20, 2, None), (20, 4, None), (20, 5, None), (20, 6, None), (30, 3, None),
                        (40, 7, "mark")]  # fmt: skip
    assert out.merge.late == 2


@pytest.mark.parametrize("rows", [1, 1000, 30_000])
def test_where_nobody_says_what_is_complete_so_many_are_held_back(rows, monkeypatch):
    monkeypatch.setattr(merge, "_MOST_ROWS", 5000)
    monkeypatch.setattr(merge, "_FIRST_ROWS", 100)
    out = Out()
    for begin in range(0, rows, 700):
        out.add([(time, time, None) for time in range(begin, min(begin + 700, rows))])
    assert max(rows - 10_700, 0) <= len(out.rows) <= max(rows - 5000, 0)
    out.merge.finish()
    assert [time for time, _, _ in out.rows] == list(range(rows))


def test_of_nothing_nothing_is_handed_out():
    out = Out()
    out.merge.complete(10)
    out.merge.complete(None)
    out.add([])
    out.merge.finish()
    assert out.rows == []


@given(st.lists(_ROWS, max_size=6))
@settings(max_examples=30)
def test_however_they_come_each_comes_once(batches):
    out, number = Out(), 0
    for rows in batches:
        out.add([(time, number + at, None) for at, (time, _) in enumerate(rows)])
        number += len(rows)
        out.merge.complete(25)
    out.merge.finish()
    assert sorted(pfn for _, pfn, _ in out.rows) == list(range(number))
    times = [time for time, _, _ in out.rows]
    assert times == sorted(times)
