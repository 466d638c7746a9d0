from pagehint.mm.buddy cimport Buddy
from pagehint.mm.page cimport HIGHATOMIC, ISOLATE, MOVABLE, ORDER, RECLAIMABLE, TYPE_SHIFT, UNMOVABLE, block_pages

cdef int first_type(Buddy buddy, int order, int migratetype) noexcept nogil
cdef bint may_claim(Buddy buddy, int order, int migratetype) noexcept nogil
cdef Py_ssize_t largest(Buddy buddy, int order, int migratetype) noexcept nogil
cdef Py_ssize_t smallest(Buddy buddy, int order, int migratetype) noexcept nogil
cdef Py_ssize_t alike(Buddy buddy, Py_ssize_t pageblock, int migratetype, Py_ssize_t free) noexcept nogil
cdef void claim_pageblocks(Buddy buddy, Py_ssize_t i, int migratetype) noexcept nogil
cdef bint claim_moving(Buddy buddy, Py_ssize_t i, int migratetype) noexcept nogil
cdef Py_ssize_t fall_back_moving(Buddy buddy, int order, int migratetype) noexcept nogil
cdef bint is_claimable(Buddy buddy, Py_ssize_t pageblock) noexcept nogil
cdef void claim(Buddy buddy, Py_ssize_t pageblock, int migratetype) noexcept nogil
cdef bint claim_whole(Buddy buddy, Py_ssize_t i, int migratetype) noexcept nogil
cdef Py_ssize_t take_part(Buddy buddy, Py_ssize_t i, int order) noexcept nogil
cdef Py_ssize_t fall_back_taking(Buddy buddy, int order, int migratetype) noexcept nogil
cdef Py_ssize_t claim_then_steal(Buddy buddy, int order, int migratetype) noexcept nogil
cdef Py_ssize_t steal(Buddy buddy, int order, int migratetype) noexcept nogil
cdef Py_ssize_t alloc_next(Buddy buddy, int order, int migratetype) noexcept nogil
cdef Py_ssize_t claim_told(
    Buddy buddy, Py_ssize_t i, int order, int migratetype, int found, int kind
) noexcept nogil
cdef Py_ssize_t take_told(Buddy buddy, Py_ssize_t i, int order, int migratetype) noexcept nogil
cdef void choose_fallback(Buddy buddy)
