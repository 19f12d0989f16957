/* Families: interpreters kept ready to be forked, and the life of their zygotes. */
#include <fcntl.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "os/fd.h"
#include "supervisor/state.h"

#define ATTEMPTS 2 /* zygotes that may die under the wish for one session */
#define FAMILY_IDLE_MS 60000

/* Root shows a folder with its owner's id turned into the one that uses it; others have the one id on both sides. */
int open_host_dir(const char *path, uint32_t uid) {
    return supervisor.ids.count == 1 ? template_open_tree(&supervisor.template, path)
                                     : identity_open_tree(&supervisor.ids, path, uid);
}

/* By errno. */
static void zygote_failed(zygote *z, const char *what) {
    free(z->failure);
    z->failure = cii_str_printf("%s: %s", what, strerror(errno));
    z->state = ZYGOTE_FAILED;
}

static void start_zygote(family *f, zygote *z) {
    int sockets[2];
    _cleanup_close_ int rootfs = f->python.rootfs != NULL ? open_host_dir(f->python.rootfs, 0) : -1;
    if (f->python.rootfs != NULL && rootfs < 0) {
        zygote_failed(z, f->python.rootfs);
        return;
    }
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) < 0) {
        zygote_failed(z, "start an interpreter");
        return;
    }
    _cleanup_close_ int ours = sockets[0], theirs = sockets[1];
    const zygote_request wish = {.python = &f->python,
                                 .preload = z->preload,
                                 .guest_dir = supervisor.guest_dir,
                                 .env = supervisor.env,
                                 .host_network = f->host_network,
                                 .socket_fd = theirs,
                                 .filter_fd = supervisor.filter_fd,
                                 .rootfs_fd = rootfs,
                                 .files_fd = supervisor.files_fd,
                                 .shares = supervisor.shares};
    if (template_start_zygote(&supervisor.template, &wish) < 0) {
        zygote_failed(z, "start an interpreter");
        return;
    }
    z->fd = TAKE_FD(ours);
    z->state = ZYGOTE_STARTING;
}

static bool is_family(const family *f, const char *python, const char *rootfs, bool host_network) {
    return !f->ending && f->host_network == host_network && strcmp(f->python.path, python) == 0 &&
           (rootfs == NULL ? f->python.rootfs == NULL
                           : f->python.rootfs != NULL && strcmp(f->python.rootfs, rootfs) == 0);
}

family *family_find(const char *python, const char *rootfs, bool host_network, ci_error **ret_error) {
    family *f = supervisor.families;
    while (f != NULL && !is_family(f, python, rootfs, host_network))
        f = f->next;
    if (f != NULL) {
        f->used_ms = cii_clock_ms();
        return f;
    }
    if ((f = calloc(1, sizeof *f)) == NULL || interpreter_find(python, rootfs, &f->python, ret_error) != CI_OK) {
        free(f);
        return NULL;
    }
    f->host_network = host_network;
    f->used_ms = cii_clock_ms();
    f->bare = (zygote){.fd = -1, .preload = "bare"};
    f->full = (zygote){.fd = -1, .preload = supervisor.preload};
    f->next = supervisor.families;
    supervisor.families = f;
    return f;
}

bool wants_full(void) {
    return strcmp(supervisor.preload, "none") != 0;
}

void family_wake(family *f) {
    const zygote *z = wants_full() ? &f->full : &f->bare;
    bool failed = f->bare.state == ZYGOTE_FAILED || f->full.state == ZYGOTE_FAILED;
    if (z->state == ZYGOTE_READY ? spare_pending(f) : !failed)
        return;
    while (f->waiters != NULL) {
        waiter *w = f->waiters;
        f->waiters = w->next;
        if (z->state == ZYGOTE_READY)
            answer_send(w->fd, CII_SETUP_HELLO_OK, NULL, z->info);
        else
            answer_refuse(w->fd, CI_ERR_IO,
                          z->failure != NULL        ? z->failure
                          : f->bare.failure != NULL ? f->bare.failure
                                                    : "the interpreter ended while it was prepared");
        cii_close(w->fd);
        free(w);
    }
}

void family_ensure(family *f) {
    if (f->bare.state == ZYGOTE_NONE && f->full.state != ZYGOTE_READY)
        start_zygote(f, &f->bare);
    if (wants_full() && f->full.state == ZYGOTE_NONE && f->bare.state == ZYGOTE_READY)
        start_zygote(f, &f->full);
    if (f->bare.state == ZYGOTE_FAILED || f->full.state == ZYGOTE_FAILED)
        family_wake(f);
}

/* --- what zygotes say ------------------------------------------------------------------------------------------------ */

static void zygote_gone(family *f, zygote *z) {
    bool was_ready = z->state == ZYGOTE_READY;
    cii_close(TAKE_FD(z->fd));
    z->state = was_ready ? ZYGOTE_NONE : ZYGOTE_FAILED;
    for (session *s = supervisor.sessions, *next; s != NULL; s = next) {
        next = s->next;
        if (s->zygote != z)
            continue;
        s->zygote = NULL;
        cgroup_remove(&supervisor.cgroups, s->id);
        if (++s->attempts >= ATTEMPTS)
            session_refuse(s, CI_ERR_LOST, "the interpreter that sessions are forked from has died");
    }
    family_ensure(f);
    if (z->state == ZYGOTE_FAILED)
        family_wake(f);
    sessions_dispatch(f);
}

static void zygote_refused(zygote *z, const uint8_t *data, size_t size) {
    cii_wire_field field;
    size_t cursor = 0;
    _cleanup_free_ char *text = NULL;
    int error_number = 0;
    while (cii_wire_next(data, size, &cursor, &field) == 1)
        if (field.key == CII_SETUP_MESSAGE && text == NULL)
            text = strndup((const char *)field.data, field.size);
        else if (field.key == CII_SETUP_ERRNO)
            error_number = (int)cii_wire_int(&field);
    free(z->failure);
    z->failure = cii_str_printf("%s%s%s", text != NULL ? text : "the interpreter gives no reason",
                                error_number != 0 ? ": " : "", error_number != 0 ? strerror(error_number) : "");
}

static void take_info(zygote *z, const uint8_t *data, size_t size) {
    cii_wire_field field;
    size_t cursor = 0;
    free(TAKE_PTR(z->info));
    while (cii_wire_next(data, size, &cursor, &field) == 1)
        if (field.key == CII_SETUP_INFO && z->info == NULL)
            z->info = strndup((const char *)field.data, field.size);
}

void zygote_ready(family *f, zygote *z) {
    static uint8_t message[CII_SETUP_MESSAGE_MAX];
    cii_wire_frame_head head;
    int pidfd = -1;
    size_t fd_count = 0;
    ssize_t size = cii_fd_recv(z->fd, message, sizeof message, &pidfd, 1, &fd_count, MSG_DONTWAIT);
    if (size < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (size < (ssize_t)CII_WIRE_HEAD_SIZE || cii_wire_parse_head(message, &head) < 0) {
        zygote_gone(f, z);
        return;
    }
    if (head.type == CII_SETUP_REFUSED) {
        zygote_refused(z, message + CII_WIRE_HEAD_SIZE, (size_t)size - CII_WIRE_HEAD_SIZE);
    } else if (head.type == CII_SETUP_FORKED) {
        session_forked(z, pidfd);
    } else if (head.type == CII_SETUP_ZYGOTE_READY) {
        z->state = ZYGOTE_READY;
        take_info(z, message + CII_WIRE_HEAD_SIZE, (size_t)size - CII_WIRE_HEAD_SIZE);
        sessions_dispatch(f);
        family_ensure(f);
        if (z == &f->full) { /* nobody needs the bare one any more; it ends when nobody holds its socket */
            cii_close(TAKE_FD(f->bare.fd));
            f->bare.state = ZYGOTE_NONE;
        }
        if (z == &f->full || !wants_full()) {
            supervisor.spare_due_ms = cii_clock_ms(); /* at once */
            family_wake(f);
        }
    }
}

/* --- ends ----------------------------------------------------------------------------------------------------------- */

/* Whether the memory of its zygotes is of use to anybody. */
static bool is_idle(const family *f, int64_t now) {
    bool used = f->next == NULL || f->waiters != NULL || now - f->used_ms < FAMILY_IDLE_MS;
    for (const session *s = supervisor.sessions; s != NULL && !used; s = s->next)
        used = s->family == f && (s != f->spares[s->internet] || s->root_fd < 0);
    return !used;
}

static bool has_sessions(const family *f) {
    const session *s = supervisor.sessions;
    while (s != NULL && s->family != f)
        s = s->next;
    return s != NULL;
}

/* Its processes end when nobody holds their sockets. */
static void end_family(family *f) {
    f->ending = true;
    zygote *const zygotes[] = {&f->bare, &f->full};
    for (size_t i = 0; i < CII_ELEMENTS(zygotes); i++) {
        cii_close(TAKE_FD(zygotes[i]->fd));
        zygotes[i]->state = ZYGOTE_NONE;
    }
    for (size_t i = 0; i < CII_ELEMENTS(f->spares); i++) {
        if (f->spares[i] != NULL)
            cii_close(TAKE_FD(f->spares[i]->spare_fd));
        f->spares[i] = NULL;
    }
}

static void free_zygote(zygote *z) {
    free(z->failure);
    free(z->info);
}

void families_end_idle(void) {
    int64_t now = cii_clock_ms();
    for (family **at = &supervisor.families; *at != NULL;) {
        family *f = *at;
        if (!f->ending && is_idle(f, now))
            end_family(f);
        if (!f->ending || has_sessions(f)) {
            at = &f->next;
            continue;
        }
        *at = f->next;
        interpreter_free(&f->python);
        free_zygote(&f->bare);
        free_zygote(&f->full);
        free(f);
    }
}

int families_timeout(void) {
    return supervisor.families->next != NULL ? FAMILY_IDLE_MS / 4 : -1; /* looked at now and then */
}
