/* Whole files between the host's callbacks and the sandbox or the workspace, in bounded memory. Here the backend's and
 * the storage's callbacks are the host's own, but for the meaning of what they return. */
#include <string.h>

#include "base/path.h"
#include "session/keys.h"
#include "session/object.h"
#include "session/preload.h"

typedef struct stream_call {
    ci_call call;
    enum { FILE_GET, FILE_PUT, OBJECT_GET, OBJECT_PUT } kind;
    bool in;    /* past the door: only a file of the sandbox may be an upload that is still to come */
    char *path; /* or the object's key */
    uint64_t offset;
    uint64_t length;
    ci_write_cb write;
    ci_read_cb read;
    void *user;
    ci_op *op;
} stream_call;

/* The host cannot pause a transfer: whatever its callback says but success ends it. */
static int32_t on_write(void *user, const void *data, size_t size) {
    stream_call *self = user;
    return self->write(self->user, data, size) == 0 ? 0 : -1;
}

static int64_t on_read(void *user, void *buffer, size_t size) {
    stream_call *self = user;
    int64_t n = self->read(self->user, buffer, size);
    return n < 0 || (uint64_t)n > size ? -1 : n;
}

static ci_status start_op(stream_call *self, ci_error **ret_error) {
    ci_session *session = self->call.session;
    const ci_put_request request = {
        .struct_size = sizeof request,
        .key = self->path,
        .mime_type = cii_mime_type(self->path, NULL, 0),
        .size_bytes = UINT64_MAX,
    };
    switch (self->kind) {
    case FILE_GET:
        return session->ops->file_get(session->backend, self->path, self->offset, self->length, on_write, self,
                                      &self->op, ret_error);
    case FILE_PUT:
        atomic_fetch_add(&session->write_count, 1);
        return session->ops->file_put(session->backend, self->path, on_read, self, &self->op, ret_error);
    case OBJECT_GET:
        return session->storage_ops->get(session->storage_impl, self->path, NULL, self->offset, self->length, on_write,
                                         NULL, self, &self->op, ret_error);
    case OBJECT_PUT:
        return session->storage_ops->put(session->storage_impl, &request, on_read, NULL, self, &self->op, ret_error);
    }
    return CI_ERR_INTERNAL;
}

static int stream_step(ci_call *call, cii_waits *waits, ci_error **ret_error) {
    stream_call *self = (stream_call *)call;
    if (!self->in) {
        if (!cii_door_is_first(call->session, call))
            return 0;
        int r = cii_preload_step(call->session->preload, false, waits, ret_error);
        if (r <= 0)
            return r;
        cii_door_leave(call->session, call);
        self->in = true;
    }
    ci_status status = self->op ? CI_OK : start_op(self, ret_error);
    return status < 0 ? status : cii_op_step(&self->op, waits, ret_error);
}

static void stream_drop(ci_call *call) {
    stream_call *self = (stream_call *)call;
    if (!self->in && cii_door_is_first(call->session, call))
        cii_preload_pause(call->session->preload);
    cii_op_drop(&self->op);
    if (self->kind == FILE_PUT)
        atomic_fetch_add(&call->session->write_count, 1);
    free(self->path);
}

static const cii_call_ops *kind_ops(int kind) {
    static const cii_call_ops ops[] = {
        [FILE_GET] = {.name = "file get", .step = stream_step, .drop = stream_drop},
        [FILE_PUT] = {.name = "file put", .step = stream_step, .drop = stream_drop},
        [OBJECT_GET] = {.name = "workspace read", .step = stream_step, .drop = stream_drop},
        [OBJECT_PUT] = {.name = "workspace write", .step = stream_step, .drop = stream_drop},
    };
    return &ops[kind];
}

/* Consumes wanted.path. */
static ci_status start(ci_session *session, const stream_call *wanted, ci_call **ret_call, ci_error **ret_error) {
    ci_call *call = NULL;
    ci_status status = cii_call_new(sizeof(stream_call), kind_ops((int)wanted->kind), session,
                                    session->options.timeout_ms, &call, ret_error);
    if (status < 0) {
        free(wanted->path);
        return status;
    }
    stream_call *self = (stream_call *)call;
    memcpy((char *)self + sizeof self->call, (const char *)wanted + sizeof wanted->call,
           sizeof *self - sizeof self->call);
    self->in = self->kind != FILE_GET;
    if (!self->in)
        cii_door_enter(session, call);
    *ret_call = call;
    return CI_OK;
}

static ci_status check(ci_session *session, const char *path, bool has_callback, const char *callback,
                       ci_error **ret_error) {
    ci_status status = cii_session_check(session, ret_error);
    if (status == CI_OK && (!path || !has_callback))
        status = cii_error_set(ret_error, CI_ERR_INVALID, "session", "%s: NULL", path ? callback : "path");
    return status;
}

static ci_status start_file(ci_session *session, const char *path, stream_call wanted, ci_call **ret_call,
                            ci_error **ret_error) {
    wanted.path = strdup(path);
    return wanted.path ? start(session, &wanted, ret_call, ret_error) : cii_error_nomem(ret_error);
}

static ci_status start_object(ci_session *session, const char *name, stream_call wanted, ci_call **ret_call,
                              ci_error **ret_error) {
    ci_status status = cii_session_need_workspace(session, ret_error);
    if (status == CI_OK)
        status = cii_keys_of_name(session, name, &wanted.path, ret_error);
    return status < 0 ? status : start(session, &wanted, ret_call, ret_error);
}

ci_status ci_file_get_start(ci_session *session, const char *path, uint64_t offset, uint64_t length, ci_write_cb write,
                            void *user, ci_call **ret_call, ci_error **ret_error) {
    const stream_call wanted = {.kind = FILE_GET, .offset = offset, .length = length, .write = write, .user = user};
    ci_status status = check(session, path, write != NULL, "write", ret_error);
    return status < 0 ? status : start_file(session, path, wanted, ret_call, ret_error);
}

ci_status ci_file_get(ci_session *session, const char *path, uint64_t offset, uint64_t length, ci_write_cb write,
                      void *user, ci_error **ret_error) {
    ci_call *call = NULL;
    ci_status status = ci_file_get_start(session, path, offset, length, write, user, &call, ret_error);
    return status < 0 ? status : cii_call_end_status(call, ret_error);
}

ci_status ci_file_put_start(ci_session *session, const char *path, ci_read_cb read, void *user, ci_call **ret_call,
                            ci_error **ret_error) {
    const stream_call wanted = {.kind = FILE_PUT, .read = read, .user = user};
    ci_status status = check(session, path, read != NULL, "read", ret_error);
    return status < 0 ? status : start_file(session, path, wanted, ret_call, ret_error);
}

ci_status ci_file_put(ci_session *session, const char *path, ci_read_cb read, void *user, ci_error **ret_error) {
    ci_call *call = NULL;
    ci_status status = ci_file_put_start(session, path, read, user, &call, ret_error);
    return status < 0 ? status : cii_call_end_status(call, ret_error);
}

ci_status ci_workspace_read_start(ci_session *session, const char *name, uint64_t offset, uint64_t length,
                                  ci_write_cb write, void *user, ci_call **ret_call, ci_error **ret_error) {
    const stream_call wanted = {.kind = OBJECT_GET, .offset = offset, .length = length, .write = write, .user = user};
    ci_status status = check(session, name, write != NULL, "write", ret_error);
    return status < 0 ? status : start_object(session, name, wanted, ret_call, ret_error);
}

ci_status ci_workspace_read(ci_session *session, const char *name, uint64_t offset, uint64_t length, ci_write_cb write,
                            void *user, ci_error **ret_error) {
    ci_call *call = NULL;
    ci_status status = ci_workspace_read_start(session, name, offset, length, write, user, &call, ret_error);
    return status < 0 ? status : cii_call_end_status(call, ret_error);
}

ci_status ci_workspace_write_start(ci_session *session, const char *name, ci_read_cb read, void *user,
                                   ci_call **ret_call, ci_error **ret_error) {
    const stream_call wanted = {.kind = OBJECT_PUT, .read = read, .user = user};
    ci_status status = check(session, name, read != NULL, "read", ret_error);
    return status < 0 ? status : start_object(session, name, wanted, ret_call, ret_error);
}

ci_status ci_workspace_write(ci_session *session, const char *name, ci_read_cb read, void *user, ci_error **ret_error) {
    ci_call *call = NULL;
    ci_status status = ci_workspace_write_start(session, name, read, user, &call, ret_error);
    return status < 0 ? status : cii_call_end_status(call, ret_error);
}
