/* Descriptors: whole reads and writes, passing, waiting. */
#include "census.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "failmalloc.h"
#include "os/fd.h"

static void on_alarm(int number) {
    (void)number;
}

/* Signals arrive at this thread all the time, without SA_RESTART, while body runs. */
static void under_signals(void (*body)(void)) {
    struct sigaction action = {.sa_handler = on_alarm}, before;
    sigaction(SIGALRM, &action, &before);
    timer_t timer;
    assert_int_equal(timer_create(CLOCK_MONOTONIC, NULL, &timer), 0);
    const struct itimerspec often = {{0, 300000}, {0, 300000}};
    timer_settime(timer, 0, &often, NULL);
    body();
    timer_delete(timer);
    sigaction(SIGALRM, &before, NULL);
}

struct feeder {
    int fd;
    size_t size;
};

static void *feed_slowly(void *user) {
    struct feeder *feeder = user;
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, NULL);
    for (size_t i = 0; i < feeder->size; i++) {
        usleep(1000);
        cii_fd_write_all(feeder->fd, "x", 1);
    }
    close(feeder->fd);
    return NULL;
}

static void read_through_signals(void) {
    int ends[2];
    char data[64];
    pthread_t thread;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    struct feeder feeder = {ends[1], 40};
    pthread_create(&thread, NULL, feed_slowly, &feeder);
    assert_int_equal(cii_fd_read_all(ends[0], data, 30), 30);
    assert_int_equal(cii_fd_read_all(ends[0], data, sizeof(data)), 10);
    pthread_join(thread, NULL);
    close(ends[0]);
}

static void reads_are_whole_whatever_interrupts_them(void **state) {
    (void)state;
    under_signals(read_through_signals);
    char byte;
    assert_int_equal(cii_fd_read_all(-1, &byte, 1), -1);
    assert_int_equal(errno, EBADF);
    assert_int_equal(cii_fd_read_all(-1, &byte, 0), 0);
    assert_int_equal(cii_fd_write_all(-1, &byte, 1), -1);
    assert_int_equal(errno, EBADF);
}

static void *drain(void *user) {
    char data[4096];
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, NULL);
    size_t *total = user;
    int fd = (int)*total;
    *total = 0;
    for (ssize_t n; (n = read(fd, data, sizeof(data))) > 0; usleep(100))
        *total += (size_t)n;
    return NULL;
}

static void write_through_signals(void) {
    int ends[2];
    pthread_t thread;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    size_t total = (size_t)ends[0];
    pthread_create(&thread, NULL, drain, &total);
    static char data[1 << 20];
    assert_int_equal(cii_fd_write_all(ends[1], data, sizeof(data)), 0);
    close(ends[1]);
    pthread_join(thread, NULL);
    assert_int_equal(total, sizeof(data));
    close(ends[0]);
}

static void writes_are_whole_whatever_interrupts_them(void **state) {
    (void)state;
    under_signals(write_through_signals);
}

static void small_files_are_read_as_text(void **state) {
    (void)state;
    size_t size = 0;
    _cleanup_free_ char *status = cii_fd_read_file(AT_FDCWD, "/proc/self/status", 1 << 16, &size);
    assert_non_null(status); /* a file that says it is empty */
    assert_true(size > 100 && strlen(status) == size);
    assert_null(cii_fd_read_file(AT_FDCWD, "/proc/self/status", 100, NULL));
    assert_int_equal(errno, EFBIG);
    assert_null(cii_fd_read_file(AT_FDCWD, "/nonexistent", 100, NULL));
    assert_int_equal(errno, ENOENT);
    assert_null(cii_fd_read_file(AT_FDCWD, "/", 100, NULL));
    assert_int_equal(errno, EISDIR);
    char path[] = "/tmp/ci-test-XXXXXX";
    int fd = mkstemp(path);
    for (size_t length = 4095; length <= 4097; length++) {
        _cleanup_free_ char *data = malloc(length);
        memset(data, 'x', length);
        assert_int_equal(ftruncate(fd, 0), 0);
        assert_int_equal(pwrite(fd, data, length, 0), length);
        _cleanup_free_ char *text = cii_fd_read_file(AT_FDCWD, path, length, &size);
        assert_int_equal(size, length);
        assert_int_equal(strlen(text), length);
        assert_null(cii_fd_read_file(AT_FDCWD, path, length - 1, &size));
    }
    failmalloc_at(1);
    assert_null(cii_fd_read_file(AT_FDCWD, path, 1 << 20, NULL));
    assert_int_equal(errno, ENOMEM);
    failmalloc_stop();
    close(fd);
    unlink(path);
}

static void nonblock_goes_on_and_off(void **state) {
    (void)state;
    int ends[2];
    char byte;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_int_equal(cii_fd_set_nonblock(ends[0], true), 0);
    assert_int_equal(read(ends[0], &byte, 1), -1);
    assert_int_equal(errno, EAGAIN);
    assert_int_equal(cii_fd_set_nonblock(ends[0], false), 0);
    assert_int_equal(fcntl(ends[0], F_GETFL) & O_NONBLOCK, 0);
    close(ends[0]);
    close(ends[1]);
    assert_int_equal(cii_fd_set_nonblock(-1, true), -1);
}

static void descriptors_pass_and_close_on_exec(void **state) {
    (void)state;
    size_t before = open_fd_count();
    int ends[2], pipes[2], fds[4];
    size_t count = 9;
    char data[16];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    assert_int_equal(pipe(pipes), 0);
    assert_int_equal(cii_fd_send(ends[0], "hello", 5, pipes, 2, 0), 5);
    assert_int_equal(cii_fd_recv(ends[1], data, sizeof(data), fds, 4, &count, 0), 5);
    assert_int_equal(count, 2);
    assert_true(fcntl(fds[0], F_GETFD) & FD_CLOEXEC);
    assert_int_equal(write(fds[1], "x", 1), 1);
    assert_int_equal(read(pipes[0], data, 1), 1);
    cii_close(fds[0]);
    cii_close(fds[1]);

    assert_int_equal(cii_fd_send(ends[0], "bare", 4, NULL, 0, 0), 4);
    assert_int_equal(cii_fd_recv(ends[1], data, sizeof(data), NULL, 0, &count, 0), 4);
    assert_int_equal(count, 0);

    close(ends[0]);
    assert_int_equal(cii_fd_recv(ends[1], data, sizeof(data), fds, 4, &count, 0), 0);
    assert_int_equal(count, 0);
    assert_int_equal(cii_fd_send(ends[1], "x", 1, NULL, 0, 0), -1); /* and no SIGPIPE */
    assert_int_equal(errno, EPIPE);
    close(ends[1]);
    close(pipes[0]);
    close(pipes[1]);
    assert_int_equal(open_fd_count(), before);
}

static void surplus_descriptors_and_bytes_are_an_error_and_are_closed(void **state) {
    (void)state;
    int ends[2], fds[8], many[253];
    size_t count = 9;
    char data[16];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    size_t before = open_fd_count();
    for (size_t i = 0; i < CII_ELEMENTS(many); i++)
        many[i] = ends[0];
    assert_int_equal(cii_fd_send(ends[0], "x", 1, many, 3, 0), 1);
    assert_int_equal(cii_fd_recv(ends[1], data, sizeof(data), fds, 2, &count, 0), -1);
    assert_int_equal(errno, EPROTO);
    assert_int_equal(cii_fd_send(ends[0], "x", 1, many, 253, 0), 1);
    assert_int_equal(cii_fd_recv(ends[1], data, sizeof(data), fds, 8, &count, 0), -1);
    assert_int_equal(errno, EPROTO);
    assert_int_equal(cii_fd_send(ends[0], "0123456789", 10, many, 1, 0), 10);
    assert_int_equal(cii_fd_recv(ends[1], data, 5, fds, 8, &count, 0), -1);
    assert_int_equal(errno, EPROTO);
    assert_int_equal(open_fd_count(), before);
    assert_int_equal(cii_fd_send(ends[0], "x", 1, many, 254, 0), -1);
    assert_int_equal(errno, EINVAL);
    assert_int_equal(cii_fd_recv(ends[1], data, sizeof(data), fds, 8, &count, MSG_DONTWAIT), -1);
    assert_int_equal(errno, EAGAIN);
    close(ends[0]);
    close(ends[1]);
}

static void wait_through_signals(void) {
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    int64_t start = cii_clock_ms();
    assert_int_equal(cii_fd_wait(ends[0], POLLIN, 60), 0);
    assert_true(cii_clock_ms() - start >= 60); /* and not for ever */
    assert_int_equal(cii_fd_wait(ends[0], POLLIN, 0), 0);
    assert_int_equal(cii_fd_wait(ends[1], POLLOUT, -1), POLLOUT);
    assert_int_equal(write(ends[1], "x", 1), 1);
    assert_int_equal(cii_fd_wait(ends[0], POLLIN, -1), POLLIN);
    assert_int_equal(cii_fd_wait(ends[0], POLLIN, INT64_MAX), POLLIN);
    close(ends[1]);
    assert_int_equal(cii_fd_wait(ends[0], POLLIN, 10), POLLIN | POLLHUP);
    close(ends[0]);
}

static void waiting_keeps_its_time_under_signals(void **state) {
    (void)state;
    under_signals(wait_through_signals);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_are_whole_whatever_interrupts_them),
        cmocka_unit_test(writes_are_whole_whatever_interrupts_them),
        cmocka_unit_test(small_files_are_read_as_text),
        cmocka_unit_test(nonblock_goes_on_and_off),
        cmocka_unit_test(descriptors_pass_and_close_on_exec),
        cmocka_unit_test(surplus_descriptors_and_bytes_are_an_error_and_are_closed),
        cmocka_unit_test(waiting_keeps_its_time_under_signals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
