/* The lock behind cython.pymutex before Python 3.13: the platform's mutex.
 *
 * Python's own lock reads the clock twice each time it is taken, also where nobody has it. Since 3.13 cython.pymutex is
 * Python's PyMutex, which doesn't. Every compiled module includes this first, so that all mean the same lock.
 */
#ifndef PAGEHINT_LOCK_H
#define PAGEHINT_LOCK_H
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#if PY_VERSION_HEX < 0x030d0000
#include <pthread.h>
#include <pythread.h>

static inline PyThread_type_lock pagehint_allocate_lock(void) {
    pthread_mutex_t *mutex = PyMem_RawMalloc(sizeof *mutex);
    if (mutex && pthread_mutex_init(mutex, NULL)) {
        PyMem_RawFree(mutex);
        mutex = NULL;
    }
    return mutex;
}

static inline void pagehint_free_lock(PyThread_type_lock lock) {
    if (lock) {
        pthread_mutex_destroy(lock);
        PyMem_RawFree(lock);
    }
}

static inline int pagehint_acquire_lock(PyThread_type_lock lock, int wait) {
    return !(wait ? pthread_mutex_lock(lock) : pthread_mutex_trylock(lock));
}

#define PyThread_allocate_lock pagehint_allocate_lock
#define PyThread_free_lock pagehint_free_lock
#define PyThread_acquire_lock pagehint_acquire_lock
#define PyThread_acquire_lock_timed(lock, microseconds, interruptible) pagehint_acquire_lock(lock, (microseconds) != 0)
#define PyThread_release_lock(lock) ((void)pthread_mutex_unlock(lock))
#endif
#endif
