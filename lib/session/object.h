/* The session as its own room sees it. README.md has the locking rules in one place. */
#ifndef CII_SESSION_OBJECT_H
#define CII_SESSION_OBJECT_H

#include <ci/sys/sandbox.h>
#include <ci/sys/storage.h>
#include <pthread.h>

#include "result/result.h"
#include "sandbox/sandbox.h"
#include "session/call.h"
#include "session/known.h"
#include "session/report.h"
#include "storage/storage.h"

#define CII_UPLOADS "uploads/" /* logical names of the workspace begin with one of the two, or one of the host's */
#define CII_OUTPUTS "code-interpreter/"
#define CII_GUEST_ROOT "/workspace" /* what the code inside calls the sandbox root */

typedef struct cii_preload cii_preload;
typedef struct cii_left_run cii_left_run;

/* Names of the workspace that begin with name are keys that begin with key. */
typedef struct cii_place {
    char *name;
    char *key;
} cii_place;

struct ci_session {
    /* set while opening, read-only afterwards */
    pid_t creator;
    ci_session_options options; /* defaults filled in; strings are the session's */
    uint64_t limits;            /* CI_CAP_LIMIT_ bits of the limits that were asked for by value */
    char id[65];
    ci_sandbox *sandbox;
    const ci_sandbox_ops *ops;
    void *backend; /* the backend's session; NULL until open is done */
    ci_storage *storage;
    const ci_storage_ops *storage_ops; /* NULL: no workspace */
    void *storage_impl;
    void *storage_lock;
    cii_place *places; /* prefixes of names, in byte order, and of the keys behind them */
    size_t place_count;
    const char *uploads_prefix; /* keys of the storage, in places */
    const char *output_prefix;
    uint64_t capabilities;

    _Atomic unsigned refs; /* the caller's handle, and one a call */
    _Atomic bool closed;
    _Atomic uint64_t run_count;
    _Atomic uint64_t write_count; /* files that the host has begun to write */

    pthread_mutex_t lock; /* for all that follows; never held while waiting or in a callback */
    ci_call *calls;       /* that are not done */
    ci_call *last_call;
    ci_call *door; /* those that wait for their turn to begin, first come first */
    ci_call *door_last;
    cii_known known;
    char *pushed_prefix; /* of what the last whole push looked for; NULL: nothing yet */
    cii_report opened;   /* what became of uploads at opening */
    cii_report pending;  /* and what no result has told yet */
    cii_left_run *left;  /* runs that could not be stopped */

    cii_preload *preload; /* of whoever is first at the door, and nobody else */
};

void cii_session_unref(ci_session *session);
void cii_session_log(ci_session *session, int32_t level, const char *format, ...) _printf_(3, 4);
void cii_session_log_refusals(ci_session *session, const ci_result *result); /* a warning each */
void cii_session_trace(ci_session *session, const char *event, int64_t duration_us);

/* Puts a call into the list of those that interrupt and close reach; holds the session. After cii_session_check(), which
 * tells whose process this is. CI_ERR_CLOSED. */
ci_status cii_session_link(ci_session *session, ci_call *call, ci_error **ret_error);
void cii_session_unlink(ci_session *session, ci_call *call); /* leaves the door too; keeps the hold */
/* outer stands for inner from now on, and is linked already. */
void cii_session_replace(ci_session *session, ci_call *inner, ci_call *outer);

/* The door: calls pass it one by one in the order of their start. What has to be in order (the preload, handing a run
 * to the backend) is done by the first at the door. */
void cii_door_enter(ci_session *session, ci_call *call);
bool cii_door_is_first(ci_session *session, ci_call *call);
void cii_door_leave(ci_session *session, ci_call *call); /* wakes the next; fine when not there */

/* Whether nothing more can be done after it: the session or memory is gone. */
static inline bool cii_is_fatal(ci_status status) {
    return status == CI_ERR_NOMEM || status == CI_ERR_CLOSED || status == CI_ERR_LOST || status == CI_ERR_FORKED;
}

void cii_wake(int wake_fd); /* -1 is fine */

/* options.c: checks and copies what a caller gave, defaults filled in, and tells which limits it named. Options of zeros
 * can be freed. */
ci_status cii_settings_copy(ci_session_options *ret_options, uint64_t *ret_limits, const ci_session_options *from,
                            ci_error **ret_error);
void cii_settings_free(ci_session_options *options);
ci_status cii_env_check(const char *const *env, ci_error **ret_error);

/* The deadline of a call that names one, or none. */
static inline int64_t cii_session_timeout(const ci_session *session, int64_t timeout_ms) {
    return timeout_ms == 0 ? session->options.timeout_ms : timeout_ms;
}

/* CI_ERR_NOTSUP with a sentence when there is no workspace. */
ci_status cii_session_need_workspace(const ci_session *session, ci_error **ret_error);

/* The tail of a result: preload entries that none has told yet. */
ci_status cii_session_tell_preload(ci_session *session, ci_result *result);

#endif
