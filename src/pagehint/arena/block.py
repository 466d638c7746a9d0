"""A block of an arena's memory. Only compiled: Python 3.11 has no buffers of classes written in Python."""

import cython
from cython.cimports.cpython.buffer import PyBuffer_FillInfo
from cython.cimports.libc.string import memset
from cython.cimports.pagehint.arena.warm import WarmPages

__all__ = ["Block", "allocate"]


# The garbage collector doesn't see its reference to the pages, so never clears that first: freeing needs it whole.
@cython.final
@cython.no_gc
@cython.cclass
class Block:
    """Memory of an arena, ``nbytes`` of it: a writable buffer, freed with the last reference to it or to a view of it.

    Made by ``Arena.alloc``. Its contents are not defined at first.
    """

    def __cinit__(self):
        self._begin = -1

    def __init__(self):
        raise TypeError("a Block is made by Arena.alloc")

    def __getbuffer__(self, buffer: cython.pointer(cython.Py_buffer), flags: cython.int):
        with cython.critical_section(self):
            if self._begin < 0:
                raise ValueError("this block is freed: its memory can't be used any more")
            PyBuffer_FillInfo(buffer, self, self._address, self.nbytes, False, flags)
            self._exports += 1

    def __releasebuffer__(self, buffer: cython.pointer(cython.Py_buffer)):
        with cython.critical_section(self):
            self._exports -= 1

    def __dealloc__(self):
        if self._begin >= 0:
            self._warm._release(self._begin)

    def __len__(self):
        return self.nbytes

    def __repr__(self):
        where = f"at {self.address:#x}" if self._begin >= 0 else "freed"
        return f"<Block of {self.nbytes} bytes, {where}>"

    @property
    def address(self):
        """Of the first byte."""
        return cython.cast(cython.size_t, self._address)

    @property
    def offset(self):
        """Of the first byte, in the arena's memory; negative when it is freed."""
        if self._begin < 0:
            return -1
        return self._begin * self._warm.page_size

    @property
    def freed(self):
        """``free`` was called."""
        return self._begin < 0

    def free(self):
        """Free it now; more than once does nothing. Raises BufferError while views of it are in use."""
        begin: cython.Py_ssize_t
        with cython.critical_section(self):  # of two threads one frees it, and not what lies there since
            if self._exports:
                raise BufferError(
                    f"a block of {self.nbytes} bytes can't be freed: views of it are in use ({self._exports})"
                )
            begin = self._begin
            self._begin = -1
        if begin >= 0:
            self._warm._release(begin)


def allocate(warm: WarmPages, memory, address: cython.size_t, nbytes: cython.Py_ssize_t, zeroed: cython.bint):
    """A block of an arena's pages, whose first is at ``address`` while ``memory`` lives; None if there are not so many.

    With ``zeroed`` it reads as zeros: what was given back or never used does so, only the rest is written.
    """
    # Made before there is anything to lose: a signal handler may raise as soon as this returns.
    block: Block = Block.__new__(Block)
    block._warm = warm
    block._memory = memory
    block.nbytes = nbytes
    block._begin = warm._take((nbytes + warm.page_size - 1) // warm.page_size)
    if block._begin < 0:
        return None
    block._address = cython.cast(cython.p_char, address) + block._begin * warm.page_size
    if zeroed:
        with cython.nogil:
            zero_dirty(warm, block._begin, nbytes, block._address)
    return block


def zero_dirty(warm, begin, nbytes, address):
    size: cython.Py_ssize_t = warm.page_size
    i: cython.Py_ssize_t = 0
    start: cython.Py_ssize_t
    while i * size < nbytes:
        start = i
        while i * size < nbytes and warm._dirty[begin + i]:
            i += 1
        if i > start:
            memset(address + start * size, 0, min(i * size, nbytes) - start * size)
        else:
            i += 1
