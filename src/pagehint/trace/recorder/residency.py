"""What a virtual machine holds of its host's memory, sampled into a file."""

import os
import re
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pagehint.errors import InputError, starting_threads
from pagehint.trace.host_file import HOST_SCHEMA
from pagehint.trace.recorder.vmm import RamPart
from pagehint.trace.tables import HOST_COLUMNS

__all__ = ["Sampler"]

_STEP = 0.05
_MOST_CPU = 0.01
_PIECE = 1 << 17
_GROUP_BYTES = 8 << 20
_PAGE = os.sysconf("SC_PAGE_SIZE")
_COUNTERS = frozenset(name for name in HOST_COLUMNS if not name.endswith("_kib"))
_HUGE = frozenset((b"AnonHugePages:", b"ShmemPmdMapped:", b"FilePmdMapped:", b"Shared_Hugetlb:", b"Private_Hugetlb:"))
_DISCARD = re.compile(
    rb"^\d+@([1-8]?\d{1,9})\.(\d{6}):ram_block_discard_range "
    rb"\S+@0x([0-9a-f]{1,16}) \+ 0x([0-9a-f]{1,16}):.*ret: (-?\d{1,9})",
    re.MULTILINE,
)
_HUGETLB = re.compile(rb"^HugetlbPages:\s+(\d{1,15}) kB$", re.MULTILINE)
_MOST_LOG = 1 << 20


class Sampler:
    """Samples process `pid` each 50 ms into the Parquet file `path`, from a thread of its own; a context manager.

    The bitmap of the guest's RAM is read as often as it costs at most 1 % of a CPU. `log`: where QEMU writes its trace
    events; what it says from now on of discards is read too. Raises InputError, and OSError where
    `path` can't be written.
    """

    def __init__(self, pid: int, ram: list[RamPart], path: Path, log: Path | None = None) -> None:
        if not ram:
            raise InputError(f"process {pid}: no guest RAM to look at")
        self.samples = self.bitmaps = self.discards = self.resident_kib = 0
        self._error: BaseException | None = None
        self._pid = pid
        self._ram = ram
        self._pfns = max(part.pfn + part.pages for part in ram)
        self._stop = threading.Event()
        self._day = time.time_ns() - time.monotonic_ns()
        try:
            self._pagemap = os.open(f"/proc/{pid}/pagemap", os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise InputError(
                f"process {pid} may not be looked at ({error.strerror}): run this as the host's root"
            ) from None
        self._log = None if log is None else _open_log(log)
        self._line = b""
        self._file = pq.ParquetWriter(path, HOST_SCHEMA, compression="zstd", write_page_checksum=True)
        self._rows: list[dict[str, Any]] = []
        self._bytes = 0
        self._thread = threading.Thread(target=self._run, name="pagehint-watch", daemon=True)

    def __enter__(self) -> Self:
        with starting_threads():
            self._thread.start()
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self._stop.set()
        self._thread.join()
        if kind is None and self._error is not None:
            raise self._error

    def wait(self, seconds: float | None) -> bool:
        """Wait until the process ends or the time has passed; returns whether it has ended."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        next_bitmap = 0.0
        try:
            while not self._stop.is_set():
                begun, spent = time.monotonic(), time.thread_time()
                bitmap = begun >= next_bitmap
                self._rows += self._discarded()
                try:
                    self._rows.append(self._sample(bitmap))
                except (OSError, ValueError, IndexError):  # it has ended
                    break
                if bitmap:
                    next_bitmap = begun + max(_STEP, (time.thread_time() - spent) / _MOST_CPU)
                self._bytes += len(self._rows[-1]["bits"] or b"") + 64
                if self._bytes >= _GROUP_BYTES:
                    self._flush()
                self._stop.wait(max(0.0, _STEP - (time.monotonic() - begun)))
            self._rows += self._discarded()
        except BaseException as error:
            self._error = error
        finally:
            self._close()

    def _close(self) -> None:
        try:
            self._flush()
            self._file.close()
        except OSError as error:
            # It would try once more when it is forgotten.
            self._file.is_open = False
            self._error = error
        finally:
            os.close(self._pagemap)
            if self._log is not None:
                os.close(self._log)

    # The host's time of day, on which nobody turns the clock back.
    def _now(self) -> int:
        return self._day + time.monotonic_ns()

    def _discarded(self) -> Iterator[dict[str, Any]]:
        """What QEMU's log says since the last time."""
        while self._log is not None and (data := os.read(self._log, _MOST_LOG)):
            lines, end, self._line = (self._line + data).rpartition(b"\n")
            self._line = self._line[-_MOST_LOG:]
            for found in _DISCARD.finditer(lines + end):
                seconds, fraction, ret = (int(found[group]) for group in (1, 2, 5))
                at, size = int(found[3], 16), int(found[4], 16)
                for part in self._ram:
                    if part.address <= at and at + size <= part.address + (part.pages << 12):
                        row: dict[str, Any] = dict.fromkeys(HOST_SCHEMA.names)
                        row["time"] = self._now()
                        row["discarded_ns"] = seconds * 10**9 + fraction * 1000
                        row["discarded_pfn"] = part.pfn + ((at - part.address) >> 12)
                        row["discarded_pages"] = size >> 12
                        row["discarded_ret"] = ret
                        self.discards += 1
                        self._bytes += 64
                        yield row

    def _flush(self) -> None:
        if self._rows:
            self._file.write_table(pa.Table.from_pylist(self._rows, schema=HOST_SCHEMA))
        self._rows, self._bytes = [], 0

    def _sample(self, bitmap: bool) -> dict[str, Any]:
        row: dict[str, Any] = dict.fromkeys(HOST_SCHEMA.names)
        row["time"] = self._now()
        statm = Path(f"/proc/{self._pid}/statm").read_text().split()
        if not int(statm[0]):
            raise ValueError("a zombie")
        row["rss_kib"] = int(statm[1]) * _PAGE // 1024 + self._hugetlb_kib()
        self.samples += 1
        if bitmap:
            resident, swapped = self._resident()
            row["time"] = (row["time"] + self._now()) // 2
            row["ram_resident_kib"] = self.resident_kib = 4 * int(np.count_nonzero(resident))
            row["swapped_kib"] = swapped
            row["bits"] = np.packbits(resident).tobytes()
            row["huge_kib"] = _huge_kib(self._pid)
            row |= _counters()
            self.bitmaps += 1
        return row

    # It is in no count of a process's memory.
    def _hugetlb_kib(self) -> int:
        found = _HUGETLB.search(Path(f"/proc/{self._pid}/status").read_bytes())
        return 0 if found is None else int(found[1])

    def _resident(self) -> tuple[NDArray[np.bool_], int]:
        resident = np.zeros(self._pfns, np.bool_)
        swapped = 0
        for part in self._ram:
            pages = part.pages * 4096 // _PAGE
            for at in range(0, pages, _PIECE):
                count = min(_PIECE, pages - at)
                data = os.pread(self._pagemap, 8 * count, 8 * (part.address // _PAGE + at))
                entries = np.frombuffer(data, "<u8")
                here = np.repeat(entries >> np.uint64(63) != 0, _PAGE // 4096)
                first = part.pfn + at * (_PAGE // 4096)
                resident[first : first + len(here)] = here
                swapped += int(np.count_nonzero(entries >> np.uint64(62) == 1)) * _PAGE // 1024
        return resident, swapped


def _counters() -> dict[str, int]:
    found = {}
    for line in Path("/proc/vmstat").read_text().splitlines():
        name, _, value = line.partition(" ")
        if name in _COUNTERS:
            found[name] = int(value)
    return found


def _huge_kib(pid: int) -> int | None:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_bytes().splitlines()
    except FileNotFoundError:  # before Linux 4.14
        return None
    return sum(int(words[1]) for line in lines if (words := line.split())[0] in _HUGE)


def _open_log(log: Path) -> int | None:
    try:
        file = os.open(log, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return None
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        return None
    os.lseek(file, 0, os.SEEK_END)
    return file
