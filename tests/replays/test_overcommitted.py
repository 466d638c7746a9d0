"""A host with too little memory for its guest: what is in use and resident, as areas are swapped out."""

from pathlib import Path

from pagehint.host.model import ModelHost
from pagehint.replays.replay import replay

from .recording import Row, record, zone


def test_a_block_of_two_areas_may_have_the_host_look_round_twice(tmp_path: Path) -> None:
    """Area 2 is swapped out for area 0, once the host has looked at all others, and area 0 for area 1."""
    rows: list[Row] = [
        *[("Z", 1536, 9, 0), ("A", 1536, 9, 0), ("Z", 1024, 9, 0), ("A", 1024, 9, 0)],
        *[("Z", 0, 10, 0), ("A", 0, 10, 0), ("Z", 2048, 0, 0), ("Z", 2049, 0, 0)],
    ]
    trace = record(tmp_path / "t", rows, [zone(1 << 12)])
    run = replay(trace, None, ModelHost("4KiB", memory="2MiB"), "recorded", "1ms", backed=False)
    last = {name: run.timeline.column(name)[-1].as_py() for name in ("resident", "used", "free_resident")}
    assert last == {"resident": 2 << 20, "used": 2 << 20, "free_resident": 0}
    assert run.totals.ideal_footprint <= run.totals.footprint
