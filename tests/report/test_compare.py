"""Several runs in one table."""

from dataclasses import replace
from io import StringIO

from rich.console import Console

from pagehint.replays.run import Run
from pagehint.report.compare import print_runs
from pagehint.report.words import alike_lines


def screen_of(runs: list[Run], baseline: Run, width: int = 80) -> str:
    text = StringIO()
    print_runs(Console(width=width, file=text, highlight=False), runs, baseline)
    return text.getvalue()


def row_of(screen: str, name: str) -> list[str]:
    (line,) = [line for line in screen.splitlines() if line.startswith(f"{name} ") and "," in line]
    return line.split()


def test_designs_side_by_side_fit_a_terminal(runs: dict[str, Run]) -> None:
    several = [
        replace(run, totals=replace(run.totals, best_possible=0.0491, refaults=16_358, blocks=11_909, given_back=2**33))
        for run in runs.values()
    ]
    lines = screen_of(several, runs["none"]).splitlines()
    assert max(map(len, lines)) <= 80
    first = lines.index("What came back, and what it cost")
    costs = lines[first : lines.index("", first)]
    said = "At best: no design costs less where pages lie as in this run, and each design has them elsewhere."
    assert said in " ".join(" ".join(lines).split())
    assert "In all: with what is free and resident, at 15 CPU seconds a GiB·min." in lines
    assert all(line in " ".join(lines) for line in alike_lines(several))
    for name in runs:
        assert sum(line.startswith(f"{name} ") for line in costs) == 1  # all of its figures in one line


def test_the_figures_are_the_runs(runs: dict[str, Run]) -> None:
    none, one = runs["none"], runs["reporting"]
    totals = one.totals
    row = row_of(screen_of([none, one], none), "reporting")
    share = 100 * (1 - totals.footprint / none.totals.footprint)
    assert totals.wait_p50 is not None
    assert totals.wait_p99 is not None
    assert row[1:7] == [
        f"{totals.footprint:.3f}",
        f"{share:.1f}",
        f"{totals.given_back / 2**20:,.0f}",
        f"{totals.wait_p50 / 1e9:.2f}",
        f"{totals.wait_p99 / 1e9:.2f}",
        f"{totals.refaults:,}",
    ]
    assert row[-1] == f"{totals.blocks:,}"


def test_what_stayed_behind_adds_up(runs: dict[str, Run]) -> None:
    lines = screen_of(list(runs.values()), runs["none"]).splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("Free, but resident"))
    rows = [line.rsplit(maxsplit=len(runs))[1:] for line in lines[first + 2 :] if line]
    end = next(number for number, line in enumerate(lines[first + 2 :]) if line.startswith("all "))
    parts = [[0.0 if cell == "-" else float(cell.replace(",", "")) for cell in row] for row in rows[: end + 1]]
    for column in zip(*parts, strict=True):
        assert abs(sum(column[:-1]) - column[-1]) <= 0.05 * len(column)


def test_long_names_are_numbers_in_the_table(runs: dict[str, Run]) -> None:
    one = runs["reporting"]
    several = [replace(one, settings={**one.settings, "order": order}) for order in (9, 4)]
    lines = screen_of(several, runs["none"]).splitlines()
    assert "1  reporting, order 9 (2 MiB)" in [line.rstrip() for line in lines]
    assert "2  reporting, order 4 (64 KiB)" in [line.rstrip() for line in lines]
    assert sum(line.startswith(("1  ", "2  ")) for line in lines) == 4
