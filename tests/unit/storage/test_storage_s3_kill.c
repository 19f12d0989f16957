/* Clients and servers that are killed while a large object is put, at random moments: what is there is whole, and the next
 * put leaves no upload behind. On the real server that CI_TEST_S3 names; CI_TEST_SEED repeats a run. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/str.h"
#include "drive.h"
#include "os/fd.h"
#include "s3_server.h"

#define MIB ((size_t)1 << 20)
#define SIZE_MAX_BYTES (22 * MIB)
#define READY_MS 120000
#define PATIENCE_MS 120000

static char *data; /* that differs everywhere */
static unsigned seed;

static unsigned pick(unsigned below) {
    seed = seed * 1664525 + 1013904223;
    return (seed >> 8) % below;
}

/* What a round puts: begins at another byte, so that no two rounds have a part in common. */
static source version(unsigned round) {
    return (source){.data = data + round * 4099, .size = 6 * MIB + (round * 5 * MIB + round) % (15 * MIB)};
}

static ci_storage *open_storage(const char *url) {
    ci_storage *storage = NULL;
    ci_storage_s3_options options = CI_STORAGE_S3_OPTIONS_INIT;
    options.part_bytes = 5 * MIB;
    assert_int_equal(ci_storage_s3_new(url, &options, &storage, NULL), CI_OK);
    return storage;
}

/* One of the rounds' contents up to this one, or nothing yet. */
static void assert_whole(ci_storage *s, unsigned round) {
    _cleanup_buf_ cii_buf back = {0};
    ci_status status = get(s, "k", &back);
    if (status == CI_ERR_NOTFOUND)
        return;
    assert_int_equal(status, CI_OK);
    bool known = false;
    for (unsigned i = 0; i <= round && !known; i++) {
        source v = version(i);
        known = back.size == v.size && memcmp(back.data, v.data, v.size) == 0;
    }
    if (!known)
        fail_msg("round %u: %zu bytes that were never put", round, back.size);
}

static void put_next(const char *url) {
    ci_storage *s = open_storage(url);
    assert_int_equal(put_text(s, "small", "next"), CI_OK);
    ci_storage_free(s);
}

/* By a put of another object, so that what was left is not ended by chance. A server may still be at a request of the dead:
 * then by the put after that. */
static void assert_next_put_cleans(const char *url, unsigned round) {
    int64_t until_ms = cii_clock_ms() + PATIENCE_MS;
    put_next(url);
    while (s3_count_uploads() > 0) {
        if (cii_clock_ms() > until_ms)
            fail_msg("round %u: an upload is left", round);
        print_message("round %u: the server was still at it\n", round);
        put_next(url);
    }
}

static void assert_whole_after(const char *url, unsigned round) {
    ci_storage *s = open_storage(url);
    assert_whole(s, round);
    ci_storage_free(s);
}

/* --- the client --------------------------------------------------------------------------------------------------- */

/* What the child does: the storage is its own. */
static int child(const char *url, unsigned round) {
    source from = version(round);
    ci_storage *s = open_storage(url);
    int32_t status = drive(start_put(s, &PUT_REQUEST("k"), &from), NULL);
    ci_storage_free(s);
    return status == CI_OK ? 0 : 1;
}

static pid_t start_child(const char *url, unsigned round) {
    char number[12];
    snprintf(number, sizeof number, "%u", round);
    pid_t pid = fork();
    if (pid == 0) {
        execl("/proc/self/exe", "test_storage_s3_kill", url, number, NULL);
        _exit(127);
    }
    return pid;
}

static int wait_for(pid_t pid) {
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void a_client_that_is_killed_leaves_nothing_behind(void **state) {
    (void)state;
    enum { ROUNDS = 30 };
    char url[64];
    unsigned killed = 0;
    s3_new_url(url);
    int64_t begun_us = cii_clock_us();
    assert_int_equal(wait_for(start_child(url, 0)), 0);
    unsigned whole_us = (unsigned)(cii_clock_us() - begun_us);
    for (unsigned round = 1; round <= ROUNDS; round++) {
        pid_t pid = start_child(url, round);
        begun_us = cii_clock_us();
        usleep(pick(whole_us)); /* anywhere in it */
        kill(pid, SIGKILL);
        bool is_killed = WIFSIGNALED(wait_for(pid));
        if (!is_killed) /* the machine was slow when it was measured */
            whole_us = CII_MIN(whole_us, (unsigned)(cii_clock_us() - begun_us));
        killed += is_killed;
        assert_next_put_cleans(url, round);
        assert_whole_after(url, round);
    }
    assert_true(killed > 0);
}

/* --- the server --------------------------------------------------------------------------------------------------- */

static pid_t server_process(void) {
    int pid = 0;
    FILE *file = fopen(getenv("CI_TEST_S3_PROCESS"), "r");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%d", &pid), 1);
    fclose(file);
    return pid;
}

/* It is started again by who started it. */
static void wait_for_server(const char *url) {
    int64_t until_ms = cii_clock_ms() + READY_MS;
    for (ci_status status = CI_ERR_IO; status < 0;) {
        ci_storage *s = open_storage(url);
        _cleanup_buf_ cii_buf keys = {0};
        status = list(s, "", NULL, 1, &keys, NULL);
        ci_storage_free(s);
        assert_true(cii_clock_ms() < until_ms);
    }
}

static void a_server_that_is_killed_leaves_nothing_behind(void **state) {
    (void)state;
    enum { ROUNDS = 6 };
    char url[64];
    unsigned failed = 0;
    s3_new_url(url);
    for (unsigned round = 0; round < ROUNDS; round++) {
        source from = version(round);
        ci_storage *s = open_storage(url);
        ci_op *op = start_put(s, &PUT_REQUEST("k"), &from);
        size_t moment = pick((unsigned)from.size);
        int32_t result = 0;
        while (from.at < moment && (result = op->ops->process(op, NULL)) == 0)
            ;
        assert_int_equal(result, 0);
        pid_t pid = server_process();
        assert_int_equal(killpg(pid, SIGKILL), 0);
        failed += drive(op, NULL) < 0;
        ci_storage_free(s);
        wait_for_server(url);
        assert_next_put_cleans(url, round);
        assert_whole_after(url, round);
    }
    assert_true(failed > 0);
}

static int set_up(void **state) {
    (void)state;
    const char *given = getenv("CI_TEST_SEED");
    seed = given ? (unsigned)strtoul(given, NULL, 10) : (unsigned)time(NULL);
    print_message("seed %u\n", seed);
    s3_make_bucket();
    return 0;
}

static void make_data(void) {
    uint32_t x = 1;
    data = malloc(SIZE_MAX_BYTES);
    for (size_t i = 0; data && i < SIZE_MAX_BYTES; i++) {
        x = x * 1664525 + 1013904223;
        data[i] = (char)(x >> 24);
    }
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_client_that_is_killed_leaves_nothing_behind),
        cmocka_unit_test(a_server_that_is_killed_leaves_nothing_behind),
    };
    make_data();
    int result = !data       ? 1
                 : argc == 3 ? child(argv[1], (unsigned)strtoul(argv[2], NULL, 10))
                             : cmocka_run_group_tests(tests, set_up, NULL);
    free(data);
    return result;
}
