"""What a result does not rest on firmly: sentences for the screen, the page and ``--json``."""

import re

from pagehint.hinting.designs.reporting import PageReporting, timer_step
from pagehint.host.blocks import PAGE_BYTES
from pagehint.kernel.profiles import is_newer, is_version
from pagehint.mm.guest.zones import DMA32_END, DMA_END
from pagehint.mm.pcp import pcp_high_max
from pagehint.replays.balloon import balloon_change
from pagehint.replays.hotplug import SECTION
from pagehint.replays.khugepaged import collapsed_areas
from pagehint.replays.misses import misses
from pagehint.replays.playback import Playback
from pagehint.replays.start import guest_reporting
from pagehint.replays.timeline import MOST_ROWS
from pagehint.replays.timer import timer_tick
from pagehint.replays.truth import resident_beyond
from pagehint.trace.bundle import Trace
from pagehint.trace.describe import describe_host_state, describe_lost, describe_missing, describe_parts
from pagehint.trace.reporting import changes_in_words
from pagehint.units import format_count, format_size, format_time

__all__ = ["doubts"]

_MOST_AREAS = 8
_LEAST_FOUND = 0.99
_OUTSIDE = "outside every zone"
# Of a whole recording beside its own snapshot no event is of these.
_UNFIT = {
    (_OUTSIDE, "allocated twice", "taken twice"): (
        "take what was in use, or what is no memory",
        "events are missing (lost, or of other tasks or CPUs), or the snapshot is of another guest or another time: "
        "what is in use is wrong",
    ),
    ("freed, never allocated", "drained, never taken"): (
        "give back what was free",
        "what took it is missing (lost, or compaction's and drivers', of which only the probe of __isolate_free_page "
        "tells): it counts as free meanwhile",
    ),
}
# Where zones end on x86-64 at the latest; that of 32 bits has one more.
_ENDS = {"DMA": DMA_END, "DMA32": DMA32_END, "HighMem": 0}
_LEAST_UNFIT, _MOST_UNFIT = 10, 5e-4
_REALTIME = re.compile(r"[-+.](?:rt\d*|realtime)(?![a-z0-9])")


def doubts(playback: Playback) -> list[str]:
    """A sentence for each thing that a replay took for granted, or that its recording lacks."""
    trace = playback.trace
    return [
        *describe_lost(trace.meta.lost),
        *describe_missing(trace.meta),
        *describe_parts(trace.meta.anomalies),
        *trace.warnings,
        *playback.start.seen.at_start.doubts,
        *_unfit(playback),
        *_kernel(playback),
        *_architecture(playback.trace),
        *_guest(playback),
        *_changed(playback),
        *_balloon(playback),
        *_offline(playback),
        *_plugged(playback),
        *_zone_level(playback),
        *_no_zone_events(playback),
        *_late(playback),
        *misses(playback),
        *_host(playback),
        *_beyond(trace),
        *_host_state(trace),
        *_collapsed(playback),
        *_reserves(playback),
        *_steps(playback),
    ]


def _unfit(playback: Playback) -> list[str]:
    lines, events = [], playback.trace.meta.num_events
    known = _OUTSIDE if any(more > 0 for _, _, more in _came_and_went(playback)) else ""
    for kinds, (what, why) in _UNFIT.items():
        found = {kind: count for kind, count in playback.engine.anomalies.items() if kind in kinds}
        found.pop(known, None)
        if (number := sum(found.values())) >= max(_LEAST_UNFIT, _MOST_UNFIT * events):
            each = "; ".join(f"{kind}: {count:,}" for kind, count in found.items())
            lines.append(f"{number:,} of {format_count(events, 'event')} {what} ({each}): {why}")
    return lines


def _steps(playback: Playback) -> list[str]:
    step, asked = playback.timeline.step, playback.timeline.asked
    if step is None or step == asked:
        return []
    return [f"the timeline has a row each {format_time(step)}: it has {MOST_ROWS:,} rows at the most"]


def _kernel(playback: Playback) -> list[str]:
    name = playback.profile.name
    lines = [
        f"{doubt}: the rules of {name} are followed" for doubt in playback.start.seen.evidence.doubts(playback.profile)
    ]
    if not is_version(playback.kernel):
        lines.append(f"the kernel is not known: free lists are kept as {name} does, by what its events show")
    elif not playback.profile.checked:
        lines.append(f"the rules of {name} are known from their description only: no guest with them was compared")
    elif is_newer(playback.kernel):
        lines.append(f"the kernel is newer than those that are known: the rules of {name} are followed")
    if _REALTIME.search(playback.trace.meta.kernel or ""):
        lines.append(
            "the kernel has PREEMPT_RT: its tasks wait for locks and are preempted in the midst of a free, so that "
            "blocks come back to the lists later than their events tell"
        )
    if playback.trace.meta.shuffles:
        lines.append(
            "the kernel shuffles its free lists (page_alloc.shuffle): chance decides at which end a free block of the "
            "largest order comes to stand, and it is another end here"
        )
    return lines


def _architecture(trace: Trace) -> list[str]:
    odd = [zone for zone in trace.meta.zones if zone.name in _ENDS and zone.end_pfn > _ENDS[zone.name]]
    return [
        f"zone {zone.name} ends at pfn {zone.end_pfn:,}, which it does not on x86-64: no guest of another architecture "
        "was compared"
        for zone in odd[:1]
    ]


def _guest(playback: Playback) -> list[str]:
    lines = []
    reporting = playback.trace.meta.known_reporting
    known = reporting.on is False or reporting.device_load_ns is not None
    unsaid = not known and playback.begins == playback.start.load
    if reporting.on is not False and None in (reporting.order, reporting.delay_ns):
        lines.append(
            "the guest's own reporting is not known: blocks from order 9 on, 2 s after the first is free, 32 at a "
            "time, are taken for it, as mainline does, unless set otherwise"
            + ", and its device is there from the first event on"
            * unsaid
        )
        unsaid = False
    elif reporting.order is not None and playback.start.seen.least_told < (playback.trace.least_order or 0):
        lines.append(
            f"the guest told blocks of order {playback.start.seen.least_told}, and its reporting's order was "
            f"{reporting.order} at the start: it was changed meanwhile, and stays as it was"
        )
    lines += _ticks(playback)
    if unsaid:
        lines.append("when the guest's device came is not known: it is there from the first event on")
    return lines


def _changed(playback: Playback) -> list[str]:
    changes = playback.trace.reporting_changes
    if playback.design is None or not changes:
        return []
    follows = "and so it is here" if playback.is_guests_own else "here the settings stay as they are"
    seen = sum(not change.file_told for change in changes)
    when = "" if not seen else f", {'' if seen == len(changes) else 'some only '}when the recorder saw it"
    return [
        f"the guest's reporting was changed while it was recorded ({changes_in_words(changes)} of the guest's "
        f"clock{when}), {follows}"
    ]


# Of no tick is a delay that ends by itself, but for the half step that is added to the guest's own.
def _ticks(playback: Playback) -> list[str]:
    tick, design, reporting = timer_tick(playback.trace), playback.design, playback.trace.meta.known_reporting
    if tick.by is not None or not reporting.on or not isinstance(design, PageReporting):
        return []
    own = guest_reporting(playback.trace)
    if design.timer_phase is not None:
        then = f"a pass comes with the next of its timer's steps of {format_time(timer_step(design.delay, tick.ns))}"
    elif own.timer_phase is None and own.delay == design.delay:
        then = f"half of its timer's step, {format_time(own.delay - reporting.usual_delay)}, is added to its delay"
    else:
        return []
    return [f"how many ticks a second the guest's kernel has is not known: 250 are taken, so that {then}"]


def _balloon(playback: Playback) -> list[str]:
    change, found = balloon_change(playback.trace), playback.start.seen.balloon
    if change is None or found >= _LEAST_FOUND * change[0]:
        return []
    return [
        f"the balloon took {format_size(change[0] * PAGE_BYTES)} meanwhile, of which "
        f"{format_size(found * PAGE_BYTES)} are known by the flags of their allocations: the rest "
        "counts as in use and resident, and is the host's"
    ]


def _offline(playback: Playback) -> list[str]:
    """Memory that went offline meanwhile, where the recording tells which."""
    found = playback.start.seen.hotplug
    came, away = found.came, found.away
    if found.taken:
        return [
            f"the host took {format_size(found.taken * PAGE_BYTES)} that the guest had not told as free, as virtio-mem "
            "unplugs memory: so it is here, but what the guest moved out of it before may be placed elsewhere"
        ]
    if not came and not away:
        return []
    sections, times = len(came) + len(away), dict.fromkeys(f"{time / 1e9:.2f} s" for time in came)
    which = f"{format_size(len(came) * SECTION * PAGE_BYTES)} of it " if came and away else ""
    back = f", and {which}came back ({', '.join(times)} of the guest's clock)" if came else ""
    return [
        f"{format_size(sections * SECTION * PAGE_BYTES)} went offline meanwhile{back}: no event tells when it went. "
        "From its last event on it counts as in use, and stays with its host as it was"
    ]


def _plugged(playback: Playback) -> list[str]:
    """Memory that was plugged or unplugged meanwhile, where nothing tells which."""
    lines = []
    for place, had, more in _came_and_went(playback):
        had_and_has = f"{place} had {format_size(had * PAGE_BYTES)} at the start and "
        had_and_has += f"{format_size((had + more) * PAGE_BYTES)} at the end"
        if more < 0:
            lines.append(f"{had_and_has}: what was unplugged meanwhile stays as it was at the start")
            continue
        events = format_count(playback.engine.anomalies.get(_OUTSIDE, 0), "event")
        lines.append(
            f"{had_and_has}: what was plugged meanwhile is left out ({events} outside every zone), and so are the "
            "passes that its frees asked for"
        )
    return lines


# Of each zone that has more or less memory at the end than is known: which, and pages: at the start, and more.
def _came_and_went(playback: Playback) -> list[tuple[str, int, int]]:
    first, last = playback.snapshots
    if first is None or last is None:
        return []
    found, away = [], playback.start.seen.hotplug.away
    begun = {(zone.node, zone.name): zone for zone in first.zones}
    ended = {(zone.node, zone.name): zone.present for zone in last.zones}
    for node, name in dict.fromkeys((*begun, *ended)) if begun and ended else ():
        zone, has = begun.get((node, name)), ended.get((node, name), 0)
        had = 0 if zone is None else zone.present
        known = 0 if zone is None else SECTION * sum(zone.start_pfn <= pfn < zone.end_pfn for pfn in away)
        if had - known != has:
            found.append((f"zone {name} of node {node}", had, has - had))
    return found


def _zone_level(playback: Playback) -> list[str]:
    if playback.trace.meta.level != "zone":
        return []
    tunes, most = playback.profile.pcp_tunes, 0
    for zone in playback.trace.meta.zones:
        cpus, high = zone.cpus or 1, zone.pcp_high or 0
        # Of lists that tune themselves `pcp_high` is momentary, and not every zoneinfo tells the most.
        most += cpus * (zone.pcp_high_max or (pcp_high_max(high, zone.managed, cpus) if tunes else high))
    return [
        f"recorded at zone level: what lies on per-CPU lists, up to {format_size(most * PAGE_BYTES)}, counts as "
        "in use and is left out of the best possible, and what they were refilled with counts as used evenly until "
        "their next refill (`pagehint record --level page` tells it apart)"
    ]


def _no_zone_events(playback: Playback) -> list[str]:
    if playback.engine.zone_events:
        return []
    return [
        "no zone events were recorded (kmem:mm_page_alloc_zone_locked, kmem:mm_page_pcpu_drain): when CPUs' lists are "
        "refilled and drained is the model's own, by which residency was 0.04 to 7.2 % off in 49 recordings, half of "
        "them 1.3 % or more"
    ]


def _late(playback: Playback) -> list[str]:
    behind = playback.start.load - playback.trace.meta.last_ns
    if playback.design is None or behind <= 0:
        return []
    return [
        f"the guest's device came {format_time(behind)} after the last event: nothing could be given back while it was "
        "recorded"
    ]


def _host(playback: Playback) -> list[str]:
    if playback.first.recorded:
        return []
    lines = []
    if unmanaged := sum(zone.present - zone.managed for zone in playback.trace.meta.zones):
        lines.append(
            f"{format_size(unmanaged * PAGE_BYTES)} are not managed by the guest's page allocator (the kernel itself, "
            "and what was reserved at boot): they count as in use and resident"
        )
    assumed = (
        "what was backed at the start, and that the host backs the guest by "
        f"{playback.host.page_size} pages, is assumed ({playback.first.source.removeprefix('assumed: ')})"
    )
    residency = playback.trace.residency
    samples = [] if residency is None else residency["ram_resident_kib"].drop_null()[:1].to_pylist()
    if samples:
        backed = int(playback.first.backed.sum()) * PAGE_BYTES
        has = "what was measured on the host does not tell which pages were resident"
        assumed += f": {format_size(backed)}, where {format_size(samples[0] << 10)} were measured"
    else:
        has = "the recording has no residency"
    return [*lines, f"{has}: {assumed}{'' if playback.first.doubt is None else f'; {playback.first.doubt}'}"]


def _beyond(trace: Trace) -> list[str]:
    if not (beyond := resident_beyond(trace)):
        return []
    return [
        f"{format_size(beyond)} beyond the guest's zones were resident, which it neither uses nor gives back (mem=, "
        "or what firmware keeps): they are left out of what was measured"
    ]


def _host_state(trace: Trace) -> list[str]:
    """What the host did to the guest's memory by itself, which no event of the guest tells."""
    state = describe_host_state(trace)
    lines = []
    if made := state["collapsed"]:
        lines.append(
            f"the host's khugepaged made {made:,} huge pages meanwhile, in any of its processes: memory may have come "
            "back that no guest touched"
        )
    if swapped := state["most_swapped_bytes"]:
        lines.append(f"up to {format_size(swapped)} of the guest lay in its host's swap: they are not resident")
    return lines


def _collapsed(playback: Playback) -> list[str]:
    if not playback.host.khugepaged:
        return []
    areas = collapsed_areas(playback.trace)
    told = ", ".join(f"pfn {pfn} by {time / 1e9:.2f} s" for time, pfn in areas[:_MOST_AREAS])
    more = f", and {len(areas) - _MOST_AREAS:,} more" if len(areas) > _MOST_AREAS else ""
    if not areas and not playback.trace.num_residency_bitmaps:
        return ["khugepaged runs as Linux sets it up: the recording has no residency map that shows whether it did"]
    return [
        f"khugepaged runs as Linux sets it up: the recording shows {format_count(len(areas), 'area')} of 2 MiB that "
        f"came back with no event of the guest{': ' if areas else ''}{told}{more}"
    ]


def _reserves(playback: Playback) -> list[str]:
    if not playback.reserves or any(reserve <= zone.present_pages for zone, reserve in playback.reserves.items()):
        return []
    zone, reserve = max(playback.reserves.items(), key=lambda each: each[0].present_pages)
    blocks = format_count(playback.device.capacity, "block")
    return [
        f"no zone is large enough for this design and {blocks} a batch: it gives "
        f"nothing back unless {format_size(reserve * zone.page_size)} are free in a zone, and the largest, "
        f"{zone.name}, has {format_size(zone.present_pages * zone.page_size)}: choose a smaller capacity, or a lower "
        "order"
    ]
