/* The life of a call: made, stepped until done, its outcome taken, freed. What waits for it is in wait.c.
 *
 * One thread at a time is inside a call. Others only set a bit in `signals` and write to `wake_fd`, so that nothing
 * here needs a lock: the thread inside looks at the bits before and after it waits. */
#include "session/call.h"

#include "base/clock.h"
#include "session/object.h"

void cii_waits_fd(cii_waits *waits, int fd) {
    if (fd < 0 || waits->count == CII_WAITS_MAX) {
        waits->again = true;
        return;
    }
    waits->fds[waits->count++] = fd;
}

void cii_waits_until(cii_waits *waits, int64_t due_us) {
    waits->due_us = CII_MIN(waits->due_us, due_us);
}

int cii_op_step(ci_op **op, cii_waits *waits, ci_error **ret_error) {
    int32_t r = (*op)->ops->process(*op, ret_error);
    if (r == 0) {
        cii_waits_fd(waits, (*op)->ops->fd(*op));
        return 0;
    }
    cii_op_drop(op);
    return r > 0 ? 1 : r;
}

void cii_op_drop(ci_op **op) {
    if (*op)
        (*op)->ops->free(*op);
    *op = NULL;
}

void cii_call_set_timeout(ci_call *call, int64_t timeout_ms) {
    call->timeout_ms = CII_MAX(timeout_ms, 0);
    call->deadline_us =
        timeout_ms > 0 && timeout_ms < CII_NEVER / 2000 ? call->started_us + timeout_ms * 1000 : CII_NEVER;
    if (call->ops->retime)
        call->ops->retime(call, timeout_ms);
}

ci_status cii_call_new(size_t size, const cii_call_ops *ops, ci_session *session, int64_t timeout_ms,
                       ci_call **ret_call, ci_error **ret_error) {
    ci_call *call = calloc(1, size);
    if (!call)
        return cii_error_nomem(ret_error);
    call->ops = ops;
    call->creator = session ? session->creator : getpid(); /* who links it has checked that they are the same */
    call->wake_fd = -1;
    call->epoll_fd = -1;
    call->timer_fd = -1;
    call->started_us = cii_clock_us();
    cii_call_set_timeout(call, timeout_ms);
    call->timer_due_us = CII_NEVER;
    call->waits.again = true;
    if (session) {
        ci_status status = cii_session_link(session, call, ret_error);
        if (status < 0) {
            free(call);
            return status;
        }
        call->session = session;
    }
    *ret_call = call;
    return CI_OK;
}

static void finish(ci_call *call, ci_status status) {
    call->done = true;
    call->status = status;
    call->waits = (cii_waits){.due_us = CII_NEVER};
    call->ops->drop(call);
    if (call->session) {
        cii_session_unlink(call->session, call);
        if (call->ops->name)
            cii_session_trace(call->session, call->ops->name, cii_clock_us() - call->started_us);
    }
}

static ci_status fail_cancelled(ci_call *call) {
    return cii_error_set(&call->error, CI_ERR_CANCELLED, "session", "the call was cancelled");
}

static ci_status fail_closed(ci_call *call) {
    ci_status status = cii_error_set(&call->error, CI_ERR_CLOSED, "session", "the session was closed");
    cii_error_mark(&call->error, false, true);
    return status;
}

/* The deadline or an interrupt ends a call that does not see to it itself. */
static void cut(ci_call *call, int32_t outcome) {
    ci_status status;
    if (call->ops->cut)
        status = call->ops->cut(call, outcome, &call->error);
    else if (outcome == CI_OUTCOME_INTERRUPTED)
        status = fail_cancelled(call);
    else
        status = cii_error_set(&call->error, CI_ERR_TIMEOUT, "session", "%s: time-out after %g s", call->ops->name,
                               (double)call->timeout_ms / 1000);
    finish(call, status);
}

bool cii_call_advance(ci_call *call) {
    if (call->done)
        return true;
    call->seen = atomic_fetch_and(&call->signals, ~(unsigned)CII_SIGNAL_WAKE) & ~(unsigned)CII_SIGNAL_WAKE;
    if (call->seen & (CII_SIGNAL_CLOSE | CII_SIGNAL_CANCEL)) {
        finish(call, call->seen & CII_SIGNAL_CLOSE ? fail_closed(call) : fail_cancelled(call));
        return true;
    }
    call->waits = (cii_waits){.due_us = CII_NEVER};
    int r = call->ops->step(call, &call->waits, &call->error);
    if (r != 0) {
        bool closed = r < 0 && call->session && atomic_load(&call->session->closed); /* whatever came of it first */
        finish(call, r > 0 ? CI_OK : closed ? fail_closed(call) : r);
        return true;
    }
    if (call->ops->stops_itself)
        return false;
    if (atomic_load(&call->signals) & CII_SIGNAL_INTERRUPT)
        cut(call, CI_OUTCOME_INTERRUPTED);
    else if (call->deadline_us != CII_NEVER && cii_clock_us() >= call->deadline_us)
        cut(call, CI_OUTCOME_TIMEOUT);
    else
        cii_waits_until(&call->waits, call->deadline_us);
    return call->done;
}

void cii_call_signal(ci_call *call, unsigned signal) {
    atomic_fetch_or(&call->signals, signal);
    cii_wake(atomic_load(&call->wake_fd));
}

ci_status ci_call_set_timeout(ci_call *call, int64_t timeout_ms) {
    if (!call)
        return CI_ERR_INVALID;
    if (call->creator != getpid())
        return CI_ERR_FORKED;
    if (call->done)
        return CI_ERR_INVALID;
    cii_call_set_timeout(call, timeout_ms);
    cii_call_signal(call, CII_SIGNAL_WAKE); /* the time that the last step said it waits for no longer holds */
    return CI_OK;
}

ci_status ci_call_interrupt(ci_call *call) {
    if (!call)
        return CI_ERR_INVALID;
    if (call->creator != getpid())
        return CI_ERR_FORKED;
    if (call->session && call->ops->is_run && !(call->session->capabilities & CI_CAP_INTERRUPT))
        return CI_ERR_NOTSUP;
    cii_call_signal(call, CII_SIGNAL_INTERRUPT);
    return CI_OK;
}

ci_status ci_call_cancel(ci_call *call) {
    if (!call)
        return CI_ERR_INVALID;
    if (call->creator != getpid())
        return CI_ERR_FORKED;
    cii_call_signal(call, CII_SIGNAL_CANCEL);
    return CI_OK;
}

/* What every take has in common: CI_OK when there is something of that kind to take. */
static ci_status take(ci_call *call, int kind, const char *what, ci_error **ret_error) {
    if (!call->done)
        return cii_error_set(ret_error, CI_ERR_INVALID, "session", "the call is not done");
    if (call->taken)
        return cii_error_set(ret_error, CI_ERR_INVALID, "session", "the outcome of the call was taken before");
    if (call->status == CI_OK && call->outcome_kind != kind)
        return cii_error_set(ret_error, CI_ERR_INVALID, "session", "the outcome of the call is not %s", what);
    call->taken = true;
    if (call->status < 0 && ret_error) {
        ci_error_free(*ret_error);
        *ret_error = TAKE_PTR(call->error);
    }
    return call->status;
}

static ci_status take_result(ci_call *call, ci_result **ret_result, ci_error **ret_error) {
    ci_status status = take(call, CII_OUTCOME_RESULT, "a result", ret_error);
    if (status == CI_OK)
        *ret_result = TAKE_PTR(call->result);
    return status;
}

static ci_status check(const ci_call *call, ci_error **ret_error) {
    if (!call)
        return cii_error_set(ret_error, CI_ERR_INVALID, "session", "call: NULL");
    if (call->creator != getpid())
        return cii_error_set(ret_error, CI_ERR_FORKED, "session", "the call was made by another process");
    return CI_OK;
}

ci_status ci_call_take_result(ci_call *call, ci_result **ret_result, ci_error **ret_error) {
    ci_status status = check(call, ret_error);
    return status < 0 ? status : take_result(call, ret_result, ret_error);
}

ci_status ci_call_take_session(ci_call *call, ci_session **ret_session, ci_error **ret_error) {
    ci_status status = check(call, ret_error);
    if (status == CI_OK)
        status = take(call, CII_OUTCOME_SESSION, "a session", ret_error);
    if (status == CI_OK)
        *ret_session = TAKE_PTR(call->opened);
    return status;
}

ci_status ci_call_take_status(ci_call *call, ci_error **ret_error) {
    ci_status status = check(call, ret_error);
    return status < 0 ? status : take(call, CII_OUTCOME_STATUS, "a status alone", ret_error);
}

/* --- blocking forms: start has checked the process, and getpid(2) is not free ---------------------------------------- */

ci_status cii_call_end_result(ci_call *call, ci_result **ret_result, ci_error **ret_error) {
    cii_call_wait(call, CII_NEVER);
    ci_status status = take_result(call, ret_result, ret_error);
    cii_call_free(call, true);
    return status;
}

ci_status cii_call_end_status(ci_call *call, ci_error **ret_error) {
    cii_call_wait(call, CII_NEVER);
    ci_status status = take(call, CII_OUTCOME_STATUS, "a status alone", ret_error);
    cii_call_free(call, true);
    return status;
}

/* --- freeing ------------------------------------------------------------------------------------------------------- */

void cii_call_free(ci_call *call, bool own) {
    if (own && !call->done) {
        call->ops->drop(call);
        if (call->session)
            cii_session_unlink(call->session, call);
    }
    if (own && call->wake_fd >= 0 && call->session && call->session->sandbox)
        cii_sandbox_give_wake_fd(call->session->sandbox,
                                 atomic_exchange(&call->wake_fd, -1)); /* nobody knows it any more */
    ci_session_close(call->opened);
    cii_close(call->wake_fd);
    cii_close(call->epoll_fd);
    cii_close(call->timer_fd);
    ci_result_free(call->result);
    ci_error_free(call->error);
    cii_session_unref(call->session);
    free(call);
}

void ci_call_free(ci_call *call) {
    if (call)
        cii_call_free(call, call->creator == getpid());
}
