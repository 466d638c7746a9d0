"""Texts that were damaged on their way: lines lost, doubled, moved, cut, bits flipped, figures that no machine has."""

import io
import json
import random
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from pagehint.diagnosis.bounds import Bounds
from pagehint.diagnosis.examine import diagnose
from pagehint.diagnosis.findings import Diagnosis
from pagehint.errors import InputError
from pagehint.report.doctor import print_doctor
from tests.diagnosis.conftest import DATA
from tests.diagnosis.samples import SAMPLES

# They came after the seeds below, which would make other texts with them.
_LATER = {"metricbeat", "metricbeat_in_kibana", "openwrts_ubus", "procrank", "promtool_query"}
TEXTS = [
    *SAMPLES.values(),
    *(path.read_text() for path in sorted((DATA / "compile618").glob("*.txt"))),
    *(path.read_text() for path in sorted((DATA / "pasted").iterdir())),
    *(path.read_text() for path in sorted((DATA / "tools" / "read").iterdir()) if path.stem not in _LATER),
]
FIGURES = ("9" * 19, str(2**64 - 1), str(2**63 - 1), str(2**32), "9" * 30, "1e300", "0", "-1", str(-(2**63)), "0x7fff")
SAID = re.compile("damaged|no machine|more is counted|more memory is free|no kernel|not of one machine")
MIB = 1 << 20


# Seeds whose texts told of more than the machine has, or of less than nothing.
WRONG_BEFORE = (273, 532, 1134, 2251, 2291, 2517, 3559, 4478, 8680, 8817, 9726)


def damaged(text: str, chance: random.Random) -> str:
    for _ in range(chance.choice([1, 1, 2, 3, 8])):
        kind = chance.randrange(6)
        lines = text.splitlines(keepends=True)
        figures = list(re.finditer(r"\d+", text))
        if not lines:
            return text
        at = chance.randrange(len(lines))
        if kind == 0:
            cut = chance.randrange(len(text))
            text = text[:cut] if chance.random() < 0.5 else text[cut:]
        elif kind == 1:
            text = "".join([*lines[:at], *[lines[at]] * chance.choice([0, 2, 6, 200]), *lines[at + 1 :]])
        elif kind == 2:
            data = bytearray(text.encode("latin-1", "replace"))
            for _ in range(chance.choice([1, 5, 50])):
                data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
            text = data.decode("latin-1")
        elif kind == 3 and figures:
            place = chance.choice(figures)
            times = str(chance.choice([-1, 1]) * int(place[0]) * chance.choice([10, 1000]))
            text = text[: place.start()] + chance.choice([*FIGURES, times, times]) + text[place.end() :]
        elif kind == 4:
            chance.shuffle(lines)
            text = "".join(lines)
        elif kind == 5:
            other = chance.choice(TEXTS)
            text = "".join(lines[:at]) + other[chance.randrange(len(other)) :][:2000] + "".join(lines[at:])
    return text


def sizes(found: Diagnosis) -> Iterator[tuple[str, Bounds]]:
    yield from found.free_resident.items()
    yield from found.used_by.items()
    for action, by_order in found.would_bring.items():
        yield from ((action, size) for size in by_order.values())


def read(path: Path) -> Diagnosis | None:
    """None where it was refused, in one line."""
    refused = ""
    try:
        return diagnose(path)
    except InputError as error:
        refused = str(error)
    assert "\n" not in refused
    return None


def check(path: Path, seed: int) -> None:
    chance = random.Random(seed)
    path.write_bytes(damaged(chance.choice(TEXTS), chance).encode("utf-8", "replace"))
    found = read(path)
    if found is None:
        return
    json.dumps(found.to_dict(), allow_nan=False)
    print_doctor(Console(file=io.StringIO(), width=80), found)
    most = 1.01 * (found.total or 1 << 52) + MIB
    is_said = any(map(SAID.search, found.warnings))
    for name, size in sizes(found):
        assert size.most is None or size.least <= size.most * (1 + 1e-9), f"{seed}: {name}"
        assert size.least >= 0 or name in ("drop_caches", "compact_memory", "both"), f"{seed}: {name}"
        # What the balloon holds is not the machine's any more.
        assert is_said or name == "offline" or max(size.most or 0, size.least) <= most, f"{seed}: {name}"


@pytest.mark.parametrize("first", range(0, 400, 25))
def test_a_damaged_text_is_read_or_refused_in_a_line(tmp_path: Path, first: int) -> None:
    for seed in range(first, first + 25):
        check(tmp_path / "text.txt", seed)


@pytest.mark.parametrize("seed", WRONG_BEFORE)
def test_what_came_out_wrong_before(tmp_path: Path, seed: int) -> None:
    check(tmp_path / "text.txt", seed)


@pytest.mark.parametrize("kib", [0, 3])
def test_a_block_of_no_pages_size_tells_none(kib: int, tmp_path: Path) -> None:
    """Of a first block of 0 kB the page's size was 0, by which all was divided."""
    path = tmp_path / "log"
    path.write_text(SAMPLES["6.18"].replace("12000*4kB", f"12000*{kib}kB").replace(" = 64160kB", ""))
    assert diagnose(path).setting.page_size == 4096


@pytest.mark.parametrize("beside", [False, True])
@pytest.mark.parametrize(
    ("row", "other"),
    [
        (r"(Node +0, zone +DMA32, type +Movable +)\d", r"\1S"),
        (r"(Node 0, zone +DMA32 +)\d", r"\1B"),
        (r"(Page block order: )\d", r"\1x"),
    ],
)
def test_a_row_of_pagetypeinfo_with_letters_leaves_the_others(
    row: str, other: str, beside: bool, tmp_path: Path
) -> None:
    """All of the text was refused, with what else is in it, as `'S9' is no count` in a line of its own numbering."""
    folder = DATA / "compile618"
    text = re.sub(row, other, (folder / "pagetypeinfo.txt").read_text(), count=1)
    path = tmp_path / "text.txt"
    path.write_text(text + beside * (folder / "buddyinfo.txt").read_text())
    found = diagnose(path)
    assert found.zones
    assert not any("buddyinfo are cut off" in line for line in found.warnings)
    assert any("a row of pagetypeinfo is not understood" in line for line in found.warnings) or "DMA32 +)" in row
    whole = diagnose(folder / "buddyinfo.txt").to_dict()["free_mib"]
    free = found.free_bounds
    assert free is not None
    assert free.least / MIB <= whole + 0.001
    assert free.most is None or free.most / MIB >= whole - 0.001
