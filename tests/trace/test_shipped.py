"""The recordings that ship with the package are whole."""

import pytest

from pagehint.errors import InputError
from pagehint.trace.shipped import EXAMPLES, example


@pytest.mark.parametrize(("name", "kernel", "seconds"), [("phased", "6.1", 89.9), ("pandas", "6.12", 67.1)])
def test_they_are_what_is_said_of_them(name: str, kernel: str, seconds: float) -> None:
    trace = example(name)
    assert (trace.meta.kernel or "").startswith(f"{kernel}.")
    assert (trace.meta.last_ns - trace.meta.first_ns) / 1e9 == pytest.approx(seconds, abs=0.05)
    assert sum(len(batch["time"]) for batch in trace.batches(["time"])) == trace.num_events > 0
    assert sum(zone.present for zone in trace.meta.zones) << 12 == pytest.approx(1 << 30, rel=0.01)
    assert trace.snapshot is not None
    assert trace.residency is not None
    assert sum(trace.meta.lost.by_cpu.values()) + trace.meta.lost.overwritten == 0


def test_there_are_no_others() -> None:
    assert example().meta == example(EXAMPLES[0]).meta
    for name in ("", "phased.pagetrace", "../phased"):
        with pytest.raises(InputError, match="expected one of phased, pandas"):
            example(name)
