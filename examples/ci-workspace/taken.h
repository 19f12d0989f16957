/* The paths that one run writes to, so that no key takes the place of another. */
#ifndef CI_WORKSPACE_TAKEN_H
#define CI_WORKSPACE_TAKEN_H

/** Begins empty, that is all zero. */
struct taken {
    void *paths; /* tsearch(3) tree */
    char *why;
};

/**
 * Takes a path for a key; both are copied. Returns 1; 0: it is that key's already; -1: it cannot be, and *ret_why is a
 * sentence on it, which lives until the next call.
 */
int taken_add(struct taken *taken, const char *path, const char *key, const char **ret_why);

void taken_clear(struct taken *taken);

#endif
