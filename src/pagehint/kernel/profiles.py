"""What differs from kernel to kernel: one table of profiles, a row each (spec 4)."""

import re
from dataclasses import dataclass

from pagehint.errors import InputError

__all__ = ["LINUX_5_3", "LINUX_5_10", "LINUX_6_1", "PROFILES", "KernelProfile", "check_profile", "kernel_profile"]


@dataclass(frozen=True, slots=True)
class KernelProfile:
    """How one generation of Linux keeps its free lists and sets its limits."""

    name: str
    """The kernel that stands for it."""
    since: tuple[int, int]
    """The first version that it is true of."""
    moved_to_tail: bool
    """A block that changes lists (stealing, isolating) goes to the tail, still hinted; else to the head, unhinted."""
    boot_to_tail: bool
    """Boot's frees go to the tail, so lists start in ascending pfn order; else section 2 of spec 1 places them."""
    merge_by_type: bool
    """From pageblock order on, different types merge only if both are types 0 to 2; else only ISOLATE stands apart."""
    pcp_above_order_0: bool
    """CPUs keep lists of orders 0 to 3 and of pageblocks; else of order 0 only."""
    most_min_free_kbytes: int
    """The most that min_free_kbytes is set to by itself."""


LINUX_5_3 = KernelProfile(
    "5.3",
    since=(0, 0),
    moved_to_tail=False,
    boot_to_tail=False,
    merge_by_type=False,
    pcp_above_order_0=False,
    most_min_free_kbytes=65536,
)
LINUX_5_10 = KernelProfile(
    "5.10",
    since=(5, 7),
    moved_to_tail=True,
    boot_to_tail=True,
    merge_by_type=False,
    pcp_above_order_0=False,
    most_min_free_kbytes=262144,
)
LINUX_5_15 = KernelProfile(
    "5.15",
    since=(5, 14),
    moved_to_tail=True,
    boot_to_tail=True,
    merge_by_type=False,
    pcp_above_order_0=True,
    most_min_free_kbytes=262144,
)
LINUX_6_1 = KernelProfile(
    "6.1",
    since=(5, 18),
    moved_to_tail=True,
    boot_to_tail=True,
    merge_by_type=True,
    pcp_above_order_0=True,
    most_min_free_kbytes=262144,
)

PROFILES = (LINUX_5_3, LINUX_5_10, LINUX_5_15, LINUX_6_1)
"""All of them, oldest first."""


def check_profile(profile: object) -> None:
    """Raise InputError unless this is a KernelProfile."""
    if not isinstance(profile, KernelProfile):
        raise InputError(f"profile {profile!r}: expected a KernelProfile, such as LINUX_6_1")


def kernel_profile(version: str | None) -> KernelProfile:
    """The profile of a kernel by its version (``uname -r``, as 6.1.0-56-cloud-amd64); without one, 6.1's."""
    match = re.match(r"(\d+)\.(\d+)", version or "")
    if match is None:
        return LINUX_6_1
    return next(row for row in reversed(PROFILES) if row.since <= (int(match[1]), int(match[2])))
