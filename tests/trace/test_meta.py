import contextlib
import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pagehint.errors import InputError
from pagehint.trace.meta import Clock, GuestReporting, Lost, Meta, ZoneLayout, read_meta, write_meta

ZONE = {
    "node": 0,
    "name": "DMA",
    "start_pfn": 1,
    "spanned": 10,
    "present": 10,
    "managed": 9,
    "min": 2,
    "low": 3,
    "high": 4,
}
FULL = Meta(
    recorder="r",
    source="s",
    kernel="6.1",
    pageblock_order=9,
    zones=[ZoneLayout(**ZONE, pcp_high=4, pcp_batch=1)],
    clock=Clock(1, 2, -3.5, 1e-5),
    reporting=GuestReporting(on=True, order=9),
    lost=Lost({"0": 5}, 1, 2),
    cpus=1,
    events={"A": 3},
    first_ns=0,
    last_ns=9,
    anomalies={"odd": 1},
)


def test_round_trip(tmp_path: Path) -> None:
    for meta in (FULL, Meta(recorder="r", source="s")):
        write_meta(meta, tmp_path / "meta.json")
        assert read_meta(tmp_path / "meta.json") == meta


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"format": "x"}, 'not the meta.json of a trace bundle: "format" is not "pagetrace"'),
        ({"version": 2}, "version 2 is newer than this pagehint reads"),
        ({"version": "1"}, '"version" is 1, expected 1'),
        ({"version": True}, '"version" is True, expected 1'),
        ({"recorder": 5}, "recorder: Expected `str`, got `int`"),
        ({"zones": {}}, "zones: Expected `array`, got `object`"),
        ({"zones": [{"node": 0}]}, r"zones\[0\]: Object missing required field `name`"),
        ({"zones": [5]}, r"zones\[0\]: Expected `object`, got `int`"),
        (
            {"clock": {"g0_ns": 1, "h0_ns": 1, "offset_ns": "0", "drift": 0}},
            "clock.offset_ns: Expected `float`, got `str`",
        ),
        ({"reporting": {"on": 1}}, r"reporting.on: Expected `bool \| null`, got `int`"),
        ({"events": {"A": "many"}}, r"events\[...\]: Expected `int`, got `str`"),
        ({"events": {"alloc": 3}}, "a key of events: Expected `str` matching regex"),
        ({"events": {"A": -3}}, r"events\[...\]: Expected `int` >= 0"),
        ({"lost": {"by_cpu": {"x": 3}}}, "a key of lost.by_cpu: Expected `str` matching regex"),
        ({"level": "zones"}, "level: Invalid enum value 'zones'"),
        ({"page_size": 5000}, "page_size is 5000, expected a power of two"),
        ({"page_size": 1 << 70}, "page_size: Expected `int` <= 1073741824"),
        ({"pageblock_order": 99}, "pageblock_order: Expected `int` <= 20"),
        ({"cpus": -1}, "cpus: Expected `int` >= 0"),
        ({"cpus": 0}, "cpus is 0, expected 1 or more"),
        ({"cpus": 10**12}, "cpus: Expected `int` <= 8192"),
        ({"reporting": {"on": True, "order": 99}}, "reporting.order: Expected `int` <= 20"),
        ({"reporting": {"on": True, "delay_ns": -1}}, "reporting.delay_ns: Expected `int` >= 0"),
        ({"reporting": {"on": True, "capacity": 0}}, "reporting.capacity: Expected `int` >= 1"),
        ({"lost": {"by_cpu": {"3": -3}}}, r"lost.by_cpu\[...\]: Expected `int` >= 0"),
        ({"zones": [{**ZONE, "low": 1}]}, r"zones\[0\].low is 1, expected 2 to"),
        ({"zones": [{**ZONE, "managed": 11}]}, r"zones\[0\].managed is 11, expected 0 to 10"),
        ({"zones": [{**ZONE, "start_pfn": -1}]}, r"zones\[0\]: start_pfn -1, spanned 10: expected"),
        # A replay refused them, without a file's name.
        ({"zones": [{**ZONE, "pcp_batch": 70_000}]}, r"zones\[0\].pcp_batch is 70000, expected 0 to 65536"),
        ({"zones": [{**ZONE, "pcp_high_min": 9, "pcp_high_max": 8}]}, r"zones\[0\].pcp_high_max is 8, expected 9 to"),
        ({"last_ns": -1}, "last_ns is -1, expected first_ns, 0, or more"),
        ({"last_ns": (1 << 62) + 1}, "last_ns: Expected `int` <= 4611686018427387904"),
        ({"first_ns": None}, "first_ns or last_ns is missing"),
        ({"clock": {"g0_ns": 1, "h0_ns": 1, "offset_ns": 0, "drift": -1}}, "clock: drift -1.0 of the clock is absurd"),
        ({"clock": {"g0_ns": 1, "h0_ns": 1, "offset_ns": 1e30, "drift": 0}}, "clock: offset_ns 1e.30 of the clock"),
        ({"zones": [ZONE, {**ZONE, "start_pfn": 10}]}, "begins at pfn 10, inside zone"),
    ],
)
def test_garbage(tmp_path: Path, change: dict[str, Any], error: str) -> None:
    path = tmp_path / "meta.json"
    write_meta(FULL, path)
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(InputError, match=error) as caught:
        read_meta(path)
    assert str(caught.value).startswith(str(path))


@pytest.mark.parametrize("key", ["first_ns", "last_ns"])
def test_the_times_are_there(tmp_path: Path, key: str) -> None:
    path = tmp_path / "meta.json"
    write_meta(FULL, path)
    path.write_text(json.dumps({name: value for name, value in json.loads(path.read_text()).items() if name != key}))
    with pytest.raises(InputError, match="first_ns or last_ns is missing"):
        read_meta(path)


@pytest.mark.parametrize(
    "key", ["cpus", "pfn_end", "page_size", "pageblock_order", "clock", "lost", "anomalies", "crc32", "system", "level"]
)
def test_null_is_not_known_as_what_is_missing(tmp_path: Path, key: str) -> None:
    """As docs/trace-format.md says: of half of the keys it was refused."""
    path = tmp_path / "meta.json"
    write_meta(FULL, path)
    data = {**json.loads(path.read_text()), key: None}
    path.write_text(json.dumps({**data, "reporting": {**data["reporting"], "parameters": None}}))
    found = read_meta(path)
    del data[key]
    path.write_text(json.dumps(data))
    assert found == read_meta(path)


def test_where_memory_ends_is_there(tmp_path: Path) -> None:
    """Of events that name pages it said that none does."""
    path = tmp_path / "meta.json"
    write_meta(dataclasses.replace(FULL, zones=[]), path)
    data = json.loads(path.read_text())
    del data["pfn_end"]
    path.write_text(json.dumps(data))
    with pytest.raises(InputError, match=r"pfn_end is missing, and no zones tell where the guest's memory ends$"):
        read_meta(path)


@pytest.mark.parametrize("content", [b"", b"{", b" " * (1 << 27) + b"{}", b"\xff\xfe", b"[1]", b"null", b"[" * 5000])
def test_not_a_meta(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "meta.json").write_bytes(content)
    with pytest.raises(InputError):
        read_meta(tmp_path / "meta.json")


JSON = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
VALUES = JSON | st.lists(JSON, max_size=2) | st.dictionaries(st.text(max_size=5), JSON, max_size=2)


@given(st.sampled_from([field.name for field in dataclasses.fields(Meta)]), VALUES)
def test_any_json_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, key: str, value: Any) -> None:
    path = tmp_path_factory.mktemp("meta") / "meta.json"
    write_meta(FULL, path)
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
    with contextlib.suppress(InputError):
        assert isinstance(read_meta(path), Meta)
