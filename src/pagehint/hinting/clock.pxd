cimport cython

@cython.final
cdef class Timer:
    cdef readonly object time
    cdef readonly object action

@cython.final
cdef class VirtualClock:
    cdef readonly object now
    cdef list _timers
    cdef long long _set
    cdef list _followers

    cpdef Timer call_at(self, time, action)
    cpdef run_until(self, time)
    cpdef step(self)
    cdef Timer _next(self)
    cdef _go_to(self, time)
    cdef _run(self, Timer timer)
