"""zoneinfo of which lines are missing or damaged: what a zone has is not known then, as is said, and not nothing."""

import re
from pathlib import Path

import pytest

from pagehint.diagnosis.evidence import Evidence
from pagehint.diagnosis.examine import diagnose
from pagehint.diagnosis.pasted_zones import read_zones
from pagehint.errors import InputError
from tests.diagnosis.machines import Machine, make_machine

_SEEDS = 0, 1, 6, 15  # of three zones, with pages of 4 KiB


def _machine(seed: int) -> tuple[Machine, str, int]:
    """One of three zones; how its second one's free pages are printed, and how many these are."""
    machine = make_machine(seed)
    free = int(machine.zones[1].of("free").sum())
    return machine, machine.zoneinfo(), free


@pytest.mark.parametrize("seed", _SEEDS)
def test_a_zone_whose_figures_are_damaged_may_have_anything(seed: int, tmp_path: Path) -> None:
    """Misread from a picture, as 74O9: without a word, the others' free pages and sizes were said to be all."""
    machine, text, free = _machine(seed)
    others = (machine.of("free") - free) * machine.page_size / (1 << 20)
    (tmp_path / "zoneinfo").write_text(re.sub(rf"(free +|nr_free_pages ){free}\n", rf"\1O{free}\n", text))
    found = diagnose(tmp_path / "zoneinfo").to_dict()
    assert found["free_mib"] == [pytest.approx(others, abs=0.001), None]
    assert found["memory_mib"] is None
    assert any(
        "lines of zone Normal of node 0 are missing or damaged, which other" in line for line in found["warnings"]
    )
    (tmp_path / "meminfo").write_text(machine.meminfo())
    beside = diagnose([tmp_path / "zoneinfo", tmp_path / "meminfo"])
    assert (beside.free, beside.total is not None) == (machine.of("free") * machine.page_size, True)


def test_names_of_zones_alone_tell_nothing(tmp_path: Path) -> None:
    """It was said to be zoneinfo, of which nothing is known."""
    lines = [line for line in _machine(_SEEDS[0])[1].splitlines() if line.startswith("Node") or "low" in line]
    (tmp_path / "zoneinfo").write_text("".join(f"{line}\n" for line in lines))
    with pytest.raises(InputError, match="names zones, DMA of node 0, of which nothing else is understood"):
        diagnose(tmp_path / "zoneinfo")


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        # A heading that is lost, and one that runs on.
        (
            lambda text: re.sub(r"  start_pfn:.*\nNode 0, zone   Normal\n", "", text, count=1),
            "has two sizes: the heading",
        ),
        (lambda text: text.replace("Node 0, zone   Normal\n", "Node 0, zone   Normal "), "without their headings"),
        (lambda text: re.sub(r"(pages free +\d)\d\d+\n", r"\1\n", text, count=1), "counts its free pages twice"),
        (lambda text: text * 2, None),
    ],
)
def test_what_does_not_fit_together_is_said(damage, said: str | None, tmp_path: Path) -> None:
    text = _machine(_SEEDS[0])[1]
    (tmp_path / "zoneinfo").write_text(damage(text))
    warnings = diagnose(tmp_path / "zoneinfo").warnings
    assert [line for line in warnings if said in line] if said else not warnings


def test_zones_that_have_no_line_of_what_grep_looked_for_are_left_out() -> None:
    rows = ["Node 0, zone DMA", "pages free 7", "Node 0, zone Movable"]
    evidence = Evidence()
    assert [zone.name for zone in read_zones(rows, evidence, "zoneinfo")] == ["DMA"]
    assert not evidence.warnings
