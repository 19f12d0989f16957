/* Roles: assumed with credentials that were found (signed), or with the token of a web identity (unsigned). */
#include <stdio.h>

#include "aws/endpoint.h"
#include "aws/resolve.h"
#include "aws/secret.h"
#include "aws/xml.h"
#include "base/str.h"

#define TOKEN_FILE_MAX (32u << 10)
#define FORM "application/x-www-form-urlencoded; charset=utf-8"

static void add_field(cii_buf *form, ci_status *status, const char *name, const char *value) {
    if (!value || *status < 0)
        return;
    *status = cii_buf_printf(form, "%s%s=", form->size > 0 ? "&" : "", name);
    if (*status == CI_OK)
        *status = cii_sigv4_encode(form, value, strlen(value), false);
}

/* Where STS is. The region is anybody's word, else that of the first one. */
static ci_status find_sts(const aws_resolver *r, cii_aws_endpoint *ret_endpoint, const char **ret_region,
                          ci_error **ret_error) {
    const char *region = cii_aws_region(r->settings, r->options->region);
    *ret_region = region ? region : "us-east-1";
    return cii_aws_endpoint_resolve(r->settings, "sts", NULL, *ret_region, cii_aws_endpoint_flags(r->settings, "sts"),
                                    ret_endpoint, ret_error);
}

static ci_status sign(const aws_resolver *r, const cii_aws_endpoint *e, const char *region, const char *path,
                      const cii_buf *form, cii_sigv4_signed *ret_signed, ci_error **ret_error) {
    _cleanup_sigv4_ cii_sigv4 *signer = NULL;
    const cii_aws_pair type = {"Content-Type", FORM};
    const cii_aws_keys keys = {r->found.id, r->found.secret, r->found.token};
    char hash[65];
    ci_status status = cii_sigv4_new(region, "sts", CII_SIGV4_OTHERS, &signer, ret_error);
    if (status < 0)
        return status;
    if (cii_sigv4_hash(form->data, form->size, hash) < 0)
        return cii_error_nomem(ret_error);
    cii_sigv4_request request = {.method = "POST",
                                 .host = e->host,
                                 .path = path,
                                 .path_size = strlen(path),
                                 .headers = &type,
                                 .header_count = 1,
                                 .payload_hash = hash};
    return cii_sigv4_sign(signer, &request, &keys, r->now_s, ret_signed, ret_error);
}

static ci_status post(aws_resolver *r, const cii_buf *form, bool is_signed, ci_error **ret_error) {
    _cleanup_endpoint_ cii_aws_endpoint e = {0};
    _cleanup_signed_ cii_sigv4_signed s = {0};
    const char *region;
    ci_status status = find_sts(r, &e, &region, ret_error);
    if (status < 0)
        return status;
    _cleanup_free_ char *path = cii_str_printf("%s/", e.path);
    _cleanup_free_ char *url = path ? cii_str_printf("%s://%s%s", e.is_tls ? "https" : "http", e.host, path) : NULL;
    if (!url)
        return cii_error_nomem(ret_error);
    if (is_signed)
        status = sign(r, &e, region, path, form, &s, ret_error);
    if (status < 0)
        return status;
    cii_aws_pair headers[1 + CII_ELEMENTS(s.headers)] = {{"Content-Type", FORM}};
    memcpy(headers + 1, s.headers, sizeof s.headers);
    cii_aws_fetch_request request = {.method = "POST",
                                     .url = url,
                                     .headers = headers,
                                     .header_count = 1 + s.header_count,
                                     .body = form->data,
                                     .body_size = form->size,
                                     .timeout_ms = 10000,
                                     .attempts = 3,
                                     .response_max = AWS_ANSWER_MAX};
    return cii_resolve_fetch(r, &request, ret_error);
}

/* What both kinds of request say. */
static ci_status begin_form(const aws_resolver *r, const char *action, const char *role, const char *session,
                            cii_buf *form, ci_error **ret_error) {
    char own_session[48];
    const char *duration = cii_resolve_setting(r, "duration_seconds");
    size_t size = duration ? strspn(duration, "0123456789") : 0;
    if (duration && (duration[size] || size > 5))
        return cii_error_set(ret_error, CI_ERR_INVALID, AWS_DOMAIN, "duration_seconds: not a number of seconds");
    snprintf(own_session, sizeof own_session, "libci-%lld", (long long)r->now_s);
    ci_status status = CI_OK;
    add_field(form, &status, "Action", action);
    add_field(form, &status, "Version", "2011-06-15");
    add_field(form, &status, "RoleArn", role);
    add_field(form, &status, "RoleSessionName", session ? session : own_session);
    add_field(form, &status, "DurationSeconds", duration);
    return status < 0 ? cii_error_nomem(ret_error) : CI_OK;
}

/* --- the answer --------------------------------------------------------------------------------------------------- */

static ci_status refused(const aws_resolver *r, const char *code, const char *message, ci_error **ret_error) {
    _cleanup_free_ char *text = cii_str_printf("STS: HTTP status %d%s%.80s%s%.300s", (int)r->response.status,
                                               *code ? ", " : "", code, *message ? ": " : "", message);
    return text ? cii_resolve_http_error(r->response.status, text, ret_error) : cii_error_nomem(ret_error);
}

typedef struct answer {
    aws_resolver *resolver;
    bool is_taken;
} answer;

static const char *text_of(const cii_xml_row *row, const char *name) {
    const char *text = cii_xml_row_text(row, name);
    return text ? text : "";
}

static ci_status take_error(void *user, const cii_xml_row *row, ci_error **ret_error) {
    answer *a = user;
    if (strcmp(row->name, "Error") != 0)
        return CI_OK;
    a->is_taken = true;
    return refused(a->resolver, text_of(row, "Code"), text_of(row, "Message"), ret_error);
}

static ci_status take_credentials(void *user, const cii_xml_row *row, ci_error **ret_error) {
    answer *a = user;
    int64_t expires_s = 0;
    if (!cii_xml_row_text(row, "AccessKeyId"))
        return CI_OK;
    a->is_taken = true;
    if (!cii_aws_parse_time(text_of(row, "Expiration"), &expires_s))
        return cii_error_set(ret_error, CI_ERR_PROTOCOL, AWS_DOMAIN, "its answer has no Expiration");
    return cii_found_set(&a->resolver->found, text_of(row, "AccessKeyId"), text_of(row, "SecretAccessKey"),
                         text_of(row, "SessionToken"), expires_s, ret_error);
}

static ci_status parse(const cii_buf *body, cii_xml_row_cb row, answer *a, ci_error **ret_error) {
    _cleanup_xml_ cii_xml *xml = NULL;
    ci_status status = cii_xml_new(row, a, &xml, ret_error);
    if (status == CI_OK)
        status = cii_xml_feed(xml, body->data, body->size, ret_error);
    return status == CI_OK ? cii_xml_end(xml, ret_error) : status;
}

static ci_status answered(aws_resolver *r, ci_error **ret_error) {
    answer a = {.resolver = r};
    const bool is_good = r->response.status == 200;
    ci_status status = parse(&r->response.body, is_good ? take_credentials : take_error, &a, ret_error);
    cii_secret_clear(&r->response.body);
    if (!is_good && status != CI_ERR_NOMEM)
        return a.is_taken ? status : refused(r, "", "", ret_error);
    if (status == CI_OK && !a.is_taken)
        status = cii_error_set(ret_error, CI_ERR_PROTOCOL, AWS_DOMAIN, "its answer has no Credentials");
    return status < 0 ? cii_error_wrap(ret_error, status, "STS") : CI_OK;
}

/* --- the requests ------------------------------------------------------------------------------------------------- */

static ci_status assume_role_start(aws_resolver *r, ci_error **ret_error) {
    _cleanup_buf_ cii_buf form = {0};
    if (cii_resolve_setting(r, "mfa_serial"))
        return cii_error_set(ret_error, CI_ERR_NOTSUP, AWS_DOMAIN,
                             "mfa_serial: the code of a token cannot be asked for here");
    ci_status status = begin_form(r, "AssumeRole", cii_resolve_setting(r, "role_arn"),
                                  cii_resolve_setting(r, "role_session_name"), &form, ret_error);
    if (status < 0)
        return status;
    add_field(&form, &status, "ExternalId", cii_resolve_setting(r, "external_id"));
    return status < 0 ? cii_error_nomem(ret_error) : post(r, &form, true, ret_error);
}

const aws_source cii_assume_role_source = {assume_role_start, answered};

/* Of the environment when the source belongs to no profile. */
static const char *web_setting(const aws_resolver *r, const char *variable, const char *key) {
    return r->profile ? cii_resolve_setting(r, key) : cii_resolve_env(r, variable);
}

static ci_status web_identity_start(aws_resolver *r, ci_error **ret_error) {
    _cleanup_secret_buf_ cii_buf form = {0};
    const char *file = web_setting(r, "AWS_WEB_IDENTITY_TOKEN_FILE", "web_identity_token_file");
    const char *role = web_setting(r, "AWS_ROLE_ARN", "role_arn"), *const *env = r->options->environment;
    size_t size;
    if (!file)
        return cii_error_set(ret_error, CI_ERR_NOTFOUND, AWS_DOMAIN, "AWS_WEB_IDENTITY_TOKEN_FILE is not set");
    if (!role)
        return cii_error_set(ret_error, CI_ERR_INVALID, AWS_DOMAIN, "%s is missing",
                             r->profile ? "role_arn" : "AWS_ROLE_ARN");
    _cleanup_free_ char *path = cii_aws_settings_path(env, file);
    if (!path)
        return cii_error_nomem(ret_error);
    _cleanup_secret_ char *token = cii_secret_read(path, TOKEN_FILE_MAX, &size);
    if (!token)
        return cii_resolve_file_error(path, ret_error);
    token[strcspn(token, "\r\n")] = '\0';
    if (cii_buf_reserve(&form, 3 * size + 4096, NULL) < 0)
        return cii_error_nomem(ret_error);
    ci_status status = begin_form(r, "AssumeRoleWithWebIdentity", role,
                                  web_setting(r, "AWS_ROLE_SESSION_NAME", "role_session_name"), &form, ret_error);
    if (status < 0)
        return status;
    add_field(&form, &status, "WebIdentityToken", token);
    return status < 0 ? cii_error_nomem(ret_error) : post(r, &form, false, ret_error);
}

const aws_source cii_web_identity_source = {web_identity_start, answered};
