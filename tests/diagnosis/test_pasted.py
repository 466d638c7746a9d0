import html
import json
import re
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pagehint.diagnosis import pasted
from pagehint.diagnosis.examine import diagnose
from pagehint.diagnosis.pasted import plain_lines, telling, tells, with_plain_quotes

LINE = "Node 0 DMA32 free:7920kB min:44632kB low:55788kB high:66944kB"


@pytest.mark.parametrize(
    "prefix",
    [
        "[  123.456789] ",
        "[12345.678901][ T1234] ",
        "<4>[  123.456789] ",
        "[Sat Nov 28 00:47:11 2026] ",
        "Nov 28 00:47:11 host kernel: ",
        "Nov 28 00:47:11 my-host.example kernel: [  123.456789] ",
        "2026-11-28T00:47:11.123456+00:00 host kernel: [  123.456789] ",
        "2026-11-28T00:47:11,123456+00:00 ",
        "kern  :warn  : [  123.456789] ",
        "4,1234,56789012,-;",
        "> ",
        ">>> [   30.370073] ",
        "  | ",
        "host kernel: ",
        "/var/log/kern.log:12:",
        "\x1b[33m[  123.456789] \x1b[0m",
    ],
)
def test_prefixes_go(prefix: str) -> None:
    assert plain_lines(f"{prefix}{LINE}\n") == [LINE]


BLOCK = (
    "kworker/u8:2: page allocation failure: order:4, mode:0x40dc0(GFP_KERNEL|__GFP_COMP)",
    "Mem-Info:",
    "free:1602 free_pcp:7 free_cma:0",
    LINE,
    "lowmem_reserve[]: 0 0 0 0 0",
    "Node 0 DMA32: 1602*4kB (UME) 0*8kB = 6408kB",
    "300 total pagecache pages",
)


@pytest.mark.parametrize(
    "form",
    [
        "Sat 2026-11-28 00:47:11 CET web-1 kernel: {}",
        "1795844795.123456 web-1 kernel: {}",
        "<4>1 2026-11-28T00:47:11.003Z web-1 kernel - - - {}",
        "Nov 28 00:47:11 web-1 kern.warn kernel: [12345.678901] {}",
        "Sat Nov 28 00:47:11 2026 kern.warn kernel: [12345.678901] {}",
        "2026-11-28T00:47:11.123456789Z stdout F [12345.678901] {}",
        "kmsg-1  | [12345.678901] {}",
        "[pod/node-problem-detector-abcde/npd] [12345.678901] {}",
        "192.168.1.10: kern: warning: [2026-11-28T00:47:11.123456Z]: {}",
        "I1128 00:47:11.123456       1 log.go:245] {}",
        "11-28 00:47:11.123     0     0 W         : {}",
        "11-28 00:47:11.123  1234  1250 W kernel  : {}",
        "W/kernel  (    0): {}",
        "<4>[12345.678901]  (0)[1234:kworker/0:1] {}",
        "[12345.678901] I[2:  kworker/u8:2: 133] {}",
        "[12345.678901 <    0.000012>] {}",
        "[  +0.000012] {}",
        "[2026-11-28 00:47:11] [12345.678901] {}",
        "+[12345.678901] {}",
        "  123 [12345.678901] {}",
        "kern.log:12:[12345.678901] {}",
        "6.1.0-28,4,1234,56789012,-;{}",
        "2026-11-28T00:47:11.123Z| vcpu-0| I125: Guest: [12345.678901] {}",
        "(d5) [12345.678901] {}",
        'time="2026-11-28T00:47:11Z" level=debug msg="guest console" vmconsole="[12345.678901] {}"',
        '{{"insertId": "x", "jsonPayload": {{"MESSAGE": "{}"}}}}',
        '"2026-11-28","web","{}"',
        "MESSAGE={}",
        "<pre>[12345.678901] {}<br>",
        "| [12345.678901] {} |",
        "^[[33m[12345.678901]^[[0m {}",
    ],
)
def test_prefixes_that_nobody_named_are_learned(form: str) -> None:
    assert plain_lines("\n".join(form.format(line) for line in BLOCK)) == list(BLOCK)


def test_logs_kept_as_json_and_lines_run_together() -> None:
    assert plain_lines('{"MESSAGE": "Mem-Info:"}\n{"log":"[ 1.0] Mem-Info:\\n"}') == ["Mem-Info:", "Mem-Info:"]
    assert plain_lines("Mem-Info:\\nfree:1\\nx") == ["Mem-Info:", "free:1", "x"]
    rows = plain_lines("Node 0, zone DMA 1 2 3 Node 0, zone DMA32 4 5 6")
    assert rows == ["Node 0, zone DMA 1 2 3", "Node 0, zone DMA32 4 5 6"]


def test_rows_broken_by_mail_are_joined() -> None:
    text = "Node    0, zone   Normal, type\n   Movable   1   2\n  3  4\n\n"
    text += "Number of blocks type  Unmovable\nMovable Isolate\n"
    joined = ["Node    0, zone   Normal, type Movable   1   2 3  4", "Number of blocks type  Unmovable Movable Isolate"]
    assert plain_lines(text) == joined
    assert plain_lines("Node 0 DMA free:904kB high:196=\nkB low:3kB =3D 904kB\n") == [
        "Node 0 DMA free:904kB high:196kB low:3kB = 904kB"
    ]


def test_long_digits_take_no_time() -> None:
    text = "Node 0, zone Normal 1\n" + ("9" * 29 + "\n") * 3 + "9" * 20000 + "x\n" + "1" * 20000 + ":\n"
    assert len(plain_lines(text)) == 3


def test_a_tasks_prefix_has_no_more_digits_than_a_log_has() -> None:
    """A million digits were read again from each of the first eighty."""
    long = "9" * 50
    for form in (f"[{long}.1][T{{}}] {{}}", f"[1.1][T{{}}{long}] {{}}", f"4,1,{long},-,caller=T{{}};{{}}"):
        lines = [form.format(task, word) for task, word in ((1, "a"), (2, "b"), (1, "c"))]
        assert [line[-1] for line in plain_lines("\n".join(lines))] == ["a", "b", "c"]
    assert plain_lines("9" * 1_000_000) == ["9" * 1_000_000]


def test_long_runs_of_spaces_take_no_time() -> None:
    assert plain_lines("Mem:" + " " * 500_000 + "x") == ["Mem:" + " " * 500_000 + "x"]
    zones = [f"Node 0, zone {name} pages free 1" for name in ("DMA", "DMA32", "Normal")]
    assert len(plain_lines(" ".join([zones[0], " " * 100_000 + "x", *zones[1:]]))) == 6  # where all stand on one line


def test_zoneinfo_heading_takes_no_counts() -> None:
    assert plain_lines("Node 0, zone      DMA\n  per-node stats\n") == ["Node 0, zone      DMA", "per-node stats"]


PROC = (
    "Node 0, zone      DMA      0      0      0      0      0      1      1      1      0      1      3",
    "",
    "Page block order: 9",
    "MemFree:          123456 kB",
    "Node 0, zone    DMA32      1      2      0      0      0      1      1      1      0      1      3 ",
)


@pytest.mark.parametrize(
    "form",
    [
        "{number:6d}\t{line}",
        "{number:7d} {line}",
        "{line}$",
        "{line}<br>",
        "| {line} |",
        '"{line}"',
        '            "{line}",',
        '  - "{line}"',
        "node-01: {line}",
        "aws_instance.x (remote-exec): {line}",
        "Nov 28 00:47:11 web-1 collect[123]: {line}",
    ],
)
def test_files_of_proc_in_what_other_tools_put_around_them(form: str) -> None:
    text = "\n".join(form.format(number=number, line=line) for number, line in enumerate(PROC, 1))
    assert plain_lines(text) == [line.strip() for line in PROC if line]


def test_files_of_proc_as_json_or_html() -> None:
    expected = [line.strip() for line in PROC if line]
    for value in ("\n".join(PROC), {"stdout": "\n".join(PROC)}, {"hosts": [{"stdout_lines": PROC}]}):
        assert plain_lines(json.dumps(value)) == expected
    assert plain_lines("\n".join(PROC).replace(" ", "&nbsp;")) == expected


@pytest.mark.parametrize(
    "line", ["kB=3D", "Mem " + "=3D" * 20, "zone", "a row of zone that is as wide as rows of a terminal are"]
)
def test_what_is_held_of_a_long_text_is_a_small_multiple_of_it(line: str) -> None:
    """Where each line ended in =3D, 23 bytes for each of the text's."""
    text = f"{line}\n" * ((1 << 17) // len(line))
    tracemalloc.start()
    try:
        plain_lines(text)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 11 * len(text)


def test_of_a_long_text_what_is_near_a_telling_line_stays() -> None:
    silent = [f"line {number}" for number in range(200_000)]
    lines = [*silent[:100_000], "MemFree: 5 kB", *silent[100_000:]]
    kept = telling("\n".join(lines)).split("\n")
    # A KiB of lines is kept with one of them.
    first, last = lines.index(kept[0]), lines.index(kept[-31])
    assert kept == [*lines[first : last + 1], *lines[-30:]]
    assert first <= 100_000 - 30
    assert last >= 100_000 + 30
    assert last - first < 200


@settings(max_examples=20)
@given(
    st.lists(
        st.tuples(st.sampled_from(["", "x", "y" * 50, "MemFree: 1 kB", "z" * 20_000]), st.integers(1, 400)), max_size=12
    )
)
def test_of_a_long_text_no_line_that_tells_is_lost(runs: list[tuple[str, int]]) -> None:
    """In their order, with what stands around; a line that tells nothing is cut where it is long."""
    lines = [line for line, times in runs for _ in range(times)]
    lines = [f"{number} {line}" if line else "" for number, line in enumerate([*lines, *["x"] * 200_000])]
    kept = telling("\n".join(lines)).split("\n")
    places = {line[: 1 << 14]: place for place, line in enumerate(lines) if line}
    found = [places[line[: 1 << 14]] for line in kept if line]
    assert found == sorted(found)
    near = {around for place, line in enumerate(lines) if "Mem" in line for around in range(place - 30, place + 31)}
    assert {place for place in near if 0 <= place < len(lines) and lines[place]} <= set(found)


def test_a_text_without_line_breaks_that_tells_nothing_is_soon_gone() -> None:
    """All readers went through it: 40 MB took 5 s."""
    assert len(telling("1 " * (1 << 20))) == 1 << 14
    assert len(telling("MemFree: " * (1 << 18))) == 9 << 18


def test_lines_that_differ_in_figures_only_are_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """In each line of a log of 61 MB sixty words were looked for: 2.7 s."""
    looked: list[int] = []

    def counted(text: str) -> bool:
        looked.append(len(text))
        return tells(text)

    monkeypatch.setattr(pasted, "tells", counted)
    lines = [f"[{number:6d}.000001] eth{number % 9}: link up, {number} Mbps" for number in range(100_000)]
    lines[70_000] = "MemFree: 5 kB"
    assert "MemFree: 5 kB" in telling("\n".join(lines))
    assert sum(looked) < 200_000


ROWS = [f"Node 0, zone {zone:>8}{'      3' * 11}" for zone in ("DMA", "DMA32", "Normal")]


@pytest.mark.parametrize(
    "screen",
    [
        "\x1b[H\x1b[2J" + "".join(f"\x1b[{at};1H{row}" for at, row in enumerate(ROWS, 3)),
        "\x1b[3d".join(["\x1b[2J", *ROWS]),
        "\n".join(re.sub(" {4,}", lambda gap: f"\x1b[{len(gap[0])}C", row) for row in ROWS),
    ],
)
def test_rows_that_a_program_placed_on_the_screen(screen: str) -> None:
    """They were one, or had no spaces: a zone was left out without a word."""
    assert [line.split() for line in plain_lines(screen) if line] == [row.split() for row in ROWS]


def test_what_a_program_changed_on_the_screen_is_no_rows(tmp_path: Path) -> None:
    """Each change was one count more, or other digits of the last."""
    text = "\x1b[H\x1b[2JEvery 2.0s: cat /proc/buddyinfo\x1b[1;60Hweb-1: 00:47:11\x1b[3;1H" + "\r\n".join(ROWS)
    path = tmp_path / "typescript"
    path.write_text(f"{text}\x1b[24;80H\x1b[1;73H13\x1b[4;26H219\x1b[4;33H139\x1b[24;80H\n")
    found = diagnose(path)
    assert [zone.counts for zone in found.zones] == [[3] * 11] * 3
    assert any("a program filled the screen with this" in warning for warning in found.warnings)


@pytest.mark.parametrize("behind", [" <-- look", " 98.2%", "  = 24564 kB", " I hope that helps. 3 of 5"])
def test_what_stands_behind_a_row_is_not_of_it(behind: str, tmp_path: Path) -> None:
    path = tmp_path / "buddyinfo"
    path.write_text("".join(f"{row}{behind}\n" for row in ROWS))
    found = diagnose(path)
    assert [zone.counts for zone in found.zones] == [[3] * 11] * 3
    assert not found.warnings


@pytest.mark.parametrize(
    ("right", "read"), [("Node 0, zone      DMA      3", "Node 0, zone      DMA      O"), ("0,", "O,")]
)
def test_a_row_of_a_picture_that_was_misread_is_said(right: str, read: str, tmp_path: Path) -> None:
    """It was left out without a word."""
    path = tmp_path / "buddyinfo"
    path.write_text("".join(f"{row}\n" for row in [ROWS[0].replace(right, read), *ROWS[1:]]))
    assert any("a zone's row is not understood, and left out: Node" in warning for warning in diagnose(path).warnings)


def test_rows_of_a_spreadsheet_with_quotes() -> None:
    rows = ['"' + '","'.join([" ".join(row.split()[:4]), *row.split()[4:]]) + '"' for row in ROWS]
    assert [line.split() for line in plain_lines("\n".join(rows))] == [row.split() for row in ROWS]


def test_json_in_a_string_of_json_is_json() -> None:
    text = '{"free_memory": 4096, "disk caches": [1]}'
    assert with_plain_quotes(json.dumps(json.dumps(text)))[2:-2] == text
    assert with_plain_quotes(html.escape(text).replace(" ", "\xa0")) == text
