/* The growing buffer. Capacity counts the NUL; it doubles, so that appending is linear in the end. */
#include "base/buf.h"

#include <stdio.h>

void cii_buf_init(cii_buf *buf, size_t max) {
    *buf = (cii_buf){.max = max};
}

void cii_buf_free(cii_buf *buf) {
    free(buf->data);
    *buf = (cii_buf){.max = buf->max};
}

static ci_status grow(cii_buf *buf, size_t needed) {
    size_t capacity = CII_MAX(buf->capacity, (size_t)32);
    while (capacity < needed)
        capacity = capacity > SIZE_MAX / 2 ? needed : capacity * 2;
    if (buf->max && capacity > buf->max)
        capacity = CII_MAX(needed, buf->max + 1);
    char *data = realloc(buf->data, capacity);
    if (!data)
        return CI_ERR_NOMEM;
    buf->data = data;
    buf->capacity = capacity;
    return CI_OK;
}

ci_status cii_buf_reserve(cii_buf *buf, size_t size, char **ret_room) {
    size_t limit = buf->max ? buf->max : SIZE_MAX - 1;
    if (buf->size > limit || size > limit - buf->size)
        return CI_ERR_LIMIT;
    size_t needed = buf->size + size + 1;
    if (needed > buf->capacity) {
        ci_status status = grow(buf, needed);
        if (status < 0)
            return status;
    }
    buf->data[buf->size] = '\0';
    if (ret_room)
        *ret_room = buf->data + buf->size;
    return CI_OK;
}

void cii_buf_commit(cii_buf *buf, size_t size) {
    buf->size += size;
    buf->data[buf->size] = '\0';
}

ci_status cii_buf_append(cii_buf *buf, const void *data, size_t size) {
    char *room;
    ci_status status = cii_buf_reserve(buf, size, &room);
    if (status < 0)
        return status;
    if (size > 0)
        memcpy(room, data, size);
    cii_buf_commit(buf, size);
    return CI_OK;
}

ci_status cii_buf_append_str(cii_buf *buf, const char *text) {
    return cii_buf_append(buf, text, strlen(text));
}

ci_status cii_buf_printf(cii_buf *buf, const char *format, ...) {
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int size = vsnprintf(NULL, 0, format, args);
    char *room;
    ci_status status = size < 0 ? CI_ERR_INVALID : cii_buf_reserve(buf, (size_t)size, &room);
    if (status == CI_OK) {
        vsnprintf(room, (size_t)size + 1, format, again);
        cii_buf_commit(buf, (size_t)size);
    }
    va_end(again);
    va_end(args);
    return status;
}

void cii_buf_consume(cii_buf *buf, size_t size) {
    if (size == 0)
        return;
    buf->size -= CII_MIN(size, buf->size);
    memmove(buf->data, buf->data + size, buf->size);
    buf->data[buf->size] = '\0';
}

void cii_buf_clear(cii_buf *buf) {
    cii_buf_consume(buf, buf->size);
}

char *cii_buf_take(cii_buf *buf, size_t *ret_size) {
    if (cii_buf_reserve(buf, 0, NULL) < 0) /* so that there is something to hand over */
        return NULL;
    if (ret_size)
        *ret_size = buf->size;
    char *exact = realloc(buf->data, buf->size + 1);
    char *data = exact ? exact : buf->data;
    buf->data = NULL;
    cii_buf_free(buf);
    return data;
}
