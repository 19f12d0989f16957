/* list: keys as they come. */
#include "program.h"

#include <stdio.h>

struct listing {
    struct job job;
    struct program *program;
    int is_begun;
};

static int32_t on_object(void *user, const ci_object *object) {
    struct listing *self = user;
    report_object(self->program, object);
    return ferror(stdout) || jobs_signal() ? -1 : 0;
}

static void end(struct job *job, ci_status status, ci_error *error) {
    struct program *program = ((struct listing *)job)->program;
    if (status != CI_OK && !ferror(stdout))
        report_error(program, NULL, program->options->workspace, error);
    else
        ci_error_free(error);
}

static struct job *next(void *user, int *ret_wait) {
    struct listing *self = user;
    const struct options *options = self->program->options;
    ci_storage_list_options how = CI_STORAGE_LIST_OPTIONS_INIT;
    ci_error *error = NULL;
    *ret_wait = 0;
    if (self->is_begun)
        return NULL;
    self->is_begun = 1;
    how.timeout_ms = options->timeout_ms;
    if (ci_storage_list_start(self->program->storage, options->operand_count ? options->operands[0] : "", &how,
                              on_object, self, &self->job.call, &error) == CI_OK)
        return &self->job;
    report_error(self->program, NULL, options->workspace, error);
    return NULL;
}

int command_list(struct program *program) {
    struct listing listing = {.job = {.weight = 1, .input_fd = -1, .end = end}, .program = program};
    jobs_run(next, &listing, 1);
    return 0;
}
