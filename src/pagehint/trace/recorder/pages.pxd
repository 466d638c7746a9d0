cimport cython

# The kinds of event (trace/events.py) that need more than their fields.
cdef enum:
    ALLOC = 65
    FREE_BATCHED = 66
    ZONE_ALLOC = 90
    EXTFRAG = 88
    MARK = 77

# Columns of a row of the table of fields: the kind, the bytes that a record must have, then offset and size of each
# field (size 0: the event has none; negative: with a sign); and whether its page is an address in the page array.
cdef enum:
    KIND = 0
    NEED = 1
    PID = 2
    PFN = 4
    ORDER = 6
    TYPE = 8
    GFP = 10
    DETAIL = 12
    DETAIL_TYPE = 14
    DETAIL_FLAG = 16
    BY_PAGE = 18
    WIDTH = 19

cdef enum:
    MOST_ORDER = 20
    NO_VALUE = 255

@cython.final
cdef class PageDecoder:
    cdef readonly long long lost
    cdef readonly long long uncounted
    cdef readonly long long damaged
    cdef readonly long long others
    cdef long long _page_size
    cdef long long _data
    cdef long long _commit
    cdef long long _commit_size
    cdef unsigned long long _vmemmap
    cdef unsigned char[::1] _ids
    cdef int[:, ::1] _table
    cdef object _arrays
    cdef long long _room
    cdef const unsigned char[::1] _pages
    cdef long long[::1] _times
    cdef int[::1] _pids
    cdef unsigned char[::1] _kinds
    cdef long long[::1] _pfns
    cdef unsigned char[::1] _orders
    cdef unsigned char[::1] _types
    cdef unsigned int[::1] _gfps
    cdef int[::1] _details

    @cython.final
    cdef unsigned int _load4(self, long long at) noexcept nogil

    @cython.final
    cdef unsigned long long _load8(self, long long at) noexcept nogil

    @cython.final
    cdef unsigned long long _load(self, long long at, long long size) noexcept nogil

    @cython.final
    cdef long long _decode(self) noexcept nogil

    @cython.final
    cdef long long _page(self, long long start, long long size, long long row) noexcept nogil

    @cython.final
    cdef bint _event(self, long long record, long long length, int entry, long long row) noexcept nogil

    @cython.final
    cdef long long _field(self, long long record, int entry, int column, long long missing) noexcept nogil
