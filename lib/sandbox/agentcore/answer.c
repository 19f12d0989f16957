/* Results as the service tells them, and as it has been seen to tell them: fields may be missing, and none is believed to be
 * of its type before it was looked at. */
#include "sandbox/agentcore/agentcore.h"

#include <ctype.h>

#include "base/base64.h"
#include "base/str.h"
#include "base/utf8.h"

#define DEPTH_MAX 16
#define COUNT_MAX 65536u /* values */

static ci_status wrong(const char *what, ci_error **ret_error) {
    return cii_error_set(ret_error, CI_ERR_PROTOCOL, CII_AGENTCORE_DOMAIN, "the service's result: %s", what);
}

static bool take_text(const cii_json *object, const char *key, const char **ret_text, size_t *ret_size) {
    const char *text = cii_json_text_of(cii_json_get(object, key), ret_size);
    if (text)
        *ret_text = text;
    return text != NULL;
}

/* False where it is there and none. */
static bool read_exit_code(const cii_json *code, cii_agentcore_result *r) {
    int64_t number = cii_json_int_of(code);
    if (!code || cii_json_type_of(code) == CII_JSON_NULL)
        return true;
    r->has_exit_code = true;
    r->exit_code = (int32_t)number;
    return cii_json_type_of(code) == CII_JSON_INT && number >= INT32_MIN && number <= INT32_MAX;
}

static bool read_structured(const cii_json *structured, cii_agentcore_result *r) {
    r->has_streams = take_text(structured, "stdout", &r->out, &r->out_size);
    r->has_streams = take_text(structured, "stderr", &r->err, &r->err_size) || r->has_streams;
    const cii_json *seconds = cii_json_get(structured, "executionTime");
    if (cii_json_type_of(seconds) == CII_JSON_INT || cii_json_type_of(seconds) == CII_JSON_DOUBLE)
        r->seconds = cii_json_double_of(seconds);
    r->task_id = cii_json_text_of(cii_json_get(structured, "taskId"), NULL);
    r->task_status = cii_json_text_of(cii_json_get(structured, "taskStatus"), NULL);
    return read_exit_code(cii_json_get(structured, "exitCode"), r);
}

ci_status cii_agentcore_result_read(char *payload, size_t size, cii_agentcore_result *ret_result,
                                    ci_error **ret_error) {
    _cleanup_json_ cii_json *root = NULL;
    ci_status status = cii_json_parse_in_place(payload, size, DEPTH_MAX, COUNT_MAX, &root);
    if (status == CI_ERR_NOMEM)
        return cii_error_nomem(ret_error);
    if (status < 0)
        return wrong(status == CI_ERR_LIMIT ? "it has more values than a result has, or deeper ones" : "not JSON",
                     ret_error);
    cii_agentcore_result r = {.out = "", .err = "", .seconds = -1};
    const cii_json *content = cii_json_get(root, "content");
    if (cii_json_type_of(content) != CII_JSON_ARRAY)
        return wrong("it has no content", ret_error);
    r.is_error = cii_json_bool_of(cii_json_get(root, "isError"));
    if (!read_structured(cii_json_get(root, "structuredContent"), &r))
        return wrong("its exit code is none", ret_error);
    for (size_t i = 0; i < cii_json_count(content) && !r.message; i++) {
        const char *type = cii_json_text_of(cii_json_get(cii_json_at(content, i), "type"), NULL);
        if (type && strcmp(type, "text") == 0)
            take_text(cii_json_at(content, i), "text", &r.message, &r.message_size);
    }
    r.root = TAKE_PTR(root);
    *ret_result = r;
    return CI_OK;
}

void cii_agentcore_result_free(cii_agentcore_result *r) {
    cii_json_free(r->root);
    *r = (cii_agentcore_result){0};
}

void cii_agentcore_words(const cii_aws_keys *keys, const char *text, size_t size,
                         char ret_words[CII_AGENTCORE_WORDS_MAX]) {
    if (!*cii_aws_words(keys, text))
        size = 0;
    if (size >= CII_AGENTCORE_WORDS_MAX) {
        size = CII_AGENTCORE_WORDS_MAX - 1;
        size -= cii_utf8_incomplete_tail(text, size);
    }
    for (size_t i = 0; i < size; i++)
        ret_words[i] = iscntrl((unsigned char)text[i]) ? ' ' : text[i];
    ret_words[size] = '\0';
}

ci_status cii_agentcore_tool_check(const cii_agentcore_result *r, const cii_aws_keys *keys, ci_error **ret_error) {
    char words[CII_AGENTCORE_WORDS_MAX];
    if (!r->is_error && r->exit_code == 0)
        return CI_OK;
    cii_agentcore_words(keys, r->message ? r->message : "", r->message_size, words);
    return cii_error_set(ret_error, CI_ERR_INVALID, CII_AGENTCORE_DOMAIN, "the service did not do it: %s",
                         *words ? words : "no reason given");
}

ci_status cii_agentcore_on_tool(void *op, const cii_agentcore_result *r, ci_error **ret_error) {
    return cii_agentcore_tool_check(r, cii_aws_identity_keys(((cii_agentcore_op *)op)->login.identity), ret_error);
}

/* --- items ---------------------------------------------------------------------------------------------------------- */

typedef void item_cb(void *user, const char *mime_type, const void *data, size_t size);

/* Bytes of base64, decoded where they lie in the payload, of an object that may name their kind. False: damaged. */
static bool tell_item(const cii_json *object, const char *key, item_cb *item, void *user) {
    size_t size = 0;
    char *text = (char *)cii_json_text_of(cii_json_get(object, key), &size);
    const char *mime = cii_json_text_of(cii_json_get(object, "mimeType"), NULL);
    if (!text || cii_base64_decode_in_place(text, size, &size) < 0)
        return false;
    item(user, mime && *mime ? mime : "application/octet-stream", text, size);
    return true;
}

void cii_agentcore_result_items(const cii_agentcore_result *result, item_cb *item, void *user,
                                uint32_t *dropped_count) {
    const cii_json *content = cii_json_get(result->root, "content");
    for (size_t i = 0; i < cii_json_count(content); i++) {
        const cii_json *block = cii_json_at(content, i), *resource = cii_json_get(block, "resource");
        const char *type = cii_json_text_of(cii_json_get(block, "type"), NULL);
        if (type && strcmp(type, "image") == 0)
            *dropped_count += !tell_item(block, "data", item, user);
        else if (cii_json_get(resource, "blob"))
            *dropped_count += !tell_item(resource, "blob", item, user);
    }
}

/* --- exceptions ------------------------------------------------------------------------------------------------------ */

/* Without the escapes that colour it. */
static size_t plain(const char *from, size_t size, char *to) {
    size_t count = 0;
    for (size_t i = 0; i < size; i++) {
        if (from[i] == '\033' && i + 1 < size && from[i + 1] == '[') {
            for (i += 2; i < size && !isalpha((unsigned char)from[i]); i++)
                continue;
            continue;
        }
        if (from[i] != '\r')
            to[count++] = from[i];
    }
    return count;
}

/* The size of "NameError" or "json.decoder.JSONDecodeError" in front of ": " or the end; 0: it is none. */
static size_t name_size(const char *line) {
    size_t size = 0;
    while (isalnum((unsigned char)line[size]) || line[size] == '_' || line[size] == '.')
        size++;
    bool ends = size > 0 && (line[size] == '\0' || (line[size] == ':' && line[size + 1] == ' '));
    const char *dot = ends ? memrchr(line, '.', size) : NULL;
    return ends && isupper((unsigned char)*(dot ? dot + 1 : line)) ? size : 0;
}

/* Whether an exception's name may come next: what is a frame is in no message, as far as it can be told. */
static bool is_frame(const char *line) {
    return strstr(line, "Traceback (most recent call last)") || cii_str_starts(line, "  File \"") ||
           cii_str_starts(line, "Cell In[") || (*line && line[strspn(line, " ^")] == '\0');
}

/* Behind frames the first line that names one, since the rest is its message; without frames the last. */
ci_status cii_agentcore_exception(const char *traceback, size_t size, char **ret_name, char **ret_message) {
    _cleanup_free_ char *text = malloc(size + 1);
    if (!text)
        return CI_ERR_NOMEM;
    text[plain(traceback, size, text)] = '\0';
    *ret_name = *ret_message = NULL;
    bool has_frames = false, is_named = false;
    for (char *line = text, *next; line; line = next) {
        next = strchr(line, '\n');
        if (next)
            *next++ = '\0';
        if (is_frame(line)) {
            has_frames = true;
            is_named = false;
        }
        size_t named = name_size(line);
        if (named == 0 || (has_frames && is_named))
            continue;
        is_named = true;
        free(*ret_name);
        free(*ret_message);
        *ret_name = strndup(line, named);
        *ret_message = strdup(line[named] ? line + named + 2 : "");
        if (!*ret_name || !*ret_message) {
            free(TAKE_PTR(*ret_name));
            free(TAKE_PTR(*ret_message));
            return CI_ERR_NOMEM;
        }
    }
    return CI_OK;
}
