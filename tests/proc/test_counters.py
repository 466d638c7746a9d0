from pathlib import Path

import pytest

from pagehint.errors import InputError
from pagehint.proc.counters import parse_meminfo, parse_vmstat


def test_this_machines_counters():
    meminfo = parse_meminfo(Path("/proc/meminfo").read_text(), "meminfo")
    assert {"MemTotal", "MemFree", "AnonHugePages", "Active(anon)", "HugePages_Total"} <= meminfo.keys()
    assert meminfo["MemFree"] < meminfo["MemTotal"]
    text = Path("/proc/vmstat").read_text()
    assert len(parse_vmstat(text, "vmstat")) == len(text.splitlines())


def test_other_lines_say_nothing():
    assert parse_meminfo("# cat /proc/meminfo\nMemTotal:  12 kB\r\n\nHugePages_Free:       3\n", "meminfo") == {
        "MemTotal": 12,
        "HugePages_Free": 3,
    }


def test_what_is_no_count():
    with pytest.raises(InputError, match="meminfo: line 1: 'x1' is no count"):
        parse_meminfo("MemTotal:  x1 kB\n", "meminfo")
    with pytest.raises(InputError, match="vmstat: line 2: '18446744073709551615' is no count"):
        parse_vmstat("a 1\nnr_dirty 18446744073709551615\n", "vmstat")
