/* ci_sandbox_prepare(): a call on a sandbox rather than on a session, which is why it is made here. */
#include "session/object.h"

typedef struct prepare_call {
    ci_call call;
    ci_sandbox *sandbox; /* held */
    ci_op *op;
} prepare_call;

static int prepare_step(ci_call *call, cii_waits *waits, ci_error **ret_error) {
    prepare_call *self = (prepare_call *)call;
    ci_status status = CI_OK;
    if (!self->op)
        status = cii_sandbox_ops(self->sandbox)->prepare(cii_sandbox_impl(self->sandbox), &self->op, ret_error);
    return status < 0 ? status : cii_op_step(&self->op, waits, ret_error);
}

static void prepare_drop(ci_call *call) {
    prepare_call *self = (prepare_call *)call;
    cii_op_drop(&self->op);
    ci_sandbox_free(self->sandbox);
}

static const cii_call_ops prepare_ops = {.name = "prepare", .step = prepare_step, .drop = prepare_drop};

ci_status ci_sandbox_prepare_start(ci_sandbox *sandbox, int64_t timeout_ms, ci_call **ret_call, ci_error **ret_error) {
    ci_status status = cii_sandbox_check(sandbox, ret_error);
    if (status == CI_OK)
        status = cii_call_new(sizeof(prepare_call), &prepare_ops, NULL, timeout_ms, ret_call, ret_error);
    if (status == CI_OK)
        ((prepare_call *)*ret_call)->sandbox = ci_sandbox_ref(sandbox);
    return status;
}

ci_status ci_sandbox_prepare(ci_sandbox *sandbox, int64_t timeout_ms, ci_error **ret_error) {
    ci_call *call = NULL;
    ci_status status = ci_sandbox_prepare_start(sandbox, timeout_ms, &call, ret_error);
    return status < 0 ? status : cii_call_end_status(call, ret_error);
}
