cimport cython
from pagehint.mm.batch cimport Batch
from pagehint.mm.hinted cimport HintedLists
from pagehint.mm.page cimport (
    FREE, HIGHATOMIC, HINTED, IN_FLIGHT, ISOLATE, KIND, LISTS, MOVABLE, OFFLINE, ORDER, RECLAIMABLE, TYPE_SHIFT, USED,
    block_pages, entry, page_of, prefetch
)

cdef enum:
    WALK = 1024  # blocks that are looked at before the lock is let go of
    WALKED = -2  # to a list's end

cdef class Ranges(HintedLists):
    cdef Py_ssize_t _stopped[LISTS]  # where the last pull from each list stopped
    cdef Py_ssize_t _offline_pages
    cdef Py_ssize_t _min_watermark

    @cython.final
    cdef void _begin_walks(self, int least, int most, int low, int high) noexcept nogil
    @cython.final
    cdef Py_ssize_t _head_of(self, Py_ssize_t i) noexcept nogil
    @cython.final
    cdef bint _can_start(self, Py_ssize_t i, int order) noexcept nogil
    @cython.final
    cdef void _cut(self, Py_ssize_t i) noexcept nogil
    @cython.final
    cdef Py_ssize_t _first_not(self, Py_ssize_t begin, Py_ssize_t end, int kind) noexcept nogil
    @cython.final
    cdef void _clear_used(self, Py_ssize_t begin, Py_ssize_t end) noexcept nogil
    @cython.final
    cdef void _mark(self, Py_ssize_t begin, Py_ssize_t end, int word) noexcept nogil
    @cython.final
    cdef void _take_free(self, Py_ssize_t begin, Py_ssize_t end, int word) noexcept nogil
    @cython.final
    cdef void _free_pieces(self, Py_ssize_t begin, Py_ssize_t end, int how) noexcept nogil
    @cython.final
    cdef bint _join_used(self, Py_ssize_t i, int order) noexcept nogil
    @cython.final
    cdef bint _free_used(self, Py_ssize_t i, int order, int migratetype, int how) noexcept nogil
    @cython.final
    cdef bint _take_block(self, Py_ssize_t i, int order, int migratetype) noexcept nogil
    @cython.final
    cdef bint _isolate_block(self, Py_ssize_t i, int order) noexcept nogil
    @cython.final
    cdef Py_ssize_t _free_around(self, Py_ssize_t i, int order) noexcept nogil
    @cython.final
    cdef void _carve(self, Py_ssize_t head, Py_ssize_t i, int order, int rest, int migratetype) noexcept nogil
    @cython.final
    cdef void _make_movable(self, Py_ssize_t i, int order) noexcept nogil
    @cython.final
    cdef void _move_rest(self, Py_ssize_t i, int order) noexcept nogil
    @cython.final
    cdef void _load(self, const unsigned char *kinds, const unsigned char *hinted) noexcept nogil
    @cython.final
    cdef void _line_up(self, const long long *blocks, Py_ssize_t count) noexcept nogil
    @cython.final
    cdef void _forget_all(self) noexcept nogil
    @cython.final
    cdef void _bring_before(self, Py_ssize_t e, Py_ssize_t other) noexcept nogil
    @cython.final
    cdef bint _turn_behind(self, Py_ssize_t i) noexcept nogil
    @cython.final
    cdef void _reorder(self, Py_ssize_t i) noexcept nogil
    @cython.final
    cdef void _take_off(self, Py_ssize_t i, Batch batch) noexcept nogil
    @cython.final
    cdef Py_ssize_t _pull_old(
        self, int order, int migratetype, Batch batch, Py_ssize_t most, long long age, bint from_head, Py_ssize_t begin
    ) noexcept nogil
    @cython.final
    cdef int _take_unreported(self, int order, int migratetype, Batch batch, Py_ssize_t budget) noexcept nogil
