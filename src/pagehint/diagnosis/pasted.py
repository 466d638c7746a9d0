"""Text that people paste, cleaned: one plain line for each line that the kernel or a tool printed.

What goes: colours and other terminal escapes, the ways of mails (quoting, soft line breaks), the prefixes of dmesg,
journalctl, syslog, /dev/kmsg and grep, and the line breaks that mail programs put into rows of counts. A prefix that
nobody named is learned: what stands before words that always begin a line of the kernel's, such as Mem-Info, goes from
all lines that begin with the like of it, other digits in it or not.
"""

import html
import itertools
import re
from collections import Counter, deque
from collections.abc import Iterator

from pagehint.diagnosis.interleaved import by_machine, by_task
from pagehint.diagnosis.json_text import message_of, strings_of
from pagehint.diagnosis.pieces import PIECE, pieces_of

__all__ = ["is_painted", "plain_lines", "telling", "tells", "with_plain_quotes"]

_ESCAPES = re.compile(
    # Whose first byte is written out: by rsyslog, JSON, shells, cat -v, less, and editors.
    r"(?:\^\[|#033|\\(?:u001|x1)[bB]|\\0?33|\\[eE]|\u241b|<(?:ESC|esc)>|ESC)\[[\d;]{0,20}[mK]"
    r"|\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]{0,4}[0-Z\\-~])"
    # Whose first byte was lost.
    r"|\[\d{1,3}(?:;\d{1,3}){0,5}m"
)
# Where a program that fills the screen goes on: to the right, or elsewhere. What it changes within a line is marked: it
# would be a row's counts.
_TO_THE_RIGHT = re.compile(r"\x1b\[(\d{0,3})C", re.ASCII)
_WITHIN_LINE = re.compile(r"\x1b\[(?:\d{0,4};0{0,2}(?:[2-9]|1\d)\d{0,3}[Hf]|\d{0,4}d)(?=\s*\d)", re.ASCII)
_ELSEWHERE = re.compile(r"\x1b\[(?:\d{0,4}(?:;\d{0,4})?[Hf]|\d{0,4}[ABEFd])", re.ASCII)
_MARK = "~ "
_PREFIX = re.compile(
    r"\s*(?:"
    r"[>|│┃]\s?(?!\d)"
    r"|<\d{1,3}>"
    r"|\[\s*\d+\.\d+\s*\]:?(?:\s*\[\s*[TC]\d+\s*\])?"
    r"|\[(?:[A-Z][a-z]{2}\s+)?[A-Z][a-z]{2}\s*\d{1,2}\s+\d\d:\d\d(?::\d\d)?(?:\s+\d{4})?\s*\]"
    r"|(?:[A-Z][a-z]{2}\s+)?[A-Z][a-z]{2}\s+\d{1,2}\s+\d\d:\d\d:\d\d(?:\.\d+)?(?:\s+[\w.-]+(?=\s+\S{0,40}kernel))?"
    r"|\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?(?![^\s\]])"
    r"(?:\s+[\w.-]+(?=\s+\S{0,40}kernel))?"
    r"|[\w.-]{1,64}\s+kernel(?:\[\d+\])?:"
    r"|(?:vm)?kernel(?:\[\d+\])?:"
    r"|(?:kern|user|daemon)\s*:\s*\w{1,10}\s*:"
    r"|\d+,\d+,\d+,[^;\s]{0,60};"
    r"|/(?:proc|sys|var|tmp|root|home)/[\w./-]{1,200}(?<!_order)(?<!dentry-state):(?:\d+:)?"
    r"|<[a-z][\w:.-]{0,30}(?:\s[^<>]{0,80})?>|<!\[CDATA\[|```(?:\w{1,10}(?=\s*\Z))?"
    r"|\d{1,7}[:-]\s?(?=Node |\[|[A-Z][a-z]{2} )"
    r")\s?",
    re.ASCII,
)
_MOST_PREFIXES = 8
# Begins with no prefix, and holds nothing of what goes, or is put otherwise.
_PLAIN = re.compile(
    r"(?!Node\b|[A-Z][a-z]{2}\s|\S{0,70}\s{0,9}kernel|kern|user|daemon)[A-Za-z_][\w ():,.=/%+-]*+(?<=[\w):])", re.ASCII
)
_LONG = 1 << 20
_SMALL_PIECE = 1 << 10
_DIGITS = str.maketrans("", "", "0123456789")
_MOST_SILENT = 8 << 20
_AROUND = 30  # lines: what mail programs and terminals broke, and what tells which kernel it was
# In any line that one of the readers looks for.
_TELLING = (
    "ode ", "zone", "Zone", "Mem", "kB", "Free", "Page", "PAGE", "pg", "nr_", "Swap", "cpu:", "count:", "batch:",
    "slab", "Slab", "oom", "order:", "order=", "_order", "Linux", "ypervisor", "Virtualization", "Xen", "avg",
    "dentry", "workingset", "threshold", "pfn", "protection", "vmalloc", "allocstall", "compact_", "thp_", "numa_",
    # Everyday words of logs, as what the kernel and free print has them.
    "free:", "free_", "s free", "d free", "free  ", "page alloc", "pages", "page_", "allocation f", "allocation s",
    "of memory", "memory: ", "swap cache", "swpd", "kbmem", "discard hint",
    # Those of Android's dumpsys, and of named_figures.
    " RAM:", "MEM,", "mem,", "mem_", "mem.", "memory/", "memory.", "svmem",
)  # fmt: skip
# Who quotes a mail as it was sent puts ">" before each of its parts.
_SOFT_BREAK = re.compile(r"=\r?\n(?:> ?){0,9}(?=[^\r\n])")
_PLAIN_EQUALS = re.compile(r"=(?![0-9A-F]{2}|\r?\n)")
_QUOTED_BYTES = re.compile(r"(?:=[0-9A-F]{2})+")
_BREAK = re.compile("[\r\n\x0b\x0c\x85\u2028\u2029]+")
# What a crash leaves in files, characters without width (soft hyphens, marks of a text's direction), and spaces of
# other widths.
_ODD_CHARACTERS = dict.fromkeys(
    [0, 0xAD, *range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x206A), 0xFEFF]
)
_ODD_CHARACTERS |= dict.fromkeys([9, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x202F, 0x205F, 0x3000], " ")
# What East Asian keyboards write: full width, and a comma without a space.
_ODD_CHARACTERS |= {wide: wide - 0xFEE0 for wide in range(0xFF01, 0xFF5F)} | {0xFF0C: ", "}
# What word processors make of hyphens, of a minus, a star and quotes.
_ODD_CHARACTERS |= dict.fromkeys([*range(0x2010, 0x2014), 0x2212], "-") | {0xD7: "*", 0x2217: "*"}
_ODD_CHARACTERS |= dict.fromkeys([0x2018, 0x2019], "'") | dict.fromkeys([0x201C, 0x201D], '"')
# As Markdown has them, where they would mean something else.
_ESCAPED = re.compile(r"\\([_*()\[\]<>~|+#.-])")
_QUOTES_IN_STRINGS = re.compile(r'\\+"')
_MONOSPACED = re.compile(r"\{\{([^{}]*)\}\}")
_OCTAL = re.compile(r"#01([12])\s?")
# Of HTML, of forums, and of Jira.
_CLOSING = re.compile(
    r"</(?:pre|code|p|div|span|td|li|font|b|a|o:p)>|<w?br ?/?>|\[/(?:code|quote|spoiler|color|b)\]"
    r"|\{(?:noformat|code|quote|panel|color)\}",
    re.IGNORECASE,
)
_LINE_TAG = re.compile(
    r"<br ?/?>|</?(?:pre|p|div|tr|li)(?:\s[^<>]{0,200})?>|\[/?(?:code|quote|spoiler)(?:=[^]\[\n]{0,200})?\]"
    r"|\{(?:noformat|code|quote|panel)(?::[^{}\n]{0,200})?\}",
    re.IGNORECASE,
)
_CELL_TAG = re.compile(r"<t[dh](?:\s[^<>]{0,200})?>", re.IGNORECASE)
_TAG = re.compile(
    r"</t[dh]>|<wbr ?/?>|</?(?:code|span|font|b|i|a|o:p)(?:\s[^<>]{0,300})?>"
    r"|\[/?(?:color|size|font|b|i)(?:=[^]\[\n]{0,60})?\]|\{color(?::[^{}\n]{1,40})?\}",
    re.IGNORECASE,
)
_WITHOUT_ZONE = re.compile(r"Node\s+(\d{1,9})\s+([A-Z]\w{1,15})((?:\s+\d{1,30}){5,21})", re.ASCII)
# Of a row that was copied from its middle on.
_HEADLESS = re.compile(r"(?:(?:o?d)?e )?\s*(?=\d{1,4}, {1,3}zone\s)", re.ASCII)
# Without the comma, or with one between all words.
_OTHERWISE = re.compile(
    r"Node(?!\s+\d{1,9}, zone\s+\w{1,16}(?:\s|\Z))[\s,;]{1,9}(\d{1,9})[\s,;]{1,9}zone[\s,;]{1,20}([A-Z]\w{1,15})"
    r"((?:\s+\d{1,30}){5,21}|(?:[,;]\s?\d{1,30}){5,21}|)",
    re.ASCII,
)
_BETWEEN_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3})")
_WITH_THOUSANDS = re.compile(r"Node\s+\d{1,9}, zone\s+[A-Z]\w{1,15}(?:\s+\d{1,3}(?:,\d{3}){0,5})+", re.ASCII)
_RUN_TOGETHER = re.compile(
    r"(?:(?<![^\S\n])[^\S\n]+|(?<=\d)(?=Node))"
    r"(?=Node\s+\d{1,9}, zone |Page block order: |Pages per block: |Free pages count per "
    r"|Number of blocks type )"
)
_OF_ZONEINFO = re.compile(r"Node\s+\d{1,9}, zone\s+\w{1,20}\s+(?:per-node stats|pages free)\s", re.ASCII)
_BEFORE_FIELD = re.compile(
    r"(?<!pages)(?<!vm stats)(?<!\s)\s+(?=per-node stats|pages free|pagesets|protection:|vm stats|[a-z_]{2,40}:?\s+\d)",
    re.ASCII,
)
# meminfo and vmstat in one line, as chats and web pages leave them.
_MEMINFO_RUN_TOGETHER = re.compile(
    r"(?<=kB)(?=[A-Z]\w{2,40}(?:\(\w{1,10}\))?:\s)|(?<=\d)(?=(?:Huge|Direct)\w{4,20}:\s)", re.ASCII
)
# free's and top's lines in one.
_TOTALS = re.compile(r"\btotal\s+used\s+free\b.{1,200}\sMem:|\btop - .{1,400}\sMem ?:", re.ASCII)
_BEFORE_TOTALS = re.compile(r"(?<!iB)(?<!\s)\s+(?=(?:[KMGTPE]iB )?(?:Mem|Swap) ?: {0,20}\d)", re.ASCII)
_OF_VMSTAT = re.compile(r"(?:[a-z]\w{2,60} \d{1,20}(?:\s{1,9}|\Z)){8,1000}", re.ASCII)
_BETWEEN_COUNTERS = re.compile(r"(?<=\d)\s+(?=[a-z])", re.ASCII)
_ZONE_APART = re.compile(r",\s{2,20}zone\b")
_LOG_RUN_TOGETHER = re.compile(r" (?=\[ {0,8}\d{1,10}\.\d{6}\])")
_UNFINISHED = re.compile(r"Node\s+\d{1,9},(?:\s+zone)?(?:\s+\S{1,40},)?(?:\s+type)?(?:\s+\S{1,40}(?<!\d))?", re.ASCII)
_COUNTS = re.compile(r">?\d{1,30}(?:\s+>?\d{1,30})*", re.ASCII)
_ROW = re.compile(r"(?:Node\s+\d{1,9}, zone|Free pages count|lowmem_reserve\[\]:).*", re.ASCII)
_TYPES = re.compile(r"(?:\s*(?:Unmovable|Movable|Reclaimable|HighAtomic|CMA|Isolate)\b)+")
_OF_SLAB = re.compile(r"[\w:.-]{1,64}(?: +\d{1,15}){5} : tunables[\d: ]*(?:slabdata[\d ]*)?", re.ASCII)
_REST_OF_SLAB = re.compile(r"(?:[\d: ]*slabdata)?[\d ]+", re.ASCII)
_WORDS_OF_SLAB = 16
_FREE_COLUMN = r"(?:used|free|shared|buff/cache|buffers|cached?|available)"
_FREE_HEAD = re.compile(rf"total(?:\s+{_FREE_COLUMN})*")
_FREE_COLUMNS = re.compile(rf"{_FREE_COLUMN}(?:\s+{_FREE_COLUMN})*")
_FREE_ROW = re.compile(r"(?:Mem|Swap):.*", re.ASCII)
_SIZE = r"\d[\d.,]{0,20}(?:[KMGTP]i?)?B?"
_FREE_SIZES = re.compile(rf"{_SIZE}(?:\s+{_SIZE})*", re.ASCII)
_TOP_ROW = re.compile(r"[KMGTPE]iB (?:Mem|Swap) ?:.*", re.ASCII)
_TOP_COMMAS = 3, 2  # of Mem and of Swap
_AFTER_PREFIX = re.compile(
    r"Mem-[Ii]nfo:$|Node\s+\d{1,9}, zone\s|Node\s+\d{1,9}\s+[A-Z]\w{1,15}\s+free:|lowmem_reserve\[\]:"
    r"|(?:Node\s+\d{1,9}\s+)?Mem(?:Total|Free):\s|Page block order:|nr_free_pages \d|total\s+used\s+free\b"
    r"|r\s+b\s+swpd\s+free\b|[KMGTPE]iB Mem\s?:|\d{1,20} [KkMm] (?:total|free) memory\b"
    r"|\d\d:\d\d:\d\d(?: [AP]M)?\s+kbmemfree\b|Mem: \d{1,12}K used|MEM\s+(?:\|\s*)?tot\s"
    r"|node \d{1,4} (?:cpus|size|free):|(?:Node \d{1,4}\s+){1,64}Total\s*$|\+-{4,}\+-{4,}"
    r"|(?<=[\]:>F ] )(?<!['\"]: )[\[{]$",
    re.ASCII,
)
_BRACKETS = {"{", "["}
_OF_JSON = re.compile(r'[{}\[\]]{1,2},?|"[\w.-]{1,60}": ?(?:[{\[]|"?\d[\d.]{0,20}(?: ?[kKMG]i?B)?"?,?)', re.ASCII)
_MOST_PREFIX, _HEADING_LENGTH, _MOST_SHAPES = 480, 160, 16
_LEAST_WIDTH, _NEAR, _BEGINNING = 40, 12, 6
_MOST_OTHERS = 1000
_NUMBER = re.compile(r"\s*\d+")
_ORDINAL = re.compile(r"L?(\d{1,7})[.:)]?", re.ASCII)
_FEWEST_ORDINALS, _MOST_BETWEEN = 3, 4
_NO_LETTERS = re.compile(r"[^A-Za-z]{1,40}")
_STARTS = re.compile(
    r"\s*(?:[\[<>|{\"]|\d{1,8},\d+,|\d{4}-\d\d-\d\d[T ]|(?:[A-Z][a-z]{2} )?[A-Z][a-z]{2} [ \d]\d \d\d:"
    r"|Node +\d+,? |Number of |Free pages |Pages? |Mem-Info|lowmem_reserve|kern  :|\d+ pages "
    r"|\d\d:\d\d:\d\d\s|[a-z_]{2,24}:\d{1,20}\s+[a-z_]|[A-Z]\w{2,20}(?:\(\w+\))?(?::\s|\s{3,}\d)|-{5}|(?:\d{1,20}\s+){3}|[>\d\s]{1,400}\Z"
    r"|(?:[\w:.-]{1,64}(?: +\d{1,15}){5} : |[\d: ]{0,30}slabdata )"
    r"|(?:(?:shared|buff/cache|available)\s{0,9}){1,3}\Z|(?:\d[\d.,]{0,20}(?:[KMGTP]i?)?B?(?:\s{1,20}|\Z)){1,6}\Z)",
    re.ASCII,
)
_BARE = "lowmem_reserve[]:"
"""Kernels before 4.10 print it without a prefix."""
_FIGURE_AT_END = re.compile(r"[a-z]:\d{1,19}\Z", re.ASCII)
_HEADING = re.compile(
    r"(?P<log>Mem-[Ii]nfo:$)|^(?:(?P<zone>Node\s+\d{1,9}, zone\s+\w{1,20}$)|(?P<types>Page block order:)"
    r"|(?P<free>total\s+used\s+free\b)|(?P<table>r\s+b\s+swpd\s+free\b))|(?P<sar>\bkbmemfree\b)",
    re.ASCII,
)
# What stands below each of them, and at no other place.
_BELOW = {
    "log": re.compile(r"\bactive_anon:\d+ |\bfree_pcp:\d+ "),
    "zone": re.compile(r"^(?:per-node stats|pages free\s+\d+)$", re.ASCII),
    "types": re.compile(r"^Pages per block:"),
    "free": re.compile(r"^\S{1,20}:\s*\d"),
    "table": re.compile(r"^\d+(?:\s+\d+){9}", re.ASCII),
    "sar": re.compile(r"\b\d\d:\d\d:\d\d(?: [AP]M)?\s+\d", re.ASCII),
}
_LEAST_OF_SAR = 6  # columns, of a head that is whole
_MOST_END = 16
_AT_END = re.compile(r"(?:\s*(?:<br\s?/?>|\^M|[|│┃$`\\])|(?<=[\w:)?])\s*[\"'])+\Z")
_MOST_TAGS = 100
_LAST_TAGS = re.compile(r"(?:\s{0,9}</[\w:.-]{1,30}>)+\Z")
_NUMBERED = re.compile(r"\d{1,9}\s*[|│┃]", re.ASCII)
# Of a table with quotes, the times after the message.
_CELLS_AFTER = re.compile(r'(?<=")(?:,"\d{4}-\d\d-\d\d[T ][\d:.,+Z -]{5,24}")+\Z')
# What journalctl -o export writes beside a message.
_OF_EXPORT = re.compile(r"^ {0,4}(?!MESSAGE=)_{0,2}[A-Z][A-Z\d_]{1,60}=.*\n?", re.ASCII | re.MULTILINE)
# And journalctl -o verbose above it.
_OF_VERBOSE = re.compile(r"^\S.{10,40} \[s=[\da-f]{1,32};i=[\da-f]{1,16};b=.{1,120}\]\n", re.ASCII | re.MULTILINE)
_QUOTED = re.compile(r"(?:- )?(?:(\".*\")|'(.*)'),?")


def telling(text: str) -> str:
    """A text without the lines that are far from any that may tell of memory: most of a long log. Of JSON, its
    strings. O(length).
    """
    if len(text) < _LONG:
        return text
    text = strings_of(text)
    kept: list[str] = []
    before: deque[str] = deque(maxlen=_AROUND)
    silent: set[str] = set()
    room, after = _MOST_SILENT, 0
    for block in pieces_of(text):
        # Most lines differ from others in figures only.
        kinds = set(block.translate(_DIGITS).split("\n")) - silent
        may_tell = tells(new := "\n".join(kinds))
        if not may_tell and room > 0:
            silent |= kinds
            room -= len(new)
        for piece in pieces_of(block, size=_SMALL_PIECE) if may_tell else [block]:
            if may_tell and tells(piece):
                kept += [*before, piece]
                before.clear()
                after = _AROUND
                continue
            # Of a text without line breaks, or of nothing but those, the most is never taken apart.
            lines = piece.split("\n", after)
            kept += map(_short, lines[:after])
            before.extend(_short(line) for rest in lines[after:] for line in rest.rsplit("\n", _AROUND)[-_AROUND:])
            after -= min(len(lines), after)
    return "\n".join([*kept, *before])


def _short(line: str) -> str:
    return line[:PIECE]


def is_painted(text: str) -> bool:
    """Whether a program that fills the screen changed figures of it where they stood. O(length)."""
    return "\x1b[" in text and _WITHIN_LINE.search(text) is not None


def tells(text: str) -> bool:
    """Whether it may tell of memory: nothing without letters does. O(length)."""
    return text.lower() != text.upper() and any(map(text.__contains__, _TELLING))


# Lines that are there again are held once.
def _split(text: str) -> Iterator[str]:
    held: dict[str, str] = {}
    for block in pieces_of(text):
        for line in _BREAK.split(block):
            yield held.setdefault(line, line)


def plain_lines(text: str) -> list[str]:
    """The lines without prefixes, spaces at both ends, and breaks within rows of counts. O(length)."""
    text = _ESCAPED.sub(r"\1", strings_of(text))
    if "__REALTIME_TIMESTAMP=" in text or _OF_VERBOSE.search(text) is not None:
        text = _OF_EXPORT.sub("", _OF_VERBOSE.sub("", text))
    # Of a log's records, each of which is a line, each may hold one.
    if "\\n" in text and text.count("\\n") > 2 * text.count("\n"):
        text = text.replace("\\n", "\n").replace("\\t", "\t")
    if _count(_SOFT_BREAK, text) + text.count("=3D") > _count(_PLAIN_EQUALS, text):
        text = "\n".join(_QUOTED_BYTES.sub(_unquoted, block) for block in pieces_of(_SOFT_BREAK.sub("", text)))
    if _CLOSING.search(text):
        text = _TAG.sub("", _CELL_TAG.sub(" ", _LINE_TAG.sub("\n", text)))
    if "\x1b[" in text:
        text = _TO_THE_RIGHT.sub(lambda move: " " * int(move[1] or 1), _WITHIN_LINE.sub(f"\n{_MARK}", text))
        text = _ELSEWHERE.sub("\n", text)
    text = _OCTAL.sub(lambda code: "\n" if code[1] == "2" else " ", _ESCAPES.sub("", text))
    text = text.translate(_ODD_CHARACTERS)
    lines = [part for line in by_task(by_machine(_whole(_not_quoted(list(_split(text)))))) for part in _apart(line)]
    lines = list(_without_learned_prefixes([part.strip() for line in lines for part in _plain(line).split("\n")]))
    lines = _without_ordinals(lines)
    # Each of its lines had a prefix. What is a figure by its name stays too.
    if not _BRACKETS.isdisjoint(lines):
        # The last string of a list has no comma behind it, and lost its end.
        lines = [f'{line}"' if line.startswith('"') and line.count('"') == 1 else line for line in lines]
        said = strings_of("\n".join(lines)).split("\n")
        lines = [
            *(part.strip() for line in said for part in _plain(line).split("\n")),
            *filter(_OF_JSON.fullmatch, lines),
        ]
    return _downwards(list(_unwrapped(lines)))


def with_plain_quotes(text: str) -> str:
    """A text that may be JSON in a string of JSON, or on a page of the web. O(length)."""
    text = _QUOTES_IN_STRINGS.sub('"', html.unescape(text))
    return text if text.isascii() else text.translate(_ODD_CHARACTERS)


def _count(pattern: re.Pattern[str], text: str) -> int:
    return sum(1 for _ in pattern.finditer(text))


def _unquoted(match: re.Match[str]) -> str:
    return bytes.fromhex(match[0].replace("=", "")).decode(errors="replace")


# Of a text that is quoted as a whole, what was broken goes on behind the quotation's marks.
def _not_quoted(lines: list[str]) -> list[str]:
    said = [line for line in lines if line.strip()]
    while said and all(line.startswith(">") for line in said):
        lines, said = ([line[1:].removeprefix(" ") for line in each] for each in (lines, said))
    return lines


# What a terminal broke, at one width, in the middle of words: more lines end there than just before. Lines that begin
# alike are lines of their own, and rows of counts break between words. The rest of a broken line is shorter: of tables
# all lines may be of one width.
def _whole(printed: list[str]) -> list[str]:
    lines = [line if not line[-1:].isspace() else line.rstrip() for line in printed]
    lengths = Counter(map(len, lines))
    width = max(lengths, default=0)
    if width < _LEAST_WIDTH:
        return lines
    # Broken at a space.
    cut = [len(line) for line, whole in zip(lines, printed, strict=True) if len(line) < width == len(whole)]
    near = sum(lengths[width - step] for step in range(1, _NEAR)) - sum(length > width - _NEAR for length in cut)
    # Where all others have a prefix, what has none goes on, behind a space too.
    widest = max(map(len, printed))
    all_begin = widest - width < _NEAR and _all_others_begin(printed, widest)
    width = widest if all_begin else width
    all_begin = all_begin or _all_others_begin(printed, width)
    lines = printed if all_begin else lines
    follows = bytearray(len(lines))
    first, last = "", ""
    full = 0
    for place, line in enumerate(lines):
        if place and len(last) == width:
            full += 1
            if all_begin:
                follows[place] = _PREFIX.match(line) is None and not line.startswith(_BARE)
            else:
                begins = _STARTS.match(line) and not (line.isdigit() and _FIGURE_AT_END.search(last))
                follows[place] = line != "" and not begins and _alike(line) != _alike(first)
        last = line
        first = first if follows[place] else line
    broken = sum(follows)
    ends = [
        len(line) < width for line, here, then in zip(lines, follows, [*follows[1:], 0], strict=True) if here > then
    ]
    is_likely = broken + len(cut) > max(near, 1, full - broken) and 2 * sum(ends) >= len(ends)
    if not broken or not (is_likely or all_begin):
        return lines
    whole: list[str] = []
    parts: list[str] = []
    for line, goes_on in zip(lines, [*follows[1:], 0], strict=True):
        parts.append(line)
        if not goes_on:
            whole.append("".join(parts))
            parts = []
    return whole


# Whether all lines but those behind one of that width begin with a prefix.
def _all_others_begin(lines: list[str], width: int) -> bool:
    pairs = itertools.pairwise(["", *lines])
    others = list(itertools.islice((line for last, line in pairs if len(last) != width and line), _MOST_OTHERS))
    return len(others) > 1 and all(map(_PREFIX.match, others))


def _alike(line: str) -> str:
    prefix = _NO_LETTERS.match(line)
    return _NUMBER.sub("0", (prefix[0].rstrip() if prefix else "") or line[:_BEGINNING].split(" ")[0])


# Some tools show a text's last line first: then what follows a heading, or the OOM killer's coming, stands before it.
def _downwards(lines: list[str]) -> list[str]:
    for before, here, after in zip(["", *lines], lines, [*lines[1:], ""], strict=False):
        if (heading := _HEADING.search(here)) is not None:
            above, below = (_is_below(heading, line) for line in (before, after))
            if above or below:
                return lines[::-1] if above and not below else lines
    came = [place for place, line in enumerate(lines) if "invoked oom-killer" in line]
    went = [place for place, line in enumerate(lines) if ": Killed process " in line]
    return lines[::-1] if came and went and went[0] < came[0] and went[-1] < came[-1] else lines


# Of sar's tables, the next one's rows have other columns.
def _is_below(heading: re.Match[str], line: str) -> bool:
    kind = heading.lastgroup or ""
    is_like = kind != "sar" or _LEAST_OF_SAR <= len(line.split()) == len(heading.string.split())
    return is_like and _BELOW[kind].search(line) is not None


def _apart(line: str) -> list[str]:
    if " [" in line and len(parts := _LOG_RUN_TOGETHER.split(line)) > 2:
        return parts
    if line.count("kB") > 2 and len(parts := _MEMINFO_RUN_TOGETHER.split(line)) > 2:
        return parts
    if " Mem" in line and _TOTALS.search(line) is not None:
        return _BEFORE_TOTALS.split(line)
    if "nr_" in line and _OF_VMSTAT.fullmatch(line) is not None:
        return _BETWEEN_COUNTERS.split(line)
    if line.count(", zone ") < 2:
        return [line]
    return [
        field
        for part in _RUN_TOGETHER.split(line)
        for field in (_BEFORE_FIELD.split(part) if _OF_ZONEINFO.match(part) else [part])
    ]


def _plain(line: str) -> str:
    line = line.strip()
    if ", " in line and (cut := _HEADLESS.match(line)) is not None:
        line = f"Node {line[cut.end() :]}"
    if _PLAIN.fullmatch(line) is not None:
        return line
    if line.startswith('"Node') and line.count('"') > 2:
        line = line.replace('"', "")
    if line.endswith(">"):
        line = line[:-_MOST_TAGS] + _LAST_TAGS.sub("", line[-_MOST_TAGS:])
    if line.endswith("}") and (begin := line.find("{")) >= 0:
        line = message_of(line[begin:], line)
    elif line.endswith('"]') and line.startswith("["):
        line = message_of(line, line)
    elif line.endswith("}]") and (begin := line.find("[{")) >= 0:
        line = message_of(line[begin:], line)
    if line.endswith("}}") and (monospaced := _MONOSPACED.fullmatch(line)) is not None:
        line = monospaced[1].strip()
    line = _CELLS_AFTER.sub("", line)
    if line.endswith(('"', '",', "'", "',")) and (quoted := _QUOTED.fullmatch(line)) is not None:
        line = message_of(quoted[1], line) if quoted[1] else quoted[2].replace("''", "'")
    if "&" in line:
        line = html.unescape(line).replace("\xa0", " ").strip()
    for _ in range(_MOST_PREFIXES):
        match = _PREFIX.match(line)
        if match is None:
            break
        line = line[match.end() :]
    line = line.strip().strip("`*")
    # An empty line's number and bar are a prefix.
    if _NUMBERED.fullmatch(line) is None:
        line = (line[:-_MOST_END] + _AT_END.sub("", line[-_MOST_END:])).rstrip()
    if line.startswith("Node "):
        line = _ZONE_APART.sub(", zone", line.replace("|", " ").rstrip(), count=1)
        if _WITH_THOUSANDS.fullmatch(line) is not None:
            line = _BETWEEN_THOUSANDS.sub("", line)
    if (row := _WITHOUT_ZONE.fullmatch(line)) is not None:
        return f"Node {row[1]}, zone {row[2]}{row[3]}"
    if (row := _OTHERWISE.fullmatch(line)) is not None:
        return " ".join([f"Node {row[1]}, zone {row[2]}", *re.findall("[0-9]+", row[3])])
    return line.replace(" | ", " ") if " | " in line else line


def _without_learned_prefixes(lines: list[str]) -> Iterator[str]:
    shapes: dict[str, None] = {}
    of_strings: dict[str, None] = {}
    is_json = not _BRACKETS.isdisjoint(lines)
    for line in lines:
        after = _AFTER_PREFIX.search(line[: _MOST_PREFIX + _HEADING_LENGTH])
        before = "" if after is None or after.start() > _MOST_PREFIX else line[: after.start()]
        # A zone's line that goes on is no prefix.
        if after is not None and before and "kB" not in before and len(shapes) + len(of_strings) < _MOST_SHAPES:
            is_json = is_json or after[0] in _BRACKETS
            (of_strings if before.rstrip().endswith('"') else shapes)[_shape(before)] = None
    # The quotes of strings of JSON are no prefix.
    shapes |= {} if is_json else of_strings
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
    if not prefix[-1].isspace():
        return shape
    return shape + (r"(?:\s++|\Z)" if prefix.rstrip()[-1:].isalnum() else r"\s*+")


# Each line's number, on a line of its own: most are followed by that line, which may be empty.
def _without_ordinals(lines: list[str]) -> list[str]:
    said = list(filter(None, lines))
    ordinals = [
        (place, int(match[1])) for place, match in enumerate(map(_ORDINAL.fullmatch, said)) if match is not None
    ]
    if len(ordinals) < max(len(said) / _MOST_BETWEEN, _FEWEST_ORDINALS):
        return lines
    pairs = list(itertools.pairwise(ordinals))
    followed = sum(place + 1 < then for (place, _), (then, _) in pairs)
    if 2 * followed > len(pairs) and all(number + 1 == following for (_, number), (_, following) in pairs):
        return [line for line in lines if _ORDINAL.fullmatch(line) is None]
    return lines


def _unwrapped(lines: list[str]) -> Iterator[str]:
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
    if _TOP_ROW.fullmatch(first):
        words = " ".join(parts)
        return words.count(", ") + last.endswith(",") < _TOP_COMMAS["Swap" in first] or last[-1] in ",.0123456789"
    if _FREE_ROW.fullmatch(first) and _FREE_SIZES.fullmatch(line):
        return True
    if " : tunables" in first:
        is_whole = sum(len(part.split()) for part in parts) >= _WORDS_OF_SLAB
        return not is_whole and _OF_SLAB.fullmatch(first) is not None and _REST_OF_SLAB.fullmatch(line) is not None
    if _COUNTS.fullmatch(line):
        return _ROW.fullmatch(first) is not None
    if first.startswith("Number of blocks"):
        return _TYPES.fullmatch(line) is not None or line.startswith("type ")
    if _FREE_HEAD.fullmatch(first):
        return _FREE_COLUMNS.fullmatch(line) is not None
    return last[-1] in ",e" and _UNFINISHED.fullmatch(last) is not None and last.endswith((",", "zone", "type"))
