"""What a bundle holds, as data for programs and as sentences for people."""

from dataclasses import asdict
from typing import Any

import pyarrow.compute as pc

from pagehint.errors import printable
from pagehint.trace.bundle import Trace
from pagehint.trace.events import Event
from pagehint.trace.meta import Lost, Meta
from pagehint.trace.reporting import is_state
from pagehint.trace.snapshot import SNAPSHOT_FILES
from pagehint.trace.tables import HOST_COLUMNS
from pagehint.units import format_count

__all__ = [
    "BESIDE_FEWER_CPUS",
    "EMPTIED",
    "EVENT_NAMES",
    "FOLLOWED",
    "LONGEST_NAME",
    "OF_ONE_COMMAND",
    "OF_ONE_CPU",
    "OF_SEVERAL",
    "TURNED_OFF",
    "describe",
    "describe_anomalies",
    "describe_host_state",
    "describe_lost",
    "describe_missing",
    "describe_parts",
    "phases",
]

LONGEST_NAME = 200
"""Characters of a phase's name."""

# Kinds of anomalies by which not all was recorded, or not of one guest.
OF_ONE_COMMAND = "events, and none of the kernel's own tasks (was only one command recorded? perf record wants -a)"
OF_ONE_CPU = "CPUs of which there is no event, as all are of another (is this the file of one CPU?)"
OF_SEVERAL = "headers amid the events (several files in one: what happened between recordings is not known)"
TURNED_OFF = "kinds of events, or tracing itself, that somebody turned off meanwhile (what came then is missing)"
EMPTIED = "CPUs whose ring buffer somebody else read or emptied meanwhile (what it held then is missing)"
FOLLOWED = "inputs that go on after their recording's end (left out: import each recording by itself)"
BESIDE_FEWER_CPUS = "CPUs of the events that the snapshot does not have (is it another guest's?)"

EVENT_NAMES = {
    Event.ALLOC: "allocations",
    Event.FREE: "frees",
    Event.FREE_BATCHED: "frees in batches (of pages that are among the frees)",
    Event.ZONE_ALLOC: "blocks that left the free lists",
    Event.PCPU_DRAIN: "blocks that came back from per-CPU lists",
    Event.EXTFRAG: "blocks stolen from another migratetype",
    Event.ISOLATE: "blocks isolated: asked",
    Event.ISOLATE_RETURN: "blocks isolated: answered",
    Event.PUTBACK: "blocks put back",
    Event.REPORT: "batches reported to the host: begun",
    Event.REPORT_RETURN: "batches reported to the host: done",
    Event.MARK: "marks",
}


def describe(trace: Trace) -> dict[str, Any]:
    """What a bundle holds, in types that JSON has. Times are ns of the guest's clock."""
    meta = trace.meta
    snapshot = trace.snapshot
    residency = trace.residency
    reported = trace.reported
    return {
        "path": trace.where,
        "recorder": meta.recorder,
        "source": meta.source,
        "kernel": meta.kernel,
        "page_size": meta.page_size,
        "pageblock_order": meta.pageblock_order,
        "cpus": meta.cpus or None,
        "managed_bytes": sum(zone.managed for zone in meta.zones) * meta.page_size if meta.zones else None,
        "span_bytes": meta.span_pages * meta.page_size,
        "zones": [
            {"node": z.node, "name": z.name, "start_pfn": z.start_pfn, "end_pfn": z.end_pfn, "managed": z.managed}
            for z in meta.zones
        ],
        "first_ns": meta.first_ns,
        "last_ns": meta.last_ns,
        "num_events": meta.num_events,
        "events": meta.events,
        "page_level": meta.has(Event.ALLOC) and meta.has(Event.FREE),
        "zone_level": meta.has(Event.ZONE_ALLOC) and meta.has(Event.PCPU_DRAIN),
        "lost": {**asdict(meta.lost), "total": meta.lost.total},
        "anomalies": meta.anomalies,
        "warnings": list(trace.warnings),
        "reporting": None if meta.reporting is None else asdict(meta.reporting),
        "reporting_changes": [asdict(change) for change in trace.reporting_changes],
        "snapshot": None
        if snapshot is None
        else sorted(name.split(".")[0] for name in SNAPSHOT_FILES if (snapshot.path / name).is_file()),
        "truth": {
            "residency_samples": 0 if residency is None else residency.num_rows,
            "ram_resident_samples": 0
            if residency is None
            else residency.num_rows - residency["ram_resident_kib"].null_count,
            "residency_bitmaps": trace.num_residency_bitmaps,
            "reported_ranges": 0 if reported is None else reported.num_rows,
            "reported_bytes": 0 if reported is None else (pc.sum(reported["pages"]).as_py() or 0) * meta.page_size,
            "host_state": describe_host_state(trace),
        },
        "phases": phases(trace),
    }


def describe_host_state(trace: Trace) -> dict[str, int | None]:
    """How the host held the guest: the most that lay in huge pages and in swap, and huge pages that khugepaged made,
    pages that the host swapped in and out while it was sampled; None where that isn't known."""
    state = trace.host_state
    columns = {} if state is None else {name: state[name].drop_null().to_pylist() for name in HOST_COLUMNS}

    def most(name: str) -> int | None:
        return max(columns[name]) * 1024 if columns.get(name) else None

    def grown(name: str) -> int | None:
        return columns[name][-1] - columns[name][0] if columns.get(name) else None

    return {
        "most_huge_bytes": most("huge_kib"),
        "most_swapped_bytes": most("swapped_kib"),
        "collapsed": grown("thp_collapse_alloc"),
        "swapped_in": grown("pswpin"),
        "swapped_out": grown("pswpout"),
    }


def phases(trace: Trace) -> list[dict[str, Any]]:
    """The workload's phases: the marks ``MARK name``, or, where there is none of these, all but the recorder's own."""
    own = "KPF-", "CLOCK "
    marks = [(time, text) for time, text in trace.mark_texts if not (text.startswith(own) or is_state(text))]
    named = [(time, text.removeprefix("MARK ")) for time, text in marks if text.startswith("MARK ")]
    return [{"time": time, "name": _name(text)} for time, text in named or marks]


# What another tool wrote may be of any length.
def _name(text: str) -> str:
    return printable(text if len(text) <= LONGEST_NAME else f"{text[: LONGEST_NAME - 1]}\u2026")


def describe_lost(lost: Lost) -> list[str]:
    """What was lost, and what that does to a replay; empty where nothing was."""
    parts = [f"{number:,} on CPU {cpu}" for cpu, number in sorted(lost.by_cpu.items(), key=lambda item: int(item[0]))]
    if lost.overwritten:
        parts.append(f"{lost.overwritten:,} overwritten, or of no known CPU")
    if lost.uncounted:
        parts.append(f"an unknown number at {format_count(lost.uncounted, 'place')}")
    if not parts:
        return []
    total = f"{lost.total:,} " if lost.total else ""
    return [
        f"{total}events were lost while recording: {'; '.join(parts)}. Each lost allocation is a page that a replay "
        "takes for free, each lost free one that stays in use; record again with larger buffers"
    ]


def describe_missing(meta: Meta) -> list[str]:
    """What a recording in which nothing comes, or nothing goes, means; empty where both do."""
    lines = []
    if not meta.has(Event.FREE) and not meta.has(Event.PCPU_DRAIN):
        lines.append("no frees were recorded (kmem:mm_page_free): in a replay no memory comes back")
    if not meta.has(Event.ALLOC) and not meta.has(Event.ZONE_ALLOC):
        lines.append("no allocations were recorded (kmem:mm_page_alloc): in a replay no memory is taken")
    return lines


def describe_parts(anomalies: dict[str, int]) -> list[str]:
    """A line for each oddity by which a recording is only a part of one, or not of one guest."""
    kinds = (OF_ONE_COMMAND, OF_ONE_CPU, OF_SEVERAL, TURNED_OFF, EMPTIED, BESIDE_FEWER_CPUS)
    return describe_anomalies({kind: anomalies[kind] for kind in kinds if kind in anomalies})


def describe_anomalies(anomalies: dict[str, int]) -> list[str]:
    """A line for each kind of oddity."""
    return [f"{printable(kind)}: {count:,}" for kind, count in anomalies.items()]
