cimport cython
from pagehint.mm.batch cimport Batch
from pagehint.mm.zone cimport Zone

cdef class WarmZone(Zone):
    cdef list _arrays
    cdef long long *_begins
    cdef long long *_ends
    cdef long long *_epochs
    cdef unsigned char *_dirty
    cdef unsigned int *_lengths
    cdef Py_ssize_t _nr_extents
    cdef Py_ssize_t _warm_pages
    cdef Py_ssize_t _used_pages
    cdef Py_ssize_t _blocks
    cdef Py_ssize_t _section
    cdef Py_ssize_t _most_pages
    cdef int _lifetime
    cdef long long _given_pages
    cdef long long _epoch
    cdef Py_ssize_t _wanting
    cdef bint _foreign
    cdef bint _shut
    cdef object _waiters
    cdef set _waiting

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
    cdef void _set_dirty(self, Py_ssize_t begin, Py_ssize_t end, bint dirty) noexcept nogil
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
    @cython.final
    cdef bint _grow(self, Py_ssize_t pages) noexcept nogil
    @cython.final
    cdef void _pull_warm(self, Batch batch, long long newest) noexcept nogil
    @cython.final
    cdef Py_ssize_t _take(self, Py_ssize_t pages) except -3
    @cython.final
    cdef int _release(self, Py_ssize_t begin) except -1
