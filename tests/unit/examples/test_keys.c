/* The keys that ci-workspace works on, from a storage that tells a page in several steps. */
#include "ci-workspace/keys.h"

#include <stdio.h>

#include "../session/slow.h"
#include "../unit.h"

enum { COUNT = 2500 }; /* three pages */

static int64_t give_nothing(void *user, void *buffer, size_t size) {
    (void)user;
    (void)buffer;
    (void)size;
    return 0;
}

static void fill(ci_storage *storage) {
    for (int i = 0; i < COUNT; i++) {
        char key[32];
        snprintf(key, sizeof key, "many/%04d", i);
        assert_int_equal(ci_storage_write(storage, key, NULL, give_nothing, NULL, NULL, NULL), CI_OK);
    }
}

/* A step of the page that is listed. */
static void process(struct job *job) {
    ci_call *call = job->call;
    if (ci_call_process(call) == CI_CALL_RUNNING)
        return;
    ci_error *error = NULL;
    ci_status status = ci_call_take_status(call, &error);
    ci_call_free(call);
    job->end(job, status, error);
}

/* Of the copies of one key, that which is to fail; 0: none. */
static int fail_copy;

char *__real_strdup(const char *text);
char *__wrap_strdup(const char *text);
char *__wrap_strdup(const char *text) {
    int is_it = fail_copy > 0 && strcmp(text, "many/0999") == 0 && --fail_copy == 0;
    return is_it ? NULL : __real_strdup(text);
}

static void a_prefix_that_ends_early_for_want_of_memory_has_failed(void **state) {
    (void)state;
    int failures = 0, is_reached = 1;
    for (int nth = 1; is_reached; nth++) {
        slow_log log = {0};
        const struct options options = {0};
        struct program program = {.options = &options, .storage = slow_storage(NULL, 0, &log)};
        fill(program.storage);
        struct keys *keys = keys_new(&program, (char *[]){"many/"}, 1);
        struct job *listing = NULL, *begun;
        struct found found;
        int count = 0, r;
        fail_copy = nth;
        for (; (r = keys_next(keys, &found, &begun)) != 0; count += r > 0) {
            listing = begun ? begun : listing;
            if (r < 0)
                process(listing);
            else
                free(found.key);
        }
        is_reached = fail_copy == 0;
        fail_copy = 0;
        failures += is_reached;
        assert_true(count == COUNT || program.failed);
        keys_free(keys);
        ci_storage_free(program.storage);
    }
    assert_in_range(failures, 2, 10); /* in the page, and as where the next begins */
}

static void all_keys_of_a_prefix_come_however_soon_each_is_done_with(void **state) {
    (void)state;
    slow_log log = {0};
    const struct options options = {0};
    struct program program = {.options = &options, .storage = slow_storage(NULL, 0, &log)};
    fill(program.storage);
    struct keys *keys = keys_new(&program, (char *[]){"many/"}, 1);
    struct job *listing = NULL, *begun;
    char *seen[COUNT];
    int count = 0, r;
    struct found found;
    while ((r = keys_next(keys, &found, &begun)) != 0) {
        if (r < 0) {
            listing = begun ? begun : listing;
            process(listing);
            continue;
        }
        char rest[16];
        assert_true(count < COUNT);
        snprintf(rest, sizeof rest, "%04d", count);
        assert_string_equal(found.rest, rest);
        memset(found.key, '~', strlen(found.key)); /* it is ours */
        seen[count++] = found.key;
    }
    assert_int_equal(count, COUNT);
    assert_int_equal(program.failed, 0);
    assert_int_equal(log.lists, 3);
    while (count > 0)
        free(seen[--count]);
    keys_free(keys);
    ci_storage_free(program.storage);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_keys_of_a_prefix_come_however_soon_each_is_done_with),
        cmocka_unit_test(a_prefix_that_ends_early_for_want_of_memory_has_failed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
