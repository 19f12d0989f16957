/* Everything below a folder of the sandbox: by the backend's walk, or where it has none by listing folder after
 * folder. */
#ifndef CII_SESSION_WALK_H
#define CII_SESSION_WALK_H

#include "session/object.h"

typedef struct cii_walk {
    ci_session *session;
    ci_entry_cb entry;
    void *user;
    ci_op *op;
    char *root;     /* by listing, as all that follows: the folder walked */
    char **folders; /* to be listed, relative to root; the last is the next */
    size_t folder_count;
    size_t folder_capacity;
    char *folder; /* being listed; "" for root itself */
    ci_status status;
    ci_status left_out; /* why a folder was not listed, the first one's */
    ci_error *left_out_error;
} cii_walk;

/* entry gets paths relative to path, and tells as ci_entry_cb does whether to go into a folder. A folder that cannot be
 * read fails the walk when it is over, so that all else was met. */
ci_status cii_walk_start(cii_walk *walk, ci_session *session, const char *path, ci_entry_cb entry, void *user,
                         ci_error **ret_error);
int cii_walk_step(cii_walk *walk, cii_waits *waits, ci_error **ret_error);
void cii_walk_free(cii_walk *walk); /* zeroed is fine */

/* Whether a folder of that name holds what a program can make again, so that nobody wants it saved or listed. */
bool cii_walk_is_litter(const char *name);

/* "folder/name"; of "." and "" just the name. malloc'd. */
char *cii_walk_join(const char *folder, const char *name);

#endif
