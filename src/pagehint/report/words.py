"""The words of reports, the same on the terminal and on the page."""

from collections.abc import Sequence
from typing import Any

from pagehint.hinting.design import Design
from pagehint.hinting.designs.registry import reasons_of
from pagehint.replays.run import LONGEST_WAIT, Run, is_as_recorded
from pagehint.units import GIB_MINUTE, format_count, format_size, format_time, mib, percent

__all__ = [
    "BEST_POSSIBLE",
    "WITHOUT_HINTING",
    "about",
    "alike_lines",
    "anomaly_lines",
    "describe_guest",
    "describe_recorded",
    "design_line",
    "fit_columns",
    "giving_back",
    "ground_line",
    "headline",
    "is_fall",
    "labels",
    "mean_size",
    "placed_line",
    "priced",
    "reasons_in",
    "saved",
    "seconds",
    "waited",
    "warning_lines",
]

BEST_POSSIBLE = "no design costs less where pages lie as in this run"
"""What `best_possible` is, which differs from run to run."""
WITHOUT_HINTING = "without hinting"
"""What a report calls the run that others are held against."""

_MOSTLY = 0.9
_LONGEST_NAME = 11
_WORDS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
# One, several, and what of them.
_ANOMALIES = {
    "outside every zone": ("event", "events", "outside every zone, or not aligned to its order: left out"),
    "allocated twice": ("allocation", "allocations", "of pages that were in use: taken as in use"),
    "freed, never allocated": ("free", "frees", "of pages that were not in use: left out"),
    "drained, never taken": ("page", "pages", "came back to the free lists without having left them: left out"),
    "taken twice": ("block", "blocks", "left the free lists that had left them before: left out"),
    "not placed": ("allocation", "allocations", "of blocks that never left the free lists: not placed"),
    "allocation failed here": (
        "allocation",
        "allocations",
        "for which the model had no free block: left out, and the pages count as free",
    ),
    "allocation failed in the guest": (
        "allocation",
        "allocations",
        "that failed in the guest itself: left out there and here",
    ),
    "allocated without an event (in bulk)": (
        "page was",
        "pages were",
        "freed that no event had allocated (the kernel's bulk allocations, and where compaction moved pages to): "
        "in use until then",
    ),
    "taken in pieces, as no block so large was free here": (
        "block was",
        "blocks were",
        "larger than any that was free in the model: taken as smaller ones",
    ),
    "of an order beyond the largest": ("event", "events", "of blocks larger than the kernel's largest: left out"),
}


def about(time: int) -> str:
    """Nanoseconds in three digits: ``"4.03 s"``."""
    return format_time(int(float(f"{time:.3g}")))


def seconds(time: int | None) -> str:
    """Nanoseconds as seconds for people; None is a dash."""
    return "-" if time is None else f"{time / 1e9:.2f} s"


def waited(time: int | None) -> str:
    """A wait from free to given back for people: all from LONGEST_WAIT on are one; None is a dash."""
    return seconds(time) if time is None or time < LONGEST_WAIT else f"{about(LONGEST_WAIT)} or more"


def mean_size(gib_minutes: float, duration: int) -> float:
    """The mean, in bytes, of an integral in GiB * minutes over `duration` ns."""
    return gib_minutes * GIB_MINUTE / duration if duration else 0.0


def describe_guest(run: Run) -> str:
    """The recorded guest in a line."""
    recording = run.recording
    kernel = f"Linux {recording['kernel']}" if recording["kernel"] else "kernel not recorded"
    cpus = format_count(recording["cpus"], "CPU") if recording["cpus"] else "CPUs not recorded"
    events = format_count(run.totals.events, "event")
    return (
        f"a guest of {format_size(recording['memory'])}, {kernel}, {cpus}: {events}"
        f" in {format_time(run.totals.duration)}"
    )


def design_line(run: Run) -> str:
    """The design and its settings."""
    if run.design is None:
        return "no hinting"
    return ", ".join([run.settings["design"], *_told(run, _names(run))])


def ground_line(run: Run) -> str:
    """The host, how pages are placed, and what is backed at the start."""
    settings = run.settings
    host = f"host pages {settings['host_page_size']}"
    if settings["host_memory"] is not None:
        host += f", {format_size(settings['host_memory'])} of host memory"
    how = "checked against a guest" if settings["kernel_checked"] else "from the rules only"
    rules = f"rules of {settings['kernel_profile']} ({how})"
    return f"{host}; placement {settings['placement']}; {rules}; backed at the start: {settings['backed_at_start']}"


# Settings in words, but for those that the design goes without.
def _told(run: Run, names: list[str]) -> list[str]:
    return [_words(run, name) for name in names if run.settings[name] is not None and run.settings[name] is not False]


def _words(run: Run, name: str) -> str:
    value = run.settings[name]
    if run.design is not None and name in run.design.settings:
        return run.design.settings[name].words(value)
    return f"{format_count(value, 'block')} a batch"


def _names(run: Run) -> list[str]:
    own = [] if run.design is None else list(run.design.settings)
    return [*(name for name in run.settings if name in own), "capacity"]


def labels(runs: list[Run]) -> list[str]:
    """A short name for each of the runs: the design, and the settings in which those of one design differ."""
    return [
        ", ".join([run.settings["design"], *(_words(run, name) for name in _names(run) if _differs(runs, run, name))])
        for run in runs
    ]


def alike_lines(runs: list[Run]) -> list[str]:
    """For each design of the runs, the settings that `labels` leave out: those in which its runs are alike."""
    lines: dict[type[Design], str] = {}
    for run in runs:
        told = _told(run, [name for name in _names(run) if not _differs(runs, run, name)])
        if run.design is not None and told:
            lines.setdefault(run.design, f"{run.settings['design']}: {', '.join(told)}")
    return list(lines.values())


def priced(run: Run) -> str:
    """What a run's cost is, beside the guest's time and the host's."""
    return f"with what is free and resident, at {run.settings['cost_price']:g} CPU seconds a GiB·min"


def _differs(runs: list[Run], run: Run, name: str) -> bool:
    alike = [other for other in runs if other.design is run.design]
    return run.design is not None and len({repr(other.settings[name]) for other in alike}) > 1


def fit_columns(names: Sequence[str]) -> bool:
    """Whether names are short enough to stand above a table's columns."""
    return max(map(len, names)) <= _LONGEST_NAME


def reasons_in(runs: Sequence[Run]) -> dict[str, str]:
    """Why free memory stayed resident in any of the runs: names of attribution, and what they mean."""
    reasons = reasons_of([run.design for run in runs])
    return {name: words for name, words in reasons.items() if any(run.attribution.get(name, 0) > 0 for run in runs)}


def describe_recorded(run: Run) -> str | None:
    """What the recorded guest itself did, or None where that isn't known."""
    reporting = run.truth.get("reporting")
    if reporting is None:
        return None
    parts = ["with free page reporting" if reporting["on"] else "without reporting"]
    if reporting["on"]:
        parts += [] if reporting["order"] is None else [f"order {reporting['order']}"]
        parts += [] if reporting["delay_ns"] is None else [f"delay {format_time(reporting['delay_ns'])}"]
    if run.settings["host_memory"] is not None:
        parts.append("on a host with enough memory")
    return ", ".join(parts)


def saved(run: Run, baseline: Run) -> float | None:
    """The share of the footprint without hinting that the run saves."""
    whole = baseline.totals.footprint
    return (whole - run.totals.footprint) / whole if whole else None


def giving_back(run: Run) -> list[dict[str, Any]]:
    """The phases that give back enough to tell of."""
    return [phase for phase in run.phases if phase["given_back_90"] is not None]


def is_fall(phase: dict[str, Any]) -> bool:
    """Whether resident memory fell by about what was given back: nothing much was allocated meanwhile.

    Only then can the fall that was measured be compared with what was given back.
    """
    return bool(phase["fall"] >= _MOSTLY * phase["given_back"] > 0)


def headline(run: Run) -> str:
    """What is to be seen of resident memory over time, in a sentence."""
    if run.design is None:
        return "Without hinting, what was resident once stays resident"
    found = giving_back(run)
    if not found:
        if run.totals.given_back:
            return f"{mib(run.totals.given_back)} come back"
        return "Nothing comes back"
    most = max([phase for phase in found if is_fall(phase)] or found, key=lambda phase: phase["given_back"])
    passes = most["passes"]
    count = _WORDS[passes] if passes < len(_WORDS) else f"{passes:,}"
    text = f"{most['name']}, {mib(most['given_back'])} come back in {count} {'pass' if passes == 1 else 'passes'}"
    if not is_fall(most):
        return f"During {text}"
    return f"After {text}, 90 % of it within {about(most['given_back_90'])}"


def warning_lines(*runs: Run) -> list[str]:
    """What the results don't rest on firmly: what the recording lacks, or how runs of it place pages."""
    lines = list(dict.fromkeys(line for run in runs for line in run.recording["warnings"]))
    if any(run.settings["placement"] == "recorded" and not is_as_recorded(run) for run in runs):
        lines.append("placed as recorded, with other settings than the recorded ones: it would have used other pages")
    return lines


def anomaly_lines(run: Run) -> list[str]:
    """What is odd in the recording, how often, and what that does to the result."""
    words = [(count, *_ANOMALIES[kind]) for kind, count in run.anomalies.items()]
    return [f"{format_count(count, one, many)} {what}" for count, one, many, what in words]


def placed_line(run: Run) -> str:
    """How much was placed as recorded, and what following the recording after compaction comes to; "" if unknown."""
    prediction = run.prediction
    if prediction.placed_as_recorded is None or not is_as_recorded(run) or run.settings["placement"] == "recorded":
        return ""
    line = f"{percent(prediction.placed_as_recorded, 2)} of all blocks were placed as recorded"
    if prediction.followed_error is not None and prediction.followed is not None:
        line += (
            f"; compaction turned lists, which nothing tells: with the recorded choice followed until they agree again "
            f"({percent(prediction.followed, 2)} of the blocks), {percent(prediction.followed_error, 3)} apart"
        )
    return line
