/* See conformance.h. */
#include "conformance.h"

#include <dirent.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "template_sandbox.h"

static int count_fds(void) {
    int count = 0;
    DIR *dir = opendir("/proc/self/fd");
    while (dir && readdir(dir))
        count++;
    if (dir)
        closedir(dir);
    return count;
}

#define TEMPLATE_ALL (TEMPLATE_HOST_PATHS | TEMPLATE_WALK)

const shape *now;
char workspace[64];
ci_sandbox *sandbox;
ci_session *session;
static int fds_before;

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at) {
    (void)st;
    (void)kind;
    (void)at;
    return remove(path);
}

void in_workspace(const char *name, char path[256]) {
    snprintf(path, 256, "%s/%s", workspace, name);
}

void shell(const char *command) {
    char line[4096];
    snprintf(line, sizeof line, "cd %s && %s", workspace, command);
    if (system(line) != 0)
        fail_msg("%s", command);
}

void write_here(const char *name, const char *text) {
    char path[256];
    in_workspace(name, path);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

void assert_holds(const char *name, const char *text) {
    char path[256], content[256] = "";
    in_workspace(name, path);
    FILE *file = fopen(path, "r");
    if (!file)
        fail_msg("%s is not there", name);
    content[fread(content, 1, sizeof content - 1, file)] = 0;
    fclose(file);
    assert_string_equal(content, text);
}

void assert_absent(const char *name) {
    char path[256];
    in_workspace(name, path);
    assert_int_equal(access(path, F_OK), -1);
}

ci_session_options usual(void) {
    ci_session_options options = CI_SESSION_OPTIONS_INIT;
    options.sandbox = sandbox;
    options.workspace_dir = workspace;
    options.network = now->network;
    return options;
}

void open_with(const ci_session_options *options) {
    ci_error *error = NULL;
    if (ci_session_open(options, &session, &error) < 0)
        fail_msg("%s", ci_error_message(error));
}

bool can(uint64_t capability) {
    return (ci_session_capabilities(session) & capability) != 0;
}

void open_usual(void) {
    ci_session_options options = usual();
    open_with(&options);
}

int set_up(void **state) {
    (void)state;
    fds_before = count_fds();
    strcpy(workspace, "/tmp/ci-test-XXXXXX");
    if (!mkdtemp(workspace))
        return -1;
    shell("mkdir uploads code-interpreter");
    session = NULL;
    return 0;
}

int tear_down(void **state) {
    (void)state;
    ci_session_close(session);
    nftw(workspace, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    if (count_fds() != fds_before && !now->manner)
        fprintf(stderr, "left: %d descriptors\n", count_fds() - fds_before);
    return count_fds() == fds_before || now->manner ? 0 : -1;
}

ci_result *command_with(const char *text, const ci_run_options *options) {
    ci_result *result = NULL;
    ci_error *error = NULL;
    if (ci_execute_command(session, text, options, &result, &error) < 0)
        fail_msg("%s: %s", text, ci_error_message(error));
    return result;
}

ci_result *command(const char *text) {
    return command_with(text, NULL);
}

void assert_prints(const char *text, const char *wanted) {
    ci_result *result = command(text);
    if (strcmp(ci_result_stdout(result, NULL), wanted) != 0)
        fprintf(stderr, "stderr: %s\n", ci_result_stderr(result, NULL));
    assert_string_equal(ci_result_stdout(result, NULL), wanted);
    ci_result_free(result);
}

void run_quietly(const char *text) {
    ci_result *result = command(text);
    assert_int_equal(ci_result_outcome(result), CI_OUTCOME_OK);
    ci_result_free(result);
}

const ci_file_info *entry(const ci_result *result, int32_t list, const char *path) {
    static ci_file_info info;
    for (size_t i = 0; i < ci_result_file_count(result, list); i++) {
        info.struct_size = sizeof info;
        assert_int_equal(ci_result_file(result, list, i, &info), CI_OK);
        if (strcmp(info.path, path) == 0)
            return &info;
    }
    return NULL;
}

const ci_file_info *must(const ci_result *result, int32_t list, const char *path, int32_t status) {
    const ci_file_info *info = entry(result, list, path);
    if (!info) {
        for (size_t i = 0; i < ci_result_file_count(result, list); i++) {
            ci_file_info other = CI_FILE_INFO_INIT;
            ci_result_file(result, list, i, &other);
            fprintf(stderr, "  %s: %s %s\n", other.path, ci_file_status_name(other.status), other.error);
        }
        fail_msg("%s is not in the list", path);
    }
    if (info->status != status)
        fail_msg("%s: %s (%s), not %s", path, ci_file_status_name(info->status), info->error ? info->error : "",
                 ci_file_status_name(status));
    return info;
}

/* --- the backends -------------------------------------------------------------------------------------------------- */

static ci_status make_apart(ci_sandbox **ret_sandbox, ci_error **ret_error) {
    return template_sandbox_new(0, ret_sandbox, ret_error);
}

static ci_status make_here(ci_sandbox **ret_sandbox, ci_error **ret_error) {
    return template_sandbox_new(TEMPLATE_ALL, ret_sandbox, ret_error);
}

static ci_status make_local(ci_sandbox **ret_sandbox, ci_error **ret_error) {
    return ci_sandbox_local_new(NULL, ret_sandbox, ret_error);
}

/* The stub's address and keys are in the environment. */
static ci_status make_agentcore(ci_sandbox **ret_sandbox, ci_error **ret_error) {
    return ci_sandbox_agentcore_new(NULL, ret_sandbox, ret_error);
}

static const shape shapes[] = {
    {"template: files apart, listed", make_apart, CI_NETWORK_HOST, NULL},
    {"template: host folder, walked", make_here, CI_NETWORK_HOST, NULL},
    {"local", make_local, CI_NETWORK_NONE, NULL},
    {"agentcore: a plain service", make_agentcore, CI_NETWORK_NONE, "plain"},
    {"agentcore: as it was seen", make_agentcore, CI_NETWORK_NONE, "captured"},
};

int run_conformance(const struct CMUnitTest *tests, size_t count) {
    const char *manner = getenv("CI_TEST_AGENTCORE_MANNER");
    int failed = 0;
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        now = &shapes[i];
        if (!manner != !now->manner || (manner && strcmp(manner, now->manner) != 0))
            continue;
        ci_error *error = NULL;
        int fds = count_fds();
        if (now->make(&sandbox, &error) < 0) {
            fprintf(stderr, "%s: %s (%s)\n", now->name, ci_error_message(error), ci_error_hint(error));
            ci_error_free(error);
            failed++;
            continue;
        }
        failed += _cmocka_run_group_tests(now->name, tests, count, NULL, NULL);
        ci_sandbox_free(sandbox);
        if (count_fds() != fds) {
            fprintf(stderr, "%s: %d descriptors are left\n", now->name, count_fds() - fds);
            failed++;
        }
    }
    return failed;
}
