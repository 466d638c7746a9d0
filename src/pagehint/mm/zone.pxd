cimport cython
from pagehint.mm.hinted cimport HintedLists

cdef class Zone(HintedLists):
    cdef readonly str name
    cdef readonly int node
    cdef readonly Py_ssize_t page_size
    cdef readonly bint hinting
    cdef object _watermarks
    cdef object _device
    cdef object _doorbell
    cdef object _settle
    cdef bint _attached
    cdef cython.pymutex _lock
    cdef object __weakref__

    @cython.final
    cdef Py_ssize_t _try(self, object order, object migratetype) except -3
    @cython.final
    cdef Py_ssize_t _index(self, object pfn) except -1
