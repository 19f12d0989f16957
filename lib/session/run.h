/* What others of this room need of runs: those that could be neither interrupted nor killed and were left behind. */
#ifndef CII_SESSION_RUN_H
#define CII_SESSION_RUN_H

#include "session/object.h"

/* Leaves a run behind: consumes operation and collector. place names its context. */
ci_status cii_left_add(ci_session *session, const char *place, ci_op *op, cii_collector *collector);
/* CI_ERR_BUSY while one that was left behind there still runs. */
ci_status cii_left_check(ci_session *session, const char *place, ci_error **ret_error);
void cii_left_free(cii_left_run *left);

#endif
