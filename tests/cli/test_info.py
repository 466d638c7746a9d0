import json
from pathlib import Path

import pytest

from pagehint.cli.info import info
from pagehint.cli.run import run
from pagehint.errors import InputError
from pagehint.trace import Trace, import_trace

TEXT = """CPU:1 [LOST 10 EVENTS]
sh-8 [001] d..1. 1.000000: mm_page_alloc: page=0000000012345678 pfn=64 order=0 migratetype=1 gfp_flags=GFP_KERNEL
sh-8 [001] d..1. 1.000001: tracing_mark_write: MARK [bold]begin[/]\x1b
sh-8 [001] d..1. 2.000000: mm_page_free: page=0000000012345678 pfn=64 order=0
"""


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    (tmp_path / "trace.txt").write_text(TEXT)
    return import_trace(tmp_path / "trace.txt", tmp_path / "t.pagetrace").path


def test_the_page(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    meta = json.loads((bundle / "meta.json").read_text())
    (bundle / "meta.json").write_text(json.dumps({**meta, "kernel": "6.1\x1b[31m"}))
    info(bundle)
    page = " ".join(capsys.readouterr().out.split())
    for words in (
        "trace.txt, tracefs trace_pipe",
        "kernel 6.1\\x1b[31m",
        "start not recorded: no snapshot",
        "time 1 s, from 1.000 s to 2.000 s by the guest's clock",
        "3 events 1 allocations A",
        "10 events were lost while recording",
        "Measured on the host nothing",
        "1.000 s [bold]begin[/]\\x1b",
    ):
        assert words in page, page


def test_many_marks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Programs that trace themselves write thousands, as Android's do: each was a line."""
    text = TEXT.splitlines(True)
    marks = [text[2].replace("MARK [bold]begin[/]", f"B|8|work{number}") for number in range(150)]
    (tmp_path / "trace.txt").write_text("".join([*text[:2], *marks, text[3]]))
    info(import_trace(tmp_path / "trace.txt", tmp_path / "t.pagetrace").path)
    lines = capsys.readouterr().out.splitlines()
    assert sum("B|8|work" in line for line in lines) == 100
    assert "and 50 more phases (--json has all)" in lines[-1]


def test_without_a_bundle_the_shipped_one(capsys: pytest.CaptureFixture[str]) -> None:
    info(json_=True)
    path = Path(json.loads(capsys.readouterr().out)["path"])
    assert path.name == "phased.pagetrace"
    assert Trace.open(path).num_events == 1_246_626


def test_json(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    info(bundle, json_=True)
    data = json.loads(capsys.readouterr().out)
    assert data["events"] == {"A": 1, "F": 1, "M": 1}
    assert data["lost"]["total"] == 10


def test_nothing_of_a_recording_commands_the_terminal(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    escape = "\x1b]0;x\x07"
    meta = json.loads((bundle / "meta.json").read_text())
    meta["recorder"] = meta["source"] = meta["kernel"] = f"6.1{escape}"
    meta["anomalies"] = {f"odd{escape}": 1}
    meta["reporting"] = {"on": True, "parameters": {f"p{escape}": 1}}
    zone = {"node": 0, "start_pfn": 0, "spanned": 4096, "present": 4096, "managed": 4096, "min": 0, "low": 0, "high": 0}
    meta["zones"] = [{**zone, "name": f"DMA{escape}"}]
    (bundle / "meta.json").write_text(json.dumps(meta))
    bundle = bundle.rename(bundle.with_name(f"guest{escape}.pagetrace"))
    for command in (info, run):
        command(bundle)
        said = capsys.readouterr()
        assert "6.1" in said.out
        assert not {"\x1b", "\x07"} & set(said.out + said.err)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("cpus", 5),
        ("pfn_end", 12),
        ("events", {"A": 1, "M": 2}),
        ("first_ns", 5),
        ("last_ns", 10**15),
        ("lost", {"by_cpu": {"65535": 3}}),
        ("cpus", -3),
        ("cpus", 65535),
    ],
)
def test_what_a_replay_refuses_to_read_is_not_shown(bundle: Path, field: str, value: object) -> None:
    """It was shown: whether it is what the events tell was only looked at when they were replayed."""
    meta = json.loads((bundle / "meta.json").read_text())
    (bundle / "meta.json").write_text(json.dumps({**meta, field: value}))
    said = []
    for command in (info, run):
        with pytest.raises(InputError, match=f"^{bundle}/meta.json: {field}") as raised:
            command(bundle)
        said.append(str(raised.value))
    assert said[0] == said[1]


@pytest.mark.parametrize(("field", "value"), [("page_size", 65536), ("pageblock_order", 13)])
def test_a_recording_that_no_replay_takes_says_so(
    bundle: Path, field: str, value: int, capsys: pytest.CaptureFixture[str]
) -> None:
    meta = json.loads((bundle / "meta.json").read_text())
    (bundle / "meta.json").write_text(json.dumps({**meta, field: value}))
    with pytest.raises(InputError, match=str(value)) as refused:
        run(bundle)
    info(bundle, json_=True)
    assert json.loads(capsys.readouterr().out)["warnings"] == [f"it can't be replayed: {refused.value}"]
    info(bundle)
    assert "it can't be replayed: " in capsys.readouterr().out


def test_changes_of_reporting(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "trace.txt").write_text(TEXT.replace("MARK [bold]begin[/]\x1b", "REPORTING off page_reporting_order=4"))
    bundle = import_trace(tmp_path / "trace.txt", tmp_path / "t.pagetrace").path
    info(bundle)
    page = " ".join(capsys.readouterr().out.split())
    assert "reporting changed off and order 4 at 1.00 s by the guest's clock" in page
    assert "Phases" not in page
    info(bundle, json_=True)
    data = json.loads(capsys.readouterr().out)
    assert data["reporting_changes"] == [
        {"time": 1000001000, "on": False, "order": 4, "delay_ns": None, "file_told": False}
    ]
