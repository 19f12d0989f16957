/* get: objects into files, some beside each other. */
#include "keys.h"
#include "target.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct get {
    struct program *program;
    struct keys *keys;
    int folder_fd; /* -1: what is written to is as_it_is_fd */
    int as_it_is_fd;
    const char *name; /* of the one file; NULL: as the keys say */
};

struct download {
    struct job job;
    struct get *get;
    struct found found;
    struct target target;
    const char *path; /* below the folder */
    uint64_t size_bytes;
    int64_t modified_ms;
    int error_number; /* of writing */
    int unchanged;    /* found so when the object was told of */
};

static int is_unchanged(const struct get *get, const char *path, uint64_t size_bytes, int64_t modified_ms) {
    uint64_t own_size;
    int64_t own_modified_ms;
    return get->program->options->changed && get->folder_fd >= 0 &&
           target_stat(get->folder_fd, path, &own_size, &own_modified_ms) == 0 && own_size == size_bytes &&
           own_modified_ms >= modified_ms;
}

static int32_t on_object(void *user, const ci_object *object) {
    struct download *self = user;
    self->modified_ms = object->modified_ms;
    self->unchanged = is_unchanged(self->get, self->path, object->size_bytes, object->modified_ms);
    return self->unchanged ? -1 : 0;
}

static int32_t on_bytes(void *user, const void *data, size_t size) {
    struct download *self = user;
    if (target_write(&self->target, data, size)) {
        self->error_number = errno;
        return -1;
    }
    self->size_bytes += size;
    report_progress(self->get->program, size);
    return 0;
}

static void download_free(struct download *self) {
    target_drop(&self->target);
    free(self->found.key);
    free(self);
}

static void end(struct job *job, ci_status status, ci_error *error) {
    struct download *self = (struct download *)job;
    struct program *program = self->get->program;
    const char *key = self->found.key;
    if (status == CI_OK && target_commit(&self->target, self->modified_ms))
        self->error_number = errno;
    if (self->unchanged)
        report_done(program, "unchanged", key, self->path, UINT64_MAX);
    else if (self->error_number)
        report_failure(program, key, self->path, strerror(self->error_number));
    else if (status != CI_OK) {
        report_error(program, key, self->path, error);
        error = NULL;
    } else
        report_done(program, "saved", key, self->path, self->size_bytes);
    ci_error_free(error);
    download_free(self);
}

/* Begins the download of what was found. NULL: it has failed, or need not be. */
static struct job *begin(struct get *get, struct found *found) {
    struct program *program = get->program;
    const char *path = get->name ? get->name : found->rest;
    if (found->is_listed && is_unchanged(get, path, found->size_bytes, found->modified_ms)) {
        report_done(program, "unchanged", found->key, path, UINT64_MAX);
        free(found->key);
        return NULL;
    }
    struct download *self = calloc(1, sizeof(*self));
    if (!self) {
        report_failure(program, found->key, path, "out of memory");
        free(found->key);
        return NULL;
    }
    *self = (struct download){.get = get, .found = *found, .path = path};
    self->job = (struct job){.weight = 1, .input_fd = -1, .end = end};
    const char *wrong = NULL;
    ci_storage_read_options options = CI_STORAGE_READ_OPTIONS_INIT;
    ci_error *error = NULL;
    options.timeout_ms = program->options->timeout_ms;
    if (get->folder_fd < 0)
        target_begin_as_it_is(&self->target, get->as_it_is_fd);
    else
        wrong = target_begin(&self->target, get->folder_fd, path);
    if (wrong)
        report_failure(program, found->key, path, wrong);
    else if (ci_storage_read_start(program->storage, found->key, &options, on_bytes, on_object, self, &self->job.call,
                                   &error) != CI_OK)
        report_error(program, found->key, path, error);
    else
        return &self->job;
    download_free(self);
    return NULL;
}

static struct job *next(void *user, int *ret_wait) {
    struct get *get = user;
    for (;;) {
        struct found found;
        struct job *job = NULL;
        int got = keys_next(get->keys, &found, &job);
        if (got <= 0) {
            *ret_wait = got < 0 && !job;
            return job;
        }
        if ((job = begin(get, &found)))
            return job;
    }
}

/* ---- where to ---- */

static int refuse(const char *where, const char *why) {
    note("ci-workspace: %s: %s", where, why);
    return STATUS_FAILED;
}

/* Opens a folder that the user named: links in its own path are theirs. */
static int open_folder(struct get *get, const char *path) {
    char *copy = strdup(path); /* missing folders above it are made too */
    for (char *slash = copy ? strchr(copy + 1, '/') : NULL; slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        mkdir(copy, 0777);
        *slash = '/';
    }
    free(copy);
    if (mkdir(path, 0777) && errno != EEXIST)
        return refuse(path, strerror(errno));
    get->folder_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return get->folder_fd < 0 ? refuse(path, strerror(errno)) : 0;
}

/* Opens where all goes to. What is no regular file (a pipe, a device) is written to, not replaced. */
static int open_target(struct get *get) {
    const struct options *options = get->program->options;
    const char *output = options->output ? options->output : ".", *first = options->operands[0];
    int is_one = options->operand_count == 1 && first[strlen(first) - 1] != '/';
    struct stat status;
    if (strcmp(output, "-") == 0) {
        get->as_it_is_fd = dup(STDOUT_FILENO);
        return 0;
    }
    int exists = stat(output, &status) == 0;
    if (!is_one || output[strlen(output) - 1] == '/' || (exists && S_ISDIR(status.st_mode)))
        return open_folder(get, output);
    if (exists && !S_ISREG(status.st_mode)) {
        get->as_it_is_fd = open(output, O_WRONLY | O_CLOEXEC);
        return get->as_it_is_fd < 0 ? refuse(output, strerror(errno)) : 0;
    }
    const char *slash = strrchr(output, '/');
    get->name = slash ? slash + 1 : output;
    char *folder = slash ? strndup(output, (size_t)(slash + 1 - output)) : strdup(".");
    int failed = folder ? open_folder(get, folder) : refuse(output, "out of memory");
    free(folder);
    return failed;
}

static const char *base(const char *key) {
    const char *slash = strrchr(key, '/');
    return slash ? slash + 1 : key;
}

/* Two keys with one last part would be one file. */
static int check_names(const struct options *options) {
    for (size_t i = 0; i < options->operand_count; i++)
        for (size_t j = i + 1; *base(options->operands[i]) && j < options->operand_count; j++)
            if (strcmp(base(options->operands[i]), base(options->operands[j])) == 0) {
                note("ci-workspace: %s and %s would both be written to %s", options->operands[i], options->operands[j],
                     base(options->operands[i]));
                return STATUS_WRONG_USE;
            }
    return 0;
}

int command_get(struct program *program) {
    const struct options *options = program->options;
    struct get get = {.program = program, .folder_fd = -1, .as_it_is_fd = -1};
    int is_output = options->output && strcmp(options->output, "-") == 0;
    if (is_output && options->json) {
        note("ci-workspace: --json and -o - both write to standard output: leave one out");
        return STATUS_WRONG_USE;
    }
    int status = is_output ? 0 : check_names(options);
    if (status == 0)
        status = open_target(&get);
    if (status)
        return status;
    program->progress.what = "get";
    get.keys = keys_new(program, options->operands, options->operand_count);
    if (get.keys)
        jobs_run(next, &get, get.folder_fd < 0 ? 1 : options->parallel);
    else
        report_failure(program, options->operands[0], NULL, "out of memory");
    keys_free(get.keys);
    if (get.folder_fd >= 0)
        close(get.folder_fd);
    if (get.as_it_is_fd >= 0 && close(get.as_it_is_fd))
        report_failure(program, NULL, options->output, strerror(errno));
    return 0;
}
