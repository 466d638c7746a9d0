"""Who gives memory back: the modelled host, and the kernel for real memory. Each is a device of the hinting cycle."""

from pagehint.host.anonymous import AnonymousHost
from pagehint.host.costs import Costs
from pagehint.host.model import HostStatistics, ModelHost
from pagehint.host.shared import HugetlbHost, MemfdHost

__all__ = ["AnonymousHost", "Costs", "HostStatistics", "HugetlbHost", "MemfdHost", "ModelHost"]
