/* Nothing is left behind: not by sessions that come and go, not when host, supervisor, init or kernel is killed. */
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "support.h"

#define REAP_MS 2000    /* the longest that closing waits for a helper that this process has adopted */
#define TRIES_MAX 12000 /* each after 10 ms: what shall come or go does, and does not hang on time */

static void nap(int milliseconds) {
    struct timespec time = {milliseconds / 1000, milliseconds % 1000 * 1000000L};
    nanosleep(&time, NULL);
}

static int64_t now_ms(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

/* Processes whose command line or name holds a word; pids into found. */
static size_t find_processes(const char *word, pid_t *found, size_t max) {
    size_t count = 0;
    DIR *proc = opendir("/proc");
    for (struct dirent *entry; (entry = readdir(proc)) != NULL;) {
        char path[300], text[4096];
        pid_t pid = (pid_t)atoi(entry->d_name);
        if (pid <= 0 || pid == getpid())
            continue;
        snprintf(path, sizeof path, "/proc/%s/cmdline", entry->d_name);
        FILE *file = fopen(path, "r");
        if (file == NULL)
            continue;
        size_t size = fread(text, 1, sizeof text - 1, file);
        fclose(file);
        for (size_t i = 0; i < size; i++)
            if (text[i] == 0)
                text[i] = ' ';
        text[size] = 0;
        if (strstr(text, word) != NULL && count < max)
            found[count++] = pid;
    }
    closedir(proc);
    return count;
}

/* A word that only this test's sandboxes carry in their command lines. */
static char marker[64];

static size_t count_marked(void) {
    pid_t found[512];
    return find_processes(marker, found, 512);
}

static bool is_full(void) {
    const char *full = getenv("CI_TEST_FULL");
    return full != NULL && *full != 0;
}

static size_t count_descriptors(void) {
    size_t count = 0;
    DIR *dir = opendir("/proc/self/fd");
    while (readdir(dir) != NULL)
        count++;
    closedir(dir);
    return count;
}

static void wait_until_gone(void) {
    for (int i = 0; i < TRIES_MAX && count_marked() > 0; i++)
        nap(10);
    assert_int_equal(count_marked(), 0);
}

static void leave_child(ci_session *session) {
    char command[160];
    snprintf(command, sizeof command, "(exec -a %s-child sleep 600) > /dev/null 2>&1 &", marker);
    ci_result_free(run_command(session, command));
    for (int i = 0; i < TRIES_MAX && count_marked() == 0; i++) /* while it executes it has no command line */
        nap(10);
    assert_true(count_marked() > 0);
}

static ci_session *open_busy(void) {
    ci_session *session = open_session(NULL);
    leave_child(session);
    return session;
}

static void closing_ends_everything(void **state) {
    size_t before = count_descriptors();
    ci_session *session = open_busy();
    ci_session_close(session);
    wait_until_gone();
    assert_int_equal(count_descriptors(), before);
    (void)state;
}

static void killing_the_host_ends_everything(void **state) {
    int ready[2];
    char byte;
    assert_int_equal(pipe(ready), 0);
    pid_t pid = fork();
    if (pid == 0) {
        open_busy();
        if (write(ready[1], "x", 1) != 1)
            _exit(1);
        pause();
        _exit(0);
    }
    close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    wait_until_gone();
    (void)state;
}

static pid_t parent_of(pid_t pid) {
    char path[64], text[512] = "";
    int parent = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return 0;
    size_t size = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[size] = 0;
    const char *name_end = strrchr(text, ')');
    return name_end != NULL && sscanf(name_end, ") %*c %d", &parent) == 1 ? parent : 0;
}

/* The helper program from a folder of this test's own, so that it is known among others: its template and zygotes, until
 * they execute, are forks of it. */
static ci_sandbox *own_helper(char *folder, pid_t *ret_supervisor) {
    char command[512], helper[64];
    pid_t found[8];
    assert_non_null(mkdtemp(folder));
    snprintf(command, sizeof command, "cp -r %s %s/libci && chmod -R a+rX %s", HELPER_DIR, folder, folder);
    assert_int_equal(system(command), 0);
    snprintf(helper, sizeof helper, "%s/libci", folder);
    ci_sandbox_local_options local = CI_SANDBOX_LOCAL_OPTIONS_INIT;
    ci_sandbox *sandbox = NULL;
    local.helper_dir = helper;
    assert_int_equal(ci_sandbox_local_new(&local, &sandbox, NULL), CI_OK);
    size_t count = 0;
    for (int i = 0; i < TRIES_MAX && (count = find_processes(helper, found, 8)) < 2; i++)
        nap(10);
    assert_true(count >= 2);
    *ret_supervisor = 0; /* the one whose parent is none of them */
    for (size_t i = 0; i < count; i++) {
        bool is_child = false;
        for (size_t k = 0; k < count; k++)
            is_child |= parent_of(found[i]) == found[k];
        if (!is_child)
            *ret_supervisor = found[i];
    }
    assert_true(*ret_supervisor > 0);
    return sandbox;
}

static pid_t only_child_of(pid_t pid) {
    char path[64];
    int child = 0;
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)pid, (int)pid);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%d", &child), 1);
    fclose(file);
    return child;
}

/* Of both the end is told at once, by the session and by the sandbox. */
static void killing_a_helper_ends_everything_and_is_told(bool template) {
    char folder[] = "/tmp/ci-life-XXXXXX", command[64];
    pid_t victim;
    ci_session_options options = CI_SESSION_OPTIONS_INIT;
    options.sandbox = own_helper(folder, &victim);
    options.open_timeout_ms = 120000;
    if (template)
        victim = only_child_of(victim);
    ci_session *session = open_session(&options), *other = NULL;
    leave_child(session);
    kill(victim, SIGKILL);
    wait_until_gone();
    ci_result *result = NULL;
    ci_error *error = NULL;
    int tries = 0; /* while its init is dying a call may still start, which is lost then */
    ci_status status;
    while ((status = ci_execute_code(session, "1", SIZE_MAX, NULL, &result, &error)) == CI_OK && tries++ < TRIES_MAX) {
        assert_int_equal(ci_result_outcome(result), CI_OUTCOME_LOST);
        ci_result_free(result);
        nap(10);
    }
    assert_int_equal(status, CI_ERR_LOST);
    assert_false(ci_error_handle_usable(error));
    ci_error_free(error);
    assert_int_equal(ci_session_open(&options, &other, NULL), CI_ERR_LOST);
    assert_int_equal(ci_sandbox_prepare(options.sandbox, 120000, NULL), CI_ERR_LOST);
    ci_session_close(session);
    ci_sandbox_free(options.sandbox);
    snprintf(command, sizeof command, "rm -rf %s", folder);
    assert_int_equal(system(command), 0);
}

static void killing_the_supervisor_ends_everything_and_is_told(void **state) {
    killing_a_helper_ends_everything_and_is_told(false);
    (void)state;
}

static void killing_the_template_ends_everything_and_is_told(void **state) {
    killing_a_helper_ends_everything_and_is_told(true);
    (void)state;
}

static void a_host_that_adopts_orphans_has_none_when_the_sandbox_is_freed(void **state) {
    (void)state;
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    int64_t took_ms = REAP_MS;
    while (took_ms >= REAP_MS) { /* until a helper got to its end while it was waited for */
        ci_session *session = open_session(NULL);
        leave_child(session);
        int64_t begun_ms = now_ms();
        ci_session_close(session);
        took_ms = now_ms() - begun_ms;
        int left = waitpid(-1, NULL, WNOHANG);
        if (took_ms < REAP_MS) {
            assert_int_equal(left, -1);
            assert_int_equal(errno, ECHILD);
        }
        while (left >= 0)
            left = waitpid(-1, NULL, 0);
    }
    prctl(PR_SET_CHILD_SUBREAPER, 0);
}

/* Opens sessions until one is refused; ends with 0 when that is said, and those that are open have come to no harm. */
static int exhaust_descriptors(void) {
    static ci_session *sessions[64];
    struct rlimit few = {64, 64};
    ci_session_options options = CI_SESSION_OPTIONS_INIT;
    ci_status status = CI_OK;
    int count = 0;
    if (setrlimit(RLIMIT_NOFILE, &few) < 0 || ci_sandbox_local_new(NULL, &options.sandbox, NULL) != CI_OK)
        return 1;
    while (count < 64 && (status = ci_session_open(&options, &sessions[count], NULL)) == CI_OK)
        count++;
    if (count < 4 || status != CI_ERR_LIMIT)
        return 2;
    ci_session_close(sessions[--count]); /* a call needs a descriptor too */
    for (int i = 0; i < count; i++) {
        ci_result *result = NULL;
        if (ci_execute_code(sessions[i], "print(6 * 7)", SIZE_MAX, NULL, &result, NULL) != CI_OK ||
            strcmp(ci_result_stdout(result, NULL), "42\n") != 0)
            return 3;
        ci_result_free(result);
    }
    return 0;
}

static void a_host_with_few_descriptors_opens_fewer_sessions(void **state) {
    int status = 0;
    pid_t pid = fork();
    if (pid == 0)
        _exit(exhaust_descriptors());
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    (void)state;
}

static void sessions_that_come_and_go_leave_nothing(void **state) {
    ci_sandbox *sandbox = NULL;
    assert_int_equal(ci_sandbox_local_new(NULL, &sandbox, NULL), CI_OK);
    ci_session_options options = CI_SESSION_OPTIONS_INIT;
    options.sandbox = sandbox;
    size_t descriptors = count_descriptors();
    int rounds = is_full() ? 2000 : 60;
    for (int i = 0; i < rounds; i++) {
        ci_session *session = open_session(&options);
        ci_result *result = run_code(session, "print(6 * 7)");
        assert_string_equal(ci_result_stdout(result, NULL), "42\n");
        ci_result_free(result);
        ci_session_close(session);
    }
    assert_int_equal(count_descriptors(), descriptors);
    ci_sandbox_free(sandbox);
    (void)state;
}

static void many_sessions_are_open_at_once(void **state) {
    enum { MANY = 200 };
    static ci_session *sessions[MANY];
    int count = is_full() ? MANY : 20;
    ci_sandbox *sandbox = NULL;
    assert_int_equal(ci_sandbox_local_new(NULL, &sandbox, NULL), CI_OK);
    ci_session_options options = CI_SESSION_OPTIONS_INIT;
    options.sandbox = sandbox;
    size_t descriptors = count_descriptors();
    for (int i = 0; i < count; i++)
        sessions[i] = open_session(&options);
    assert_true(count_descriptors() - descriptors <= (size_t)count * 4);
    for (int i = 0; i < count; i++) {
        char code[32], expected[32];
        snprintf(code, sizeof code, "x = %d; print(x)", i);
        snprintf(expected, sizeof expected, "%d\n", i);
        ci_result *result = run_code(sessions[i], code);
        assert_string_equal(ci_result_stdout(result, NULL), expected);
        ci_result_free(result);
    }
    for (int i = 0; i < count; i++)
        ci_session_close(sessions[i]);
    assert_int_equal(count_descriptors(), descriptors);
    ci_sandbox_free(sandbox);
    (void)state;
}

static bool is_limited_by_rlimit(void) {
    ci_session *session = open_session(NULL);
    char *info = NULL;
    assert_int_equal(ci_session_info(session, &info, NULL), CI_OK);
    bool by_rlimit = strstr(info, "rlimit") != NULL;
    ci_free(info);
    ci_session_close(session);
    return by_rlimit;
}

/* What one of them sweeps up behind the dead is not the beginning of another. */
static void hosts_that_start_at_once_all_get_their_limits(void **state) {
    enum { HOSTS = 8, ROUNDS = 8 };
    pid_t hosts[HOSTS];
    bool expected = is_limited_by_rlimit();
    for (int i = 0; i < HOSTS; i++)
        if ((hosts[i] = fork()) == 0) {
            int wrong = 0;
            for (int round = 0; round < ROUNDS; round++)
                wrong += is_limited_by_rlimit() != expected;
            _exit(wrong);
        }
    for (int i = 0; i < HOSTS; i++) {
        int status = 0;
        assert_int_equal(waitpid(hosts[i], &status, 0), hosts[i]);
        assert_int_equal(status, 0);
    }
    (void)state;
}

int main(void) {
    snprintf(marker, sizeof marker, "ci-life-%d", (int)getpid());
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(closing_ends_everything),
        cmocka_unit_test(killing_the_host_ends_everything),
        cmocka_unit_test(killing_the_supervisor_ends_everything_and_is_told),
        cmocka_unit_test(a_host_that_adopts_orphans_has_none_when_the_sandbox_is_freed),
        cmocka_unit_test(killing_the_template_ends_everything_and_is_told),
        cmocka_unit_test(a_host_with_few_descriptors_opens_fewer_sessions),
        cmocka_unit_test(hosts_that_start_at_once_all_get_their_limits),
        cmocka_unit_test(sessions_that_come_and_go_leave_nothing),
        cmocka_unit_test(many_sessions_are_open_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
