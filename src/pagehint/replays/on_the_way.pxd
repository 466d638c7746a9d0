cimport cython
from pagehint.mm.page cimport FREE, HINTED, KIND, LISTS, ORDER, ORDINARY, TYPE_SHIFT, USED, block_pages, entry, page_of
from pagehint.mm.zone cimport Zone
from pagehint.replays.columns cimport EXTFRAG, PCPU_DRAIN, ZONE_ALLOC, Columns

cdef enum:
    MOST = 16  # frees at once
    AHEAD = 8  # blocks that may have come before one that is done
    LEVELS = 16  # orders
    FIELDS = 4  # of each buddy
    NEVER_WHOLE = 31  # an order that no block has
    LONGEST = 50000000  # ns
    NEAR = 256  # rows

@cython.final
cdef class OnTheWay:
    cdef int count
    cdef bint has_any  # or had
    cdef int _cpu[MOST]
    cdef long long _row[MOST]
    cdef Py_ssize_t _zone[MOST]
    cdef Py_ssize_t _block[MOST]
    cdef int _order[MOST]
    cdef bint _is_off[MOST]
    cdef bint _is_held[MOST]
    cdef long long _time[MOST]
    cdef int _ends
    cdef int _next_past
    cdef Py_ssize_t _past_zone[MOST]
    cdef Py_ssize_t _past_head[MOST]
    cdef int _past_whole[MOST]
    cdef int _past_type[MOST]
    cdef int _past_count[MOST]
    cdef Py_ssize_t _past_ahead[MOST * AHEAD]
    cdef Py_ssize_t _head[MOST]
    cdef int _whole[MOST]
    cdef int _type[MOST]
    cdef Py_ssize_t _before[MOST]
    cdef Py_ssize_t _behind[MOST]
    cdef Py_ssize_t _buddies[MOST * LEVELS * FIELDS]

    @cython.final
    cdef Py_ssize_t _done(self, int cpu, long long now) noexcept nogil
    @cython.final
    cdef void _end(self, Zone zone) noexcept nogil
    @cython.final
    cdef bint _is_whole(self, Zone zone, Py_ssize_t head, int whole, int kind) noexcept nogil
    @cython.final
    cdef void _came_later(self, Zone zone, Py_ssize_t first, Py_ssize_t i) noexcept nogil
    @cython.final
    cdef void _drop(self, int k) noexcept nogil
    @cython.final
    cdef void _frees(self, Zone zone, Py_ssize_t i, int order, int cpu, long long row, long long now) noexcept nogil
    @cython.final
    cdef bint _look(self, Zone zone, int k) noexcept nogil
    @cython.final
    cdef bint _undo(self, Zone zone, int k) noexcept nogil
    @cython.final
    cdef void _stand(
        self, Zone zone, Py_ssize_t i, int order, int kind, Py_ssize_t before, Py_ssize_t behind
    ) noexcept nogil
    @cython.final
    cdef bint _is_on(self, Zone zone, Py_ssize_t e, int order, int kind) noexcept nogil
    @cython.final
    cdef void _put_back(self, Zone zone, int k) noexcept nogil
    @cython.final
    cdef bint _wait(
        self, Zone zone, Columns columns, long long first, Py_ssize_t k, Py_ssize_t i, int order, int migratetype
    ) noexcept nogil
    @cython.final
    cdef bint _wait_for_lock(
        self, Zone zone, Columns columns, long long first, Py_ssize_t k, Py_ssize_t before
    ) noexcept nogil
    @cython.final
    cdef int _goes_on_as(self, Columns columns, Py_ssize_t k) noexcept nogil
    @cython.final
    cdef Py_ssize_t _before_on_cpu(self, Columns columns, Py_ssize_t k) noexcept nogil
    @cython.final
    cdef Py_ssize_t _next_on_cpu(self, Columns columns, Py_ssize_t k) noexcept nogil
    @cython.final
    cdef void _wait_for_take(
        self, Zone zone, long long row, Py_ssize_t i, int order, int migratetype, bint falls_back
    ) noexcept nogil
    @cython.final
    cdef Py_ssize_t _try(
        self, Zone zone, int k, long long row, Py_ssize_t first, Py_ssize_t i, int order, int migratetype,
        bint falls_back
    ) noexcept nogil
    @cython.final
    cdef bint _hides(self, int k, Py_ssize_t first, Py_ssize_t i) noexcept nogil
    @cython.final
    cdef void _redo(self, Zone zone, int k, long long row) noexcept nogil
    @cython.final
    cdef void _redo_held(self, Zone zone, long long row) noexcept nogil
