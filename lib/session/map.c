/* Calls made of calls, for the tool front. The outer one stands in the session's list in place of the inner, so that
 * interrupt and close reach it, and hands on what comes. */
#include "session/object.h"

typedef struct map_call {
    ci_call call;
    ci_call *inner;
    cii_call_map_cb map;
    void *user;
    void (*user_free)(void *user);
} map_call;

static int map_step(ci_call *call, cii_waits *waits, ci_error **ret_error) {
    map_call *self = (map_call *)call;
    if (call->seen & CII_SIGNAL_INTERRUPT)
        cii_call_signal(self->inner, CII_SIGNAL_INTERRUPT);
    if (!cii_call_advance(self->inner)) {
        *waits = self->inner->waits;
        return 0;
    }
    ci_status status = self->map(self->user, self->inner, &call->result, ret_error);
    return status < 0 ? status : 1;
}

static void map_drop(ci_call *call) {
    map_call *self = (map_call *)call;
    ci_call_free(self->inner);
    if (self->user_free)
        self->user_free(self->user);
}

static void map_retime(ci_call *call, int64_t timeout_ms) {
    map_call *self = (map_call *)call;
    if (self->inner)
        cii_call_set_timeout(self->inner, timeout_ms);
}

static const cii_call_ops map_ops = {.step = map_step, .drop = map_drop, .retime = map_retime, .stops_itself = true};
static const cii_call_ops map_run_ops = {
    .step = map_step, .drop = map_drop, .retime = map_retime, .stops_itself = true, .is_run = true};

ci_status cii_call_map_result(ci_call *inner, cii_call_map_cb map, void *user, void (*user_free)(void *user),
                              ci_call **ret_outer, ci_error **ret_error) {
    ci_call *call = NULL;
    const cii_call_ops *ops = inner->ops->is_run ? &map_run_ops : &map_ops;
    ci_status status = cii_call_new(sizeof(map_call), ops, inner->session, 0, &call, ret_error);
    if (status < 0) {
        ci_call_free(inner);
        if (user_free)
            user_free(user);
        return status;
    }
    map_call *self = (map_call *)call;
    self->inner = inner;
    self->map = map;
    self->user = user;
    self->user_free = user_free;
    call->outcome_kind = CII_OUTCOME_RESULT;
    if (inner->session)
        cii_session_replace(inner->session, inner, call);
    *ret_outer = call;
    return CI_OK;
}

/* --- finished ------------------------------------------------------------------------------------------------------ */

static int finished_step(ci_call *call, cii_waits *waits, ci_error **ret_error) {
    (void)call;
    (void)waits;
    (void)ret_error;
    return 1;
}

static void finished_drop(ci_call *call) {
    (void)call;
}

static const cii_call_ops finished_ops = {.step = finished_step, .drop = finished_drop};

ci_status cii_call_finished(ci_result *result, ci_call **ret_call, ci_error **ret_error) {
    ci_status status = cii_call_new(sizeof(ci_call), &finished_ops, NULL, 0, ret_call, ret_error);
    if (status < 0) {
        ci_result_free(result);
        return status;
    }
    (*ret_call)->result = result;
    (*ret_call)->outcome_kind = CII_OUTCOME_RESULT;
    return CI_OK;
}
