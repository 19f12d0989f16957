/* Sessions of the service: started, attached to, looked into, and ended.
 *
 * Opening takes two requests: one that starts the session, and one that asks where it works and what is there already. Closing
 * does not wait: the request that ends a session goes out at once where a connection is open, and the rest of it is seen to
 * by later operations and by the end of the sandbox object. */
#include <poll.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/path.h"
#include "base/str.h"
#include "sandbox/agentcore/agentcore.h"

#define OWN_NAMES_MAX 64
#define STOPS_POLLED 256
#define STOPS_TURN_MS 20

typedef struct open_op {
    cii_agentcore_op op;
    enum { BEGIN, LOOK, LOOK_INSIDE } stage;
    void **ret_session;
    cii_agentcore_session *session; /* until it is handed over */
    char *name;
    char client_token[37];
    bool is_there; /* the service has it */
    cii_agentcore_probe probe;
} open_op;

/* --- the object ------------------------------------------------------------------------------------------------------ */

static ci_status session_new(cii_agentcore *core, const ci_sandbox_request *request,
                             cii_agentcore_session **ret_session, ci_error **ret_error) {
    const char *lacking = request->python     ? "python"
                          : request->host_dir ? "host_dir"
                          : request->rootfs   ? "rootfs"
                                              : NULL;
    if (lacking)
        return cii_error_set(ret_error, CI_ERR_NOTSUP, CII_AGENTCORE_DOMAIN,
                             "%s: the service's interpreters have a system of their own", lacking);
    cii_agentcore_session *s = calloc(1, sizeof *s);
    if (!s)
        return cii_error_nomem(ret_error);
    s->core = core;
    pthread_mutex_init(&s->lock, NULL);
    cii_turns_init(&s->turns, 1);
    cii_turns_init(&s->commands, CII_AGENTCORE_COMMANDS_MAX);
    cii_buf_init(&s->litter, CII_AGENTCORE_LITTER_MAX);
    s->env = cii_strv_copy(request->env);
    s->own = calloc(OWN_NAMES_MAX + 1, sizeof *s->own);
    if (!s->env || !s->own) {
        cii_agentcore_session_free(s);
        return cii_error_nomem(ret_error);
    }
    *ret_session = s;
    return CI_OK;
}

void cii_agentcore_session_free(cii_agentcore_session *s) {
    if (!s)
        return;
    for (cii_agentcore_task *task; (task = s->tasks);) {
        s->tasks = task->next;
        free(task);
    }
    cii_turns_destroy(&s->turns);
    cii_turns_destroy(&s->commands);
    pthread_mutex_destroy(&s->lock);
    cii_buf_free(&s->litter);
    cii_strv_free(s->own);
    cii_strv_free(s->env);
    free(s->root);
    free(s);
}

static void add_litter(cii_agentcore_session *s, const char *mark, const char *nonce) {
    pthread_mutex_lock(&s->lock);
    (void)cii_buf_printf(&s->litter, ",%s%s", mark, nonce); /* more than fits stays until the session ends */
    pthread_mutex_unlock(&s->lock);
}

void cii_agentcore_litter(cii_agentcore_session *s, const char *nonce) {
    add_litter(s, "", nonce);
}

void cii_agentcore_forget(cii_agentcore_session *s, const char *nonce) {
    add_litter(s, "-", nonce);
}

void cii_agentcore_litter_take(cii_agentcore_session *s, cii_buf *ret_litter) {
    pthread_mutex_lock(&s->lock);
    *ret_litter = s->litter;
    cii_buf_init(&s->litter, CII_AGENTCORE_LITTER_MAX);
    pthread_mutex_unlock(&s->lock);
}

void cii_agentcore_litter_put_back(cii_agentcore_session *s, cii_buf *litter) {
    pthread_mutex_lock(&s->lock);
    size_t size = CII_MIN(s->litter.size, CII_AGENTCORE_LITTER_MAX - litter->size);
    while (size > 0 && size < s->litter.size && s->litter.data[size] != ',') /* whole names */
        size--;
    (void)cii_buf_append(litter, s->litter.data, size);
    cii_buf_free(&s->litter);
    s->litter = *litter;
    *litter = (cii_buf){0};
    pthread_mutex_unlock(&s->lock);
}

ci_status cii_agentcore_path(const cii_agentcore_session *s, const char *path, char **ret_path, ci_error **ret_error) {
    _cleanup_free_ char *normal = NULL;
    if (cii_path_climbs(path))
        return cii_error_set(ret_error, CI_ERR_PERMISSION, CII_AGENTCORE_DOMAIN, "\"%s\" leads above the sandbox root",
                             path);
    ci_status status = cii_path_normalize(path, &normal, ret_error);
    if (status < 0)
        return status;
    const char *const roots[] = {"/workspace", s->root}; /* the one that sessions have everywhere, and its name there */
    const char *rest = normal;
    for (size_t i = 0; i < CII_ELEMENTS(roots); i++) {
        size_t size = strlen(roots[i]);
        if (size > 1 && strncmp(normal, roots[i], size) == 0 && (normal[size] == '/' || !normal[size]))
            rest = normal[size] ? normal + size + 1 : ".";
    }
    *ret_path = strdup(rest);
    return *ret_path ? CI_OK : cii_error_nomem(ret_error);
}

/* --- ending ---------------------------------------------------------------------------------------------------------- */

static bool is_id(const char *id) {
    size_t size = id ? strlen(id) : 0;
    return size > 0 && size <= CII_AGENTCORE_ID_MAX &&
           strspn(id, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") == size;
}

/* Of the answer to a start. */
static ci_status take_id(const cii_agentcore_op *op, char ret_id[CII_AGENTCORE_ID_MAX + 1], ci_error **ret_error) {
    const cii_http_response *response = cii_agentcore_call_response(op);
    _cleanup_json_ cii_json *root = NULL;
    ci_status status = cii_json_parse(response->body, response->body_bytes, 0, &root, NULL);
    const char *id = status == CI_OK ? cii_json_text_of(cii_json_get(root, "sessionId"), NULL) : NULL;
    if (status == CI_ERR_NOMEM)
        return cii_error_nomem(ret_error);
    if (!is_id(id))
        return cii_error_set(ret_error, CI_ERR_PROTOCOL, CII_AGENTCORE_DOMAIN, "the service names no session");
    snprintf(ret_id, CII_AGENTCORE_ID_MAX + 1, "%s", id);
    return CI_OK;
}

static ci_status ask_to_stop(cii_agentcore_op *op, const char *id, ci_error **ret_error) {
    size_t size = 0;
    char token[37];
    char *body = cii_agentcore_uuid(token, ret_error) == CI_OK ? cii_agentcore_body_stop(token, &size) : NULL;
    return cii_agentcore_call_start(op, CII_AGENTCORE_STOP, id, body, size, ret_error);
}

/* A session of which the start alone is known is asked for its id first. */
static int32_t stop_step(cii_agentcore_op *op, ci_error **ret_error) {
    char id[CII_AGENTCORE_ID_MAX + 1];
    int32_t result = cii_agentcore_call_result(op, ret_error);
    if (result <= 0 || op->call.operation == CII_AGENTCORE_STOP)
        return result;
    ci_status status = take_id(op, id, ret_error);
    return status < 0 ? status : ask_to_stop(op, id, ret_error);
}

static void begin_stop(cii_agentcore *core, cii_agentcore_op *op) {
    if (cii_agentcore_op_process(&op->op, NULL) != 0) {
        cii_agentcore_op_free(&op->op);
        return;
    }
    pthread_mutex_lock(&core->lock);
    op->next = core->stops;
    core->stops = op;
    pthread_mutex_unlock(&core->lock);
}

/* Ends a session of the service; without memory it lives until its time is over. NULL id: the one that this request started, whose
 * answer has not come: its token names the same session again. */
static void stop(cii_agentcore *core, const char *id, const open_op *started) {
    ci_status status;
    size_t size = 0;
    cii_agentcore_op *op = cii_agentcore_op_new(sizeof *op, core, NULL, "stop", &status, NULL);
    if (!op)
        return;
    op->step = stop_step;
    if (id) {
        status = ask_to_stop(op, id, NULL);
    } else {
        char *body = cii_agentcore_body_start(started->name, core->session_timeout_s, started->client_token, &size);
        status = cii_agentcore_call_start(op, CII_AGENTCORE_START, NULL, body, size, NULL);
    }
    if (status < 0)
        cii_agentcore_op_free(&op->op);
    else
        begin_stop(core, op);
}

static cii_agentcore_op *take_stops(cii_agentcore *core) {
    pthread_mutex_lock(&core->lock);
    cii_agentcore_op *stops = TAKE_PTR(core->stops);
    pthread_mutex_unlock(&core->lock);
    return stops;
}

void cii_agentcore_stops_step(cii_agentcore *core) {
    for (cii_agentcore_op *op = take_stops(core), *next; op; op = next) {
        next = op->next;
        if (cii_agentcore_op_process(&op->op, NULL) != 0) {
            cii_agentcore_op_free(&op->op);
            continue;
        }
        pthread_mutex_lock(&core->lock);
        op->next = core->stops;
        core->stops = op;
        pthread_mutex_unlock(&core->lock);
    }
}

/* Until one of them can go on. Nobody else has the object any more. */
static void wait_for_any(const cii_agentcore *core, int64_t timeout_ms) {
    struct pollfd wait[STOPS_POLLED];
    nfds_t count = 0;
    for (const cii_agentcore_op *op = core->stops; op; op = op->next) {
        int fd = cii_agentcore_op_fd((ci_op *)&op->op);
        if (fd < 0)
            return;
        if (count == STOPS_POLLED) { /* the next round may come upon the others: the list turns with each */
            timeout_ms = CII_MIN(timeout_ms, STOPS_TURN_MS);
            break;
        }
        wait[count++] = (struct pollfd){.fd = fd, .events = POLLIN};
    }
    poll(wait, count, (int)timeout_ms);
}

void cii_agentcore_stops_wait(cii_agentcore *core, int64_t timeout_ms) {
    int64_t until_ms = cii_clock_ms() + timeout_ms, left_ms;
    for (cii_agentcore_stops_step(core); core->stops && (left_ms = until_ms - cii_clock_ms()) > 0;
         cii_agentcore_stops_step(core))
        wait_for_any(core, left_ms);
    for (cii_agentcore_op *op; (op = core->stops);) {
        core->stops = op->next;
        cii_agentcore_op_free(&op->op);
    }
}

void cii_agentcore_shutdown(void *session) {
    atomic_store(&((cii_agentcore_session *)session)->closed, true);
}

void cii_agentcore_close(void *session) {
    cii_agentcore_session *s = session;
    if (!s->core->keeps_sessions)
        stop(s->core, s->id, NULL);
    cii_agentcore_session_free(s);
}

/* --- opening --------------------------------------------------------------------------------------------------------- */

/* Where it works, and which folders in there are the service's own. */
static ci_status on_look(void *user, const cii_agentcore_line *line, ci_error **ret_error) {
    cii_agentcore_session *s = user;
    _cleanup_buf_ cii_buf name = {0};
    ci_status status = cii_agentcore_field_bytes(line, 0, &name, ret_error);
    if (status < 0)
        return status;
    if (line->tag == 'r' && !s->root && name.size > 0 && !memchr(name.data, 0, name.size))
        s->root = cii_buf_take(&name, NULL);
    else if (line->tag == 'n' && s->own_count < OWN_NAMES_MAX && name.size > 0)
        s->own[s->own_count++] = cii_buf_take(&name, NULL);
    return CI_OK;
}

static ci_status look_inside(open_op *o, ci_error **ret_error) {
    o->stage = LOOK_INSIDE;
    o->op.session = o->session;
    ci_status status = cii_agentcore_probe_begin(&o->probe, "hello", on_look, o->session, ret_error);
    cii_agentcore_probe_int(&o->probe, !o->session->is_attached);
    return status;
}

static int32_t step_inside(open_op *o, ci_error **ret_error) {
    int32_t result = cii_agentcore_probe_step(&o->op, &o->probe, ret_error);
    if (result <= 0)
        return result;
    if (!o->session->root || o->session->root[0] != '/')
        return cii_error_set(ret_error, CI_ERR_PROTOCOL, CII_AGENTCORE_DOMAIN, "the session tells no working folder");
    o->op.session = NULL;
    *o->ret_session = TAKE_PTR(o->session);
    return 1;
}

/* The answer to a start may be lost: the token names the same session the next time. */
static int32_t step_start(open_op *o, ci_error **ret_error) {
    int32_t result = cii_agentcore_call_result(&o->op, ret_error);
    ci_status status = result > 0 ? take_id(&o->op, o->session->id, ret_error) : result;
    if (result <= 0 || status < 0)
        return status;
    o->is_there = true;
    status = look_inside(o, ret_error);
    return status < 0 ? status : step_inside(o, ret_error);
}

static ci_status not_there(const open_op *o, bool is_known, ci_error **ret_error) {
    ci_status status = cii_error_set(ret_error, is_known ? CI_ERR_LOST : CI_ERR_NOTFOUND, CII_AGENTCORE_DOMAIN,
                                     is_known ? "the session %s is over" : "there is no session %s", o->session->id);
    cii_error_hint(ret_error, "open a new one");
    return status;
}

static int32_t step_attach(open_op *o, ci_error **ret_error) {
    int32_t result = cii_agentcore_call_result(&o->op, ret_error);
    if (result == CI_ERR_LOST)
        return not_there(o, false, ret_error);
    int32_t ready = result > 0 ? cii_agentcore_op_is_ready(&o->op, ret_error) : result;
    if (result > 0 && ready == 0)
        return not_there(o, true, ret_error);
    if (ready <= 0)
        return ready;
    ci_status status = look_inside(o, ret_error);
    return status < 0 ? status : step_inside(o, ret_error);
}

static int32_t open_step(cii_agentcore_op *op, ci_error **ret_error) {
    open_op *o = (open_op *)op;
    return o->stage == BEGIN  ? step_start(o, ret_error)
           : o->stage == LOOK ? step_attach(o, ret_error)
                              : step_inside(o, ret_error);
}

/* One that was started and is not handed over would go on until its time is over. */
static void open_release(cii_agentcore_op *op) {
    open_op *o = (open_op *)op;
    if (o->is_there && o->session)
        stop(op->core, o->session->id, NULL);
    else if (o->stage == BEGIN && op->call.exchange && cii_agentcore_call_result(op, NULL) == 0)
        stop(op->core, NULL, o);
    cii_agentcore_probe_free(&o->probe);
    cii_agentcore_session_free(o->session);
    free(o->name);
}

static ci_status open_op_new(cii_agentcore *core, const ci_sandbox_request *request, const char *what,
                             void **ret_session, open_op **ret_op, ci_error **ret_error) {
    cii_agentcore_session *session = NULL;
    ci_status status = session_new(core, request, &session, ret_error);
    open_op *o = status == CI_OK ? cii_agentcore_op_new(sizeof *o, core, NULL, what, &status, ret_error) : NULL;
    if (!o) {
        cii_agentcore_session_free(session);
        return status;
    }
    o->op.step = open_step;
    o->op.release = open_release;
    o->session = session;
    o->ret_session = ret_session;
    *ret_op = o;
    return CI_OK;
}

ci_status cii_agentcore_open(void *impl, const ci_sandbox_request *request, void **ret_session, ci_op **ret_op,
                             ci_error **ret_error) {
    cii_agentcore *core = impl;
    open_op *o = NULL;
    size_t size = 0;
    ci_status status = open_op_new(core, request, "open", ret_session, &o, ret_error);
    if (status < 0)
        return status;
    o->name = strdup(core->name ? core->name : request->session_id);
    status = o->name ? cii_agentcore_uuid(o->client_token, ret_error) : cii_error_nomem(ret_error);
    if (status == CI_OK) {
        char *body = cii_agentcore_body_start(o->name, core->session_timeout_s, o->client_token, &size);
        status = cii_agentcore_call_start(&o->op, CII_AGENTCORE_START, NULL, body, size, ret_error);
    }
    if (status < 0)
        cii_agentcore_op_free(&o->op.op);
    else
        *ret_op = &o->op.op;
    return status;
}

ci_status cii_agentcore_attach(void *impl, const char *backend_id, const ci_sandbox_request *request,
                               void **ret_session, ci_op **ret_op, ci_error **ret_error) {
    open_op *o = NULL;
    if (!is_id(backend_id))
        return cii_error_set(ret_error, CI_ERR_INVALID, CII_AGENTCORE_DOMAIN,
                             "\"%.80s\" is no session's id: 1 to 40 letters and digits", backend_id);
    ci_status status = open_op_new(impl, request, "attach", ret_session, &o, ret_error);
    if (status < 0)
        return status;
    o->stage = LOOK;
    o->session->is_attached = true;
    snprintf(o->session->id, sizeof o->session->id, "%s", backend_id);
    status = cii_agentcore_call_start(&o->op, CII_AGENTCORE_GET, backend_id, NULL, 0, ret_error);
    if (status < 0)
        cii_agentcore_op_free(&o->op.op);
    else
        *ret_op = &o->op.op;
    return status;
}

/* --- telling --------------------------------------------------------------------------------------------------------- */

static const char *const networks[] = {
    [CI_NETWORK_NONE] = "SANDBOX: no internet; AWS may let it reach S3",
    [CI_NETWORK_INTERNET] = "PUBLIC: the internet",
    [CI_NETWORK_HOST] = "VPC: what its subnets and security groups let it reach",
};

ci_status cii_agentcore_info(void *session, char **ret_json, ci_error **ret_error) {
    const cii_agentcore_session *s = session;
    const cii_agentcore *core = s->core;
    cii_json_writer *w = cii_json_writer_new();
    cii_json_begin_object(w);
    cii_json_key_string(w, "sessionId", s->id);
    cii_json_key_string(w, "interpreter", core->interpreter);
    cii_json_key_string(w, "region", core->region);
    cii_json_key_string(w, "endpoint", core->endpoint.host);
    cii_json_key_string(w, "runtime", core->runtime);
    cii_json_key_string(w, "network", networks[core->network]);
    cii_json_key_string(w, "root", s->root);
    cii_json_key_bool(w, "attached", s->is_attached);
    cii_json_end_object(w);
    char *json = cii_json_take(w, NULL);
    if (!json)
        return cii_error_nomem(ret_error);
    *ret_json = json;
    return CI_OK;
}
