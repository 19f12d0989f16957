/* An operation's life: credentials, then the lane's turn, then the step, as long as there is more to do at once. A failure
 * that may mean that the session is over is looked into before it is told: the service says so in more than one way. */
#include <stdio.h>

#include "sandbox/agentcore/agentcore.h"

#define ROUNDS_MAX 16 /* in one process() */

int32_t cii_agentcore_op_fd(ci_op *base) {
    const cii_agentcore_op *op = (const cii_agentcore_op *)base;
    if (op->login.search)
        return op->login.search->ops->fd(op->login.search);
    if (op->busy)
        return -1;
    return op->wait_fd >= 0 ? op->wait_fd : cii_http_lane_fd(op->lane);
}

/* --- is it over? ---------------------------------------------------------------------------------------------------- */

/* What a whole answer tells, as the probe does of a file that is not there, says that the session lives. */
static bool is_doubtful(const cii_agentcore_op *op, int32_t status, const ci_error *error) {
    if (op->call.exchange && cii_http_exchange_result(op->call.exchange, NULL) > 0)
        return false;
    int32_t http = ci_error_http_status(error);
    return op->session && op->call.operation == CII_AGENTCORE_INVOKE &&
           (status == CI_ERR_LOST || status == CI_ERR_NOTFOUND || http == 404 || http == 409 ||
            (status == CI_ERR_INVALID && (http == 400 || http == 0) && strstr(ci_error_message(error), "ession")));
}

int32_t cii_agentcore_op_is_ready(const cii_agentcore_op *op, ci_error **ret_error) {
    const cii_http_response *response = cii_agentcore_call_response(op);
    _cleanup_json_ cii_json *root = NULL;
    if (cii_json_parse(response->body, response->body_bytes, 0, &root, NULL) == CI_ERR_NOMEM)
        return cii_error_nomem(ret_error);
    const char *text = cii_json_text_of(cii_json_get(root, "status"), NULL);
    return text && strcmp(text, "READY") == 0;
}

static ci_status is_over(cii_agentcore_op *op, ci_error **ret_error) {
    const cii_agentcore_session *s = op->session;
    uint32_t timeout_s = op->core->session_timeout_s;
    ci_status status = cii_error_set(ret_error, CI_ERR_LOST, CII_AGENTCORE_DOMAIN, "the session %s is over", s->id);
    cii_error_hint(ret_error,
                   "it was stopped, or its %u seconds are up: open another one, with a longer time if need be",
                   timeout_s ? timeout_s : 900);
    cii_error_mark(ret_error, false, true);
    return status;
}

/* What a session that lives was asked was not found there, as if it were over: that is neither its end nor a file's lack. */
static void tell_alive(cii_agentcore_op *op) {
    ci_status status = ci_error_status(op->doubt);
    if (status != CI_ERR_LOST && status != CI_ERR_NOTFOUND)
        return;
    cii_error_wrap(&op->doubt, CI_ERR_IO, "the session %s lives", op->session->id);
    cii_error_mark(&op->doubt, op->call.was_refused, false);
    cii_error_hint(&op->doubt, "try again: the service did not find what it was asked for");
}

/* 0: it is being asked; negative: what to tell. */
static int32_t confirm(cii_agentcore_op *op, ci_error **ret_error) {
    int32_t result = cii_agentcore_call_result(op, NULL);
    if (result == 0)
        return 0;
    int32_t ready = result > 0 ? cii_agentcore_op_is_ready(op, NULL) : result;
    if (ready == 0 || ready == CI_ERR_LOST || ready == CI_ERR_NOTFOUND)
        return is_over(op, ret_error);
    if (ready > 0)
        tell_alive(op);
    int32_t status = ci_error_status(op->doubt);
    if (ret_error) {
        ci_error_free(*ret_error);
        *ret_error = TAKE_PTR(op->doubt);
    }
    return status;
}

static int32_t step(cii_agentcore_op *op, ci_error **ret_error) {
    if (op->confirms)
        return confirm(op, ret_error);
    _cleanup_error_ ci_error *error = NULL;
    int32_t result = op->step(op, &error);
    if (result >= 0)
        return result;
    op->confirms = is_doubtful(op, result, error) &&
                   cii_agentcore_call_start(op, CII_AGENTCORE_GET, op->session->id, NULL, 0, NULL) == CI_OK;
    ci_error **to = op->confirms ? &op->doubt : ret_error;
    if (to) {
        ci_error_free(*to);
        *to = TAKE_PTR(error);
    }
    return op->confirms ? 0 : result;
}

/* --- rounds ----------------------------------------------------------------------------------------------------------- */

static int32_t round_of(cii_agentcore_op *op, ci_error **ret_error) {
    op->busy = false;
    int32_t result = cii_aws_login_find(&op->login, ret_error);
    if (result <= 0)
        return result;
    ci_status status = op->call.exchange ? cii_http_lane_process(op->lane, ret_error) : CI_OK;
    return status < 0 ? status : step(op, ret_error);
}

int32_t cii_agentcore_op_process(ci_op *base, ci_error **ret_error) {
    cii_agentcore_op *op = (cii_agentcore_op *)base;
    int32_t result = 0;
    for (int i = 0; i < ROUNDS_MAX && result == 0; i++) {
        bool closed = op->session && atomic_load(&op->session->closed);
        result = closed ? cii_error_set(ret_error, CI_ERR_CLOSED, CII_AGENTCORE_DOMAIN, "the session was closed")
                        : round_of(op, ret_error);
        if (!op->busy || op->login.search)
            break;
    }
    return result < 0 ? cii_error_wrap(ret_error, result, "AgentCore: %s", op->what) : result;
}

void cii_agentcore_op_free(ci_op *base) {
    cii_agentcore_op *op = (cii_agentcore_op *)base;
    if (op->release)
        op->release(op);
    cii_agentcore_call_free(&op->call);
    cii_aws_login_clear(&op->login);
    cii_http_lane_give(op->lane);
    ci_error_free(op->doubt);
    free(op);
}

const ci_op_ops cii_agentcore_op_ops = {
    sizeof cii_agentcore_op_ops, cii_agentcore_op_fd, cii_agentcore_op_process, NULL, NULL, cii_agentcore_op_free};

void *cii_agentcore_op_new(size_t size, cii_agentcore *core, cii_agentcore_session *session, const char *what,
                           ci_status *ret_status, ci_error **ret_error) {
    cii_agentcore_op *op = calloc(1, size);
    *ret_status = op ? cii_http_lane_take(core->pool, &op->lane, ret_error) : cii_error_nomem(ret_error);
    if (*ret_status < 0) {
        free(op);
        return NULL;
    }
    op->op.ops = &cii_agentcore_op_ops;
    op->core = core;
    op->session = session;
    op->what = what;
    op->login.credentials = core->credentials;
    op->wait_fd = -1;
    op->busy = true;
    cii_agentcore_stops_step(core);
    return op;
}
