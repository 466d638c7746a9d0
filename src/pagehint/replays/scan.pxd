cimport cython

# The kinds of event (trace/events.py).
cdef enum:
    ALLOC = 65
    FREED = 70
    ZONE_ALLOC = 90
    PCPU_DRAIN = 68
    EXTFRAG = 88
    ISOLATING = 73
    ISOLATED = 105
    PUTBACK = 80

cdef enum:
    STARTS_FREE = 1
    STARTS_USED = 2

cdef enum:
    MAX_ORDER = 10  # the largest block's: of every kernel so far

cdef class Scan:
    cdef readonly Py_ssize_t pages
    cdef readonly object at_start
    cdef readonly object first_types
    cdef readonly bint zone_events
    cdef int _pageblock_order
    cdef int _most_pcp_order
    cdef unsigned char *_at_start
    cdef unsigned char *_first_types
    cdef object _last_free_array
    cdef long long *_last_free
    cdef object _isolated_array
    cdef long long *_isolated
    cdef object _isolating_array
    cdef long long *_isolating
    cdef object _seen_cpus
    cdef Py_ssize_t _k
    cdef object _first_freed_array
    cdef unsigned char *_first_freed
    cdef object _taken_array
    cdef unsigned char *_taken
    cdef Py_ssize_t _load_row
    cdef long long _load
    cdef list _straight
    cdef list _boot
    cdef Py_ssize_t _row

    @cython.final
    cdef void _starts(self, Py_ssize_t begin, Py_ssize_t end, int state) noexcept nogil
    @cython.final
    cdef void _touched(self, Py_ssize_t begin, Py_ssize_t end) noexcept nogil
    @cython.final
    cdef void _typed(self, Py_ssize_t begin, Py_ssize_t end, int migratetype) noexcept nogil
    @cython.final
    cdef Py_ssize_t _rows(
        self, Py_ssize_t count, Py_ssize_t room, const unsigned short *cpus, const unsigned char *events, const long long *pfns,
        const unsigned char *orders, const unsigned char *types, const int *details, long long *found, unsigned char *booted
    ) noexcept nogil
