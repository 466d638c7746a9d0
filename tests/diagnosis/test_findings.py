"""What was found, as JSON has it."""

import json

import pytest

from pagehint.diagnosis.examine import diagnose
from tests.diagnosis.conftest import DATA, GUESTS, snapshot_files

MIB = 1 << 20


@pytest.mark.parametrize("guest", GUESTS)
@pytest.mark.parametrize("names", [None, ("meminfo",), ("buddyinfo", "zoneinfo")])
def test_it_is_json_and_its_sizes_are_mib(guest: str, names: tuple[str, ...] | None) -> None:
    found = diagnose(snapshot_files(guest) if names is None else [DATA / guest / f"{name}.txt" for name in names])
    told = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert told == found.to_dict()
    assert told["free_mib"] == pytest.approx((found.free or 0) / MIB, abs=1e-3)
    for name, size in found.free_resident.items():
        if size.is_exact:
            assert told["free_resident"][name] == pytest.approx(size.least / MIB, abs=1e-3)
        else:  # "[least, most] where only bounds are (null: no bound)"
            least, most = told["free_resident"][name]
            assert least == pytest.approx(size.least / MIB, abs=1e-3)
            assert most == (None if size.most is None else pytest.approx(size.most / MIB, abs=1e-3))
    for action, by_order in found.would_bring.items():
        assert told["would_bring"][action].keys() == {str(order) for order in by_order}
        for order, size in by_order.items():
            least, most = told["bounds"][action][str(order)]
            assert (least, most is None) == (pytest.approx(size.least / MIB, abs=1e-3), size.most is None)
            if size.likely is not None:
                begin, end = told["likely"][action][str(order)]
                assert begin <= end
    assert [each["what"] for each in told["advice"]] == [each.what for each in found.advice]
    assert told["cannot_be_helped"] == found.cannot
