cimport cython
from pagehint.mm.page cimport FREE, KIND, MOVABLE, ORDER, block_pages, page_of
from pagehint.mm.zone cimport Zone
from pagehint.pointers cimport uints
from pagehint.replays.pages cimport NOWHERE

cdef enum:
    LEAST_LOOKED_AT = 3  # the smallest order of which compaction looks for a pageblock to move things from
    MOST_LOOKED_AT = 33  # and how many blocks it looks at
    WALKS = 4  # through all pages, to find out where compaction began
    AT_REST = 10000000  # ns: compaction that has taken nothing for so long is another

@cython.final
cdef class ListSearches:
    cdef object _mapped
    cdef const unsigned int *_map
    cdef Py_ssize_t _pages
    cdef long long _taken  # the last row at which compaction took a block
    cdef Py_ssize_t _reached  # the end of that block
    cdef long long _reached_at
    cdef long long _walked
    cdef bint _sweeping

    @cython.final
    cdef bint _takes(
        self, Zone zone, long long row, Py_ssize_t pfn, int order, bint looked, Py_ssize_t source
    ) noexcept nogil
    @cython.final
    cdef bint _sweeps(self, Zone zone, long long row, Py_ssize_t pfn, bint looked) noexcept nogil
    @cython.final
    cdef bint _is_first_down(self, Zone zone, long long row, Py_ssize_t pfn) noexcept nogil
    @cython.final
    cdef void _look_for_source(self, Zone zone, Py_ssize_t pageblock) noexcept nogil
