/* What a run created, changed and deleted: one walk before, one after, compared by size, time and version. And what was
 * written since a point in time, for whom there was no walk before. */
#ifndef CII_SESSION_CHANGES_H
#define CII_SESSION_CHANGES_H

#include "session/walk.h"

typedef struct cii_changes {
    cii_walk walk;
    void *before; /* tsearch(3) */
    bool comparing;
    int64_t since_ns;  /* with cii_changes_since(): only what was modified from then on */
    cii_report report; /* after the second walk */
    bool incomplete;   /* a folder could not be read */
    ci_status status;
} cii_changes;

/* One step of the walk before, or after; the first one of each starts it. */
int cii_changes_before(cii_changes *changes, ci_session *session, cii_waits *waits, ci_error **ret_error);
int cii_changes_after(cii_changes *changes, ci_session *session, cii_waits *waits, ci_error **ret_error);
/* Without a walk before: all that was modified since since_ns counts as created. */
int cii_changes_since(cii_changes *changes, ci_session *session, cii_waits *waits, ci_error **ret_error);
void cii_changes_free(cii_changes *changes); /* zeroed is fine */

#endif
