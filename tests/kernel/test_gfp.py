import pytest

from pagehint.errors import InputError
from pagehint.kernel.gfp import (
    GFP_ATOMIC,
    GFP_BY_NAME,
    GFP_DMA,
    GFP_DMA32,
    GFP_HIGHUSER,
    GFP_HIGHUSER_MOVABLE,
    GFP_KERNEL,
    GFP_TRANSHUGE,
    GFP_TRANSHUGE_LIGHT,
    Gfp,
    ZoneType,
    format_gfp,
    gfp_migratetype,
    gfp_zone,
)
from pagehint.kernel.migratetype import Migratetype


def test_the_usual_combinations_have_the_kernels_values():
    # As they stand in the gfp column of real recordings (6.1).
    assert GFP_BY_NAME["GFP_KERNEL"] == 0xCC0
    assert GFP_ATOMIC == 0xA20
    assert GFP_HIGHUSER_MOVABLE == 0x100CCA
    assert GFP_TRANSHUGE_LIGHT == 0x1C20CA
    assert GFP_TRANSHUGE == 0x1C24CA
    assert GFP_BY_NAME["__GFP_COMP"] == 0x40000


@pytest.mark.parametrize(
    ("gfp", "migratetype"),
    [
        (GFP_KERNEL, Migratetype.UNMOVABLE),
        (GFP_KERNEL | Gfp.RECLAIMABLE, Migratetype.RECLAIMABLE),
        (GFP_HIGHUSER_MOVABLE, Migratetype.MOVABLE),
        (GFP_HIGHUSER, Migratetype.UNMOVABLE),
    ],
)
def test_migratetypes(gfp, migratetype):
    assert gfp_migratetype(gfp) is migratetype


@pytest.mark.parametrize(
    ("gfp", "zone"),
    [
        (GFP_KERNEL, ZoneType.NORMAL),
        (GFP_DMA, ZoneType.DMA),
        (GFP_DMA32, ZoneType.DMA32),
        (GFP_DMA32 | Gfp.MOVABLE, ZoneType.DMA32),
        (GFP_KERNEL | Gfp.MOVABLE, ZoneType.NORMAL),
        (GFP_HIGHUSER, ZoneType.NORMAL),
        (GFP_HIGHUSER_MOVABLE, ZoneType.MOVABLE),
    ],
)
def test_the_highest_zone(gfp, zone):
    assert gfp_zone(gfp) is zone


@pytest.mark.parametrize("gfp", [0x3, 0x5, 0x6, 0x7])
def test_a_contradiction_of_zones(gfp):
    with pytest.raises(InputError, match="only one of"):
        gfp_zone(gfp)


def test_a_contradiction_of_mobility():
    with pytest.raises(InputError, match="exclude each other"):
        gfp_migratetype(GFP_HIGHUSER_MOVABLE | Gfp.RECLAIMABLE)


def test_text():
    assert format_gfp(0x100CCA) == "0x100cca(GFP_HIGHUSER_MOVABLE)"
    assert format_gfp(0x140CCA) == "0x140cca(GFP_HIGHUSER_MOVABLE|__GFP_COMP)"
    assert format_gfp(0) == "0x0(0x0)"
    assert format_gfp(1 << 40 | 8) == "0x10000000008(__GFP_MOVABLE|0x10000000000)"
