"""A log says the same in whatever form somebody pastes it."""

import html
import json
import quopri
import re
import textwrap
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from pagehint.diagnosis.examine import diagnose
from pagehint.diagnosis.memory_report import parse_memory_reports
from pagehint.diagnosis.pasted import plain_lines
from pagehint.errors import InputError
from tests.diagnosis.conftest import DATA
from tests.diagnosis.samples import SAMPLES

Form = Callable[[str], str]


def _each(form: str) -> Form:
    return lambda text: "".join(f"{form.format(line)}\n" for line in text.splitlines())


# The counters of Mem-Info are one message of several lines.
def _messages(text: str) -> list[str]:
    return re.sub(r"\n(?= (?:active|unev|slab|mapped|sec|kernel_misc|free))", "\x00", text).split("\n")[:-1]


def _log(prefix: str, joint: str) -> Form:
    return lambda text: "".join(f"{prefix}{message}\n".replace("\x00", joint) for message in _messages(text))


def _records(form: Callable[[list[str]], object], apart: bool = False) -> Form:
    def write(text: str) -> str:
        messages = [message.replace("\x00", "\n") for message in _messages(text)]
        return "\n".join(json.dumps(form([each])) for each in messages) if apart else json.dumps(form(messages))

    return write


def _loki(lines: list[str]) -> object:
    return {"data": {"result": [{"values": [["1795844795", line] for line in lines]}]}}


def _broken(width: int) -> Form:
    return lambda text: "".join(
        f"{line[at : at + width]}\n" for line in text.splitlines() for at in range(0, max(len(line), 1), width)
    )


def _wrapped(width: int, quote: str = "") -> Form:
    return lambda text: "".join(
        f"{quote}{part}\n" for line in text.splitlines() for part in textwrap.wrap(line, width, break_long_words=False)
    )


FORMS: dict[str, Form] = {
    "dmesg -T": _each("[Sat Nov 28 00:47:11 2026] {}"),
    "dmesg -x": _each("kern  :warn  : [  532.610402] {}"),
    "dmesg -xT": _each("kern  :warn  : [Sat Nov 28 00:47:11 2026] {}"),
    "dmesg -H": lambda text: "[Nov28 00:47] " + text.replace("\n", "\n[  +0.000004] ").removesuffix("[  +0.000004] "),
    "dmesg -d": _each("[  532.610402 <    0.000004>] {}"),
    "dmesg --time-format iso": _each("2026-11-28T00:47:11,123456+00:00 {}"),
    "dmesg --raw": _log("<4>[  532.610402] ", "\n"),
    "with the task's number": _log("[  532.610402][ T4242] ", "\n"),
    "/dev/kmsg": _log("4,1200,532610402,-;", "\\x0a"),
    "/dev/kmsg with the task's number": _log("4,1200,532610402,-,caller=T4242;", "\n "),
    "journalctl": _log("Nov 28 00:47:11 web-1 kernel: ", "\n" + 31 * " "),
    "journalctl -o verbose": _each("    MESSAGE={}"),
    "journalctl -o json": _records(lambda lines: {"PRIORITY": "4", "MESSAGE": lines[0]}, apart=True),
    "journalctl -o json-seq": lambda text: "".join(
        f"\x1e{json.dumps({'MESSAGE': line})}\n" for line in text.splitlines()
    ),
    "journalctl -o short-monotonic": _each("[12345.678901] web-1 kernel: {}"),
    "journalctl -o short-delta": _each("[12345.678901 <    0.000012 >] web-1 kernel: {}"),
    "journalctl -o with-unit": _each("Mon 2026-01-05 09:12:33 UTC web-1 init.scope/kernel: {}"),
    "journalctl -o export": lambda text: "".join(
        f"__CURSOR=s=1;i=2\n_TRANSPORT=kernel\nMESSAGE={message}\n_SOURCE_MONOTONIC_TIMESTAMP=1\n\n".replace(
            "\x00", "\n"
        )
        for message in _messages(text)
    ),
    "journalctl -o json-sse": _each('data: {{"_TRANSPORT": "kernel", "MESSAGE": "{}"}}\n'),
    "klog": _each("2026-01-05T09:12:33.1Z stderr F I0105 09:12:33.123456       1 dmesg.go:42] [12345.678901] {}"),
    "Kata's debug log": _each(
        'time="2026-11-28T00:47:11.123456789Z" level=debug msg="reading guest console" console-url=/run/vc/vm/'
        f"{'0a1b2c3d' * 8}/console.sock name=containerd-shim-v2 pid=42 sandbox={'0a1b2c3d' * 8} source=virtcontainers "
        'subsystem=sandbox vmconsole="[  532.610402] {}"'
    ),
    "Loki's logcli": _each(
        "2026-11-28T00:47:11Z {{"
        + ", ".join(f'label_{name}="of a certain length"' for name in "abcdefgh")
        + "}} [  532.610402] {}"
    ),
    "Firecracker's console": _each("[anonymous-instance:fc_vcpu 0] [   12.345678] {}"),
    "netconsole": _each("2026-01-05 09:12:33 10.0.0.5 6.8.0,4,1234,12345678901,-,ncfrag=0/900;{}"),
    "pstore": lambda text: "Panic#1 Part1\n" + _each("<4>[12345.678901] {}")(text),
    "GitHub's actions": _each("2026-01-05T09:12:33.1234567Z \x1b[36;1m[   12.345678] {}\x1b[0m"),
    "a list in HTML": lambda text: "".join(
        f'<li class="li1"><div class="de1">[12345.678901] {html.escape(line)}</div></li>' for line in text.splitlines()
    ),
    "numbers on lines of their own": lambda text: "".join(
        f"{at}\n[12345.678901] {line}\n" for at, line in enumerate(text.splitlines(), 1)
    ),
    "wrapped at 78 with the task's number": lambda text: _wrapped(78)(_each("[12345.678901][    T0] {}")(text)),
    "spaces that don't break, and empty lines": lambda text: text.replace("\n", "\n\n").replace(" ", "\xa0"),
    "rsyslog": _log("Nov 28 00:47:11 web-1 kernel: [  532.610402] ", "#012 "),
    "rsyslog, all in one": lambda text: "Nov 28 00:47:11 web-1 kernel: " + text.replace("\n", "#012"),
    "a table": _each('2026-11-28 00:47:11,web-1,"{}"'),
    "a table with the time last": _each('"Nov 28 00:47:11 web-1 kernel: {}","2026-11-28T00:47:11.000+0000"'),
    "asciinema": lambda text: "".join(f"{json.dumps([0.01, 'o', line])}\n" for line in text.splitlines()),
    "wall": _each("Message from syslogd@web-1 at Nov 28 00:47:11 ...\n kernel:{}\n"),
    "fluentd": lambda text: "".join(
        f"2026-11-28 00:47:11.0 +0000 kmsg.x: {json.dumps({'priority': 4, 'sec': 12, 'msg': line})}\n"
        for line in text.splitlines()
    ),
    "MediaTek's console": _each("<4>[  532.610402]  (0)[123:foo]{}"),
    "Qualcomm's console": _each("[  532.610402] [T601234] foo: {}"),
    "logcat, brief": _each("W/kernel  (    0): {}"),
    "a console's carriage returns": lambda text: text.replace("\n", "\r\r\n"),
    "a patch": _each("+[  532.610402] {}"),
    "tabs": _each("2026-11-28 00:47:11\tweb-1\t{}"),
    "a string in a shell": lambda text: "$'" + text.replace("\n", "\\n") + "'",
    "a string in Go": lambda text: f"time=1 level=info msg={json.dumps(text)}\n",
    "a string in Python": repr,
    "a console that was cleared": lambda text: f"\x1bc\x1b(B\x1b>{text}",
    "level and msg": _each('time="2026-11-28T00:47:11Z" level=warning msg="{}"'),
    "Kubernetes": _each("2026-11-28T00:47:11.123456789Z stdout F [  532.610402] {}"),
    "Docker": _records(lambda lines: {"log": lines[0] + "\n", "stream": "stdout"}, apart=True),
    "Loki": _records(_loki),
    "Loki, the latest first": _records(lambda lines: _loki(lines[::-1])),
    "the latest first": lambda text: "\n".join(text.splitlines()[::-1]) + "\n",
    "Google Cloud's logs": _records(
        lambda lines: [{"insertId": "a", "jsonPayload": {"message": line}, "severity": "INFO"} for line in lines]
    ),
    "CDATA": lambda text: f"<out><![CDATA[{text}]]></out>\n",
    "Elasticsearch": _records(lambda lines: {"hits": [{"_source": {"host": "a", "message": line}} for line in lines]}),
    "Ansible": lambda text: json.dumps({"stdout": text, "stdout_lines": text.splitlines()}),
    "YAML": lambda text: "log: |\n" + textwrap.indent(text, "  "),
    "a string": json.dumps,
    "a list in Python": lambda text: repr(text.splitlines()),
    "one line": lambda text: " ".join(f"[  532.610402] {line}" for line in text.splitlines()),
    "line breaks of Windows": lambda text: text.replace("\n", "\r\n"),
    "line breaks of a serial console": lambda text: text.replace("\n", "\r\r\n"),
    "line breaks that an editor shows": lambda text: text.replace("\n", "^M\n"),
    "line separators": lambda text: text.replace("\n", "\u2028"),
    "spaces without width": lambda text: text.replace("\n", "\u200b\n"),
    "spaces at the ends": _each("{:250}"),
    "colours": _each("\x1b[32m[  532.610402]\x1b[0m \x1b[33m{}\x1b[0m"),
    "colours whose escapes were lost": _each("[32m[  532.610402][0m [33m{}[0m"),
    "colours whose escapes rsyslog writes out": _each("Nov 28 00:47:11 web-1 kernel: #033[33m[  532.610402] {}#033[0m"),
    "quoted": _each("> {}"),
    "quoted twice": _each("> > {}"),
    "quoted, as HTML": _each("&gt; {}"),
    "HTML": lambda text: f"<pre>{html.escape(text)}</pre>",
    "HTML in one line": lambda text: f"<p>{'<br/>'.join(html.escape(text).splitlines())}</p>",
    "XML": _each('<entry time="1"><msg>{}</msg></entry>'),
    "HTML with cells": _each("<tr><td>12.345678</td><td>{}</td></tr>"),
    "HTML with spans": _each('<div class="line"><span class="time">[  532.610402]</span> <span>{}</span></div>'),
    "Jira": lambda text: f"{{code:title=dmesg}}\n{text}{{code}}",
    "Jira's colours": _each("{{color:red}}[  532.610402] {}{{color}}"),
    "soft hyphens": lambda text: text.replace("mal", "\u00admal"),
    "marks of a text's direction": _each("\u200e{}\u202c"),
    "a forum": lambda text: f"[CODE]{text.replace('Mem-Info:', '[B]Mem-Info:[/B]')}[/CODE]\n",
    "a forum's quotation": lambda text: f'[quote="joe, post:3, topic:17"]\n{text}[/quote]\n',
    "Markdown that escapes": lambda text: text.replace("_", r"\_").replace("*", r"\*").replace("[", r"\["),
    "zeros that a crash left": lambda text: text.replace("Mem-Info:\n", f"Mem-Info:\n{chr(0) * 400}\n"),
    "Slack": lambda text: f"```{text}```",
    "numbered": lambda text: "".join(f"{at:6}\t{line}\n" for at, line in enumerate(text.splitlines(), 1)),
    "grep -n": lambda text: "".join(f"messages:{at}:{line}\n" for at, line in enumerate(text.splitlines(), 1)),
    "a diff": _each("+{}"),
    "quoted-printable": lambda text: quopri.encodestring(text.encode()).decode(),
    "quoted-printable, quoted": lambda text: _each("> {}")(quopri.encodestring(text.encode()).decode()),
    "quoted-printable, lines joined": lambda text: text.replace("=", "=3D"),
    "as East Asian keyboards write": lambda text: text.replace(", ", "，").replace("(", "（").replace(")", "）"),  # noqa: RUF001
    "pieces apart, as the journal keeps them": lambda text: re.sub(
        r"(lowmem_reserve\[\]:|(?<=\d)(?= \d+ \d|\*)|B(?= \()|(?<=\)))(?!\*)\s+(?=\d|\(|= )", r"\1\n ", text
    ),
    "wrapped at 72": _wrapped(72),
    "wrapped at 76 and quoted": _wrapped(76, "> "),
    "wrapped at 40": _wrapped(40),
    "broken at 40": _broken(40),
    "broken at 60": _broken(60),
    "broken at 80": _broken(80),
    "broken at 100": _broken(100),
    "broken at 76 and quoted": lambda text: _each("> > {}")(_broken(76)(text)),
    "syslog, broken at 60": lambda text: _broken(60)(_each("Nov 28 00:47:11 web-1 kernel: [  532.610402] {}")(text)),
    "syslog, broken at 90 and quoted": lambda text: _each("> {}")(
        _broken(90)(_each("2026-11-28T00:47:11.123456+01:00 web-1 kernel: {}")(text))
    ),
}


def _told(path: Path) -> list[dict[str, object]]:
    return [failure.to_dict() for failure in diagnose(path).failures]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["5.10, a failure and the OOM killer", "6.12, CMA", "6.18", "arm64, 64 KiB pages"])
def test_a_log_says_the_same(tmp_path: Path, name: str, form: str) -> None:
    plain, pasted = tmp_path / "plain.txt", tmp_path / "pasted.txt"
    plain.write_text(SAMPLES[name])
    pasted.write_text(FORMS[form](SAMPLES[name]))
    assert _told(pasted) == _told(plain)


@pytest.mark.parametrize("form", ["a table with the time last", "asciinema", "journalctl", "Docker"])
def test_a_lines_last_figure_is_kept(form: str) -> None:
    assert parse_memory_reports(plain_lines(FORMS[form](SAMPLES["6.12, CMA"]))) == parse_memory_reports(
        plain_lines(SAMPLES["6.12, CMA"])
    )


@pytest.mark.parametrize("width", [60, 64, 72, 80, 90, 120])
@pytest.mark.parametrize("prefix", ["", "[126762.492949] ", "Nov 28 00:47:11 web-1 kernel: [126762.492949] "])
@pytest.mark.parametrize("quote", ["", "> ", ">> "])
def test_no_figure_is_broken_with_its_line(width: int, prefix: str, quote: str) -> None:
    """Of 33526726 pages of RAM 26 were read, and of kernel 6.18.0 18.0."""
    text = SAMPLES["6.18"].replace("500000 pages", "33526726 pages").replace("slab_un", "slab_unreclaimable:9 slab_un")
    broken = _each(f"{quote}{{}}")(_broken(width)(_each(f"{prefix}{{}}")(text)))
    assert parse_memory_reports(plain_lines(broken)) == parse_memory_reports(plain_lines(text))


@pytest.mark.parametrize("form", ["without a prefix", "behind the zone's figures"])
def test_what_a_zone_keeps_stands_without_a_prefix_or_behind_its_figures(form: str) -> None:
    """As kernels of old print it, and as commit messages have it: the zone's line was lost, without a word."""
    text = SAMPLES["6.12, CMA"].replace("Node 0 DMA", "DMA")
    if form == "without a prefix":
        pasted = _each("[   54.401851] {}")(text).replace("[   54.401851] lowmem", "lowmem")
    else:
        pasted = text.replace("\nlowmem", " lowmem")
    assert parse_memory_reports(plain_lines(pasted)) == parse_memory_reports(plain_lines(text))


def test_utf_16_that_does_not_say_so(tmp_path: Path) -> None:
    plain, pasted = tmp_path / "plain.txt", tmp_path / "pasted.txt"
    plain.write_text(SAMPLES["6.18"])
    pasted.write_bytes(SAMPLES["6.18"].encode("utf-16-le"))
    assert _told(pasted) == _told(plain)


def test_two_tasks_that_print_in_turns(tmp_path: Path) -> None:
    texts = [SAMPLES["6.18"].splitlines(), SAMPLES["6.12, CMA"].splitlines()]
    one, both = tmp_path / "one.txt", tmp_path / "both.txt"
    one.write_text("".join("\n".join(lines) + "\n" for lines in texts))
    turns = [
        f"[  532.610402][    T{task}] {texts[task][at]}\n"
        for at in range(max(map(len, texts)))
        for task in (0, 1)
        if at < len(texts[task])
    ]
    both.write_text("".join(turns))
    assert _told(both) == _told(one)


def _at(task: int, time: float, text: str) -> list[str]:
    return [f"[{time + at / 1000:12.6f}][{f'T{task}':>6}] {line}" for at, line in enumerate(text.splitlines())]


def _with_free(pages: int, name: str = "6.18") -> str:
    return SAMPLES[name].replace("free:16040 ", f"free:{pages} ")


def _free_in_turn(lines: list[str]) -> list[int]:
    return [report.pages["free"] for report in parse_memory_reports(plain_lines("\n".join(lines)))[0]]


@pytest.mark.parametrize("name", ["6.18", "6.12, CMA"])
@pytest.mark.parametrize("head", [True, False])
def test_reports_of_tasks_in_turns_stay_in_their_order(name: str, head: bool) -> None:
    frees = [1000, 2000, 3000, 4000, 500, 6000]
    lines = ["[    0.000001][    T0] Linux version 6.18.0"]
    for at, free in enumerate(frees, 1):
        text = _with_free(free, name)
        # A block alone, as after SysRq m.
        lines += _at(10 if at % 2 else 20, 100 * at, text if head else text[text.index("Mem-Info") :])
    assert _free_in_turn(lines) == frees
    assert _free_in_turn(lines[::-1]) == frees
    assert _free_in_turn([*lines, *SAMPLES["6.1, two nodes"].splitlines()]) == [*frees, 16040]


def test_tasks_that_print_in_turns_and_again() -> None:
    rounds = [
        _at(10, 100, _with_free(1)) + _at(20, 100.0005, _with_free(2)),
        _at(20, 300, _with_free(3)) + _at(10, 300.0005, _with_free(4)),
    ]
    lines = [line for each in rounds for line in sorted(each, key=lambda line: float(line[1:13]))]
    assert _free_in_turn(lines) == [1, 2, 3, 4]
    assert _free_in_turn(lines[::-1]) == [1, 2, 3, 4]
    reports, _ = parse_memory_reports(plain_lines("\n".join(lines)))
    assert all(report.order == 9 and len(report.zones) == 1 for report in reports)


@pytest.mark.parametrize("width", [56, 60, 72])
def test_a_report_whose_head_a_mail_broke_is_one(width: int) -> None:
    lines = _at(10, 100, _with_free(1)) + _at(20, 200, _with_free(2)) + _at(10, 300, _with_free(3))
    wrapped = [part for line in lines for part in textwrap.wrap(line, width, break_long_words=False)]
    reports, _ = parse_memory_reports(plain_lines("\n".join(wrapped)))
    assert [(report.kind, report.pages["free"]) for report in reports] == [("failure", at) for at in (1, 2, 3)]


@pytest.mark.parametrize("before", ["", "> ", "&gt; ", "{:6}\t", "- ", "+"])
def test_rows_of_one_length_are_no_broken_line(tmp_path: Path, before: str) -> None:
    rows = [f"Node {node}, zone {zone:>8}{'      3' * 11}" for node in range(6) for zone in ("DMA", "Normal")]
    path = tmp_path / "buddyinfo.txt"
    path.write_text("".join(f"{before.format(at)}{row}\n" for at, row in enumerate(rows, 1)) + "root@web-1:~# exit\n")
    found = diagnose(path)
    assert [zone.counts for zone in found.zones] == [[3] * 11] * 12
    assert not found.warnings


def test_what_a_lower_zone_keeps_is_not_taken_for_nothing(tmp_path: Path) -> None:
    head, _, rest = SAMPLES["6.18"].partition("Node 0 Normal free")
    small = f"Node 0 DMA free{rest.partition('Node 0 hugepages')[0]}".replace("Node 0 Normal:", "Node 0 DMA:")
    text = f"{head}{small.replace('0*4096kB = 64160kB', '4*4096kB = 80544kB')}Node 0 Normal free{rest}"
    path = tmp_path / "log.txt"
    found = []
    for log in (text, re.sub(r"lowmem_reserve.*\n", "", text)):
        path.write_text(log)
        (failure,) = diagnose(path).failures
        found.append([(verdict.zone, verdict.reason) for verdict in failure.verdicts])
    assert found == [
        [("Normal", "fragmentation"), ("DMA", "none")],
        [("Normal", "fragmentation"), ("DMA", "unknown")],
    ]


@pytest.mark.parametrize(
    "prefix",
    [
        "Nov 28 00:47:11 {} kernel: ",
        "2026-11-28T00:47:11.123456+01:00 {} kernel: [  532.610402] ",
        "{}: [  532.610402] ",
        "{}   | [  532.610402] ",
    ],
)
def test_a_log_of_several_machines_is_taken_apart(tmp_path: Path, prefix: str) -> None:
    """Their lines were taken for one report, of neither."""
    texts = [SAMPLES["6.18"].splitlines(), SAMPLES["6.12, CMA"].splitlines()]
    one, both = tmp_path / "one.txt", tmp_path / "both.txt"
    one.write_text("".join("\n".join(lines) + "\n" for lines in texts))
    both.write_text(
        "".join(
            f"{prefix.format(name)}{lines[at]}\n"
            for at in range(max(map(len, texts)))
            for name, lines in zip(("web-1", "db-2"), texts, strict=True)
            if at < len(lines)
        )
    )
    assert _told(both) == _told(one)
    assert any("a log of several machines (web-1, db-2)" in line for line in diagnose(both).warnings)
    # A machine gets its name while it boots.
    named = _each(prefix.format("web-1") + "{}")(SAMPLES["6.18"])
    one.write_text(f"{prefix.format('localhost')}Linux version 6.18.0 (gcc) #1\n{named}")
    assert not any("several machines" in line for line in diagnose(one).warnings)


def test_a_zone_that_is_there_twice_in_a_report_is_said(tmp_path: Path) -> None:
    """Of two machines' reports in turns, without their names, figures of both were told."""
    path = tmp_path / "log.txt"
    one = SAMPLES["6.18"]
    for other, is_said in ((one.replace("min:40000kB", "min:41000kB"), True), (one, False)):
        pairs = zip(one.splitlines(), other.splitlines(), strict=True)
        path.write_text("".join(f"{here}\n{there}\n" for here, there in pairs))
        said = [line for line in diagnose(path).warnings if "lines of several reports are mixed, and the first" in line]
        assert bool(said) == is_said


def test_a_report_that_lacks_a_zone_is_said_to(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    text = SAMPLES["6.1, two nodes"].replace("free:16040", "free:32080")
    path.write_text(text)
    assert not any("are missing" in line for line in diagnose(path).warnings)
    path.write_text("".join(f"{line}\n" for line in text.splitlines() if not line.startswith("Node 1 Normal")))
    found = diagnose(path)
    assert "the log's last report counts 125 MiB free, its zones have 62: lines of several" in "".join(found.warnings)
    assert found.to_dict()["free_mib"] == [62.656, 125.312]


def test_a_zone_of_which_only_the_blocks_are_not_known_came_closest(tmp_path: Path) -> None:
    """Its line was cut off, and one that was short was said to be the reason."""
    low = SAMPLES["6.18"].partition("Node 0 Normal free")[2].partition("Node 0 hugepages")[0]
    low = f"Node 0 DMA32 free{low}".replace("Node 0 Normal:", "Node 0 DMA32:").replace("64160kB", "20000kB")
    text = SAMPLES["6.18"].replace("Node 0 Normal free", f"{low}Node 0 Normal free")
    path = tmp_path / "log.txt"
    found = []
    for width in (4000, 110):
        path.write_text("".join(f"{line[:width]}\n" for line in text.splitlines()))
        found.append(diagnose(path).failures[0].reason)
    assert found == ["fragmentation", "unknown"]


@pytest.mark.parametrize("path", sorted((DATA / "tools" / "read").iterdir()), ids=lambda path: path.stem)
def test_no_form_makes_other_figures_of_what_tools_print(tmp_path: Path, path: Path) -> None:
    """What a form leaves of a text may be too little. Parts of rows were read as rows, and other tables than sar's of
    memory; of numbers that a terminal broke, their beginnings.
    """
    text = path.read_text()
    known = diagnose(path)
    pasted = tmp_path / "pasted.txt"
    # Turned round, what stands below "nocache" is below "real".
    forms = FORMS if "yaml" not in path.name else {form: FORMS[form] for form in FORMS if "latest first" not in form}
    for form, pass_on in forms.items():
        pasted.write_text(pass_on(text))
        with suppress(InputError):
            found = diagnose(pasted)
            assert found.free is None or found.free == pytest.approx(known.free, abs=1024), form
            assert found.total is None or found.total == known.total, form
