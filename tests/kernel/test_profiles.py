"""The table of kernel profiles, and how a version finds its row."""

from dataclasses import replace
from typing import Any

import pytest

from pagehint.errors import InputError
from pagehint.kernel.profiles import PROFILES, Evidence, check_kernel, is_newer, kernel_profile, recorded_profile


def test_versions_choose_the_profile() -> None:
    chosen = {
        "5.3.18": "5.3",
        "5.6.19": "5.3",
        "5.7.0": "5.10",
        "5.10.0-38-cloud-amd64": "5.10",
        "5.10.237-230.949.amzn2.x86_64": "5.10",
        "5.13.19": "5.10",
        "5.14.0-427.el9.x86_64": "5.15",
        "5.15.0-1051-azure": "5.15",
        "5.18.0": "6.1",
        "6.1.0-56-cloud-amd64": "6.1",
        "6.6.87.2-microsoft-standard-WSL2": "6.6",
        "6.2.0-39-generic": "6.6",
        "6.8.0-31-generic": "6.8",
        "6.10.14": "6.10",
        "6.12.28": "6.10",
        "6.12.29": "6.15",
        "6.12.118+deb13-cloud-amd64": "6.15",
        "6.13.12": "6.10",
        "6.14.6": "6.10",
        "6.14.7": "6.15",
        "6.15.11": "6.15",
        "6.16.3": "6.17",
        "6.18.15+deb13-cloud-amd64": "6.17",
        "7.2.0": "6.17",
    }
    assert {version: kernel_profile(version).name for version in chosen} == chosen


@pytest.mark.parametrize("version", ["", "unknown", "v6.12", " 6.12", "6", 6.12])
def test_without_a_version_it_is_6_1(version: Any) -> None:
    """What a recording says may be anything; whoever asks for a kernel means one."""
    assert kernel_profile(None).name == "6.1"
    if isinstance(version, str):
        assert recorded_profile(version).name == "6.1"
    with pytest.raises(InputError, match=r"^kernel .*: expected a version, such as 6.8"):
        kernel_profile(version)


def test_a_new_row_is_no_newer_than_what_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_newer("8.1.3")
    row = replace(PROFILES[-1], name="8.1", since=(8, 1))
    monkeypatch.setattr("pagehint.kernel.profiles.PROFILES", (*PROFILES, row))
    assert kernel_profile("8.1.3") is row
    assert not is_newer("8.1.3")
    assert is_newer("8.2")


@pytest.mark.parametrize(
    "wrong",
    [
        {"pcp": "tunes"},
        {"pcp": None},
        {"fallback": "steals"},
        {"fallback": []},
        {"reporting_order": "any"},
        {"most_min_free_kbytes": -1.5},
    ],
)
def test_rules_that_nobody_knows_are_refused(wrong: dict[str, Any]) -> None:
    """Lists and fallbacks followed another kernel's rules without a word."""
    with pytest.raises(InputError, match=f"a profile's {next(iter(wrong))} .*: expected "):
        replace(PROFILES[0], **wrong)


def test_rows_ascend_and_have_names_of_their_own() -> None:
    assert [row.since for row in PROFILES] == sorted({row.since for row in PROFILES})
    assert len({row.name for row in PROFILES}) == len(PROFILES)
    assert [kernel_profile(row.name) for row in PROFILES] == list(PROFILES)


MOVING = Evidence(moves=19, removals=0, drained_order=3, tuned_lists=False)
TAKING = Evidence(moves=0, removals=20, drained_order=9, tuned_lists=True)
OLD = Evidence(moves=19, removals=0, drained_order=0, tuned_lists=False)


TUNED = Evidence(moves=19, removals=0, drained_order=3, tuned_lists=False, refilled=1000, beyond_batch=730)
BULK = Evidence(moves=19, removals=0, drained_order=3, tuned_lists=False, refilled=1000, beyond_batch=200)


@pytest.mark.parametrize(
    ("evidence", "name"), [(MOVING, "6.1"), (TAKING, "6.15"), (OLD, "5.10"), (TUNED, "6.8"), (BULK, "6.1")]
)
def test_without_a_version_what_is_seen_chooses(evidence: Evidence, name: str) -> None:
    assert evidence.likely().name == name
    assert evidence.doubts(evidence.likely()) == []


def test_what_speaks_against_a_version_is_said() -> None:
    assert len(TAKING.doubts(kernel_profile("6.1"))) == 2
    assert "19 of its fallbacks move" in MOVING.doubts(kernel_profile("6.12.118"))[0]
    assert "730 pages came to CPUs' lists beyond a batch" in TUNED.doubts(kernel_profile("6.1"))[0]
    assert "order 3" in MOVING.doubts(kernel_profile("5.10"))[0]


@pytest.mark.parametrize("kernel", ["new", "", 6.8, "v6.8"])
def test_a_kernel_is_a_version(kernel: object) -> None:
    with pytest.raises(InputError, match="expected a version"):
        check_kernel(kernel)
    assert check_kernel(None) is None
    assert check_kernel("6.8.0-31-generic") == "6.8.0-31-generic"
    if not isinstance(kernel, str):
        with pytest.raises(InputError, match="expected a version"):
            kernel_profile(kernel)  # type: ignore[arg-type]
