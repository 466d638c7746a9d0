"""The one place that knows which designs there are, what they can be set to, and what holds back free memory."""

import importlib
import importlib.util
import inspect
import os
import sys
import traceback
from collections.abc import Iterable, Mapping
from contextlib import redirect_stdout
from hashlib import sha256
from pathlib import Path
from secrets import token_hex
from types import ModuleType
from typing import TypeGuard

from pagehint.errors import InputError, PagehintError, printable
from pagehint.hinting.design import NONE, Design
from pagehint.hinting.designs.breakeven import BreakEven
from pagehint.hinting.designs.hinting import PageHinting
from pagehint.hinting.designs.reporting import PageReporting
from pagehint.hinting.setting import Setting
from pagehint.units import shown

__all__ = [
    "DESIGNS",
    "NONE",
    "all_settings",
    "blame",
    "find_design",
    "is_design",
    "label_of",
    "reasons_of",
    "sources_of",
]

DESIGNS: Mapping[str, type[Design]] = {design.label: design for design in (PageReporting, PageHinting, BreakEven)}
"""The designs of the package, by their labels. The first is the usual one."""

_MOST_BYTES = 16 << 20
_OWN = "pagehint_design_"
_marks: dict[str, str] = {}  # of modules' files, as they were loaded or first looked at
_here = token_hex(8)
_outside: dict[str, str] = {}  # modules that designs from outside the package are of, and what the user calls them

_WAITING = {
    "watermark": "under the zone's watermark",
    "waiting": "waiting for the delay",
}
_STATES = {
    "mixed": "in blocks below the order, beside used pages",
    "below_order": "in other blocks below the order",
    "per_cpu": "on per-CPU lists",
    "in_flight": "in flight to the device",
    "told": "told, but its host page is still in use",
    "no_device": "no device to tell",
}


def label_of(design: Design | type[Design] | None) -> str:
    """A design's name."""
    return NONE if design is None else design.label


def all_settings() -> dict[str, Setting]:
    """The settings of all designs of the package, by name. Where two have the same name, the first one's."""
    found: dict[str, Setting] = {}
    for design in DESIGNS.values():
        for name, setting in design.settings.items():
            found.setdefault(name, setting)
    return found


def reasons_of(designs: Iterable[Design | type[Design] | None] = ()) -> dict[str, str]:
    """Why a free byte can be resident, each with its meaning: what a zone has, what designs say; ``designs``' own too.

    Raises InputError where a design has a reason of another meaning than what is there.
    """
    reasons = {**_STATES, **_WAITING}
    for design in (*DESIGNS.values(), *designs):
        for name, meaning in {} if design is None else design.reasons.items():
            if reasons.setdefault(name, meaning) != meaning:
                raise InputError(
                    f"{label_of(design)}: its reason {shown(name)} means something else already: rename it"
                )
    return reasons


def find_design(name: str) -> type[Design] | None:
    """The design of a label, of ``FILE.py:CLASS`` or of ``PACKAGE.MODULE:CLASS``; None for ``none``.

    Raises InputError, which tells what is wrong with the file or the class.
    """
    if name == NONE:
        return None
    if name in DESIGNS:
        return DESIGNS[name]
    place, colon, wanted = name.rpartition(":")
    if not (colon and place and wanted):
        known = ", ".join([*DESIGNS, NONE])
        raise InputError(f"{shown(name)} is no design: expected some of {known}, or one of your own: FILE.py:CLASS")
    if not place.endswith(".py") and (os.sep in place or os.path.isfile(place)):
        raise InputError(f"{place}: is no name of a Python file or module: expected FILE.py:CLASS")
    module = _load_file(Path(place)) if place.endswith(".py") else _load_module(place)
    design = getattr(module, wanted, None)
    if design is None:
        own = [own for own, each in vars(module).items() if is_design(each) and each.__module__ == module.__name__]
        hint = f"it has {', '.join(own)}" if own else "it has no design"
        raise InputError(f"{place}: there is no {wanted} in it: {hint}")
    if not is_design(design):
        raise InputError(f"{place}: {wanted} is no design: expected a class that derives from pagehint.Design")
    if inspect.isabstract(design):
        raise InputError(
            f"{place}: {wanted} has no {', '.join(sorted(design.__abstractmethods__))}(): a design needs it"
        )
    if design.label in DESIGNS:
        raise InputError(f"{place}: {wanted} has the label {design.label!r}, as one of the package's: choose another")
    _outside[module.__name__] = _outside[design.__module__] = place
    return design


def is_design(value: object) -> TypeGuard[type[Design]]:
    """Whether it is a class that derives from Design."""
    return isinstance(value, type) and issubclass(value, Design) and value is not Design


def sources_of(design: type[Design]) -> list[str]:
    """Marks of what a design's code is: of it and its bases outside of the package, the names and files' contents.

    What no file holds, or what is made by a function, is the same only as long as it is there.
    """
    marks = []
    for kind in design.__mro__:
        module = sys.modules.get(kind.__module__)
        if kind in Design.__mro__ or kind.__module__.startswith(f"{__package__}."):
            continue
        path = getattr(module, "__file__", None)
        if path is None or "<locals>" in kind.__qualname__ or not os.path.isfile(path):
            marks.append(f"{_here} {id(kind)}")
        else:
            marks.append(f"{kind.__qualname__} {_mark_of(kind.__module__, path)}")
    return marks


def _mark_of(module: str, path: str | Path) -> str:
    if module not in _marks:
        _marks[module] = sha256(Path(path).read_bytes()).hexdigest()
    return _marks[module]


def _load_file(path: Path) -> ModuleType:
    # Known by its whole path: a file is loaded once, and its classes can be found again.
    name = f"{_OWN}{os.path.realpath(path)}"
    if name in sys.modules:
        return sys.modules[name]
    if not path.is_file():
        raise InputError(f"{path}: no such file: expected FILE.py:CLASS")
    if path.stat().st_size > _MOST_BYTES:
        raise InputError(f"{path}: is larger than {_MOST_BYTES >> 20} MiB: no design's source is")
    _marks.pop(name, None)
    _mark_of(name, path)
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        with redirect_stdout(sys.stderr):  # what it prints is no command's result
            spec.loader.exec_module(module)
    except KeyboardInterrupt:
        del sys.modules[name]
        raise
    except BaseException as error:
        del sys.modules[name]
        raise _not_loaded(str(path), error) from None
    return module


def _load_module(name: str) -> ModuleType:
    try:
        with redirect_stdout(sys.stderr):
            return importlib.import_module(name)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise _not_loaded(name, error) from None


def _not_loaded(place: str, error: BaseException) -> InputError:
    if isinstance(error, InputError):
        return InputError(f"{place}: {error}")
    if isinstance(error, ImportError) and (error.name or "").startswith(_OWN):
        return InputError(f"{place}: can't be loaded: it imports relative to its package: name PACKAGE.MODULE:CLASS")
    line = f", line {error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
    return InputError(f"{place}{line}: can't be loaded: {type(error).__name__}: {printable(str(error))[:200]}")


def blame(error: BaseException) -> str | None:
    """What to say of an exception that a design from outside the package raised, or that what it gave or set led to:
    where, and what; None for any other, for an InputError that is a design's own words, and an output's broken pipe.

    What no PagehintError is, is taken for the design's doing once there is one.
    """
    frames = [*traceback.walk_tb(error.__traceback__)]
    names = [frame.f_globals.get("__name__", "") for frame, _ in frames]
    own = [place for place, name in zip(frames, names, strict=True) if name.startswith(_OWN) or name in _outside]
    expected = isinstance(error, PagehintError)
    if not _outside or (expected and (not own or own[-1] is frames[-1])):
        return None
    try:
        said = str(error)[:200]
    except Exception:
        said = "(it has no words)"
    if not expected:
        said = f"{type(error).__name__}: {said}"
    if own:
        frame, line = own[-1]
        return f"{frame.f_code.co_filename}, line {line}: {said}"
    if isinstance(error, BrokenPipeError):
        return None
    frame, line = [place for place, name in zip(frames, names, strict=True) if name.startswith("pagehint.")][-1]
    place = f"{Path(frame.f_code.co_filename).name}, line {line}"
    designs = ", ".join(dict.fromkeys(_outside.values()))
    return f"{designs}: what it gave or set led to {said} ({place}): expected what pagehint.Design says"
