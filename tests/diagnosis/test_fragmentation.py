"""debugfs' fragmentation indices tell no amount: what they tell is said, and which file has both."""

from pathlib import Path

import pytest

from pagehint.diagnosis.examine import diagnose
from pagehint.errors import InputError

EXTFRAG = """Node 0, zone    DMA32 -1.000 -1.000 -1.000 -1.000 -1.000 -1.000 -1.000 -1.000 -1.000 -1.000 -1.000
Node 0, zone   Normal -1.000 -1.000 -1.000 -1.000 0.703 0.852 0.926 0.963 0.982 0.991 0.996
"""
UNUSABLE = """Node 0, zone    DMA32 0.000 0.012 0.035 0.090 0.155 0.231 0.310 0.422 0.510 0.620 0.710
Node 0, zone   Normal 0.000 0.212 0.435 0.690 0.755 0.831 0.910 0.922 0.960 0.985 1.000
"""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (EXTFRAG, "extfrag_index: zone Normal of node 0 has free blocks up to order 3; above, it is fragmented"),
        (UNUSABLE, "unusable_index: of what is free in zone Normal of node 0, 98.5 % is in blocks below order 9"),
        ("".join(EXTFRAG.splitlines(True)[:1]), "extfrag_index: zone DMA32 of node 0 has free blocks of every order"),
        (EXTFRAG.replace("0.703", "0.003"), "has free blocks up to order 3; above, too little is free"),
    ],
)
def test_they_say_what_they_tell(text: str, said: str, tmp_path: Path) -> None:
    """A row was said not to be understood."""
    (tmp_path / "index").write_text(text)
    with pytest.raises(
        InputError, match=r"but not how much that is: add /proc/buddyinfo, which tells both$"
    ) as refused:
        diagnose(tmp_path / "index")
    assert said in str(refused.value)


@pytest.mark.parametrize("first", [True, False])
def test_beside_buddyinfo_they_are_left_out(first: bool, tmp_path: Path) -> None:
    (tmp_path / "index").write_text(UNUSABLE)
    (tmp_path / "buddyinfo").write_text("Node 0, zone   Normal 9 9 9 9 9 9 9 9 9 9 9\n")
    names = ["index", "buddyinfo"] if first else ["buddyinfo", "index"]
    found = diagnose([tmp_path / name for name in names])
    assert found.free == 9 * 2047 * 4096
    assert [warning.endswith("order 9: left out, as buddyinfo tells it") for warning in found.warnings] == [True]
    (tmp_path / "meminfo").write_text("MemTotal: 9000000 kB\nMemFree: 800000 kB\n")
    (warning,) = diagnose([tmp_path / "index", tmp_path / "meminfo"]).warnings
    assert warning.endswith(": left out, as it tells no amount: add /proc/buddyinfo")
