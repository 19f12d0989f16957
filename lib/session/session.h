/* What the tool front needs of this room besides the public interface: calls made of other calls. */
#ifndef CII_SESSION_SESSION_H
#define CII_SESSION_SESSION_H

#include <ci/workspace.h>

#include "base/error.h"

/* Makes the result of an outer call from its finished inner call; takes what it wants of it with ci_call_take_*() and
 * leaves the freeing of inner to the caller. */
typedef ci_status (*cii_call_map_cb)(void *user, ci_call *inner, ci_result **ret_result, ci_error **ret_error);

/* A call that is done when inner is, with the result that map makes of it. Interrupt, cancel and close reach inner.
 * Consumes inner, and user by user_free (may be NULL), also on failure. */
ci_status cii_call_map_result(ci_call *inner, cii_call_map_cb map, void *user, void (*user_free)(void *user),
                              ci_call **ret_outer, ci_error **ret_error);

/* A call that is done already, with this result. Consumes it, also on failure. */
ci_status cii_call_finished(ci_result *result, ci_call **ret_call, ci_error **ret_error);

/* CI_OK; or why the session cannot be used now: CI_ERR_FORKED, CI_ERR_CLOSED, CI_ERR_INVALID (NULL). */
ci_status cii_session_check(const ci_session *session, ci_error **ret_error);

#endif
