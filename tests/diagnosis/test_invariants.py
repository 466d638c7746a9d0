"""What holds of all figures, from whichever of a machine's files: they add up, and no bound is beyond another."""

import itertools
import tempfile
from pathlib import Path

from hypothesis import example, given, settings
from hypothesis import strategies as st

from pagehint.diagnosis.bounds import Bounds
from pagehint.diagnosis.examine import diagnose
from pagehint.diagnosis.findings import Diagnosis
from tests.diagnosis.machines import make_machine

_NAMES = "buddyinfo", "zoneinfo", "pagetypeinfo", "meminfo", "log", "flags"
_ON = "virtio_balloon virtio0: Free page reporting enabled\n"
_SMALL = 1.0  # bytes, of sums of floats
_NO_BOUND = float("inf")


def _found(seed: int, names: list[str], is_on: bool) -> Diagnosis:
    machine = make_machine(seed)
    files = [machine.flags().tobytes() if name == "flags" else getattr(machine, name)().encode() for name in names]
    files += [machine.version().encode(), _ON.encode() * is_on]
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"file-{at}" for at in range(len(files))]
        for path, data in zip(paths, files, strict=True):
            path.write_bytes(data)
        return diagnose(paths)


def _most(size: Bounds) -> float:
    return _NO_BOUND if size.most is None else size.most


@settings(max_examples=60)
@given(st.integers(0, 9999), st.lists(st.sampled_from(_NAMES), min_size=1, unique=True), st.booleans())
def test_figures_add_up_and_no_bound_is_beyond_another(seed: int, names: list[str], is_on: bool) -> None:
    found = _found(seed, names, is_on)
    free, causes = found.free_bounds, [size for cause, size in found.free_resident.items() if cause != "per_cpu"]
    if free is not None:
        assert sum(size.least for size in causes) <= _most(free) + _SMALL
        assert sum(map(_most, causes)) >= free.least - _SMALL
        assert all(_most(size) <= _most(free) + _SMALL for size in causes)
    for size in (
        *causes,
        *found.used_by.values(),
        *(each for by in found.would_bring.values() for each in by.values()),
    ):
        assert size.least <= _most(size) + _SMALL
        assert size.value is None or size.least - _SMALL <= size.value <= _most(size) + _SMALL
        least, most = size.likely or (size.best, size.best)
        assert size.least - _SMALL <= least <= most <= _most(size) + _SMALL


# Of this one, dropping caches was guessed to bring 0.3 MiB at an order at which no zone can open.
@example(669, ["buddyinfo", "zoneinfo", "meminfo", "flags"], False)
@settings(max_examples=60)
@given(st.integers(0, 9999), st.lists(st.sampled_from(_NAMES), min_size=1, unique=True), st.booleans())
def test_a_lower_order_and_more_actions_bring_no_less(seed: int, names: list[str], is_on: bool) -> None:
    found = _found(seed, names, is_on)
    reporting = [found.would_bring["reporting"][order] for order in sorted(found.would_bring["reporting"])]
    for lower, higher in itertools.pairwise(reporting):
        assert lower.least >= higher.least - _SMALL
        assert _most(lower) >= _most(higher) - _SMALL
    for order, both in found.would_bring["both"].items():
        for action in ("drop_caches", "compact_memory"):
            assert _most(both) >= _most(found.would_bring[action][order]) - _SMALL
        # What was not reported before can't be taken away.
        assert _most(found.would_bring["reporting"][order]) + _most(both) >= -_SMALL


@settings(max_examples=40)
@given(st.integers(0, 9999), st.permutations(_NAMES), st.integers(1, len(_NAMES) - 1))
def test_one_file_more_contradicts_nothing(seed: int, names: list[str], few: int) -> None:
    some, more = (_found(seed, names[:number], True) for number in (few, few + 1))
    sizes = [(each.setting.page_size, each.setting.pageblock_order, each.setting.max_order) for each in (some, more)]
    if sizes[0] != sizes[1]:
        return  # It is what told of them.
    pairs = [
        (some.free_resident[cause], more.free_resident[cause])
        for cause in some.free_resident.keys() & more.free_resident
    ]
    for action, by_order in some.would_bring.items():
        pairs += [(size, more.would_bring[action][order]) for order, size in by_order.items()]
    for before, after in pairs:
        assert before.least <= _most(after) + _SMALL
        assert after.least <= _most(before) + _SMALL
