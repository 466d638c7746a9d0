cimport cython
from pagehint.mm.attached cimport Attachable
from pagehint.mm.pcp cimport PerCpuLists

cdef class Zone(Attachable):
    cdef readonly str name
    cdef readonly int node
    cdef readonly Py_ssize_t page_size
    cdef object _watermarks

    @cython.final
    cdef Py_ssize_t _try(self, object order, object migratetype, PerCpuLists pcp) except -3
    @cython.final
    cdef Py_ssize_t _index(self, object pfn) except -1
