"""Linux's free page reporting as it is seen from outside: its defaults, its parameters, and what offers it."""

__all__ = [
    "BALLOON",
    "DELAY_PARAMETER",
    "MAINLINE_CAPACITY",
    "MAINLINE_DELAY",
    "ORDER_PARAMETER",
    "PARAMETERS",
    "offers_reporting",
]

MAINLINE_CAPACITY = 32
"""Blocks that Linux tells a device of at a time, since 5.7."""
MAINLINE_DELAY = 2 * 10**9
"""How long Linux's free page reporting waits (ns), since 5.7."""

PARAMETERS = "/sys/module/page_reporting/parameters/"
"""The folder of the module's parameters."""
ORDER_PARAMETER = "page_reporting_order"
"""The least order of a block that is told; the kernel's own since 5.14."""
DELAY_PARAMETER = "page_reporting_delay_ms"
"""The delay in ms; since 7.3."""

BALLOON = "0x0005"
"""What sysfs says of a virtio device that is a balloon."""

_FEATURE_REPORTING = 5  # VIRTIO_BALLOON_F_REPORTING


def offers_reporting(features: str) -> bool:
    """Whether a balloon's features, as sysfs prints them (a digit a bit, bit 0 first), have free page reporting."""
    return features[_FEATURE_REPORTING : _FEATURE_REPORTING + 1] == "1"
