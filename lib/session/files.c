/* ci_file_op(): reads, writes, lists and removes, path after path; what works is done, what fails is named. */
#include "base/buf.h"
#include "base/options.h"
#include "base/str.h"
#include "session/object.h"
#include "session/preload.h"
#include "session/walk.h"

#define READ_MAX (UINT64_C(32) << 20)
#define READ_TOTAL_MAX (UINT64_C(64) << 20) /* all is in memory until the result is freed */

typedef struct file_call {
    ci_call call;
    int32_t operation;
    bool in; /* past the door */
    char **paths;
    cii_buf *contents; /* WRITE: one a path */
    size_t count;
    size_t at;
    ci_op *op;
    cii_buf read;        /* READ: what came */
    uint64_t read_total; /* in the result already */
    bool too_large;
    bool too_many;
    uint64_t written;
    ci_status status; /* of a callback */
    ci_result *result;
} file_call;

/* --- callbacks of the backend -------------------------------------------------------------------------------------- */

static int32_t on_bytes(void *user, const void *data, size_t size) {
    file_call *self = user;
    self->too_large = self->read.size + size > READ_MAX;
    self->too_many = !self->too_large && self->read_total + self->read.size + size > READ_TOTAL_MAX;
    if (self->too_large || self->too_many)
        return -1;
    self->status = cii_buf_append(&self->read, data, size);
    return self->status < 0 ? -1 : 0;
}

static int64_t on_need(void *user, void *buffer, size_t size) {
    file_call *self = user;
    const cii_buf *content = &self->contents[self->at];
    size = CII_MIN(size, content->size - self->written);
    if (size)
        memcpy(buffer, content->data + self->written, size);
    self->written += size;
    return (int64_t)size;
}

static ci_status add(file_call *self, const ci_file_info *info, char *data) {
    ci_file_info full = *info;
    full.struct_size = sizeof full;
    return cii_result_add_file(self->result, CI_FILES_MAIN, &full, data);
}

static int32_t on_entry(void *user, const ci_entry *entry) {
    file_call *self = user;
    _cleanup_free_ char *path = cii_walk_join(self->paths[self->at], entry->path);
    const ci_file_info info = {
        .path = path,
        .size_bytes = entry->size_bytes,
        .modified_ms = entry->modified_ns / 1000000,
        .kind = entry->kind,
    };
    self->status = path ? add(self, &info, NULL) : CI_ERR_NOMEM;
    return self->status < 0 ? -1 : 0;
}

/* --- one path ------------------------------------------------------------------------------------------------------ */

static ci_status start_path(file_call *self, ci_error **error) {
    ci_session *session = self->call.session;
    const char *path = self->paths[self->at];
    self->too_large = self->too_many = false;
    self->written = 0;
    if (self->operation != CI_FILE_OP_READ && self->operation != CI_FILE_OP_LIST)
        atomic_fetch_add(&session->write_count, 1);
    switch (self->operation) {
    case CI_FILE_OP_READ:
        return session->ops->file_get(session->backend, path, 0, UINT64_MAX, on_bytes, self, &self->op, error);
    case CI_FILE_OP_WRITE:
        return session->ops->file_put(session->backend, path, on_need, self, &self->op, error);
    case CI_FILE_OP_LIST:
        return session->ops->file_list(session->backend, path, on_entry, self, &self->op, error);
    default:
        return session->ops->file_remove(session->backend, path, &self->op, error);
    }
}

static ci_status end_good(file_call *self) {
    if (self->operation == CI_FILE_OP_LIST)
        return CI_OK; /* its entries are there already */
    ci_file_info info = {.path = self->paths[self->at], .kind = CI_KIND_REGULAR};
    if (self->operation == CI_FILE_OP_REMOVE)
        info.kind = CI_KIND_OTHER; /* it is gone, and was of any kind */
    if (self->operation == CI_FILE_OP_WRITE)
        info.size_bytes = self->contents[self->at].size;
    if (self->operation != CI_FILE_OP_READ)
        return add(self, &info, NULL);
    size_t size = 0;
    char *data = cii_buf_take(&self->read, &size);
    if (!data)
        return CI_ERR_NOMEM;
    info.size_bytes = info.data_size = size;
    self->read_total += size;
    return add(self, &info, data);
}

static ci_status end_bad(file_call *self, const char *why) {
    const ci_file_info info = {
        .path = self->paths[self->at],
        .error = why,
        .kind = CI_KIND_OTHER,
        .status = CI_FILE_FAILED,
    };
    return add(self, &info, NULL);
}

static int step_path(file_call *self, cii_waits *waits, ci_error **ret_error) {
    _cleanup_error_ ci_error *error = NULL;
    int r = self->op ? 0 : start_path(self, &error);
    if (r == 0)
        r = cii_op_step(&self->op, waits, &error);
    if (r == 0)
        return 0;
    if (self->operation != CI_FILE_OP_READ && self->operation != CI_FILE_OP_LIST)
        atomic_fetch_add(&self->call.session->write_count, 1);
    if (self->status < 0 || r == CI_ERR_NOMEM)
        return cii_error_nomem(ret_error);
    if (r == CI_ERR_LOST || r == CI_ERR_CLOSED) {
        if (ret_error)
            *ret_error = TAKE_PTR(error);
        return r;
    }
    const char *why = self->too_large  ? "larger than 32 MiB: too large to be read whole"
                      : self->too_many ? "more than 64 MiB in one call: read it in a call of its own"
                                       : ci_error_message(error);
    ci_status status = r > 0 ? end_good(self) : end_bad(self, why);
    cii_buf_clear(&self->read);
    self->at++;
    return status < 0 ? cii_error_nomem(ret_error) : 1;
}

/* --- the call ------------------------------------------------------------------------------------------------------ */

static int settle(file_call *self, ci_error **ret_error) {
    if (cii_result_settle(self->result) < 0 || cii_session_tell_preload(self->call.session, self->result) < 0)
        return cii_error_nomem(ret_error);
    self->call.result = TAKE_PTR(self->result);
    return 1;
}

static int file_step(ci_call *call, cii_waits *waits, ci_error **ret_error) {
    file_call *self = (file_call *)call;
    if (!self->in) {
        if (!cii_door_is_first(call->session, call))
            return 0;
        int r = cii_preload_step(call->session->preload, false, waits, ret_error);
        if (r <= 0)
            return r;
        cii_door_leave(call->session, call);
        self->in = true;
    }
    if (self->at < self->count) {
        int r = step_path(self, waits, ret_error);
        if (r <= 0)
            return r;
    }
    waits->again = self->at < self->count;
    return waits->again ? 0 : settle(self, ret_error);
}

static ci_status file_cut(ci_call *call, int32_t outcome, ci_error **ret_error) {
    file_call *self = (file_call *)call;
    ci_status status = CI_OK;
    for (; self->at < self->count && status == CI_OK; self->at++)
        status = end_bad(self, outcome == CI_OUTCOME_TIMEOUT ? "not done: time-out" : "not done: interrupted");
    if (status == CI_OK)
        status = settle(self, ret_error) < 0 ? CI_ERR_NOMEM : CI_OK;
    if (status == CI_OK && outcome == CI_OUTCOME_TIMEOUT)
        status = cii_result_override_timeout(call->result, call->timeout_ms);
    else if (status == CI_OK)
        status = cii_result_override(call->result, outcome, NULL);
    return status < 0 ? cii_error_nomem(ret_error) : CI_OK;
}

static void file_drop(ci_call *call) {
    file_call *self = (file_call *)call;
    if (!self->in && cii_door_is_first(call->session, call))
        cii_preload_pause(call->session->preload);
    cii_op_drop(&self->op);
    cii_strv_free(self->paths);
    for (size_t i = 0; self->contents && i < self->count; i++)
        cii_buf_free(&self->contents[i]);
    free(self->contents);
    cii_buf_free(&self->read);
    ci_result_free(self->result);
}

static const cii_call_ops file_ops = {.name = "file operation", .step = file_step, .drop = file_drop, .cut = file_cut};

/* --- starting ------------------------------------------------------------------------------------------------------ */

static const cii_result_kind result_kinds[] = {
    [CI_FILE_OP_READ] = CII_RESULT_READ,
    [CI_FILE_OP_WRITE] = CII_RESULT_WRITE,
    [CI_FILE_OP_LIST] = CII_RESULT_LIST,
    [CI_FILE_OP_REMOVE] = CII_RESULT_REMOVE,
};

static ci_status check(const ci_file_op_options *o, ci_error **ret_error) {
    if (o->operation < CI_FILE_OP_READ || o->operation > CI_FILE_OP_REMOVE)
        return cii_error_set(ret_error, CI_ERR_INVALID, "session",
                             "operation: %d is not allowed: one of the CI_FILE_OP_ values, 1 to 4", o->operation);
    bool write = o->operation == CI_FILE_OP_WRITE;
    if (write && (!o->content || o->content_count == 0))
        return cii_error_set(ret_error, CI_ERR_INVALID, "session", "content: a write needs at least one file");
    if (!write && o->operation != CI_FILE_OP_LIST && (!o->paths || o->path_count == 0))
        return cii_error_set(ret_error, CI_ERR_INVALID, "session", "paths: at least one is needed");
    for (size_t i = 0; !write && o->paths && i < o->path_count; i++)
        if (!o->paths[i])
            return cii_error_set(ret_error, CI_ERR_INVALID, "session", "paths[%zu]: NULL", i);
    for (size_t i = 0; write && i < o->content_count; i++)
        if (!o->content[i].path || (!o->content[i].data && o->content[i].size))
            return cii_error_set(ret_error, CI_ERR_INVALID, "session", "content[%zu]: %s: NULL", i,
                                 o->content[i].path ? "data" : "path");
    return CI_OK;
}

static ci_status fill(file_call *self, const ci_file_op_options *o) {
    bool write = o->operation == CI_FILE_OP_WRITE;
    bool root = !write && (!o->paths || o->path_count == 0);
    size_t count = write ? o->content_count : root ? 1 : o->path_count;
    self->operation = o->operation;
    self->paths = calloc(count + 1, sizeof *self->paths);
    self->contents = write ? calloc(count, sizeof *self->contents) : NULL;
    cii_buf_init(&self->read, 0);
    if (!self->paths || (write && !self->contents))
        return CI_ERR_NOMEM;
    for (size_t i = 0; i < count; i++, self->count++) {
        self->paths[i] = strdup(write ? o->content[i].path : root ? "." : o->paths[i]);
        if (!self->paths[i])
            return CI_ERR_NOMEM;
        if (!write)
            continue;
        cii_buf_init(&self->contents[i], 0);
        if (o->content[i].size && cii_buf_append(&self->contents[i], o->content[i].data, o->content[i].size) < 0)
            return CI_ERR_NOMEM;
    }
    return cii_result_new(result_kinds[o->operation], NULL, &self->result);
}

ci_status ci_file_op_start(ci_session *session, const ci_file_op_options *options, ci_call **ret_call,
                           ci_error **ret_error) {
    ci_file_op_options o;
    ci_status status = cii_session_check(session, ret_error);
    if (status == CI_OK)
        status = cii_options_copy(&o, sizeof o, options, "ci_file_op_options", ret_error);
    if (status == CI_OK)
        status = cii_reserved_check(o.reserved, "ci_file_op_options", ret_error);
    if (status == CI_OK)
        status = check(&o, ret_error);
    if (status < 0)
        return status;
    ci_call *call = NULL;
    status = cii_call_new(sizeof(file_call), &file_ops, session, cii_session_timeout(session, o.timeout_ms), &call,
                          ret_error);
    if (status < 0)
        return status;
    call->outcome_kind = CII_OUTCOME_RESULT;
    if (fill((file_call *)call, &o) < 0) {
        ci_call_free(call);
        return cii_error_nomem(ret_error);
    }
    cii_door_enter(session, call);
    *ret_call = call;
    return CI_OK;
}

ci_status ci_file_op(ci_session *session, const ci_file_op_options *options, ci_result **ret_result,
                     ci_error **ret_error) {
    ci_call *call = NULL;
    ci_status status = ci_file_op_start(session, options, &call, ret_error);
    return status < 0 ? status : cii_call_end_result(call, ret_result, ret_error);
}
