"""``pagehint watch``, of a process that stands for a machine, and of a real QEMU."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading

import pyarrow.parquet as pq
import pytest

from pagehint.errors import InputError
from pagehint.trace.host_file import HOST_SCHEMA
from pagehint.trace.recorder.qmp import Qmp, socket_address
from pagehint.trace.recorder.vmm import find_ram, ram_of_qmp
from tests.command import pagehint
from tests.limits import HANGS

MEMORY_OF_A_DEVICE = ("-object", "memory-backend-ram,id=m,size=512M")
VM = """
import mmap, sys
ram = mmap.mmap(-1, 64 << 20)
for page in range(0, len(ram), 4096):
    ram[page] = 1
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def machine():
    with subprocess.Popen(
        [sys.executable, "-c", VM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "ready\n"
        yield process
        process.stdin.close()


def rows_of(path):
    table = pq.read_table(path)
    assert table.schema.equals(HOST_SCHEMA)
    return table.to_pylist()


def test_for_a_time(machine, tmp_path):
    done = pagehint("watch", machine.pid, "--for", "300ms", "-o", tmp_path / "host.parquet")
    assert done.returncode == 0, done.stderr
    assert "64" in done.stderr
    rows = rows_of(tmp_path / "host.parquet")
    assert f"{len(rows)} samples" in done.stdout
    assert rows[0]["ram_resident_kib"] >= 64 << 10
    assert os.listdir(tmp_path) == ["host.parquet"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_until_it_is_stopped(machine, tmp_path, number):
    command = [sys.executable, "-m", "pagehint", "watch", str(machine.pid), "-o", str(tmp_path / "host.parquet")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as watch:
        assert "Ctrl-C ends it" in watch.stderr.readline()
        while not (partial := next(tmp_path.glob(".*.partial"), None)) or not partial.stat().st_size:
            assert watch.poll() is None
        second = pagehint("watch", machine.pid, "-o", tmp_path / "host.parquet")
        assert (second.returncode, second.stdout) == (2, "")
        assert "is being written by somebody else: choose another output" in second.stderr
        watch.send_signal(number)
        out, err = watch.communicate()
    assert (watch.returncode, err) == (0, "")
    assert "stopped" in out
    assert rows_of(tmp_path / "host.parquet")


@pytest.mark.parametrize(("hangs_up", "most"), [(True, ()), (False, ("--for", "500ms"))])
def test_until_its_terminal_ends(machine, tmp_path, terminal, hangs_up, most):
    """What it says there fails from then on: that is no fault of its output, and the samples are kept."""
    with terminal("watch", machine.pid, *most, "-o", tmp_path / "host.parquet", hangs_up=hangs_up) as watch:
        watch.read_until("Ctrl-C ends it")
        while not (partial := next(tmp_path.glob(".*.partial"), None)) or not partial.stat().st_size:
            assert watch.process.poll() is None
        watch.end()
        assert watch.process.wait() == 0
    assert rows_of(tmp_path / "host.parquet")
    assert os.listdir(tmp_path) == ["host.parquet"]


def test_until_it_ends(machine, tmp_path):
    command = [sys.executable, "-m", "pagehint", "watch", str(machine.pid), "-o", str(tmp_path / "host.parquet")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as watch:
        assert "Ctrl-C ends it" in watch.stderr.readline()
        machine.stdin.close()
        machine.wait()
        out, _ = watch.communicate()
    assert watch.returncode in (0, 2)
    assert "it ended" in out or watch.returncode == 2


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((), "one of the two"),
        (("1073741824",), "no process 1073741824"),
        (("--qmp", "/nowhere/qmp"), "/nowhere/qmp: No such file"),
        (("1", "--qmp", "x"), "one of the two"),
        (("x",), "'x': expected a whole number"),
        (("-5",), "no process -5"),
    ],
)
def test_what_is_no_machine(tmp_path, arguments, error):
    done = pagehint("watch", *arguments, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert error in done.stderr
    assert os.listdir(tmp_path) == []


def test_a_folder_that_takes_no_file(machine, tmp_path):
    done = pagehint("watch", machine.pid, "--for", "1s", "-o", tmp_path / "none" / "host.parquet")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "No such file" in done.stderr


def test_what_was_watched_is_not_written_over(machine, tmp_path):
    """The default output of a second machine took the place of the first one's."""
    (tmp_path / "host.parquet").write_text("before")
    done = pagehint("watch", machine.pid, "--for", "300ms", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr == "pagehint: host.parquet: exists already: remove it first, or choose another output\n"
    assert (tmp_path / "host.parquet").read_text() == "before"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts")
@pytest.mark.parametrize("room", ["4k", "64k"])
def test_a_full_disk(machine, tmp_path, room):
    """Full at the first byte, or when the samples are written."""
    fill = f'mount -t tmpfs -o size={room} tmpfs "$1" && head -c 60k /dev/zero > "$1/fill" 2>&1; shift; exec "$@"'
    command = [sys.executable, "-m", "pagehint", "watch", str(machine.pid), "--for", "200ms"]
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", fill, "sh", tmp_path, *command, "-o", tmp_path / "host.parquet"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].endswith("host.parquet: No space left on device: choose another output")
    assert done.stderr.count("\n") <= 2


# It is there before somebody listens.
def _listens(path):
    with socket.socket(socket.AF_UNIX) as connection, socket_address(path) as address:
        return connection.connect_ex(address) == 0


@contextlib.contextmanager
def stopped_qemu(path, *options, name="qemu"):
    machine = () if "machine" in "".join(options) else ("-machine", "q35")
    command = [name, "-nodefaults", "-display", "none", *machine, "-accel", "tcg", "-S", *options]
    with subprocess.Popen(
        [*command, "-qmp", f"unix:{path.name},server=on,wait=off"],
        executable=shutil.which("qemu-system-x86_64"),
        cwd=path.parent,
    ) as qemu:
        try:
            while not _listens(path):
                assert qemu.poll() is None
            yield qemu
        finally:
            qemu.terminate()


@pytest.mark.skipif(shutil.which("qemu-system-x86_64") is None, reason="no QEMU")
def test_qemu_says_where_its_memory_lies(tmp_path):
    """Its socket's path may be longer than the address of a socket."""
    socket = tmp_path / ("long" * 30) / "qmp"
    socket.parent.mkdir()
    with stopped_qemu(socket, "-m", "3072") as qemu:
        by_socket = pagehint("watch", "--qmp", socket, "--for", "100ms", "-o", tmp_path / "a.parquet")
        by_process = pagehint("watch", qemu.pid, "--for", "100ms", "-o", tmp_path / "b.parquet")
    assert (by_socket.returncode, by_process.returncode) == (0, 0), by_socket.stderr + by_process.stderr
    assert by_socket.stderr == by_process.stderr
    assert f"process {qemu.pid} has a guest's RAM of 2 GiB from guest-physical 0x0, 1 GiB from" in by_socket.stderr
    sizes = [len(rows_of(tmp_path / name)[0]["bits"]) for name in ("a.parquet", "b.parquet")]
    assert sizes == [(5 << 30) // 4096 // 8] * 2


@pytest.mark.skipif(shutil.which("qemu-system-x86_64") is None, reason="no QEMU")
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("qemu", ["-m", "256"]),
        ("qemu", ["-m", "size=256M,slots=1,maxmem=1G", "-device", "ivshmem-plain,memdev=m", *MEMORY_OF_A_DEVICE]),
        ("qemu", ["-machine", "microvm", "-m", "3500"]),
        ("qemu", ["--machine", "q35", "-m", "3.5g"]),
        ("kvm", ["-machine", "type=pc", "-m", "4096"]),
        ("qemu", ["-object", "memory-backend-ram,id=r,size=1G,merge=off", "-numa", "node,memdev=r", "-m", "1G"]),
    ],
    ids=["compiler's", "a device's", "microvm", "two dashes", "kvm", "a backend"],
)
def test_by_process_qemus_ram_is_where_it_says(tmp_path, name, options):
    """A compiler's memory, or a device's, is larger; elsewhere it lay at other addresses, or in one part."""
    with stopped_qemu(tmp_path / "qmp", *options, name=name) as qemu:
        with Qmp(tmp_path / "qmp") as connection:
            said = ram_of_qmp(connection)
        assert find_ram(qemu.pid) == said


@pytest.mark.skipif(shutil.which("qemu-system-x86_64") is None, reason="no QEMU")
def test_qemu_whose_options_place_its_memory(tmp_path):
    with (
        stopped_qemu(tmp_path / "qmp", "-M", "max-ram-below-4g=1G", "-m", "2G") as qemu,
        pytest.raises(InputError, match=r"max-ram-below-4g says where .* name QEMU's --qmp socket instead"),
    ):
        find_ram(qemu.pid)


CHANGING = """
import mmap, sys
ram = mmap.mmap(-1, 64 << 20)
print("ready", flush=True)
sys.stdin.readline()
{change}
print("changed", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("more = mmap.mmap(-1, 256 << 20)", "as where memory was plugged"),
        ("ram.close()", "whether it has that RAM still is not known, and what went counts as given back (process"),
    ],
)
def test_memory_that_is_plugged_or_goes_meanwhile(tmp_path, change, said):
    """Of a process that had become another program, or had left its RAM, nothing was said: all had come back."""
    command = [sys.executable, "-m", "pagehint", "watch", "-o", str(tmp_path / "host.parquet")]
    with subprocess.Popen(
        [sys.executable, "-c", CHANGING.format(change=change)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "ready\n"
        with subprocess.Popen(
            [*command, str(process.pid)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as watch:
            assert "Ctrl-C ends it" in watch.stderr.readline()
            print(file=process.stdin, flush=True)
            assert process.stdout.readline() == "changed\n"
            watch.send_signal(signal.SIGINT)
            _, err = watch.communicate()
        process.stdin.close()
    assert watch.returncode in (0, 2)
    assert watch.returncode == 2 or said in err


@pytest.mark.skipif(shutil.which("qemu-system-x86_64") is None, reason="no QEMU")
def test_qemu_with_several_memory_backends(tmp_path):
    """Of two nodes and a plugged module the first alone was watched, and the file then refused as another guest's."""
    options = ["-m", "256,slots=1,maxmem=1G", "-smp", "2"]
    for name in ("m0", "m1", "d0"):
        options += ["-object", f"memory-backend-ram,id={name},size=128M"]
    options += ["-numa", "node,memdev=m0,cpus=0", "-numa", "node,memdev=m1,cpus=1", "-device", "pc-dimm,memdev=d0"]
    with stopped_qemu(tmp_path / "qmp", *options) as qemu:
        by_socket = pagehint("watch", "--qmp", tmp_path / "qmp", "--for", "100ms", "-o", tmp_path / "a.parquet")
        by_process = pagehint("watch", qemu.pid, "-o", tmp_path / "b.parquet")
    parts = "128 MiB from guest-physical 0x0, 128 MiB from guest-physical 0x8000000, 128 MiB from guest-physical 0x10"
    assert f"a guest's RAM of {parts}" in by_socket.stderr
    assert (by_socket.returncode, by_process.returncode) == (0, 2), by_socket.stderr
    assert "its guest's RAM is in several memory backends: name QEMU's --qmp socket instead" in by_process.stderr


@pytest.mark.parametrize(
    "says",
    [
        b"",
        b"SSH-2.0-x\r\n",
        b"[]\n",
        b"[" * 100_000 + b"\n",
        b'{"QMP": {}}\n{"error": {}}\n',
        b'{"QMP": {}}\n{"error": "x"}\n',
        b'{"QMP": {}}\n',
    ],
    ids=["nothing", "SSH", "list", "deep", "error", "error of text", "end"],
)
def test_a_socket_that_is_not_qemus(tmp_path, says):
    """It is left: a connection that stayed open kept the other end waiting."""
    path = tmp_path / "qmp"
    left = []

    def answer(server):
        connection, _ = server.accept()
        with connection:
            connection.sendall(says)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(4096):
                pass
            left.append(True)

    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        thread = threading.Thread(target=answer, args=(server,))
        thread.start()
        with pytest.raises(InputError, match="qmp") as refused:
            Qmp(path)
        thread.join(HANGS)
        assert left, refused


def test_a_socket_that_never_answers(tmp_path, monkeypatch):
    """Events without end, each of them in time: the wait for an answer has an end of its own."""
    monkeypatch.setattr("pagehint.trace.recorder.qmp._TIMEOUT", 0.2)
    path = tmp_path / "qmp"

    def answer(server):
        connection, _ = server.accept()
        with connection, contextlib.suppress(OSError):
            connection.sendall(b'{"QMP": {}}\n')
            while True:
                connection.sendall(b'{"event": "X"}\n')

    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        thread = threading.Thread(target=answer, args=(server,))
        thread.start()
        with pytest.raises(InputError, match="timed out"):
            Qmp(path)
        thread.join(HANGS)
        assert not thread.is_alive()
