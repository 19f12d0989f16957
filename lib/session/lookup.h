/* What the workspace has of the files of a push, by listing it instead of asking for each. */
#ifndef CII_SESSION_LOOKUP_H
#define CII_SESSION_LOOKUP_H

#include "session/object.h"
#include "session/transfer.h"

/* An object as a list told it. */
typedef struct cii_listed {
    cii_seen seen;
    uint8_t sha256[32];
    bool is_there;
    bool is_hashed; /* the list tells SHA-256 too */
} cii_listed;

/* Bounded: nothing is kept of objects that no file of the push is saved to. */
typedef struct cii_lookup {
    ci_session *session;
    struct cii_lookup_file *files; /* in byte order of paths */
    size_t count;
    size_t next; /* that a list is expected to tell of */
    size_t capacity;
    char *prefix; /* of all keys that are looked for; at first a guess */
    bool is_whole_push;
    bool is_begun; /* the files are known */
    bool is_guess; /* the list on its way was begun before them */
    bool is_told;  /* by a list that came before them, and is of no use */
    uint64_t pages_left;
    uint32_t listed;
    char *last_key; /* of the last page */
    bool whole;     /* there is nothing after it */
    ci_op *op;
    ci_status status; /* of a callback */
} cii_lookup;

void cii_lookup_init(cii_lookup *lookup, ci_session *session);
/* Begins to list what the last whole push of the session looked for, before the files of this one are known: most often
 * that is the same, and the storage works meanwhile. Waits for nothing; whatever goes wrong, the first step does without. */
void cii_lookup_guess(cii_lookup *lookup);
ci_status cii_lookup_add(cii_lookup *lookup, const char *path); /* borrowed */

/* 1: what a list tells is known; a list that fails tells less. 0. Negative: the session or memory is gone. */
int cii_lookup_step(cii_lookup *lookup, cii_waits *waits, ci_error **ret_error);

/* NULL: no list told of it, it has to be asked for. Lives as long as lookup. */
const cii_listed *cii_lookup_find(const cii_lookup *lookup, const char *path);
void cii_lookup_free(cii_lookup *lookup); /* zeroed is fine */

#endif
