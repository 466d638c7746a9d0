"""The host's clock by its discards: of guests whose clock is known, of too few, and of another guest."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pagehint.replays.host_discards import Discards, clock_by_discards, read_discards
from pagehint.trace.shipped import example

MS, S = 10**6, 10**9
AHEAD = 1_700_000_000 * S


def discards(
    seed: int, blocks: int, ahead: int = AHEAD, again: float = 0.3, lost: float = 0.0, length: int = 60
) -> Discards:
    """A guest that tells of so many blocks, each 1 to 3 ms before it is put back: some pfns come several times."""
    random = np.random.default_rng(seed)
    told = np.sort(random.integers(0, length * S, blocks))
    pfns = random.permutation(1 << 12)[:blocks] << 9
    repeated = random.random(blocks) < again
    pfns[repeated] = random.choice(pfns, int(repeated.sum()))
    back = told + random.integers(MS, 3 * MS, blocks)
    at = told + ((back - told) * random.random(blocks)).astype(np.int64) + ahead
    kept = random.random(blocks) >= lost
    order = np.argsort(pfns[kept], kind="stable")
    return Discards(np.column_stack([told, pfns, back]), pfns[kept][order], at[kept][order])


@given(st.integers(0, 2**32), st.integers(20, 300), st.integers(-(10**18), 10**18))
@settings(max_examples=40)
def test_a_clock_is_found_within_what_it_says(seed: int, blocks: int, ahead: int) -> None:
    found = clock_by_discards(discards(seed, blocks, ahead), None, 0)
    assert found is not None
    offset, error = found
    assert abs(offset - ahead) <= error + 1
    assert error <= 3 * MS


def test_near_to_what_is_known_and_nowhere_else() -> None:
    one = discards(1, 100)
    found = clock_by_discards(one, AHEAD + 5 * S, 10 * S)
    assert found is not None
    assert abs(found[0] - AHEAD) <= found[1] + 1
    assert clock_by_discards(one, AHEAD + 3600 * S, 10 * S) is None


def test_of_a_part_only() -> None:
    """The host's clock was set by a second in the middle: each half tells of its own."""
    one, other = discards(2, 200), discards(2, 200, AHEAD + S)
    early = np.isin(one.pfns, one.told[one.told[:, 0] < 30 * S, 1])
    both = Discards(one.told, one.pfns, np.where(early, one.times, other.times))
    for part, ahead in (((0, 30 * S), AHEAD), ((30 * S, 60 * S), AHEAD + S)):
        found = clock_by_discards(both, None, 0, part)
        if found is not None:
            assert abs(found[0] - ahead) <= found[1] + S // 100


@pytest.mark.parametrize("blocks", [0, 1, 2])
def test_too_few_tell_nothing(blocks: int) -> None:
    assert clock_by_discards(discards(3, blocks, again=0), None, 0) is None


def test_another_guests_blocks_tell_nothing() -> None:
    one, other = discards(4, 200), discards(5, 200)
    mixed = Discards(one.told, other.pfns, other.times)
    assert clock_by_discards(mixed, None, 0) is None


@pytest.mark.parametrize(("lost", "known"), [(0.0, True), (0.02, True), (0.5, False)])
def test_nearly_all_that_was_told_while_the_host_was_watched_must_agree(lost: float, known: bool) -> None:
    assert (clock_by_discards(discards(6, 300, again=0, lost=lost), None, 0) is not None) == known


def test_a_recording_or_a_host_that_tells_nothing(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from pagehint.trace.host_file import HOST_SCHEMA

    sample = dict.fromkeys(HOST_SCHEMA.names) | {"time": 1, "rss_kib": 5}
    path = tmp_path / "host.parquet"
    pq.write_table(pa.Table.from_pylist([sample], schema=HOST_SCHEMA), path)
    assert read_discards(example(), path) is None
    discard = sample | {
        "rss_kib": None,
        "discarded_ns": 9,
        "discarded_pfn": 512,
        "discarded_pages": 512,
        "discarded_ret": 0,
    }
    pq.write_table(pa.Table.from_pylist([sample, discard], schema=HOST_SCHEMA), path)
    found = read_discards(example(), path)
    assert found is not None
    assert (found.pfns.tolist(), found.times.tolist()) == ([512], [9])
    # Each block of a batch was told when its batch was, before it was put back.
    assert len(found.told) > 100
    assert (found.told[:, 0] <= found.told[:, 2]).all()
    assert (np.diff(found.told[:, 2]) >= 0).all()
