"""Op scripts: what each malformed line is told, and what an op prints where no golden file shows it (docs/spec/3)."""

import zlib

import pytest

from pagehint.errors import InputError
from pagehint.replays.script import Script

HUGE = "9" * 40


def run(*lines: str) -> tuple[str, str]:
    """What was printed, and the error of the last line ('' if there was none)."""
    printed: list[str] = []
    script = Script(printed.append)
    for line in lines[:-1]:
        script.line(line)
    try:
        script.line(lines[-1])
    except InputError as error:
        return "".join(printed), str(error)
    return "".join(printed), ""


def test_comments_and_blank_lines():
    assert run("# nothing", "", "   ", "\t# indented", "init 512", "#", "a 1 0 1") == ("a 1 0\n", "")


def test_spaces_and_line_ends_do_not_matter():
    assert run("  init   512\r\n", "\ta 1\t0 1 \n") == ("a 1 0\n", "")


def test_the_story_of_a_slot():
    lines = ["init 1024", "a 1 10 1", "a 2 0 1", "f 2", "f 1", "f 1", "a 1 10 0", "f 7"]
    assert run(*lines) == ("a 1 0\na 2 -1\na 1 0\n", "")


def test_startup_and_shutdown():
    lines = ["init 1024", "shutdown", "startup 4", "startup 8", "shutdown", "shutdown", "startup 1"]
    assert run(*lines)[0] == "shutdown none\nstartup 0\nstartup -16\nshutdown\nshutdown none\nstartup 0\n"


def test_isolating():
    assert run("init 1024", "i 5", "i 511", "u 0", "u 0", "i 0", "u 511 3")[0] == (
        "i 5 0\ni 511 -16\nu 0\nu 0\ni 0 0\nu 511\n"
    )


def test_work_at_the_very_end_of_a_tick_and_a_tick_of_none():
    assert run("init 1024", "startup 1", "tick 0", "tick 99", "tick 1")[0] == ("startup 0\nwork 100\nreact 1 0:10\n")


def test_the_queue_and_its_marks():
    printed, error = run(
        "init 3072", "r |", "r a 1 0 1", "r a 2 0 1", "r |", "r check", "startup 1", "tick 100"
    )  # fmt: skip
    assert error == ""
    assert printed.splitlines() == [
        "startup 0",
        "work 100",
        "react 1 0:10",
        "react 1 1024:10",
        "a 1 2048",
        "a 2 2049",
        "react 1 2560:9",
        "check ok",
    ]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("bogus", "'bogus' is no op: expected one of init, startup"),
        ("INIT 5", "'INIT' is no op"),
        ("__class__ 1", "is no op"),
        ("a", "expected a ID ORDER MT"),
        ("a 1 2", "expected a ID ORDER MT"),
        ("a 1 2 1 1", "expected a ID ORDER MT"),
        ("f", "expected f ID"),
        ("f 1 2", "expected f ID"),
        ("i", "expected i PFN"),
        ("u", "expected u PFN [MT]"),
        ("u 1 1 1", "expected u PFN [MT]"),
        ("tick", "expected tick N"),
        ("startup", "expected startup CAPACITY"),
        ("shutdown 1", "expected shutdown"),
        ("dump 1", "expected dump"),
        ("sum x", "expected sum"),
        ("check ok", "expected check"),
        ("init", "expected init NR_PAGES"),
        ("init 1024", "a second init"),
        ("a 1 11 1", "order 11: expected 0 to 10"),
        ("a 1 0 3", "migratetype 3: expected 0 to 2"),
        ("a -1 0 1", "'-1': expected a decimal number"),
        ("a 1 0 1.0", "'1.0': expected a decimal number"),
        ("a 0x1 0 1", "'0x1': expected a decimal number"),
        ("a 1_0 0 1", "'1_0': expected a decimal number"),
        ("a \u0661 0 1", "expected a decimal number"),
        (f"a 1 {HUGE} 1", "expected"),
        (f"a 1 0 {HUGE}", "expected"),
        (f"f {HUGE}", "expected"),
        ("a 3 0 1", "slot 3 is in use, expected an empty one"),
        ("i 4096", "pfn 4096: expected 0 to 4095"),
        ("u 4096", "pfn 4096: expected 0 to 4095"),
        ("u 0 4", "migratetype 4: expected 0 to 3"),
        (f"i {HUGE}", "expected"),
        ("startup 0", "startup 0: expected a capacity of 1 to"),
        (f"startup {HUGE}", "expected"),
        ("startup 99999999", "startup 99999999: expected a capacity of 1 to"),
        (f"tick {HUGE}", "expected"),
        ("r", "r: expected r OP, or r |"),
        ("r r |", "r may not be queued: expected one of a"),
        ("r bogus", "'bogus' is no op"),
        ("r | |", "expected"),
        ("r tick 1", "tick may not be queued: expected one of a, f, i, u, dump, sum, check"),
        ("r startup 1", "startup may not be queued"),
        ("r shutdown", "shutdown may not be queued"),
        ("r init 5", "init may not be queued"),
        ("r a 1", "expected a ID ORDER MT"),
        ("r a 1 11 1", "order 11: expected 0 to 10"),
        ("r i 4096", "pfn 4096: expected 0 to 4095"),
        ("| ", "'|' is no op"),
        ("\x00", "is no op"),
        ("\ufffd\ufffd", "is no op"),
    ],
)
def test_a_malformed_line(line, expected):
    printed, error = run("init 4096", "a 3 0 1", line)
    assert expected in error
    assert "\n" not in error
    assert printed == "a 3 3072\n"


@pytest.mark.parametrize(
    "line",
    ["a 1 0 1", "f 1", "i 0", "u 0", "tick 1", "dump", "sum", "check", "startup 1", "shutdown", "r a 1 0 1", "r |"],
)
def test_an_op_before_init(line):
    assert "before init: expected init NR_PAGES" in run(line)[1]


@pytest.mark.parametrize("pages", ["0", "99999999999", "18446744073709551616", HUGE, "-5", "x", "1.5", ""])
def test_a_bad_zone(pages):
    printed, error = run(f"init {pages}")
    assert "expected" in error
    assert printed == ""


def test_a_zone_of_one_page():
    assert run("init 1", "check", "a 1 0 1", "a 2 0 1", "check")[0] == "check ok\na 1 0\na 2 -1\ncheck ok\n"


def test_a_queued_op_on_a_slot_in_use_ends_the_script_where_it_runs():
    printed, error = run("init 2048", "r a 1 0 1", "a 1 0 1", "startup 1", "tick 1000")
    assert "slot 1 is in use" in error
    assert printed == "a 1 1024\nstartup 0\nwork 100\nreact 1 0:10\n"


def test_a_sum_is_the_crc_of_the_dump():
    printed, _ = run("init 1000", "dump", "sum")
    dump, last = printed.rsplit("sum ", 1)
    assert last == f"{zlib.crc32(dump.encode()):08x} {len(dump)}\n"
    assert dump.startswith("dump\njiffies 0\nflags R=0 A=0\nrefcnt -\npending -\nfree_pages 1000\n")
    assert dump.endswith("list 9 1 : 0\nend\n")
