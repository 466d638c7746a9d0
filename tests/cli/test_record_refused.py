"""``pagehint record`` where it may not: one line that says what would help."""

import ctypes
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from pagehint.errors import InputError
from pagehint.trace.recorder import tracefs

ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can stop being root, and mount")
READ_ONLY = """for each in /sys/kernel/tracing /sys/kernel/debug/tracing
do ls $each >/dev/null 2>&1; mount -o bind,ro,remount $each 2>/dev/null
done; exec "$@"
"""
_CLONE_NEWUSER = 0x10000000
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
    """In a container, too, who may mount it is told to, and nobody else."""
    command = ["unshare", "-m", "sh", "-c", HIDDEN, "sh"]
    assert "mount -t tracefs tracefs /sys/kernel/tracing" in refused(tmp_path, *command)
    if tracefs.in_container() and shutil.which("setpriv") is not None:
        assert "--privileged" in refused(tmp_path, *command, "setpriv", "--bounding-set=-sys_admin")


def test_where_the_kernel_is_locked_down(tmp_path, monkeypatch):
    """As guests of 6.1 and 6.18 were with lockdown=confidentiality: tracefs mounts, and stays empty."""
    (tmp_path / "tracing").mkdir()
    device = (tmp_path / "tracing").stat().st_dev
    mounts = tmp_path / "mounts"
    mounts.write_text(f"22 1 {os.major(device)}:{os.minor(device)} / /sys/kernel/tracing rw - tracefs t rw\n")
    (tmp_path / "lockdown").write_text("none integrity [confidentiality]\n")
    _text = tracefs._text
    texts = {"/proc/self/mountinfo": mounts, "/sys/kernel/security/lockdown": tmp_path / "none"}
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(tracefs, "_PLACES", (str(tmp_path / "tracing"),))
    monkeypatch.setattr(tracefs, "_text", lambda path: _text(texts.get(str(path), path)))
    with pytest.raises(InputError, match=r"mounted and empty, .* boot it with lockdown=integrity"):
        tracefs.find_tracefs()
    texts["/sys/kernel/security/lockdown"] = tmp_path / "lockdown"
    with pytest.raises(InputError, match="lockdown forbids tracing: boot it with lockdown=integrity"):
        tracefs.find_tracefs()


@ROOT
def test_root_of_a_user_namespace_is_no_root():
    """As in a rootless container: whoever seems to be root in it is another user of the machine."""
    parent, child = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.unshare(_CLONE_NEWUSER):
            child.sendall(b"no user namespaces here")
            os._exit(1)
        child.sendall(b"-")
        child.recv(1)
        os.setgroups([])
        os.setgid(0)
        os.setuid(0)
        try:
            tracefs.find_tracefs()
        except InputError as error:
            child.sendall(str(error).encode())
        os._exit(0)
    try:
        if (said := parent.recv(100)) != b"-":
            pytest.skip(said.decode())
        for name in ("uid_map", "gid_map"):
            Path(f"/proc/{pid}/{name}").write_text("0 65534 1\n")
        parent.sendall(b"-")
        parent.settimeout(60)
        assert b"record as the machine's own root" in parent.recv(1000)
    finally:
        os.waitpid(pid, 0)


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


@ROOT
@pytest.mark.skipif(shutil.which("unshare") is None, reason="no unshare")
def test_without_proc(tmp_path):
    """It was said that a file of the recording was damaged."""
    script = 'umount -l /proc && exec "$@"'
    assert "mount -t proc proc /proc" in refused(tmp_path, "unshare", "-m", "sh", "-c", script, "sh")
