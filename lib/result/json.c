/* ci_result_json(): the result as CodeInterpreterResult (AgentCore), which is CallToolResult (MCP 2025-06-18).
 *
 * content is what a model reads: stdout, stderr, rich items, files, what happened, the last value. structuredContent is
 * what a program reads. */
#include <inttypes.h>
#include <stdio.h>

#include "base/json.h"
#include "base/str.h"
#include "base/utf8.h"
#include "result/object.h"

#define FILE_LINES_MAX 1000 /* in the text for the model; structuredContent has them all */
#define REFUSALS_SAID 5

/* --- content ------------------------------------------------------------------------------------------------------ */

static void text_item(cii_json_writer *w, const char *text, size_t size) {
    cii_json_begin_object(w);
    cii_json_key_string(w, "type", "text");
    cii_json_key(w, "text");
    cii_json_string_n(w, text, size);
    cii_json_end_object(w);
}

/* One text item of all that is in the buffer; nothing of an empty one. Newlines at its end are dropped. */
static void buf_item(cii_json_writer *w, const cii_buf *text) {
    size_t size = text->size;
    while (size > 0 && text->data[size - 1] == '\n')
        size--;
    if (size > 0)
        text_item(w, text->data, size);
}

static void text_or_blob(cii_json_writer *w, const void *data, size_t size, bool is_text) {
    cii_json_key(w, is_text ? "text" : "blob");
    if (is_text)
        cii_json_string_n(w, data, size);
    else
        cii_json_base64(w, data, size);
}

static void resource_item(cii_json_writer *w, const char *uri, const char *mime_type, const void *data, size_t size,
                          bool is_text) {
    cii_json_key_string(w, "type", "resource");
    cii_json_key(w, "resource");
    cii_json_begin_object(w);
    cii_json_key_string(w, "uri", uri);
    cii_json_key_string(w, "mimeType", mime_type);
    text_or_blob(w, data, size, is_text);
    cii_json_end_object(w);
}

/* SVG is text, and clients that show images do not take it as one. */
static bool is_image(const char *mime_type) {
    return cii_str_starts(mime_type, "image/") && !cii_str_starts(mime_type, "image/svg");
}

static void rich_item(cii_json_writer *w, const cii_item *item, size_t index) {
    cii_json_begin_object(w);
    if (is_image(item->mime_type)) {
        cii_json_key_string(w, "type", "image");
        cii_json_key(w, "data");
        cii_json_base64(w, item->data, item->size);
        cii_json_key_string(w, "mimeType", item->mime_type);
    } else {
        char uri[48];
        snprintf(uri, sizeof uri, "ci://item/%zu", index);
        resource_item(w, uri, item->mime_type, item->data, item->size, cii_utf8_is_text(item->data, item->size));
    }
    cii_json_key(w, "_meta");
    cii_json_begin_object(w);
    cii_json_key(w, "ci/stdoutOffset");
    cii_json_uint(w, item->stdout_offset);
    cii_json_end_object(w);
    cii_json_end_object(w);
}

/* Bytes that are no unreserved character of a URI are percent-encoded, so that names of any bytes survive. */
static ci_status put_uri(cii_buf *uri, const char *root, const char *path) {
    ci_status status = path[0] == '/' ? cii_buf_append_str(uri, "file://") : cii_buf_append_str(uri, root);
    for (const unsigned char *p = (const unsigned char *)path; *p && status == CI_OK; p++) {
        bool plain =
            (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9') || strchr("-._~/", *p);
        status = plain ? cii_buf_append(uri, p, 1) : cii_buf_printf(uri, "%%%02X", *p);
    }
    return status;
}

static ci_status file_resources(cii_json_writer *w, const ci_result *result) {
    const char *root = result->kind == CII_RESULT_WORKSPACE_READ ? "workspace:///" : "file:///workspace/";
    const cii_file_list *list = &result->lists[CI_FILES_MAIN];
    for (size_t i = 0; i < list->count; i++) {
        const ci_file_info *info = &list->files[i].info;
        if (!info->data)
            continue;
        _cleanup_buf_ cii_buf uri;
        cii_buf_init(&uri, 0);
        if (put_uri(&uri, root, info->path) != CI_OK)
            return CI_ERR_NOMEM;
        cii_json_begin_object(w);
        resource_item(w, uri.data, info->mime_type, info->data, info->data_size, info->is_text);
        cii_json_end_object(w);
    }
    return CI_OK;
}

/* --- files in words ----------------------------------------------------------------------------------------------- */

/* 12345 as "12,345 bytes". */
static const char *put_bytes(uint64_t bytes, char ret_text[40]) {
    char digits[24];
    size_t count = (size_t)snprintf(digits, sizeof digits, "%" PRIu64, bytes), at = 0;
    for (size_t i = 0; i < count; i++) {
        if (i > 0 && (count - i) % 3 == 0)
            ret_text[at++] = ',';
        ret_text[at++] = digits[i];
    }
    snprintf(ret_text + at, 40 - at, " byte%s", bytes == 1 ? "" : "s");
    return ret_text;
}

static bool is_listing(const ci_result *result) {
    return result->kind == CII_RESULT_LIST || result->kind == CII_RESULT_WORKSPACE_LIST;
}

/* What was done to a file, for an entry that is simply ok. */
static const char *verb(const ci_result *result) {
    switch (result->kind) {
    case CII_RESULT_WRITE:
    case CII_RESULT_WORKSPACE_WRITE:
        return "wrote";
    case CII_RESULT_REMOVE:
        return "removed";
    default:
        return "ok";
    }
}

static ci_status listing_line(cii_buf *text, const ci_file_info *info) {
    char size[40];
    switch (info->kind) {
    case CI_KIND_DIRECTORY:
        return cii_buf_printf(text, "%s%s\n", info->path, cii_str_ends(info->path, "/") ? "" : "/");
    case CI_KIND_SYMLINK:
        return cii_buf_printf(text, "%s (link)\n", info->path);
    case CI_KIND_OTHER:
        return cii_buf_printf(text, "%s (special file)\n", info->path);
    default:
        return cii_buf_printf(text, "%s (%s)\n", info->path, put_bytes(info->size_bytes, size));
    }
}

static ci_status file_line(const ci_result *result, cii_buf *text, const ci_file_info *info) {
    const char *error = info->error ? info->error : "";
    const char *colon = info->error ? ": " : "";
    char size[40];
    if (info->status == CI_FILE_FAILED || info->status == CI_FILE_SKIPPED)
        return cii_buf_printf(text, "%s %s%s%s\n", ci_file_status_name(info->status), info->path, colon, error);
    if (is_listing(result))
        return listing_line(text, info);
    const char *what = info->status == CI_FILE_OK ? verb(result) : ci_file_status_name(info->status);
    if (result->kind == CII_RESULT_REMOVE)
        return cii_buf_printf(text, "%s %s\n", what, info->path);
    return cii_buf_printf(text, "%s %s (%s)%s%s%s%s\n", what, info->path, put_bytes(info->size_bytes, size),
                          info->key ? " -> " : "", info->key ? info->key : "", colon, error);
}

/* "3 saved, 12 unchanged, 1 failed": for a push of more than one file. */
static ci_status push_summary(cii_buf *text, const cii_file_list *list) {
    static const int32_t statuses[] = {CI_FILE_SAVED, CI_FILE_UNCHANGED, CI_FILE_SKIPPED, CI_FILE_FAILED};
    ci_status status = CI_OK;
    for (size_t s = 0; s < CII_ELEMENTS(statuses) && status == CI_OK; s++) {
        size_t count = 0;
        for (size_t i = 0; i < list->count; i++)
            count += list->files[i].info.status == statuses[s];
        if (count > 0)
            status = cii_buf_printf(text, "%s%zu %s", text->size ? ", " : "", count, ci_file_status_name(statuses[s]));
    }
    return status == CI_OK ? cii_buf_append_str(text, "\n") : status;
}

static bool any_failed(const cii_file_list *list) {
    for (size_t i = 0; i < list->count; i++)
        if (list->files[i].info.status == CI_FILE_FAILED)
            return true;
    return false;
}

/* One line a file but for those that are there as resources. However many there are, every failure is told. */
static ci_status file_lines(cii_json_writer *w, const ci_result *result) {
    const cii_file_list *list = &result->lists[CI_FILES_MAIN];
    _cleanup_buf_ cii_buf text;
    cii_buf_init(&text, 0);
    size_t lines = 0, dropped = 0;
    ci_status status = result->kind == CII_RESULT_PUSH && list->count > 1 ? push_summary(&text, list) : CI_OK;
    for (size_t i = 0; i < list->count && status == CI_OK; i++) {
        const ci_file_info *info = &list->files[i].info;
        if (info->data)
            continue;
        if (lines < FILE_LINES_MAX || info->status == CI_FILE_FAILED) {
            status = file_line(result, &text, info);
            lines++;
        } else {
            dropped++;
        }
    }
    if (status == CI_OK && dropped > 0)
        status = cii_buf_printf(&text, "… and %zu more\n", dropped);
    if (status == CI_OK && list->count == 0 && is_listing(result))
        status = cii_buf_append_str(&text, "(empty)");
    if (status == CI_OK && list->count == 0 && result->kind == CII_RESULT_PUSH)
        status = cii_buf_append_str(&text, "nothing to save: no files in the sandbox root");
    buf_item(w, &text);
    return status;
}

/* --- what happened ------------------------------------------------------------------------------------------------ */

/* Whether the outcome's own message says anything that is not said elsewhere. */
static bool message_matters(const ci_result *result) {
    switch (result->outcome) {
    case CI_OUTCOME_OK:
        return false;
    case CI_OUTCOME_EXCEPTION:
    case CI_OUTCOME_TYPE_ERROR:
        return !result->traceback;
    case CI_OUTCOME_FAILED:
        return !any_failed(&result->lists[CI_FILES_MAIN]);
    default:
        return true;
    }
}

static ci_status replaced_words(const ci_result *result, cii_buf *text) {
    ci_status status = CI_OK;
    for (size_t i = 0; result->replaced[i] && status == CI_OK; i++)
        status = cii_buf_printf(text, "%s%s", i > 0 ? ", " : "", result->replaced[i]);
    return status == CI_OK
               ? cii_buf_append_str(text, ": replaced by what was installed; code that runs now keeps the old state of "
                                          "these modules until Python is started anew (clear the context).\n")
               : status;
}

static ci_status outcome_words(const ci_result *result, cii_buf *text) {
    ci_status status = CI_OK;
    if (message_matters(result)) {
        bool named = result->outcome == CI_OUTCOME_EXCEPTION;
        status =
            cii_buf_printf(text, "%s%s%s\n", named ? result->error_name : "", named ? ": " : "", result->error_message);
    }
    if (status == CI_OK && result->traceback)
        status = cii_buf_printf(text, "%s\n", result->traceback);
    if (status == CI_OK && result->state_lost)
        status = cii_buf_append_str(text, "The variables of this context were lost; the files are still there.\n");
    if (status == CI_OK && result->replaced)
        status = replaced_words(result, text);
    if (status == CI_OK && result->task_running)
        status = cii_buf_printf(text, "Task %" PRIu64 " is running in the background.\n", result->task_id);
    return status;
}

static ci_status outcome_item(cii_json_writer *w, const ci_result *result) {
    _cleanup_buf_ cii_buf text;
    cii_buf_init(&text, 0);
    if (outcome_words(result, &text) != CI_OK)
        return CI_ERR_NOMEM;
    buf_item(w, &text);
    return CI_OK;
}

/* Of code that went well it is nothing to the model. */
static ci_status refusals_item(cii_json_writer *w, const ci_result *result) {
    _cleanup_buf_ cii_buf text;
    cii_buf_init(&text, 0);
    if (result->outcome == CI_OUTCOME_OK)
        return CI_OK;
    ci_status status = cii_refusals_say(&result->refusals, REFUSALS_SAID, &text);
    buf_item(w, &text);
    return status;
}

static void stored_text_item(cii_json_writer *w, const cii_text *text) {
    if (text->size > 0)
        text_item(w, text->data, text->size);
}

static ci_status content(cii_json_writer *w, const ci_result *result) {
    cii_json_key(w, "content");
    cii_json_begin_array(w);
    stored_text_item(w, &result->texts[CII_TEXT_STDOUT]);
    stored_text_item(w, &result->texts[CII_TEXT_STDERR]);
    for (size_t i = 0; i < result->item_count; i++)
        rich_item(w, &result->items[i], i);
    if (file_resources(w, result) != CI_OK || file_lines(w, result) != CI_OK || outcome_item(w, result) != CI_OK ||
        refusals_item(w, result) != CI_OK)
        return CI_ERR_NOMEM;
    stored_text_item(w, &result->texts[CII_TEXT_VALUE]);
    cii_json_end_array(w);
    return CI_OK;
}

/* --- structuredContent -------------------------------------------------------------------------------------------- */

static void key_text(cii_json_writer *w, const char *key, const cii_text *text) {
    cii_json_key(w, key);
    cii_json_string_n(w, text->data ? text->data : "", text->size);
}

static void key_uint(cii_json_writer *w, const char *key, uint64_t value) {
    cii_json_key(w, key);
    cii_json_uint(w, value);
}

static void error_object(cii_json_writer *w, const ci_result *result) {
    if (result->outcome == CI_OUTCOME_OK)
        return;
    cii_json_key(w, "error");
    cii_json_begin_object(w);
    cii_json_key_string(w, "name", result->error_name);
    cii_json_key_string(w, "message", result->error_message);
    cii_json_key_string(w, "traceback", result->traceback);
    cii_json_end_object(w);
}

static void kept_of_total(cii_json_writer *w, const char *key, uint64_t kept, uint64_t total) {
    if (kept >= total)
        return;
    cii_json_key(w, key);
    cii_json_begin_object(w);
    key_uint(w, "kept", kept);
    key_uint(w, "total", total);
    cii_json_end_object(w);
}

static void truncated(cii_json_writer *w, const ci_result *result) {
    static const char *const keys[CII_TEXT_COUNT] = {"stdout", "stderr", "background", "result"};
    bool any = result->item_count < result->item_total || result->refusals.kept < result->refusals.total;
    for (size_t i = 0; i < CII_TEXT_COUNT; i++)
        any = any || result->texts[i].kept < result->texts[i].total;
    if (!any)
        return;
    cii_json_key(w, "truncated");
    cii_json_begin_object(w);
    for (size_t i = 0; i < CII_TEXT_COUNT; i++)
        kept_of_total(w, keys[i], result->texts[i].kept, result->texts[i].total);
    kept_of_total(w, "items", result->item_count, result->item_total);
    kept_of_total(w, "refusals", result->refusals.kept, result->refusals.total);
    cii_json_end_object(w);
}

static void file_object(cii_json_writer *w, const ci_file_info *info) {
    static const char *const kinds[] = {NULL, "file", "directory", "symlink", "other"};
    cii_json_begin_object(w);
    cii_json_key_string(w, "path", info->path);
    if (info->kind > 0 && (size_t)info->kind < CII_ELEMENTS(kinds))
        cii_json_key_string(w, "kind", kinds[info->kind]);
    key_uint(w, "size", info->size_bytes);
    cii_json_key_string(w, "status", ci_file_status_name(info->status));
    cii_json_key_string(w, "key", info->key);
    cii_json_key_string(w, "target", info->target);
    cii_json_key_string(w, "sha256", info->sha256);
    cii_json_key_string(w, "mimeType", info->mime_type);
    if (info->modified_ms != 0)
        cii_json_key_int(w, "modifiedMs", info->modified_ms);
    if (info->status == CI_FILE_UNPACKED) {
        key_uint(w, "entries", info->entry_count);
        key_uint(w, "refused", info->refused_count);
    }
    cii_json_key_string(w, "error", info->error);
    cii_json_end_object(w);
}

static void file_list(cii_json_writer *w, const char *key, const cii_file_list *list, bool always) {
    if (list->count == 0 && !always)
        return;
    cii_json_key(w, key);
    cii_json_begin_array(w);
    for (size_t i = 0; i < list->count; i++)
        file_object(w, &list->files[i].info);
    cii_json_end_array(w);
}

static void task(cii_json_writer *w, const ci_result *result) {
    if (result->task_id == 0)
        return;
    char id[24];
    snprintf(id, sizeof id, "%" PRIu64, result->task_id);
    cii_json_key_string(w, "taskId", id);
    cii_json_key_string(w, "taskStatus",
                        result->task_stopped               ? "canceled"
                        : result->task_running             ? "working"
                        : result->outcome == CI_OUTCOME_OK ? "completed"
                                                           : "failed");
}

static void structured_content(cii_json_writer *w, const ci_result *result) {
    cii_json_key(w, "structuredContent");
    cii_json_begin_object(w);
    key_text(w, "stdout", &result->texts[CII_TEXT_STDOUT]);
    key_text(w, "stderr", &result->texts[CII_TEXT_STDERR]);
    if (result->texts[CII_TEXT_VALUE].data)
        key_text(w, "result", &result->texts[CII_TEXT_VALUE]);
    cii_json_key_int(w, "exitCode", ci_result_exit_code(result));
    cii_json_key(w, "executionTime");
    cii_json_double(w, (double)result->execution_us / 1e6);
    cii_json_key_string(w, "outcome", ci_outcome_name(result->outcome));
    error_object(w, result);
    if (result->outcome == CI_OUTCOME_TYPE_ERROR && result->diagnostics.count > 0) {
        cii_json_key(w, "diagnostics");
        cii_diagnostics_write(w, &result->diagnostics);
    }
    cii_json_key_bool(w, "stateLost", result->state_lost);
    if (result->replaced) {
        cii_json_key(w, "replaced");
        cii_json_begin_array(w);
        for (char **name = result->replaced; *name; name++)
            cii_json_string(w, *name);
        cii_json_end_array(w);
    }
    truncated(w, result);
    bool of_files = result->kind != CII_RESULT_RUN && result->kind != CII_RESULT_REPORT;
    file_list(w, "files", &result->lists[CI_FILES_MAIN], of_files);
    file_list(w, "preload", &result->lists[CI_FILES_PRELOAD], result->kind == CII_RESULT_REPORT);
    file_list(w, "changes", &result->lists[CI_FILES_CHANGES], false);
    if (result->texts[CII_TEXT_BACKGROUND].data)
        key_text(w, "background", &result->texts[CII_TEXT_BACKGROUND]);
    if (result->refusals.count > 0) {
        cii_json_key(w, "refusals");
        cii_refusals_write(w, &result->refusals);
    }
    task(w, result);
    cii_json_end_object(w);
}

ci_status ci_result_json(const ci_result *result, char **ret_json, size_t *ret_size) {
    _cleanup_json_writer_ cii_json_writer *w = cii_json_writer_new();
    cii_json_begin_object(w);
    if (!w || content(w, result) != CI_OK)
        return CI_ERR_NOMEM;
    structured_content(w, result);
    cii_json_key_bool(w, "isError", result->outcome != CI_OUTCOME_OK);
    cii_json_end_object(w);
    size_t size;
    char *json = cii_json_take(TAKE_PTR(w), &size);
    if (!json)
        return CI_ERR_NOMEM;
    *ret_json = json;
    if (ret_size)
        *ret_size = size;
    return CI_OK;
}
