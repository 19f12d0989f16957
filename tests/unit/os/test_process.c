/* Starting a program from a host that has children, signals, threads and descriptors of its own. */
#include "census.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "os/process.h"

#define PATIENCE_MS 300000 /* with what shall end, and does not hang on time */

static ci_status spawn_shell(const char *script, const int *fds, size_t fd_count, pid_t *ret_pid, int *ret_pidfd,
                             ci_error **ret_error) {
    const char *const argv[] = {"sh", "-c", script, NULL};
    return cii_process_spawn("/bin/sh", argv, NULL, fds, fd_count, ret_pid, ret_pidfd, ret_error);
}

static void end(int pidfd) {
    cii_pidfd_signal(pidfd, SIGKILL);
    assert_true(cii_fd_wait(pidfd, POLLIN, PATIENCE_MS) & POLLIN); /* with POLLHUP once it is reaped */
    close(pidfd);
}

/* What a shell script prints to its descriptor 3. */
static char *output_of(const char *script) {
    int ends[2], pidfd;
    pid_t pid;
    static char text[8192];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_int_equal(spawn_shell(script, &ends[1], 1, &pid, &pidfd, NULL), CI_OK);
    close(ends[1]);
    ssize_t size = cii_fd_read_all(ends[0], text, sizeof(text) - 1);
    assert_true(size >= 0);
    text[size] = '\0';
    close(ends[0]);
    assert_true(cii_fd_wait(pidfd, POLLIN, PATIENCE_MS) & POLLIN); /* with POLLHUP once it is reaped */
    close(pidfd);
    return text;
}

static void program_starts_clean(void **state) {
    (void)state;
    sigset_t some, before;
    sigemptyset(&some);
    sigaddset(&some, SIGUSR1);
    sigprocmask(SIG_BLOCK, &some, &before);
    void (*handler)(int) = signal(SIGUSR2, SIG_IGN);
    char *text =
        output_of("cat /proc/self/status | sed -n '/^Sig[BIC]/p' >&3; pwd >&3; env | grep -v -e ^PWD -e ^_ >&3");
    signal(SIGUSR2, handler);
    sigprocmask(SIG_SETMASK, &before, NULL);
    assert_string_equal(text, "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\nSigCgt:\t0000000000000000\n/\n");
}

static void program_gets_environment_and_arguments(void **state) {
    (void)state;
    const char *const argv[] = {"name", "-c", "echo \"$0 $1 $A\" >&3", "zero", "one", NULL}, *const env[] = {"A=b c",
                                                                                                             NULL};
    int ends[2], pidfd;
    pid_t pid;
    char text[32] = "";
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_int_equal(cii_process_spawn("/bin/sh", argv, env, &ends[1], 1, &pid, &pidfd, NULL), CI_OK);
    close(ends[1]);
    assert_int_equal(cii_fd_read_all(ends[0], text, sizeof(text) - 1), 13);
    assert_string_equal(text, "zero one b c\n");
    close(ends[0]);
    end(pidfd);
}

static ci_status spawn_sleep(const int *fds, size_t fd_count, pid_t *ret_pid, int *ret_pidfd) {
    const char *const argv[] = {"sleep", "60", NULL};
    return cii_process_spawn("/bin/sleep", argv, NULL, fds, fd_count, ret_pid, ret_pidfd, NULL);
}

/* Runs body as a host of its own, in a forked process; it returns 0, or the line of what failed. */
static void in_a_host(int (*body)(void)) {
    pid_t pid = fork();
    if (pid == 0)
        _exit(body());
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        fail_msg("status %x, line %d modulo 256", (unsigned)status, WEXITSTATUS(status));
}
#define CHECK(condition)                                    \
    do {                                                    \
        if (!(condition))                                   \
            return (__LINE__ & 255) ? (__LINE__ & 255) : 1; \
    } while (0)

/* Whether a process has the descriptors 0 to count - 1 and no other. Its dynamic linker may still be at work. */
static bool has_descriptors(pid_t pid, int count) {
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/fd", pid);
    for (int64_t until_ms = cii_clock_ms() + PATIENCE_MS / 10; cii_clock_ms() < until_ms; usleep(10000)) {
        int highest = -1, found = 0;
        DIR *dir = opendir(path);
        for (struct dirent *entry; dir && (entry = readdir(dir));)
            if (entry->d_name[0] != '.') {
                found++;
                highest = CII_MAX(highest, atoi(entry->d_name));
            }
        if (dir)
            closedir(dir);
        if (found == count && highest == count - 1)
            return true;
    }
    return false;
}

static bool same_file(pid_t a, int a_fd, pid_t b, int b_fd) {
    char a_path[64], b_path[64], a_target[PATH_MAX] = "a", b_target[PATH_MAX] = "b";
    snprintf(a_path, sizeof(a_path), "/proc/%d/fd/%d", a, a_fd);
    snprintf(b_path, sizeof(b_path), "/proc/%d/fd/%d", b, b_fd);
    return readlink(a_path, a_target, sizeof(a_target) - 1) > 0 &&
           readlink(b_path, b_target, sizeof(b_target) - 1) > 0 && strcmp(a_target, b_target) == 0;
}

/* A host whose descriptors 0 to 9 are files of their own, so that each stands where another, or a standard stream, is
 * to be, and the last ones must close. */
static int host_with_descriptors_in_the_way(void) {
    static const int orders[][6] = {{3, 4, 5, 6, 7, 8}, {8, 7, 6, 5, 4, 3}, {4, 3, 6, 5, 8, 7},
                                    {0, 1, 2, 3, 4, 5}, {5, 0, 9, 2, 9, 1}, {3, 3, 3, 0, 0, 0}};
    closefrom(0);
    for (int i = 0; i < 10; i++)
        CHECK(memfd_create((char[]){(char)('a' + i), '\0'}, 0) == i);
    for (size_t i = 0; i < CII_ELEMENTS(orders); i++)
        for (size_t count = 0; count <= 6; count++) {
            pid_t pid;
            int pidfd;
            CHECK(spawn_sleep(orders[i], count, &pid, &pidfd) == CI_OK);
            bool right = has_descriptors(pid, 3 + (int)count);
            for (int j = 0; j < (int)count; j++)
                right = right && same_file(pid, 3 + j, getpid(), orders[i][j]);
            cii_pidfd_signal(pidfd, SIGKILL);
            close(pidfd);
            CHECK(right);
        }
    return 0;
}

/* A host with free numbers where the program's descriptors are to be. */
static int host_with_gaps_in_its_descriptors(void) {
    static const int fds[] = {9, 8, 0, 9};
    closefrom(0);
    for (int i = 0; i < 10; i++)
        CHECK(memfd_create((char[]){(char)('a' + i), '\0'}, 0) == i);
    for (int i = 1; i < 8; i++)
        close(i);
    pid_t pid;
    int pidfd;
    CHECK(spawn_sleep(fds, 4, &pid, &pidfd) == CI_OK);
    bool right = has_descriptors(pid, 7);
    for (int i = 0; i < 4; i++)
        right = right && same_file(pid, 3 + i, getpid(), fds[i]);
    cii_pidfd_signal(pidfd, SIGKILL);
    CHECK(right);
    return 0;
}

static void descriptors_land_in_their_places_and_no_other_is_open(void **state) {
    (void)state;
    in_a_host(host_with_descriptors_in_the_way);
    in_a_host(host_with_gaps_in_its_descriptors);
}

static int host_without_descriptors(void) {
    pid_t pid;
    int pidfd;
    closefrom(0);
    CHECK(spawn_sleep(NULL, 0, &pid, &pidfd) == CI_OK);
    bool right = has_descriptors(pid, 3);
    int null_fd = open("/dev/null", O_RDONLY);
    for (int i = 0; i < 3; i++)
        right = right && same_file(pid, i, getpid(), null_fd);
    cii_pidfd_signal(pidfd, SIGKILL);
    CHECK(right);
    return 0;
}

static void standard_streams_are_dev_null_also_when_the_host_has_none(void **state) {
    (void)state;
    in_a_host(host_without_descriptors);
}

static void program_is_no_child_and_leads_its_own_session(void **state) {
    (void)state;
    pid_t pid;
    int pidfd;
    char path[64];
    assert_int_equal(spawn_sleep(NULL, 0, &pid, &pidfd), CI_OK);
    assert_true(fcntl(pidfd, F_GETFD) & FD_CLOEXEC);
    snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    _cleanup_free_ char *stat = cii_fd_read_file(AT_FDCWD, path, 4096, NULL);
    int parent = 0, group = 0, session = 0;
    assert_int_equal(sscanf(strrchr(stat, ')'), ") %*c %d %d %d", &parent, &group, &session), 3);
    assert_int_not_equal(parent, getpid());
    assert_int_equal(session, pid);
    assert_int_equal(wait(NULL), -1); /* would wait for ever if it were a child */
    assert_int_equal(errno, ECHILD);
    assert_int_equal(cii_fd_wait(pidfd, POLLIN, 20), 0);
    end(pidfd);
}

static void who_adopts_orphans_reaps_the_program(void **state) {
    (void)state;
    pid_t pid;
    int pidfd;
    assert_int_equal(spawn_sleep(NULL, 0, &pid, &pidfd), CI_OK);
    cii_process_reap_adopted(pidfd, PATIENCE_MS);
    assert_int_equal(cii_fd_wait(pidfd, POLLIN, 0), 0); /* not ours: it was not waited for */
    end(pidfd);
    assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
    assert_int_equal(spawn_sleep(NULL, 0, &pid, &pidfd), CI_OK);
    assert_int_equal(cii_pidfd_signal(pidfd, SIGKILL), 0);
    cii_process_reap_adopted(pidfd, PATIENCE_MS);
    assert_int_equal(waitpid(pid, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
    close(pidfd);
    prctl(PR_SET_CHILD_SUBREAPER, 0);
}

static void pidfd_tells_the_end(void **state) {
    (void)state;
    pid_t pid;
    int pidfd;
    assert_int_equal(spawn_shell("exit 0", NULL, 0, &pid, &pidfd, NULL), CI_OK);
    assert_true(cii_fd_wait(pidfd, POLLIN, PATIENCE_MS) & POLLIN); /* with POLLHUP once it is reaped */
    close(pidfd);
    assert_int_equal(cii_pidfd_open(-1), -1);
    assert_int_equal(cii_pidfd_signal(-1, SIGKILL), -1);
    _cleanup_close_ int own = cii_pidfd_open(getpid());
    assert_true(own >= 0 && (fcntl(own, F_GETFD) & FD_CLOEXEC));
    assert_int_equal(cii_pidfd_signal(own, 0), 0);
}

static void failures_are_known_at_once(void **state) {
    (void)state;
    size_t before = open_fd_count();
    pid_t pid = 77;
    int pidfd = 77, bad = 999999;
    const char *const argv[] = {"x", NULL};
    FAILS(CI_ERR_NOTFOUND, "start /nonexistent/program: No such file or directory", ({
              ci_status status = cii_process_spawn("/nonexistent/program", argv, NULL, NULL, 0, &pid, &pidfd, &error);
              assert_int_equal(ci_error_errno(error), ENOENT);
              status;
          }));
    FAILS(CI_ERR_PERMISSION, "start /etc/passwd: Permission denied",
          cii_process_spawn("/etc/passwd", argv, NULL, NULL, 0, &pid, &pidfd, &error));
    FAILS(CI_ERR_IO, "place its descriptors: Bad file descriptor",
          cii_process_spawn("/bin/true", argv, NULL, &bad, 1, &pid, &pidfd, &error));
    FAILS(CI_ERR_INVALID, "65 descriptors", cii_process_spawn("/bin/true", argv, NULL, NULL, 65, &pid, &pidfd, &error));
    char script[] = "/tmp/ci-test-XXXXXX";
    int fd = mkstemp(script);
    assert_int_equal(write(fd, "no program", 10), 10);
    fchmod(fd, 0700);
    close(fd);
    FAILS(CI_ERR_IO, "Exec format error", cii_process_spawn(script, argv, NULL, NULL, 0, &pid, &pidfd, &error));
    unlink(script);
    assert_int_equal(pid, 77);
    assert_int_equal(pidfd, 77);
    assert_int_equal(open_fd_count(), before);
    assert_int_equal(wait(NULL), -1);
    assert_int_equal(errno, ECHILD);
}

static void nothing_is_left_in_the_host(void **state) {
    (void)state;
    size_t before = open_fd_count();
    sigset_t mask_before, mask_after;
    sigprocmask(SIG_SETMASK, NULL, &mask_before);
    for (int i = 0; i < 20; i++) {
        pid_t pid;
        int pidfd;
        assert_int_equal(spawn_sleep(NULL, 0, &pid, &pidfd), CI_OK);
        end(pidfd);
    }
    sigprocmask(SIG_SETMASK, NULL, &mask_after);
    for (int n = 1; n < NSIG; n++)
        assert_int_equal(sigismember(&mask_before, n), sigismember(&mask_after, n));
    assert_int_equal(open_fd_count(), before);
    assert_int_equal(wait(NULL), -1);
}

/* --- hosts with ways of their own --------------------------------------------------------------------------------- */

static _Atomic int child_signals;

static void on_child(int number) {
    (void)number;
    child_signals++;
}

static void hosts_sigchld_handler_does_not_run(void **state) {
    (void)state;
    pid_t pid;
    int pidfd;
    struct sigaction action = {.sa_handler = on_child, .sa_flags = SA_NOCLDSTOP}, before;
    sigaction(SIGCHLD, &action, &before);
    child_signals = 0;
    for (int i = 0; i < 10; i++) {
        assert_int_equal(spawn_sleep(NULL, 0, &pid, &pidfd), CI_OK);
        end(pidfd);
    }
    sigaction(SIGCHLD, &before, NULL);
    assert_int_equal(child_signals, 0);
}

static void hosts_that_ignore_sigchld_do_no_harm(void **state) {
    (void)state;
    pid_t pid;
    int pidfd;
    void (*before)(int) = signal(SIGCHLD, SIG_IGN);
    assert_int_equal(spawn_sleep(NULL, 0, &pid, &pidfd), CI_OK);
    end(pidfd);
    FAILS(CI_ERR_NOTFOUND, "No such file",
          cii_process_spawn("/nonexistent", (const char *const[]){"x", NULL}, NULL, NULL, 0, &pid, &pidfd, &error));
    signal(SIGCHLD, before);
}

static _Atomic bool stop;

/* A host that reaps whatever there is, children made by clone(2) included. */
static void *reap_everything(void *user) {
    while (!stop)
        waitpid(-1, NULL, WNOHANG | (user ? __WALL : 0));
    return NULL;
}

static void hosts_that_reap_everything_do_no_harm(void **state) {
    (void)state;
    for (size_t all = 0; all <= 1; all++) {
        pthread_t thread;
        stop = false;
        pthread_create(&thread, NULL, reap_everything, all ? &stop : NULL);
        for (int i = 0; i < 50; i++) {
            pid_t pid;
            int pidfd;
            assert_int_equal(spawn_sleep(NULL, 0, &pid, &pidfd), CI_OK);
            end(pidfd);
        }
        stop = true;
        pthread_join(thread, NULL);
    }
}

static void *fork_all_the_time(void *user) {
    (void)user;
    while (!stop) {
        pid_t pid = fork();
        if (pid == 0) { /* keeps whatever was open, for a while */
            usleep(50000);
            _exit(0);
        }
        waitpid(pid, NULL, 0);
    }
    return NULL;
}

static void forks_in_other_threads_do_not_hold_it_up(void **state) {
    (void)state;
    pthread_t threads[4];
    stop = false;
    for (size_t i = 0; i < CII_ELEMENTS(threads); i++)
        pthread_create(&threads[i], NULL, fork_all_the_time, NULL);
    for (int i = 0; i < 100; i++) {
        pid_t pid;
        int pidfd;
        assert_int_equal(spawn_sleep(NULL, 0, &pid, &pidfd), CI_OK);
        end(pidfd);
    }
    stop = true;
    for (size_t i = 0; i < CII_ELEMENTS(threads); i++)
        pthread_join(threads[i], NULL);
}

static pid_t host_pid;
static _Atomic bool *strange; /* shared with whatever the host forks */

static void on_group_signal(int number) {
    (void)number;
    if (getpid() != host_pid)
        *strange = true;
}

static void *signal_group_all_the_time(void *user) {
    (void)user;
    while (!stop)
        kill(0, SIGUSR1);
    return NULL;
}

static int host_whose_group_gets_signals(void) {
    strange = mmap(NULL, 1, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(strange != MAP_FAILED);
    setpgid(0, 0);
    host_pid = getpid();
    struct sigaction action = {.sa_handler = on_group_signal, .sa_flags = SA_RESTART};
    sigaction(SIGUSR1, &action, NULL);
    pthread_t thread;
    stop = false;
    pthread_create(&thread, NULL, signal_group_all_the_time, NULL);
    for (int i = 0; i < 50; i++) {
        pid_t pid;
        int pidfd;
        if (spawn_sleep(NULL, 0, &pid, &pidfd) == CI_OK) { /* a signal may have ended it before its setsid() */
            cii_pidfd_signal(pidfd, SIGKILL);
            close(pidfd);
        }
    }
    stop = true;
    pthread_join(thread, NULL);
    CHECK(!*strange);
    return 0;
}

static void hosts_handlers_do_not_run_in_the_program(void **state) {
    (void)state;
    in_a_host(host_whose_group_gets_signals);
}

/* How many children, adopted ones too, still run the file that this process runs. Those that have ended are reaped. */
static int own_kind_count(void) {
    char own[PATH_MAX] = "", path[64], file[PATH_MAX];
    int count = 0, pid;
    while (waitpid(-1, NULL, WNOHANG | __WALL) > 0)
        ;
    assert_true(readlink("/proc/self/exe", own, sizeof(own) - 1) > 0);
    snprintf(path, sizeof(path), "/proc/self/task/%d/children", getpid());
    FILE *children = fopen(path, "re");
    assert_non_null(children);
    while (fscanf(children, "%d", &pid) == 1) {
        snprintf(path, sizeof(path), "/proc/%d/exe", pid);
        ssize_t size = readlink(path, file, sizeof(file) - 1);
        count += size > 0 && strlen(own) == (size_t)size && memcmp(own, file, (size_t)size) == 0;
    }
    fclose(children);
    return count;
}

static int host_that_spawns_all_the_time(void) {
    const char *const argv[] = {"true", NULL};
    for (;;) {
        pid_t pid;
        int pidfd;
        CHECK(cii_process_spawn("/bin/true", argv, NULL, NULL, 0, &pid, &pidfd, NULL) == CI_OK);
        close(pidfd);
    }
}

static void nothing_is_left_of_a_host_that_is_killed_meanwhile(void **state) {
    (void)state;
    assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0); /* what it leaves is ours */
    for (int i = 0; i < 100; i++) {
        pid_t host = fork();
        if (host == 0)
            _exit(host_that_spawns_all_the_time());
        usleep((useconds_t)(500 + i * 37));
        kill(host, SIGKILL);
        assert_int_equal(waitpid(host, NULL, 0), host);
    }
    for (int64_t until_ms = cii_clock_ms() + PATIENCE_MS; own_kind_count() > 0 && cii_clock_ms() < until_ms;)
        usleep(10000);
    assert_int_equal(own_kind_count(), 0);
    prctl(PR_SET_CHILD_SUBREAPER, 0);
}

static _Atomic int forks;

static void on_fork(void) {
    forks++;
}

static void hosts_fork_handlers_do_not_run(void **state) {
    (void)state;
    pid_t pid;
    int pidfd;
    pthread_atfork(on_fork, on_fork, on_fork);
    assert_int_equal(spawn_sleep(NULL, 0, &pid, &pidfd), CI_OK);
    end(pidfd);
    assert_int_equal(forks, 0);
}

static void own_folder_is_that_of_the_file_it_is_linked_into(void **state) {
    (void)state;
    char file[PATH_MAX] = "";
    assert_true(readlink("/proc/self/exe", file, sizeof(file) - 1) > 0);
    *strrchr(file, '/') = '\0';
    _cleanup_free_ char *before = getcwd(NULL, 0);
    assert_int_equal(chdir("/"), 0);
    _cleanup_free_ char *dir = cii_process_own_dir();
    assert_int_equal(chdir(before), 0);
    assert_string_equal(dir, file);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(program_starts_clean),
        cmocka_unit_test(program_gets_environment_and_arguments),
        cmocka_unit_test(descriptors_land_in_their_places_and_no_other_is_open),
        cmocka_unit_test(standard_streams_are_dev_null_also_when_the_host_has_none),
        cmocka_unit_test(program_is_no_child_and_leads_its_own_session),
        cmocka_unit_test(who_adopts_orphans_reaps_the_program),
        cmocka_unit_test(pidfd_tells_the_end),
        cmocka_unit_test(failures_are_known_at_once),
        cmocka_unit_test(nothing_is_left_in_the_host),
        cmocka_unit_test(hosts_sigchld_handler_does_not_run),
        cmocka_unit_test(hosts_that_ignore_sigchld_do_no_harm),
        cmocka_unit_test(hosts_that_reap_everything_do_no_harm),
        cmocka_unit_test(forks_in_other_threads_do_not_hold_it_up),
        cmocka_unit_test(nothing_is_left_of_a_host_that_is_killed_meanwhile),
        cmocka_unit_test(hosts_handlers_do_not_run_in_the_program),
        cmocka_unit_test(hosts_fork_handlers_do_not_run),
        cmocka_unit_test(own_folder_is_that_of_the_file_it_is_linked_into),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
