"""Outputs are whole or not there."""

import errno
import os
from pathlib import Path

import pytest

from pagehint.errors import InputError
from pagehint.report.output import Output


def test_it_takes_its_place_when_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_bytes(b"before")
    with Output(path) as output:
        assert path.read_bytes() == b"before"
        assert len(list(tmp_path.iterdir())) == 2
        output.write(b"after")
    assert path.read_bytes() == b"after"
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt), Output(path):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o755])
def test_it_keeps_the_mode_of_the_file_that_it_replaces(mode: int, tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.touch()
    path.chmod(mode)
    with Output(path) as output:
        output.write(b"after")
    assert path.stat().st_mode & 0o777 == mode


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_bytes(b"before")
    link.symlink_to(target)
    with Output(link) as output:
        output.write(b"after")
    assert link.is_symlink()
    assert target.read_bytes() == b"after"


def test_a_link_to_itself_is_no_crash(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(link)
    with pytest.raises(InputError, match="choose another output"):
        Output(link / "below")
    with Output(link) as output:
        output.write(b"after")
    assert link.read_bytes() == b"after"


def test_a_pipe_is_written_directly(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    with Output(pipe) as output:
        output.write(b"data")
    assert os.read(reader, 10) == b"data"
    os.close(reader)
    assert list(tmp_path.iterdir()) == [pipe]


@pytest.mark.parametrize("name", [".", "no/such/file", "file/below"])
def test_what_cannot_be_written_is_refused_at_once(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"choose another output|is a folder"):
        Output(tmp_path / name)
    with pytest.raises(InputError, match="'': is a folder"):
        Output("")


@pytest.mark.parametrize("alike", [True, False])
def test_where_modes_cannot_be_changed(alike: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a USB stick's file system, where each file has the mode of its mount: an empty partial file was left."""
    path = tmp_path / "a"
    path.touch()
    if not alike:
        path.chmod(0o600)

    def refuse(path: Path, mode: int) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), str(path))

    monkeypatch.setattr(Path, "chmod", refuse)
    if alike:
        with Output(path) as output:
            output.write(b"whole")
        assert path.read_bytes() == b"whole"
    else:
        with pytest.raises(InputError, match="Operation not permitted: choose another output"):
            Output(path)
    assert os.listdir(tmp_path) == ["a"]
