/* Telling the host how far a preload or a push has come: now and then, and at its end. */
#ifndef CII_SESSION_PROGRESS_H
#define CII_SESSION_PROGRESS_H

#include "session/object.h"

typedef struct cii_progress {
    const char *what;
    uint64_t files_done;
    uint64_t files_total;
    uint64_t bytes_done; /* of files that are finished with */
    uint64_t bytes_left; /* of those that are not, as large as they are thought to be */
    int64_t due_us;
    bool told;
    bool transferred; /* anything */
} cii_progress;

void cii_progress_start(cii_progress *progress, const char *what);
/* A file, and its end: expected to be of that size, whether and how much was then transferred of it. */
void cii_progress_add(cii_progress *progress, uint64_t size_bytes);
void cii_progress_done(cii_progress *progress, uint64_t size_bytes, bool transferred, uint64_t moved_bytes);

/* Tells if it is time to, or at the end if there was anything to tell. Of files that are under way: what they have
 * transferred, and how much of that was expected. */
void cii_progress_tell(ci_session *session, cii_progress *progress, uint64_t moving_bytes, uint64_t expected_bytes,
                       bool is_end);

#endif
