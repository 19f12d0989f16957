/* Refusals as errors. */
#include "aws/refusal.h"

#include <ci/sys/op.h>
#include <stdio.h>

#include "base/str.h"
#include "base/utf8.h"

#define WORDS_MAX 300

const cii_aws_meaning *cii_aws_meaning_find(const cii_aws_meaning *meanings, size_t count, const char *code,
                                            int32_t http_status) {
    for (size_t i = 0; i < count; i++)
        if (meanings[i].code ? strcmp(meanings[i].code, code) == 0
                             : *code == '\0' && meanings[i].http_status == http_status)
            return &meanings[i];
    return NULL;
}

static bool repeats(const char *words, const char *secret) {
    return secret && *secret && strstr(words, secret);
}

const char *cii_aws_words(const cii_aws_keys *keys, const char *words) {
    return keys && (repeats(words, keys->secret) || repeats(words, keys->token)) ? "" : words;
}

ci_status cii_aws_refusal_error(const cii_aws_refusal *r, const cii_aws_meaning *m, const char *domain,
                                const cii_aws_keys *keys, ci_error **ret_error) {
    const char *code = cii_aws_words(keys, r->code), *words = cii_aws_words(keys, r->words);
    const char *id = cii_aws_words(keys, r->request_id);
    const char *text = *words ? words : m ? m->text : "the server refused";
    char where[160] = "";
    if (r->http_status)
        snprintf(where, sizeof where, " (%d%s%.100s)", (int)r->http_status, *id ? ", request " : "", id);
    else if (*id)
        snprintf(where, sizeof where, " (request %.100s)", id);
    bool failed = r->http_status >= 500 && r->http_status != 501;
    size_t size = strnlen(text, WORDS_MAX);
    if (size == WORDS_MAX)
        size -= cii_utf8_incomplete_tail(text, size);
    _cleanup_free_ char *message = cii_str_printf("%.63s%s%.*s%s", code, *code ? ": " : "", (int)size, text, where);
    for (char *p = message; p && *p; p++)
        if ((unsigned char)*p < ' ') /* of words on several lines */
            *p = ' ';
    const ci_error_fields fields = {.struct_size = sizeof fields,
                                    .domain = domain,
                                    .message = message,
                                    .hint = m ? m->hint : NULL,
                                    .status = m        ? m->status
                                              : failed ? CI_ERR_IO
                                                       : CI_ERR_INVALID,
                                    .http_status = r->http_status,
                                    .retryable = m ? m->retryable : failed};
    return message ? ci_error_make(&fields, ret_error) : cii_error_nomem(ret_error);
}
