"""NumPy's own allocations from an arena: a data memory handler (NEP 49). Only compiled: NumPy calls C functions."""

from contextvars import ContextVar

import cython
from cython.cimports import numpy as cnp
from cython.cimports.cpython.exc import PyErr_Fetch, PyErr_Restore
from cython.cimports.cpython.object import PyObject
from cython.cimports.cpython.pycapsule import PyCapsule_GetContext, PyCapsule_New, PyCapsule_SetContext
from cython.cimports.cpython.ref import Py_DECREF, Py_INCREF
from cython.cimports.libc.stdlib import calloc, free, malloc, realloc
from cython.cimports.libc.string import memcpy, strcpy
from cython.cimports.pagehint.arena.block import zero_dirty
from cython.cimports.pagehint.arena.warm import WarmPages

from pagehint.errors import InputError

cnp.import_array()

__all__ = ["NumpyHandler"]

# Which are entered, the innermost last, each with what it replaced: NumPy has a handler for each context too, and one
# of ours can be entered in several.
_entered = ContextVar("pagehint_numpy", default=())


# The garbage collector doesn't see its reference to the pages, so never clears that first: freeing needs it whole.
@cython.final
@cython.no_gc
@cython.cclass
class NumpyHandler:
    """A context manager: within it, NumPy's data of at least ``threshold`` bytes come from the arena's pages.

    Made by ``Arena.numpy``. It holds for the thread (the context) that enters it, and for nothing that is allocated
    outside. What the arena has no room for comes from malloc.
    """

    def __init__(self, warm: WarmPages, memory, address: cython.size_t, threshold: cython.size_t):
        if self._warm is not None:
            raise InputError("a handler is made once")
        self._size = memory.nbytes
        self._warm = warm
        self._memory = memory
        self._address = cython.cast(cython.p_char, address)
        self._threshold = threshold
        strcpy(self._handler.name, b"pagehint_arena")
        self._handler.version = 1
        self._handler.allocator.ctx = cython.cast(cython.p_void, self)
        self._handler.allocator.malloc = _malloc
        self._handler.allocator.calloc = _calloc
        self._handler.allocator.realloc = _realloc
        self._handler.allocator.free = _free

    def __enter__(self):
        if self._warm is None:
            raise InputError("a handler is made by Arena.numpy")
        # Each array holds on to the capsule, so that it can be freed wherever it ends up; the capsule holds this.
        capsule = PyCapsule_New(cython.address(self._handler), b"mem_handler", _dropped)
        Py_INCREF(self)
        PyCapsule_SetContext(capsule, cython.cast(cython.p_void, self))
        _entered.set((*_entered.get(), (self, cnp.PyDataMem_SetHandler(capsule))))
        return self

    def __exit__(self, kind, error, where):
        entered = _entered.get()
        k: cython.Py_ssize_t = len(entered) - 1
        while k >= 0 and entered[k][0] is not self:
            k -= 1
        if k < 0:
            raise InputError("this context of an arena's NumPy memory was not entered here: it holds for one thread")
        replaced = entered[k][1]
        if k == len(entered) - 1:
            cnp.PyDataMem_SetHandler(replaced)
            _entered.set(entered[:k])
        else:  # a generator, say, ends before what it was suspended in: that goes on, and leads back to what was before
            _entered.set((*entered[:k], (entered[k + 1][0], replaced), *entered[k + 2 :]))


def _dropped(capsule):
    Py_DECREF(cython.cast(object, PyCapsule_GetContext(capsule)))


# The first page of memory that is the arena's, else -1.
def _begin_of(self, pointer):
    offset: cython.Py_ssize_t = cython.cast(cython.p_char, pointer) - self._address
    return offset // self._warm.page_size if 0 <= offset < self._size else -1


def _take(self, size, zeroed):
    warm: WarmPages = self._warm
    begin: cython.Py_ssize_t = warm._take((size + warm.page_size - 1) // warm.page_size)
    address: cython.p_char
    if begin < 0:
        return cython.NULL
    address = self._address + begin * warm.page_size
    if zeroed:
        with cython.nogil:
            zero_dirty(warm, begin, size, address)
    return address


def _malloc(context, size):
    self: NumpyHandler = cython.cast(NumpyHandler, context)
    pointer: cython.p_void = cython.NULL
    if size >= self._threshold:
        pointer = _take(self, size, False)
    return malloc(size) if pointer == cython.NULL else pointer


def _calloc(context, count, size):
    self: NumpyHandler = cython.cast(NumpyHandler, context)
    pointer: cython.p_void = cython.NULL
    if size and self._threshold <= count * size and count <= cython.cast(cython.size_t, -1) // size:
        pointer = _take(self, count * size, True)
    return calloc(count, size) if pointer == cython.NULL else pointer


# A free rings the worker's doorbell, which is Python, and NumPy frees on the way out of an error too: that one stays.
def _release(self, begin):
    kind: cython.pointer(PyObject) = cython.NULL
    value: cython.pointer(PyObject) = cython.NULL
    trace: cython.pointer(PyObject) = cython.NULL
    PyErr_Fetch(cython.address(kind), cython.address(value), cython.address(trace))
    _release_pages(self, begin)
    PyErr_Restore(kind, value, trace)


def _release_pages(self, begin):
    self._warm._release(begin)


# Memory of malloc stays there: how much of it there is to copy, only malloc knows.
def _realloc(context, pointer, size):
    self: NumpyHandler = cython.cast(NumpyHandler, context)
    begin: cython.Py_ssize_t = _begin_of(self, pointer)
    held: cython.size_t
    moved: cython.p_void
    if begin < 0:
        return realloc(pointer, size)
    held = self._warm._lengths[begin] * self._warm.page_size
    if held - self._warm.page_size < size <= held:
        return pointer
    moved = _malloc(context, size)
    if moved != cython.NULL:
        with cython.nogil:
            memcpy(moved, pointer, min(held, size))
        _release(self, begin)
    return moved


def _free(context, pointer, size):
    self: NumpyHandler = cython.cast(NumpyHandler, context)
    begin: cython.Py_ssize_t = _begin_of(self, pointer)
    if begin < 0:
        free(pointer)
    else:
        _release(self, begin)
