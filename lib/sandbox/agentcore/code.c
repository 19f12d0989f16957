/* Code: one `executeCode`, after all that was started before it in its language. The service runs it to its end, whatever
 * becomes of the connection: code that was given up goes on, and Python's context is cleared before the next. */
#include "sandbox/agentcore/agentcore.h"

#include <stdio.h>

#include "base/str.h"

#define TRACEBACK_MAX (64u << 10) /* of stderr's end, in which an exception's name is looked for */

typedef struct code_op {
    cii_agentcore_op op;
    const ci_sink *sink;
    enum { WAIT, SENT } stage;
    cii_turn *turn;
    char *body;
    size_t body_bytes;
    bool is_python;
    bool clears;       /* as was asked */
    bool clears_first; /* what was given up before it */
    cii_buf traceback;
    uint64_t out_bytes;
    unsigned result_count;
    char last; /* of stdout */
    ci_run_outcome outcome;
    bool is_error;
} code_op;

/* --- what comes ------------------------------------------------------------------------------------------------------- */

static ci_status take_err(code_op *c, const char *text, size_t size, ci_error **ret_error) {
    if (size == 0)
        return CI_OK;
    c->sink->output(c->sink->user, CI_STREAM_STDERR, text, size);
    size_t kept = CII_MIN(size, (size_t)TRACEBACK_MAX);
    if (c->traceback.size + kept > TRACEBACK_MAX)
        cii_buf_consume(&c->traceback, c->traceback.size + kept - TRACEBACK_MAX);
    return cii_buf_append(&c->traceback, text + size - kept, kept) < 0 ? cii_error_nomem(ret_error) : CI_OK;
}

static void take_out(code_op *c, const char *text, size_t size) {
    if (size == 0)
        return;
    c->sink->output(c->sink->user, CI_STREAM_STDOUT, text, size);
    c->out_bytes += size;
    c->last = text[size - 1];
}

static void on_item(void *user, const char *mime_type, const void *data, size_t size) {
    code_op *c = user;
    c->sink->item(c->sink->user, mime_type, data, size, c->out_bytes);
}

static ci_status on_result(void *user, const cii_agentcore_result *r, ci_error **ret_error) {
    code_op *c = user;
    c->result_count++;
    c->is_error |= r->is_error;
    if (r->has_exit_code)
        c->outcome.exit_code = r->exit_code;
    if (r->seconds >= 0 && r->seconds < 1e9)
        c->outcome.execution_us = (int64_t)(r->seconds * 1e6);
    take_out(c, r->out, r->out_size);
    ci_status status = take_err(c, r->err, r->err_size, ret_error);
    if (status == CI_OK && !r->has_streams && r->message && r->is_error)
        status = take_err(c, r->message, r->message_size, ret_error);
    else if (status == CI_OK && !r->has_streams && r->message)
        take_out(c, r->message, r->message_size);
    if (status == CI_OK)
        cii_agentcore_result_items(r, on_item, c, &c->outcome.item_dropped_count);
    return status;
}

/* --- the end ---------------------------------------------------------------------------------------------------------- */

/* "SystemExit: 3" says more than that the code failed. */
static int32_t exit_status(int32_t code, const char *message) {
    char *end = NULL;
    long said = message ? strtol(message, &end, 10) : 0;
    return message && *message && *end == '\0' && said > 0 && said <= 255 ? (int32_t)said : code;
}

static ci_status done(code_op *c, ci_error **ret_error) {
    _cleanup_free_ char *name = NULL, *message = NULL;
    /* The service, which tells the whole in one event, takes the last newline away. */
    if (c->result_count == 1 && c->out_bytes > 0 && c->last != '\n')
        take_out(c, "\n", 1);
    if (c->is_error || c->outcome.exit_code != 0) {
        const char *text = c->traceback.data ? c->traceback.data : "";
        if (cii_agentcore_exception(text, c->traceback.size, &name, &message) < 0)
            return cii_error_nomem(ret_error);
        bool is_exit = c->outcome.exit_code != 0 && (!name || strcmp(name, "SystemExit") == 0);
        c->outcome.outcome = is_exit ? CI_OUTCOME_EXIT : CI_OUTCOME_EXCEPTION;
        if (is_exit) {
            c->outcome.exit_code = exit_status(c->outcome.exit_code, name ? message : NULL);
        } else {
            c->outcome.error_name = name ? name : "Error";
            c->outcome.error_message = name ? message : "the code failed";
            c->outcome.exit_code = 0;
        }
    }
    c->sink->done(c->sink->user, &c->outcome);
    return CI_OK;
}

int32_t cii_agentcore_run_lost(const ci_sink *sink, ci_run_outcome *outcome, int32_t status, const ci_error *error) {
    if (status == CI_ERR_NOMEM || status == CI_ERR_CLOSED || status == CI_ERR_LOST)
        return status;
    outcome->outcome = CI_OUTCOME_LOST;
    outcome->exit_code = outcome->signal_number = 0;
    outcome->error_name = "Lost";
    outcome->error_message = ci_error_message(error);
    sink->done(sink->user, outcome);
    return 1;
}

void cii_agentcore_run_gap(const ci_sink *sink, int32_t stream, uint64_t bytes) {
    char text[64];
    snprintf(text, sizeof text, "[... %llu bytes omitted ...]\n", (unsigned long long)bytes);
    if (bytes > 0)
        sink->output(sink->user, stream, text, strlen(text));
}

static bool take_lost(code_op *c) {
    cii_agentcore_session *s = c->op.session;
    pthread_mutex_lock(&s->lock);
    bool lost = c->is_python && s->python_is_lost;
    s->python_is_lost &= !c->is_python;
    pthread_mutex_unlock(&s->lock);
    return lost;
}

static void set_lost(code_op *c) {
    cii_agentcore_session *s = c->op.session;
    pthread_mutex_lock(&s->lock);
    s->python_is_lost |= c->is_python;
    pthread_mutex_unlock(&s->lock);
}

/* Lets the next one have its turn. It clears the context if this one was given up, or did not come to do so itself. */
static void leave(code_op *c, bool has_ended) {
    if (c->turn && ((c->stage == SENT && !has_ended) || (c->clears_first && c->result_count == 0)))
        set_lost(c);
    cii_turn_give(&c->op.session->turns, &c->turn);
}

/* The body was written without it, unless it was asked for: then nobody needs to be told that variables are gone. */
static ci_status clear_first(code_op *c, ci_error **ret_error) {
    static const char end[] = "}}", with[] = ",\"clearContext\":true}}";
    c->clears_first = true;
    if (c->clears)
        return CI_OK;
    c->outcome.state_lost = 1;
    size_t kept = c->body_bytes - (sizeof end - 1);
    char *body = realloc(c->body, kept + sizeof with);
    if (!body)
        return cii_error_nomem(ret_error);
    memcpy(body + kept, with, sizeof with);
    c->body = body;
    c->body_bytes = kept + sizeof with - 1;
    return CI_OK;
}

static int32_t code_step(cii_agentcore_op *op, ci_error **ret_error) {
    code_op *c = (code_op *)op;
    if (c->stage == WAIT) {
        const char *place = c->is_python ? "python" : "node";
        int32_t result = cii_turn_take(&op->session->turns, place, &c->turn, &op->wait_fd, ret_error);
        ci_status status = result > 0 && take_lost(c) ? clear_first(c, ret_error) : CI_OK;
        if (result <= 0 || status < 0)
            return result <= 0 ? result : status;
        c->stage = SENT;
        status = cii_agentcore_call_start(op, CII_AGENTCORE_INVOKE, op->session->id, TAKE_PTR(c->body), c->body_bytes,
                                          ret_error);
        op->call.once = op->call.is_run = true;
        op->call.result = on_result;
        op->call.user = c;
        return status;
    }
    _cleanup_error_ ci_error *error = NULL;
    int32_t result = cii_agentcore_call_result(op, &error);
    if (result == 0)
        return 0;
    leave(c, true);
    if (result < 0 && c->result_count > 0) /* what was printed is not lost with what came after it */
        result = cii_agentcore_run_lost(c->sink, &c->outcome, result, error);
    else if (result > 0)
        result = done(c, &error) < 0 ? CI_ERR_NOMEM : 1;
    if (result < 0 && ret_error)
        *ret_error = TAKE_PTR(error);
    return result;
}

static void code_release(cii_agentcore_op *op) {
    code_op *c = (code_op *)op;
    leave(c, false);
    cii_buf_free(&c->traceback);
    free(c->body);
}

/* Nothing stops it there. What is given up of Python is cleared before the next, unless it never came there; JavaScript's
 * variables stay. */
static ci_status code_kill(ci_op *op) {
    const code_op *c = (const code_op *)op;
    return c->is_python && c->stage == SENT ? CI_ERR_NOTSUP : CI_ERR_BUSY;
}

static const ci_op_ops code_ops = {sizeof code_ops, cii_agentcore_op_fd,  cii_agentcore_op_process, NULL,
                                   code_kill,       cii_agentcore_op_free};

/* --- starting --------------------------------------------------------------------------------------------------------- */

static ci_status check(const ci_run_request *r, bool is_python, bool clears, ci_error **ret_error) {
    const char *wrong = NULL;
    if (r->cwd)
        wrong = "cwd: the service sets it for commands alone, not for code";
    else if (r->env && r->env[0])
        wrong = "env: the service sets it for commands alone, not for code";
    else if (clears && !is_python)
        wrong = "the service clears Python's context alone";
    return wrong ? cii_error_set(ret_error, CI_ERR_NOTSUP, CII_AGENTCORE_DOMAIN, "%s", wrong) : CI_OK;
}

ci_status cii_agentcore_run_code(cii_agentcore_session *session, const ci_run_request *r, const ci_sink *sink,
                                 ci_op **ret_op, ci_error **ret_error) {
    bool is_python = strcmp(r->language, "python") == 0;
    bool clears = r->kind == CI_RUN_KIND_CLEAR || (r->flags & CI_RUN_CLEAR_CONTEXT);
    ci_status status = check(r, is_python, clears, ret_error);
    code_op *c = status == CI_OK
                     ? cii_agentcore_op_new(sizeof *c, session->core, session, "run code", &status, ret_error)
                     : NULL;
    if (!c)
        return status;
    c->op.op.ops = &code_ops;
    c->op.step = code_step;
    c->op.release = code_release;
    c->sink = sink;
    c->is_python = is_python;
    c->clears = clears;
    c->outcome.struct_size = sizeof c->outcome;
    const cii_agentcore_code code = {
        .text = r->kind == CI_RUN_KIND_CLEAR ? "pass" : r->text,
        .text_size = r->kind == CI_RUN_KIND_CLEAR ? strlen("pass") : r->text_size,
        .language = r->language,
        .runtime = is_python ? NULL : session->core->runtime,
        .clear_context = clears,
    };
    int32_t turn = 0;
    c->body = cii_agentcore_body_code(&code, &c->body_bytes);
    if (!c->body)
        status = cii_error_nomem(ret_error);
    else /* in line from now on: so calls run in the order of their start */
        turn = cii_turn_take(&session->turns, is_python ? "python" : "node", &c->turn, &c->op.wait_fd, ret_error);
    if (status == CI_OK && turn < 0)
        status = turn;
    if (status < 0)
        cii_agentcore_op_free(&c->op.op);
    else
        *ret_op = &c->op.op;
    return status;
}
