cimport cython
from pagehint.arena.warm cimport WarmPages

cdef void zero_dirty(WarmPages warm, Py_ssize_t begin, Py_ssize_t nbytes, char *address) noexcept nogil

cdef class Block:
    cdef readonly Py_ssize_t nbytes
    cdef WarmPages _warm
    cdef object _memory
    cdef char *_address
    cdef Py_ssize_t _begin
    cdef Py_ssize_t _exports
    cdef object __weakref__
