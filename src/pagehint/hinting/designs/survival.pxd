# Only compiled code sees what is in it.
cimport cython
from libc.math cimport log
from pagehint.mm.attached cimport Attachable

@cython.final
cdef class _Panel:
    cdef Attachable _zone
    cdef object _random
    cdef Py_ssize_t _size
    cdef long long[::1] _draws
    cdef Py_ssize_t _next
    cdef long long[::1] _pages
    cdef long long[::1] _fresh
    cdef long long[::1] _places
    cdef signed char[::1] _orders
    cdef signed char[::1] _before
    cdef unsigned int[::1] _freed
    cdef unsigned int[::1] _freed_before

    cdef long long _draw(self) except *
