"""What a design can be set to: each setting is declared once, in the body of the design's class."""

import re
from collections.abc import Callable
from math import isfinite
from typing import Any

from pagehint.errors import InputError
from pagehint.kernel.orders import MAX_PAGE_ORDER
from pagehint.units import format_size, format_time, parse_time, shown, whole_number

__all__ = ["Setting"]

_DIGITS = re.compile(r"-?[0-9]{1,40}")
_LARGEST_ORDER = 31
_SWITCH = {"yes": True, "true": True, "on": True, "1": True, "no": False, "false": False, "off": False, "0": False}


def _can_be_told(value: object) -> bool:
    if isinstance(value, float):
        return isfinite(value)
    return value is None or isinstance(value, str) or (isinstance(value, int) and abs(value) < 1 << 63)


class Setting:
    """A setting of a design, declared as ``name: type = Setting.of(...)`` in its class; each has its value there.

    ``default``: as Python code would give it. ``help``: what it does, in a line. ``parse(value)``: the value that
    Python code means, a number, a text, True, False or None, as tables and JSON hold it; or an exception.
    ``read(option, text)``: the value of a command line's text, else InputError, which names the option; without it,
    ``parse`` gets the text. ``words(value)``: the value in a label, such as ``"delay 2 s"``. ``order``, ``time``,
    ``count`` and ``switch`` make the usual ones.
    """

    name = ""

    def __init__(
        self,
        default: Any,
        help: str,
        parse: Callable[[Any], Any],
        read: Callable[[str, str], Any] | None = None,
        words: Callable[[Any], str] | None = None,
    ) -> None:
        self.default = default
        self.help = help
        self._parse = parse
        self._read = read
        self._words = words

    def __repr__(self) -> str:
        return f"<Setting {self.name or 'without a name'}: {shown(self.default)} by default>"

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = self.name or name  # a second name is refused by Design

    def parse(self, value: Any) -> Any:
        """The value that Python code means. Raises InputError."""
        return self._made(f"{self.name} {shown(value)}", "parse", lambda: self._parse(value))

    def read(self, option: str, text: str) -> Any:
        """The value of a command line's text. Raises InputError, which names ``option``."""
        if (read := self._read) is not None:
            return self._made(f"{option} {shown(text)}", "read", lambda: read(option, text))
        try:
            return self.parse(text)
        except InputError as error:
            raise InputError(f"{option}: {error}") from None

    # What one of the functions that it was declared with makes of a value.
    def _made(self, value: str, function: str, make: Callable[[], Any]) -> Any:
        try:
            meant = make()
        except InputError:
            raise
        except Exception as error:
            raise InputError(f"{value}: {type(error).__name__}: {str(error)[:100]}") from None
        if not _can_be_told(meant):
            raise InputError(
                f"{value}: its {function}() gave {shown(meant)}: expected a number of 64 bits, a text, True, False or "
                "None"
            )
        return meant

    def words(self, value: Any) -> str:
        """A value in a label."""
        name = self.name.replace("_", " ")
        if value is None or value is False:
            return f"{'no' if value is None else 'not'} {name}"
        if value is True:
            return name
        words = f"{name} {value}" if self._words is None else self._words(value)
        if not isinstance(words, str):
            raise InputError(f"{self.name}: its words() gave {shown(words)}: expected a text")
        return words

    # Any: to a type checker a setting is its value.

    @classmethod
    def of(
        cls,
        default: Any,
        help: str,
        parse: Callable[[Any], Any],
        read: Callable[[str, str], Any] | None = None,
        words: Callable[[Any], str] | None = None,
    ) -> Any:
        """Any kind, of what the constructor takes."""
        return cls(default, help, parse, read, words)

    @classmethod
    def order(cls, default: int = 9, help: str = "The least order of a block that is told; 9 is 2 MiB.") -> Any:
        """The least order of a block: a whole number of 0 to 31; a guest has blocks of up to order 10."""

        def parse(value: Any) -> int:
            return whole_number("order", value, 0, _LARGEST_ORDER)

        def read(option: str, text: str) -> int:
            return _read_count(option, text, 0, MAX_PAGE_ORDER)

        return cls(default, help, parse, read, lambda value: f"order {value} ({format_size(4096 << value)})")

    @classmethod
    def time(cls, default: str | int | None, help: str, least: int = 0) -> Any:
        """A time of at least ``least`` ns, such as ``"2s"``. Where the default is None, None and ``none`` say never."""

        def parse(value: Any) -> int | None:
            what = setting.name.replace("_", " ")
            if default is None and value in (None, "none"):
                return None
            time = parse_time(value)
            if time < least:
                raise InputError(
                    f"the {what} time of {shown(value)} is too short: expected at least {format_time(least)}"
                )
            return time

        setting = cls(default, help, parse)
        setting._words = lambda value: f"{setting.name.replace('_', ' ')} {format_time(value)}"
        return setting

    @classmethod
    def count(cls, default: int, help: str, least: int = 0, most: int = 1 << 32) -> Any:
        """A whole number of ``least`` to ``most``."""
        setting = cls(
            default,
            help,
            lambda value: whole_number(setting.name, value, least, most),
            lambda option, text: _read_count(option, text, least, most),
        )
        return setting

    @classmethod
    def switch(cls, default: bool, help: str) -> Any:
        """Yes or no: True or False, or a text that says so."""

        def parse(value: Any) -> bool:
            if isinstance(value, str):
                return read(setting.name, value)
            if value not in (True, False):
                raise InputError(f"{setting.name} {shown(value)}: expected True or False")
            return bool(value)

        def read(option: str, text: str) -> bool:
            if text.lower() not in _SWITCH:
                raise InputError(f"{option} {text[:40]}: expected yes or no")
            return _SWITCH[text.lower()]

        setting = cls(default, help, parse, read)
        return setting


def _read_count(option: str, text: str, least: int, most: int) -> int:
    if not _DIGITS.fullmatch(text) or not least <= int(text) <= most:
        raise InputError(f"{option} {text[:40]}: expected a whole number, {least} to {most}")
    return int(text)
