cimport cython
from pagehint.mm.attached cimport Attachable
from pagehint.mm.batch cimport Batch

cdef class Conversation:
    cdef public object zones
    cdef public object now
    cdef public object pending
    cdef public object stopping
    cdef public dict _reacts
    cdef public Batch _batch
    cdef public Attachable _zone  # that the batch's blocks are of
    cdef public object _run
    cdef public object _telling
    cdef public object _all  # a React: of all that the zone's fill gives, batch by batch
    cdef public bint _full
    cdef public object _outcome
    cdef public object _last_error
    cdef public Py_ssize_t _failures
    cdef public long long _runs
    cdef public long long _batches
    cdef public long long _blocks
    cdef public long long _pages
    cdef public long long _errors

    @cython.final
    cdef _ask(self, now)
    @cython.final
    cdef _tell(self, error, now)
    cdef _checked(self, action)
    cdef _check_told(self)
    cdef bint _refilled(self) except -1
    cdef _begin_or_rest(self)
    cdef _checked_rest(self, action)
    @cython.final
    cdef _due(self)
