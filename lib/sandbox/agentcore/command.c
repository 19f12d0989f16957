/* Commands: one call of the probe, which runs the shell, keeps its streams apart, and sees to the deadline. What is printed
 * beyond what one answer may hold stays in files there, and is read piece by piece. */
#include "sandbox/agentcore/agentcore.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/str.h"

#define KEPT_MAX ((int64_t)1 << 40) /* bytes of output: more than a session's disk has */

typedef struct command_op {
    cii_agentcore_op op;
    const ci_sink *sink;
    cii_agentcore_probe probe;
    char nonce[CII_AGENTCORE_NONCE_MAX]; /* of the run */
    enum { WAIT, RUN, REST } stage;
    cii_turn *turn;
    int64_t due_ms; /* 0: it has no deadline */
    uint64_t got;   /* of the part that is being read */
    bool has_output, has_ended;
    uint64_t rest[2]; /* of stdout and stderr, still to be read; all of it that there was */
    uint64_t rest_total[2];
    uint64_t gone[2]; /* behind the rest: what found no room there */
    ci_run_outcome outcome;
    char message[CII_AGENTCORE_WORDS_MAX + 32];
} command_op;

/* --- what comes ------------------------------------------------------------------------------------------------------- */

static ci_status take_output(command_op *c, int32_t stream, const cii_agentcore_line *line, ci_error **ret_error) {
    _cleanup_buf_ cii_buf bytes = {0};
    ci_status status = cii_agentcore_field_bytes(line, 0, &bytes, ret_error);
    if (status == CI_OK && bytes.size > 0)
        c->sink->output(c->sink->user, stream, bytes.data, bytes.size);
    c->has_output |= bytes.size > 0;
    c->got += bytes.size;
    return status;
}

static ci_status wrong(ci_error **ret_error) {
    return cii_error_set(ret_error, CI_ERR_PROTOCOL, CII_AGENTCORE_DOMAIN,
                         "the command's end is not told as it must be");
}

static ci_status take_end(command_op *c, const cii_agentcore_line *line, ci_error **ret_error) {
    int64_t n[6];
    for (size_t i = 0; i < CII_ELEMENTS(n); i++)
        if (!cii_agentcore_field_int(line, i, &n[i]) || n[i] < 0)
            return wrong(ret_error);
    if (n[0] > 255 || n[1] > 64 || n[3] > KEPT_MAX || n[4] > KEPT_MAX || c->has_ended)
        return wrong(ret_error);
    c->has_ended = true;
    c->outcome.exit_code = (int32_t)n[0];
    c->outcome.signal_number = (int32_t)n[1];
    c->outcome.execution_us = n[2];
    c->rest[0] = c->rest_total[0] = (uint64_t)n[3];
    c->rest[1] = c->rest_total[1] = (uint64_t)n[4];
    c->outcome.outcome = n[1] ? CI_OUTCOME_SIGNAL : n[0] ? CI_OUTCOME_EXIT : CI_OUTCOME_OK;
    if (n[5] && c->outcome.outcome != CI_OUTCOME_OK)
        c->outcome.outcome = CI_OUTCOME_TIMEOUT;
    if (c->outcome.outcome == CI_OUTCOME_SIGNAL) {
        snprintf(c->message, sizeof c->message, "ended by signal %d (%s)", (int)n[1], strsignal((int)n[1]));
        c->outcome.error_name = "Signal";
        c->outcome.error_message = c->message;
    }
    return CI_OK;
}

static ci_status take_gone(command_op *c, size_t which, const cii_agentcore_line *line, ci_error **ret_error) {
    int64_t count;
    if (!cii_agentcore_field_int(line, 0, &count) || count <= 0)
        return wrong(ret_error);
    c->gone[which] = (uint64_t)count;
    return CI_OK;
}

/* There is no such working folder. */
static ci_status take_folder(command_op *c, const cii_agentcore_line *line, ci_error **ret_error) {
    _cleanup_buf_ cii_buf text = {0};
    ci_status status = cii_agentcore_field_bytes(line, 0, &text, ret_error);
    if (status < 0)
        return status;
    char words[CII_AGENTCORE_WORDS_MAX];
    cii_agentcore_words(cii_aws_identity_keys(c->op.login.identity), text.data ? text.data : "", text.size, words);
    snprintf(c->message, sizeof c->message, "working folder: %s", words);
    c->has_ended = true;
    c->outcome.outcome = CI_OUTCOME_FAILED;
    c->outcome.error_name = "WorkingFolder";
    c->outcome.error_message = c->message;
    return CI_OK;
}

static ci_status on_line(void *user, const cii_agentcore_line *line, ci_error **ret_error) {
    command_op *c = user;
    if (line->tag == 'o' || line->tag == 'e')
        return take_output(c, line->tag == 'o' ? CI_STREAM_STDOUT : CI_STREAM_STDERR, line, ret_error);
    if (line->tag == 'O' || line->tag == 'E')
        return take_gone(c, line->tag == 'E', line, ret_error);
    return line->tag == 'x' ? take_end(c, line, ret_error) : line->tag == 'c' ? take_folder(c, line, ret_error) : CI_OK;
}

static ci_status on_rest(void *user, const cii_agentcore_line *line, ci_error **ret_error) {
    command_op *c = user;
    int32_t stream = c->rest[0] > 0 ? CI_STREAM_STDOUT : CI_STREAM_STDERR;
    return line->tag == 'd' ? take_output(c, stream, line, ret_error) : CI_OK;
}

/* --- steps ------------------------------------------------------------------------------------------------------------ */

static ci_status start_rest(command_op *c, ci_error **ret_error) {
    size_t which = c->rest[0] > 0 ? 0 : 1;
    char path[64];
    c->got = 0;
    snprintf(path, sizeof path, "/tmp/ci-%s/%c", c->nonce, "oe"[which]);
    ci_status status = cii_agentcore_probe_begin(&c->probe, "read", on_rest, c, ret_error);
    cii_agentcore_probe_text(&c->probe, path);
    cii_agentcore_probe_int(&c->probe, (int64_t)(c->rest_total[which] - c->rest[which]));
    cii_agentcore_probe_int(&c->probe, (int64_t)CII_MIN(c->rest[which], c->op.core->part_bytes));
    return status;
}

/* What comes after a probe: another one, or, with 1, nothing. Then nothing is left of it, or files alone. */
static int32_t go_on(command_op *c, ci_error **ret_error) {
    if (c->stage == RUN && !c->has_ended)
        return wrong(ret_error);
    if (c->stage == REST) {
        size_t which = c->rest[0] > 0 ? 0 : 1;
        if (c->got != CII_MIN(c->rest[which], c->op.core->part_bytes))
            return wrong(ret_error);
        c->rest[which] -= c->got;
    }
    if (c->rest[0] + c->rest[1] > 0) {
        c->stage = REST;
        c->op.busy = true;
        return start_rest(c, ret_error);
    }
    if (c->stage == REST)
        cii_agentcore_forget(c->op.session, c->nonce);
    c->nonce[0] = '\0';
    return 1;
}

static int32_t step_wait(command_op *c, ci_error **ret_error) {
    int32_t result = cii_turn_take(&c->op.session->commands, "command", &c->turn, &c->op.wait_fd, ret_error);
    if (result > 0) {
        c->stage = RUN;
        cii_agentcore_probe_int(&c->probe, c->due_ms ? CII_MAX(c->due_ms - cii_clock_ms(), 1) : 0);
    }
    return result;
}

/* What was printed is not lost with what came after it. */
static int32_t broken(command_op *c, int32_t status, const ci_error *error) {
    bool has_begun = c->has_output || (c->probe.lines.begun && c->probe.status == CI_OK);
    return has_begun ? cii_agentcore_run_lost(c->sink, &c->outcome, status, error) : status;
}

static int32_t command_step(cii_agentcore_op *op, ci_error **ret_error) {
    command_op *c = (command_op *)op;
    _cleanup_error_ ci_error *error = NULL;
    int32_t result = c->stage == WAIT ? step_wait(c, ret_error) : 1;
    if (result <= 0)
        return result;
    result = cii_agentcore_probe_step(op, &c->probe, &error);
    if (result > 0)
        result = go_on(c, &error);
    if (result > 0) {
        cii_agentcore_run_gap(c->sink, CI_STREAM_STDOUT, c->gone[0]);
        cii_agentcore_run_gap(c->sink, CI_STREAM_STDERR, c->gone[1]);
        c->sink->done(c->sink->user, &c->outcome);
    }
    if (result < 0)
        result = broken(c, result, error);
    if (result < 0 && ret_error)
        *ret_error = TAKE_PTR(error);
    return result;
}

static void command_release(cii_agentcore_op *op) {
    command_op *c = (command_op *)op;
    if (c->nonce[0] && (c->stage == REST || cii_agentcore_probe_may_run(op, &c->probe)))
        cii_agentcore_litter(op->session, c->nonce);
    cii_turn_give(&op->session->commands, &c->turn);
    cii_agentcore_probe_free(&c->probe);
}

/* The probe interrupts and kills by itself, at the deadline that it was given and after it: here that is waited for. */
static ci_status command_stop(ci_op *op) {
    const command_op *c = (const command_op *)op;
    return c->due_ms && c->stage != WAIT ? CI_OK : CI_ERR_NOTSUP;
}

static const ci_op_ops command_ops = {sizeof command_ops, cii_agentcore_op_fd, cii_agentcore_op_process,
                                      command_stop,       command_stop,        cii_agentcore_op_free};

void cii_agentcore_probe_command(cii_agentcore_probe *probe, const cii_agentcore_session *session, const char *cwd,
                                 const ci_run_request *r) {
    cii_agentcore_probe_text(probe, cwd);
    cii_agentcore_probe_bytes(probe, r->text, r->text_size);
    for (char *const *at = session->env; *at; at++)
        cii_agentcore_probe_text(probe, *at);
    for (const char *const *at = r->env; at && *at; at++)
        cii_agentcore_probe_text(probe, *at);
}

ci_status cii_agentcore_run_command(cii_agentcore_session *session, const ci_run_request *r, const ci_sink *sink,
                                    ci_op **ret_op, ci_error **ret_error) {
    _cleanup_free_ char *cwd = NULL;
    ci_status status = cii_agentcore_path(session, r->cwd ? r->cwd : ".", &cwd, ret_error);
    command_op *c = status == CI_OK
                        ? cii_agentcore_op_new(sizeof *c, session->core, session, "run a command", &status, ret_error)
                        : NULL;
    if (!c)
        return status;
    c->op.op.ops = &command_ops;
    c->op.step = command_step;
    c->op.release = command_release;
    c->sink = sink;
    c->due_ms = r->deadline_ms > 0 ? cii_clock_ms() + r->deadline_ms : 0;
    c->outcome.struct_size = sizeof c->outcome;
    status = cii_agentcore_probe_begin(&c->probe, "run", on_line, c, ret_error);
    if (status < 0) {
        cii_agentcore_op_free(&c->op.op);
        return status;
    }
    c->probe.once = c->probe.is_run = true;
    memcpy(c->nonce, c->probe.nonce, sizeof c->nonce);
    cii_agentcore_probe_text(&c->probe, c->nonce);
    cii_agentcore_probe_int(&c->probe, (int64_t)session->core->part_bytes);
    cii_agentcore_probe_command(&c->probe, session, cwd, r);
    *ret_op = &c->op.op;
    return CI_OK;
}
