"""What is being written has one writer, whatever became of those before."""

import fcntl
import os
import signal
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from pagehint.errors import InputError
from pagehint.partial import claim, partial_folder, partial_path, remove_leftovers, temporary_folder


def test_one_writer(tmp_path: Path) -> None:
    target = tmp_path / "a[b]*.out"  # no pattern
    first, second = partial_path(target), partial_path(target)
    first.mkdir()
    second.touch()
    held = claim(first, target)
    with pytest.raises(InputError, match="is being written by somebody else"):
        claim(second, target)
    remove_leftovers(target)
    assert list(tmp_path.iterdir()) == [first]
    os.close(held)
    remove_leftovers(target)
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_writer_left_is_in_nobodys_way(tmp_path: Path) -> None:
    target = tmp_path / "a"
    code = f"""
import os, signal
from pathlib import Path
from typing import Any
from pagehint.partial import claim, partial_folder, partial_path, remove_leftovers, temporary_folder
target = Path({str(target)!r})
partial = partial_path(target)
partial.mkdir()
(partial / "part").touch()
claim(partial, target)
os.kill(os.getpid(), signal.SIGKILL)
"""
    ended = subprocess.run([sys.executable, "-c", code], check=False)
    assert ended.returncode == -signal.SIGKILL
    (left,) = tmp_path.iterdir()
    own = partial_path(target)
    own.touch()
    os.close(claim(own, target))
    remove_leftovers(target)
    assert not left.exists()


def test_nothing_else_beside_it_is_touched(tmp_path: Path) -> None:
    names = ["a", ".a.partial", ".a.0123456.partial", ".a.0123456z.partial", ".b.01234567.partial", ".a.01234567"]
    for name in names:
        (tmp_path / name).touch()
    remove_leftovers(tmp_path / "a")
    assert sorted(os.listdir(tmp_path)) == sorted(names)


def test_who_looks_whether_it_is_locked_is_waited_for(tmp_path: Path) -> None:
    """A probe was taken for a file system without locks: two then wrote one output."""
    target = tmp_path / "a"
    first, second = partial_path(target), partial_path(target)
    first.touch()
    probe = os.open(first, os.O_RDONLY)
    fcntl.flock(probe, fcntl.LOCK_EX)
    with ThreadPoolExecutor(1) as pool:
        claimed = pool.submit(claim, first, target)
        os.close(probe)
        held = claimed.result()
    assert held >= 0
    second.touch()
    with pytest.raises(InputError, match="is being written by somebody else"):
        claim(second, target)
    os.close(held)


@pytest.mark.skipif(os.geteuid() != 0, reason="takes another user")
def test_what_another_user_left_in_a_shared_folder_is_in_nobodys_way() -> None:
    """No output of that name could be written there."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o1777)
        left = partial_path(Path(folder) / "a")
        left.touch(0o644)
        code = f"""
import os
from pathlib import Path
from typing import Any
from pagehint.report.output import Output
os.setuid(65534)
with Output({folder!r} + "/a") as output:
    output.write(b"whole")
"""
        subprocess.run([sys.executable, "-c", code], check=True)
        assert (Path(folder) / "a").read_bytes() == b"whole"


def test_a_folder_that_is_tidied_up_before_it_is_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Path] = []
    mkdir = Path.mkdir

    def taken_away(path: Path, *arguments: Any, **named: Any) -> None:
        mkdir(path, *arguments, **named)
        made.append(path)
        if len(made) == 1:
            remove_leftovers(tmp_path / "a")

    monkeypatch.setattr(Path, "mkdir", taken_away)
    with partial_folder(tmp_path / "a") as folder:
        assert len(made) == 2
        remove_leftovers(tmp_path / "a")
        assert list(tmp_path.iterdir()) == [folder]
    assert list(tmp_path.iterdir()) == []


def test_no_place_for_what_is_temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    with (
        pytest.raises(InputError, match=r"none/\.pagehint\..*: No such file or directory: .* by TMPDIR$"),
        temporary_folder(),
    ):
        pass
