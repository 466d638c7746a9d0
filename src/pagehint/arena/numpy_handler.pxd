from libc.stdint cimport uint8_t
from pagehint.arena.warm cimport WarmPages

cdef extern from "numpy/arrayobject.h":
    ctypedef struct PyDataMemAllocator:
        void *ctx
        void *(*malloc)(void *ctx, size_t size) noexcept
        void *(*calloc)(void *ctx, size_t nelem, size_t elsize) noexcept
        void *(*realloc)(void *ctx, void *ptr, size_t new_size) noexcept
        void (*free)(void *ctx, void *ptr, size_t size) noexcept
    ctypedef struct PyDataMem_Handler:
        char[127] name
        uint8_t version
        PyDataMemAllocator allocator

cdef class NumpyHandler:
    cdef WarmPages _warm
    cdef object _memory
    cdef char *_address
    cdef Py_ssize_t _size
    cdef size_t _threshold
    cdef PyDataMem_Handler _handler

cdef Py_ssize_t _begin_of(NumpyHandler self, void *pointer) noexcept
cdef void *_take(NumpyHandler self, size_t size, bint zeroed) noexcept
cdef void _release(NumpyHandler self, Py_ssize_t begin) noexcept
cdef void _release_pages(NumpyHandler self, Py_ssize_t begin) noexcept
cdef void *_malloc(void *context, size_t size) noexcept with gil
cdef void *_calloc(void *context, size_t count, size_t size) noexcept with gil
cdef void *_realloc(void *context, void *pointer, size_t size) noexcept with gil
cdef void _free(void *context, void *pointer, size_t size) noexcept with gil
cdef void _dropped(object capsule) noexcept
