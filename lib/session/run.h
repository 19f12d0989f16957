/* What others of this room need of runs: one that is about a context; those that could be neither interrupted nor killed
 * and were left behind. */
#ifndef CII_SESSION_RUN_H
#define CII_SESSION_RUN_H

#include "session/object.h"

/* Starts a run of kind CLEAR or REMOVE. */
ci_status cii_run_on_context(ci_session *session, int32_t kind, const char *language, const char *context,
                             ci_call **ret_call, ci_error **ret_error);

/* Leaves a run behind: consumes operation and collector. place names its context. */
ci_status cii_left_add(ci_session *session, const char *place, ci_op *op, cii_collector *collector);
/* CI_ERR_BUSY while one that was left behind there still runs. */
ci_status cii_left_check(ci_session *session, const char *place, ci_error **ret_error);
void cii_left_free(cii_left_run *left);

#endif
