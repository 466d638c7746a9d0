"""Files and pipes are read as far as they tell; what is no text and no page map is said to be what it is."""

import bz2
import gzip
import lzma
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pagehint.diagnosis import given
from pagehint.diagnosis.examine import diagnose
from pagehint.errors import InputError
from pagehint.proc.kpageflags import KPageFlag
from tests.diagnosis.conftest import DATA, snapshot_files

BUDDYINFO = "Node 0, zone    DMA32    100     50     25     12      6      3      1      1      1      0    200\n"
BYTES = bytes(range(256)) * 40


@pytest.mark.parametrize(
    ("start", "said"),
    [
        (b"{\\rtf1\\ansi MemTotal: 1 kB\\par\n", "a rich text document: save it as plain text"),
        (b"%PDF-1.7\n" + BYTES, "a PDF document: copy its text into a file"),
        (b"\x89PNG\r\n\x1a\n" + BYTES, "a picture: copy the text that it shows into a file"),
        (b"LPKSHHRH" + BYTES, "a journal: `journalctl --file 'a b' -k` prints what is in it"),
        (b"\x7fELF\2\1\1" + BYTES, "a dump of memory, or a program: of a dump, what crash's `kmem -i` and"),
        (b"\x96\xd5\x75\x21" + BYTES, "sar's own file: `sar -r -f 'a b'` prints what is in it"),
    ],
)
def test_a_file_of_another_kind_is_named(
    start: bytes, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A picture was said to be no page map, and of rich text some lines were read."""
    monkeypatch.chdir(tmp_path)
    Path("a b").write_bytes(start)
    with pytest.raises(InputError, match=r"^a b: is ") as refused:
        diagnose("a b")
    assert said in str(refused.value)


def test_a_pipe_that_nobody_writes_to(tmp_path, monkeypatch):
    monkeypatch.setattr(given, "_PATIENCE", 10)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="a pipe that nobody writes to"):
        diagnose([tmp_path / "pipe"])


def test_a_pipe_that_somebody_writes_to(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "buddyinfo").write_text(BUDDYINFO)
    with (tmp_path / "buddyinfo").open() as text:
        writer = subprocess.Popen(["sh", "-c", 'exec cat > "$0"', str(tmp_path / "pipe")], stdin=text)
    found = diagnose([tmp_path / "pipe"])
    assert writer.wait() == 0
    (tmp_path / "pipe").unlink()
    assert found.to_dict() | {"sources": None} == diagnose([tmp_path / "buddyinfo"]).to_dict() | {"sources": None}


def test_a_few_bytes_that_unpack_to_much_text(tmp_path):
    """Half a megabyte was a minute's work, and 1.7 GB; a page map is as large as its guest."""
    (tmp_path / "log.gz").write_bytes(gzip.compress(b"MemFree: 12 kB\n" * 600_000))
    with pytest.raises(InputError, match="unpacks to more than 4 MiB: unpack it, and name the result"):
        diagnose([tmp_path / "log.gz"])
    flags = np.full(1 << 21, KPageFlag.BUDDY, "<u8")
    (tmp_path / "kpageflags.gz").write_bytes(gzip.compress(flags.tobytes()))
    assert diagnose([tmp_path / "kpageflags.gz"]).to_dict()


def test_a_map_is_named_by_its_file_not_by_its_folder(tmp_path: Path) -> None:
    """Flags in a folder of both maps were taken for counts."""
    folder = tmp_path / "kpagecount-and-kpageflags"
    folder.mkdir()
    np.full(1 << 12, KPageFlag.BUDDY, "<u8").tofile(folder / "kpageflags")
    assert [what for _, what in diagnose(folder / "kpageflags").evidence.sources] == ["kpageflags"]


@pytest.mark.parametrize("name", ["kpagecount", "kpageflags", "map"])
def test_zeros_are_no_map(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(bytes(1 << 20))
    with pytest.raises(InputError, match="nothing but zeros: expected /proc/kpageflags or kpagecount"):
        diagnose(tmp_path / name)


@pytest.mark.parametrize("start", [b"MZ\x02\x01\x01" + bytes(9) + b"\x03\0\x3e\0\1\0\0\0" + bytes(range(200)), b""])
def test_a_foreign_binary_stream_is_read_no_further_than_shows_it(tmp_path: Path, start: bytes) -> None:
    """Of a pipe, 512 MiB were held, twice."""
    with (tmp_path / "core").open("wb") as file:
        file.write(start)
        file.truncate(2 << 30)
    with (tmp_path / "core").open("rb") as file:
        with pytest.raises(InputError, match=r"core: (has no page of a free block|nothing but zeros)"):
            given._whole(file, 0, "core")
        assert file.tell() <= (1 << 20 if start else 64 << 20)


def test_a_map_packed_in_pieces_is_read_whole(tmp_path: Path) -> None:
    data = gzip.decompress((DATA / "press61" / "kpageflags.u64.gz").read_bytes())
    half = len(data) // 2
    packed = gzip.compress(data[:half]) + gzip.compress(data[half:])
    (tmp_path / "map.gz").write_bytes(packed)
    others = [path for path in snapshot_files("press61") if "kpageflags" not in path.name]
    whole = diagnose(snapshot_files("press61"))
    assert diagnose([tmp_path / "map.gz", *others]).free_resident == whole.free_resident
    (tmp_path / "map.gz").write_bytes(packed[:-20])
    with pytest.raises(InputError, match=r"the gzip data are damaged or cut off .*: copy it again"):
        diagnose(tmp_path / "map.gz")


def test_a_read_that_fails_names_its_file() -> None:
    with pytest.raises(InputError, match=r"^/proc/self/mem: Input/output error: it can't be read$"):
        diagnose([Path("/proc/self/mem")])


def test_a_foreign_file_is_not_read_to_its_end(tmp_path: Path) -> None:
    """Some GiB of zeros, or a disk image, were held in memory, twice."""
    zeros, image = tmp_path / "zeros", tmp_path / "image"
    zeros.touch()
    os.truncate(zeros, 8 << 30)
    image.write_bytes(np.random.default_rng(1).bytes(4096))
    os.truncate(image, 8 << 30)
    for path, says in ((zeros, "nothing but zeros"), (image, "no page of a free block")):
        code = f"""
import resource, sys
import pagehint.cli.main, pagehint.cli.doctor
resource.setrlimit(resource.RLIMIT_DATA, (1 << 30, 1 << 30))
sys.argv = ["pagehint", "doctor", {str(path)!r}]
pagehint.cli.main.main()
"""
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert says in done.stderr


@pytest.mark.parametrize(
    ("pack", "said"), [(lzma.compress, "an xz archive: unpack it with `xz -dc < "), (bz2.compress, "a bzip2 archive")]
)
def test_what_is_packed_otherwise_is_said(tmp_path: Path, pack: Callable[[bytes], bytes], said: str) -> None:
    """It was said to be no page map."""
    (tmp_path / "sos").write_bytes(pack(BUDDYINFO.encode() * 9))
    with pytest.raises(InputError, match=f"sos: is {said}.*, and name what was in it$"):
        diagnose(tmp_path / "sos")


@pytest.mark.parametrize("packed", [False, True])
def test_an_archive_of_more_than_texts_is_said_to_be_one(packed: bool, tmp_path: Path) -> None:
    """It was said to be no page map."""
    map_, text, archive = tmp_path / "kpageflags", tmp_path / "meminfo", tmp_path / "all.tar"
    map_.write_bytes(np.arange(1 << 12, dtype="<u8").tobytes())
    text.write_text("MemTotal: 1048576 kB\nMemFree: 524288 kB\n")
    with tarfile.open(archive, "w:gz" if packed else "w") as whole:
        whole.add(map_, "kpageflags")
        whole.add(text, "meminfo")
    with pytest.raises(InputError, match="a tar archive of more than texts: unpack it"):
        diagnose(archive)


@pytest.mark.skipif(not os.access("/dev/kmsg", os.R_OK), reason="reads the kernel's own log")
def test_the_kernels_own_log_ends() -> None:
    """It was waited for ever for more of it."""
    command = [sys.executable, "-m", "pagehint", "doctor", "/dev/kmsg"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0 or "nothing that tells of free memory" in done.stderr
