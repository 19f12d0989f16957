/* What is read in a refusal, and what it comes to. */
#include "aws/rest_json.h"

#include <stdio.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/str.h"

#define BODY_MAX (64u << 10) /* what is longer says nothing about a failure */
#define FIELDS_MAX 8         /* that are named */

#define KEYS_HINT "see whether the access key id, the secret and the session token are right, and whose they are"
#define CLOCK_HINT "set this machine's clock"
#define LATER_HINT "try again later"
#define PROXY_HINT "see whether the endpoint is right, and what a proxy before it does"

/* Codes of the service's model, those that stand before every service of AWS, and statuses without a code that is known. */
static const cii_aws_meaning meanings[] = {
    {"ValidationException", 0, CI_ERR_INVALID, false, 0, "the request is not valid", NULL},
    {"SerializationException", 0, CI_ERR_INVALID, false, 0, "the request was not understood", NULL},
    {"AccessDeniedException", 0, CI_ERR_PERMISSION, false, 0, "not allowed", NULL},
    {"ResourceNotFoundException", 0, CI_ERR_NOTFOUND, false, 0, "there is no such resource",
     "see whether the id and the region are right"},
    {"ConflictException", 0, CI_ERR_BUSY, true, 0, "another operation is in its way", LATER_HINT},
    {"ServiceQuotaExceededException", 0, CI_ERR_LIMIT, true, 0, "a quota of the account is used up",
     "stop sessions that are not needed, do less at once, or ask AWS for a higher quota"},
    {"ThrottlingException", 0, CI_ERR_BUSY, true, 0, "too many requests",
     "try again later, and with fewer requests at once"},
    {"InternalServerException", 0, CI_ERR_IO, true, 0, "the service failed", LATER_HINT},
    {"InternalFailure", 0, CI_ERR_IO, true, 0, "the service failed", LATER_HINT},
    {"ServiceUnavailable", 0, CI_ERR_BUSY, true, 0, "the service is busy", LATER_HINT},
    {"ServiceUnavailableException", 0, CI_ERR_BUSY, true, 0, "the service is busy", LATER_HINT},
    {"UnknownOperationException", 0, CI_ERR_NOTSUP, false, 0, "the server does not know this operation", PROXY_HINT},
    {"ExpiredTokenException", 0, CI_ERR_PERMISSION, false, CII_AWS_CORRECT_IDENTITY, "the credentials have expired",
     "get new ones"},
    {"UnrecognizedClientException", 0, CI_ERR_PERMISSION, false, CII_AWS_CORRECT_IDENTITY,
     "the credentials are not known", KEYS_HINT},
    {"InvalidClientTokenId", 0, CI_ERR_PERMISSION, false, CII_AWS_CORRECT_IDENTITY, "the credentials are not known",
     KEYS_HINT},
    {"InvalidSignatureException", 0, CI_ERR_PERMISSION, false, CII_AWS_CORRECT_CLOCK, "the signature is not right",
     "see whether the secret access key and the region are right, and " CLOCK_HINT},
    {"RequestTimeTooSkewed", 0, CI_ERR_PERMISSION, false, CII_AWS_CORRECT_CLOCK,
     "this machine's clock differs from the server's", CLOCK_HINT},
    {"RequestExpired", 0, CI_ERR_PERMISSION, false, CII_AWS_CORRECT_CLOCK,
     "this machine's clock differs from the server's", CLOCK_HINT},
    {"MissingAuthenticationTokenException", 0, CI_ERR_PERMISSION, false, 0, "no signature has come", PROXY_HINT},
    {"IncompleteSignatureException", 0, CI_ERR_PERMISSION, false, 0, "the signature has not come whole", PROXY_HINT},
    {NULL, 0, CI_ERR_IO, false, 0, "the service failed", NULL}, /* within an answer */
    {NULL, 401, CI_ERR_PERMISSION, false, 0, "not allowed", PROXY_HINT},
    {NULL, 402, CI_ERR_LIMIT, true, 0, "a quota of the account is used up", NULL},
    {NULL, 403, CI_ERR_PERMISSION, false, 0, "not allowed", PROXY_HINT},
    {NULL, 404, CI_ERR_NOTFOUND, false, 0, "there is nothing at this address", PROXY_HINT},
    {NULL, 407, CI_ERR_PERMISSION, false, 0, "a proxy wants to know who asks", PROXY_HINT},
    {NULL, 408, CI_ERR_TIMEOUT, true, 0, "the request came too slowly", LATER_HINT},
    {NULL, 409, CI_ERR_BUSY, true, 0, "another operation is in its way", LATER_HINT},
    {NULL, 413, CI_ERR_LIMIT, false, 0, "the request is too large", NULL},
    {NULL, 429, CI_ERR_BUSY, true, 0, "too many requests", LATER_HINT},
    {NULL, 500, CI_ERR_IO, true, 0, "the service failed", LATER_HINT},
    {NULL, 502, CI_ERR_IO, true, 0, "the service cannot be reached", LATER_HINT},
    {NULL, 503, CI_ERR_BUSY, true, 0, "the service is busy", LATER_HINT},
    {NULL, 504, CI_ERR_IO, true, 0, "the service did not answer in time", LATER_HINT},
};

static const cii_aws_meaning *meaning_of(const char *code, int32_t http_status) {
    if (cii_str_starts(code, "Throttl") || strcmp(code, "TooManyRequestsException") == 0)
        code = "ThrottlingException";
    const cii_aws_meaning *m = cii_aws_meaning_find(meanings, CII_ELEMENTS(meanings), code, http_status);
    return m ? m : cii_aws_meaning_find(meanings, CII_ELEMENTS(meanings), "", http_status);
}

/* --- reading ------------------------------------------------------------------------------------------------------ */

/* "com.amazon.x#FooException:http://…", "FooException,Bar" and a stream's "fooException" are FooException. */
static void read_code(const cii_rest_json_call *call, const char *text, char ret_code[CII_EVENT_NAME_MAX]) {
    text = cii_aws_words(call->keys, text);
    size_t size = strcspn(text, ":,");
    for (size_t i = size; i > 0; i--)
        if (text[i - 1] == '#') {
            text += i;
            size -= i;
            break;
        }
    size = CII_MIN(size, (size_t)CII_EVENT_NAME_MAX - 1);
    memcpy(ret_code, text, size);
    ret_code[size] = '\0';
    if (*ret_code >= 'a' && *ret_code <= 'z')
        *ret_code = (char)(*ret_code - 32);
}

/* The first that is a text; "": none is. */
static const char *text_of(const cii_json *body, const char *name, const char *or_name) {
    const char *text = cii_json_text_of(cii_json_get(body, name), NULL);
    if (!text || !*text)
        text = cii_json_text_of(cii_json_get(body, or_name), NULL);
    return text ? text : "";
}

/* What is not JSON is a proxy's words, or none, and left out. */
static ci_status parse(const char *body, size_t size, cii_json **ret_body) {
    ci_status status = size > 0 && size <= BODY_MAX ? cii_json_parse(body, size, 8, ret_body, NULL) : CI_OK;
    return status == CI_ERR_NOMEM ? status : CI_OK;
}

/* --- telling ------------------------------------------------------------------------------------------------------ */

/* "correct the fields: code (must not be empty), language (…)" */
static void hint_fields(const cii_rest_json_call *call, const cii_json *body, ci_error **ret_error) {
    const cii_json *list = cii_json_get(body, "fieldList");
    size_t count = cii_json_type_of(list) == CII_JSON_ARRAY ? CII_MIN(cii_json_count(list), (size_t)FIELDS_MAX) : 0;
    _cleanup_buf_ cii_buf text = {0};
    for (size_t i = 0; i < count; i++) {
        const cii_json *field = cii_json_at(list, i);
        const char *name = cii_aws_words(call->keys, text_of(field, "name", "Name"));
        const char *words = cii_aws_words(call->keys, text_of(field, "message", "Message"));
        if (cii_buf_printf(&text, "%s%.80s (%.160s)", text.size > 0 ? ", " : "", name, words) < 0)
            return;
    }
    if (text.size > 0)
        cii_error_hint(ret_error, "correct the fields: %s", text.data);
}

/* What the table cannot know. */
static void hint_more(const cii_rest_json_call *call, const cii_aws_meaning *m, const cii_json *body,
                      ci_error **ret_error) {
    if (m->status == CI_ERR_LOST) {
        cii_error_mark(ret_error, false, true);
        cii_error_hint(ret_error, "open another session: this one was stopped, or has reached its time-out");
    } else if (m->code && strcmp(m->code, "AccessDeniedException") == 0 && call->action) {
        cii_error_hint(ret_error, "a policy of these credentials must allow %s, and none deny it", call->action);
    }
    hint_fields(call, body, ret_error);
}

static ci_status tell(const cii_rest_json_call *call, const cii_aws_refusal *refusal, const cii_json *body,
                      unsigned *ret_correction, ci_error **ret_error) {
    const cii_aws_meaning *found = meaning_of(refusal->code, refusal->http_status);
    cii_aws_meaning m = found ? *found : (cii_aws_meaning){0};
    if (m.code && m.status == CI_ERR_NOTFOUND && call->is_of_session)
        m.status = CI_ERR_LOST;
    if (!m.code && *refusal->code) /* the status alone is known: what to do is not */
        m.hint = NULL;
    const char *reason = cii_aws_words(call->keys, text_of(body, "reason", "Reason"));
    cii_aws_refusal named = *refusal;
    char code[2 * CII_EVENT_NAME_MAX];
    snprintf(code, sizeof code, "%s, %s", refusal->code, reason);
    if (*refusal->code && *reason) /* "ValidationException, CannotParse" */
        named.code = code;
    ci_status status = cii_aws_refusal_error(&named, found ? &m : NULL, call->domain, call->keys, ret_error);
    hint_more(call, &m, body, ret_error);
    if (ret_correction)
        *ret_correction = m.correction;
    return status;
}

ci_status cii_rest_json_error(const cii_rest_json_call *call, const cii_http_response *response,
                              unsigned *ret_correction, ci_error **ret_error) {
    const char *named = cii_http_header_value(response, "x-amzn-errortype");
    const char *id = cii_http_header_value(response, "x-amzn-requestid");
    char code[CII_EVENT_NAME_MAX];
    _cleanup_json_ cii_json *body = NULL;
    if (parse(response->body, response->body_bytes, &body) < 0)
        return cii_error_nomem(ret_error);
    read_code(call, named ? named : "", code);
    if (!*code)
        read_code(call, text_of(body, "code", "__type"), code);
    const cii_aws_refusal refusal = {code, text_of(body, "message", "Message"), id ? id : "", response->status};
    return tell(call, &refusal, body, ret_correction, ret_error);
}

ci_status cii_rest_json_event_error(const cii_rest_json_call *call, const cii_event *event, const char *request_id,
                                    unsigned *ret_correction, ci_error **ret_error) {
    char code[CII_EVENT_NAME_MAX];
    _cleanup_json_ cii_json *body = NULL;
    _cleanup_free_ char *words = NULL;
    bool is_exception = event->kind == CII_EVENT_EXCEPTION;
    ci_status status = is_exception ? parse(event->payload, event->payload_size, &body) : CI_OK;
    if (!is_exception)
        words = strndup(event->payload, event->payload_size);
    if (status < 0 || (!is_exception && !words))
        return cii_error_nomem(ret_error);
    read_code(call, event->name, code);
    const cii_aws_refusal refusal = {code, words ? words : text_of(body, "message", "Message"),
                                     request_id ? request_id : "", 0};
    return tell(call, &refusal, body, ret_correction, ret_error);
}
