cimport cython
from pagehint.pointers cimport uchars, uints

cdef enum:
    AREA_ORDER = 9

@cython.final
cdef class BestPossible:
    cdef readonly double free
    cdef readonly double listed
    cdef double _rate
    cdef double _alone
    cdef double _together
    cdef double _alone_gone
    cdef double _together_gone
    cdef long long _begin
    cdef int _shift
    cdef object _arrays
    cdef unsigned int *_times
    cdef unsigned int *_used
    cdef unsigned int *_taken
    cdef unsigned int *_unused_at
    cdef unsigned int *_untaken_at

    @cython.final
    cdef unsigned int _tick(self, long long now) noexcept nogil
    @cython.final
    cdef double _span(self, unsigned int begin, unsigned int end) noexcept nogil
    @cython.final
    cdef void _add(
        self, Py_ssize_t pages, unsigned int freed, unsigned int listed, unsigned int now, bint all_unused,
        bint all_untaken, double alone, double together
    ) noexcept nogil
    @cython.final
    cdef void _freed(self, Py_ssize_t page, long long now) noexcept nogil
    @cython.final
    cdef void _allocated(self, Py_ssize_t page, long long now) noexcept nogil
    @cython.final
    cdef void _took(self, Py_ssize_t page, Py_ssize_t pages, long long now) noexcept nogil
    @cython.final
    cdef void _gave(self, Py_ssize_t page, Py_ssize_t pages, long long now) noexcept nogil
