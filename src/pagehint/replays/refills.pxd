cimport cython
from pagehint.mm.page cimport MOVABLE, RECLAIMABLE, block_pages
from pagehint.mm.pcp cimport MOST_FACTOR
from pagehint.pointers cimport longlongs, uchars, uints
from pagehint.replays.columns cimport CMA, EXTFRAG, PCPU_DRAIN, ZONE_ALLOC, Columns

cdef enum:
    PAUSE = 20000  # ns: a refill's first blocks follow each other sooner
    A_CPU = 14  # lists of a CPU in a zone: of orders 0 to 3, three types each, and of pageblocks, movable and other
    SMALL = 3  # the largest of those orders

cdef extern from *:
    """
    #define pagehint_never (1LL << 62)
    """
    const long long NEVER "pagehint_never"  # a time (ns)

cdef class Lists:
    cdef Py_ssize_t _cpus
    cdef Py_ssize_t _zones
    cdef object _zone_ends_array
    cdef long long *_zone_ends
    cdef bint _above_order_0
    cdef int _pageblock_order
    cdef readonly Py_ssize_t _lists

    @cython.final
    cdef Py_ssize_t _list(self, Py_ssize_t pfn, int cpu, int order, int migratetype) noexcept nogil
    @cython.final
    cdef int _order(self, Py_ssize_t which) noexcept nogil
    @cython.final
    cdef int _zone_of(self, Py_ssize_t pfn) noexcept nogil

@cython.final
cdef class RefillScan(Lists):
    cdef tuple _made_of
    cdef Py_ssize_t _pages
    cdef Py_ssize_t _count
    cdef int _factor
    cdef bint _fallback_removes
    cdef object _batches_array
    cdef long long *_batches
    cdef Columns _columns
    cdef object _of_array
    cdef object _place_array
    cdef object _at_start_array
    cdef object _of_lists
    cdef object _of_cpus
    cdef object _in_zone_array
    cdef unsigned int *_of
    cdef unsigned int *_place
    cdef unsigned int *_at_start
    cdef unsigned int *_now
    cdef long long *_first
    cdef long long *_last
    cdef long long *_on_cpu
    cdef long long *_took
    cdef long long *_in_zone
    cdef long long *_list_of
    cdef long long *_begins
    cdef long long *_ends
    cdef unsigned int *_used
    cdef unsigned int *_brought
    cdef unsigned int *_rest_of
    cdef unsigned int *_before
    cdef list _found

    @cython.final
    cdef long long _batch(self, Py_ssize_t which) noexcept nogil
    @cython.final
    cdef long long _most(self, Py_ssize_t which) noexcept nogil
    @cython.final
    cdef bint _is_whole(self, Py_ssize_t which, long long blocks) noexcept nogil
    @cython.final
    cdef void _settle(self, Py_ssize_t which) noexcept nogil
    @cython.final
    cdef void _look(self, Columns columns) noexcept nogil

@cython.final
cdef class Refills(Lists):
    cdef Py_ssize_t _pages
    cdef object _next_array
    cdef object _before_array
    cdef object _waits_array
    cdef object _refill_array
    cdef object _refilled_array
    cdef Py_ssize_t _refilled_count
    cdef const long long *_refilled
    cdef tuple _found_arrays
    cdef object _left_array
    cdef object _step_array
    cdef object _due_array
    cdef unsigned int *_next
    cdef unsigned int *_before
    cdef unsigned char *_waits
    cdef long long *_refill
    cdef const long long *_found_first
    cdef const long long *_found_begins
    cdef const long long *_found_ends
    cdef const unsigned int *_found_used
    cdef long long *_left
    cdef long long *_step
    cdef long long *_due

    @cython.final
    cdef bint _begins(self, Py_ssize_t which, long long now) noexcept nogil
    @cython.final
    cdef long long _begin(self, Py_ssize_t which, long long now) noexcept nogil
    @cython.final
    cdef Py_ssize_t _use(self, Py_ssize_t which, long long now) noexcept nogil
    @cython.final
    cdef void _add(self, Py_ssize_t which, Py_ssize_t pfn) noexcept nogil
    @cython.final
    cdef bint _remove(self, Py_ssize_t pfn) noexcept nogil
    @cython.final
    cdef Py_ssize_t _block_of(self, Py_ssize_t pfn) noexcept nogil
    @cython.final
    cdef Py_ssize_t _pop(self, Py_ssize_t which) noexcept nogil
