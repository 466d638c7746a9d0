"""What a kernel can do, by its version, and by what is seen to be there."""

import pytest

from pagehint.diagnosis.evidence import Evidence
from pagehint.diagnosis.examine import examine
from pagehint.diagnosis.recognise import read_files
from pagehint.report.doctor_page import doctor_page
from pagehint.report.doctor_words import kernel_line
from tests.diagnosis.conftest import snapshot_files


def said(kernel: str | None, on: bool | None = None, order: int | None = None) -> str | None:
    evidence = read_files(snapshot_files("press61"))
    evidence.kernel, evidence.reporting.on, evidence.reporting.order = kernel, on, order
    return examine(evidence).kernel_can


@pytest.mark.parametrize(
    ("kernel", "words"),
    [
        ("5.4.0-200-generic", "no free page reporting, which came with 5.7"),
        ("5.6.19", "no free page reporting"),
        ("5.10.0-28-amd64", "of order 9 (2 MiB) and above, and of no other: page_reporting_order came with 5.14"),
        ("5.15.0-91-generic", "page_reporting_order is 9 (2 MiB) by default, and may be set once"),
        ("6.1.0-28-amd64", "what is given at boot counts from 6.2 on"),
        ("6.2.0", "page_reporting_order is 9 (2 MiB) by default, and may be set at any time"),
        ("6.18.15+deb13-cloud-amd64", "from any order on"),
    ],
)
def test_of_each_version(kernel: str, words: str) -> None:
    assert words in (said(kernel) or "")


def test_of_no_version_nothing_is_said() -> None:
    assert said(None) is said("unknown") is None
    assert kernel_line(examine(Evidence(meminfo={"MemFree": 4096, "MemTotal": 8192}))) is None


def test_what_a_vendor_took_over_counts() -> None:
    assert "of no other" in (said("4.18.0-477.el8.x86_64", on=True) or "")
    assert "from any order on" in (said("4.18.0-477.el8.x86_64", on=True, order=9) or "")
    assert "from any order on" in (said("5.10.0", order=5) or "")


def test_it_is_on_the_page_and_in_json() -> None:
    evidence = read_files(snapshot_files("press61"))
    evidence.kernel = "6.12.9"
    found = examine(evidence)
    assert kernel_line(found) == f"what this kernel can do: {found.kernel_can}"
    assert found.to_dict()["kernel_can"] == found.kernel_can
    assert "What this kernel can do: free page reporting from any order on" in doctor_page(found)


def test_the_order_of_larger_pages() -> None:
    evidence = Evidence(page_size=65536, kernel="6.1.0-18-arm64-64k", buddy={(0, "Normal"): [100] * 14})
    assert "page_reporting_order is 13 (512 MiB) by default" in (examine(evidence).kernel_can or "")
