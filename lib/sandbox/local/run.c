/* A run: one connection to the session's init. See lib/wire/wire.h for what is said on it. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/statvfs.h>

#include "base/json.h"
#include "base/str.h"
#include "os/fd.h"
#include "sandbox/local/local.h"

#define CHUNK (64u << 10)
#define CHUNKS_A_ROUND 64 /* then the caller may look at its deadlines */

typedef struct run_op {
    ci_op op;
    local_session *session;
    ci_sink sink;
    int fd;           /* the connection */
    int epoll_fd;     /* to wait for room as well, while `out` is not sent; else -1 */
    cii_buf out;      /* START, as far as it is not sent */
    _Atomic int wish; /* an INTERRUPT or KILL that came before START was sent */
    cii_wire_reader reader;
    uint64_t item_offset;
    char **ret_info;       /* the question about the session: its answer */
    const char *not_found; /* for kinds whose refusal is a failure of the call, not a result: its message */
    bool refused;
    bool has_result; /* for whoever began it: tells what the network refused */
    bool done;
} run_op;

static int32_t run_fd(ci_op *op) {
    run_op *r = (run_op *)op;
    return r->epoll_fd >= 0 ? r->epoll_fd : r->fd;
}

static void run_free(ci_op *op) {
    run_op *r = (run_op *)op;
    cii_close(r->fd); /* init kills what still runs for it */
    cii_close(r->epoll_fd);
    cii_buf_free(&r->out);
    cii_wire_reader_free(&r->reader);
    free(r);
}

/* --- what comes back -------------------------------------------------------------------------------------------------- */

static void on_item(run_op *r, const uint8_t *data, size_t size) {
    cii_wire_field field;
    size_t cursor = 0;
    char mime[128] = "";
    while (cii_wire_next(data, size, &cursor, &field) == 1) {
        if (field.key == CII_FIELD_MIME && field.size < sizeof mime) {
            memcpy(mime, field.data, field.size);
            mime[field.size] = 0;
        } else if (field.key == CII_FIELD_DATA && *mime != 0) {
            r->sink.item(r->sink.user, mime, field.data, field.size, r->item_offset);
        }
    }
}

#define NAMES_MAX 64

/* Adds the name that a field holds, unless it is too long or there are too many. */
static void add_name(char *names[NAMES_MAX + 1], const cii_wire_field *field) {
    char name[256];
    size_t count = 0;
    if (field->size == 0 || field->size >= sizeof name)
        return;
    memcpy(name, field->data, field->size);
    name[field->size] = 0;
    while (names[count] != NULL && strcmp(names[count], name) != 0) /* several kernels may say the same */
        count++;
    if (count < NAMES_MAX && names[count] == NULL)
        names[count] = strdup(name);
}

/* Texts of DONE are hostile: only their place is known. They are copied to end with NUL. */
static ci_status on_done(run_op *r, const uint8_t *data, size_t size) {
    ci_run_outcome outcome = {.struct_size = sizeof outcome};
    char *replaced[NAMES_MAX + 1] = {0};
    size_t installed = 0;
    static const uint8_t keys[] = {CII_FIELD_VALUE, CII_FIELD_ERROR_NAME, CII_FIELD_ERROR_MESSAGE, CII_FIELD_TRACEBACK,
                                   CII_FIELD_DIAGNOSTICS};
    char *texts[CII_ELEMENTS(keys)] = {0};
    cii_wire_field field;
    size_t cursor = 0;
    while (cii_wire_next(data, size, &cursor, &field) == 1) {
        int64_t number = cii_wire_int(&field);
        switch (field.key) {
        case CII_FIELD_OUTCOME:
            outcome.outcome =
                number >= CI_OUTCOME_OK && number <= CI_OUTCOME_REFUSED ? (int32_t)number : CI_OUTCOME_LOST;
            break;
        case CII_FIELD_EXIT_CODE:
            outcome.exit_code = (int32_t)number;
            break;
        case CII_FIELD_SIGNAL:
            outcome.signal_number = (int32_t)number;
            break;
        case CII_FIELD_STATE_LOST:
            outcome.state_lost = number != 0;
            break;
        case CII_FIELD_TASK:
            outcome.task_id = (uint64_t)number;
            break;
        case CII_FIELD_TASK_RUNNING:
            outcome.task_running = number != 0;
            break;
        case CII_FIELD_EXECUTION_US:
            outcome.execution_us = number;
            break;
        case CII_FIELD_ITEM_DROPPED:
            outcome.item_dropped_count = (uint32_t)number;
            break;
        case CII_FIELD_VALUE_TOTAL:
            outcome.value_total = (size_t)number;
            break;
        case CII_FIELD_VALUE:
        case CII_FIELD_ERROR_NAME:
        case CII_FIELD_ERROR_MESSAGE:
        case CII_FIELD_TRACEBACK:
        case CII_FIELD_DIAGNOSTICS: {
            char **text = &texts[(const uint8_t *)memchr(keys, field.key, sizeof keys) - keys];
            if (*text != NULL)
                break;
            if (field.key == CII_FIELD_VALUE)
                outcome.value_size = field.size;
            if ((*text = malloc(field.size + 1)) != NULL) {
                memcpy(*text, field.data, field.size);
                (*text)[field.size] = 0;
            }
            break;
        }
        case CII_FIELD_INSTALLED:
            if (r->session->fills_cache && ++installed <= NAMES_MAX)
                local_cache_hint(r->session->cache, field.data, field.size);
            break;
        case CII_FIELD_REPLACED:
            add_name(replaced, &field);
            break;
        default:
            break;
        }
    }
    outcome.replaced = replaced[0] != NULL ? (const char *const *)replaced : NULL;
    outcome.value = texts[0];
    outcome.error_name = texts[1];
    outcome.error_message = texts[2];
    outcome.traceback = texts[3];
    outcome.diagnostics = texts[4];
    r->refused = r->not_found != NULL && outcome.outcome == CI_OUTCOME_REFUSED;
    if (r->has_result && !r->refused)
        local_refusals_tell(r->session, &r->sink);
    if (!r->refused)
        r->sink.done(r->sink.user, &outcome);
    r->done = true;
    for (size_t i = 0; i < CII_ELEMENTS(texts); i++)
        free(texts[i]);
    for (size_t i = 0; replaced[i] != NULL; i++)
        free(replaced[i]);
    return CI_OK;
}

static void on_info(run_op *r, const uint8_t *data, size_t size) {
    cii_wire_field field;
    size_t cursor = 0;
    while (cii_wire_next(data, size, &cursor, &field) == 1)
        if (field.key == CII_FIELD_INFO && *r->ret_info == NULL)
            *r->ret_info = strndup((const char *)field.data, field.size);
}

static int on_message(void *user, uint8_t type, const uint8_t *data, size_t size) {
    run_op *r = user;
    cii_wire_field field;
    size_t cursor = 0;
    if (r->done)
        return CI_ERR_PROTOCOL;
    switch (type) {
    case CII_WIRE_STDOUT:
    case CII_WIRE_STDERR:
        r->sink.output(r->sink.user, type == CII_WIRE_STDOUT ? CI_STREAM_STDOUT : CI_STREAM_STDERR, data, size);
        return 0;
    case CII_WIRE_BACKGROUND:
        r->sink.background(r->sink.user, data, size);
        return 0;
    case CII_WIRE_ITEM_AT:
        if (cii_wire_next(data, size, &cursor, &field) == 1)
            r->item_offset = (uint64_t)cii_wire_int(&field);
        return 0;
    case CII_WIRE_ITEM:
        on_item(r, data, size);
        return 0;
    case CII_WIRE_INFO:
        if (r->ret_info == NULL)
            return CI_ERR_PROTOCOL;
        on_info(r, data, size);
        return 0;
    case CII_WIRE_DONE:
        return on_done(r, data, size);
    default:
        return CI_ERR_PROTOCOL;
    }
}

/* --- the operation ---------------------------------------------------------------------------------------------------- */

static ci_status lost(const run_op *r, ci_error **ret_error) {
    if (r->session->closed)
        return cii_error_set(ret_error, CI_ERR_CLOSED, LOCAL_DOMAIN, "the session was closed");
    cii_error_set(ret_error, CI_ERR_LOST, LOCAL_DOMAIN,
                  "the sandbox is gone: its init or the helper program was ended");
    cii_error_mark(ret_error, false, true);
    return CI_ERR_LOST;
}

static void send_signal(run_op *r, uint8_t type) {
    uint8_t head[CII_WIRE_HEAD_SIZE];
    cii_wire_head(head, type, 0, 0);
    if (send(r->fd, head, sizeof head, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
        errno = 0; /* it has ended, or is found to be gone by process() */
}

/* Sends more of START. 1: all of it. */
static int flush(run_op *r) {
    while (r->out.size > 0) {
        ssize_t size = send(r->fd, r->out.data, r->out.size, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (size < 0 && errno == EINTR)
            continue;
        if (size < 0)
            return errno == EAGAIN ? 0 : -1;
        cii_buf_consume(&r->out, (size_t)size);
    }
    cii_buf_free(&r->out);
    int wish = atomic_exchange(&r->wish, -1); /* from here on signals go out directly */
    if (wish > 0)
        send_signal(r, (uint8_t)wish);
    return 1;
}

static ci_status run_signal(ci_op *op, uint8_t type) {
    run_op *r = (run_op *)op;
    int none = 0, interrupt = CII_WIRE_INTERRUPT;
    if (!atomic_compare_exchange_strong(&r->wish, &none, type) && none < 0)
        send_signal(r, type);
    else if (type == CII_WIRE_KILL)
        atomic_compare_exchange_strong(&r->wish, &interrupt, type);
    return CI_OK;
}

static ci_status run_interrupt(ci_op *op) {
    return run_signal(op, CII_WIRE_INTERRUPT);
}

static ci_status run_kill(ci_op *op) {
    return run_signal(op, CII_WIRE_KILL);
}

static int32_t run_process(ci_op *op, ci_error **ret_error) {
    run_op *r = (run_op *)op;
    char chunk[CHUNK];
    if (r->out.size > 0) {
        int sent = flush(r);
        if (sent < 0)
            return lost(r, ret_error);
        if (sent > 0)
            cii_close(TAKE_FD(r->epoll_fd));
    }
    for (int i = 0; i < CHUNKS_A_ROUND && !r->done; i++) {
        ssize_t size = recv(r->fd, chunk, sizeof chunk, MSG_DONTWAIT);
        if (size < 0 && (errno == EAGAIN || errno == EINTR))
            return 0;
        if (size <= 0) {
            if (r->has_result)
                local_refusals_tell(r->session, &r->sink);
            return lost(r, ret_error);
        }
        int status = cii_wire_reader_feed(&r->reader, chunk, (size_t)size);
        if (status == CI_ERR_NOMEM)
            return cii_error_nomem(ret_error);
        if (status != 0)
            return cii_error_set(ret_error, CI_ERR_PROTOCOL, LOCAL_DOMAIN, "the sandbox sent what it must not");
    }
    if (r->refused)
        return cii_error_set(ret_error, CI_ERR_NOTFOUND, LOCAL_DOMAIN, "%s", r->not_found);
    return r->done ? 1 : 0;
}

static const ci_op_ops run_ops = {.struct_size = sizeof(ci_op_ops),
                                  .fd = run_fd,
                                  .process = run_process,
                                  .interrupt = run_interrupt,
                                  .kill = run_kill,
                                  .free = run_free};

/* --- starting --------------------------------------------------------------------------------------------------------- */

static ci_status put_start(cii_buf *out, const ci_run_request *request) {
    cii_wire_mark mark;
    ci_status status = cii_wire_begin(out, CII_WIRE_START, &mark);
    const struct {
        uint8_t key;
        const char *text;
    } texts[] = {
        {CII_FIELD_LANGUAGE, request->language}, {CII_FIELD_CONTEXT, request->context}, {CII_FIELD_CWD, request->cwd}};
    for (size_t i = 0; i < CII_ELEMENTS(texts) && status == CI_OK; i++)
        status = cii_wire_put_str(out, texts[i].key, texts[i].text);
    for (const char *const *entry = request->env; entry != NULL && *entry != NULL && status == CI_OK; entry++)
        status = cii_wire_put_str(out, CII_FIELD_ENV, *entry);
    if (status == CI_OK)
        status = cii_wire_put_int(out, CII_FIELD_KIND, request->kind);
    if (status == CI_OK)
        status = cii_wire_put_int(out, CII_FIELD_FLAGS, request->flags);
    if (status == CI_OK && request->task_id != 0)
        status = cii_wire_put_int(out, CII_FIELD_TASK, (int64_t)request->task_id);
    if (status == CI_OK && request->text != NULL)
        status = cii_wire_put(out, CII_FIELD_TEXT, request->text, request->text_size);
    return status == CI_OK ? cii_wire_end(out, &mark) : status;
}

/* What START does not fit in the socket's buffer is sent as init reads: then room is waited for as well. */
static int wait_for_room(run_op *r) {
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT};
    r->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    return r->epoll_fd < 0 ? -1 : epoll_ctl(r->epoll_fd, EPOLL_CTL_ADD, r->fd, &event);
}

static ci_status connect_run(run_op *r, ci_error **ret_error) {
    int sockets[2];
    uint8_t head[CII_WIRE_HEAD_SIZE];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) < 0)
        return cii_error_errno(ret_error, errno, LOCAL_DOMAIN, "start a call");
    r->fd = sockets[0];
    _cleanup_close_ int theirs = sockets[1];
    int sent = flush(r); /* first, so that init finds START there */
    cii_wire_head(head, CII_SETUP_CALL, 0, 0);
    if (sent < 0 || cii_fd_send(r->session->control_fd, head, sizeof head, &theirs, 1, MSG_DONTWAIT) < 0) {
        if (errno == EPIPE || errno == ECONNRESET || errno == ENOTCONN)
            return lost(r, ret_error);
        cii_error_errno(ret_error, errno, LOCAL_DOMAIN, "start a call");
        cii_error_mark(ret_error, true, false);
        return CI_ERR_BUSY;
    }
    if (sent == 0 && wait_for_room(r) < 0)
        return cii_error_errno(ret_error, errno, LOCAL_DOMAIN, "start a call");
    return CI_OK;
}

static const char *not_found_of(int32_t kind) {
    switch (kind) {
    case CI_RUN_KIND_TASK_POLL:
    case CI_RUN_KIND_TASK_STOP:
        return "there is no such task";
    case CI_RUN_KIND_REMOVE:
        return "there is no such context";
    default:
        return NULL;
    }
}

static bool has_result(int32_t kind) {
    return kind >= CI_RUN_KIND_CODE && kind <= CI_RUN_KIND_TASK_STOP;
}

static ci_status start(local_session *s, const ci_run_request *request, const ci_sink *sink, char **ret_info,
                       ci_op **ret_op, ci_error **ret_error) {
    run_op *r = calloc(1, sizeof *r);
    if (r == NULL)
        return cii_error_nomem(ret_error);
    *r = (run_op){.op.ops = &run_ops, .session = s, .sink = *sink, .fd = -1, .epoll_fd = -1, .ret_info = ret_info};
    r->not_found = not_found_of(request->kind);
    r->has_result = has_result(request->kind);
    cii_wire_reader_init(&r->reader, CII_WIRE_ITEM_MAX + (1u << 20), on_message, r);
    ci_status status = put_start(&r->out, request);
    if (status == CI_ERR_LIMIT)
        cii_error_set(ret_error, status, LOCAL_DOMAIN, "code: more than 160 MiB");
    else if (status != CI_OK)
        cii_error_nomem(ret_error);
    else
        status = connect_run(r, ret_error);
    if (status != CI_OK) {
        run_free(&r->op);
        return status;
    }
    *ret_op = &r->op;
    return CI_OK;
}

ci_status local_run(void *session, const ci_run_request *request, const ci_sink *sink, ci_op **ret_op,
                    ci_error **ret_error) {
    return start(session, request, sink, NULL, ret_op, ret_error);
}

/* --- information ------------------------------------------------------------------------------------------------------ */

static void ignore_output(void *user _unused_, int32_t stream _unused_, const void *data _unused_,
                          size_t size _unused_) {}
static void ignore_item(void *user _unused_, const char *mime _unused_, const void *data _unused_, size_t size _unused_,
                        uint64_t offset _unused_) {}
static void ignore_background(void *user _unused_, const void *data _unused_, size_t size _unused_) {}
static void ignore_done(void *user _unused_, const ci_run_outcome *outcome _unused_) {}
static void ignore_refusal(void *user _unused_, const ci_refusal *refusal _unused_) {}

/* Asks init; NULL when it does not answer in time. */
static char *ask_init(local_session *s, int64_t timeout_ms) {
    static const ci_sink sink = {sizeof sink,       NULL,        ignore_output, ignore_item,
                                 ignore_background, ignore_done, ignore_refusal};
    ci_run_request request = {.struct_size = sizeof request, .kind = CII_WIRE_KIND_INFO};
    ci_op *op = NULL;
    char *answer = NULL;
    if (start(s, &request, &sink, &answer, &op, NULL) != CI_OK)
        return NULL;
    while (run_process(op, NULL) == 0 && cii_fd_wait(run_fd(op), 1 /* POLLIN */, timeout_ms) > 0)
        ;
    run_free(op);
    return answer;
}

static const char *const networks[][2] = {
    [CI_NETWORK_NONE] = {"none", "an empty network namespace: loopback only, no resolver"},
    [CI_NETWORK_INTERNET] = {"internet",
                             "one interface, whose other end is a gateway of the session's own: it resolves "
                             "names, keeps to the rules and makes the connections"},
    [CI_NETWORK_HOST] = {"host", "everything the host reaches, the host's own services included"},
};

ci_status local_info(void *session, char **ret_json, ci_error **ret_error) {
    local_session *s = session;
    _cleanup_free_ char *answer = ask_init(s, 1000);
    _cleanup_json_ cii_json *guest = NULL;
    bool good = answer != NULL && cii_json_parse(answer, strlen(answer), 0, &guest, NULL) == CI_OK;
    cii_json_writer *w = cii_json_writer_new();
    cii_json_begin_object(w);
    cii_json_key_string(w, "network", networks[s->network][0]);
    cii_json_key_string(w, "networkMeans", networks[s->network][1]);
    cii_json_key_string(w, "memoryLimitBy",
                        s->limits & CII_LIMIT_MEMORY_CGROUP ? "cgroup, for the whole session"
                                                            : "rlimit, for each process");
    cii_json_key_string(w, "processLimitBy", s->limits & CII_LIMIT_PIDS_CGROUP ? "cgroup" : "rlimit");
    struct statvfs files;
    if (s->base_fd >= 0 && fstatvfs(s->base_fd, &files) == 0)
        cii_json_key_int(w, "filesBytes", (int64_t)(files.f_blocks * files.f_frsize));
    cii_json_key_int(w, "hostUid", s->uid);
    cii_json_key(w, "guest");
    if (good)
        cii_json_raw(w, answer, strlen(answer));
    else
        cii_json_null(w);
    cii_json_end_object(w);
    *ret_json = cii_json_take(w, NULL);
    return *ret_json != NULL ? CI_OK : cii_error_nomem(ret_error);
}

/* Names are "language" or "language/context". */
ci_status local_contexts(void *session, ci_context_cb context, void *user, ci_error **ret_error) {
    _cleanup_json_ cii_json *guest = NULL;
    _cleanup_free_ char *answer = ask_init(session, 1000);
    if (answer == NULL || cii_json_parse(answer, strlen(answer), 0, &guest, NULL) != CI_OK)
        return cii_error_set(ret_error, CI_ERR_LOST, LOCAL_DOMAIN, "the sandbox does not tell its contexts");
    const cii_json *kernels = cii_json_get(guest, "kernels");
    for (size_t i = cii_json_count(kernels); i-- > 0;) { /* the youngest is first */
        const cii_json *kernel = cii_json_at(kernels, i);
        const char *name = cii_json_text_of(cii_json_get(kernel, "name"), NULL);
        char language[32];
        size_t size = name != NULL ? strcspn(name, "/") : 0;
        if (name == NULL || size >= sizeof language)
            continue;
        snprintf(language, sizeof language, "%.*s", (int)size, name);
        const ci_context_info info = {.struct_size = sizeof info,
                                      .language = language,
                                      .context = name[size] != 0 ? name + size + 1 : "",
                                      .running = cii_json_bool_of(cii_json_get(kernel, "busy"))};
        if (context(user, &info) != 0)
            break;
    }
    return CI_OK;
}

/* What others may write to from outside has no number. */
uint64_t local_activity(void *session) {
    local_session *s = session;
    _cleanup_json_ cii_json *guest = NULL;
    _cleanup_free_ char *answer = s->base_fd >= 0 ? ask_init(s, 100) : NULL;
    if (answer == NULL || cii_json_parse(answer, strlen(answer), 0, &guest, NULL) != CI_OK)
        return 0;
    return (uint64_t)CII_MAX(cii_json_int_of(cii_json_get(guest, "activity")), 0);
}
