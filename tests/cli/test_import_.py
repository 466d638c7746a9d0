from pathlib import Path

import pytest

from pagehint.cli.import_ import import_
from pagehint.trace import Trace

TEXT = """CPU:1 [LOST 10 EVENTS]
sh-8 [001] d..1. 1.000000: mm_page_alloc: page=0000000012345678 pfn=64 order=0 migratetype=1 gfp_flags=GFP_KERNEL
sh-8 [001] d..1. 1.000001: sched_switch: prev_comm=a
"""


def test_what_it_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "trace.txt").write_text(TEXT)
    output = tmp_path / "t.pagetrace"
    import_(tmp_path / "trace.txt", output=output)
    said = capsys.readouterr()
    assert said.out == f"{output}: 1 events; `pagehint info {output}` shows them\n"
    lost, missing, other = said.err.splitlines()
    assert lost.startswith("pagehint: warning: 10 events were lost while recording: 10 on CPU 1.")
    assert missing.startswith("pagehint: warning: no frees were recorded")
    assert other == "pagehint: warning: events of other kinds, left out: 1"
    assert Trace.open(output).num_events == 1
