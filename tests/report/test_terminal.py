"""One screen of a run."""

from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console

from pagehint.replays.run import Run
from pagehint.report.compare import print_runs
from pagehint.report.html import page_of
from pagehint.report.terminal import print_run


def screen_of(run: Run, baseline: Run, width: int = 80) -> str:
    text = StringIO()
    print_run(Console(width=width, file=text, highlight=False), run, baseline)
    return text.getvalue()


def test_warnings_come_first_on_the_screen_and_stand_out_on_the_page(runs: dict[str, Run]) -> None:
    lost = replace(
        runs["reporting"], recording={**runs["reporting"].recording, "warnings": ["10 <events> were lost: `--buffers`"]}
    )
    console = Console(width=100, file=StringIO(), highlight=False)
    print_run(console, lost, runs["none"])
    print_runs(console, [lost, lost], runs["none"])
    screen = console.file.getvalue()  # type: ignore[attr-defined]
    assert screen.count("Warning: 10 <events> were lost: `--buffers`.") == 2
    assert screen.index("Warning: ") < screen.index("come back")
    page = page_of([lost], runs["none"])
    assert page.index('<div class="warning">') < page.index("<section>")
    assert "<li>10 &lt;events&gt; were lost: <code>--buffers</code>.</li>" in page
    assert '<div class="warning">' not in page_of([runs["reporting"]], runs["none"])


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_it_says_the_figures_at_any_width(width: int, runs: dict[str, Run]) -> None:
    run, none = runs["reporting"], runs["none"]
    screen = screen_of(run, none, width)
    assert max(map(len, screen.splitlines())) <= width
    said = " ".join(screen.split())
    totals = run.totals
    for figure in (
        f"{none.totals.footprint:.3f} GiB·min",
        f"{totals.footprint:.3f} GiB·min",
        f"{totals.ideal_footprint:.3f} GiB·min",
        f"{totals.given_back >> 20:,} MiB came back",
        f"{totals.refaults:,} faults",
        f"{totals.batches:,} batches",
    ):
        assert figure in said


def test_the_picture_is_as_high_as_what_was_resident(runs: dict[str, Run]) -> None:
    """In the column of most that is resident without hinting, the layers reach to the top."""
    lines = screen_of(runs["reporting"], runs["none"]).splitlines()
    bars = [line.split("│", 1)[1] for line in lines if "│" in line]
    assert len(bars) == 9
    for column in zip(*(bar.ljust(80) for bar in bars), strict=True):
        kinds = [cell for cell in column if cell != " "]
        # From above: given back, free, in use.
        assert kinds == sorted(kinds, key="·▒█".index)


def test_a_run_of_nothing(runs: dict[str, Run]) -> None:
    none = runs["none"]
    screen = screen_of(none, none)
    assert "Nothing was given back." in screen
    assert "batches of" not in screen
    idle = replace(none, attribution=dict.fromkeys(none.attribution, 0.0))
    assert "No free memory stayed resident." in screen_of(idle, none)
