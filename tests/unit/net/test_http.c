/* Requests and answers as they should be: what is sent is what was asked for, bytes arrive once and whole, connections are
 * kept from operation to operation. */
#include "server.h"

#include <stdlib.h>

#include "base/hash.h"
#include "base/str.h"
#include "net/lane.h"

static char *sum_of_pattern(uint64_t size) {
    static char text[128];
    uint8_t digest[32];
    char hex[65];
    _cleanup_sha256_ cii_sha256 *hash = cii_sha256_new();
    pipe_end from = {.size = size};
    static unsigned char block[1 << 16];
    while (from.read < size) {
        int64_t n = read_pattern(&from, block, sizeof block);
        cii_sha256_update(hash, block, (size_t)n);
    }
    cii_sha256_final(hash, digest);
    cii_hex(digest, sizeof digest, hex);
    snprintf(text, sizeof text, "%llu %s", (unsigned long long)size, hex);
    return text;
}

static void each_method_arrives(void **state) {
    (void)state;
    static const struct {
        const char *method, *body, *answer, *length;
    } cases[] = {
        {"GET", NULL, "GET 0 e3b0c442", NULL},
        {"DELETE", NULL, "DELETE 0 e3b0c442", NULL},
        {"PUT", "abc", "PUT 3 ba7816bf", "> Content-Length: 3"},
        {"POST", "abc", "POST 3 ba7816bf", "> Content-Length: 3"},
        {"DELETE", "abc", "DELETE 3 ba7816bf", "> Content-Length: 3"},
        {"PUT", NULL, "PUT 0 e3b0c442", "> Content-Length: 0"},
        {"POST", NULL, "POST 0 e3b0c442", "> Content-Length: 0"},
        {"HEAD", NULL, "", NULL},
        {"GET", NULL, "GET 0 e3b0c442", NULL},
    };
    /* One handle for all, so that nothing may be left of the request before. */
    _cleanup_talk_ talk t = {0};
    for (size_t i = 0; i < CII_ELEMENTS(cases); i++) {
        const char *body = cases[i].body;
        t.plan.request = (cii_http_request){.method = cases[i].method,
                                            .url = URL("/m?id=m%zu", i),
                                            .body = body,
                                            .body_bytes = body ? strlen(body) : 0};
        assert_int_equal(talk_run(&t), CI_OK);
        assert_int_equal(t.response->status, 200);
        assert_memory_equal(t.response->body, cases[i].answer, strlen(cases[i].answer));
        assert_int_equal(t.response->body_bytes == 0, *cases[i].answer == '\0');
        cii_http_exchange_free(TAKE_PTR(t.exchange));
        char id[8];
        snprintf(id, sizeof id, "m%zu", i);
        assert_true(log_has(id, cases[i].length ? cases[i].length : ""));
        assert_int_equal(log_has(id, "ength"), cases[i].length != NULL);
    }
}

static void nothing_is_sent_that_was_not_asked_for(void **state) {
    (void)state;
    const cii_http_header headers[] = {{"x-amz-date", "now"}, {"X-Empty", ""}, {"Authorization", "a b, c=d;e"}};
    _cleanup_talk_ talk t = {
        .plan.request = {
            .method = "PUT", .url = URL("/only"), .headers = headers, .header_count = 3, .body = "x", .body_bytes = 1}};
    assert_int_equal(talk_run(&t), CI_OK);
    _cleanup_talk_ talk log = {.plan.request = {.method = "GET", .url = URL("/log//only")}};
    assert_int_equal(talk_run(&log), CI_OK);
    char *second = strchr(log.response->body, '\n') + 1, wanted[256];
    snprintf(
        wanted, sizeof wanted,
        "> : /only\n> Host: %s\n> x-amz-date: now\n> X-Empty: \n> Authorization: a b, c=d;e\n> Content-Length: 1\n",
        http + strlen("http://"));
    assert_string_equal(second, wanted);
}

static void headers_of_curls_own_can_be_asked_for(void **state) {
    (void)state;
    const cii_http_header headers[] = {
        {"Host", "other.example"}, {"Content-Type", "application/xml"}, {"accept", "*"}, {"Expect", "100-continue"}};
    _cleanup_talk_ talk t = {
        .plan.request = {
            .method = "POST", .url = URL("/own"), .headers = headers, .header_count = 4, .body = "x", .body_bytes = 1}};
    assert_int_equal(talk_run(&t), CI_OK);
    static const char *const wanted[] = {"> Host: other.example\n",
                                         "> Content-Type: application/xml\n",
                                         "> accept: *\n",
                                         "> Expect: 100-continue\n",
                                         "POST 1 ",
                                         " whole "};
    for (size_t i = 0; i < CII_ELEMENTS(wanted); i++)
        assert_true(log_has("/own", wanted[i]));
    assert_int_equal(log_count("/own"), 1);
}

static void urls_are_sent_as_they_are(void **state) {
    (void)state;
    static const char *const targets[] = {
        "/a/../b/./c//d/%2e%2E/x",
        "/%C3%A9+%2B%20~!$&'()*,;=:@?b=2&a=1&a&uploads=&q=%2F%3f",
        "/",
        "/..",
    };
    for (size_t i = 0; i < CII_ELEMENTS(targets); i++) {
        char id[8], line[256];
        snprintf(id, sizeof id, "u%zu", i);
        snprintf(line, sizeof line, "> : %s%cid=%s\n", targets[i], strchr(targets[i], '?') ? '&' : '?', id);
        _cleanup_talk_ talk t = {
            .plan.request = {.method = "GET", .url = URL("%.*s", (int)strlen(line) - 5, line + 4)}};
        assert_int_equal(talk_run(&t), CI_OK);
        assert_true(log_has(id, line));
    }
}

static void requests_that_cannot_be_sent_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *method, *url, *name, *value, *text;
    } cases[] = {
        {"GET", NULL, "a", "b", "url"},
        {"GET", "ftp://h/", "a", "b", "url"},
        {"GET", "http:///x", "a", "b", "url"},
        {"GET", "http://me:secret@h/", "a", "b", "user and password"},
        {"GET", "http://h/a b", "a", "b", "escaped"},
        {"GET", "http://h/a\r\nX: y", "a", "b", "escaped"},
        {"GET", "http://h/\xc3\xa9", "a", "b", "escaped"},
        {"GET", "http://h/#f", "a", "b", "escaped"},
        {"GET /", "http://h/", "a", "b", "method"},
        {NULL, "http://h/", "a", "b", "method"},
        {"GET", "http://h/", "a:", "b", "not a name"},
        {"GET", "http://h/", "", "b", "not a name"},
        {"GET", "http://h/", "a", "secret\r\nX: y", "header a"},
        {"GET", "http://h/", "a", NULL, "header a"},
        {"GET", "http://h/", "content-length", "1", "follows from the body"},
        {"GET", "http://h/", "Transfer-Encoding", "chunked", "follows from the body"},
    };
    for (size_t i = 0; i < CII_ELEMENTS(cases); i++) {
        cii_http_header header = {cases[i].name, cases[i].value};
        _cleanup_talk_ talk t = {
            .plan.request = {.method = cases[i].method, .url = cases[i].url, .headers = &header, .header_count = 1}};
        assert_int_equal(talk_start(&t), CI_ERR_INVALID);
        assert_non_null(strstr(ci_error_message(t.error), cases[i].text));
        assert_null(strstr(ci_error_message(t.error), "secret"));
    }
    _cleanup_talk_ talk bodiless = {.plan.request = {.method = "PUT", .url = "http://h/", .body_bytes = 1}};
    assert_int_equal(talk_start(&bodiless), CI_ERR_INVALID);
}

static void headers_of_the_answer_are_found_by_name_and_in_order(void **state) {
    (void)state;
    _cleanup_talk_ talk t = {
        .plan.request = {.method = "GET",
                         .url = URL("/do/header-ETag=%%22a%%22/header-X=%%20%%20y%%20/header-x=2/header-Void=")}};
    assert_int_equal(talk_run(&t), CI_OK);
    assert_string_equal(cii_http_header_value(t.response, "etag"), "\"a\"");
    assert_string_equal(cii_http_header_value(t.response, "x"), "y");
    assert_string_equal(cii_http_header_value(t.response, "void"), "");
    assert_null(cii_http_header_value(t.response, "eta"));
    cii_http_header header;
    size_t at = 0, count = 0;
    while (cii_http_header_next(t.response, &at, &header))
        count++;
    assert_int_equal(count, 5);
    assert_string_equal(header.name, "Void");
}

static ci_status count_head(void *user, const cii_http_response *response, ci_error **ret_error) {
    (void)ret_error;
    pipe_end *end = user;
    assert_int_equal(end->written, 0);
    assert_non_null(cii_http_header_value(response, "content-length"));
    end->heads++;
    return CI_OK;
}

static void bodies_stream_both_ways_whole_with_and_without_pauses(void **state) {
    (void)state;
    static const struct {
        uint64_t size;
        unsigned pause_every;
        size_t piece;
    } cases[] = {{1, 0, 0}, {65536, 0, 0}, {65537, 2, 1000}, {3000000, 0, 0}, {3000000, 3, 0}, {500000, 2, 777}};
    for (size_t i = 0; i < CII_ELEMENTS(cases); i++) {
        pipe_end up = {.pause_every = cases[i].pause_every, .piece = cases[i].piece};
        _cleanup_talk_ talk put = {.paused = cases[i].pause_every > 0,
                                   .plan = {.request = {.method = "PUT",
                                                        .url = URL("/up?id=up%zu", i),
                                                        .body_bytes = cases[i].size,
                                                        .read = read_pattern},
                                            .user = &up}};
        assert_int_equal(talk_run(&put), CI_OK);
        assert_int_equal(up.read, cases[i].size);
        assert_non_null(strstr(put.response->body, sum_of_pattern(cases[i].size)));
        assert_false(log_has(cases[i].size == 1 ? "up0" : "up3", "Expect"));

        pipe_end down = {.pause_every = cases[i].pause_every};
        _cleanup_talk_ talk get = {
            .paused = cases[i].pause_every > 0,

            .plan = {.request = {.method = "GET", .url = URL("/bytes/%llu", (unsigned long long)cases[i].size)},
                     .user = &down,
                     .head = count_head,
                     .write = write_pattern}};
        assert_int_equal(talk_run(&get), CI_OK);
        assert_int_equal(down.written, cases[i].size);
        assert_int_equal(down.heads, 1);
        assert_int_equal(get.response->taken_bytes, cases[i].size);
        assert_int_equal(get.response->body_bytes, 0);
    }
}

static void bytes_of_any_size_arrive_whole(void **state) {
    (void)state;
    static const size_t sizes[] = {0, 1, 4096, 65535, 65536, 65537, 2000000};
    _cleanup_free_ char *data = malloc(2000000);
    pipe_end from = {0};
    read_pattern(&from, data, 2000000);
    for (size_t i = 0; i < CII_ELEMENTS(sizes); i++) {
        for (int once = 0; once <= 1; once++) {
            _cleanup_talk_ talk t = {
                .plan = {.request = {.method = "PUT", .url = URL("/b"), .body = data, .body_bytes = sizes[i]},
                         .once = once}};
            assert_int_equal(talk_run(&t), CI_OK);
            char wanted[32];
            snprintf(wanted, sizeof wanted, "PUT %zu ", sizes[i]);
            assert_true(cii_str_starts(t.response->body, wanted));
            assert_true(sizes[i] == 0 || strstr(t.response->body, sum_of_pattern(sizes[i])));
        }
    }
}

static void chunked_answers_and_their_trailers_are_understood(void **state) {
    (void)state;
    pipe_end down = {0};
    _cleanup_talk_ talk t = {.plan = {.request = {.method = "GET", .url = URL("/do/chunked/bytes-200000")},
                                      .user = &down,
                                      .write = write_pattern}};
    assert_int_equal(talk_run(&t), CI_OK);
    assert_int_equal(down.written, 200000);
}

static void a_body_that_is_secret_is_in_one_place(void **state) {
    (void)state;
    _cleanup_talk_ talk t = {.plan = {.request = {.method = "GET", .url = URL("/do/status-500/bytes-1000")},
                                      .attempt_max = 1,
                                      .body_max = 4000,
                                      .body_is_secret = true}};
    talk_run(&t);
    assert_int_equal(t.response->body_bytes, 1000);
    assert_in_range(t.exchange->body.capacity, 4001, 4096); /* which it would not have grown to */
}

static void a_body_that_is_kept_is_bounded(void **state) {
    (void)state;
    _cleanup_talk_ talk fits = {.plan = {.request = {.method = "GET", .url = URL("/bytes/1000")}, .body_max = 1000}};
    assert_int_equal(talk_run(&fits), CI_OK);
    assert_int_equal(fits.response->body_bytes, 1000);
    _cleanup_talk_ talk larger = {.plan = {.request = {.method = "GET", .url = URL("/bytes/1001")}, .body_max = 1000}};
    assert_int_equal(talk_run(&larger), CI_ERR_LIMIT);
    assert_non_null(strstr(ci_error_message(larger.error), "larger than 1000 bytes"));
    _cleanup_talk_ talk endless = {.plan.request = {.method = "GET", .url = URL("/do/endless")}};
    assert_int_equal(talk_run(&endless), CI_ERR_LIMIT);
    _cleanup_talk_ talk error = {
        .plan = {.request = {.method = "GET", .url = URL("/do/status-404/bytes-1001")}, .body_max = 1000}};
    assert_int_equal(talk_run(&error), CI_ERR_NOTFOUND);
    assert_int_equal(error.response->body_bytes, 1000);
    assert_true(error.response->body_cut);
}

static void connections_are_kept_from_operation_to_operation(void **state) {
    (void)state;
    cii_http_pool *pool;
    assert_int_equal(cii_http_pool_new(NULL, &pool, NULL), CI_OK);
    for (int i = 0; i < 10; i++) {
        _cleanup_talk_ talk t = {.pool = pool,
                                 .shared = true,
                                 .plan.request = {.method = "PUT", .url = URL("/kept"), .body = "x", .body_bytes = 1}};
        assert_int_equal(talk_run(&t), CI_OK);
    }
    cii_http_pool_free(pool);
    assert_int_equal(log_count("/kept"), 10);
    assert_int_equal(log_connections("/kept"), 1);
}

static void exchanges_of_a_lane_go_side_by_side(void **state) {
    (void)state;
    enum { COUNT = 8 };
    cii_http_pool *pool;
    cii_http_lane *lane;
    cii_http_exchange *exchanges[COUNT];
    pipe_end ends[COUNT] = {0};
    assert_int_equal(cii_http_pool_new(NULL, &pool, NULL), CI_OK);
    assert_int_equal(cii_http_lane_take(pool, &lane, NULL), CI_OK);
    for (int i = 0; i < COUNT; i++) {
        cii_http_plan plan = {
            .request = {.method = "PUT", .url = URL("/side?id=side"), .body_bytes = 300000, .read = read_pattern},
            .user = &ends[i]};
        assert_int_equal(cii_http_exchange_start(lane, &plan, &exchanges[i], NULL), CI_OK);
    }
    for (int i = 0; i < COUNT; i++) {
        talk t = {.lane = lane, .exchange = exchanges[i]};
        assert_int_equal(talk_finish(&t), CI_OK);
        assert_non_null(strstr(cii_http_exchange_response(exchanges[i])->body, sum_of_pattern(300000)));
        cii_http_exchange_free(exchanges[i]);
    }
    cii_http_lane_give(lane);
    cii_http_pool_free(pool);
    assert_int_equal(log_count("side"), COUNT);
    assert_int_equal(log_connections("side"), COUNT); /* one after the other would have kept to one */
}

static void proxies_come_from_options_alone(void **state) {
    (void)state;
    setenv("http_proxy", "http://127.0.0.1:1", 1);
    setenv("all_proxy", "http://127.0.0.1:1", 1);
    setenv("no_proxy", "*", 1);
    _cleanup_talk_ talk plain = {.plan.request = {.method = "GET", .url = URL("/plain")}};
    assert_int_equal(talk_run(&plain), CI_OK);
    _cleanup_talk_ talk by_proxy = {.settings.proxy = http,
                                    .plan.request = {.method = "GET", .url = "http://nowhere.invalid/x?id=proxied"}};
    assert_int_equal(talk_run(&by_proxy), CI_OK);
    assert_true(log_has("proxied", "> : http://nowhere.invalid/x?id=proxied\n"));
    _cleanup_talk_ talk past_it = {.settings = {.proxy = "http://127.0.0.1:1", .no_proxy = "127.0.0.1"},
                                   .plan.request = {.method = "GET", .url = URL("/past")}};
    assert_int_equal(talk_run(&past_it), CI_OK);
    unsetenv("http_proxy");
    unsetenv("all_proxy");
    unsetenv("no_proxy");
    _cleanup_talk_ talk wrong = {.settings.proxy = "secret:secret@host:80"};
    assert_int_equal(talk_start(&wrong), CI_ERR_INVALID);
    assert_null(strstr(ci_error_message(wrong.error), "secret"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_method_arrives),
        cmocka_unit_test(nothing_is_sent_that_was_not_asked_for),
        cmocka_unit_test(headers_of_curls_own_can_be_asked_for),
        cmocka_unit_test(urls_are_sent_as_they_are),
        cmocka_unit_test(requests_that_cannot_be_sent_are_refused),
        cmocka_unit_test(headers_of_the_answer_are_found_by_name_and_in_order),
        cmocka_unit_test(bodies_stream_both_ways_whole_with_and_without_pauses),
        cmocka_unit_test(bytes_of_any_size_arrive_whole),
        cmocka_unit_test(chunked_answers_and_their_trailers_are_understood),
        cmocka_unit_test(a_body_that_is_secret_is_in_one_place),
        cmocka_unit_test(a_body_that_is_kept_is_bounded),
        cmocka_unit_test(connections_are_kept_from_operation_to_operation),
        cmocka_unit_test(exchanges_of_a_lane_go_side_by_side),
        cmocka_unit_test(proxies_come_from_options_alone),
    };
    return cmocka_run_group_tests(tests, server_start, server_stop);
}
