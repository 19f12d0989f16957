/* Calls as this room makes them.
 *
 * A call is a small state machine: `step` does what can be done now and says in a cii_waits what the machine waits for.
 * Machines are made of smaller ones with the same kind of step (a transfer, a push of one file, the preload), the
 * smallest being a ci_op of a backend. README.md tells how a call flows, and who may touch what. */
#ifndef CII_SESSION_CALL_H
#define CII_SESSION_CALL_H

#include <ci/sys/op.h>
#include <stdatomic.h>

#include "session/session.h"

#define CII_WAITS_MAX 24
#define CII_NEVER INT64_MAX

/* What a machine waits for. Filled anew by each step. */
typedef struct cii_waits {
    int64_t due_us; /* next timer (cii_clock_us()); CII_NEVER: none */
    bool again;     /* do not wait: there is more to do */
    unsigned count;
    int fds[CII_WAITS_MAX];
} cii_waits;

void cii_waits_fd(cii_waits *waits, int fd); /* -1: again */
void cii_waits_until(cii_waits *waits, int64_t due_us);

/* One step of an operation: 1 done, 0 not yet (its descriptor is in waits), or a negative status. But for 0 the operation
 * is freed and *op NULL. */
int cii_op_step(ci_op **op, cii_waits *waits, ci_error **ret_error);
void cii_op_drop(ci_op **op); /* gives it up; NULL is fine */

/* Signals that reach a call from other threads. */
enum {
    CII_SIGNAL_INTERRUPT = 1 << 0,
    CII_SIGNAL_CANCEL = 1 << 1,
    CII_SIGNAL_CLOSE = 1 << 2,
    CII_SIGNAL_WAKE = 1 << 3, /* look again: it is your turn */
};

/* A kind of call. */
typedef struct cii_call_ops {
    const char *name; /* for traces and messages: "push" */
    /* 1: done, the outcome is in place; 0: not yet; negative: failed. */
    int (*step)(ci_call *call, cii_waits *waits, ci_error **ret_error);
    /* Frees all that the kind added to its call; what runs is given up. Exactly once, when the call ends. */
    void (*drop)(ci_call *call);
    /* The deadline came (CI_OUTCOME_TIMEOUT) or an interrupt (CI_OUTCOME_INTERRUPTED): puts in place what there is as
     * the call's result. NULL: the call fails with CI_ERR_TIMEOUT or CI_ERR_CANCELLED. */
    ci_status (*cut)(ci_call *call, int32_t outcome, ci_error **ret_error);
    /* The call has another deadline. NULL: the call's own is all there is. */
    void (*retime)(ci_call *call, int64_t timeout_ms);
    bool stops_itself; /* step sees to deadline and interrupt */
    bool is_run;       /* code or a command: what ci_session_interrupt() means */
} cii_call_ops;

enum { CII_OUTCOME_STATUS, CII_OUTCOME_RESULT, CII_OUTCOME_SESSION };

struct ci_call {
    const cii_call_ops *ops;
    ci_session *session; /* held; NULL: none */
    ci_call *previous;   /* in the session's list, under its lock */
    ci_call *next;
    ci_call *door_next; /* in the session's door, under its lock */
    ci_call *outer;     /* the call that this one is the inner of: gets its signals; under the session's lock */
    bool linked;
    bool at_door;
    pid_t creator;
    _Atomic unsigned signals;
    _Atomic int wake_fd; /* eventfd, made when somebody waits; -1 until then */
    unsigned seen;       /* signals that step has been told of */
    int epoll_fd;        /* made by ci_call_fd() */
    int timer_fd;
    unsigned polled_count; /* descriptors in epoll_fd */
    int polled[CII_WAITS_MAX];
    int64_t timer_due_us;
    int64_t started_us;
    int64_t timeout_ms;  /* as asked for, for messages */
    int64_t deadline_us; /* CII_NEVER: none */
    cii_waits waits;
    bool done;
    bool taken;
    int outcome_kind;
    ci_status status;
    ci_error *error;
    ci_result *result;
    ci_session *opened;
};

/* Makes a call of `size` bytes, of which struct ci_call is the first member and the rest zero, and links it to the
 * session (NULL: none). timeout_ms: 0 and less: none. */
ci_status cii_call_new(size_t size, const cii_call_ops *ops, ci_session *session, int64_t timeout_ms,
                       ci_call **ret_call, ci_error **ret_error);

void cii_call_set_timeout(ci_call *call, int64_t timeout_ms); /* from its start; 0 and less: none */

/* One step, signals and deadline included: whether the call is done. */
bool cii_call_advance(ci_call *call);

void cii_call_signal(ci_call *call, unsigned signal); /* from any thread that knows the call is alive */

/* Processes the call until it is done (true), or until_us has come (CII_NEVER: it will not). */
bool cii_call_wait(ci_call *call, int64_t until_us);
/* own: in the process that made it; elsewhere only memory and descriptors are released. */
void cii_call_free(ci_call *call, bool own);

/* For blocking forms: waits, takes, frees. */
ci_status cii_call_end_result(ci_call *call, ci_result **ret_result, ci_error **ret_error);
ci_status cii_call_end_status(ci_call *call, ci_error **ret_error);

static inline void cii_call_free_p(ci_call **call) {
    ci_call_free(*call);
}
#define _cleanup_call_ _cleanup_(cii_call_free_p)

#endif
