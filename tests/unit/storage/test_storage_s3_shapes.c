/* Requests of every shape (s3_shapes.c), made with lib/aws and lib/net alone, to the real server that CI_TEST_S3 names: over
 * http and TLS, with the bucket in the path and in the host's name, where the server has that. */
#include "../unit.h"

#include <ctype.h>
#include <openssl/evp.h>
#include <poll.h>
#include <time.h>

#include "aws/xml.h"
#include "base/base64.h"
#include "base/str.h"
#include "net/http.h"
#include "os/fd.h"
#include "s3_shapes.h"

#define BUCKET "ci-shapes"
#define PATIENCE_MS 60000
#define SKEW_S 1200
#define TOKEN "a+token/of=some%length"

/* Where requests go. */
typedef struct way {
    const char *scheme;
    char host[80];
    bool is_virtual;
} way;

/* --- one request -------------------------------------------------------------------------------------------------- */

static cii_http_pool *pool;
static unsigned request_count;

typedef struct reply {
    int status;
    cii_buf body, headers; /* headers: "name: value\n", as they came */
} reply;

static void reply_free(reply *r) {
    cii_buf_free(&r->body);
    cii_buf_free(&r->headers);
}
#define _cleanup_reply_ _cleanup_(reply_free)

static void send_it(const cii_http_request *request, reply *ret_reply) {
    cii_http_lane *lane = NULL;
    cii_http_exchange *x = NULL;
    cii_http_header header;
    ci_error *error = NULL;
    const cii_http_plan plan = {.request = *request, .body_max = 1 << 20, .timeout_ms = PATIENCE_MS};
    assert_int_equal(cii_http_lane_take(pool, &lane, NULL), CI_OK);
    if (cii_http_exchange_start(lane, &plan, &x, &error) < 0)
        fail_msg("%s", ci_error_message(error));
    int32_t done;
    while (cii_http_lane_process(lane, NULL) == CI_OK && (done = cii_http_exchange_result(x, &error)) == 0)
        cii_fd_wait(cii_http_lane_fd(lane), POLLIN, PATIENCE_MS);
    const cii_http_response *response = cii_http_exchange_response(x);
    if (response->status == 0)
        fail_msg("%s %s: %s", request->method, request->url, ci_error_message(error));
    ci_error_free(error);
    reply_free(ret_reply);
    *ret_reply = (reply){.status = response->status};
    cii_buf_append(&ret_reply->body, response->body, response->body_bytes);
    cii_buf_append_str(&ret_reply->headers, "");
    for (size_t at = 0; cii_http_header_next(response, &at, &header);)
        cii_buf_printf(&ret_reply->headers, "%s: %s\n", header.name, header.value);
    cii_http_exchange_free(x);
    cii_http_lane_give(lane);
    request_count++;
}

/* --- signed ------------------------------------------------------------------------------------------------------- */

static bool is_presigned(shape_way kind) {
    return kind == SHAPE_PRESIGNED || kind == SHAPE_PRESIGNED_TOKEN || kind >= SHAPE_PRESIGNED_WRONG_SECRET;
}

static size_t count_pairs(const cii_aws_pair *pairs, size_t max) {
    size_t count = 0;
    while (count < max && pairs[count].name)
        count++;
    return count;
}

static int64_t time_of(shape_way kind) {
    int64_t now_s = (int64_t)time(NULL);
    return kind == SHAPE_EARLY || kind == SHAPE_PRESIGNED_LATE ? now_s - SKEW_S
           : kind == SHAPE_LATE                                ? now_s + SKEW_S
                                                               : now_s;
}

static void sign(const shape *s, const cii_sigv4_request *request, cii_sigv4_signed *ret_signed) {
    _cleanup_sigv4_ cii_sigv4 *signer = NULL;
    const shape_way kind = s->way;
    const bool wrong_secret = kind == SHAPE_WRONG_SECRET || kind == SHAPE_PRESIGNED_WRONG_SECRET;
    const bool has_token = kind == SHAPE_TOKEN || kind == SHAPE_PRESIGNED_TOKEN;
    const cii_aws_keys keys = {.id = kind == SHAPE_WRONG_ID ? "NOBODYSKEY" : getenv("AWS_ACCESS_KEY_ID"),
                               .secret = wrong_secret ? "another-secret" : getenv("AWS_SECRET_ACCESS_KEY"),
                               .token = has_token ? TOKEN : NULL};
    const char *region = kind == SHAPE_WRONG_REGION ? "eu-north-1" : "us-east-1";
    ci_error *error = NULL;
    assert_int_equal(cii_sigv4_new(region, "s3", CII_SIGV4_S3, &signer, NULL), CI_OK);
    ci_status status = is_presigned(kind)
                           ? cii_sigv4_presign(signer, request, &keys, time_of(kind), 60, ret_signed, &error)
                           : cii_sigv4_sign(signer, request, &keys, time_of(kind), ret_signed, &error);
    if (status < 0)
        fail_msg("%s: %s", s->name, ci_error_message(error));
}

/* The target that is sent: what was signed, but where the shape is that it differs. */
static char *target_of(const shape *s, const cii_sigv4_signed *made) {
    const size_t path = strcspn(made->target, "?");
    if (s->way == SHAPE_WRONG_KEY || s->way == SHAPE_PRESIGNED_WRONG_KEY)
        return cii_str_printf("%.*sx%s", (int)path, made->target, made->target + path);
    if (s->way == SHAPE_WRONG_QUERY)
        return cii_str_printf("%s%smax-keys=1", made->target, made->target[path] ? "&" : "?");
    return strdup(made->target);
}

/* Sends a shape whose values are final; `key` may have NULs nowhere. */
static void ask(const way *w, const shape *s, reply *ret_reply) {
    _cleanup_signed_ cii_sigv4_signed made = {0};
    _cleanup_free_ char *path = cii_str_printf("%s/%s", w->is_virtual ? "" : "/" BUCKET, s->key ? s->key : "");
    _cleanup_free_ char *host = cii_str_printf("%s%s", w->is_virtual ? BUCKET "." : "", w->host);
    cii_aws_pair headers[CII_ELEMENTS(s->headers)];
    cii_http_header sent[CII_ELEMENTS(s->headers) + CII_ELEMENTS(made.headers)];
    const char *body = s->body ? s->body : "";
    char hash[65];
    memcpy(headers, s->headers, sizeof headers);
    if (!w->is_virtual && !s->key) /* "/BUCKET" */
        path[strlen(path) - 1] = '\0';
    cii_sigv4_hash(body, strlen(body), hash);
    cii_sigv4_request request = {.method = s->way == SHAPE_WRONG_METHOD ? "POST" : s->method,
                                 .host = host,
                                 .path = path,
                                 .path_size = strlen(path),
                                 .query = s->query,
                                 .query_count = count_pairs(s->query, CII_ELEMENTS(s->query)),
                                 .headers = headers,
                                 .header_count = count_pairs(headers, CII_ELEMENTS(headers)),
                                 .payload_hash = s->way == SHAPE_UNSIGNED_BODY ? CII_SIGV4_UNSIGNED_PAYLOAD
                                                 : s->body                     ? hash
                                                                               : NULL};
    if (is_presigned(s->way))
        request.payload_hash = NULL;
    sign(s, &request, &made);
    if (s->way == SHAPE_WRONG_HEADER)
        headers[0].value = "another";
    size_t count = 0;
    for (size_t i = 0; i < request.header_count; i++)
        sent[count++] = (cii_http_header){headers[i].name, headers[i].value};
    for (size_t i = 0; i < made.header_count; i++)
        if (s->way != SHAPE_NOBODY || strcasecmp(made.headers[i].name, "authorization") != 0)
            sent[count++] = (cii_http_header){made.headers[i].name, made.headers[i].value};
    _cleanup_free_ char *target = target_of(s, &made);
    _cleanup_free_ char *url = cii_str_printf("%s://%s%s", w->scheme, host, target);
    if (s->way == SHAPE_WRONG_BODY)
        body = "0123456780";
    send_it(&(cii_http_request){.method = s->method,
                                .url = url,
                                .headers = sent,
                                .header_count = count,
                                .body = s->body ? body : NULL,
                                .body_bytes = s->body ? strlen(body) : 0},
            ret_reply);
}

/* --- listings ----------------------------------------------------------------------------------------------------- */

static int hex_digit(char c) {
    return isdigit((unsigned char)c) ? c - '0' : tolower((unsigned char)c) - 'a' + 10;
}

static void append_decoded(cii_buf *to, const char *text) {
    for (; *text; text++) {
        char c = *text == '+' ? ' ' : *text;
        if (*text == '%' && isxdigit((unsigned char)text[1]) && isxdigit((unsigned char)text[2])) {
            c = (char)(hex_digit(text[1]) * 16 + hex_digit(text[2]));
            text += 2;
        }
        cii_buf_append(to, &c, 1);
    }
}

typedef struct listing {
    cii_buf keys, prefixes; /* each with a "|" after it */
} listing;

static ci_status add_row(void *user, const cii_xml_row *row, ci_error **ret_error) {
    (void)ret_error;
    listing *l = user;
    bool is_key = strcmp(row->name, "Contents") == 0;
    if (!is_key && strcmp(row->name, "CommonPrefixes") != 0)
        return CI_OK;
    cii_buf *to = is_key ? &l->keys : &l->prefixes;
    append_decoded(to, cii_xml_row_text(row, is_key ? "Key" : "Prefix"));
    return cii_buf_append_str(to, "|");
}

/* Of a listing with encoding-type=url: its keys, and then its common prefixes, wherever a server puts them. */
static char *keys_of(const reply *r) {
    _cleanup_xml_ cii_xml *xml = NULL;
    listing l = {0};
    assert_int_equal(cii_xml_new(add_row, &l, &xml, NULL), CI_OK);
    if (cii_xml_feed(xml, r->body.data, r->body.size, NULL) < 0 || cii_xml_end(xml, NULL) < 0)
        fail_msg("a listing is no XML: %s", r->body.data);
    cii_buf_append(&l.keys, l.prefixes.data, l.prefixes.size);
    cii_buf_free(&l.prefixes);
    return cii_buf_take(&l.keys, NULL);
}

/* --- what is wanted ----------------------------------------------------------------------------------------------- */

static bool is_swift(void) {
    return strcmp(getenv("CI_TEST_S3"), "swift") == 0;
}

static bool has_header(const reply *r, const char *line) {
    size_t name = strcspn(line, ":"), size = strlen(line);
    for (const char *at = r->headers.data; *at; at += strcspn(at, "\n") + 1)
        if (strncasecmp(at, line, name) == 0 && strncmp(at + name, line + name, size - name) == 0 && at[size] == '\n')
            return true;
    return false;
}

static bool has(const reply *r, const char *wanted) {
    const char *body = r->body.data ? r->body.data : "";
    if (!wanted)
        return true;
    if (*wanted == '=')
        return strcmp(body, wanted + 1) == 0;
    if (*wanted == '~')
        return has_header(r, wanted + 1);
    if (!cii_str_starts(wanted, "keys "))
        return strstr(body, wanted);
    _cleanup_free_ char *keys = r->status == 200 ? keys_of(r) : strdup("");
    return strcmp(keys, wanted + 5) == 0;
}

static unsigned faults;

static void expect(const way *w, const char *name, const reply *r, int status, const char *wanted) {
    if (r->status == status && has(r, wanted))
        return;
    faults++;
    print_error("%s://%s%s, %s: %d instead of %d%s%s\n%s%.600s\n", w->scheme, w->is_virtual ? BUCKET "." : "", w->host,
                name, r->status, status, wanted ? " with " : "", wanted ? wanted : "", r->headers.data,
                r->body.data ? r->body.data : "");
}

static void ask_for(const way *w, const shape *s, int status, const char *wanted) {
    _cleanup_reply_ reply r = {0};
    ask(w, s, &r);
    expect(w, s->name, &r, status, wanted);
}

static void forget_all(const way *w) {
    static const shape list = {.name = "list", .method = "GET", .query = {{"encoding-type", "url"}}};
    _cleanup_reply_ reply r = {0};
    ask(w, &list, &r);
    expect(w, list.name, &r, 200, NULL);
    _cleanup_free_ char *keys = keys_of(&r);
    for (char *key = keys, *end; *key; key = end + 1) {
        end = strchr(key, '|');
        *end = '\0';
        ask_for(w, &(shape){.name = "clean up", .method = "DELETE", .key = key}, 204, NULL);
    }
}

/* --- keys --------------------------------------------------------------------------------------------------------- */

static int compare(const void *a, const void *b) {
    return strcmp(((const shape_key *)a)->key, ((const shape_key *)b)->key);
}

/* All keys, in order of their bytes. */
static char *all_keys(void) {
    cii_buf all = {0};
    shape_key *sorted = calloc(shape_key_count, sizeof *sorted);
    memcpy(sorted, shape_keys, shape_key_count * sizeof *sorted);
    qsort(sorted, shape_key_count, sizeof *sorted, compare);
    cii_buf_append_str(&all, "keys ");
    for (size_t i = 0; i < shape_key_count; i++)
        cii_buf_printf(&all, "%s|", sorted[i].key);
    free(sorted);
    return cii_buf_take(&all, NULL);
}

/* The object's content is its key: what lands at another's place is seen there. */
static bool has_control(const char *text) {
    while (*text && !iscntrl((unsigned char)*text))
        text++;
    return *text;
}

static void see_key(const way *w, const char *name, const char *key) {
    _cleanup_free_ char *content = cii_str_printf("=%s", key);
    _cleanup_free_ char *length = cii_str_printf("~Content-Length: %zu", strlen(key));
    _cleanup_buf_ cii_buf source = {0};
    cii_buf_append_str(&source, "/" BUCKET "/");
    cii_sigv4_encode(&source, key, strlen(key), true);
    ask_for(w, &(shape){.name = name, .method = "GET", .key = key}, 200, content);
    ask_for(w, &(shape){.name = name, .method = "HEAD", .key = key}, 200, length);
    const shape list = {.name = name,
                        .method = "GET",
                        .query = {{"list-type", "2"}, {"encoding-type", "url"}, {"prefix", key}, {"max-keys", "1"}}};
    /* radosgw repeats the prefix as it is, which is no XML if it has a control byte. */
    _cleanup_free_ char *only = has_control(key) ? strdup("<KeyCount>1</KeyCount>") : cii_str_printf("keys %s|", key);
    ask_for(w, &list, 200, only);
    ask_for(w, &(shape){.name = name, .method = "PUT", .key = "{copy", .headers = {{"x-amz-copy-source", source.data}}},
            200, NULL);
    ask_for(w, &(shape){.name = name, .method = "GET", .key = "{copy"}, 200, content);
    ask_for(w, &(shape){.name = name, .method = "DELETE", .key = "{copy"}, 204, NULL);
}

static void keys_come_back(const way *w) {
    const shape_key *end = shape_keys + shape_key_count;
    for (const shape_key *k = shape_keys; k < end; k++)
        ask_for(w, &(shape){.name = k->name, .method = "PUT", .key = k->key, .body = k->key}, 200, NULL);
    _cleanup_free_ char *all = all_keys();
    ask_for(w, &(shape){.name = "every key", .method = "GET", .query = {{"encoding-type", "url"}}}, 200, all);
    for (const shape_key *k = shape_keys; k < end; k++)
        see_key(w, k->name, k->key);
    for (const shape_key *k = shape_keys; k < end; k++) {
        ask_for(w, &(shape){.name = k->name, .method = "DELETE", .key = k->key}, 204, NULL);
        ask_for(w, &(shape){.name = k->name, .method = "HEAD", .key = k->key}, 404, NULL);
    }
}

/* --- the table ---------------------------------------------------------------------------------------------------- */

typedef struct kept {
    char name[32], value[1024];
} kept;
static kept keeps[16];
static size_t keep_count;

static void keep(const char *name, const reply *r) {
    kept *k = &keeps[keep_count++];
    const char *text = NULL;
    _cleanup_xml_ cii_xml *xml = NULL;
    assert_true(keep_count <= CII_ELEMENTS(keeps));
    assert_int_equal(cii_xml_new(NULL, NULL, &xml, NULL), CI_OK);
    if (r->body.size > 0 && cii_xml_feed(xml, r->body.data, r->body.size, NULL) == CI_OK)
        text = cii_xml_text(xml, name);
    for (const char *at = r->headers.data; !text && *at; at += strcspn(at, "\n") + 1)
        if (strncasecmp(at, name, strlen(name)) == 0 && at[strlen(name)] == ':')
            text = at + strlen(name) + 2;
    snprintf(k->name, sizeof k->name, "%s", name);
    snprintf(k->value, sizeof k->value, "%.*s", text ? (int)strcspn(text, "\n") : 4, text ? text : "none");
}

static void append_kept(cii_buf *to, const char *name, size_t size) {
    for (size_t i = keep_count; i-- > 0;)
        if (strlen(keeps[i].name) == size && strncmp(keeps[i].name, name, size) == 0) {
            cii_buf_append_str(to, keeps[i].value);
            return;
        }
    fail_msg("nothing is kept as %.*s", (int)size, name);
}

static void append_md5(cii_buf *to, const char *body) {
    unsigned char md5[16];
    assert_int_equal(EVP_Digest(body, strlen(body), md5, NULL, EVP_md5(), NULL), 1);
    cii_base64_encode(to, md5, sizeof md5);
}

/* {NAME}s in their place; other braces are themselves. */
static char *filled(const char *text, const char *body) {
    cii_buf to = {0};
    if (!text)
        return NULL;
    cii_buf_append_str(&to, "");
    while (*text) {
        size_t size = 1;
        while (*text == '{' && (isalnum((unsigned char)text[size])))
            size++;
        if (size == 1 || text[size] != '}') {
            cii_buf_append(&to, text++, 1);
            continue;
        }
        if (strncmp(text, "{md5}", 5) == 0)
            append_md5(&to, body);
        else if (strncmp(text, "{bucket}", 8) == 0)
            cii_buf_append_str(&to, BUCKET);
        else
            append_kept(&to, text + 1, size - 1);
        text += size + 1;
    }
    return cii_buf_take(&to, NULL);
}

static void run_shape(const way *w, const shape *row) {
    _cleanup_reply_ reply r = {0};
    shape s = *row;
    char *body = filled(row->body, NULL), *values[2 * CII_ELEMENTS(s.query)] = {0};
    size_t count = 0;
    s.body = body;
    for (size_t i = 0; i < CII_ELEMENTS(s.query); i++)
        s.query[i].value = values[count++] = filled(s.query[i].value, body);
    for (size_t i = 0; i < CII_ELEMENTS(s.headers); i++)
        s.headers[i].value = values[count++] = filled(s.headers[i].value, body);
    ask(w, &s, &r);
    const shape_answer *wanted = is_swift() && row->swift.status ? &row->swift : &row->rgw;
    expect(w, row->name, &r, wanted->status, wanted->has);
    if (row->keep)
        keep(row->keep, &r);
    while (count > 0)
        free(values[--count]);
    free(body);
}

/* --- ways --------------------------------------------------------------------------------------------------------- */

static bool find_way(bool is_tls, bool is_virtual, way *ret_way) {
    const char *url = getenv(is_tls ? "CI_TEST_S3_TLS" : "AWS_ENDPOINT_URL_S3"), *domain = getenv("CI_TEST_S3_DOMAIN");
    if (!*url || (is_virtual && !*domain))
        return false;
    *ret_way = (way){.scheme = is_tls ? "https" : "http", .is_virtual = is_virtual};
    const char *host = strstr(url, "://") + 3;
    if (is_virtual)
        snprintf(ret_way->host, sizeof ret_way->host, "%s%s", domain, strrchr(host, ':'));
    else
        snprintf(ret_way->host, sizeof ret_way->host, "%s", host);
    return true;
}

static void run(bool is_tls, bool is_virtual) {
    way w;
    _cleanup_reply_ reply made = {0};
    if (!find_way(is_tls, is_virtual, &w))
        skip(); /* the server has no such way */
    assert_true(shape_key_count + shape_count >= 80);
    faults = request_count = 0;
    ask(&w, &(shape){.name = "make the bucket", .method = "PUT"}, &made);
    expect(&w, "make the bucket", &made, made.status == 409 ? 409 : 200, NULL);
    assert_int_equal(faults, 0);
    forget_all(&w);
    keys_come_back(&w);
    for (size_t i = 0; i < shape_count; i++)
        run_shape(&w, &shapes[i]);
    forget_all(&w);
    keep_count = 0;
    print_message("%zu shapes, %u requests: %s://%s%s\n", shape_key_count + shape_count, request_count, w.scheme,
                  w.is_virtual ? BUCKET "." : "", w.host);
    assert_int_equal(faults, 0);
}

static void by_path(void **state) {
    (void)state;
    run(false, false);
}

static void by_path_over_tls(void **state) {
    (void)state;
    run(true, false);
}

static void by_the_hosts_name(void **state) {
    (void)state;
    run(false, true);
}

static void by_the_hosts_name_over_tls(void **state) {
    (void)state;
    run(true, true);
}

static int set_up(void **state) {
    (void)state;
    const cii_http_settings settings = {.ca_file = getenv("CI_TEST_S3_CA")};
    return cii_http_pool_new(&settings, &pool, NULL);
}

static int tear_down(void **state) {
    (void)state;
    cii_http_pool_free(pool);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(by_path),
        cmocka_unit_test(by_path_over_tls),
        cmocka_unit_test(by_the_hosts_name),
        cmocka_unit_test(by_the_hosts_name_over_tls),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
