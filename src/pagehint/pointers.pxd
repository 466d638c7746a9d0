cdef inline unsigned char *uchars(object array) except? NULL:
    return <unsigned char *><size_t>array.ctypes.data

cdef inline unsigned short *ushorts(object array) except? NULL:
    return <unsigned short *><size_t>array.ctypes.data

cdef inline unsigned int *uints(object array) except? NULL:
    return <unsigned int *><size_t>array.ctypes.data

cdef inline int *ints(object array) except? NULL:
    return <int *><size_t>array.ctypes.data

cdef inline long long *longlongs(object array) except? NULL:
    return <long long *><size_t>array.ctypes.data

cdef inline unsigned long long *ulonglongs(object array) except? NULL:
    return <unsigned long long *><size_t>array.ctypes.data
