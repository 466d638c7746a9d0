"""What differs from kernel to kernel: one table of profiles, a row each (docs/spec/4)."""

import re
from dataclasses import dataclass, replace
from typing import Literal

from pagehint.errors import InputError

__all__ = ["LINUX_5_3", "LINUX_5_10", "LINUX_6_1", "PROFILES", "KernelProfile", "check_profile", "kernel_profile"]

Fallback = Literal["moving", "taking", "claim, then steal"]


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
    """Boot's frees go to the tail, so lists start in ascending pfn order; else section 2 of docs/spec/1 places them."""
    merge_by_type: bool
    """From pageblock order on, different types merge only if both are types 0 to 2; else only ISOLATE stands apart."""
    fallback: Fallback
    """How another type's blocks are taken: `moving` them to the asked type's lists; or `taking` what was asked where no
    pageblock can be claimed, so that a fallback's event (X) tells of the removal itself; or the same, in two steps."""
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
    fallback="moving",
    pcp_above_order_0=False,
    most_min_free_kbytes=65536,
)
LINUX_5_10 = KernelProfile(
    "5.10",
    since=(5, 7),
    moved_to_tail=True,
    boot_to_tail=True,
    merge_by_type=False,
    fallback="moving",
    pcp_above_order_0=False,
    most_min_free_kbytes=262144,
)
LINUX_5_15 = KernelProfile(
    "5.15",
    since=(5, 14),
    moved_to_tail=True,
    boot_to_tail=True,
    merge_by_type=False,
    fallback="moving",
    pcp_above_order_0=True,
    most_min_free_kbytes=262144,
)
LINUX_6_1 = KernelProfile(
    "6.1",
    since=(5, 18),
    moved_to_tail=True,
    boot_to_tail=True,
    merge_by_type=True,
    fallback="moving",
    pcp_above_order_0=True,
    most_min_free_kbytes=262144,
)
LINUX_6_8 = replace(LINUX_6_1, name="6.8", since=(6, 7))
LINUX_6_10 = replace(LINUX_6_8, name="6.10", since=(6, 10), fallback="taking")
LINUX_6_15 = replace(LINUX_6_10, name="6.15", since=(6, 15), fallback="claim, then steal")
LINUX_6_17 = replace(LINUX_6_15, name="6.17", since=(6, 17))

PROFILES = (LINUX_5_3, LINUX_5_10, LINUX_5_15, LINUX_6_1, LINUX_6_8, LINUX_6_10, LINUX_6_15, LINUX_6_17)
"""All of them, oldest first."""

# The patch release from which on a stable branch has 6.15's fallback.
_TAKEN_OVER = {(6, 12): 29, (6, 14): 7}


def check_profile(profile: object) -> None:
    """Raise InputError unless this is a KernelProfile."""
    if not isinstance(profile, KernelProfile):
        raise InputError(f"profile {profile!r}: expected a KernelProfile, such as LINUX_6_1")


def kernel_profile(version: str | None) -> KernelProfile:
    """The profile of a kernel by its version (``uname -r``, as 6.1.0-56-cloud-amd64); without one, 6.1's."""
    match = re.match(r"(\d+)\.(\d+)(?:\.(\d+))?", version or "")
    if match is None:
        return LINUX_6_1
    release, patch = (int(match[1]), int(match[2])), int(match[3] or 0)
    if patch >= _TAKEN_OVER.get(release, patch + 1):
        return LINUX_6_15
    return next(row for row in reversed(PROFILES) if row.since <= release)
