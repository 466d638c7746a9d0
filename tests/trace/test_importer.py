import os
from pathlib import Path

import pytest

from pagehint.errors import InputError
from pagehint.trace import import_trace


def test_sources_that_are_none(tmp_path: Path, bundle: Path, run: Path) -> None:
    (tmp_path / "empty").mkdir()
    for source, error in (
        (tmp_path / "nothing", "no such file or folder to import"),
        (tmp_path / "empty", "not the folder of a run"),
        (bundle, "is a trace bundle already"),
        ("/proc/self/mem", r"/proc/self/mem: Input/output error: it can't be read"),
    ):
        with pytest.raises(InputError, match=error):
            import_trace(source, tmp_path / "t.pagetrace")
    with pytest.raises(InputError, match="has its own snapshots"):
        import_trace(run, tmp_path / "t.pagetrace", snapshot=tmp_path)
    assert not (tmp_path / "t.pagetrace").exists()


@pytest.mark.parametrize("name", ["trace.txt.gz", "trace.txt", "trace.dat", "perf.data"])
def test_a_folder_with_a_recording_in_it(name: str, tmp_path: Path, run: Path) -> None:
    """With the host's samples beside it, it was called a control run."""
    folder = tmp_path / "mine"
    (folder / "start").mkdir(parents=True)
    (folder / name).touch()
    (folder / "rss.csv.gz").touch()
    for snapshot in (None, folder / "start"):
        with pytest.raises(InputError, match=f"mine: is a folder: import the recording in it, {folder / name}$"):
            import_trace(folder, tmp_path / "t.pagetrace", snapshot=snapshot)
    (run / name).touch()
    assert import_trace(run, tmp_path / "t.pagetrace").num_events


@pytest.mark.skipif(not os.access("/sys/kernel/tracing/instances", os.W_OK), reason="tracefs can't be written here")
def test_a_file_that_waits_for_more_is_not_waited_for(tmp_path: Path) -> None:
    instance = Path(f"/sys/kernel/tracing/instances/pagehint-test-{os.getpid()}")
    instance.mkdir()
    try:
        with pytest.raises(InputError, match="trace_pipe: is empty"):
            import_trace(instance / "trace_pipe", tmp_path / "t.pagetrace")
    finally:
        instance.rmdir()


def test_progress_goes_up_to_the_end(run: Path, tmp_path: Path) -> None:
    done: list[float] = []
    import_trace(run, tmp_path / "t.pagetrace", progress=done.append)
    assert done
    assert done == sorted(done)
    assert 0 <= done[0] <= done[-1] <= 1


def test_the_output_is_not_overwritten(run: Path, bundle: Path) -> None:
    before = (bundle / "meta.json").read_bytes()
    with pytest.raises(InputError, match=r"guest\.pagetrace: exists already: remove it first"):
        import_trace(run, bundle)
    assert (bundle / "meta.json").read_bytes() == before
