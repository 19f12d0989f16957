/* See http.h. A request has a pool of its own: there are a few in an hour, its time-outs are its own, and no connection to
 * where keys come from is kept. What it sends and gets is copied once and wiped. */
#include "aws/http.h"

#include "aws/secret.h"
#include "base/str.h"

struct cii_aws_http {
    char *ca_file;
    char *proxies[2]; /* for http, for https */
    char *no_proxy;
};

/* --- settings ----------------------------------------------------------------------------------------------------- */

static const char *env_of(const cii_aws_settings *settings, const char *lower, const char *upper) {
    const char *const *env = cii_aws_settings_env(settings);
    const char *value = cii_aws_env(env, lower);
    return value ? value : cii_aws_env(env, upper);
}

static bool copy(const char *text, char **ret_text) {
    *ret_text = text ? strdup(text) : NULL;
    return !text || *ret_text;
}

static bool copy_proxy(const char *proxy, char **ret_proxy) {
    if (!proxy || strstr(proxy, "://"))
        return copy(proxy, ret_proxy);
    *ret_proxy = cii_str_printf("http://%s", proxy);
    return *ret_proxy;
}

ci_status cii_aws_http_new(const cii_aws_settings *settings, const char *ca_file, const char *proxy,
                           cii_aws_http **ret_http, ci_error **ret_error) {
    cii_aws_http *http = calloc(1, sizeof *http);
    const char *bundle = cii_aws_env(cii_aws_settings_env(settings), "AWS_CA_BUNDLE");
    if (!bundle)
        bundle = cii_aws_settings_get(settings, cii_aws_settings_profile(settings), "ca_bundle");
    bool good = http && copy(ca_file ? ca_file : bundle, &http->ca_file) &&
                copy_proxy(proxy ? proxy : env_of(settings, "http_proxy", "HTTP_PROXY"), &http->proxies[0]) &&
                copy_proxy(proxy ? proxy : env_of(settings, "https_proxy", "HTTPS_PROXY"), &http->proxies[1]) &&
                copy(proxy ? NULL : env_of(settings, "no_proxy", "NO_PROXY"), &http->no_proxy);
    if (!good) {
        cii_aws_http_free(http);
        return cii_error_nomem(ret_error);
    }
    *ret_http = http;
    return CI_OK;
}

void cii_aws_http_free(cii_aws_http *http) {
    if (!http)
        return;
    free(http->ca_file);
    cii_secret_free(http->proxies[0]); /* a password may be in it */
    cii_secret_free(http->proxies[1]);
    free(http->no_proxy);
    free(http);
}

cii_http_settings cii_aws_http_settings(const cii_aws_http *http, bool is_tls) {
    return (cii_http_settings){.ca_file = http->ca_file, .proxy = http->proxies[is_tls], .no_proxy = http->no_proxy};
}

/* --- a request ---------------------------------------------------------------------------------------------------- */

typedef struct fetching {
    ci_op base;
    cii_http_pool *pool;
    cii_http_lane *lane;
    cii_http_exchange *exchange;
    cii_aws_fetch_response *response;
    size_t text_size;
    char *text; /* the request's: method, URL, names and values of headers, body, each NUL-ended */
    cii_http_header *headers;
} fetching;

static int32_t fetching_fd(ci_op *op) {
    return cii_http_lane_fd(((fetching *)op)->lane);
}

/* What was answered in vain to the last attempt is an answer too. */
static int32_t fetching_process(ci_op *op, ci_error **ret_error) {
    fetching *f = (fetching *)op;
    _cleanup_error_ ci_error *error = NULL;
    int32_t done = cii_http_lane_process(f->lane, &error);
    if (done == CI_OK)
        done = cii_http_exchange_result(f->exchange, &error);
    if (done == 0)
        return 0;
    if (done < 0 && ci_error_http_status(error) == 0) {
        if (ret_error) {
            ci_error_free(*ret_error);
            *ret_error = TAKE_PTR(error);
        }
        return done;
    }
    const cii_http_response *answer = cii_http_exchange_response(f->exchange);
    f->response->status = answer->status;
    return cii_buf_append(&f->response->body, answer->body, answer->body_bytes) < 0 ? cii_error_nomem(ret_error) : 1;
}

static void fetching_free(ci_op *op) {
    fetching *f = (fetching *)op;
    cii_http_exchange_free(f->exchange);
    cii_http_lane_give(f->lane);
    cii_http_pool_free(f->pool);
    if (f->text)
        OPENSSL_cleanse(f->text, f->text_size);
    free(f->text);
    free(f->headers);
    free(f);
}

static const ci_op_ops fetching_ops = {
    .struct_size = sizeof fetching_ops, .fd = fetching_fd, .process = fetching_process, .free = fetching_free};

static size_t text_size_of(const cii_aws_fetch_request *r) {
    size_t size = strlen(r->method) + strlen(r->url) + r->body_size + 2;
    for (size_t i = 0; i < r->header_count; i++)
        size += strlen(r->headers[i].name) + strlen(r->headers[i].value) + 2;
    return size;
}

static const char *put(char **at, const char *data, size_t size) {
    char *to = *at;
    if (size > 0)
        memcpy(to, data, size);
    *at += size;
    return to;
}

/* Copies the request; false without memory. */
static bool copy_request(fetching *f, const cii_aws_fetch_request *r, cii_http_request *ret_request) {
    f->text_size = text_size_of(r);
    f->text = malloc(f->text_size);
    f->headers = calloc(r->header_count + 1, sizeof *f->headers);
    if (!f->text || !f->headers)
        return false;
    char *at = f->text;
    for (size_t i = 0; i < r->header_count; i++) {
        f->headers[i].name = put(&at, r->headers[i].name, strlen(r->headers[i].name) + 1);
        f->headers[i].value = put(&at, r->headers[i].value, strlen(r->headers[i].value) + 1);
    }
    *ret_request = (cii_http_request){.headers = f->headers, .header_count = r->header_count};
    ret_request->method = put(&at, r->method, strlen(r->method) + 1);
    ret_request->url = put(&at, r->url, strlen(r->url) + 1);
    ret_request->body = r->body_size > 0 ? put(&at, r->body, r->body_size) : NULL;
    ret_request->body_bytes = r->body_size;
    return true;
}

/* An attempt is over that has no connection, or no byte, for as long as it may take; all of them are when their times
 * together are. */
static ci_status start(fetching *f, const cii_aws_http *http, const cii_aws_fetch_request *r, ci_error **ret_error) {
    cii_http_settings settings = cii_aws_http_settings(http, strncasecmp(r->url, "https:", 6) == 0);
    if (r->is_local)
        settings.proxy = settings.no_proxy = NULL;
    settings.connect_ms = settings.idle_ms = (uint32_t)r->timeout_ms;
    cii_http_plan plan = {.attempt_max = r->attempts,
                          .timeout_ms = r->timeout_ms * r->attempts,
                          .body_max = r->response_max,
                          .body_is_secret = true};
    if (!copy_request(f, r, &plan.request))
        return cii_error_nomem(ret_error);
    ci_status status = cii_http_pool_new(&settings, &f->pool, ret_error);
    if (status == CI_OK)
        status = cii_http_lane_take(f->pool, &f->lane, ret_error);
    return status < 0 ? status : cii_http_exchange_start(f->lane, &plan, &f->exchange, ret_error);
}

ci_status cii_aws_http_fetch(void *user, const cii_aws_fetch_request *request, cii_aws_fetch_response *response,
                             ci_op **ret_op, ci_error **ret_error) {
    fetching *f = calloc(1, sizeof *f);
    if (!f)
        return cii_error_nomem(ret_error);
    f->base.ops = &fetching_ops;
    f->response = response;
    ci_status status = start(f, user, request, ret_error);
    if (status < 0)
        fetching_free(&f->base);
    else
        *ret_op = &f->base;
    return status;
}
