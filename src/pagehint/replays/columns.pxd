cimport cython
from pagehint.pointers cimport ints, longlongs, uchars, ushorts

# The kinds of event (trace/events.py).
cdef enum:
    ALLOC = 65
    FREED = 70
    BATCHED = 66
    ZONE_ALLOC = 90
    PCPU_DRAIN = 68
    EXTFRAG = 88
    ISOLATING = 73
    ISOLATED = 105
    PUTBACK = 80

cdef enum:
    CMA = 4  # an event's type, of a kernel that has it: contiguous areas, which movable pages are lent

@cython.final
cdef class Columns:
    cdef list _arrays
    cdef readonly Py_ssize_t count
    cdef const long long *_times
    cdef const unsigned short *_cpus
    cdef const unsigned char *_events
    cdef const long long *_pfns
    cdef const unsigned char *_orders
    cdef const unsigned char *_types
    cdef const int *_details
