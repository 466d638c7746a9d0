cimport cython
from pagehint.mm.fallback cimport choose_fallback
from pagehint.mm.page cimport KIND, OFFLINE, ORDER, ORDINARY, RECLAIMABLE, USED
from pagehint.mm.pcp cimport PerCpuLists
from pagehint.mm.spans cimport Spans
from pagehint.pointers cimport longlongs, uchars, uints

cdef class Zone(Spans):
    cdef readonly str name
    cdef readonly int node
    cdef readonly Py_ssize_t page_size
    cdef object _watermarks

    @cython.final
    cdef int _check_lists(self, PerCpuLists pcp) except -1
    @cython.final
    cdef Py_ssize_t _try(self, object order, object migratetype, PerCpuLists pcp, bint whole) except -3
    @cython.final
    cdef Py_ssize_t _operate(
        self, Py_ssize_t begin, Py_ssize_t end, const unsigned char *ops, const unsigned int *slots,
        const unsigned char *orders, const unsigned char *types, long long *table, Py_ssize_t table_size,
        PerCpuLists pcp
    ) noexcept nogil
