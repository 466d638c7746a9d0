"""The doctor's page, in a real browser: every chart drawn, nothing loaded, by day and by night."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from selenium.webdriver.common.by import By

from pagehint.diagnosis.examine import diagnose
from pagehint.diagnosis.page_map import PageMap, Range
from pagehint.report.doctor_page import doctor_page
from pagehint.report.doctor_words import map_shares
from tests.diagnosis.conftest import snapshot_files
from tests.diagnosis.samples import SAMPLES

Show = Callable[[Path], Any]
_DRAWN = """
return [...document.querySelectorAll('.figure > div')].map(div => [
  div.id, div.querySelectorAll('.barlayer path, .heatmaplayer image').length,
]);
"""
_BRIGHTNESS = """
const parts = getComputedStyle(document.body)[arguments[0]].match(/\\d+/g).map(Number);
return (parts[0] + parts[1] + parts[2]) / 3;
"""
_LINES = """
const parts = getComputedStyle(document.querySelector('#brings .errorbar path')).stroke.match(/\\d+/g).map(Number);
return (parts[0] + parts[1] + parts[2]) / 3;
"""
_SPANS = "return ['causes', 'brings'].map(name => document.querySelectorAll(`#${name} .errorbar path`).length);"
_WIDE = "return document.documentElement.scrollWidth - document.documentElement.clientWidth;"
_PLOTS = """
const width = each => each.getBoundingClientRect().width;
return [...document.querySelectorAll('#causes, #used')].map(div => width(div.querySelector('.nsewdrag')) / width(div));
"""
_TURNED = (
    "return [...document.querySelectorAll('.xtick text')].filter(each => /rotate\\((?!0)/.test(each.outerHTML)).length"
)


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("doctor") / "page.html"
    path.write_text(doctor_page(diagnose(snapshot_files("press61"))))
    return path


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_chart_is_drawn_by_day_and_by_night(show: Show, page_file: Path, scheme: str) -> None:
    page = show(page_file)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    try:
        page = show(page_file)
        drawn = page.run(_DRAWN)
        assert [name for name, _ in drawn] == ["causes", "map", "brings", "used"]
        assert all(shapes for _, shapes in drawn)
        assert page.console == []
        assert page.requests == [page_file.as_uri()]
        back, text = (page.run(_BRIGHTNESS, name) for name in ("backgroundColor", "color"))
        assert (back > 200 > 100 > text) if scheme == "light" else (back < 60 < 150 < text)
        assert page.run(_LINES) < 100 if scheme == "light" else page.run(_LINES) > 150
        exact, bounds = page.run(_SPANS)
        assert exact == 0 < bounds
        assert page.run(_WIDE) <= 0
        titles = [each.text for each in page.driver.find_elements(By.TAG_NAME, "h2")]
        assert "What to do, the most for the least cost first" in titles
    finally:
        page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


@pytest.mark.parametrize("width", [360, 800, 1400])
def test_in_windows_of_any_width_names_leave_bars_room(show: Show, page_file: Path, width: int) -> None:
    """Of a narrow one they took four fifths, and their ticks lay on their sides; commands and risks stood outside."""
    page = show(page_file)
    with page.window(width):
        page = show(page_file)
        assert page.run(_WIDE) <= 0
        assert all(share > 0.45 for share in page.run(_PLOTS))
        assert page.run(_TURNED) == 0
        table = page.driver.find_element(By.CSS_SELECTOR, "table.words")
        assert page.run("return arguments[0].scrollWidth - arguments[0].clientWidth", table) <= 0


def test_a_log_alone_has_its_failures_and_no_map(show: Show, tmp_path: Path) -> None:
    (tmp_path / "log").write_text(SAMPLES["5.10, both, with prefixes"])
    path = tmp_path / "log.html"
    path.write_text(doctor_page(diagnose(tmp_path / "log")))
    page = show(path)
    assert [each.text for each in page.driver.find_elements(By.TAG_NAME, "h3")] == [
        "kworker/u8:2: allocation failed: order 4 (64 KiB), GFP_KERNEL|__GFP_COMP|__GFP_ZERO",
        "python3: the OOM killer was called: order 0 (4 KiB), GFP_HIGHUSER_MOVABLE|__GFP_COMP|__GFP_ZERO",
    ]
    assert "map" not in [name for name, _ in page.run(_DRAWN)]
    assert page.console == []


def test_a_page_map_that_ends_before_every_zone_has_no_shares() -> None:
    """A traceback, where somebody pasted the beginning of kpageflags only."""
    assert map_shares(PageMap(np.zeros(1, np.uint64), [Range(1, 4096)]), 100).shape == (0, 4)


def test_a_page_map_of_no_zones_pages_is_left_out(tmp_path: Path) -> None:
    """Its only zone spans none, as no kernel says: the page divided by none."""
    (tmp_path / "kpageflags").write_bytes(np.full(4096, 1 << 10, np.uint64).tobytes())
    (tmp_path / "zoneinfo").write_text(
        "Node 1, zone  Movable\n  pages free     5\n        min      0\n        low      0\n        high     0\n"
        "        spanned  0\n        present  0\n        managed  0\n  start_pfn:           0\n"
    )
    found = diagnose([tmp_path / "kpageflags", tmp_path / "zoneinfo"])
    assert found.page_map is None
    assert any("holds no page of any zone" in line for line in found.warnings)
    assert "from its first page" not in doctor_page(found)
