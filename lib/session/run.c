/* Runs: code, commands, tasks, what is done to contexts. A run passes the door (uploads that are new, the walk before), is handed to the
 * backend, is stopped when it is late or interrupted, and then gets its files: changes, spilled output, what is saved.
 *
 *     DOOR -> BEFORE -> LAUNCH -> RUN -> AFTER -> SPILL -> SAVE -> WRITTEN -> done
 *
 * DOOR to LAUNCH happen in order of start, as far as possible within start itself. Stopping a run takes steps of its
 * own: interrupt; kill when the grace is over; and when even that does not end it, the run is given up. */
#include "session/run.h"

#include <stdio.h>
#include <time.h>

#include "base/clock.h"
#include "base/options.h"
#include "base/str.h"
#include "session/changes.h"
#include "session/keys.h"
#include "session/links.h"
#include "session/preload.h"
#include "session/save.h"
#include "session/spill.h"

/* From kill to giving up: with it, a call answers within a second after the grace. */
#define KILL_WAIT_US 800000
/* For rounds trips that have no deadline of their own. */
#define SHORT_CALL_MS 60000
/* Names that an error about a missing output file lists at most. */
#define WRITTEN_NAMES_MAX 10

typedef struct run_call {
    ci_call call;
    enum { DOOR, BEFORE, LAUNCH, RUN, AFTER, SPILL, SAVE, WRITTEN } stage;
    int32_t kind;
    uint32_t flags;
    uint64_t task_id;
    char *text;
    size_t text_size;
    char *language;
    char *context;
    char *place; /* language and context, or "" */
    char *cwd;
    char *output_path; /* normalized; NULL: none */
    char **env;
    cii_collector *collector;
    ci_op *op;
    int64_t launched_us;
    int64_t launched_wall_ns;
    int32_t stop_cause; /* CI_OUTCOME_TIMEOUT or _INTERRUPTED; CI_OUTCOME_OK: it is not being stopped */
    bool killed;
    int64_t stop_due_us; /* when the next step of stopping is due */
    ci_result *result;
    cii_changes changes;
    cii_spill spill;
    cii_links links;
    cii_save save;
} run_call;

static ci_session *session_of(run_call *self) {
    return self->call.session;
}

static bool is_of_context(int32_t kind) {
    return kind == CI_RUN_KIND_CLEAR || kind == CI_RUN_KIND_REMOVE;
}

static bool is_round_trip(const run_call *self) {
    return self->kind >= CI_RUN_KIND_TASK_POLL;
}

/* --- the result ---------------------------------------------------------------------------------------------------- */

static ci_status set_stopped(run_call *self) {
    if (self->stop_cause == CI_OUTCOME_TIMEOUT)
        return cii_result_override_timeout(self->result, self->call.timeout_ms);
    return cii_result_override(self->result, self->stop_cause, NULL);
}

/* The run is over for the backend: what it said is corrected by what only the session knows. */
static ci_status judge(run_call *self) {
    int32_t outcome = ci_result_outcome(self->result);
    if (outcome == CI_OUTCOME_MEMORY_LIMIT)
        return cii_result_override_memory(self->result, session_of(self)->options.memory_bytes);
    if (self->stop_cause != CI_OUTCOME_OK && outcome != CI_OUTCOME_OK)
        return set_stopped(self);
    return CI_OK;
}

static ci_status take_result(run_call *self, ci_error **ret_error) {
    ci_status status = cii_collector_take(self->collector, &self->result, ret_error);
    if (status == CI_OK && self->kind == CI_RUN_KIND_TASK_STOP)
        cii_result_set_task_stopped(self->result);
    if (status == CI_OK)
        cii_session_log_refusals(session_of(self), self->result);
    return status;
}

/* What there is of a run that did not end by itself; a command has no state that could be lost with it. */
static ci_status give_up(run_call *self, bool state_lost, ci_error **ret_error) {
    ci_status status = take_result(self, ret_error);
    if (status < 0)
        return status;
    if (set_stopped(self) < 0)
        return cii_error_nomem(ret_error);
    cii_result_set_state_lost(self->result, state_lost && self->kind == CI_RUN_KIND_CODE);
    cii_result_set_execution_us(self->result, cii_clock_us() - self->launched_us);
    return CI_OK;
}

/* The sandbox died under the run: what it had printed is not lost with it. */
static ci_status lose(run_call *self, ci_error **ret_error) {
    ci_status status = take_result(self, NULL);
    if (status == CI_OK)
        status = cii_result_override(self->result, CI_OUTCOME_LOST,
                                     ret_error && *ret_error ? ci_error_message(*ret_error) : NULL);
    if (status < 0)
        return cii_error_nomem(ret_error);
    if (ret_error)
        ci_error_free(TAKE_PTR(*ret_error));
    cii_result_set_state_lost(self->result, true);
    cii_result_set_execution_us(self->result, cii_clock_us() - self->launched_us);
    return CI_OK;
}

static int hand_over(run_call *self, ci_error **ret_error) {
    if (is_of_context(self->kind)) {
        if (ci_result_outcome(self->result) == CI_OUTCOME_OK)
            return 1;
        const char *message = ci_result_error_message(self->result);
        if (ci_result_outcome(self->result) == CI_OUTCOME_REFUSED)
            return cii_error_set(ret_error, CI_ERR_LIMIT, "session", "%s", message);
        return cii_error_set(ret_error, CI_ERR_LOST, "session", "the new kernel does not answer: %s",
                             message ? message : "no reason given");
    }
    if (cii_result_settle(self->result) < 0 || cii_session_tell_preload(session_of(self), self->result) < 0)
        return cii_error_nomem(ret_error);
    self->call.result = TAKE_PTR(self->result);
    return 1;
}

/* --- stopping ------------------------------------------------------------------------------------------------------ */

/* CI_OK: the operation will end; otherwise it cannot be ended but by freeing it. */
static ci_status kill_run(run_call *self) {
    self->killed = true;
    self->stop_due_us = cii_clock_us() + KILL_WAIT_US;
    return self->op->ops->kill ? self->op->ops->kill(self->op) : CI_ERR_NOTSUP;
}

static ci_status leave_running(run_call *self, ci_error **ret_error) {
    ci_status status = give_up(self, false, ret_error);
    if (status < 0)
        return status;
    status = cii_left_add(session_of(self), self->place, TAKE_PTR(self->op), TAKE_PTR(self->collector));
    return status < 0 ? cii_error_nomem(ret_error) : CI_OK;
}

/* 1: the run was given up or left; 0: it will end by itself, or the next step is due later. */
static int stop_run(run_call *self, ci_error **ret_error) {
    ci_session *session = session_of(self);
    ci_status status = CI_ERR_NOTSUP;
    if (self->stop_due_us == 0) {
        self->stop_due_us = cii_clock_us() + CII_MIN(session->options.grace_ms, CII_NEVER / 2000) * 1000;
        if (self->op->ops->interrupt)
            status = self->op->ops->interrupt(self->op);
        if (status < 0 && (session->options.flags & CI_SESSION_LEAVE_RUNNING)) {
            status = leave_running(self, ret_error);
            return status < 0 ? status : 1;
        }
        if (status < 0)
            status = kill_run(self);
    } else if (!self->killed) {
        status = kill_run(self);
    }
    if (status == CI_OK)
        return 0;
    cii_session_log(session, CI_LOG_WARNING, "a run did not end when it was killed and was given up");
    status = give_up(self, status != CI_ERR_BUSY, ret_error);
    cii_op_drop(&self->op);
    return status < 0 ? status : 1;
}

/* Before the launch there is nothing to stop, after the run only files to do without. */
static int stop_elsewhere(run_call *self, ci_error **ret_error) {
    if (self->stage < RUN) {
        const cii_result_limits none = {0};
        if (cii_result_new(CII_RESULT_RUN, &none, &self->result) < 0 || set_stopped(self) < 0)
            return cii_error_nomem(ret_error);
        return hand_over(self, ret_error);
    }
    if (self->output_path) {
        const ci_file_info info = {
            .struct_size = sizeof info,
            .path = self->output_path,
            .error = self->stop_cause == CI_OUTCOME_TIMEOUT ? "not saved: time-out" : "not saved: interrupted",
            .kind = CI_KIND_REGULAR,
            .status = CI_FILE_FAILED,
        };
        if (cii_result_add_file(self->result, CI_FILES_MAIN, &info, NULL) < 0)
            return cii_error_nomem(ret_error);
    }
    return hand_over(self, ret_error);
}

/* After a step that did not end the call: is it late, or interrupted? */
static int see_to_stop(run_call *self, cii_waits *waits, ci_error **ret_error) {
    ci_call *call = &self->call;
    int64_t now_us = call->deadline_us != CII_NEVER || self->stop_due_us ? cii_clock_us() : 0;
    if (self->stop_cause == CI_OUTCOME_OK) {
        if (atomic_load(&call->signals) & CII_SIGNAL_INTERRUPT)
            self->stop_cause = CI_OUTCOME_INTERRUPTED;
        else if (call->deadline_us != CII_NEVER && now_us >= call->deadline_us)
            self->stop_cause = CI_OUTCOME_TIMEOUT;
    }
    if (self->stop_cause == CI_OUTCOME_OK) {
        cii_waits_until(waits, call->deadline_us);
        return 0;
    }
    if (is_round_trip(self) && self->stop_cause == CI_OUTCOME_INTERRUPTED)
        return cii_error_set(ret_error, CI_ERR_CANCELLED, "session", "the call was cancelled");
    if (is_round_trip(self))
        return cii_error_set(ret_error, CI_ERR_TIMEOUT, "session", "%s: no answer", call->ops->name);
    if (self->stage != RUN)
        return stop_elsewhere(self, ret_error);
    if (self->stop_due_us == 0 || now_us >= self->stop_due_us) {
        int r = stop_run(self, ret_error);
        if (r != 0)
            return r < 0 ? r : hand_over(self, ret_error);
        waits->again |= self->stop_due_us <= now_us;
    }
    cii_waits_until(waits, self->stop_due_us);
    return 0;
}

/* --- stages -------------------------------------------------------------------------------------------------------- */

/* Each returns 1 to go on with the next stage, 2 when there is nothing more to do, 0 to wait, or a failure. */

static int stage_door(run_call *self, cii_waits *waits, ci_error **ret_error) {
    ci_session *session = session_of(self);
    if (!cii_door_is_first(session, &self->call))
        return 0; /* who leaves wakes us */
    return is_round_trip(self) ? 1 : cii_preload_step(session->preload, false, waits, ret_error);
}

static int stage_before(run_call *self, cii_waits *waits, ci_error **ret_error) {
    if (!(self->flags & CI_RUN_LIST_CHANGES))
        return 1;
    return cii_changes_before(&self->changes, session_of(self), waits, ret_error);
}

static int64_t wall_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME_COARSE, &now); /* the clock that files get their times from */
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static int stage_launch(run_call *self, cii_waits *waits, ci_error **ret_error) {
    ci_session *session = session_of(self);
    ci_status status = self->kind == CI_RUN_KIND_CODE ? cii_left_check(session, self->place, ret_error) : CI_OK;
    if (status < 0)
        return status;
    self->launched_us = cii_clock_us();
    self->launched_wall_ns = wall_ns();
    int64_t deadline_us = self->call.deadline_us;
    const ci_run_request request = {
        .struct_size = sizeof request,
        .language = self->language,
        .context = self->context,
        .text = self->text,
        .text_size = self->text_size,
        .cwd = self->cwd,
        .env = (const char *const *)self->env,
        .task_id = self->task_id,
        .deadline_ms = deadline_us == CII_NEVER ? 0 : CII_MAX((deadline_us - self->launched_us) / 1000, 1),
        .kind = self->kind,
        .flags = self->flags,
    };
    status = session->ops->run(session->backend, &request, cii_collector_sink(self->collector), &self->op, ret_error);
    if (status < 0)
        return status;
    cii_door_leave(session, &self->call);
    free(TAKE_PTR(self->text));
    self->stage = RUN;
    cii_waits_fd(waits, self->op->ops->fd(self->op));
    cii_waits_until(waits, deadline_us);
    return 0;
}

static bool may_have_files(int32_t outcome) {
    return outcome != CI_OUTCOME_TIMEOUT && outcome != CI_OUTCOME_INTERRUPTED && outcome != CI_OUTCOME_LOST;
}

static int stage_run(run_call *self, cii_waits *waits, ci_error **ret_error) {
    int r = cii_op_step(&self->op, waits, ret_error);
    if (r == 0)
        return 0;
    if (r < 0 && is_round_trip(self))
        return r;
    ci_status status;
    if (r > 0)
        status = take_result(self, ret_error);
    else if (self->stop_cause != CI_OUTCOME_OK)
        status = give_up(self, true, ret_error);
    else if (r == CI_ERR_LOST && !atomic_load(&session_of(self)->closed))
        status = lose(self, ret_error);
    else
        status = r;
    if (status < 0)
        return status;
    if (judge(self) < 0)
        return cii_error_nomem(ret_error);
    return may_have_files(ci_result_outcome(self->result)) ? 1 : 2;
}

static int stage_after(run_call *self, cii_waits *waits, ci_error **ret_error) {
    if (!(self->flags & CI_RUN_LIST_CHANGES))
        return 1;
    int r = cii_changes_after(&self->changes, session_of(self), waits, ret_error);
    if (r <= 0)
        return r;
    if (cii_report_to_result(&self->changes.report, self->result, CI_FILES_CHANGES) < 0)
        return cii_error_nomem(ret_error);
    return 1;
}

static int stage_spill(run_call *self, cii_waits *waits, ci_error **ret_error) {
    if (!(self->flags & CI_RUN_SPILL_OUTPUT))
        return 1;
    return cii_spill_step(&self->spill, session_of(self), self->result, waits, ret_error);
}

static ci_status add_saved(run_call *self, const char *error) {
    char hex[65];
    ci_file_info info = cii_save_info(&self->save, hex);
    if (error)
        info.error = error;
    return cii_result_add_file(self->result, CI_FILES_MAIN, &info, NULL);
}

/* Links are not saved, nor what is behind them. */
static int start_save(run_call *self, cii_waits *waits, ci_error **ret_error) {
    ci_session *session = session_of(self);
    int r = self->links.session ? 0 : cii_links_start(&self->links, session, self->output_path, ret_error);
    if (r == 0)
        r = cii_links_step(&self->links, waits, ret_error);
    if (r <= 0)
        return r;
    ci_status status = cii_save_start(&self->save, session, self->output_path, ret_error);
    if (status < 0)
        return status;
    self->save.uploads_too = true;
    if (self->links.kind != CI_KIND_SYMLINK)
        return 1;
    self->save.status = CI_FILE_FAILED;
    cii_error_set(&self->save.error, CI_ERR_INVALID, "session", "not saved: %s",
                  self->output_path[self->links.at] ? "it leads through a link" : "a link");
    return 1;
}

static int stage_save(run_call *self, cii_waits *waits, ci_error **ret_error) {
    if (!self->output_path)
        return 2;
    int r = self->save.session ? 1 : start_save(self, waits, ret_error);
    if (r > 0 && self->save.status != CI_FILE_FAILED)
        r = cii_save_step(&self->save, waits, ret_error);
    if (r <= 0)
        return r;
    if (self->save.status == CI_FILE_SKIPPED)
        self->save.status = CI_FILE_FAILED; /* it was asked for by name */
    if (self->save.status == CI_FILE_FAILED && self->save.is_missing)
        return 1;
    return add_saved(self, NULL) < 0 ? cii_error_nomem(ret_error) : 2;
}

/* "plot.png, out/table.csv" of what the run created or changed; "" when that was nothing. */
static ci_status name_written(const cii_report *report, cii_buf *text) {
    size_t written = 0;
    ci_status status = CI_OK;
    for (size_t i = 0; i < report->count && status == CI_OK; i++) {
        if (report->files[i].status != CI_FILE_CREATED && report->files[i].status != CI_FILE_CHANGED)
            continue;
        if (written++ < WRITTEN_NAMES_MAX)
            status = cii_buf_printf(text, "%s\"%s\"", text->size ? ", " : "", report->files[i].path);
    }
    if (status == CI_OK && written > WRITTEN_NAMES_MAX)
        status = cii_buf_printf(text, " and %zu more", written - WRITTEN_NAMES_MAX);
    return status;
}

static int stage_written(run_call *self, cii_waits *waits, ci_error **ret_error) {
    if (!(self->flags & CI_RUN_LIST_CHANGES)) {
        _cleanup_error_ ci_error *error = NULL;
        self->changes.since_ns = self->launched_wall_ns;
        int r = cii_changes_since(&self->changes, session_of(self), waits, &error);
        if (r == 0)
            return 0;
    }
    _cleanup_buf_ cii_buf names;
    cii_buf_init(&names, 0);
    _cleanup_free_ char *text = NULL;
    if (name_written(&self->changes.report, &names) == CI_OK)
        text = names.size ? cii_str_printf("the run did not write it; it wrote %s", names.data)
                          : cii_str_printf("the run did not write it, nor any other file in the sandbox root");
    if (!text || add_saved(self, text) < 0)
        return cii_error_nomem(ret_error);
    return 1;
}

static int run_stages(run_call *self, cii_waits *waits, ci_error **ret_error) {
    static int (*const stages[])(run_call *, cii_waits *, ci_error **) = {
        [DOOR] = stage_door,   [BEFORE] = stage_before, [LAUNCH] = stage_launch, [RUN] = stage_run,
        [AFTER] = stage_after, [SPILL] = stage_spill,   [SAVE] = stage_save,     [WRITTEN] = stage_written,
    };
    int r;
    while ((r = stages[self->stage](self, waits, ret_error)) == 1 && self->stage != WRITTEN)
        self->stage++;
    if (r <= 0)
        return r;
    return self->result ? hand_over(self, ret_error) : 1;
}

static int run_step(ci_call *call, cii_waits *waits, ci_error **ret_error) {
    run_call *self = (run_call *)call;
    int r = run_stages(self, waits, ret_error);
    return r != 0 ? r : see_to_stop(self, waits, ret_error);
}

static void run_drop(ci_call *call) {
    run_call *self = (run_call *)call;
    if (self->stage == DOOR && cii_door_is_first(call->session, call))
        cii_preload_pause(call->session->preload);
    cii_op_drop(&self->op);
    cii_collector_free(self->collector);
    cii_changes_free(&self->changes);
    cii_spill_free(&self->spill);
    cii_links_free(&self->links);
    cii_save_free(&self->save);
    ci_result_free(self->result);
    free(self->text);
    free(self->language);
    free(self->context);
    free(self->place);
    free(self->cwd);
    free(self->output_path);
    cii_strv_free(self->env);
}

/* --- starting ------------------------------------------------------------------------------------------------------ */

static const cii_call_ops *kind_ops(int32_t kind) {
    static const cii_call_ops ops[] = {
        [CI_RUN_KIND_CODE] =
            {.name = "execute", .step = run_step, .drop = run_drop, .stops_itself = true, .is_run = true},
        [CI_RUN_KIND_COMMAND] =
            {.name = "command", .step = run_step, .drop = run_drop, .stops_itself = true, .is_run = true},
        [CI_RUN_KIND_TASK] = {.name = "task", .step = run_step, .drop = run_drop, .stops_itself = true, .is_run = true},
        [CI_RUN_KIND_TASK_POLL] = {.name = "task poll", .step = run_step, .drop = run_drop, .stops_itself = true},
        [CI_RUN_KIND_TASK_STOP] = {.name = "task stop", .step = run_step, .drop = run_drop, .stops_itself = true},
        [CI_RUN_KIND_CLEAR] = {.name = "context clear", .step = run_step, .drop = run_drop, .stops_itself = true},
        [CI_RUN_KIND_REMOVE] = {.name = "context remove", .step = run_step, .drop = run_drop, .stops_itself = true},
    };
    return &ops[kind];
}

static ci_status refuse(ci_error **ret_error, ci_status status, const char *what) {
    return cii_error_set(ret_error, status, "session", "%s", what);
}

static ci_status check_language(const ci_session *session, const char *language, ci_error **ret_error) {
    static const struct {
        const char *name;
        uint64_t bit;
        const char *remedy; /* where the backend can run it, but not in this session */
    } languages[] = {
        {"python", CI_CAP_PYTHON, "install python3"},
        {"javascript", CI_CAP_JAVASCRIPT, "install Node 18 or later (nodejs) where the session's PATH finds it"},
        {"typescript", CI_CAP_TYPESCRIPT,
         "install Node 18 or later (nodejs) where the session's PATH finds it, and build libci with CI_TYPESCRIPT=ON"},
        {"bash", CI_CAP_BASH, "install bash where the session's PATH finds it"},
    };
    const char *names[CII_ELEMENTS(languages)];
    char can[64] = "";
    for (size_t i = 0; i < CII_ELEMENTS(languages); i++) {
        bool runs = (session->capabilities & languages[i].bit) != 0;
        names[i] = languages[i].name;
        if (runs && strcmp(language, languages[i].name) == 0)
            return CI_OK;
        if (runs)
            snprintf(can + strlen(can), sizeof can - strlen(can), "%s%s", *can ? ", " : "", languages[i].name);
    }
    for (size_t i = 0; i < CII_ELEMENTS(languages); i++) {
        if (strcmp(language, names[i]) != 0)
            continue;
        bool lacks = (session->ops->capabilities(cii_sandbox_impl(session->sandbox), NULL) & languages[i].bit) != 0;
        cii_error_set(
            ret_error, CI_ERR_NOTSUP, "session",
            lacks ? "language \"%s\": the sandbox of this session (backend \"%s\") does not have it; it runs: %s"
                  : "language \"%s\" is not available in this version with the backend \"%s\", which runs: %s",
            language, session->ops->name, *can ? can : "none");
        if (lacks)
            cii_error_hint(ret_error, "%s", languages[i].remedy);
        return CI_ERR_NOTSUP;
    }
    ci_status status =
        cii_error_set(ret_error, CI_ERR_INVALID, "session",
                      "language: \"%s\" is not allowed: one of python, javascript, typescript, bash", language);
    const char *meant = cii_nearest(language, names, CII_ELEMENTS(names));
    if (meant)
        cii_error_hint(ret_error, "\"%s\" may be meant", meant);
    return status;
}

#define RUN_FLAGS \
    (CI_RUN_LIST_CHANGES | CI_RUN_SPILL_OUTPUT | CI_RUN_BACKGROUND | CI_RUN_NO_TYPECHECK | CI_RUN_CLEAR_CONTEXT)

static ci_status check_flags(const ci_session *session, const ci_run_options *o, bool code, ci_error **ret_error) {
    if (o->flags & ~(uint32_t)RUN_FLAGS)
        return cii_error_set(ret_error, CI_ERR_INVALID, "session", "flags: 0x%x has bits that are no CI_RUN_ flags",
                             o->flags);
    if ((o->flags & CI_RUN_BACKGROUND) && code)
        return refuse(ret_error, CI_ERR_INVALID, "flags: CI_RUN_BACKGROUND is for commands");
    if ((o->flags & CI_RUN_CLEAR_CONTEXT) && !code)
        return refuse(ret_error, CI_ERR_INVALID, "flags: CI_RUN_CLEAR_CONTEXT is for code");
    if ((o->flags & CI_RUN_CLEAR_CONTEXT) && !(session->capabilities & CI_CAP_CLEAR_CONTEXT))
        return refuse(ret_error, CI_ERR_NOTSUP, "this backend cannot clear a context");
    if ((o->flags & CI_RUN_BACKGROUND) && !(session->capabilities & CI_CAP_BACKGROUND))
        return refuse(ret_error, CI_ERR_NOTSUP, "this backend cannot run commands in the background");
    return CI_OK;
}

static ci_status check_options(const ci_session *session, const ci_run_options *o, bool code, ci_error **ret_error) {
    ci_status status = check_flags(session, o, code, ret_error);
    if (status < 0)
        return status;
    if (!code && ((o->language && *o->language) || (o->context && *o->context)))
        return refuse(ret_error, CI_ERR_INVALID, "language and context are for code, not for commands");
    if (code)
        status = check_language(session, o->language && *o->language ? o->language : "python", ret_error);
    if (status < 0)
        return status;
    if (o->context && *o->context && !cii_id_valid(o->context))
        return cii_error_set(ret_error, CI_ERR_INVALID, "session",
                             "context: \"%s\" is not allowed: 1 to 64 of the characters A-Z a-z 0-9 _ -", o->context);
    if (o->context && *o->context && !(session->capabilities & CI_CAP_CONTEXTS))
        return refuse(ret_error, CI_ERR_NOTSUP, "context: this backend has one context a language only");
    if (o->env && o->env[0] && !(session->capabilities & CI_CAP_CALL_ENV))
        return refuse(ret_error, CI_ERR_NOTSUP, "env: this backend cannot set the environment of one call");
    if (o->cwd && *o->cwd && !(session->capabilities & CI_CAP_CALL_CWD))
        return refuse(ret_error, CI_ERR_NOTSUP, "cwd: this backend cannot set the working folder of one call");
    if (o->output_filename && *o->output_filename)
        status = cii_session_need_workspace(session, ret_error);
    return status < 0 ? status : cii_env_check(o->env, ret_error);
}

static bool copy_text(char **to, const char *text, size_t size) {
    char *copy = malloc(size + 1);
    if (!copy)
        return false;
    if (size)
        memcpy(copy, text, size);
    copy[size] = 0;
    *to = copy;
    return true;
}

static ci_status fill(run_call *self, const char *text, size_t text_size, const ci_run_options *o,
                      ci_error **ret_error) {
    bool code = self->kind == CI_RUN_KIND_CODE || is_of_context(self->kind);
    const char *language = !code ? "" : o->language && *o->language ? o->language : "python";
    const char *context = code && o->context ? o->context : "";
    self->flags = o->flags;
    self->text_size = text_size;
    self->language = strdup(language);
    self->context = strdup(context);
    self->place = cii_str_printf("%s/%s", language, context);
    if (!self->language || !self->context || !self->place || !copy_text(&self->text, text, text_size))
        return cii_error_nomem(ret_error);
    if (o->cwd && *o->cwd && !(self->cwd = strdup(o->cwd)))
        return cii_error_nomem(ret_error);
    if (o->env && o->env[0] && !(self->env = cii_strv_copy(o->env)))
        return cii_error_nomem(ret_error);
    if (o->output_filename && *o->output_filename) {
        ci_status status = cii_keys_sandbox_path(o->output_filename, &self->output_path, ret_error);
        _cleanup_free_ char *key = NULL, *name = NULL;
        if (status == CI_OK)
            status = cii_keys_of_path(session_of(self), self->output_path, &key, &name, ret_error);
        if (status < 0)
            return cii_error_wrap(ret_error, status, "output_filename");
    }
    const uint64_t stream_bytes = o->stream_bytes ? o->stream_bytes : session_of(self)->options.stream_bytes;
    const cii_result_limits limits = {.stream_bytes = stream_bytes};
    const cii_collector_options collector = {
        .output = o->output,
        .output_user = o->output_user,
        .spill = o->flags & CI_RUN_SPILL_OUTPUT ? cii_spill_write : NULL,
        .spill_user = &self->spill,
    };
    ci_result *result = NULL;
    ci_status status = cii_result_new(CII_RESULT_RUN, &limits, &result);
    if (status == CI_OK && (status = cii_collector_new(result, &collector, &self->collector)) < 0)
        ci_result_free(result);
    return status < 0 ? cii_error_nomem(ret_error) : CI_OK;
}

/* Goes as far as the backend's start, if nothing has to be waited for: so calls run in the order of their start. */
static ci_status begin(run_call *self, ci_error **ret_error) {
    cii_waits waits = {.due_us = CII_NEVER};
    cii_door_enter(session_of(self), &self->call);
    int r = 1;
    while (self->stage < RUN && r == 1) {
        r = self->stage == DOOR     ? stage_door(self, &waits, ret_error)
            : self->stage == BEFORE ? stage_before(self, &waits, ret_error)
                                    : stage_launch(self, &waits, ret_error);
        if (r == 1)
            self->stage++;
    }
    if (r < 0)
        return r;
    cii_waits_until(&waits, self->call.deadline_us);
    self->call.waits = waits;
    return CI_OK;
}

static ci_status start(ci_session *session, int32_t kind, const char *text, size_t text_size, uint64_t task_id,
                       const ci_run_options *options, ci_call **ret_call, ci_error **ret_error) {
    bool round_trip = kind >= CI_RUN_KIND_TASK_POLL;
    int64_t timeout_ms = round_trip ? SHORT_CALL_MS : cii_session_timeout(session, options->timeout_ms);
    _cleanup_call_ ci_call *call = NULL;
    ci_status status = cii_call_new(sizeof(run_call), kind_ops(kind), session, timeout_ms, &call, ret_error);
    if (status < 0)
        return status;
    run_call *self = (run_call *)call;
    self->kind = kind;
    self->task_id = task_id;
    call->outcome_kind = is_of_context(kind) ? CII_OUTCOME_STATUS : CII_OUTCOME_RESULT;
    status = fill(self, text, text_size, options, ret_error);
    if (status == CI_OK)
        status = begin(self, ret_error);
    if (status == CI_OK)
        *ret_call = TAKE_PTR(call);
    return status;
}

/* --- the public calls ---------------------------------------------------------------------------------------------- */

static ci_status prepare(ci_session *session, const ci_run_options *given, bool code, ci_run_options *ret_options,
                         ci_error **ret_error) {
    ci_status status = cii_session_check(session, ret_error);
    if (status == CI_OK)
        status = cii_options_copy(ret_options, sizeof *ret_options, given, "ci_run_options", ret_error);
    if (status == CI_OK)
        status = cii_reserved_check(ret_options->reserved, "ci_run_options", ret_error);
    if (status == CI_OK)
        status = check_options(session, ret_options, code, ret_error);
    return status;
}

ci_status ci_execute_code_start(ci_session *session, const char *code, size_t code_size, const ci_run_options *options,
                                ci_call **ret_call, ci_error **ret_error) {
    ci_run_options o;
    ci_status status = prepare(session, options, true, &o, ret_error);
    if (status < 0)
        return status;
    if (!code)
        return refuse(ret_error, CI_ERR_INVALID, "code: NULL");
    if (code_size == SIZE_MAX)
        code_size = strlen(code);
    return start(session, CI_RUN_KIND_CODE, code, code_size, 0, &o, ret_call, ret_error);
}

ci_status ci_execute_code(ci_session *session, const char *code, size_t code_size, const ci_run_options *options,
                          ci_result **ret_result, ci_error **ret_error) {
    ci_call *call = NULL;
    ci_status status = ci_execute_code_start(session, code, code_size, options, &call, ret_error);
    return status < 0 ? status : cii_call_end_result(call, ret_result, ret_error);
}

ci_status ci_execute_command_start(ci_session *session, const char *command, const ci_run_options *options,
                                   ci_call **ret_call, ci_error **ret_error) {
    ci_run_options o;
    ci_status status = prepare(session, options, false, &o, ret_error);
    if (status < 0)
        return status;
    if (!command)
        return refuse(ret_error, CI_ERR_INVALID, "command: NULL");
    int32_t kind = o.flags & CI_RUN_BACKGROUND ? CI_RUN_KIND_TASK : CI_RUN_KIND_COMMAND;
    return start(session, kind, command, strlen(command), 0, &o, ret_call, ret_error);
}

ci_status ci_execute_command(ci_session *session, const char *command, const ci_run_options *options,
                             ci_result **ret_result, ci_error **ret_error) {
    ci_call *call = NULL;
    ci_status status = ci_execute_command_start(session, command, options, &call, ret_error);
    return status < 0 ? status : cii_call_end_result(call, ret_result, ret_error);
}

static ci_status start_task(ci_session *session, int32_t kind, uint64_t task_id, ci_call **ret_call,
                            ci_error **ret_error) {
    const ci_run_options none = CI_RUN_OPTIONS_INIT;
    ci_status status = cii_session_check(session, ret_error);
    if (status == CI_OK && !(session->capabilities & CI_CAP_BACKGROUND))
        status = refuse(ret_error, CI_ERR_NOTSUP, "this backend has no background tasks");
    return status < 0 ? status : start(session, kind, "", 0, task_id, &none, ret_call, ret_error);
}

ci_status ci_task_poll_start(ci_session *session, uint64_t task_id, ci_call **ret_call, ci_error **ret_error) {
    return start_task(session, CI_RUN_KIND_TASK_POLL, task_id, ret_call, ret_error);
}

ci_status ci_task_poll(ci_session *session, uint64_t task_id, ci_result **ret_result, ci_error **ret_error) {
    ci_call *call = NULL;
    ci_status status = ci_task_poll_start(session, task_id, &call, ret_error);
    return status < 0 ? status : cii_call_end_result(call, ret_result, ret_error);
}

ci_status ci_task_stop_start(ci_session *session, uint64_t task_id, ci_call **ret_call, ci_error **ret_error) {
    return start_task(session, CI_RUN_KIND_TASK_STOP, task_id, ret_call, ret_error);
}

ci_status ci_task_stop(ci_session *session, uint64_t task_id, ci_result **ret_result, ci_error **ret_error) {
    ci_call *call = NULL;
    ci_status status = ci_task_stop_start(session, task_id, &call, ret_error);
    return status < 0 ? status : cii_call_end_result(call, ret_result, ret_error);
}

ci_status cii_run_on_context(ci_session *session, int32_t kind, const char *language, const char *context,
                             ci_call **ret_call, ci_error **ret_error) {
    ci_run_options given = CI_RUN_OPTIONS_INIT, o;
    given.language = language;
    given.context = context;
    ci_status status = prepare(session, &given, true, &o, ret_error);
    return status < 0 ? status : start(session, kind, "", 0, 0, &o, ret_call, ret_error);
}
