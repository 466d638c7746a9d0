import pytest

from pagehint.mm.check import check
from pagehint.mm.zone import Zone


@pytest.fixture
def zone():
    """A zone in use; whatever a test does to it, it is sound in the end."""
    zone = Zone(5000, start_pfn=1234)
    zone.alloc(3, 0)
    yield zone
    assert check(zone) == []
