cimport cython
from pagehint.mm.page cimport MOVABLE, RECLAIMABLE, block_pages
from pagehint.pointers cimport longlongs, uchars, uints
from pagehint.replays.columns cimport (
    ALLOC, BATCHED, CMA, EXTFRAG, FREED, ISOLATED, ISOLATING, PCPU_DRAIN, PUTBACK, ZONE_ALLOC, Columns
)

cdef enum:
    STARTS_FREE = 1
    STARTS_USED = 2
    STARTS_PER_CPU = 3
    STARTS_FREED_WHOLE = 4

cdef enum:
    UNTOLD = 254  # a pageblock's first type: can't be known any more

cdef enum:
    FIRST_OF_ALL = 0x7FFFFFFF
    MAX_PAGE_ORDER = 10  # the largest block's: of every kernel so far
    IN_A_ROW = 30000  # ns: what compaction takes at once follows each other sooner
    KEPT_FOR = 100000000  # ns: compaction that takes nothing for so long has ended

# What only a look at the whole recording tells of an event.
cdef enum:
    STRAIGHT = 1  # a free that went straight to the zone, though its order has per-CPU lists
    BOOT = 2  # one of boot's, to the list's tail
    COMPACTED = 3  # a block that compaction looked for and took
    REMOVAL = 4  # a fallback that took its page at once
    SCANNED = 5  # a block that compaction came upon and took
    INFLATED = 6  # an allocation of the balloon's
    TOLD = 7  # the last of those that its device is told of at once: the host takes the memory of all
    ONLINE = 8  # a free with which memory comes online, to the lists' tails

# What a page's last free was, until its next event tells.
cdef enum:
    PLAIN = 0
    FIRST = 1  # as boot frees, before any other event of the page, and before the device came
    FIRST_PAGEBLOCK = 2
    SURPLUS = 3  # right after its block's allocation: more than was wanted

@cython.final
cdef class Scan:
    cdef readonly Py_ssize_t pages
    cdef Columns _columns
    cdef readonly object at_start
    cdef readonly object first_types
    cdef readonly object first_left
    cdef readonly object first_order
    cdef readonly object first_taker
    cdef readonly bint zone_events
    cdef readonly bint zone_level
    cdef int _pageblock_order
    cdef int _most_pcp_order
    cdef unsigned char *_at_start
    cdef unsigned char *_first_types
    cdef unsigned int *_first_left
    cdef unsigned char *_first_order
    cdef unsigned int *_first_taker
    cdef unsigned int _leaving  # departures so far of what was free at the start
    cdef object _last_free_array
    cdef long long *_last_free  # of a page that came to a CPU's list, or straight to the zone: its free's row, and 1
    cdef object _isolated_array
    cdef long long *_isolated  # of a block that was taken by its place, and not put back: that row, and 1
    cdef object _isolating_array
    cdef long long *_isolating  # of a CPU: the block that its next ISOLATED tells of
    cdef object _seen_array
    cdef unsigned char *_seen_cpus
    cdef object _last_was_array
    cdef unsigned char *_last_was  # of a page: what its last free was
    cdef object _before_array
    cdef unsigned int *_before  # of a page freed and not yet put on a list: what its CPU freed before, and 1
    cdef list _skipped
    cdef long long *_skipped_out
    cdef Py_ssize_t _skipped_count
    cdef object _taken_array
    cdef unsigned char *_taken  # of a page: it left the zone before the device came, and had no event since
    cdef Py_ssize_t _load_row
    cdef long long _load
    cdef list _found
    cdef list _ties
    cdef Py_ssize_t _looks
    cdef list _isolations
    cdef long long *_isolations_out
    cdef Py_ssize_t _isolation_count
    cdef list _given_back
    cdef long long *_given_out
    cdef Py_ssize_t _given_count
    cdef object _kept_array
    cdef long long *_kept  # of a page: the row at which it was taken by its place, and 1
    cdef long long _last_isolation
    cdef long long _bursts
    cdef object _burst_array
    cdef long long *_burst  # of a CPU: which of all bursts its isolations are of, which nothing else came between
    cdef public Py_ssize_t _row
    cdef bint _fallback_removes
    cdef Py_ssize_t _pending  # frees and isolations of which later events may still tell
    cdef object _surplus_end_array
    cdef long long *_surplus_end  # of a CPU: where the block ends whose surplus it may be freeing
    cdef object _last_kind_array
    cdef unsigned char *_last_kind
    cdef object _typed_now_array
    cdef unsigned char *_typed_now  # of a CPU: its last departure was its pageblock's first event
    cdef object _last_pfn_array
    cdef long long *_last_pfn
    cdef long long *_rows_out
    cdef unsigned char *_verdicts_out
    cdef Py_ssize_t _n
    cdef Py_ssize_t _room
    cdef readonly object _boot_blocks
    cdef long long *_boot
    cdef long long _departures
    cdef readonly long long moves
    cdef readonly long long removals
    cdef readonly int drained_order
    cdef readonly int least_told
    cdef readonly long long refilled
    cdef readonly long long beyond_batch
    cdef Py_ssize_t _batch
    cdef object _run_array
    cdef unsigned int *_run  # of a CPU: pages that came to its list one right after the other

    @cython.final
    cdef void _starts(self, Py_ssize_t begin, Py_ssize_t end, int state) noexcept nogil
    @cython.final
    cdef void _was_used(self, Py_ssize_t begin, Py_ssize_t end) noexcept nogil
    @cython.final
    cdef void _touched(self, Py_ssize_t begin, Py_ssize_t end) noexcept nogil
    @cython.final
    cdef void _keeps(self, Py_ssize_t begin, Py_ssize_t end, long long since) noexcept nogil
    @cython.final
    cdef void _note_given_back(self, Py_ssize_t pfn, Py_ssize_t pages, long long time) noexcept nogil
    @cython.final
    cdef void _typed(self, Py_ssize_t begin, Py_ssize_t end, int migratetype) noexcept nogil
    @cython.final
    cdef void _taken_off(self, Py_ssize_t pfn, Py_ssize_t end, bint before_load) noexcept nogil
    @cython.final
    cdef void _leaves(self, Py_ssize_t begin, Py_ssize_t end) noexcept nogil
    @cython.final
    cdef void _settled(self, Py_ssize_t begin, Py_ssize_t end) noexcept nogil
    @cython.final
    cdef void _tell(self, Py_ssize_t row, int verdict) noexcept nogil
    @cython.final
    cdef void _left(self, Py_ssize_t begin, Py_ssize_t end) noexcept nogil
    cdef void _told(self, Py_ssize_t begin, Py_ssize_t end) noexcept nogil
    @cython.final
    cdef bint _is_pcp(self, int order) noexcept nogil
    @cython.final
    cdef void _note_isolation(self, Py_ssize_t k, Py_ssize_t pfn, int pages, int cpu) noexcept nogil
    @cython.final
    cdef void _note_source(self, Py_ssize_t pfn, int cpu) noexcept nogil
    @cython.final
    cdef void _note_skipped(self, Py_ssize_t k, Py_ssize_t pfn) noexcept nogil
    @cython.final
    cdef void _isolation(self, Py_ssize_t k, Py_ssize_t pfn, int pages, int cpu, long long time) noexcept nogil
    @cython.final
    cdef void _alloc_of_lists(self, Py_ssize_t pfn, int order, int cpu, int migratetype) noexcept nogil
    @cython.final
    cdef void _note_boot(self, Py_ssize_t k, Py_ssize_t pfn, int order, int cpu, long long time) noexcept nogil
    @cython.final
    cdef void _free_beside_zone_events(
        self, Py_ssize_t k, Py_ssize_t pfn, int order, int cpu, int last, long long last_pfn
    ) noexcept nogil
    @cython.final
    cdef bint _is_surplus(self, int cpu, Py_ssize_t pfn, int order, int last, long long last_pfn) noexcept nogil
    @cython.final
    cdef void _rows(self, Columns columns) noexcept nogil
