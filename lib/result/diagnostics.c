#include "result/diagnostics.h"

#include "base/options.h"
#include "result/object.h"

#define JSON_MAX (1u << 20) /* a guest's text must not make a tree of any size */
#define DEPTH_MAX 4

static int32_t number_of(const cii_json *diagnostic, const char *key) {
    int64_t number = cii_json_int_of(cii_json_get(diagnostic, key));
    return number >= 0 && number <= INT32_MAX ? (int32_t)number : 0;
}

ci_status cii_diagnostics_read(cii_diagnostics *ret_diagnostics, const char *json) {
    cii_diagnostics all = {0};
    size_t size = strnlen(json, JSON_MAX + 1);
    ci_status status = size > JSON_MAX ? CI_ERR_LIMIT : cii_json_parse(json, size, DEPTH_MAX, &all.root, NULL);
    if (status != CI_OK)
        return status == CI_ERR_NOMEM ? status : CI_OK;
    size_t count = cii_json_type_of(all.root) == CII_JSON_ARRAY ? cii_json_count(all.root) : 0;
    all.items = calloc(CII_MIN(count, (size_t)CII_DIAGNOSTICS_MAX) + 1, sizeof *all.items);
    if (!all.items) {
        cii_json_free(all.root);
        return CI_ERR_NOMEM;
    }
    for (size_t i = 0; i < count && all.count < CII_DIAGNOSTICS_MAX; i++) {
        const cii_json *diagnostic = cii_json_at(all.root, i);
        const char *message = cii_json_text_of(cii_json_get(diagnostic, "message"), NULL);
        if (!message)
            continue;
        all.items[all.count++] = (ci_diagnostic){.struct_size = sizeof(ci_diagnostic),
                                                 .message = message,
                                                 .code = number_of(diagnostic, "code"),
                                                 .line = number_of(diagnostic, "line"),
                                                 .column = number_of(diagnostic, "column")};
    }
    *ret_diagnostics = all;
    return CI_OK;
}

void cii_diagnostics_write(cii_json_writer *w, const cii_diagnostics *diagnostics) {
    cii_json_begin_array(w);
    for (size_t i = 0; i < diagnostics->count; i++) {
        const ci_diagnostic *diagnostic = &diagnostics->items[i];
        cii_json_begin_object(w);
        cii_json_key_int(w, "code", diagnostic->code);
        cii_json_key_int(w, "line", diagnostic->line);
        cii_json_key_int(w, "column", diagnostic->column);
        cii_json_key_string(w, "message", diagnostic->message);
        cii_json_end_object(w);
    }
    cii_json_end_array(w);
}

void cii_diagnostics_free(cii_diagnostics *diagnostics) {
    free(diagnostics->items);
    cii_json_free(diagnostics->root);
    *diagnostics = (cii_diagnostics){0};
}

size_t ci_result_diagnostic_count(const ci_result *result) {
    return result->diagnostics.count;
}

ci_status ci_result_diagnostic(const ci_result *result, size_t index, ci_diagnostic *ret_diagnostic) {
    if (index >= result->diagnostics.count)
        return CI_ERR_INVALID;
    return cii_struct_fill(ret_diagnostic, &result->diagnostics.items[index], sizeof(ci_diagnostic));
}
