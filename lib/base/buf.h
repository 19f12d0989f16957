/* A growing byte buffer with a maximum that is set when it is made.
 *
 * Contract: `data[size]` is always NUL once something was appended (also after reserve); a failed call changes nothing
 * and returns CI_ERR_NOMEM (no memory) or CI_ERR_LIMIT (the maximum); freeing a zeroed or freed buffer is fine. The
 * buffer may be drained from the front. One thread. */
#ifndef CII_BASE_BUF_H
#define CII_BASE_BUF_H

#include <stdarg.h>

#include "base/error.h"

typedef struct cii_buf {
    char *data;
    size_t size;
    size_t capacity;
    size_t max; /* 0: no maximum */
} cii_buf;

void cii_buf_init(cii_buf *buf, size_t max);
void cii_buf_free(cii_buf *buf);
ci_status cii_buf_append(cii_buf *buf, const void *data, size_t size);
ci_status cii_buf_append_str(cii_buf *buf, const char *text);
ci_status cii_buf_printf(cii_buf *buf, const char *format, ...) _printf_(2, 3);
/* Room for `size` more bytes; *ret_room points at it. Commit what was used with cii_buf_commit(). */
ci_status cii_buf_reserve(cii_buf *buf, size_t size, char **ret_room);
void cii_buf_commit(cii_buf *buf, size_t size);
/* Drops bytes at the front. */
void cii_buf_consume(cii_buf *buf, size_t size);
void cii_buf_clear(cii_buf *buf);
/* Hands the bytes over, malloc'd and NUL-ended, never NULL but without memory; the buffer is empty afterwards. */
char *cii_buf_take(cii_buf *buf, size_t *ret_size);

#define _cleanup_buf_ _cleanup_(cii_buf_free)

#endif
