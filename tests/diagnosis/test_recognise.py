"""What is given to the doctor is found by what is in it, whole or cut off, in files and pipes."""

import contextlib
import io
import json
import tracemalloc
from pathlib import Path

import pytest
from rich.console import Console

from pagehint.diagnosis import recognise
from pagehint.diagnosis.examine import diagnose
from pagehint.errors import InputError
from pagehint.report.doctor import print_doctor
from pagehint.report.doctor_words import pressure_line, subject
from tests.diagnosis.conftest import DATA
from tests.diagnosis.samples import SAMPLES
from tests.diagnosis.test_repeats import FREE

PASTED = sorted((Path(__file__).parent / "data" / "pasted").iterdir())
BUDDYINFO = "Node 0, zone    DMA32    100     50     25     12      6      3      1      1      1      0    200\n"


@pytest.mark.parametrize("path", PASTED, ids=lambda path: path.stem)
def test_cut_off_anywhere(tmp_path, path):
    data = path.read_bytes()
    cut = tmp_path / "cut"
    told = 0
    for end in range(0, len(data), 31):
        cut.write_bytes(data[:end])
        with contextlib.suppress(InputError):
            told += bool(diagnose([cut]).to_dict())
    assert told


def test_memory_pressure_and_pins_are_told_in_words(tmp_path: Path) -> None:
    path = tmp_path / "pasted"
    path.write_text(
        "MemTotal: 1000000 kB\nMemFree: 500000 kB\nnr_foll_pin_acquired 600\nnr_foll_pin_released 88\n"
        "some avg10=1.50 avg60=2.00 avg300=0.25 total=123\nfull avg10=0.00 avg60=0.50 avg300=0.00 total=5\n"
    )
    found = diagnose(path)
    line = pressure_line(found)
    assert line is not None
    assert "waited for memory 1.5 % of the last 10 s, 2 % of the last minute" in line
    assert "all of them 0.5 %" in line
    assert "0.25 % of the last 5 minutes" in line
    assert found.to_dict()["pressure"]["some"]["avg300"] == 0.25
    assert any("up to 2.0 MiB" in line for line in found.warnings)
    path.write_text("MemTotal: 1 kB\nMemFree: 1 kB\nsome avg10=0.00 avg60=0.00 avg300=0.00 total=9\n")
    assert "nobody waited" in (pressure_line(diagnose(path)) or "")


def test_a_cgroups_report_alone_tells_nothing_of_the_machine(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    path.write_text(
        "java invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=984\n"
        "CPU: 5 PID: 31 Comm: java Not tainted 6.6.58-flatcar #1\n"
        "memory: usage 2097152kB, limit 2097152kB, failcnt 5512\n"
    )
    found = diagnose(path)
    text = io.StringIO()
    print_doctor(Console(file=text, width=200), found)
    said = text.getvalue()
    assert not found.advice
    assert found.evidence.kernel == "6.6.58-flatcar"
    assert "doesn't tell how much of the machine's memory is free" in said
    assert "What would come back" not in said
    assert "Free memory, by" not in said


@pytest.mark.parametrize(("kernel", "says"), [("5.10.0", None), ("6.1.0", "after the driver"), ("6.12.9", "pages")])
def test_an_order_is_advised_where_the_kernel_takes_one(tmp_path: Path, kernel: str, says: str | None) -> None:
    path = tmp_path / "buddyinfo.txt"
    path.write_text(f"Linux version {kernel} (gcc) #1\nNode 0, zone Normal{' 90000' * 9} 100 100\n")
    risks = [each.risk for each in diagnose(path).advice if "page_reporting_order" in each.command]
    assert bool(risks) == (says is not None)
    assert all(risk.endswith(says) for risk in risks if says == "pages")
    assert all("after the driver" in risk for risk in risks if says != "pages")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("count: 1", "count: 999999999999"),
        ("spanned  4095", f"spanned  {1 << 52}"),
        ("free     2", "free     -2"),
        ("start_pfn:           1", f"start_pfn:           {1 << 40}"),
    ],
)
def test_a_zone_that_can_not_be_is_refused(tmp_path: Path, field: str, value: str) -> None:
    zone = (
        "Node 0, zone      DMA\n  pages free     2\n        min      1\n        spanned  4095\n        present  3998\n"
        "        managed  3840\n        protection: (0, 0)\n  pagesets\n    cpu: 0\n              count: 1\n"
        "              high:  4\n              batch: 1\n  start_pfn:           1\n"
    )
    (tmp_path / "zoneinfo").write_text(zone)
    assert diagnose(tmp_path / "zoneinfo").zones
    assert field in zone
    (tmp_path / "zoneinfo").write_text(zone.replace(field, value))
    with pytest.raises(InputError, match=rf"zoneinfo: line \d+: .*({value.split()[-1]}' is no count|no machine has)"):
        diagnose(tmp_path / "zoneinfo")


@pytest.mark.parametrize(
    ("counts", "why"),
    [
        (f"{10**18}{' 0' * 10}", "10{18} free blocks of order 0: no machine"),
        ("1 " * 30, "30 counts: no kernel has blocks"),
    ],
)
def test_what_no_machine_has_is_refused(tmp_path: Path, counts: str, why: str) -> None:
    for row in (f"Node 0, zone Normal {counts}\n", f"Node 0, zone Normal, type Movable {counts}\n"):
        (tmp_path / "pasted").write_text(row)
        with pytest.raises(InputError, match=rf"pasted: line \d: {why}"):
            diagnose(tmp_path / "pasted")


@pytest.mark.parametrize(
    ("line", "whose", "command"),
    [
        ("[    0.000000] Hypervisor detected: Xen PV", "Xen", "xl mem-set"),
        ("Hardware name: Xen HVM domU, BIOS 4.17.4 01/01/2024", "Xen", "xl mem-set"),
        ("[    0.000000] Booting paravirtualized kernel on Xen PVH", "Xen", "xl mem-set"),
        (
            "[    0.000000] DMI: Apple Inc. Apple Virtualization Generic Platform, BIOS 2075.1",
            "Apple",
            "balloon device",
        ),
        ("[    0.000000] Hypervisor detected: VMware", "VMware", "-mem.limit="),
        (
            "Hardware name: VMware, Inc. VMware Virtual Platform/440BX Desktop Reference Platform, BIOS 6.00",
            "VMware",
            "govc vm.change",
        ),
        ("[    0.000000] DMI: Amazon EC2 m5.large/, BIOS 1.0 10/16/2017", "EC2", "aws ec2"),
        (
            "[    0.000000] DMI: Xen HVM domU, BIOS 4.11.amazon\n[    0.000000] Hypervisor detected: Xen HVM",
            "EC2",
            "aws ec2",
        ),
        ("[    0.000000] Hypervisor detected: KVM", None, None),
    ],
)
def test_hypervisors_without_reporting_are_told_from_the_log(
    tmp_path: Path, line: str, whose: str | None, command: str | None
) -> None:
    (tmp_path / "log").write_text(f"{line}\n{BUDDYINFO}")
    diagnosis = diagnose(tmp_path / "log")
    found = diagnosis.to_dict()
    assert found["hypervisor"] == whose
    assert ("a guest of " in subject(diagnosis)) == (whose is not None)
    assert found["reporting"]["on"] is (None if whose is None else False)
    advice = [each["command"] for each in found["advice"] if "let the host" in each["what"]]
    assert len(advice) == (whose is not None)
    assert command is None or command in advice[0]


@pytest.mark.parametrize(
    ("orders", "kept"),
    [
        ([11, 9, 9], ["DMA"]),
        ([11, 10, 10, 10, 10], ["DMA"]),
        ([9, 11, 10], ["DMA32"]),
        ([11, 11, 12], ["DMA", "DMA32"]),
        ([14, 14, 13], ["DMA", "DMA32"]),
        ([9, 9], ["DMA", "Normal"]),
    ],
)
def test_rows_cut_off_are_left_out_however_many(tmp_path: Path, orders: list[int], kept: list[str]) -> None:
    names = ["DMA", "DMA32", "Normal", "Movable", "Device"][: len(orders)] if len(orders) > 2 else ["DMA", "Normal"]
    rows = [f"Node 0, zone {name}{' 3' * columns}\n" for name, columns in zip(names, orders, strict=True)]
    (tmp_path / "buddyinfo").write_text("".join(rows))
    found = diagnose(tmp_path / "buddyinfo")
    assert [name for _, name in found.evidence.buddy] == kept
    left_out = [line for line in found.warnings if "is cut off or broken, and left out" in line]
    assert [line.split()[-1] for line in left_out] == [name for name in names if name not in kept]


@pytest.mark.parametrize("width", range(60, 105))
def test_rows_that_a_window_cut_are_left_out_or_whole(width: int, tmp_path: Path) -> None:
    """From 82 columns on less was said to be free, or pages to be of 64 KiB; of 1234 blocks of the largest, 12."""
    counts = [0] * 8 + [1, 1, 2], [1234, 987, 654, 321, 210, 100, 50, 25, 12, 6, 400], [12345, *range(9), 1234]
    rows = [
        f"Node 0, zone {zone:>8} {''.join(f'{count:6} ' for count in of_zone)}"[:width] + "\n"
        for zone, of_zone in zip(("DMA", "DMA32", "Normal"), counts, strict=True)
    ]
    path = tmp_path / "buddyinfo"
    path.write_text("".join(rows))
    if width < 98:
        with pytest.raises(InputError, match=r"cut off.* and left out"):
            diagnose(path)
    else:
        assert [zone.counts for zone in diagnose(path).zones] == list(counts)


@pytest.mark.parametrize("width", range(80, 125, 4))
def test_rows_of_types_that_a_window_cut_are_left_out_or_whole(width: int, tmp_path: Path) -> None:
    text = (DATA / "compile612" / "pagetypeinfo.txt").read_text()
    path = tmp_path / "pagetypeinfo"
    path.write_text(text)
    free = diagnose(path).free
    path.write_text("".join(f"{line[:width]}\n" for line in text.splitlines()))
    found = diagnose(path)
    assert (found.free, found.setting.page_size) == (free if width > 119 else None, 4096)
    assert width > 119 or any("pagetypeinfo are cut off" in line for line in found.warnings)


_ROUTINE = "[{:8d}.123456] e1000e 0000:00:19.0 eth0: link is up, full duplex, memory page free to swap, rx and tx\n"


@pytest.mark.parametrize("name", SAMPLES)
def test_what_a_long_log_says_besides_changes_nothing(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A log of 95 MB took half a minute, line by line: what is far from all that tells of memory is left out."""
    read: list[int] = []
    plain = recognise.plain_lines

    def counted(text: str) -> list[str]:
        read.append(text.count("\n"))
        return plain(text)

    monkeypatch.setattr(recognise, "plain_lines", counted)
    routine = "".join(_ROUTINE.format(k) for k in range(15_000))
    alone, within = tmp_path / "alone", tmp_path / "within"
    around = routine[-400:]
    alone.write_text(around + SAMPLES[name] + "\n" + around)
    within.write_text(routine + SAMPLES[name] + "\n" + routine)
    found = [diagnose([path]).to_dict() for path in (alone, within)]
    assert str(found[0]).replace(str(alone), "") == str(found[1]).replace(str(within), "")
    assert read[1] <= read[0] + 200


def test_rows_that_are_many_times_there_are_said_once(tmp_path: Path) -> None:
    (tmp_path / "b").write_text(
        "".join(f"Node 0, zone   Normal 1 2 3 4 5 6 7 8 9 10 {last}\n" for last in range(1000))
        + "Node 0, zone   Normal 1\n" * 9
    )
    warnings = diagnose([tmp_path / "b"]).to_dict()["warnings"]
    assert [("more than once" in line, "cut off" in line) for line in warnings if "Normal" in line] == [
        (False, True),
        (True, False),
    ]


def test_a_folder_as_sos_makes_it(tmp_path: Path) -> None:
    report = tmp_path / "sosreport"
    for name in ("buddyinfo", "zoneinfo", "meminfo"):
        (report / "proc").mkdir(parents=True, exist_ok=True)
        (report / "proc" / name).write_text((DATA / "compile612" / f"{name}.txt").read_text())
    (report / "proc/pagetypeinfo").write_text("")
    (report / "sos_commands/kernel").mkdir(parents=True)
    (report / "sos_commands/kernel/dmesg").write_text("[    0.000000] Linux version 6.12.9 (gcc)\n")
    found = diagnose(report)
    assert [what for _, what in found.evidence.sources] == ["buddyinfo", "zoneinfo", "meminfo", "the kernel's version"]
    assert found.evidence.kernel == "6.12.9"
    assert found.zones == diagnose([report / "proc/buddyinfo", report / "proc/zoneinfo"]).zones
    with pytest.raises(InputError, match=r"sos_commands: a folder in which there is no proc/buddyinfo, .*"):
        diagnose(report / "sos_commands")
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty/meminfo").write_text("")
    with pytest.raises(InputError, match="no files that tell of memory"):
        diagnose(tmp_path / "empty")


@pytest.mark.parametrize(
    ("total", "free"),
    [
        ("16201728 kB", "3145728 kB"),
        ("16201728 KiB", "3145728 KiB"),
        ("16,201,728 kB", "3,145,728 kB"),
        ("16.201.728 kB", "3.145.728 kB"),
        ("16 201 728 kB", "3 145 728 kB"),
        ("16'201'728 kB", "3'145'728 kB"),
        ("15822 MB", "3072 MB"),
        ("15,822 MB", "3,072 MB"),
        ("15822.0 MiB", "3072.0 MiB"),
        ("15.45 GB", "3.0 GB"),
        ("15.4511 GB", "3.00000 GB"),  # awk's
        ("16590569472 B", "3221225472 bytes"),
    ],
)
def test_meminfo_in_units_that_somebody_made_handy(tmp_path: Path, total: str, free: str) -> None:
    """Of MB it was said that they are KiB, and of figures with spaces the first three digits were read."""
    path = tmp_path / "meminfo.txt"
    path.write_text(f"MemTotal: {total}\nMemFree: {free}\nDirty: 8 kB\n")
    found = diagnose(path)
    assert found.total == pytest.approx(15822 << 20, rel=0.001)
    assert found.free == 3 << 30
    path.write_text(f"MemTotal={total}\nMemFree={free}\n")
    assert diagnose(path).free == 3 << 30


def test_rows_of_buddyinfo_with_thousands_or_as_a_table_or_without_a_word(tmp_path: Path) -> None:
    path = tmp_path / "buddyinfo.txt"
    counts = [1500, 400, 100, 7, 0, 0, 0, 0, 0, 0, 12]
    for row in (
        "Node 0, zone   Normal  1,500    400    100      7      0      0      0      0      0      0     12",
        "|Node 0, zone|Normal|1500|400|100|7|0|0|0|0|0|0|12|",
        "Node 0 Normal 1500 400 100 7 0 0 0 0 0 0 12",
    ):
        path.write_text(f"{row}\n")
        (zone,) = diagnose(path).zones
        assert zone.counts == counts


def test_a_zones_row_that_is_not_understood_is_named(tmp_path: Path) -> None:
    """It was left out without a word."""
    path = tmp_path / "buddyinfo.txt"
    row = f"Node 0, zone   Normal{'  100' * 11}\n"
    path.write_text(row + row.replace("Normal", "DMA32").replace("100", "1x0", 1))
    found = diagnose(path)
    assert [zone.name for zone in found.zones] == ["Normal"]
    assert any("a zone's row is not understood, and left out: Node 0, zone   DMA32" in line for line in found.warnings)


def test_a_zone_that_only_a_text_as_it_is_names_is_said(tmp_path: Path) -> None:
    """A form that nobody knows took its row apart: what other zones have was all that is free, without a word."""
    path = tmp_path / "buddyinfo.txt"
    row = f"Node 0, zone   Normal{'  100' * 11}\n"
    for other, is_said in ((row.replace("Normal", "DMA32"), False), ("<%Node 0|zone|DMA32" + "|%%|100" * 11, True)):
        path.write_text(row + other)
        said = [line for line in diagnose(path).warnings if "names zones whose rows are not understood" in line]
        assert bool(said) == is_said
        assert all(line.endswith("left out: zone DMA32 of node 0") for line in said)


@pytest.mark.parametrize("event", ["kmem:mm_page_alloc: page=0x1 pfn=0x1", "mm_page_free: page=1 pfn=1 order=0"])
def test_a_tracers_text_is_for_import(event: str, tmp_path: Path) -> None:
    """It was said to hold nothing that tells of free memory."""
    text = tmp_path / "my trace.txt"
    text.write_text(f"# tracer: nop\n     a-1  [000] .....  1.000000: {event} migratetype=0\n")
    with pytest.raises(InputError, match=r"page events: `pagehint import '.*/my trace.txt' -o NAME.pagetrace` makes"):
        diagnose([text])


def test_of_much_that_may_tell_the_start_and_the_end_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """20 MB of short lines, no two of a kind, took 17 s."""
    read: list[int] = []
    plain = recognise.plain_lines

    def counted(text: str) -> list[str]:
        read.append(len(text))
        return plain(text)

    monkeypatch.setattr(recognise, "plain_lines", counted)
    words = ["".join(chr(97 + number // 26**place % 26) for place in range(4)) for number in range(26**4)]
    lines = "".join(f"{word} takes: 12345 kB\n" for word in words)
    path = tmp_path / "text.txt"
    path.write_text("MemTotal: 1048576 kB\nMemFree: 524288 kB\n" + lines + FREE)
    found = recognise.read_files([path])
    assert found.meminfo == {"MemTotal": 1 << 20, "MemFree": 1 << 19}
    assert found.figures["free"] == 17008388 << 10
    assert [warning for warning in found.warnings if "8 MiB of it may tell" in warning]
    assert read[0] <= 8 << 20 < len(lines)


def test_of_numbers_in_json_little_is_held(tmp_path: Path) -> None:
    """psutil's figures of a month, 66 MB, took six times as much and 18 s."""
    moment = {"virtual_memory": {"total": 16 << 30, "available": 9 << 30, "percent": 43.7, "buffers": 1 << 20}}
    moments = [moment | {"at": at, "swap": {"total": 0, "free": 0}} for at in range(20_000)]
    moments[-1] = {"virtual_memory": moment["virtual_memory"] | {"free": 5 << 30}}
    path = tmp_path / "text.json"
    path.write_text(json.dumps(moments))
    tracemalloc.start()
    try:
        found = recognise.read_files([path])
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found.figures["free"] == 5 << 30
    assert most < 4 * path.stat().st_size


@pytest.mark.parametrize("name", ["compile510", "compile612", "compile618", "press61"])
def test_vmstat_behind_zoneinfo_is_no_zones(name: str, tmp_path: Path) -> None:
    """Its counters were the last zone's, which has no pages, and all of them were there twice."""
    texts = [(DATA / name / f"{file}.txt").read_text() for file in ("zoneinfo", "vmstat")]
    both = tmp_path / "both"
    apart = [tmp_path / "zoneinfo", tmp_path / "vmstat"]
    both.write_text("".join(texts))
    for path, text in zip(apart, texts, strict=True):
        path.write_text(text)
    assert diagnose(both).to_dict() | {"sources": None} == diagnose(apart).to_dict() | {"sources": None}


@pytest.mark.parametrize("words", [("pages free",), ("nr_free_pages",), ("nr_free", "pages free"), ("   ", ":")])
def test_zones_without_their_headings_are_none(words: tuple[str, ...], tmp_path: Path) -> None:
    """What the last zone has was taken for all that is free."""
    lines = (DATA / "compile612" / "zoneinfo.txt").read_text().splitlines()
    path = tmp_path / "grepped"
    path.write_text("".join(f"{line}\n" for line in lines if "Node" not in line and any(map(line.__contains__, words))))
    with pytest.raises(InputError, match="lines of zones without their headings, Node 0, zone "):
        diagnose(path)
    path.write_text("nr_free_pages 1234567\nnr_free_pages 1230000\n")
    assert diagnose(path).free == 1230000 * 4096


@pytest.mark.parametrize("before", ["", "/proc/zoneinfo:"])
def test_free_pages_of_zones_are_no_vmstat(tmp_path: Path, before: str) -> None:
    """Of zones of nearly one size the last's were taken for all."""
    path = tmp_path / "text"
    path.write_text(f"{before}      nr_free_pages 235154\n{before}      nr_free_pages 243278\n")
    with pytest.raises(InputError, match="lines of zones without their headings"):
        diagnose(path)
    path.write_text("nr_free_pages 235154\nnr_free_pages 243278\n")
    assert diagnose(path).free == 243278 << 12


def test_rows_that_may_be_cut_off_are_said_to(tmp_path: Path) -> None:
    """At 10 of 11 orders, without a word, an eighth of what was free was all."""
    path = tmp_path / "text"
    path.write_text("Node 0, zone      DMA      0      0      0      0      0      1      1      1      0      1\n")
    assert any("rows of buddyinfo end behind order 9, as" in line for line in diagnose(path).warnings)


def test_all_files_of_a_folder_may_be_given(tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text("MemTotal: 1000000 kB\nMemFree: 500000 kB\n")
    silent = {
        "cpuinfo": "processor\t: 0\nmodel name\t: Some CPU\ncache size\t: 4096 KB\n",
        "lspci": "00:00.0 Host bridge: Intel Corporation 440FX - 82441FX PMC [Natoma] (rev 02)\n",
        "os-release": 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nVERSION_ID="12"\n',
        "uptime": "12345.67 23456.78\n",
    }
    for name, text in silent.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "net").mkdir()
    (tmp_path / "slabinfo").write_text("")
    found = diagnose(sorted(tmp_path.iterdir()))
    assert found.free == 500000 << 10
    of_silent, of_folder, of_empty = (line.replace(f"{tmp_path}/", "") for line in found.warnings)
    assert of_silent == "cpuinfo, lspci, os-release and 1 more: left out: holds nothing that tells of free memory"
    assert of_folder.startswith("net: left out: a folder in which there is no proc/buddyinfo")
    assert of_empty == "slabinfo: left out: is empty"
    with pytest.raises(InputError, match="cpuinfo: holds nothing that tells of free memory: expected"):
        diagnose(tmp_path / name for name in silent)


@pytest.mark.parametrize("cut", ["ode ", "de ", "e ", "", " "])
def test_a_row_that_was_copied_from_its_middle_on_is_read(tmp_path: Path, cut: str) -> None:
    """It was left out without a word."""
    path = tmp_path / "text"
    path.write_text(f"{cut}0, zone      DMA{' 2' * 11}\nNode 0, zone   Normal{' 3' * 11}\n")
    assert [(zone.name, zone.free) for zone in diagnose(path).zones] == [("DMA", 2 * 2047), ("Normal", 3 * 2047)]
    path.write_text(f"{cut}0, zone   Normal\n  pages free     3000\n        min      100\n        low      125\n")
    assert [(zone.name, zone.free, zone.low) for zone in diagnose(path).zones] == [("Normal", 3000, 125)]


@pytest.mark.parametrize("row", ["zone   Normal", ", zone   Normal", "Zone Normal:", "| Normal |", "Normal"])
def test_a_row_whose_node_nobody_tells_is_named(tmp_path: Path, row: str) -> None:
    path = tmp_path / "text"
    path.write_text(f"Node 0, zone DMA{' 2' * 11}\n{row}{' 3' * 11}\n")
    found = diagnose(path)
    assert [zone.name for zone in found.zones] == ["DMA"]
    assert any(
        "is not understood, and left out" in line and "has `Node 0, zone` before" in line for line in found.warnings
    )
