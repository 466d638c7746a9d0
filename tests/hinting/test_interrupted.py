"""Signal handlers and finalizers that use a zone and its worker while both are in use: docs/spec/1, section 9."""

import subprocess
import sys

import pytest

from tests.limits import HANGS

SIGNALS = """
import faulthandler, gc, os, random, signal, threading, time, traceback
import numpy as np
from pagehint.errors import BusyError
from pagehint.hinting.designs.hinting import PageHinting
from pagehint.hinting.drivers.thread import ThreadWorker
from pagehint.mm.check import check
from pagehint.mm.page import KIND, USED
from pagehint.mm.zone import Zone

faulthandler.dump_traceback_later(240, exit=True)  # only what hangs waits so long
zone = Zone(64 << 10)
worker = ThreadWorker(PageHinting(delay="100us", high_water_mark=1), [zone])
interrupted = 0

class Device:
    capacity = 8
    def react(self, blocks):
        if main_signals:
            os.kill(os.getpid(), signal.SIGUSR1)
        meddle()

device = Device()

def meddle(*_):
    global interrupted
    interrupted += 1
    for order in (0, 9, 10):
        pfn = zone.alloc(order)
        if pfn >= 0:
            zone.free(pfn, order)
    zone.free_list(10, 1)
    try:
        zone.isolate(0)
        zone.unisolate(0)
    except BusyError:
        pass
    if interrupted % 7 == 0:
        worker.stop()
    try:
        worker.start(device)
    except BusyError:
        pass

def work():
    while interrupted < 500:
        for order in (0, 10):
            pfns = [zone.alloc(order) for _ in range(20)]
            zone.free_list(10, 1)
            for pfn in pfns:
                if pfn >= 0:
                    zone.free(pfn, order)
        if worker.running:
            worker.stop()
        try:
            worker.start(device)
        except BusyError:
            pass
"""

BY_SIGNAL = """
main_signals = True
depth = 0

# Where signals come faster than they are handled, as on a busy machine, each would interrupt the one before.
def nested(*_):
    global depth
    depth += 1
    if depth <= 20:
        meddle()
    depth -= 1

signal.signal(signal.SIGALRM, nested)
signal.signal(signal.SIGUSR1, nested)
signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
work()
signal.setitimer(signal.ITIMER_REAL, 0)
for number in (signal.SIGALRM, signal.SIGUSR1):  # one may still be on its way, by another thread
    signal.signal(number, signal.SIG_IGN)
"""

BY_FINALIZER = """
main_signals = False

class Cycle:
    def __init__(self):
        self.itself = self
    def __del__(self):
        Cycle.depth += 1
        if Cycle.depth == 1:
            meddle()
        Cycle.depth -= 1
Cycle.depth = 0

gc.set_threshold(7)
before = work
def litter(zone=zone):
    while interrupted < 500:
        Cycle()
        pfns = [zone.alloc(0) for _ in range(3)]
        Cycle()
        zone.free_list(0, 1)
        zone.nr_free
        for pfn in pfns:
            if pfn >= 0:
                zone.free(pfn)
        Cycle()
        try:
            worker.start(device)
        except BusyError:
            worker.stop()
litter()
gc.set_threshold(700)
gc.collect()
"""

AT_LAST = """
while worker.running:
    worker.stop()
faulthandler.cancel_dump_traceback_later()
problems = check(zone)
assert problems == [], (problems, worker.running, threading.enumerate())
assert zone.free_pages == zone.pages, zone
print("done")
"""

INTERRUPTION = """
class Interruption(BaseException):
    pass

def interrupt(*_):
    global interrupted
    if armed:
        interrupted += 1
        raise Interruption

class Quiet:
    capacity = 8
    def react(self, blocks):
        pass

quiet = Quiet()
armed = True
signal.signal(signal.SIGALRM, interrupt)
"""

# Python 3.13 does not see the except around a loop that is interrupted as it jumps back: so loops are functions.
RAISING = """
def use(before):
    while interrupted == before:  # where Python can't raise, it says so and goes on
        zone.free(zone.alloc(0))
        time.sleep(0)  # gives the GIL away and takes it: only then does Python see a signal another thread got

threads = len(os.listdir("/proc/self/task"))
in_start = 0
while in_start < 50:
    before = interrupted
    try:
        signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-6, 5e-4))
        worker.start(quiet)
        worker.stop()
        use(before)
    except Interruption as interruption:
        if any(frame.name == "start" for frame in traceback.extract_tb(interruption.__traceback__)):
            in_start += 1
            while worker.running:  # it ends by itself
                pass
    zone.free_list(10, 1)
    while worker.running:
        worker.stop()
    used = np.flatnonzero((zone.page_state & KIND) == USED)
    for pfn in used.tolist():  # what was interrupted between alloc and free
        zone.free(pfn)
    assert check(zone) == []
while len(os.listdir("/proc/self/task")) > threads:  # faulthandler ends what hangs
    pass
"""

# One interrupts another: nothing may depend on what a start does after it was interrupted.
RAISING_AGAIN = """
def rest():
    while True:
        time.sleep(0)

while interrupted < 500:
    try:
        armed = True
        signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-6, 2e-4), random.uniform(1e-5, 1e-4))
        worker.start(quiet)
        rest()
    except Interruption:
        try:
            armed = False
        except Interruption:
            armed = False
    signal.setitimer(signal.ITIMER_REAL, 0)
    while worker.running:
        worker.stop()
    assert check(zone) == []
"""


@pytest.mark.parametrize(
    "how",
    [BY_SIGNAL, BY_FINALIZER, INTERRUPTION + RAISING, INTERRUPTION + RAISING_AGAIN],
    ids=["signal handlers", "finalizers", "handlers that raise", "handlers that raise again"],
)
def test_row_10_nothing_that_interrupts_deadlocks(how):
    done = subprocess.run(
        [sys.executable, "-c", SIGNALS + how + AT_LAST], capture_output=True, text=True, timeout=HANGS, check=False
    )
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr
