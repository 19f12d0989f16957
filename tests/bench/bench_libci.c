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
    ci_sandbox *ready;   /* keeps TypeScript ready; made when it is first wanted */
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

static ci_session *open_one(ci_sandbox *sandbox) {
    ci_session_options options = CI_SESSION_OPTIONS_INIT;
    options.sandbox = sandbox;
    ci_session *session;
    ci_error *error = NULL;
    must(ci_session_open(&options, &session, &error), error);
    return session;
}

/* Runs code, or a command where language is NULL, that must end well and print what is expected. */
static void run(ci_session *session, const char *language, const char *text, const char *expected) {
    ci_run_options options = CI_RUN_OPTIONS_INIT;
    options.language = language;
    ci_result *result;
    ci_error *error = NULL;
    must(language ? ci_execute_code(session, text, SIZE_MAX, &options, &result, &error)
                  : ci_execute_command(session, text, &options, &result, &error),
         error);
    if (ci_result_outcome(result) != CI_OUTCOME_OK || strcmp(ci_result_stdout(result, NULL), expected) != 0) {
        fprintf(stderr, "bench: %s went wrong: %s%s\n", text, ci_result_stdout(result, NULL),
                ci_result_traceback(result) ? ci_result_traceback(result) : "");
        exit(1);
    }
    ci_result_free(result);
}

/* Opens a session and prints with the modules that its kernel was forked with; closing is not in the time. */
static double measure_open(struct bench *bench) {
    double start = now_us();
    ci_session *session = open_one(bench->sandbox);
    run(session, "python", "import numpy, pandas, matplotlib.pyplot; print(1)", "1\n");
    double taken = now_us() - start;
    ci_session_close(session);
    return taken;
}

static double measure_code(struct bench *bench) {
    double start = now_us();
    run(bench->session, "python", "print(1)", "1\n");
    return now_us() - start;
}

static double measure_command(struct bench *bench) {
    double start = now_us();
    run(bench->session, NULL, "true", "");
    return now_us() - start;
}

static double measure_javascript(struct bench *bench) {
    double start = now_us();
    run(bench->session, "javascript", "console.log(6 * 7)", "42\n");
    return now_us() - start;
}

#define TYPED "const n: number = 6 * 7; console.log(n)"

static double measure_typescript(struct bench *bench) {
    double start = now_us();
    run(bench->session, "typescript", TYPED, "42\n");
    return now_us() - start;
}

/* Opening is in the time. */
static double measure_first(ci_sandbox *sandbox) {
    double start = now_us();
    ci_session *session = open_one(sandbox);
    run(session, "typescript", TYPED, "42\n");
    double taken = now_us() - start;
    ci_session_close(session);
    return taken;
}

static double measure_typescript_first(struct bench *bench) {
    return measure_first(bench->sandbox);
}

static double measure_typescript_ready(struct bench *bench) {
    ci_error *error = NULL;
    ci_sandbox_local_options options = CI_SANDBOX_LOCAL_OPTIONS_INIT;
    options.kernels = "typescript";
    if (!bench->ready)
        must(ci_sandbox_local_new(&options, &bench->ready, &error), error);
    must(ci_sandbox_prepare(bench->ready, 0, &error), error);
    return measure_first(bench->ready);
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
    {"javascript", measure_javascript},
    {"typescript", measure_typescript},
    {"typescript-first", measure_typescript_first},
    {"typescript-ready", measure_typescript_ready},
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
    bench.session = open_one(bench.sandbox);
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
    ci_sandbox_free(bench.ready);
    return 0;
}
