/* Many sessions of AgentCore's stub at once, in one thread, which waits on the descriptors of all their calls together. */
#include "public.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SESSIONS = 100 };

static ci_sandbox *sandbox;
static ci_session *sessions[SESSIONS];
static ci_call *calls[SESSIONS];

static int count_entries(const char *path) {
    int count = 0;
    DIR *dir = opendir(path);
    assert_non_null(dir);
    for (struct dirent *entry; (entry = readdir(dir));)
        count += entry->d_name[0] != '.';
    closedir(dir);
    return count;
}

/* One of the stub's counters of connections, control requests apart. */
static int connections(const char *which) {
    char answer[4096] = "", name[32];
    size_t size = 0;
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const char ask[] = "GET /_stub/connections HTTP/1.0\r\n\r\n";
    to.sin_port = htons((uint16_t)atoi(strrchr(getenv("CI_TEST_AGENTCORE_ENDPOINT"), ':') + 1));
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_return_code(connect(fd, (struct sockaddr *)&to, sizeof to), errno);
    assert_int_equal(write(fd, ask, sizeof ask - 1), sizeof ask - 1);
    for (ssize_t got = 1; got > 0; size += (size_t)got)
        assert_return_code(got = read(fd, answer + size, sizeof answer - 1 - size), errno);
    close(fd);
    snprintf(name, sizeof name, "\"%s\":", which);
    const char *at = strstr(answer, name);
    assert_non_null(at);
    return atoi(at + strlen(name));
}

/* Until all calls are done. The highest number of threads that there ever were. */
static int drive(void) {
    struct pollfd fds[SESSIONS];
    size_t left = SESSIONS;
    int threads = 0;
    bool done[SESSIONS] = {false};
    while (left > 0) {
        for (size_t i = 0; i < SESSIONS; i++) {
            int32_t state = done[i] ? 0 : ci_call_process(calls[i]);
            assert_true(state >= 0);
            if (state == CI_CALL_DONE) {
                done[i] = true;
                left--;
            }
            fds[i] = (struct pollfd){.fd = done[i] ? -1 : ci_call_fd(calls[i]), .events = POLLIN};
        }
        int now = count_entries("/proc/self/task");
        threads = now > threads ? now : threads;
        if (left > 0)
            assert_true(poll(fds, SESSIONS, 60000) > 0);
    }
    return threads;
}

static void free_calls(void) {
    for (size_t i = 0; i < SESSIONS; i++) {
        ci_call_free(calls[i]);
        calls[i] = NULL;
    }
}

static int open_all(void) {
    ci_session_options options = CI_SESSION_OPTIONS_INIT;
    options.sandbox = sandbox;
    for (size_t i = 0; i < SESSIONS; i++)
        MUST(ci_session_open_start(&options, &calls[i], &error));
    int threads = drive();
    for (size_t i = 0; i < SESSIONS; i++)
        MUST(ci_call_take_session(calls[i], &sessions[i], &error));
    free_calls();
    return threads;
}

/* Each session prints its own number, by code or by a command. */
static int run_all(bool is_code) {
    for (size_t i = 0; i < SESSIONS; i++) {
        char text[64];
        int size = snprintf(text, sizeof text, is_code ? "n = %zu\nprint(n)" : "echo %zu", i);
        MUST(is_code ? ci_execute_code_start(sessions[i], text, (size_t)size, NULL, &calls[i], &error)
                     : ci_execute_command_start(sessions[i], text, NULL, &calls[i], &error));
    }
    int threads = drive();
    for (size_t i = 0; i < SESSIONS; i++) {
        char wanted[32];
        ci_result *result = NULL;
        MUST(ci_call_take_result(calls[i], &result, &error));
        snprintf(wanted, sizeof wanted, "%zu\n", i);
        assert_string_equal(ci_result_stdout(result, NULL), wanted);
        ci_result_free(result);
    }
    free_calls();
    return threads;
}

static void one_thread_drives_a_hundred_sessions_over_a_connection_each(void **state) {
    (void)state;
    int fds = count_entries("/proc/self/fd"), threads = count_entries("/proc/self/task");
    int opened = connections("opened");
    MUST(ci_sandbox_agentcore_new(NULL, &sandbox, &error));
    assert_int_equal(open_all(), threads);
    assert_int_equal(connections("open"), SESSIONS);
    assert_int_equal(run_all(true), threads);
    assert_int_equal(run_all(false), threads);
    assert_int_equal(run_all(true), threads);
    for (size_t i = 0; i < SESSIONS; i++)
        ci_session_close(sessions[i]);
    ci_sandbox_free(sandbox);
    assert_int_equal(connections("opened") - opened, SESSIONS);
    assert_int_equal(count_entries("/proc/self/task"), threads);
    assert_int_equal(count_entries("/proc/self/fd"), fds);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_thread_drives_a_hundred_sessions_over_a_connection_each),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
