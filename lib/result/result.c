/* The result object: its life, its accessors (ci/result.h) and how it is filled (result/result.h). */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>

#include "base/options.h"
#include "base/path.h"
#include "base/str.h"
#include "base/utf8.h"
#include "result/object.h"
#include "result/stream.h"

#define DEFAULT_STREAM_BYTES (1u << 20)
#define DEFAULT_VALUE_BYTES (256u << 10)
#define DEFAULT_ITEM_BYTES (32u << 20)
#define DEFAULT_ITEM_COUNT 64u
#define MIME_TYPE_MAX 255u
#define REPLACED_MAX 64u
#define FAILURES_NAMED 3 /* in the message of a result whose files failed */

/* exit_code -1: the result's own. */
static const struct outcome {
    const char *name;
    const char *error_name;
    const char *message;
    int32_t exit_code;
} outcomes[] = {
    [CI_OUTCOME_OK] = {"ok", NULL, NULL, 0},
    [CI_OUTCOME_EXCEPTION] = {"exception", "Exception", "the code raised an exception", 1},
    [CI_OUTCOME_EXIT] = {"exit", "Exit", NULL, -1},
    [CI_OUTCOME_SIGNAL] = {"signal", "Signal", NULL, -1},
    [CI_OUTCOME_TIMEOUT] = {"timeout", "Timeout", "time-out", 124},
    [CI_OUTCOME_INTERRUPTED] = {"interrupted", "Interrupted", "interrupted", 130},
    [CI_OUTCOME_MEMORY_LIMIT] = {"memory-limit", "MemoryLimit", "memory limit reached", 137},
    [CI_OUTCOME_LOST] = {"lost", "KernelLost", "the kernel is gone without a word", 1},
    [CI_OUTCOME_TYPE_ERROR] = {"type-error", "TypeCheck", "the type check failed", 1},
    [CI_OUTCOME_FAILED] = {"failed", "FileError", "a file failed", 1},
    [CI_OUTCOME_REFUSED] = {"refused", "Refused", "the input was refused", 1},
};

static const char *const file_status_names[] = {
    [CI_FILE_OK] = "ok",
    [CI_FILE_SAVED] = "saved",
    [CI_FILE_UNCHANGED] = "unchanged",
    [CI_FILE_SKIPPED] = "skipped",
    [CI_FILE_FAILED] = "failed",
    [CI_FILE_PRELOADED] = "preloaded",
    [CI_FILE_UNPACKED] = "unpacked",
    [CI_FILE_CONFLICT] = "conflict",
    [CI_FILE_CREATED] = "created",
    [CI_FILE_CHANGED] = "changed",
    [CI_FILE_DELETED] = "deleted",
};

static bool outcome_known(int32_t outcome) {
    return outcome >= 0 && (size_t)outcome < CII_ELEMENTS(outcomes);
}

/* --- life --------------------------------------------------------------------------------------------------------- */

ci_status cii_result_new(cii_result_kind kind, const cii_result_limits *limits, ci_result **ret_result) {
    ci_result *result = calloc(1, sizeof *result);
    if (!result)
        return CI_ERR_NOMEM;
    result->kind = kind;
    cii_result_limits *own = &result->limits;
    if (limits)
        *own = *limits;
    own->stream_bytes = own->stream_bytes ? own->stream_bytes : DEFAULT_STREAM_BYTES;
    own->value_bytes = own->value_bytes ? own->value_bytes : DEFAULT_VALUE_BYTES;
    own->item_bytes = own->item_bytes ? own->item_bytes : DEFAULT_ITEM_BYTES;
    own->item_count = own->item_count ? own->item_count : DEFAULT_ITEM_COUNT;
    *ret_result = result;
    return CI_OK;
}

ci_status cii_result_refused(const char *message, ci_result **ret_result) {
    _cleanup_result_ ci_result *result = NULL;
    if (cii_result_new(CII_RESULT_RUN, NULL, &result) != CI_OK ||
        cii_result_override(result, CI_OUTCOME_REFUSED, message) != CI_OK)
        return CI_ERR_NOMEM;
    *ret_result = TAKE_PTR(result);
    return CI_OK;
}

static void free_list(cii_file_list *list) {
    for (size_t i = 0; i < list->count; i++) {
        free(list->files[i].strings);
        free(list->files[i].data);
    }
    free(list->files);
}

void ci_result_free(ci_result *result) {
    if (!result)
        return;
    for (size_t i = 0; i < CII_TEXT_COUNT; i++)
        free(result->texts[i].data);
    for (size_t i = 0; i < result->item_count; i++) {
        free(result->items[i].mime_type);
        free(result->items[i].data);
    }
    free(result->items);
    for (size_t i = 0; i < CII_FILE_LISTS; i++)
        free_list(&result->lists[i]);
    free(result->error_name);
    free(result->error_message);
    free(result->traceback);
    cii_diagnostics_free(&result->diagnostics);
    cii_refusals_free(&result->refusals);
    cii_strv_free(result->replaced);
    free(result);
}

/* --- texts from outside ------------------------------------------------------------------------------------------- */

/* A copy that is UTF-8: each byte that is not becomes U+FFFD. NUL-ended; NULL without memory. */
static char *copy_clean(const char *data, size_t size, size_t *ret_size) {
    _cleanup_buf_ cii_buf text;
    cii_buf_init(&text, 0);
    if (cii_utf8_valid(data, size))
        return cii_buf_append(&text, data, size) == CI_OK ? cii_buf_take(&text, ret_size) : NULL;
    for (size_t at = 0; at < size;) {
        size_t length = cii_utf8_char(data + at, size - at);
        ci_status status =
            length ? cii_buf_append(&text, data + at, length) : cii_buf_append_str(&text, "\xef\xbf\xbd");
        if (status != CI_OK)
            return NULL;
        at += length ? length : 1;
    }
    return cii_buf_take(&text, ret_size);
}

char *cii_strings_own(const char **const *strings, size_t count) {
    size_t size = 1;
    for (size_t i = 0; i < count; i++)
        size += *strings[i] ? strlen(*strings[i]) + 1 : 0;
    char *block = malloc(size), *at = block;
    for (size_t i = 0; block && i < count; i++) {
        if (!*strings[i])
            continue;
        size_t copy_size = strlen(*strings[i]) + 1;
        *strings[i] = memcpy(at, *strings[i], copy_size);
        at += copy_size;
    }
    return block;
}

/* Replaces a string of the result; text NULL: by none. */
static ci_status set_string(char **string, const char *text) {
    size_t size;
    char *copy = NULL;
    if (text && !(copy = copy_clean(text, strlen(text), &size)))
        return CI_ERR_NOMEM;
    free(*string);
    *string = copy;
    return CI_OK;
}

/* A backend that cut the value itself has kept its head. */
static ci_status note_cut(cii_text *text) {
    char note[CII_STREAM_NOTE_MAX];
    size_t note_size = cii_stream_note(text->kept, text->total, note);
    char *data = realloc(text->data, text->size + note_size + 1);
    if (!data)
        return CI_ERR_NOMEM;
    memcpy(data + text->size, note, note_size + 1);
    text->data = data;
    text->size += note_size;
    return CI_OK;
}

static ci_status set_value(ci_result *result, const char *value, size_t size, size_t total) {
    cii_text *text = &result->texts[CII_TEXT_VALUE];
    if (!value)
        return CI_OK;
    cii_stream stream;
    cii_stream_init(&stream, result->limits.value_bytes);
    size_t clean_size = 0;
    _cleanup_free_ char *clean = copy_clean(value, size, &clean_size);
    if (!clean || cii_stream_write(&stream, clean, clean_size) != CI_OK)
        return CI_ERR_NOMEM;
    text->data = cii_stream_take(&stream, &text->size, &text->kept);
    if (!text->data) {
        cii_stream_free(&stream);
        return CI_ERR_NOMEM;
    }
    text->total = clean_size;
    if (total <= clean_size)
        return CI_OK;
    text->total = total;
    return note_cut(text);
}

/* --- outcome ------------------------------------------------------------------------------------------------------ */

/* What an outcome says of itself when nobody said more; malloc'd. */
static char *own_words(const ci_result *result, int32_t outcome) {
    if (outcome == CI_OUTCOME_EXIT)
        return cii_str_printf("exit code %" PRId32, result->exit_code);
    if (outcome == CI_OUTCOME_SIGNAL) {
        const char *name = sigabbrev_np(result->signal_number);
        const char *description = sigdescr_np(result->signal_number);
        return name ? cii_str_printf("killed by signal %" PRId32 " (SIG%s, %s)", result->signal_number, name,
                                     description)
                    : cii_str_printf("killed by signal %" PRId32, result->signal_number);
    }
    return strdup(outcomes[outcome].message);
}

/* Sets outcome, error name and message together, or nothing. name and message NULL: the outcome's own. */
static ci_status set_outcome(ci_result *result, int32_t outcome, const char *name, const char *message) {
    _cleanup_free_ char *new_name = NULL, *new_message = NULL;
    if (outcome == CI_OUTCOME_OK) {
        free(TAKE_PTR(result->traceback));
    } else {
        if (set_string(&new_name, name ? name : outcomes[outcome].error_name) != CI_OK)
            return CI_ERR_NOMEM;
        if (message ? set_string(&new_message, message) != CI_OK : !(new_message = own_words(result, outcome)))
            return CI_ERR_NOMEM;
    }
    free(result->error_name);
    free(result->error_message);
    result->error_name = TAKE_PTR(new_name);
    result->error_message = TAKE_PTR(new_message);
    result->outcome = outcome;
    return CI_OK;
}

ci_status cii_result_override(ci_result *result, int32_t outcome, const char *message) {
    return set_outcome(result, outcome_known(outcome) ? outcome : CI_OUTCOME_LOST, NULL, message);
}

/* "2.5": thousandths without zeros at the end, and with a point whatever the locale. */
static const char *put_thousandths(uint64_t thousandths, char ret_text[32]) {
    int length = snprintf(ret_text, 32, "%" PRIu64 ".%03u", thousandths / 1000, (unsigned)(thousandths % 1000));
    while (ret_text[length - 1] == '0')
        length--;
    length -= ret_text[length - 1] == '.';
    ret_text[length] = '\0';
    return ret_text;
}

ci_status cii_result_override_timeout(ci_result *result, int64_t timeout_ms) {
    char message[64], seconds[32];
    snprintf(message, sizeof message, "time-out after %s s", put_thousandths((uint64_t)timeout_ms, seconds));
    return cii_result_override(result, CI_OUTCOME_TIMEOUT, message);
}

ci_status cii_result_override_memory(ci_result *result, uint64_t limit_bytes) {
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
    char message[80], amount[32];
    size_t unit = 0;
    uint64_t one = 1;
    for (; limit_bytes / one >= 1024 && unit + 1 < CII_ELEMENTS(units); unit++)
        one *= 1024;
    uint64_t thousandths = limit_bytes / one * 1000 + limit_bytes % one * 1000 / one;
    snprintf(message, sizeof message, "memory limit of %s %s reached", put_thousandths(thousandths, amount),
             units[unit]);
    return cii_result_override(result, CI_OUTCOME_MEMORY_LIMIT, message);
}

static ci_status set_replaced(ci_result *result, const char *const *names) {
    size_t count = CII_MIN(cii_strv_count(names), (size_t)REPLACED_MAX);
    if (count == 0)
        return CI_OK;
    if ((result->replaced = calloc(count + 1, sizeof *result->replaced)) == NULL)
        return CI_ERR_NOMEM;
    for (size_t i = 0; i < count; i++)
        if (set_string(&result->replaced[i], names[i]) != CI_OK)
            return CI_ERR_NOMEM;
    return CI_OK;
}

ci_status cii_result_set_end(ci_result *result, const ci_run_outcome *outcome) {
    ci_run_outcome end = {0};
    memcpy(&end, outcome, CII_MIN(outcome->struct_size, sizeof end));
    if (!outcome_known(end.outcome))
        end.outcome = CI_OUTCOME_LOST;
    end.exit_code &= 0xff;
    if (end.outcome == CI_OUTCOME_EXIT && end.exit_code == 0)
        end.outcome = CI_OUTCOME_OK;
    result->exit_code = end.exit_code;
    result->signal_number = end.signal_number & 0x7f;
    result->state_lost = end.state_lost != 0;
    result->task_running = end.task_running != 0;
    result->task_id = end.task_id;
    result->execution_us = CII_MAX(end.execution_us, 0);
    result->item_total += end.item_dropped_count;
    ci_status status = set_value(result, end.value, end.value_size, end.value_total);
    if (status == CI_OK)
        status = set_outcome(result, end.outcome, end.error_name, end.error_message);
    if (status == CI_OK && end.outcome != CI_OUTCOME_OK)
        status = set_string(&result->traceback, end.traceback);
    if (status == CI_OK && end.outcome == CI_OUTCOME_TYPE_ERROR && end.diagnostics)
        status = cii_diagnostics_read(&result->diagnostics, end.diagnostics);
    return status == CI_OK ? set_replaced(result, end.replaced) : status;
}

void cii_result_set_state_lost(ci_result *result, bool lost) {
    result->state_lost = lost;
}

void cii_result_set_execution_us(ci_result *result, int64_t execution_us) {
    result->execution_us = execution_us;
}

void cii_result_set_task(ci_result *result, uint64_t task_id, bool running) {
    result->task_id = task_id;
    result->task_running = running;
}

void cii_result_set_task_stopped(ci_result *result) {
    result->task_stopped = true;
    result->task_running = false;
    if (result->outcome == CI_OUTCOME_SIGNAL)
        (void)set_outcome(result, CI_OUTCOME_OK, NULL, NULL); /* cannot fail: allocates nothing */
}

/* --- items -------------------------------------------------------------------------------------------------------- */

static void *copy_bytes(const void *data, size_t size) {
    char *copy = malloc(size + 1);
    if (copy) {
        if (size > 0)
            memcpy(copy, data, size);
        copy[size] = '\0';
    }
    return copy;
}

ci_status cii_result_add_item(ci_result *result, const char *mime_type, const void *data, size_t size,
                              uint64_t stdout_offset) {
    result->item_total++;
    if (result->item_count >= result->limits.item_count || size > result->limits.item_bytes - result->item_bytes)
        return CI_OK;
    if (!mime_type || strnlen(mime_type, MIME_TYPE_MAX + 1) > MIME_TYPE_MAX)
        mime_type = "application/octet-stream";
    cii_item *items = realloc(result->items, (result->item_count + 1) * sizeof *items);
    if (!items)
        return CI_ERR_NOMEM;
    result->items = items;
    cii_item *item = &items[result->item_count];
    *item = (cii_item){.size = size, .stdout_offset = stdout_offset};
    if (set_string(&item->mime_type, mime_type) != CI_OK)
        return CI_ERR_NOMEM;
    item->data = copy_bytes(data, size);
    if (!item->data) {
        free(item->mime_type);
        return CI_ERR_NOMEM;
    }
    result->item_count++;
    result->item_bytes += size;
    return CI_OK;
}

/* --- files -------------------------------------------------------------------------------------------------------- */

static ci_status copy_strings(cii_file *file) {
    ci_file_info *info = &file->info;
    const char **const strings[] = {&info->path,   &info->key,       &info->target,
                                    &info->sha256, &info->mime_type, &info->error};
    file->strings = cii_strings_own(strings, CII_ELEMENTS(strings));
    return file->strings ? CI_OK : CI_ERR_NOMEM;
}

static cii_file *list_room(cii_file_list *list) {
    if (list->count == list->capacity) {
        size_t capacity = list->capacity ? list->capacity * 2 : 8;
        cii_file *files = realloc(list->files, capacity * sizeof *files);
        if (!files)
            return NULL;
        list->files = files;
        list->capacity = capacity;
    }
    return &list->files[list->count];
}

/* Errors of a backend begin with the path, which the entry has already. */
static const char *without_path(const char *error, const char *path) {
    size_t size = strlen(path);
    bool begins = error && size > 0 && strncmp(error, path, size) == 0 && strncmp(error + size, ": ", 2) == 0;
    return begins ? error + size + 2 : error;
}

ci_status cii_result_add_file(ci_result *result, int32_t list, const ci_file_info *info, char *data) {
    _cleanup_free_ char *own = data;
    cii_file file = {0};
    memcpy(&file.info, info, CII_MIN(info->struct_size, sizeof file.info));
    file.info.struct_size = sizeof file.info;
    file.info.path = file.info.path ? file.info.path : "";
    file.info.error = without_path(file.info.error, file.info.path);
    if (!own && file.info.data && !(own = copy_bytes(file.info.data, file.info.data_size)))
        return CI_ERR_NOMEM;
    file.info.data = own;
    file.info.data_size = own ? file.info.data_size : 0;
    file.info.is_text = own && cii_utf8_is_text(own, file.info.data_size);
    if (!file.info.mime_type && file.info.kind == CI_KIND_REGULAR)
        file.info.mime_type = cii_mime_type(file.info.path, own, file.info.data_size);

    cii_file *room = list_room(&result->lists[list]);
    if (!room || copy_strings(&file) != CI_OK)
        return CI_ERR_NOMEM;
    file.data = TAKE_PTR(own);
    *room = file;
    result->lists[list].count++;
    return CI_OK;
}

static ci_status put_failure(cii_buf *text, const ci_file_info *info, const char *before) {
    return cii_buf_printf(text, "%s%s: %s", before, info->path, info->error ? info->error : "failed");
}

ci_status cii_result_settle(ci_result *result) {
    const cii_file_list *list = &result->lists[CI_FILES_MAIN];
    size_t failed = 0, named = 0;
    for (size_t i = 0; i < list->count; i++)
        failed += list->files[i].info.status == CI_FILE_FAILED;
    if (failed == 0 || result->outcome != CI_OUTCOME_OK)
        return CI_OK;
    _cleanup_buf_ cii_buf text;
    cii_buf_init(&text, 0);
    ci_status status =
        list->count == 1 ? CI_OK : cii_buf_printf(&text, "%zu of %zu files failed: ", failed, list->count);
    for (size_t i = 0; i < list->count && named < FAILURES_NAMED && status == CI_OK; i++)
        if (list->files[i].info.status == CI_FILE_FAILED)
            status = put_failure(&text, &list->files[i].info, named++ ? "; " : "");
    if (status == CI_OK && failed > named)
        status = cii_buf_append_str(&text, "; …");
    return status == CI_OK ? set_outcome(result, CI_OUTCOME_FAILED, NULL, text.data) : status;
}

/* --- accessors ---------------------------------------------------------------------------------------------------- */

int32_t ci_result_outcome(const ci_result *result) {
    return result->outcome;
}

const char *ci_outcome_name(int32_t outcome) {
    return outcome_known(outcome) ? outcomes[outcome].name : "unknown";
}

const char *ci_file_status_name(int32_t status) {
    return status >= 0 && (size_t)status < CII_ELEMENTS(file_status_names) ? file_status_names[status] : "unknown";
}

int32_t ci_result_exit_code(const ci_result *result) {
    if (result->outcome == CI_OUTCOME_EXIT)
        return result->exit_code;
    if (result->outcome == CI_OUTCOME_SIGNAL)
        return 128 + result->signal_number;
    return outcomes[result->outcome].exit_code;
}

static const cii_text *stream_text(const ci_result *result, int32_t stream) {
    static const cii_text none = {0};
    return stream == CI_STREAM_STDOUT   ? &result->texts[CII_TEXT_STDOUT]
           : stream == CI_STREAM_STDERR ? &result->texts[CII_TEXT_STDERR]
                                        : &none;
}

static const char *read_text(const cii_text *text, size_t *ret_size) {
    if (ret_size)
        *ret_size = text->size;
    return text->data;
}

const char *ci_result_stream(const ci_result *result, int32_t stream, size_t *ret_size) {
    const char *data = read_text(stream_text(result, stream), ret_size);
    return data ? data : "";
}

uint64_t ci_result_stream_total(const ci_result *result, int32_t stream) {
    return stream_text(result, stream)->total;
}

uint64_t ci_result_stream_kept(const ci_result *result, int32_t stream) {
    return stream_text(result, stream)->kept;
}

const char *ci_result_stdout(const ci_result *result, size_t *ret_size) {
    return ci_result_stream(result, CI_STREAM_STDOUT, ret_size);
}

const char *ci_result_stderr(const ci_result *result, size_t *ret_size) {
    return ci_result_stream(result, CI_STREAM_STDERR, ret_size);
}

const char *ci_result_value(const ci_result *result, size_t *ret_size) {
    return read_text(&result->texts[CII_TEXT_VALUE], ret_size);
}

const char *ci_result_background(const ci_result *result, size_t *ret_size) {
    return read_text(&result->texts[CII_TEXT_BACKGROUND], ret_size);
}

const char *ci_result_error_name(const ci_result *result) {
    return result->error_name;
}

const char *ci_result_error_message(const ci_result *result) {
    return result->error_message;
}

const char *ci_result_traceback(const ci_result *result) {
    return result->traceback;
}

int64_t ci_result_execution_us(const ci_result *result) {
    return result->execution_us;
}

size_t ci_result_replaced_count(const ci_result *result) {
    return cii_strv_count((const char *const *)result->replaced);
}

const char *ci_result_replaced(const ci_result *result, size_t index) {
    return index < ci_result_replaced_count(result) ? result->replaced[index] : NULL;
}

int32_t ci_result_state_lost(const ci_result *result) {
    return result->state_lost;
}

uint64_t ci_result_task_id(const ci_result *result) {
    return result->task_id;
}

int32_t ci_result_task_running(const ci_result *result) {
    return result->task_running;
}

size_t ci_result_item_count(const ci_result *result) {
    return result->item_count;
}

size_t ci_result_item_total(const ci_result *result) {
    return result->item_total;
}

ci_status ci_result_item(const ci_result *result, size_t index, ci_item *ret_item) {
    if (index >= result->item_count)
        return CI_ERR_INVALID;
    const cii_item *item = &result->items[index];
    ci_item all = {sizeof all, item->mime_type, item->data, item->size, item->stdout_offset};
    return cii_struct_fill(ret_item, &all, sizeof all);
}

static bool list_known(int32_t list) {
    return list >= 0 && list < CII_FILE_LISTS;
}

size_t ci_result_file_count(const ci_result *result, int32_t list) {
    return list_known(list) ? result->lists[list].count : 0;
}

ci_status ci_result_file(const ci_result *result, int32_t list, size_t index, ci_file_info *ret_file) {
    if (index >= ci_result_file_count(result, list))
        return CI_ERR_INVALID;
    return cii_struct_fill(ret_file, &result->lists[list].files[index].info, sizeof(ci_file_info));
}
