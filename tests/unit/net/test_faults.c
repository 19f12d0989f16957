/* A server and a network that misbehave: what is repeated, what is not, what the caller is told, and that all of it ends. */
#include "server.h"
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <semaphore.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/str.h"
#include "net/curl.h"
#include "os/fd.h"

#define GET(...) \
    { .method = "GET", .url = URL(__VA_ARGS__) }

#define ENOUGH_MS 120000 /* tells what ends from what never does */

static const cii_http_settings fast = {.retry_ms = 1};

/* --- names --------------------------------------------------------------------------------------------------------- */

/* In libcurl's place of the system's: one name does not exist, one is never answered, one has two addresses. */
static sem_t release;
static union {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
} addresses[2];

/* In one piece, as libc's freeaddrinfo() wants it. */
static struct addrinfo *new_address(size_t i, struct addrinfo *next) {
    struct addrinfo *info = calloc(1, sizeof *info + sizeof addresses[i]);
    *info = (struct addrinfo){.ai_family = addresses[i].any.sa_family,
                              .ai_socktype = SOCK_STREAM,
                              .ai_addrlen = sizeof addresses[i],
                              .ai_addr = memcpy(info + 1, &addresses[i], sizeof addresses[i]),
                              .ai_next = next};
    return info;
}

__attribute__((visibility("default"))) int getaddrinfo(const char *name, const char *service,
                                                       const struct addrinfo *hints, struct addrinfo **ret_list) {
    (void)service;
    (void)hints;
    if (strcmp(name, "hangs.test") == 0)
        while (sem_wait(&release) < 0)
            ;
    if (strcmp(name, "two.test") != 0)
        return EAI_NONAME;
    *ret_list = new_address(0, new_address(1, NULL));
    return 0;
}

static void a_name_without_an_address_is_told(void **state) {
    (void)state;
    _cleanup_talk_ talk t = {.settings = fast,
                             .plan.request = {.method = "GET", .url = "http://missing.test/secret?secret"}};
    assert_int_equal(talk_run(&t), CI_ERR_IO);
    assert_string_equal(ci_error_message(t.error),
                        "after 3 attempts: GET http://missing.test: there is no address for this name");
    assert_true(ci_error_retryable(t.error));
    assert_true(strlen(ci_error_hint(t.error)) > 0);
    assert_string_equal(ci_error_domain(t.error), "http");
}

static void a_name_server_that_hangs_holds_up_neither_deadline_nor_cancelling(void **state) {
    (void)state;
    if (cii_curl.version_info(CURLVERSION_NOW)->version_num < 0x075700)
        skip(); /* which waits for its resolver's thread */
    int64_t start_ms = cii_clock_ms();
    sem_init(&release, 0, 0);
    {
        _cleanup_talk_ talk connecting = {
            .settings.connect_ms = 50,
            .plan = {.request = {.method = "GET", .url = "http://hangs.test/"}, .attempt_max = 1}};
        assert_int_equal(talk_run(&connecting), CI_ERR_TIMEOUT);
        assert_non_null(strstr(ci_error_message(connecting.error), "no connection in time"));
        _cleanup_talk_ talk whole = {
            .plan = {.request = {.method = "GET", .url = "http://hangs.test/"}, .timeout_ms = 50}};
        assert_int_equal(talk_run(&whole), CI_ERR_TIMEOUT);
        _cleanup_talk_ talk cancelled = {.plan.request = {.method = "GET", .url = "http://hangs.test/"}};
        assert_int_equal(talk_start(&cancelled), CI_OK);
        assert_int_equal(cii_http_lane_process(cancelled.lane, NULL), CI_OK);
    }
    assert_true(cii_clock_ms() - start_ms < ENOUGH_MS);
    for (int i = 0; i < 3; i++)
        sem_post(&release);
}

/* --- answers that ask for another attempt -------------------------------------------------------------------------- */

static ci_status count_prepare(void *user, unsigned attempt, uint64_t taken_bytes, cii_http_request *request,
                               ci_error **ret_error) {
    (void)request;
    (void)ret_error;
    pipe_end *end = user;
    assert_int_equal(attempt, ++end->prepared);
    assert_int_equal(taken_bytes, 0);
    return CI_OK;
}

static void what_passes_is_repeated_signed_anew_and_its_body_whole(void **state) {
    (void)state;
    pipe_end up = {0};
    _cleanup_talk_ talk t = {.settings = fast,
                             .plan = {.request = {.method = "PUT",
                                                  .url = URL("/do/body/until-2/status-503?id=twice"),
                                                  .body_bytes = 100000,
                                                  .read = read_pattern,
                                                  .rewind = rewind_pattern},
                                      .user = &up,
                                      .prepare = count_prepare}};
    assert_int_equal(talk_run(&t), CI_OK);
    assert_int_equal(t.response->status, 200);
    assert_int_equal(up.prepared, 3);
    assert_int_equal(up.rewinds, 2);
    assert_int_equal(log_count("twice"), 3);
    assert_false(log_has("twice", "short"));
    assert_int_equal(log_connections("twice"), 1);
}

static void attempts_are_bounded_and_the_last_answer_is_told(void **state) {
    (void)state;
    _cleanup_talk_ talk t = {.settings = fast,
                             .plan = {.request = GET("/do/status-503/text-why?id=busy"), .attempt_max = 4}};
    assert_int_equal(talk_run(&t), CI_ERR_BUSY);
    assert_int_equal(ci_error_http_status(t.error), 503);
    assert_true(ci_error_retryable(t.error));
    assert_true(cii_str_starts(ci_error_message(t.error), "after 4 attempts: GET http://127.0.0.1:"));
    assert_true(cii_str_ends(ci_error_message(t.error), ": the server answered with status 503"));
    assert_string_equal(t.response->body, "why");
    assert_int_equal(log_count("busy"), 4);
}

static void what_lasts_is_not_repeated(void **state) {
    (void)state;
    static const struct {
        int http_status;
        ci_status status;
    } cases[] = {{400, CI_ERR_INVALID},   {401, CI_ERR_PERMISSION}, {403, CI_ERR_PERMISSION}, {404, CI_ERR_NOTFOUND},
                 {412, CI_ERR_CONDITION}, {501, CI_ERR_NOTSUP},     {304, CI_ERR_CONDITION}};
    for (size_t i = 0; i < CII_ELEMENTS(cases); i++) {
        char id[16];
        snprintf(id, sizeof id, "lasts%d", cases[i].http_status);
        _cleanup_talk_ talk t = {.settings = fast,
                                 .plan.request = GET("/do/status-%d?id=%s", cases[i].http_status, id)};
        assert_int_equal(talk_run(&t), cases[i].status);
        assert_int_equal(ci_error_http_status(t.error), cases[i].http_status);
        assert_false(ci_error_retryable(t.error));
        assert_int_equal(log_count(id), 1);
    }
}

static void redirects_are_not_followed(void **state) {
    (void)state;
    _cleanup_talk_ talk t = {.settings = fast,
                             .plan.request = GET("/do/status-307/header-Location=%%2Felsewhere?id=redirect")};
    assert_int_equal(talk_run(&t), CI_ERR_IO);
    assert_string_equal(cii_http_header_value(t.response, "location"), "/elsewhere");
    assert_string_equal(ci_error_hint(t.error), "redirects are not followed");
    assert_int_equal(log_count("redirect") + log_count("/elsewhere"), 1);
}

static cii_http_verdict look_inside(void *user, const cii_http_response *response, ci_error **error) {
    pipe_end *end = user;
    end->calls++;
    assert_null(*error);
    assert_int_equal(response->status, 200);
    if (!cii_str_starts(response->body, "<Error>"))
        return CII_HTTP_BY_RULE;
    if (strstr(response->body, "Lasting")) {
        cii_error_set(error, CI_ERR_EXISTS, "test", "lasting");
        return CII_HTTP_FAIL;
    }
    return CII_HTTP_AGAIN;
}

static void an_error_inside_a_good_answer_is_the_callers_to_judge(void **state) {
    (void)state;
    pipe_end end = {0};
    _cleanup_talk_ talk passing = {
        .settings = fast,
        .plan = {.request = GET("/do/until-1/text-%%3CError%%3E?id=inside"), .user = &end, .judge = look_inside}};
    assert_int_equal(talk_run(&passing), CI_OK);
    assert_int_equal(end.calls, 2);
    _cleanup_talk_ talk lasting = {
        .settings = fast,
        .plan = {.request = GET("/do/text-%%3CError%%3ELasting"), .user = &end, .judge = look_inside}};
    assert_int_equal(talk_run(&lasting), CI_ERR_EXISTS);
    assert_string_equal(ci_error_message(lasting.error), "lasting");
    assert_int_equal(end.calls, 3);
}

static cii_http_verdict accept_all(void *user, const cii_http_response *response, ci_error **error) {
    (void)user;
    (void)response;
    (void)error;
    return CII_HTTP_DONE;
}

static void an_error_can_be_what_the_caller_wants(void **state) {
    (void)state;
    _cleanup_talk_ talk t = {.plan = {.request = GET("/do/status-404"), .judge = accept_all}};
    assert_int_equal(talk_run(&t), CI_OK);
    assert_int_equal(t.response->status, 404);
}

static void a_writer_gets_no_errors(void **state) {
    (void)state;
    pipe_end down = {0};
    _cleanup_talk_ talk t = {
        .plan = {.request = GET("/do/status-404/bytes-100"), .user = &down, .write = write_pattern}};
    assert_int_equal(talk_run(&t), CI_ERR_NOTFOUND);
    assert_int_equal(down.written, 0);
    assert_int_equal(t.response->body_bytes, 100);
}

static void the_wait_that_the_server_asks_for_is_kept_or_told(void **state) {
    (void)state;
    int64_t start_ms = cii_clock_ms();
    _cleanup_talk_ talk waits = {.settings = fast,
                                 .plan.request = GET("/do/until-1/status-503/header-Retry-After=1?id=after")};
    assert_int_equal(talk_run(&waits), CI_OK);
    assert_in_range(cii_clock_ms() - start_ms, 1000, ENOUGH_MS);
    _cleanup_talk_ talk longer = {.settings = fast,
                                  .plan.request = GET("/do/status-503/header-Retry-After=120?id=longer")};
    assert_int_equal(talk_run(&longer), CI_ERR_BUSY);
    assert_string_equal(ci_error_hint(longer.error), "the server asks to try again in 120 s");
    assert_int_equal(log_count("longer"), 1);
    _cleanup_talk_ talk late = {
        .settings = fast,
        .plan = {.request = GET("/do/status-503/header-Retry-After=50?id=late"), .timeout_ms = 40000}};
    start_ms = cii_clock_ms();
    assert_int_equal(talk_run(&late), CI_ERR_BUSY);
    assert_true(cii_clock_ms() - start_ms < 35000); /* it did not wait for its deadline */
}

static void a_pools_budget_ends_repetitions(void **state) {
    (void)state;
    enum { EXCHANGES = 60, REPETITIONS = 100 };
    cii_http_pool *pool;
    assert_int_equal(cii_http_pool_new(&fast, &pool, NULL), CI_OK);
    for (int i = 0; i < EXCHANGES; i++) {
        _cleanup_talk_ talk t = {.pool = pool, .shared = true, .plan.request = GET("/do/status-500?id=budget")};
        assert_int_equal(talk_run(&t), CI_ERR_IO);
    }
    cii_http_pool_free(pool);
    assert_int_equal(log_count("budget"), EXCHANGES + REPETITIONS);
}

/* --- connections that break ----------------------------------------------------------------------------------------- */

static void what_breaks_at_any_stage_is_repeated_and_told(void **state) {
    (void)state;
    static const struct {
        const char *steps;
        ci_status status;
        unsigned requests;
        const char *text;
    } cases[] = {
        {"reset", CI_ERR_IO, 3, "broke"},
        {"close", CI_ERR_IO, 3, "closed without an answer"},
        {"half-head/reset", CI_ERR_IO, 3, "broke"},
        {"half-head/close", CI_ERR_IO, 3, ""},
        {"length-100/head/reset", CI_ERR_IO, 3, "broke"},
        {"length-100/bytes-10/reset", CI_ERR_IO, 3, "broke"},
        {"length-100/bytes-10/close", CI_ERR_IO, 3, "closed before the answer was whole"},
        {"chunked/bytes-10/close", CI_ERR_IO, 3, "closed before the answer was whole"},
        {"continue/reset", CI_ERR_IO, 3, "broke"},
        {"garbage/close", CI_ERR_PROTOCOL, 1, "not HTTP/1.1"},
        {"headers-1000", CI_ERR_LIMIT, 1, "headers"},
    };
    for (size_t i = 0; i < CII_ELEMENTS(cases); i++) {
        char id[16];
        snprintf(id, sizeof id, "broken%zu", i);
        _cleanup_talk_ talk t = {.settings = fast,
                                 .plan.request = GET("/do/%s?id=%s&secret=secret", cases[i].steps, id)};
        ci_status status = talk_run(&t);
        if (status != cases[i].status || !strstr(ci_error_message(t.error), cases[i].text) ||
            log_count(id) != cases[i].requests)
            fail_msg("%s: %d, %u requests, %s", cases[i].steps, status, log_count(id), ci_error_message(t.error));
        assert_null(strstr(ci_error_message(t.error), "secret"));
        assert_int_equal(ci_error_retryable(t.error), cases[i].requests == 3);
    }
}

static void what_breaks_once_is_mended(void **state) {
    (void)state;
    static const char *const steps[] = {"reset", "close", "half-head/reset", "length-100/bytes-10/close", "body/reset"};
    for (size_t i = 0; i < CII_ELEMENTS(steps); i++) {
        pipe_end up = {0};
        _cleanup_talk_ talk t = {.settings = fast,
                                 .plan = {.request = {.method = "PUT",
                                                      .url = URL("/do/until-1/%s?id=once%zu", steps[i], i),
                                                      .body_bytes = 300000,
                                                      .read = read_pattern,
                                                      .rewind = rewind_pattern},
                                          .user = &up}};
        assert_int_equal(talk_run(&t), CI_OK);
        assert_true(cii_str_starts(t.response->body, "PUT 300000 "));
        assert_int_equal(up.read, 300000);
    }
}

/* The first request dooms its connection, which is reset when the second is there. */
static ci_status run_on_a_dying_connection(const char *steps, const char *id, cii_http_plan *plan,
                                           ci_error **ret_error) {
    cii_http_pool *pool;
    ci_status status = CI_ERR_INTERNAL;
    assert_int_equal(cii_http_pool_new(&fast, &pool, NULL), CI_OK);
    plan->request.url = URL("/do/%s?id=%s", steps, id);
    plan->attempt_max = 1;
    {
        /* So that the handle has had another kind of body before. */
        _cleanup_talk_ talk t = {.pool = pool,
                                 .shared = true,
                                 .plan.request = {.method = "PUT", .url = URL("/x"), .body = "y", .body_bytes = 1}};
        assert_int_equal(talk_run(&t), CI_OK);
    }
    for (int i = 0; i < 2; i++) {
        if (plan->user)
            *(pipe_end *)plan->user = (pipe_end){0};
        _cleanup_talk_ talk t = {.pool = pool, .shared = true, .plan = *plan};
        status = talk_run(&t);
        if (i == 0)
            assert_int_equal(status, CI_OK);
        *ret_error = TAKE_PTR(t.error);
    }
    cii_http_pool_free(pool);
    return status;
}

static void a_kept_connection_that_dies_costs_no_attempt(void **state) {
    (void)state;
    static const char *const steps[] = {"again", "again-head"};
    cii_http_plan plans[] = {
        {.request = {.method = "GET"}},
        {.request = {.method = "PUT", .body = "x", .body_bytes = 1}},
        {.request = {.method = "PUT", .body_bytes = 8000000, .read = read_pattern, .rewind = rewind_pattern}},
    };
    for (size_t i = 0; i < 2 * CII_ELEMENTS(plans); i++) {
        cii_http_plan *plan = &plans[i / 2];
        pipe_end up = {.size = 0};
        ci_error *error;
        char id[16];
        snprintf(id, sizeof id, "dying%zu", i);
        plan->user = &up;
        if (run_on_a_dying_connection(steps[i % 2], id, plan, &error) != CI_OK)
            fail_msg("%s, plan %zu: %s", steps[i % 2], i / 2, ci_error_message(error));
        assert_int_equal(log_count(id), 3);
        assert_int_equal(log_connections(id), 2);
    }
}

static void what_may_be_sent_once_is_sent_once(void **state) {
    (void)state;
    ci_error *error;
    pipe_end up = {0};
    cii_http_plan with_body = {.request = {.method = "POST", .body = "x", .body_bytes = 1}, .once = true};
    assert_int_equal(run_on_a_dying_connection("again", "only1", &with_body, &error), CI_ERR_IO);
    assert_int_equal(log_count("only1"), 2);
    ci_error_free(error);
    cii_http_plan without = {.request = {.method = "POST"}, .once = true};
    assert_int_equal(run_on_a_dying_connection("again", "only2", &without, &error), CI_OK);
    assert_int_equal(log_count("only2"), 2);
    assert_int_equal(log_connections("only2"), 2);
    /* A source that cannot begin anew. */
    cii_http_plan stream = {.request = {.method = "PUT", .body_bytes = 200000, .read = read_pattern}, .user = &up};
    assert_int_equal(run_on_a_dying_connection("again", "only3", &stream, &error), CI_ERR_IO);
    ci_error_free(error);
    assert_int_equal(log_count("only3"), 2);
    static const char *const steps[] = {"status-503", "status-429", "status-500",
                                        "status-504", "body/reset", "body/close"};
    for (size_t i = 0; i < CII_ELEMENTS(steps); i++) {
        char id[16];
        for (int has_source = 0; has_source <= 1; has_source++) {
            snprintf(id, sizeof id, "single%zu%d", i, has_source);
            _cleanup_talk_ talk t = {
                .settings = fast,
                .plan = {.request = {.method = "PUT", .url = URL("/do/%s?id=%s", steps[i], id), .body_bytes = 10},
                         .user = &up,
                         .once = !has_source}};
            t.plan.request.body = has_source ? NULL : "0123456789";
            t.plan.request.read = has_source ? read_pattern : NULL;
            assert_true(talk_run(&t) < 0);
            assert_int_equal(log_count(id), 1);
            bool is_refused = i < 2;
            assert_int_equal(ci_error_retryable(t.error), has_source || is_refused);
            assert_int_equal(strstr(ci_error_hint(t.error), "had its effect") != NULL, !has_source && !is_refused);
        }
    }
}

static void what_is_harmless_is_sent_again_only_when_it_was_refused(void **state) {
    (void)state;
    static const char *const steps[] = {"until-1/status-503", "until-1/status-429", "until-1/status-500",
                                        "until-1/status-504", "until-1/body/reset", "until-1/body/close"};
    for (size_t i = 0; i < CII_ELEMENTS(steps); i++) {
        char id[16];
        bool is_refused = i < 2;
        snprintf(id, sizeof id, "harmless%zu", i);
        _cleanup_talk_ talk t = {
            .settings = fast,
            .plan = {
                .request = {.method = "PUT", .url = URL("/do/%s?id=%s", steps[i], id), .body = "x", .body_bytes = 1},
                .once = true,
                .harmless = true}};
        assert_int_equal(talk_run(&t) == CI_OK, is_refused);
        assert_int_equal(log_count(id), is_refused ? 2 : 1);
        assert_int_equal(ci_error_retryable(t.error), !is_refused);
        assert_int_equal(strstr(ci_error_hint(t.error), "it can be repeated") != NULL, !is_refused);
    }
}

static ci_status go_on(void *user, unsigned attempt, uint64_t taken_bytes, cii_http_request *request,
                       ci_error **ret_error) {
    (void)ret_error;
    pipe_end *end = user;
    assert_int_equal(taken_bytes, end->written);
    end->prepared = attempt;
    request->url = taken_bytes < 200000 ? URL("/do/from-%llu/length-%llu/bytes-100000/reset?id=resumed",
                                              (unsigned long long)taken_bytes, 300000 - (unsigned long long)taken_bytes)
                                        : URL("/do/from-%llu/bytes-%llu?id=resumed", (unsigned long long)taken_bytes,
                                              300000 - (unsigned long long)taken_bytes);
    return CI_OK;
}

static void bytes_that_were_handed_over_are_not_handed_over_again(void **state) {
    (void)state;
    pipe_end plain = {0}, resumed = {0};
    _cleanup_talk_ talk not_repeated = {.settings = fast,
                                        .plan = {.request = GET("/do/length-300000/bytes-100000/close?id=half"),
                                                 .user = &plain,
                                                 .write = write_pattern}};
    assert_int_equal(talk_run(&not_repeated), CI_ERR_IO);
    assert_true(ci_error_retryable(not_repeated.error));
    assert_int_equal(plain.written, 100000);
    assert_int_equal(log_count("half"), 1);
    _cleanup_talk_ talk goes_on = {.settings = fast,
                                   .plan = {.request = {.method = "GET"},
                                            .user = &resumed,
                                            .prepare = go_on,
                                            .write = write_pattern,
                                            .attempt_max = 20,
                                            .resumes = true}};
    assert_int_equal(talk_run(&goes_on), CI_OK);
    assert_int_equal(resumed.written, 300000);
    assert_true(resumed.prepared >= 3);
}

static void nobody_listening_is_told(void **state) {
    (void)state;
    _cleanup_talk_ talk t = {.settings = fast, .plan.request = {.method = "GET", .url = "http://127.0.0.1:1/"}};
    assert_int_equal(talk_run(&t), CI_ERR_IO);
    assert_int_equal(ci_error_errno(t.error), ECONNREFUSED);
    assert_string_equal(ci_error_message(t.error),
                        "after 3 attempts: GET http://127.0.0.1:1: no connection: Connection refused");
}

static void more_than_was_announced_does_not_spoil_the_next_answer(void **state) {
    (void)state;
    cii_http_pool *pool;
    assert_int_equal(cii_http_pool_new(&fast, &pool, NULL), CI_OK);
    for (int i = 0; i < 3; i++) {
        _cleanup_talk_ talk t = {.pool = pool, .shared = true, .plan.request = GET("/do/length-5/text-1234567890")};
        assert_int_equal(talk_run(&t), CI_OK);
        assert_string_equal(t.response->body, "12345");
    }
    cii_http_pool_free(pool);
}

static void a_refusal_before_the_body_is_sent_is_understood(void **state) {
    (void)state;
    pipe_end up = {0};
    _cleanup_talk_ talk t = {.settings = fast,
                             .plan = {.request = {.method = "PUT",
                                                  .url = URL("/do/status-403/text-no"),
                                                  .body_bytes = 5000000,
                                                  .read = read_pattern},
                                      .user = &up}};
    assert_int_equal(talk_run(&t), CI_ERR_PERMISSION);
    assert_string_equal(t.response->body, "no");
}

/* --- time ------------------------------------------------------------------------------------------------------------ */

static void a_stall_at_any_stage_ends(void **state) {
    (void)state;
    static const char *const steps[] = {"stall", "half-head/stall", "length-10/head/stall", "length-10/bytes-5/stall",
                                        "freeze"};
    for (size_t i = 0; i < CII_ELEMENTS(steps); i++) {
        pipe_end up = {0};
        int64_t start_ms = cii_clock_ms();
        bool own = i % 2; /* the plan's own time */
        _cleanup_talk_ talk t = {.settings = {.idle_ms = own ? 60000 : 200},
                                 .plan = {.request = {.method = "PUT",
                                                      .url = URL("/do/%s", steps[i]),
                                                      .body_bytes = 20000000,
                                                      .read = read_pattern},
                                          .user = &up,
                                          .idle_ms = own ? 200 : 0,
                                          .attempt_max = 1}};
        assert_int_equal(talk_run(&t), CI_ERR_TIMEOUT);
        assert_non_null(strstr(ci_error_message(t.error), "no byte in 200 ms"));
        assert_true(ci_error_retryable(t.error));
        assert_in_range(cii_clock_ms() - start_ms, 200, ENOUGH_MS);
    }
}

/* When the last bytes came, or the request was sent. */
static int32_t note_time(void *user, const void *data, size_t size) {
    (void)data;
    (void)size;
    *(int64_t *)user = cii_clock_ms();
    return 0;
}

/* Bytes that come all the time, for longer than none may come. Whether they came to their end: they may only not where
 * there really were none for so long, as from a server that is not let run. */
static bool drips(uint32_t idle_ms) {
    int64_t last_ms = cii_clock_ms();
    _cleanup_talk_ talk slow = {
        .settings.idle_ms = idle_ms,
        .plan = {.request = GET("/do/drip-12-%u", idle_ms / 8), .user = &last_ms, .write = note_time}};
    ci_status status = talk_run(&slow);
    if (status != CI_OK)
        assert_true(status == CI_ERR_TIMEOUT && cii_clock_ms() - last_ms >= idle_ms);
    return status == CI_OK;
}

static void slow_bytes_are_no_stall_but_the_deadline_holds(void **state) {
    (void)state;
    for (uint32_t idle_ms = 800; !drips(idle_ms); idle_ms *= 2)
        assert_true(idle_ms < ENOUGH_MS);
    int64_t start_ms = cii_clock_ms();
    _cleanup_talk_ talk late = {.plan = {.request = GET("/do/drip-10000-20?id=late2"), .timeout_ms = 300}};
    assert_int_equal(talk_run(&late), CI_ERR_TIMEOUT);
    assert_non_null(strstr(ci_error_message(late.error), "not done in 300 ms"));
    assert_in_range(cii_clock_ms() - start_ms, 300, ENOUGH_MS);
}

static void a_deadline_may_pass_before_anything_is_sent(void **state) {
    (void)state;
    pipe_end end = {0};
    _cleanup_talk_ talk t = {.plan = {.user = &end, .prepare = count_prepare, .timeout_ms = 1}};
    assert_int_equal(talk_start(&t), CI_OK);
    for (int64_t until_ms = cii_clock_ms() + 3; cii_clock_ms() < until_ms;)
        poll(NULL, 0, 1);
    assert_int_equal(talk_finish(&t), CI_ERR_TIMEOUT);
    assert_string_equal(ci_error_message(t.error), "not done in 1 ms");
    assert_int_equal(end.prepared, 0);
}

typedef struct long_pause {
    uint32_t ms;
    int64_t until_ms; /* 0: no byte has come yet */
} long_pause;

static int32_t wait_for_it(void *user, const void *data, size_t size) {
    long_pause *p = user;
    (void)data;
    (void)size;
    if (p->until_ms == 0)
        p->until_ms = cii_clock_ms() + p->ms;
    return cii_clock_ms() < p->until_ms ? CI_IO_PAUSE : 0;
}

/* Whether an answer came within the time in which some byte must come; then it is no matter how long the caller pauses. */
static bool pauses(uint32_t idle_ms) {
    long_pause pause = {.ms = idle_ms * 3};
    _cleanup_talk_ talk t = {
        .settings.idle_ms = idle_ms,
        .paused = true,
        .plan = {.request = GET("/do/bytes-100"), .user = &pause, .write = wait_for_it, .attempt_max = 1}};
    ci_status status = talk_run(&t);
    assert_int_equal(status, pause.until_ms ? CI_OK : CI_ERR_TIMEOUT);
    assert_true(cii_clock_ms() >= pause.until_ms);
    return pause.until_ms != 0;
}

static void a_pause_of_the_callers_is_no_stall(void **state) {
    (void)state;
    for (uint32_t idle_ms = 200; !pauses(idle_ms); idle_ms *= 2)
        assert_true(idle_ms < ENOUGH_MS);
}

/* --- callbacks that stop --------------------------------------------------------------------------------------------- */

static int64_t stop_reading(void *user, void *buffer, size_t size) {
    (void)user;
    (void)buffer;
    (void)size;
    return -1;
}

static int64_t end_early(void *user, void *buffer, size_t size) {
    pipe_end *end = user;
    return end->read >= 100 ? 0 : read_pattern(user, buffer, CII_MIN(size, (size_t)100));
}

static int32_t stop_writing(void *user, const void *data, size_t size) {
    (void)data;
    (void)size;
    return ++((pipe_end *)user)->calls == 3;
}

static ci_status refuse_head(void *user, const cii_http_response *response, ci_error **ret_error) {
    (void)user;
    assert_int_equal(response->status, 200);
    return cii_error_set(ret_error, CI_ERR_MISMATCH, "test", "not this one");
}

static ci_status refuse_prepare(void *user, unsigned attempt, uint64_t taken, cii_http_request *request,
                                ci_error **ret_error) {
    (void)user;
    (void)attempt;
    (void)taken;
    (void)request;
    return cii_error_set(ret_error, CI_ERR_PERMISSION, "test", "no key");
}

static void callbacks_end_an_exchange_with_their_reason(void **state) {
    (void)state;
    pipe_end end = {0};
    const cii_http_request put = {.method = "PUT", .url = URL("/stops"), .body_bytes = 1000};
    const struct {
        cii_http_plan plan;
        ci_status status;
        const char *text;
    } cases[] = {
        {{.request = {.method = "PUT", .url = put.url, .body_bytes = 1000, .read = stop_reading}},
         CI_ERR_CANCELLED,
         "asked to stop"},
        {{.request = {.method = "PUT", .url = put.url, .body_bytes = 1000, .read = end_early}},
         CI_ERR_INVALID,
         "after 100 of 1000 bytes"},
        {{.request = GET("/do/endless"), .write = stop_writing}, CI_ERR_CANCELLED, "asked to stop"},
        {{.request = GET("/do/endless"), .head = refuse_head}, CI_ERR_MISMATCH, "not this one"},
        {{.request = GET("/never"), .prepare = refuse_prepare}, CI_ERR_PERMISSION, "no key"},
    };
    for (size_t i = 0; i < CII_ELEMENTS(cases); i++) {
        _cleanup_talk_ talk t = {.settings = fast, .plan = cases[i].plan};
        t.plan.user = &end;
        assert_int_equal(talk_run(&t), cases[i].status);
        assert_non_null(strstr(ci_error_message(t.error), cases[i].text));
        assert_null(strstr(ci_error_message(t.error), "attempts"));
    }
    assert_int_equal(log_count("/never"), 0);
}

static void what_fails_for_good_is_not_said_to_be_repeatable(void **state) {
    (void)state;
    pipe_end end = {0};
    _cleanup_talk_ talk t = {
        .plan = {.request = GET("/do/endless"), .write = stop_writing, .user = &end, .once = true, .harmless = true}};
    assert_int_equal(talk_run(&t), CI_ERR_CANCELLED);
    assert_false(ci_error_retryable(t.error));
    assert_null(strstr(ci_error_hint(t.error), "repeated"));
}

/* Of two families the one that stands second loses; libcurl closes it without a word while the other is at work. */
static void a_connection_that_lost_spoils_none_that_gets_its_number(void **state) {
    (void)state;
    addresses[0].v6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_addr = in6addr_loopback};
    addresses[1].v4 = (struct sockaddr_in){.sin_family = AF_INET,
                                           .sin_port = htons((uint16_t)atoi(strrchr(http, ':') + 1)),
                                           .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr *full = &addresses[0].any;
    socklen_t size = sizeof addresses[0].v6;
    _cleanup_close_ int listener = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    _cleanup_close_ int waiting = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(listener, full, size) < 0)
        skip(); /* no IPv6 */
    assert_int_equal(getsockname(listener, full, &size), 0);
    assert_int_equal(listen(listener, 0), 0); /* one may wait; who comes next is not answered */
    assert_int_equal(connect(waiting, full, size), 0);
    pipe_end down = {0};
    _cleanup_talk_ talk works = {.plan = {.request = {.method = "GET", .url = "http://two.test/bytes/50000000"},
                                          .write = write_pattern,
                                          .user = &down}};
    assert_int_equal(talk_start(&works), CI_OK);
    while (down.written == 0) {
        assert_int_equal(cii_http_lane_process(works.lane, NULL), CI_OK);
        assert_int_equal(cii_fd_wait(cii_http_lane_fd(works.lane), POLLIN, ENOUGH_MS), POLLIN);
    }
    talk next = {.pool = works.pool, .shared = true, .lane = works.lane, .plan.request = GET("/x")};
    if (talk_run(&next) != CI_OK)
        fail_msg("%s", ci_error_message(next.error));
    next.lane = NULL;
    talk_end(&next);
    assert_int_equal(talk_finish(&works), CI_OK);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_without_an_address_is_told),
        cmocka_unit_test(a_name_server_that_hangs_holds_up_neither_deadline_nor_cancelling),
        cmocka_unit_test(what_passes_is_repeated_signed_anew_and_its_body_whole),
        cmocka_unit_test(attempts_are_bounded_and_the_last_answer_is_told),
        cmocka_unit_test(what_lasts_is_not_repeated),
        cmocka_unit_test(redirects_are_not_followed),
        cmocka_unit_test(an_error_inside_a_good_answer_is_the_callers_to_judge),
        cmocka_unit_test(an_error_can_be_what_the_caller_wants),
        cmocka_unit_test(a_writer_gets_no_errors),
        cmocka_unit_test(the_wait_that_the_server_asks_for_is_kept_or_told),
        cmocka_unit_test(a_pools_budget_ends_repetitions),
        cmocka_unit_test(what_breaks_at_any_stage_is_repeated_and_told),
        cmocka_unit_test(what_breaks_once_is_mended),
        cmocka_unit_test(a_kept_connection_that_dies_costs_no_attempt),
        cmocka_unit_test(what_may_be_sent_once_is_sent_once),
        cmocka_unit_test(what_is_harmless_is_sent_again_only_when_it_was_refused),
        cmocka_unit_test(bytes_that_were_handed_over_are_not_handed_over_again),
        cmocka_unit_test(nobody_listening_is_told),
        cmocka_unit_test(more_than_was_announced_does_not_spoil_the_next_answer),
        cmocka_unit_test(a_refusal_before_the_body_is_sent_is_understood),
        cmocka_unit_test(a_stall_at_any_stage_ends),
        cmocka_unit_test(slow_bytes_are_no_stall_but_the_deadline_holds),
        cmocka_unit_test(a_deadline_may_pass_before_anything_is_sent),
        cmocka_unit_test(a_pause_of_the_callers_is_no_stall),
        cmocka_unit_test(callbacks_end_an_exchange_with_their_reason),
        cmocka_unit_test(what_fails_for_good_is_not_said_to_be_repeatable),
        cmocka_unit_test(a_connection_that_lost_spoils_none_that_gets_its_number),
    };
    return cmocka_run_group_tests(tests, server_start, server_stop);
}
