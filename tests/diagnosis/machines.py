"""Machines made up from a seed, of which everything is known: each page, and the files that they would print."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pagehint.proc.kpageflags import KPageFlag as Flag

__all__ = ["Machine", "Zone", "after_compaction", "after_drop_caches", "blocks_of", "make_machine"]

_CAPACITY = 32  # blocks a batch
_FLAGS = {
    "free": 0,
    "cache_clean": Flag.LRU | Flag.UPTODATE,
    "cache_mapped": Flag.LRU | Flag.UPTODATE | Flag.MMAP,
    "cache_dirty": Flag.LRU | Flag.UPTODATE | Flag.DIRTY,
    "anon": Flag.LRU | Flag.UPTODATE | Flag.ANON | Flag.SWAPBACKED | Flag.MMAP,
    "shmem": Flag.LRU | Flag.UPTODATE | Flag.SWAPBACKED,
    "unevictable": Flag.LRU | Flag.UPTODATE | Flag.MLOCKED | Flag.UNEVICTABLE | Flag.MMAP,
    "slab": Flag.SLAB,
    "page_tables": Flag.PGTABLE | Flag.MMAP,
    "kernel": 0,
    "per_cpu": 0,
    "offline": Flag.OFFLINE,
    "hugetlb": Flag.HUGE | Flag.COMPOUND_HEAD,
    "reserved": Flag.RESERVED,
    "absent": Flag.NOPAGE,
}
KINDS = tuple(_FLAGS)
_MOVABLE = ("cache_clean", "cache_mapped", "cache_dirty", "anon", "shmem", "unevictable")


@dataclass
class Zone:
    """Pages from `begin` on: of each, the index of what it is in KINDS; of free ones, whether the host was told."""

    node: int
    name: str
    begin: int
    kinds: NDArray[np.int64]
    min: int
    low: int
    boost: int
    reserve: int
    told: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, np.bool_))
    blocks: list[tuple[int, int]] = field(default_factory=list)

    def closed(self, order: int, free: int) -> str | None:
        """What keeps reporting at an order out where so many pages are free."""
        gate = self.low + (_CAPACITY << order)
        if free - self.reserve > gate:
            return None
        if int((~self.of("absent", "reserved")).sum()) <= gate - self.boost:
            return "never"
        return "boost" if free - self.reserve > gate - self.boost else "watermark"

    def of(self, *kinds: str) -> NDArray[np.bool_]:
        """Which pages are of these kinds."""
        return np.isin(self.kinds, [KINDS.index(kind) for kind in kinds])


@dataclass
class Machine:
    """Its zones, and the sizes of its pages."""

    page_size: int
    pageblock_order: int
    max_order: int
    order: int
    zones: list[Zone]

    def of(self, *kinds: str) -> int:
        """How many pages are of these kinds."""
        return sum(int(zone.of(*kinds).sum()) for zone in self.zones)

    def causes(self, order: int) -> dict[str, int]:
        """Pages of free memory, by what keeps it, where blocks from an order on are told."""
        found = Counter(per_cpu=self.of("per_cpu"))
        for zone in self.zones:
            closed = zone.closed(order, int(zone.of("free").sum()))
            for first, size in zone.blocks:
                cause = "given_back" if zone.told[first] else "below_order" if size < order else closed or "waiting"
                found[cause] += 1 << size
        return found

    def told_of(self, frees: Sequence[NDArray[np.bool_]]) -> list[int]:
        """Pages by order that reporting from it on would tell of, where these pages of each zone are free."""
        found = [0] * (self.max_order + 1)
        for zone, free in zip(self.zones, frees, strict=True):
            blocks = blocks_of(free, zone.begin, self.max_order)
            for order in range(self.max_order + 1):
                if zone.closed(order, int(free.sum())) is None:
                    inside = [slice(first, first + (1 << size)) for first, size in blocks if size >= order]
                    found[order] += sum(int((~zone.told[pages]).sum()) for pages in inside)
        return found

    def write(self, folder: Path) -> dict[str, Path]:
        """Its files, by name."""
        texts = {"buddyinfo": self.buddyinfo(), "zoneinfo": self.zoneinfo(), "meminfo": self.meminfo()}
        texts |= {"pagetypeinfo": self.pagetypeinfo(), "version": self.version()}
        paths = {name: folder / f"{name}.txt" for name in texts}
        for name, path in paths.items():
            path.write_text(texts[name])
        paths["kpageflags"] = folder / "kpageflags.u64"
        self.flags().tofile(paths["kpageflags"])
        return paths

    def counts(self, zone: Zone) -> list[int]:
        """Its free blocks by order."""
        counts = [0] * (self.max_order + 1)
        for _, order in zone.blocks:
            counts[order] += 1
        return counts

    def buddyinfo(self) -> str:
        """As /proc/buddyinfo prints it."""
        return "".join(
            f"Node {zone.node}, zone {zone.name:>8} " + " ".join(f"{count:6}" for count in self.counts(zone)) + " \n"
            for zone in self.zones
        )

    def pagetypeinfo(self, counted: int = 100_000) -> str:
        """As /proc/pagetypeinfo prints it, which counts so many blocks of a list and no more: all are movable."""
        orders = " ".join(f"{order:6}" for order in range(self.max_order + 1))
        text = (
            f"Page block order: {self.pageblock_order}\nPages per block:  {1 << self.pageblock_order}\n\n"
            f"Free pages count per migrate type at order {orders} \n"
        )
        for zone in self.zones:
            for kind in ("Unmovable", "Movable", "Reclaimable", "HighAtomic", "Isolate"):
                counts = self.counts(zone) if kind == "Movable" else [0] * (self.max_order + 1)
                row = " ".join(f"{count if count < counted else f'>{counted}':>6}" for count in counts)
                text += f"Node {zone.node:4}, zone {zone.name:>8}, type {kind:>12} {row} \n"
        text += "\nNumber of blocks type     Unmovable      Movable  Reclaimable   HighAtomic      Isolate \n"
        for zone in self.zones:
            end = -(-(zone.begin + len(zone.kinds)) >> self.pageblock_order)
            number = end - (zone.begin >> self.pageblock_order)
            text += f"Node {zone.node}, zone {zone.name:>8} {0:12} {number:12} {0:12} {0:12} {0:12} \n"
        return text

    def zoneinfo(self) -> str:
        """As /proc/zoneinfo of 6.12 prints it."""
        text = ""
        for zone in self.zones:
            present = int((~zone.of("absent")).sum())
            managed = present - int(zone.of("reserved").sum())
            step = max(zone.low - zone.min, 1)
            text += (
                f"Node {zone.node}, zone {zone.name:>8}\n  pages free     {len(zone.kinds[zone.of('free')])}\n"
                f"        boost    {zone.boost}\n        min      {zone.min}\n        low      {zone.low}\n"
                f"        high     {zone.low + step}\n        promo    {zone.low + 2 * step}\n"
                f"        spanned  {len(zone.kinds)}\n        present  {present}\n        managed  {managed}\n"
                f"        free_highatomic {zone.reserve}\n"
                f"        cma      0\n        protection: (0, 0, 0, 0)\n"
                f"      nr_free_pages {int(zone.of('free').sum())}\n  pagesets\n    cpu: 0\n"
                f"              count: {int(zone.of('per_cpu').sum())}\n              high:  256\n"
                f"              batch: 63\n  vm stats threshold: 4\n  node_unreclaimable:  0\n"
                f"  start_pfn:           {zone.begin}\n"
            )
        return text

    def meminfo(self) -> str:
        """As /proc/meminfo prints it."""
        cache = self.of("cache_clean", "cache_mapped", "cache_dirty")
        slab = self.of("slab")
        managed = sum(int((~zone.of("absent", "reserved")).sum()) for zone in self.zones)
        figures = {
            "MemTotal": managed,
            "MemFree": self.of("free"),
            "Buffers": 0,
            "Cached": cache + self.of("shmem", "unevictable"),
            "Active(file)": 0,
            "Inactive(file)": cache,
            "Unevictable": self.of("unevictable"),
            "Dirty": self.of("cache_dirty"),
            "Writeback": 0,
            "AnonPages": self.of("anon"),
            "Mapped": self.of("cache_mapped", "unevictable"),
            "Shmem": self.of("shmem"),
            "Slab": slab,
            "SReclaimable": slab // 2,
            "SUnreclaim": slab - slab // 2,
            "KernelStack": 0,
            "PageTables": self.of("page_tables"),
            "Percpu": 0,
            "Hugetlb": self.of("hugetlb"),
        }
        kib = self.page_size >> 10
        return "".join(f"{name + ':':16}{pages * kib:8} kB\n" for name, pages in figures.items()) + (
            f"Hugepagesize:   {kib << self.pageblock_order:8} kB\n"
        )

    def version(self) -> str:
        """As /proc/version and /proc/cmdline print it."""
        return (
            f"Linux version {self.release()} (a@b) (gcc 14) #1 SMP\n"
            f"BOOT_IMAGE=/vmlinuz root=/dev/vda1 ro page_reporting.page_reporting_order={self.order}\n"
        )

    def log(self) -> str:
        """As 6.12 logs it when the OOM killer comes."""
        kib = self.page_size >> 10
        slab, cache = self.of("slab"), self.of("cache_clean", "cache_mapped", "cache_dirty")
        text = (
            "python3 invoked oom-killer: gfp_mask=0x140cca(GFP_HIGHUSER_MOVABLE|__GFP_COMP), order=0, oom_score_adj=0\n"
            f"CPU: 0 PID: 900 Comm: python3 Not tainted {self.release()} #1 SMP\nMem-Info:\n"
            f"active_anon:{self.of('shmem')} inactive_anon:{self.of('anon')} isolated_anon:0\n"
            f" active_file:0 inactive_file:{cache} isolated_file:0\n"
            f" unevictable:{self.of('unevictable')} dirty:{self.of('cache_dirty')} writeback:0\n"
            f" slab_reclaimable:{slab // 2} slab_unreclaimable:{slab - slab // 2}\n"
            f" mapped:{self.of('cache_mapped', 'unevictable')} shmem:{self.of('shmem')} "
            f"pagetables:{self.of('page_tables')}\n sec_pagetables:0 bounce:0\n kernel_misc_reclaimable:0\n"
            f" free:{self.of('free')} free_pcp:{self.of('per_cpu')} free_cma:0\n"
        )
        for zone in self.zones:
            present = int((~zone.of("absent")).sum())
            sizes = {
                "free": int(zone.of("free").sum()), "boost": zone.boost, "min": zone.min, "low": zone.low,
                "high": zone.low + max(zone.low - zone.min, 1), "reserved_highatomic": zone.reserve,
                "free_highatomic": zone.reserve, "present": present,
                "managed": present - int(zone.of("reserved").sum()), "free_pcp": int(zone.of("per_cpu").sum()),
                "local_pcp": 0, "free_cma": 0,
            }  # fmt: skip
            text += f"Node {zone.node} {zone.name} " + " ".join(f"{key}:{size * kib}kB" for key, size in sizes.items())
            text += "\nlowmem_reserve[]: 0 0 0 0 0\n"
        for zone in self.zones:
            row = [f"{count}*{kib << order}kB" + " (M)" * bool(count) for order, count in enumerate(self.counts(zone))]
            text += f"Node {zone.node} {zone.name}: {' '.join(row)} = {int(zone.of('free').sum()) * kib}kB\n"
        managed = sum(int((~zone.of("absent", "reserved")).sum()) for zone in self.zones)
        return f"{text}{cache} total pagecache pages\n{managed + 500} pages RAM\n500 pages reserved\n"

    def release(self) -> str:
        """Its kernel's."""
        return "6.12.9-" + {4096: "amd64", 16384: "arm64-16k", 65536: "arm64-64k"}[self.page_size]

    def flags(self) -> NDArray[np.uint64]:
        """/proc/kpageflags."""
        end = max(zone.begin + len(zone.kinds) for zone in self.zones)
        flags = np.full(end, int(Flag.NOPAGE), np.uint64)
        of_kind = np.array([int(_FLAGS[kind]) for kind in KINDS], np.uint64)
        for zone in self.zones:
            inside = flags[zone.begin : zone.begin + len(zone.kinds)]
            inside[:] = of_kind[zone.kinds]
            inside[zone.of("free")] = int(Flag.BUDDY)
            for first, _ in zone.blocks:
                if zone.told[first]:
                    inside[first] |= np.uint64(Flag.UPTODATE)
        return flags


def blocks_of(free: NDArray[np.bool_], begin: int, max_order: int) -> list[tuple[int, int]]:
    """The buddies that free pages make: (index of the first page, order) of each, by walking them."""
    blocks = []
    place = 0
    while place < len(free):
        if not free[place]:
            place += 1
            continue
        pfn, order = begin + place, 0
        while order < max_order and pfn % (2 << order) == 0 and bool(free[place : place + (2 << order)].all()):
            if place + (2 << order) > len(free):
                break
            order += 1
        blocks.append((place, order))
        place += 1 << order
    return blocks


def after_drop_caches(machine: Machine, random: np.random.Generator, kinds: tuple[str, ...]) -> list[NDArray[np.bool_]]:
    """Which pages of each zone are free once those of these kinds are; of slab half, wherever that lies."""
    left = machine.of("slab") // 2
    frees = []
    for zone in machine.zones:
        free = zone.of("free", *(kind for kind in kinds if kind != "slab"))
        if "slab" in kinds:
            going = random.permutation(np.flatnonzero(zone.of("slab")))[:left]
            left -= len(going)
            free[going] = True
        frees.append(free)
    return frees


def after_compaction(
    machine: Machine, random: np.random.Generator, frees: Sequence[NDArray[np.bool_]]
) -> list[NDArray[np.bool_]]:
    """The same once pages have moved, page by page, until the scanners met, or some time before; what moved to pages
    that the host was told of has taken them.
    """
    after = []
    for zone, before in zip(machine.zones, frees, strict=True):
        free = before.copy()
        block = (np.arange(len(free)) + zone.begin) >> machine.pageblock_order
        whole = np.bincount(block, weights=free) == 1 << machine.pageblock_order
        sources = np.flatnonzero(zone.of(*_MOVABLE) & ~free)
        targets = np.flatnonzero(free & ~whole[block])[::-1]
        most = min(len(sources), len(targets))
        for source, target in zip(sources, targets[: int(random.integers(most // 2, most + 1))], strict=False):
            if block[source] >= block[target]:
                break
            free[source], free[target] = True, False
        after.append(free)
    return after


def make_machine(seed: int) -> Machine:
    """One of the many; the same for the same seed."""
    random = np.random.default_rng(seed)
    page_size, pageblock_order, max_order = (
        (4096, 9, 10), (4096, 9, 10), (4096, 9, 10), (16384, 11, 11), (65536, 5, 8), (4096, 7, 10),
    )[int(random.integers(6))]  # fmt: skip
    # Below 32 pageblocks a zone is too small for reporting.
    pageblocks = (2, 12), (34, 50)
    told_from = pageblock_order - int(random.integers(2))
    zones: list[Zone] = []
    begin = int(random.choice([0, 1, 1 << pageblock_order, 3 << max_order]))
    places = [(0, "DMA"), (0, "Normal"), (1, "Normal")] if random.random() < 0.6 else [(0, "Normal")]
    for node, name in places:
        size = max(int(random.integers(*pageblocks[int(random.random() < 0.4)])) << pageblock_order, 256)
        size -= int(random.integers(0, 40)) if random.random() < 0.3 else 0
        kinds = np.zeros(size, np.int64)
        weights = random.dirichlet(np.full(len(KINDS), 0.3))
        place = 0
        while place < size:
            order = int(random.integers(0, max_order + 1))
            kind = int(random.choice(len(KINDS), p=weights)) if random.random() < 0.7 else 0
            part = kinds[place : place + (1 << order)]
            part[:] = kind
            if random.random() < 0.3:
                holes = random.random(len(part)) < random.choice([0.01, 0.1, 0.5])
                part[holes] = int(random.choice(len(KINDS), p=weights))
            place += 1 << order
        if not zones:
            # As every machine has.
            kinds[:64], kinds[64:200] = KINDS.index("reserved"), KINDS.index("free")
        lists = np.flatnonzero(kinds == KINDS.index("per_cpu"))
        kinds[lists[min(size // 16, 256) :]] = KINDS.index("kernel")
        free = int((kinds == 0).sum())
        low = int(random.choice([1, 30, free // 4, free]))
        boost = int(random.choice([0, 0, low // 2]))
        zone = Zone(node, name, begin, kinds, max(low * 4 // 5, boost), max(low, boost), boost, 0)
        if random.random() < 0.2:
            zone.reserve = free // 8
        zone.blocks = blocks_of(zone.of("free"), begin, max_order)
        zone.told = np.zeros(size, np.bool_)
        share = float(random.choice([0, 0.5, 1]))
        for first, order in zone.blocks:
            if order >= told_from and zone.closed(told_from, free) != "never" and random.random() < share:
                zone.told[first : first + (1 << order)] = True
        zones.append(zone)
        begin = -(-(begin + size) // (1 << max_order)) * (1 << max_order)
    return Machine(page_size, pageblock_order, max_order, told_from, zones)
