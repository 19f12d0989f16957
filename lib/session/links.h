/* Whether a path of the sandbox is a link or leads through one. A backend's stat follows links, its list does not: the
 * folders on the way are listed one after the other. */
#ifndef CII_SESSION_LINKS_H
#define CII_SESSION_LINKS_H

#include "session/object.h"

typedef struct cii_links {
    ci_session *session;
    char *path;
    size_t at; /* where the part that is looked at begins */
    int32_t kind;
    ci_op *op;
} cii_links;

/* path is normalized and relative. */
ci_status cii_links_start(cii_links *links, ci_session *session, const char *path, ci_error **ret_error);

/* 1: known, and kind is CI_KIND_SYMLINK if there is a link; what is missing or cannot be listed is none. 0. Negative: the
 * session or memory is gone. */
int cii_links_step(cii_links *links, cii_waits *waits, ci_error **ret_error);
void cii_links_free(cii_links *links); /* zeroed is fine */

#endif
