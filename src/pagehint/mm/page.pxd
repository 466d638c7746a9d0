cdef extern from *:
    """
    #if defined(__GNUC__) || defined(__clang__)
    #define pagehint_prefetch(address) __builtin_prefetch(address)
    #else
    #define pagehint_prefetch(address) ((void)(address))
    #endif
    #define pagehint_block_pages(order) (((Py_ssize_t)1) << (order))
    #define pagehint_unreachable (((Py_ssize_t)1) << 60)
    #define pagehint_mixed(number) ((number) ^ ((((number) >> 9) & 63) << 3))
    static inline Py_ssize_t pagehint_entry(Py_ssize_t i) { return pagehint_mixed(i + 512); }
    static inline Py_ssize_t pagehint_page_of(Py_ssize_t entry) { return pagehint_mixed(entry) - 512; }
    """
    Py_ssize_t entry "pagehint_entry"(Py_ssize_t i) noexcept nogil
    Py_ssize_t page_of "pagehint_page_of"(Py_ssize_t entry) noexcept nogil
    Py_ssize_t block_pages "pagehint_block_pages"(int order) noexcept nogil
    const Py_ssize_t UNREACHABLE "pagehint_unreachable"
    void prefetch "pagehint_prefetch"(const void *address) noexcept nogil

# A page's state word, in the order of the bits: order, kind, hinted, migratetype.
cdef enum:
    ORDER = 0x1f
    KIND = 0xe0
    FREE = 0x20
    USED = 0x40
    IN_FLIGHT = 0x60
    PCP = 0x80
    OFFLINE = 0xa0
    HELD = 0xc0
    HINTED = 0x100
    TYPE_SHIFT = 9

cdef enum:
    LISTS = 160  # rings: 5 migratetypes, 32 orders each
    NEVER = 255  # no order reaches it
    ROWS = 512

cdef enum:
    UNMOVABLE = 0
    MOVABLE = 1
    RECLAIMABLE = 2
    HIGHATOMIC = 3
    ISOLATE = 4

# How a block is freed: as docs/spec/1 says; or at its list's tail, where nobody is notified, and where they are.
cdef enum:
    ORDINARY = 0
    PUT_BACK = 1
    AT_TAIL = 2

cdef enum:
    AHEAD = 12  # operations that a bulk call looks ahead, to fetch what they will touch
