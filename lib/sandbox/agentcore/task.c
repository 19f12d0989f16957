/* Tasks: commands that go on when their call is over, by `startCommandExecution`. The probe keeps what they print in files, from
 * which a poll takes what is new; `getTask` tells how one stands that has gone without a word, and `stopTask` ends it. */
#include "sandbox/agentcore/agentcore.h"

#include <stdio.h>

#include "base/str.h"

typedef struct task_op {
    cii_agentcore_op op;
    const ci_sink *sink;
    enum { START, STOP, LOOK, ASK, FORGET } stage;
    bool stops;
    cii_agentcore_task *task;
    cii_agentcore_probe probe;
    bool is_running, is_gone, has_more;
    char status[32]; /* as the service says it */
    ci_run_outcome outcome;
} task_op;

static cii_agentcore_task *find(cii_agentcore_session *s, uint64_t number) {
    pthread_mutex_lock(&s->lock);
    cii_agentcore_task *task = s->tasks;
    while (task && (task->number != number || task->ended))
        task = task->next;
    pthread_mutex_unlock(&s->lock);
    return task;
}

/* --- starting --------------------------------------------------------------------------------------------------------- */

static void keep(task_op *t) {
    cii_agentcore_session *s = t->op.session;
    pthread_mutex_lock(&s->lock);
    t->task->number = ++s->task_count;
    t->task->next = s->tasks;
    s->tasks = t->task;
    pthread_mutex_unlock(&s->lock);
    t->outcome.task_id = t->task->number;
    t->task = NULL;
}

static int32_t step_start(task_op *t, ci_error **ret_error) {
    int32_t result = cii_agentcore_probe_step(&t->op, &t->probe, ret_error);
    if (result <= 0)
        return result;
    if (!*t->probe.task_id)
        return cii_error_set(ret_error, CI_ERR_PROTOCOL, CII_AGENTCORE_DOMAIN, "the service names no task");
    memcpy(t->task->id, t->probe.task_id, sizeof t->task->id);
    memcpy(t->task->nonce, t->probe.nonce, sizeof t->task->nonce);
    keep(t);
    t->outcome.task_running = 1;
    return 1;
}

/* --- polling ---------------------------------------------------------------------------------------------------------- */

static ci_status on_line(void *user, const cii_agentcore_line *line, ci_error **ret_error) {
    task_op *t = user;
    int64_t code = 0, number = 0;
    if (line->tag == 'o' || line->tag == 'e') {
        _cleanup_buf_ cii_buf bytes = {0};
        ci_status status = cii_agentcore_field_bytes(line, 0, &bytes, ret_error);
        if (status == CI_OK && bytes.size > 0) {
            t->sink->output(t->sink->user, line->tag == 'o' ? CI_STREAM_STDOUT : CI_STREAM_STDERR, bytes.data,
                            bytes.size);
            t->task->taken[line->tag == 'e'] += bytes.size;
        }
        return status;
    }
    t->is_running = line->tag == 'r';
    t->is_gone = line->tag == 'g';
    t->has_more = line->tag == 'm';
    if (line->tag != 'x')
        return CI_OK;
    if (!cii_agentcore_field_int(line, 0, &code) || !cii_agentcore_field_int(line, 1, &number) || code < 0 ||
        code > 255 || number < 0 || number > 64)
        return cii_error_set(ret_error, CI_ERR_PROTOCOL, CII_AGENTCORE_DOMAIN,
                             "the task's end is not told as it must be");
    t->outcome.exit_code = (int32_t)code;
    t->outcome.signal_number = (int32_t)number;
    t->outcome.outcome = number ? CI_OUTCOME_SIGNAL : code ? CI_OUTCOME_EXIT : CI_OUTCOME_OK;
    return CI_OK;
}

static ci_status begin_look(task_op *t, ci_error **ret_error) {
    t->stage = LOOK;
    t->op.busy = true;
    t->is_running = t->is_gone = t->has_more = false;
    ci_status status = cii_agentcore_probe_begin(&t->probe, "look", on_line, t, ret_error);
    t->probe.once = true; /* what came of it is counted as taken */
    cii_agentcore_probe_text(&t->probe, t->task->nonce);
    cii_agentcore_probe_int(&t->probe, (int64_t)t->task->taken[0]);
    cii_agentcore_probe_int(&t->probe, (int64_t)t->task->taken[1]);
    cii_agentcore_probe_int(&t->probe, (int64_t)t->op.core->part_bytes / 2);
    cii_agentcore_probe_int(&t->probe, t->stops);
    return status;
}

static ci_status on_told(void *user, const cii_agentcore_result *r, ci_error **ret_error) {
    task_op *t = user;
    (void)ret_error;
    snprintf(t->status, sizeof t->status, "%s", r->task_status ? r->task_status : "");
    return CI_OK;
}

static ci_status ask(task_op *t, const char *tool, ci_error **ret_error) {
    size_t size = 0;
    char *body = cii_agentcore_body_task(tool, t->task->id, &size);
    ci_status status = cii_agentcore_call_start(&t->op, CII_AGENTCORE_INVOKE, t->op.session->id, body, size, ret_error);
    t->op.call.result = on_told;
    t->op.call.user = t;
    return status;
}

static ci_status begin_forget(task_op *t, ci_error **ret_error) {
    t->stage = FORGET;
    t->op.busy = true;
    pthread_mutex_lock(&t->op.session->lock);
    t->task->ended = true;
    pthread_mutex_unlock(&t->op.session->lock);
    ci_status status = cii_agentcore_probe_begin(&t->probe, "forget", NULL, t, ret_error);
    cii_agentcore_probe_text(&t->probe, t->task->nonce);
    return status;
}

static int32_t looked(task_op *t, ci_error **ret_error) {
    if (t->has_more)
        return begin_look(t, ret_error);
    if (t->is_gone && !t->stops) {
        t->stage = ASK;
        return ask(t, "getTask", ret_error);
    }
    t->outcome.task_running = t->is_running && !t->stops;
    return t->outcome.task_running ? 1 : begin_forget(t, ret_error);
}

/* It may not have begun yet; or its end is known to the service alone. */
static int32_t asked(task_op *t, ci_error **ret_error) {
    t->outcome.task_running = strcmp(t->status, "submitted") == 0 || strcmp(t->status, "working") == 0;
    if (t->outcome.task_running)
        return 1;
    bool ended = strcmp(t->status, "completed") == 0 || strcmp(t->status, "canceled") == 0;
    t->outcome.outcome = ended ? CI_OUTCOME_OK : CI_OUTCOME_LOST;
    return begin_forget(t, ret_error);
}

static int32_t step_poll(task_op *t, ci_error **ret_error) {
    bool is_call = t->stage == STOP || t->stage == ASK;
    int32_t result =
        is_call ? cii_agentcore_call_result(&t->op, ret_error) : cii_agentcore_probe_step(&t->op, &t->probe, ret_error);
    if (result <= 0)
        return result;
    return t->stage == STOP   ? begin_look(t, ret_error)
           : t->stage == LOOK ? looked(t, ret_error)
           : t->stage == ASK  ? asked(t, ret_error)
                              : 1;
}

static int32_t task_step(cii_agentcore_op *op, ci_error **ret_error) {
    task_op *t = (task_op *)op;
    int32_t result = t->stage == START ? step_start(t, ret_error) : step_poll(t, ret_error);
    if (result > 0)
        t->sink->done(t->sink->user, &t->outcome);
    return result;
}

static void task_release(cii_agentcore_op *op) {
    task_op *t = (task_op *)op;
    if (t->stage == START)
        free(t->task);
    cii_agentcore_probe_free(&t->probe);
}

/* --- the request ------------------------------------------------------------------------------------------------------ */

static ci_status begin_start(task_op *t, const ci_run_request *r, ci_error **ret_error) {
    _cleanup_free_ char *cwd = NULL;
    ci_status status = cii_agentcore_path(t->op.session, r->cwd ? r->cwd : ".", &cwd, ret_error);
    t->task = calloc(1, sizeof *t->task);
    if (status == CI_OK && !t->task)
        status = cii_error_nomem(ret_error);
    if (status == CI_OK)
        status = cii_agentcore_probe_begin(&t->probe, "task", NULL, t, ret_error);
    if (status < 0)
        return status;
    t->probe.tool = "startCommandExecution";
    t->probe.once = true;
    cii_agentcore_probe_text(&t->probe, t->probe.nonce);
    cii_agentcore_probe_command(&t->probe, t->op.session, cwd, r);
    return CI_OK;
}

static ci_status begin_poll(task_op *t, const ci_run_request *r, ci_error **ret_error) {
    t->task = find(t->op.session, r->task_id);
    if (!t->task)
        return cii_error_set(ret_error, CI_ERR_NOTFOUND, CII_AGENTCORE_DOMAIN, "there is no task %llu",
                             (unsigned long long)r->task_id);
    t->outcome.task_id = r->task_id;
    t->stops = r->kind == CI_RUN_KIND_TASK_STOP;
    t->stage = STOP;
    return t->stops ? ask(t, "stopTask", ret_error) : begin_look(t, ret_error);
}

ci_status cii_agentcore_run_task(cii_agentcore_session *session, const ci_run_request *r, const ci_sink *sink,
                                 ci_op **ret_op, ci_error **ret_error) {
    ci_status status;
    task_op *t = cii_agentcore_op_new(sizeof *t, session->core, session, "task", &status, ret_error);
    if (!t)
        return status;
    t->op.step = task_step;
    t->op.release = task_release;
    t->sink = sink;
    t->outcome.struct_size = sizeof t->outcome;
    t->stage = START;
    status = r->kind == CI_RUN_KIND_TASK ? begin_start(t, r, ret_error) : begin_poll(t, r, ret_error);
    if (status < 0)
        cii_agentcore_op_free(&t->op.op);
    else
        *ret_op = &t->op.op;
    return status;
}

ci_status cii_agentcore_run(void *session, const ci_run_request *r, const ci_sink *sink, ci_op **ret_op,
                            ci_error **ret_error) {
    switch (r->kind) {
    case CI_RUN_KIND_CODE:
    case CI_RUN_KIND_CLEAR:
        return cii_agentcore_run_code(session, r, sink, ret_op, ret_error);
    case CI_RUN_KIND_COMMAND:
        return cii_agentcore_run_command(session, r, sink, ret_op, ret_error);
    case CI_RUN_KIND_TASK:
    case CI_RUN_KIND_TASK_POLL:
    case CI_RUN_KIND_TASK_STOP:
        return cii_agentcore_run_task(session, r, sink, ret_op, ret_error);
    default:
        return cii_error_set(ret_error, CI_ERR_NOTSUP, CII_AGENTCORE_DOMAIN, "the service cannot do that");
    }
}
