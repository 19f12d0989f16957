/* Tasks: commands that go on when their call is over, by `startCommandExecution`. The probe keeps the end of what they print in
 * files, from which a poll takes what is new, in one look; `getTask` tells how one stands that has gone without a word. To stop one
 * the probe kills what it runs, and `stopTask` ends the probe.
 *
 * Polls of one task take turns, and what a poll has seen counts as taken when the poll is done: one that fails loses nothing. */
#include "sandbox/agentcore/agentcore.h"

#include <stdio.h>

#include "base/str.h"
#include "base/utf8.h"

#define LOOK_MAX ((uint64_t)(1 << 20) - 64) /* bytes of a stream: with what is said of a gap, what a result keeps */
#define LOG_MAX ((uint64_t)4 << 20)         /* bytes that the probe keeps of both streams */

typedef struct task_op {
    cii_agentcore_op op;
    const ci_sink *sink;
    enum { START, WAIT, LOOK, ASK, STOP } stage;
    bool stops;
    cii_turn *turn; /* of the task */
    cii_agentcore_task *task;
    cii_agentcore_probe probe;
    cii_buf seen[2];   /* of stdout and stderr, since the last poll */
    uint64_t gone[2];  /* what could not be kept before it */
    uint64_t taken[2]; /* as the task's, when this is done */
    uint64_t told;     /* bytes of a stopped task in earlier looks */
    bool has_ended, is_running, is_gone, has_more;
    bool was_asked, was_stopped; /* the service */
    char status[32];             /* as it says it */
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

static ci_status no_task(uint64_t number, ci_error **ret_error) {
    return cii_error_set(ret_error, CI_ERR_NOTFOUND, CII_AGENTCORE_DOMAIN, "there is no task %llu",
                         (unsigned long long)number);
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

/* --- looking ---------------------------------------------------------------------------------------------------------- */

static uint64_t look_bytes(const task_op *t) {
    return CII_MIN(t->op.core->part_bytes / 2, LOOK_MAX);
}

static ci_status wrong(const char *what, ci_error **ret_error) {
    return cii_error_set(ret_error, CI_ERR_PROTOCOL, CII_AGENTCORE_DOMAIN, "%s", what);
}

static ci_status take_output(task_op *t, size_t stream, const cii_agentcore_line *line, ci_error **ret_error) {
    cii_buf *seen = &t->seen[stream];
    size_t before = seen->size;
    ci_status status = cii_agentcore_field_bytes(line, 0, seen, ret_error);
    if (status == CI_OK && seen->size > look_bytes(t))
        return wrong("more of the task's output came than was asked for", ret_error);
    t->taken[stream] += seen->size - before;
    return status;
}

/* Only before what is seen, since a look takes what is there in one piece. */
static ci_status take_gone(task_op *t, size_t stream, const cii_agentcore_line *line, ci_error **ret_error) {
    int64_t count;
    if (!cii_agentcore_field_int(line, 0, &count) || count <= 0 || t->seen[stream].size > 0 || t->gone[stream] > 0 ||
        t->taken[stream] + (uint64_t)count > (uint64_t)INT64_MAX / 2)
        return wrong("the task's output is not told as it must be", ret_error);
    t->gone[stream] = (uint64_t)count;
    t->taken[stream] += (uint64_t)count;
    return CI_OK;
}

static ci_status take_end(task_op *t, const cii_agentcore_line *line, ci_error **ret_error) {
    int64_t code, number;
    if (!cii_agentcore_field_int(line, 0, &code) || !cii_agentcore_field_int(line, 1, &number) || code < 0 ||
        code > 255 || number < 0 || number > 64)
        return wrong("the task's end is not told as it must be", ret_error);
    t->has_ended = true;
    t->outcome.exit_code = (int32_t)code;
    t->outcome.signal_number = (int32_t)number;
    t->outcome.outcome = number ? CI_OUTCOME_SIGNAL : code ? CI_OUTCOME_EXIT : CI_OUTCOME_OK;
    return CI_OK;
}

static ci_status on_line(void *user, const cii_agentcore_line *line, ci_error **ret_error) {
    task_op *t = user;
    char lower = (char)(line->tag | 0x20);
    if (line->tag == 'o' || line->tag == 'e')
        return take_output(t, line->tag == 'e', line, ret_error);
    if (lower == 'o' || lower == 'e')
        return take_gone(t, lower == 'e', line, ret_error);
    t->is_running |= line->tag == 'r';
    t->is_gone |= line->tag == 'g';
    t->has_more |= line->tag == 'm';
    return line->tag == 'x' ? take_end(t, line, ret_error) : CI_OK;
}

static ci_status begin_look(task_op *t, ci_error **ret_error) {
    t->stage = LOOK;
    t->op.busy = true;
    t->has_ended = t->is_running = t->is_gone = t->has_more = false;
    for (size_t i = 0; i < 2; i++) {
        cii_buf_clear(&t->seen[i]);
        t->gone[i] = 0;
        t->taken[i] = t->task->taken[i];
    }
    ci_status status = cii_agentcore_probe_begin(&t->probe, "look", on_line, t, ret_error);
    cii_agentcore_probe_text(&t->probe, t->task->nonce);
    cii_agentcore_probe_int(&t->probe, (int64_t)t->taken[0]);
    cii_agentcore_probe_int(&t->probe, (int64_t)t->taken[1]);
    cii_agentcore_probe_int(&t->probe, (int64_t)look_bytes(t));
    cii_agentcore_probe_int(&t->probe, t->stops && t->told == 0);
    return status;
}

/* --- what comes of it --------------------------------------------------------------------------------------------------- */

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

static void lose(task_op *t, const char *message) {
    t->outcome.outcome = CI_OUTCOME_LOST;
    t->outcome.error_name = "Lost";
    t->outcome.error_message = message;
}

static ci_status begin_stop(task_op *t, ci_error **ret_error) {
    t->stage = STOP;
    return ask(t, "stopTask", ret_error);
}

static void hand_over(task_op *t) {
    for (size_t i = 0; i < 2; i++) {
        int32_t stream = i == 0 ? CI_STREAM_STDOUT : CI_STREAM_STDERR;
        cii_agentcore_run_gap(t->sink, stream, t->gone[i]);
        if (t->seen[i].size > 0)
            t->sink->output(t->sink->user, stream, t->seen[i].data, t->seen[i].size);
        t->task->taken[i] = t->taken[i];
    }
}

static int32_t looked(task_op *t, ci_error **ret_error) {
    size_t size = t->seen[0].size + t->seen[1].size;
    if (t->stops && !t->was_stopped)
        return begin_stop(t, ret_error);
    if (t->stops && t->has_more && size > 0 && t->told < LOG_MAX) {
        t->told += size;
        hand_over(t);
        return begin_look(t, ret_error);
    }
    if (t->is_gone && !t->stops && !t->was_asked) {
        t->stage = ASK;
        return ask(t, "getTask", ret_error);
    }
    if (!t->has_ended && (t->is_gone || t->stops))
        lose(t, t->stops ? "the task was stopped, and how it ended is not known"
                         : "the task has ended, and what kept its exit code is gone");
    t->outcome.task_running = !t->stops && (t->has_more || t->is_running);
    if (!t->outcome.task_running)
        return 1;
    t->outcome.outcome = CI_OUTCOME_OK; /* its end is told with the last of what it printed */
    t->outcome.exit_code = t->outcome.signal_number = 0;
    return 1;
}

/* It may not have begun yet; or it has ended, perhaps since it was looked for. */
static int32_t asked(task_op *t, ci_error **ret_error) {
    t->was_asked = true;
    t->outcome.task_running = strcmp(t->status, "submitted") == 0 || strcmp(t->status, "working") == 0;
    return t->outcome.task_running ? 1 : begin_look(t, ret_error);
}

/* What had not begun before it was killed has perhaps begun by then. What is left over is read now. */
static int32_t stopped(task_op *t, ci_error **ret_error) {
    t->was_stopped = true;
    return t->has_ended && !t->has_more ? 1 : begin_look(t, ret_error);
}

/* A task can spoil what is seen of it: it is stopped all the same, and then what cannot be read is lost. */
static int32_t not_seen(task_op *t, ci_error **ret_error) {
    t->has_ended = false;
    if (!t->was_stopped)
        return begin_stop(t, ret_error);
    lose(t, "the task was stopped, and the rest of what it printed cannot be read");
    return 1;
}

static int32_t step_wait(task_op *t, ci_error **ret_error) {
    char key[32];
    snprintf(key, sizeof key, "task %llu", (unsigned long long)t->outcome.task_id);
    int32_t result = cii_turn_take(&t->op.session->turns, key, &t->turn, &t->op.wait_fd, ret_error);
    if (result <= 0)
        return result;
    if (!find(t->op.session, t->outcome.task_id))
        return no_task(t->outcome.task_id, ret_error);
    return begin_look(t, ret_error);
}

static int32_t step_poll(task_op *t, ci_error **ret_error) {
    _cleanup_error_ ci_error *error = NULL;
    int32_t result = t->stage == LOOK ? cii_agentcore_probe_step(&t->op, &t->probe, &error)
                                      : cii_agentcore_call_result(&t->op, &error);
    /* There: if it is the session that is unknown, the next look says so. */
    bool is_unknown = result == CI_ERR_LOST || result == CI_ERR_NOTFOUND;
    if (t->stage == ASK && is_unknown) {
        t->status[0] = '\0';
        return asked(t, ret_error);
    }
    if (result < 0 && t->stage == STOP && (t->has_ended || is_unknown)) /* it was killed, whatever the service says */
        return stopped(t, ret_error);
    if (result < 0 && t->stage == LOOK && t->stops && (!t->was_stopped || t->told > 0 || result == CI_ERR_PROTOCOL))
        return not_seen(t, ret_error);
    if (result < 0 && ret_error)
        *ret_error = TAKE_PTR(error);
    if (result <= 0)
        return result;
    return t->stage == LOOK ? looked(t, ret_error) : t->stage == ASK ? asked(t, ret_error) : stopped(t, ret_error);
}

/* --- the end ------------------------------------------------------------------------------------------------------------ */

/* The rest of a character that has begun comes with another poll. */
static void leave_begun(task_op *t) {
    for (size_t i = 0; i < 2; i++) {
        size_t begun = cii_utf8_incomplete_tail(t->seen[i].data, t->seen[i].size);
        t->seen[i].size -= begun;
        t->taken[i] -= begun;
    }
}

static void end(task_op *t) {
    if (t->outcome.task_running)
        leave_begun(t);
    hand_over(t);
    pthread_mutex_lock(&t->op.session->lock);
    t->task->ended = !t->outcome.task_running;
    pthread_mutex_unlock(&t->op.session->lock);
    if (!t->outcome.task_running)
        cii_agentcore_forget(t->op.session, t->task->nonce);
}

static int32_t task_step(cii_agentcore_op *op, ci_error **ret_error) {
    task_op *t = (task_op *)op;
    int32_t result = t->stage == START  ? step_start(t, ret_error)
                     : t->stage == WAIT ? step_wait(t, ret_error)
                                        : step_poll(t, ret_error);
    if (result <= 0)
        return result;
    if (t->turn)
        end(t);
    cii_turn_give(&op->session->turns, &t->turn);
    t->sink->done(t->sink->user, &t->outcome);
    return 1;
}

static void task_release(cii_agentcore_op *op) {
    task_op *t = (task_op *)op;
    if (t->stage == START && t->task && cii_agentcore_probe_may_run(op, &t->probe))
        cii_agentcore_litter(op->session, t->probe.nonce);
    if (t->stage == START)
        free(t->task);
    cii_turn_give(&op->session->turns, &t->turn);
    cii_buf_free(&t->seen[0]);
    cii_buf_free(&t->seen[1]);
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
    t->stage = WAIT;
    t->task = find(t->op.session, r->task_id);
    if (!t->task)
        return no_task(r->task_id, ret_error);
    t->outcome.task_id = r->task_id;
    t->stops = r->kind == CI_RUN_KIND_TASK_STOP;
    return CI_OK;
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
