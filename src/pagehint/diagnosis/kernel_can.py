"""What a machine's kernel can do, by its version: whether it reports free pages, and from which order on."""

from pagehint.diagnosis.evidence import Evidence
from pagehint.diagnosis.free_memory import Setting
from pagehint.kernel.profiles import ReportingOrder, is_version, kernel_profile
from pagehint.kernel.reporting import ORDER_PARAMETER
from pagehint.units import format_size

__all__ = ["kernel_can", "reporting_order"]

_WORDS: dict[ReportingOrder, str] = {
    "none": "no free page reporting, which came with 5.7 (some vendors took it over)",
    "fixed": "free page reporting of order {order} and above, and of no other: {parameter} came with 5.14",
    "set after the driver": "free page reporting from any order on: {parameter} is {order} by default, and may be set "
    "once the balloon's driver has loaded; what is given at boot counts from 6.2 on",
    "set": "free page reporting from any order on: {parameter} is {order} by default, and may be set at any time",
}


def reporting_order(evidence: Evidence) -> ReportingOrder | None:
    """How the kernel's least order of reporting is set; None: which kernel it is isn't known. What is seen to be there
    counts, as vendors take things over.
    """
    if not is_version(evidence.kernel):
        return None
    rule = kernel_profile(evidence.kernel).reporting_order
    if rule in ("none", "fixed") and evidence.reporting.order is not None:
        return "set after the driver"
    return "fixed" if rule == "none" and evidence.reporting.on else rule


def kernel_can(evidence: Evidence, setting: Setting) -> str | None:
    """What the kernel can do, in words; None: which it is isn't known."""
    rule = reporting_order(evidence)
    if rule is None:
        return None
    order = f"{setting.pageblock_order} ({format_size(setting.page_size << setting.pageblock_order)})"
    return _WORDS[rule].format(order=order, parameter=ORDER_PARAMETER)
