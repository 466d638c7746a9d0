"""What a run and a trace show in a notebook."""

from dataclasses import replace

import pytest

import pagehint
from pagehint.errors import InputError
from pagehint.replays.replay import replay
from pagehint.replays.run import Run
from pagehint.trace import Trace


def test_a_runs_figures(runs: dict[str, Run]) -> None:
    figures = runs["reporting"].figures()
    assert set(figures) == {"residency", "attribution-0", "batches", "sizes", "waits", "map-0"}
    assert figures["residency"].layout.yaxis.title.text == "guest memory, MiB"
    assert len(runs["none"].figures()) == 3


def test_a_run_without_a_timeline_has_a_summary_but_no_figures(phased: Trace) -> None:
    run = replay(phased, None, sample=None)
    assert "<td>host memory over the time, GiB·min</td><td>0.775</td>" in run._repr_html_()
    with pytest.raises(InputError, match="needs a timeline"):
        run.figures()


def test_what_a_recording_says_is_text(phased: Trace, runs: dict[str, Run]) -> None:
    evil = "<script>"
    run = replace(runs["reporting"], recording={**runs["reporting"].recording, "name": evil, "kernel": evil})
    trace = Trace(phased.path.with_name(f"{evil}.pagetrace"), replace(phased.meta, kernel=evil))
    for shown in (run._repr_html_(), trace._repr_html_()):
        assert evil not in shown
        assert shown.count("&lt;script&gt;") == 2


def test_a_trace(phased: Trace) -> None:
    shown = pagehint.example()._repr_html_()
    assert phased.path == pagehint.example().path
    assert "<tr><th>events</th><td>1,246,626</td></tr>" in shown
