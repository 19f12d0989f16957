/* fts(3) walks a folder without following links, and holds one folder's names at a time. */
#include "sources.h"

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct sources {
    struct program *program;
    char **names;
    size_t count, at;
    char *key;    /* of the one file; NULL: below prefix, by their names */
    char *prefix; /* "" or with a slash at its end */
    FTS *walk;    /* of the folder names[at] */
    char *below;  /* how its keys begin */
    size_t skip;  /* of its paths */
};

static int ends_in_slash(const char *text) {
    size_t size = strlen(text);
    return size > 0 && text[size - 1] == '/';
}

static int is_folder(const char *path) {
    struct stat status;
    return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

/* The target, where one is named: the last of two operands and more. */
static const char *find_target(struct sources *self, const struct options *options) {
    self->names = options->operands;
    self->count = options->operand_count;
    if (self->count == 1)
        return strcmp(self->names[0], "-") == 0 ? "" : "/";
    return self->names[--self->count];
}

static const char *check(const struct sources *self, const char *target) {
    int is_one = self->count == 1 && !is_folder(self->names[0]);
    for (size_t i = 0; i < self->count; i++)
        if (strcmp(self->names[i], "-") == 0 && (self->count > 1 || ends_in_slash(target) || !*target))
            return "standard input (-) is stored alone, and wants a KEY: put WORKSPACE - KEY";
    if (!ends_in_slash(target) && !is_one)
        return "several files, or a folder, go below a PREFIX/: the last name wants a slash at its end";
    return NULL;
}

struct sources *sources_new(struct program *program, int *ret_status) {
    struct sources *self = calloc(1, sizeof(*self));
    *ret_status = STATUS_FAILED;
    if (!self)
        return NULL;
    self->program = program;
    const char *target = find_target(self, program->options), *wrong = check(self, target);
    if (wrong) {
        note("ci-workspace: %s", wrong);
        *ret_status = STATUS_WRONG_USE;
    } else if (!ends_in_slash(target)) {
        self->key = strdup(target);
        self->prefix = strdup("");
    } else {
        self->prefix = strdup(strcmp(target, "/") == 0 ? "" : target);
    }
    if (self->prefix)
        return self;
    sources_free(self);
    return NULL;
}

void sources_free(struct sources *self) {
    if (!self)
        return;
    if (self->walk)
        fts_close(self->walk);
    free(self->below);
    free(self->prefix);
    free(self->key);
    free(self);
}

const char *sources_prefix(const struct sources *self) {
    return self->key ? self->key : self->prefix;
}

static char *join(const char *a, const char *b, const char *c) {
    char *text = NULL;
    return asprintf(&text, "%s%s%s", a, b, c) < 0 ? NULL : text;
}

/* Opens the file; its size and time are those of what was opened. Returns 1, or 0 when it was told of. */
static int open_source(struct sources *self, const char *path, char *key, int flags, struct source *ret) {
    struct stat status;
    *ret = (struct source){.path = strdup(path), .key = key, .fd = -1};
    const char *wrong = !key || !ret->path ? "out of memory" : NULL;
    if (!wrong)
        ret->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | flags);
    if (!wrong && (ret->fd < 0 || fstat(ret->fd, &status)))
        wrong = strerror(errno);
    else if (!wrong && !S_ISREG(status.st_mode))
        wrong = "no regular file: left out";
    if (wrong) {
        report_failure(self->program, NULL, path, wrong);
        if (ret->fd >= 0)
            close(ret->fd);
        free(ret->path);
        free(key);
        return 0;
    }
    ret->size_bytes = (uint64_t)status.st_size;
    ret->modified_ms = (int64_t)status.st_mtim.tv_sec * 1000 + status.st_mtim.tv_nsec / 1000000;
    return 1;
}

/* ---- folders ---- */

/* "data" goes below data/, "data/", "." and ".." by what they hold. */
static void begin_folder(struct sources *self, char *path) {
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    int by_content = !*name || strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
    self->below = by_content ? strdup(self->prefix) : join(self->prefix, name, "/");
    self->skip = strlen(path) + !ends_in_slash(path);
    self->walk = fts_open((char *[]){path, NULL}, FTS_PHYSICAL | FTS_COMFOLLOW | FTS_NOCHDIR, NULL);
    if (!self->walk || !self->below)
        report_failure(self->program, NULL, path, strerror(errno));
}

static void end_name(struct sources *self) {
    if (self->walk)
        fts_close(self->walk);
    free(self->below);
    self->walk = NULL;
    self->below = NULL;
    self->at++;
}

/* The next file of the folder. Returns 1; 0: it has no more. */
static int next_below(struct sources *self, struct source *ret) {
    FTSENT *entry;
    while ((errno = 0, entry = fts_read(self->walk))) {
        switch (entry->fts_info) {
        case FTS_F:
            if (open_source(self, entry->fts_path, join(self->below, entry->fts_path + self->skip, ""), O_NOFOLLOW,
                            ret))
                return 1;
            break;
        case FTS_SL:
        case FTS_SLNONE:
            report_failure(self->program, NULL, entry->fts_path, "a link: left out");
            break;
        case FTS_DEFAULT:
            report_failure(self->program, NULL, entry->fts_path, "no regular file: left out");
            break;
        case FTS_DNR:
        case FTS_ERR:
        case FTS_NS:
            report_failure(self->program, NULL, entry->fts_path, strerror(entry->fts_errno));
            break;
        default: /* folders, before and after what they hold */
            break;
        }
    }
    if (errno)
        report_failure(self->program, NULL, self->names[self->at], strerror(errno));
    return 0;
}

int sources_next(struct sources *self, struct source *ret) {
    while (self->at < self->count) {
        char *path = self->names[self->at];
        if (self->walk && self->below && next_below(self, ret))
            return 1;
        if (!self->walk && is_folder(path)) {
            begin_folder(self, path);
            if (self->walk && self->below)
                continue;
        } else if (!self->walk && strcmp(path, "-") == 0) {
            self->at++;
            *ret = (struct source){.path = strdup(path), .key = strdup(self->key), .fd = dup(STDIN_FILENO)};
            if (ret->path && ret->key && ret->fd >= 0)
                return 1;
            report_failure(self->program, NULL, path, "out of memory");
            return 0;
        } else if (!self->walk) {
            const char *slash = strrchr(path, '/');
            char *key = self->key ? strdup(self->key) : join(self->prefix, slash ? slash + 1 : path, "");
            self->at++;
            if (open_source(self, path, key, 0, ret))
                return 1;
            continue;
        }
        end_name(self);
    }
    return 0;
}
