/* One attempt as curl sees it: options, and the callbacks that move bytes. What never changes is set when the handle is
 * made; the rest is set for every attempt, so that nothing is left of the one before. */
#include "net/lane.h"

#define HEADERS_MAX (64u << 10) /* bytes of an answer's headers */
#define CHUNK (64L << 10)

/* --- the body of the request -------------------------------------------------------------------------------------- */

static size_t read_bytes(cii_http_exchange *x, char *buffer, size_t size) {
    const cii_http_request *request = &x->plan.request;
    memcpy(buffer, (const char *)request->body + x->read_bytes, size);
    x->read_bytes += size;
    return size;
}

static size_t on_read(char *buffer, size_t size, size_t count, void *user) {
    cii_http_exchange *x = user;
    const cii_http_request *request = &x->plan.request;
    size = (size_t)CII_MIN((uint64_t)size * count, request->body_bytes - x->read_bytes);
    if (size == 0 || request->body)
        return size == 0 ? 0 : read_bytes(x, buffer, size);
    int64_t got = request->read(x->plan.user, buffer, size);
    if (got == CI_IO_PAUSE) {
        x->paused = x->was_paused = true;
        return CURL_READFUNC_PAUSE;
    }
    if (got > 0 && (uint64_t)got <= size) {
        x->read_bytes += (uint64_t)got;
        return (size_t)got;
    }
    if (got == 0)
        x->stopped =
            cii_error_set(&x->stop_error, CI_ERR_INVALID, "http", "%s: the body ended after %llu of %llu bytes",
                          request->method, (unsigned long long)x->read_bytes, (unsigned long long)request->body_bytes);
    else
        x->stopped = cii_error_set(&x->stop_error, CI_ERR_CANCELLED, "http", "%s: the body's source asked to stop",
                                   request->method);
    return CURL_READFUNC_ABORT;
}

ci_status cii_transfer_rewind(cii_http_exchange *x) {
    const cii_http_request *request = &x->plan.request;
    if (x->read_bytes > 0 && request->read && (!request->rewind || request->rewind(x->plan.user) != 0))
        return CI_ERR_NOTSUP;
    x->read_bytes = 0;
    return CI_OK;
}

/* curl repeats by itself what a kept connection did not survive. */
static int on_seek(void *user, curl_off_t offset, int origin) {
    cii_http_exchange *x = user;
    if (x->plan.once || offset != 0 || origin != SEEK_SET || cii_transfer_rewind(x) < 0)
        return CURL_SEEKFUNC_FAIL;
    return CURL_SEEKFUNC_OK;
}

/* --- the answer --------------------------------------------------------------------------------------------------- */

static bool is_success(int32_t status) {
    return status >= 200 && status <= 299;
}

static ci_status add_header(cii_http_exchange *x, const char *line, size_t size) {
    const char *colon = memchr(line, ':', size);
    if (!colon || colon == line)
        return CI_OK;
    const char *value = colon + 1, *end = line + size;
    while (value < end && (*value == ' ' || *value == '\t'))
        value++;
    while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    if (memchr(line, '\0', size))
        return CI_ERR_PROTOCOL;
    ci_status status = cii_buf_append(&x->headers, line, (size_t)(colon - line));
    if (status == CI_OK)
        status = cii_buf_append(&x->headers, "", 1);
    if (status == CI_OK)
        status = cii_buf_append(&x->headers, value, (size_t)(end - value));
    return status == CI_OK ? cii_buf_append(&x->headers, "", 1) : status;
}

static ci_status end_head(cii_http_exchange *x) {
    x->response.headers = x->headers.data ? x->headers.data : "";
    x->response.headers_bytes = x->headers.size;
    if (x->response.status < 200) /* another head follows */
        return CI_OK;
    x->head_done = true;
    if (!is_success(x->response.status) || !x->plan.head)
        return CI_OK;
    ci_status status = x->plan.head(x->plan.user, &x->response, &x->stop_error);
    if (status < 0 && !x->stop_error)
        cii_error_set(&x->stop_error, status, "http", "%s: the answer is not wanted", x->plan.request.method);
    return status;
}

static ci_status take_line(cii_http_exchange *x, const char *line, size_t size) {
    if (x->head_done) /* trailers */
        return CI_OK;
    while (size > 0 && (line[size - 1] == '\r' || line[size - 1] == '\n'))
        size--;
    if (size == 0)
        return end_head(x);
    if (size >= 12 && strncasecmp(line, "HTTP/", 5) == 0) {
        const char *space = memchr(line, ' ', size);
        x->response.status = space ? (int32_t)strtol(space, NULL, 10) : 0;
        cii_buf_clear(&x->headers);
        return CI_OK;
    }
    return add_header(x, line, size);
}

static size_t on_header(char *line, size_t size, size_t count, void *user) {
    cii_http_exchange *x = user;
    ci_status status = take_line(x, line, size * count);
    if (status >= 0)
        return size * count;
    x->stopped = status;
    const char *method = x->plan.request.method;
    if (x->stop_error)
        return 0;
    if (status == CI_ERR_NOMEM)
        cii_error_nomem(&x->stop_error);
    else if (status == CI_ERR_LIMIT)
        cii_error_set(&x->stop_error, status, "http", "%s: the answer has more than %u bytes of headers", method,
                      HEADERS_MAX);
    else
        cii_error_set(&x->stop_error, status, "http", "%s: the answer has a header that cannot be", method);
    return 0;
}

static ci_status keep(cii_http_exchange *x, const char *data, size_t size) {
    bool success = is_success(x->response.status);
    size_t room = x->body.max - x->body.size;
    if (size > room && success)
        return cii_error_set(&x->stop_error, CI_ERR_LIMIT, "http", "%s: the answer is larger than %zu bytes",
                             x->plan.request.method, x->body.max);
    x->response.body_cut |= size > room;
    ci_status status = cii_buf_append(&x->body, data, CII_MIN(size, room));
    return status < 0 ? cii_error_nomem(&x->stop_error) : CI_OK;
}

static size_t on_body(char *data, size_t size, size_t count, void *user) {
    cii_http_exchange *x = user;
    size *= count;
    if (!x->plan.write || !is_success(x->response.status)) {
        x->stopped = keep(x, data, size);
        return x->stopped < 0 ? 0 : size;
    }
    int32_t taken = x->plan.write(x->plan.user, data, size);
    if (taken == CI_IO_PAUSE) {
        x->paused = x->was_paused = true;
        return CURL_WRITEFUNC_PAUSE;
    }
    if (taken != 0) {
        x->stopped = cii_error_set(&x->stop_error, CI_ERR_CANCELLED, "http", "%s: the receiver asked to stop",
                                   x->plan.request.method);
        return 0;
    }
    x->response.taken_bytes += size;
    return size;
}

/* --- the handle --------------------------------------------------------------------------------------------------- */

#define SET(option, value) (code = code ? code : cii_curl.easy_setopt(easy, (option), (value)))

static CURLcode set_callbacks(CURL *easy, cii_http_exchange *x) {
    CURLcode code = CURLE_OK;
    SET(CURLOPT_PRIVATE, x);
    SET(CURLOPT_READFUNCTION, on_read);
    SET(CURLOPT_READDATA, x);
    SET(CURLOPT_SEEKFUNCTION, on_seek);
    SET(CURLOPT_SEEKDATA, x);
    SET(CURLOPT_HEADERFUNCTION, on_header);
    SET(CURLOPT_HEADERDATA, x);
    SET(CURLOPT_WRITEFUNCTION, on_body);
    SET(CURLOPT_WRITEDATA, x);
    SET(CURLOPT_OPENSOCKETFUNCTION, cii_lane_open_socket);
    SET(CURLOPT_OPENSOCKETDATA, x->lane);
    SET(CURLOPT_CLOSESOCKETFUNCTION, cii_lane_close_socket);
    SET(CURLOPT_CLOSESOCKETDATA, x->lane);
    SET(CURLOPT_ERRORBUFFER, x->curl_text);
    return code;
}

static CURLcode set_protocol(CURL *easy) {
    CURLcode code = CURLE_OK;
#if LIBCURL_VERSION_NUM >= 0x075500
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
#else
    SET(CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
#if LIBCURL_VERSION_NUM >= 0x075700
    SET(CURLOPT_QUICK_EXIT, 1L); /* a transfer that is given up does not wait for the resolver's thread */
#endif
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    SET(CURLOPT_PATH_AS_IS, 1L);
    SET(CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
    SET(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_BUFFERSIZE, CHUNK);
    SET(CURLOPT_UPLOAD_BUFFERSIZE, CHUNK);
    return code;
}

static CURLcode set_settings(CURL *easy, const cii_http_settings *settings) {
    CURLcode code = CURLE_OK;
    if (settings->ca_file) {
        SET(CURLOPT_CAINFO, settings->ca_file);
        SET(CURLOPT_CAPATH, NULL);
        SET(CURLOPT_PROXY_CAINFO, settings->ca_file);
        SET(CURLOPT_PROXY_CAPATH, NULL);
    }
    /* "" keeps curl from asking the environment. */
    SET(CURLOPT_PROXY, settings->proxy ? settings->proxy : "");
    SET(CURLOPT_NOPROXY, settings->no_proxy ? settings->no_proxy : "");
    SET(CURLOPT_CONNECTTIMEOUT_MS, (long)settings->connect_ms);
    SET(CURLOPT_MAXAGE_CONN, (long)CII_MAX(settings->kept_ms / 1000, 1u));
    return code;
}

CURL *cii_transfer_new(cii_http_exchange *x) {
    CURL *easy = cii_curl.easy_init();
    if (!easy || set_callbacks(easy, x) || set_protocol(easy) || set_settings(easy, &x->lane->pool->settings)) {
        cii_curl.easy_cleanup(easy);
        return NULL;
    }
    return easy;
}

/* --- an attempt --------------------------------------------------------------------------------------------------- */

static ci_status add_line(cii_buf *lines, const char *name, const char *value) {
    /* "Name;" is curl's word for a header without a value, "Name:" for none by that name. */
    ci_status status = cii_buf_append_str(lines, name);
    if (status == CI_OK)
        status = cii_buf_append_str(lines, !value ? ":" : *value ? ": " : ";");
    if (status == CI_OK && value)
        status = cii_buf_append_str(lines, value);
    return status == CI_OK ? cii_buf_append(lines, "", 1) : status;
}

static const char *const curls_own[] = {"Accept", "Content-Type", "Expect"};

/* All at once: a buffer that grows leaves its bytes behind, and a token may be among them. */
static ci_status make_room(cii_buf *lines, const cii_http_request *request) {
    size_t size = 0;
    for (size_t i = 0; i < CII_ELEMENTS(curls_own); i++)
        size += strlen(curls_own[i]) + strlen(":") + 1;
    for (size_t i = 0; i < request->header_count; i++)
        size += strlen(request->headers[i].name) + strlen(": ") + strlen(request->headers[i].value) + 1;
    cii_lane_wipe(lines);
    cii_buf_clear(lines);
    return cii_buf_reserve(lines, size, NULL);
}

static bool has_header(const cii_http_request *request, const char *name) {
    for (size_t i = 0; i < request->header_count; i++)
        if (strcasecmp(request->headers[i].name, name) == 0)
            return true;
    return false;
}

/* The list that curl reads is made of our own nodes, used again and again, and points into one buffer. */
static ci_status make_list(cii_http_exchange *x) {
    const cii_http_request *request = &x->plan.request;
    size_t count = 0, most = request->header_count + CII_ELEMENTS(curls_own);
    if (most > x->node_capacity) {
        struct curl_slist *nodes = reallocarray(x->nodes, most, sizeof *nodes);
        if (!nodes)
            return CI_ERR_NOMEM;
        x->nodes = nodes;
        x->node_capacity = most;
    }
    ci_status status = make_room(&x->lines, request);
    for (size_t i = 0; i < request->header_count && status == CI_OK; i++, count++)
        status = add_line(&x->lines, request->headers[i].name, request->headers[i].value);
    for (size_t i = 0; i < CII_ELEMENTS(curls_own) && status == CI_OK; i++) {
        if (has_header(request, curls_own[i]))
            continue;
        status = add_line(&x->lines, curls_own[i], NULL);
        count++;
    }
    char *line = x->lines.data;
    for (size_t i = 0; i < count && status == CI_OK; i++, line += strlen(line) + 1)
        x->nodes[i] = (struct curl_slist){.data = line, .next = i + 1 < count ? &x->nodes[i + 1] : NULL};
    return status;
}

static bool wants_length(const char *method) {
    return strcmp(method, "PUT") == 0 || strcmp(method, "POST") == 0 || strcmp(method, "PATCH") == 0;
}

/* Bytes that are there go out with the head, in one system call, but then curl may send them again by itself. */
static CURLcode set_body(CURL *easy, const cii_http_exchange *x) {
    CURLcode code = CURLE_OK;
    const cii_http_request *request = &x->plan.request;
    if (request->body_bytes > 0 && (!request->body || x->plan.once)) {
        SET(CURLOPT_UPLOAD, 1L);
        SET(CURLOPT_INFILESIZE_LARGE, (curl_off_t)request->body_bytes);
    } else if (request->body_bytes > 0 || wants_length(request->method)) {
        SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body_bytes);
        SET(CURLOPT_POSTFIELDS, request->body_bytes > 0 ? request->body : "");
    }
    return code;
}

static CURLcode set_attempt(CURL *easy, cii_http_exchange *x) {
    CURLcode code = CURLE_OK;
    const cii_http_request *request = &x->plan.request;
    bool head = strcmp(request->method, "HEAD") == 0;
    SET(CURLOPT_POSTFIELDS, NULL); /* else curl takes them for the body to be sent again */
    SET(CURLOPT_HTTPGET, 1L);
    code = code ? code : set_body(easy, x);
    if (head)
        SET(CURLOPT_NOBODY, 1L);
    SET(CURLOPT_CUSTOMREQUEST, head ? NULL : request->method);
    SET(CURLOPT_URL, request->url);
    SET(CURLOPT_HTTPHEADER, x->nodes);
    SET(CURLOPT_FRESH_CONNECT, (long)(x->fresh || (x->plan.once && request->body_bytes == 0)));
    return code;
}

ci_status cii_transfer_begin(cii_http_exchange *x, ci_error **ret_error) {
    ci_status status = cii_http_check_request(&x->plan.request, ret_error);
    if (status < 0)
        return status;
    x->headers.max = HEADERS_MAX;
    x->body.max = x->plan.body_max ? x->plan.body_max : 64u << 10;
    cii_buf_clear(&x->headers);
    cii_buf_clear(&x->body);
    x->response = (cii_http_response){.body = "", .headers = "", .taken_bytes = x->response.taken_bytes};
    x->head_done = x->paused = x->was_paused = false;
    x->curl_text[0] = '\0';
    x->read_bytes = 0;
    if (x->plan.body_is_secret && cii_buf_reserve(&x->body, x->body.max, NULL) < 0)
        return cii_error_nomem(ret_error);
    if (make_list(x) < 0 || cii_lane_reserve(x->lane) < 0 || set_attempt(x->easy, x) != CURLE_OK ||
        cii_curl.multi_add_handle(x->lane->multi, x->easy) != CURLM_OK)
        return cii_error_nomem(ret_error);
    x->lane->tls |= cii_http_is_tls(x->plan.request.url);
    return CI_OK;
}
