/* libci's part of AgentCore's figures: a session, whose printing cell is run as often as a line of stdin says; answered with the
 * microseconds of each. Service and keys as AWS's clients read them from the environment. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <ci/ci.h>

static double now_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static void must(ci_status status, ci_error **error) {
    if (status >= 0)
        return;
    fprintf(stderr, "bench: %s: %s\n", ci_status_name(status), ci_error_message(*error));
    exit(1);
}

static double run(ci_session *session) {
    static const char code[] = "print(1)";
    ci_error *error = NULL;
    ci_result *result;
    double start = now_us();
    must(ci_execute_code(session, code, sizeof code - 1, NULL, &result, &error), &error);
    double taken = now_us() - start;
    if (strcmp(ci_result_stdout(result, NULL), "1\n") != 0)
        must(CI_ERR_PROTOCOL, &error);
    ci_result_free(result);
    return taken;
}

int main(void) {
    char line[64];
    ci_error *error = NULL;
    ci_sandbox *sandbox;
    ci_session *session;
    ci_session_options options = CI_SESSION_OPTIONS_INIT;
    must(ci_sandbox_agentcore_new(NULL, &sandbox, &error), &error);
    options.sandbox = sandbox;
    must(ci_session_open(&options, &session, &error), &error);
    while (fgets(line, sizeof line, stdin)) {
        for (int left = atoi(line); left > 0; left--)
            printf("%.1f ", run(session));
        printf("\n");
        fflush(stdout);
    }
    ci_session_close(session);
    ci_sandbox_free(sandbox);
    return 0;
}
