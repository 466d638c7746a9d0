"""The inputs that fuzz.py mutates: one whole input of each kind that a reader takes, and what is done to them."""

import contextlib
import gzip
import io
import json
import random
import shutil
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console

from pagehint.diagnosis.examine import diagnose
from pagehint.errors import InputError, PagehintError
from pagehint.fleets.fleet import Guests, fleet
from pagehint.hinting.designs.registry import DESIGNS
from pagehint.host.costs import Costs
from pagehint.proc.counters import parse_meminfo, parse_vmstat
from pagehint.proc.pagetypeinfo import parse_buddyinfo, parse_pagetypeinfo
from pagehint.proc.zoneinfo import zone_layouts
from pagehint.replays.host_clock import with_host
from pagehint.replays.replay import replay
from pagehint.replays.script import Script
from pagehint.replays.start import guest_reporting
from pagehint.report.doctor import print_doctor
from pagehint.report.doctor_page import doctor_page
from pagehint.report.fleet import fleet_page, print_fleet
from pagehint.trace import Trace, import_trace
from pagehint.trace.describe import describe
from pagehint.trace.host_file import HOST_SCHEMA
from pagehint.trace.kmem_text import LineParser
from pagehint.trace.recorder.frames import FrameWriter
from pagehint.trace.recorder.qmp import Qmp
from pagehint.trace.recorder.vmm import ram_of_qmp

__all__ = ["Corpus"]

_TESTS = Path(__file__).parents[1] / "tests"
sys.path.insert(0, str(_TESTS.parent))
from tests.diagnosis.samples import SAMPLES  # noqa: E402

_PAGES = 4096
_HOST = 1_700_000_000_000_000_000

_ZONE = """Node 0, zone {name:>8}
  per-node stats
      nr_mapped    585
  pages free     {free}
        boost    0
        min      11
        low      13
        high     16
        spanned  {pages}
        present  {pages}
        managed  {pages}
        cma      0
        protection: (0, 948, 948, 948)
      nr_free_pages {free}
  pagesets
    cpu: 0
              count: 2
              high:  138
              batch: 63
              high_min: 138
              high_max: 400
  start_pfn:           {start}
"""
_ZONEINFO = _ZONE.format(name="DMA", free=0, pages=1024, start=0) + _ZONE.format(
    name="DMA32", free=2048, pages=_PAGES - 1024, start=1024
)
_KERNELS = (None, None, "5.3", "5.10", "5.15", "6.1", "6.8", "6.12", "6.18", "7.2")
_TYPES = ["Unmovable", "Movable", "Reclaimable", "HighAtomic", "CMA", "Isolate"]
_ORDERS = "".join(f"{order:6} " for order in range(11))
_PAGETYPEINFO = "\n".join(
    ["Page block order: 9", "Pages per block:  512", "", f"Free pages count per migrate type at order {_ORDERS}"]
    + [f"Node    0, zone    DMA32, type {kind:>12} {_ORDERS}" for kind in _TYPES]
    + ["", "Number of blocks type " + " ".join(f"{kind:>12}" for kind in _TYPES)]
    + [f"Node 0, zone    DMA32 {'           1' * len(_TYPES)}", ""]
)
_BUDDYINFO = f"Node 0, zone      DMA {_ORDERS}\nNode 0, zone    DMA32 {_ORDERS}\n"
_MEMINFO = "MemTotal:       16384 kB\nMemFree:        8192 kB\nActive(anon):     12 kB\nHugePages_Total:   3\n"
_VMSTAT = "nr_free_pages 2048\nnr_mlock 0\nthp_fault_alloc 3\n"
_FREE = """               total        used        free      shared  buff/cache   available
Mem:         8039460     1823104     4500212       12044     1716144     5922012
Swap:        2097148           0     2097148
"""
_LOG = """[  123.456789] stress: page allocation failure: order:4, mode:0x40dc0(GFP_KERNEL|__GFP_COMP), nodemask=(null)
[  123.456790] CPU: 1 PID: 133 Comm: stress Not tainted 6.1.0-28-amd64 #1  Debian 6.1.119-1
[  123.456791] Mem-Info:
[  123.456792] active_anon:1000 inactive_anon:2000 isolated_anon:0
[  123.456793]  free:20000 free_pcp:7 free_cma:0
[  123.456794] Node 0 DMA32 free:80000kB boost:2048kB min:4000kB low:50000kB high:60000kB reserved_highatomic:2048KB \
present:2000000kB managed:1950000kB free_pcp:28kB local_pcp:0kB free_cma:0kB
[  123.456795] lowmem_reserve[]: 0 0 0 0 0
[  123.456796] Node 0 DMA32: 10000*4kB (UME) 5000*8kB (M) 0*16kB 0*32kB 0*64kB 0*128kB 0*256kB 0*512kB 0*1024kB \
0*2048kB 0*4096kB = 80000kB
[  123.456797] 500000 pages RAM
"""
_MACHINE = json.dumps(
    {"kernel": "6.1.0", "architecture": "x86_64", "page_size": 4096, "pfn_end": 65536, "level": "page"}
)
_HEADER_PAGE = """\tfield: u64 timestamp;\toffset:0;\tsize:8;\tsigned:0;
\tfield: local_t commit;\toffset:8;\tsize:8;\tsigned:1;
\tfield: int overwrite;\toffset:8;\tsize:1;\tsigned:1;
\tfield: char data;\toffset:16;\tsize:4080;\tsigned:0;
"""
_COSTS = json.dumps(json.loads(Costs().to_json()))
_SCRIPT = """init 4096
startup 4
a 1 0 1
a 2 9 0
f 2
tick 100
i 512
u 512 1
r a 3 0 1
r |
f 1
tick 1000
shutdown
dump
sum
check
"""
_KERNEL_LINES = (
    "mm_page_alloc: page=00000000f6ed0d3b pfn={pfn:#x} order={order} migratetype=1 gfp_flags=GFP_KERNEL|__GFP_ZERO",
    "mm_page_free: page=00000000f6ed0d3b pfn={pfn} order={order}",
    "mm_page_free_batched: page=00000000f6ed0d3b pfn={pfn} order=0",
    "mm_page_alloc_zone_locked: page=00000000f6ed0d3b pfn={pfn} order={order} migratetype=1 percpu_refill=1",
    "mm_page_pcpu_drain: page=00000000f6ed0d3b pfn={pfn} order={order} migratetype=1",
    "mm_page_alloc_extfrag: page=00000000f6ed0d3b pfn={pfn} alloc_order=0 fallback_order=9 pageblock_order=9 "
    "alloc_migratetype=0 fallback_migratetype=1 fragmenting=0 change_ownership=1",
    "tracing_mark_write: MARK phase",
    f"tracing_mark_write: CLOCK {_HOST}",
    "isolate: (__isolate_free_page+0x0/0x1a0) page=0xffffea0000010000 order=9",
    "isolate_ret: (cycle+0x1/0x2 <- __isolate_free_page) ret=512",
    "putback: (__putback_isolated_page+0x0/0x60) page=0xffffea0000010000 order=9 mt=1",
    "report: (virtballoon_free_page_report+0x0/0xa0) nents=1",
    "report_ret: (cycle+0x1/0x2 <- virtballoon_free_page_report) ret=0",
    "sched_switch: prev_comm=a prev_pid=1",
)
# All there is, allocations and frees alone, with claims of pageblocks, and what zones say alone.
_RECORDED = (
    "",
    "mm_page_alloc: mm_page_free: mm_page_free_batched:",
    "mm_page_alloc: mm_page_free: mm_page_alloc_extfrag:",
    "mm_page_alloc_zone_locked: mm_page_pcpu_drain: mm_page_alloc_extfrag:",
)
_LETTERS = ("AFBZDXIiRrPM", "AFB", "AFX", "ZDX")


def _text(rng: random.Random) -> str:
    lines = ["# tracer: nop\n# entries-in-buffer/entries-written: 5/5   #P:2\n#\n"]
    recorded = rng.choice(_RECORDED)
    kinds = [line for line in _KERNEL_LINES if not recorded or line.split()[0] in recorded.split()]
    for step in range(rng.randrange(2, 60)):
        fields = rng.choice(kinds).format(pfn=1024 + rng.randrange(3072), order=rng.choice((0, 0, 0, 3, 9)))
        lines.append(f"              sh-7       [00{step % 2}] d..1.     1.{step:06d}: {fields}\n")
        if rng.random() < 0.05:
            lines.append("CPU:1 [LOST 10 EVENTS]\n")
    return "".join(lines)


def _csv(rng: random.Random) -> str:
    lines = ["dt_ns,cpu,pid,ev,pfn,order,mt,x\n"]
    letters = rng.choice(_LETTERS)
    for _ in range(rng.randrange(2, 60)):
        letter = rng.choice(letters)
        pfn, detail = 1024 + rng.randrange(3072), {"A": "140dca", "Z": 1, "X": "9:1:1", "M": "MARK x"}.get(letter, 1)
        lines.append(f"{rng.randrange(10**6)},{rng.randrange(2)},7,{letter},{pfn},{rng.choice((0, 0, 9))},1,{detail}\n")
    return "".join(lines)


def _bits(count: int) -> bytes:
    flags = np.zeros(count, "<u8")
    flags[count // 2 :] = 1 << 10
    return gzip.compress(flags.tobytes(), 1)


_EXTREMES = (
    *("", "0", "-1", "1", "NaN", "Infinity", "-Infinity", "1e999", "4294967296", "18446744073709551615", "1" * 25),
    *("9" * 5000, "\x1b[31m", "\udcff", "null", "0x", "1.5", "65536", "8192", "1099511627775", "4611686018427387905"),
)
_TOKENS = (b"\0", b"\n", b"\xff\xfe", b"\x1b]0;x\x07", b",", b" ", b"=", b":", b'"', b"[" * 40, b"\xe2\x80\xa8", b"\r")


def _mutate_text(rng: random.Random, text: str) -> bytes:
    data = text.encode("utf-8", "surrogateescape")
    for _ in range(rng.choice((1, 1, 2, 5))):
        data = _mutate_once(rng, data)
    return data


def _mutate_once(rng: random.Random, data: bytes) -> bytes:
    place = rng.randrange(len(data) + 1)
    match rng.randrange(8):
        case 0:
            return _flip(rng, data)
        case 1:
            return data[:place]
        case 2:
            return data[:place] + rng.choice(_TOKENS) + data[place:]
        case 3:
            return data[:place] + data[place + rng.randrange(40) :]
        case 4:
            other = rng.randrange(len(data) + 1)
            return data[:place] + data[other : other + rng.randrange(200)] + data[place:]
        case 5:
            lines = data.split(b"\n")
            rng.shuffle(lines)
            return b"\n".join(lines)
        case _:
            # A word becomes one that nobody expects there.
            begin = next((k for k in range(place, len(data)) if chr(data[k]).isalnum()), len(data))
            end = next((k for k in range(begin, len(data)) if not chr(data[k]).isalnum()), len(data))
            return data[:begin] + rng.choice(_EXTREMES).encode("utf-8", "surrogateescape") + data[end:]


def _flip(rng: random.Random, data: bytes) -> bytes:
    if not data:
        return data
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 3, 10))):
        changed[rng.randrange(len(changed))] = rng.randrange(256)
    return bytes(changed)


_VALUES = (None, True, -1, 0, 1, 1 << 31, 1 << 62, 1 << 64, 10**400, 0.5, -1.0, 1e300, "", "x", "\x1b[2J", [], {}, [[]])


def _mutate_json(rng: random.Random, text: str) -> bytes:
    if rng.random() < 0.2:
        return _mutate_text(rng, text)
    data = json.loads(text)
    node, depth = data, 0
    while isinstance(node, dict | list) and node:
        key = rng.choice(list(node)) if isinstance(node, dict) else rng.randrange(len(node))
        depth += 1
        if not isinstance(node[key], dict | list) or not node[key] or rng.random() < 0.3:
            if isinstance(node, dict) and rng.random() < 0.2:
                del node[key]
            else:
                node[key] = rng.choice(_VALUES)
            break
        node = node[key]
    return json.dumps(data).encode("utf-8", "surrogatepass")


_NUMBERS = (-(1 << 63), -1, 0, 1, 255, 65535, 1 << 40, (1 << 62) + 1, (1 << 63) - 1)


def _mutate_table(rng: random.Random, path: Path) -> None:
    table = pq.read_table(path)
    name = rng.choice(table.column_names)
    index, column = table.column_names.index(name), table.column(name)
    values = column.to_pylist()
    match rng.randrange(6):
        case 0 if values:
            values[rng.randrange(len(values))] = None
        case 1 if values and pa.types.is_integer(column.type):
            bits, low = column.type.bit_width, -(1 << column.type.bit_width - 1)
            limits = (0, (1 << bits) - 1) if str(column.type).startswith("u") else (low, -low - 1)
            values[rng.randrange(len(values))] = min(max(rng.choice(_NUMBERS), limits[0]), limits[1])
        case 2:
            rng.shuffle(values)
        case 3:
            table = table.drop_columns([name])
            pq.write_table(table, path)
            return
        case 4:
            pq.write_table(table.set_column(index, name, pa.array([str(value) for value in values])), path)
            return
        case _:
            pq.write_table(pa.concat_tables([table] * rng.randrange(1, 4)) if rng.random() < 0.5 else table[:0], path)
            return
    pq.write_table(table.set_column(index, pa.field(name, column.type), pa.array(values, column.type)), path)


_PASTED = [
    _ZONEINFO,
    _PAGETYPEINFO,
    _BUDDYINFO,
    _MEMINFO,
    _VMSTAT,
    _FREE,
    _LOG,
    _LOG + _LOG.replace("123.4", "200.5"),
] + [path.read_text() for path in sorted((_TESTS / "diagnosis" / "data" / "pasted").iterdir())]


# What `pagehint record -o -` sends of a guest: some pages of its ring buffers, and a snapshot.
def _pieces() -> list[tuple[str, bytes]]:
    folder = _TESTS / "trace" / "recorder" / "pages" / "6.1"
    pieces = [("machine", _MACHINE.encode()), ("header_page", _HEADER_PAGE.encode())]
    formats = (folder / "formats").read_text().split("name: ")[1:]
    pieces += [(f"format/{text.split()[0]}", f"name: {text}".encode()) for text in formats]
    for name, text in (("zoneinfo", _ZONEINFO), ("pagetypeinfo", _PAGETYPEINFO), ("buddyinfo", _BUDDYINFO)):
        pieces.append((f"init/{name}", text.encode()))
    pieces += [("init/kpageflags.gz", _bits(_PAGES)), ("init/end", b""), ("round", b"1000")]
    for cpu in range(2):
        pages = gzip.decompress((folder / f"cpu{cpu}.raw.gz").read_bytes())
        pieces.append((f"pages/{cpu}", pages[: 4 * 4096]))
    pieces += [("round", b"99999999999999"), ("stats/0", b"overrun: 3\n"), ("balloon", b"5")]
    pieces.append(("file//sys/module/page_reporting/parameters/page_reporting_order", b"9"))
    return pieces


_PREFIXES = (
    *("", "Nov 28 09:12:01 host kernel: ", "[   12.345678] ", "<4>[   12.345678] ", "[Fri Nov 28 09:12:01 2026] "),
    *("2026-11-28T09:12:01.123456+01:00 host kernel: [   12.345678] ", "| ", "    ", "kern  :warn  : [   12.345678] "),
)
_TREE = """FlatView #0
 AS "memory", root: system
  0000000000000000-000000000009ffff (prio 0, ram): ram
  00000000000a0000-00000000000bffff (prio 1, i/o): vga-lowmem
  00000000000c0000-00000000000c3fff (prio 0, rom): ram @00000000000c0000
  0000000000100000-000000007fffffff (prio 0, ram): ram @0000000000100000
  0000000100000000-000000017fffffff (prio 0, ram): ram @0000000080000000
"""
_QMP = (
    {"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}}, "capabilities": ["oob"]}},
    {"return": {}},
    {"timestamp": {"seconds": 1, "microseconds": 2}, "event": "RESUME"},
    {"return": "Host virtual address for 0x0 (ram) is 0x7f1c2be00000\r\n"},
    {"return": _TREE},
)


def _say(server: socket.socket, answers: bytes) -> None:
    # Who is answered may go before all was said.
    with contextlib.suppress(OSError), server.accept()[0] as connection:
        connection.sendall(answers)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(1 << 16):
            pass


KINDS: dict[str, tuple[int, str]] = {
    "line": (30, "_line"),
    "proc": (30, "_proc"),
    "costs": (10, "_costs"),
    "script": (10, "_script"),
    "pasted": (20, "_pasted"),
    "log": (10, "_log"),
    "stream": (6, "_stream"),
    "text": (6, "_text"),
    "snapshot": (3, "_snapshot"),
    "marks": (3, "_marks"),
    "residency": (2, "_residency"),
    "host": (2, "_host"),
    "qmp": (10, "_qmp"),
    "fleet": (2, "_fleet"),
    "run folder": (3, "_run_folder"),
    "meta.json": (4, "_meta"),
    "bundle bytes": (4, "_bundle_bytes"),
    "bundle table": (3, "_bundle_table"),
}
"""How often a case of each kind comes, and the method of Corpus that is one."""


class Corpus:
    """Whole inputs, in `folder`; each case mutates one of them, uses it, and leaves the folder as it was.

    `only`: the kinds of cases; empty: all.
    """

    def __init__(self, folder: Path, only: Sequence[str] = ()) -> None:
        self.folder = folder
        self.start = folder / "start"
        self.start.mkdir()
        for name, text in (("zoneinfo", _ZONEINFO), ("pagetypeinfo", _PAGETYPEINFO), ("buddyinfo", _BUDDYINFO)):
            (self.start / name).write_text(text)
        (self.start / "version").write_text("Linux version 6.1.0 (x) #1\n")
        (self.start / "marks").write_text("1000000000 KPF-BEGIN init\n1000000001 KPF-END init\n")
        (self.start / "kpageflags.gz").write_bytes(_bits(_PAGES))
        rng = random.Random(1)
        self.run = folder / "run"
        self._make_run(self.run, _csv(rng).encode())
        self.bundles = [import_trace(self.run, folder / "whole.pagetrace").path]
        for number in range(8):
            self._make_run(folder / f"run{number}", _csv(rng).encode())
            self.bundles.append(import_trace(folder / f"run{number}", folder / f"{number}.pagetrace").path)
        self.steps = import_trace(self._make_steps(folder / "steps"), folder / "steps.pagetrace").path
        self.scratch = folder / "scratch"
        self.pieces = _pieces()
        self.cases = {
            kind: (weight, getattr(self, name)) for kind, (weight, name) in KINDS.items() if not only or kind in only
        }

    def _make_run(self, run: Path, events: bytes) -> None:
        run.mkdir()
        (run / "events.csv.gz").write_bytes(gzip.compress(events, 1))
        clock = {"g0_ns": 0, "h0_ns": _HOST, "offset_ns": -100.0, "drift": 1e-6}
        (run / "decode.json").write_text(json.dumps({"cpu0.stats": {"overrun": "3"}, "clock": clock}))
        (run / "ctl.txt").write_text(
            f"{_HOST} SAY 500 balloon insmod rc=0 order=9\n{_HOST} SAY 600 features {'01' * 32}\n"
        )
        for when in ("init", "final"):
            (run / f"{when}.zoneinfo.txt").write_text(_ZONEINFO)
            (run / f"{when}.pagetypeinfo.txt").write_text(_PAGETYPEINFO)
            (run / f"{when}.kpageflags.u64.gz").write_bytes(_bits(_PAGES))
        rss = f"host_ns,rss_kib,ram_resident_kib,memfd_kib\n{_HOST + 5_000_000},50,,\n{_HOST + 10_000_000},60,40,30\n"
        (run / "rss.csv.gz").write_bytes(gzip.compress(rss.encode(), 1))
        reported = f"t_host_ns,gpa,len,ret\n{_HOST + 9_000_000},4194304,2097152,0\n"
        (run / "reported.csv.gz").write_bytes(gzip.compress(reported.encode(), 1))
        times = np.array([_HOST + 5_000_000, _HOST + 10_000_000], np.int64)
        np.savez(run / "resident.npz", t_ns=times, bits=np.full((2, _PAGES // 8), 0xF0, np.uint8))

    # Huge pages that come and go, each half a second: what a host sees of it tells its clock.
    def _make_steps(self, run: Path) -> Path:
        rng = random.Random(2)
        lines, used = ["dt_ns,cpu,pid,ev,pfn,order,mt,x\n"], set[int]()
        resident: list[int] = []
        for _ in range(60):
            pfn = 512 * rng.randrange(2, 8)
            letter = "F" if pfn in used else "A"
            used ^= {pfn}
            lines.append(f"500000000,0,7,{letter},{pfn},9,1,{'140dca' if letter == 'A' else ''}\n")
            resident.append(len(used))
        self._make_run(run, "".join(lines).encode())
        for name in ("rss.csv.gz", "reported.csv.gz", "resident.npz"):
            (run / name).unlink()
        rows = [dict.fromkeys(HOST_SCHEMA.names) for _ in resident]
        for step, (row, pages) in enumerate(zip(rows, resident, strict=True), 1):
            row |= {"time": _HOST + 500_000_000 * step, "rss_kib": 10_000 + 2048 * pages}
            if step % 5 == 0:
                row |= {"ram_resident_kib": 2048 * pages, "bits": bytes(_PAGES // 8)}
        pq.write_table(pa.Table.from_pylist(rows, schema=HOST_SCHEMA), self.folder / "host.parquet")
        guest = {"time": [row["time"] for row in rows], "resident": [2 << 20] * len(rows)}
        pq.write_table(
            pa.table(guest, pa.schema([("time", pa.int64()), ("resident", pa.int64())])), run / "guest.parquet"
        )
        return run

    def __call__(self, number: int, seed: int) -> str:
        """Make input `number` and use it; returns its kind. Raises what is not InputError's like."""
        rng = random.Random(f"{seed}:{number}")
        kinds, weights = zip(*((kind, weight) for kind, (weight, _) in self.cases.items()), strict=True)
        (kind,) = rng.choices(kinds, weights)
        shutil.rmtree(self.scratch, ignore_errors=True)
        with contextlib.suppress(PagehintError):
            self.cases[kind][1](rng)
        return kind

    def _line(self, rng: random.Random) -> None:
        parser = LineParser("trace.txt")
        for number, line in enumerate(_mutate_text(rng, _text(rng)).decode("utf-8", "replace").split("\n"), 1):
            parser.note_recorder(line)
            with contextlib.suppress(InputError):
                parser.parse(line, number)

    def _proc(self, rng: random.Random) -> None:
        parse, text = rng.choice(
            (
                (zone_layouts, _ZONEINFO),
                (parse_pagetypeinfo, _PAGETYPEINFO),
                (parse_buddyinfo, _BUDDYINFO),
                (parse_meminfo, _MEMINFO),
                (parse_vmstat, _VMSTAT),
            )
        )
        parse(_mutate_text(rng, text).decode("utf-8", "replace"), "file")

    def _costs(self, rng: random.Random) -> None:
        self.scratch.mkdir()
        (self.scratch / "costs.json").write_bytes(_mutate_json(rng, _COSTS))
        Costs.read(self.scratch / "costs.json")

    def _script(self, rng: random.Random) -> None:
        script = Script(lambda text: None)
        for line in _mutate_text(rng, _SCRIPT).decode("utf-8", "replace").split("\n"):
            # A zone of 160 GiB may be asked for, and be more than there is: the command line says so.
            with contextlib.suppress(PagehintError, MemoryError):
                script.line(line)

    def _pasted(self, rng: random.Random) -> None:
        self.scratch.mkdir()
        texts = rng.sample(_PASTED, rng.randrange(1, 4))
        whole = rng.random() < 0.5
        if whole:
            texts = ["\n".join(texts)]
        files = []
        for number, text in enumerate(texts):
            files.append(self.scratch / str(number))
            files[-1].write_bytes(_mutate_text(rng, text))
        if rng.random() < 0.2:
            files.append(self.scratch / "kpageflags.gz")
            shutil.copy(self.start / "kpageflags.gz", files[-1])
            self._mutate_file(rng, files[-1])
        self._diagnose(files)

    @staticmethod
    def _diagnose(files: list[Path]) -> None:
        found = diagnose(files)
        json.dumps(found.to_dict(), allow_nan=False)
        print_doctor(Console(file=io.StringIO()), found)
        doctor_page(found).encode()

    def _log(self, rng: random.Random) -> None:
        self.scratch.mkdir()
        text = rng.choice(list(SAMPLES.values()))
        prefix = rng.choice(_PREFIXES)
        text = "".join(f"{prefix}{line}\n" for line in text.split("\n"))
        if rng.random() < 0.3:
            text += rng.choice(list(SAMPLES.values()))
        (self.scratch / "log").write_bytes(_mutate_text(rng, text))
        self._diagnose([self.scratch / "log"])

    def _marks(self, rng: random.Random) -> None:
        shutil.copytree(self.start, self.scratch)
        marks = f"1000000 CLOCK {_HOST}\n1000001 KPF-BEGIN init\n1000005 KPF-END init\n1000010 MARK one\n"
        (self.scratch / "marks").write_bytes(_mutate_text(rng, marks))
        (self.scratch / "t.txt").write_text(_text(rng))
        self._import(rng, self.scratch / "t.txt", self.scratch)

    def _host(self, rng: random.Random) -> None:
        self.scratch.mkdir()
        host = Path(shutil.copy(self.folder / "host.parquet", self.scratch))
        if rng.random() < 0.7:
            _mutate_table(rng, host)
        else:
            host.write_bytes(_flip(rng, host.read_bytes()))
        output = self.folder / "out.pagetrace"
        offset = rng.choice((None, _HOST, _HOST, rng.choice(_NUMBERS)))
        self._made(rng, output, lambda: with_host(Trace.open(self.steps), host, output, offset))

    def _qmp(self, rng: random.Random) -> None:
        self.scratch.mkdir()
        path = self.scratch / "qmp"
        answers = b"".join(json.dumps(answer).encode() + b"\r\n" for answer in _QMP)
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(path))
            server.listen()
            thread = threading.Thread(target=_say, args=(server, _mutate_once(rng, answers)))
            thread.start()
            try:
                with Qmp(path) as connection:
                    ram_of_qmp(connection)
            finally:
                thread.join()

    def _fleet(self, rng: random.Random) -> None:
        self.scratch.mkdir()
        guest = Path(shutil.copy(self.folder / "steps" / "guest.parquet", self.scratch))
        if rng.random() < 0.7:
            _mutate_table(rng, guest)
        else:
            guest.write_bytes(_flip(rng, guest.read_bytes()))
        found = fleet([Guests(guest, rng.choice((1, 7, 1000)))], rng.choice((1, 1 << 30, 1 << 60)))
        json.dumps(found.to_dict(), allow_nan=False)
        print_fleet(Console(file=io.StringIO()), found)
        fleet_page(found).encode()

    def _stream(self, rng: random.Random) -> None:
        out = io.BytesIO()
        put = FrameWriter(out)
        which = rng.randrange(len(self.pieces))
        for number, (name, data) in enumerate(self.pieces):
            if number == which:
                data = _mutate_once(rng, data)
            put(name, data)
        put("end", b"")
        data = out.getvalue()
        if rng.random() < 0.3:
            data = _mutate_once(rng, data)
        self.scratch.mkdir()
        (self.scratch / "stream").write_bytes(data)
        self._import(rng, self.scratch / "stream", None)

    def _text(self, rng: random.Random) -> None:
        self.scratch.mkdir()
        data = _mutate_text(rng, _text(rng))
        (self.scratch / "t.txt").write_bytes(gzip.compress(data, 1) if rng.random() < 0.2 else data)
        self._import(rng, self.scratch / "t.txt", self.start if rng.random() < 0.8 else None)

    def _snapshot(self, rng: random.Random) -> None:
        shutil.copytree(self.start, self.scratch)
        path = rng.choice(sorted(self.scratch.iterdir()))
        self._mutate_file(rng, path)
        (self.scratch / "t.txt").write_text(_text(rng))
        self._import(rng, self.scratch / "t.txt", self.scratch)

    def _residency(self, rng: random.Random) -> None:
        self.scratch.mkdir()
        rows = "".join(f"{_HOST + step * 10},{100 - step}\n" for step in range(20))
        (self.scratch / "rss.csv").write_bytes(_mutate_text(rng, f"host_ns,ram_resident_kib\n{rows}"))
        (self.scratch / "t.txt").write_text(_text(rng))
        self._import(
            rng, self.scratch / "t.txt", self.start, residency=self.scratch / "rss.csv", clock_offset=_HOST - 10**9
        )

    def _run_folder(self, rng: random.Random) -> None:
        shutil.copytree(self.run, self.scratch)
        if rng.random() < 0.5:
            (self.scratch / "events.csv.gz").write_bytes(gzip.compress(_mutate_text(rng, _csv(rng)), 1))
        else:
            self._mutate_file(rng, rng.choice(sorted(self.scratch.iterdir())))
        self._import(rng, self.scratch, None)

    @staticmethod
    def _mutate_file(rng: random.Random, path: Path) -> None:
        data = path.read_bytes()
        if path.suffix == ".gz" and rng.random() < 0.7:
            path.write_bytes(gzip.compress(_mutate_once(rng, gzip.decompress(data)), 1))
        elif path.suffix == ".json":
            path.write_bytes(_mutate_json(rng, data.decode()))
        else:
            path.write_bytes(_mutate_once(rng, data))

    def _meta(self, rng: random.Random) -> None:
        shutil.copytree(rng.choice(self.bundles), self.scratch)
        (self.scratch / "meta.json").write_bytes(_mutate_json(rng, (self.scratch / "meta.json").read_text()))
        self._use(rng, self.scratch)

    def _bundle_bytes(self, rng: random.Random) -> None:
        shutil.copytree(rng.choice(self.bundles), self.scratch)
        path = rng.choice([path for path in sorted(self.scratch.rglob("*")) if path.is_file()])
        data = path.read_bytes()
        footer = len(data) // 2 if rng.random() < 0.5 else 0
        path.write_bytes(data[:footer] + _flip(rng, data[footer:]))
        self._use(rng, self.scratch)

    def _bundle_table(self, rng: random.Random) -> None:
        shutil.copytree(rng.choice(self.bundles), self.scratch)
        _mutate_table(rng, rng.choice(sorted(self.scratch.glob("*.parquet"))))
        self._use(rng, self.scratch)

    def _import(self, rng: random.Random, source: Path, snapshot: Path | None, **more: object) -> None:
        output = self.folder / "out.pagetrace"
        self._made(rng, output, lambda: import_trace(source, output, snapshot, **more))

    def _made(self, rng: random.Random, output: Path, make: Callable[[], object]) -> None:
        before = set(self.folder.iterdir())
        try:
            make()
        except PagehintError:
            if left := set(self.folder.iterdir()) - before:
                raise AssertionError(f"an import that failed left {sorted(left)}") from None
            return
        try:
            self._use(rng, output)
        finally:
            shutil.rmtree(output)

    def _use(self, rng: random.Random, path: Path) -> None:
        trace = Trace.open(path)
        json.dumps(describe(trace), allow_nan=False)
        design = rng.choice([guest_reporting(trace), *(design() for design in DESIGNS.values())])
        placement = rng.choice(("simulated", "simulated", "recorded"))
        run = replay(trace, design, placement=placement, sample=rng.choice(("50ms", None)), kernel=rng.choice(_KERNELS))
        told = run.to_dict()
        json.dumps(told, allow_nan=False)
        _check_totals(told, trace)


def _check_totals(told: dict[str, Any], trace: Trace) -> None:
    span = trace.meta.span_pages * trace.meta.page_size
    for name, value in told["totals"].items():
        if isinstance(value, int | float) and value < 0:
            raise AssertionError(f"a report of garbage: {name} is {value}")
        if name.endswith("resident") and isinstance(value, int | float) and value > 2 * span + (4 << 20):
            raise AssertionError(f"a report of garbage: {name} is {value} of {span} bytes")
