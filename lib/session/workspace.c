/* What the workspace holds: list, stat, remove. Reading and writing it is in stream.c. */
#include "base/path.h"
#include "base/str.h"
#include "session/keys.h"
#include "session/object.h"

#define LIST_PAGE 1000

typedef struct workspace_call {
    ci_call call;
    enum { LIST, STAT, REMOVE } kind;
    char *name;  /* what was asked for */
    char *key;   /* STAT, REMOVE */
    size_t at;   /* LIST: which of the session's places */
    char *after; /* LIST: last key of the page */
    uint32_t listed;
    ci_op *op;
    ci_status status; /* of the callback */
    ci_result *result;
} workspace_call;

static ci_status add_object(workspace_call *self, const char *name, const ci_object *object) {
    char hex[65];
    if (object->sha256)
        cii_hex(object->sha256, 32, hex);
    const ci_file_info info = {
        .struct_size = sizeof info,
        .path = name,
        .key = name,
        .sha256 = object->sha256 ? hex : NULL,
        .size_bytes = object->size_bytes,
        .modified_ms = object->modified_ms,
        .kind = CI_KIND_REGULAR,
    };
    return cii_result_add_file(self->result, CI_FILES_MAIN, &info, NULL);
}

static int32_t on_listed(void *user, const ci_object *object) {
    workspace_call *self = user;
    const cii_place *here = &self->call.session->places[self->at];
    if (++self->listed == LIST_PAGE) {
        free(self->after);
        self->after = strdup(object->key);
        if (!self->after)
            self->status = CI_ERR_NOMEM;
    }
    const char *rest = object->key + strlen(here->key);
    if (!cii_str_starts(object->key, here->key) || !*rest || cii_str_ends(object->key, "/"))
        return 0; /* a marker of a folder */
    _cleanup_free_ char *name = cii_str_printf("%s%s", here->name, rest);
    if (!name || (cii_str_starts(name, self->name) && add_object(self, name, object) < 0))
        self->status = CI_ERR_NOMEM;
    return self->status < 0 ? -1 : 0;
}

static int32_t on_stat(void *user, const ci_object *object) {
    workspace_call *self = user;
    self->status = add_object(self, self->name, object);
    return self->status < 0 ? -1 : 0;
}

/* --- listing ------------------------------------------------------------------------------------------------------- */

/* Starts the next page; 1: there is none. */
static int start_page(workspace_call *self, ci_error **ret_error) {
    ci_session *session = self->call.session;
    for (; self->at < session->place_count; self->at++, free(TAKE_PTR(self->after))) {
        const cii_place *here = &session->places[self->at];
        if (!cii_str_starts(here->name, self->name) && !cii_str_starts(self->name, here->name))
            continue;
        bool below = strlen(self->name) > strlen(here->name);
        _cleanup_free_ char *prefix = cii_str_printf("%s%s", here->key, below ? self->name + strlen(here->name) : "");
        if (!prefix)
            return cii_error_nomem(ret_error);
        self->listed = 0;
        return session->storage_ops->list(session->storage_impl, prefix, self->after, LIST_PAGE, on_listed, self,
                                          &self->op, ret_error);
    }
    return 1;
}

/* What is there and is no file of the workspace. */
static ci_status add_left_out(workspace_call *self, const char *why) {
    const ci_file_info info = {.struct_size = sizeof info,
                               .path = self->call.session->places[self->at].name,
                               .error = why,
                               .kind = CI_KIND_DIRECTORY,
                               .status = CI_FILE_SKIPPED};
    return cii_result_add_file(self->result, CI_FILES_MAIN, &info, NULL);
}

static int step_list(workspace_call *self, cii_waits *waits, ci_error **ret_error) {
    for (;;) {
        int r = self->op ? 0 : start_page(self, ret_error);
        if (r != 0)
            return r;
        _cleanup_error_ ci_error *error = NULL;
        r = cii_op_step(&self->op, waits, &error);
        if (r == CI_ERR_NOTSUP && add_left_out(self, ci_error_message(error)) < 0)
            return cii_error_nomem(ret_error);
        if (r < 0 && r != CI_ERR_NOTSUP && ret_error) {
            ci_error_free(*ret_error);
            *ret_error = TAKE_PTR(error);
        }
        if (r <= 0 && r != CI_ERR_NOTSUP)
            return r;
        if (r < 0 || self->listed < LIST_PAGE) {
            self->at++;
            free(TAKE_PTR(self->after));
        }
    }
}

/* --- the call ------------------------------------------------------------------------------------------------------ */

static int step_one(workspace_call *self, cii_waits *waits, ci_error **ret_error) {
    ci_session *session = self->call.session;
    ci_status status = CI_OK;
    if (!self->op && self->kind == STAT)
        status = session->storage_ops->stat(session->storage_impl, self->key, on_stat, self, &self->op, ret_error);
    else if (!self->op)
        status = session->storage_ops->remove(session->storage_impl, self->key, &self->op, ret_error);
    return status < 0 ? status : cii_op_step(&self->op, waits, ret_error);
}

static int workspace_step(ci_call *call, cii_waits *waits, ci_error **ret_error) {
    workspace_call *self = (workspace_call *)call;
    int r = self->kind == LIST ? step_list(self, waits, ret_error) : step_one(self, waits, ret_error);
    if (self->status < 0)
        return cii_error_nomem(ret_error);
    if (r > 0)
        call->result = TAKE_PTR(self->result);
    return r;
}

static void workspace_drop(ci_call *call) {
    workspace_call *self = (workspace_call *)call;
    cii_op_drop(&self->op);
    free(self->name);
    free(self->key);
    free(self->after);
    ci_result_free(self->result);
}

static const cii_call_ops *kind_ops(int kind) {
    static const cii_call_ops ops[] = {
        [LIST] = {.name = "workspace list", .step = workspace_step, .drop = workspace_drop},
        [STAT] = {.name = "workspace stat", .step = workspace_step, .drop = workspace_drop},
        [REMOVE] = {.name = "workspace remove", .step = workspace_step, .drop = workspace_drop},
    };
    return &ops[kind];
}

static ci_status start(ci_session *session, int kind, const char *name, ci_call **ret_call, ci_error **ret_error) {
    ci_status status = cii_session_check(session, ret_error);
    if (status == CI_OK && !name)
        status = cii_error_set(ret_error, CI_ERR_INVALID, "session", "name: NULL");
    if (status == CI_OK)
        status = cii_session_need_workspace(session, ret_error);
    _cleanup_free_ char *key = NULL;
    if (status == CI_OK)
        status = kind == LIST ? cii_key_check(name, true, "prefix", ret_error)
                              : cii_keys_of_name(session, name, &key, ret_error);
    _cleanup_call_ ci_call *call = NULL;
    if (status == CI_OK)
        status = cii_call_new(sizeof(workspace_call), kind_ops(kind), session, session->options.timeout_ms, &call,
                              ret_error);
    if (status < 0)
        return status;
    workspace_call *self = (workspace_call *)call;
    self->kind = kind;
    self->key = TAKE_PTR(key);
    self->name = strdup(name);
    call->outcome_kind = kind == REMOVE ? CII_OUTCOME_STATUS : CII_OUTCOME_RESULT;
    if (!self->name || cii_result_new(CII_RESULT_WORKSPACE_LIST, NULL, &self->result) < 0)
        return cii_error_nomem(ret_error);
    *ret_call = TAKE_PTR(call);
    return CI_OK;
}

ci_status ci_workspace_list_start(ci_session *session, const char *prefix, ci_call **ret_call, ci_error **ret_error) {
    return start(session, LIST, prefix ? prefix : "", ret_call, ret_error);
}

ci_status ci_workspace_list(ci_session *session, const char *prefix, ci_result **ret_result, ci_error **ret_error) {
    ci_call *call = NULL;
    ci_status status = ci_workspace_list_start(session, prefix, &call, ret_error);
    return status < 0 ? status : cii_call_end_result(call, ret_result, ret_error);
}

ci_status ci_workspace_stat_start(ci_session *session, const char *name, ci_call **ret_call, ci_error **ret_error) {
    return start(session, STAT, name, ret_call, ret_error);
}

ci_status ci_workspace_stat(ci_session *session, const char *name, ci_result **ret_result, ci_error **ret_error) {
    ci_call *call = NULL;
    ci_status status = ci_workspace_stat_start(session, name, &call, ret_error);
    return status < 0 ? status : cii_call_end_result(call, ret_result, ret_error);
}

ci_status ci_workspace_remove_start(ci_session *session, const char *name, ci_call **ret_call, ci_error **ret_error) {
    return start(session, REMOVE, name, ret_call, ret_error);
}

ci_status ci_workspace_remove(ci_session *session, const char *name, ci_error **ret_error) {
    ci_call *call = NULL;
    ci_status status = ci_workspace_remove_start(session, name, &call, ret_error);
    return status < 0 ? status : cii_call_end_status(call, ret_error);
}
