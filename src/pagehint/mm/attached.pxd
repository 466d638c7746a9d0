cimport cython
from pagehint.mm.batch cimport Batch
from pagehint.mm.page cimport (
    AHEAD, FREE, HIGHATOMIC, HINTED, ISOLATE, KIND, LISTS, NEVER, ORDER, PCP, UNREACHABLE, block_pages, page_of,
    prefetch
)
from pagehint.mm.ranges cimport WALKED, Ranges
from pagehint.pointers cimport longlongs, uints

cdef class Attachable(Ranges):
    cdef readonly bint hinting
    cdef object _device
    cdef object _doorbell
    cdef object _settle
    cdef object _count_per_cpu
    cdef bint _attached
    cdef cython.pymutex _lock
    cdef object __weakref__

    cpdef bint fill(self, Batch batch) except -1
    cpdef drain(self, Batch batch, bint hinted)
    @cython.final
    cdef int _check_batch(self, Batch batch) except -1
    @cython.final
    cdef bint _rings(self) noexcept nogil
    @cython.final
    cdef bint _probe(
        self, long long[::1] places, Py_ssize_t count, signed char[::1] orders, unsigned int[::1] freed
    ) except -1
    @cython.final
    cdef Py_ssize_t _list(self, object order, object migratetype) except -1
    @cython.final
    cdef Py_ssize_t _index(self, object pfn) except -1
