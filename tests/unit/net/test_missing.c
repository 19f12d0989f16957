/* A machine on which libcurl is not what it should be: the test's own stands in its place (CMakeLists.txt). */
#include "net/http.h"
#include "unit.h"

static void without_libcurl_there_is_no_pool_and_a_hint(void **state) {
    (void)state;
    for (int i = 0; i < 2; i++) {
        cii_http_pool *pool = NULL;
        _cleanup_error_ ci_error *error = NULL;
        assert_int_equal(cii_http_pool_new(NULL, &pool, &error), CI_ERR_MISSING);
        assert_null(pool);
        assert_non_null(strstr(ci_error_message(error), "libcurl.so.4"));
        assert_non_null(strstr(ci_error_hint(error), "apt-get install libcurl4"));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(without_libcurl_there_is_no_pool_and_a_hint)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
