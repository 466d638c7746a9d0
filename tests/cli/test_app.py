"""What the command line says of itself."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pagehint.cli.app import app
from pagehint.hinting.designs.registry import DESIGNS
from pagehint.trace.shipped import example as shipped
from tests.command import pagehint


def test_as_a_module() -> None:
    done = subprocess.run([sys.executable, "-m", "pagehint", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == "pagehint 0.1.0: free page hinting in Python\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_the_commands_and_their_options(shell: str, tmp_path: Path) -> None:
    script = app.generate_completion(shell=shell)  # type: ignore[arg-type]
    for word in ("run", "import", "calibrate", "host-page-size", "snapshot"):
        assert word in script, word


def test_completion_is_installed(tmp_path: Path) -> None:
    environment = {**os.environ, "HOME": str(tmp_path), "SHELL": "/bin/bash"}
    environment.pop("XDG_DATA_HOME", None)
    command = [sys.executable, "-m", "pagehint", "--install-completion", "--shell", "bash"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert [path for path in tmp_path.rglob("*") if path.is_file() and "pagehint" in path.read_text()]


def test_a_pandas_that_does_not_fit_is_left_to_who_asks_for_it(tmp_path: Path) -> None:
    """Arrow imports pandas where it is, which took a second; one that doesn't fit NumPy raised ValueError."""
    (tmp_path / "pandas.py").write_text("raise ValueError('numpy.dtype size changed')")
    (tmp_path / "mine.py").write_text(
        "from pagehint import PageReporting\n\n"
        "class Mine(PageReporting):\n"
        "    def __init__(self, **settings):\n"
        "        import pandas\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-m", "pagehint", "run"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    command += ["--design", f"{tmp_path / 'mine.py'}:Mine"]
    asked = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert "numpy.dtype size changed" in asked.stderr


ENDS = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])


def signalled_when_done(number: signal.Signals, folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    # At Python's own end: while it still handles signals, and after it has let go of them.
    code = f"""
import atexit, os, sys
class Last:
    def __del__(self, kill=os.kill, pid=os.getpid()):
        kill(pid, {number.value})
last = Last()
atexit.register(os.kill, os.getpid(), {number.value})
from pagehint.cli.main import main
sys.argv = ["pagehint", *{command!r}]
main()
"""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=folder)


@ENDS
def test_a_signal_when_all_is_done_changes_nothing(number: signal.Signals, tmp_path: Path) -> None:
    """What calibrate had measured and written ended by SIGINT, without a word; or was called interrupted."""
    done = signalled_when_done(number, tmp_path, "calibrate", "-o", "costs.json")
    assert (done.returncode, done.stderr) == (0, "")
    assert "costs.json: written" in done.stdout


@ENDS
@pytest.mark.usefixtures("tracefs")
def test_a_signal_when_all_is_done_leaves_the_status_of_a_recorded_command(
    number: signal.Signals, tmp_path: Path
) -> None:
    done = signalled_when_done(number, tmp_path, "record", "-o", "a.pagetrace", "--", "sh", "-c", "exit 7")
    assert done.returncode == 7
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("number", "status", "says"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, -signal.SIGTERM, "ended by SIGTERM")],
)
def test_a_signal_that_a_library_makes_another_exception_of_still_ends_it(
    number: signal.Signals, status: int, says: str, tmp_path: Path
) -> None:
    """It was a traceback, where a library was just being loaded."""
    (tmp_path / "plotly").mkdir()
    loaded = f"import os\ntry:\n    os.kill(os.getpid(), {number.value})\nexcept BaseException:\n    raise TypeError\n"
    (tmp_path / "plotly" / "__init__.py").write_text(loaded)
    command = [sys.executable, "-m", "pagehint", "doctor", "--html", str(tmp_path / "page.html"), "/proc/meminfo"]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (status, f"pagehint: {says}\n")
    assert [each.name for each in tmp_path.iterdir()] == ["plotly"]


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("record --for -1s", "--for: its value is missing: one that begins with a dash is written --for=VALUE."),
        ("fleet x:3 --host-memory", "--host-memory: its value is missing"),
        ("fleet x:3", "--host-memory: it is needed, and isn't given."),
        ("import x", "--output: it is needed, and isn't given."),
        ("import -o x", "SOURCE: it is needed, and isn't given."),
        ("mark", "NAME: it is needed, and isn't given."),
        ("run a b c", "b c: nothing more is expected."),
        ("run --nope", "Unknown option"),
        ("record --lvl page -o x -- true", "Unknown option: --lvl."),
        ("guest --level page -- true", "Unknown option: --level."),
        ("record make -j4", "What is to run comes after --."),
        ("fleet x:3 --host-memory 1GiB --seed=x", "--seed: 'x': expected a whole number."),
        ("watch qemu", "PID: 'qemu': expected a whole number."),
    ],
)
def test_what_is_misused_names_its_own_help(command: str, says: str) -> None:
    done = pagehint(*command.split())
    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr
    assert done.stderr.endswith(f" `pagehint {command.split()[0]} --help` tells more.\n")


@pytest.mark.parametrize("command", ["run", "sweep", "info", "doctor", "script", "mark", "run --html"])
def test_an_empty_argument_is_no_folder(command: str) -> None:
    """Of a variable that isn't set: the path of nothing is the folder that the command is called in."""
    words = [*command.split(), ""]
    done = pagehint(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"pagehint: argument {len(words)} is empty: is it a variable that isn't set?\n"


@pytest.mark.parametrize("rest", [[], [""], ["", "x"]])
def test_a_command_of_nothing(rest: list[str]) -> None:
    """Without one a recording went on until somebody ended it."""
    done = pagehint("record", "-o", "nowhere/x", "--", *rest)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "pagehint: nothing comes after --: is it a variable that isn't set?\n"


@pytest.mark.parametrize("argument", ["--example=", "--set=", "--host-memory="])
def test_an_option_of_nothing_is_no_default(argument: str) -> None:
    """--example= was the default one, as if it hadn't been given."""
    done = pagehint("run", argument)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "pagehint: argument 2 is empty: is it a variable that isn't set?\n"


@pytest.mark.parametrize("command", ["run", "sweep", "fleet"])
def test_help_names_each_design(command: str) -> None:
    done = pagehint(command, "--help")
    for name in DESIGNS:
        assert name in done.stdout, name


@pytest.mark.parametrize("command", [name for name in app.resolved_commands() if not name.startswith("-")])
def test_help_is_the_commands_docstring_and_its_examples_are_right(command: str) -> None:
    """A short text stood in its place, in the list and in the command's own help; --for 5m is no time."""
    done = pagehint(command, "--help", width=150)
    summary, _, rest = app[command].help.partition("\n")
    assert summary.replace("`", "") in " ".join(done.stdout.split())
    examples = re.findall(r"^ +((?:[a-z -]+ \| )?pagehint .*)$", rest.partition("Parameters")[0], re.MULTILINE)
    assert any(each.startswith(f"pagehint {command}") for each in examples)
    for example in examples:
        assert example in done.stdout
        for words in map(shlex.split, example.split(" | ")):
            if "pagehint" in words:
                app.parse_args(words[words.index("pagehint") + 1 :], exit_on_error=False, print_error=False)


def test_the_list_of_commands_has_their_docstrings() -> None:
    done = pagehint(width=200)
    for name, command in app.resolved_commands().items():
        if not name.startswith("-"):
            assert command.help.partition("\n")[0].replace("`", "") in done.stdout


def test_the_list_of_commands_loads_none_of_their_libraries() -> None:
    """It took three times as long."""
    command = [sys.executable, "-X", "importtime", "-m", "pagehint", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "cyclopts" in loaded
    assert not {"numpy", "pyarrow", "pagehint.cli.run", "pagehint.cli.info"} & loaded


@pytest.mark.parametrize(
    "words",
    [
        ("record", "--for=soon"),
        ("record", "--buffers=much"),
        ("watch", "1", "--for=soon"),
        ("guest", "--memory=much"),
        ("guest", "--memory=1024"),
        ("run", "--host-memory=512M"),
        ("fleet", "a:1", "--host-memory=64GB"),
        ("fleet", "a:1", "--host-memory=64"),
        ("fleet", "a:1", "--host-memory=1GiB", "--overhead=0,5MiB"),
        ("fleet", "a:1", "--host-memory=1GiB", "--risk=much"),
        ("fleet", "a:1", "--host-memory=1GiB", "--risk=1e-3", "--risk=2"),
        ("sweep", "--at-most-slowdown=120%"),
        ("doctor", "--watch=soon"),
        ("import", "x", "-o", "y.pagetrace", "--clock-offset=soon"),
    ],
)
def test_an_option_is_named_whose_value_is_no_quantity(words: tuple[str, ...]) -> None:
    done = pagehint(*words)
    option, _, value = words[-1].partition("=")
    assert done.returncode == 2
    assert re.fullmatch(rf"pagehint: {option}: '{value}' is not a (time|size|share): expected .*\n", done.stderr)


@pytest.mark.parametrize(
    "words",
    [
        ("watch", "1.6"),
        ("guest", "--cpus", "1.5"),
        ("sweep", "--at-most-refaults", "0x"),
        ("fleet", "a:1", "--host-memory", "1GiB", "--seed=x"),
    ],
)
def test_what_is_no_whole_number_is_not_rounded(words: tuple[str, ...]) -> None:
    """Process 4711.6 was 4712, and half a fault none."""
    done = pagehint(*words)
    assert done.returncode == 2
    value = words[-1].rpartition("=")[2]
    assert f"'{value}': expected a whole number. `pagehint {words[0]} --help` tells more.\n" in done.stderr


def test_a_url_is_a_recording_for_each_command() -> None:
    """Run and info took it for a path, of which a slash was gone."""
    pytest.importorskip("fsspec")
    url = f"file://{shipped('pandas').path}"
    for words, name in ((("info", url, "--json"), "path"), (("run", url, "--json"), "trace")):
        done = pagehint(*words)
        assert (done.returncode, done.stderr) == (0, "")
        assert json.loads(done.stdout)[name] == url
