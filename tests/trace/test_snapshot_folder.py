"""The folder that snapshot.sh leaves: what of it is read, and what can't be."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pagehint.errors import InputError
from pagehint.trace.snapshot_folder import SnapshotFolder, kernel_of

FEATURES = "0" * 5 + "1" + "0" * 58


def folder(path: Path, **texts: str) -> Path:
    """A folder with these files; `a__b` is a/b."""
    path.mkdir(exist_ok=True)
    for name, text in {"buddyinfo": "x", **texts}.items():
        file = path / name.replace("__", "/")
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    return path


def test_all_that_the_script_leaves(tmp_path: Path) -> None:
    found = SnapshotFolder.read(
        folder(
            tmp_path / "a",
            version="Linux version 6.12.9-amd64 (debian-kernel@lists.debian.org) (gcc 14) #1 SMP\n",
            balloon_features=f"{FEATURES}\n",
            page_reporting__page_reporting_order="5\n",
            page_reporting__page_reporting_delay_ms="100\n",
            page_reporting__of_a_vendor="-7\n",
            page_reporting__text="on\n",
            marks="123 KPF-BEGIN init\n456 KPF-END init\n789 \n",
            **{"zoneinfo.txt": "z", "kpageflags.u64.gz": "k"},
        )
    )
    assert {name: path.name for name, path in found.files.items()} == {
        "buddyinfo": "buddyinfo",
        "zoneinfo": "zoneinfo.txt",
        "kpageflags": "kpageflags.u64.gz",
    }
    assert found.kernel == "6.12.9-amd64"
    assert found.marks == [(123, "KPF-BEGIN init"), (456, "KPF-END init"), (789, "")]
    assert found.reporting is not None
    assert (found.reporting.on, found.reporting.order, found.reporting.delay_ns) == (True, 5, 100 * 10**6)
    assert found.reporting.parameters == {
        "of_a_vendor": -7, "page_reporting_delay_ms": 100, "page_reporting_order": 5
    }  # fmt: skip


@pytest.mark.parametrize(
    ("features", "on"),
    [(FEATURES, True), ("0" * 64, False), ("11111011", False), ("000001", True), ("0000", False), (None, None)],
)
def test_reporting_is_the_sixth_feature_of_a_balloon(tmp_path: Path, features: str | None, on: bool | None) -> None:
    texts = {} if features is None else {"balloon_features": features}
    found = SnapshotFolder.read(folder(tmp_path / "a", page_reporting__page_reporting_order="9", **texts))
    assert found.reporting is not None
    assert found.reporting.on is on
    assert found.reporting.delay_ns == 2 * 10**9  # mainline's, where the kernel has no parameter


@pytest.mark.parametrize("order", ["-1", "21", "4294967295", "9" * 19, "x", ""])
def test_an_order_that_no_block_has_is_not_known(tmp_path: Path, order: str) -> None:
    found = SnapshotFolder.read(
        folder(tmp_path / "a", balloon_features=FEATURES, page_reporting__page_reporting_order=order)
    )
    assert found.reporting is not None
    assert found.reporting.order is None


def test_without_a_word_of_reporting_nothing_is_known_of_it(tmp_path: Path) -> None:
    found = SnapshotFolder.read(folder(tmp_path / "a"))
    assert (found.reporting, found.kernel, found.marks) == (None, None, [])


def test_what_is_no_snapshot_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder of a snapshot"):
        SnapshotFolder.read(tmp_path / "nowhere")
    (tmp_path / "file").touch()
    with pytest.raises(
        InputError, match=r"file: is a file: expected a folder with copies of /proc/zoneinfo, .* each a file of"
    ):
        SnapshotFolder.read(tmp_path / "file")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"empty: no snapshot: expected copies of /proc/.*, /proc/kpageflags"):
        SnapshotFolder.read(tmp_path / "empty")
    with pytest.raises(InputError, match="version: is larger than 1 MiB"):
        SnapshotFolder.read(folder(tmp_path / "large", version="Linux version 6" + " " * (1 << 20)))


@pytest.mark.parametrize("line", ["KPF-BEGIN init", "-5 x", "1.5 x", "9" * 19 + " x", "", "٣ x"])
def test_a_mark_without_a_time_names_its_line(tmp_path: Path, line: str) -> None:
    with pytest.raises(InputError, match=r"marks: line 2: expected the time in ns and a text"):
        SnapshotFolder.read(folder(tmp_path / "a", marks=f"1 a\n{line}\n2 b\n"))


@given(st.text(max_size=100))
def test_a_version_is_read_or_is_none(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "version"
    path.write_text(f"Linux version {text}", "utf-8", "surrogatepass")
    found = kernel_of(path)
    words = text.split()
    if words and text.isascii() and not text[0].isspace():
        assert found == words[0][:80]
    assert found is None or found in text


@pytest.mark.parametrize(
    "text",
    [
        "6.1.0-56-cloud-amd64\n",
        "\ufeffLinux version 6.1.0-56-cloud-amd64 (x)\r\n",
        "root@vm:~# cat /proc/version\nLinux version 6.1.0-56-cloud-amd64 (x) #1\n",
        "Linux debian 6.1.0-56-cloud-amd64 #1 SMP PREEMPT_DYNAMIC Debian 6.1.192-2 (2026-10-01) x86_64 GNU/Linux\n",
    ],
)
@pytest.mark.parametrize("name", ["version", "uname", "uname-a.txt", "osrelease", "proc_version.log"])
def test_a_kernel_as_people_keep_it(tmp_path: Path, text: str, name: str) -> None:
    """Of what uname printed it was not known."""
    assert SnapshotFolder.read(folder(tmp_path / "a", **{name: text})).kernel == "6.1.0-56-cloud-amd64"


@pytest.mark.parametrize(
    "name",
    [
        "zoneinfo.log",
        "proc_zoneinfo",
        "proc-zoneinfo.txt",
        "init.zoneinfo.txt",
        "zoneinfo.start",
        "ZONEINFO",
        "zoneinfo.gz",
    ],
)
def test_files_by_the_names_that_people_give_them(tmp_path: Path, name: str) -> None:
    """They were passed over without a word."""
    assert SnapshotFolder.read(folder(tmp_path / "a", **{name: "z"})).files["zoneinfo"].name == name


def test_which_of_several_files_is_meant(tmp_path: Path) -> None:
    texts = {"zoneinfo.1": "z", "zoneinfo.2": "z"}
    with pytest.raises(InputError, match=r"zoneinfo\.1, zoneinfo\.2: which is of the start\? Call it zoneinfo"):
        SnapshotFolder.read(folder(tmp_path / "a", **texts))
    early = folder(tmp_path / "d", **{"zoneinfo.after": "z", "before-zoneinfo": "z"})
    assert SnapshotFolder.read(early).files["zoneinfo"].name == "before-zoneinfo"
    assert SnapshotFolder.read(folder(tmp_path / "b", zoneinfo="z", **texts)).files["zoneinfo"].name == "zoneinfo"
    both = folder(tmp_path / "c", **{"zoneinfo.xz": "z", "zoneinfo.xz.unpacked": "z"})
    assert SnapshotFolder.read(both).files["zoneinfo"].name == "zoneinfo.xz.unpacked"


def test_a_snapshot_in_a_folder_within_is_named(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    folder(tmp_path / "a" / "proc", zoneinfo="z")
    with pytest.raises(InputError, match=f"a: no snapshot: it lies in {tmp_path / 'a' / 'proc'}: name that"):
        SnapshotFolder.read(tmp_path / "a")
