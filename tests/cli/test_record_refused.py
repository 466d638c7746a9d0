"""``pagehint record`` where it may not: one line that says what would help."""

import os
import shutil
import subprocess
import sys

import pytest

ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can stop being root, and mount")
READ_ONLY = (
    'for each in /sys/kernel/tracing /sys/kernel/debug/tracing; do mount -o bind,ro,remount $each; done; exec "$@"'
)
HIDDEN = 'for each in /sys/kernel/tracing /sys/kernel/debug; do mount -t tmpfs tmpfs $each 2>/dev/null; done; exec "$@"'


def refused(tmp_path, *before):
    command = [*before, sys.executable, "-m", "pagehint", "record", "-o", str(tmp_path / "a.pagetrace"), "--for", "1s"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
    assert os.listdir(tmp_path) == []
    return done.stderr


@ROOT
@pytest.mark.skipif(shutil.which("setpriv") is None, reason="no setpriv")
def test_without_root(tmp_path):
    tmp_path.chmod(0o777)
    for folder in list(tmp_path.parents)[:2]:
        folder.chmod(folder.stat().st_mode | 0o055)
    probe = [
        *(without := ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]),
        sys.executable,
        "-c",
        "import pagehint.cli.main",
    ]
    if subprocess.run(probe, capture_output=True, check=False).returncode:
        pytest.skip("nobody may not run this Python")
    assert "run it with sudo" in refused(tmp_path, *without)


@ROOT
@pytest.mark.skipif(shutil.which("unshare") is None, reason="no unshare")
def test_where_tracefs_is_hidden(tmp_path):
    assert "--privileged" in refused(tmp_path, "unshare", "-m", "sh", "-c", HIDDEN, "sh")


@ROOT
@pytest.mark.skipif(shutil.which("unshare") is None, reason="no unshare")
def test_where_tracefs_is_read_only(tmp_path):
    assert "read-only" in refused(tmp_path, "unshare", "-m", "sh", "-c", READ_ONLY, "sh")


@ROOT
@pytest.mark.skipif(shutil.which("setpriv") is None, reason="no setpriv")
@pytest.mark.usefixtures("tracefs")
def test_root_without_capabilities_records(tmp_path):
    """Files of tracefs are root's: nothing else is needed, and what can't be read is left out."""
    drop = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]
    command = [sys.executable, "-m", "pagehint", "record", "-o", str(tmp_path / "a.pagetrace"), "--for", "100ms"]
    done = subprocess.run([*drop, *command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@ROOT
@pytest.mark.skipif(shutil.which("unshare") is None, reason="no unshare")
@pytest.mark.usefixtures("tracefs")
def test_what_the_machine_does_not_tell_is_said(tmp_path):
    """A /proc without kpageflags and pagetypeinfo, as some kernels are built."""
    (tmp_path / "empty").touch()
    hide = f'for each in kpageflags pagetypeinfo; do mount --bind {tmp_path}/empty /proc/$each; done; exec "$@"'
    command = [sys.executable, "-m", "pagehint", "record", "-o", str(tmp_path / "a.pagetrace"), "--for", "100ms"]
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", hide, "sh", *command], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "lacks: /proc/pagetypeinfo, /proc/kpageflags" in done.stderr
