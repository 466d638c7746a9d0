"""The page, in a real browser: it draws every chart, loads nothing, answers the mouse and prints."""

import base64
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By

from pagehint.errors import InputError
from pagehint.hinting.designs.reporting import PageReporting
from pagehint.replays.replay import replay
from pagehint.replays.run import Run
from pagehint.report.html import figures_of, page_of, write_html
from pagehint.trace import Trace

Show = Callable[[Path], Any]
_DRAWN = """
return [...document.querySelectorAll('.figure > div')].map(div => [
  div.id,
  div.querySelectorAll('.scatterlayer path, .barlayer path, .heatmaplayer image').length,
  div.querySelector('.xtitle') && div.querySelector('.xtitle').textContent,
  div.querySelector('.ytitle') && div.querySelector('.ytitle').textContent,
])
"""
_OVERLAPS = """
const boxes = [...document.querySelectorAll('#residency .annotation text')].map(e => e.getBoundingClientRect());
let found = 0;
for (let i = 0; i < boxes.length; i++) for (let j = i + 1; j < boxes.length; j++) {
  const a = boxes[i], b = boxes[j];
  if (a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom && b.top < a.bottom) found++;
}
return [boxes.length, found];
"""


@pytest.fixture(scope="module")
def one(runs: dict[str, Run], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "one.html"
    write_html([runs["reporting"]], path, runs["none"])
    return path


@pytest.fixture(scope="module")
def three(runs: dict[str, Run], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "three.html"
    write_html(list(runs.values()), path, runs["none"])
    return path


def check(page: Any, path: Path, figures: list[str]) -> None:
    drawn = page.run(_DRAWN)
    assert [name for name, *_ in drawn] == figures
    for name, shapes, x, y in drawn:
        assert shapes > 0, name
        assert x, name
        assert y, name
    assert page.console == []
    assert page.requests == [path.as_uri()]


def test_one_run(show: Show, one: Path) -> None:
    page = show(one)
    check(page, one, ["residency", "attribution-0", "batches", "sizes", "waits", "map-0"])
    titles = [each.text for each in page.driver.find_elements(By.TAG_NAME, "h2")]
    assert titles[0] == "After anon400_thp1_freed, 364 MiB come back in two passes, 90 % of it within 4.04 s"
    labels, overlapping = page.run(_OVERLAPS)
    assert labels >= 10
    assert overlapping == 0


_LINES = """
return [document.querySelectorAll('#residency .shapelayer path').length,
        document.querySelectorAll('#residency .annotation text').length]
"""


@pytest.mark.parametrize("width", [1280, 400])
def test_a_phase_has_a_line_and_a_name_or_neither(width: int, show: Show, one: Path) -> None:
    """Lines that no name told anything of; and on a telephone, names on top of each other."""
    page = show(one)
    with page.window(width):
        page.driver.refresh()
        lines, names = page.run(_LINES)
        assert lines == names >= 8
        assert page.run(_OVERLAPS) == [names, 0]


def test_several_runs(show: Show, three: Path) -> None:
    page = show(three)
    several = [f"attribution-{k}" for k in range(3)], [f"map-{k}" for k in range(3)]
    check(page, three, ["residency", *several[0], "batches", "sizes", "waits", *several[1]])


@pytest.mark.parametrize(
    ("figure", "words"),
    [
        ("residency", ["in use", "MiB", "measured"]),
        ("attribution-0", ["waiting for the delay", "MiB"]),
        ("batches", ["given back"]),
        ("sizes", ["batches of 32 blocks"]),
        ("waits", ["% within"]),
        ("map-0", ["from page frame", "in use", "%"]),
    ],
)
def test_hover(show: Show, one: Path, figure: str, words: list[str]) -> None:
    page = show(one)
    chart = page.driver.find_element(By.ID, figure)
    page.run("arguments[0].scrollIntoView({block: 'center'})", chart)
    # Where the first trace has its middle point, or the map its middle; in pixels from the chart's own middle.
    x, y = page.run(
        """
        const div = arguments[0], layout = div._fullLayout, box = div.getBoundingClientRect();
        const trace = div.calcdata[0], bars = div.id === 'sizes';
        const point = bars ? trace[trace.length - 1] : trace[Math.floor(trace.length / 2)];
        const heat = div.data[0].type === 'heatmap';
        const at = heat ? layout.xaxis._length / 2 : layout.xaxis.c2p(bars ? point.p : point.x ?? point.p);
        return [layout._size.l + at - box.width / 2, layout._size.t + layout.yaxis._length * 0.6 - box.height / 2];
        """,
        chart,
    )
    ActionChains(page.driver).move_to_element_with_offset(chart, round(x), round(y)).perform()
    page.driver.implicitly_wait(5)
    chart.find_element(By.CSS_SELECTOR, ".hoverlayer text")
    text = page.run("return arguments[0].querySelector('.hoverlayer').textContent", chart)
    for word in words:
        assert word in text, text


def test_print(show: Show, three: Path) -> None:
    page = show(three)
    printed = page.driver.execute_cdp_cmd("Page.printToPDF", {"preferCSSPageSize": True})["data"]
    data = base64.b64decode(printed)
    assert data.startswith(b"%PDF")
    assert 2 <= data.count(b"/Type /Page\n") <= 6


@pytest.mark.parametrize("width", [600, 800, 1200])
def test_what_is_printed_is_what_was_drawn(show: Show, three: Path, width: int) -> None:
    """Charts drawn anew for paper, which is narrow and scaled, had names that were cut and lay above each other."""
    page = show(three)
    with page.window(width):
        page = show(three)
        page.run(
            """
            const react = Plotly.react, paper = window.matchMedia("print");
            window.drawnOnPaper = 0;
            Plotly.react = (...all) => { window.drawnOnPaper += paper.matches; return react(...all); };
            """
        )
        page.driver.execute_cdp_cmd("Page.printToPDF", {"preferCSSPageSize": True})
        assert page.run("return window.drawnOnPaper") == 0


def test_a_narrow_window(show: Show, three: Path) -> None:
    page = show(three)
    size = page.driver.get_window_size()
    try:
        page.driver.set_window_size(600, 900)
        page.driver.get(three.as_uri())
        assert page.run("return document.documentElement.scrollWidth <= window.innerWidth")
    finally:
        page.driver.set_window_size(size["width"], size["height"])


def test_in_a_phones_window_the_charts_names_are_whole(show: Show, three: Path) -> None:
    """The reasons' longest name ended outside."""
    page = show(three)
    with page.window(360):
        page = show(three)
        names = """return [...document.querySelectorAll('.legendtext')].map(
            each => each.closest('svg').getBoundingClientRect().right - each.getBoundingClientRect().right)"""
        assert min(page.run(names)) >= 0


def test_in_a_phones_window_a_tables_names_are_beside_its_figures(show: Show, three: Path) -> None:
    """They were six lines high, and out of sight where the last figures were in sight."""
    page = show(three)
    with page.window(360):
        page = show(three)
        places = """return [...document.querySelectorAll('table')].map(table => {
            table.scrollLeft = table.scrollWidth;
            const begin = table.getBoundingClientRect().left;
            const names = [...table.querySelectorAll('td:first-child')].map(each => each.getBoundingClientRect());
            return [table.scrollLeft, Math.max(...names.map(name => Math.abs(name.left - begin))), names[0].width];
        })"""
        found = page.run(places)
    assert max(scrolled for scrolled, *_ in found) > 50
    for _, aside, width in found:
        assert (aside, width > 120) == (0, True)


def test_runs_of_one_design_are_told_apart_in_what_is_said_of_them(phased: Trace, runs: dict[str, Run]) -> None:
    """Which of two of reporting the prediction is of, and of what design the curve is that nobody asked for."""
    quick = replay(phased, PageReporting(delay="100ms"))
    page = page_of([quick, runs["reporting"]], runs["none"])
    (figures,) = re.findall(r'id="figures">(.*?)</script>', page, re.DOTALL)
    in_use, first, second, *rest = (each["name"] for each in json.loads(figures)["residency"]["data"])
    assert (in_use, rest) == ("in use", ["without hinting", "measured"])
    assert first != second
    assert f"Predicted ({second}) and measured are" in page.replace("\N{NO-BREAK SPACE}", " ")


def test_nothing_to_show(show: Show, phased: Trace, tmp_path: Path) -> None:
    path = tmp_path / "none.html"
    run = replay(phased, None)
    run.to_html(path)
    page = show(path)
    check(page, path, ["residency", "attribution-0", "map-0"])


@pytest.mark.parametrize(
    "evil",
    [
        "</script><script>document.title = 'run'</script>",
        "<!--<script>",
        "<!-- <script> --> ]]> <style>*{display:none}</style>",
        "<b>&lt;i&gt;</b> <a href='javascript:document.title=1'>$x$</a> %{y} &amp; \u2028 \"'`",
    ],
)
def test_what_a_recording_says_is_text(evil: str, runs: dict[str, Run], show: Show, tmp_path: Path) -> None:
    run = runs["reporting"]
    phases = [{**phase, "name": evil} for phase in run.phases]
    recording = {**run.recording, "name": evil, "kernel": evil, "warnings": [evil]}
    path = tmp_path / "evil.html"
    path.write_text(page_of([replace(run, phases=phases, recording=recording)]), encoding="utf-8")
    page = show(path)
    check(page, path, ["residency", "attribution-0", "batches", "sizes", "waits", "map-0"])
    text = " ".join(evil.split())
    assert " ".join(page.driver.title.split()).startswith(f"{text}: reporting")
    said = page.run("return [...document.querySelectorAll('#residency .annotation text')].map(e => e.textContent)")
    assert {" ".join(each.split()) for each in said} == {text}
    assert page.run("return document.querySelectorAll('.annotation a, .annotation [style*=bold]').length") == 0


def test_charts_are_named(show: Show, one: Path) -> None:
    page = show(one)
    named = page.run("return [...document.querySelectorAll('.figure > div')].map(e => [e.id, e.role, e.ariaLabel])")
    assert {role for _, role, _ in named} == {"img"}
    names = {which: label for which, _, label in named}
    assert names["residency"].startswith(
        "chart of guest memory, MiB by seconds: in use; free, but resident; given back"
    )
    assert len(set(names.values())) == len(names)


_PAINT = """
const of = (selector, what) => getComputedStyle(document.querySelector(selector))[what];
return [of('body', 'backgroundColor'), of('body', 'color'), of('#residency .main-svg', 'backgroundColor'),
        of('#residency .xtitle', 'fill'), of('.key i', 'backgroundColor')];
"""


def test_a_dark_page(show: Show, one: Path) -> None:
    page = show(one)
    light = page.run(_PAINT)
    for scheme, expected in (("dark", None), ("light", light)):
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        # The query's change is told before the next frame's callbacks.
        page.driver.execute_async_script("requestAnimationFrame(() => requestAnimationFrame(arguments[0]))")
        painted = page.run(_PAINT)
        assert painted == (expected or painted)
        paper, ink, chart, title, _ = (tuple(map(int, colour[4:-1].split(","))) for colour in painted)
        assert paper == chart
        assert ink == title
        assert (sum(paper) < sum(ink)) == (scheme == "dark")
    check(page, one, ["residency", "attribution-0", "batches", "sizes", "waits", "map-0"])


def test_few_waits_and_batches(runs: dict[str, Run], show: Show, tmp_path: Path) -> None:
    """One wait, or batches of two sizes far apart: the axes have marks, and the bars can be seen."""
    run = runs["reporting"]
    waits = np.zeros_like(run.waits)
    waits[2016], waits[-1] = 300, 100
    batches = run.batches.slice(0, 2).set_column(2, "blocks", [[1, 400]])
    path = tmp_path / "few.html"
    path.write_text(page_of([replace(run, waits=waits, batches=batches)]), encoding="utf-8")
    page = show(path)
    ticks = "return document.querySelectorAll(`#${arguments[0]} .xtick`).length"
    assert page.run(ticks, "waits") >= 3
    widths = "return [...document.querySelectorAll('#sizes .bars path')].map(e => e.getBoundingClientRect().width)"
    assert min(page.run(widths)) >= 1.5
    assert "25.0 % of it waited 200 s or longer" in " ".join(page.run("return document.body.textContent").split())
    sizes = run.batches.slice(0, 1).set_column(2, "blocks", [[7]])
    path.write_text(page_of([replace(run, batches=sizes)]), encoding="utf-8")
    page = show(path)
    assert page.run("return [...document.querySelectorAll('#sizes .xtick text')].map(e => e.textContent)") == [
        "6",
        "7",
        "8",
    ]


def test_many_runs(runs: dict[str, Run], show: Show, tmp_path: Path) -> None:
    """A ninth line was as the first, a paragraph named all, and the table was wider than window and paper."""
    several = [replace(runs["reporting"], settings={**runs["reporting"].settings, "order": k % 10}) for k in range(12)]
    path = tmp_path / "many.html"
    path.write_text(page_of(several, runs["none"]), encoding="utf-8")
    page = show(path)
    assert page.run("return document.documentElement.scrollWidth <= window.innerWidth")
    lines = figures_of(several)["residency"].data[1:13]
    assert len({(each.line.color, each.line.dash) for each in lines}) == 12
    lead = page.run("return document.querySelector('.lead').textContent")
    assert lead.count("reporting") == 4
    assert "; 8 others down to " in lead


def test_the_same_run_is_the_same_page(phased: Trace, runs: dict[str, Run]) -> None:
    again = replay(phased, None)
    assert page_of([again], again) == page_of([runs["none"]], runs["none"])


def test_the_output(runs: dict[str, Run], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a folder"):
        runs["none"].to_html(tmp_path)
    with pytest.raises(InputError, match="No such file or directory"):
        runs["none"].to_html(tmp_path / "no" / "page.html")
    assert list(tmp_path.iterdir()) == []


def test_a_run_without_a_timeline_has_no_page(phased: Trace, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a page needs a timeline"):
        replay(phased, None, sample=None).to_html(tmp_path / "page.html")
    with pytest.raises(InputError, match="a page of no run"):
        write_html([], tmp_path / "page.html")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("wrong", [None, 3, "run", [3], [None]])
def test_what_is_no_run(wrong: Any, runs: dict[str, Run], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no run: expected what replay"):
        write_html(wrong, tmp_path / "page.html")
    if wrong is not None:
        with pytest.raises(InputError, match="is no run: expected what replay"):
            write_html(runs["none"], tmp_path / "page.html", wrong)
    with pytest.raises(InputError, match="None is no output: expected a path"):
        write_html(runs["none"], None)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_a_page_is_of_one_recording_against_the_same_without_hinting(runs: dict[str, Run]) -> None:
    """It said how much less host memory that is "than without hinting", whatever it was held against."""
    run, none = runs["reporting"], runs["none"]
    other = replace(none, recording={**none.recording, "name": "other", "memory": none.recording["memory"] // 2})
    for known, baseline in (([run, other], None), ([run], other)):
        with pytest.raises(InputError, match=r"runs of several recordings \(phased, other\): expected those of one"):
            page_of(known, baseline)
    with pytest.raises(InputError, match="a baseline with hinting: expected a run without hinting"):
        page_of([run], runs["hinting"])
    huge = replace(none, settings={**none.settings, "host_page_size": "2MiB"})
    with pytest.raises(InputError, match=r"a baseline with host_page_size '2MiB', and a run with 'THP': .* same host"):
        page_of([run], huge)


def test_one_run_is_given_as_several_are(runs: dict[str, Run], tmp_path: Path) -> None:
    write_html(runs["reporting"], tmp_path / "one.html", runs["none"])
    write_html([runs["reporting"]], tmp_path / "list.html", runs["none"])
    assert (tmp_path / "one.html").read_bytes() == (tmp_path / "list.html").read_bytes()
