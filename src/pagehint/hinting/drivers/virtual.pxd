cimport cython
from pagehint.hinting.clock cimport Timer, VirtualClock
from pagehint.hinting.conversation cimport Conversation

@cython.final
cdef class VirtualWorker:
    cdef readonly Conversation design
    cdef readonly VirtualClock clock
    cdef tuple _zones
    cdef object _react_time
    cdef object _on_begin
    cdef object _rest_time
    cdef object _react
    cdef Timer _timer
    cdef object _reacting
    cdef bint _overridden
    cdef bint _stepping
    cdef bint _waited_for
    cdef readonly long long stalls
    cdef readonly long long stalled
    cdef long long _asked_at
    cdef long _asked

    cdef Timer _set_timer(self)
    cdef _disarm(self)
    cdef _arm(self, time)
    cdef _act(self)
    cdef _count(self, long long now)
    cdef _tell(self)
