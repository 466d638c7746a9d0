"""Text that people paste, cleaned: one plain line for each line that the kernel or a tool printed.

What goes: colours and other terminal escapes, the ways of mails (quoting, soft line breaks), the prefixes of dmesg,
journalctl, syslog, /dev/kmsg and grep, and the line breaks that mail programs put into rows of counts.
"""

import html
import json
import re
from collections.abc import Iterator

__all__ = ["decoded", "plain_lines"]

_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
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
_MESSAGES = ("MESSAGE", "message", "log", "msg")


def decoded(data: bytes | bytearray) -> str:
    """Text of bytes in UTF-8 or UTF-16; what isn't text in it is replaced."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", errors="replace")
    return data.decode("utf-8-sig", errors="replace")


def plain_lines(text: str) -> list[str]:
    """The lines without prefixes, spaces at both ends, and breaks within rows of counts. O(length)."""
    if "\\n" in text and text.count("\\n") > text.count("\n"):
        text = text.replace("\\n", "\n").replace("\\t", "\t")
    if _SOFT_BREAK.search(text):
        text = _SOFT_BREAK.sub("", text).replace("=3D", "=").replace("=20", " ")
    text = _ESCAPES.sub("", text).replace("\xa0", " ").replace("\t", " ")
    text = _RUN_TOGETHER.sub("\n", text)
    return list(_unwrapped(map(_plain, re.split(r"[\r\n]+", text))))


def _plain(line: str) -> str:
    line = line.strip()
    if line.startswith("{") and line.endswith("}"):
        line = _message(line)
    if "&" in line:
        line = html.unescape(line)
    for _ in range(_MOST_PREFIXES):
        match = _PREFIX.match(line)
        if match is None:
            break
        line = line[match.end() :]
    line = line.strip().strip("`")
    if (row := _WITHOUT_ZONE.fullmatch(line)) is not None:
        return f"Node {row[1]}, zone {row[2]}{row[3]}"
    return line


# A log kept as JSON, a line each.
def _message(line: str) -> str:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return line
    texts = [entry[name] for name in _MESSAGES if isinstance(entry.get(name), str)] if isinstance(entry, dict) else []
    return texts[0].strip() if texts else line


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
