/* put: files into objects, some beside each other. Nothing is asked of the server before a file is sent, but one listing
 * with --changed. */
#include "sources.h"

#include <errno.h>
#include <poll.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct put {
    struct job listing; /* --changed: what is there */
    int is_listed;
    int is_done; /* nothing is left to begin */
    struct program *program;
    struct sources *sources;
    void *known; /* tsearch(3) tree of struct known */
};

struct known {
    char *key;
    uint64_t size_bytes;
    int64_t modified_ms;
};

struct upload {
    struct job job;
    struct put *put;
    struct source source;
    uint64_t size_bytes; /* sent */
    int error_number;    /* of reading */
};

/* ---- what is there already ---- */

static int compare_known(const void *a, const void *b) {
    return strcmp(((const struct known *)a)->key, ((const struct known *)b)->key);
}

static void free_known(void *item) {
    struct known *known = item;
    free(known->key);
    free(known);
}

static int32_t on_known(void *user, const ci_object *object) {
    struct put *put = user;
    struct known *known = calloc(1, sizeof(*known));
    if (known)
        *known = (struct known){strdup(object->key), object->size_bytes, object->modified_ms};
    if (known && known->key && tsearch(known, &put->known, compare_known))
        return 0;
    if (known)
        free_known(known);
    return -1;
}

static void end_listing(struct job *job, ci_status status, ci_error *error) {
    struct put *put = (struct put *)job;
    put->is_listed = 1;
    if (status == CI_OK || status == CI_ERR_NOTSUP) { /* what can be no object is not asked about */
        ci_error_free(error);
        return;
    }
    put->is_done = 1;
    const char *prefix = sources_prefix(put->sources);
    report_error(put->program, *prefix ? prefix : NULL, *prefix ? NULL : put->program->options->workspace, error);
}

static struct job *list(struct put *put) {
    ci_storage_list_options options = CI_STORAGE_LIST_OPTIONS_INIT;
    ci_error *error = NULL;
    options.timeout_ms = put->program->options->timeout_ms;
    put->listing = (struct job){.weight = 1, .input_fd = -1, .end = end_listing};
    if (ci_storage_list_start(put->program->storage, sources_prefix(put->sources), &options, on_known, put,
                              &put->listing.call, &error) == CI_OK)
        return &put->listing;
    end_listing(&put->listing, ci_error_status(error), error);
    return NULL;
}

static int is_unchanged(const struct put *put, const struct source *source) {
    struct known wanted = {.key = source->key};
    struct known *const *found = tfind(&wanted, &put->known, compare_known);
    return found && (*found)->size_bytes == source->size_bytes && (*found)->modified_ms >= source->modified_ms;
}

/* ---- sending ---- */

/* Whether a read would have to wait. */
static int is_empty(int fd) {
    return poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, 0) == 0;
}

static int64_t on_read(void *user, void *buffer, size_t size) {
    struct upload *self = user;
    ssize_t got;
    if (self->job.input_fd >= 0 && is_empty(self->job.input_fd)) {
        self->job.input_paused = 1;
        return CI_IO_PAUSE;
    }
    got = read(self->source.fd, buffer, size);
    if (got < 0) {
        self->error_number = errno;
        return -1;
    }
    self->size_bytes += (uint64_t)got;
    report_progress(self->put->program, (uint64_t)got);
    return got;
}

static void source_free(struct source *source) {
    close(source->fd);
    free(source->path);
    free(source->key);
}

static void end(struct job *job, ci_status status, ci_error *error) {
    struct upload *self = (struct upload *)job;
    const struct source *source = &self->source;
    struct program *program = self->put->program;
    if (status == CI_OK)
        report_done(program, "saved", source->key, source->path, self->size_bytes);
    else if (self->error_number)
        report_failure(program, source->key, source->path, strerror(self->error_number));
    else {
        report_error(program, source->key, source->path, error);
        error = NULL;
    }
    ci_error_free(error);
    source_free(&self->source);
    free(self);
}

/* NULL: it has failed, or need not be. */
static struct job *begin(struct put *put, struct source *source) {
    struct program *program = put->program;
    if (program->options->changed && is_unchanged(put, source)) {
        report_done(program, "unchanged", source->key, source->path, source->size_bytes);
        source_free(source);
        return NULL;
    }
    struct upload *self = calloc(1, sizeof(*self));
    if (!self) {
        report_failure(program, source->key, source->path, "out of memory");
        source_free(source);
        return NULL;
    }
    int is_input = strcmp(source->path, "-") == 0;
    *self = (struct upload){.put = put, .source = *source};
    self->job = (struct job){.weight = source->size_bytes > LARGE_BYTES || is_input ? LARGE_WEIGHT : 1,
                             .input_fd = is_input ? source->fd : -1,
                             .end = end};
    ci_storage_write_options options = CI_STORAGE_WRITE_OPTIONS_INIT;
    options.timeout_ms = program->options->timeout_ms;
    options.size_bytes = source->size_bytes;
    ci_error *error = NULL;
    if (ci_storage_write_start(program->storage, source->key, &options, on_read, NULL, self, &self->job.call, &error) ==
        CI_OK)
        return &self->job;
    end(&self->job, ci_error_status(error), error);
    return NULL;
}

static struct job *next(void *user, int *ret_wait) {
    struct put *put = user;
    struct source source;
    struct job *job = NULL;
    if (put->program->options->changed && !put->is_listed) {
        *ret_wait = put->listing.call != NULL;
        if (!*ret_wait && (job = list(put)))
            return job;
        if (*ret_wait)
            return NULL;
    }
    while (!job && !put->is_done && !jobs_signal()) {
        if (sources_next(put->sources, &source))
            job = begin(put, &source);
        else
            put->is_done = 1;
    }
    return job;
}

int command_put(struct program *program) {
    struct put put = {.program = program};
    int status;
    put.sources = sources_new(program, &status);
    if (!put.sources)
        return status;
    program->progress.what = "put";
    jobs_run(next, &put, program->options->parallel);
    tdestroy(put.known, free_known);
    sources_free(put.sources);
    return 0;
}
