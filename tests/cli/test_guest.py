"""``pagehint guest``: what it says of guests that were booted."""

import re
from dataclasses import replace

import pytest

from pagehint.cli import guest as command
from pagehint.cli.guest import _compare
from pagehint.errors import InputError
from pagehint.trace.recorder.guest.boot import GuestSettings
from pagehint.trace.shipped import example


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
        ({"matrix": "order=9 order=4"}, "--matrix: 'order=4': expected order=9,4 or reporting=on,off, each once"),
        ({"reporting": "on,order=x"}, "--reporting: on,order=x: expected on, off, or on,order=4"),
    ],
)
def test_what_is_refused_names_the_option_that_it_came_by(options, said):
    """A matrix's fault was --reporting's; and of an axis given twice the last alone counted."""
    with pytest.raises(InputError, match=f"^{re.escape(said)}$"):
        command.guest("sleep 1", **options)
