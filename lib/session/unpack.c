/* See unpack.h. Two ways: where the sandbox root is a folder of this machine, the archive is unpacked beside it, where
 * the guest cannot see, and moved into place whole; elsewhere it is copied out, unpacked into a temporary folder and
 * written file by file.
 *
 *     here      EXTRACT ------> HASH -> MOVE
 *     elsewhere COPY -> EXTRACT -> TARGET -> PUT
 *
 * Every file is hashed on the way, so that a push can tell what nobody has touched. */
#include "session/unpack.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/path.h"
#include "base/str.h"
#include "os/resolve.h"
#include "session/tree.h"
#include "session/walk.h"

#define STEP_MS 10
#define TARGETS_MAX 1000
#define RATIO_FREE_BYTES (UINT64_C(100) << 20)

#ifndef RENAME_NOREPLACE
#define RENAME_NOREPLACE 1
#endif

struct cii_unpack {
    ci_session *session;
    enum { COPY, EXTRACT, HASH, MOVE, TARGET, PUT } stage;
    char *path;
    bool here;
    ci_host_dirs dirs;
    int archive_fd;
    int parent_fd; /* folder that the temporary one is in */
    bool owns_parent_fd;
    bool staged; /* the temporary folder exists */
    char stage_name[48];
    int stage_fd;
    cii_archive *archive;
    cii_archive_report done;
    cii_report refused;
    cii_tree tree;
    size_t file_at;
    int file_fd;
    cii_sha256 *hash;
    uint8_t (*hashes)[32];
    char *target;
    unsigned target_number;
    ci_op *op;
    ci_status status;
    ci_error *error; /* why it was not unpacked, or not whole */
};

/* --- names --------------------------------------------------------------------------------------------------------- */

/* "a/data.tar.gz" and 1: "a/data"; 2: "a/data (2)". */
static char *target_name(const char *path, unsigned number) {
    const char *base = cii_path_base(path);
    size_t stem = 0;
    cii_archive_is_name(base, &stem);
    int size = (int)(base - path) + (int)stem;
    return number > 1 ? cii_str_printf("%.*s (%u)", size, path, number) : cii_str_printf("%.*s", size, path);
}

static ci_status next_target(cii_unpack *self) {
    free(self->target);
    self->target = target_name(self->path, ++self->target_number);
    return self->target ? CI_OK : cii_error_nomem(&self->error);
}

static ci_status too_many_targets(cii_unpack *self) {
    return cii_error_set(&self->error, CI_ERR_EXISTS, "session", "there are folders of that name already");
}

/* --- extracting ---------------------------------------------------------------------------------------------------- */

static void on_refused(void *user, const char *name, const char *reason) {
    cii_unpack *self = user;
    if (self->refused.count == CII_UNPACK_REFUSED_MAX)
        return; /* counted in the archive's own entry */
    const ci_file_info info = {
        .struct_size = sizeof info, .path = name, .error = reason, .kind = CI_KIND_OTHER, .status = CI_FILE_SKIPPED};
    if (cii_report_add(&self->refused, &info) < 0)
        self->status = CI_ERR_NOMEM;
}

static cii_fsid enter(const cii_unpack *self) {
    return self->here ? cii_fsid_enter(self->dirs.uid, self->dirs.gid)
                      : cii_fsid_enter((uint32_t)geteuid(), (uint32_t)getegid());
}

static ci_status make_stage(cii_unpack *self) {
    char id[27];
    if (cii_id_random(id) < 0)
        return cii_error_errno(&self->error, errno, "session", "random name");
    snprintf(self->stage_name, sizeof self->stage_name, "ci-unpack-%s", id);
    cii_fsid before = enter(self);
    self->staged = mkdirat(self->parent_fd, self->stage_name, 0755) == 0;
    int saved = errno;
    cii_fsid_leave(before);
    if (self->staged)
        self->stage_fd = openat(self->parent_fd, self->stage_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (self->stage_fd < 0)
        return cii_error_errno(&self->error, self->staged ? errno : saved, "session", "make a folder to unpack into");
    return CI_OK;
}

static ci_status start_extract(cii_unpack *self) {
    const ci_session_options *o = &self->session->options;
    const cii_archive_limits limits = {
        .entry_count = o->archive_entry_count,
        .bytes = o->archive_bytes,
        .ratio = o->archive_ratio,
        .ratio_free_bytes = RATIO_FREE_BYTES,
    };
    ci_status status = make_stage(self);
    if (status < 0)
        return status;
    self->stage = EXTRACT;
    return cii_archive_new(self->archive_fd, self->stage_fd, &limits, on_refused, self, &self->archive, &self->error);
}

static int step_extract(cii_unpack *self, cii_waits *waits) {
    cii_fsid before = enter(self);
    int r = cii_archive_step(self->archive, STEP_MS, &self->done, &self->error);
    cii_fsid_leave(before);
    if (self->status < 0)
        return self->status;
    if (r <= 0) {
        waits->again = r == 0;
        return r;
    }
    cii_archive_free(TAKE_PTR(self->archive));
    if (!self->done.complete) {
        cii_error_set(&self->error, CI_ERR_INVALID, "archive", "%s", self->done.reason);
        if (self->done.entry_count == 0)
            return CI_ERR_INVALID;
    }
    ci_status status = cii_tree_read(&self->tree, self->stage_fd, &self->error);
    if (status < 0)
        return status;
    self->hashes = calloc(self->tree.file_count + 1, sizeof *self->hashes);
    self->hash = cii_sha256_new();
    if (!self->hashes || !self->hash)
        return cii_error_nomem(&self->error);
    self->stage = self->here ? HASH : TARGET;
    return 0;
}

/* --- files --------------------------------------------------------------------------------------------------------- */

static ci_status open_file(cii_unpack *self) {
    self->file_fd =
        cii_resolve_open(self->stage_fd, self->tree.files[self->file_at], O_RDONLY, 0, CII_RESOLVE_NO_LINKS);
    if (self->file_fd < 0)
        return cii_error_errno(&self->error, errno, "session", "read unpacked file");
    return CI_OK;
}

static int64_t read_file(cii_unpack *self, void *buffer, size_t size) {
    ssize_t n = read(self->file_fd, buffer, size);
    return n > 0 && !cii_sha256_update(self->hash, buffer, (size_t)n) ? -1 : n;
}

static ci_status end_file(cii_unpack *self) {
    cii_close(TAKE_FD(self->file_fd));
    return cii_sha256_final(self->hash, self->hashes[self->file_at++]) ? CI_OK : cii_error_nomem(&self->error);
}

static ci_status remember(cii_unpack *self) {
    ci_session *session = self->session;
    for (size_t i = 0; i < self->tree.file_count; i++) {
        _cleanup_free_ char *path = cii_walk_join(self->target, self->tree.files[i]);
        if (!path)
            return cii_error_nomem(&self->error);
        pthread_mutex_lock(&session->lock);
        cii_known_file *known = cii_known_add(&session->known, path);
        if (known) {
            memcpy(known->preloaded, self->hashes[i], sizeof known->preloaded);
            known->is_preloaded = true;
            known->is_hashed = false;
        }
        pthread_mutex_unlock(&session->lock);
        if (!known)
            return cii_error_nomem(&self->error);
    }
    return CI_OK;
}

static int step_hash(cii_unpack *self, cii_waits *waits) {
    int64_t end_us = cii_clock_us() + STEP_MS * 1000;
    char buffer[64 << 10];
    while (self->file_at < self->tree.file_count) {
        ci_status status = self->file_fd < 0 ? open_file(self) : CI_OK;
        if (status < 0)
            return status;
        int64_t n = read_file(self, buffer, sizeof buffer);
        if (n < 0)
            return cii_error_errno(&self->error, errno, "session", "read unpacked file");
        if (n == 0 && (status = end_file(self)) < 0)
            return status;
        if (cii_clock_us() >= end_us) {
            waits->again = true;
            return 0;
        }
    }
    self->stage = MOVE;
    return 0;
}

/* The folder appears whole, where there is nothing of that name; the guest's links on the way are not followed. */
static int step_move(cii_unpack *self) {
    cii_close(TAKE_FD(self->stage_fd));
    ci_status status = next_target(self);
    if (status < 0)
        return status;
    const char *name = NULL;
    _cleanup_close_ int folder_fd = cii_resolve_parent(self->dirs.files_fd, self->target, CII_RESOLVE_NO_LINKS, &name);
    while (folder_fd >= 0 && self->target_number <= TARGETS_MAX) {
        cii_fsid before = enter(self);
        long r = syscall(SYS_renameat2, self->parent_fd, self->stage_name, folder_fd, cii_path_base(self->target),
                         RENAME_NOREPLACE);
        int saved = errno;
        cii_fsid_leave(before);
        if (r == 0) {
            self->staged = false;
            status = remember(self);
            return status < 0 ? status : 1;
        }
        if (saved != EEXIST)
            return cii_error_errno(&self->error, saved, "session", "put the unpacked folder in place");
        if ((status = next_target(self)) < 0)
            return status;
    }
    return folder_fd < 0 ? cii_error_errno(&self->error, errno, "session", "folder of the archive")
                         : too_many_targets(self);
}

/* --- elsewhere ----------------------------------------------------------------------------------------------------- */

static int32_t on_archive_bytes(void *user, const void *data, size_t size) {
    return cii_fd_write_all(((cii_unpack *)user)->archive_fd, data, size) < 0 ? -1 : 0;
}

static ci_status start_copy(cii_unpack *self) {
    ci_session *session = self->session;
    self->archive_fd = open(P_tmpdir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    self->parent_fd = open(P_tmpdir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    self->owns_parent_fd = true;
    if (self->archive_fd < 0 || self->parent_fd < 0)
        return cii_error_errno(&self->error, errno, "session", "temporary file in " P_tmpdir);
    self->stage = COPY;
    return session->ops->file_get(session->backend, self->path, 0, UINT64_MAX, on_archive_bytes, self, &self->op,
                                  &self->error);
}

static int step_copy(cii_unpack *self, cii_waits *waits) {
    int r = cii_op_step(&self->op, waits, &self->error);
    return r > 0 ? start_extract(self) : r;
}

static int32_t on_target(void *user, const ci_entry *entry) {
    (void)user;
    (void)entry;
    return 0;
}

/* Looks for a name that is free. */
static int step_target(cii_unpack *self, cii_waits *waits) {
    ci_session *session = self->session;
    _cleanup_error_ ci_error *error = NULL;
    int r = 0;
    if (!self->op) {
        r = self->target_number < TARGETS_MAX ? next_target(self) : too_many_targets(self);
        if (r < 0)
            return r;
        r = session->ops->file_stat(session->backend, self->target, on_target, self, &self->op, &error);
    }
    if (r == 0)
        r = cii_op_step(&self->op, waits, &error);
    if (r == 0)
        return 0;
    if (r == CI_ERR_NOTFOUND) {
        self->stage = PUT;
        return session->ops->file_mkdir(session->backend, self->target, &self->op, &self->error);
    }
    if (r < 0) {
        ci_error_free(self->error);
        self->error = TAKE_PTR(error);
        return r;
    }
    waits->again = true;
    return 0;
}

static int64_t on_put_read(void *user, void *buffer, size_t size) {
    return read_file(user, buffer, size);
}

/* The first operation here is the folder's; each later one is a file. */
static int step_put(cii_unpack *self, cii_waits *waits) {
    ci_session *session = self->session;
    int r = self->op ? cii_op_step(&self->op, waits, &self->error) : 1;
    if (r <= 0)
        return r;
    ci_status status = self->file_fd >= 0 ? end_file(self) : CI_OK;
    if (status == CI_OK && self->file_at == self->tree.file_count) {
        if (self->tree.left_out_count > 0 && !self->error)
            cii_error_set(&self->error, CI_ERR_NOTSUP, "session", "%llu links were left out: this backend takes none",
                          (unsigned long long)self->tree.left_out_count);
        status = remember(self);
        return status < 0 ? status : 1;
    }
    if (status == CI_OK)
        status = open_file(self);
    _cleanup_free_ char *path = status == CI_OK ? cii_walk_join(self->target, self->tree.files[self->file_at]) : NULL;
    if (status == CI_OK && !path)
        status = cii_error_nomem(&self->error);
    if (status == CI_OK)
        status = session->ops->file_put(session->backend, path, on_put_read, self, &self->op, &self->error);
    waits->again = true;
    return status;
}

/* --- the whole ----------------------------------------------------------------------------------------------------- */

/* The archive may have been swapped by the guest since it was written: what is opened is a regular file, below the root,
 * reached by no link. */
static ci_status open_here(cii_unpack *self) {
    _cleanup_close_ int fd =
        cii_resolve_open(self->dirs.files_fd, self->path, O_PATH | O_NOFOLLOW, 0, CII_RESOLVE_NO_LINKS);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0)
        return cii_error_errno(&self->error, errno, "session", "open the archive");
    if (!S_ISREG(st.st_mode))
        return cii_error_set(&self->error, CI_ERR_INVALID, "session", "no regular file");
    self->archive_fd = cii_resolve_reopen(fd, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (self->archive_fd < 0)
        return cii_error_errno(&self->error, errno, "session", "open the archive");
    self->parent_fd = self->dirs.stage_fd;
    return start_extract(self);
}

static ci_status begin(cii_unpack *self) {
    ci_session *session = self->session;
    self->here = (session->capabilities & CI_CAP_HOST_PATHS) != 0;
    if (!self->here)
        return start_copy(self);
    self->dirs.struct_size = sizeof self->dirs;
    ci_status status = session->ops->host_dirs(session->backend, &self->dirs, &self->error);
    return status < 0 ? status : open_here(self);
}

ci_status cii_unpack_start(ci_session *session, const char *path, cii_unpack **ret_unpack, ci_error **ret_error) {
    cii_unpack *self = calloc(1, sizeof *self);
    if (!self)
        return cii_error_nomem(ret_error);
    *self = (cii_unpack){
        .session = session,
        .path = strdup(path),
        .archive_fd = -1,
        .parent_fd = -1,
        .stage_fd = -1,
        .file_fd = -1,
    };
    if (!self->path) {
        cii_unpack_free(self);
        return cii_error_nomem(ret_error);
    }
    atomic_fetch_add(&session->write_count, 1);
    self->status = begin(self);
    *ret_unpack = self;
    return CI_OK;
}

static int step(cii_unpack *self, cii_waits *waits) {
    switch (self->stage) {
    case COPY:
        return step_copy(self, waits);
    case EXTRACT:
        return step_extract(self, waits);
    case HASH:
        return step_hash(self, waits);
    case MOVE:
        return step_move(self);
    case TARGET:
        return step_target(self, waits);
    case PUT:
        return step_put(self, waits);
    }
    return CI_ERR_INTERNAL;
}

int cii_unpack_step(cii_unpack *self, cii_waits *waits, ci_error **ret_error) {
    int r = self->status;
    for (int stage = -1; r == 0 && stage != (int)self->stage;) {
        stage = (int)self->stage;
        r = step(self, waits);
    }
    if (r == 0)
        return 0;
    atomic_fetch_add(&self->session->write_count, 1);
    if (r == CI_ERR_NOMEM || r == CI_ERR_CLOSED || r == CI_ERR_LOST) {
        if (ret_error)
            *ret_error = TAKE_PTR(self->error);
        return r;
    }
    if (r < 0)
        free(TAKE_PTR(self->target));
    self->status = r < 0 ? r : CI_OK;
    return 1;
}

void cii_unpack_tell(const cii_unpack *self, ci_file_info *info) {
    info->status = self->target ? CI_FILE_UNPACKED : CI_FILE_PRELOADED;
    info->target = self->target;
    info->error = self->error ? ci_error_message(self->error) : NULL;
    info->entry_count = self->target ? (uint32_t)CII_MIN(self->done.entry_count, UINT32_MAX) : 0;
    info->refused_count = (uint32_t)CII_MIN(self->done.refused_count, UINT32_MAX);
}

ci_status cii_unpack_tell_refused(const cii_unpack *self, cii_report *report) {
    for (size_t i = 0; i < self->refused.count; i++) {
        ci_status status = cii_report_add(report, &self->refused.files[i]);
        if (status < 0)
            return status;
    }
    return CI_OK;
}

void cii_unpack_free(cii_unpack *self) {
    if (!self)
        return;
    cii_op_drop(&self->op);
    cii_archive_free(self->archive);
    cii_close(self->stage_fd);
    if (self->staged)
        cii_tree_remove(self->parent_fd, self->stage_name);
    if (self->owns_parent_fd)
        cii_close(self->parent_fd);
    cii_close(self->archive_fd);
    cii_close(self->file_fd);
    cii_report_free(&self->refused);
    cii_tree_free(&self->tree);
    cii_sha256_free(self->hash);
    free(self->hashes);
    free(self->path);
    free(self->target);
    ci_error_free(self->error);
    free(self);
}
