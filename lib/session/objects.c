/* The objects of a storage without a session: calls on a storage alone, which are made here because calls are. */
#include <stdio.h>

#include "base/options.h"
#include "base/path.h"
#include "session/object.h"

#define LIST_PAGE 1000

/* List, stat, read and write: one operation at a time, which tells its callbacks. Removing is in removal.c. */
typedef struct objects_call {
    ci_call call;
    enum { LIST, STAT, READ, WRITE } kind;
    ci_storage *storage; /* held */
    char *key;           /* LIST: the prefix */
    char *after;         /* LIST: last key that was told */
    char *if_etag;
    char *mime_type;
    uint8_t sha256[32];
    bool has_sha256;
    int32_t if_absent;
    uint64_t offset;
    uint64_t length; /* LIST: objects still wanted; WRITE: the size */
    uint32_t page;   /* LIST: objects asked for */
    uint32_t listed; /* and told */
    bool no_memory;
    bool may_pause; /* the caller processes the call itself */
    bool paused;    /* by a callback, in this step */
    ci_write_cb write;
    ci_read_cb read;
    ci_object_cb object;
    void *user;
    ci_op *op;
} objects_call;

/* --- the host's callbacks ------------------------------------------------------------------------------------------ */

static int32_t on_object(void *user, const ci_object *object) {
    objects_call *self = user;
    return self->object(self->user, object) < 0 ? -1 : 0;
}

static int32_t on_listed(void *user, const ci_object *object) {
    objects_call *self = user;
    if (++self->listed == self->page) { /* the next page begins after it */
        free(self->after);
        self->after = strdup(object->key);
        self->no_memory = !self->after;
    }
    return self->no_memory ? -1 : on_object(self, object);
}

/* Whether the host's answer is a pause. A storage may ask again within the same step. */
static bool pauses(objects_call *self, int64_t answer) {
    bool pause = answer == CI_IO_PAUSE && self->may_pause;
    self->paused |= pause;
    return pause;
}

static int32_t on_write(void *user, const void *data, size_t size) {
    objects_call *self = user;
    int32_t r = self->write(self->user, data, size);
    return r == 0 ? 0 : pauses(self, r) ? CI_IO_PAUSE : -1;
}

static int64_t on_read(void *user, void *buffer, size_t size) {
    objects_call *self = user;
    int64_t n = self->read(self->user, buffer, size);
    return pauses(self, n) ? CI_IO_PAUSE : n < 0 || (uint64_t)n > size ? -1 : n;
}

/* --- the machine --------------------------------------------------------------------------------------------------- */

static ci_status start_op(objects_call *self, ci_error **ret_error) {
    const ci_storage_ops *ops = cii_storage_ops(self->storage);
    void *impl = cii_storage_impl(self->storage);
    ci_object_cb object = self->object ? on_object : NULL;
    const ci_put_request request = {
        .struct_size = sizeof request,
        .key = self->key,
        .if_etag = self->if_etag,
        .mime_type = self->mime_type ? self->mime_type : cii_mime_type(self->key, NULL, 0),
        .sha256 = self->has_sha256 ? self->sha256 : NULL,
        .size_bytes = self->length,
        .if_absent = self->if_absent,
    };
    switch (self->kind) {
    case LIST:
        self->page = (uint32_t)CII_MIN(self->length, LIST_PAGE);
        self->listed = 0;
        return ops->list(impl, self->key, self->after, self->page, on_listed, self, &self->op, ret_error);
    case STAT:
        return ops->stat(impl, self->key, object, self, &self->op, ret_error);
    case READ:
        return ops->get(impl, self->key, self->if_etag, self->offset, self->length, on_write, object, self, &self->op,
                        ret_error);
    case WRITE:
        return ops->put(impl, &request, on_read, object, self, &self->op, ret_error);
    }
    return CI_ERR_INTERNAL;
}

static int objects_step(ci_call *call, cii_waits *waits, ci_error **ret_error) {
    objects_call *self = (objects_call *)call;
    for (;;) {
        ci_status status = self->op ? CI_OK : start_op(self, ret_error);
        if (status < 0)
            return status;
        self->paused = false;
        int r = cii_op_step(&self->op, waits, ret_error);
        if (self->paused)
            waits->again = false; /* the host says when */
        if (self->no_memory)
            return cii_error_nomem(ret_error);
        if (r <= 0 || self->kind != LIST)
            return r;
        self->length -= self->listed;
        if (self->listed < self->page || self->length == 0)
            return 1;
    }
}

static void objects_drop(ci_call *call) {
    objects_call *self = (objects_call *)call;
    cii_op_drop(&self->op);
    ci_storage_free(self->storage);
    free(self->key);
    free(self->after);
    free(self->if_etag);
    free(self->mime_type);
}

static const cii_call_ops *kind_ops(int kind) {
    static const cii_call_ops ops[] = {
        [LIST] = {.name = "list", .step = objects_step, .drop = objects_drop},
        [STAT] = {.name = "stat", .step = objects_step, .drop = objects_drop},
        [READ] = {.name = "read", .step = objects_step, .drop = objects_drop},
        [WRITE] = {.name = "write", .step = objects_step, .drop = objects_drop},
    };
    return &ops[kind];
}

/* --- starting ------------------------------------------------------------------------------------------------------ */

static ci_status null(const char *what, ci_error **ret_error) {
    return cii_error_set(ret_error, CI_ERR_INVALID, "storage", "%s: NULL", what);
}

/* For the blocking forms. */
static ci_status end_blocking(ci_call *call, ci_error **ret_error) {
    ((objects_call *)call)->may_pause = false;
    return cii_call_end_status(call, ret_error);
}

/* A call that has its storage and its key. */
static ci_status start(ci_storage *storage, int kind, const char *key, int64_t timeout_ms, objects_call **ret_self,
                       ci_error **ret_error) {
    ci_status status = cii_storage_check(storage, ret_error);
    if (status == CI_OK && !key)
        status = null("key", ret_error);
    if (status == CI_OK)
        status = cii_key_check(key, kind == LIST, kind == LIST ? "prefix" : "key", ret_error);
    _cleanup_call_ ci_call *call = NULL;
    if (status == CI_OK)
        status = cii_call_new(sizeof(objects_call), kind_ops(kind), NULL, timeout_ms, &call, ret_error);
    if (status < 0)
        return status;
    objects_call *self = (objects_call *)call;
    self->kind = kind;
    self->may_pause = true;
    self->storage = ci_storage_ref(storage);
    self->key = strdup(key);
    if (!self->key)
        return cii_error_nomem(ret_error);
    *ret_self = self;
    TAKE_PTR(call);
    return CI_OK;
}

/* Copies the text, where there is one. */
static bool own(char **to, const char *text) {
    return !text || (*to = strdup(text));
}

static ci_status started(objects_call *self, bool whole, ci_call **ret_call, ci_error **ret_error) {
    if (!whole) {
        ci_call_free(&self->call);
        return cii_error_nomem(ret_error);
    }
    *ret_call = &self->call;
    return CI_OK;
}

ci_status ci_storage_list_start(ci_storage *storage, const char *prefix, const ci_storage_list_options *options,
                                ci_object_cb object, void *user, ci_call **ret_call, ci_error **ret_error) {
    ci_storage_list_options o;
    objects_call *self = NULL;
    ci_status status = object ? cii_options_copy(&o, sizeof o, options, "ci_storage_list_options", ret_error)
                              : null("object", ret_error);
    if (status == CI_OK)
        status = start(storage, LIST, prefix ? prefix : "", o.timeout_ms, &self, ret_error);
    if (status < 0)
        return status;
    self->length = o.max_count ? o.max_count : UINT64_MAX;
    self->object = object;
    self->user = user;
    return started(self, own(&self->after, o.after), ret_call, ret_error);
}

ci_status ci_storage_list(ci_storage *storage, const char *prefix, const ci_storage_list_options *options,
                          ci_object_cb object, void *user, ci_error **ret_error) {
    ci_call *call = NULL;
    ci_status status = ci_storage_list_start(storage, prefix, options, object, user, &call, ret_error);
    return status < 0 ? status : cii_call_end_status(call, ret_error);
}

ci_status ci_storage_stat_start(ci_storage *storage, const char *key, int64_t timeout_ms, ci_object_cb object,
                                void *user, ci_call **ret_call, ci_error **ret_error) {
    objects_call *self = NULL;
    ci_status status = object ? start(storage, STAT, key, timeout_ms, &self, ret_error) : null("object", ret_error);
    if (status < 0)
        return status;
    self->object = object;
    self->user = user;
    return started(self, true, ret_call, ret_error);
}

ci_status ci_storage_stat(ci_storage *storage, const char *key, int64_t timeout_ms, ci_object_cb object, void *user,
                          ci_error **ret_error) {
    ci_call *call = NULL;
    ci_status status = ci_storage_stat_start(storage, key, timeout_ms, object, user, &call, ret_error);
    return status < 0 ? status : cii_call_end_status(call, ret_error);
}

ci_status ci_storage_read_start(ci_storage *storage, const char *key, const ci_storage_read_options *options,
                                ci_write_cb write, ci_object_cb object, void *user, ci_call **ret_call,
                                ci_error **ret_error) {
    ci_storage_read_options o;
    objects_call *self = NULL;
    ci_status status = write ? cii_options_copy(&o, sizeof o, options, "ci_storage_read_options", ret_error)
                             : null("write", ret_error);
    if (status == CI_OK)
        status = start(storage, READ, key, o.timeout_ms, &self, ret_error);
    if (status < 0)
        return status;
    self->offset = o.offset_bytes;
    self->length = o.length_bytes ? o.length_bytes : UINT64_MAX;
    self->write = write;
    self->object = object;
    self->user = user;
    return started(self, own(&self->if_etag, o.if_etag), ret_call, ret_error);
}

ci_status ci_storage_read(ci_storage *storage, const char *key, const ci_storage_read_options *options,
                          ci_write_cb write, ci_object_cb object, void *user, ci_error **ret_error) {
    ci_call *call = NULL;
    ci_status status = ci_storage_read_start(storage, key, options, write, object, user, &call, ret_error);
    return status < 0 ? status : end_blocking(call, ret_error);
}

ci_status ci_storage_write_start(ci_storage *storage, const char *key, const ci_storage_write_options *options,
                                 ci_read_cb read, ci_object_cb object, void *user, ci_call **ret_call,
                                 ci_error **ret_error) {
    ci_storage_write_options o;
    objects_call *self = NULL;
    ci_status status =
        read ? cii_options_copy(&o, sizeof o, options, "ci_storage_write_options", ret_error) : null("read", ret_error);
    if (status == CI_OK)
        status = cii_reserved_check(o.reserved, "ci_storage_write_options", ret_error);
    if (status == CI_OK && o.if_absent && o.if_etag)
        status = cii_error_set(ret_error, CI_ERR_INVALID, "storage", "if_absent and if_etag: give one of them");
    if (status == CI_OK)
        status = start(storage, WRITE, key, o.timeout_ms, &self, ret_error);
    if (status < 0)
        return status;
    self->length = o.size_bytes ? o.size_bytes : UINT64_MAX;
    self->if_absent = o.if_absent != 0;
    self->has_sha256 = o.sha256 != NULL;
    if (o.sha256)
        memcpy(self->sha256, o.sha256, sizeof self->sha256);
    self->read = read;
    self->object = object;
    self->user = user;
    bool whole = own(&self->if_etag, o.if_etag) && own(&self->mime_type, o.mime_type);
    return started(self, whole, ret_call, ret_error);
}

ci_status ci_storage_write(ci_storage *storage, const char *key, const ci_storage_write_options *options,
                           ci_read_cb read, ci_object_cb object, void *user, ci_error **ret_error) {
    ci_call *call = NULL;
    ci_status status = ci_storage_write_start(storage, key, options, read, object, user, &call, ret_error);
    return status < 0 ? status : end_blocking(call, ret_error);
}
