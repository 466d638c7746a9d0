"""``pagehint guest``: what it says of guests that were booted."""

import re
from dataclasses import replace

import pytest

from pagehint.cli import guest as command
from pagehint.cli.guest import _compare, _matrix
from pagehint.errors import InputError
from pagehint.trace.recorder.guest.boot import GuestSettings
from pagehint.trace.shipped import example
from tests.replays.recording import measured_as_predicted


def test_a_matrix_says_how_far_a_second_guest_is(capsys):
    """7.5 % apart was no fault of the prediction: two guests of those settings were farther apart."""
    on = GuestSettings(reporting=True)
    trace = example("phased")
    _compare([("on", on), ("again", on), ("off", replace(on, reporting=False))], [[trace], [trace, trace], [trace]])
    rows = {
        line.split()[0]: re.findall(r"([0-9.]+) %", line)
        for line in capsys.readouterr().out.splitlines()
        if "MiB" in line
    }
    assert rows["on"] * 2 == rows["again"]
    assert float(rows["on"][0]) < 1 < float(rows["off"][0])


def test_a_matrix_predicts_its_first_guest_as_a_run_does(tmp_path, capsys):
    """Its passes came as if the guest's timer had no steps."""
    trace, on = example("phased"), GuestSettings(reporting=True)
    _compare([("measured", on), ("run", on)], [[trace], [measured_as_predicted(trace, tmp_path / "a.pagetrace")]])
    measured, run = (line for line in capsys.readouterr().out.splitlines() if "MiB" in line)
    assert " 0.00 %" not in measured
    assert " 0.00 %" in run


def test_where_one_guest_needs_emulation_the_others_begin_with_it(tmp_path, monkeypatch):
    """Booting them takes minutes: only what each would be booted with is asked here."""
    tried = []

    def boot(settings, *rest):
        tried.append(settings.accel)
        return example("phased"), "tcg", 0

    monkeypatch.setattr(command, "boot", boot)
    command.guest("sleep 1", output=tmp_path / "guests", matrix="reporting=on,off")
    assert tried == ["auto", "tcg", "tcg"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"matrix": "order=x"}, "--matrix: on,order=x: expected on, off, or on,order=4"),
        ({"matrix": "order=99"}, "--matrix: order 99: expected 0 to 10"),
        ({"reporting": "on,order=x"}, "--reporting: on,order=x: expected on, off, or on,order=4"),
    ],
)
def test_what_is_refused_names_the_option_that_it_came_by(options, said):
    """A matrix's fault was --reporting's."""
    with pytest.raises(InputError, match=f"^{re.escape(said)}$"):
        command.guest("sleep 1", **options)


@pytest.mark.parametrize(
    ("text", "settings", "expected"),
    [
        ("order=9 order=4", {}, [("on,order=9", True, 9), ("on,order=4", True, 4)]),
        ("reporting=on,off", {"order": 4}, [("on,order=4", True, 4), ("off", False, None)]),
        ("order=3,3 reporting=off,on", {"order": 4}, [("off", False, None), ("on,order=3", True, 3)]),
    ],
)
def test_each_setting_of_a_matrix_is_a_guest(text, settings, expected):
    """What was named twice was the last alone, and the order that --reporting gave was dropped."""
    rows = _matrix(GuestSettings(**settings), text)
    assert [(name, each.reporting, each.order) for name, each in rows] == expected


@pytest.mark.parametrize(("text", "reporting"), [("order=9", True), ("order=9,4", False), ("reporting=off,off", True)])
def test_a_matrix_of_one_guest(text, reporting):
    """Which reports nothing has no order: it was booted, and compared with nothing."""
    with pytest.raises(InputError, match=f"^'{text}' is one guest, o.*: expected settings to compare it"):
        _matrix(GuestSettings(reporting=reporting), text)


def test_a_command_that_fails_in_a_guest_of_a_matrix_is_said(tmp_path, monkeypatch, capsys):
    """Of a name that the guest doesn't know all guests did nothing, and were compared."""
    monkeypatch.setattr(command, "boot", lambda *_: (example("phased"), "tcg", 127))
    command.guest("anno 100", output=tmp_path / "guests", matrix="reporting=on,off")
    said = capsys.readouterr().err
    for name in ("0", "1", "1-again"):
        assert f"pagehint: warning: {name}.pagetrace: the guest's command ended with status 127\n" in said
