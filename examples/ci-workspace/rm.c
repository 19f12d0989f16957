/* rm: what is named, some beside each other; what a prefix holds, a page of keys at a time. */
#include "keys.h"

#include <stdlib.h>
#include <string.h>

enum { BATCH = 1000 };

struct rm {
    struct program *program;
    struct keys *keys;
    struct batch *batch; /* what a prefix holds, as far as it was told */
    struct job *listing; /* begun, and to be run */
};

struct batch {
    struct job job;
    struct program *program;
    size_t count, at;
    const char *keys[BATCH]; /* NULL: told of */
};

static int32_t on_removed(void *user, const char *key, ci_status status, const ci_error *error) {
    struct batch *self = user;
    for (size_t i = 0; i < self->count; i++) { /* they are told in their order, mostly */
        size_t at = (self->at + i) % self->count;
        if (!self->keys[at] || strcmp(self->keys[at], key) != 0)
            continue;
        free((char *)self->keys[at]);
        self->keys[at] = NULL;
        self->at = at + 1;
        break;
    }
    if (status == CI_OK)
        report_done(self->program, "removed", key, NULL, UINT64_MAX);
    else
        report_failure(self->program, key, NULL, ci_error_message(error));
    return 0;
}

static void batch_free(struct batch *self) {
    for (size_t i = 0; i < self->count; i++)
        free((char *)self->keys[i]);
    free(self);
}

static void end(struct job *job, ci_status status, ci_error *error) {
    struct batch *self = (struct batch *)job;
    for (size_t i = 0; status != CI_OK && i < self->count; i++) /* a deadline ends all that were not told of */
        if (self->keys[i])
            report_failure(self->program, self->keys[i], NULL, ci_error_message(error));
    if (status != CI_OK)
        self->program->failed = 1;
    ci_error_free(error);
    batch_free(self);
}

static struct batch *batch_new(struct program *program, char *key) {
    struct batch *self = calloc(1, sizeof(*self));
    if (!self) {
        report_failure(program, key, NULL, "out of memory");
        free(key);
        return NULL;
    }
    self->job = (struct job){.weight = 1, .input_fd = -1, .end = end};
    self->program = program;
    self->keys[self->count++] = key;
    return self;
}

/* NULL: it has failed. */
static struct job *begin(struct batch *self) {
    ci_error *error = NULL;
    if (!self)
        return NULL;
    if (ci_storage_remove_start(self->program->storage, self->keys, self->count, self->program->options->timeout_ms,
                                on_removed, self, &self->job.call, &error) == CI_OK)
        return &self->job;
    report_error(self->program, self->keys[0], NULL, error);
    batch_free(self);
    return NULL;
}

static struct job *begin_collected(struct rm *rm) {
    struct batch *batch = rm->batch;
    rm->batch = NULL;
    return begin(batch);
}

static struct job *next(void *user, int *ret_wait) {
    struct rm *rm = user;
    struct job *job = rm->listing;
    rm->listing = NULL;
    while (!job) {
        struct found found;
        int got = keys_next(rm->keys, &found, &job);
        if (got <= 0 && rm->batch) {
            rm->listing = job;
            job = begin_collected(rm);
        } else if (got <= 0) {
            *ret_wait = got < 0 && !job;
            return job;
        } else if (!found.is_listed) { /* alone, so that it is told of when it is not there */
            job = begin(batch_new(rm->program, found.key));
        } else if (!rm->batch) {
            rm->batch = batch_new(rm->program, found.key);
        } else {
            rm->batch->keys[rm->batch->count++] = found.key;
            if (rm->batch->count == BATCH)
                job = begin_collected(rm);
        }
    }
    return job;
}

int command_rm(struct program *program) {
    const struct options *options = program->options;
    struct rm rm = {.program = program};
    program->progress.what = "rm";
    rm.keys = keys_new(program, options->operands, options->operand_count);
    if (rm.keys)
        jobs_run(next, &rm, options->parallel);
    else
        report_failure(program, options->operands[0], NULL, "out of memory");
    if (rm.batch)
        batch_free(rm.batch);
    keys_free(rm.keys);
    return 0;
}
