"""A naive model of free page reporting, written from docs/spec/2 (and spec 4, section 4 c) alone: lists and sets."""

from tests.mm.naive import HIGHATOMIC, ISOLATE, MOVABLE, NaiveZone
from tests.mm.naive_profiles import NaiveProfileZone

IDLE, REQUESTED, ACTIVE = "idle", "requested", "active"


class Reported:
    """A zone's part that is reporting's. ``hinted``: blocks that were reported."""

    min_watermark = 0
    by_pageblock = False

    def rotate(self, order, mt, at):
        """The list starts with the entry at this place from now on."""
        entries = self.lists[order, mt]
        entries[:] = entries[at:] + entries[:at]

    def take_off(self, pfn):
        order, mt = self.remove(pfn)
        self.in_flight[pfn] = order, mt
        if order < self.pageblock_order - 1:
            return
        pageblocks = self.pageblocks(pfn, 2**order)
        for pageblock in pageblocks:
            if self.types[pageblock] not in (ISOLATE, HIGHATOMIC):
                self.types[pageblock] = MOVABLE
        if self.by_pageblock and order < self.pageblock_order and self.types[pageblocks[0]] == MOVABLE:
            for other in self.free_in(pageblocks[0]):
                self.move(other, MOVABLE)

    def put_back(self, pfn, hinted):
        order, _ = self.in_flight.pop(pfn)
        if self.free_one(pfn, order, self.type_of(pfn), put_back=True) == (pfn, order) and hinted:
            self.hinted.add(pfn)


class NaiveReportedProfileZone(Reported, NaiveProfileZone):
    """A zone of a kernel that has reporting."""

    by_pageblock = NaiveProfileZone.by_pageblock


class NaiveReportedZone(Reported, NaiveZone):
    """One of Linux 5.3, whose lists are as docs/spec/1 says."""


def naive_reported_zone(profile, **settings):
    """The model of a zone as a kernel of this profile keeps it, whose free blocks are reported."""
    return NaiveReportedZone(**settings) if profile == "5.3" else NaiveReportedProfileZone(profile, **settings)


class NaiveReporting:
    """The device's state and its passes over the zones; time in nanoseconds, of which a report takes ``takes``."""

    LONGEST_PAUSE = 60 * 10**9

    def __init__(self, zones, order, delay, takes=0, on_work=lambda now: None):
        self.zones, self.order, self.delay, self.takes, self.on_work = zones, order, delay, takes, on_work
        self.state = IDLE
        self.device = self.last_device = self.due = self.running = None
        self.now = 0
        self.stopping = False
        for zone in zones:
            zone.notify = self.notify

    def notify(self, order):
        if self.device is None or self.stopping or order < self.order:
            return
        self.request()

    def request(self):
        if self.state == IDLE:
            self.due = self.now + self.delay
        self.state = REQUESTED

    def start(self, device):
        if self.device is not None:
            return -16
        if device is not self.last_device:
            for zone in self.zones:
                zone.hinted.clear()
        self.device = self.last_device = device
        self.state, self.pause = IDLE, self.delay
        self.request()
        return 0

    def stop(self):
        """A report that runs is waited for."""
        self.stopping = self.device is not None
        while self.running is not None:
            self.step()
        self.due = self.device = None
        self.stopping = False

    # Time

    def tick(self, nanoseconds):
        end = self.now + nanoseconds
        while self.due is not None and self.due <= end:
            self.step()
        self.now = end

    def step(self):
        """What is due next: a pass begins, or the device has been told of a batch."""
        self.now = max(self.now, self.due)
        self.due = None
        if self.running is None:
            self.on_work(self.now)
            self.running = self.work()
            outcome = None
        else:
            outcome = self.tell()
        try:
            self.running.send(outcome)
            while not self.takes:
                self.running.send(self.tell())
            self.due = self.now + self.takes
        except StopIteration:
            self.running = None

    def tell(self):
        try:
            self.device.react([(pfn, self.zone.in_flight[pfn][0]) for pfn in self.telling])
        except OSError:
            return False
        return True

    # The pass

    def work(self):
        self.state = ACTIVE
        for zone in self.zones:
            if not (yield from self.process(zone)):
                break
        if self.state == ACTIVE:
            self.state = IDLE
        elif self.due is None and not self.stopping:
            self.due = self.now + self.delay

    def process(self, zone):
        """False if the pass is to end."""
        capacity = self.device.capacity
        if zone.free_pages <= zone.low_watermark + (capacity << self.order):
            return True
        batch = []
        for order in range(self.order, zone.max_order):
            for mt in range(ISOLATE):
                if not (yield from self.walk(zone, batch, order, mt)):
                    return False
        return not batch or (yield from self.report(zone, batch))

    def walk(self, zone, batch, order, mt):
        capacity = self.device.capacity
        budget = -(-zone.nr_free[order] // (16 * capacity))
        at = 0
        while at < len(zone.lists[order, mt]):
            pfn = zone.lists[order, mt][at]
            if pfn in zone.hinted:
                at += 1
            elif budget < 0:
                self.state = REQUESTED
                zone.rotate(order, mt, at)
                return True
            elif len(batch) < capacity:
                if zone.free_pages <= zone.min_watermark + 2**order:
                    zone.rotate(order, mt, at)
                    return True
                zone.take_off(pfn)
                batch.append(pfn)
            else:
                zone.rotate(order, mt, at)
                told = yield from self.report(zone, batch)
                if not told:
                    return False
                budget -= 1
                at = 0
        return True

    def report(self, zone, batch):
        """A batch is filled from its last place to its first, and goes back from its first to its last."""
        self.zone, self.telling = zone, batch[::-1]
        told = yield
        for pfn in self.telling:
            zone.put_back(pfn, told)
        batch.clear()
        if told:
            self.pause = self.delay
        else:
            self.state = REQUESTED
            self.due = self.now + self.pause
            self.pause = min(2 * self.pause, max(self.LONGEST_PAUSE, self.delay))
        return told and not self.stopping
