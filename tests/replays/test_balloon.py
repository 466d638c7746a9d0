"""What a balloon takes and gives back while it is recorded."""

from pathlib import Path

import pytest

from pagehint.hinting.designs.reporting import PageReporting
from pagehint.kernel.gfp import GFP_HIGHUSER, GFP_HIGHUSER_MOVABLE, Gfp
from pagehint.proc.kpageflags import KPageFlag
from pagehint.replays.balloon import Inflations
from pagehint.replays.playback import Playback
from pagehint.replays.run import Run
from pagehint.replays.totals import make_run
from pagehint.trace import Trace

from .recording import Row, record, zone, zoneinfo
from .test_start import flags_of

_PAGES = 1 << 15
_QUIET = Gfp.NOWARN | Gfp.NORETRY | Gfp.NOMEMALLOC
_FLAGS = int(GFP_HIGHUSER_MOVABLE | _QUIET)
_TAKEN = 700


def _inflated(path: Path, flags: int = _FLAGS, counted: int | None = _TAKEN, beyond: int | None = None) -> Trace:
    """The balloon takes some pages, all but the first; gives them back; and they are used again. `beyond`: the event
    of its allocation of that number names another page, which is outside of all zones."""
    pfns = range(8192, 8192 + _TAKEN + 1)
    rows: list[Row] = [(letter, pfn, 0, 0) for pfn in pfns for letter in "ZA"]
    gfps = dict.fromkeys(range(3, len(rows), 2), flags)
    if beyond is not None:
        rows[1 + 2 * beyond] = ("A", _PAGES + 1024, 0, 0)
    rows += [(letter, pfn, 0, 0) for pfn in pfns[1:] for letter in "FD"]
    rows += [(letter, pfn, 0, 0) for pfn in reversed(pfns[1:]) for letter in "ZA"]
    texts = {"zoneinfo": zoneinfo([zone(_PAGES)])}
    count = {} if counted is None else {"vmstat": "balloon_inflate {}\nballoon_deflate 0\n"}
    begin, end = ({name: text.format(each) for name, text in count.items()} for each in (5, 5 + (counted or 0)))
    free = flags_of((4096, 12288, KPageFlag.BUDDY))
    return record(path, rows, [zone(_PAGES)], texts=texts | begin, final=texts | end, flags=free, gfps=gfps)


def _played(trace: Trace, design: PageReporting | None = None) -> Run:
    one = Playback(trace, design, None, "simulated", "1ms", False, frozenset({"alloc"}), None)
    return one.run(make_run)


@pytest.mark.parametrize("counted", [_TAKEN, None])
@pytest.mark.parametrize("flags", [_FLAGS, int(GFP_HIGHUSER | _QUIET)])
def test_what_a_balloon_holds_is_the_hosts(flags: int, counted: int | None, tmp_path: Path) -> None:
    """A guest whose balloon took 192 MiB while it was recorded was 74 % off: they counted as resident."""
    run = _played(_inflated(tmp_path / "t", flags, counted))
    resident = [pages // 4096 for pages in run.timeline.column("resident").to_pylist()]
    step = 2 * (_TAKEN + 1)  # an event each ms
    before, whole = resident[0], 1024  # two areas of 2 MiB, of which it has nearly all
    assert resident[step // 2] == before + 512 - 256
    assert resident[step] == resident[step + 2 * _TAKEN - 1] == before + whole - _TAKEN
    assert run.totals.end_resident // 4096 == before + whole
    # Its host took it: nothing was given back for a hint's sake, and nothing faulted again for it.
    assert run.totals.given_back == run.totals.refaults == 0
    assert not any("balloon" in line for line in run.recording["warnings"])


def _rows(trace: Trace, batch_size: int = 1 << 16) -> tuple[list[int], list[int]]:
    inflations = Inflations(trace)
    for batch in trace.batches(batch_size=batch_size):
        inflations.add(batch)
    rows, last = inflations.rows()
    return rows.tolist(), last.tolist()


@pytest.mark.parametrize("other", [Gfp.ZERO, Gfp.COMP, Gfp.THISNODE])
def test_no_other_allocation_is_taken_for_the_balloons(other: Gfp, tmp_path: Path) -> None:
    trace = _inflated(tmp_path / "t", _FLAGS | int(other), None)
    assert _rows(trace) == ([], [])
    assert _rows(_inflated(tmp_path / "none", counted=0)) == ([], [])


def test_its_device_is_told_of_256_pages_at_a_time(tmp_path: Path) -> None:
    trace = _inflated(tmp_path / "t")
    rows, last = _rows(trace)
    assert rows == list(range(3, 2 * _TAKEN + 3, 2))
    assert last == [rows[255], rows[511], rows[-1]]
    assert _rows(trace, batch_size=100) == (rows, last)


def test_what_of_a_balloon_is_not_found_is_said(tmp_path: Path) -> None:
    (said,) = [line for line in _played(_inflated(tmp_path / "t", 0)).recording["warnings"] if "balloon" in line]
    assert said.startswith("the balloon took 2.734 MiB meanwhile, of which 0 B are known")


def test_the_device_is_told_where_the_last_event_of_a_batch_is_lost(tmp_path: Path) -> None:
    """The next batch's pages, but for one, were left out in silence, and stayed resident."""
    step = 2 * (_TAKEN + 1)
    whole = _played(_inflated(tmp_path / "whole")).timeline.column("resident").to_pylist()
    lost = _played(_inflated(tmp_path / "lost", beyond=256)).timeline.column("resident").to_pylist()
    assert lost[step] - whole[step] == 4096
