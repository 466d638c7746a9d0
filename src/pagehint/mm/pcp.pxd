cimport cython
from pagehint.mm.buddy cimport Buddy
from pagehint.mm.fallback cimport alloc_next
from pagehint.mm.page cimport (
    AHEAD, ISOLATE, KIND, MOVABLE, ORDER, ORDINARY, PCP, RECLAIMABLE, TYPE_SHIFT, USED, block_pages, prefetch
)
from pagehint.pointers cimport uints

cdef enum:
    PCP_LISTS = 13  # orders 0 to 3 with 3 migratetypes each, and one for pageblocks
    MOST_FACTOR = 5  # tuned refills and drains are of at most batch << MOST_FACTOR

cdef class PerCpuLists

ctypedef Py_ssize_t (*Wanted)(PerCpuLists pcp, int order) noexcept nogil
ctypedef void (*Drain)(PerCpuLists pcp, int which, int order) noexcept nogil

@cython.final
cdef class PerCpuLists:
    cdef readonly Buddy buddy
    cdef readonly int cpu
    cdef readonly Py_ssize_t batch
    cdef readonly Py_ssize_t high
    cdef readonly bint orders_above_0
    cdef list _arrays
    cdef object __weakref__
    cdef unsigned short *_state
    cdef unsigned char *_types
    cdef unsigned int *_movable
    cdef Py_ssize_t _start_pfn
    cdef Py_ssize_t _pages
    cdef Py_ssize_t _lo
    cdef Py_ssize_t _pageblock_lo
    cdef int _pageblock_order
    cdef unsigned int *_ring[PCP_LISTS]
    cdef Py_ssize_t _mask[PCP_LISTS]
    cdef Py_ssize_t _first[PCP_LISTS]
    cdef Py_ssize_t _length[PCP_LISTS]
    cdef Py_ssize_t _count
    cdef Py_ssize_t _free_factor
    cdef Py_ssize_t _drain_from_length
    cdef Wanted _wanted
    cdef Drain _drain
    cdef bint _tunes
    cdef bint _seldom
    cdef bint _by_pageblock
    cdef int _alloc_factor
    cdef bint _freed_above_0
    cdef Py_ssize_t _often_from
    cdef Py_ssize_t _high_min
    cdef Py_ssize_t _high_max
    cdef Py_ssize_t _most_batch
    cdef Py_ssize_t _most_high

    @cython.final
    cdef Py_ssize_t _pageblock(self, Py_ssize_t i) noexcept nogil
    @cython.final
    cdef int _list_of(self, int order, int migratetype) noexcept nogil
    @cython.final
    cdef Py_ssize_t _refill(self, int which, int order, int migratetype) noexcept nogil
    @cython.final
    cdef bint _fill(self, int which, int order, int migratetype) noexcept nogil
    @cython.final
    cdef Py_ssize_t _pop(self, int which, int order, int migratetype) noexcept nogil
    @cython.final
    cdef Py_ssize_t _alloc(self, int order, int migratetype) noexcept nogil
    @cython.final
    cdef void _give_back(self, int which) noexcept nogil
    @cython.final
    cdef void _limit_to(self, Py_ssize_t batch, Py_ssize_t high, Py_ssize_t high_max) noexcept
    @cython.final
    cdef void _decay(self) noexcept nogil
    @cython.final
    cdef void _drain_from(self, Py_ssize_t count, int which) noexcept nogil
    @cython.final
    cdef void _free(self, Py_ssize_t i, int order) noexcept nogil
    @cython.final
    cdef bint _lay_behind(self, Py_ssize_t i, int order, int migratetype) noexcept nogil
    @cython.final
    cdef void _refill_if_empty(self, int order, int migratetype) noexcept nogil
    @cython.final
    cdef bint _take_off(self, Py_ssize_t i, int order) noexcept nogil
    @cython.final
    cdef void _drain_all(self) noexcept nogil
    @cython.final
    cdef Py_ssize_t _bulk(
        self, Py_ssize_t begin, Py_ssize_t end, const unsigned char *ops, const unsigned int *slots,
        const unsigned char *orders, const unsigned char *types, long long *table, Py_ssize_t table_size
    ) noexcept nogil

cdef Py_ssize_t wanted_as_set(PerCpuLists pcp, int order) noexcept nogil
cdef Py_ssize_t wanted_tuned(PerCpuLists pcp, int order) noexcept nogil
cdef void drain_in_turn(PerCpuLists pcp, int which, int order) noexcept nogil
cdef void drain_one_after_the_other(PerCpuLists pcp, int which, int order) noexcept nogil
cdef void drain_doubled(PerCpuLists pcp, int which, int most_factor) noexcept nogil
cdef void drain_often(PerCpuLists pcp, int which, int order) noexcept nogil
cdef void drain_tuned(PerCpuLists pcp, int which, int order) noexcept nogil
cdef void choose_rules(PerCpuLists pcp, object rule)
