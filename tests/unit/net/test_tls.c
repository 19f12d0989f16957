/* TLS: whom it is trusted to, and that bytes and connections fare as without it. */
#include "server.h"

#include <signal.h>

static void the_servers_certificate_is_verified(void **state) {
    (void)state;
    _cleanup_talk_ talk trusted = {.settings.ca_file = ca,
                                   .plan.request = {.method = "GET", .url = server_url(https, "/tls")}};
    assert_int_equal(talk_run(&trusted), CI_OK);
    _cleanup_talk_ talk unknown = {.plan.request = {.method = "GET", .url = server_url(https, "/untrusted?secret")}};
    assert_int_equal(talk_run(&unknown), CI_ERR_PERMISSION);
    assert_non_null(strstr(ci_error_message(unknown.error), "its certificate is not trusted"));
    assert_null(strstr(ci_error_message(unknown.error), "secret"));
    assert_null(strstr(ci_error_message(unknown.error), "attempts"));
    assert_non_null(strstr(ci_error_hint(unknown.error), "ca_file"));
    assert_int_equal(log_count("/untrusted"), 0);
}

static void a_certificate_for_another_name_is_refused(void **state) {
    (void)state;
    char url[64];
    snprintf(url, sizeof url, "https://[::ffff:127.0.0.1]:%s/other", strrchr(https, ':') + 1);
    _cleanup_talk_ talk t = {.settings.ca_file = ca,
                             .plan = {.request = {.method = "GET", .url = url}, .attempt_max = 1}};
    assert_int_equal(talk_run(&t), CI_ERR_PERMISSION);
    assert_int_equal(log_count("/other"), 0);
}

static void a_ca_file_that_cannot_be_read_is_named(void **state) {
    (void)state;
    _cleanup_talk_ talk t = {.settings.ca_file = "/nowhere",
                             .plan.request = {.method = "GET", .url = server_url(https, "/")}};
    assert_int_equal(talk_run(&t), CI_ERR_INVALID);
    assert_non_null(strstr(ci_error_message(t.error), "ca_file"));
}

static void plain_http_on_a_tls_port_and_the_reverse_end(void **state) {
    (void)state;
    char url[64];
    snprintf(url, sizeof url, "https://127.0.0.1:%s/", strrchr(http, ':') + 1);
    _cleanup_talk_ talk tls = {.settings = {.ca_file = ca, .idle_ms = 300, .connect_ms = 300},
                               .plan = {.request = {.method = "GET", .url = url}, .attempt_max = 1}};
    assert_true(talk_run(&tls) < 0);
    snprintf(url, sizeof url, "http://127.0.0.1:%s/", strrchr(https, ':') + 1);
    _cleanup_talk_ talk plain = {.settings.retry_ms = 1, .plan.request = {.method = "GET", .url = url}};
    assert_true(talk_run(&plain) < 0);
}

static void bodies_stream_and_connections_are_kept(void **state) {
    (void)state;
    cii_http_pool *pool;
    cii_http_settings settings = {.ca_file = ca};
    assert_int_equal(cii_http_pool_new(&settings, &pool, NULL), CI_OK);
    for (int i = 0; i < 4; i++) {
        pipe_end up = {.pause_every = 2}, down = {.pause_every = 3};
        _cleanup_talk_ talk put = {.pool = pool,
                                   .shared = true,
                                   .paused = true,
                                   .plan = {.request = {.method = "PUT",
                                                        .url = server_url(https, "/sure"),
                                                        .body_bytes = 1000000,
                                                        .read = read_pattern},
                                            .user = &up}};
        assert_int_equal(talk_run(&put), CI_OK);
        talk_end(&put);
        put = (talk){0};
        _cleanup_talk_ talk get = {
            .pool = pool,
            .shared = true,
            .paused = true,
            .plan = {.request = {.method = "GET", .url = server_url(https, "/bytes/1000000?id=/sure")},
                     .user = &down,
                     .write = write_pattern}};
        assert_int_equal(talk_run(&get), CI_OK);
        assert_int_equal(down.written, 1000000);
    }
    cii_http_pool_free(pool);
    assert_int_equal(log_count("/sure"), 8);
    assert_int_equal(log_connections("/sure"), 1);
}

static volatile sig_atomic_t pipes;
static void on_pipe(int number) {
    (void)number;
    pipes++;
}

static void a_connection_that_breaks_raises_no_signal(void **state) {
    (void)state;
    struct sigaction count = {.sa_handler = on_pipe}, before;
    sigset_t pipe, mask_before, mask_after;
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    pthread_sigmask(SIG_UNBLOCK, &pipe, NULL);
    sigaction(SIGPIPE, &count, &before);
    pthread_sigmask(SIG_SETMASK, NULL, &mask_before);
    for (int i = 0; i < 3; i++) {
        pipe_end up = {0};
        _cleanup_talk_ talk t = {.settings.ca_file = ca,
                                 .plan = {.request = {.method = "PUT",
                                                      .url = server_url(https, "/do/reset"),
                                                      .body_bytes = 50000000,
                                                      .read = read_pattern},
                                          .user = &up}};
        assert_int_equal(talk_run(&t), CI_ERR_IO);
    }
    pthread_sigmask(SIG_SETMASK, NULL, &mask_after);
    sigaction(SIGPIPE, &before, NULL);
    assert_int_equal(pipes, 0);
    for (int number = 1; number < NSIG; number++)
        assert_int_equal(sigismember(&mask_before, number), sigismember(&mask_after, number));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_servers_certificate_is_verified),
        cmocka_unit_test(a_certificate_for_another_name_is_refused),
        cmocka_unit_test(a_ca_file_that_cannot_be_read_is_named),
        cmocka_unit_test(plain_http_on_a_tls_port_and_the_reverse_end),
        cmocka_unit_test(bodies_stream_and_connections_are_kept),
        cmocka_unit_test(a_connection_that_breaks_raises_no_signal),
    };
    return cmocka_run_group_tests(tests, server_start, server_stop);
}
