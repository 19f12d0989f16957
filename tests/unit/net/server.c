/* See server.h. */
#include "server.h"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/str.h"
#include "os/fd.h"
#include "os/process.h"

#define PATIENCE_MS 300000 /* with what shall end, and does not hang on time */

char http[64], https[64], ca[128];
static char folder[] = "/tmp/ci-http-XXXXXX";
static int server_pidfd = -1, server_life_fd = -1;

int server_start(void **state) {
    (void)state;
    int ends[2], life[2]; /* life: its write end is ours alone, and ends with us */
    char line[64];
    pid_t pid;
    assert_non_null(mkdtemp(folder));
    snprintf(ca, sizeof ca, "%s/cert.pem", folder);
    assert_int_equal(setenv("TMPDIR", folder, 1), 0);
    const char *const argv[] = {
        "python3",
        "-B",
        "-c",
        "import os, runpy, sys; os.dup2(3, 1); os.dup2(4, 0); os.closerange(3, 5); sys.argv = sys.argv[1:]; "
        "runpy.run_path(sys.argv[0], run_name='__main__')",
        TEST_HTTP_SERVER,
        "--tls",
        folder,
        "--until-eof",
        NULL};
    const char *const environment[] = {"PATH=/usr/bin:/bin", NULL};
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_int_equal(pipe2(life, O_CLOEXEC), 0);
    const int fds[] = {ends[1], life[0]};
    assert_int_equal(cii_process_spawn(TEST_PYTHON, argv, environment, fds, 2, &pid, &server_pidfd, NULL), CI_OK);
    close(ends[1]);
    close(life[0]);
    server_life_fd = life[1];
    FILE *from = fdopen(ends[0], "r");
    for (char *text = http; text; text = text == http ? https : NULL) {
        unsigned port;
        char name[8];
        assert_non_null(fgets(line, sizeof line, from));
        assert_int_equal(sscanf(line, "%7s %u", name, &port), 2);
        snprintf(text, sizeof http, "%s://127.0.0.1:%u", name, port);
    }
    fclose(from);
    return 0;
}

int server_stop(void **state) {
    (void)state;
    close(server_life_fd);
    assert_true(cii_fd_wait(server_pidfd, POLLIN, PATIENCE_MS) & POLLIN);
    close(server_pidfd);
    char command[64]; /* what a program leaves in its TMPDIR goes too: records of uploads */
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

const char *server_url(const char *origin, const char *format, ...) {
    static __thread char urls[16][1024];
    static __thread unsigned next;
    char *url = urls[next++ % 16];
    int size = snprintf(url, 1024, "%s", origin);
    va_list args;
    va_start(args, format);
    assert_true(vsnprintf(url + size, 1024 - (size_t)size, format, args) < 1024 - size);
    va_end(args);
    return url;
}

/* --- operations --------------------------------------------------------------------------------------------------- */

ci_status talk_start(talk *t) {
    ci_status status = t->pool ? CI_OK : cii_http_pool_new(&t->settings, &t->pool, &t->error);
    if (status == CI_OK && !t->lane)
        status = cii_http_lane_take(t->pool, &t->lane, &t->error);
    if (status == CI_OK)
        status = cii_http_exchange_start(t->lane, &t->plan, &t->exchange, &t->error);
    if (status == CI_OK)
        t->response = cii_http_exchange_response(t->exchange);
    return status;
}

ci_status talk_finish(talk *t) {
    int64_t until_ms = cii_clock_ms() + PATIENCE_MS;
    for (;;) {
        ci_status status = cii_http_lane_process(t->lane, &t->error);
        int32_t result = status < 0 ? status : cii_http_exchange_result(t->exchange, &t->error);
        if (result != 0) {
            assert_int_equal(ci_error_status(t->error), result < 0 ? result : CI_OK);
            return result < 0 ? result : CI_OK;
        }
        if (cii_clock_ms() > until_ms)
            fail_msg("an exchange does not end");
        cii_fd_wait(cii_http_lane_fd(t->lane), POLLIN, t->paused ? 0 : 1000);
    }
}

ci_status talk_run(talk *t) {
    ci_status status = talk_start(t);
    return status < 0 ? status : talk_finish(t);
}

void talk_end(talk *t) {
    cii_http_exchange_free(t->exchange);
    cii_http_lane_give(t->lane);
    if (!t->shared)
        cii_http_pool_free(t->pool);
    ci_error_free(t->error);
}

void server_rules(const char *rules) {
    _cleanup_talk_ talk t = {
        .plan.request = {.method = "PUT", .url = URL("/rules"), .body = rules, .body_bytes = strlen(rules)}};
    assert_int_equal(talk_run(&t), CI_OK);
}

/* --- what the server says ----------------------------------------------------------------------------------------- */

static char *read_log(const char *id) {
    _cleanup_talk_ talk t = {.plan.request = {.method = "GET", .url = server_url(http, "/log/%s", id)}};
    assert_int_equal(talk_run(&t), CI_OK);
    return strdup(t.response->body);
}

unsigned log_count(const char *id) {
    _cleanup_free_ char *text = read_log(id);
    unsigned count = 0;
    for (const char *line = strstr(text, " connection "); line; line = strstr(line + 1, " connection "))
        count++;
    return count;
}

bool log_has(const char *id, const char *wanted) {
    _cleanup_free_ char *text = read_log(id);
    return strstr(text, wanted) != NULL;
}

char *log_value(const char *id, const char *wanted) {
    _cleanup_free_ char *text = read_log(id);
    const char *at = strstr(text, wanted);
    return at ? strndup(at + strlen(wanted), strcspn(at + strlen(wanted), "\n")) : NULL;
}

unsigned log_connections(const char *id) {
    _cleanup_free_ char *text = read_log(id);
    unsigned long seen[64];
    unsigned count = 0;
    for (const char *line = strstr(text, " connection "); line; line = strstr(line + 1, " connection ")) {
        unsigned long number = strtoul(line + 12, NULL, 10);
        unsigned i = 0;
        while (i < count && seen[i] != number)
            i++;
        if (i == count && count < CII_ELEMENTS(seen))
            seen[count++] = number;
    }
    return count;
}

/* --- bytes -------------------------------------------------------------------------------------------------------- */

static bool pauses(pipe_end *end) {
    return end->pause_every > 0 && ++end->calls % end->pause_every == 0;
}

int64_t read_pattern(void *user, void *buffer, size_t size) {
    pipe_end *end = user;
    if (pauses(end))
        return CI_IO_PAUSE;
    if (end->piece > 0)
        size = CII_MIN(size, end->piece);
    if (end->size > 0)
        size = (size_t)CII_MIN((uint64_t)size, end->size - end->read);
    for (size_t i = 0; i < size; i++)
        ((unsigned char *)buffer)[i] = (unsigned char)((end->read + i) % 251);
    end->read += size;
    return (int64_t)size;
}

int32_t rewind_pattern(void *user) {
    pipe_end *end = user;
    end->read = 0;
    end->rewinds++;
    return 0;
}

int32_t write_pattern(void *user, const void *data, size_t size) {
    pipe_end *end = user;
    if (pauses(end))
        return CI_IO_PAUSE;
    for (size_t i = 0; i < size; i++)
        if (((const unsigned char *)data)[i] != (end->written + i) % 251)
            return -1;
    end->written += size;
    return 0;
}
