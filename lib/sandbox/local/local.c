/* The local sandbox object: its helper program, and opening sessions through it.
 *
 * A session's descriptors here are its control socket, its root, two folders of its workspace, and what its gateway tells
 * where it has one. From sockets that a guest's init or a gateway holds bytes are taken with recv(2), never descriptors;
 * those of opening come from a socket that is closed on both sides before any code of a user runs. */
#include "sandbox/local/local.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/json.h"
#include "base/options.h"
#include "base/str.h"
#include "os/fd.h"
#include "os/process.h"

#define HELPER_NAME "ci-supervisor"
#define HELLO_TIMEOUT_MS 20000
#define REAP_TIMEOUT_MS 2000

typedef struct local {
    int socket_fd; /* to the supervisor */
    int pidfd;
    char *python;
    uint64_t kernels; /* CI_CAP_ bits of the languages whose kernels are kept ready */
    local_cache cache;
    _Atomic bool missing_told;
    ci_log_cb log; /* NULL: none */
    void *log_user;
} local;

#define LANGUAGES (CI_CAP_PYTHON | CI_CAP_JAVASCRIPT | CI_CAP_TYPESCRIPT | CI_CAP_TYPECHECK | CI_CAP_BASH)

/* Those whose kernels can be kept ready on wish. */
static const struct {
    const char *name;
    uint64_t bit;
} kept_languages[] = {{"python", CI_CAP_PYTHON}, /* always is */
                      {"javascript", CI_CAP_JAVASCRIPT},
                      {"typescript", CI_CAP_TYPESCRIPT},
                      {"bash", CI_CAP_BASH}};

/* --- the supervisor --------------------------------------------------------------------------------------------------- */

static void local_free(void *impl) {
    local *l = impl;
    if (l == NULL)
        return;
    cii_close(l->socket_fd); /* the supervisor ends with it */
    cii_process_reap_adopted(l->pidfd, REAP_TIMEOUT_MS);
    cii_close(l->pidfd);
    local_cache_stop(&l->cache);
    free(l->python);
    free(l);
}

/* The option; beside the library by its own address (build tree, installed tree, inside a wheel); the place it was
 * built for. */
static char *find_helper_dir(const char *option) {
    static const char *const beside[] = {"../libexec/libci", "../../libexec/libci", "libexec/libci", "libci"};
    if (option != NULL)
        return realpath(option, NULL);
    _cleanup_free_ char *own = cii_process_own_dir();
    for (size_t i = 0; own != NULL && i <= CII_ELEMENTS(beside); i++) {
        _cleanup_free_ char *dir =
            i < CII_ELEMENTS(beside) ? cii_str_printf("%s/%s", own, beside[i]) : strdup(CI_LIBEXEC_DIR);
        _cleanup_free_ char *helper = dir != NULL ? cii_str_printf("%s/" HELPER_NAME, dir) : NULL;
        if (helper != NULL && access(helper, X_OK) == 0)
            return realpath(dir, NULL);
    }
    return NULL;
}

/* A REFUSED message as an error. */
static ci_status refusal(const uint8_t *data, size_t size, ci_error **ret_error) {
    _cleanup_free_ char *message = NULL, *hint = NULL;
    ci_status status = 0;
    int error_number = 0;
    cii_wire_field field;
    size_t cursor = 0;
    while (cii_wire_next(data, size, &cursor, &field) == 1) {
        if (field.key == CII_SETUP_MESSAGE && message == NULL)
            message = strndup((const char *)field.data, field.size);
        else if (field.key == CII_SETUP_HINT && hint == NULL)
            hint = strndup((const char *)field.data, field.size);
        else if (field.key == CII_SETUP_STATUS)
            status = (ci_status)cii_wire_int(&field);
        else if (field.key == CII_SETUP_ERRNO)
            error_number = (int)cii_wire_int(&field);
    }
    const char *text = message != NULL ? message : "refused without a reason";
    if (status < 0)
        cii_error_set(ret_error, status, LOCAL_DOMAIN, "%s", text);
    else
        status = cii_error_errno(ret_error, error_number, LOCAL_DOMAIN, "%s", text);
    if (hint != NULL && *hint != 0)
        cii_error_hint(ret_error, "%s", hint);
    return status;
}

static ci_status send_hello(local *l, const ci_sandbox_local_options *options, const char *helper_dir,
                            ci_error **ret_error) {
    _cleanup_close_ int files = -1;
    _cleanup_free_ char *guest_dir = cii_str_printf("%s/guest", helper_dir);
    _cleanup_buf_ cii_buf message = {0};
    cii_wire_mark mark;
    if (guest_dir == NULL)
        return cii_error_nomem(ret_error);
    cii_wire_begin(&message, CII_SETUP_HELLO, &mark);
    cii_wire_put_str(&message, CII_SETUP_BUILD, CI_BUILD_ID);
    cii_wire_put_str(&message, CII_SETUP_PYTHON, l->python);
    cii_wire_put_str(&message, CII_SETUP_PRELOAD, options->preload != NULL ? options->preload : "");
    cii_wire_put_str(&message, CII_SETUP_GUEST_DIR, guest_dir);
    cii_wire_put_int(&message, CII_SETUP_KERNELS, (int64_t)l->kernels);
    for (const char *const *entry = options->env; entry != NULL && *entry != NULL; entry++)
        cii_wire_put_str(&message, CII_SETUP_ENV, *entry);
    ci_status status = local_packages_collect(options, helper_dir, &message, &files, ret_error);
    if (status != CI_OK)
        return status;
    cii_wire_end(&message, &mark);
    if (message.size > CII_SETUP_MESSAGE_MAX)
        return cii_error_set(ret_error, CI_ERR_LIMIT, LOCAL_DOMAIN, "options: more than 128 KiB of environment");
    if (cii_fd_send(l->socket_fd, message.data, message.size, &files, files >= 0, 0) < 0)
        return cii_error_errno(ret_error, errno, LOCAL_DOMAIN, "talk to the helper program");
    return CI_OK;
}

static ci_status await_hello(local *l, ci_error **ret_error) {
    uint8_t message[8192];
    cii_wire_frame_head head;
    int ready = cii_fd_wait(l->socket_fd, 1 /* POLLIN */, HELLO_TIMEOUT_MS);
    ssize_t size = ready > 0 ? recv(l->socket_fd, message, sizeof message, MSG_DONTWAIT) : -1;
    if (ready == 0)
        return cii_error_set(ret_error, CI_ERR_TIMEOUT, LOCAL_DOMAIN, "the helper program does not answer");
    if (size < (ssize_t)CII_WIRE_HEAD_SIZE || cii_wire_parse_head(message, &head) < 0)
        return cii_error_set(ret_error, CI_ERR_LOST, LOCAL_DOMAIN, "the helper program ended as it started");
    if (head.type != CII_SETUP_HELLO_OK)
        return refusal(message + CII_WIRE_HEAD_SIZE, (size_t)size - CII_WIRE_HEAD_SIZE, ret_error);
    return CI_OK;
}

static ci_status start_supervisor(local *l, const ci_sandbox_local_options *options, ci_error **ret_error) {
    int sockets[2];
    _cleanup_free_ char *dir = find_helper_dir(options->helper_dir);
    _cleanup_free_ char *path = dir != NULL ? cii_str_printf("%s/" HELPER_NAME, dir) : NULL;
    if (path == NULL || access(path, X_OK) < 0) {
        cii_error_set(ret_error, CI_ERR_MISSING, LOCAL_DOMAIN, "the helper program " HELPER_NAME " was not found%s%s",
                      options->helper_dir != NULL ? " in " : " beside the library or in " CI_LIBEXEC_DIR,
                      options->helper_dir != NULL ? options->helper_dir : "");
        cii_error_hint(ret_error, "install libci whole, or set helper_dir");
        return CI_ERR_MISSING;
    }
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) < 0)
        return cii_error_errno(ret_error, errno, LOCAL_DOMAIN, "start the helper program");
    l->socket_fd = sockets[0];
    _cleanup_close_ int theirs = sockets[1];
    _cleanup_close_ int owner = cii_pidfd_open(getpid());
    if (owner < 0)
        return cii_error_errno(ret_error, errno, LOCAL_DOMAIN, "pidfd_open (Linux 5.14 is needed)");
    const char *const argv[] = {path, NULL};
    pid_t pid;
    ci_status status =
        local_cache_start(&l->cache, options->package_cache, options->host_packages != 0, dir, ret_error);
    if (status == CI_OK)
        status = cii_process_spawn(path, argv, NULL, (int[]){theirs, owner}, 2, &pid, &l->pidfd, ret_error);
    if (status == CI_OK)
        status = send_hello(l, options, dir, ret_error);
    cii_close(TAKE_FD(theirs));
    return status == CI_OK ? await_hello(l, ret_error) : status;
}

/* --- opening and preparing ------------------------------------------------------------------------------------------- */

/* Waits for one answer on a socket of its own. */
typedef struct reply_op {
    ci_op op;
    int fd;
    local_session *session; /* opening: the session to be; NULL: preparing */
    local *local;
    void **ret_session;
} reply_op;

static void session_free(local_session *s) {
    if (s == NULL)
        return;
    cii_close(s->control_fd);
    cii_close(s->root_fd);
    cii_close(s->base_fd);
    cii_close(s->files_fd);
    cii_close(s->stage_fd);
    cii_close(s->events_fd);
    free(s);
}

static int32_t reply_fd(ci_op *op) {
    return ((reply_op *)op)->fd;
}

static void reply_free(ci_op *op) {
    reply_op *r = (reply_op *)op;
    cii_close(r->fd);
    session_free(r->session);
    free(r);
}

/* Once: it is the same for all sessions, unless they have a system of their own. */
static void tell_missing(local *l, uint64_t languages) {
    if ((l->kernels & ~languages) == 0 || l->log == NULL || atomic_exchange(&l->missing_told, true))
        return;
    for (size_t i = 0; i < CII_ELEMENTS(kept_languages); i++) {
        if (!(l->kernels & ~languages & kept_languages[i].bit))
            continue;
        _cleanup_free_ char *text =
            cii_str_printf("kernels: %s is not kept ready: sessions do not have it", kept_languages[i].name);
        if (text != NULL)
            l->log(l->log_user, CI_LOG_WARNING, LOCAL_DOMAIN, text);
    }
}

static ci_status take_session(reply_op *r, const uint8_t *data, size_t size, int *fds, size_t fd_count,
                              ci_error **ret_error) {
    local_session *s = r->session;
    cii_wire_field field;
    size_t cursor = 0;
    while (cii_wire_next(data, size, &cursor, &field) == 1)
        if (field.key == CII_SETUP_LIMITS)
            s->limits = (int)cii_wire_int(&field);
        else if (field.key == CII_SETUP_LANGUAGES)
            s->languages = (uint64_t)cii_wire_int(&field) & LANGUAGES;
    tell_missing(r->local, s->languages);
    if (fd_count == 0)
        return cii_error_set(ret_error, CI_ERR_PROTOCOL, LOCAL_DOMAIN, "the session's init sent no root");
    s->root_fd = TAKE_FD(fds[0]);
    if (fd_count > 1)
        s->base_fd = TAKE_FD(fds[1]);
    ci_status status = local_files_init(s, ret_error);
    if (status == CI_OK)
        *r->ret_session = TAKE_PTR(r->session);
    return status;
}

/* Modules that could not be imported beforehand; code that imports them meets the same. */
static void tell_preload(const local *l, const uint8_t *data, size_t size) {
    cii_wire_field field;
    size_t cursor = 0;
    while (l->log != NULL && cii_wire_next(data, size, &cursor, &field) == 1) {
        _cleanup_json_ cii_json *info = NULL;
        if (field.key != CII_SETUP_INFO ||
            cii_json_parse((const char *)field.data, field.size, 0, &info, NULL) != CI_OK)
            continue;
        const cii_json *failed = cii_json_get(info, "failed");
        for (size_t i = 0; i < cii_json_count(failed); i++) {
            const char *why = cii_json_text_of(cii_json_at(failed, i), NULL);
            _cleanup_free_ char *text =
                cii_str_printf("preload: %s: %s", cii_json_key_at(failed, i, NULL), why != NULL ? why : "?");
            if (text != NULL)
                l->log(l->log_user, CI_LOG_WARNING, LOCAL_DOMAIN, text);
        }
    }
}

static int32_t reply_process(ci_op *op, ci_error **ret_error) {
    reply_op *r = (reply_op *)op;
    uint8_t message[32768];
    cii_wire_frame_head head;
    int fds[2] = {-1, -1};
    size_t fd_count = 0;
    ssize_t size = cii_fd_recv(r->fd, message, sizeof message, fds, 2, &fd_count, MSG_DONTWAIT);
    if (size < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    ci_status status;
    if (size < (ssize_t)CII_WIRE_HEAD_SIZE || cii_wire_parse_head(message, &head) < 0)
        status = cii_error_set(ret_error, CI_ERR_LOST, LOCAL_DOMAIN,
                               r->session != NULL ? "the session's init ended as it started"
                                                  : "the helper program has ended");
    else if (head.type == CII_SETUP_REFUSED)
        status = refusal(message + CII_WIRE_HEAD_SIZE, (size_t)size - CII_WIRE_HEAD_SIZE, ret_error);
    else if (r->session != NULL)
        status =
            take_session(r, message + CII_WIRE_HEAD_SIZE, (size_t)size - CII_WIRE_HEAD_SIZE, fds, fd_count, ret_error);
    else {
        tell_preload(r->local, message + CII_WIRE_HEAD_SIZE, (size_t)size - CII_WIRE_HEAD_SIZE);
        status = CI_OK;
    }
    cii_close(fds[0]);
    cii_close(fds[1]);
    return status == CI_OK ? 1 : status;
}

static const ci_op_ops reply_ops = {
    .struct_size = sizeof(ci_op_ops), .fd = reply_fd, .process = reply_process, .free = reply_free};

static reply_op *reply_new(local *l, int fd) {
    reply_op *r = calloc(1, sizeof *r);
    if (r != NULL)
        *r = (reply_op){.op.ops = &reply_ops, .fd = fd, .local = l};
    return r;
}

static ci_status ask(local *l, const cii_buf *message, const int *fds, size_t fd_count, ci_error **ret_error) {
    if (cii_fd_send(l->socket_fd, message->data, message->size, fds, fd_count, MSG_DONTWAIT) >= 0)
        return CI_OK;
    if (errno == EPIPE || errno == ECONNRESET) {
        cii_error_set(ret_error, CI_ERR_LOST, LOCAL_DOMAIN, "the helper program has ended");
        cii_error_mark(ret_error, false, true);
        return CI_ERR_LOST;
    }
    cii_error_errno(ret_error, errno, LOCAL_DOMAIN, "ask the helper program");
    cii_error_mark(ret_error, errno == EAGAIN, false);
    return CI_ERR_IO;
}

static ci_status local_prepare(void *impl, ci_op **ret_op, ci_error **ret_error) {
    local *l = impl;
    int sockets[2];
    _cleanup_buf_ cii_buf message = {0};
    cii_wire_mark mark;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) < 0)
        return cii_error_errno(ret_error, errno, LOCAL_DOMAIN, "prepare");
    _cleanup_close_ int ours = sockets[0];
    _cleanup_close_ int theirs = sockets[1];
    cii_wire_begin(&message, CII_SETUP_PREPARE, &mark);
    cii_wire_put_str(&message, CII_SETUP_PYTHON, l->python);
    cii_wire_end(&message, &mark);
    ci_status status = ask(l, &message, &theirs, 1, ret_error);
    if (status != CI_OK)
        return status;
    reply_op *r = reply_new(l, ours);
    if (r == NULL)
        return cii_error_nomem(ret_error);
    ours = -1;
    *ret_op = &r->op;
    return CI_OK;
}

static void put_session(cii_buf *message, const ci_sandbox_request *request) {
    cii_wire_mark mark;
    cii_wire_begin(message, CII_SETUP_SESSION, &mark);
    cii_wire_put_int(message, CII_SETUP_MEMORY, (int64_t)request->memory_bytes);
    cii_wire_put_int(message, CII_SETUP_WORKSPACE, (int64_t)request->workspace_bytes);
    cii_wire_put_int(message, CII_SETUP_INODES, (int64_t)request->workspace_inodes);
    cii_wire_put_int(message, CII_SETUP_PROCESSES, request->process_count);
    cii_wire_put_int(message, CII_SETUP_OPEN_FILES, request->open_file_count);
    cii_wire_put_int(message, CII_SETUP_NETWORK, request->network);
    for (const char *const *entry = request->env; entry != NULL && *entry != NULL; entry++)
        cii_wire_put_str(message, CII_SETUP_ENV, *entry);
    cii_wire_end(message, &mark);
}

/* Whether a session that was made ready in advance will do. */
static bool is_plain(const ci_sandbox_request *request) {
    return request->network != CI_NETWORK_HOST && request->host_dir == NULL &&
           (request->env == NULL || *request->env == NULL) && request->workspace_bytes == CII_PLAIN_WORKSPACE &&
           request->workspace_inodes == CII_PLAIN_INODES && request->memory_bytes == CII_PLAIN_MEMORY &&
           request->process_count <= CII_PLAIN_PROCESSES && request->open_file_count <= CII_PLAIN_OPEN_FILES;
}

static void put_rules(cii_buf *message, uint8_t key, const char *const *rules) {
    for (; rules != NULL && *rules != NULL; rules++)
        cii_wire_put_str(message, key, *rules);
}

static void put_open(cii_buf *message, const char *python, const ci_sandbox_request *request) {
    cii_wire_mark mark;
    cii_wire_begin(message, CII_SETUP_OPEN, &mark);
    cii_wire_put_str(message, CII_SETUP_PYTHON, python);
    cii_wire_put_str(message, CII_SETUP_HOST_DIR, request->host_dir);
    cii_wire_put_str(message, CII_SETUP_ROOTFS, request->rootfs);
    cii_wire_put_int(message, CII_SETUP_MEMORY, (int64_t)request->memory_bytes);
    cii_wire_put_int(message, CII_SETUP_PROCESSES, request->process_count);
    cii_wire_put_int(message, CII_SETUP_NETWORK, request->network);
    cii_wire_put_int(message, CII_SETUP_PLAIN, is_plain(request));
    put_rules(message, CII_SETUP_ALLOW, request->network_allow);
    put_rules(message, CII_SETUP_DENY, request->network_deny);
    if (request->network_allow != NULL)
        cii_wire_put_int(message, CII_SETUP_ALLOW_LIST, 1);
    cii_wire_end(message, &mark);
}

/* The session's own, else the sandbox's. In a system of its own a path is one of that system. */
static ci_status find_python(const local *l, const ci_sandbox_request *request, char **ret_python,
                             ci_error **ret_error) {
    if (request->python != NULL && request->rootfs == NULL)
        return local_python_find(request->python, ret_python, ret_error);
    char *python = strdup(request->python != NULL ? request->python : l->python);
    if (python == NULL)
        return cii_error_nomem(ret_error);
    *ret_python = python;
    return CI_OK;
}

static ci_status send_session(int setup_fd, int control_fd, const ci_sandbox_request *request, ci_error **ret_error) {
    _cleanup_buf_ cii_buf message = {0};
    put_session(&message, request);
    if (message.size > CII_SETUP_MESSAGE_MAX)
        return cii_error_set(ret_error, CI_ERR_LIMIT, LOCAL_DOMAIN, "env: more than 128 KiB");
    if (cii_fd_send(setup_fd, message.data, message.size, &control_fd, 1, MSG_DONTWAIT) < 0)
        return cii_error_errno(ret_error, errno, LOCAL_DOMAIN, "open session");
    return CI_OK;
}

/* events_fd -1: a session without a gateway. */
static ci_status send_open(local *l, const char *python, int setup_fd, int events_fd, const ci_sandbox_request *request,
                           ci_error **ret_error) {
    _cleanup_buf_ cii_buf message = {0};
    put_open(&message, python, request);
    if (message.size > CII_SETUP_MESSAGE_MAX)
        return cii_error_set(ret_error, CI_ERR_LIMIT, LOCAL_DOMAIN,
                             "network_allow, network_deny: more than 128 KiB of rules");
    return ask(l, &message, (int[]){setup_fd, events_fd}, events_fd >= 0 ? 2 : 1, ret_error);
}

/* Both ends of a pair of sockets, for as long as a step of opening takes; what is handed on is taken out. */
typedef struct pair {
    int ours, theirs;
} pair;

static void pair_close(pair *p) {
    cii_close(p->ours);
    cii_close(p->theirs);
}
#define _cleanup_pair_ _cleanup_(pair_close)

static ci_status pair_open(pair *p, ci_error **ret_error) {
    int sockets[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) < 0)
        return cii_error_errno(ret_error, errno, LOCAL_DOMAIN, "open session");
    *p = (pair){sockets[0], sockets[1]};
    return CI_OK;
}

static ci_status local_open(void *impl, const ci_sandbox_request *request, void **ret_session, ci_op **ret_op,
                            ci_error **ret_error) {
    _cleanup_free_ char *python = NULL;
    _cleanup_pair_ pair setup = {-1, -1}, control = {-1, -1}, events = {-1, -1};
    ci_status status = find_python(impl, request, &python, ret_error);
    if (status == CI_OK)
        status = pair_open(&setup, ret_error);
    if (status == CI_OK)
        status = pair_open(&control, ret_error);
    if (status == CI_OK && request->network == CI_NETWORK_INTERNET)
        status = pair_open(&events, ret_error);
    if (status == CI_OK)
        status = send_session(setup.ours, control.theirs, request, ret_error);
    if (status != CI_OK)
        return status;
    local_session *s = calloc(1, sizeof *s);
    reply_op *r = s != NULL ? reply_new(impl, TAKE_FD(setup.ours)) : NULL;
    if (r == NULL) {
        free(s);
        return cii_error_nomem(ret_error);
    }
    *s = (local_session){.control_fd = TAKE_FD(control.ours),
                         .root_fd = -1,
                         .base_fd = -1,
                         .files_fd = -1,
                         .stage_fd = -1,
                         .events_fd = TAKE_FD(events.ours),
                         .network = request->network};
    s->request = *request;
    s->fills_cache = request->network == CI_NETWORK_HOST ||
                     (request->network == CI_NETWORK_INTERNET && request->network_allow == NULL &&
                      (request->network_deny == NULL || *request->network_deny == NULL));
    s->cache = &((local *)impl)->cache;
    r->session = s;
    r->ret_session = ret_session;
    status = send_open(impl, python, setup.theirs, events.theirs, request, ret_error);
    if (status != CI_OK) {
        reply_free(&r->op);
        return status;
    }
    *ret_op = &r->op;
    return CI_OK;
}

/* --- sessions --------------------------------------------------------------------------------------------------------- */

static void local_shutdown(void *session) {
    local_session *s = session;
    s->closed = true;
    shutdown(s->control_fd, SHUT_RDWR); /* init ends at end-of-file, and everything with it */
    if (s->events_fd >= 0)
        shutdown(s->events_fd, SHUT_RDWR); /* and so does the gateway */
}

static void local_close(void *session) {
    session_free(session);
}

static ci_status local_host_dirs(void *session, ci_host_dirs *ret_dirs, ci_error **ret_error) {
    local_session *s = session;
    if (s->base_fd < 0)
        return cii_error_set(ret_error, CI_ERR_NOTSUP, LOCAL_DOMAIN, "the sandbox root is a folder of the host");
    if (s->files_fd < 0)
        s->files_fd = openat(s->base_fd, "files", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (s->stage_fd < 0)
        s->stage_fd = openat(s->base_fd, "stage", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (s->files_fd < 0 || s->stage_fd < 0)
        return cii_error_errno(ret_error, errno, LOCAL_DOMAIN, "open the sandbox root");
    ret_dirs->files_fd = s->files_fd;
    ret_dirs->stage_fd = s->stage_fd;
    ret_dirs->uid = s->uid;
    ret_dirs->gid = s->gid;
    return CI_OK;
}

/* A root that is a folder of the host has no second half to make files ready in. Which languages there are is known when
 * a session's system has been looked at. */
static uint64_t local_capabilities(void *impl _unused_, void *session) {
    const local_session *s = session;
    uint64_t host_paths = s == NULL || s->base_fd >= 0 ? CI_CAP_HOST_PATHS : 0;
    uint64_t languages = s == NULL ? LANGUAGES : s->languages;
    return host_paths | languages | CI_CAP_INTERRUPT | CI_CAP_CONTEXTS | CI_CAP_CLEAR_CONTEXT | CI_CAP_RICH |
           CI_CAP_CALL_ENV | CI_CAP_CALL_CWD | CI_CAP_STREAMING | CI_CAP_SEPARATE_STREAMS | CI_CAP_BACKGROUND |
           CI_CAP_NETWORK_NONE | CI_CAP_NETWORK_INTERNET | CI_CAP_NETWORK_HOST | CI_CAP_NETWORK_POLICY |
           CI_CAP_LIMIT_MEMORY | CI_CAP_LIMIT_PROCESSES | CI_CAP_LIMIT_DISK | CI_CAP_HASH | CI_CAP_WALK;
}

static const ci_sandbox_ops local_ops = {
    .struct_size = sizeof(ci_sandbox_ops),
    .name = LOCAL_DOMAIN,
    .free = local_free,
    .capabilities = local_capabilities,
    .prepare = local_prepare,
    .open = local_open,
    .shutdown = local_shutdown,
    .close = local_close,
    .run = local_run,
    .info = local_info,
    .contexts = local_contexts,
    .host_dirs = local_host_dirs,
    .file_get = local_file_get,
    .file_put = local_file_put,
    .file_list = local_file_list,
    .file_stat = local_file_stat,
    .file_remove = local_file_remove,
    .file_mkdir = local_file_mkdir,
    .walk = local_walk,
    .activity = local_activity,
};

static ci_status parse_kernels(const char *text, uint64_t *ret_kernels, ci_error **ret_error) {
    for (const char *at = text != NULL ? text : ""; *at != 0; at += *at == ',') {
        at += strspn(at, " ");
        size_t size = strcspn(at, ","), length = size, i = 0;
        while (length > 0 && at[length - 1] == ' ')
            length--;
        while (i < CII_ELEMENTS(kept_languages) &&
               (strlen(kept_languages[i].name) != length || memcmp(at, kept_languages[i].name, length) != 0))
            i++;
        if (i < CII_ELEMENTS(kept_languages))
            *ret_kernels |= kept_languages[i].bit;
        else if (length > 0)
            return cii_error_set(ret_error, CI_ERR_INVALID, LOCAL_DOMAIN,
                                 "kernels: \"%.*s\" is not allowed: python, javascript, typescript, bash, by comma",
                                 (int)length, at);
        at += size;
    }
    return CI_OK;
}

ci_status ci_sandbox_local_new(const ci_sandbox_local_options *options, ci_sandbox **ret_sandbox,
                               ci_error **ret_error) {
    ci_sandbox_local_options own;
    ci_status status = cii_options_copy(&own, sizeof own, options, "ci_sandbox_local_options", ret_error);
    if (status != CI_OK)
        return status;
    local *l = calloc(1, sizeof *l);
    if (l == NULL)
        return cii_error_nomem(ret_error);
    l->socket_fd = l->pidfd = -1;
    l->cache = (local_cache){.fd = -1, .pidfd = -1};
    l->log = own.log;
    l->log_user = own.log_user;
    status = local_python_find(own.python, &l->python, ret_error);
    if (status == CI_OK)
        status = parse_kernels(own.kernels, &l->kernels, ret_error);
    if (status == CI_OK)
        status = start_supervisor(l, &own, ret_error);
    if (status == CI_OK)
        status = ci_sandbox_new(&local_ops, l, ret_sandbox, ret_error);
    if (status != CI_OK) {
        local_free(l);
        return cii_error_wrap(ret_error, status, "start the local sandbox");
    }
    return CI_OK;
}
