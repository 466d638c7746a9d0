"""Errors: one line for people, under names that Python's own handlers catch."""

import copy
import copyreg
import errno
import pickle
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pagehint.diagnosis.given import SilentError
from pagehint.errors import AllocationError, BusyError, HostError, InputError, PagehintError, printable, without_frames


@given(st.text())
def test_what_is_printable_is_one_line_that_shows_each_character(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    assert len(shown.splitlines()) <= 1
    if text.isprintable():
        assert shown == text
    else:
        assert "\\" in shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\nb", "a\\nb"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("tab\t", "tab\\t"),
        ("\u202egnp", "\\u202egnp"),
        ("ü'\"", "ü'\""),
    ],
)
def test_a_terminal_is_told_nothing(text: str, shown: str) -> None:
    assert printable(text) == shown


class Named(InputError):
    def __init__(self, name: str, why: str) -> None:
        super().__init__(f"{name}: {why}")
        self.name = name


@pytest.mark.parametrize("error", [Named("a.txt", "is empty"), BusyError("one is started"), SilentError("a", "b", "c")])
def test_what_one_is_made_of_and_what_it_has_survive_a_process(error: PagehintError) -> None:
    error.add_note("in the pool")
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error), without_frames(error)):
        assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))


@pytest.mark.parametrize("kind", [InputError, BusyError, HostError, AllocationError])
def test_its_text_is_what_was_said_and_survives_a_process(kind: type[PagehintError]) -> None:
    """Studies and sweeps raise in other processes what is then told in this one."""
    error = kind(errno.ENOMEM, "no memory here") if kind is HostError else kind("no memory here")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind
    # As tblib makes it again, which Dask's workers use.
    assert type(kind.__new__(kind, *error.args)) is kind
    assert str(error) == str(again) == "no memory here"
    assert isinstance(again, PagehintError)
    if isinstance(error, OSError):
        assert isinstance(again, OSError)
        assert again.errno == error.errno == (errno.ENOMEM if kind is HostError else errno.EBUSY)


@pytest.mark.parametrize(
    ("kind", "caught"),
    [(InputError, ValueError), (BusyError, OSError), (HostError, OSError), (AllocationError, MemoryError)],
)
def test_pythons_own_names_catch_them(kind: type[PagehintError], caught: type[Exception]) -> None:
    with pytest.raises(caught):
        raise kind("x")


class Odd(OSError):
    """It can't be made of its arguments again."""

    def __init__(self, where: str, why: str) -> None:
        super().__init__(f"{where}: {why}")


def failed(error: BaseException) -> BaseException:
    try:
        raise error from ValueError("its cause")
    except BaseException as raised:
        return raised


@pytest.mark.parametrize(
    ("error", "kind", "shown"),
    [
        (OSError(errno.EPERM, "not allowed", "a file"), PermissionError, "[Errno 1] not allowed: 'a file'"),
        (BusyError("one is started"), BusyError, "one is started"),
        (KeyboardInterrupt(), KeyboardInterrupt, ""),
        (Odd("there", "no room"), PagehintError, "Odd: there: no room"),
    ],
)
def test_what_is_kept_of_an_error_is_all_but_where_it_passed(
    monkeypatch: pytest.MonkeyPatch, error: BaseException, kind: type[BaseException], shown: str
) -> None:
    raised = failed(error)
    monkeypatch.setitem(copyreg.dispatch_table, type(raised), lambda error: (lambda: error, ()))  # as tblib does
    kept = without_frames(raised)
    assert type(kept) is kind
    assert str(kept) == shown
    assert (kept.__traceback__, kept.__cause__, kept.__context__) == (None, None, None)
    assert raised.__traceback__ is not None  # it's shown yet


def test_where_no_thread_can_be_started_the_machine_is_named_and_nothing_hangs() -> None:
    """It was Python's RuntimeError, and a command's traceback."""
    code = """
import resource, threading
import pagehint as ph
trace = ph.example()
zone, host = ph.Zone(1 << 14), ph.ModelHost()
worker = ph.ThreadWorker(ph.PageReporting(), [zone])
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
threading.stack_size(256 << 20)
resource.setrlimit(resource.RLIMIT_AS, (used + (128 << 20), -1))
for call in (lambda: worker.start(host), lambda: ph.study(trace, "none"), lambda: worker.start(host)):
    try:
        call()
    except OSError as error:
        print(type(error).__name__, error.errno, str(error)[:36], worker.running)
worker.stop()
threading.stack_size(0)
resource.setrlimit(resource.RLIMIT_AS, (-1, -1))
worker.start(host)
worker.stop()
print(worker.running)
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout == f"HostError {errno.EAGAIN} no more threads can be started here: False\n" * 3 + "False\n"
