cimport cython
from pagehint.mm.batch cimport Batch
from pagehint.mm.buddy cimport Buddy
from pagehint.mm.page cimport (
    AHEAD, FREE, HIGHATOMIC, HINTED, IN_FLIGHT, ISOLATE, KIND, LISTS, MOVABLE, ORDER, ORDINARY, PUT_BACK, TYPE_SHIFT,
    block_pages, entry, page_of, prefetch
)

cdef class HintedLists(Buddy):
    cdef Py_ssize_t _in_flight_pages
    cdef Py_ssize_t _low_watermark

    @cython.final
    cdef int _isolate(self, Py_ssize_t pageblock) noexcept nogil
    @cython.final
    cdef Py_ssize_t _block_around(self, Py_ssize_t pageblock) noexcept nogil
    @cython.final
    cdef void _free_anew(self, Py_ssize_t head) noexcept nogil
    @cython.final
    cdef void _unisolate(self, Py_ssize_t pageblock, int migratetype) noexcept nogil
    @cython.final
    cdef void _end_isolation(self, Py_ssize_t pageblock, int migratetype) noexcept nogil
    @cython.final
    cdef void _request_if_aged(self) noexcept nogil
    @cython.final
    cdef Py_ssize_t _unhinted_isolated(self, int order) noexcept nogil
    @cython.final
    cdef Py_ssize_t _take_run(
        self, Py_ssize_t e, int order, int migratetype, bint backward, Py_ssize_t room, Batch batch
    ) noexcept nogil
    @cython.final
    cdef void _pull(self, int order, int migratetype, Batch batch) noexcept nogil
    @cython.final
    cdef bint _fill(self, Batch batch) noexcept nogil
    @cython.final
    cdef Py_ssize_t _not_in_flight(self, Batch batch) noexcept nogil
    @cython.final
    cdef Py_ssize_t _put_run(self, Py_ssize_t k, Batch batch) noexcept nogil
    @cython.final
    cdef void _put_back(self, Batch batch, bint hinted) noexcept nogil
    @cython.final
    cdef void _uncover(self, int which) noexcept nogil
    @cython.final
    cdef void _begin(self) noexcept nogil
    @cython.final
    cdef Py_ssize_t _hinted_tail(self, int which) noexcept nogil
    @cython.final
    cdef void _forget(self) noexcept nogil
