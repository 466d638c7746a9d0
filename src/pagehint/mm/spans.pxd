cimport cython
from pagehint.mm.attached cimport Attachable

cdef class Spans(Attachable):
    @cython.final
    cdef Py_ssize_t _index(self, object pfn) except -1
