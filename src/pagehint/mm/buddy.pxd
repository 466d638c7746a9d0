cimport cython
from pagehint.mm.hinting_state cimport HintingState
from pagehint.mm.page cimport (
    AHEAD, FREE, HINTED, ISOLATE, KIND, LISTS, MOVABLE, NEVER, ORDER, ORDINARY, PUT_BACK, RECLAIMABLE, ROWS,
    TYPE_SHIFT, USED, block_pages, entry, page_of, prefetch
)
from pagehint.pointers cimport uchars, uints, ushorts

cdef class Buddy

# How another type's blocks are taken (fallback.py): one of each a zone, by its kernel.
ctypedef Py_ssize_t (*Fallback)(Buddy buddy, int order, int migratetype) noexcept nogil
ctypedef bint (*Claim)(Buddy buddy, Py_ssize_t i, int migratetype) noexcept nogil

cdef class Buddy(HintingState):
    cdef readonly object page_state
    cdef readonly object page_links
    cdef readonly object pageblock_types
    cdef readonly object pageblock_movable
    cdef readonly Py_ssize_t start_pfn
    cdef readonly int max_order
    cdef readonly int pageblock_order
    cdef readonly object profile
    cdef object _pcps  # weak: the PerCpuLists of it

    cdef unsigned short *_state
    cdef unsigned int *_links
    cdef unsigned char *_types
    cdef unsigned int *_movable
    cdef Py_ssize_t _pages
    cdef Py_ssize_t _lo
    cdef Py_ssize_t _pageblock_lo
    cdef int _top
    cdef int _shuffle_order
    cdef unsigned long long _coin_state
    cdef bint _moved_to_tail
    cdef bint _taking_moves
    cdef bint _merge_retypes
    cdef bint _merge_by_type
    cdef Fallback _fallback
    cdef Claim _claim
    cdef int _least_fallback  # falling back takes no block below this order
    cdef bint _steals  # the last fallback took what was asked, and claimed nothing

    cdef Py_ssize_t _nr_free[32]
    cdef Py_ssize_t _free_pages
    cdef Py_ssize_t _high_watermark
    cdef Py_ssize_t _isolate_list_pages
    cdef Py_ssize_t _nr_isolated

    cdef readonly unsigned long long nr_alloc
    cdef readonly unsigned long long nr_free_ops
    cdef readonly unsigned long long nr_other_ops  # isolation, hotplug, drains, reordering

    @cython.final
    cdef Py_ssize_t _pageblock(self, Py_ssize_t i) noexcept nogil
    @cython.final
    cdef Py_ssize_t _begin_of(self, Py_ssize_t pageblock) noexcept nogil
    @cython.final
    cdef bint _pageblock_is_whole(self, Py_ssize_t pageblock) noexcept nogil
    @cython.final
    cdef Py_ssize_t _first(self, int order, int migratetype) noexcept nogil
    @cython.final
    cdef Py_ssize_t _first_fit(self, int order, int migratetype) noexcept nogil
    @cython.final
    cdef void _insert(self, Py_ssize_t i, int order, int migratetype, Py_ssize_t after) noexcept nogil
    @cython.final
    cdef void _add(self, Py_ssize_t i, int order, int migratetype, bint tail) noexcept nogil
    @cython.final
    cdef Py_ssize_t _before_tail_position(self, int order, int migratetype) noexcept nogil
    @cython.final
    cdef void _unlink(self, Py_ssize_t i) noexcept nogil
    cdef void _unlink_hinted(self, Py_ssize_t e, int state) noexcept nogil  # not final: no compiler copies it into loops
    @cython.final
    cdef void _count(self, int migratetype, Py_ssize_t pages) noexcept nogil
    @cython.final
    cdef void _move(self, Py_ssize_t i, int migratetype) noexcept nogil
    @cython.final
    cdef Py_ssize_t _move_free_blocks(self, Py_ssize_t pageblock, int migratetype) noexcept nogil
    @cython.final
    cdef bint _coin(self) noexcept nogil
    @cython.final
    cdef bint _merges(self, Py_ssize_t buddy, int order, int migratetype) noexcept nogil
    @cython.final
    cdef int _free_one_page(self, Py_ssize_t i, int order, int migratetype, int how) noexcept nogil
    cdef void _notify(self, Py_ssize_t i, int order) noexcept nogil  # not final either
    @cython.final
    cdef void _count_hinted(self, int order, Py_ssize_t blocks) noexcept nogil
    @cython.final
    cdef int _piece(self, Py_ssize_t i, Py_ssize_t end) noexcept nogil
    @cython.final
    cdef void _boot(self, Py_ssize_t begin, Py_ssize_t end, bint tail) noexcept nogil
    @cython.final
    cdef Py_ssize_t _rmqueue_smallest(self, int order, int migratetype) noexcept nogil
    @cython.final
    cdef void _split(self, Py_ssize_t i, int found, int order, int migratetype) noexcept nogil
    @cython.final
    cdef Py_ssize_t _free_in_pageblock(self, Py_ssize_t pageblock) noexcept nogil
    @cython.final
    cdef Py_ssize_t _alloc(self, int order, int migratetype) noexcept nogil
    @cython.final
    cdef void _use(self, Py_ssize_t i, int order, int migratetype) noexcept nogil
    @cython.final
    cdef void _free(self, Py_ssize_t i, int order, int how) noexcept nogil
    @cython.final
    cdef void _free_block(self, Py_ssize_t i, int order, int migratetype, int how) noexcept nogil
    cdef void _free_by_pageblock(self, Py_ssize_t i, int order, int migratetype, int how) noexcept nogil
    @cython.final
    cdef Py_ssize_t _bulk(
        self, Py_ssize_t begin, Py_ssize_t end, const unsigned char *ops, const unsigned int *slots,
        const unsigned char *orders, const unsigned char *types, long long *table, Py_ssize_t table_size
    ) noexcept nogil
