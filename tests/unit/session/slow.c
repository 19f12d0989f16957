#include "slow.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "storage/storage.h"
#include "template_storage.h"

typedef struct slow {
    ci_storage *inner;
    const ci_storage_ops *ops;
    void *impl;
    long step_ms;
    slow_log *log;
    ci_object_cb object; /* of the list that is read: one at a time */
    void *user;
} slow;

typedef struct slow_op {
    ci_op op;
    slow *storage;
    ci_op *inner;
    int wait_fd;
    bool fails; /* when it would have been done */
} slow_op;

static ci_status fail(ci_status status, const char *message, ci_error **ret_error) {
    const ci_error_fields fields = {
        .struct_size = sizeof fields, .domain = "slow", .message = message, .status = status};
    return ci_error_make(&fields, ret_error);
}

static void wind(slow_op *op) {
    long ms = op->storage->step_ms;
    struct itimerspec at = {.it_value = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 + 1}};
    if (!op->storage->log->beats)
        timerfd_settime(op->wait_fd, 0, &at, NULL);
}

static int32_t slow_fd(ci_op *op) {
    return ((slow_op *)op)->wait_fd;
}

static int32_t slow_process(ci_op *base, ci_error **ret_error) {
    slow_op *op = (slow_op *)base;
    uint64_t fired;
    if (read(op->wait_fd, &fired, sizeof fired) < 0)
        return 0;
    wind(op);
    if (op->fails)
        return fail(CI_ERR_IO, "out of reach", ret_error);
    int32_t r = op->inner->ops->process(op->inner, ret_error);
    for (int i = 1; r == 0 && i < op->storage->log->steps; i++)
        r = op->inner->ops->process(op->inner, ret_error);
    return r;
}

static void slow_free(ci_op *base) {
    slow_op *op = (slow_op *)base;
    op->storage->log->ops--;
    op->inner->ops->free(op->inner);
    close(op->wait_fd);
    free(op);
}

static ci_status wrap(slow *storage, ci_status status, ci_op **op) {
    static const ci_op_ops ops = {sizeof ops, slow_fd, slow_process, NULL, NULL, slow_free};
    if (status < 0)
        return status;
    slow_op *outer = calloc(1, sizeof *outer);
    outer->op.ops = &ops;
    outer->storage = storage;
    outer->inner = *op;
    int beats = storage->log->beats;
    outer->wait_fd = beats ? dup(beats) : timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    wind(outer);
    int now = ++storage->log->ops;
    if (now > storage->log->most_ops)
        storage->log->most_ops = now;
    *op = &outer->op;
    return CI_OK;
}

static ci_status check(slow *s, _Atomic int *count, const char *key, ci_error **ret_error) {
    ++*count;
    if (s->log->dies_after < 0)
        return fail(CI_ERR_IO, "out of reach", ret_error);
    if (*s->log->refused && strstr(key, s->log->refused))
        return fail(CI_ERR_PERMISSION, "refused", ret_error);
    return CI_OK;
}

static ci_status slow_get(void *impl, const char *key, const char *if_etag, uint64_t offset, uint64_t length,
                          ci_op_write_cb write_bytes, ci_object_cb object, void *user, ci_op **ret_op,
                          ci_error **ret_error) {
    slow *s = impl;
    ci_status status = check(s, &s->log->gets, key, ret_error);
    if (s->log->on_get)
        s->log->on_get(key);
    if (status == CI_OK)
        status = s->ops->get(s->impl, key, if_etag, offset, length, write_bytes, object, user, ret_op, ret_error);
    return wrap(s, status, ret_op);
}

static ci_status slow_put(void *impl, const ci_put_request *request, ci_op_read_cb read_bytes, ci_object_cb object,
                          void *user, ci_op **ret_op, ci_error **ret_error) {
    slow *s = impl;
    if (s->log->dies_after > 0 && --s->log->dies_after == 0)
        s->log->dies_after = -1;
    ci_status status = check(s, &s->log->puts, request->key, ret_error);
    snprintf(s->log->last_put, sizeof s->log->last_put, "%s", request->key);
    if (status == CI_OK)
        status = s->ops->put(s->impl, request, read_bytes, object, user, ret_op, ret_error);
    return wrap(s, status, ret_op);
}

static int32_t without_hash(void *user, const ci_object *object) {
    const slow *s = user;
    ci_object told = *object;
    told.sha256 = NULL;
    return s->object(s->user, &told);
}

static ci_status slow_list(void *impl, const char *prefix, const char *after, uint32_t max, ci_object_cb object,
                           void *user, ci_op **ret_op, ci_error **ret_error) {
    slow *s = impl;
    s->object = object;
    s->user = user;
    ci_status status = check(s, &s->log->lists, "", ret_error);
    if (status == CI_OK && s->log->fail_list)
        status = fail(CI_ERR_IO, "out of reach", ret_error);
    if (status == CI_OK)
        status = s->ops->list(s->impl, prefix, after, max, without_hash, s, ret_op, ret_error);
    status = wrap(s, status, ret_op);
    if (status == CI_OK)
        ((slow_op *)*ret_op)->fails = atomic_exchange(&s->log->fail_next_list, false);
    return status;
}

static ci_status slow_stat(void *impl, const char *key, ci_object_cb object, void *user, ci_op **ret_op,
                           ci_error **ret_error) {
    slow *s = impl;
    ci_status status = check(s, &s->log->stats, "", ret_error);
    if (status == CI_OK && s->log->forbids_stat)
        status = fail(CI_ERR_PERMISSION, "forbidden", ret_error);
    if (status == CI_OK)
        status = s->ops->stat(s->impl, key, object, user, ret_op, ret_error);
    return wrap(s, status, ret_op);
}

static ci_status slow_remove(void *impl, const char *key, ci_op **ret_op, ci_error **ret_error) {
    slow *s = impl;
    return wrap(s, s->ops->remove(s->impl, key, ret_op, ret_error), ret_op);
}

static void slow_free_impl(void *impl) {
    ci_storage_free(((slow *)impl)->inner);
    free(impl);
}

ci_storage *slow_storage(const char *folder, long step_ms, slow_log *log) {
    static const ci_storage_ops ops = {
        .struct_size = sizeof ops,
        .name = "slow",
        .free = slow_free_impl,
        .get = slow_get,
        .put = slow_put,
        .list = slow_list,
        .stat = slow_stat,
        .remove = slow_remove,
    };
    slow *s = calloc(1, sizeof *s);
    const ci_storage_dir_options options = {.struct_size = sizeof options, .no_sync = 1};
    if ((folder ? ci_storage_dir_new(folder, &options, &s->inner, NULL) : template_storage_new(&s->inner, NULL)) < 0)
        return NULL;
    s->ops = cii_storage_ops(s->inner);
    s->impl = cii_storage_impl(s->inner);
    s->step_ms = step_ms;
    s->log = log;
    ci_storage *storage = NULL;
    return ci_storage_new(&ops, s, &storage, NULL) == CI_OK ? storage : NULL;
}
