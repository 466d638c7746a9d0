"""What the pages say can be done is done, as printed; what they and the code point at is there."""

import itertools
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import pagehint
from pagehint.cli.app import app
from pagehint.diagnosis.free_memory import CAUSES
from pagehint.diagnosis.holders import USED_WORDS
from pagehint.diagnosis.hypervisors import HYPERVISORS
from pagehint.replays.placing import ANOMALY_NAMES
from pagehint.trace.describe import describe
from tests.diagnosis.samples import SAMPLES

_ROOT = Path(__file__).parent.parent
_PAGES = [_ROOT / "README.md", *sorted((_ROOT / "docs").rglob("*.md")), _ROOT / "benchmarks" / "README.md"]
_SNIPPETS = {page.name: re.findall(r"^```python\n(.*?)^```", page.read_text(), re.M | re.S) for page in _PAGES}


@pytest.mark.parametrize("page", [name for name, snippets in _SNIPPETS.items() if snippets])
def test_snippets_run_as_printed(page: str, tmp_path: Path) -> None:
    """A page's snippets in order, as one program: the later ones may use what the earlier ones made."""
    program = tmp_path / "program.py"
    program.write_text("\n".join(_SNIPPETS[page]))
    command = [sys.executable, "-W", "error", str(program)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("example", "title"), [("pandas", "a pandas job"), ("phased", "large steps")])
def test_the_tables_of_the_readme_are_what_runs_give(example: str, title: str) -> None:
    trace = pagehint.example(example)
    none = pagehint.replay(trace)
    designs = {
        "no hinting": None,
        "reporting, order 9, 2 s (as recorded)": (recorded := pagehint.guest_reporting(trace)),
        "reporting, order 9, 100 ms": pagehint.PageReporting(order=9, delay="100ms"),
        "reporting, order 5, 2 s": pagehint.PageReporting(order=5, timer_phase=recorded.timer_phase),
        "hinting, order 9, 100 ms, high water mark 32": pagehint.PageHinting(),
        "breakeven": pagehint.BreakEven(),
    }
    table = _PAGES[0].read_text().split(f"| {title}")[1].split("\n\n")[0]
    rows = [row for row in re.findall(r"^\| (.*) \|$", table, re.M) if row.split(" |")[0] in designs]
    assert len(rows) == len(designs)
    for row in rows:
        name, *cells = (cell.strip() for cell in row.split("|"))
        totals = pagehint.replay(trace, designs[name]).totals
        expected = [f"{totals.footprint:.3f}", "", "", "", ""]
        if designs[name] is not None:
            saved = 1 - totals.footprint / none.totals.footprint
            assert totals.wait_p50 is not None
            expected[1:] = [f"{100 * saved:.1f} %", f"{totals.wait_p50 / 1e9:.2f} s", f"{totals.refaults:,}"]
            expected.append(f"{totals.refault_time / 1e6:.1f} ms")
        assert cells == expected, name


@pytest.mark.parametrize("page", _PAGES, ids=lambda page: str(page.relative_to(_ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target, section in re.findall(r"\]\(([^)#]*)#?([^)]*)\)", page.read_text()):
        if not target.startswith("http"):
            leads_to = page.parent / target if target else page
            assert leads_to.exists(), target
            assert not section or section in _sections(leads_to), (target, section)


def _sections(page: Path) -> set[str]:
    """What links may name of a page: its headings as GitHub makes anchors of them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.M)
    return {re.sub(r"[^\w\- ]", "", re.sub(r"\]\([^)]*\)", "", each).lower()).replace(" ", "-") for each in headings}


def _keys(data: Any) -> set[str]:
    """The keys of what --json prints, but those that are values: orders, shares, names of recordings, of settings."""
    if isinstance(data, list):
        return set().union(*map(_keys, data))
    if not isinstance(data, dict):
        return set()
    inner = [value for key, value in data.items() if key not in ("settings", "parameters", "pressure", "regret")]
    return {key for key in data if key.isidentifier()}.union(*map(_keys, inner))


def test_every_key_of_json_is_on_its_page(tmp_path: Path) -> None:
    guest = _ROOT / "tests" / "diagnosis" / "data" / "actions" / "6.12-cache-2-gib"
    found = pagehint.diagnose(
        [path for path in sorted(guest.iterdir()) if not path.name.startswith("after_")]
    ).to_dict()
    log = tmp_path / "dmesg.txt"
    log.write_text(next(iter(SAMPLES.values())))
    failures = pagehint.diagnose(log).to_dict()["failures"]
    assert failures
    trace = pagehint.example()
    run = pagehint.replay(trace, pagehint.guest_reporting(trace)).to_dict()
    documented = {
        "metrics": (run, set()),
        "doctor": ({**found, "failures": failures}, set()),
        "sweep": (
            pagehint.sweep(
                [pagehint.example()], ["reporting"], {"order": [9]}, budget=pagehint.Budget(10**6)
            ).to_dict(),
            set(),
        ),
        "trace-format": (describe(trace), {"events"}),
        "fleet": (pagehint.fleet([(pagehint.example(), 2)], "4GiB", ["reporting"]).to_dict(), set()),
    }
    for page, (data, told_in_words) in documented.items():
        text = (_ROOT / "docs" / f"{page}.md").read_text()
        keys = set(data).union(_keys({key: value for key, value in data.items() if key not in told_in_words}))
        assert {key for key in keys if f"`{key}`" not in text} == set(), page


def test_every_anomaly_is_on_its_page() -> None:
    text = (_ROOT / "docs" / "metrics.md").read_text()
    assert [name for name in ANOMALY_NAMES if f"| {name} " not in text] == []


def test_the_rooms_of_the_house_are_there() -> None:
    page = (_ROOT / "docs" / "house.md").read_text()
    source = _ROOT / "src" / "pagehint"
    named = set(re.findall(r"`([a-z_0-9/.]+(?:/|\.py))`", page))
    for name in named:
        assert (_ROOT / name).exists() or list(source.rglob(name)), name
    folders = {f"{path.name}/" for path in source.iterdir() if (path / "__init__.py").exists()}
    assert folders - {"examples/"} <= named


def test_pages_that_the_code_names_are_there() -> None:
    """Messages send people to them."""
    named = {
        name
        for folder in ("src", "tests", "benchmarks")
        for path in (_ROOT / folder).rglob("*.py")
        for name in re.findall(r"docs/[\w/-]+\.md", path.read_text())
    }
    assert len(named) > 5
    assert {name for name in named if not (_ROOT / name).exists()} == set()


def test_cited_specifications_are_there() -> None:
    cited = {}
    for path in [*(_ROOT / "src").rglob("*.py"), *(_ROOT / "tests").rglob("*.py"), *_PAGES]:
        for number, section in re.findall(r"docs/spec/(\d+)(?:, sections? (\d+))?", path.read_text()):
            cited[number, section] = path
    assert len(cited) > 5
    for (number, section), path in cited.items():
        (page,) = (_ROOT / "docs" / "spec").glob(f"{number}-*.md")
        assert not section or re.search(rf"^## {section}\.", page.read_text(), re.M), (path, number, section)


_SHOWN = [
    (page, block)
    for page in _PAGES
    for block in re.findall(r"^```console\n\$ pagehint (.*?)^```", page.read_text(), re.M | re.S)
    if any(line and not line.startswith("$") for line in block.splitlines()[1:])
]


@pytest.mark.parametrize(("page", "block"), _SHOWN, ids=[page.name for page, _ in _SHOWN])
def test_what_a_command_prints_is_as_printed(page: Path, block: str) -> None:
    """Each line that a page shows of it, but for spaces, and for what `...` says is left out."""
    command, *lines = block.splitlines()
    done = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m pagehint {command}"],
        capture_output=True,
        text=True,
        cwd=_ROOT,
        env={**os.environ, "COLUMNS": "120"},
    )
    assert done.returncode == 0, done.stderr
    said = " ".join(done.stdout.split())
    assert [line for line in lines if line != "..." and " ".join(line.split()) not in said] == []


def test_causes_and_holders_of_the_doctor_are_on_its_page_in_the_words_of_the_screen() -> None:
    text = (_ROOT / "docs" / "doctor.md").read_text()
    for rows in (CAUSES, USED_WORDS):
        assert [key for key, words in rows.items() if f"| {words} | `{key}` |" not in text] == []
    assert [name for name in HYPERVISORS if not re.search(rf"of .*\b{name}\b", text)] == []


def _commands(code: str) -> list[list[str]]:
    """The pagehint commands in a shell's code, as their words after `pagehint`."""
    found = []
    for line in re.findall(r"^.*\bpagehint .*$", code.replace("\\\n", " "), re.M):
        line = re.sub(r"\$\(.*?\)", "1", line.removeprefix("$ "))  # a process' number
        words = shlex.split(line, comments=True)
        for _, part in itertools.groupby(words, lambda word: word not in ("|", "&&")):
            each = list(itertools.dropwhile(lambda word: not re.fullmatch("(venv/bin/)?pagehint", word), part))
            if len(each) > 1:
                found.append(each[1:])
    return found


def _shell_blocks(page: Path) -> str:
    fenced = re.findall(r"^```(\w*)\n(.*?)^```", page.read_text(), re.M | re.S)
    blocks = [block for language, block in fenced if language in ("", "console", "sh")]
    return "\n".join(block.split("\n", 1)[0] if block in _PRINTED else block for block in blocks)


_PRINTED = {f"$ pagehint {block}" for _, block in _SHOWN}
"""Blocks that show what a command prints: its first line is the command."""


@pytest.mark.parametrize("page", _PAGES, ids=lambda page: str(page.relative_to(_ROOT)))
def test_commands_of_a_page_are_taken(page: Path) -> None:
    """Their names, options, and values that are times, sizes, numbers or choices."""
    for words in _commands(_shell_blocks(page)):
        app.parse_args([word for word in words if word != "..."], exit_on_error=False, print_error=False)


def test_options_that_texts_name_are_the_commands_own() -> None:
    """In pages between backticks, and in what the program itself says to do."""
    options = {
        name: {option for argument in app[name].assemble_argument_collection() for option in argument.names}
        for name in app.resolved_commands()
        if not name.startswith("-")
    }
    texts = [*_PAGES, *(_ROOT / "src").rglob("*.py"), *(_ROOT / "benchmarks").rglob("*.py")]
    named = {
        (command, option)
        for path in texts
        for command, rest in re.findall(r"`pagehint ([a-z]+)\b([^`|]*)`", path.read_text())
        for option in re.findall(r"(?<!\S)(--?[a-z][\w-]*)", rest.partition(" -- ")[0])
        if option != "--help"
    }
    assert len(named) > 10
    assert {each for each in named if each[1] not in options.get(each[0], ())} == set()


def test_figures_in_sentences_are_those_of_the_screen() -> None:
    """Of the shipped recording as it was: each number, but for its rounding."""
    command = [sys.executable, "-m", "pagehint", "run"]
    screen = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    shown = [float(number) for number in re.findall(r"\d+(?:\.\d+)?", screen.replace(",", ""))]
    sentences = {
        "README.md": r"^\| saved .*?\n\n",
        "docs/tutorial.md": r"^- \*Host memory over the time\*.*?\n\n",
    }
    for name, where in sentences.items():
        (said,) = re.findall(where, (_ROOT / name).read_text(), re.M | re.S)
        for number in re.findall(r"(?<![\w.])\d+(?:\.\d+)?", said.replace("2 MiB blocks", "").replace("2 s apart", "")):
            digits = len(number.partition(".")[2])
            assert number in {f"{each:.{digits}f}" for each in shown}, (name, number)


def test_warnings_of_the_page_are_what_the_program_says() -> None:
    """Their words, but for what `...` stands for."""
    table = (_ROOT / "docs" / "fidelity.md").read_text().partition("| warning | means |")[2].partition("\n\n")[0]
    said = "".join(re.sub(r'"\s*\n\s*f?"', "", path.read_text()) for path in (_ROOT / "src" / "pagehint").rglob("*.py"))
    warnings = [each for row in table.splitlines()[2:] for each in re.findall(r"`([^`]+)`", row.split("|")[1])]
    assert len(warnings) > 10
    parts = [part.strip() for each in warnings for part in re.split(r"\.\.\.|\(.*?\)", each)]
    assert [part for part in parts if part not in said] == []
