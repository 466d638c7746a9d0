cimport cython
from pagehint.host.backing cimport Backing
from pagehint.mm.page cimport HINTED, LISTS, MOVABLE, block_pages, page_of
from pagehint.mm.zone cimport Zone
from pagehint.pointers cimport longlongs, uchars
from pagehint.replays.columns cimport ALLOC, CMA, EXTFRAG, FREED, ISOLATED, ISOLATING, PCPU_DRAIN, ZONE_ALLOC
from pagehint.replays.list_searches cimport ListSearches
from pagehint.replays.pages cimport MOST_MS, NOWHERE, has
from pagehint.replays.placing cimport (
    AT_END, AT_TIME, BEYOND_ORDER, BY_PLACE, FAILED_IN_GUEST, FIRST_FIT, FREED_UNALLOCATED, ISOLATION, NEXT, NO_TYPE,
    OUTSIDE, RANG, STALLED, Placing
)
from pagehint.replays.refills cimport NEVER, Refills
from pagehint.replays.scan cimport BOOT, COMPACTED, ONLINE, SCANNED, TOLD

cdef enum:
    AT_ONCE = 5000000  # ns: what is used on all CPUs' lists within so much

# Most that a balloon tells its device of at once.
cdef enum:
    INFLATED_AT_ONCE = 256

@cython.final
cdef class Engine(Placing):
    cdef readonly bint zone_level
    cdef Refills _refills
    cdef long long _next_use
    cdef public double resident_time
    cdef public double used_time
    cdef readonly object waits
    cdef readonly long long turned
    cdef public bint several_cpus
    cdef long long *_waits
    cdef Py_ssize_t _most_wait
    cdef bint _started
    cdef bint _is_pcp[32]
    cdef int _max_order
    cdef int _refilling

    cdef ListSearches _searches
    cdef object _ties
    cdef long long _tied
    cdef tuple _verdict_arrays
    cdef const long long *_verdict_rows
    cdef const unsigned char *_verdicts
    cdef const long long *_blocks
    cdef Py_ssize_t _v
    cdef object _isolating_array
    cdef long long *_isolating
    cdef long long _inflated[INFLATED_AT_ONCE]
    cdef int _inflated_count
    cdef object _given_array
    cdef const long long *_given
    cdef Py_ssize_t _g
    cdef object _offline_array
    cdef const long long *_offline
    cdef Py_ssize_t _o

    @cython.final
    cdef bint _is_in_place(self, Py_ssize_t pfn, int order) except -1
    @cython.final
    cdef void _pass_time(self, long long now) noexcept nogil
    @cython.final
    cdef void _inflate(self, Py_ssize_t pfn, int order, bint told) noexcept nogil
    @cython.final
    cdef int _untie(self) except -1 nogil
    @cython.final
    cdef void _move_to(self, Py_ssize_t pfn, Py_ssize_t end) noexcept nogil
    @cython.final
    cdef int _compact(self, Py_ssize_t pfn, int order, bint looked, Py_ssize_t source) noexcept nogil
    @cython.final
    cdef void _go_offline(self, Py_ssize_t pfn, int order, bint taken) noexcept nogil
    @cython.final
    cdef int _take_event(self, Py_ssize_t k, int kind, Py_ssize_t pfn, int order, int cpu, int verdict) noexcept nogil
    @cython.final
    cdef void _drain_event(self, Py_ssize_t k, Py_ssize_t pfn, int order) noexcept nogil
    @cython.final
    cdef int _alloc_event(self, Py_ssize_t k, Py_ssize_t pfn, int order, int verdict) noexcept nogil
    @cython.final
    cdef void _free_event(self, Py_ssize_t k, int kind, Py_ssize_t pfn, int order, int cpu, int verdict) noexcept nogil
    @cython.final
    cdef void _left_at_zone_level(self, Py_ssize_t k, Py_ssize_t pfn, int order, int cpu, bint refill) noexcept nogil
    @cython.final
    cdef void _use(self) noexcept nogil
    @cython.final
    cdef bint _was_used(self, Py_ssize_t pfn, int order, bint drained) noexcept nogil
    @cython.final
    cdef void _frees_straight(self, Py_ssize_t pfn, int order, int cpu) noexcept nogil
    @cython.final
    cdef void _end_frees(self, int cpu) noexcept nogil
    @cython.final
    cdef int _event(self, Py_ssize_t k) noexcept nogil
    @cython.final
    cdef int _run(self, long long until) except -1 nogil
