from pagehint.mm.attached cimport Attachable

cdef class Loadable(Attachable):
    pass
