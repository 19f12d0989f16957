/* The session object: who holds it, which calls are alive on it, whose turn it is, and its end.
 *
 * The lock guards lists for a few instructions. What takes time, and every callback, happens outside. */
#include "session/session.h"

#include <stdarg.h>
#include <stdio.h>

#include "session/keys.h"
#include "session/object.h"
#include "session/preload.h"
#include "session/run.h"

/* --- holding ------------------------------------------------------------------------------------------------------- */

/* The last hold is gone: no operation of it exists any more. */
static void destroy(ci_session *session) {
    bool own = session->creator == getpid();
    if (own) {
        cii_left_free(session->left);
        cii_preload_free(session->preload);
        if (session->backend)
            session->ops->close(session->backend);
        if (session->storage_lock)
            session->storage_ops->unlock(session->storage_impl, session->storage_lock);
    }
    if (session->sandbox)
        cii_sandbox_drop_wake_fds(session->sandbox);
    ci_sandbox_free(session->sandbox);
    ci_storage_free(session->storage);
    cii_known_free(&session->known);
    free(session->pushed_prefix);
    cii_report_free(&session->opened);
    cii_report_free(&session->pending);
    cii_keys_free(session);
    cii_settings_free(&session->options);
    pthread_mutex_destroy(&session->lock);
    free(session);
}

void cii_session_unref(ci_session *session) {
    if (session && atomic_fetch_sub(&session->refs, 1) == 1)
        destroy(session);
}

ci_status cii_session_check(const ci_session *session, ci_error **ret_error) {
    if (!session)
        return cii_error_set(ret_error, CI_ERR_INVALID, "session", "session: NULL");
    if (session->creator != getpid())
        return cii_error_set(ret_error, CI_ERR_FORKED, "session", "the session was opened by another process");
    if (atomic_load(&session->closed)) {
        ci_status status = cii_error_set(ret_error, CI_ERR_CLOSED, "session", "the session was closed");
        cii_error_mark(ret_error, false, true);
        return status;
    }
    return CI_OK;
}

/* --- telling ------------------------------------------------------------------------------------------------------- */

void cii_session_log(ci_session *session, int32_t level, const char *format, ...) {
    if (!session->options.log)
        return;
    char message[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    session->options.log(session->options.log_user, level, "session", message);
}

void cii_session_log_refusals(ci_session *session, const ci_result *result) {
    _cleanup_buf_ cii_buf text;
    cii_buf_init(&text, 0);
    if (!session->options.log || cii_result_say_refusals(result, &text) < 0)
        return;
    for (char *line = text.data, *end; line && (end = strchr(line, '\n')); line = end + 1) {
        *end = 0;
        session->options.log(session->options.log_user, CI_LOG_WARNING, "network", line);
    }
}

void cii_session_trace(ci_session *session, const char *event, int64_t duration_us) {
    if (session->options.trace)
        session->options.trace(session->options.trace_user, event, duration_us);
}

/* --- calls --------------------------------------------------------------------------------------------------------- */

ci_status cii_session_link(ci_session *session, ci_call *call, ci_error **ret_error) {
    pthread_mutex_lock(&session->lock);
    bool closed = atomic_load(&session->closed); /* close walks the list with the lock held */
    if (!closed) {
        call->previous = session->last_call;
        *(session->last_call ? &session->last_call->next : &session->calls) = call;
        session->last_call = call;
        call->linked = true;
        atomic_fetch_add(&session->refs, 1);
    }
    pthread_mutex_unlock(&session->lock);
    return closed ? cii_session_check(session, ret_error) : CI_OK;
}

static void unlink_locked(ci_session *session, ci_call *call) {
    if (!call->linked)
        return;
    *(call->previous ? &call->previous->next : &session->calls) = call->next;
    *(call->next ? &call->next->previous : &session->last_call) = call->previous;
    call->previous = call->next = NULL;
    call->linked = false;
}

static void door_leave_locked(ci_session *session, ci_call *call) {
    if (!call->at_door)
        return;
    ci_call *before = NULL;
    for (ci_call *at = session->door; at != call; at = at->door_next)
        before = at;
    *(before ? &before->door_next : &session->door) = call->door_next;
    if (session->door_last == call)
        session->door_last = before;
    call->at_door = false;
    call->door_next = NULL;
    ci_call *next = session->door;
    while (next && next->outer)
        next = next->outer;
    if (next && !before)
        cii_call_signal(next, CII_SIGNAL_WAKE);
}

void cii_session_unlink(ci_session *session, ci_call *call) {
    pthread_mutex_lock(&session->lock);
    door_leave_locked(session, call);
    unlink_locked(session, call);
    pthread_mutex_unlock(&session->lock);
}

void cii_session_replace(ci_session *session, ci_call *inner, ci_call *outer) {
    pthread_mutex_lock(&session->lock);
    unlink_locked(session, inner);
    inner->outer = outer;
    pthread_mutex_unlock(&session->lock);
}

void cii_door_enter(ci_session *session, ci_call *call) {
    pthread_mutex_lock(&session->lock);
    *(session->door ? &session->door_last->door_next : &session->door) = call;
    session->door_last = call;
    call->at_door = true;
    pthread_mutex_unlock(&session->lock);
}

bool cii_door_is_first(ci_session *session, ci_call *call) {
    pthread_mutex_lock(&session->lock);
    bool first = session->door == call;
    pthread_mutex_unlock(&session->lock);
    return first;
}

void cii_door_leave(ci_session *session, ci_call *call) {
    pthread_mutex_lock(&session->lock);
    door_leave_locked(session, call);
    pthread_mutex_unlock(&session->lock);
}

/* --- the end, and interrupts --------------------------------------------------------------------------------------- */

static void signal_calls(ci_session *session, unsigned signal, bool runs_only) {
    for (ci_call *call = session->calls; call; call = call->next)
        if (!runs_only || call->ops->is_run)
            cii_call_signal(call, signal);
}

/* Whoever owns the handle may close it as soon as its calls have ended, while the thread that ended them is still here:
 * it has a hold of its own. */
static void hold(ci_session *session) {
    atomic_fetch_add(&session->refs, 1);
}

ci_status ci_session_shutdown(ci_session *session) {
    if (!session)
        return CI_ERR_INVALID;
    if (session->creator != getpid())
        return CI_ERR_FORKED;
    hold(session);
    pthread_mutex_lock(&session->lock);
    bool before = atomic_exchange(&session->closed, true);
    signal_calls(session, CII_SIGNAL_CLOSE, false);
    pthread_mutex_unlock(&session->lock);
    if (!before && session->backend)
        session->ops->shutdown(session->backend);
    cii_session_unref(session);
    return CI_OK;
}

void ci_session_close(ci_session *session) {
    if (!session)
        return;
    ci_session_shutdown(session);
    cii_session_unref(session);
}

ci_status ci_session_interrupt(ci_session *session) {
    ci_status status = cii_session_check(session, NULL);
    if (status < 0)
        return status;
    if (!(session->capabilities & CI_CAP_INTERRUPT))
        return CI_ERR_NOTSUP;
    hold(session);
    pthread_mutex_lock(&session->lock);
    signal_calls(session, CII_SIGNAL_INTERRUPT, true);
    pthread_mutex_unlock(&session->lock);
    cii_session_unref(session);
    return CI_OK;
}

/* --- reading ------------------------------------------------------------------------------------------------------- */

const char *ci_session_id(const ci_session *session) {
    return session ? session->id : "";
}

uint64_t ci_session_capabilities(const ci_session *session) {
    return session ? session->capabilities : 0;
}

ci_status cii_session_need_workspace(const ci_session *session, ci_error **ret_error) {
    if (session->storage_ops)
        return CI_OK;
    ci_status status = cii_error_set(ret_error, CI_ERR_NOTSUP, "session", "the session has no workspace");
    cii_error_hint(ret_error, "open it with workspace_dir or storage");
    return status;
}

ci_status ci_session_preload_report(ci_session *session, ci_result **ret_result, ci_error **ret_error) {
    ci_status status = cii_session_check(session, ret_error);
    if (status == CI_ERR_INVALID || status == CI_ERR_FORKED)
        return status;
    _cleanup_result_ ci_result *result = NULL;
    if (cii_result_new(CII_RESULT_REPORT, NULL, &result) < 0)
        return cii_error_nomem(ret_error);
    pthread_mutex_lock(&session->lock);
    status = cii_report_to_result(&session->opened, result, CI_FILES_PRELOAD);
    pthread_mutex_unlock(&session->lock);
    if (status < 0)
        return cii_error_nomem(ret_error);
    ci_error_free(ret_error ? TAKE_PTR(*ret_error) : NULL); /* a closed session still has its report */
    *ret_result = TAKE_PTR(result);
    return CI_OK;
}

ci_status cii_session_tell_preload(ci_session *session, ci_result *result) {
    pthread_mutex_lock(&session->lock);
    cii_report report = session->pending;
    session->pending = (cii_report){0};
    pthread_mutex_unlock(&session->lock);
    ci_status status = cii_report_to_result(&report, result, CI_FILES_PRELOAD);
    cii_report_free(&report);
    return status;
}
