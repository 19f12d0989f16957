/* The local backend's helper program: one for each sandbox object, started by the library with two descriptors (3: the
 * library's socket, 4: a pidfd of the host process). It finds interpreters, keeps zygotes ready, gives sessions their
 * cgroups and ids, and takes everything down when the host goes. What a session does never passes through here, and
 * nothing a session sends is read here. */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "os/fd.h"
#include "supervisor/state.h"

#define HOST_FD 3
#define OWNER_FD 4
#define SPARE_FDS 16 /* descriptors that opening one session needs in passing */

struct supervisor supervisor;

/* --- the library's requests ------------------------------------------------------------------------------------------- */

static void request_free(request *r) {
    free(r->python);
    free(r->host_dir);
    free(r->rootfs);
    free(r->build);
    cii_strv_free(r->allow);
    cii_strv_free(r->deny);
    while (r->share_count > 0)
        free(r->shares[--r->share_count]);
}

static void parse_request(request *r, const uint8_t *data, size_t size) {
    cii_wire_field field;
    size_t cursor = 0;
    *r = (request){.env = calloc(size / 5 + 1, sizeof(char *)),
                   .allow = calloc(size / 5 + 1, sizeof(char *)),
                   .deny = calloc(size / 5 + 1, sizeof(char *))};
    while (cii_wire_next(data, size, &cursor, &field) == 1) {
        const struct {
            uint8_t key;
            char **text;
        } texts[] = {{CII_SETUP_PYTHON, &r->python},
                     {CII_SETUP_HOST_DIR, &r->host_dir},
                     {CII_SETUP_ROOTFS, &r->rootfs},
                     {CII_SETUP_PRELOAD, &r->preload},
                     {CII_SETUP_GUEST_DIR, &r->guest_dir},
                     {CII_SETUP_BUILD, &r->build},
                     {CII_SETUP_ALLOW, r->allow != NULL ? &r->allow[r->allow_count] : NULL},
                     {CII_SETUP_DENY, r->deny != NULL ? &r->deny[r->deny_count] : NULL},
                     {CII_SETUP_ENV, r->env != NULL ? &r->env[r->env_count] : NULL}};
        for (size_t i = 0; i < CII_ELEMENTS(texts); i++)
            if (field.key == texts[i].key && texts[i].text != NULL && *texts[i].text == NULL)
                *texts[i].text = strndup((const char *)field.data, field.size);
        r->env_count += field.key == CII_SETUP_ENV;
        r->allow_count += field.key == CII_SETUP_ALLOW;
        r->deny_count += field.key == CII_SETUP_DENY;
        if (field.key == CII_SETUP_SHARE && r->share_count < CII_SETUP_SHARES_MAX)
            r->shares[r->share_count++] = strndup((const char *)field.data, field.size);
        if (field.key == CII_SETUP_MEMORY)
            r->memory_bytes = (uint64_t)cii_wire_int(&field);
        else if (field.key == CII_SETUP_KERNELS)
            r->kernels = (uint64_t)cii_wire_int(&field);
        else if (field.key == CII_SETUP_PROCESSES)
            r->process_count = (uint32_t)cii_wire_int(&field);
        else if (field.key == CII_SETUP_NETWORK)
            r->network = (int)cii_wire_int(&field);
        else if (field.key == CII_SETUP_ALLOW_LIST)
            r->allow_list = cii_wire_int(&field) != 0;
        else if (field.key == CII_SETUP_PLAIN)
            r->plain = cii_wire_int(&field) != 0;
    }
}

static void prepare(const request *r, int reply_fd) {
    _cleanup_error_ ci_error *error = NULL;
    family *f = family_find(r->python, NULL, r->network == CI_NETWORK_HOST, &error);
    waiter *w = f != NULL ? calloc(1, sizeof *w) : NULL;
    if (w == NULL) {
        answer_send(reply_fd, CII_SETUP_REFUSED, error, NULL);
        cii_close(reply_fd);
        return;
    }
    *w = (waiter){.next = f->waiters, .fd = reply_fd};
    f->waiters = w;
    if (f->full.state == ZYGOTE_FAILED)
        f->full.state = ZYGOTE_NONE;
    family_ensure(f);
    if (supervisor.kernels != 0 && f->spares[0] == NULL)
        supervisor.spare_due_ms = cii_clock_ms();
    family_wake(f);
}

/* False when the library is gone. */
static bool serve_host(void) {
    static uint8_t message[CII_SETUP_MESSAGE_MAX];
    cii_wire_frame_head head;
    int fds[2] = {-1, -1};
    size_t fd_count = 0;
    ssize_t size = cii_fd_recv(HOST_FD, message, sizeof message, fds, 2, &fd_count, MSG_DONTWAIT);
    if (size < 0 && (errno == EAGAIN || errno == EINTR || errno == EPROTO)) /* EPROTO: no descriptor left to take one */
        return true;
    if (size < (ssize_t)CII_WIRE_HEAD_SIZE || cii_wire_parse_head(message, &head) < 0 || fd_count < 1)
        return false;
    const int fd = fds[0];
    _cleanup_close_ int events = fds[1];
    request r;
    parse_request(&r, message + CII_WIRE_HEAD_SIZE, (size_t)size - CII_WIRE_HEAD_SIZE);
    if (r.python == NULL) {
        cii_close(fd);
    } else if (fd >= supervisor.fd_limit - SPARE_FDS) { /* the lowest that was free */
        answer_refuse_session_text(fd, CI_ERR_LIMIT,
                                   "no descriptors left for another session: raise the host's limit (ulimit -Hn)");
        cii_close(fd);
    } else if (head.type == CII_SETUP_OPEN) {
        session_open(&r, fd, events);
    } else {
        prepare(&r, fd);
    }
    request_free(&r);
    free(r.env);
    return true;
}

/* --- beginning ------------------------------------------------------------------------------------------------------ */

/* What a sandbox's processes start with: nothing of the host's environment. */
static char **make_env(char *const *extra, size_t extra_count) {
    static const char *const base[] = {
        "PATH=/opt/libci/bin:/home/user/.local/bin:/workspace/node_modules/.bin:/usr/local/bin:/usr/bin:/bin",
        "HOME=/home/user",
        "USER=user",
        "LOGNAME=user",
        "SHELL=/bin/bash",
        "LANG=C.UTF-8",
        "TERM=dumb",
        "MPLBACKEND=agg",
        "PIP_DISABLE_PIP_VERSION_CHECK=1",
        "PIP_BREAK_SYSTEM_PACKAGES=1",
        "PIP_NO_INPUT=1",
        "NPM_CONFIG_PREFIX=/home/user/.local",    /* of `npm install --global` */
        "NPM_CONFIG_GLOBALCONFIG=/usr/etc/npmrc", /* would go with the prefix */
        "NPM_CONFIG_UPDATE_NOTIFIER=false",
        "NPM_CONFIG_FUND=false",
        /* Thread pools that are made at import would keep the zygote from being forked. */
        "OPENBLAS_NUM_THREADS=1",
        "NUMEXPR_NUM_THREADS=1",
        /* That of pyarrow, which pandas imports where it is installed. */
        "JE_ARROW_MALLOC_CONF=background_thread:false",
    };
    char **env = calloc(CII_ELEMENTS(base) + extra_count + 1, sizeof *env);
    for (size_t i = 0; env != NULL && i < CII_ELEMENTS(base); i++)
        env[i] = strdup(base[i]);
    for (size_t i = 0; env != NULL && i < extra_count; i++)
        env[CII_ELEMENTS(base) + i] = extra[i];
    return env;
}

static ci_status set_up(const request *hello, ci_error **ret_error) {
    supervisor.preload = hello->preload;
    supervisor.guest_dir = hello->guest_dir;
    supervisor.kernels = hello->kernels;
    memcpy(supervisor.shares, hello->shares, sizeof supervisor.shares);
    supervisor.env = make_env(hello->env, hello->env_count);
    if (hello->python == NULL || supervisor.env == NULL || supervisor.preload == NULL || supervisor.guest_dir == NULL)
        return cii_error_nomem(ret_error);
    supervisor.filter_fd = filter_make();
    if (supervisor.filter_fd < 0)
        return cii_error_errno(ret_error, errno, DOMAIN, "compile the system call filter");
    identity_choose(&supervisor.ids);
    cgroup_open(&supervisor.cgroups);
    ci_status status = template_start(&supervisor.ids, &supervisor.template, ret_error);
    family *f = status == CI_OK ? family_find(hello->python, NULL, false, ret_error) : NULL;
    if (f == NULL)
        return ret_error != NULL && *ret_error != NULL ? ci_error_status(*ret_error) : CI_ERR_NOMEM;
    family_ensure(f);
    return CI_OK;
}

static bool read_hello(request *ret_hello) {
    static uint8_t message[CII_SETUP_MESSAGE_MAX];
    cii_wire_frame_head head;
    size_t fd_count = 0;
    ssize_t size;
    supervisor.files_fd = -1;
    do
        size = cii_fd_recv(HOST_FD, message, sizeof message, &supervisor.files_fd, 1, &fd_count, 0);
    while (size < 0 && errno == EINTR);
    if (size < (ssize_t)CII_WIRE_HEAD_SIZE || cii_wire_parse_head(message, &head) < 0 || head.type != CII_SETUP_HELLO)
        return false;
    parse_request(ret_hello, message + CII_WIRE_HEAD_SIZE, (size_t)size - CII_WIRE_HEAD_SIZE);
    return ret_hello->build != NULL;
}

/* --- the loop ------------------------------------------------------------------------------------------------------- */

#define FIXED_SOURCES 3

static size_t collect(struct pollfd *fds, void **owners) {
    size_t count = 0;
    fds[count++] = (struct pollfd){.fd = HOST_FD, .events = POLLIN};
    fds[count++] = (struct pollfd){.fd = OWNER_FD, .events = POLLIN};
    fds[count++] = (struct pollfd){.fd = supervisor.template.socket_fd, .events = 0}; /* hangs up when it ends */
    for (family *f = supervisor.families; f != NULL; f = f->next)
        for (int i = 0; i < 2; i++) {
            zygote *z = i == 0 ? &f->bare : &f->full;
            owners[count] = f;
            fds[count++] = (struct pollfd){.fd = z->fd, .events = POLLIN};
        }
    for (session *s = supervisor.sessions; s != NULL; s = s->next) {
        owners[count] = s;
        fds[count++] = (struct pollfd){.fd = s->pidfd, .events = POLLIN};
        fds[count++] = (struct pollfd){.fd = s->root_fd >= 0 && s->kernels_ready ? -1 : s->spare_fd, .events = POLLIN};
    }
    return count;
}

static size_t count_sources(size_t *ret_zygotes) {
    size_t zygotes = 0, sessions = 0;
    for (const family *f = supervisor.families; f != NULL; f = f->next)
        zygotes += 2;
    for (const session *s = supervisor.sessions; s != NULL; s = s->next)
        sessions += 2;
    *ret_zygotes = zygotes;
    return FIXED_SOURCES + zygotes + sessions;
}

static int next_timeout(void) {
    int spare = spare_timeout(), idle = families_timeout();
    return spare < 0 ? idle : idle < 0 ? spare : CII_MIN(spare, idle);
}

/* One round: false when it is time to end. Sessions first, since the others may free them. */
static bool serve(void) {
    size_t zygotes, expected = count_sources(&zygotes);
    _cleanup_free_ struct pollfd *fds = calloc(expected, sizeof *fds);
    _cleanup_free_ void **owners = calloc(expected, sizeof *owners);
    if (fds == NULL || owners == NULL)
        return false;
    size_t count = collect(fds, owners);
    if (poll(fds, count, next_timeout()) < 0)
        return errno == EINTR;
    for (size_t i = FIXED_SOURCES + zygotes; i < count; i += 2) {
        if (fds[i + 1].revents != 0)
            spare_ready(owners[i]);
        if (fds[i].revents != 0)
            session_reap(owners[i]);
    }
    for (size_t i = FIXED_SOURCES; i < FIXED_SOURCES + zygotes; i++) {
        family *f = owners[i];
        zygote *z = (i - FIXED_SOURCES) % 2 == 0 ? &f->bare : &f->full;
        if (fds[i].revents != 0 && z->fd == fds[i].fd)
            zygote_ready(f, z);
    }
    if (fds[1].revents != 0 || fds[2].revents != 0)
        return false; /* without the template no session lives, and none can be made */
    if (spare_timeout() == 0) {
        supervisor.spare_due_ms = 0;
        for (family *f = supervisor.families; f != NULL; f = f->next) {
            spares_make(f);
            family_wake(f); /* if it could not be made */
        }
    }
    families_end_idle();
    return fds[0].revents == 0 || serve_host();
}

/* Sessions cost this process descriptors, and their inits: both may have as many as there can be. */
static void raise_fd_limit(void) {
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) < 0)
        return;
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    supervisor.fd_limit = (int)CII_MIN(files.rlim_max, (rlim_t)INT32_MAX);
}

int main(void) {
    request hello;
    _cleanup_error_ ci_error *error = NULL;
    signal(SIGPIPE, SIG_IGN);
    umask(022); /* the host's would close the sandbox's folders to their users */
    raise_fd_limit();
    if (!read_hello(&hello))
        return 1;
    if (strcmp(hello.build, CI_BUILD_ID) != 0) {
        answer_refuse(HOST_FD, CI_ERR_MISMATCH,
                      "the helper program ci-supervisor is of another build than the library");
        return 1;
    }
    if (set_up(&hello, &error) != CI_OK)
        answer_send(HOST_FD, CII_SETUP_REFUSED, error, NULL);
    else {
        prctl(PR_SET_DUMPABLE, 0); /* not before the template's maps were written through /proc */
        answer_send(HOST_FD, CII_SETUP_HELLO_OK, NULL, NULL);
        while (serve())
            ;
    }
    if (supervisor.template.pid > 0) {
        kill(supervisor.template.pid, SIGKILL);
        waitpid(supervisor.template.pid, NULL, 0); /* returns when all its processes are gone */
    }
    cgroup_close(&supervisor.cgroups);
    return 0;
}
