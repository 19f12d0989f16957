/* Uploads into the sandbox: what lies under the uploads prefix of the storage appears in the sandbox root, archives
 * unpacked beside themselves, at opening and whenever there is something new. Belongs to whoever is first at the
 * session's door. */
#ifndef CII_SESSION_PRELOAD_H
#define CII_SESSION_PRELOAD_H

#include "session/object.h"

ci_status cii_preload_new(ci_session *session, cii_preload **ret_preload, ci_error **ret_error);

/* One step of a round, which begins with the first step after the last round's end, or goes on with one that was paused
 * and then looks once more for what is new. 1: the round is over; what became of
 * each upload is in session->pending, and session->opened when opening. Negative: the session cannot go on, or, when
 * opening, the storage cannot be listed. */
int cii_preload_step(cii_preload *preload, bool opening, cii_waits *waits, ci_error **ret_error);

/* The call that steps a round ends: a round that has begun is kept as it is, so that short deadlines do not begin one
 * large upload again and again. */
void cii_preload_pause(cii_preload *preload);
void cii_preload_free(cii_preload *preload); /* NULL is fine */

#endif
