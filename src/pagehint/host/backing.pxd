cimport cython
from pagehint.pointers cimport uchars, ulonglongs, ushorts

cdef extern from *:
    int popcount "__builtin_popcountll"(unsigned long long) noexcept nogil


@cython.final
cdef class Backing:
    cdef readonly long long pages, limit
    cdef readonly long long resident, swapped
    cdef readonly long long faults_4kib, faults_2mib, refaults_4kib, refaults_2mib
    cdef readonly long long given_back, given_back_4kib, given_back_2mib
    cdef readonly long long discards, empty_discards, splits
    cdef readonly long long swapped_out, swapped_in
    cdef readonly long long collapsed
    cdef readonly str page_size

    cdef int _mode
    cdef long long _areas, _hand, _scanned
    cdef unsigned long long *_backed
    cdef unsigned long long *_given
    cdef unsigned long long *_swapped
    cdef unsigned short *_count
    cdef unsigned char *_state
    cdef object _arrays
    cdef cython.pymutex _lock  # not held while objects are made: that may run a finalizer that comes here again

    # The caller is alone with the backing during these: they take no lock.
    cdef void _touch(self, long long pfn, int order) noexcept nogil
    cdef long long _discard(self, long long pfn, int order) noexcept nogil

    cdef long long _collapse(self, long long areas) noexcept nogil
    cdef void _withdraw(self, long long pfn) noexcept nogil

    cdef void _reset(self)
    cdef long long _end(self, long long pfn, int order) noexcept nogil
    cdef long long _stop(self, long long pfn, long long end) noexcept nogil
    cdef bint _whole(self, long long pfn, long long stop) noexcept nogil
    cdef void _fault_area(self, long long area) noexcept nogil
    cdef void _fault_pages(self, long long pfn, long long stop) noexcept nogil
    cdef long long _drop_pages(self, long long pfn, long long stop) noexcept nogil
    cdef void _swap_out(self, long long kept) noexcept nogil
    cdef long long _count_pages(self, long long pfn, long long stop) noexcept nogil
