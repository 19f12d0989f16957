/* What the conformance suite's programs share: the table of backends that each is run against, and the session of a test. */
#ifndef CI_TEST_CONFORMANCE_H
#define CI_TEST_CONFORMANCE_H

// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
// clang-format on

#include <ci/ci.h>
#include <ci/sys/sandbox.h>
#include <stdbool.h>

/* One backend as it is tested. The rest that differs, its capabilities say. */
typedef struct shape {
    const char *name;
    ci_status (*make)(ci_sandbox **ret_sandbox, ci_error **ret_error);
    int32_t network;    /* that its sessions have */
    const char *manner; /* of the stub that it needs, to which connections are kept; NULL: none */
} shape;

extern const shape *now;
extern char workspace[64];
extern ci_sandbox *sandbox;
extern ci_session *session;

/* Status and message of a call whose last argument is &error. */
#define FAILS(wanted, text, call)                                 \
    do {                                                          \
        ci_error *error = NULL;                                   \
        assert_int_equal((call), (wanted));                       \
        assert_int_equal(ci_error_status(error), (wanted));       \
        if (!strstr(ci_error_message(error), (text)))             \
            assert_string_equal(ci_error_message(error), (text)); \
        ci_error_free(error);                                     \
    } while (0)

int set_up(void **state);
int tear_down(void **state);
#define WITH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

/* Runs the tests against every backend of the table: with the stub's manner in the environment against the stub alone, without
 * it against those that need none. The number of failures. */
int run_conformance(const struct CMUnitTest *tests, size_t count);

/* In the workspace's folder, from outside. */
void in_workspace(const char *name, char path[256]);
void shell(const char *command);
void write_here(const char *name, const char *text);
void assert_holds(const char *name, const char *text);
void assert_absent(const char *name);

/* The session. */
ci_session_options usual(void);
void open_with(const ci_session_options *options);
void open_usual(void);
bool can(uint64_t capability);
ci_result *command_with(const char *text, const ci_run_options *options);
ci_result *command(const char *text);
void assert_prints(const char *text, const char *wanted);
void run_quietly(const char *text);

/* The entry of a path in a list; NULL: there is none. */
const ci_file_info *entry(const ci_result *result, int32_t list, const char *path);
const ci_file_info *must(const ci_result *result, int32_t list, const char *path, int32_t status);

#endif
