/* Head and tail of a stream; see stream.h. */
#include "result/stream.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/utf8.h"

#define FIRST_CAPACITY 4096

void cii_stream_init(cii_stream *stream, uint64_t limit) {
    *stream = (cii_stream){.limit = (size_t)CII_MIN(limit, (uint64_t)SIZE_MAX / 4)};
}

static size_t head_size(const cii_stream *stream) {
    return stream->limit / 2;
}

static ci_status grow(cii_stream *stream, size_t size) {
    if (size <= stream->capacity && stream->data)
        return CI_OK;
    size_t capacity = CII_MAX(stream->capacity, (size_t)FIRST_CAPACITY);
    while (capacity < size)
        capacity *= 2;
    capacity = CII_MIN(capacity, stream->limit);
    char *data = realloc(stream->data, capacity + 1);
    if (!data)
        return CI_ERR_NOMEM;
    stream->data = data;
    stream->capacity = capacity;
    return CI_OK;
}

/* Puts bytes over the oldest ones of the second half. */
static void write_ring(cii_stream *stream, const char *data, size_t size) {
    char *tail = stream->data + head_size(stream);
    size_t room = stream->limit - head_size(stream);
    if (size >= room) {
        memcpy(tail, data + (size - room), room);
        stream->ring = 0;
        return;
    }
    size_t first = CII_MIN(size, room - stream->ring);
    memcpy(tail + stream->ring, data, first);
    memcpy(tail, data + first, size - first);
    stream->ring = (stream->ring + size) % room;
}

ci_status cii_stream_write(cii_stream *stream, const void *data, size_t size) {
    size_t linear = CII_MIN(size, stream->limit - stream->size);
    if (grow(stream, stream->size + linear) != CI_OK)
        return CI_ERR_NOMEM;
    memcpy(stream->data + stream->size, data, linear);
    stream->size += linear;
    if (size > linear)
        write_ring(stream, (const char *)data + linear, size - linear);
    stream->total += size;
    return CI_OK;
}

size_t cii_stream_note(uint64_t kept, uint64_t total, char ret_note[CII_STREAM_NOTE_MAX]) {
    return (size_t)snprintf(ret_note, CII_STREAM_NOTE_MAX,
                            "\n[... %" PRIu64 " bytes omitted; %" PRIu64 " of %" PRIu64 " kept ...]\n", total - kept,
                            kept, total);
}

static char *take_whole(cii_stream *stream, size_t *ret_size, uint64_t *ret_kept) {
    char *data = stream->data ? TAKE_PTR(stream->data) : malloc(1);
    if (!data)
        return NULL;
    data[stream->size] = '\0';
    *ret_size = stream->size;
    *ret_kept = stream->size;
    cii_stream_init(stream, stream->limit);
    return data;
}

char *cii_stream_take(cii_stream *stream, size_t *ret_size, uint64_t *ret_kept) {
    if (!cii_stream_truncated(stream))
        return take_whole(stream, ret_size, ret_kept);

    char note[CII_STREAM_NOTE_MAX];
    size_t half = head_size(stream), room = stream->limit - half;
    char *text = malloc(stream->limit + sizeof note);
    if (!text)
        return NULL;
    /* The tail is put in order behind the room for head and note, looked at, and then moved up to them. */
    char *tail = text + half + sizeof note;
    memcpy(tail, stream->data + half + stream->ring, room - stream->ring);
    memcpy(tail + room - stream->ring, stream->data + half, stream->ring);
    size_t skip = cii_utf8_continuation_head(tail, room);
    size_t head = half - cii_utf8_incomplete_tail(stream->data, half);
    uint64_t kept = head + (room - skip);
    size_t note_size = cii_stream_note(kept, stream->total, note);

    memcpy(text, stream->data, head);
    memcpy(text + head, note, (size_t)note_size);
    memmove(text + head + note_size, tail + skip, room - skip);
    *ret_size = head + note_size + (room - skip);
    text[*ret_size] = '\0';
    *ret_kept = kept;
    cii_stream_free(stream);
    return text;
}

void cii_stream_free(cii_stream *stream) {
    free(stream->data);
    cii_stream_init(stream, stream->limit);
}
