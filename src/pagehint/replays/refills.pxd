cimport cython

cdef enum:
    PAUSE = 20000  # ns: a refill's first blocks follow each other sooner

cdef class Refills:
    cdef object _next_array
    cdef object _before_array
    cdef object _first_array
    cdef object _last_array
    cdef unsigned int *_next
    cdef unsigned int *_before
    cdef long long *_first
    cdef long long *_last
    cdef Py_ssize_t _pages
    cdef Py_ssize_t _rings
    cdef int _pageblock_order

    @cython.final
    cdef Py_ssize_t _ring(self, int cpu, int order, int migratetype) noexcept nogil
    @cython.final
    cdef bint _begins(self, Py_ssize_t ring, long long now) noexcept nogil
    @cython.final
    cdef void _add(self, Py_ssize_t ring, Py_ssize_t pfn) noexcept nogil
    @cython.final
    cdef bint _remove(self, Py_ssize_t pfn) noexcept nogil
    @cython.final
    cdef Py_ssize_t _block_of(self, Py_ssize_t pfn) noexcept nogil
    @cython.final
    cdef Py_ssize_t _pop(self, Py_ssize_t ring) noexcept nogil
