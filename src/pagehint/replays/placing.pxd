cimport cython
from pagehint.host.backing cimport Backing
from pagehint.mm.fallback cimport alloc_next, claim_told, take_told
from pagehint.mm.page cimport AT_TAIL, HIGHATOMIC, KIND, MOVABLE, ORDER, ORDINARY, PCP, RECLAIMABLE, block_pages
from pagehint.mm.pcp cimport PCP_LISTS, PerCpuLists
from pagehint.mm.zone cimport Zone
from pagehint.pointers cimport longlongs, uchars, uints
from pagehint.replays.columns cimport CMA, EXTFRAG, Columns
from pagehint.replays.observers.best_possible cimport BestPossible
from pagehint.replays.on_the_way cimport OnTheWay
from pagehint.replays.pages cimport MOST_MS, NOWHERE, has, Pages
from pagehint.replays.refills cimport NEVER
from pagehint.replays.scan cimport STARTS_USED

# Why a run over events ended.
cdef enum:
    AT_END = 0
    AT_TIME = 1
    RANG = 2
    STALLED = 3

# Which block is taken: the first that fits; as the next of a refill; the very one, if it is free; or that off any list, as
# compaction does.
cdef enum:
    FIRST_FIT = 0
    NEXT = 1
    BY_PLACE = 2
    ISOLATION = 3

# From so many blocks in a row that were chosen as recorded on, the lists agree.
cdef enum:
    AGREED = 10000

cdef enum:
    NO_TYPE = 255

# What real recordings do that can't be replayed as it stands.
cdef enum:
    OUTSIDE = 0
    ALLOCATED_TWICE = 1
    FREED_UNALLOCATED = 2
    DRAINED_FREE = 3
    TAKEN_TWICE = 4
    NOT_PLACED = 5
    FAILED_HERE = 6
    FAILED_IN_GUEST = 7
    ALLOCATED_IN_BULK = 8
    BEYOND_ORDER = 9
    IN_PIECES = 10
    ANOMALIES = 11

cdef class Placing(Pages):
    cdef readonly list zones
    cdef readonly bint recorded
    cdef readonly bint follows
    cdef readonly bint zone_events
    cdef bint _keeps_types
    cdef readonly object mapped
    cdef unsigned int *_map
    cdef readonly long long now
    cdef readonly long long placed
    cdef readonly long long placed_as_recorded
    cdef readonly long long followed
    cdef int _agreed
    cdef public bint touch_alloc
    cdef public bint touch_free
    cdef public bint touch_zone_alloc
    cdef Zone _zone
    cdef BestPossible _best
    cdef PerCpuLists _pcp
    cdef int _cpu
    cdef dict _pcps
    cdef long long _anomalies[ANOMALIES]
    cdef bint _give_up
    cdef Columns _columns
    cdef Py_ssize_t _k
    cdef public Py_ssize_t _row
    cdef OnTheWay _on_the_way
    cdef object _freed_at_array
    cdef unsigned int *_freed_at
    cdef object _last_freed_array
    cdef unsigned char *_last_freed
    cdef object _last_rows_array
    cdef const long long *_last_rows
    cdef Py_ssize_t _last_row
    cdef bint _has_last_freed

    @cython.final
    cdef bint _enter(self, Py_ssize_t pfn, int order, int cpu) noexcept nogil
    @cython.final
    cdef bint _enter_another(self, Py_ssize_t pfn, int order, int cpu) noexcept nogil
    @cython.final
    cdef void _set_used(self, Py_ssize_t page, bint used) noexcept nogil
    @cython.final
    cdef void _set_taken(self, Py_ssize_t page, Py_ssize_t pages, bint taken) noexcept nogil
    @cython.final
    cdef bint _contiguous(self, Py_ssize_t pfn, int order) noexcept nogil
    @cython.final
    cdef void _touch(self, Py_ssize_t pfn, int order) noexcept nogil
    @cython.final
    cdef int _take(self, Py_ssize_t pfn, int order, int migratetype, int how) noexcept nogil
    @cython.final
    cdef Py_ssize_t _fall_back_as_told(self, Py_ssize_t i, int order, int migratetype) noexcept nogil
    @cython.final
    cdef void _note_last_free(self, Py_ssize_t pfn, int order) noexcept nogil
    @cython.final
    cdef void _pass_over(self, Py_ssize_t i, int order, int migratetype) noexcept nogil
    @cython.final
    cdef bint _has_cma(self, int order) noexcept nogil
    @cython.final
    cdef bint _follow(self, Py_ssize_t i, int order, int migratetype) noexcept nogil
    @cython.final
    cdef bint _take_recorded(self, Py_ssize_t i, int order, int migratetype) noexcept nogil
    @cython.final
    cdef bint _take_off_lists(self, Py_ssize_t i, int order) noexcept nogil
    @cython.final
    cdef bint _take_off_another(self, Py_ssize_t i, int order) noexcept nogil
    @cython.final
    cdef void _drain_all(self) noexcept nogil
    @cython.final
    cdef void _give_lost(self, Py_ssize_t pfn, int order) noexcept nogil
    @cython.final
    cdef void _give(self, Py_ssize_t pfn, int order, bint to_tail, int migratetype) noexcept nogil
    @cython.final
    cdef void _allocated(self, Py_ssize_t pfn, int order) noexcept nogil
    @cython.final
    cdef void _freed(self, Py_ssize_t pfn, int order, bint by_boot) noexcept nogil
