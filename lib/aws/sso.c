/* Credentials of an SSO session that `aws sso login` has opened: its token lies in ~/.aws/sso/cache. */
#include <openssl/evp.h>
#include <stdio.h>

#include "aws/endpoint.h"
#include "aws/resolve.h"
#include "aws/secret.h"
#include "base/str.h"

#define CACHE_FILE_MAX (64u << 10)

static const aws_fields fields = {.within = "roleCredentials",
                                  .id = "accessKeyId",
                                  .secret = "secretAccessKey",
                                  .token = "sessionToken",
                                  .expiration = "expiration"};

/* A key of the session that the profile names, or of the profile itself. */
static const char *session_setting(const aws_resolver *r, const char *key) {
    const char *session = cii_resolve_setting(r, "sso_session");
    const char *value = session ? cii_aws_settings_section(r->settings, "sso-session", session, NULL, key) : NULL;
    return value ? value : cii_resolve_setting(r, key);
}

static ci_status cache_path(const aws_resolver *r, char **ret_path, ci_error **ret_error) {
    const char *session = cii_resolve_setting(r, "sso_session"),
               *name = session ? session : cii_resolve_setting(r, "sso_start_url");
    uint8_t digest[20];
    char hex[41];
    if (EVP_Digest(name, strlen(name), digest, NULL, EVP_sha1(), NULL) != 1)
        return cii_error_nomem(ret_error);
    cii_hex(digest, sizeof digest, hex);
    _cleanup_free_ char *path = cii_str_printf("~/.aws/sso/cache/%s.json", hex);
    *ret_path = path ? cii_aws_settings_path(r->options->environment, path) : NULL;
    return *ret_path ? CI_OK : cii_error_nomem(ret_error);
}

static ci_status log_in(ci_error **ret_error, const char *why) {
    cii_error_set(ret_error, CI_ERR_PERMISSION, AWS_DOMAIN, "%s", why);
    cii_error_hint(ret_error, "log in: aws sso login");
    return CI_ERR_PERMISSION;
}

static ci_status check_token(const cii_json *root, int64_t now_s, const char **ret_token, ci_error **ret_error) {
    const char *expires = cii_json_text_of(cii_json_get(root, "expiresAt"), NULL);
    int64_t expires_s = 0;
    *ret_token = cii_json_text_of(cii_json_get(root, "accessToken"), NULL);
    if (!*ret_token || !**ret_token || !expires || !cii_aws_parse_time(expires, &expires_s))
        return log_in(ret_error, "the SSO session's file has no token");
    for (const char *c = *ret_token; *c; c++)
        if (*c <= ' ' || *c >= 0x7f)
            return log_in(ret_error, "the SSO session's token is none");
    return expires_s > now_s ? CI_OK : log_in(ret_error, "the SSO session has expired");
}

static ci_status ask(aws_resolver *r, const char *token, ci_error **ret_error) {
    _cleanup_endpoint_ cii_aws_endpoint e = {0};
    _cleanup_buf_ cii_buf url = {0};
    const char *region = session_setting(r, "sso_region"), *account = cii_resolve_setting(r, "sso_account_id"),
               *role = cii_resolve_setting(r, "sso_role_name");
    const char *missing = !region ? "sso_region" : !account ? "sso_account_id" : !role ? "sso_role_name" : NULL;
    if (missing)
        return cii_error_set(ret_error, CI_ERR_INVALID, AWS_DOMAIN, "%s is missing", missing);
    ci_status status = cii_aws_endpoint_resolve(r->settings, "portal.sso", NULL, region,
                                                cii_aws_endpoint_flags(r->settings, "portal.sso"), &e, ret_error);
    if (status < 0)
        return status;
    if (cii_buf_printf(&url, "%s://%s%s/federation/credentials?role_name=", e.is_tls ? "https" : "http", e.host,
                       e.path) < 0 ||
        cii_sigv4_encode(&url, role, strlen(role), false) < 0 || cii_buf_append_str(&url, "&account_id=") < 0 ||
        cii_sigv4_encode(&url, account, strlen(account), false) < 0)
        return cii_error_nomem(ret_error);
    cii_aws_pair header = {"x-amz-sso_bearer_token", token};
    cii_aws_fetch_request request = {.method = "GET",
                                     .url = url.data,
                                     .headers = &header,
                                     .header_count = 1,
                                     .timeout_ms = 10000,
                                     .attempts = 3,
                                     .response_max = AWS_ANSWER_MAX};
    return cii_resolve_fetch(r, &request, ret_error);
}

static ci_status sso_start(aws_resolver *r, ci_error **ret_error) {
    _cleanup_free_ char *path = NULL;
    _cleanup_json_ cii_json *root = NULL;
    const char *token;
    size_t size;
    if (!session_setting(r, "sso_start_url"))
        return cii_error_set(ret_error, CI_ERR_INVALID, AWS_DOMAIN, "sso_start_url is missing");
    ci_status status = cache_path(r, &path, ret_error);
    if (status < 0)
        return status;
    _cleanup_secret_ char *text = cii_secret_read(path, CACHE_FILE_MAX, &size);
    if (!text && errno == ENOENT)
        return log_in(ret_error, "nobody has logged in to the SSO session");
    if (!text)
        return cii_resolve_file_error(path, ret_error);
    status = cii_resolve_json_parse(text, size, &root, ret_error);
    if (status == CI_OK)
        status = check_token(root, r->now_s, &token, ret_error);
    if (status == CI_OK)
        status = ask(r, token, ret_error);
    OPENSSL_cleanse(text, size); /* strings that were read in it end within */
    return status;
}

static ci_status sso_answered(aws_resolver *r, ci_error **ret_error) {
    if (r->response.status == 401)
        return log_in(ret_error, "the SSO session has ended");
    ci_status status = cii_resolve_check(r, "ask for the role's credentials", ret_error);
    return status < 0 ? status : cii_found_of_json(&r->found, &r->response.body, &fields, ret_error);
}

const aws_source cii_sso_source = {sso_start, sso_answered};
