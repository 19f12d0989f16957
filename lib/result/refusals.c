#include "result/refusals.h"

#include <inttypes.h>

#include "base/options.h"
#include "result/object.h"

#define STRING_MAX 512u /* a longer one is no name, address or rule, and is left out */

/* "tcp [2001:db8::1]:80", "tcp evil.example:80 at 10.0.0.1", "dns evil.example"; the rule behind it in brackets. */
static ci_status describe(cii_buf *text, const ci_refusal *refusal) {
    const char *host = refusal->name ? refusal->name : refusal->address;
    bool is_ipv6 = !refusal->name && host && strchr(host, ':');
    ci_status status = cii_buf_append_str(text, refusal->protocol);
    if (status == CI_OK && host)
        status = cii_buf_printf(text, is_ipv6 ? " [%s]" : " %s", host);
    if (status == CI_OK && refusal->port > 0)
        status = cii_buf_printf(text, "%s%" PRId32, host ? ":" : " port ", refusal->port);
    if (status == CI_OK && refusal->name && refusal->address)
        status = cii_buf_printf(text, " at %s", refusal->address);
    return status == CI_OK ? cii_buf_printf(text, " (%s)", refusal->rule) : status;
}

/* NULL for what would not stay on its line, or never end. */
static const char *bounded(const char *string) {
    size_t size = 0;
    while (string && size < STRING_MAX && (unsigned char)string[size] >= ' ' && string[size] != 0x7f)
        size++;
    return string && string[size] == 0 ? string : NULL;
}

static ci_refusal *find(const cii_refusals *refusals, const char *text) {
    for (size_t i = 0; i < refusals->count; i++)
        if (strcmp(refusals->items[i].text, text) == 0)
            return &refusals->items[i];
    return NULL;
}

static ci_status append(cii_refusals *refusals, ci_refusal *own) {
    ci_refusal *items = realloc(refusals->items, (refusals->count + 1) * sizeof *items);
    if (!items)
        return CI_ERR_NOMEM;
    refusals->items = items;
    const char **const strings[] = {&own->text, &own->name, &own->address, &own->protocol, &own->rule};
    if (!cii_strings_own(strings, CII_ELEMENTS(strings)))
        return CI_ERR_NOMEM;
    items[refusals->count++] = *own;
    return CI_OK;
}

ci_status cii_refusals_add(cii_refusals *refusals, const ci_refusal *refusal) {
    ci_refusal own = {0};
    memcpy(&own, refusal, CII_MIN(refusal->struct_size, sizeof own));
    own.struct_size = sizeof own;
    own.name = bounded(own.name);
    own.address = bounded(own.address);
    own.protocol = bounded(own.protocol) ? own.protocol : "?";
    own.rule = bounded(own.rule) ? own.rule : "?";
    own.count = CII_MAX(own.count, UINT64_C(1));
    own.reserved = 0;
    _cleanup_buf_ cii_buf text;
    cii_buf_init(&text, 0);
    if (describe(&text, &own) != CI_OK)
        return CI_ERR_NOMEM;
    own.text = text.data;
    ci_refusal *same = find(refusals, text.data);
    bool kept = same || refusals->count < CII_REFUSALS_MAX;
    if (same)
        same->count += own.count;
    else if (kept && append(refusals, &own) != CI_OK)
        return CI_ERR_NOMEM;
    refusals->kept += kept ? own.count : 0;
    refusals->total += own.count;
    return CI_OK;
}

ci_status cii_refusals_say(const cii_refusals *refusals, size_t most, cii_buf *text) {
    uint64_t told = 0;
    ci_status status = CI_OK;
    for (size_t i = 0; i < CII_MIN(refusals->count, most) && status == CI_OK; i++) {
        const ci_refusal *refusal = &refusals->items[i];
        told += refusal->count;
        status = cii_buf_printf(text, "refused: %s", refusal->text);
        if (status == CI_OK && refusal->count > 1)
            status = cii_buf_printf(text, ", %" PRIu64 " times", refusal->count);
        if (status == CI_OK)
            status = cii_buf_append_str(text, "\n");
    }
    if (status == CI_OK && refusals->total > told)
        status = cii_buf_printf(text, "refused: %" PRIu64 " more\n", refusals->total - told);
    return status;
}

ci_status cii_result_say_refusals(const ci_result *result, cii_buf *text) {
    return cii_refusals_say(&result->refusals, CII_REFUSALS_MAX, text);
}

void cii_refusals_write(cii_json_writer *w, const cii_refusals *refusals) {
    cii_json_begin_array(w);
    for (size_t i = 0; i < refusals->count; i++) {
        const ci_refusal *refusal = &refusals->items[i];
        cii_json_begin_object(w);
        cii_json_key_string(w, "name", refusal->name);
        cii_json_key_string(w, "address", refusal->address);
        cii_json_key_int(w, "port", refusal->port);
        cii_json_key_string(w, "protocol", refusal->protocol);
        cii_json_key_string(w, "rule", refusal->rule);
        cii_json_key(w, "count");
        cii_json_uint(w, refusal->count);
        cii_json_end_object(w);
    }
    cii_json_end_array(w);
}

void cii_refusals_free(cii_refusals *refusals) {
    for (size_t i = 0; i < refusals->count; i++)
        free((char *)(uintptr_t)refusals->items[i].text);
    free(refusals->items);
    *refusals = (cii_refusals){0};
}

size_t ci_result_refusal_count(const ci_result *result) {
    return result->refusals.count;
}

uint64_t ci_result_refusal_total(const ci_result *result) {
    return result->refusals.total;
}

ci_status ci_result_refusal(const ci_result *result, size_t index, ci_refusal *ret_refusal) {
    if (index >= result->refusals.count)
        return CI_ERR_INVALID;
    return cii_struct_fill(ret_refusal, &result->refusals.items[index], sizeof(ci_refusal));
}
