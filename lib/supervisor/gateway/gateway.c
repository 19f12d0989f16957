/* The gateway of one session: the only way from its network to the host's. A child of the supervisor with no right but to
 * make sockets; what it reads from the session is hostile. It lives as long as the library holds the other end of the
 * socket that refusals are told on. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "base/clock.h"
#include "os/fd.h"
#include "supervisor/gateway/gateway.h"
#include "supervisor/gateway/start.h"
#include "supervisor/state.h"

#define TICK_MS 500
#define EVENTS_MAX 64
#define ROUNDS 8
#define POLLS_MAX 40 /* about 20 microseconds */
#define WAKE_US 60

gateway gw = {.epoll_fd = -1};

/* --- sockets -------------------------------------------------------------------------------------------------------- */

endpoint endpoint_from(const socket_address *a) {
    endpoint e = {.port = ntohs(a->any.sa_family == AF_INET ? a->v4.sin_port : a->v6.sin6_port)};
    if (a->any.sa_family == AF_INET)
        e.address = address_from_v4(&a->v4.sin_addr);
    else
        e.address = a->v6.sin6_addr;
    return e;
}

socklen_t socket_address_of(const endpoint *e, socket_address *ret) {
    *ret = (socket_address){0};
    if (address_is_v4(&e->address)) {
        ret->v4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(e->port)};
        memcpy(&ret->v4.sin_addr, address_v4_bytes(&e->address), sizeof ret->v4.sin_addr);
        return sizeof ret->v4;
    }
    ret->v6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons(e->port), .sin6_addr = e->address};
    return sizeof ret->v6;
}

int gateway_connect(const endpoint *target, int type) {
    socket_address to;
    socklen_t size = socket_address_of(target, &to);
    _cleanup_close_ int fd = socket(to.any.sa_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    return fd >= 0 && (connect(fd, &to.any, size) == 0 || errno == EINPROGRESS) ? TAKE_FD(fd) : -1;
}

bool gateway_watch(source *s, uint32_t events) {
    struct epoll_event event = {.events = events, .data.ptr = s};
    return epoll_ctl(gw.epoll_fd, EPOLL_CTL_ADD, s->fd, &event) == 0;
}

void gateway_rewatch(source *s, uint32_t events) {
    struct epoll_event event = {.events = events, .data.ptr = s};
    epoll_ctl(gw.epoll_fd, EPOLL_CTL_MOD, s->fd, &event);
}

void gateway_unwatch(source *s) {
    cii_close(TAKE_FD(s->fd)); /* leaves the set with it: nobody else has the descriptor */
}

/* --- beginning ------------------------------------------------------------------------------------------------------ */

/* resolv.conf(5). */
static void read_resolvers(void) {
    _cleanup_free_ char *text = cii_fd_read_file(AT_FDCWD, "/etc/resolv.conf", 1 << 16, NULL);
    char *rest = NULL, *more = NULL;
    for (char *line = text != NULL ? strtok_r(text, "\n", &rest) : NULL;
         line != NULL && gw.upstream_count < GATEWAY_RESOLVERS_MAX; line = strtok_r(NULL, "\n", &rest)) {
        const char *word = strtok_r(line, " \t", &more);
        const char *value = word != NULL && strcmp(word, "nameserver") == 0 ? strtok_r(NULL, " \t", &more) : NULL;
        if (value != NULL && address_parse(value, &gw.upstream[gw.upstream_count].address))
            gw.upstream[gw.upstream_count++].port = 53;
    }
}

static endpoint named(const char *text, uint16_t port) {
    endpoint e = {.port = port};
    address_parse(text, &e.address);
    return e;
}

static void events_ready(source *s, _unused_ uint32_t events) {
    char nothing;
    ssize_t size = recv(s->fd, &nothing, sizeof nothing, MSG_DONTWAIT);
    if (size == 0 || (size < 0 && errno != EAGAIN && errno != EINTR))
        _exit(0);
}

/* Takes the session's interface and listeners. */
static bool take_session(int channel_fd) {
    char nothing;
    int fds[CII_NETWORK_FDS] = {-1, -1, -1};
    size_t count = 0;
    if (cii_fd_recv(channel_fd, &nothing, 1, fds, CII_NETWORK_FDS, &count, 0) != 1 || count < 2)
        return false;
    device_open(fds[0]);
    bool watched = gateway_watch(&gw.device, EPOLLIN) && gateway_watch(&gw.events, EPOLLIN);
    for (size_t i = 1; i < count; i++) {
        gw.listeners[i - 1] = (source){.ready = tcp_accept, .fd = fds[i]};
        tcp_tune(fds[i]);
        watched = watched && gateway_watch(&gw.listeners[i - 1], EPOLLIN);
    }
    return watched;
}

/* --- the loop ------------------------------------------------------------------------------------------------------- */

static bool expire(void) {
    bool tcp = tcp_expire(), udp = udp_expire(), names = names_expire();
    return gateway_refused_expire() || tcp || udp || names;
}

/* Waits as long as there is nothing to do. Where answers have come sooner than a sleeping process is woken, it looks a few
 * times before it sleeps; what has been looked for in vain is looked for half as often the next time. */
static int wait_events(struct epoll_event *events, int timeout_ms) {
    static int polls;
    int count = 0;
    for (int i = 0; i < polls && count == 0 && !device_waits(); i++) {
        sched_yield();
        count = epoll_wait(gw.epoll_fd, events, EVENTS_MAX, 0);
    }
    if (count > 0 || timeout_ms == 0 || device_waits())
        return count > 0 ? count : epoll_wait(gw.epoll_fd, events, EVENTS_MAX, 0);
    int64_t slept_us = cii_clock_us();
    polls /= 2;
    count = epoll_wait(gw.epoll_fd, events, EVENTS_MAX, timeout_ms);
    if (cii_clock_us() - slept_us < WAKE_US)
        polls = POLLS_MAX;
    return count;
}

/* An idle gateway sleeps. */
static _Noreturn void serve(void) {
    struct epoll_event events[EVENTS_MAX];
    int64_t expired_ms = 0;
    bool again = false, ticking = false;
    for (;;) {
        int count = wait_events(events, again ? 0 : ticking ? TICK_MS : -1);
        gw.now_ms = cii_clock_ms();
        for (int i = 0; i < count; i++) {
            source *s = events[i].data.ptr;
            if (s->fd >= 0) /* not ended by one before it */
                s->ready(s, events[i].events);
        }
        /* What was written comes out as packets at once, and what came in packets can be read at once. */
        int rounds = 0;
        while (rounds < ROUNDS && (again = tcp_again(), device_read()))
            rounds++;
        again |= rounds == ROUNDS;
        if (gw.now_ms - expired_ms >= TICK_MS) {
            ticking = expire();
            expired_ms = gw.now_ms;
        } else {
            ticking |= count > 0;
        }
    }
}

static _Noreturn void run(policy *rules, int channel_fd, int events_fd) {
    gw.policy = rules;
    gw.guest[0] = named(CII_NETWORK_GUEST_V4, 0);
    gw.guest[1] = named(CII_NETWORK_GUEST_V6, 0);
    gw.peer[0] = named(CII_NETWORK_PEER_V4, 0);
    gw.peer[1] = named(CII_NETWORK_PEER_V6, 0);
    gw.resolver = named(CII_NETWORK_RESOLVER, 53);
    gw.events = (source){.ready = events_ready, .fd = events_fd};
    gw.now_ms = cii_clock_ms();
    gw.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    read_resolvers();
    if (gw.epoll_fd < 0 || !gateway_ask_routes() || !take_session(channel_fd) || gateway_confine() < 0 ||
        cii_fd_send(channel_fd, "", 1, NULL, 0, 0) != 1) /* the session goes on when it is heard */
        _exit(1);
    cii_close(channel_fd);
    serve();
}

/* --- from the supervisor -------------------------------------------------------------------------------------------- */

static _Noreturn void begin(policy *rules, int channel_fd, int events_fd) {
    int channel = fcntl(channel_fd, F_DUPFD, 16), events = fcntl(events_fd, F_DUPFD, 16);
    signal(SIGPIPE, SIG_IGN);
    if (dup2(channel, 0) < 0 || dup2(events, 1) < 0 || syscall(SYS_close_range, 2, ~0U, 0) < 0)
        _exit(1);
    run(rules, 0, 1);
}

ci_status gateway_start(policy *rules, int channel_fd, int events_fd, pid_t *ret_pid, ci_error **ret_error) {
    pid_t pid = fork();
    if (pid < 0)
        return cii_error_errno(ret_error, errno, DOMAIN, "start the session's gateway");
    if (pid == 0)
        begin(rules, channel_fd, events_fd);
    *ret_pid = pid;
    return CI_OK;
}
