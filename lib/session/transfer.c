/* See transfer.h. */
#include "session/transfer.h"

#define BUFFER_SIZE (256u << 10)
#define ROUNDS_A_STEP 64 /* so that one step moves some megabytes at most */

ci_status cii_seen_set(cii_seen *seen, const ci_object *object) {
    char *etag = object->etag ? strdup(object->etag) : NULL;
    if (object->etag && !etag)
        return CI_ERR_NOMEM;
    cii_seen_free(seen);
    *seen = (cii_seen){.etag = etag, .size_bytes = object->size_bytes, .modified_ms = object->modified_ms};
    return CI_OK;
}

/* Times count only where there is no etag: a server may tell them more exactly in a list than with the object. */
bool cii_seen_same(const cii_seen *a, const cii_seen *b) {
    if (a->size_bytes != b->size_bytes || !a->etag != !b->etag)
        return false;
    return a->etag ? strcmp(a->etag, b->etag) == 0 : a->modified_ms == b->modified_ms;
}

void cii_seen_free(cii_seen *seen) {
    free(TAKE_PTR(seen->etag));
}

ci_status cii_transfer_init(cii_transfer *transfer, bool has_sink, ci_error **ret_error) {
    *transfer = (cii_transfer){.has_sink = has_sink, .sink_done = !has_sink, .hash = cii_sha256_new()};
    cii_buf_init(&transfer->buffer, 0);
    return transfer->hash ? CI_OK : cii_error_nomem(ret_error);
}

void cii_transfer_free(cii_transfer *transfer) {
    cii_op_drop(&transfer->source);
    cii_op_drop(&transfer->sink);
    cii_buf_free(&transfer->buffer);
    cii_sha256_free(transfer->hash);
    ci_error_free(transfer->source_error);
    cii_seen_free(&transfer->object);
    *transfer = (cii_transfer){0};
}

int32_t cii_transfer_write(void *user, const void *data, size_t size) {
    cii_transfer *t = user;
    if (t->buffer.size >= BUFFER_SIZE)
        return CI_IO_PAUSE;
    if (t->has_sink && cii_buf_append(&t->buffer, data, size) < 0)
        return -1;
    t->size += size;
    return cii_sha256_update(t->hash, data, size) ? 0 : -1;
}

int64_t cii_transfer_read(void *user, void *buffer, size_t size) {
    cii_transfer *t = user;
    if (t->buffer.size == 0)
        return !t->source_done ? CI_IO_PAUSE : t->source_status < 0 ? -1 : 0;
    size = CII_MIN(size, t->buffer.size);
    memcpy(buffer, t->buffer.data, size);
    cii_buf_consume(&t->buffer, size);
    return (int64_t)size;
}

int32_t cii_transfer_object(void *user, const ci_object *object) {
    cii_transfer *t = user;
    t->has_object = cii_seen_set(&t->object, object) == CI_OK;
    return 0; /* without memory it is not known, which costs a request later */
}

static void step_source(cii_transfer *t, cii_waits *waits) {
    int r = cii_op_step(&t->source, waits, &t->source_error);
    if (r == 0)
        return;
    t->source_done = true;
    t->source_status = r > 0 ? CI_OK : r;
}

static int end(cii_transfer *t, ci_error **ret_error) {
    if (t->source_status < 0) {
        if (ret_error) {
            ci_error_free(*ret_error);
            *ret_error = TAKE_PTR(t->source_error);
        }
        return t->source_status;
    }
    return cii_sha256_final(t->hash, t->sha256) ? 1 : cii_error_nomem(ret_error);
}

int cii_transfer_step(cii_transfer *t, cii_waits *waits, ci_error **ret_error) {
    for (int round = 0; round < ROUNDS_A_STEP; round++) {
        cii_waits now = {.due_us = CII_NEVER};
        uint64_t size = t->size;
        size_t held = t->buffer.size;
        if (!t->source_done && t->buffer.size < BUFFER_SIZE)
            step_source(t, &now);
        if (!t->sink_done && (t->buffer.size > 0 || t->source_done)) {
            int r = cii_op_step(&t->sink, &now, ret_error);
            if (r < 0)
                return t->source_status < 0 ? end(t, ret_error) : r;
            t->sink_done = r > 0;
        }
        if (t->source_done && t->sink_done)
            return end(t, ret_error);
        if (t->source_done && t->source_status < 0)
            return end(t, ret_error);
        if (t->sink_done && t->has_sink)
            return cii_error_set(ret_error, CI_ERR_PROTOCOL, "session", "a write ended before its last byte");
        if (t->size == size && t->buffer.size == held && !now.again) {
            for (unsigned i = 0; i < now.count; i++)
                cii_waits_fd(waits, now.fds[i]);
            cii_waits_until(waits, now.due_us);
            return 0;
        }
    }
    waits->again = true;
    return 0;
}
