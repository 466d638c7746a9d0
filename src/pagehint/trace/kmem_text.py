"""The lines of text that tracers print for page events: ``trace-cmd report``, ``perf script``, tracefs' trace.

All three have the same shape, task, pid, [cpu], time, event and fields, and differ in what surrounds it.
"""

import re
from functools import partial
from typing import NamedTuple

from pagehint.errors import InputError
from pagehint.kernel.orders import MOST_ORDER
from pagehint.trace.events import KMEM_EVENTS, MAX_PFN, MAX_TIME, NO_PFN, NONE, PROBE_EVENTS, Event, pack_fallback
from pagehint.trace.gfp import parse_gfp
from pagehint.trace.meta import MAX_CPUS
from pagehint.units import shown

__all__ = ["HeadlessLineError", "LineParser", "LostLine", "MarkLine", "Row"]

# Each number and name is bounded, so that every pattern is linear in a line's length.
# "task-12 (  12) [000] d..1. 1.234567: ", or perf's "task 12/12 [000] 1.234567: 1 kmem:". The task may hold anything.
# trace-cmd's report --ts-diff adds "(+65)" to the time.
_HEAD = (
    r"(?<!\d)(\d{1,10})(?:/\d{1,10})? +(?:\( *[-\d]{1,10}\) +)?\[(\d{1,6})\] +(?:[^\s\d]\S{0,40} +)?"
    r"(\d{1,12})\.(\d{6,9}): +(?:\(\+\d{1,20}\) +)?(?:\d{1,20} +)?(?:\w{1,40}:)?"
)
# "task-12 0d..1. 1.234567: " of trace-cmd's report -l, "task-12 0d..1. 1234567us+: " of tracefs' latency-format.
_LATENCY = re.compile(
    r"-(\d{1,10}) +(\d{1,6})([^\s\d]\S{0,9}) +(?:(\d{1,12}\.\d{6,9})|(\d{1,15})us[ +!#*@$]?): ", re.ASCII
)
# Lines of a stack, of which there may be many, have none of these.
_MAY_SAY = re.compile(r":\s|EVENTS|LOST|[Ll]ost", re.ASCII)
# What trace-cmd can't print as the kernel would, it prints field by field.
_PAGE_LINE = re.compile(
    _HEAD + r"(mm_page_\w{1,40}): +(?:page= ?(\S{1,40}) +|\[FAILED TO PARSE\] +)?pfn=(\S{1,24})(?!\S)(.*)",
    re.ASCII,
)
_PROBE_LINE = re.compile(
    _HEAD + rf"({'|'.join(PROBE_EVENTS)}): +(?:[0-9a-f]{{8,16}} +)?\([^()]{{1,400}}\) *(.*)", re.ASCII
)
_MARK_LINE = re.compile(
    _HEAD + r"(?:tracing_mark_write(?:\+0x[0-9a-f]{1,8}/0x[0-9a-f]{1,8})?(?: <[0-9a-f]{8,16}>)?|print): +"
    r"(?:tracing_mark_write: |ip=\S{1,60} buf=|\(?(?:0x)?[0-9a-f]{8,16}s?\)?:? )?(.*)",
    re.ASCII,
)
_EVENT_LINE = re.compile(_HEAD + r"(\w{1,100}):", re.ASCII)
_NAMES = frozenset((*KMEM_EVENTS, *PROBE_EVENTS, "tracing_mark_write", "print"))
_CLAIMS_PAGE_EVENT = re.compile(rf"(?:^|[\s:])({'|'.join(KMEM_EVENTS)}):(?![\w:])", re.ASCII)
_UNTIMED = re.compile(r"\[\d{1,6}\] *(?:[^\s\d]\S{0,40} +)?\d{1,20}: ", re.ASCII)
_PERF_TRACE = re.compile(r"[ :]kmem:mm_page_\w{1,40}\(", re.ASCII)
# Work of the kernel's own, and tasks whose names were not kept.
_KERNEL_TASK = re.compile(
    r"<idle>-|<\.\.\.>-|swapper(?:/\d{1,4})?[ -]|kworker/|ksoftirqd/|kswapd\d|kcompactd\d|khugepaged|kthreadd|rcu_|"
    r"migration/",
    re.ASCII,
)
_FIELD = re.compile(r"(?<!\S)(\w{1,40})=(\S{1,2000})(?!\S)", re.ASCII)

_LOST = re.compile(r"CPU:\s{0,8}(\d{1,6}) \[(?:LOST )?(\d{1,15})? ?EVENTS(?: DROPPED)?\]", re.ASCII)
_LOST_PERF = re.compile(r"PERF_RECORD_LOST\w{0,40}:? +lost[ =]{0,8}(\d{1,15})?(?!\d)", re.ASCII)
_LOST_ELSEWISE = re.compile(
    r"\W{0,8}(?:(\d{1,15}) events? lost|lost (\d{1,15}) (?:events?|samples?)\b|processed \d{1,15} \w{1,9} and lost )",
    re.ASCII | re.I,
)
_CPU = re.compile(r"\[(\d{1,6})\]", re.ASCII)
_OVERWRITTEN = re.compile(r"# entries-in-buffer/entries-written: (\d{1,15})/(\d{1,15}) ", re.ASCII)

# Of tracefs' trace, trace-cmd report and perf script --header.
_HEADER_CPUS = re.compile(
    r"# entries-in-buffer.{1,80}#P:(\d{1,6})\b|(?:\S{1,200}: )?cpus=(\d{1,6})$|# nrcpus online : (\d{1,6})\b", re.ASCII
)
_HEADER_KERNEL = re.compile(r"# os release : (\S{1,80})$", re.ASCII)
_OF_SEVERAL = re.compile(r"\S{1,200}: cpus=\d{1,6}$", re.ASCII)
_CUT = ": is the line cut off, as at a terminal's width?"

_NULL_PAGES = frozenset(("(null)", "(nil)", "0", "0x0", "00000000", "0000000000000000", "0x0000000000000000", "NULL"))
_FAILED_PFNS = frozenset(("-1", "18446744073709551615", "0xffffffffffffffff"))

_MAX_KNOWN = 1 << 14
# The kernel's array of pages: 64 bytes each, from an address on that is a multiple of 1 GiB.
_PAGE_STRUCT = 64
_PAGE_ARRAY = 1 << 30


class HeadlessLineError(InputError):
    """A page event without task, CPU and time before it."""


class Row(NamedTuple):
    """A page event, in the order of the columns of EVENT_SCHEMA."""

    time: int
    cpu: int
    pid: int
    event: int
    pfn: int
    order: int
    migratetype: int
    gfp: int
    detail: int


class MarkLine(NamedTuple):
    """Text that was written to trace_marker."""

    time: int
    cpu: int
    pid: int
    text: str


class LostLine(NamedTuple):
    """Events lost: on `cpu` (None: before the first that was kept), `number` of them (None: not told)."""

    cpu: int | None
    number: int | None


class _Fields(NamedTuple):
    event: Event
    order: int
    migratetype: int
    gfp: int
    detail: int
    unknown_gfp: list[str]


class LineParser:
    """Parses line after line of `path`; knows afterwards which tracer printed them, and what it skipped.

    `recorder` is the tracer, `other_events` counts events of other kinds, `unknown_gfp` flags that no kernel known
    here has, by name; `cpus` and `kernel` are what the tracer says of the guest; `kernel_task` is whether any event is
    of the kernel's own work, or of a task that has no name.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.recorder = "tracefs trace_pipe"
        self.other_events = 0
        self.unknown_gfp: dict[str, int] = {}
        self.cpus: int | None = None
        self.kernel: str | None = None
        self._files = 0
        self.kernel_task = False
        # What follows the pfn takes few different values: each is parsed once.
        self._known: dict[tuple[str, str], _Fields] = {}

    def parse(self, line: str, number: int) -> Row | MarkLine | LostLine | None:
        """What one line says; None where it's of no interest. Raises InputError on a page event that isn't whole."""
        match = _PAGE_LINE.search(line) if "mm_page_" in line else None
        if match is None:
            if _MAY_SAY.search(line) is None:
                return None
            line = _with_usual_head(line.replace("\t", " "))
            match = _PAGE_LINE.search(line) if "mm_page_" in line else None
        if match is None:
            other = _EVENT_LINE.search(line)
            if other is not None and other[5] not in _NAMES and not other[5].startswith("PERF_RECORD_LOST"):
                self.other_events += 1
                return None
            match = _PROBE_LINE.search(line)
            return self._rest(line, number) if match is None else self._probe(match, number)
        pid_text, cpu_text, seconds, fraction, name, page, pfn_text, rest = match.groups()
        fields = self._known.get((name, rest))
        if fields is None:
            if name not in KMEM_EVENTS:
                self.other_events += 1
                return None
            fields = self._parse_fields(name, rest, number)
        event, order, migratetype, gfp, detail, unknown = fields
        for flag in unknown:
            self.unknown_gfp[flag] = self.unknown_gfp.get(flag, 0) + 1
        if pfn_text in _FAILED_PFNS:
            pfn = NO_PFN
        else:
            try:
                pfn = int(pfn_text, 16 if pfn_text.startswith("0x") else 10)
            except ValueError:
                raise self._error(number, f"{name}: pfn {pfn_text} is no number") from None
        # Where addresses are kept from who reads, each page is that of none.
        if pfn == 0 and event is Event.ALLOC and page in _NULL_PAGES:
            pfn = NO_PFN
        if not NO_PFN <= pfn <= MAX_PFN:
            raise self._error(number, f"{name}: pfn {pfn_text} is no page of any machine")
        time, cpu, pid = self._head(pid_text, cpu_text, seconds, fraction, number)
        if not self.kernel_task:
            self.kernel_task = pid == 0 or _KERNEL_TASK.search(line) is not None
        return Row(time, cpu, pid, event, pfn, order, migratetype, gfp, detail)

    def _parse_fields(self, name: str, rest: str, number: int) -> _Fields:
        event = KMEM_EVENTS[name]
        values = dict(_FIELD.findall(rest))
        gfp, detail, migratetype = 0, 0, NONE
        unknown: list[str] = []
        value = partial(self._value, name, values, number)
        small = partial(self._small, name, values, number)
        if event is Event.EXTFRAG:
            order = value("alloc_order")
            migratetype = small("alloc_migratetype")
            detail = pack_fallback(
                small("fallback_order"), small("fallback_migratetype"), value("change_ownership") & 1
            )
        else:
            # trace-cmd's report -R prints what was recorded, and of these no order is.
            order = value("order", "0" if event is Event.FREE_BATCHED else None)
            if event is not Event.FREE and event is not Event.FREE_BATCHED:
                migratetype = small("migratetype")
            if event is Event.ALLOC:
                if "gfp_flags" not in values:
                    raise self._error(number, f"{name} without gfp_flags={_CUT}")
                gfp, unknown = parse_gfp(values["gfp_flags"])
            elif event is Event.ZONE_ALLOC:
                detail = value("percpu_refill", "01"[order == 0]) & 1
        self._check_order(name, order, number)
        fields = _Fields(event, order, migratetype, gfp, detail, unknown)
        if len(self._known) < _MAX_KNOWN and len(rest) < 1000:
            self._known[name, rest] = fields
        return fields

    def _probe(self, match: re.Match[str], number: int) -> Row:
        pid, cpu, seconds, fraction, name, rest = match.groups()
        event, values = PROBE_EVENTS[name], dict(_FIELD.findall(rest))
        value = partial(self._value, name, values, number)
        pfn, order, migratetype, detail = NO_PFN, NONE, NONE, 0
        if event in (Event.ISOLATE, Event.PUTBACK):
            page, order = value("page"), value("order")
            self._check_order(name, order, number)
            base = value("base") if "base" in values else page // _PAGE_ARRAY * _PAGE_ARRAY
            pfn, rest_of_page = divmod(page - base, _PAGE_STRUCT)
            if not 0 <= pfn <= MAX_PFN or rest_of_page:
                raise self._error(number, f"{name}: {shown(values['page'])} is the address of no page")
            if event is Event.PUTBACK and "mt" in values:
                migratetype = self._small(name, values, number, "mt")
        else:
            key = "nents" if event is Event.REPORT else "ret"
            detail = value(key)
            if not -(1 << 31) <= detail < 1 << 31:
                raise self._error(number, f"{name}: {key} {shown(values[key])} is absurd")
        return Row(*self._head(pid, cpu, seconds, fraction, number), event, pfn, order, migratetype, 0, detail)

    def _rest(self, line: str, number: int) -> MarkLine | LostLine | None:
        if (match := _MARK_LINE.search(line)) is not None:
            pid, cpu, seconds, fraction, text = match.groups()
            return MarkLine(*self._head(pid, cpu, seconds, fraction, number), text.rstrip())
        if (match := _LOST.search(line)) is not None:
            return LostLine(self._cpu(match[1], number), None if match[2] is None else int(match[2]))
        if (match := _LOST_PERF.search(line)) is not None:
            on = _CPU.search(line, 0, match.start())
            return LostLine(
                None if on is None else self._cpu(on[1], number), None if match[1] is None else int(match[1])
            )
        if (match := _OVERWRITTEN.match(line)) is not None:
            return LostLine(None, max(0, int(match[2]) - int(match[1])))
        if (match := _LOST_ELSEWISE.match(line)) is not None:
            lost = match[1] or match[2]
            return LostLine(None, None if lost is None else int(lost))
        if (match := _CLAIMS_PAGE_EVENT.search(line)) is not None and not line.startswith("#"):
            if _UNTIMED.search(line) is not None:
                raise self._error(
                    number,
                    "the times are counts, not seconds: record with the trace clock mono, and print it without "
                    "trace-cmd report --raw-ts",
                )
            raise HeadlessLineError(
                f"{self.path}: line {number}: {match[1]}: expected TASK-PID [CPU] SECONDS: {match[1]}: page=... "
                "pfn=... ..., as printed with context-info (tracefs), and by perf script without -F"
            )
        if _PERF_TRACE.search(line) is not None:
            raise self._error(
                number,
                "perf trace prints neither the CPU nor what is 0: record with perf record -a, print with perf script",
            )
        return None

    def note_recorder(self, line: str) -> None:
        """Learn from one of the first lines which tracer printed them, and what it tells of the guest.

        Raises InputError where trace-cmd printed several recordings as one.
        """
        line = line.rstrip()
        if _OF_SEVERAL.match(line) is not None:
            self._files += 1
            if self._files > 1:
                raise InputError(f"{self.path}: the report of several recordings: print one, with one -i")
        if (match := _HEADER_CPUS.match(line)) is not None:
            self.cpus = int(match[1] or match[2] or match[3])
        if (match := _HEADER_KERNEL.match(line)) is not None:
            self.kernel = match[1]
        if line.startswith("# tracer:"):
            self.recorder = "tracefs trace"
        elif re.match(r"(?:\S{1,200}: )?cpus=\d+$|version = \d+$", line, re.ASCII):
            self.recorder = "trace-cmd report"
        elif " kmem:mm_page_" in line:
            self.recorder = "perf script"

    def _head(self, pid: str, cpu: str, seconds: str, fraction: str, number: int) -> tuple[int, int, int]:
        time = int(seconds) * 1_000_000_000 + int(fraction) * (
            1000 if len(fraction) == 6 else 10 ** (9 - len(fraction))
        )
        head = time, self._cpu(cpu, number), int(pid)
        if head[0] >= MAX_TIME:
            raise self._error(number, f"the time {seconds}.{fraction} s is absurd")
        if head[2] >= 1 << 31:
            raise self._error(number, f"pid {pid} is absurd")
        return head

    def _cpu(self, text: str, number: int) -> int:
        if int(text) >= MAX_CPUS:
            raise self._error(number, f"cpu {text} is absurd, expected 0 to {MAX_CPUS - 1}")
        return int(text)

    # A field of event `name`: its number, in hex with tracefs' options/fields.
    def _value(self, name: str, values: dict[str, str], number: int, key: str, default: str | None = None) -> int:
        text = values.get(key, default)
        if text is None:
            raise self._error(number, f"{name} without {key}={_CUT}")
        try:
            return int(text, 16 if text.startswith("0x") else 10)
        except ValueError:
            raise self._error(number, f"{name}: {key} {shown(text)} is no number") from None

    # One that a byte holds.
    def _small(self, name: str, values: dict[str, str], number: int, key: str) -> int:
        value = self._value(name, values, number, key)
        if not 0 <= value < NONE:
            raise self._error(number, f"{key} {value} is absurd, expected 0 to 254")
        return value

    def _check_order(self, name: str, order: int, number: int) -> None:
        if not 0 <= order <= MOST_ORDER:
            raise self._error(number, f"{name}: order {order} is absurd, expected 0 to {MOST_ORDER}")

    def _error(self, number: int, text: str) -> InputError:
        return InputError(f"{self.path}: line {number}: {text}")


def _with_usual_head(line: str) -> str:
    if (latency := _LATENCY.search(line)) is None:
        return line
    pid, cpu, flags, time, microseconds = latency.groups()
    if time is None:
        time = f"{int(microseconds) // 10**6}.{int(microseconds) % 10**6:06d}"
    return f"{line[: latency.start()]}-{pid} [{cpu}] {flags} {time}: {line[latency.end() :]}"
