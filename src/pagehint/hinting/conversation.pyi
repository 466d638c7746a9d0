from typing import Never

from pagehint.hinting.action import Action, React, Work
from pagehint.mm.batch import Batch
from pagehint.mm.zone import Zone

class Conversation:
    zones: tuple[Zone, ...]
    now: int
    pending: int | None
    stopping: bool
    _reacts: dict[Zone, React]
    _batch: Batch | None
    _run: Work | None
    _telling: React | None
    _all: React | None
    _full: bool
    _outcome: BaseException | None
    _last_error: BaseException | None
    _failures: int
    _runs: int
    _batches: int
    _blocks: int
    _pages: int
    _errors: int
    def __init__(self, *none: Never) -> None: ...
    def next(self, now: int) -> Action: ...
    def reacted(self, error: BaseException | None, now: int) -> None: ...
    def _end_react(self, error: BaseException | None, now: int) -> None: ...
