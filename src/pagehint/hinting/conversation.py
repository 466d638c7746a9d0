"""What a driver asks of a design, and tells it, batch by batch."""

import cython

from pagehint.errors import InputError
from pagehint.hinting.action import BEGIN, IDLE, Idle, React, Sleep, no_action
from pagehint.units import integer, shown

if not cython.compiled:
    from pagehint.mm.batch import Batch

__all__ = ["Conversation"]

_MOST_IN_VAIN = 100_000  # tells of nothing, one after the other: it would go on so for ever


@cython.cclass
class Conversation:
    """A design as its driver sees it: it is asked what to do next, and told what happened.

    ``zones``: the started device's. ``now``: the driver's time (ns). ``pending``: when the work is due (ns), or None.
    ``stopping``: the device is being stopped, the work ends soon.
    """

    def __init__(self):
        self.zones = ()
        self.now = 0
        self.pending = None
        self.stopping = False
        self._reacts = {}
        self._batch = self._zone = self._run = self._telling = self._all = self._outcome = self._last_error = None
        self._full = False
        self._failures = 0  # of the device, in a row
        self._runs = self._batches = self._blocks = self._pages = self._errors = 0

    def next(self, now):
        """What to do now. A React is said again until ``reacted`` ends it."""
        return self._ask(now)

    # The same, and `_tell` what `reacted` is, called from C code without Python's ways.
    def _ask(self, now):
        batch: Batch = self._batch
        in_vain: cython.int = 0
        self.now = now
        if self._telling is not None:
            if batch is not None and batch._count:
                return self._telling
            self._telling = None  # interrupted when its blocks were back
        if self._run is None:
            return self._begin_or_rest()
        try:
            while not self._refilled():
                react = self._checked(self._run.send(self._outcome))
                self._zone = react.zone
                self._outcome = None
                if self._all is not None:
                    self._full = True
                elif self._batch._count:
                    self._check_told()
                    self._telling = react
                in_vain += 1
                if in_vain > _MOST_IN_VAIN:
                    raise InputError(
                        f"{type(self).__name__}: its work told of an empty batch {_MOST_IN_VAIN:,} times: let it end "
                        "where there is nothing to tell"
                    )
            return self._telling
        except StopIteration:
            self._run = None
            if batch is not None and batch._count:
                self._take_back()
        except BaseException:  # Ctrl-C, or a zone's own error: another run does what is left
            self._run = self._telling = None
            self._take_back()
            if not self.stopping:
                self.begin_anew()
            raise
        if self.stopping:
            self._ended()
            return IDLE
        return self._begin_or_rest()

    # The device gives up whatever memory it is told of.
    def _checked(self, action):
        own = isinstance(action, React) and self._reacts.get(action.zone) is action
        if self._batch is None or not own or (self._all is not None and self._all is not action):
            raise InputError(
                f"{type(self).__name__}: its work yielded {shown(action)}: expected self.tell(zone), of one of its "
                "zones"
            )
        return action

    def _check_told(self):
        try:
            self._zone._check_batch(self._batch)
        except InputError as error:
            raise InputError(f"{type(self).__name__}: its work told of other blocks than the zone's: {error}") from None

    # There is a batch to tell of: the run's own, or one more of all those that it asked to tell of.
    def _refilled(self):
        if self._telling is not None:
            return True
        if self._all is not None:
            if self._full and self._outcome is None and not self.stopping:
                self._full = self._zone.fill(self._batch)
                if self._batch._count:
                    self._telling = self._all
                    return True
            self._all = None
        return False

    def _begin_or_rest(self):
        if self._batch is None:
            return IDLE
        self.look_around()
        due = self._due()
        if due is None or self.now < due:
            return self._checked_rest(self.rest())
        self.pending = None
        self._runs += 1
        self._outcome = self._all = None
        self._run = self.work()
        if self._run is not None and not (hasattr(self._run, "send") and hasattr(self._run, "__next__")):
            run, self._run = self._run, None
            if hasattr(run, "close"):
                run.close()  # a coroutine, of which Python says that nobody awaited it
            raise InputError(
                f"{type(self).__name__}: its work() gave {shown(run)}: expected a generator, with a yield in it"
            )
        return BEGIN

    # ``pending``, which a design may set itself.
    def _due(self):
        due = self.pending
        if due is not None and type(due) is not int:
            due = integer(f"{type(self).__name__}: its pending is", due)
        return due

    def _checked_rest(self, action):
        if isinstance(action, Sleep):
            if type(action.until) is not int:
                integer(f"{type(self).__name__}: it said to sleep until", action.until)
        elif not isinstance(action, Idle):
            raise no_action(self, action)
        return action

    def reacted(self, error, now):
        """The device was told: it gave up the memory (None), or failed. The batch's blocks go back."""
        self._tell(error, now)

    def _tell(self, error, now):
        batch: Batch = self._batch
        if batch is None or self._telling is None:
            raise InputError(f"{type(self).__name__}: no react runs")
        blocks: cython.Py_ssize_t = batch._count
        pages: cython.Py_ssize_t = batch._pages
        self.now = now
        self._outcome = error
        self._zone.drain(batch, error is None)
        self._telling = None
        if error is None:
            self._batches += 1
            self._blocks += blocks
            self._pages += pages
            self._failures = 0
        else:
            self.count_error(error)

    def _end_react(self, error, now):
        """What drivers call: ``reacted``, or a design's own, which must end the react: else the device would be told of
        the same blocks for ever."""
        self.reacted(error, now)
        if self._telling is not None:
            raise InputError(f"{type(self).__name__}: its reacted() ended no react: call super().reacted() in it")
