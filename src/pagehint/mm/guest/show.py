"""The state of a guest's zones as text, in the manner of the kernel's report of a failed allocation."""

from collections.abc import Sequence

from pagehint.mm.guest.zones import PAGE_SIZE, GuestZone

__all__ = ["show_free_areas"]


def _kib(pages: int) -> str:
    return f"{pages * PAGE_SIZE >> 10}kB"


def show_free_areas(zones: Sequence[GuestZone]) -> str:
    """Two lines a zone: its pages and watermarks, and its free blocks by order."""
    lines = []
    for guest_zone in zones:
        zone = guest_zone.zone
        where = f"Node {zone.node} {zone.name}"
        figures = {
            "free": zone.free_pages,
            **zone.watermarks._asdict(),
            "present": zone.present_pages,
            "per_cpu": guest_zone.per_cpu_pages,
            "in_flight": zone.in_flight_pages,
        }
        lines.append(
            f"{where} "
            + " ".join(f"{name}:{_kib(pages)}" for name, pages in figures.items())
            + f" lowmem_reserve[]: {' '.join(map(str, guest_zone.protection))}"
        )
        counts = zone.nr_free
        blocks = " ".join(f"{count}*{_kib(1 << order)}" for order, count in enumerate(counts))
        lines.append(f"{where}: {blocks} = {_kib(sum(count << order for order, count in enumerate(counts)))}")
    return "\n".join(lines)
