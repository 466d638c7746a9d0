cimport cython
from pagehint.pointers cimport longlongs, uchars

@cython.final
cdef class Batch:
    cdef readonly Py_ssize_t capacity
    cdef object _pfns_array
    cdef object _orders_array
    cdef object _types_array
    cdef long long *_pfns
    cdef unsigned char *_orders
    cdef unsigned char *_types
    cdef Py_ssize_t _count
    cdef Py_ssize_t _pages
