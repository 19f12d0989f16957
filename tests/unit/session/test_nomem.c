/* Every allocation of a session's whole life fails once: the call says CI_ERR_NOMEM, and nothing is left behind. */
#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../unit.h"
#include "failmalloc.h"
#include "fake.h"
#include "session/object.h"
#include "template_sandbox.h"

static char folder[64];

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at) {
    (void)st;
    (void)kind;
    (void)at;
    return remove(path);
}

static ci_status use_files(ci_session *session) {
    const ci_file_content content = {"w", "1", 1};
    ci_file_op_options options = CI_FILE_OP_OPTIONS_INIT;
    options.operation = CI_FILE_OP_WRITE;
    options.content = &content;
    options.content_count = 1;
    ci_result *result = NULL;
    ci_status status = ci_file_op(session, &options, &result, NULL);
    ci_result_free(result);
    if (status < 0)
        return status;
    const char *paths[] = {"w", "none"};
    options = (ci_file_op_options)CI_FILE_OP_OPTIONS_INIT;
    options.operation = CI_FILE_OP_READ;
    options.paths = paths;
    options.path_count = 2;
    result = NULL;
    status = ci_file_op(session, &options, &result, NULL);
    ci_result_free(result);
    if (status < 0)
        return status;
    char *json = NULL;
    status = ci_session_info(session, &json, NULL);
    ci_free(json);
    return status;
}

static ci_status use(ci_session *session) {
    ci_run_options options = CI_RUN_OPTIONS_INIT;
    options.output_filename = "missing";
    options.flags = CI_RUN_LIST_CHANGES;
    options.cwd = ".";
    ci_result *result = NULL;
    ci_error *error = NULL;
    ci_status status = ci_execute_command(session, "touch 1 2 3 4; echo 1 > f; mkdir d", &options, &result, &error);
    ci_result_free(result);
    ci_error_free(error);
    if (status == CI_OK)
        status = use_files(session);
    result = NULL;
    if (status == CI_OK)
        status = ci_push_to_workspace(session, NULL, 0, NULL, &result, NULL);
    ci_result_free(result);
    result = NULL;
    if (status == CI_OK)
        status = ci_workspace_list(session, NULL, &result, NULL);
    ci_result_free(result);
    return status;
}

static ci_status whole_life(void *user) {
    ci_sandbox *sandbox = NULL;
    ci_storage *storage = NULL;
    ci_session *session = NULL;
    const ci_storage_dir_options quick = {.struct_size = sizeof quick, .no_sync = 1};
    ci_status status = template_sandbox_new(*(unsigned *)user, &sandbox, NULL);
    if (status == CI_OK)
        status = ci_storage_dir_new(folder, &quick, &storage, NULL);
    static const char *const prefixes[] = {"more/=other/{session}", NULL};
    ci_session_options options = CI_SESSION_OPTIONS_INIT;
    options.prefixes = prefixes;
    options.manifest = "manifest.json";
    options.sandbox = sandbox;
    options.storage = storage;
    options.network = CI_NETWORK_HOST;
    options.session_id = "me";
    if (status == CI_OK)
        status = ci_session_open(&options, &session, NULL);
    if (status == CI_OK)
        status = use(session);
    ci_session_close(session);
    ci_storage_free(storage);
    ci_sandbox_free(sandbox);
    return status;
}

static void each_allocation_may_fail(void **state) {
    (void)state;
    strcpy(folder, "/tmp/ci-test-XXXXXX");
    assert_non_null(mkdtemp(folder));
    char command[256];
    snprintf(command, sizeof command,
             "cd %s && mkdir -p me/uploads && echo 1 > me/uploads/u && tar -cf me/uploads/t.tar -C me/uploads u",
             folder);
    assert_int_equal(system(command), 0);
    for (unsigned shape = 0; shape <= 3; shape += 3) {
        int fds = count_fds();
        size_t failed = failmalloc_each(whole_life, &shape);
        assert_true(failed > 100);
        assert_int_equal(count_fds(), fds);
    }
    nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static ci_status copy_options(void *user) {
    ci_session_options own;
    uint64_t limits;
    ci_status status = cii_settings_copy(&own, &limits, user, NULL);
    if (status == CI_OK)
        cii_settings_free(&own);
    return status;
}

static void options_that_were_copied_in_part_are_freed(void **state) {
    (void)state;
    static const char *const env[] = {"A=1", "B=2", NULL}, *const rules[] = {"a.example", "*.b.example", NULL};
    ci_session_options options = CI_SESSION_OPTIONS_INIT;
    options.session_id = "me";
    options.env = env;
    options.network = CI_NETWORK_INTERNET;
    options.network_allow = options.network_deny = rules;
    assert_true(failmalloc_each(copy_options, &options) >= 10);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(each_allocation_may_fail),
                                       cmocka_unit_test(options_that_were_copied_in_part_are_freed)};
    return cmocka_run_group_tests_name("sessions without memory", tests, NULL, NULL);
}
