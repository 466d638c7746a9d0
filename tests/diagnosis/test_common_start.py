"""What all lines of a text begin with goes, where nothing is found in it else."""

from contextlib import suppress
from pathlib import Path

import pytest

from pagehint.diagnosis.common_start import without_common_start
from pagehint.diagnosis.examine import diagnose
from pagehint.errors import InputError
from tests.diagnosis.conftest import DATA

STARTS = {
    "cat -n": lambda at: f"{at:6}\t",
    "a patch": lambda _: "+",
    "kubectl logs --prefix": lambda at: f"[pod/debug-x7/sh] 2026-11-28T00:47:{at % 60:02}.123456789Z ",
    "stern": lambda _: "debug-x7 sh ",
    "key=value": lambda at: f'time="2026-11-28T00:47:{at % 60:02}Z" level=info msg="',
    "a list": lambda _: "- ",
}
TOOLS = "dool", "dstat", "procrank", "smem_-w", "virsh_dommemstat", "virsh_domstats", "virsh_nodememstats"
CRASH = (
    "TOTAL MEM  1974231  7.5 GB  ----\n  FREE  208962  816.3 MB  10% of TOTAL MEM\nCACHED  1276196  4.9 GB  64% of\n"
)


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("tool", [*TOOLS, "kmem -i"])
def test_tools_say_the_same_behind_any_start(tool: str, start: str, tmp_path: Path) -> None:
    """Only those were read whose first words are known to begin a line."""
    (path,) = (DATA / "tools" / "read").glob(f"{tool}.*") if tool in TOOLS else [tmp_path / "kmem"]
    if tool not in TOOLS:
        path.write_text(CRASH)
    text = path.read_text()
    pasted = tmp_path / "pasted.txt"
    pasted.write_text("".join(f"{STARTS[start](at)}{line}\n" for at, line in enumerate(text.splitlines(), 1)))
    found, known = diagnose(pasted), diagnose(path)
    assert (found.free, found.total) == (known.free, known.total)
    assert not [line for line in found.warnings if "left out" in line]


def test_what_lines_begin_with_by_chance_makes_no_other_figures(tmp_path: Path) -> None:
    path = tmp_path / "text"
    for each in sorted((DATA / "tools" / "read").iterdir()):
        text = without_common_start(each.read_text())
        if text is not None:
            path.write_text(text)
            with suppress(InputError):
                assert diagnose(path).free in (None, diagnose(each).free), each.name


def test_of_a_table_the_first_columns_are_no_start_where_other_lines_have_none() -> None:
    rows = [" r  b   swpd   free", *(f" {at}  0      0 {at * 4096}" for at in range(9))]
    assert without_common_start("\n".join(f"{at:6}\t{row}" for at, row in enumerate(rows, 1))) == "\n".join(
        row.strip() for row in rows
    )


def test_what_has_no_start_stays() -> None:
    assert without_common_start("a b\nc d\ne f\n") is None
    assert without_common_start("1 a\n2 b\n") is None
    assert without_common_start("") is None
    assert without_common_start("x 1\n" * (1 << 19)) is None


def test_a_start_is_no_longer_than_a_prefix() -> None:
    """Of lines of a million characters, all alike, a pattern was made that took seconds."""
    text = "\n".join(["1 " * 100_000] * 3)
    assert without_common_start(text) == "\n".join(["1 " * (100_000 - 240)] * 3)
