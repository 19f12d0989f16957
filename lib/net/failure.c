/* What went wrong, in words: what was asked of whom, why it failed, what to do. Never a path, query or header, in which
 * there may be a secret; and of curl's own words only those that cannot quote a proxy's password. */
#include <stdio.h>

#include "base/str.h"
#include "net/lane.h"

/* --- requests that cannot be sent --------------------------------------------------------------------------------- */

static const char *host_of(const char *url) {
    if (strncasecmp(url, "http://", 7) == 0)
        return url + 7;
    return strncasecmp(url, "https://", 8) == 0 ? url + 8 : NULL;
}

bool cii_http_is_tls(const char *url) {
    return strncasecmp(url, "https://", 8) == 0;
}

static bool is_token(const char *text) {
    size_t size = strspn(text, "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ");
    return size > 0 && text[size] == '\0';
}

/* Spaces, controls, a fragment; and bytes beyond ASCII, which curl would escape itself, in lower case. */
static bool must_be_escaped(const char *url) {
    for (const unsigned char *c = (const unsigned char *)url; *c; c++)
        if (*c <= ' ' || *c >= 0x7f || *c == '#')
            return true;
    return false;
}

static bool has_control(const char *text) {
    for (const unsigned char *c = (const unsigned char *)text; *c; c++)
        if ((*c < ' ' && *c != '\t') || *c == 0x7f)
            return true;
    return false;
}

static ci_status check_url(const char *url, ci_error **ret_error) {
    const char *host = url ? host_of(url) : NULL;
    if (!host || *host == '\0' || strchr("/?#", *host))
        return cii_error_set(ret_error, CI_ERR_INVALID, "http", "url: must be http://HOST… or https://HOST…");
    if (memchr(host, '@', strcspn(host, "/?#")))
        return cii_error_set(ret_error, CI_ERR_INVALID, "http", "url: user and password do not belong into it");
    if (must_be_escaped(url))
        return cii_error_set(ret_error, CI_ERR_INVALID, "http", "url: has a character that must be escaped");
    return CI_OK;
}

static ci_status check_header(const cii_http_header *header, ci_error **ret_error) {
    if (!header->name || !is_token(header->name))
        return cii_error_set(ret_error, CI_ERR_INVALID, "http", "headers: not a name");
    if (!header->value || has_control(header->value))
        return cii_error_set(ret_error, CI_ERR_INVALID, "http", "header %s: has a character that it must not",
                             header->name);
    if (strcasecmp(header->name, "Content-Length") == 0 || strcasecmp(header->name, "Transfer-Encoding") == 0)
        return cii_error_set(ret_error, CI_ERR_INVALID, "http", "header %s: follows from the body", header->name);
    return CI_OK;
}

ci_status cii_http_check_request(const cii_http_request *request, ci_error **ret_error) {
    if (!request->method || !is_token(request->method))
        return cii_error_set(ret_error, CI_ERR_INVALID, "http", "method: missing or not one");
    ci_status status = check_url(request->url, ret_error);
    for (size_t i = 0; i < request->header_count && status == CI_OK; i++)
        status = check_header(&request->headers[i], ret_error);
    if (status < 0)
        return status;
    if (request->body_bytes > 0 && !request->body && !request->read)
        return cii_error_set(ret_error, CI_ERR_INVALID, "http", "body: missing");
    if (request->body_bytes > INT64_MAX)
        return cii_error_set(ret_error, CI_ERR_INVALID, "http", "body_bytes: too large");
    return CI_OK;
}

/* --- errors ------------------------------------------------------------------------------------------------------- */

/* "PUT https://host:443: text"; where prepare() has not yet said what and where, the text alone. */
static ci_error *make(const cii_http_exchange *x, const ci_error_fields *fields) {
    const cii_http_request *request = &x->plan.request;
    const char *host = request->method && request->url ? host_of(request->url) : NULL;
    int origin = host ? (int)(host - request->url + (ptrdiff_t)strcspn(host, "/?#")) : 0;
    _cleanup_free_ char *message =
        host ? cii_str_printf("%s %.*s: %s", request->method, origin, request->url, fields->message)
             : strdup(fields->message);
    ci_error_fields all = *fields;
    ci_error *error = NULL;
    all.struct_size = sizeof all;
    all.domain = "http";
    all.message = message;
    if (message)
        ci_error_make(&all, &error);
    else
        cii_error_nomem(&error);
    return error;
}

#define TLS_HINT "name the file with the authority that signed it as ca_file, if you trust it"
#define NAME_HINT "see whether the name is right and this machine's name server answers"

/* What libcurl's codes mean here; what is not in the table cannot be helped. detail: with libcurl's own words. */
static const struct failure {
    CURLcode code;
    ci_status status;
    bool retryable;
    bool detail;
    const char *text;
    const char *hint;
} failures[] = {
    {CURLE_COULDNT_RESOLVE_HOST, CI_ERR_IO, true, false, "there is no address for this name", NAME_HINT},
    {CURLE_COULDNT_RESOLVE_PROXY, CI_ERR_IO, true, false, "there is no address for the proxy's name", NAME_HINT},
    {CURLE_COULDNT_CONNECT, CI_ERR_IO, true, false, "no connection", "see whether the server runs and can be reached"},
    {CURLE_PROXY, CI_ERR_IO, true, false, "the proxy does not connect", "see whether the proxy is right"},
    {CURLE_OPERATION_TIMEDOUT, CI_ERR_TIMEOUT, true, false, "no connection in time", NULL},
    {CURLE_SEND_ERROR, CI_ERR_IO, true, false, "the connection broke while the request was sent", NULL},
    {CURLE_RECV_ERROR, CI_ERR_IO, true, false, "the connection broke before the answer was whole", NULL},
    {CURLE_GOT_NOTHING, CI_ERR_IO, true, false, "the connection was closed without an answer", NULL},
    {CURLE_PARTIAL_FILE, CI_ERR_IO, true, false, "the connection was closed before the answer was whole", NULL},
    {CURLE_SEND_FAIL_REWIND, CI_ERR_IO, true, false, "the connection broke, and the body cannot be sent again", NULL},
    {CURLE_SSL_CONNECT_ERROR, CI_ERR_IO, true, true, "no TLS connection", NULL},
    {CURLE_PEER_FAILED_VERIFICATION, CI_ERR_PERMISSION, false, true, "its certificate is not trusted", TLS_HINT},
    {CURLE_SSL_ISSUER_ERROR, CI_ERR_PERMISSION, false, true, "its certificate is not trusted", TLS_HINT},
    {CURLE_SSL_CACERT_BADFILE, CI_ERR_INVALID, false, false, "ca_file cannot be read", "it must be a PEM file"},
    {CURLE_URL_MALFORMAT, CI_ERR_INVALID, false, false, "this is no URL", NULL},
    {CURLE_UNSUPPORTED_PROTOCOL, CI_ERR_PROTOCOL, false, false, "the answer is not HTTP/1.1", NULL},
    {CURLE_WEIRD_SERVER_REPLY, CI_ERR_PROTOCOL, false, false, "the answer is not HTTP/1.1", NULL},
    {CURLE_BAD_CONTENT_ENCODING, CI_ERR_PROTOCOL, false, false, "the answer's body is not encoded as it says", NULL},
};

static const struct failure *find(CURLcode code) {
    for (size_t i = 0; i < CII_ELEMENTS(failures); i++)
        if (failures[i].code == code)
            return &failures[i];
    return NULL;
}

ci_error *cii_http_failure(const cii_http_exchange *x, CURLcode code) {
    ci_error *error = NULL;
    const struct failure *f = find(code);
    if (code == CURLE_OUT_OF_MEMORY) {
        cii_error_nomem(&error);
        return error;
    }
    if (!f)
        return make(x, &(ci_error_fields){.message = cii_curl.easy_strerror(code), .status = CI_ERR_IO});
    long number = 0;
    char text[CURL_ERROR_SIZE + 64], reason[128];
    if (code == CURLE_COULDNT_CONNECT)
        cii_curl.easy_getinfo(x->easy, CURLINFO_OS_ERRNO, &number);
    const char *more = number ? strerror_r((int)number, reason, sizeof reason) : f->detail ? x->curl_text : "";
    snprintf(text, sizeof text, "%s%s%s", f->text, *more ? ": " : "", more);
    return make(x, &(ci_error_fields){.message = text,
                                      .hint = f->hint,
                                      .status = f->status,
                                      .error_number = (int32_t)number,
                                      .retryable = f->retryable});
}

static ci_error *timeout(const cii_http_exchange *x, const char *what, unsigned long long ms) {
    char text[96];
    snprintf(text, sizeof text, "%s in %llu ms", what, ms);
    return make(x, &(ci_error_fields){.message = text, .status = CI_ERR_TIMEOUT, .retryable = 1});
}

ci_error *cii_http_stalled(const cii_http_exchange *x) {
    return timeout(x, "no byte", cii_exchange_idle_ms(x));
}

ci_error *cii_http_overdue(const cii_http_exchange *x) {
    return timeout(x, "not done", (unsigned long long)x->plan.timeout_ms);
}

static ci_status status_of(int32_t http_status) {
    switch (http_status) {
    case 401:
    case 403:
    case 407:
        return CI_ERR_PERMISSION;
    case 404:
    case 410:
        return CI_ERR_NOTFOUND;
    case 304:
    case 409:
    case 412:
        return CI_ERR_CONDITION;
    case 413:
    case 507:
        return CI_ERR_LIMIT;
    case 429:
    case 503:
        return CI_ERR_BUSY;
    case 408:
    case 504:
        return CI_ERR_TIMEOUT;
    case 405:
    case 501:
        return CI_ERR_NOTSUP;
    default:
        return http_status >= 400 && http_status < 500 ? CI_ERR_INVALID : CI_ERR_IO;
    }
}

ci_error *cii_http_refused(const cii_http_exchange *x) {
    char text[64], hint[96];
    int32_t status = x->response.status;
    const char *after = cii_http_header_value(&x->response, "retry-after");
    int64_t after_ms = cii_retry_after_ms(after, cii_http_header_value(&x->response, "date"), 0);
    snprintf(text, sizeof text, "the server answered with status %d", (int)status);
    snprintf(hint, sizeof hint, "the server asks to try again in %lld s", (long long)(after_ms / 1000));
    return make(x, &(ci_error_fields){.message = text,
                                      .hint = after_ms > 0                    ? hint
                                              : status >= 300 && status < 400 ? "redirects are not followed"
                                                                              : NULL,
                                      .status = status_of(status),
                                      .http_status = status,
                                      .retryable = cii_retry_status(status)});
}
