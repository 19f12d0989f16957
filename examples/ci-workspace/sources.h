/* The files that `put` is to store, with their keys, one after the other as folders are walked. */
#ifndef CI_WORKSPACE_SOURCES_H
#define CI_WORKSPACE_SOURCES_H

#include "program.h"

struct source {
    char *path; /* freed by the caller, as is key */
    char *key;
    int fd; /* open */
    uint64_t size_bytes;
    int64_t modified_ms;
};

struct sources;

/** Reads what the command line names. NULL: after a sentence, *ret_status is what to end with. */
struct sources *sources_new(struct program *program, int *ret_status);
void sources_free(struct sources *sources);

/** How all keys begin that are to come. Lives as long as the sources. */
const char *sources_prefix(const struct sources *sources);

/** Returns 1 and the next file; 0: that was all. What cannot be opened is told of. */
int sources_next(struct sources *sources, struct source *ret_source);

#endif
