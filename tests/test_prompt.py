"""What Python's prompt shows of what the package returns."""

import re

import pagehint


def test_a_result_is_one_line() -> None:
    """A run was 12,000 characters of arrays, a diagnosis 44,000, and a trace an object somewhere in memory."""
    trace = pagehint.example()
    shown = {
        repr(trace): r"<Trace phased\.pagetrace: Linux 6\.1\.\S+, 1,246,626 events>",
        repr(pagehint.replay(trace, pagehint.guest_reporting(trace))): (
            r"<Run of phased, reporting: 0\.469 GiB\*min resident, 0\.353 in use, 1\.227 GiB given back>"
        ),
        repr(pagehint.study(trace, ["reporting"])): r"<Study: 1 runs>",
        repr(pagehint.sweep([trace], ["reporting"], {"order": [9], "delay": ["2s"]})): (
            r"<Sweep: \d runs, \d settings on the front>"
        ),
        repr(
            pagehint.fleet([(trace, 2)], "4GiB", ["reporting"])
        ): r"<Fleet of 2 guests on 4 GiB: reporting, order 9.*>",
        repr(pagehint.doctor()): r"<Diagnosis: .* free, \d+ pieces of advice>",
    }
    for text, expected in shown.items():
        assert re.fullmatch(expected, text), text
