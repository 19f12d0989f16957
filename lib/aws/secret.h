/* Texts that must not stay in memory: overwritten before they are freed. */
#ifndef CII_AWS_SECRET_H
#define CII_AWS_SECRET_H

#include <fcntl.h>
#include <openssl/crypto.h>

#include "base/buf.h"
#include "os/fd.h"

static inline void cii_secret_free(char *text) {
    if (text)
        OPENSSL_cleanse(text, strlen(text));
    free(text);
}
static inline void cii_secret_free_p(char **text) {
    cii_secret_free(*text);
}
#define _cleanup_secret_ _cleanup_(cii_secret_free_p)

/* Empties a buffer and keeps its room. What it was copied from when it grew is not reached: reserve first. */
static inline void cii_secret_clear(cii_buf *buf) {
    if (buf->data)
        OPENSSL_cleanse(buf->data, buf->size);
    buf->size = 0;
}
static inline void cii_secret_buf_free(cii_buf *buf) {
    cii_secret_clear(buf);
    cii_buf_free(buf);
}
#define _cleanup_secret_buf_ _cleanup_(cii_secret_buf_free)

/* A file of at most `max` bytes, in one piece of memory from the start; NULL with errno. */
static inline char *cii_secret_read(const char *path, size_t max, size_t *ret_size) {
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    _cleanup_free_ char *text = fd >= 0 ? malloc(max + 2) : NULL;
    ssize_t size = text ? cii_fd_read_all(fd, text, max + 1) : -1;
    if (size < 0)
        return NULL;
    text[size] = '\0';
    if ((size_t)size > max) {
        OPENSSL_cleanse(text, (size_t)size);
        errno = EFBIG;
        return NULL;
    }
    *ret_size = (size_t)size;
    return TAKE_PTR(text);
}

#endif
