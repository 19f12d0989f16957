/* What every file of lib/ may use: clean-up by attribute, moving ownership, small helpers.
 *
 *     _cleanup_free_ char *name = strdup(path);      freed when the scope ends
 *     *ret_name = TAKE_PTR(name);                    or handed on, and then not
 */
#ifndef CII_BASE_COMMON_H
#define CII_BASE_COMMON_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define _cleanup_(f) __attribute__((cleanup(f)))
#define _printf_(fmt, args) __attribute__((format(printf, fmt, args)))
#define _unused_ __attribute__((unused))

#define TAKE_PTR(p)                 \
    __extension__({                 \
        __typeof__(p) _taken = (p); \
        (p) = NULL;                 \
        _taken;                     \
    })
#define TAKE_FD(fd)        \
    __extension__({        \
        int _taken = (fd); \
        (fd) = -1;         \
        _taken;            \
    })

#define CII_ELEMENTS(array) (sizeof(array) / sizeof((array)[0]))
#define CII_MIN(a, b) ((a) < (b) ? (a) : (b))
#define CII_MAX(a, b) ((a) > (b) ? (a) : (b))

static inline void cii_free_p(void *p) {
    free(*(void **)p);
}
#define _cleanup_free_ _cleanup_(cii_free_p)

/* Closes and keeps errno, so that it may stand between a failure and its report. */
static inline void cii_close(int fd) {
    if (fd >= 0) {
        int saved = errno;
        close(fd);
        errno = saved;
    }
}
static inline void cii_close_p(const int *fd) {
    cii_close(*fd);
}
#define _cleanup_close_ _cleanup_(cii_close_p)

#endif
