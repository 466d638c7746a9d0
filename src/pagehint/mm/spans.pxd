from pagehint.mm.attached cimport Attachable
from pagehint.mm.page cimport (
    AT_TAIL, FREE, HINTED, ISOLATE, KIND, OFFLINE, ORDER, ORDINARY, RECLAIMABLE, TYPE_SHIFT, USED
)
from pagehint.pointers cimport longlongs, uchars

cdef class Spans(Attachable):
    pass
