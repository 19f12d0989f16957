/* The lane: one multi handle whose sockets and timer are held by one epoll descriptor, after curl's multi_socket scheme.
 *
 * What costs a system call is put off to the end of a step and left out where it changes nothing: a timer that rings early
 * does no harm, and a socket that curl has no use for stays registered until an event says otherwise. */
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <time.h>

#include "base/clock.h"
#include "net/lane.h"

#define SPARE_MAX 16u /* exchanges kept for later */
#define EVENT_MAX 32
#define ROUND_MAX 16 /* of what is due at once, in one step */

/* --- sockets ------------------------------------------------------------------------------------------------------ */

static cii_lane_socket *find(cii_http_lane *lane, int fd) {
    for (size_t i = 0; i < lane->socket_count; i++)
        if (lane->sockets[i].fd == fd)
            return &lane->sockets[i];
    return NULL;
}

/* NULL when more sockets come than were reckoned with. */
static cii_lane_socket *add(cii_http_lane *lane, int fd, bool opened_here) {
    if (lane->socket_count == lane->socket_capacity)
        return NULL;
    cii_lane_socket *s = &lane->sockets[lane->socket_count++];
    *s = (cii_lane_socket){.fd = fd, .opened_here = opened_here};
    lane->open_count += opened_here;
    return s;
}

/* The kernel forgets a closed descriptor only when no copy of it is open, in a forked child say. */
static void drop(cii_http_lane *lane, cii_lane_socket *s) {
    if (s->registered)
        epoll_ctl(lane->epoll_fd, EPOLL_CTL_DEL, s->fd, NULL);
    lane->open_count -= s->opened_here;
    *s = lane->sockets[--lane->socket_count];
}

/* Of the socket that has this number; 0: none has. */
static ino_t socket_inode(int fd) {
    struct stat status;
    return fstat(fd, &status) == 0 && S_ISSOCK(status.st_mode) ? status.st_ino : 0;
}

/* curl's number may be somebody else's by now. */
static bool is_ours(const cii_lane_socket *s) {
    return s->inode == 0 || s->inode == socket_inode(s->fd);
}

void cii_lane_forget_closed(cii_http_lane *lane) {
    for (size_t i = lane->socket_count; i-- > 0;) {
        cii_lane_socket *s = &lane->sockets[i];
        if (s->wanted != 0)
            continue;
        if (is_ours(s))
            s->inode = 0;
        else
            drop(lane, s);
    }
}

ci_status cii_lane_reserve(cii_http_lane *lane) {
    /* Two addresses are tried at a time, and the resolver has a pair of its own. */
    size_t needed = lane->socket_count + 4 * (lane->exchange_count + 1);
    if (needed <= lane->socket_capacity)
        return CI_OK;
    cii_lane_socket *sockets = reallocarray(lane->sockets, needed, sizeof *sockets);
    if (!sockets)
        return CI_ERR_NOMEM;
    lane->sockets = sockets;
    lane->socket_capacity = needed;
    return CI_OK;
}

curl_socket_t cii_lane_open_socket(void *user, curlsocktype purpose, struct curl_sockaddr *address) {
    (void)purpose;
    cii_http_lane *lane = user;
    int fd = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
    if (fd < 0)
        return CURL_SOCKET_BAD;
    cii_lane_socket *s = find(lane, fd); /* it was closed without a word */
    uint32_t wanted = s ? s->wanted : 0; /* which curl, going by the number, may not tell again */
    if (s)
        drop(lane, s);
    s = add(lane, fd, true);
    if (!s) {
        close(fd);
        return CURL_SOCKET_BAD;
    }
    s->wanted = wanted;
    s->inode = socket_inode(fd);
    return fd;
}

int cii_lane_close_socket(void *user, curl_socket_t fd) {
    cii_http_lane *lane = user;
    cii_lane_socket *s = find(lane, fd);
    if (s)
        drop(lane, s);
    return close(fd);
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *user, void *of_socket) {
    (void)easy;
    (void)of_socket;
    cii_http_lane *lane = user;
    cii_lane_socket *s = find(lane, fd);
    if (what == CURL_POLL_REMOVE) {
        if (s && s->opened_here)
            s->wanted = 0;
        else if (s)
            drop(lane, s);
        return 0;
    }
    if (!s)
        s = add(lane, fd, false);
    if (!s)
        return -1;
    s->wanted = (what & CURL_POLL_IN ? EPOLLIN : 0u) | (what & CURL_POLL_OUT ? EPOLLOUT : 0u);
    return 0;
}

static ci_status register_sockets(cii_http_lane *lane, ci_error **ret_error) {
    for (size_t i = 0; i < lane->socket_count; i++) {
        cii_lane_socket *s = &lane->sockets[i];
        if (s->wanted == 0 || s->wanted == s->registered)
            continue;
        struct epoll_event event = {.events = s->wanted, .data.fd = s->fd};
        if (epoll_ctl(lane->epoll_fd, s->registered ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, s->fd, &event) < 0)
            return cii_error_errno(ret_error, errno, "http", "watch a connection");
        s->registered = s->wanted;
    }
    return CI_OK;
}

/* --- timer -------------------------------------------------------------------------------------------------------- */

static int on_timer(CURLM *multi, long timeout_ms, void *user) {
    (void)multi;
    cii_http_lane *lane = user;
    lane->curl_due_us = timeout_ms < 0 ? INT64_MAX : timeout_ms == 0 ? 0 : cii_clock_us() + timeout_ms * INT64_C(1000);
    return 0;
}

static ci_status arm_timer(cii_http_lane *lane, ci_error **ret_error) {
    int64_t due = lane->curl_due_us;
    for (const cii_http_exchange *x = lane->exchanges; x; x = x->next)
        due = CII_MIN(due, cii_exchange_due(x));
    if (due >= lane->armed_us)
        return CI_OK;
    due = CII_MAX(due, INT64_C(1)); /* 0 would stop it */
    struct itimerspec when = {.it_value = {.tv_sec = due / 1000000, .tv_nsec = due % 1000000 * 1000}};
    if (timerfd_settime(lane->timer_fd, TFD_TIMER_ABSTIME, &when, NULL) < 0)
        return cii_error_errno(ret_error, errno, "http", "set a timer");
    lane->armed_us = due;
    return CI_OK;
}

/* --- life --------------------------------------------------------------------------------------------------------- */

static bool set_up(cii_http_lane *lane) {
    lane->multi = cii_curl.multi_init();
    if (!lane->multi)
        return false;
    CURLM *multi = lane->multi;
    return !cii_curl.multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, on_socket) &&
           !cii_curl.multi_setopt(multi, CURLMOPT_SOCKETDATA, lane) &&
           !cii_curl.multi_setopt(multi, CURLMOPT_TIMERFUNCTION, on_timer) &&
           !cii_curl.multi_setopt(multi, CURLMOPT_TIMERDATA, lane) &&
           !cii_curl.multi_setopt(multi, CURLMOPT_MAXCONNECTS, (long)lane->pool->settings.kept_connection_max);
}

ci_status cii_lane_new(cii_http_pool *pool, cii_http_lane **ret_lane, ci_error **ret_error) {
    cii_http_lane *lane = calloc(1, sizeof *lane);
    if (!lane)
        return cii_error_nomem(ret_error);
    *lane = (cii_http_lane){.pool = pool, .curl_due_us = INT64_MAX, .armed_us = INT64_MAX, .timer_fd = -1};
    lane->tls = pool->settings.proxy && cii_http_is_tls(pool->settings.proxy);
    lane->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (lane->epoll_fd >= 0)
        lane->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = lane->timer_fd};
    if (lane->timer_fd < 0 || epoll_ctl(lane->epoll_fd, EPOLL_CTL_ADD, lane->timer_fd, &event) < 0) {
        ci_status status = cii_error_errno(ret_error, errno, "http", "make a descriptor for connections");
        cii_lane_free(lane);
        return status;
    }
    if (!set_up(lane)) { /* for want of memory or descriptors: curl does not say */
        cii_lane_free(lane);
        return cii_error_nomem(ret_error);
    }
    *ret_lane = lane;
    return CI_OK;
}

/* In a forked child the parent still speaks on the connections: they are closed without a word, and curl's memory stays. */
void cii_lane_free(cii_http_lane *lane) {
    bool ours = lane->pool->creator == getpid();
    for (cii_http_exchange *x = lane->spare, *next; x; x = next) {
        next = x->next;
        cii_exchange_destroy(x);
    }
    if (ours && lane->multi)
        cii_curl.multi_cleanup(lane->multi);
    for (size_t i = 0; !ours && i < lane->socket_count; i++)
        if (is_ours(&lane->sockets[i]))
            close(lane->sockets[i].fd);
    free(lane->sockets);
    cii_close(lane->timer_fd);
    cii_close(lane->epoll_fd);
    free(lane);
}

int cii_http_lane_fd(const cii_http_lane *lane) {
    return lane->epoll_fd;
}

/* --- exchanges ---------------------------------------------------------------------------------------------------- */

cii_http_exchange *cii_lane_take_exchange(cii_http_lane *lane) {
    cii_http_exchange *x = lane->spare;
    if (x) {
        lane->spare = x->next;
        lane->spare_count--;
    } else {
        x = calloc(1, sizeof *x);
        if (!x)
            return NULL;
        x->lane = lane;
        x->easy = cii_transfer_new(x);
        if (!x->easy) {
            free(x);
            return NULL;
        }
    }
    x->next = lane->exchanges;
    lane->exchanges = x;
    lane->exchange_count++;
    return x;
}

void cii_lane_give_exchange(cii_http_lane *lane, cii_http_exchange *x) {
    cii_http_exchange **at = &lane->exchanges;
    while (*at != x)
        at = &(*at)->next;
    *at = x->next;
    lane->exchange_count--;
    if (lane->spare_count == SPARE_MAX || lane->pool->creator != getpid()) {
        cii_exchange_destroy(x);
        return;
    }
    x->next = lane->spare;
    lane->spare = x;
    lane->spare_count++;
}

/* --- a step ------------------------------------------------------------------------------------------------------- */

static ci_status check(CURLMcode code, ci_error **ret_error) {
    if (code == CURLM_OK || code == CURLM_BAD_SOCKET)
        return CI_OK;
    if (code == CURLM_OUT_OF_MEMORY)
        return cii_error_nomem(ret_error);
    return cii_error_set(ret_error, CI_ERR_INTERNAL, "http", "libcurl: %s", cii_curl.multi_strerror(code));
}

static ci_status act_on(cii_http_lane *lane, const struct epoll_event *event, ci_error **ret_error) {
    int fd = event->data.fd, running;
    if (fd == lane->timer_fd) {
        uint64_t times;
        if (read(fd, &times, sizeof times) < 0 && errno != EAGAIN)
            return cii_error_errno(ret_error, errno, "http", "read a timer");
        lane->armed_us = INT64_MAX;
        return CI_OK;
    }
    cii_lane_socket *s = find(lane, fd);
    if (!s) /* closed by what came before it */
        return CI_OK;
    if (s->wanted == 0) {
        epoll_ctl(lane->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
        s->registered = 0;
        return CI_OK;
    }
    int what = (event->events & (EPOLLIN | EPOLLHUP) ? CURL_CSELECT_IN : 0) |
               (event->events & EPOLLOUT ? CURL_CSELECT_OUT : 0) | (event->events & EPOLLERR ? CURL_CSELECT_ERR : 0);
    return check(cii_curl.multi_socket_action(lane->multi, fd, what, &running), ret_error);
}

static void end_attempts(cii_http_lane *lane) {
    CURLMsg *message;
    int left;
    while ((message = cii_curl.multi_info_read(lane->multi, &left))) {
        char *of = NULL;
        CURLcode code = message->data.result; /* the message does not outlive what follows */
        cii_curl.easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &of);
        cii_exchange_ended((cii_http_exchange *)(void *)of, code);
    }
}

/* What is due without an event: curl's timer, attempts to begin, deadlines. Beginning makes curl due at once. */
static ci_status act_on_time(cii_http_lane *lane, ci_error **ret_error) {
    for (int round = 0; round < ROUND_MAX; round++) {
        int running;
        int64_t now_us = cii_clock_us();
        end_attempts(lane);
        for (cii_http_exchange *x = lane->exchanges; x; x = x->next)
            if (cii_exchange_due(x) <= now_us)
                cii_exchange_step(x, now_us);
        if (lane->curl_due_us > now_us)
            return CI_OK;
        lane->curl_due_us = INT64_MAX;
        ci_status status =
            check(cii_curl.multi_socket_action(lane->multi, CURL_SOCKET_TIMEOUT, 0, &running), ret_error);
        if (status < 0)
            return status;
    }
    lane->curl_due_us = 0; /* the rest in the next step, at once */
    return CI_OK;
}

static ci_status step(cii_http_lane *lane, ci_error **ret_error) {
    struct epoll_event events[EVENT_MAX];
    int count = epoll_wait(lane->epoll_fd, events, EVENT_MAX, 0);
    if (count < 0 && errno != EINTR)
        return cii_error_errno(ret_error, errno, "http", "wait for connections");
    for (cii_http_exchange *x = lane->exchanges; x; x = x->next)
        if (x->paused)
            cii_exchange_resume(x);
    ci_status status = CI_OK;
    for (int i = 0; i < count && status == CI_OK; i++)
        status = act_on(lane, &events[i], ret_error);
    if (status == CI_OK)
        status = act_on_time(lane, ret_error);
    if (status == CI_OK)
        status = register_sockets(lane, ret_error);
    return status == CI_OK ? arm_timer(lane, ret_error) : status;
}

/* OpenSSL, unlike curl's own send(), may raise SIGPIPE. It is held back in this thread alone, and taken when it is new. */
static ci_status step_without_sigpipe(cii_http_lane *lane, ci_error **ret_error) {
    sigset_t pipe, before, pending;
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    sigpending(&pending);
    pthread_sigmask(SIG_BLOCK, &pipe, &before);
    ci_status status = step(lane, ret_error);
    if (!sigismember(&pending, SIGPIPE))
        while (sigtimedwait(&pipe, NULL, &(struct timespec){0}) < 0 && errno == EINTR)
            ;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return status;
}

ci_status cii_http_lane_process(cii_http_lane *lane, ci_error **ret_error) {
    ci_status status = cii_http_pool_check(lane->pool, ret_error);
    if (status < 0)
        return status;
    status = lane->tls ? step_without_sigpipe(lane, ret_error) : step(lane, ret_error);
    if (status < 0)
        lane->broken = true;
    return status;
}
