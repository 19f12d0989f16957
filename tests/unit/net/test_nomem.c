/* Every allocation of ours fails once: the exchange says CI_ERR_NOMEM, nothing crashes, and nothing stays. */
#include "server.h"

#include "../failmalloc.h"
#include "../os/census.h"

static ci_status put_and_get(void) {
    const cii_http_header headers[] = {{"x-a", "b"}, {"x-c", ""}};
    pipe_end up = {0}, down = {0};
    cii_http_settings settings = {.ca_file = ca, .no_proxy = "*", .retry_ms = 1};
    talk put = {.settings = settings,
                .plan = {.request = {.method = "PUT",
                                     .url = URL("/do/until-0/x?id=nomem"),
                                     .headers = headers,
                                     .header_count = 2,
                                     .body_bytes = 1000,
                                     .read = read_pattern,
                                     .rewind = rewind_pattern},
                         .user = &up}};
    talk get = {
        .settings = settings,
        .plan = {.request = {.method = "GET", .url = URL("/bytes/1000")}, .user = &down, .write = write_pattern}};
    ci_status status = talk_run(&put);
    if (status == CI_OK)
        status = talk_run(&get);
    talk_end(&get);
    talk_end(&put);
    return status;
}

/* Nothing that is lost for want of memory may pass for a success, a header that was not sent say. */
static void each_allocation_may_fail(void **state) {
    (void)state;
    size_t before = open_fd_count();
    for (size_t n = 1;; n++) {
        failmalloc_at(n);
        ci_status status = put_and_get();
        if (!failmalloc_stop()) {
            assert_int_equal(status, CI_OK);
            assert_true(n > 10);
            break;
        }
        assert_int_equal(status, CI_ERR_NOMEM);
    }
    assert_int_equal(open_fd_count(), before);
}

/* What cannot be put into words is told as a lack of memory, with the status it would have had, or as that itself. */
static void errors_survive_a_lack_of_memory(void **state) {
    (void)state;
    static const char *const paths[] = {"/do/status-404", "/do/length-9/text-1/close", "/do/garbage"};
    for (size_t i = 0; i < CII_ELEMENTS(paths); i++) {
        for (size_t n = 1;; n++) {
            talk t = {.plan = {.request = {.method = "GET", .url = URL("%s", paths[i])}, .attempt_max = 1}};
            failmalloc_at(n);
            assert_true(talk_run(&t) < 0);
            int failed = failmalloc_stop();
            talk_end(&t);
            if (!failed)
                break;
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_allocation_may_fail),
        cmocka_unit_test(errors_survive_a_lack_of_memory),
    };
    return cmocka_run_group_tests(tests, server_start, server_stop);
}
