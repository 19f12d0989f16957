/*
 * Measures libci through its public interface. It answers lines "WHAT COUNT" on stdin, one line of microseconds each, so
 * that measure.py can take turns between it and what it is compared with.
 */
#include <ci/ci.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

struct bench {
    ci_sandbox *sandbox;
    ci_session *session; /* kept open for round trips */
    int peer_fd;         /* a process that echoes bytes */
};

static double now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void must(ci_status status, ci_error *error) {
    if (status == CI_OK)
        return;
    fprintf(stderr, "bench: %s: %s\n", ci_status_name(status), ci_error_message(error));
    exit(1);
}

static ci_session *open_one(struct bench *bench) {
    ci_session_options options = CI_SESSION_OPTIONS_INIT;
    options.sandbox = bench->sandbox;
    ci_session *session;
    ci_error *error = NULL;
    must(ci_session_open(&options, &session, &error), error);
    return session;
}

/* Runs code, or a command, that must end well and print what is expected. */
static void run(ci_session *session, const char *code, const char *command, const char *expected) {
    ci_result *result;
    ci_error *error = NULL;
    must(code ? ci_execute_code(session, code, SIZE_MAX, NULL, &result, &error)
              : ci_execute_command(session, command, NULL, &result, &error),
         error);
    if (ci_result_outcome(result) != CI_OUTCOME_OK || strcmp(ci_result_stdout(result, NULL), expected) != 0) {
        fprintf(stderr, "bench: %s went wrong: %s%s\n", code ? code : command, ci_result_stdout(result, NULL),
                ci_result_traceback(result) ? ci_result_traceback(result) : "");
        exit(1);
    }
    ci_result_free(result);
}

/* Opens a session and prints with the modules that its kernel was forked with; closing is not in the time. */
static double measure_open(struct bench *bench) {
    double start = now_us();
    ci_session *session = open_one(bench);
    run(session, "import numpy, pandas, matplotlib.pyplot; print(1)", NULL, "1\n");
    double taken = now_us() - start;
    ci_session_close(session);
    return taken;
}

static double measure_code(struct bench *bench) {
    double start = now_us();
    run(bench->session, "print(1)", NULL, "1\n");
    return now_us() - start;
}

static double measure_command(struct bench *bench) {
    double start = now_us();
    run(bench->session, NULL, "true", "");
    return now_us() - start;
}

static double measure_socket(struct bench *bench) {
    char byte = 'x';
    double start = now_us();
    if (write(bench->peer_fd, &byte, 1) != 1 || read(bench->peer_fd, &byte, 1) != 1)
        exit(1);
    return now_us() - start;
}

static const struct {
    const char *name;
    double (*measure)(struct bench *bench);
} measures[] = {
    {"open", measure_open},
    {"code", measure_code},
    {"command", measure_command},
    {"socket", measure_socket},
};

static int start_echo(void) {
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
        exit(1);
    if (fork() == 0) {
        char byte;
        close(pair[0]);
        while (read(pair[1], &byte, 1) == 1 && write(pair[1], &byte, 1) == 1)
            ;
        _exit(0);
    }
    close(pair[1]);
    return pair[0];
}

int main(void) {
    struct bench bench = {.peer_fd = start_echo()};
    ci_sandbox_local_options options = CI_SANDBOX_LOCAL_OPTIONS_INIT;
    options.preload = "numpy,pandas,matplotlib.pyplot";
    ci_error *error = NULL;
    must(ci_sandbox_local_new(&options, &bench.sandbox, &error), error);
    must(ci_sandbox_prepare(bench.sandbox, 0, &error), error);
    bench.session = open_one(&bench);
    char what[32];
    unsigned count;
    while (scanf("%31s %u", what, &count) == 2) {
        for (size_t i = 0; i < sizeof(measures) / sizeof(measures[0]); i++)
            for (unsigned n = 0; strcmp(what, measures[i].name) == 0 && n < count; n++)
                printf("%.1f ", measures[i].measure(&bench));
        puts("");
        fflush(stdout);
    }
    ci_session_close(bench.session);
    ci_sandbox_free(bench.sandbox);
    return 0;
}
