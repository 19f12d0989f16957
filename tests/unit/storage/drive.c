/* See drive.h. */
#include "drive.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/clock.h"
#include "os/fd.h"

#define DRIVE_MS 300000 /* with what shall end, and does not hang on time */

/* A callback of this thread's has paused: the storage is to be asked again, whatever its descriptor says. */
static _Thread_local bool paused;

int32_t drive_pause(void) {
    paused = true;
    return CI_IO_PAUSE;
}

ci_status drive(ci_op *op, ci_error **ret_error) {
    int64_t until = cii_clock_ms() + DRIVE_MS;
    int32_t result;
    while ((result = op->ops->process(op, ret_error)) == 0) {
        int fd = op->ops->fd(op);
        if (fd >= 0 && !paused)
            cii_fd_wait(fd, 1 /* POLLIN */, 1000);
        if (cii_clock_ms() > until)
            fail_msg("an operation does not end");
        paused = false;
    }
    op->ops->free(op);
    return result < 0 ? result : CI_OK;
}

/* Drives what a start function gave, and sees that status and error agree. */
static ci_status finish(ci_status started, ci_op *op, ci_error **error) {
    ci_status status = started < 0 ? started : drive(op, error);
    assert_int_equal(ci_error_status(*error), status);
    if (status < 0)
        assert_true(strlen(ci_error_message(*error)) > 0);
    ci_error_free(*error);
    return status;
}

int32_t see(void *user, const ci_object *object) {
    seen *s = user;
    if (!s)
        return 0;
    assert_int_equal(object->struct_size, sizeof *object);
    assert_non_null(object->etag);
    snprintf(s->key, sizeof s->key, "%s", object->key);
    snprintf(s->etag, sizeof s->etag, "%s", object->etag);
    s->has_sha256 = object->sha256 != NULL;
    if (object->sha256)
        memcpy(s->sha256, object->sha256, sizeof s->sha256);
    s->size_bytes = object->size_bytes;
    s->modified_ms = object->modified_ms;
    s->count++;
    return 0;
}

int64_t read_source(void *user, void *buffer, size_t size) {
    source *s = user;
    if (s->pauses > 0 && s->calls++ % 2 == 0)
        return drive_pause();
    if (s->fail_after > 0 && s->at >= s->fail_after)
        return -1;
    size = CII_MIN(s->piece > 0 ? CII_MIN(s->piece, size) : size, s->size - s->at);
    if (size > 0)
        memcpy(buffer, s->data + s->at, size);
    s->at += size;
    return (int64_t)size;
}

int32_t see_source(void *user, const ci_object *object) {
    return see(&((source *)user)->seen, object);
}

ci_op *start_put(ci_storage *s, const ci_put_request *request, source *from) {
    ci_op *op = NULL;
    ci_error *error = NULL;
    ci_status status =
        cii_storage_ops(s)->put(cii_storage_impl(s), request, read_source, see_source, from, &op, &error);
    if (status < 0)
        fail_msg("put: %s", ci_error_message(error));
    return op;
}

ci_status put_if(ci_storage *s, const ci_put_request *request, const void *data, size_t size, seen *ret_seen) {
    source from = {.data = data, .size = size};
    ci_op *op = NULL;
    ci_error *error = NULL;
    ci_status status =
        cii_storage_ops(s)->put(cii_storage_impl(s), request, read_source, see_source, &from, &op, &error);
    status = finish(status, op, &error);
    if (ret_seen)
        *ret_seen = from.seen;
    return status;
}

ci_status put(ci_storage *s, const char *key, const void *data, size_t size, seen *ret_seen) {
    return put_if(s, &PUT_REQUEST(key), data, size, ret_seen);
}

ci_status put_text(ci_storage *s, const char *key, const char *text) {
    return put(s, key, text, strlen(text), NULL);
}

typedef struct sink {
    cii_buf *data;
    seen *seen;
} sink;

static int32_t write_sink(void *user, const void *data, size_t size) {
    return cii_buf_append(((sink *)user)->data, data, size);
}

static int32_t see_sink(void *user, const ci_object *object) {
    sink *to = user;
    assert_int_equal(to->data->size, 0);
    return to->seen ? see(to->seen, object) : 0;
}

ci_status get_range(ci_storage *s, const char *key, const char *if_etag, uint64_t offset, uint64_t length,
                    cii_buf *ret_data, seen *ret_seen) {
    sink to = {ret_data, ret_seen};
    ci_op *op = NULL;
    ci_error *error = NULL;
    if (ret_seen)
        *ret_seen = (seen){0};
    cii_buf_clear(ret_data);
    cii_buf_append(ret_data, "", 0);
    ci_status status = cii_storage_ops(s)->get(cii_storage_impl(s), key, if_etag, offset, length, write_sink, see_sink,
                                               &to, &op, &error);
    return finish(status, op, &error);
}

ci_status get(ci_storage *s, const char *key, cii_buf *ret_data) {
    return get_range(s, key, NULL, 0, UINT64_MAX, ret_data, NULL);
}

ci_status stat_object(ci_storage *s, const char *key, seen *ret_seen) {
    ci_op *op = NULL;
    ci_error *error = NULL;
    if (ret_seen)
        *ret_seen = (seen){0};
    ci_status status = cii_storage_ops(s)->stat(cii_storage_impl(s), key, see, ret_seen, &op, &error);
    return finish(status, op, &error);
}

ci_status remove_object(ci_storage *s, const char *key) {
    ci_op *op = NULL;
    ci_error *error = NULL;
    ci_status status = cii_storage_ops(s)->remove(cii_storage_impl(s), key, &op, &error);
    return finish(status, op, &error);
}

typedef struct page {
    cii_buf *keys;
    unsigned count;
} page;

static int32_t add_to_page(void *user, const ci_object *object) {
    page *p = user;
    p->count++;
    return cii_buf_printf(p->keys, "%s ", object->key);
}

ci_status list(ci_storage *s, const char *prefix, const char *after, uint32_t max, cii_buf *ret_keys,
               unsigned *ret_count) {
    page p = {.keys = ret_keys};
    ci_op *op = NULL;
    ci_error *error = NULL;
    cii_buf_append(ret_keys, "", 0);
    ci_status status = cii_storage_ops(s)->list(cii_storage_impl(s), prefix, after, max, add_to_page, &p, &op, &error);
    status = finish(status, op, &error);
    if (ret_count)
        *ret_count = p.count;
    return status;
}
