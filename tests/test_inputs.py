"""Input files: what is no file is named, and nothing is read without a bound."""

import gzip
import io
import lzma
import os
import random
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pagehint.errors import InputError
from pagehint.inputs import as_utf8, decoded, is_wide, open_input, packed_elsewise, read_input, unpacked


def _read(path: Path, bounded: bool = True) -> bytes:
    with open_input(path) as file:
        return unpacked(file, path, bounded).read()


def test_what_is_no_file_is_named_and_never_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")  # with nobody at its other end
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
        (tmp_path / "folder").mkdir()
        (tmp_path / "dangling").symlink_to(tmp_path / "gone")
        (tmp_path / "loop").symlink_to(tmp_path / "loop")
        for name, told in [
            ("pipe", "is a pipe: save what it sends in a file, and name that"),
            ("folder", "is a folder: name a file"),
            ("gone", "No such file or directory: it can't be read"),
            ("dangling", "No such file or directory: it can't be read"),
            ("loop", "Too many levels of symbolic links: it can't be read"),
            ("socket", "No such device or address: it can't be read"),
            ("pipe/x", "Not a directory: it can't be read"),
            ("x" * 300, "File name too long: it can't be read"),
        ]:
            with pytest.raises(InputError) as raised:
                open_input(tmp_path / name)
            assert str(raised.value) == f"{tmp_path / name}: {told}"
    with pytest.raises(InputError, match=r"^/dev/zero: is a device: name a file$"):
        open_input("/dev/zero")
    with pytest.raises(InputError, match=r"it can't be read$"):
        open_input("a\0b")


def test_a_link_to_a_file_is_that_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"text")
    (tmp_path / "link").symlink_to("file")
    assert read_input(tmp_path / "link") == b"text"


def test_no_more_is_read_than_may_be(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for size in (0, 1, (1 << 20) - 1, 1 << 20):
        path.write_bytes(b"x" * size)
        assert read_input(path, 1 << 20) == b"x" * size
    path.write_bytes(b"x" * ((1 << 20) + 1))
    with pytest.raises(InputError, match="is larger than 1 MiB"):
        read_input(path, 1 << 20)
    with path.open("wb") as file:
        file.truncate(1 << 40)  # a hole; it would fill the memory
    with pytest.raises(InputError, match="is larger than 64 MiB"):
        read_input(path)


def test_a_file_that_the_kernel_refuses_in_the_middle() -> None:
    """/proc's memory of a process can be opened, and not read at 0."""
    with pytest.raises(InputError, match=r"^/proc/self/mem: Input/output error: it can't be read$"):
        read_input("/proc/self/mem")


@given(st.binary(max_size=3000), st.integers(0, 9))
def test_packed_or_not_it_is_the_same(tmp_path_factory: pytest.TempPathFactory, data: bytes, level: int) -> None:
    path = tmp_path_factory.getbasetemp() / "packed_or_not"
    path.write_bytes(gzip.compress(data, level))
    assert _read(path) == data
    path.write_bytes(gzip.compress(data[:7], level) + gzip.compress(data[7:], level))  # as `cat a.gz b.gz` makes it
    assert _read(path) == data
    if not data.startswith(b"\x1f\x8b"):
        path.write_bytes(data)
        assert _read(path) == data


@given(st.integers(2, 400))
def test_gzip_that_is_cut_off_says_so(tmp_path_factory: pytest.TempPathFactory, end: int) -> None:
    path = tmp_path_factory.getbasetemp() / "cut_off"
    whole = gzip.compress(random.Random(1).randbytes(400))
    path.write_bytes(whole[:end])
    with pytest.raises(InputError, match="cut_off: the gzip data are damaged or cut off"):
        _read(path)


def test_gzip_that_is_damaged_says_so(tmp_path: Path) -> None:
    path = tmp_path / "a.gz"
    whole = bytearray(gzip.compress(random.Random(1).randbytes(4000)))
    whole[-6] ^= 1  # of its checksum
    path.write_bytes(whole)
    with pytest.raises(InputError, match=r"a\.gz: the gzip data are damaged or cut off \(CRC check failed"):
        _read(path)


def test_what_unpacks_to_much_more_than_a_recording_is_stopped(tmp_path: Path) -> None:
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(bytes(64 << 20)))
    with pytest.raises(InputError, match="unpacks to more than 50 times its size"):
        _read(path)
    assert len(_read(path, bounded=False)) == 64 << 20
    # A small one may be all alike: nobody's memory is filled by 16 MiB.
    path.write_bytes(gzip.compress(bytes(16 << 20)))
    assert len(_read(path)) == 16 << 20


def test_a_closed_standard_input_is_told() -> None:
    code = "from pagehint.inputs import standard_input; print(standard_input().read())"
    command = [sys.executable, "-c", code]
    assert subprocess.run(command, input=b"ab", capture_output=True, check=True).stdout == b"b'ab'\n"
    closed = subprocess.run(["sh", "-c", 'exec "$@" <&-', "sh", *command], capture_output=True, text=True, check=False)
    assert closed.returncode == 1
    assert "InputError: standard input is closed: name a file instead" in closed.stderr


def test_what_is_peeked_at_is_not_lost(tmp_path: Path) -> None:
    path = tmp_path / "a"
    for data in (b"", b"\x1f", b"\x1f\x8a", b"a"):
        path.write_bytes(data)
        assert _read(path) == data
    assert isinstance(open_input(path), io.BufferedReader)


@pytest.mark.parametrize("name", ["my file", "-d", "it's"])
def test_what_is_said_to_unpack_an_archive_does(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The names were not quoted, and xz wanted one that ends in .xz."""
    monkeypatch.chdir(tmp_path)
    Path(name).write_bytes(lzma.compress(b"text"))
    said = packed_elsewise(Path(name).read_bytes(), name)
    assert said is not None
    subprocess.run(said.split("`")[1], shell=True, check=True)
    assert Path(f"{name}.unpacked").read_bytes() == b"text"


def test_an_archive_from_a_pipe_is_sent_through_what_unpacks_it() -> None:
    """A file of the name "standard input" was to be unpacked."""
    packed = lzma.compress(b"MemTotal: 1 kB\n")
    said = subprocess.run([sys.executable, "-m", "pagehint", "doctor", "-"], input=packed, capture_output=True)
    told = b"pagehint: standard input: is an xz archive: send it through `xz -dc`\n"
    assert (said.returncode, said.stderr) == (2, told)
    assert packed_elsewise(b"PK\3\4", None) == "a zip archive: save it in a file, unpack that with `unzip`"
    assert packed_elsewise(packed[1:], None) is None


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be"])
def test_text_in_any_encoding_of_unicode_is_decoded_with_its_mark_or_without(encoding: str) -> None:
    data = "MemFree: 1 kB".encode(encoding)
    assert decoded(data) == "MemFree: 1 kB"
    assert is_wide(data) == ("8" not in encoding)
    with open_input(__file__) as file:
        assert as_utf8(file) is file


def test_what_is_no_text_is_replaced() -> None:
    assert "MemFree" in decoded(b"MemFree\xff\xfe")
    assert decoded(b"MemFree:\xa01") == "MemFree: 1"
