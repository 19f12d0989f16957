/* The retry rule, with chance and clock handed in. */
#include "../unit.h"

#include "net/curl.h"
#include "net/retry.h"

static void statuses_that_pass_are_told_from_those_that_do_not(void **state) {
    (void)state;
    static const int32_t passing[] = {429, 500, 502, 503, 504}, lasting[] = {0, 200, 301, 400, 403, 404, 409, 412, 501};
    for (size_t i = 0; i < CII_ELEMENTS(passing); i++)
        assert_true(cii_retry_status(passing[i]));
    for (size_t i = 0; i < CII_ELEMENTS(lasting); i++)
        assert_false(cii_retry_status(lasting[i]));
    assert_true(cii_retry_throttled(503) && cii_retry_throttled(429) && !cii_retry_throttled(500));
}

static void waits_double_up_to_the_cap_and_are_spread_over_all_of_it(void **state) {
    (void)state;
    static const uint32_t most[] = {100, 200, 400, 800, 1600, 3200, 6400, 12800, CII_RETRY_CAP_MS, CII_RETRY_CAP_MS};
    for (unsigned repetition = 1; repetition <= CII_ELEMENTS(most); repetition++) {
        uint64_t seed = 7;
        uint32_t least_seen = UINT32_MAX, most_seen = 0;
        for (int i = 0; i < 2000; i++) {
            uint32_t wait = cii_retry_delay_ms(repetition, 100, cii_retry_random(&seed));
            least_seen = CII_MIN(least_seen, wait);
            most_seen = CII_MAX(most_seen, wait);
        }
        assert_in_range(most_seen, most[repetition - 1] * 9 / 10, most[repetition - 1]);
        assert_in_range(least_seen, 0, most[repetition - 1] / 10);
    }
    assert_in_range(cii_retry_delay_ms(UINT32_MAX, UINT32_MAX, UINT64_MAX), 0, CII_RETRY_CAP_MS);
}

static void equal_seeds_give_equal_waits(void **state) {
    (void)state;
    uint64_t one = 42, other = 42, third = 43;
    assert_true(cii_retry_random(&one) == cii_retry_random(&other));
    assert_true(cii_retry_random(&one) != cii_retry_random(&third));
}

static void retry_after_is_read_as_seconds_and_as_a_date(void **state) {
    (void)state;
    assert_int_equal(cii_retry_after_ms("3", NULL, 0), 3000);
    assert_int_equal(cii_retry_after_ms("0", NULL, 0), 0);
    assert_int_equal(cii_retry_after_ms("Fri, 31 Dec 1999 23:59:59 GMT", NULL, 946684799 - 5), 5000);
    assert_int_equal(cii_retry_after_ms("Fri, 31 Dec 1999 23:59:59 GMT", NULL, 946684799 + 5), 0);
    /* The server's own clock counts, not ours. */
    assert_int_equal(cii_retry_after_ms("Fri, 31 Dec 1999 23:59:59 GMT", "Fri, 31 Dec 1999 23:59:52 GMT", 1700000000),
                     7000);
    assert_int_equal(cii_retry_after_ms("Fri, 31 Dec 1999 23:59:59 GMT", "soon", 946684799 - 5), 5000);
}

static void retry_after_that_makes_no_sense_is_none(void **state) {
    (void)state;
    static const char *const texts[] = {NULL, "", "soon", "-1", "1.5s", "99 bottles"};
    for (size_t i = 0; i < CII_ELEMENTS(texts); i++)
        assert_int_equal(cii_retry_after_ms(texts[i], NULL, 0), -1);
    assert_true(cii_retry_after_ms("99999999999999999999999", NULL, 0) > CII_RETRY_AFTER_MAX_MS);
}

static void budget_runs_out_and_is_filled_by_success_up_to_its_size(void **state) {
    (void)state;
    cii_retry_budget budget = {CII_RETRY_TOKENS};
    unsigned taken = 0;
    while (cii_retry_take(&budget, CII_RETRY_COST))
        taken++;
    assert_int_equal(taken, CII_RETRY_TOKENS / CII_RETRY_COST);
    for (unsigned i = 1; i < CII_RETRY_COST; i++)
        cii_retry_put(&budget, 1);
    assert_false(cii_retry_take(&budget, CII_RETRY_COST));
    cii_retry_put(&budget, 1);
    assert_true(cii_retry_take(&budget, CII_RETRY_COST));
    cii_retry_put(&budget, CII_RETRY_TOKENS);
    cii_retry_put(&budget, CII_RETRY_TOKENS);
    assert_int_equal(budget.tokens, CII_RETRY_TOKENS);
}

int main(void) {
    if (cii_curl_load(NULL) < 0) /* reads dates */
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(statuses_that_pass_are_told_from_those_that_do_not),
        cmocka_unit_test(waits_double_up_to_the_cap_and_are_spread_over_all_of_it),
        cmocka_unit_test(equal_seeds_give_equal_waits),
        cmocka_unit_test(retry_after_is_read_as_seconds_and_as_a_date),
        cmocka_unit_test(retry_after_that_makes_no_sense_is_none),
        cmocka_unit_test(budget_runs_out_and_is_filled_by_success_up_to_its_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
