"""JSON that people paste: the text that it holds, a line or more a string."""

import json
import re
from typing import TypeGuard

from pagehint.diagnosis.records import KEYS, as_printed

__all__ = ["message_of", "strings_of"]

_MESSAGES = dict.fromkeys(
    (
        *("MESSAGE", "message", "@message", "_msg", "log", "msg", "textPayload", "line", "SyslogMessage", "_raw"),
        *("body", "stringValue", "jsonPayload", "fields", "_source"),
    )
)
_RECORD = re.compile(r"\[(?=\s{0,40}\{)|\{(?=[ \t]{0,9}\r?\n)")
_MOST_INDENT = 40
_MOST_ODD = 16  # that are begun, and are no JSON
_KIB = re.compile(r"\d{1,19} kB", re.ASCII)
_PYTHON_LIST = re.compile(r"['\"], ['\"]|^\['|'\]\s*\Z")


def strings_of(text: str) -> str:
    """The strings of a text that is JSON, or that has objects of JSON on lines of their own, a line or more each; other
    text as it is. O(length).
    """
    if text.lstrip()[:1] in ("{", "[", '"'):
        try:
            entry = _DECODER.decode(text)
        except (ValueError, RecursionError):
            if text.startswith("['"):
                return "\n".join(_PYTHON_LIST.split(text))
            if text.startswith("{'"):
                return message_of(text.replace("'", '"'), text)
        else:
            return text if _is_message(entry) else _all_strings(entry)
    return _with_json_said(text) if "{" in text else text


# Records on lines of their own, and what a shell or a mail has before them. One on one line is one of a log.
def _with_json_said(text: str) -> str:
    parts: list[str] = []
    done = odd = 0
    for start in map(re.Match.start, _RECORD.finditer(text)):
        if start < done or text[max(start - _MOST_INDENT, 0) : start].rpartition("\n")[2].strip():
            continue
        try:
            entry, end = _DECODER.raw_decode(text, start)
        except (ValueError, RecursionError):
            odd += 1
            if odd > _MOST_ODD:
                break
            continue
        parts += [text[done:start], _said(entry) or ""]
        done = end
    return "".join([*parts, text[done:]])


# An object as it is read, so that what tells nothing is soon gone.
def _without_numbers(entry: dict[str, object]) -> object:
    if not _KEYS.isdisjoint(entry):
        if _is_message(entry):
            return entry
        if (printed := as_printed(entry) or _metric(entry)) is not None:
            return printed
    return {name: value for name, value in entry.items() if value and value.__class__ in _TEXTS} or None


_KEYS = {*_MESSAGES, *KEYS, "metric"}
_TEXTS = {str, list, dict}
_DECODER = json.JSONDecoder(object_hook=_without_numbers)


def _all_strings(whole: object) -> str:
    entries = [whole]
    found: list[str] = []
    texts: set[str] = set()
    while entries:
        entry = entries.pop()
        if isinstance(entry, str):
            if not entry.isdigit():
                found.append(entry)
            if "\n" in entry:
                texts.add(entry.strip())
        # A text's lines, beside the text.
        elif isinstance(entry, list) and texts and _is_lines(entry) and "\n".join(entry).strip() in texts:
            continue
        elif isinstance(entry, list):
            parts = _by_field(entry) if entry[1:] and all(map(_is_message, entry)) else entry
            entries += [each for each in reversed(parts) if isinstance(each, str | list | dict)]
        elif isinstance(entry, dict):
            entries += [_named(*item) for item in reversed(entry.items()) if isinstance(item[1], str | list | dict)]
    return "\n".join(found)


# The messages of a log's records stand together.
def _by_field(records: list[dict[str, object]]) -> list[object]:
    names = dict.fromkeys(name for record in records for name in record)
    return [[record[name] for record in records if name in record] for name in names]


# A line of meminfo that somebody took apart.
def _named(name: str, value: object) -> object:
    return f"{name}: {value}" if isinstance(value, str) and _KIB.fullmatch(value) else value


# One of Prometheus' answers to a query, as its exporters write it.
def _metric(entry: dict[str, object]) -> str | None:
    labels, values = entry.get("metric"), entry.get("value") or entry.get("values")
    if not isinstance(labels, dict) or not isinstance(values, list) or not values:
        return None
    last = values[-1][-1] if isinstance(values[-1], list) and values[-1] else values[-1]
    named = ",".join(f'{name}="{value}"' for name, value in labels.items() if name != "__name__")
    return f"{labels.get('__name__')}{{{named}}} {last}"


def _is_lines(entry: list[object]) -> TypeGuard[list[str]]:
    return all(isinstance(each, str) for each in entry)


def _is_message(entry: object) -> bool:
    return isinstance(entry, dict) and not _MESSAGES.keys().isdisjoint(entry)


def message_of(record: str, other: str) -> str:
    """What a record of a log that is kept as JSON says: its message, or every string, a line each, where no field is
    known to hold it; `other` where it is no JSON. O(length).
    """
    try:
        said = _said(_DECODER.decode(record))
    except (ValueError, RecursionError):
        return other
    return other if said is None else said


# journalctl writes what isn't plain as a list of bytes.
def _said(whole: object) -> str | None:
    entry = whole
    while isinstance(entry, dict):
        entry = next((entry[name] for name in _MESSAGES if name in entry), None)
    if isinstance(entry, list) and all(isinstance(each, int) and 0 <= each < 256 for each in entry):
        entry = bytes(entry).decode(errors="replace")
    if isinstance(entry, str):
        return entry.strip()
    return None if _is_message(whole) else _all_strings(whole)
