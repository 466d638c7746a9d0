"""The doctor's live screen in terminals of few rows, and what its words say."""

import io

import numpy as np
import pytest
from rich.console import Console

from pagehint.diagnosis.evidence import Evidence
from pagehint.diagnosis.examine import diagnose, examine
from pagehint.diagnosis.findings import Diagnosis
from pagehint.diagnosis.holders import held_back
from pagehint.diagnosis.page_map import PageMap, Range
from pagehint.proc.kpageflags import KPageFlag
from pagehint.report.doctor import live_screen
from pagehint.report.doctor_page import doctor_page
from pagehint.report.doctor_words import held_lines
from tests.diagnosis.conftest import DATA


@pytest.fixture(scope="module")
def found() -> Diagnosis:
    folder = DATA / "actions" / "6.12-slab"
    each = diagnose(path for path in sorted(folder.iterdir()) if not path.name.startswith("after_"))
    each.evidence.pressure = {"some": {"avg10": 12.5, "avg60": 10.25, "avg300": 7.5}, "full": {"avg60": 5.0}}
    each.evidence.missing = ["/proc/pagetypeinfo needs root: without it not known: free blocks by type"]
    return each


def lines(found: Diagnosis, width: int, height: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width, height=height, highlight=False)
    return ["".join(part.text for part in line) for line in console.render_lines(live_screen(console, found))]


@pytest.mark.parametrize("width", [80, 100, 200])
@pytest.mark.parametrize("height", [24, 25, 30, 40, 50, 60, 90])
def test_what_matters_is_on_the_screen_at_any_height(found: Diagnosis, width: int, height: int) -> None:
    shown = lines(found, width, height)
    assert len(shown) <= height
    text = "".join(line.strip() + " " for line in shown)
    assert "in blocks below the order" in text
    for each in found.advice[:2]:
        assert each.what in text
        assert each.command in text


@pytest.mark.parametrize(("width", "height"), [(40, 10), (60, 12), (80, 12), (30, 6), (200, 5)])
def test_on_a_screen_of_few_rows_no_advice_lacks_its_command(found: Diagnosis, width: int, height: int) -> None:
    shown = lines(found, width, height)
    assert len(shown) <= height
    text = " ".join(line.strip() for line in shown)
    assert "MiB are free, but" in text
    assert ("What to do" in text) == (found.advice[0].command in text)


@pytest.mark.parametrize("width", [60, 78, 80, 83, 90, 100, 110])
def test_the_legends_words_stay_beside_their_signs(found: Diagnosis, width: int) -> None:
    shown = lines(found, width, 1000)
    assert sum("·· given back " in line for line in shown) == 1
    assert sum("▓▓ in use, with free memory between" in line for line in shown) == 1
    assert all(line.startswith("  ") for line in shown if " of these pages keep" in line)


@pytest.mark.parametrize("guest", ["6.12-slab-held-out-too", "6.12-fragmented"])
@pytest.mark.parametrize("height", [24, 16])
def test_of_much_advice_what_brings_most_is_on_the_screen(guest: str, height: int) -> None:
    """It did not fit, and lines were cut off at the end without a word."""
    files = (DATA / "actions" / guest).iterdir()
    found = diagnose(path for path in sorted(files) if not path.name.startswith("after_"))
    shown = lines(found, 80, height)
    assert len(shown) <= height
    text = "".join(line.strip() + " " for line in shown)
    there = [each.what for each in found.advice if f". {each.what}:" in text]
    assert there == [each.what for each in found.advice[: len(there)]]
    assert there
    assert f"{len(found.advice) - len(there)} more to do." in text


def test_the_map_shrinks_before_anything_goes(found: Diagnosis) -> None:
    whole = lines(found, 100, 1000)
    less = lines(found, 100, len(whole) - 1)
    assert len(less) == len(whole) - 1
    assert [line for line in whole if line not in less and "█" not in line and "·" not in line] == []
    assert "No rows for" not in "".join(less)
    few = lines(found, 100, len(whole) - 20)
    assert "No rows for: what can't be helped, few pages that keep much" in "".join(few)


def test_a_line_of_few_pages_says_how_many_keep_how_much() -> None:
    words = np.full(8192, int(KPageFlag.BUDDY), np.uint64)
    words[:4096:512] = int(KPageFlag.SLAB)  # 8 pageblocks kept by a page each
    for block in range(8):
        words[4096 + 512 * block : 4096 + 512 * block + 100] = int(KPageFlag.SLAB)
    diagnosis = examine(Evidence())
    diagnosis.held_back = held_back(PageMap(words, [Range(0, 8192)]), 9, 4096)
    size = (8 * 511 + 8 * 412) * 4096 / (1 << 20)
    half = 8 * 511 * 4096 / (1 << 20)
    assert held_lines(diagnosis) == [
        f"808 pages (slab) keep {size:.0f} MiB from the host, free between them in 16 pageblocks; "
        f"8 of these pages keep {half:.0f} MiB of that"
    ]


def test_a_guess_comes_with_its_range(found: Diagnosis) -> None:
    size = found.would_bring["drop_caches"][9]
    assert size.likely is not None
    low, high = (f"{end / (1 << 20):.0f}" for end in size.likely)
    shown = f"{size.best / (1 << 20):.0f} MiB ({low} to {high})"
    assert shown in " ".join(lines(found, 110, 1000))
    assert shown in doctor_page(found)
    told = found.to_dict()
    assert told["likely"]["drop_caches"]["9"] == [round(end / (1 << 20), 3) for end in size.likely]
    assert isinstance(told["would_bring"]["drop_caches"]["9"], float)


def test_what_is_on_per_cpu_lists_is_told_once(found: Diagnosis) -> None:
    """It is free, and stood among those that hold what isn't as well."""
    assert found.used_by["per_cpu"].best > 0
    text = "\n".join(lines(found, 100, 120))
    assert text.count("on per-CPU lists  ") == 1
    assert "free, on per-CPU lists" not in text
    assert "free, on per-CPU lists" not in doctor_page(found)
