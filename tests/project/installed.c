/* A user's program, built against an installed libci: says its version, and runs a line of Python in a session, for
 * which the library must find its helper where it was installed. Exits with 77 where the machine lets no session open. */
#include <ci/ci.h>
#include <stdio.h>

int main(void) {
    ci_session *session = NULL;
    ci_result *result = NULL;
    ci_error *error = NULL;
    ci_status status;
    printf("%s\n", ci_version_string());
    status = ci_session_open(NULL, &session, &error);
    if (status == CI_OK)
        status = ci_execute_code(session, "print(6 * 7)", (size_t)-1, NULL, &result, &error);
    if (status == CI_OK)
        printf("%s", ci_result_stdout(result, NULL));
    else
        fprintf(stderr, "%s: %s\n", ci_status_name(status), ci_error_message(error));
    ci_result_free(result);
    ci_session_close(session);
    ci_error_free(error);
    return status == CI_OK ? 0 : status == CI_ERR_PERMISSION ? 77 : 1;
}
