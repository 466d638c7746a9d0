from pagehint.mm.attached cimport Attachable

cdef class Spans(Attachable):
    pass
