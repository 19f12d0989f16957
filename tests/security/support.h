/* What the security tests share: sessions through the public interface, and guest programs beside this file. */
#ifndef CI_TESTS_SECURITY_SUPPORT_H
#define CI_TESTS_SECURITY_SUPPORT_H

#include <ci/ci.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static inline ci_session *open_session(const ci_session_options *options) {
    ci_session *session = NULL;
    ci_error *error = NULL;
    if (ci_session_open(options, &session, &error) != CI_OK)
        fail_msg("open: %s (%s)", ci_error_message(error), ci_error_hint(error));
    return session;
}

static inline ci_result *run_code(ci_session *session, const char *code) {
    ci_result *result = NULL;
    ci_error *error = NULL;
    if (ci_execute_code(session, code, SIZE_MAX, NULL, &result, &error) != CI_OK)
        fail_msg("code: %s", ci_error_message(error));
    return result;
}

static inline ci_result *run_command(ci_session *session, const char *command) {
    ci_result *result = NULL;
    ci_error *error = NULL;
    if (ci_execute_command(session, command, NULL, &result, &error) != CI_OK)
        fail_msg("command: %s", ci_error_message(error));
    return result;
}

/* A command's stdout, to be freed. */
static inline char *output_of(ci_session *session, const char *command) {
    ci_result *result = run_command(session, command);
    char *text = strdup(ci_result_stdout(result, NULL));
    ci_result_free(result);
    return text;
}

static inline void assert_prints(ci_session *session, const char *command, const char *expected) {
    char *text = output_of(session, command);
    if (strcmp(text, expected) != 0)
        fail_msg("%s printed \"%s\", not \"%s\"", command, text, expected);
    free(text);
}

#endif
