/* What sources answer, and how they are asked by HTTP. */
#include <stdio.h>
#include <time.h>

#include "aws/resolve.h"
#include "aws/secret.h"
#include "base/json.h"

#define SECRET_MAX (32u << 10)
#define JSON_COUNT_MAX 1000 /* values of an answer */

/* --- found credentials -------------------------------------------------------------------------------------------- */

void cii_found_free(aws_found *f) {
    cii_secret_free(f->id);
    cii_secret_free(f->secret);
    cii_secret_free(f->token);
    *f = (aws_found){0};
}

static bool can_be_sent(const char *text) {
    size_t size = 0;
    for (; text[size]; size++)
        if (text[size] <= ' ' || text[size] >= 0x7f)
            return false;
    return size > 0 && size <= SECRET_MAX;
}

ci_status cii_found_set(aws_found *f, const char *id, const char *secret, const char *token, int64_t expires_s,
                        ci_error **ret_error) {
    bool has_token = token && *token;
    const char *wrong = !id || !can_be_sent(id)            ? "access key id"
                        : !secret || !can_be_sent(secret)  ? "secret access key"
                        : has_token && !can_be_sent(token) ? "session token"
                                                           : NULL;
    if (wrong)
        return cii_error_set(ret_error, CI_ERR_INVALID, AWS_DOMAIN, "the %s is missing, or is none", wrong);
    aws_found found = {strdup(id), strdup(secret), has_token ? strdup(token) : NULL, expires_s};
    if (!found.id || !found.secret || (has_token && !found.token)) {
        cii_found_free(&found);
        return cii_error_nomem(ret_error);
    }
    cii_found_free(f);
    *f = found;
    return CI_OK;
}

/* --- answers in JSON ---------------------------------------------------------------------------------------------- */

/* Digits at *text, which moves on; -1 when they are not there. */
static int digits(const char **text, int count) {
    int value = 0;
    for (; count > 0; count--, (*text)++) {
        if (**text < '0' || **text > '9')
            return -1;
        value = value * 10 + (**text - '0');
    }
    return value;
}

/* The value of "+01:30" in seconds; "Z", "UTC" and nothing are 0. */
static bool parse_offset(const char *text, int *ret_s) {
    *ret_s = 0;
    if (*text == '\0' || strcmp(text, "Z") == 0 || strcmp(text, "UTC") == 0)
        return true;
    int sign = *text == '-' ? -1 : *text == '+' ? 1 : 0;
    text++;
    int hours = sign ? digits(&text, 2) : -1;
    if (*text == ':')
        text++;
    int minutes = hours >= 0 ? digits(&text, 2) : -1;
    *ret_s = sign * (hours * 3600 + minutes * 60);
    return minutes >= 0 && *text == '\0';
}

bool cii_aws_parse_time(const char *text, int64_t *ret_s) {
    static const char between[] = "--T::";
    int fields[6], offset_s;
    for (size_t i = 0; i < CII_ELEMENTS(fields); i++) {
        if ((fields[i] = digits(&text, i == 0 ? 4 : 2)) < 0)
            return false;
        if (i < 5 && *text != between[i] && !(i == 2 && *text == ' '))
            return false;
        text += i < 5;
    }
    if (*text == '.')
        text += 1 + strspn(text + 1, "0123456789");
    if (!parse_offset(text, &offset_s) || fields[1] < 1 || fields[1] > 12 || fields[2] < 1 || fields[2] > 31)
        return false;
    struct tm tm = {.tm_year = fields[0] - 1900,
                    .tm_mon = fields[1] - 1,
                    .tm_mday = fields[2],
                    .tm_hour = fields[3],
                    .tm_min = fields[4],
                    .tm_sec = fields[5]};
    *ret_s = (int64_t)timegm(&tm) - offset_s;
    return true;
}

/* 0: does not say. A number is in milliseconds. */
static bool read_expiration(const cii_json *value, int64_t *ret_s) {
    const char *text = cii_json_text_of(value, NULL);
    *ret_s = 0;
    if (cii_json_type_of(value) == CII_JSON_INT) {
        *ret_s = cii_json_int_of(value) / 1000;
        return *ret_s > 0;
    }
    return (cii_json_type_of(value) == CII_JSON_NULL) || (text && cii_aws_parse_time(text, ret_s));
}

static ci_status read_found(aws_found *f, const cii_json *root, const aws_fields *fields, ci_error **ret_error) {
    const cii_json *at = fields->within ? cii_json_get(root, fields->within) : root;
    const char *code = cii_json_text_of(cii_json_get(at, "Code"), NULL);
    int64_t expires_s;
    if (fields->has_version && cii_json_int_of(cii_json_get(at, "Version")) != 1)
        return cii_error_set(ret_error, CI_ERR_PROTOCOL, AWS_DOMAIN, "its Version is not 1");
    if (fields->has_code && code && strcmp(code, "Success") != 0)
        return cii_error_set(ret_error, CI_ERR_PERMISSION, AWS_DOMAIN, "it answers with Code %.80s", code);
    if (!read_expiration(cii_json_get(at, fields->expiration), &expires_s))
        return cii_error_set(ret_error, CI_ERR_PROTOCOL, AWS_DOMAIN, "its %s is not a time", fields->expiration);
    return cii_found_set(f, cii_json_text_of(cii_json_get(at, fields->id), NULL),
                         cii_json_text_of(cii_json_get(at, fields->secret), NULL),
                         cii_json_text_of(cii_json_get(at, fields->token), NULL), expires_s, ret_error);
}

ci_status cii_resolve_json_parse(char *text, size_t size, cii_json **ret_root, ci_error **ret_error) {
    ci_status status = cii_json_parse_in_place(text, size, 8, JSON_COUNT_MAX, ret_root);
    if (status == CI_ERR_NOMEM)
        return cii_error_nomem(ret_error);
    return status < 0 ? cii_error_set(ret_error, CI_ERR_PROTOCOL, AWS_DOMAIN, "its answer is not JSON") : CI_OK;
}

ci_status cii_found_of_json(aws_found *f, cii_buf *text, const aws_fields *fields, ci_error **ret_error) {
    _cleanup_json_ cii_json *root = NULL;
    ci_status status = cii_resolve_json_parse(text->data, text->size, &root, ret_error);
    if (status == CI_OK)
        status = read_found(f, root, fields, ret_error);
    cii_secret_clear(text);
    return status;
}

ci_status cii_resolve_file_error(const char *path, ci_error **ret_error) {
    ci_status status = cii_error_errno(ret_error, errno, AWS_DOMAIN, "%s", path);
    return cii_error_wrap(ret_error, status == CI_ERR_NOTFOUND ? CI_ERR_INVALID : status, "read");
}

/* --- HTTP --------------------------------------------------------------------------------------------------------- */

ci_status cii_resolve_fetch(aws_resolver *r, const cii_aws_fetch_request *request, ci_error **ret_error) {
    if (!r->options->fetch)
        return cii_error_set(ret_error, CI_ERR_NOTSUP, AWS_DOMAIN, "needs HTTP, which is not there");
    cii_secret_clear(&r->response.body);
    r->response.status = 0;
    return r->options->fetch(r->options->fetch_user, request, &r->response, &r->op, ret_error);
}

ci_status cii_resolve_http_error(int32_t http_status, const char *message, ci_error **ret_error) {
    bool again = http_status == 429 || http_status >= 500;
    ci_error_fields fields = {.struct_size = sizeof fields,
                              .domain = AWS_DOMAIN,
                              .message = message,
                              .status = again ? CI_ERR_IO : CI_ERR_PERMISSION,
                              .http_status = http_status,
                              .retryable = again};
    return ci_error_make(&fields, ret_error);
}

ci_status cii_resolve_check(const aws_resolver *r, const char *what, ci_error **ret_error) {
    char message[160];
    if (r->response.status == 200)
        return CI_OK;
    snprintf(message, sizeof message, "%s: HTTP status %d", what, (int)r->response.status);
    return cii_resolve_http_error(r->response.status, message, ret_error);
}
