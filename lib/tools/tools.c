/* ci_tool_call(): a tool by name and JSON is one call of the public interface, its failures put into results where a
 * model can do something about them. */
#include <ci/tools.h>

#include <stdio.h>

#include "base/base64.h"
#include "base/options.h"
#include "base/path.h"
#include "base/str.h"
#include "result/result.h"
#include "session/session.h"
#include "tools/input.h"

#define READ_MAX (32u << 20) /* bytes that workspace_read returns */

typedef struct request {
    ci_session *session;
    ci_tool_options options;
    cii_tool_input input;
} request;

/* --- refusals and failures ---------------------------------------------------------------------------------------- */

static ci_status finish_refused(const char *message, ci_call **ret_call, ci_error **ret_error) {
    ci_result *result = NULL;
    if (cii_result_refused(message, &result) != CI_OK)
        return cii_error_nomem(ret_error);
    return cii_call_finished(result, ret_call, ret_error);
}

/* A refusal that says "TOOL: …". */
static ci_status refuse(const request *r, const char *what, ci_call **ret_call, ci_error **ret_error) {
    _cleanup_free_ char *message = cii_str_printf("%s: %s", r->input.tool->name, what);
    return message ? finish_refused(message, ret_call, ret_error) : cii_error_nomem(ret_error);
}

/* The outcome by which a model is told of a failed call; OK for failures that are the host's to deal with. */
static int32_t outcome_of(ci_status status) {
    switch (status) {
    case CI_ERR_INVALID:
    case CI_ERR_NOTSUP:
    case CI_ERR_MISSING:
        return CI_OUTCOME_REFUSED;
    case CI_ERR_NOTFOUND:
    case CI_ERR_EXISTS:
    case CI_ERR_PERMISSION:
    case CI_ERR_LIMIT:
    case CI_ERR_CONDITION:
        return CI_OUTCOME_FAILED;
    default:
        return CI_OUTCOME_OK;
    }
}

/* Makes a result of a failed call and frees its error; or passes the failure on. */
static ci_status result_of_failure(ci_status status, ci_error *failure, ci_result **ret_result, ci_error **ret_error) {
    _cleanup_error_ ci_error *error = failure;
    _cleanup_result_ ci_result *result = NULL;
    int32_t outcome = outcome_of(status);
    if (outcome == CI_OUTCOME_OK) {
        if (ret_error)
            *ret_error = TAKE_PTR(error);
        return status;
    }
    const char *hint = ci_error_hint(error);
    _cleanup_free_ char *message = cii_str_printf("%s%s%s", ci_error_message(error), hint[0] ? "; " : "", hint);
    if (!message || cii_result_new(CII_RESULT_RUN, NULL, &result) != CI_OK ||
        cii_result_override(result, outcome, message) != CI_OK)
        return cii_error_nomem(ret_error);
    *ret_result = TAKE_PTR(result);
    return CI_OK;
}

static ci_status map_result(void *user, ci_call *inner, ci_result **ret_result, ci_error **ret_error) {
    (void)user;
    ci_error *failure = NULL;
    ci_status status = ci_call_take_result(inner, ret_result, &failure);
    return status == CI_OK ? CI_OK : result_of_failure(status, failure, ret_result, ret_error);
}

/* Goes on with a call that has a result of its own, or with the reason why it could not start. Consumes failure. */
static ci_status go_on(ci_status status, ci_call *inner, ci_error *failure, ci_call **ret_call, ci_error **ret_error) {
    if (status == CI_OK)
        return cii_call_map_result(inner, map_result, NULL, NULL, ret_call, ret_error);
    ci_result *result = NULL;
    status = result_of_failure(status, failure, &result, ret_error);
    return status == CI_OK ? cii_call_finished(result, ret_call, ret_error) : status;
}

/* For calls whose deadline is otherwise the session's. */
static ci_status with_timeout(const request *r, ci_status status, ci_call *inner) {
    if (status == CI_OK && r->options.timeout_ms)
        ci_call_set_timeout(inner, r->options.timeout_ms);
    return status;
}

/* --- code and commands -------------------------------------------------------------------------------------------- */

static ci_run_options run_options(const request *r) {
    ci_run_options options = CI_RUN_OPTIONS_INIT;
    int64_t given_ms = cii_tool_ms(&r->input, "timeout");
    options.timeout_ms = given_ms ? given_ms : r->options.timeout_ms;
    options.output = r->options.output;
    options.output_user = r->options.output_user;
    return options;
}

/* A string that was not given and an empty one are the same. */
static const char *text_or_null(const request *r, const char *name) {
    const char *text = cii_tool_text(&r->input, name, NULL);
    return text && text[0] ? text : NULL;
}

static ci_status start_execute_code(request *r, ci_call **ret_call, ci_error **ret_error) {
    ci_run_options options = run_options(r);
    options.language = cii_tool_choice(&r->input, "language");
    options.output_filename = text_or_null(r, "output_filename");
    options.context = text_or_null(r, "context");
    options.flags = cii_tool_flag(&r->input, "clear_context") ? CI_RUN_CLEAR_CONTEXT : 0;
    size_t size;
    const char *code = cii_tool_text(&r->input, "code", &size);
    ci_call *inner = NULL;
    ci_error *failure = NULL;
    ci_status status = ci_execute_code_start(r->session, code, size, &options, &inner, &failure);
    return go_on(status, inner, failure, ret_call, ret_error);
}

static ci_status start_execute_command(request *r, ci_call **ret_call, ci_error **ret_error) {
    ci_run_options options = run_options(r);
    options.flags = cii_tool_flag(&r->input, "background") ? CI_RUN_BACKGROUND : 0;
    const char *command = cii_tool_text(&r->input, "command", NULL);
    ci_call *inner = NULL;
    ci_error *failure = NULL;
    ci_status status = ci_execute_command_start(r->session, command, &options, &inner, &failure);
    return go_on(status, inner, failure, ret_call, ret_error);
}

/* --- files -------------------------------------------------------------------------------------------------------- */

/* The strings of the field "paths", borrowed; *ret_paths is malloc'd. */
static ci_status paths_of(const request *r, const char ***ret_paths, size_t *ret_count) {
    size_t count = cii_tool_list_count(&r->input, "paths");
    const char **paths = calloc(count + 1, sizeof *paths);
    if (!paths)
        return CI_ERR_NOMEM;
    for (size_t i = 0; i < count; i++)
        paths[i] = cii_json_text_of(cii_tool_list_at(&r->input, "paths", i), NULL);
    *ret_paths = paths;
    *ret_count = count;
    return CI_OK;
}

static ci_status start_file_op(request *r, ci_file_op_options *options, ci_call **ret_call, ci_error **ret_error) {
    options->timeout_ms = r->options.timeout_ms;
    ci_call *inner = NULL;
    ci_error *failure = NULL;
    ci_status status = ci_file_op_start(r->session, options, &inner, &failure);
    return go_on(status, inner, failure, ret_call, ret_error);
}

/* Bytes of "text" or of "blob", the latter decoded into `bytes`. NOMEM; INVALID: not base64, and error says why. */
static ci_status content_of(const cii_json *text, const cii_json *blob, cii_buf *bytes, const void **ret_data,
                            size_t *ret_size, ci_error **ret_error) {
    cii_buf_init(bytes, 0);
    if (text) {
        *ret_data = cii_json_text_of(text, ret_size);
        return CI_OK;
    }
    size_t size;
    const char *encoded = cii_json_text_of(blob, &size);
    ci_status status = cii_base64_decode(bytes, encoded, size, ret_error);
    *ret_data = bytes->data;
    *ret_size = bytes->size;
    return status;
}

static const cii_json *member(const cii_json *object, const char *name) {
    const cii_json *value = cii_json_get(object, name);
    return cii_json_type_of(value) == CII_JSON_NULL ? NULL : value;
}

typedef struct contents {
    ci_file_content *files;
    cii_buf *bytes; /* decoded blobs */
    size_t count;
} contents;

static void free_contents(contents *c) {
    for (size_t i = 0; c->bytes && i < c->count; i++)
        cii_buf_free(&c->bytes[i]);
    free(c->bytes);
    free(c->files);
}

/* CI_OK; NOMEM; INVALID with *ret_bad the entry whose blob is not base64. */
static ci_status take_contents(const request *r, contents *c, size_t *ret_bad, ci_error **ret_error) {
    c->count = cii_tool_list_count(&r->input, "content");
    c->files = calloc(c->count, sizeof *c->files);
    c->bytes = calloc(c->count, sizeof *c->bytes);
    if (!c->files || !c->bytes)
        return cii_error_nomem(ret_error);
    for (size_t i = 0; i < c->count; i++) {
        const cii_json *entry = cii_tool_list_at(&r->input, "content", i);
        c->files[i].path = cii_json_text_of(cii_json_get(entry, "path"), NULL);
        ci_status status = content_of(member(entry, "text"), member(entry, "blob"), &c->bytes[i], &c->files[i].data,
                                      &c->files[i].size, ret_error);
        if (status != CI_OK) {
            *ret_bad = i;
            return status;
        }
    }
    return CI_OK;
}

static ci_status refuse_blob(const request *r, const char *where, const ci_error *error, ci_call **ret_call,
                             ci_error **ret_error) {
    _cleanup_free_ char *what = cii_str_printf("%s: %s", where, ci_error_message(error));
    return what ? refuse(r, what, ret_call, ret_error) : cii_error_nomem(ret_error);
}

/* Refuses paths that lead above the sandbox root by "..": 1 when none of them does. A model means another place then. */
static int check_climbing(const request *r, const char *list, ci_call **ret_call, ci_error **ret_error) {
    for (size_t i = 0; i < cii_tool_list_count(&r->input, list); i++) {
        const cii_json *entry = cii_tool_list_at(&r->input, list, i);
        bool is_text = cii_json_type_of(entry) == CII_JSON_STRING;
        const char *path = cii_json_text_of(is_text ? entry : cii_json_get(entry, "path"), NULL);
        if (!cii_path_climbs(path))
            continue;
        _cleanup_free_ char *what = cii_str_printf("%s[%zu]%s: \"%.200s\" leads above the sandbox root; what lies "
                                                   "outside of it has an absolute path",
                                                   list, i, is_text ? "" : ".path", path);
        return what ? refuse(r, what, ret_call, ret_error) : cii_error_nomem(ret_error);
    }
    return 1;
}

static ci_status start_write(request *r, ci_call **ret_call, ci_error **ret_error) {
    if (cii_tool_list_count(&r->input, "content") == 0)
        return refuse(r, "content: required for write: a list of objects with path and text or blob", ret_call,
                      ret_error);
    int checked = check_climbing(r, "content", ret_call, ret_error);
    if (checked <= 0)
        return checked;
    _cleanup_(free_contents) contents c = {0};
    _cleanup_error_ ci_error *error = NULL;
    size_t bad = 0;
    ci_status status = take_contents(r, &c, &bad, &error);
    if (status == CI_ERR_NOMEM)
        return cii_error_nomem(ret_error);
    if (status != CI_OK) {
        char where[48];
        snprintf(where, sizeof where, "content[%zu].blob", bad);
        return refuse_blob(r, where, error, ret_call, ret_error);
    }
    ci_file_op_options options = CI_FILE_OP_OPTIONS_INIT;
    options.operation = CI_FILE_OP_WRITE;
    options.content = c.files;
    options.content_count = c.count;
    return start_file_op(r, &options, ret_call, ret_error);
}

static ci_status start_on_paths(request *r, int32_t operation, ci_call **ret_call, ci_error **ret_error) {
    if (cii_tool_list_count(&r->input, "content") > 0)
        return refuse(r, "content: only for the operation write", ret_call, ret_error);
    if (operation != CI_FILE_OP_LIST && cii_tool_list_count(&r->input, "paths") == 0)
        return refuse(r, "paths: required for read and remove: a list of paths", ret_call, ret_error);
    int checked = check_climbing(r, "paths", ret_call, ret_error);
    if (checked <= 0)
        return checked;
    _cleanup_free_ const char **paths = NULL;
    ci_file_op_options options = CI_FILE_OP_OPTIONS_INIT;
    if (paths_of(r, &paths, &options.path_count) != CI_OK)
        return cii_error_nomem(ret_error);
    options.operation = operation;
    options.paths = paths;
    return start_file_op(r, &options, ret_call, ret_error);
}

/* With write, `paths` is ignored: each entry of `content` has its own. */
static ci_status start_file_operations(request *r, ci_call **ret_call, ci_error **ret_error) {
    const char *operation = cii_tool_choice(&r->input, "operation");
    if (strcmp(operation, "write") == 0)
        return start_write(r, ret_call, ret_error);
    return start_on_paths(r,
                          strcmp(operation, "read") == 0   ? CI_FILE_OP_READ
                          : strcmp(operation, "list") == 0 ? CI_FILE_OP_LIST
                                                           : CI_FILE_OP_REMOVE,
                          ret_call, ret_error);
}

/* --- workspace ---------------------------------------------------------------------------------------------------- */

static ci_status start_ci_push_to_workspace(request *r, ci_call **ret_call, ci_error **ret_error) {
    _cleanup_free_ const char **paths = NULL;
    size_t count;
    if (paths_of(r, &paths, &count) != CI_OK)
        return cii_error_nomem(ret_error);
    ci_push_options options = CI_PUSH_OPTIONS_INIT;
    options.timeout_ms = r->options.timeout_ms;
    ci_call *inner = NULL;
    ci_error *failure = NULL;
    ci_status status =
        ci_push_to_workspace_start(r->session, count > 0 ? paths : NULL, count, &options, &inner, &failure);
    return go_on(status, inner, failure, ret_call, ret_error);
}

static ci_status start_workspace_list(request *r, ci_call **ret_call, ci_error **ret_error) {
    ci_call *inner = NULL;
    ci_error *failure = NULL;
    ci_status status = ci_workspace_list_start(r->session, text_or_null(r, "path"), &inner, &failure);
    return go_on(with_timeout(r, status, inner), inner, failure, ret_call, ret_error);
}

/* One file on its way from or to the workspace. */
typedef struct transfer {
    cii_result_kind kind;
    char *path;
    cii_buf data;
    size_t sent;
    bool too_large;
    ci_status status; /* of a callback */
} transfer;

static void free_transfer(void *user) {
    transfer *t = user;
    if (!t)
        return;
    cii_buf_free(&t->data);
    free(t->path);
    free(t);
}

static transfer *new_transfer(const request *r, cii_result_kind kind) {
    transfer *t = calloc(1, sizeof *t);
    if (!t)
        return NULL;
    t->kind = kind;
    cii_buf_init(&t->data, 0);
    t->path = strdup(cii_tool_text(&r->input, "path", NULL));
    if (t->path)
        return t;
    free(t);
    return NULL;
}

static int32_t take_bytes(void *user, const void *data, size_t size) {
    transfer *t = user;
    t->too_large = size > READ_MAX - t->data.size;
    t->status = t->too_large ? CI_ERR_LIMIT : cii_buf_append(&t->data, data, size);
    return t->status;
}

static int64_t give_bytes(void *user, void *buffer, size_t size) {
    transfer *t = user;
    size_t now = CII_MIN(size, t->data.size - t->sent);
    if (now > 0)
        memcpy(buffer, t->data.data + t->sent, now);
    t->sent += now;
    return (int64_t)now;
}

/* The result of a transfer: its one file, with its content when it was read, or with what went wrong. */
static ci_status transfer_result(transfer *t, const char *error, ci_result **ret_result) {
    _cleanup_result_ ci_result *result = NULL;
    ci_file_info info = {.struct_size = sizeof info,
                         .path = t->path,
                         .error = error,
                         .kind = error ? 0 : CI_KIND_REGULAR,
                         .status = error ? CI_FILE_FAILED : CI_FILE_OK,
                         .size_bytes = error ? 0 : t->data.size};
    char *content = NULL;
    if (!error && t->kind == CII_RESULT_WORKSPACE_READ) {
        content = cii_buf_take(&t->data, &info.data_size);
        if (!content)
            return CI_ERR_NOMEM;
    }
    ci_status status = cii_result_new(t->kind, NULL, &result);
    if (status != CI_OK) {
        free(content);
        return status;
    }
    status = cii_result_add_file(result, CI_FILES_MAIN, &info, content);
    if (status == CI_OK)
        status = cii_result_settle(result);
    if (status == CI_OK)
        *ret_result = TAKE_PTR(result);
    return status;
}

static ci_status map_transfer(void *user, ci_call *inner, ci_result **ret_result, ci_error **ret_error) {
    transfer *t = user;
    _cleanup_error_ ci_error *failure = NULL;
    ci_status status = ci_call_take_status(inner, &failure);
    const char *error = NULL;
    if (status == CI_ERR_CANCELLED && t->too_large)
        error = "larger than 32 MiB, the most that workspace_read returns; the host can stream it with "
                "ci_workspace_read()";
    else if (status == CI_ERR_CANCELLED && t->status == CI_ERR_NOMEM)
        return cii_error_nomem(ret_error);
    else if (status != CI_OK && outcome_of(status) == CI_OUTCOME_FAILED)
        error = ci_error_message(failure);
    else if (status != CI_OK)
        return result_of_failure(status, TAKE_PTR(failure), ret_result, ret_error);
    return transfer_result(t, error, ret_result) == CI_OK ? CI_OK : cii_error_nomem(ret_error);
}

/* Goes on with the transfer that was started, or was not. Consumes t and failure. */
static ci_status go_on_transfer(ci_status status, ci_call *inner, transfer *t, ci_error *failure, ci_call **ret_call,
                                ci_error **ret_error) {
    if (status == CI_OK)
        return cii_call_map_result(inner, map_transfer, t, free_transfer, ret_call, ret_error);
    free_transfer(t);
    return go_on(status, NULL, failure, ret_call, ret_error);
}

static ci_status start_workspace_read(request *r, ci_call **ret_call, ci_error **ret_error) {
    transfer *t = new_transfer(r, CII_RESULT_WORKSPACE_READ);
    if (!t)
        return cii_error_nomem(ret_error);
    ci_call *inner = NULL;
    ci_error *failure = NULL;
    ci_status status = ci_workspace_read_start(r->session, t->path, 0, UINT64_MAX, take_bytes, t, &inner, &failure);
    return go_on_transfer(with_timeout(r, status, inner), inner, t, failure, ret_call, ret_error);
}

static ci_status start_workspace_write(request *r, ci_call **ret_call, ci_error **ret_error) {
    size_t size;
    const char *text = cii_tool_text(&r->input, "text", &size);
    size_t blob_size;
    const char *blob = cii_tool_text(&r->input, "blob", &blob_size);
    if (!text == !blob)
        return refuse(r, text ? "text and blob are both given; give one" : "text or blob is required", ret_call,
                      ret_error);
    transfer *t = new_transfer(r, CII_RESULT_WORKSPACE_WRITE);
    if (!t)
        return cii_error_nomem(ret_error);
    _cleanup_error_ ci_error *error = NULL;
    ci_status status =
        text ? cii_buf_append(&t->data, text, size) : cii_base64_decode(&t->data, blob, blob_size, &error);
    if (status != CI_OK) {
        free_transfer(t);
        return status == CI_ERR_INVALID ? refuse_blob(r, "blob", error, ret_call, ret_error)
                                        : cii_error_nomem(ret_error);
    }
    ci_call *inner = NULL;
    ci_error *failure = NULL;
    status = ci_workspace_write_start(r->session, t->path, give_bytes, t, &inner, &failure);
    return go_on_transfer(with_timeout(r, status, inner), inner, t, failure, ret_call, ret_error);
}

/* --- the front ---------------------------------------------------------------------------------------------------- */

typedef ci_status (*start_fn)(request *r, ci_call **ret_call, ci_error **ret_error);
#define STARTER(name, fields, description) start_##name
static const start_fn starters[] = {TOOLS(STARTER, COMMA)};

static void free_request(request *r) {
    cii_tool_input_free(&r->input);
}

ci_status ci_tool_call_start(ci_session *session, const char *name, const char *input_json, size_t input_size,
                             const ci_tool_options *options, ci_call **ret_call, ci_error **ret_error) {
    _cleanup_(free_request) request r = {.session = session};
    ci_status status = cii_session_check(session, ret_error);
    if (status == CI_OK)
        status = cii_options_copy(&r.options, sizeof r.options, options, "ci_tool_options", ret_error);
    if (status != CI_OK)
        return status;
    if (!input_json)
        input_size = 0;
    else if (input_size == SIZE_MAX)
        input_size = strlen(input_json);

    _cleanup_buf_ cii_buf refusal;
    cii_buf_init(&refusal, 0);
    size_t id = 0;
    const cii_tool *tool = cii_tool_find(name, &id, &refusal, &status);
    if (tool)
        status = cii_tool_input_parse(&r.input, tool, input_json, input_size, &refusal);
    if (status != CI_OK)
        return cii_error_nomem(ret_error);
    if (refusal.size > 0)
        return finish_refused(refusal.data, ret_call, ret_error);
    return starters[id](&r, ret_call, ret_error);
}

ci_status ci_tool_call(ci_session *session, const char *name, const char *input_json, size_t input_size,
                       const ci_tool_options *options, ci_result **ret_result, ci_error **ret_error) {
    ci_call *call = NULL;
    ci_status status = ci_tool_call_start(session, name, input_json, input_size, options, &call, ret_error);
    if (status != CI_OK)
        return status;
    int32_t state = ci_call_wait(call, -1);
    status = state == CI_CALL_DONE ? ci_call_take_result(call, ret_result, ret_error)
                                   : cii_error_set(ret_error, state, "tools", "the call cannot be waited for");
    ci_call_free(call);
    return status;
}

ci_status ci_tool_refuse(const char *message, ci_result **ret_result) {
    return cii_result_refused(message, ret_result);
}
