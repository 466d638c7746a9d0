"""Recordings of this machine. Others trace and allocate on it too: everything is done in instances of our own."""

import errno
import gzip
import io
import mmap
import os
import re
import resource
import select
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from pagehint.cli.mark import mark
from pagehint.errors import InputError
from pagehint.replays.playback import Playback
from pagehint.replays.timer import timer_tick
from pagehint.replays.totals import make_run
from pagehint.trace import Event, Trace, TraceWriter, import_trace
from pagehint.trace.describe import EMPTIED
from pagehint.trace.kmem_text import LineParser, MarkLine, Row
from pagehint.trace.recorder import machine as machine_module
from pagehint.trace.recorder import record as record_module
from pagehint.trace.recorder import tracefs as tracefs_module
from pagehint.trace.recorder.formats import ZONE_PROBES, GfpNames, parse_format, parse_header_page
from pagehint.trace.recorder.frames import FrameWriter
from pagehint.trace.recorder.merge import Merge
from pagehint.trace.recorder.pages import PageDecoder
from pagehint.trace.recorder.record import buffer_kib, record
from pagehint.trace.recorder.stream import RecordingImporter
from pagehint.trace.recorder.tracefs import Buffers, Instance, find_tracefs, living_instances, remove_stale

try:
    TRACEFS = find_tracefs()
except InputError as refused:
    pytest.skip(f"this machine can't be recorded: {refused}", allow_module_level=True)

BUDDY = np.uint64(1 << 10)
ALLOCATE = """
import mmap
for _ in range({times}):
    memory = mmap.mmap(-1, {mib} << 20)
    for at in range(0, len(memory), 4096):
        memory[at] = 1
    memory.close()
"""


@contextmanager
def empty_cpu_lists():
    """Holds what lies on the CPUs' lists: what is allocated from there leaves no zone."""
    cpus, held = os.sched_getaffinity(0), []
    try:
        for cpu in cpus:
            os.sched_setaffinity(0, {cpu})
            counts = re.findall(r"^ +count: +(\d+)$", Path("/proc/zoneinfo").read_text(), re.MULTILINE)
            held.append(mmap.mmap(-1, (sum(map(int, counts)) + 2048) * 4096))
            held[-1].madvise(mmap.MADV_NOHUGEPAGE)
            held[-1][::4096] = bytes(len(held[-1]) // 4096)
    finally:
        os.sched_setaffinity(0, cpus)
    yield
    for memory in held:
        memory.close()


def allocating(mib=64, times=2):
    return [sys.executable, "-c", ALLOCATE.format(mib=mib, times=times)]


def recorded(path, level, **options):
    with TraceWriter(path) as writer, RecordingImporter(writer, "this machine") as importer:
        result = record(importer.put, level, **options)
        writer.finish(importer.finish())
    return Trace.open(path), result


@contextmanager
def nothing_left():
    before = set(os.listdir(TRACEFS / "instances"))
    yield
    mine = {name for name in os.listdir(TRACEFS / "instances") if name.startswith(f"pagehint-{os.getpid()}-")}
    assert not mine - before


def unsure(trace):
    """Pages of blocks that events name around the reading of a kpageflags, which takes time, and after the last; and
    those that were on a list at one of the two and not at the other though no event names them: reported just then."""
    marks = {mark["text"]: mark["time"] for mark in trace.marks.to_pylist()}
    named, around = (np.zeros(trace.meta.span_pages + (1 << 11), bool) for _ in range(2))
    for batch in trace.batches(["time", "pfn", "order"]):
        inside = np.zeros(len(batch["time"]), bool)
        for begin, end in ((marks["KPF-BEGIN init"], marks["KPF-END init"]), (marks["KPF-BEGIN final"], 1 << 62)):
            inside |= (batch["time"] >= begin - 10**7) & (batch["time"] <= end + 10**7)
        rows = np.flatnonzero((batch["pfn"] >= 0) & (batch["order"] < 32))
        columns = (batch["pfn"][rows].tolist(), batch["order"][rows].tolist(), inside[rows].tolist())
        for pfn, order, is_around in zip(*columns, strict=True):
            named[pfn : pfn + (1 << order)] = True
            around[pfn : pfn + (1 << order)] |= is_around
    first, last = (snapshot.kpageflags() & BUDDY != 0 for snapshot in (trace.snapshot, trace.final_snapshot))
    around[: len(first)] |= (first != last) & ~named[: len(first)]
    return around


@pytest.mark.parametrize("level", ["zone", "page"])
def test_a_replay_ends_with_the_free_lists_that_the_machine_has(tmp_path, level):
    # What other processes free meanwhile lies on the CPUs' lists too, and may be all that is allocated.
    for attempt in range(5):
        with nothing_left(), empty_cpu_lists():
            trace, result = recorded(tmp_path / f"{attempt}.pagetrace", level, command=allocating())
        if trace.meta.events["Z"] > 1000:
            break
    assert result.status == 0
    assert trace.meta.level == level
    assert not trace.meta.lost
    assert set(trace.meta.anomalies) <= {"pfn outside every zone"}
    events = trace.meta.events
    assert events["Z"] > 1000
    assert (events.get("A", 0) > 2 * 64 * 256) == (level == "page")
    assert "/sys/devices/system/cpu/online" in trace.meta.system
    assert timer_tick(trace).by == "recorder"

    replayed = Playback(trace, None, None, "recorded", None, True, frozenset({"alloc"}), None)
    replayed.run(make_run)
    flags = trace.final_snapshot.kpageflags()
    theirs = flags & BUDDY != 0
    ours = np.zeros(len(theirs) + (1 << 11), bool)
    for zone in replayed.start.zones:
        for order in range(len(zone.nr_free)):
            for migratetype in range(5):
                for pfn in zone.free_list(order, migratetype).tolist():
                    ours[pfn : pfn + (1 << order)] = True
    sure = ~unsure(trace)[: len(theirs)]
    assert np.count_nonzero(theirs & sure) > 1000
    wrong = (ours[: len(theirs)] != theirs) & sure
    # No event tells of huge pages that wait on a per-CPU list.
    whole = wrong[: len(wrong) // 512 * 512].reshape(-1, 512).all(axis=1)
    assert np.count_nonzero(whole) <= 64
    assert np.count_nonzero(wrong) - 512 * np.count_nonzero(whole) <= 256


def test_a_stream_makes_a_bundle_and_a_mark_from_another_process_is_a_phase(tmp_path):
    stream = io.BytesIO()
    mark = "from pagehint.cli.mark import mark; mark('phase')"
    record(FrameWriter(stream), "zone", command=[sys.executable, "-c", mark])
    path = tmp_path / "stream"
    path.write_bytes(stream.getvalue())
    trace = import_trace(path, tmp_path / "a.pagetrace")
    assert "MARK phase" in trace.marks["text"].to_pylist()
    assert trace.snapshot.kpageflags() is not None
    assert trace.meta.zones
    path.write_bytes(stream.getvalue()[: len(stream.getvalue()) // 2])
    with pytest.raises(InputError, match="cut off"):
        import_trace(path, tmp_path / "b.pagetrace")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a.pagetrace", "stream"]


def test_two_recordings_beside_each_other(tmp_path):
    with Instance(TRACEFS, "zone", 64) as other:
        other.start()
        trace, _ = recorded(tmp_path / "a.pagetrace", "page", command=allocating(16, 1))
        assert other.folder in living_instances(TRACEFS)
        assert other.folder.is_dir()
    assert not other.folder.exists()
    assert trace.meta.events["A"] > 16 * 256


def test_lost_events_are_reported(tmp_path):
    trace, _ = recorded(tmp_path / "a.pagetrace", "page", command=allocating(128, 3), buffer=8)
    assert trace.meta.lost.total > 1000
    assert trace.meta.lost.by_cpu


KILLED = """
import sys
from pagehint.trace.recorder.record import record
record(lambda name, data: print(name, flush=True), "zone", seconds=600)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_what_a_signal_ends_leaves_nothing(number):
    process = subprocess.Popen([sys.executable, "-c", KILLED], stdout=subprocess.PIPE, text=True)
    with process:
        assert any(line == "init/end\n" for line in process.stdout)
        left = list((TRACEFS / "instances").glob(f"pagehint-{process.pid}-*"))
        assert len(left) == 1
        process.send_signal(number)
        rest = process.stdout.read().split()
    if number == signal.SIGKILL:
        remove_stale(TRACEFS)
    else:
        assert process.returncode == 0
        assert rest[-1] == "end"
        assert "final/end" in rest
    assert not left[0].exists()


@pytest.mark.parametrize("switch", ["tracing_on", "events/kmem/enable", "events/enable"])
def test_what_somebody_turns_off_meanwhile_is_seen(switch):
    """As who resets all instances of the machine does: the recording went on, of nothing, and was whole."""
    with Instance(TRACEFS, "page", 64) as instance:
        instance.start()
        assert instance.turned_off() == 0
        (instance.folder / switch).write_text("0")
        kinds = [name for name in instance.formats if name != "print"]
        of_kmem = [name for name in kinds if name.startswith("mm_page_")]
        expected = {"tracing_on": 1, "events/kmem/enable": len(of_kmem), "events/enable": len(kinds)}
        assert instance.turned_off() == expected[switch]


@pytest.mark.parametrize("who", ["nobody", "trace_pipe", "trace"])
def test_events_that_somebody_else_reads_or_removes_are_told(tmp_path, who):
    """The recording was whole, and said nothing of it."""
    with TraceWriter(tmp_path / "a") as writer, RecordingImporter(writer, "this machine") as importer:

        def put(name, data):
            importer.put(name, data)
            folder = TRACEFS / "instances" / f"pagehint-{os.getpid()}-0"
            if name == "init/zoneinfo":
                (folder / "trace_marker").write_text("taken")
            if name == "init/zoneinfo" and who == "trace":
                (folder / "trace").write_text("")
            elif name == "init/zoneinfo" and who == "trace_pipe":
                with (folder / "trace_pipe").open("rb", 0) as pipe:
                    assert pipe.read(1 << 16)

        record(put, "zone", seconds=0)
        told = importer.finish().anomalies
    assert (EMPTIED in told) == (who != "nobody")


def test_what_is_turned_off_and_on_again_is_seen(tmp_path, monkeypatch):
    """Only what was off at the end was."""
    monkeypatch.setattr(record_module, "_LIVE", 0.0)
    told = {}

    def put(name, data):
        told[name] = bytes(data)
        switch = TRACEFS / "instances" / f"pagehint-{os.getpid()}-0" / "tracing_on"
        if name in ("init/zoneinfo", "init/end"):
            switch.write_text("1" if name == "init/end" else "0")

    record(put, "zone", seconds=0)
    assert told["turned_off"] == b"1"


def test_what_the_recording_itself_turns_off_at_its_end_is_nobodys(monkeypatch):
    """One recording of a few was said to miss events: the last look came after its own end."""
    monkeypatch.setattr(record_module, "_LIVE", 0.0)
    told = {}
    record(lambda name, data: told.update({name: bytes(data)}), "zone", seconds=0)
    assert told["turned_off"] == b"0"


@pytest.mark.parametrize("how", ["written", "renamed"])
def test_a_change_of_reporting_is_a_mark_of_the_time_that_its_file_tells(tmp_path, monkeypatch, how):
    """It was seen by the blocks that were reported then, if any, and not followed."""
    monkeypatch.setattr(machine_module, "PARAMETERS", f"{tmp_path}/")
    monkeypatch.setattr(record_module, "_REPORTING", 0)
    order = tmp_path / "page_reporting_order"
    order.write_text("9\n")
    changed = []
    with TraceWriter(tmp_path / "a.pagetrace") as writer, RecordingImporter(writer, "this machine") as importer:

        def put(name, data):
            importer.put(name, data)
            if name == "init/end" and how == "written":
                changed.append(time.monotonic_ns())
                order.write_text("4\n")
            elif name == "init/end":
                (tmp_path / "new").write_text("4\n")
                os.utime(tmp_path / "new", (1, 1))
                (tmp_path / "new").rename(order)

        record(put, "zone", seconds=0.05)
        writer.finish(importer.finish())
    trace = Trace.open(tmp_path / "a.pagetrace")
    (change,) = [each for each in trace.reporting_changes if each.order is not None]
    assert change.order == 4
    assert ("since=" in trace.marks["text"].to_pylist()[-3]) == (how == "written")
    assert all(abs(change.time - time) < 10**9 for time in changed)


KPROBES = pytest.mark.skipif(not (TRACEFS / "kprobe_events").exists(), reason="this kernel has no kprobes")


@KPROBES
def test_at_zone_level_probes_are_in_place_of_all_allocations_and_frees():
    others = (TRACEFS / "kprobe_events").read_text()
    with Instance(TRACEFS, "zone", 64) as instance:
        for name, probes in (("mm_page_alloc", {"compact", "compact_ret"}), ("mm_page_free", {"straight"})):
            on = (instance.folder / "events" / "kmem" / name / "enable").read_text()
            assert (on == "0\n") == (probes <= instance.formats.keys()), name
        assert instance.missed() == 0
    assert (TRACEFS / "kprobe_events").read_text() == others


@pytest.fixture
def disarmed(tmp_path, monkeypatch):
    """Kprobes are switched off, as by the administrator: none would fire."""
    (tmp_path / "enabled").write_text("0\n")
    monkeypatch.setattr(tracefs_module, "_ARMED", tmp_path / "enabled")


def test_without_probes_the_events_of_large_blocks_are_recorded(disarmed):
    with Instance(TRACEFS, "zone", 64) as instance:
        free = instance.folder / "events/kmem/mm_page_free"
        assert (free / "enable").read_text() == "1\n"
        assert (free / "filter").read_text() == f"{instance.past_lists('mm_page_free')}\n"
        assert not ZONE_PROBES.keys() & instance.formats.keys()


@pytest.mark.parametrize(
    ("release", "size", "frees"),
    [
        ("5.10.0-32-cloud-amd64", "2097152\n", "order >= 1"),
        ("6.18.0", "2097152\n", "order >= 4 && order != 9"),
        ("6.18.0", "", "order >= 4"),
    ],
)
def test_which_orders_pass_no_list(monkeypatch, release, size, frees, disarmed):
    """Huge pages are on lists since 5.14, where the kernel has them: what was freed to one may be used again unseen."""
    uname = os.uname_result(("Linux", "here", release, "", "x86_64"))
    with Instance(TRACEFS, "zone", 64) as instance:
        monkeypatch.setattr(os, "uname", lambda: uname)
        monkeypatch.setattr(tracefs_module, "_text", lambda path: size)
        assert instance.past_lists("mm_page_free") == frees
        assert instance.past_lists("mm_page_alloc") == frees.split(" &&")[0]
        monkeypatch.undo()


@pytest.mark.parametrize(
    ("release", "folios", "function"),
    [
        ("5.10.0-32-cloud-amd64", False, "__free_pages_ok"),
        ("6.8.0-31-generic", False, "__free_pages_ok"),
        ("6.9.1", True, None),
        ("5.14.0-600.el9.x86_64", True, None),
        ("6.10.0", True, "free_one_page"),
        ("7.3.4+deb13-cloud-amd64", True, "free_one_page"),
    ],
)
def test_which_function_frees_past_the_lists(monkeypatch, release, folios, function):
    uname = os.uname_result(("Linux", "here", release, "", "x86_64"))
    monkeypatch.setattr(os, "uname", lambda: uname)
    monkeypatch.setattr(tracefs_module, "_text", lambda path: "ffff T free_unref_folios\n" if folios else "")
    assert [probe[2] for probe in tracefs_module._straight()] == [function][: function is not None]


def test_what_the_probes_of_the_zone_level_tell(tmp_path):
    """A guest of 6.18 that compacts, as its page-level recording has it: two blocks captured, others tried for."""
    path = tmp_path / "stream"
    path.write_bytes(gzip.decompress((Path(__file__).parent / "pages" / "zone-probes-6.18.gz").read_bytes()))
    trace = import_trace(path, tmp_path / "a.pagetrace")
    columns = ("event", "pid", "pfn", "order", "migratetype", "gfp")
    (batch,) = trace.batches(columns)
    rows = list(zip(*(batch[name].tolist() for name in columns), strict=True))
    assert [row for row in rows if row[0] == Event.ALLOC] == [
        (Event.ALLOC, 211, 32768, 9, 1, 0x3D24CA),
        (Event.ALLOC, 211, 33792, 9, 1, 0x3D24CA),
    ]
    assert [row[2:4] for row in rows if row[0] == Event.FREE] == [
        (179584, 7),
        (174512, 4),
        (174528, 6),
        (166032, 4),
        (166048, 5),
        (166080, 6),
    ]
    assert trace.meta.anomalies == {"times that a probe of the recorder missed": 3}


@KPROBES
def test_probes_of_reporting_are_there_and_go():
    others = (TRACEFS / "kprobe_events").read_text()
    with Instance(TRACEFS, "zone", 64) as instance:
        assert {"isolate", "isolate_ret", "putback"} <= instance.formats.keys()
    assert (TRACEFS / "kprobe_events").read_text() == others


def test_allocations_are_recorded_from_the_first_direct_compaction_on(monkeypatch, disarmed):
    """Nothing makes a machine with free memory compact: a page fault's refill stands for it, with the real trigger."""
    with Instance(TRACEFS, "zone", 64) as instance:
        armed = instance.folder / "events" / tracefs_module._COMPACTION / "trigger"
        assert armed.read_text() == "enable_event:kmem:mm_page_alloc:unlimited\n"
        assert (instance.folder / "events/kmem/mm_page_alloc/enable").read_text() == "0*\n"
    assert not instance.folder.exists()
    monkeypatch.setattr(tracefs_module, "_COMPACTION", "kmem/mm_page_alloc_zone_locked")
    with nothing_left(), Instance(TRACEFS, "zone", 64) as instance:
        event = instance.folder / "events/kmem/mm_page_alloc"
        assert (event / "filter").read_text() == f"{instance.past_lists('mm_page_alloc')}\n"
        # CPUs' lists may hold what little is asked for: more, until a list is refilled.
        for mib in (16, 64, 256, 1024):
            subprocess.run(allocating(mib, 1), check=True)
            if event.joinpath("enable").read_text() == "1*\n":
                break
        assert event.joinpath("enable").read_text() == "1*\n"


def test_the_time_asked_for_is_between_the_snapshots(monkeypatch):
    """`--for 3s` was said to have lasted 9 s on a busy machine, most of which went into page flags."""

    def slow(*_):
        time.sleep(0.7)
        return []

    monkeypatch.setattr("pagehint.trace.recorder.record.put_snapshot", slow)
    result = record(lambda *_: None, seconds=0.3)
    assert 0.3 <= result.seconds < 1
    assert result.around_seconds >= 1.4
    assert result.cpu_seconds <= result.seconds


def test_a_command_that_is_not_there(tmp_path):
    with nothing_left(), pytest.raises(InputError, match="no-such-command: No such file"):
        recorded(tmp_path / "a.pagetrace", "zone", command=["no-such-command"])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("at", ["machine", "init/kpageflags.gz"])
def test_a_reader_that_goes_ends_it(at):
    """Wherever it does: while the page flags are read, it is not they that can't be."""

    def put(name, data):
        if name == at:
            raise BrokenPipeError

    with nothing_left(), pytest.raises(BrokenPipeError):
        record(put, "zone", seconds=600)


def test_a_mark_before_the_recording_has_begun_is_refused(monkeypatch):
    """The kernel says Bad file descriptor: so did we."""
    with Instance(TRACEFS, "zone", 256) as instance:
        monkeypatch.setattr("pagehint.cli.mark.living_instances", lambda _: [instance.folder])
        with pytest.raises(InputError, match="just beginning, or ending"):
            mark("phase")
        instance.start()
        mark("phase")


def test_a_mark_that_not_every_recording_takes(monkeypatch, capsys):
    """The first had it, and who was told to mark it again marked that twice."""
    with Instance(TRACEFS, "zone", 64) as one, Instance(TRACEFS, "zone", 64) as other:
        one.start()
        gone = other.folder.with_name("pagehint-gone")
        for folders, missed in (([one.folder, other.folder], "1 of 2"), ([gone, one.folder, other.folder], "2 of 3")):
            monkeypatch.setattr("pagehint.cli.mark.living_instances", lambda _, folders=folders: folders)
            mark("phase")
            said = capsys.readouterr().err
            assert said == f"pagehint: warning: {missed} recordings just begin, or end: this mark is not in them\n"


def test_each_event_as_tracefs_itself_prints_it():
    with Instance(TRACEFS, "page", 2048) as instance:
        instance.start()
        instance.mark("MARK here")
        subprocess.run(allocating(4, 1), check=True)
        instance.stop()
        text = (instance.folder / "trace").read_text()
        layout = parse_header_page(instance.header_page())
        forms = [parse_format(form)._replace(name=name) for name, form in instance.formats.items()]
        decoder = PageDecoder(layout, forms)
        ours = []
        gfp = GfpNames(next(form.flags for form in forms if form.name == "mm_page_alloc"))
        merge = Merge(lambda rows, texts: ours.append((rows, texts)))
        buffers = Buffers(instance, layout.size)
        buffers.drain(lambda cpu, pages: merge.add(*decoder.decode(pages, cpu)))
        buffers.close()
        merge.finish()
        assert (decoder.lost, decoder.uncounted, decoder.damaged, decoder.others) == (0, 0, 0, 0)

    parser = LineParser("trace")
    said = [parser.parse(line, number) for number, line in enumerate(text.splitlines())]
    theirs = [each for each in said if isinstance(each, Row | MarkLine)]
    ((rows, texts),) = ours
    assert len(rows["time"]) == len(theirs) > 1000
    assert texts == ["MARK here"]
    for index, line in enumerate(theirs):
        time = int(rows["time"][index])
        assert line.time == (time + 500) // 1000 * 1000
        assert (line.cpu, line.pid) == (rows["cpu"][index], rows["pid"][index])
        if isinstance(line, Row):
            names = ("event", "pfn", "order", "migratetype", "detail")
            assert line[3:7] + line[8:] == tuple(int(rows[name][index]) for name in names), index
            mapped = gfp[int(rows["gfp"][index])] if line.event == Event.ALLOC else 0
            # Linux 6.14's GFP_NOWAIT has a flag more than its name says.
            assert (line.gfp ^ mapped) & ~0x2000 == 0, (hex(line.gfp), hex(mapped))


@pytest.mark.parametrize(
    ("there", "message"),
    [([], "tracefs is not mounted|no tracefs|container"), (["instances"], "refuses|container|root|mounted")],
)
def test_refusals_say_what_would_help(tmp_path, monkeypatch, there, message):
    for name in there:
        (tmp_path / name).mkdir()
        (tmp_path / name).chmod(0)
    monkeypatch.setattr(tracefs_module, "_PLACES", (str(tmp_path),))
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(InputError, match=message):
        find_tracefs()


@pytest.mark.parametrize("more", [0, 1])
def test_too_few_files_may_be_open(more):
    """It was called a container whose tracefs isn't there; and an instance was left."""
    last = os.dup(0)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (last + 1 + more, before[1]))
        with pytest.raises(InputError, match=r"Too many open .* \(ulimit -n"):
            Instance(TRACEFS, "zone", 64)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
        os.close(last)
    assert not [*(TRACEFS / "instances").glob(f"pagehint-{os.getpid()}-*")]


def test_buffers_take_two_percent_at_most():
    assert buffer_kib("page", 2, 1 << 30) == (1 << 30) // 50 // 1024 // 2
    assert buffer_kib("page", 1, 1 << 40) == 32 << 10
    assert buffer_kib("zone", 1, 1 << 40) == 8 << 10
    assert buffer_kib("zone", 64, 64 << 20) == 64


def test_a_cpu_that_comes_online_while_it_is_recorded(monkeypatch):
    """A machine with room for more CPUs than it has could not be recorded: the output was blamed."""
    read, offline = os.readv, []

    def readv(file, rooms):
        if file in offline:
            raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))
        return read(file, rooms)

    monkeypatch.setattr(os, "readv", readv)
    with Instance(TRACEFS, "zone", 256) as instance:
        buffers = Buffers(instance, parse_header_page(instance.header_page()).size)
        try:
            every = buffers.files
            offline = sorted(every)
            instance.start()
            instance.mark("x")
            assert buffers.drain(lambda cpu, pages: None) == 0
            assert buffers.files == set()
            offline, got = [], []
            assert buffers.drain(lambda cpu, pages: got.append(cpu)) > 0
            assert set(got) <= set(instance.cpus())
            assert buffers.files == every
        finally:
            buffers.close()


def test_a_buffer_is_ready_to_be_read_when_it_is_worth_it():
    with Instance(TRACEFS, "zone", 256) as instance:
        if (instance.folder / "buffer_percent").read_text().strip() != "25":
            pytest.skip("this kernel's buffers are ready as soon as anything is in them")
        for each in (instance.folder / "events").glob("*/*/enable"):
            if each.parent.parent.name == "kmem":
                each.write_text("0")
        buffers = Buffers(instance, parse_header_page(instance.header_page()).size)
        poll = select.poll()
        for file in buffers.files:
            poll.register(file, select.POLLIN)
        os.sched_setaffinity(0, cpus := {min(before := os.sched_getaffinity(0))})
        try:
            instance.start()
            instance.mark("x" * 200)
            assert not poll.poll(0)
            for _ in range(256 * 4 // 3):
                instance.mark("x" * 200)
            assert poll.poll(0)
            assert len(poll.poll(0)) == len(cpus)
        finally:
            os.sched_setaffinity(0, before)
            buffers.close()
