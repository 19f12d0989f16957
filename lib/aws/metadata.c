/* Credentials from services of the machine: a container's (ECS, EKS), an EC2 instance's. */
#include <arpa/inet.h>
#include <stdio.h>

#include "aws/endpoint.h"
#include "aws/resolve.h"
#include "aws/secret.h"
#include "base/str.h"

#define TOKEN_FILE_MAX (16u << 10)

static const aws_fields fields = {
    .id = "AccessKeyId", .secret = "SecretAccessKey", .token = "Token", .expiration = "Expiration", .has_code = true};

/* --- containers --------------------------------------------------------------------------------------------------- */

/* Where credentials may come from without TLS: this machine itself, and what ECS and EKS put beside it. */
static bool may_be_plain(const char *host) {
    static const char *const hosts[] = {"localhost", "[::1]", "169.254.170.2", "169.254.170.23", "[fd00:ec2::23]"};
    char name[64];
    uint8_t address[4];
    size_t size = *host == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":");
    snprintf(name, sizeof name, "%.*s", (int)size, host);
    for (size_t i = 0; i < CII_ELEMENTS(hosts); i++)
        if (strcmp(name, hosts[i]) == 0)
            return true;
    return inet_pton(AF_INET, name, address) == 1 && address[0] == 127;
}

/* What may stand in a request's first line. */
static bool is_uri(const char *text) {
    for (; *text; text++)
        if (*text <= ' ' || *text >= 0x7f)
            return false;
    return true;
}

static ci_status container_url(const aws_resolver *r, char **ret_url, bool *ret_is_local, ci_error **ret_error) {
    const char *relative = cii_resolve_env(r, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
    const char *full = cii_resolve_env(r, "AWS_CONTAINER_CREDENTIALS_FULL_URI");
    static const char what[] = "AWS_CONTAINER_CREDENTIALS_FULL_URI";
    if (!relative && !full)
        return cii_error_set(ret_error, CI_ERR_NOTFOUND, AWS_DOMAIN,
                             "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI and _FULL_URI are not set");
    if (relative && (*relative != '/' || !is_uri(relative)))
        return cii_error_set(ret_error, CI_ERR_INVALID, AWS_DOMAIN,
                             "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI: not a path");
    *ret_is_local = true;
    if (!relative) {
        _cleanup_endpoint_ cii_aws_endpoint e = {0};
        _cleanup_free_ char *before_query = strndup(full, strcspn(full, "?"));
        if (!before_query)
            return cii_error_nomem(ret_error);
        if (!is_uri(full))
            return cii_error_set(ret_error, CI_ERR_INVALID, AWS_DOMAIN, "%s: not a URL", what);
        ci_status status = cii_aws_endpoint_parse(before_query, what, &e, ret_error);
        if (status < 0)
            return status;
        *ret_is_local = may_be_plain(e.host);
        if (!e.is_tls && !*ret_is_local)
            return cii_error_set(ret_error, CI_ERR_INVALID, AWS_DOMAIN,
                                 "%s: http is for this machine and the container's own service alone; use https", what);
    }
    *ret_url = relative ? cii_str_printf("http://169.254.170.2%s", relative) : strdup(full);
    return *ret_url ? CI_OK : cii_error_nomem(ret_error);
}

/* Of the file, which is read each time, before the variable. NULL: none is needed. */
static ci_status container_token(const aws_resolver *r, char **ret_token, ci_error **ret_error) {
    const char *file = cii_resolve_env(r, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
    const char *token = cii_resolve_env(r, "AWS_CONTAINER_AUTHORIZATION_TOKEN");
    size_t size;
    if (!file && !token)
        return CI_OK;
    _cleanup_secret_ char *text = file ? cii_secret_read(file, TOKEN_FILE_MAX, &size) : strdup(token);
    if (!text && file)
        return cii_resolve_file_error(file, ret_error);
    if (!text)
        return cii_error_nomem(ret_error);
    text[strcspn(text, "\r\n")] = '\0';
    for (const char *c = text; *c; c++)
        if (*c < ' ' || *c >= 0x7f)
            return cii_error_set(ret_error, CI_ERR_INVALID, AWS_DOMAIN, "the authorization token is none");
    *ret_token = TAKE_PTR(text);
    return CI_OK;
}

static ci_status container_start(aws_resolver *r, ci_error **ret_error) {
    _cleanup_free_ char *url = NULL;
    _cleanup_secret_ char *token = NULL;
    bool is_local = false;
    ci_status status = container_url(r, &url, &is_local, ret_error);
    if (status == CI_OK)
        status = container_token(r, &token, ret_error);
    if (status < 0)
        return status;
    cii_aws_pair headers[] = {{"Accept", "application/json"}, {"Authorization", token}};
    cii_aws_fetch_request request = {.method = "GET",
                                     .url = url,
                                     .headers = headers,
                                     .header_count = token ? 2 : 1,
                                     .timeout_ms = 2000,
                                     .attempts = 3,
                                     .response_max = AWS_ANSWER_MAX,
                                     .is_local = is_local};
    return cii_resolve_fetch(r, &request, ret_error);
}

static ci_status container_answered(aws_resolver *r, ci_error **ret_error) {
    ci_status status = cii_resolve_check(r, "ask for credentials", ret_error);
    return status < 0 ? status : cii_found_of_json(&r->found, &r->response.body, &fields, ret_error);
}

const aws_source cii_container_source = {container_start, container_answered};

/* --- instances ---------------------------------------------------------------------------------------------------- */

enum { WANTS_TOKEN, WANTS_ROLE, WANTS_KEYS };

static ci_status imds_endpoint(const aws_resolver *r, cii_aws_endpoint *ret_endpoint, ci_error **ret_error) {
    static const char variable[] = "AWS_EC2_METADATA_SERVICE_ENDPOINT";
    const char *url = cii_resolve_env(r, variable),
               *mode = cii_resolve_env(r, "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE");
    if (!url)
        url = cii_resolve_setting(r, "ec2_metadata_service_endpoint");
    if (!mode)
        mode = cii_resolve_setting(r, "ec2_metadata_service_endpoint_mode");
    if (!url)
        url = mode && strcasecmp(mode, "IPv6") == 0 ? "http://[fd00:ec2::254]" : "http://169.254.169.254";
    return cii_aws_endpoint_parse(url, variable, ret_endpoint, ret_error);
}

/* Off EC2 nobody answers, which shall not take long: one attempt of a second. */
static ci_status imds_ask(aws_resolver *r, const char *path, const char *role, ci_error **ret_error) {
    _cleanup_endpoint_ cii_aws_endpoint e = {0};
    _cleanup_buf_ cii_buf url = {0};
    bool wants_token = r->phase == WANTS_TOKEN;
    ci_status status = imds_endpoint(r, &e, ret_error);
    if (status < 0)
        return status;
    if (cii_buf_printf(&url, "%s://%s%s/latest/%s", e.is_tls ? "https" : "http", e.host, e.path, path) < 0 ||
        cii_sigv4_encode(&url, role, strlen(role), false) < 0)
        return cii_error_nomem(ret_error);
    cii_aws_pair header = wants_token ? (cii_aws_pair){"X-aws-ec2-metadata-token-ttl-seconds", "21600"}
                                      : (cii_aws_pair){"X-aws-ec2-metadata-token", r->imds_token};
    cii_aws_fetch_request request = {.method = wants_token ? "PUT" : "GET",
                                     .url = url.data,
                                     .headers = &header,
                                     .header_count = 1,
                                     .timeout_ms = 1000,
                                     .attempts = 1,
                                     .response_max = AWS_ANSWER_MAX,
                                     .is_local = true};
    return cii_resolve_fetch(r, &request, ret_error);
}

static ci_status imds_start(aws_resolver *r, ci_error **ret_error) {
    if (cii_aws_is_true(cii_resolve_env(r, "AWS_EC2_METADATA_DISABLED")))
        return cii_error_set(ret_error, CI_ERR_NOTFOUND, AWS_DOMAIN, "AWS_EC2_METADATA_DISABLED is set");
    r->phase = WANTS_TOKEN;
    return imds_ask(r, "api/token", "", ret_error);
}

/* The answer's first line. What is none can neither be a header's value nor part of a path. */
static ci_status take_line(aws_resolver *r, const char *what, char *ret_text, size_t size, ci_error **ret_error) {
    const char *text = r->response.body.data ? r->response.body.data : "";
    size_t n = strcspn(text, "\r\n");
    bool is_plain = n > 0 && n < size;
    for (size_t i = 0; i < n && is_plain; i++)
        is_plain = text[i] > ' ' && text[i] < 0x7f;
    if (is_plain)
        snprintf(ret_text, size, "%.*s", (int)n, text);
    return is_plain ? CI_OK : cii_error_set(ret_error, CI_ERR_PROTOCOL, AWS_DOMAIN, "%s: the answer is none", what);
}

static ci_status imds_answered(aws_resolver *r, ci_error **ret_error) {
    static const char *const what[] = {"ask for a token", "ask for the role", "ask for credentials"};
    char role[128];
    if (r->phase == WANTS_ROLE && r->response.status == 404)
        return cii_error_set(ret_error, CI_ERR_NOTFOUND, AWS_DOMAIN, "the instance has no role");
    ci_status status = cii_resolve_check(r, what[r->phase], ret_error);
    if (status < 0)
        return status;
    switch (r->phase++) {
    case WANTS_TOKEN:
        status = take_line(r, what[WANTS_TOKEN], r->imds_token, sizeof r->imds_token, ret_error);
        return status < 0 ? status : imds_ask(r, "meta-data/iam/security-credentials/", "", ret_error);
    case WANTS_ROLE:
        status = take_line(r, what[WANTS_ROLE], role, sizeof role, ret_error);
        return status < 0 ? status : imds_ask(r, "meta-data/iam/security-credentials/", role, ret_error);
    default:
        return cii_found_of_json(&r->found, &r->response.body, &fields, ret_error);
    }
}

const aws_source cii_imds_source = {imds_start, imds_answered};
