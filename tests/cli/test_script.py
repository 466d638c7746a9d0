"""``pagehint script``: bad input is one line on standard error and exit status 2; what was printed stands."""

import contextlib
import gzip
import os
import subprocess

import pytest

from tests.command import COMMAND, said
from tests.limits import HANGS

MAIN = [*COMMAND, "script"]


def script(*arguments, stdin=b"") -> subprocess.CompletedProcess:
    return said("script", *arguments, given=stdin)


def assert_refused(done, *words, printed=b""):
    error = done.stderr.decode()
    assert done.returncode == 2, error
    assert done.stdout == printed
    assert error.count("\n") == 1, error
    assert "Traceback" not in error
    for word in words:
        assert word in error


@pytest.mark.parametrize(
    ("text", "line", "expected"),
    [
        ("init 1024\n# a comment\n\na 1 0 1\nbogus\ndump\n", 5, "'bogus' is no op: expected one of init"),
        ("init 1024\na 1 0 1\na 1\n", 3, "expected a ID ORDER MT"),
        ("init 1024\na 1 0 1\na 2 11 1\n", 3, "order 11: expected 0 to 10"),
        ("init 1024\na 1 0 1\na 1 0 1\n", 3, "slot 1 is in use"),
        ("init 1024\na 1 0 1\ninit 5", 3, "a second init"),
        ("init 1024\na 1 0 1\nr tick 1", 3, "tick may not be queued"),
        ("init 1024\na 1 0 1\nstartup 0", 3, "expected a capacity"),
        (f"init 1024\na 1 0 1\ni {'9' * 5000}", 3, "expected"),
        ("init 1024\na 1 0 1\ntick 1e3", 3, "expected a decimal number"),
    ],
)
def test_a_malformed_line_is_named(tmp_path, text, line, expected):
    file = tmp_path / "some.ops"
    file.write_text(text)
    assert_refused(script(file), f"{file}, line {line}: ", expected, printed=b"a 1 0\n")
    assert_refused(script("-", stdin=text.encode()), f"standard input, line {line}: ", expected, printed=b"a 1 0\n")


def test_an_op_before_init(tmp_path):
    assert_refused(script("-", stdin=b"\n\ndump\n"), "line 3: dump before init: expected init NR_PAGES")


def test_a_zone_too_large():
    assert_refused(script("-", stdin=b"init 99999999999\n"), "line 1: init 99999999999: expected 1 to")


def test_an_empty_file(tmp_path):
    (tmp_path / "empty").write_text("")
    (tmp_path / "remarks").write_text("# nothing yet\n\n")
    for name in ("empty", "remarks"):
        done = script(tmp_path / name)
        said = f"{tmp_path / name}: has no op, so that nothing was done: expected init NR_PAGES, and more"
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", f"pagehint: warning: {said}\n".encode())


@pytest.mark.parametrize(
    ("ops", "said"),
    [
        ("a 1 0 0\nf 1\nf 1\n", "line 4: 1 slot was freed with nothing in, as if freed twice"),
        ("f 7\na 1 0 0\nf 1\nf 1", "line 2: 2 slots were freed with nothing in, as if freed twice, from here on"),
        ("a 1 10 0\na 2 0 0\nf 2\nf 1\n", None),
        ("a 1 0 0\nf 1\na 1 0 0\nf 1\n", None),
    ],
)
def test_a_slot_that_is_freed_twice_is_said(ops, said):
    """It did nothing, without a word; that of an allocation that failed still does."""
    done = script("-", stdin=f"init 1024\n{ops}".encode())
    expected = "" if said is None else f"pagehint: warning: standard input, {said}\n"
    assert (done.returncode, done.stderr.decode()) == (0, expected)


def test_no_such_file(tmp_path):
    assert_refused(script(tmp_path / "absent.ops"), "absent.ops: No such file")
    assert_refused(script(tmp_path / "absent.ops.gz"), "absent.ops.gz: No such file")


def test_a_directory(tmp_path):
    assert_refused(script(tmp_path), "is a folder")


def test_a_pipe_that_nobody_writes_to(tmp_path):
    """It waited for ever."""
    os.mkfifo(tmp_path / "fifo.ops")
    assert_refused(script(tmp_path / "fifo.ops"), "is a pipe")


def test_what_cannot_be_read():
    assert_refused(script("/proc/self/mem"), "/proc/self/mem: Input/output error: it can't be read")


def test_a_path_below_a_file(tmp_path):
    (tmp_path / "file").write_text("")
    assert_refused(script(tmp_path / "file" / "below.ops"), "Not a directory")


def test_a_name_too_long():
    assert_refused(script("x" * 5000), "too long")


@pytest.mark.parametrize("line", ["#" + "x" * 65535 + "tick 5", "tick " + "5" * 100_000], ids=["comment", "op"])
def test_a_line_too_long_is_refused_whole(tmp_path, line):
    (tmp_path / "long.ops").write_text(f"init 1024\n{line}\ndump\n")
    done = script(tmp_path / "long.ops")
    assert_refused(done, "long.ops, line 2: a line of more than 65536 bytes: this is no op script")
    assert b"jiffies" not in done.stdout


def test_a_truncated_gzip_file(tmp_path):
    text = b"init 1024\na 1 0 1\n" + b"".join(b"tick %d\n" % n for n in range(5000))
    file = tmp_path / "cut.ops.gz"
    file.write_bytes(gzip.compress(text)[:-2000])
    done = script(file)
    assert_refused(done, "cut.ops.gz: the gzip data are damaged or cut off", printed=b"a 1 0\n")


def test_a_damaged_gzip_file(tmp_path):
    packed = bytearray(gzip.compress(b"init 1024\n" * 50, 0))
    packed[30] ^= 0xFF
    file = tmp_path / "damaged.ops.gz"
    file.write_bytes(packed)
    assert_refused(script(file), "damaged.ops.gz, line ")


def test_what_is_gzipped_is_told_by_its_content(tmp_path):
    plain, packed = tmp_path / "plain.ops.gz", tmp_path / "packed.ops"
    plain.write_text("init 1024\na 1 0 1\n")
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    for file in (plain, packed):
        done = script(file)
        assert (done.returncode, done.stdout, done.stderr) == (0, b"a 1 0\n", b"")


@pytest.mark.parametrize(
    ("garbage", "said"),
    [
        (bytes(range(256)) * 20, "is no op"),
        (b"\xff\xfe\x00i", "is no op"),
        (b"\0" * 10000, "is no op"),
        (b"\x1f\x8b" + b"x" * 99, "the gzip data are damaged"),
    ],
)
def test_binary_garbage(tmp_path, garbage, said):
    file = tmp_path / "garbage.ops"
    file.write_bytes(garbage)
    done = script(file)
    assert_refused(done, "garbage.ops", said)
    assert len(done.stderr) < 1000


def test_a_line_without_end():
    done = script("-", stdin=b"x" * 10_000_000)
    assert_refused(done, "is no op")
    assert len(done.stderr) < 1000


def test_a_reader_that_has_enough():
    process = subprocess.Popen(
        [*MAIN, "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdin is not None
    process.stdin.write(b"init 65536\ndump\n")
    process.stdin.flush()
    process.stdout.close()
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(b"dump\n" * 3000)
        process.stdin.close()
    assert process.wait(HANGS) in (0, 141)
    assert process.stderr is not None
    assert process.stderr.read() == b""


def test_no_standard_output_at_all(tmp_path):
    with open(os.devnull, "rb") as unwritable:
        done = subprocess.run(
            [*MAIN, "-"],
            input=b"init 1024\ndump\n",
            stdout=unwritable,
            stderr=subprocess.PIPE,
            timeout=HANGS,
            check=False,
        )
    assert done.returncode == 2
    assert done.stderr.count(b"\n") == 1
    assert b"Traceback" not in done.stderr


def test_no_standard_input_at_all():
    done = subprocess.run([*MAIN, "-"], preexec_fn=lambda: os.close(0), capture_output=True, check=False)
    assert_refused(done, "standard input is closed")


def test_an_error_that_nobody_can_read_has_its_status():
    with open("/dev/full", "wb") as full:
        done = subprocess.run([*MAIN, "absent.ops"], stdout=subprocess.PIPE, stderr=full, timeout=HANGS, check=False)
    assert (done.returncode, done.stdout) == (2, b"")


def test_a_full_disk():
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [*MAIN, "-"], input=b"init 1024\ndump\n", stdout=full, stderr=subprocess.PIPE, timeout=HANGS, check=False
        )
    assert done.returncode == 2
    assert b"No space left" in done.stderr
    assert b"Traceback" not in done.stderr
    assert done.stderr.count(b"\n") == 1


def test_without_a_file_a_story_is_told():
    done = script()
    assert (done.returncode, done.stderr) == (0, b"")
    lines = done.stdout.decode().splitlines()
    assert any(line.startswith("#") for line in lines)
    assert any(line.startswith("react ") for line in lines)


def test_two_files(tmp_path):
    done = script("one", "two")
    assert done.returncode == 2
    assert b"Traceback" not in done.stderr
