/* Sessions: from the library's wish to an init of their own, spares, and the end. */
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "os/fd.h"
#include "supervisor/gateway/start.h"
#include "supervisor/state.h"

#define REMOVE_ATTEMPTS 1000 /* half a second; what is left then goes when the supervisor ends */
#define SPARE_DELAY_MS 20    /* not at once: the session that was just opened has better use for the processor */

static void free_session(session *s) {
    cii_close(s->setup_fd);
    cii_close(s->tree_fd);
    cii_close(s->rootfs_fd);
    cii_close(s->pidfd);
    cii_close(s->spare_fd);
    cii_close(s->root_fd);
    cii_close(s->base_fd);
    cii_close(s->channel_fds[0]);
    cii_close(s->channel_fds[1]);
    if (s->gateway_pid > 0) {
        kill(s->gateway_pid, SIGKILL);
        waitpid(s->gateway_pid, NULL, 0);
    }
    free(s);
}

static void unlink_session(session *s) {
    session **at = &supervisor.sessions;
    while (*at != s)
        at = &(*at)->next;
    *at = s->next;
    if (s->family->spares[s->internet] == s) {
        s->family->spares[s->internet] = NULL;
        family_wake(s->family);
    }
}

void session_refuse(session *s, ci_status status, const char *text) {
    answer_refuse_session_text(s->setup_fd, status, text);
    cgroup_remove(&supervisor.cgroups, s->id);
    unlink_session(s);
    free_session(s);
}

/* A session gets the lowest id that is free; with one id for all, they share it. */
static uint32_t free_uid(void) {
    if (supervisor.ids.count == 1)
        return 0;
    for (uint32_t uid = 1000;; uid++) {
        const session *s = supervisor.sessions;
        while (s != NULL && s->uid != uid)
            s = s->next;
        if (s == NULL || uid + 1 == supervisor.ids.count)
            return uid;
    }
}

static session *session_new(family *f, int setup_fd, uint64_t memory_bytes, uint32_t process_count) {
    session *s = calloc(1, sizeof *s);
    if (s == NULL)
        return NULL;
    *s = (session){.next = supervisor.sessions,
                   .id = ++supervisor.last_id,
                   .uid = free_uid(),
                   .setup_fd = setup_fd,
                   .tree_fd = -1,
                   .rootfs_fd = -1,
                   .pidfd = -1,
                   .spare_fd = -1,
                   .root_fd = -1,
                   .base_fd = -1,
                   .channel_fds = {-1, -1},
                   .memory_bytes = memory_bytes,
                   .process_count = process_count,
                   .family = f};
    supervisor.sessions = s;
    return s;
}

/* --- to the zygote -------------------------------------------------------------------------------------------------- */

static bool send_fork(session *s, zygote *z) {
    cgroup_fds groups;
    if (cgroup_make(&supervisor.cgroups, s->id, s->memory_bytes, s->process_count, &groups) < 0) {
        cgroup_fds_close(&groups);
        cgroup_remove(&supervisor.cgroups, s->id);
        return false;
    }
    _cleanup_buf_ cii_buf message = {0};
    cii_wire_mark mark;
    cii_wire_begin(&message, CII_SETUP_FORK, &mark);
    cii_wire_put_int(&message, CII_SETUP_UID, s->uid);
    cii_wire_put_int(&message, CII_SETUP_LIMITS, supervisor.cgroups.limits);
    cii_wire_put_int(&message, CII_SETUP_KERNELS, (int64_t)supervisor.kernels);
    cii_wire_put_int(&message, CII_SETUP_TREE, s->tree_fd >= 0);
    cii_wire_put_int(&message, CII_SETUP_ROOTFS, s->rootfs_fd >= 0);
    cii_wire_put_int(&message, CII_SETUP_CHANNEL, s->channel_fds[0] >= 0);
    cii_wire_put_int(&message, CII_SETUP_OOM, groups.oom >= 0);
    cii_wire_end(&message, &mark);
    const int own[] = {s->setup_fd, s->tree_fd, s->rootfs_fd, s->channel_fds[0], groups.oom};
    int fds[CII_ELEMENTS(own) + CII_SETUP_CGROUP_MAX];
    size_t count = 0;
    for (size_t i = 0; i < CII_ELEMENTS(own); i++)
        if (own[i] >= 0)
            fds[count++] = own[i];
    for (size_t i = 0; i < groups.enter_count; i++)
        fds[count++] = groups.enter[i];
    bool sent = cii_fd_send(z->fd, message.data, message.size, fds, count, 0) > 0;
    cgroup_fds_close(&groups);
    return sent;
}

/* Gives sessions that wait to the zygote that is ready, the one with the preload list before the bare one. */
void sessions_dispatch(family *f) {
    zygote *z = f->full.state == ZYGOTE_READY ? &f->full : f->bare.state == ZYGOTE_READY ? &f->bare : NULL;
    for (session *s = supervisor.sessions, *next; s != NULL; s = next) {
        next = s->next;
        if (s->family != f || s->zygote != NULL || s->pidfd >= 0)
            continue;
        if (z != NULL) {
            if (send_fork(s, z))
                s->zygote = z;
            else
                session_refuse(s, CI_ERR_IO, "make the session's control group");
        } else if (f->bare.state == ZYGOTE_FAILED) {
            session_refuse(s, CI_ERR_IO, f->bare.failure != NULL ? f->bare.failure : "the interpreter does not start");
        }
    }
    if (z == NULL && f->bare.state == ZYGOTE_FAILED)
        f->bare.state = ZYGOTE_NONE; /* the next session tries again */
}

void session_forked(const zygote *z, int pidfd) {
    session *oldest = NULL; /* the list is newest first, and a zygote answers in order */
    for (session *s = supervisor.sessions; s != NULL; s = s->next)
        if (s->zygote == z)
            oldest = s;
    if (oldest == NULL) {
        cii_close(pidfd);
        return;
    }
    oldest->zygote = NULL;
    if (pidfd < 0) {
        session_refuse(oldest, CI_ERR_IO, "fork the session: no processes or memory left");
        return;
    }
    oldest->pidfd = pidfd;
    cii_close(TAKE_FD(oldest->setup_fd));
    cii_close(TAKE_FD(oldest->tree_fd));
    cii_close(TAKE_FD(oldest->rootfs_fd));
    cii_close(TAKE_FD(oldest->channel_fds[0]));
}

/* --- spares --------------------------------------------------------------------------------------------------------- */

/* A system of its own needs mounts that take longer than is gained. */
static bool has_spares(const family *f) {
    return !f->ending && !f->host_network && f->python.rootfs == NULL;
}

bool spare_pending(const family *f) {
    return supervisor.kernels != 0 && has_spares(f) &&
           (f->spares[0] != NULL ? !f->spares[0]->kernels_ready : supervisor.spare_due_ms != 0);
}

static void put_plain_session(cii_buf *message, bool internet) {
    cii_wire_mark mark;
    cii_wire_begin(message, CII_SETUP_SESSION, &mark);
    cii_wire_put_int(message, CII_SETUP_MEMORY, (int64_t)CII_PLAIN_MEMORY);
    cii_wire_put_int(message, CII_SETUP_WORKSPACE, (int64_t)CII_PLAIN_WORKSPACE);
    cii_wire_put_int(message, CII_SETUP_INODES, (int64_t)CII_PLAIN_INODES);
    cii_wire_put_int(message, CII_SETUP_PROCESSES, CII_PLAIN_PROCESSES);
    cii_wire_put_int(message, CII_SETUP_OPEN_FILES, CII_PLAIN_OPEN_FILES);
    cii_wire_put_int(message, CII_SETUP_NETWORK, internet ? CI_NETWORK_INTERNET : CI_NETWORK_NONE);
    cii_wire_end(message, &mark);
}

static bool open_channel(session *s) {
    return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, s->channel_fds) == 0;
}

/* Has a session made that nobody has asked for yet, so that the next who asks does not wait for it. */
static void spare_make(family *f, bool internet) {
    const zygote *z = wants_full() ? &f->full : &f->bare;
    int sockets[2];
    _cleanup_buf_ cii_buf message = {0};
    if (f->spares[internet] != NULL || !has_spares(f) || z->state != ZYGOTE_READY ||
        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) < 0)
        return;
    put_plain_session(&message, internet);
    session *s = session_new(f, sockets[1], CII_PLAIN_MEMORY, CII_PLAIN_PROCESSES);
    if (s == NULL) {
        cii_close(sockets[0]);
        cii_close(sockets[1]);
        return;
    }
    s->spare_fd = sockets[0];
    s->kernels_ready = supervisor.kernels == 0;
    s->internet = internet;
    f->spares[internet] = s;
    if (internet && !open_channel(s)) {
        session_refuse(s, CI_ERR_IO, "no descriptors left"); /* to nobody: the next who asks is told */
        return;
    }
    cii_fd_send(s->spare_fd, message.data, message.size, NULL, 0, 0);
    sessions_dispatch(f);
}

void spares_make(family *f) {
    spare_make(f, false);
    if (f->internet)
        spare_make(f, true);
}

static void take_languages(session *s, const uint8_t *data, size_t size) {
    cii_wire_field field;
    size_t cursor = 0;
    while (cii_wire_next(data, size, &cursor, &field) == 1)
        if (field.key == CII_SETUP_LANGUAGES)
            s->languages = (uint64_t)cii_wire_int(&field);
}

void spare_ready(session *s) {
    uint8_t message[1024];
    cii_wire_frame_head head;
    int fds[2] = {-1, -1};
    size_t count = 0;
    ssize_t size = cii_fd_recv(s->spare_fd, message, sizeof message, fds, 2, &count, MSG_DONTWAIT);
    if (size < (ssize_t)CII_WIRE_HEAD_SIZE || cii_wire_parse_head(message, &head) < 0)
        head.type = 0;
    if (head.type == CII_SETUP_SESSION_READY && count == 2 && s->root_fd < 0) {
        s->root_fd = fds[0];
        s->base_fd = fds[1];
        take_languages(s, message + CII_WIRE_HEAD_SIZE, (size_t)size - CII_WIRE_HEAD_SIZE);
        return;
    }
    cii_close(fds[0]);
    cii_close(fds[1]);
    s->kernels_ready = head.type == CII_SETUP_KERNELS_READY && s->root_fd >= 0;
    if (!s->kernels_ready) {
        cii_close(TAKE_FD(s->spare_fd)); /* it has failed: its end is noticed by its pidfd */
        if (s->family->spares[s->internet] == s)
            s->family->spares[s->internet] = NULL;
    }
    family_wake(s->family);
}

/* Starts the session's gateway, if it is to have one; true without. */
static bool start_gateway(session *s, policy *rules, int events_fd, ci_error **ret_error) {
    if (rules == NULL)
        return true;
    if (s->channel_fds[1] < 0 && !open_channel(s)) {
        cii_error_errno(ret_error, errno, DOMAIN, "start the session's gateway");
        return false;
    }
    if (gateway_start(rules, s->channel_fds[1], events_fd, &s->gateway_pid, ret_error) != CI_OK)
        return false;
    cii_close(TAKE_FD(s->channel_fds[1]));
    return true;
}

/* Gives a spare to who asked: the library's SESSION, which waits in its socket, to the spare; the spare's descriptors to
 * the library. */
static bool assign_spare(session *s, const request *r, policy *rules, int setup_fd, int events_fd) {
    static uint8_t message[CII_SETUP_MESSAGE_MAX];
    _cleanup_buf_ cii_buf ready = {0};
    cii_wire_mark mark;
    int control = -1;
    size_t count = 0;
    if (cgroup_limit(&supervisor.cgroups, s->id, r->memory_bytes, r->process_count) < 0 ||
        !start_gateway(s, rules, events_fd, NULL))
        return false;
    ssize_t size = cii_fd_recv(setup_fd, message, sizeof message, &control, 1, &count, MSG_DONTWAIT);
    ssize_t sent = size > 0 && count == 1 ? cii_fd_send(s->spare_fd, message, (size_t)size, &control, 1, 0) : -1;
    cii_close(control);
    cii_wire_begin(&ready, CII_SETUP_SESSION_READY, &mark);
    cii_wire_put_int(&ready, CII_SETUP_LIMITS, supervisor.cgroups.limits);
    cii_wire_put_int(&ready, CII_SETUP_LANGUAGES, (int64_t)s->languages);
    cii_wire_end(&ready, &mark);
    if (sent > 0) /* else the library finds its socket closed */
        cii_fd_send(setup_fd, ready.data, ready.size, (int[]){s->root_fd, s->base_fd}, 2, MSG_DONTWAIT);
    cii_close(setup_fd);
    cii_close(TAKE_FD(s->spare_fd));
    cii_close(TAKE_FD(s->root_fd));
    cii_close(TAKE_FD(s->base_fd));
    s->family->spares[s->internet] = NULL;
    return true;
}

static void want_spare(void) {
    supervisor.spare_due_ms = cii_clock_ms() + SPARE_DELAY_MS;
}

int spare_timeout(void) {
    return supervisor.spare_due_ms == 0 ? -1 : (int)CII_MAX(supervisor.spare_due_ms - cii_clock_ms(), 0);
}

/* --- opening and ending --------------------------------------------------------------------------------------------- */

/* A folder of the host that the session is to see, as a detached mount; true without one. */
static bool open_tree_of(const char *option, const char *path, int *ret_tree, ci_error **ret_error) {
    struct stat st;
    if (path == NULL)
        return true;
    _cleanup_close_ int tree = open_host_dir(path, free_uid());
    if (tree >= 0 && fstat(tree, &st) == 0 && S_ISDIR(st.st_mode)) {
        *ret_tree = TAKE_FD(tree);
        return true;
    }
    int error_number = tree >= 0 ? ENOTDIR : errno;
    cii_error_errno(ret_error, error_number, DOMAIN, "%s: %s", option, path);
    if (error_number == EINVAL)
        cii_error_hint(ret_error, "use a folder on another file system: this one cannot be mounted with other owners "
                                  "(idmapped; tmpfs can from Linux 6.3 on)");
    return false;
}

/* Rules for those who are to have the internet; true without. */
static bool read_rules(const request *r, int events_fd, policy **ret_rules, ci_error **ret_error) {
    if (r->network != CI_NETWORK_INTERNET)
        return true;
    if (events_fd < 0 || r->allow == NULL || r->deny == NULL) {
        cii_error_nomem(ret_error);
        return false;
    }
    return policy_new(r->allow_list ? (const char *const *)r->allow : NULL, (const char *const *)r->deny, ret_rules,
                      ret_error) == CI_OK;
}

static void refuse_opening(int setup_fd, const ci_error *error) {
    answer_refuse_session(setup_fd, error);
    cii_close(setup_fd);
}

void session_open(const request *r, int setup_fd, int events_fd) {
    _cleanup_error_ ci_error *error = NULL;
    _cleanup_close_ int tree = -1, rootfs = -1;
    _cleanup_policy_ policy *rules = NULL;
    family *f = family_find(r->python, r->rootfs, r->network == CI_NETWORK_HOST, &error);
    want_spare();
    if (f == NULL || !read_rules(r, events_fd, &rules, &error)) {
        refuse_opening(setup_fd, error);
        return;
    }
    f->internet |= rules != NULL;
    session *s = r->plain ? f->spares[rules != NULL] : NULL;
    if (s != NULL && s->root_fd >= 0 && assign_spare(s, r, rules, setup_fd, events_fd))
        return;
    s = open_tree_of("host_dir", r->host_dir, &tree, &error) && open_tree_of("rootfs", r->rootfs, &rootfs, &error)
            ? session_new(f, setup_fd, r->memory_bytes, r->process_count)
            : NULL;
    if (s == NULL) {
        refuse_opening(setup_fd, error);
        return;
    }
    s->tree_fd = TAKE_FD(tree);
    s->rootfs_fd = TAKE_FD(rootfs);
    s->internet = rules != NULL;
    if (!start_gateway(s, rules, events_fd, &error)) {
        session_refuse(s, ci_error_status(error), ci_error_message(error));
        return;
    }
    family_ensure(f);
    sessions_dispatch(f);
}

/* Ends sessions whose init has ended; their groups may be in use for a moment longer. */
void session_reap(session *s) {
    if (cgroup_remove(&supervisor.cgroups, s->id) || ++s->attempts > REMOVE_ATTEMPTS) {
        unlink_session(s);
        free_session(s);
    } else {
        usleep(500);
    }
}
