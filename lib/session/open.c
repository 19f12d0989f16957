/* Opening a session: options, sandbox, storage and its lock, the backend's session, the uploads. */
#include <stdio.h>

#include "base/clock.h"
#include "base/str.h"
#include "session/keys.h"
#include "session/object.h"
#include "session/preload.h"

typedef struct open_call {
    ci_call call;
    enum { PLACES, BACKEND, UPLOADS } stage;
    ci_sandbox_request request;
    ci_op *op;
    void *backend; /* of the operation, until it is done */
} open_call;

static void no_log(void *user, int32_t level, const char *domain, const char *message) {
    (void)user;
    (void)level;
    (void)domain;
    (void)message;
}

/* --- places -------------------------------------------------------------------------------------------------------- */

static ci_status find_sandbox(ci_session *session, ci_error **ret_error) {
    const ci_session_options *o = &session->options;
    ci_status status = CI_OK;
    if (session->sandbox) {
        status = cii_sandbox_check(session->sandbox, ret_error);
    } else {
        ci_sandbox_local_options local = CI_SANDBOX_LOCAL_OPTIONS_INIT;
        local.python = o->python;
        local.log = o->log;
        local.log_user = o->log_user;
        status = ci_sandbox_local_new(&local, &session->sandbox, ret_error);
    }
    if (status == CI_OK)
        session->ops = cii_sandbox_ops(session->sandbox);
    return status;
}

static ci_status find_storage(ci_session *session, ci_error **ret_error) {
    const ci_session_options *o = &session->options;
    if (!session->storage && o->workspace_dir) {
        ci_status status = ci_storage_dir_new(o->workspace_dir, NULL, &session->storage, ret_error);
        if (status < 0)
            return cii_error_wrap(ret_error, status, "workspace");
    }
    if (!session->storage)
        return CI_OK;
    ci_status status = cii_storage_check(session->storage, ret_error);
    if (status < 0)
        return status;
    session->storage_ops = cii_storage_ops(session->storage);
    session->storage_impl = cii_storage_impl(session->storage);
    return cii_keys_init(session, ret_error);
}

/* Only a given id can be taken by another. */
static ci_status lock_id(ci_session *session, ci_error **ret_error) {
    if (!session->storage_ops || !session->options.session_id)
        return CI_OK;
    ci_status status =
        session->storage_ops->lock(session->storage_impl, session->id, &session->storage_lock, ret_error);
    if (status == CI_ERR_BUSY) {
        status = cii_error_set(ret_error, CI_ERR_BUSY, "session", "session id \"%s\" is open on this workspace already",
                               session->id);
        cii_error_mark(ret_error, true, false);
    }
    return status;
}

static ci_status check_limits(const ci_session *session, ci_error **ret_error) {
    uint64_t missing = session->limits & ~session->capabilities;
    if (missing == 0)
        return CI_OK;
    return cii_error_set(ret_error, CI_ERR_NOTSUP, "session", "%s: the backend \"%s\" cannot keep such a limit",
                         missing & CI_CAP_LIMIT_MEMORY      ? "memory_bytes"
                         : missing & CI_CAP_LIMIT_PROCESSES ? "process_count"
                                                            : "workspace_bytes",
                         session->ops->name);
}

static ci_status check_network(const ci_session *session, ci_error **ret_error) {
    const ci_session_options *o = &session->options;
    static const struct {
        int32_t network;
        uint64_t bit;
        const char *name;
    } networks[] = {{CI_NETWORK_NONE, CI_CAP_NETWORK_NONE, "none"},
                    {CI_NETWORK_INTERNET, CI_CAP_NETWORK_INTERNET, "internet"},
                    {CI_NETWORK_HOST, CI_CAP_NETWORK_HOST, "host"}};
    char can[64] = "";
    bool wanted = false;
    const char *name = "";
    for (size_t i = 0; i < CII_ELEMENTS(networks); i++) {
        if (networks[i].network == o->network)
            name = networks[i].name;
        if (!(session->capabilities & networks[i].bit))
            continue;
        wanted |= networks[i].network == o->network;
        snprintf(can + strlen(can), sizeof can - strlen(can), "%s%s", *can ? ", " : "", networks[i].name);
    }
    if (!wanted)
        return cii_error_set(ret_error, CI_ERR_NOTSUP, "session",
                             "network \"%s\": the backend \"%s\" does not give it in this version; it gives: %s", name,
                             session->ops->name, *can ? can : "no choice");
    if ((o->network_allow || o->network_deny) && !(session->capabilities & CI_CAP_NETWORK_POLICY))
        return cii_error_set(ret_error, CI_ERR_NOTSUP, "session", "%s: the backend \"%s\" cannot keep to such rules",
                             o->network_allow ? "network_allow" : "network_deny", session->ops->name);
    return CI_OK;
}

static ci_status start_backend(open_call *self, ci_session *session, ci_error **ret_error) {
    const ci_session_options *o = &session->options;
    self->request = (ci_sandbox_request){
        .struct_size = sizeof self->request,
        .session_id = session->id,
        .python = o->python,
        .host_dir = o->host_dir,
        .rootfs = o->rootfs,
        .env = o->env,
        .memory_bytes = o->memory_bytes,
        .workspace_bytes = o->workspace_bytes,
        .workspace_inodes = o->workspace_inodes,
        .process_count = o->process_count,
        .open_file_count = o->open_file_count,
        .network = o->network,
        .log = o->log ? o->log : no_log,
        .log_user = o->log_user,
        .network_allow = o->network_allow,
        .network_deny = o->network_deny,
    };
    void *impl = cii_sandbox_impl(session->sandbox);
    session->capabilities = session->ops->capabilities(impl, NULL);
    ci_status status = check_network(session, ret_error);
    if (status == CI_OK)
        status = check_limits(session, ret_error);
    if (status < 0)
        return status;
    if (o->attach_id)
        return session->ops->attach(impl, o->attach_id, &self->request, &self->backend, &self->op, ret_error);
    return session->ops->open(impl, &self->request, &self->backend, &self->op, ret_error);
}

/* --- the call ------------------------------------------------------------------------------------------------------ */

static int open_step_places(open_call *self, ci_session *session, ci_error **ret_error) {
    ci_status status = find_storage(session, ret_error);
    if (status == CI_OK)
        status = lock_id(session, ret_error);
    if (status == CI_OK)
        status = find_sandbox(session, ret_error);
    if (status == CI_OK)
        status = start_backend(self, session, ret_error);
    return status < 0 ? status : 1;
}

static int open_step_backend(open_call *self, ci_session *session, cii_waits *waits, ci_error **ret_error) {
    int r = cii_op_step(&self->op, waits, ret_error);
    if (r <= 0)
        return r;
    session->backend = TAKE_PTR(self->backend);
    session->capabilities = session->ops->capabilities(cii_sandbox_impl(session->sandbox), session->backend);
    ci_status status = cii_preload_new(session, &session->preload, ret_error);
    return status < 0 ? status : 1;
}

static int open_stages(open_call *self, ci_session *session, cii_waits *waits, ci_error **ret_error) {
    int r = 1;
    switch (self->stage) {
    case PLACES:
        r = open_step_places(self, session, ret_error);
        if (r <= 0)
            return r;
        self->stage = BACKEND;
        __attribute__((fallthrough));
    case BACKEND:
        r = open_step_backend(self, session, waits, ret_error);
        if (r <= 0)
            return r;
        self->stage = UPLOADS;
        __attribute__((fallthrough));
    case UPLOADS:
        r = cii_preload_step(session->preload, true, waits, ret_error);
    }
    return r;
}

static int open_step(ci_call *call, cii_waits *waits, ci_error **ret_error) {
    int r = open_stages((open_call *)call, call->session, waits, ret_error);
    if (r < 0)
        return cii_error_wrap(ret_error, r, "open session");
    if (r > 0) {
        atomic_fetch_add(&call->session->refs, 1);
        call->opened = call->session;
        cii_session_log(call->session, CI_LOG_INFO, "session %s is open", call->session->id);
    }
    return r;
}

static void open_drop(ci_call *call) {
    cii_op_drop(&((open_call *)call)->op);
}

static const cii_call_ops open_ops = {.name = "open", .step = open_step, .drop = open_drop};

static ci_status session_new(const ci_session_options *options, ci_session **ret_session, ci_error **ret_error) {
    ci_session *session = calloc(1, sizeof *session);
    if (!session)
        return cii_error_nomem(ret_error);
    session->creator = getpid();
    session->refs = 1;
    pthread_mutex_init(&session->lock, NULL);
    ci_status status = cii_settings_copy(&session->options, &session->limits, options, ret_error);
    if (status == CI_OK && session->options.session_id)
        memcpy(session->id, session->options.session_id, strlen(session->options.session_id) + 1);
    else if (status == CI_OK && cii_id_random(session->id) < 0)
        status = cii_error_errno(ret_error, errno, "session", "random session id");
    if (status < 0) {
        cii_session_unref(session);
        return status;
    }
    session->sandbox = ci_sandbox_ref(session->options.sandbox);
    session->storage = ci_storage_ref(session->options.storage);
    *ret_session = session;
    return CI_OK;
}

ci_status ci_session_open_start(const ci_session_options *options, ci_call **ret_call, ci_error **ret_error) {
    ci_session *session = NULL;
    ci_status status = session_new(options, &session, ret_error);
    if (status < 0)
        return cii_error_wrap(ret_error, status, "open session");
    status = cii_call_new(sizeof(open_call), &open_ops, session, session->options.open_timeout_ms, ret_call, ret_error);
    if (status == CI_OK)
        (*ret_call)->outcome_kind = CII_OUTCOME_SESSION;
    cii_session_unref(session); /* the call holds it */
    return status;
}

ci_status ci_session_open(const ci_session_options *options, ci_session **ret_session, ci_error **ret_error) {
    ci_call *call = NULL;
    ci_status status = ci_session_open_start(options, &call, ret_error);
    if (status < 0)
        return status;
    ci_call_wait(call, -1);
    status = ci_call_take_session(call, ret_session, ret_error);
    ci_call_free(call);
    return status;
}
