"""A small made-up run folder, and the bundle made of it."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pagehint.trace import Trace, import_trace

ZONEINFO = """Node 0, zone      DMA
  per-node stats
      nr_mapped    585
  pages free     10
        boost    0
        min      1
        low      2
        high     3
        spanned  63
        present  63
        managed  60
        cma      0
        protection: (0, 948, 948, 948, 948)
      nr_free_pages 10
  pagesets
    cpu: 0
              count: 0
              high:  218
              batch: 1
  start_pfn:           1
Node 0, zone    DMA32
  pages free     100
        min      11
        low      13
        high     16
        spanned  192
        present  192
        managed  180
      nr_free_pages 100
  pagesets
    cpu: 0
              count: 27
              high:  138
              batch: 63
    cpu: 1
              count: 27
              high:  139
              batch: 63
  start_pfn:           64
Node 0, zone   Normal
  pages free     0
        min      0
        low      0
        high     0
        spanned  0
        present  0
        managed  0
"""

PAGETYPEINFO = "Page block order: 4\nPages per block:  16\n"

EVENTS = """dt_ns,cpu,pid,ev,pfn,order,mt,x
1000,0,7,Z,64,0,1,1
5,0,7,A,64,0,1,140dca
10,1,8,X,80,1,0,4:1:1
0,1,8,Z,80,1,0,0
0,1,8,A,-1,9,1,3c24ca
100,0,7,M,,,,KPF-BEGIN init.kpageflags
100,0,7,M,,,,"MARK phase, one"
3000000000,0,7,F,64,0,,
0,0,7,B,64,0,,
7,0,7,D,64,0,1,
1,0,9,I,96,4,,
1,0,9,i,,,,16
1,0,9,R,,,,1
1,0,9,r,,,,0
1,0,9,P,96,4,1,
"""

CTL = """1700000000000000500 SAY 500 balloon insmod rc=0 order=4
1700000000000000700 SAY 600 features 0x0003 0x0005  0100010000000000000000000000010010000000100000000000000000000000
"""

DECODE = {
    "lost_page_flags": 0,
    "cpu0.stats": {"entries": "9", "overrun": "0", "dropped events": "0"},
    "cpu1.stats": {"entries": "9", "overrun": "3", "dropped events": "1"},
    "clock": {"g0_ns": 1000, "h0_ns": 1700000000000001000, "offset_ns": -100.0, "drift": 0.0},
}


def _make_run(folder: Path, events: str = EVENTS) -> Path:
    folder.mkdir()
    (folder / "events.csv.gz").write_bytes(gzip.compress(events.encode()))
    (folder / "decode.json").write_text(json.dumps(DECODE))
    (folder / "ctl.txt").write_text(CTL)
    (folder / "guest_version.txt").write_text("Linux version 6.1.0-56-cloud-amd64 (debian-kernel) #1 SMP\n")
    for when in ("init", "final"):
        (folder / f"{when}.zoneinfo.txt").write_text(ZONEINFO)
        (folder / f"{when}.pagetypeinfo.txt").write_text(PAGETYPEINFO)
        flags = np.arange(256, dtype="<u8")
        (folder / f"{when}.kpageflags.u64.gz").write_bytes(gzip.compress(flags.tobytes()))
    rss = "host_ns,rss_kib,ram_resident_kib,memfd_kib,cpu_ms\n"
    rss += "1700000000000001000,50,,,7\n1700000000000002000,60,40,30,8\n"
    (folder / "rss.csv.gz").write_bytes(gzip.compress(rss.encode()))
    reported = "t_host_ns,gpa,len,ret\n1700000000000001900,393216,65536,0\n"
    (folder / "reported.csv.gz").write_bytes(gzip.compress(reported.encode()))
    times = np.array([1700000000000001000, 1700000000000002000], np.int64)
    np.savez(folder / "resident.npz", t_ns=times, bits=np.array([[0x80] + 31 * [0], 32 * [0xFF]], np.uint8))
    return folder


@pytest.fixture
def events_csv() -> str:
    return EVENTS


@pytest.fixture
def zoneinfo() -> str:
    return ZONEINFO


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Path]:
    """Makes a run folder; takes the text of its CSV."""
    return lambda events=EVENTS: _make_run(tmp_path / "run", events)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return _make_run(tmp_path / "run")


@pytest.fixture
def bundle(run: Path, tmp_path: Path) -> Path:
    return import_trace(run, tmp_path / "guest.pagetrace").path


@pytest.fixture
def trace(bundle: Path) -> Trace:
    return Trace.open(bundle)
