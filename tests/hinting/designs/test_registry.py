"""Which designs there are: the package's, and one outside of it as docs/designs.md shows, whose settings, label and
reasons work everywhere."""

import json
import os
import re
from importlib.resources import files
from pathlib import Path
from typing import Any, ClassVar

import pyarrow.parquet as pq
import pytest

import pagehint as ph
from pagehint.errors import InputError
from pagehint.hinting.designs.registry import DESIGNS, all_settings, find_design, reasons_of
from pagehint.hinting.drivers.virtual import VirtualWorker
from tests.command import pagehint
from tests.hinting.rig import Device, Rig

PAGE = Path(__file__).parents[3] / "docs" / "designs.md"
WORDS = "left for the next run, as each tells of few batches"


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("designs") / "trickle.py"
    code = re.search(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert code is not None
    assert len(code[1].splitlines()) <= 45
    assert not re.search(r"\b_[a-z]", code[1])
    path.write_text(code[1])
    return path


@pytest.fixture(scope="module")
def trickle(own: Path) -> Any:
    return find_design(f"{own}:Trickle")


def test_on_the_command_line(own: Path, tmp_path: Path) -> None:
    page, table = tmp_path / "page.html", tmp_path / "timeline.parquet"
    command = ("run", "--design", f"{own}:Trickle", "--design", "reporting", "--set", "batches=1", "--set", "batches=8")
    ended = pagehint(*command, "--html", page, "--out", table, width=120)
    assert ended.returncode == 0, ended.stderr
    for words in ("trickle, batches 1", "trickle, batches 8", "reporting", WORDS):
        assert words in " ".join(ended.stdout.split())
    assert WORDS in page.read_text(encoding="utf-8")
    assert any(pq.read_table(table).column("rationed").to_pylist())
    runs = json.loads(pagehint(*command, "--json").stdout)["runs"]
    assert [(run["settings"]["design"], run["settings"].get("batches")) for run in runs] == [
        ("trickle", 1),
        ("trickle", 8),
        ("reporting", None),
    ]
    assert runs[0]["attribution"]["rationed"] > runs[1]["attribution"]["rationed"]
    assert runs[0]["totals"]["given_back"] > 0
    one = pagehint("run", "--design", f"{own}:Trickle", width=120)
    assert "trickle, order 9 (2 MiB), delay 200 ms, batches 2, 32 blocks a batch" in one.stdout
    assert WORDS in one.stdout


def test_in_python(trickle: Any, tmp_path: Path) -> None:
    trace = ph.Trace.open(str(files("pagehint") / "examples" / "phased.pagetrace"))
    run = ph.replay(trace, trickle(batches=1, delay="1s"), sample="1s")
    assert run.settings["design"] == "trickle"
    assert (run.settings["batches"], run.settings["delay"]) == (1, 10**9)
    free = run.totals.footprint - (run.totals.ideal_footprint or 0)
    assert sum(run.attribution.values()) == pytest.approx(free, rel=0.2)
    run.to_html(tmp_path / "page.html")
    assert WORDS in (tmp_path / "page.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("label", [None, "reporting"])
def test_what_is_derived_from_the_guests_own_design_is_another(label: str | None, phased: ph.Trace) -> None:
    """It was held against what was measured of the guest, whatever it did, and one with a setting of its own raised."""

    class Later(ph.PageReporting):
        times: int = ph.Setting.count(3, "How many times as late.", least=1)

        def schedule(self, delay: int) -> None:
            super().schedule(delay * self.times)

    if label is not None:
        Later.label = label
    own = ph.replay(phased, ph.guest_reporting(phased), sample=None)
    run = ph.replay(phased, Later(*ph.guest_reporting(phased).values().values()), sample=None)
    assert run.totals.runs < own.totals.runs
    assert own.prediction.residency_error is not None
    assert (run.prediction.residency_error is not None) == (label is not None)


def test_what_a_design_declares(trickle: Any) -> None:
    assert list(trickle.settings) == ["order", "delay", "batches"]
    assert trickle(3, "1s").values() == {"order": 3, "delay": 10**9, "batches": 2}
    for values, settings in (((), {"batch": 3}), ((3,), {"order": 3}), ((1, 2, 3, 4), {}), ((), {"batches": 0})):
        with pytest.raises(InputError):
            trickle(*values, **settings)
    assert reasons_of([trickle])["rationed"] == WORDS


def test_the_designs_of_the_package() -> None:
    for name, design in DESIGNS.items():
        assert find_design(name) is design
        assert design().values() == {name: setting.parse(setting.default) for name, setting in design.settings.items()}
        assert all(setting.help.endswith(".") for setting in design.settings.values())
    assert find_design("none") is None
    assert list(all_settings()) == [
        "order",
        "delay",
        "timer_phase",
        "timer_tick",
        "high_water_mark",
        "once_a_delay",
        "idle",
        "price",
        "budget",
    ]


@pytest.mark.parametrize(
    ("code", "name", "says"),
    [
        (None, "gone.py:Design", "gone.py: no such file"),
        ("x = 1", "bad.py:Own", "bad.py: there is no Own in it: it has no design"),
        ("Own = 3", "bad.py:Own", "Own is no design: expected a class"),
        ("import pagehint as ph\nOwn = ph.Design", "bad.py:Own", "Own is no design"),
        ("import pagehint as ph\nclass Own(ph.Design): ...", "bad.py:Own", r"Own has no work\(\)"),
        ("import pagehint as ph\nclass Own(ph.PageHinting): ...", "bad.py:Other", "it has Own"),
        ("import pagehint as ph\nclass Own(ph.PageHinting): label = 'none'", "bad.py:Own", "choose another"),
        (
            "import pagehint as ph\nclass Own(ph.PageHinting): label = 5",
            "bad.py:Own",
            "Own has label 5: expected a text",
        ),
        ("import pagehint as ph\nclass Own(ph.PageHinting): released = 5", "bad.py:Own", "released 5: expected names"),
        (
            "import pagehint as ph\nclass Own(ph.PageHinting): reasons = ['a']",
            "bad.py:Own",
            "reasons .* expected names",
        ),
        ("import pagehint as ph\nclass Own(ph.PageHinting): reasons = {5: 'a'}", "bad.py:Own", "reasons .* expected"),
        ("import pagehint as ph\nclass Own(ph.PageHinting): label = 'a\\nb'", "bad.py:Own", "expected a text of one"),
        ("1 / 0", "bad.py:Own", "bad.py: can't be loaded: ZeroDivisionError: division by zero"),
        ("raise SystemExit(3)", "bad.py:Own", "bad.py: can't be loaded: SystemExit: 3"),
        ("a = 1\nclass", "bad.py:Own", "bad.py, line 2: can't be loaded: SyntaxError"),
        (None, "no.such.module:Own", "no.such.module: can't be loaded: ModuleNotFoundError"),
        (None, "json:JSONDecoder", "JSONDecoder is no design"),
        ("from .other import x", "bad.py:Own", "bad.py: can't be loaded: it imports relative to its package: name"),
        ("import pagehint as ph\nclass Own(ph.PageHinting): ...\nAs = Own", "bad.py:Other", "it has Own, As$"),
        (None, "folder/bad.txt:Own", "folder/bad.txt: is no name of a Python file or module: expected FILE.py:CLASS"),
        (
            None,
            "magic",
            "'magic' is no design: expected some of reporting, hinting, breakeven, none, or one of",
        ),
        (None, ":", "is no design"),
    ],
)
def test_designs_that_are_none(
    code: str | None, name: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    if code is not None:
        Path("bad.py").write_text(code)
    with pytest.raises(InputError, match=says):
        find_design(name)


def test_a_file_that_no_design_is(tmp_path: Path) -> None:
    """A link to itself was a traceback, and a file of 5 GB was read wholly."""
    link, large = tmp_path / "link.py", tmp_path / "large.py"
    link.symlink_to(link)
    with pytest.raises(InputError, match=r"link\.py: no such file"):
        find_design(f"{link}:Own")
    large.touch()
    os.truncate(large, 5 << 30)
    with pytest.raises(InputError, match=r"large\.py: is larger than 16 MiB: no design's source is"):
        find_design(f"{large}:Own")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--set", "batches"], "--set batches: expected NAME=VALUE"),
        (["--set", "=3"], "--set =3: expected NAME=VALUE"),
        (
            ["--set", "batch=3"],
            "--set batch is no setting of reporting: expected some of order, delay, timer_phase, timer_tick, capacity",
        ),
        (["--design", "hinting", "--set", "idle=1us"], "--set idle: the idle time of '1us' is too short"),
        (["--design", "hinting", "--set", "once_a_delay=maybe"], "--set once_a_delay maybe: expected yes or no"),
        (["--design", "hinting,hinting"], "--design: hinting is there twice: name each once"),
        (["--design", "nowhere.py:Own"], "--design: nowhere.py: no such file"),
        (["--design", "none", "--set", "order=3"], "--set order is no setting of none: it has none"),
    ],
)
def test_settings_that_are_none(arguments: list[str], says: str) -> None:
    ended = pagehint("run", *arguments)
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert says in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_settings_of_a_design_in_labels_and_json() -> None:
    runs = json.loads(
        pagehint(
            "run",
            "--design",
            "hinting",
            "--set",
            "idle=1s",
            "--set",
            "idle=none",
            "--set",
            "once-a-delay=yes",
            "--json",
        ).stdout
    )["runs"]
    assert [run["label"] for run in runs] == ["hinting, idle 1 s", "hinting, no idle"]
    assert [(run["settings"]["idle"], run["settings"]["once_a_delay"]) for run in runs] == [(10**9, True), (None, True)]


def test_a_reason_that_is_not_declared(trickle: Any) -> None:
    class Silent(trickle):  # type: ignore[misc]
        reasons: ClassVar[dict[str, str]] = {}

        def holds_back(self, zone: ph.Zone) -> str:
            return "whatever"

    trace = ph.Trace.open(str(files("pagehint") / "examples" / "phased.pagetrace"))
    with pytest.raises(InputError, match=r"Silent: .* 'whatever', which is none of its reasons"):
        ph.replay(trace, Silent())


@pytest.mark.parametrize(
    ("method", "says"),
    [
        ("def holds_back(self, zone): return []", "own: holds_back() said [], which is none of its reasons"),
        ("def reserve(self, zone): return None", "own: reserve() said None: expected a whole number of pages"),
        ("def threshold(self): return None", "own: threshold() said None: expected 0 to 4294967296"),
        ("def work(self): raise BrokenPipeError('its own'); yield", "own.py, line 3: BrokenPipeError: its own"),
        (
            "async def _later(self): pass\n    def work(self): return self._later()",
            "Own: its work() gave <coroutine object Own._later at",
        ),
        ("async def work(self): pass", "Own: work() is async, and nobody awaits it: write it with def alone"),
        ("async def work(self): yield", "Own: work() is async"),
        ("async def wake(self, zone): self.schedule(0)", "Own: wake() is async"),
        ("delay = '2s'", "Own has delay '2s': expected a whole number, or a Setting"),
        ("order = None", "Own has order None: expected a whole number"),
        ("def work(self): return 3", "Own: its work() gave 3: expected a generator"),
        ("def work(self): raise SystemExit(0); yield", "own.py, line 3: SystemExit: 0"),
        ("def work(self): raise GeneratorExit; yield", "own.py, line 3: GeneratorExit: "),
        ("def work(self): yield self.tell(5)", "own.py, line 3: Own: 5 is none of its zones"),
        ("def work(self): [0] * (1 << 60); yield", "own.py, line 3: MemoryError: "),
        (
            "def work(self): self.zones = None; return; yield",
            "own.py: what it gave or set led to TypeError: 'NoneType'",
        ),
        ("def wake(self, zone): self.pending = 'soon'", "Own: its pending is 'soon': expected a whole number"),
        ("def wake(self, zone): self.schedule(self.delay / 2)", "schedule()'s delay 1000000000.0: expected a whole"),
        ("def wake(self, zone): self.schedule('2s')", "own.py, line 3: Own: schedule()'s delay '2s': expected a whole"),
        ("def rest(self): return Sleep(1e9)", "Own: it said to sleep until 1000000000.0: expected a whole number"),
        ("def rest(self): return None", "Own: it said None: expected Idle or Sleep of rest()"),
        (
            "def work(self):\n        self.zones[-1].pull(Batch(8))\n        yield self.tell(self.zones[-1])",
            "Own: 8,192 pages that it took never came back: take blocks into its batch",
        ),
        ("def values(self): return 5", "own.py: what it gave or set led to AttributeError"),
        ("def rest(self): return 'soon'", "Own: it said 'soon': expected Idle or Sleep of rest()"),
        ("def rest(self): return self.tell(self.zones[0])", "expected Idle or Sleep of rest()"),
        ("def rest(self): return Sleep(self.now)", "within 0 ns, and gave nothing back"),
        (
            "def work(self):\n        while True: yield self.tell(self.zones[0])",
            "Own: its work told of an empty batch 100,000 times: let it end",
        ),
        ("reasons = {'resident': 'a'}", "own: its reason 'resident' is a column of the timeline too: rename it"),
        ("placement: int = ph.Setting.count(2, 'x')", "own: its setting 'placement' is one of every run: rename it"),
    ],
)
def test_what_no_design_gives_is_refused(method: str, says: str, tmp_path: Path) -> None:
    """It was a traceback, or, of SystemExit, nothing at all and done."""
    own = tmp_path / "own.py"
    begin = "import pagehint as ph; from pagehint import Batch; from pagehint.hinting.action import Sleep\n"
    begin += "class Own(ph.PageReporting):\n"
    own.write_text(f"{begin}    {method}\n    label = 'own'\n")
    ended = pagehint("run", "--design", f"{own}:Own")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert says in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_what_a_design_of_a_module_raises_is_one_line(tmp_path: Path) -> None:
    """It was a traceback: only that of a file was known."""
    (tmp_path / "mine.py").write_text(
        "import pagehint as ph\nclass Own(ph.PageReporting):\n    def work(self): raise KeyError('x'); yield\n"
    )
    ended = pagehint("run", "--design", "mine:Own", cwd=tmp_path)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == f"pagehint: {tmp_path / 'mine.py'}, line 3: KeyError: 'x'\n"


def test_words_of_a_design_are_shown_as_they_are(tmp_path: Path) -> None:
    """Rich took brackets for its own, and raised for what closes none."""
    own = tmp_path / "own.py"
    reasons = "reasons = {'left': 'left [/for] later', **ph.PageReporting.reasons}"
    holds = "def holds_back(self, zone): return 'left'"
    own.write_text(
        f"import pagehint as ph\nclass Own(ph.PageReporting):\n    {reasons}\n    {holds}\n    label = 'own [/it]'\n"
    )
    ended = pagehint("run", "--design", f"{own}:Own", width=120)
    assert ended.returncode == 0, ended.stderr
    assert "left [/for] later" in ended.stdout
    assert "with own [/it]" in ended.stdout


class Careless(ph.Design):
    """Tells of what it is not to tell of."""

    label = "careless"
    delay: int = ph.Setting.time("1ms", "From the first request to the work.")

    def forget(self) -> None:
        self.own = ph.Zone(1 << 12, start_pfn=1 << 30)

    def work(self) -> Any:
        self.own.take_unreported(10, ph.Migratetype.MOVABLE, self.batch, 0)
        yield self.told()

    def told(self) -> Any:
        """Blocks of a zone of its own, for its device's."""
        return self.tell(self.zones[0])


class Foreign(Careless):
    def told(self) -> Any:
        return self.tell(self.own)


class Nothing(Careless):
    def told(self) -> Any:
        return 5


@pytest.mark.parametrize(
    ("design", "says"),
    [
        (Careless, "Careless: its work told of other blocks .* not in flight"),
        (Foreign, "none of its zones"),
        (Nothing, "work yielded 5"),
    ],
)
def test_a_device_is_told_of_blocks_of_its_zones_alone(design: type[Careless], says: str) -> None:
    with pytest.raises(InputError, match=says):
        ph.replay(ph.example(), design())
    rig = Rig(zone=ph.Zone(1 << 12))
    device = Device()
    worker = VirtualWorker(design(), [rig.zone], rig.clock)
    worker.start(device)
    with pytest.raises(InputError, match=says):
        rig.tick()
    assert not device.batches
    rig.assert_sound()


def test_what_a_design_prints_is_none_of_the_result(tmp_path: Path) -> None:
    path = tmp_path / "own.py"
    path.write_text(
        "import pagehint as ph\nprint('loaded')\nclass Own(ph.PageReporting):\n    def forget(self):\n"
        "        super().forget()\n        print('forgotten')\n"
    )
    ended = pagehint("run", "--design", f"{path}:Own", "--json")
    assert ended.returncode == 0
    assert json.loads(ended.stdout)["settings"]["design"] == "Own"
    assert {"loaded", "forgotten"} <= set(ended.stderr.split())


@pytest.mark.parametrize("body", ["1 / 0", "raise OSError('lost')", "yield self.tell(1, 2, 3, 4)"])
def test_what_a_design_of_ones_own_raises_is_one_line(tmp_path: Path, body: str) -> None:
    """A traceback, and the exit status of a failed check."""
    path = tmp_path / "own.py"
    path.write_text(f"import pagehint\n\n\nclass Mine(pagehint.Design):\n    def work(self):\n        {body}\n")
    ended = pagehint("run", "--design", f"{path}:Mine")
    assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (2, "", 1), ended.stderr
    if "OSError" not in body:
        assert ended.stderr.startswith(f"pagehint: {path}, line 6: ")
