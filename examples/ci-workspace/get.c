/* get: objects into files, some beside each other. */
#include "keys.h"
#include "taken.h"
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
    const char *folder; /* made for the first file */
    int folder_fd;      /* -1: not there yet */
    int as_it_is_fd;    /* -1: files in the folder */
    char *above;        /* the folder, where -o names a file in it */
    struct taken taken;
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
    int is_told;      /* of what went wrong */
};

static int is_unchanged(const struct get *get, const char *path, uint64_t size_bytes, int64_t modified_ms) {
    uint64_t own_size;
    int64_t own_modified_ms;
    return get->program->options->changed && get->folder_fd >= 0 &&
           target_stat(get->folder_fd, path, &own_size, &own_modified_ms) == 0 && own_size == size_bytes &&
           own_modified_ms >= modified_ms;
}

/* Opens a folder that the user named, and makes it when it is not there: links in its own path are theirs. Returns 0; -1 with
 * errno. */
static int make_folder(struct get *get) {
    char *copy = strdup(get->folder); /* missing folders above it are made too */
    for (char *slash = copy ? strchr(copy + 1, '/') : NULL; slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        mkdir(copy, 0777);
        *slash = '/';
    }
    free(copy);
    if (mkdir(get->folder, 0777) && errno != EEXIST)
        return -1;
    get->folder_fd = open(get->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return get->folder_fd < 0 ? -1 : 0;
}

/* Returns NULL, or what is wrong. */
static const char *begin_target(struct get *get, struct target *target, const char *path) {
    if (get->as_it_is_fd >= 0) {
        target_begin_as_it_is(target, get->as_it_is_fd);
        return NULL;
    }
    if (get->folder_fd < 0 && make_folder(get))
        return strerror(errno);
    return target_begin(target, get->folder_fd, path);
}

static int32_t on_object(void *user, const ci_object *object) {
    struct download *self = user;
    self->modified_ms = object->modified_ms;
    self->unchanged = is_unchanged(self->get, self->path, object->size_bytes, object->modified_ms);
    if (self->unchanged)
        return -1;
    const char *wrong = begin_target(self->get, &self->target, self->path);
    if (wrong)
        report_failure(self->get->program, self->found.key, self->path, wrong);
    self->is_told = wrong != NULL;
    return wrong ? -1 : 0;
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
    else if (status != CI_OK && !self->is_told) {
        report_error(program, key, self->path, error);
        error = NULL;
    } else if (status == CI_OK)
        report_done(program, "saved", key, self->path, self->size_bytes);
    ci_error_free(error);
    download_free(self);
}

/* Begins the download of what was found. NULL: it has failed, or need not be. */
static struct job *begin(struct get *get, struct found *found) {
    struct program *program = get->program;
    const char *path = get->name ? get->name : found->rest, *wrong;
    int is_taken = get->as_it_is_fd >= 0 ? 1 : taken_add(&get->taken, path, found->key, &wrong);
    if (is_taken <= 0) {
        if (is_taken < 0)
            report_failure(program, found->key, path, wrong);
        free(found->key);
        return NULL;
    }
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
    *self = (struct download){.get = get, .found = *found, .path = path, .target = {.fd = -1, .folder_fd = -1}};
    self->job = (struct job){.weight = 1, .input_fd = -1, .end = end};
    ci_storage_read_options options = CI_STORAGE_READ_OPTIONS_INIT;
    options.timeout_ms = program->options->timeout_ms;
    ci_error *error = NULL;
    if (ci_storage_read_start(program->storage, found->key, &options, on_bytes, on_object, self, &self->job.call,
                              &error) == CI_OK)
        return &self->job;
    report_error(program, found->key, path, error);
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

/* What is in the way of a folder is told before anything is asked for. */
static int open_folder(struct get *get, const char *path) {
    get->folder = path;
    get->folder_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return get->folder_fd < 0 && errno != ENOENT ? refuse(path, strerror(errno)) : 0;
}

/* Opens where all goes to. What is no regular file (a pipe, a device) is written to, not replaced. */
static int open_target(struct get *get) {
    const struct options *options = get->program->options;
    const char *output = options->output ? options->output : ".", *first = options->operands[0];
    int is_one = options->operand_count == 1 && first[strlen(first) - 1] != '/';
    struct stat status;
    if (strcmp(output, "-") == 0) {
        get->as_it_is_fd = dup(STDOUT_FILENO);
        return get->as_it_is_fd < 0 ? refuse(output, strerror(errno)) : 0;
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
    if (!slash)
        return open_folder(get, ".");
    get->above = strndup(output, (size_t)(slash + 1 - output));
    return get->above ? open_folder(get, get->above) : refuse(output, "out of memory");
}

static const char *base(const char *key) {
    const char *slash = strrchr(key, '/');
    return slash ? slash + 1 : key;
}

/* Two keys with one last part would be one file. */
static int check_names(const struct options *options) {
    struct taken taken = {0};
    const char *why;
    int status = 0;
    for (size_t i = 0; status == 0 && i < options->operand_count; i++) {
        const char *key = options->operands[i];
        if (*base(key) && taken_add(&taken, base(key), key, &why) < 0) {
            note("ci-workspace: %s", why);
            status = STATUS_WRONG_USE;
        }
    }
    taken_clear(&taken);
    return status;
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
    if (status) {
        free(get.above);
        return status;
    }
    program->progress.what = "get";
    get.keys = keys_new(program, options->operands, options->operand_count);
    if (get.keys)
        jobs_run(next, &get, get.as_it_is_fd >= 0 ? 1 : options->parallel);
    else
        report_failure(program, options->operands[0], NULL, "out of memory");
    keys_free(get.keys);
    taken_clear(&get.taken);
    free(get.above);
    if (get.folder_fd >= 0)
        close(get.folder_fd);
    if (get.as_it_is_fd >= 0 && close(get.as_it_is_fd))
        report_failure(program, NULL, options->output, strerror(errno));
    return 0;
}
