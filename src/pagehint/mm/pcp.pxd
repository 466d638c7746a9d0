cimport cython
from pagehint.mm.buddy cimport Buddy

cdef enum:
    PCP_LISTS = 13  # orders 0 to 3 with 3 migratetypes each, and one for pageblocks

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
    cdef int _free_factor

    @cython.final
    cdef Py_ssize_t _pageblock(self, Py_ssize_t i) noexcept nogil
    @cython.final
    cdef int _list_of(self, int order, int migratetype) noexcept nogil
    @cython.final
    cdef Py_ssize_t _refill(self, int which, int order, int migratetype) noexcept nogil
    @cython.final
    cdef Py_ssize_t _alloc(self, int order, int migratetype) noexcept nogil
    @cython.final
    cdef void _give_back(self, int which) noexcept nogil
    @cython.final
    cdef void _drain_batch(self, int which, int order) noexcept nogil
    @cython.final
    cdef void _drain_in_turn(self, Py_ssize_t count) noexcept nogil
    @cython.final
    cdef void _drain_from(self, Py_ssize_t count, int which) noexcept nogil
    @cython.final
    cdef void _free(self, Py_ssize_t i, int order) noexcept nogil
    @cython.final
    cdef void _drain_all(self) noexcept nogil
    @cython.final
    cdef Py_ssize_t _bulk(
        self, Py_ssize_t begin, Py_ssize_t end, const unsigned char *ops, const unsigned int *slots,
        const unsigned char *orders, const unsigned char *types, long long *table, Py_ssize_t table_size
    ) noexcept nogil
