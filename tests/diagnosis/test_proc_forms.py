"""Files of /proc say the same in whatever form somebody pastes them; other tools' texts are said to be none of them."""

import html
import json
import quopri
import re
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from pagehint.diagnosis.examine import diagnose
from pagehint.errors import InputError
from tests.diagnosis.conftest import DATA

FOLDER = DATA / "compile612"
NAMES = ("buddyinfo", "pagetypeinfo", "zoneinfo", "meminfo", "vmstat")
Form = Callable[[str], str | bytes]


def each(form: str) -> Form:
    return lambda text: "".join(f"{form.format(line)}\n" for line in text.splitlines())


def numbered(form: str) -> Form:
    return lambda text: "".join(f"{form.format(at, line)}\n" for at, line in enumerate(text.splitlines(), 1))


def records(form: Callable[[str], object], before: str = "") -> Form:
    return lambda text: "".join(f"{before}{json.dumps(form(line))}\n" for line in text.splitlines())


FORMS: dict[str, Form] = {
    "UTF-16 of Windows": lambda text: text.replace("\n", "\r\n").encode("utf-16"),
    "UTF-16, big-endian, which says so": lambda text: b"\xfe\xff" + text.encode("utf-16-be"),
    "UTF-16, big-endian": lambda text: text.encode("utf-16-be"),
    "UTF-32": lambda text: text.encode("utf-32"),
    "spaces of other widths": lambda text: text.replace("  ", " \u2003").replace(" \n", "\u3000\n"),
    "quoted with a name": each("Bob> {}"),
    "fenced in a list": lambda text: f"1. here\n   ```\n{textwrap.indent(text, '   ')}   ```\n",
    "HTML twice": lambda text: html.escape(html.escape(text)),
    "HTML with classes": lambda text: f'<pre class="x"><code class="y">{html.escape(text)}</code></pre>',
    "syslog, RFC 5424": each('<4>1 2026-11-28T00:47:11.003Z web-1 collect 123 ID47 [exampleSDID@32473 iut="3"] {}'),
    "journalctl -o short-iso": each("2026-11-28T00:47:11+0100 web-1 collect[12]: {}"),
    "journalctl -o json-pretty": lambda text: "".join(
        f"{json.dumps({'_HOSTNAME': 'web-1', 'MESSAGE': line, 'PRIORITY': '6'}, indent=8)}\n"
        for line in text.splitlines()
    ),
    "journalctl -o export": lambda text: "".join(
        f"__CURSOR=s=1;i=2\n__REALTIME_TIMESTAMP=1795974502123456\n_HOSTNAME=web-1\nMESSAGE={line}\n\n"
        for line in text.splitlines()
    ),
    "Google Cloud's logs": lambda text: json.dumps(
        [{"insertId": "a", "jsonPayload": {"message": line}, "severity": "INFO"} for line in text.splitlines()]
    ),
    "journalctl -o verbose": lambda text: "".join(
        "Sat 2026-11-28 00:47:11.123456 UTC [s=1a2b;i=1;b=2c;m=3;t=4;x=5]\n    _TRANSPORT=stdout\n    PRIORITY=6\n"
        f"    MESSAGE={line}\n    _PID=12\n"
        for line in text.splitlines()
    ),
    "Azure's logs": records(lambda line: {"TimeGenerated": "2026-11-28T00:47:11Z", "SyslogMessage": line}),
    "CloudWatch's logs": lambda text: json.dumps(
        [{"@timestamp": "2026-11-28 00:47:11.000", "@message": line} for line in text.splitlines()], indent=2
    ),
    "OpenTelemetry's logs": lambda text: json.dumps(
        [
            {"body": {"stringValue": line}, "attributes": [{"key": "host", "value": {"stringValue": "web-1"}}]}
            for line in text.splitlines()
        ]
    ),
    "Markdown with hard line breaks": each("{}\\"),
    "numbers on lines of their own": numbered("{}.\n{}"),
    "HTML's places to break": lambda text: text.replace("_", "_<wbr>"),
    "spaces of Latin-1 that don't break": lambda text: text.replace("  ", "\xa0 ").encode("latin-1"),
    "dashes of a word processor": lambda text: text.replace("-", "\u2013"),
    "Outlook": lambda text: "".join(
        f"<p class=MsoNormal><span lang=EN-US>{html.escape(line)}<o:p></o:p></span></p>\n" for line in text.splitlines()
    ),
    "broken at 80 columns": lambda text: "".join(
        f"{part}\n" for line in text.splitlines() for part in re.findall(".{1,80}", line) or [""]
    ),
    "prefixed, and broken at 80 columns": lambda text: "".join(
        f"{part}\n"
        for line in text.splitlines()
        for part in re.findall(".{1,80}", f"Nov 28 00:47:11 web-1 collect.sh[1234]: {line}")
    ),
    "lines of JSON in a log": lambda text: "".join(
        f"2026-11-28T00:47:11.1234567Z {line}\n" for line in json.dumps(text.splitlines(), indent=1).split("\n")
    ),
    "lines of JSON behind a prefix that nobody named": lambda text: "".join(
        f"[web-1 collect] {line}\n" for line in json.dumps({"lines": text.splitlines()}, indent=2).split("\n")
    ),
    "CDATA": lambda text: f"<out><![CDATA[{text}]]></out>\n",
    "Kubernetes": each("2026-11-28T00:47:11.123456789Z {}"),
    "JSON with a field unknown": records(
        lambda line: {"time": "2026-11-28T00:47:11Z", "n": 3, "event": {"text": line}}
    ),
    "a list of JSON behind a prefix": lambda text: (
        "2026-11-28T00:47:11.1Z " + json.dumps([{"id": 1, "message": line} for line in text.splitlines()]) + "\n"
    ),
    "JSON behind a prefix": records(lambda line: {"log": line + "\n", "stream": "stdout"}, "kube.x: "),
    "key=value": lambda text: "".join(f"ts=2026 host=web out={json.dumps(line)}\n" for line in text.splitlines()),
    "YAML with single quotes": lambda text: "".join(f"  - '{line}'\n" for line in text.splitlines()),
    "a box": lambda text: "┌──┐\n" + "".join(f"│ {line:110} │\n" for line in text.splitlines()) + "└──┘\n",
    "a table of Markdown": lambda text: "| out |\n|---|\n" + "".join(f"| `{line}` |\n" for line in text.splitlines()),
    "a table of Markdown with the fields apart": lambda text: re.sub(r"(?m)(.) {2,}(?=\S)", r"\1 | ", text),
    "HTML, each field in a cell": lambda text: "".join(
        f"<tr>{''.join(f'<td>{word}</td>' for word in line.split())}</tr>\n" for line in text.splitlines()
    ),
    "Markdown that escapes": lambda text: text.replace("_", r"\_").replace("(", r"\("),
    "bold": lambda text: f"**{text.strip()}**\n",
    "numbered with bars": numbered("{:4} | {}"),
    "bat": numbered("{:4}   │ {}"),
    "quoted-printable": lambda text: quopri.encodestring(text.encode()),
    "one space": lambda text: re.sub(" +", " ", text),
    "double spaced": lambda text: text.replace("\n", "\n\n"),
    **{
        f"colours whose escapes are written {escape}": each(f"{escape}[1;31m{{}}{escape}[0m")
        for escape in ("^[", "#033", "\\u001b", "\\x1b", "\\033", "\\e", "\u241b", "<ESC>", "ESC")
    },
    "Jira's colours": each("{{color:#172b4d}}{}{{color}}"),
    "Jira's fixed width": each("{{{{{}}}}}"),
    "Jira's code, in a panel": lambda text: f"{{panel:title=web-1}}\n{{code:sh}}{text.strip()}{{code}}\n{{panel}}\n",
    "a shell's prompt": lambda text: f"root@web-1:~# cat /proc/x\n{text}root@web-1:~# ",
}


def told(path: Path) -> dict[str, object]:
    return {name: each for name, each in diagnose(path).to_dict().items() if name not in ("sources", "warnings")}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("names", [*((name,) for name in NAMES), NAMES], ids=" ".join)
def test_files_of_proc_say_the_same(tmp_path: Path, names: tuple[str, ...], form: str) -> None:
    text = "".join((FOLDER / f"{name}.txt").read_text() for name in names)
    plain, pasted = tmp_path / "plain.txt", tmp_path / "pasted.txt"
    plain.write_text(text)
    data = FORMS[form](text)
    pasted.write_bytes(data.encode() if isinstance(data, str) else data)
    assert told(pasted) == told(plain)


@pytest.mark.parametrize("form", FORMS)
def test_slabinfo_says_the_same(tmp_path: Path, form: str) -> None:
    """It was read as it is pasted: of one line of JSON its first cache, and none of a mail's or with tabs."""
    folder = DATA / "actions" / "5.10-cache-512-mib-slabinfo-held-out"
    text = (FOLDER / "meminfo.txt").read_text() + (folder / "slabinfo.txt").read_text()
    caches = []
    for data in (text, FORMS[form](text)):
        path = tmp_path / "pasted.txt"
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        caches.append(diagnose(path).evidence.slab_caches)
    assert caches[0]
    assert caches[1] == caches[0]


# Tools whose first line is none that tells what it is of.
TOOLS = {
    "free": "   total   used    free  shared  buff/cache  available\n"
    "Mem:  8000000 100000 7000000 1000  900000  7800000\n",
    "vmstat": " r  b swpd   free   buff  cache   si   so   bi    bo\n"
    " 1  0    0 7000000  59544 840456    0    0  715  1229\n",
    "vmstat -s": "     8000000 K total memory\n      100000 K used memory\n     7000000 K free memory\n",
    "top": "MiB Mem :   7812.5 total,   6835.9 free,     97.7 used,    878.9 buff/cache\n",
}


@pytest.mark.parametrize("form", ["{}", "a> {}", "Nov 29 17:48:22 web-1 sh[123]: {}", "[pod/debug-7fb/sh] {}"])
@pytest.mark.parametrize("tool", TOOLS)
def test_tools_say_the_same_behind_prefixes(form: str, tool: str, tmp_path: Path) -> None:
    """Of all but free, none was learned."""
    path = tmp_path / "pasted.txt"
    path.write_text("".join(f"{form.format(line)}\n" for line in TOOLS[tool].splitlines()))
    assert diagnose(path).to_dict()["free_mib"] == pytest.approx(7000000 / 1024, abs=0.05)


@pytest.mark.parametrize("name", ["pagetypeinfo", "zoneinfo", "meminfo", "vmstat", "free"])
def test_the_latest_line_first(name: str, tmp_path: Path) -> None:
    """Of zoneinfo, another zone's counts were vmstat's."""
    text = TOOLS[name] if name in TOOLS else (FOLDER / f"{name}.txt").read_text()
    plain, pasted = tmp_path / "plain.txt", tmp_path / "pasted.txt"
    plain.write_text(text)
    pasted.write_text("\n".join(text.splitlines()[::-1]) + "\n")
    assert told(pasted) == told(plain)


NONE = {
    "slabtop": " Active / Total Objects (% used)    : 1234567 / 1300000 (95.0%)\n  OBJS ACTIVE  USE OBJ SIZE  SLABS\n",
    "a process's smaps": "Rss:                 132 kB\nAnonHugePages:         0 kB\nFilePmdMapped:         0 kB\n",
    "virsh dommemstat without the guest's": "actual 4194304\nlast_update 0\nrss 4100000\n",
    "a cgroup's memory.stat": "anon 1000000\nkernel_stack 20000\nslab 1200\nworkingset_refault_anon 0\npgfault 1000\n",
}


@pytest.mark.parametrize("tool", NONE)
def test_other_tools_texts_are_none_of_these(tmp_path: Path, tool: str) -> None:
    path = tmp_path / "text.txt"
    path.write_text(NONE[tool])
    with pytest.raises(
        InputError,
        match=r"holds nothing that tells of free memory: expected buddyinfo|which doesn't tell what is free: exp",
    ) as refused:
        diagnose(path)
    assert "\n" not in str(refused.value)


ORDERS = (500, 400, 300, 200, 100, 50, 20, 10, 300)
FREE = sum(count << order for order, count in enumerate(ORDERS))


@pytest.mark.parametrize("mark", [",", ";", ", "])
def test_buddyinfo_of_a_spreadsheet(tmp_path: Path, mark: str) -> None:
    text = (FOLDER / "buddyinfo.txt").read_text()
    rows = [line.split() for line in text.splitlines()]
    (tmp_path / "plain.txt").write_text(text)
    (tmp_path / "table.csv").write_text("".join(f"{mark.join([' '.join(row[:4]), *row[4:]])}\n" for row in rows))
    assert told(tmp_path / "table.csv") == told(tmp_path / "plain.txt")


@pytest.mark.parametrize(
    "form",
    [
        lambda text: text.replace(",", ""),
        lambda text: "".join(f"{';'.join(line.replace(',', '').split())}\n" for line in text.splitlines()),
        lambda text: "".join(f"{','.join(line.split())}\n" for line in text.splitlines()),
        lambda text: "".join('"' + '","'.join(line.split()) + '"\n' for line in text.splitlines()),
        lambda text: "".join(map(str.strip, text.splitlines())) + "\n",
    ],
)
def test_buddyinfo_whose_words_or_lines_are_put_otherwise(tmp_path: Path, form: Callable[[str], str]) -> None:
    """Scripts take the comma away, tables cut at each space, and chats join lines: it was refused."""
    text = (FOLDER / "buddyinfo.txt").read_text()
    plain, pasted = tmp_path / "plain.txt", tmp_path / "pasted.txt"
    plain.write_text(text)
    pasted.write_text(form(text))
    assert told(pasted) == told(plain)


@pytest.mark.parametrize(("name", "between"), [("meminfo", " "), ("meminfo", ""), ("vmstat", " ")])
def test_counters_in_one_line(tmp_path: Path, name: str, between: str) -> None:
    """As chats join lines, and as web pages' text is copied: without a space, MemFree was missing without a word."""
    text = (FOLDER / f"{name}.txt").read_text()
    plain, pasted = tmp_path / "plain.txt", tmp_path / "pasted.txt"
    plain.write_text(text)
    pasted.write_text(between.join(text.splitlines()) + "\n")
    assert told(pasted) == told(plain)


def test_zones_own_counters_of_free_pages_below_their_names(tmp_path: Path) -> None:
    """As grep leaves zoneinfo: they were left out without a word."""
    text = (FOLDER / "zoneinfo.txt").read_text()
    plain, pasted = tmp_path / "plain.txt", tmp_path / "pasted.txt"
    for path, field in ((plain, "pages free"), (pasted, "nr_free_pages")):
        lines = [line for line in text.splitlines() if line.startswith("Node") or field in line]
        path.write_text("\n".join(lines) + "\n")
    assert diagnose(pasted).zones == diagnose(plain).zones
    assert diagnose(pasted).free


def test_zoneinfo_without_commas(tmp_path: Path) -> None:
    text = (FOLDER / "zoneinfo.txt").read_text()
    plain, pasted = tmp_path / "plain.txt", tmp_path / "pasted.txt"
    plain.write_text(text)
    pasted.write_text(re.sub("(Node [0-9]+),", r"\1", text))
    assert told(pasted) == told(plain)


def test_meminfo_as_a_table_without_colons(tmp_path: Path) -> None:
    text = (FOLDER / "meminfo.txt").read_text()
    plain, pasted = tmp_path / "plain.txt", tmp_path / "pasted.txt"
    plain.write_text("".join(line for line in text.splitlines(keepends=True) if line.endswith(" kB\n")))
    pasted.write_text("".join(f"| {line.replace(':', ' |')} |\n" for line in plain.read_text().splitlines()))
    assert told(pasted) == told(plain)


@pytest.mark.parametrize(
    ("counts", "meminfo", "page_kib", "pageblock"),
    [
        ((*ORDERS, 0, 0), f"MemFree: {4 * FREE} kB\nHugepagesize: 1024 kB\nDirectMap1M: 4191232 kB\n", 4, 8),
        (ORDERS, f"MemFree: {4 * FREE} kB\nHugepagesize: 1024 kB\nDirectMap1M: 4191232 kB\n", 4, 8),
        (ORDERS, "MemTotal: 4191232 kB\nHugepagesize: 1024 kB\nDirectMap1M: 4191232 kB\n", 4, 8),
        ((*ORDERS, 0, 0), f"MemFree: {8 * FREE} kB\nHugepagesize: 1024 kB\nDirectMap1M: 4191232 kB\n", 4, 8),
        (ORDERS, f"MemFree: {64 * FREE} kB\nHugepagesize: 2048 kB\n", 64, 5),
        (ORDERS, f"MemFree: {64 * FREE} kB\nHugepagesize: 16384 kB\n", 64, 8),
        (ORDERS, "", 64, 5),
        ((*ORDERS, 1, 1), f"MemFree: {4 * FREE} kB\nHugepagesize: 1048576 kB\n", 4, 9),
        ((*ORDERS, 1, 1), "MemTotal: 4191232 kB\nHighTotal: 3264512 kB\nVmallocTotal: 245760 kB\n", 4, 10),
        ((*ORDERS, 1, 1), "MemTotal: 123752 kB\nVmallocTotal: 1040376 kB\nPercpu: 288 kB\n", 4, 10),
        ((*ORDERS, 1, 1), "MemTotal: 2066432 kB\nHighTotal: 1183304 kB\nHugepagesize: 4096 kB\n", 4, 10),
        ((*ORDERS, 1, 1), "MemTotal: 8066432 kB\nHighTotal: 7183304 kB\nHugepagesize: 2048 kB\n", 4, 9),
        ((*ORDERS, 1, 1), "MemTotal: 8066432 kB\nVmallocTotal: 34359738367 kB\n", 4, 9),
        ((*ORDERS, 1, 1, 1), "", 16, 11),
        ((*ORDERS, "\nNode 0, zone DMA", *ORDERS), "", 4, 8),
        ((*ORDERS, 1, 1), f"MemFree: {16 * FREE} kB\nDirectMap4k: 30720 kB\nDirectMap2M: 2066432 kB\n", 4, 9),
    ],
    ids=[
        "s390x",
        "s390x, order 8",
        "s390x, no sizes",
        "s390x, files of two moments",
        "ppc64, POWER9",
        "ppc64, older",
        "ppc64, no more",
        "x86, huge pages of 1 GiB",
        "32-bit ARM",
        "32-bit MIPS",
        "i686",
        "i686 with PAE",
        "x86-64 without huge pages, as of Xen",
        "arm64, 16 KiB pages",
        "s390x, no more",
        "x86 that counts as free what its zones don't have yet",
    ],
)
def test_pages_and_pageblocks_of_other_machines(
    tmp_path: Path, counts: tuple[int | str, ...], meminfo: str, page_kib: int, pageblock: int
) -> None:
    path = tmp_path / "text.txt"
    path.write_text(f"Node 0, zone   Normal {' '.join(map(str, counts))}\n{meminfo}")
    setting = diagnose(path).setting
    assert (setting.page_size >> 10, setting.pageblock_order, setting.order) == (page_kib, pageblock, pageblock)


@pytest.mark.parametrize("name", ["buddyinfo", "pagetypeinfo", "zoneinfo", "meminfo"])
def test_all_in_one_line_as_a_search_engine_keeps_it(tmp_path: Path, name: str) -> None:
    """It was refused, or only the first zone was read."""
    (path,) = FOLDER.glob(f"{name}*")
    flat = tmp_path / name
    flat.write_text(f"# cat /proc/{name} {' '.join(path.read_text().split())} Does that help?\n")
    found, expected = diagnose(flat), diagnose(path)
    assert (found.zones, found.total, found.free) == (expected.zones, expected.total, expected.free)
    assert found.used_by == expected.used_by
