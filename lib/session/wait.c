/* Waiting for a call: ci_call_wait() polls what the call waits for directly, which costs one system call a step;
 * ci_call_fd() makes an epoll descriptor of the same for hosts with a loop of their own. Neither descriptor nor timer
 * is made before it is needed. */
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <time.h>

#include "base/clock.h"
#include "session/object.h"

/* How long a step that asks to go on at once may be repeated within one ci_call_process(). */
#define PROCESS_BUDGET_US 5000
/* How often a wait looks up when there was no descriptor left for an eventfd. */
#define WITHOUT_WAKE_FD_US 10000

void cii_wake(int wake_fd) {
    int saved = errno;
    uint64_t one = 1;
    if (wake_fd >= 0 && write(wake_fd, &one, sizeof one) < 0)
        errno = saved; /* full: it is readable already */
}

static void drain(int fd) {
    uint64_t count;
    if (read(fd, &count, sizeof count) < 0)
        return; /* nothing in it */
}

/* The store comes before the next look at the signals, and a signaller's bit before its look at the descriptor: one of
 * the two sees the other. */
static int wake_fd_of(ci_call *call) {
    int fd = atomic_load(&call->wake_fd);
    if (fd >= 0)
        return fd;
    fd = call->session && call->session->sandbox ? cii_sandbox_take_wake_fd(call->session->sandbox) : -1;
    if (fd < 0)
        fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    atomic_store(&call->wake_fd, fd);
    return fd;
}

static bool signalled(ci_call *call) {
    return (atomic_load(&call->signals) & ~call->seen) != 0;
}

/* Waits until something happens or until_us is reached. */
static void block(ci_call *call, int64_t until_us) {
    struct pollfd fds[CII_WAITS_MAX + 1];
    int wake_fd = wake_fd_of(call);
    if (signalled(call))
        return;
    unsigned count = 0;
    fds[count++] = (struct pollfd){.fd = wake_fd, .events = POLLIN};
    for (unsigned i = 0; i < call->waits.count; i++)
        fds[count++] = (struct pollfd){.fd = call->waits.fds[i], .events = POLLIN};
    until_us = CII_MIN(until_us, call->waits.due_us);
    if (until_us == CII_NEVER && wake_fd >= 0) {
        ppoll(fds, count, NULL, NULL);
    } else {
        int64_t left_us = CII_MAX(until_us == CII_NEVER ? WITHOUT_WAKE_FD_US : until_us - cii_clock_us(), 0);
        if (wake_fd < 0)
            left_us = CII_MIN(left_us, WITHOUT_WAKE_FD_US);
        struct timespec left = {.tv_sec = left_us / 1000000, .tv_nsec = left_us % 1000000 * 1000};
        ppoll(fds, count, &left, NULL);
    }
    if (wake_fd >= 0 && fds[0].revents)
        drain(wake_fd);
}

bool cii_call_wait(ci_call *call, int64_t until_us) {
    for (;;) {
        if (!call->done && !call->waits.again)
            block(call, until_us);
        if (cii_call_advance(call))
            return true;
        if (until_us != CII_NEVER && cii_clock_us() >= until_us)
            return false;
    }
}

int32_t ci_call_wait(ci_call *call, int64_t timeout_ms) {
    if (!call)
        return CI_ERR_INVALID;
    if (call->creator != getpid())
        return CI_ERR_FORKED;
    bool for_ever = timeout_ms < 0 || timeout_ms > CII_NEVER / 2000;
    return cii_call_wait(call, for_ever ? CII_NEVER : cii_clock_us() + timeout_ms * 1000) ? CI_CALL_DONE
                                                                                          : CI_CALL_RUNNING;
}

/* --- the descriptor ----------------------------------------------------------------------------------------------- */

static void set_timer(ci_call *call) {
    if (call->waits.due_us == call->timer_due_us)
        return;
    if (call->timer_fd < 0) {
        call->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
        struct epoll_event event = {.events = EPOLLIN};
        if (call->timer_fd < 0 || epoll_ctl(call->epoll_fd, EPOLL_CTL_ADD, call->timer_fd, &event) < 0) {
            cii_wake(call->wake_fd); /* no descriptor left: the host has to look again and again */
            return;
        }
    }
    struct itimerspec at = {0}; /* zero: off */
    if (call->waits.due_us != CII_NEVER) {
        int64_t due_us = CII_MAX(call->waits.due_us, 1);
        at.it_value = (struct timespec){.tv_sec = due_us / 1000000, .tv_nsec = due_us % 1000000 * 1000};
    }
    timerfd_settime(call->timer_fd, TFD_TIMER_ABSTIME, &at, NULL);
    call->timer_due_us = call->waits.due_us;
}

static bool waits_for(const cii_waits *waits, int fd) {
    for (unsigned i = 0; i < waits->count; i++)
        if (waits->fds[i] == fd)
            return true;
    return false;
}

/* Makes the epoll descriptor hold what the call waits for now. An entry vanishes by itself when its descriptor is
 * closed, and a new one may have its number: so every number is added each time, and "exists" is fine. */
static void set_polled(ci_call *call) {
    for (unsigned i = 0; i < call->polled_count; i++)
        if (!waits_for(&call->waits, call->polled[i]))
            epoll_ctl(call->epoll_fd, EPOLL_CTL_DEL, call->polled[i], NULL);
    struct epoll_event event = {.events = EPOLLIN};
    for (unsigned i = 0; i < call->waits.count; i++)
        if (epoll_ctl(call->epoll_fd, EPOLL_CTL_ADD, call->waits.fds[i], &event) < 0 && errno != EEXIST)
            call->waits.again = true;
    memcpy(call->polled, call->waits.fds, call->waits.count * sizeof(int));
    call->polled_count = call->waits.count;
    set_timer(call);
    if (call->done || call->waits.again)
        cii_wake(call->wake_fd);
}

int32_t ci_call_fd(ci_call *call) {
    if (!call)
        return CI_ERR_INVALID;
    if (call->creator != getpid())
        return CI_ERR_FORKED;
    if (call->epoll_fd >= 0)
        return call->epoll_fd;
    _cleanup_close_ int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN};
    if (epoll_fd < 0 || wake_fd_of(call) < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, call->wake_fd, &event) < 0)
        return errno == ENOMEM ? CI_ERR_NOMEM : CI_ERR_IO;
    call->epoll_fd = TAKE_FD(epoll_fd);
    set_polled(call);
    if (signalled(call))
        cii_wake(call->wake_fd);
    return call->epoll_fd;
}

int32_t ci_call_process(ci_call *call) {
    if (!call)
        return CI_ERR_INVALID;
    if (call->creator != getpid())
        return CI_ERR_FORKED;
    if (call->done)
        return CI_CALL_DONE;
    if (call->epoll_fd >= 0)
        drain(call->wake_fd);
    int64_t end_us = 0;
    while (!cii_call_advance(call)) {
        if (!call->waits.again)
            break;
        if (end_us == 0)
            end_us = cii_clock_us() + PROCESS_BUDGET_US;
        else if (cii_clock_us() >= end_us)
            break;
    }
    if (call->epoll_fd >= 0)
        set_polled(call);
    return call->done ? CI_CALL_DONE : CI_CALL_RUNNING;
}
