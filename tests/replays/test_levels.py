"""A recording at zone level against the same guest's at page level."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pagehint.replays.replay import replay
from pagehint.replays.start import guest_reporting
from pagehint.trace import Trace
from pagehint.trace.bundle import Trace as Bundle
from pagehint.trace.copy import copy_bundle
from pagehint.trace.shipped import example
from pagehint.trace.tables import RESIDENCY_SCHEMA


class ZoneLevel(Bundle):
    """Of the allocations and frees only those that pass no per-CPU list, as `record --level zone` has them."""

    def batches(self, *arguments: Any, **more: Any) -> Iterator[dict[str, NDArray[Any]]]:
        for batch in super().batches(*arguments, **more):
            small = np.isin(batch["event"], [ord(letter) for letter in "AFB"]) & (batch["order"] < 4)
            yield {name: np.ascontiguousarray(column[~small]) for name, column in batch.items()}


@pytest.mark.parametrize(("name", "most"), [("phased", 0.002), ("pandas", 0.04)])
def test_it_shows_nearly_the_same(name, most, tmp_path):
    whole = example(name)
    with copy_bundle(ZoneLevel(whole.path, whole.meta), tmp_path / "zone.pagetrace") as (writer, meta):
        writer.add_residency(whole.residency.cast(RESIDENCY_SCHEMA))
        writer.add_residency_bitmaps(whole.residency_bitmaps())
        writer.finish(replace(meta, level="zone"))
    zone = Trace.open(writer.path)
    assert zone.num_events < whole.num_events / 2
    page, coarse = (replay(trace, guest_reporting(whole), sample=None) for trace in (whole, zone))
    assert page.totals.footprint == pytest.approx(coarse.totals.footprint, rel=most)
    assert page.totals.ideal_footprint <= coarse.totals.ideal_footprint <= 1.1 * page.totals.ideal_footprint
    assert any(line.startswith("recorded at zone level") for line in coarse.recording["warnings"])
