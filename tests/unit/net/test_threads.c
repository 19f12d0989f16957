/* Threads that share a pool. */
#include "server.h"

#include <pthread.h>

enum { THREADS = 6, ROUNDS = 25 };

static void *talk_much(void *user) {
    cii_http_pool *pool = user;
    size_t good = 0;
    for (int i = 0; i < ROUNDS; i++) {
        pipe_end up = {0}, down = {0};
        talk put = {
            .pool = pool,
            .shared = true,
            .plan = {.request = {.method = "PUT",
                                 .url = server_url(i % 2 ? http : https, "/do/body/until-20/status-503?id=threads"),
                                 .body_bytes = 70000,
                                 .read = read_pattern,
                                 .rewind = rewind_pattern},
                     .user = &up,
                     .attempt_max = 30}};
        talk get = {
            .pool = pool,
            .shared = true,
            .plan = {.request = {.method = "GET", .url = URL("/bytes/70000")}, .user = &down, .write = write_pattern}};
        good += talk_run(&put) == CI_OK && talk_run(&get) == CI_OK && down.written == 70000;
        talk_end(&put);
        talk_end(&get);
    }
    return (void *)good;
}

static void threads_share_a_pool(void **state) {
    (void)state;
    pthread_t threads[THREADS];
    cii_http_pool *pool;
    cii_http_settings settings = {.ca_file = ca, .retry_ms = 1};
    assert_int_equal(cii_http_pool_new(&settings, &pool, NULL), CI_OK);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, talk_much, pool), 0);
    for (int i = 0; i < THREADS; i++) {
        void *good;
        pthread_join(threads[i], &good);
        assert_int_equal((size_t)good, ROUNDS);
    }
    cii_http_pool_free(pool);
    assert_int_equal(log_count("threads"), THREADS * ROUNDS + 20);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_share_a_pool),
    };
    return cmocka_run_group_tests(tests, server_start, server_stop);
}
