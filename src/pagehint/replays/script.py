"""Op scripts: one zone and its hinting driven line by line, in virtual time (docs/spec/3)."""

import re
import zlib
from collections import deque
from collections.abc import Callable

from pagehint.errors import BusyError, InputError
from pagehint.hinting.clock import VirtualClock
from pagehint.hinting.designs.hinting import PageHinting
from pagehint.hinting.drivers.virtual import VirtualWorker
from pagehint.kernel.migratetype import MIGRATE_TYPES, Migratetype
from pagehint.mm.batch import Batch
from pagehint.mm.check import check
from pagehint.mm.zone import Zone

__all__ = ["Script"]

_JIFFY = 10**6
_NUMBER = re.compile(r"[0-9]{1,18}")
_MOST_PAGES = 1 << 28
_MARK = ["|"]
_ARGUMENTS = {
    "init": "NR_PAGES",
    "startup": "CAPACITY",
    "shutdown": "",
    "a": "ID ORDER MT",
    "f": "ID",
    "i": "PFN",
    "u": "PFN [MT]",
    "tick": "N",
    "r": "OP, or r |",
    "dump": "",
    "sum": "",
    "check": "",
}
_MAY_BE_QUEUED = ("a", "f", "i", "u", "dump", "sum", "check")


def _quoted(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:60]}...")


class _MalformedError(BaseException):
    """A queued op can't be done. No Exception: that would be a device's failure, after which the script goes on."""

    def __init__(self, error: InputError) -> None:
        self.error = error


class _ScriptDevice:
    """The device of a script: it prints what it is told, and then runs what is queued."""

    def __init__(self, script: "Script") -> None:
        self.capacity = 1
        self._script = script

    def react(self, blocks: Batch) -> None:
        self._script.reacts(blocks)


class Script:
    """Runs ops line by line; ``write(text)`` gets what they print. Raises InputError for a malformed line.

    `empty_frees`: how many freed a slot that nothing was allocated into, or that was
    freed already; they do nothing.
    """

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write = write
        self._zone: Zone | None = None
        self._slots: dict[int, tuple[int, int]] = {}
        self._failed: set[int] = set()
        self.empty_frees = 0
        self._queue: deque[list[str]] = deque()
        self._clock = VirtualClock()
        self._design = PageHinting()
        self._device = _ScriptDevice(self)
        self._worker: VirtualWorker | None = None

    def line(self, text: str) -> None:
        """Run one line. What it printed before an error stands."""
        words = text.split()
        if not words or words[0].startswith("#"):
            return
        if words[0] == "r":
            self._check_form(words[1:], queued=True)
            self._queue.append(words[1:])
        else:
            self._check_form(words)
            try:
                self._run(words)
            except _MalformedError as malformed:
                raise malformed.error from None

    @property
    def begun(self) -> bool:
        """Whether there was an op: the first makes the zone."""
        return self._zone is not None

    def reacts(self, blocks: Batch) -> None:
        """The device is told: print it, and run what is queued up to the next mark."""
        self._print(f"react {len(blocks)} " + " ".join(f"{pfn}:{order}" for pfn, order in blocks))
        while self._queue:
            words = self._queue.popleft()
            if words == _MARK:
                break
            try:
                self._run(words)
            except InputError as error:
                raise _MalformedError(error) from None

    def _print(self, line: str) -> None:
        self._write(line + "\n")

    def _check_form(self, words: list[str], queued: bool = False) -> None:
        op = words[0] if words else ""
        if queued and words == _MARK:
            op, arguments = "r", ""
        elif not op:
            raise InputError(f"r: expected r {_ARGUMENTS['r']}")
        elif op not in _ARGUMENTS:
            raise InputError(f"{_quoted(op)} is no op: expected one of {', '.join(_ARGUMENTS)}")
        else:
            arguments = _ARGUMENTS[op]
            if queued and op not in _MAY_BE_QUEUED:
                raise InputError(f"{op} may not be queued: expected one of {', '.join(_MAY_BE_QUEUED)}")
            least, most = arguments.replace("[MT]", "").split(), arguments.split()
            if not len(least) <= len(words) - 1 <= len(most):
                raise InputError(f"{_quoted(' '.join(words))}: expected {op} {arguments}".rstrip())
            for word in words[1:]:
                if not _NUMBER.fullmatch(word):
                    raise InputError(f"{_quoted(word)}: expected a decimal number ({op} {arguments})")
        if (op == "init") != (self._zone is None):
            raise InputError("a second init" if op == "init" else f"{op} before init: expected init NR_PAGES")
        self._check_values(op, [int(word) for word in words[1:]] if op != "r" else [])

    def _check_values(self, op: str, values: list[int]) -> None:
        zone = self._zone
        if op == "init" and not 1 <= values[0] <= _MOST_PAGES:
            raise InputError(f"init {values[0]}: expected 1 to {_MOST_PAGES} pages")
        if op == "startup" and not 1 <= values[0] <= 1 << 20:
            raise InputError(f"startup {values[0]}: expected a capacity of 1 to {1 << 20} blocks")
        if zone is None:
            return
        if op == "a" and values[1] >= zone.max_order:
            raise InputError(f"order {values[1]}: expected 0 to {zone.max_order - 1}")
        if op == "a" and values[2] > Migratetype.RECLAIMABLE:
            raise InputError(f"migratetype {values[2]}: expected 0 to 2")
        if op in "iu" and values[0] >= zone.pages:
            raise InputError(f"pfn {values[0]}: expected 0 to {zone.pages - 1}")
        if op == "u" and values[1:] and values[1] >= Migratetype.ISOLATE:
            raise InputError(f"migratetype {values[1]}: expected 0 to 3")

    def _run(self, words: list[str]) -> None:
        getattr(self, f"_op_{words[0]}")(*map(int, words[1:]))

    # The ops

    @property
    def _made(self) -> tuple[Zone, VirtualWorker]:
        assert self._zone is not None
        assert self._worker is not None
        return self._zone, self._worker

    def _op_init(self, pages: int) -> None:
        self._zone = Zone(pages)
        self._worker = VirtualWorker(
            self._design, [self._zone], self._clock, on_begin=lambda now: self._print(f"work {now // _JIFFY}")
        )

    def _op_startup(self, capacity: int) -> None:
        _, worker = self._made
        if not self._design.started:
            self._device.capacity = capacity
        try:
            worker.start(self._device)
        except BusyError:
            self._print("startup -16")
        else:
            self._print("startup 0")

    def _op_shutdown(self) -> None:
        _, worker = self._made
        self._print("shutdown" if self._design.started else "shutdown none")
        worker.stop()

    def _op_a(self, slot: int, order: int, migratetype: int) -> None:
        zone, _ = self._made
        if slot in self._slots:
            raise InputError(f"a {slot} {order} {migratetype}: slot {slot} is in use, expected an empty one")
        pfn = zone.alloc(order, migratetype)
        if pfn >= 0:
            self._slots[slot] = pfn, order
        else:
            self._failed.add(slot)
        self._print(f"a {slot} {pfn}")

    def _op_f(self, slot: int) -> None:
        zone, _ = self._made
        if slot in self._slots:
            zone.free(*self._slots.pop(slot))
        elif slot in self._failed:
            self._failed.remove(slot)
        else:
            self.empty_frees += 1

    def _op_i(self, pfn: int) -> None:
        zone, _ = self._made
        try:
            zone.isolate(pfn)
        except BusyError:
            self._print(f"i {pfn} -16")
        else:
            self._print(f"i {pfn} 0")

    def _op_u(self, pfn: int, migratetype: int = Migratetype.MOVABLE) -> None:
        zone, _ = self._made
        zone.unisolate(pfn, migratetype)
        self._print(f"u {pfn}")

    def _op_tick(self, jiffies: int) -> None:
        self._clock.advance(jiffies * _JIFFY)

    def _op_dump(self) -> None:
        self._write(self._dump())

    def _op_sum(self) -> None:
        dump = self._dump().encode()
        self._print(f"sum {zlib.crc32(dump):08x} {len(dump)}")

    def _op_check(self) -> None:
        zone, _ = self._made
        problems = check(zone)
        for problem in problems:
            self._print(f"check: {problem}")
        if not problems:
            self._print("check ok")

    def _dump(self) -> str:
        zone, design = self._made[0], self._design
        hinted = zone.nr_hinted
        lines = [
            "dump",
            f"jiffies {self._clock.now // _JIFFY}",
            f"flags R={zone.requested:d} A={zone.active:d}",
            f"refcnt {design.request_count if design.started else '-'}",
            f"pending {'-' if design.pending is None else design.pending // _JIFFY}",
            f"free_pages {zone.free_pages}",
            f"isolated {zone.isolated}",
            f"nr_free {' '.join(map(str, zone.nr_free))}",
            f"hinted {'-' if hinted is None else ' '.join(map(str, hinted[design.order :]))}",
            f"pageblocks {''.join(map(str, zone.pageblock_types))}",
        ]
        for order in range(zone.max_order):
            for migratetype in range(MIGRATE_TYPES):
                pfns = zone.free_list(order, migratetype)
                if len(pfns):
                    marks = zone.is_hinted(pfns)
                    entries = " ".join(f"{pfn}*" if mark else f"{pfn}" for pfn, mark in zip(pfns, marks, strict=True))
                    lines.append(f"list {order} {migratetype} : {entries}")
        lines.append("end\n")
        return "\n".join(lines)
