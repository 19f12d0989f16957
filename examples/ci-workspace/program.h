/* What all commands share: the open workspace, and what has become of files so far. */
#ifndef CI_WORKSPACE_PROGRAM_H
#define CI_WORKSPACE_PROGRAM_H

#include "../common/note.h"
#include "jobs.h"
#include "options.h"

/** What a transfer of a larger file weighs: it is sent in parts, several at once, which take memory. */
enum { LARGE_BYTES = 8 << 20, LARGE_WEIGHT = 4 };

struct program {
    const struct options *options;
    ci_storage *storage;
    int failed; /* something was not done as it was asked for */
    uint64_t unchanged_count;
    struct progress progress;
};

/** A file is done with: what became of it ("saved"), and where. A path or size that means nothing: NULL, UINT64_MAX. */
void report_done(struct program *program, const char *status, const char *key, const char *path, uint64_t size_bytes);

/** A file, or what a name stands for, has failed; frees the error. */
void report_error(struct program *program, const char *key, const char *path, ci_error *error);

/** The same, with a sentence. */
void report_failure(struct program *program, const char *key, const char *path, const char *sentence);

/** An object, as `list` tells it. */
void report_object(struct program *program, const ci_object *object);

/** Sends on what was reported to stdout. */
void report_flush(struct program *program);

/** Counts bytes for the line of progress. */
void report_progress(struct program *program, uint64_t bytes);

int command_list(struct program *program);
int command_get(struct program *program);
int command_put(struct program *program);
int command_rm(struct program *program);

#endif
