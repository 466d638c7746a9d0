"""What a guest is booted from: a kernel out of a distribution's package, and a small initramfs made for it."""

import gzip
import io
import lzma
import os
import re
import shlex
import shutil
import subprocess
import tempfile
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import pyarrow as pa

from pagehint.errors import InputError
from pagehint.partial import partial_folder, temporary_folder
from pagehint.trace.recorder.tracefs import PROBES, event_names
from pagehint.trace.tables import first_line

__all__ = ["Entry", "Kernel", "cpio", "find_kernel", "initramfs", "system"]

Entry = tuple[str, int, bytes]
"""A file of an initramfs: its path, mode and data."""

_MODULES = (
    "virtio_ring",
    "virtio",
    "virtio_pci_modern_dev",
    "virtio_pci_legacy_dev",
    "virtio_pci",
    "virtio_console",
)
_DISK = ("virtio_blk", "crc16", "crc32c_generic", "libcrc32c", "mbcache", "jbd2", "ext4")
_BALLOON = ("virtio_balloon",)
_WORKLOADS = ("anon", "tmpfs", "cache", "fragment", "churn", "pressure", "mark", "look")
# What the setup of a bzImage has in it, and where that ends.
_SETUP, _SETUP_END = b"HdrS", 0x206
_DIRECTORIES = ("bin", "dev", "proc", "sys", "tmp")


@dataclass(frozen=True)
class Kernel:
    """A kernel: its image, and the folders that its modules lie in (none: they are built in)."""

    image: Path
    modules: tuple[Path, ...] = ()


def _cache() -> Path:
    folder = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")) / "pagehint"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):  # root may write what a file system refuses
            return folder
    except OSError as error:
        raise InputError(
            f"{folder}: {error.strerror}: kernels are kept there: set XDG_CACHE_HOME to a folder that can be written"
        ) from None


def _run(*command: str | Path, cwd: Path | None = None) -> str:
    try:
        done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, errors="replace")
    except OSError as error:
        raise InputError(f"{command[0]}: {error.strerror}: it is needed to boot a guest; install it first") from None
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines() or [""]
        raise InputError(f"{' '.join(map(str, command))}: {said[-1][:200]}")
    return done.stdout


def _package(name: str) -> Path:
    """The unpacked package of Debian or Ubuntu; fetched by apt-get where it isn't in the cache."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9+.-]+", name):
        raise InputError(f"{name!r}: neither a file nor the name of a package")
    folder = _cache() / "packages" / name
    if not folder.is_dir():
        with temporary_folder() as temporary:
            _run("apt-get", "-q", "download", name, cwd=temporary)
            (package,) = temporary.glob("*.deb")
            _unpack(package, folder)
    return folder


def _unpack(package: Path, folder: Path) -> None:
    """The package's files in `folder`: all of them, or no folder."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with partial_folder(folder) as temporary:
        work = temporary / "files"
        _run("dpkg-deb", "-x", package, work)
        try:
            work.rename(folder)
        except OSError:  # somebody else was faster
            if not folder.is_dir():
                raise


def find_kernel(name: str) -> Kernel:
    """The kernel of a package's name (linux-image-cloud-amd64), a .deb file, a folder of unpacked ones, or an image.

    Raises InputError.
    """
    path = Path(name)
    if path.is_dir():
        return _unpacked((path,), name)
    if path.suffix == ".deb" and path.is_file():
        folder = _cache() / "files" / f"{path.stem}-{path.stat().st_size}-{path.stat().st_mtime_ns}"
        if not folder.is_dir():
            _unpack(path, folder)
        return _unpacked((folder,), name)
    if path.is_file():
        with path.open("rb") as file:
            start = file.read(_SETUP_END)
        if not start.startswith(b"\x7fELF") and start[-len(_SETUP) :] != _SETUP:
            raise InputError(f"{name}: no kernel's image: expected a bzImage or ELF, such as /boot/vmlinuz-*")
        return Kernel(path)
    return _unpacked(tuple(_packages(name)), name)


def _packages(name: str) -> list[Path]:
    """The package, and those of the kernel that it depends on: a name without a version, or split since 7.0."""
    folders, names = [], [name]
    for each in names:
        folders.append(_package(each))
        if not (_images(folders[-1]) and list(folders[-1].rglob("*.ko*"))):
            needed = re.findall(r"Depends: (linux-(?:image|binary|modules)-\S+)", _run("apt-cache", "depends", each))
            names += [one for one in needed if one not in names]
    return folders


def _images(folder: Path) -> list[Path]:
    return sorted([*folder.glob("boot/vmlinuz-*"), *folder.glob("**/lib/modules/*/vmlinuz")])


def _unpacked(folders: tuple[Path, ...], name: str) -> Kernel:
    images = [image for folder in folders for image in _images(folder)]
    if not images:
        raise InputError(
            f"{name}: no kernel's image in it: expected boot/vmlinuz-* or lib/modules/*/vmlinuz (of a kernel that "
            "comes in several packages, give a folder that all are unpacked in, by dpkg-deb -x)"
        )
    return Kernel(images[0], folders)


def busybox() -> Path:
    """A static busybox, of this machine or of the package busybox-static."""
    here = shutil.which("busybox")
    if here is not None and "INTERP" not in _run("readelf", "-lW", here):
        return Path(here)
    folder = _package("busybox-static")
    return next(folder / place for place in ("bin/busybox", "usr/bin/busybox") if (folder / place).exists())


def agent() -> bytes:
    """The guest's first program, compiled here."""
    source = files("pagehint.trace.recorder.guest") / "agent.c"
    with temporary_folder() as temporary:
        made, path = temporary / "agent", temporary / "agent.c"
        path.write_bytes(source.read_bytes())
        _run(*shlex.split(os.environ.get("CC") or "cc"), "-static", "-O2", "-o", made, path)
        return made.read_bytes()


_UNPACK: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.decompress,
    ".xz": lzma.decompress,
    ".zst": lambda data: bytes(pa.CompressedInputStream(io.BytesIO(data), "zstd").read()),
}
# What they raise for what they can't unpack.
_DAMAGED = (OSError, EOFError, zlib.error, lzma.LZMAError, pa.ArrowException)


def _module(kernel: Kernel, name: str) -> bytes | None:
    for path in sorted(path for folder in kernel.modules for path in folder.rglob(f"{name}.ko*")):
        data = path.read_bytes()
        try:
            return _UNPACK[path.suffix](data) if path.suffix in _UNPACK else data
        except _DAMAGED as error:
            raise InputError(f"{path}: damaged, or not whole ({first_line(error)}): install the kernel again") from None
    return None


def cpio(entries: Iterable[Entry]) -> bytes:
    """An archive in the form that Linux reads its initramfs in."""
    out = io.BytesIO()
    for number, (path, mode, data) in enumerate([*entries, ("TRAILER!!!", 0, b"")], 1):
        name = path.encode() + b"\0"
        numbers = (number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name), 0)
        out.write(b"070701" + b"".join(b"%08x" % each for each in numbers) + name)
        out.write(bytes(-out.tell() % 4) + data)
        out.write(bytes(-out.tell() % 4))
    return out.getvalue()


def _modules(kernel: Kernel, name: str, modules: Iterable[str]) -> list[Entry]:
    """Those that the kernel has, and a file that lists them, in order."""
    found = {each: data for each in modules if (data := _module(kernel, each)) is not None}
    entries = [(f"{each}.ko", 0o100644, data) for each, data in found.items()]
    return [*entries, (name, 0o100644, "".join(f"/{each}.ko\n" for each in found).encode())]


def system(kernel: Kernel, disk: bool = False) -> list[Entry]:
    """What every guest of this kernel has: busybox's shell, and the modules that ``/modules`` lists in order.

    `disk`: also those for a disk of ext4.
    """
    entries = [(path, 0o40755, b"") for path in _DIRECTORIES]
    entries += [("bin/busybox", 0o100755, busybox().read_bytes()), ("bin/sh", 0o120777, b"busybox")]
    return entries + _modules(kernel, "modules", _MODULES + _DISK * disk)


# The disk is the command's root; `mark`, `look` and `fragment` are there too. Who has a partition table has the system
# in the first one.
_IN_DISK = """mkdir -p /disk
{ [ -e /dev/vda1 ] && mount -t ext4 -o noatime /dev/vda1 /disk; } || mount -t ext4 -o noatime /dev/vda /disk ||
    { echo "no ext4 file system on the disk, or no ext4 in the kernel" > /dev/console; exit 125; }
for each in proc sys dev; do mkdir -p /disk/$each; mount -o bind /$each /disk/$each; done
mount -o bind /sys/kernel/tracing /disk/sys/kernel/tracing
for each in tmp dev/shm; do mkdir -p /disk/$each; mount -t tmpfs tmpfs /disk/$each; done
mkdir -p /disk/usr/local/bin; cp /init /disk/usr/local/bin/mark
for each in look fragment; do ln -sf mark /disk/usr/local/bin/$each; done
ip link set lo up
export PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin HOME=/root LC_ALL=C
chroot /disk /bin/sh -c """


def initramfs(kernel: Kernel, command: str, hold: int, buffer_kib: int, order: int | None, disk: bool = False) -> bytes:
    """The initramfs (gzip) that records a guest of this kernel while it runs the shell's `command`.

    `hold`: seconds of rest before and after it; `buffer_kib`: of each CPU's ring buffer; `order`: reporting's; `disk`:
    the command runs in its first disk, an ext4 file system.
    """
    if disk:
        command = _IN_DISK + shlex.quote(command)
    balloon = _modules(kernel, "balloon", _BALLOON)
    entries = [*system(kernel, disk), ("init", 0o100755, agent()), *balloon]
    entries += [(f"bin/{name}", 0o120777, b"/init") for name in _WORKLOADS]
    events = [f"kmem/{name} {name}\n" for name in event_names("page")]
    events += [f"pagehint/{name} {name}\n" for name, *_ in PROBES]
    # A module that isn't there yet is named: one that never comes is no error where only a return is probed.
    module = f"{_BALLOON[0]}:" if len(balloon) > 1 else ""
    probes = [
        f"{kind}:pagehint/{name} {module if function.startswith('virtballoon') else ''}{function} {fetch}\n"
        for name, kind, function, fetch in PROBES
    ]
    events.append("ftrace/print print\n")
    entries += [
        ("events", 0o100644, "".join(events).encode()),
        ("probes", 0o100644, "".join(probes).encode()),
        ("settings", 0o100644, f"{hold} {buffer_kib} {'-' if order is None else order}\n".encode()),
        ("command", 0o100644, os.fsencode(f"/bin/busybox --install -s /bin\n{command}\n")),
    ]
    return gzip.compress(cpio(entries), 1, mtime=0)
