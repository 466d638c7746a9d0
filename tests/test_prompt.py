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
        repr(pagehint.study(trace, ["reporting"])): r"<Study: 1 run>",
        repr(pagehint.sweep([trace], ["reporting"], {"order": [9], "delay": ["2s"]})): (
            r"<Sweep: \d runs, \d settings? on the front>"
        ),
        repr(
            pagehint.fleet([(trace, 2)], "4GiB", ["reporting"])
        ): r"<Fleet of 2 guests on 4 GiB: reporting, order 9.*>",
        repr(pagehint.doctor()): r"<Diagnosis: .* free, \d+ pieces? of advice>",
    }
    for text, expected in shown.items():
        assert re.fullmatch(expected, text), text


def test_an_object_is_what_it_is_of() -> None:
    """A host, a clock, a setting and what runs a design were objects somewhere in memory."""
    zones = pagehint.GuestMemory("64MiB").zones
    design, clock = pagehint.PageReporting(), pagehint.VirtualClock(1500)
    shown = {
        repr(
            pagehint.ModelHost("THP", memory="400MiB", khugepaged=True)
        ): "<ModelHost: THP pages in 400 MiB, khugepaged>",
        repr(pagehint.ModelHost()): "<ModelHost: 4KiB pages>",
        repr(pagehint.PageReporting.settings["order"]): "<Setting order: 9 by default>",
        repr(pagehint.Setting.count(2, "Something.")): "<Setting without a name: 2 by default>",
        repr(clock): "<VirtualClock at 1,500 ns>",
    }
    for kind, worker in (
        ("Stepper", pagehint.Stepper(design, zones)),
        ("ThreadWorker", pagehint.ThreadWorker(design, zones)),
        ("VirtualWorker", pagehint.VirtualWorker(design, zones, clock)),
    ):
        shown[repr(worker)] = f"<{kind} of PageReporting(order=9, delay=2000000000), stopped>"
    for text, expected in shown.items():
        assert text == expected
    assert repr(pagehint.PerCpuLists(zones[0], 1, 8, 32)) == "<PerCpuLists of CPU 1: 0 pages>"
