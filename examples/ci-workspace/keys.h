/* The objects that a command line names: KEY and PREFIX/, the latter listed a page at a time while others are in progress. */
#ifndef CI_WORKSPACE_KEYS_H
#define CI_WORKSPACE_KEYS_H

#include "program.h"

struct found {
    char *key;
    const char *rest; /* of the key: what its target is called */
    int is_listed;    /* size and time are known */
    uint64_t size_bytes;
    int64_t modified_ms;
};

struct keys;

/** The names must outlive it. NULL: out of memory. */
struct keys *keys_new(struct program *program, char **names, size_t count);
void keys_free(struct keys *keys);

/** Returns 1 and the next one, whose key is the caller's to free; 0: none is left; -1: not before *ret_job has ended (NULL:
 * before one in progress has). */
int keys_next(struct keys *keys, struct found *ret_found, struct job **ret_job);

#endif
