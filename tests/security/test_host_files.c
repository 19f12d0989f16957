/* Files are worked on from the host's side, below folders that the guest controls: it must never lead the host
 * elsewhere, make it hang, or have it read or write what is not the session's. */
#include <ci/ci.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support.h"

static int make_session(void **state) {
    ci_session_options options = CI_SESSION_OPTIONS_INIT;
    options.timeout_ms = 300000; /* emulated machines are slow */
    *state = open_session(&options);
    return 0;
}

static int close_session(void **state) {
    ci_session_close(*state);
    return 0;
}

static int32_t discard(void *user, const void *data, size_t size) {
    (void)data;
    *(size_t *)user += size;
    return 0;
}

static ci_status get(ci_session *session, const char *path) {
    size_t total = 0;
    return ci_file_get(session, path, 0, 1000, discard, &total, NULL);
}

static int64_t give(void *user, void *buffer, size_t size) {
    const char **text = user;
    size_t part = strlen(*text) < size ? strlen(*text) : size;
    memcpy(buffer, *text, part);
    *text += part;
    return (int64_t)part;
}

static ci_status put(ci_session *session, const char *path) {
    const char *text = "written from the host";
    return ci_file_put(session, path, give, &text, NULL);
}

static ci_status list(ci_session *session, const char *path) {
    ci_file_op_options options = CI_FILE_OP_OPTIONS_INIT;
    ci_result *result = NULL;
    options.operation = CI_FILE_OP_LIST;
    options.paths = &path;
    options.path_count = 1;
    ci_status status = ci_file_op(session, &options, &result, NULL);
    if (status == CI_OK && ci_result_outcome(result) != CI_OUTCOME_OK)
        status = CI_ERR_PERMISSION;
    ci_result_free(result);
    return status;
}

static void kernel_files_are_neither_read_nor_written(void **state) {
    static const char *const places[] = {
        "/proc/sys/kernel/core_pattern", "/proc/version", "/proc/self/mem", "/proc/1/environ",
        "/sys/kernel/uevent_helper",     "/dev/null",     "/dev/zero"};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        assert_true(get(*state, places[i]) < 0);
        assert_true(put(*state, places[i]) < 0);
    }
    assert_true(list(*state, "/proc") < 0);
}

static void the_system_is_read_but_not_written(void **state) {
    assert_int_equal(get(*state, "/etc/passwd"), CI_OK);
    static const char *const places[] = {"/etc/passwd", "/usr/x", "/x", "/opt/libci/guest/x", "/home/x", "/run/x"};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++)
        assert_true(put(*state, places[i]) < 0);
}

static void planted_links_lead_nowhere_else(void **state) {
    char secret[] = "/tmp/ci-secret-XXXXXX";
    int fd = mkstemp(secret);
    assert_true(fd >= 0 && write(fd, "host", 4) == 4);
    char command[512];
    snprintf(
        command, sizeof command,
        "ln -s %s a; ln -s /proc/sys/kernel/core_pattern b; ln -s ../../../../../../..%s c; ln -s /proc/self/root d; "
        "ln -s /proc/self/fd/0 e; ln -s / f; ln -s /proc/1/root/etc/shadow g; ln -s loop loop; mkdir h; ln -s /usr h/i",
        secret, secret);
    ci_result_free(run_command(*state, command));
    static const char *const links[] = {"a", "b", "c", "d/etc/passwd", "e", "f/proc/version", "g", "loop", "loop/x"};
    for (size_t i = 0; i < sizeof links / sizeof links[0]; i++)
        assert_true(get(*state, links[i]) < 0);
    /* Nothing is written through a link, nor through a linked folder but to the session's own places. */
    assert_true(put(*state, "h/i/x") < 0);
    assert_true(put(*state, "f/proc/sys/kernel/core_pattern") < 0);
    assert_true(put(*state, "d/tmp/x") < 0);
    assert_true(put(*state, "a") < 0);
    char text[8] = "";
    assert_int_equal(pread(fd, text, sizeof text, 0), 4);
    assert_string_equal(text, "host");
    close(fd);
    unlink(secret);
}

static void paths_do_not_leave_the_root(void **state) {
    assert_true(get(*state, "../../../../root/.profile") < 0);
    assert_int_equal(get(*state, "../../../../etc/hostname"), CI_OK); /* the guest's */
    char *inside = output_of(*state, "cat /etc/hostname");
    assert_string_equal(inside, "ci\n");
    free(inside);
    assert_true(get(*state, "") < 0);
    assert_true(put(*state, ".") < 0);
    assert_true(put(*state, "/") < 0);
}

static void fifos_and_sockets_do_not_hang_the_host(void **state) {
    ci_result_free(run_code(*state, "import os, socket\nos.mkfifo('fifo')\n"
                                    "s = socket.socket(socket.AF_UNIX); s.bind('sock')"));
    assert_true(get(*state, "fifo") < 0);
    assert_true(get(*state, "sock") < 0);
    assert_true(put(*state, "fifo") < 0);
}

/* A hole of an exbibyte fits in any workspace. */
static void files_that_claim_to_be_endless_are_not_read(void **state) {
    char folder[] = "/tmp/ci-workspace-XXXXXX", command[128];
    ci_session_options options = CI_SESSION_OPTIONS_INIT;
    ci_result *result = NULL;
    size_t total = 0;
    assert_non_null(mkdtemp(folder));
    options.workspace_dir = folder;
    options.workspace_bytes = 16u << 20;
    options.timeout_ms = 60000; /* an exbibyte takes for ever */
    ci_session *session = open_session(&options);
    ci_result_free(run_command(session, "truncate -s 1E endless; truncate -s 8M sparse; ln endless /tmp/x || "
                                        "truncate -s 1E /tmp/endless"));
    assert_int_equal(ci_file_get(session, "endless", 0, UINT64_MAX, discard, &total, NULL), CI_ERR_LIMIT);
    assert_int_equal(ci_file_get(session, "/tmp/endless", 0, UINT64_MAX, discard, &total, NULL), CI_ERR_LIMIT);
    assert_int_equal(ci_file_get(session, "endless", 1 << 30, 1000, discard, &total, NULL), CI_OK);
    assert_int_equal(total, 1000);
    assert_int_equal(ci_push_to_workspace(session, NULL, 0, NULL, &result, NULL), CI_OK);
    assert_int_equal(ci_result_outcome(result), CI_OUTCOME_FAILED);
    ci_result_free(result);
    ci_session_close(session);
    snprintf(command, sizeof command, "test -f %s/code-interpreter/sparse && rm -r %s", folder, folder);
    assert_int_equal(system(command), 0);
    (void)state;
}

static void new_files_belong_to_the_session(void **state) {
    assert_int_equal(put(*state, "made/by/host.txt"), CI_OK);
    assert_prints(
        *state, "stat -c '%U' made made/by made/by/host.txt; echo more >> made/by/host.txt && rm -r made && echo gone",
        "user\nuser\nuser\ngone\n");
}

/* The guest swaps a folder for a link as fast as it can while the host writes below it. */
static void swapping_links_under_the_host_changes_nothing_outside(void **state) {
    char outside[] = "/tmp/ci-outside-XXXXXX";
    assert_non_null(mkdtemp(outside));
    char command[512];
    snprintf(command, sizeof command,
             "mkdir -p real; (end=$((SECONDS+4)); while [ $SECONDS -lt $end ]; do ln -sfn real swap; rm -f swap; "
             "ln -sfn ../../../../../..%s swap; rm -f swap; ln -sfn /usr swap; rm -f swap; done) > /dev/null 2>&1 &",
             outside);
    ci_result_free(run_command(*state, command));
    for (int i = 0; i < 3000; i++) {
        put(*state, "swap/file");
        get(*state, "swap/file");
        list(*state, "swap");
    }
    assert_int_equal(rmdir(outside), 0); /* empty, that is */
}

static void removing_follows_no_link(void **state) {
    const char *path = "tree";
    ci_file_op_options options = CI_FILE_OP_OPTIONS_INIT;
    ci_result *result = NULL;
    ci_result_free(run_command(*state, "mkdir -p keep tree/a; touch keep/file; ln -s /workspace/keep tree/a/link; "
                                       "chmod 000 tree/a"));
    options.operation = CI_FILE_OP_REMOVE;
    options.paths = &path;
    options.path_count = 1;
    assert_int_equal(ci_file_op(*state, &options, &result, NULL), CI_OK);
    assert_int_equal(ci_result_outcome(result), CI_OUTCOME_OK);
    ci_result_free(result);
    assert_prints(*state, "ls -d tree 2>/dev/null; ls keep", "file\n");
}

/* A root host shows a folder under another owner, which not every file system lets it. */
static void a_folder_that_cannot_change_owners_is_told_with_a_remedy(void **state) {
    (void)state;
    if (geteuid() != 0)
        skip();
    ci_session_options options = CI_SESSION_OPTIONS_INIT;
    ci_session *session = NULL;
    ci_error *error = NULL;
    options.host_dir = "/sys/kernel";
    assert_int_not_equal(ci_session_open(&options, &session, &error), CI_OK);
    assert_non_null(strstr(ci_error_message(error), "host_dir: /sys/kernel"));
    assert_non_null(strstr(ci_error_hint(error), "another file system"));
    ci_error_free(error);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(kernel_files_are_neither_read_nor_written, make_session, close_session),
        cmocka_unit_test_setup_teardown(the_system_is_read_but_not_written, make_session, close_session),
        cmocka_unit_test_setup_teardown(planted_links_lead_nowhere_else, make_session, close_session),
        cmocka_unit_test_setup_teardown(paths_do_not_leave_the_root, make_session, close_session),
        cmocka_unit_test_setup_teardown(fifos_and_sockets_do_not_hang_the_host, make_session, close_session),
        cmocka_unit_test(files_that_claim_to_be_endless_are_not_read),
        cmocka_unit_test_setup_teardown(new_files_belong_to_the_session, make_session, close_session),
        cmocka_unit_test_setup_teardown(swapping_links_under_the_host_changes_nothing_outside, make_session,
                                        close_session),
        cmocka_unit_test_setup_teardown(removing_follows_no_link, make_session, close_session),
        cmocka_unit_test(a_folder_that_cannot_change_owners_is_told_with_a_remedy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
