"""What differs from kernel to kernel: one table of profiles, a row each (docs/spec/4)."""

import re
from dataclasses import dataclass, replace
from typing import Literal, get_args

from pagehint.errors import InputError
from pagehint.units import format_count, shown, whole_number

__all__ = [
    "LINUX_5_3",
    "LINUX_5_10",
    "LINUX_6_1",
    "PROFILES",
    "Evidence",
    "KernelProfile",
    "Pcp",
    "ReportingOrder",
    "check_kernel",
    "check_profile",
    "is_newer",
    "is_version",
    "kernel_profile",
    "recorded_profile",
    "release_of",
]

Pcp = Literal["in turn", "one after the other", "one after the other, often", "tuned", "tuned, seldom"]
Fallback = Literal["moving", "taking", "claim, then steal"]
ReportingOrder = Literal["none", "fixed", "set after the driver", "set"]


@dataclass(frozen=True, slots=True)
class KernelProfile:
    """How one generation of Linux keeps its free lists and sets its limits. Raises InputError for rules of no name."""

    name: str
    """The kernel that stands for it."""
    since: tuple[int, int]
    """The first version that it is true of."""
    checked: bool
    """Recordings of a guest with such a kernel were compared; else the rules are known from their description only."""
    moved_to_tail: bool
    """A block that changes lists (stealing, isolating) goes to the tail, still hinted unless the zone has boundaries;
    else to the head, unhinted."""
    boot_to_tail: bool
    """Boot's frees go to the tail, so lists start in ascending pfn order, and so does what an exact allocation has too
    much; else section 2 of docs/spec/1 places them."""
    merge_by_type: bool
    """From pageblock order on, different types merge only if both are types 0 to 2; else only ISOLATE stands apart."""
    fallback: Fallback
    """How another type's blocks are taken: `moving` them to the asked type's lists; or `taking` what was asked where no
    pageblock can be claimed, so that a fallback's event (X) tells of the removal itself; or the same, in two steps."""
    merge_retypes: bool
    """What is freed gives the pageblocks of the buddy that it merges with its type; else they keep theirs."""
    taking_moves: bool
    """Where a block of half a pageblock is taken off to be told, what else is free in its pageblock moves to the
    tail of the MOVABLE lists, also from those; else only the pageblock's type changes."""
    pcp: Pcp
    """How a CPU's lists are kept: of order 0 only, drained `in turn` at a fixed length; `one after the other`, more
    each time that frees follow on frees; so too, 32 batches at most, and `often` for blocks of orders 1 to 3; or
    `tuned`, whose refills, drains and length follow what the CPU does; or `tuned`, and `seldom` drained for blocks of
    orders 1 to 3."""
    most_min_free_kbytes: int
    """The most that min_free_kbytes is set to by itself."""
    reporting_order: ReportingOrder
    """The least order that free page reporting tells of: `none`, where it has no reporting; that of a pageblock,
    `fixed`; `set` by a parameter, at boot or at any time; or only `set after the driver`, which overwrites it."""

    def __post_init__(self) -> None:
        for what, known in (("fallback", Fallback), ("pcp", Pcp), ("reporting_order", ReportingOrder)):
            value = getattr(self, what)
            if not isinstance(value, str) or value not in get_args(known):
                raise InputError(f"a profile's {what} {shown(value)}: expected one of {', '.join(get_args(known))}")
        whole_number("a profile's most_min_free_kbytes", self.most_min_free_kbytes, 0, 1 << 40)

    @property
    def pcp_above_order_0(self) -> bool:
        """CPUs keep lists of orders 0 to 3 and of pageblocks; else of order 0 only."""
        return self.pcp != "in turn"

    @property
    def pcp_tunes(self) -> bool:
        """CPUs' lists set their own length, between two limits."""
        return self.pcp.startswith("tuned")


LINUX_5_3 = KernelProfile(
    "5.3",
    since=(0, 0),
    checked=False,
    moved_to_tail=False,
    boot_to_tail=False,
    merge_by_type=False,
    fallback="moving",
    taking_moves=False,
    merge_retypes=False,
    pcp="in turn",
    most_min_free_kbytes=65536,
    reporting_order="none",
)
LINUX_5_10 = replace(
    LINUX_5_3,
    name="5.10",
    since=(5, 7),
    checked=True,
    moved_to_tail=True,
    boot_to_tail=True,
    most_min_free_kbytes=262144,
    reporting_order="fixed",
)
LINUX_5_15 = replace(
    LINUX_5_10,
    name="5.15",
    since=(5, 14),
    pcp="one after the other",
    reporting_order="set after the driver",
)
LINUX_6_1 = replace(LINUX_5_15, name="6.1", since=(5, 18), merge_by_type=True, pcp="one after the other, often")
LINUX_6_6 = replace(LINUX_6_1, name="6.6", since=(6, 2), reporting_order="set")
LINUX_6_8 = replace(LINUX_6_6, name="6.8", since=(6, 7), pcp="tuned")
LINUX_6_10 = replace(LINUX_6_8, name="6.10", since=(6, 10), fallback="taking", taking_moves=True, merge_retypes=True)
LINUX_6_15 = replace(LINUX_6_10, name="6.15", since=(6, 15), fallback="claim, then steal")
LINUX_6_17 = replace(LINUX_6_15, name="6.17", since=(6, 16), pcp="tuned, seldom")

PROFILES = (LINUX_5_3, LINUX_5_10, LINUX_5_15, LINUX_6_1, LINUX_6_6, LINUX_6_8, LINUX_6_10, LINUX_6_15, LINUX_6_17)
"""All of them, oldest first."""

_VERSION = re.compile(r"(\d{1,9})\.(\d{1,9})(?:\.(\d{1,9}))?", re.ASCII)
# The last of which a recording was seen.
_LAST_SEEN = (7, 3)
# The patch release from which on a stable branch has 6.15's fallback.
_TAKEN_OVER = {(6, 12): 29, (6, 14): 7}


def check_profile(profile: object) -> None:
    """Raise InputError unless this is a KernelProfile."""
    if not isinstance(profile, KernelProfile):
        raise InputError(f"profile {shown(profile)}: expected a KernelProfile, such as LINUX_6_1")


def release_of(text: str | None) -> tuple[int, int] | None:
    """The release of a kernel's version (``uname -r``), as 6, 1 of 6.1.0-56-cloud-amd64; None of what is none."""
    match = _VERSION.match(text or "")
    return None if match is None else (int(match[1]), int(match[2]))


def is_version(text: str | None) -> bool:
    """Whether a text begins as a kernel's version does."""
    return release_of(text) is not None


def is_newer(text: str | None) -> bool:
    """Whether a version is beyond those that the rules were compared with."""
    release = release_of(text)
    return release is not None and release > max(_LAST_SEEN, PROFILES[-1].since)


def check_kernel(kernel: object) -> str | None:
    """A kernel that somebody names, or None. Raises InputError where it is no version."""
    if kernel is not None and not (isinstance(kernel, str) and is_version(kernel)):
        raise InputError(f"kernel {shown(kernel)}: expected a version, such as 6.8 or 6.12.29")
    return kernel


def kernel_profile(version: str | None) -> KernelProfile:
    """The profile of a kernel by its version (``uname -r``, as 6.1.0-56-cloud-amd64), or 6.1's. Raises InputError."""
    match = _VERSION.match(check_kernel(version) or "")
    if match is None:
        return LINUX_6_1
    release, patch = (int(match[1]), int(match[2])), int(match[3] or 0)
    if patch >= _TAKEN_OVER.get(release, patch + 1):
        return LINUX_6_15
    return next(row for row in reversed(PROFILES) if row.since <= release)


def recorded_profile(version: str | None) -> KernelProfile:
    """The same of what a recording or a file says; where that is no version, 6.1's too."""
    return kernel_profile(version if is_version(version) else None)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a recording shows of its kernel, whatever it says: vendors take rules over, and versions get lost."""

    moves: int
    """Fallbacks after which the page left the asked type's list."""
    removals: int
    """Fallbacks that were the removal themselves."""
    drained_order: int
    """The largest order that came back from a CPU's list; -1: none did."""
    tuned_lists: bool
    """/proc/zoneinfo prints `high_min` and `high_max`, as it does since 6.13."""
    refilled: int = 0
    """Pages that came to CPUs' lists one by one, where their allocations were recorded too."""
    beyond_batch: int = 0
    """Of them, those behind a batch that came just before them: lists that tune themselves are refilled by more."""

    @property
    def tuned_refills(self) -> bool:
        """As from 6.7 on. (Before, bulk allocations alone have several refills follow on one another.)"""
        return 4 * self.beyond_batch > self.refilled

    def likely(self) -> KernelProfile:
        """The profile that fits, where no version is known."""
        if self.removals > self.moves or self.tuned_lists:
            return LINUX_6_15
        if self.tuned_refills:
            return LINUX_6_8
        return LINUX_5_10 if self.drained_order == 0 else LINUX_6_1

    def doubts(self, profile: KernelProfile) -> list[str]:
        """What speaks against a profile, a sentence each."""
        doubts = []
        takes = profile.fallback != "moving"
        if takes and self.moves > self.removals:
            doubts.append(f"{self.moves:,} of its fallbacks move blocks before they are taken, as up to 6.9")
        if not takes and self.removals > self.moves:
            doubts.append(f"{self.removals:,} of its fallbacks take their page at once, as from 6.10 on")
        if not profile.pcp_above_order_0 and self.drained_order > 0:
            doubts.append(f"blocks of order {self.drained_order} came from CPUs' lists, as from 5.14 on")
        if not profile.pcp_tunes and self.tuned_refills:
            doubts.append(
                f"{format_count(self.beyond_batch, 'page')} came to CPUs' lists beyond a batch, as from 6.7 on"
            )
        if not takes and self.tuned_lists:
            doubts.append("its zoneinfo prints high_min, as from 6.13 on")
        return doubts
