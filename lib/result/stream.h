/* What is kept of a stream of any length: all of it up to the limit, and beyond that the first half of the limit and
 * the last. One buffer that grows to the limit and never over it; its second half is then a ring. What is dropped from
 * the middle of a large write is not even copied. */
#ifndef CII_RESULT_STREAM_H
#define CII_RESULT_STREAM_H

#include "base/error.h"

typedef struct cii_stream {
    char *data;
    size_t size;     /* bytes in data, at most limit */
    size_t capacity; /* without the byte for the NUL */
    size_t limit;
    size_t ring;    /* where in the second half the oldest byte is, once it is a ring */
    uint64_t total; /* bytes written */
} cii_stream;

void cii_stream_init(cii_stream *stream, uint64_t limit);
/* CI_ERR_NOMEM leaves the stream as it was. */
ci_status cii_stream_write(cii_stream *stream, const void *data, size_t size);
static inline bool cii_stream_truncated(const cii_stream *stream) {
    return stream->total > stream->limit;
}

/* The text: what was written; or head, a line that tells of the cut, and tail, neither cut inside a UTF-8 character.
 * malloc'd and NUL-ended; the stream is empty afterwards. NULL without memory. *ret_kept: bytes of the stream in it. */
char *cii_stream_take(cii_stream *stream, size_t *ret_size, uint64_t *ret_kept);
void cii_stream_free(cii_stream *stream);

/* The line that tells of a cut, with the newlines around it; returns its length. */
#define CII_STREAM_NOTE_MAX 128
size_t cii_stream_note(uint64_t kept, uint64_t total, char ret_note[CII_STREAM_NOTE_MAX]);

#endif
