"""Text that people paste, cleaned: one plain line for each line that the kernel or a tool printed.

What goes: colours and other terminal escapes, the ways of mails (quoting, soft line breaks), the prefixes of dmesg,
journalctl, syslog, /dev/kmsg and grep, and the line breaks that mail programs put into rows of counts. A prefix that
nobody named is learned: what stands before words that always begin a line of the kernel's, such as Mem-Info, goes from
all lines that begin with the like of it, other digits in it or not.
"""

import html
import json
import re
from collections.abc import Iterator

__all__ = ["decoded", "plain_lines"]

_ESCAPES = re.compile(r"\^\[\[[\d;]{0,20}m|\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
_PREFIX = re.compile(
    r"\s*(?:"
    r"[>|]\s?(?!\d)"
    r"|<\d{1,3}>"
    r"|\[\s*\d+\.\d+\s*\]:?(?:\s*\[\s*[TC]\d+\s*\])?"
    r"|\[(?:[A-Z][a-z]{2}\s+)?[A-Z][a-z]{2}\s+\d{1,2}\s+\d\d:\d\d:\d\d(?:\s+\d{4})?\s*\]"
    r"|(?:[A-Z][a-z]{2}\s+)?[A-Z][a-z]{2}\s+\d{1,2}\s+\d\d:\d\d:\d\d(?:\.\d+)?(?:\s+[\w.-]+(?=\s+\S{0,40}kernel))?"
    r"|\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d[^\s\]]{0,20}(?:\s+[\w.-]+(?=\s+\S{0,40}kernel))?"
    r"|[\w.-]{1,64}\s+kernel(?:\[\d+\])?:"
    r"|(?:vm)?kernel(?:\[\d+\])?:"
    r"|(?:kern|user|daemon)\s*:\s*\w{1,10}\s*:"
    r"|\d+,\d+,\d+,[^;\s]{0,60};"
    r"|/(?:proc|sys|var|tmp|root|home)/[\w./-]{1,200}:(?:\d+:)?"
    r"|<(?:pre|code|p|div|td|li)(?:\s[^<>]{0,80})?>|\{(?:noformat|code)[^{}\s]{0,40}\}|```\w{0,10}"
    r"|\d{1,7}[:-]\s?(?=Node |\[|[A-Z][a-z]{2} )"
    r")\s?",
    re.ASCII,
)
_MOST_PREFIXES = 8
_SOFT_BREAK = re.compile(r"(?<=[\w ,:)])=\r?\n(?=[\w ])")
_WITHOUT_ZONE = re.compile(r"Node\s+(\d{1,9})\s+([A-Z]\w{1,15})((?:\s+\d{1,30}){5,21})", re.ASCII)
_RUN_TOGETHER = re.compile(r"(?<![^\S\n])[^\S\n]+(?=Node\s+\d{1,9}, zone )")
_UNFINISHED = re.compile(r"Node\s+\d{1,9},(?:\s+zone)?(?:\s+\S{1,40},)?(?:\s+type)?(?:\s+\S{1,40}(?<!\d))?", re.ASCII)
_COUNTS = re.compile(r">?\d{1,30}(?:\s+>?\d{1,30})*", re.ASCII)
_ROW = re.compile(r"(?:Node\s+\d{1,9}, zone|Free pages count|Mem:|Swap:).*", re.ASCII)
_TYPES = re.compile(r"(?:\s*(?:Unmovable|Movable|Reclaimable|HighAtomic|CMA|Isolate)\b)+")
_MESSAGES = dict.fromkeys(
    ("MESSAGE", "message", "log", "msg", "textPayload", "line", "jsonPayload", "fields", "_source")
)
_AFTER_PREFIX = re.compile(
    r"Mem-[Ii]nfo:$|Node\s+\d{1,9}, zone\s|Node\s+\d{1,9}\s+[A-Z]\w{1,15}\s+free:|lowmem_reserve\[\]:"
    r"|Mem(?:Total|Free):\s|Page block order:",
    re.ASCII,
)
_MOST_PREFIX, _MOST_SHAPES = 160, 16
_MOST_END = 16
_AT_END = re.compile(r"(?:\s*(?:<br\s?/?>|\||\$)|(?<=[\w:)?])[\"'])+\Z")
_QUOTED = re.compile(r"(?:- )?(\".*\"),?")


def decoded(data: bytes | bytearray) -> str:
    """Text of bytes in UTF-8 or UTF-16; what isn't text in it is replaced."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", errors="replace")
    return data.decode("utf-8-sig", errors="replace")


def plain_lines(text: str) -> list[str]:
    """The lines without prefixes, spaces at both ends, and breaks within rows of counts. O(length)."""
    text = _strings(text)
    if "\\n" in text and text.count("\\n") > text.count("\n"):
        text = text.replace("\\n", "\n").replace("\\t", "\t")
    if _SOFT_BREAK.search(text):
        text = _SOFT_BREAK.sub("", text).replace("=3D", "=").replace("=20", " ")
    text = _ESCAPES.sub("", text).replace("\xa0", " ").replace("\t", " ")
    lines = [part for line in re.split(r"[\r\n]+", text) for part in _apart(line)]
    return list(_unwrapped(_without_learned_prefixes([_plain(line) for line in lines])))


def _apart(line: str) -> list[str]:
    return _RUN_TOGETHER.split(line) if line.count(", zone ") > 1 else [line]


# A text that is JSON as a whole: its strings, a line or more each.
def _strings(text: str) -> str:
    if text.lstrip()[:1] not in ("{", "[", '"'):
        return text
    try:
        entries = [json.loads(text)]
    except (ValueError, RecursionError):
        return text
    if _is_message(entries[0]):
        return text
    found: list[str] = []
    while entries:
        entry = entries.pop()
        if isinstance(entry, str):
            found.append(entry)
        elif isinstance(entry, list | dict):
            entries.extend(reversed(entry.values() if isinstance(entry, dict) else entry))
    return "\n".join(found)


def _is_message(entry: object) -> bool:
    return isinstance(entry, dict) and not _MESSAGES.keys().isdisjoint(entry)


def _plain(line: str) -> str:
    line = line.strip()
    if line.startswith("{") and line.endswith("}"):
        line = _message(line)
    if line.endswith(('"', '",')) and (quoted := _QUOTED.fullmatch(line)) is not None:
        line = _message(quoted[1])
    if "&" in line:
        line = html.unescape(line).replace("\xa0", " ").strip()
    for _ in range(_MOST_PREFIXES):
        match = _PREFIX.match(line)
        if match is None:
            break
        line = line[match.end() :]
    line = line.strip().strip("`")
    line = line[:-_MOST_END] + _AT_END.sub("", line[-_MOST_END:])
    if (row := _WITHOUT_ZONE.fullmatch(line)) is not None:
        return f"Node {row[1]}, zone {row[2]}{row[3]}"
    return line


# A log kept as JSON, a line each; journalctl writes what isn't plain as a list of bytes.
def _message(line: str) -> str:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return line
    while isinstance(entry, dict):
        entry = next((entry[name] for name in _MESSAGES if name in entry), None)
    if isinstance(entry, list) and all(isinstance(each, int) and 0 <= each < 256 for each in entry):
        entry = bytes(entry).decode(errors="replace")
    return entry.strip() if isinstance(entry, str) else line


def _without_learned_prefixes(lines: list[str]) -> Iterator[str]:
    shapes: dict[str, None] = {}
    for line in lines:
        after = _AFTER_PREFIX.search(line[: 2 * _MOST_PREFIX])
        if after is not None and 0 < after.start() <= _MOST_PREFIX and len(shapes) < _MOST_SHAPES:
            shapes[_shape(line[: after.start()])] = None
    if not shapes:
        yield from lines
        return
    prefix = re.compile("|".join(sorted(shapes, key=len, reverse=True)))
    for line in lines:
        match = prefix.match(line)
        yield line if match is None else line[match.end() :].strip()


# Any digits, any spaces; an empty line has no space after its prefix.
def _shape(prefix: str) -> str:
    words = re.split(r"(\d+|\s+)", prefix.rstrip())
    shape = "".join(r"\d++" if word.isdigit() else r"\s++" if word.isspace() else re.escape(word) for word in words)
    return shape + (r"(?:\s++|\Z)" if prefix[-1].isspace() else "")


def _unwrapped(lines: Iterator[str]) -> Iterator[str]:
    parts: list[str] = []
    for line in lines:
        if not line:
            continue
        if parts and _continues(parts, line):
            parts.append(line)
            continue
        if parts:
            yield " ".join(parts)
        parts = [line]
    if parts:
        yield " ".join(parts)


def _continues(parts: list[str], line: str) -> bool:
    first, last = parts[0], parts[-1]
    if len(first) > 500:
        return False
    if _COUNTS.fullmatch(line):
        return _ROW.fullmatch(first) is not None
    if first.startswith("Number of blocks"):
        return _TYPES.fullmatch(line) is not None or line.startswith("type ")
    return last[-1] in ",e" and _UNFINISHED.fullmatch(last) is not None and last.endswith((",", "zone", "type"))
