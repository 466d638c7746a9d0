/* A compiled class makes its objects where it is called, and nowhere else.
 *
 * What __new__ makes alone, for copy and pickle too, has fields that nobody set: its methods would crash. Where a class
 * has no __new__ of its own, Python finds object's, which refuses. Every compiled module includes this.
 */
#ifndef PAGEHINT_CLASSES_H
#define PAGEHINT_CLASSES_H
#include <Python.h>

static inline int pagehint_type_ready(PyTypeObject *type) {
    if (PyType_Ready(type) < 0) {
        return -1;
    }
    if (type->tp_dict && PyDict_GetItemString(type->tp_dict, "__new__")) {
        if (PyDict_DelItemString(type->tp_dict, "__new__") < 0) {
            return -1;
        }
        PyType_Modified(type);
    }
    return 0;
}

#define PyType_Ready pagehint_type_ready
#endif
