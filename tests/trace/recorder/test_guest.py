"""Two real guests, booted here: what one predicts, beside what was measured of it and of the other."""

import errno
import gzip
import io
import lzma
import os
import re
import shutil
import socket
import subprocess

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from pagehint.errors import InputError
from pagehint.hinting.designs.reporting import PageReporting
from pagehint.replays.across import predict_across
from pagehint.replays.replay import replay
from pagehint.replays.start import guest_reporting
from pagehint.replays.timer import Tick, recorded_passes, timer_tick
from pagehint.trace.recorder.frames import FrameWriter
from pagehint.trace.recorder.guest import boot as boot_module
from pagehint.trace.recorder.guest import image
from pagehint.trace.recorder.guest.boot import GuestSettings, _Guest, _listening, _record, boot, fit_clock
from pagehint.trace.recorder.guest.image import Kernel, busybox, cpio, find_kernel
from pagehint.trace.recorder.qmp import socket_address
from pagehint.trace.snapshot import Snapshot

KERNEL = "linux-image-cloud-amd64"
# Most of the memory at once: a huge page of the host more or less is 1 % of so small a guest.
ORDER = "/sys/module/page_reporting/parameters/page_reporting_order"
WORK = f"anon 130 2500; fragment 80 1500; churn 80 3000; echo 8 > {ORDER}; sleep 0.3"


class AsItCame(PageReporting):
    """Its passes come when the guest's did: a busy host delays them, by seconds, which no model can know."""

    label = PageReporting.label  # so it is held against what was measured

    @classmethod
    def of(cls, trace):
        usual = guest_reporting(trace)
        made = cls(usual.order, usual.delay, usual.timer_phase, usual.timer_tick)
        made.passes = recorded_passes(trace)
        return made

    def schedule(self, delay):
        super().schedule(delay)
        after = self.passes[np.searchsorted(self.passes, self.now) :]
        if self.pending is not None and len(after):
            self.pending = int(after[0])


@pytest.fixture(scope="module")
def guests(tmp_path_factory):
    """A guest that reports its free pages, and one that doesn't, with the same work."""
    if shutil.which("qemu-system-x86_64") is None:
        pytest.skip("no guest can be booted here: qemu-system-x86_64 is not installed")
    try:
        find_kernel(KERNEL)
        busybox()
    except InputError as error:
        pytest.skip(f"no guest can be booted here: {error}")
    folder = tmp_path_factory.mktemp("guests")
    traces = []
    for reporting in (True, False):
        settings = GuestSettings(KERNEL, memory=256, cpus=2, reporting=reporting, accel="tcg", hold=3)
        trace, way, status = boot(settings, WORK, folder / f"{reporting}.pagetrace")
        assert (way, status) == ("tcg", 0)
        traces.append(trace)
    return traces


@pytest.mark.slow
def test_a_booted_guest_is_predicted(guests):
    trace, _ = guests
    assert not trace.meta.lost
    assert trace.meta.anomalies == {}
    events = trace.meta.events
    assert all(events[letter] > 0 for letter in "AFBZDIiPRrM")
    assert events["R"] == events["r"]
    assert trace.reported.num_rows == sum(
        int(batch["detail"][batch["event"] == ord("R")].sum()) for batch in trace.batches(["event", "detail"])
    )
    assert trace.meta.reporting.on
    assert [change.order for change in trace.reporting_changes] == [8]
    assert timer_tick(trace) == Tick(4 * 10**6, "recorder")
    assert trace.meta.clock is not None
    assert abs(trace.meta.clock.drift) < 1e-3
    assert trace.num_residency_bitmaps > 5  # of a busy host some 20, else many more
    came = replay(trace, AsItCame.of(trace), sample=None)
    assert came.prediction.residency_error <= 0.005
    run = replay(trace, guest_reporting(trace), sample=None)
    told, as_it_came = (each.passes.filter(pc.greater(each.passes["pages"], 0)) for each in (run, came))
    if told["pages"] == as_it_came["pages"]:  # else a pass that a busy host delayed brought something else
        late = np.abs(told["time"].to_numpy() - as_it_came["time"].to_numpy())
        longer = late @ told["pages"].to_numpy() * 4096
        measured = run.prediction.measured_mean * run.totals.duration
        assert run.prediction.residency_error <= 0.005 + longer / measured


@pytest.mark.slow
def test_what_if_it_did_not_report_is_what_a_guest_without_it_does(guests):
    on, off = guests
    assert not off.meta.reporting.on
    assert off.reported is None
    found = predict_across(on, None, off)
    assert found.error <= 0.01 + found.uneven / 4  # a busy host sets the guests' phases apart
    assert predict_across(on, None, on).uneven == 0.0


@pytest.mark.slow
def test_other_work_is_not_compared(guests, tmp_path):
    on, _ = guests
    damaged = tmp_path / "a.pagetrace"
    shutil.copytree(on.path, damaged)
    (damaged / "marks.parquet").unlink()
    with pytest.raises(InputError, match="its marks are not those of"):
        predict_across(on, None, type(on).open(damaged))


def test_the_clock_of_pings():
    pings = []
    for at in (0, 10**10, 2 * 10**10):
        for way in (50_000, 400_000, 90_000):
            guest = 5 * 10**9 + at
            pings.append((guest, 10**18 + at + at // 10**5 + way // 2, guest + way))
    clock = fit_clock(pings)
    assert clock.drift == pytest.approx(1e-5, abs=1e-8)
    host = clock.h0_ns + clock.offset_ns + (1 + clock.drift) * (5 * 10**9 - clock.g0_ns)
    assert host == pytest.approx(10**18, abs=1000)
    with pytest.raises(InputError, match="never asked"):
        fit_clock([])


def test_slow_answers_are_no_drift():
    """A busy host answered within 40 ms, soon after each other: a line through them said that a clock ran 5 % fast."""
    slow = [(10**9, 10**18 + 10**7, 10**9 + 4 * 10**7)] * 3
    again = [(1_400_000_000, 10**18 + 430_000_000, 1_440_000_000)] * 3
    clock = fit_clock([*slow, *again])
    assert abs(clock.drift) < 1e-4
    assert clock.guest_times(np.array([10**18 + 4 * 10**8])) == pytest.approx(1.4e9, abs=3e7)


def test_a_guest_whose_clock_is_wrong_is_booted_again(tmp_path):
    """Its kernel took the time stamp counter for three times as fast: so says its second question already."""
    pieces = io.BytesIO()
    put = FrameWriter(pieces)
    for number in range(9):
        put("clock", b"%d %d %d" % (3 * 10**9 * number, 10**18 + 10**9 * number, 3 * 10**9 * number + 50_000))
    booted, said = [], []

    class Wrong(_Guest):
        def __enter__(self):
            booted.append(self)
            return self

        def __exit__(self, *exception):
            pass

        def record(self, writer, source, say):
            return len(self._feed(io.BytesIO(pieces.getvalue()), None, None))

    with pytest.raises(InputError, match="measured its clock wrongly 3 times"):
        _record(Wrong(GuestSettings(), "tcg", tmp_path, tmp_path), tmp_path / "a.pagetrace", said.append)
    assert len(booted) == len(said) == 3
    assert list(tmp_path.iterdir()) == []


PANIC = "[    8.3] Kernel panic - not syncing: sysrq triggered crash\n[    8.4] Kernel Offset: disabled\n"


@pytest.mark.parametrize(
    ("program", "console", "says"),
    [
        ("true", "[    7.6] reboot: Power down\n", r"^the guest ended before its command .*words: \[    7.6\] reboot"),
        ("true", PANIC, r"^the guest ended before its command .*words: \[    8.3\] Kernel panic - .* crash\)$"),
        ("warn", PANIC, r"^the guest ended before its command .*words: \[    8.3\] Kernel panic - .* crash\)$"),
        ("cat", "[    1.0] up\n", r"^the guest: cut off after 1 pieces: .*words: \[    1.0\] up"),
    ],
)
def test_a_guest_that_ends_too_soon(tmp_path, monkeypatch, program, console, says):
    """It was to be recorded again, as the recorder had ended; of a panic last words told nothing, or were a warning."""
    if program == "warn":
        program = "true"
        (tmp_path / "errors").write_text("qemu-system-x86_64: warning: TCG doesn't support requested feature\n")
    monkeypatch.setattr(boot_module, "_ENDING", 60.0 if program == "true" else 0.0)
    pieces = io.BytesIO()
    FrameWriter(pieces)("ping", b"")
    (tmp_path / "console").write_text(console)
    guest = _Guest(GuestSettings(), "tcg", tmp_path, tmp_path)
    ours, guests = socket.socketpair()
    guests.close()
    with subprocess.Popen([program], stdin=subprocess.PIPE) as guest._process, ours:
        with pytest.raises(InputError, match=says):
            guest._feed(io.BytesIO(pieces.getvalue()), ours, None)
        guest._process.stdin.close()


@pytest.mark.parametrize(
    ("name", "data"),
    [("clock", b"1 2"), ("clock", b"1 2 x"), ("clock", b"1 9999999999999999999 2"), ("status", b""), ("status", b"-1")],
)
def test_a_guest_that_tells_no_numbers(tmp_path, name, data):
    """It was a traceback: what runs in the guest may write to its port."""
    pieces = io.BytesIO()
    FrameWriter(pieces)(name, data)
    with pytest.raises(InputError, match=f"^the guest: {name}: .*: expected [13] number"):
        _Guest(GuestSettings(), "tcg", tmp_path, tmp_path)._feed(io.BytesIO(pieces.getvalue()), None, None)


def test_a_guest_that_does_not_come_up_with_kvm(tmp_path, monkeypatch):
    """It said nothing, and nothing said what to do."""

    class Silent(_Guest):
        def _command(self, port, qmp):
            return ["true"]

    monkeypatch.setattr(boot_module, "_Guest", Silent)
    monkeypatch.setattr(boot_module, "initramfs", lambda *arguments: b"")
    monkeypatch.setattr(boot_module, "find_kernel", lambda name: Kernel(tmp_path / "vmlinuz"))
    with pytest.raises(InputError, match=r"come up with kvm: it said nothing: boot it with --accel tcg"):
        boot(GuestSettings(accel="kvm"), "true", tmp_path / "a.pagetrace")
    assert list(tmp_path.iterdir()) == []


def test_a_churn_of_nothing(tmp_path):
    """It divided by zero."""
    try:
        (tmp_path / "churn").write_bytes(image.agent())
    except InputError as error:
        pytest.skip(f"no compiler here: {error}")
    (tmp_path / "churn").chmod(0o700)
    assert subprocess.run([tmp_path / "churn", "0", "100"], check=False).returncode == 0


def test_what_fails_here_is_not_the_guests_doing(tmp_path):
    """Of a full disk too its last words were told."""
    pieces = io.BytesIO()
    FrameWriter(pieces)("round", b"1")

    class Full:
        def put(self, name, data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(OSError, match="No space left"):
        _Guest(GuestSettings(), "tcg", tmp_path, tmp_path)._feed(io.BytesIO(pieces.getvalue()), None, Full())


def test_a_temporary_folder_of_a_long_name(tmp_path):
    """Longer than the address of a socket may be."""
    folder = tmp_path / ("x" * 115)
    folder.mkdir()
    before = os.listdir("/proc/self/fd")
    with _listening(folder / "port") as listening, socket.socket(socket.AF_UNIX) as port:
        with socket_address(folder / "port") as address:
            port.connect(address)
        port.sendall(b"up")
        assert listening.accept()[0].recv(2) == b"up"
    assert os.listdir("/proc/self/fd") == before


def test_a_temporary_folder_with_a_comma(tmp_path):
    """QEMU took what follows it for an option of its own."""
    if shutil.which("qemu-system-x86_64") is None:
        pytest.skip("qemu-system-x86_64 is not installed")
    folder = tmp_path / "a,b"
    folder.mkdir()
    (folder / "initramfs").touch()
    (folder / "kernel").write_text("none")
    with _Guest(GuestSettings(), "tcg", folder / "kernel", folder) as guest:
        guest._process.wait()
    assert "kernel" in (folder / "errors").read_text()
    assert (folder / "console").exists()


def test_a_temporary_folder_that_is_not_there(tmp_path):
    """It is named, and not the output."""
    temporary = tmp_path / "none"
    with pytest.raises(InputError, match=f"^{re.escape(str(temporary))}: No such file or directory: .* TMPDIR"):
        _record(_Guest(GuestSettings(), "tcg", tmp_path, temporary), tmp_path / "a.pagetrace", print)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["port", "qmp", "errors"])
def test_a_guest_that_is_not_begun_leaves_nothing_open(tmp_path, name):
    (tmp_path / name).mkdir()
    before = os.listdir("/proc/self/fd")
    # What is left open lives as long as the error, by its frames.
    with pytest.raises(IsADirectoryError) as refused:
        _Guest(GuestSettings(), "tcg", tmp_path, tmp_path).__enter__()
    assert os.listdir("/proc/self/fd") == before, refused


def test_an_archive_that_linux_reads(tmp_path):
    if shutil.which("bsdtar") is None and shutil.which("cpio") is None:
        pytest.skip("no cpio or bsdtar to read it with")
    data = cpio([("bin", 0o40755, b""), ("bin/a", 0o100755, b"hello"), ("bin/b", 0o120777, b"a")])
    tool = ["cpio", "-it", "--quiet"] if shutil.which("cpio") else ["bsdtar", "-tf", "-"]
    listed = subprocess.run(tool, input=data, capture_output=True, check=True)
    assert listed.stdout.split() == [b"bin", b"bin/a", b"bin/b"]


@pytest.mark.parametrize("built_in", [False, True])
def test_probes_of_a_balloon_whose_driver_is_built_in_name_no_module(built_in, tmp_path, monkeypatch):
    """Of Ubuntu's kernels no event told when the host was done with a batch: a probe waited for the module."""
    module = "" if built_in else "virtio_balloon:"
    monkeypatch.setattr(image, "agent", lambda: b"")
    monkeypatch.setattr(image, "busybox", lambda: tmp_path / "vmlinuz")
    for name in ("vmlinuz", *(() if built_in else ("virtio_balloon.ko",))):
        (tmp_path / name).write_bytes(b"")
    made = gzip.decompress(image.initramfs(Kernel(tmp_path / "vmlinuz", (tmp_path,)), "true", 0, 64, None))
    names = re.findall(rb"[pr]:pagehint/report(?:_ret)? (\S*)", made)
    assert names == 2 * [f"{module}virtballoon_free_page_report".encode()]


def test_a_command_that_is_not_utf_8_goes_to_the_guest_as_it_is(tmp_path, monkeypatch):
    """It was a traceback."""
    monkeypatch.setattr(image, "agent", lambda: b"")
    monkeypatch.setattr(image, "busybox", lambda: tmp_path / "vmlinuz")
    for name in ("vmlinuz", "virtio_balloon.ko"):
        (tmp_path / name).write_bytes(b"")
    made = image.initramfs(Kernel(tmp_path / "vmlinuz", (tmp_path,)), "echo \udcff", 0, 64, None)
    assert b"\necho \xff\n" in gzip.decompress(made)


def test_kernels_that_are_none(tmp_path):
    with pytest.raises(InputError, match="neither a file nor the name of a package"):
        find_kernel("no such thing")
    for text in ("", "root:x:0:0:root:/root:/bin/bash\n" * 100):
        (tmp_path / "passwd").write_text(text)
        with pytest.raises(InputError, match="passwd: no kernel's image"):
            find_kernel(str(tmp_path / "passwd"))


def test_a_kernel_that_is_a_file():
    """The image of a distribution's package, by itself."""
    try:
        image = find_kernel(KERNEL).image
    except InputError as error:
        pytest.skip(f"no kernel to be had here: {error}")
    assert find_kernel(str(image)).image == image


def _deb(folder, name, files):
    """A package made by the real dpkg-deb."""
    root = folder / name
    for path, data in {
        "DEBIAN/control": f"Package: {name}\nVersion: 1\nArchitecture: all\n"
        "Maintainer: a <a@b>\nDescription: a kernel\n",
        **files,
    }.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(data)
    package = folder / f"{name}.deb"
    subprocess.run(["dpkg-deb", "-b", "--root-owner-group", root, package], check=True, capture_output=True)
    return package


@pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="no dpkg-deb")
def test_a_kernel_in_one_package_or_in_several(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    whole = _deb(tmp_path, "whole", {"boot/vmlinuz-6.12": "image", "lib/modules/6.12/virtio.ko": "module"})
    for _ in range(2):
        kernel = find_kernel(str(whole))
        assert kernel.image.read_text() == "image"
        assert [*kernel.modules[0].rglob("*.ko")]

    image = _deb(tmp_path, "image", {"usr/lib/modules/7.2/vmlinuz": "image"})
    modules = _deb(tmp_path, "modules", {"usr/lib/modules/7.2/virtio.ko": "module"})
    with pytest.raises(InputError, match="all are unpacked in"):
        find_kernel(str(modules))
    both = tmp_path / "both"
    for package in (image, modules):
        subprocess.run(["dpkg-deb", "-x", package, both], check=True)
    kernel = find_kernel(str(both))
    assert kernel.image.read_text() == "image"
    assert kernel.modules == (both,)


def test_modules_that_are_packed(tmp_path):
    """By gzip, as Alpine has them: they went into the guest as they were, which had no port then."""
    for name, pack in (("a.ko", bytes), ("b.ko.gz", gzip.compress), ("c.ko.xz", lzma.compress)):
        (tmp_path / name).write_bytes(pack(b"module"))
    (tmp_path / "d.ko.zst").write_bytes(pa.compress(b"module", "zstd", asbytes=True))
    assert [image._module(Kernel(tmp_path, (tmp_path,)), name) for name in "abcde"] == [*[b"module"] * 4, None]


@pytest.mark.parametrize("suffix", ["gz", "xz", "zst"])
@pytest.mark.parametrize("kept", [b"no such thing", None])
def test_a_packed_module_that_is_damaged(tmp_path, suffix, kept):
    """It was a traceback, or a line that named no file."""
    pack = {"gz": gzip.compress, "xz": lzma.compress, "zst": lambda data: pa.compress(data, "zstd", asbytes=True)}
    path = tmp_path / f"a.ko.{suffix}"
    path.write_bytes(kept or pack[suffix](bytes(range(256)))[:-12])
    with pytest.raises(InputError, match=rf"a\.ko\.{suffix}: damaged, or not whole \(.*\): install the kernel again"):
        image._module(Kernel(tmp_path, (tmp_path,)), "a")


@pytest.mark.parametrize("compiler", ["", "env LC_ALL=C cc"])
def test_a_compiler_of_several_words_or_none(monkeypatch, compiler):
    """An empty CC was a traceback, and of several words the last one was run."""
    monkeypatch.setenv("CC", compiler)
    ran = []
    monkeypatch.setattr(image, "_run", lambda *command, cwd=None: ran.append(command))
    with pytest.raises(FileNotFoundError):
        image.agent()
    assert ran[0][: ran[0].index("-static")] == tuple(compiler.split() or ["cc"])


@pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="no dpkg-deb")
def test_a_broken_package_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    whole = _deb(tmp_path, "whole", {"boot/vmlinuz-6.12": "image" * 10000})
    whole.write_bytes(whole.read_bytes()[:-60])
    with pytest.raises(InputError, match="dpkg-deb"):
        find_kernel(str(whole))
    assert not [*(tmp_path / "cache").rglob("vmlinuz*")]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("mkfs.ext4") is None, reason="no mkfs.ext4")
def test_a_command_runs_in_a_disk_which_stays_as_it_is(tmp_path, guests):
    root = tmp_path / "root"
    (root / "bin").mkdir(parents=True)
    shutil.copy(busybox(), root / "bin" / "sh")
    image = tmp_path / "disk.img"
    subprocess.run(["mkfs.ext4", "-q", "-d", root, image, "16M"], check=True)
    before = image.read_bytes()
    settings = GuestSettings(KERNEL, memory=256, cpus=2, accel="tcg", hold=0, disk=image)
    trace, _, status = boot(
        settings, "echo text > /written; mark inside; look & look & look & wait; exit 7", tmp_path / "disk.pagetrace"
    )
    assert status == 7
    assert "inside" in {mark["text"].removeprefix("MARK ") for mark in trace.marks.to_pylist()}
    assert image.read_bytes() == before
    # Asked for at once: each is answered.
    for name in ("look1", "look2", "look3"):
        assert Snapshot(trace.path / name).zones == trace.snapshot.zones


@pytest.mark.parametrize(("name", "says"), [("d.img", "neither an ext4 file system"), ("d.qcow2", "no qcow2 image")])
def test_a_disk_that_is_none_is_refused_before_a_guest_is_booted(tmp_path, name, says):
    """The guest found no file system, and the bundle held that."""
    (tmp_path / name).write_bytes(b"text" * 1000)
    with pytest.raises(InputError, match=says):
        boot(GuestSettings(KERNEL, disk=tmp_path / name), "true", tmp_path / "g.pagetrace")
    assert [each.name for each in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("place", ["there", "nowhere/guest.pagetrace", "/proc/guest.pagetrace"])
def test_an_output_that_can_not_be_made_is_refused_before_a_kernel_is_looked_for(tmp_path, place):
    (tmp_path / "there").mkdir()
    with pytest.raises(InputError, match=r"another output|for the output"):
        boot(GuestSettings(kernel="no-such-package"), "true", tmp_path / place)
    assert os.listdir(tmp_path) == ["there"]


@pytest.mark.parametrize("place", ["/proc", "/dev/null"])
def test_a_cache_that_can_not_be_written(tmp_path, monkeypatch, place):
    environment = {**os.environ, "XDG_CACHE_HOME": place}
    monkeypatch.setattr(os, "environ", environment)
    with pytest.raises(InputError, match="set XDG_CACHE_HOME to a folder that can be written"):
        boot(GuestSettings(kernel="linux-image-cloud-amd64"), "true", tmp_path / "a.pagetrace")
    assert list(tmp_path.iterdir()) == []
