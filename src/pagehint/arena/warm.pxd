cimport cython
from pagehint.arena.extents cimport Extents
from pagehint.mm.batch cimport Batch
from pagehint.mm.page cimport (
    FREE, HELD, IN_FLIGHT, ISOLATE, KIND, MOVABLE, OFFLINE, ORDER, ORDINARY, PUT_BACK, TYPE_SHIFT, block_pages
)
from pagehint.pointers cimport longlongs, uchars, uints

cdef class WarmPages(Extents):
    cdef readonly Py_ssize_t page_size
    cdef object _dirty_array
    cdef object _lengths_array
    cdef unsigned char *_dirty
    cdef unsigned int *_lengths
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

    cpdef bint fill(self, Batch batch) except -1
    cpdef drain(self, Batch batch, bint hinted)
    @cython.final
    cdef void _set_dirty(self, Py_ssize_t begin, Py_ssize_t end, bint dirty) noexcept nogil
    @cython.final
    cdef bint _grow(self, Py_ssize_t pages) noexcept nogil
    @cython.final
    cdef bint _pull_warm(self, Batch batch, long long newest) noexcept nogil
    @cython.final
    cdef Py_ssize_t _take(self, Py_ssize_t pages) except -3
    @cython.final
    cdef int _release(self, Py_ssize_t begin) except -1
