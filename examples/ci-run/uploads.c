/* Walks the folders with fts(3), links inside them left out, and streams every file into the workspace. */
#include "uploads.h"

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct source {
    int fd;
    int error; /* of a read that failed */
};

static int64_t read_file(void *user, void *buffer, size_t size) {
    struct source *source = user;
    ssize_t got = read(source->fd, buffer, size);
    if (got < 0)
        source->error = errno;
    return got;
}

static int store_file(struct terminal *terminal, ci_session *session, const char *path, const char *name) {
    struct source source = {.fd = open(path, O_RDONLY | O_CLOEXEC)};
    if (source.fd < 0) {
        note("ci-run: --upload %s: %s", path, strerror(errno));
        return STATUS_FAILED;
    }
    ci_error *error = NULL;
    ci_call *call = NULL;
    if (ci_workspace_write_start(session, name, read_file, &source, &call, &error) == CI_OK) {
        terminal_wait(terminal, call, 0);
        ci_call_take_status(call, &error);
        ci_call_free(call);
    }
    close(source.fd);
    if (!error)
        return 0;
    if (!source.error && !terminal->end_status)
        return terminal_fail(error);
    if (source.error)
        note("ci-run: --upload %s: %s", path, strerror(source.error));
    ci_error_free(error);
    return STATUS_FAILED;
}

/* The last name of a path, as in "data" of "some/data/"; of one that ends in "." or "..", that of the real folder. */
static char *last_name(const char *path) {
    size_t size = strlen(path);
    while (size > 1 && path[size - 1] == '/')
        size--;
    char *copy = strndup(path, size);
    char *slash = copy ? strrchr(copy, '/') : NULL;
    const char *name = slash && slash[1] ? slash + 1 : copy;
    if (copy && (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)) {
        char *real = realpath(path, NULL);
        free(copy);
        char *result = real ? last_name(real) : NULL;
        free(real);
        return result;
    }
    char *result = copy ? strdup(name) : NULL;
    free(copy);
    return result;
}

static int store_entry(struct terminal *terminal, ci_session *session, const FTSENT *entry, const char *below,
                       const char *name) {
    switch (entry->fts_info) {
    case FTS_F: {
        char *key;
        if (asprintf(&key, "uploads/%s%s", name, below) < 0) {
            note("ci-run: out of memory");
            return STATUS_FAILED;
        }
        int status = store_file(terminal, session, entry->fts_accpath, key);
        free(key);
        return status;
    }
    case FTS_DNR:
    case FTS_ERR:
    case FTS_NS:
    case FTS_SLNONE:
        note("ci-run: --upload %s: %s", entry->fts_path, strerror(entry->fts_errno ? entry->fts_errno : ENOENT));
        return STATUS_FAILED;
    case FTS_SL:
    case FTS_DEFAULT:
        if (entry->fts_level == FTS_ROOTLEVEL) {
            note("ci-run: --upload %s: neither a file nor a folder", entry->fts_path);
            return STATUS_FAILED;
        }
        note("uploads: left out %s: %s", entry->fts_path,
             entry->fts_info == FTS_SL ? "a link" : "neither a file nor a folder");
        return 0;
    default: /* a folder, before or after what it holds */
        return 0;
    }
}

static int store_path(struct terminal *terminal, ci_session *session, const char *path, const char *name) {
    char *const roots[] = {(char *)path, NULL};
    FTS *walk = fts_open(roots, FTS_PHYSICAL | FTS_COMFOLLOW | FTS_NOCHDIR, NULL);
    int status = walk ? 0 : STATUS_FAILED;
    if (!walk)
        note("ci-run: --upload %s: %s", path, strerror(errno));
    for (FTSENT *entry; status == 0 && (entry = fts_read(walk));) {
        const char *below = entry->fts_path + strlen(path);
        char *slashed = NULL;
        if (entry->fts_level > 0 && *below != '/') /* the root was given with a slash at its end */
            below = asprintf(&slashed, "/%s", below) < 0 ? NULL : slashed;
        status = below ? store_entry(terminal, session, entry, below, name) : STATUS_FAILED;
        free(slashed);
    }
    if (walk)
        fts_close(walk);
    return status;
}

int uploads_store(struct terminal *terminal, ci_session *session, const struct list *paths) {
    int status = 0;
    char **names = calloc(paths->count + 1, sizeof(*names));
    for (size_t i = 0; names && status == 0 && i < paths->count; i++) {
        names[i] = last_name(paths->items[i]);
        if (!names[i] || !strcmp(names[i], "/")) {
            note("ci-run: --upload %s: %s", paths->items[i], names[i] ? "has no name of its own" : strerror(errno));
            status = STATUS_FAILED;
        }
        for (size_t j = 0; status == 0 && j < i; j++)
            if (strcmp(names[i], names[j]) == 0) {
                note("ci-run: --upload %s: %s has the same name, one of them would be lost", paths->items[i],
                     paths->items[j]);
                status = STATUS_FAILED;
            }
        if (status == 0)
            status = store_path(terminal, session, paths->items[i], names[i]);
    }
    for (size_t i = 0; names && i < paths->count; i++)
        free(names[i]);
    free(names);
    return status;
}

void uploads_remove_folder(const char *path) {
    char *const roots[] = {(char *)path, NULL};
    FTS *walk = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
    for (FTSENT *entry; walk && (entry = fts_read(walk));) {
        if (entry->fts_info == FTS_DP)
            rmdir(entry->fts_accpath);
        else if (entry->fts_info != FTS_D)
            unlink(entry->fts_accpath);
    }
    if (walk)
        fts_close(walk);
}
