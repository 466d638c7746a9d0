cimport cython
from pagehint.mm.page cimport LISTS, NEVER, UNREACHABLE

cdef class HintingState:
    cdef Py_ssize_t _hinted[32]
    cdef Py_ssize_t _notify_at[32]
    cdef unsigned int _boundary[LISTS]
    cdef bint _active
    cdef bint _counts_exist
    cdef int _min_order

    cdef object _freed_at_array
    cdef unsigned int *_freed_at  # ms, where ages are kept: of free blocks, and those in flight
    cdef bint _ages
    cdef long long _now  # ns, or -1: as the machine's clock says

    cdef int _notify_order
    cdef Py_ssize_t _high_water_mark
    cdef bint _requested
    cdef bint _ring

    @cython.final
    cdef long long _time(self) noexcept nogil
    @cython.final
    cdef unsigned int _tick(self) noexcept nogil
    @cython.final
    cdef long long _age(self, Py_ssize_t i, long long now) noexcept nogil
    @cython.final
    cdef void _keep_age(self, Py_ssize_t i, Py_ssize_t other) noexcept nogil
    @cython.final
    cdef void _request(self, bint wanted) noexcept nogil
