cimport cython
from pagehint.host.backing cimport Backing
from pagehint.mm.page cimport block_pages
from pagehint.pointers cimport ints, uchars, uints, ulonglongs

cdef extern from *:
    """
    /* Nearly all words are empty or full. */
    #define pagehint_popcount(word) (!(word) ? 0 : !~(word) ? 64 : __builtin_popcountll(word))
    #define PAGEHINT_NOWHERE 0xffffffffLL
    #define PAGEHINT_MOST_MS 0xffffffffLL
    #define pagehint_has(words, page) (((words)[(page) >> 6] >> ((page) & 63)) & 1)
    """
    const long long NOWHERE "PAGEHINT_NOWHERE"  # where a page is that no page of the model stands for
    const long long MOST_MS "PAGEHINT_MOST_MS"  # times of frees (ms) are kept modulo 2**32
    bint has "pagehint_has"(const unsigned long long *words, Py_ssize_t page) noexcept nogil
    int popcount "pagehint_popcount"(unsigned long long) noexcept nogil

cdef enum:
    AREA_ORDER = 9  # the backing counts its pages by 2 MiB

cdef class Pages:
    cdef readonly Backing backing
    cdef readonly Py_ssize_t pages
    cdef readonly object used
    cdef readonly object taken
    cdef unsigned long long *_used
    cdef unsigned long long *_taken
    cdef readonly long long used_resident
    cdef object _used_resident_array
    cdef int *_used_resident
    cdef unsigned char *_memory
    cdef Py_ssize_t _memory_pages
    cdef int _shift
    cdef object _counts
    cdef int _order
    cdef int _unit_order
    cdef Py_ssize_t _units
    cdef Py_ssize_t _stale_count
    cdef int *_listed
    cdef int *_per_cpu
    cdef int *_mixed
    cdef unsigned int *_stale
    cdef unsigned char *_is_stale
    cdef long long _total_listed
    cdef long long _total_per_cpu
    cdef long long _total_mixed

    @cython.final
    cdef void _mark(self, unsigned long long *words, Py_ssize_t begin, Py_ssize_t pages, bint value) noexcept nogil
    @cython.final
    cdef void _mark_used(self, Py_ssize_t page, bint value) noexcept nogil
    @cython.final
    cdef void _touch_block(self, Py_ssize_t pfn, int order) noexcept nogil
    @cython.final
    cdef void _count_used(self, Py_ssize_t area) noexcept nogil
    @cython.final
    cdef void _withdraw_page(self, Py_ssize_t page) noexcept nogil
    @cython.final
    cdef void _changed(self, Py_ssize_t pfn, Py_ssize_t pages) noexcept nogil
    @cython.final
    cdef void _recount(self) noexcept nogil
    @cython.final
    cdef void _count_unit(self, Py_ssize_t unit) noexcept nogil
    @cython.final
    cdef long long _resident_in(self, Py_ssize_t pfn, int order) noexcept nogil
    @cython.final
    cdef void _write(self, Py_ssize_t page, Py_ssize_t pages) noexcept nogil
