cimport cython
from pagehint.mm.attached cimport Attachable
from pagehint.mm.page cimport FREE, KIND, MOVABLE, OFFLINE, ORDER, block_pages
from pagehint.pointers cimport longlongs

cdef class Extents(Attachable):
    cdef list _extents
    cdef long long *_begins
    cdef long long *_ends
    cdef long long *_epochs
    cdef Py_ssize_t _nr_extents
    cdef Py_ssize_t _warm_pages

    @cython.final
    cdef Py_ssize_t _first_extent(self, Py_ssize_t i) noexcept nogil
    @cython.final
    cdef void _set_extent(self, Py_ssize_t k, Py_ssize_t begin, Py_ssize_t end, long long epoch) noexcept nogil
    @cython.final
    cdef void _insert_extent(self, Py_ssize_t k, Py_ssize_t begin, Py_ssize_t end, long long epoch) noexcept nogil
    @cython.final
    cdef void _delete_extent(self, Py_ssize_t k) noexcept nogil
    @cython.final
    cdef void _add_warm(self, Py_ssize_t begin, Py_ssize_t end, long long epoch) noexcept nogil
    @cython.final
    cdef void _remove_warm(self, Py_ssize_t begin, Py_ssize_t end) noexcept nogil
    @cython.final
    cdef bint _is_free(self, Py_ssize_t begin, Py_ssize_t end) noexcept nogil
    @cython.final
    cdef Py_ssize_t _find_warm(self, Py_ssize_t pages) noexcept nogil
    @cython.final
    cdef Py_ssize_t _find_warm_run(self, Py_ssize_t pages) noexcept nogil
    @cython.final
    cdef Py_ssize_t _find_free(self, Py_ssize_t pages) noexcept nogil
    @cython.final
    cdef Py_ssize_t _find(self, Py_ssize_t pages) noexcept nogil
