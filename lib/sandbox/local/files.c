/* Files of a session, worked on from the host's side.
 *
 * Everything below the root is hostile. Paths are resolved by openat2(2) inside the root, magic links refused; a target
 * is first opened O_PATH, looked at (which mount, what kind), and only then reopened, without blocking; what lies in the
 * workspace with no link on the way, where nothing but its own files can be met, is opened at once to read. Written is only
 * on the session's own mounts; read besides them is what a regular file of the read-only system is, never /proc or
 * /sys, whose files look regular too. New files are made with the identity of the session's user. */
#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "archive/archive.h"
#include "base/hash.h"
#include "base/path.h"
#include "base/str.h"
#include "os/resolve.h"
#include "sandbox/local/local.h"

#define CHUNK (1u << 20)
#define HASH_BYTES_A_ROUND (8u << 20)
#define NAMES_READ_A_ROUND 4096
#define NAMES_TOLD_A_ROUND 256
#define NAMES_BYTES_MAX ((size_t)64 << 20)

/* --- paths ------------------------------------------------------------------------------------------------------------ */

/* A guest path as one below the root: relative ones start in the workspace, ".." above the root stays there. */
static ci_status below_root(const char *path, char **ret_path, ci_error **ret_error) {
    _cleanup_free_ char *normal = NULL, *absolute = cii_str_printf("%s%s", path[0] == '/' ? "" : "/workspace/", path);
    if (*path == 0)
        return cii_error_set(ret_error, CI_ERR_INVALID, LOCAL_DOMAIN, "path: empty");
    if (absolute == NULL)
        return cii_error_nomem(ret_error);
    ci_status status = cii_path_normalize(absolute, &normal, ret_error);
    if (status != CI_OK)
        return status;
    *ret_path = strdup(normal[1] != 0 ? normal + 1 : ".");
    return *ret_path != NULL ? CI_OK : cii_error_nomem(ret_error);
}

static ci_status path_error(const local_session *s, const char *path, ci_error **ret_error) {
    int error_number = errno;
    if (s->closed)
        return cii_error_set(ret_error, CI_ERR_CLOSED, LOCAL_DOMAIN, "the session was closed");
    return cii_error_errno(ret_error, error_number == EXDEV ? EPERM : error_number, LOCAL_DOMAIN, "%s", path);
}

static bool may_write(const local_session *s, uint64_t mount) {
    for (size_t i = 0; i < CII_ELEMENTS(s->writable_mounts); i++)
        if (mount != 0 && s->writable_mounts[i] == mount)
            return true;
    return false;
}

/* A file of the session's own memory can hold no more than that, but claim to be of any size: read to its end, a hole of
 * exbibytes would keep the host busy for ever and fill its disks. */
static uint64_t size_max(const local_session *s, uint64_t mount) {
    bool own = may_write(s, mount) && (s->base_fd >= 0 || mount != s->writable_mounts[0]);
    return own && s->request.workspace_bytes > 0 ? s->request.workspace_bytes : UINT64_MAX;
}

/* Kernel file systems, whose "regular" files are doors into the kernel. */
static bool is_kernel_fs(int fd) {
    struct statfs fs;
    return fstatfs(fd, &fs) < 0 || fs.f_type == PROC_SUPER_MAGIC || fs.f_type == SYSFS_MAGIC ||
           fs.f_type == CGROUP_SUPER_MAGIC || fs.f_type == CGROUP2_SUPER_MAGIC || fs.f_type == DEBUGFS_MAGIC ||
           fs.f_type == SECURITYFS_MAGIC || fs.f_type == TRACEFS_MAGIC;
}

static ci_status refuse_place(const char *path, bool write, ci_error **ret_error) {
    return cii_error_set(ret_error, CI_ERR_PERMISSION, LOCAL_DOMAIN, "%s: %s", path,
                         write ? "only the workspace, the home folder and /tmp can be written"
                               : "files of /proc, /sys and /dev cannot be read");
}

/* Opens a target to look at: O_PATH, on a mount that may be read. */
static ci_status open_target(const local_session *s, const char *path, int flags, int *ret_fd, ci_error **ret_error) {
    _cleanup_free_ char *below = NULL;
    ci_status status = below_root(path, &below, ret_error);
    if (status != CI_OK)
        return status;
    _cleanup_close_ int fd = cii_resolve_open(s->root_fd, below, O_PATH | flags, 0, CII_RESOLVE_IN_ROOT);
    if (fd < 0)
        return path_error(s, path, ret_error);
    if (is_kernel_fs(fd))
        return refuse_place(path, false, ret_error);
    *ret_fd = TAKE_FD(fd);
    return CI_OK;
}

/* Opens the folder that holds a target to be made or removed; *ret_name is malloc'd. */
static ci_status open_parent(const local_session *s, const char *path, bool make, int *ret_fd, char **ret_name,
                             ci_error **ret_error) {
    _cleanup_free_ char *below = NULL;
    ci_status status = below_root(path, &below, ret_error);
    if (status != CI_OK)
        return status;
    const char *name = NULL;
    _cleanup_close_ int fd = cii_resolve_parent(s->root_fd, below, CII_RESOLVE_IN_ROOT, &name);
    char *slash = strrchr(below, '/');
    if (fd < 0 && errno == ENOENT && make && slash != NULL) {
        _cleanup_free_ char *folder = strndup(below, (size_t)(slash - below));
        cii_fsid before = cii_fsid_enter(s->uid, s->gid);
        int made = folder != NULL ? cii_resolve_mkdirs(s->root_fd, folder, 0755, CII_RESOLVE_IN_ROOT) : -1;
        int error_number = errno;
        cii_fsid_leave(before);
        errno = error_number;
        if (made == 0)
            fd = cii_resolve_parent(s->root_fd, below, CII_RESOLVE_IN_ROOT, &name);
    }
    if (fd < 0)
        return path_error(s, path, ret_error);
    if (!may_write(s, cii_resolve_mount_id(fd)))
        return refuse_place(path, true, ret_error);
    if ((*ret_name = strdup(name)) == NULL)
        return cii_error_nomem(ret_error);
    *ret_fd = TAKE_FD(fd);
    return CI_OK;
}

ci_status local_files_init(local_session *s, ci_error **ret_error) {
    static const char *const writable[] = {"workspace", "home/user", "tmp"};
    for (size_t i = 0; i < CII_ELEMENTS(writable); i++) {
        struct stat st;
        _cleanup_close_ int fd =
            cii_resolve_open(s->root_fd, writable[i], O_PATH | O_DIRECTORY, 0, CII_RESOLVE_NO_LINKS);
        if (fd < 0 || fstat(fd, &st) < 0 || (s->writable_mounts[i] = cii_resolve_mount_id(fd)) == 0)
            return cii_error_errno(ret_error, errno, LOCAL_DOMAIN, "look at the sandbox's %s", writable[i]);
        if (i == 1) {
            s->uid = st.st_uid;
            s->gid = st.st_gid;
        }
    }
    return CI_OK;
}

/* --- operations ------------------------------------------------------------------------------------------------------- */

/* One operation on files; each kind has its step. Descriptors and names are freed with it. */
typedef struct file_op file_op;
struct file_op {
    ci_op op;
    local_session *session;
    int32_t (*step)(file_op *f, ci_error **ret_error); /* 1 done, 0 go on, negative failed */
    char *path, *name, *temporary;
    int fd, parent_fd;
    uint64_t left;
    uint64_t known; /* bytes that were left of the file when it was opened; it may grow and shrink */
    ci_op_write_cb write;
    ci_op_read_cb read;
    ci_entry_cb entry;
    void *user;
    uint8_t *chunk;
    size_t chunk_size, chunk_sent;
    uint32_t flags;
    struct walk *walk;
    struct listing *listing;
    ci_status status; /* what went wrong as it started, told by the first process() */
    ci_error *error;
};

typedef struct level {
    DIR *dir;
    size_t path_size;
} level;

/* The names of a folder, as a heap: the next one in byte order is the first. */
typedef struct listing {
    DIR *dir;
    bool is_read;
    cii_buf text; /* the names, each with its NUL */
    size_t *heap; /* where each begins */
    size_t count, capacity;
} listing;

static void listing_free(listing *l) {
    if (l == NULL)
        return;
    if (l->dir != NULL)
        closedir(l->dir);
    cii_buf_free(&l->text);
    free(l->heap);
    free(l);
}

typedef struct walk {
    level *levels;
    size_t depth, capacity;
    cii_buf path;
    cii_sha256 *hash;
    int file_fd; /* being hashed */
    uint64_t hash_left;
    struct stat file;
} walk;

static void walk_free(walk *w) {
    if (w == NULL)
        return;
    while (w->depth > 0)
        closedir(w->levels[--w->depth].dir);
    cii_close(w->file_fd);
    cii_sha256_free(w->hash);
    cii_buf_free(&w->path);
    free(w->levels);
    free(w);
}

static int32_t file_fd(ci_op *op _unused_) {
    return -1;
}

static int32_t file_process(ci_op *op, ci_error **ret_error) {
    file_op *f = (file_op *)op;
    if (f->session->closed)
        return cii_error_set(ret_error, CI_ERR_CLOSED, LOCAL_DOMAIN, "the session was closed");
    return f->step(f, ret_error);
}

static void file_free(ci_op *op) {
    file_op *f = (file_op *)op;
    if (f->temporary != NULL)
        unlinkat(f->parent_fd, f->temporary, 0);
    walk_free(f->walk);
    listing_free(f->listing);
    ci_error_free(f->error);
    cii_close(f->fd);
    cii_close(f->parent_fd);
    free(f->path);
    free(f->name);
    free(f->temporary);
    free(f->chunk);
    free(f);
}

static const ci_op_ops file_ops = {
    .struct_size = sizeof(ci_op_ops), .fd = file_fd, .process = file_process, .free = file_free};

static file_op *file_new(local_session *s, const char *path, int32_t (*step)(file_op *f, ci_error **ret_error)) {
    file_op *f = calloc(1, sizeof *f);
    if (f == NULL)
        return NULL;
    *f = (file_op){.op.ops = &file_ops, .session = s, .step = step, .fd = -1, .parent_fd = -1, .path = strdup(path)};
    if (f->path == NULL) {
        file_free(&f->op);
        return NULL;
    }
    return f;
}

static int32_t failed_step(file_op *f, ci_error **ret_error) {
    if (ret_error != NULL) {
        ci_error_free(*ret_error);
        *ret_error = TAKE_PTR(f->error);
    }
    return f->status;
}

/* Ends a start function. A failure is the operation's: its first process() tells it. */
static ci_status started(file_op *f, ci_status status, ci_op **ret_op, ci_error **ret_error) {
    if (f == NULL)
        return cii_error_nomem(ret_error);
    if (status != CI_OK) {
        f->step = failed_step;
        f->status = status;
        f->error = ret_error != NULL ? TAKE_PTR(*ret_error) : NULL;
    }
    *ret_op = &f->op;
    return CI_OK;
}

static int32_t cancelled(const file_op *f, ci_error **ret_error) {
    return cii_error_set(ret_error, CI_ERR_CANCELLED, LOCAL_DOMAIN, "%s: the transfer was stopped", f->path);
}

/* --- get -------------------------------------------------------------------------------------------------------------- */

static int32_t get_step(file_op *f, ci_error **ret_error) {
    if (f->chunk_size == 0 && f->left > 0) {
        size_t wanted = CII_MIN(f->left, (uint64_t)CHUNK);
        ssize_t size = read(f->fd, f->chunk, wanted);
        if (size < 0)
            return errno == EINTR || errno == EAGAIN ? 0 : path_error(f->session, f->path, ret_error);
        f->chunk_size = (size_t)size;
        bool is_end = f->known > 0 && (size_t)size < wanted && (uint64_t)size >= f->known; /* all it had, and no more */
        f->known -= CII_MIN(f->known, (uint64_t)size);
        f->left = is_end ? 0 : f->left - (uint64_t)size;
    }
    if (f->chunk_size == 0)
        return 1;
    int32_t taken = f->write(f->user, f->chunk, f->chunk_size);
    if (taken == CI_IO_PAUSE)
        return 0;
    if (taken != 0)
        return cancelled(f, ret_error);
    f->chunk_size = 0;
    return 0;
}

/* Most are plain files of the workspace, with no link on the way: there is no other place that such a path could lead to,
 * and no device that could be opened on the way, so these are opened at once, and looked at then (a pipe too, for a
 * moment: its session alone can tell). -1: not so plain. */
static int open_plain(const local_session *s, const char *path, struct statx *ret_stat) {
    _cleanup_free_ char *below = NULL;
    if (below_root(path, &below, NULL) != CI_OK || !cii_str_starts(below, "workspace/"))
        return -1;
    _cleanup_close_ int fd = cii_resolve_open(s->root_fd, below, O_RDONLY | O_NONBLOCK, 0, CII_RESOLVE_NO_LINKS);
    bool is_plain = fd >= 0 && cii_resolve_stat(fd, ret_stat) && may_write(s, ret_stat->stx_mnt_id);
    return is_plain && S_ISREG(ret_stat->stx_mode) ? TAKE_FD(fd) : -1;
}

static ci_status open_regular(file_op *f, uint64_t offset, ci_error **ret_error) {
    struct statx st;
    _cleanup_close_ int target = -1;
    f->fd = open_plain(f->session, f->path, &st);
    if (f->fd < 0) {
        ci_status status = open_target(f->session, f->path, 0, &target, ret_error);
        if (status != CI_OK)
            return status;
        if (!cii_resolve_stat(target, &st))
            return path_error(f->session, f->path, ret_error);
    }
    if (!S_ISREG(st.stx_mode))
        return cii_error_set(ret_error, CI_ERR_INVALID, LOCAL_DOMAIN, "%s: %s", f->path,
                             S_ISDIR(st.stx_mode) ? "is a folder" : "is not a regular file");
    uint64_t max = size_max(f->session, st.stx_mnt_id);
    if (st.stx_size > max && f->left > max)
        return cii_error_set(ret_error, CI_ERR_LIMIT, LOCAL_DOMAIN,
                             "%s: a sparse file that claims to be larger than all there is room for", f->path);
    f->left = CII_MIN(f->left, max); /* it may grow meanwhile */
    f->known = st.stx_size - CII_MIN(offset, st.stx_size);
    if (f->fd < 0)
        f->fd = cii_resolve_reopen(target, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (f->fd < 0 || (offset > 0 && lseek(f->fd, (off_t)CII_MIN(offset, (uint64_t)INT64_MAX), SEEK_SET) < 0))
        return path_error(f->session, f->path, ret_error);
    return CI_OK;
}

ci_status local_file_get(void *session, const char *path, uint64_t offset, uint64_t length, ci_op_write_cb write,
                         void *user, ci_op **ret_op, ci_error **ret_error) {
    file_op *f = file_new(session, path, get_step);
    if (f == NULL || (f->chunk = malloc(CHUNK)) == NULL)
        return started(f, cii_error_nomem(ret_error), ret_op, ret_error);
    f->left = length;
    f->write = write;
    f->user = user;
    return started(f, open_regular(f, offset, ret_error), ret_op, ret_error);
}

/* --- put -------------------------------------------------------------------------------------------------------------- */

static int32_t put_end(file_op *f, ci_error **ret_error) {
    struct stat st;
    if (fstatat(f->parent_fd, f->name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
        if (!S_ISREG(st.st_mode))
            return cii_error_set(ret_error, CI_ERR_INVALID, LOCAL_DOMAIN, "%s: is %s; remove it first", f->path,
                                 S_ISDIR(st.st_mode)   ? "a folder"
                                 : S_ISLNK(st.st_mode) ? "a link"
                                                       : "not a regular file");
        fchmod(f->fd, st.st_mode & 0777);
    }
    cii_fsid before = cii_fsid_enter(f->session->uid, f->session->gid); /* a new name is made by somebody */
    int renamed = renameat(f->parent_fd, f->temporary, f->parent_fd, f->name);
    int error_number = errno;
    cii_fsid_leave(before);
    errno = error_number;
    if (renamed < 0)
        return path_error(f->session, f->path, ret_error);
    free(TAKE_PTR(f->temporary));
    return 1;
}

static int32_t put_step(file_op *f, ci_error **ret_error) {
    if (f->chunk_sent == f->chunk_size) {
        int64_t size = f->read(f->user, f->chunk, CHUNK);
        if (size == CI_IO_PAUSE)
            return 0;
        if (size < 0 || size > CHUNK)
            return cancelled(f, ret_error);
        if (size == 0)
            return put_end(f, ret_error);
        f->chunk_size = (size_t)size;
        f->chunk_sent = 0;
    }
    ssize_t size = write(f->fd, f->chunk + f->chunk_sent, f->chunk_size - f->chunk_sent);
    if (size < 0)
        return errno == EINTR ? 0 : path_error(f->session, f->path, ret_error);
    f->chunk_sent += (size_t)size;
    return 0;
}

static ci_status open_temporary(file_op *f, ci_error **ret_error) {
    char id[27];
    ci_status status = open_parent(f->session, f->path, true, &f->parent_fd, &f->name, ret_error);
    if (status != CI_OK)
        return status;
    if (cii_id_random(id) != CI_OK)
        return cii_error_errno(ret_error, errno, LOCAL_DOMAIN, "%s", f->path);
    f->temporary = cii_str_printf(".ci-%.16s", id);
    if (f->temporary == NULL)
        return cii_error_nomem(ret_error);
    cii_fsid before = cii_fsid_enter(f->session->uid, f->session->gid);
    f->fd = openat(f->parent_fd, f->temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    int error_number = errno;
    cii_fsid_leave(before);
    errno = error_number;
    if (f->fd >= 0)
        return CI_OK;
    free(TAKE_PTR(f->temporary));
    return path_error(f->session, f->path, ret_error);
}

ci_status local_file_put(void *session, const char *path, ci_op_read_cb read, void *user, ci_op **ret_op,
                         ci_error **ret_error) {
    file_op *f = file_new(session, path, put_step);
    if (f == NULL || (f->chunk = malloc(CHUNK)) == NULL)
        return started(f, cii_error_nomem(ret_error), ret_op, ret_error);
    f->read = read;
    f->user = user;
    return started(f, open_temporary(f, ret_error), ret_op, ret_error);
}

/* --- list, stat, remove, mkdir ------------------------------------------------------------------------------------------ */

static ci_entry entry_of(const char *path, const struct stat *st) {
    return (ci_entry){.struct_size = sizeof(ci_entry),
                      .path = path,
                      .size_bytes = (uint64_t)st->st_size,
                      .modified_ns = (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec,
                      .kind = S_ISREG(st->st_mode)   ? CI_KIND_REGULAR
                              : S_ISDIR(st->st_mode) ? CI_KIND_DIRECTORY
                              : S_ISLNK(st->st_mode) ? CI_KIND_SYMLINK
                                                     : CI_KIND_OTHER,
                      .mode = st->st_mode & 07777};
}

static int no_dots(const struct dirent *entry) {
    return strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
}

static bool is_before(const listing *l, size_t a, size_t b) {
    return strcmp(l->text.data + a, l->text.data + b) < 0;
}

static ci_status add_name(listing *l, const char *name) {
    size_t item = l->text.size, at = l->count;
    if (l->count == l->capacity) {
        size_t capacity = CII_MAX(l->capacity * 2, (size_t)64);
        size_t *heap = reallocarray(l->heap, capacity, sizeof *heap);
        if (heap == NULL)
            return CI_ERR_NOMEM;
        l->heap = heap;
        l->capacity = capacity;
    }
    if (cii_buf_append(&l->text, name, strlen(name) + 1) != CI_OK)
        return CI_ERR_NOMEM;
    for (l->count++; at > 0 && is_before(l, item, l->heap[(at - 1) / 2]); at = (at - 1) / 2)
        l->heap[at] = l->heap[(at - 1) / 2];
    l->heap[at] = item;
    return CI_OK;
}

static const char *take_name(listing *l) {
    size_t first = l->heap[0], item = l->heap[--l->count], at = 0;
    for (size_t child = 1; child < l->count; child = 2 * at + 1) {
        child += child + 1 < l->count && is_before(l, l->heap[child + 1], l->heap[child]);
        if (!is_before(l, l->heap[child], item))
            break;
        l->heap[at] = l->heap[child];
        at = child;
    }
    l->heap[at] = item;
    return l->text.data + first;
}

static int32_t read_names(file_op *f, ci_error **ret_error) {
    listing *l = f->listing;
    for (int i = 0; i < NAMES_READ_A_ROUND; i++) {
        errno = 0;
        const struct dirent *entry = readdir(l->dir);
        if (entry == NULL && errno != 0)
            return path_error(f->session, f->path, ret_error);
        if (entry == NULL) {
            l->is_read = true;
            return 0;
        }
        if (l->text.size > NAMES_BYTES_MAX)
            return cii_error_set(ret_error, CI_ERR_LIMIT, LOCAL_DOMAIN, "%s: more than 64 MiB of names to list",
                                 f->path);
        if (no_dots(entry) && add_name(l, entry->d_name) != CI_OK)
            return cii_error_nomem(ret_error);
    }
    return 0;
}

static int32_t list_step(file_op *f, ci_error **ret_error) {
    listing *l = f->listing;
    if (l->dir == NULL && (l->dir = fdopendir(f->fd)) == NULL)
        return path_error(f->session, f->path, ret_error);
    f->fd = -1;
    if (!l->is_read)
        return read_names(f, ret_error);
    for (int i = 0; i < NAMES_TOLD_A_ROUND && l->count > 0; i++) {
        struct stat st;
        const char *name = take_name(l);
        if (fstatat(dirfd(l->dir), name, &st, AT_SYMLINK_NOFOLLOW) < 0)
            continue; /* gone meanwhile */
        ci_entry entry = entry_of(name, &st);
        if (f->entry(f->user, &entry) < 0)
            return cancelled(f, ret_error);
    }
    return l->count == 0;
}

static ci_status open_folder(file_op *f, ci_error **ret_error) {
    _cleanup_close_ int target = -1;
    ci_status status = open_target(f->session, f->path, O_DIRECTORY, &target, ret_error);
    if (status != CI_OK)
        return status;
    f->fd = cii_resolve_reopen(target, O_RDONLY | O_DIRECTORY | O_NONBLOCK | O_CLOEXEC);
    return f->fd < 0 ? path_error(f->session, f->path, ret_error) : CI_OK;
}

ci_status local_file_list(void *session, const char *path, ci_entry_cb entry, void *user, ci_op **ret_op,
                          ci_error **ret_error) {
    file_op *f = file_new(session, path, list_step);
    if (f == NULL || (f->listing = calloc(1, sizeof *f->listing)) == NULL)
        return started(f, cii_error_nomem(ret_error), ret_op, ret_error);
    f->entry = entry;
    f->user = user;
    return started(f, open_folder(f, ret_error), ret_op, ret_error);
}

static int32_t stat_step(file_op *f, ci_error **ret_error) {
    struct stat st;
    if (fstat(f->fd, &st) < 0)
        return path_error(f->session, f->path, ret_error);
    ci_entry entry = entry_of(f->path, &st);
    return f->entry(f->user, &entry) < 0 ? cancelled(f, ret_error) : 1;
}

ci_status local_file_stat(void *session, const char *path, ci_entry_cb entry, void *user, ci_op **ret_op,
                          ci_error **ret_error) {
    file_op *f = file_new(session, path, stat_step);
    if (f == NULL)
        return cii_error_nomem(ret_error);
    f->entry = entry;
    f->user = user;
    return started(f, open_target(session, path, 0, &f->fd, ret_error), ret_op, ret_error);
}

static int32_t remove_step(file_op *f, ci_error **ret_error) {
    struct stat st;
    if (fstatat(f->parent_fd, f->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return path_error(f->session, f->path, ret_error);
    int result = S_ISDIR(st.st_mode) ? cii_tree_remove(f->parent_fd, f->name) : unlinkat(f->parent_fd, f->name, 0);
    return result < 0 ? path_error(f->session, f->path, ret_error) : 1;
}

ci_status local_file_remove(void *session, const char *path, ci_op **ret_op, ci_error **ret_error) {
    file_op *f = file_new(session, path, remove_step);
    if (f == NULL)
        return cii_error_nomem(ret_error);
    return started(f, open_parent(session, path, false, &f->parent_fd, &f->name, ret_error), ret_op, ret_error);
}

static int32_t mkdir_step(file_op *f, ci_error **ret_error) {
    const local_session *s = f->session;
    cii_fsid before = cii_fsid_enter(s->uid, s->gid);
    int made = mkdirat(f->parent_fd, f->name, 0755);
    int error_number = errno;
    cii_fsid_leave(before);
    struct stat st;
    if (made < 0 && error_number == EEXIST && fstatat(f->parent_fd, f->name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
        S_ISDIR(st.st_mode))
        made = 0;
    errno = error_number;
    return made < 0 ? path_error(s, f->path, ret_error) : 1;
}

ci_status local_file_mkdir(void *session, const char *path, ci_op **ret_op, ci_error **ret_error) {
    file_op *f = file_new(session, path, mkdir_step);
    if (f == NULL)
        return cii_error_nomem(ret_error);
    return started(f, open_parent(session, path, true, &f->parent_fd, &f->name, ret_error), ret_op, ret_error);
}

/* --- walk -------------------------------------------------------------------------------------------------------------- */

#define DEPTH_MAX 256 /* folders deeper than this are not gone into: each level takes a descriptor */

static int push_level(walk *w, int fd) {
    if (w->depth == w->capacity) {
        size_t capacity = w->capacity == 0 ? 16 : 2 * w->capacity;
        level *levels = realloc(w->levels, capacity * sizeof *levels);
        if (levels == NULL)
            return -1;
        w->levels = levels;
        w->capacity = capacity;
    }
    DIR *dir = fdopendir(fd);
    if (dir == NULL)
        return -1;
    w->levels[w->depth++] = (level){.dir = dir, .path_size = w->path.size};
    return 0;
}

static int32_t report(file_op *f, const struct stat *st, const uint8_t *digest, ci_error **ret_error) {
    ci_entry entry = entry_of(f->walk->path.data, st);
    entry.sha256 = digest;
    int32_t result = f->entry(f->user, &entry);
    return result < 0 ? cancelled(f, ret_error) : result;
}

/* Goes on hashing the open file; at its end reports it. */
static int32_t hash_more(file_op *f, ci_error **ret_error) {
    walk *w = f->walk;
    for (size_t done = 0; done < HASH_BYTES_A_ROUND;) {
        ssize_t size = read(w->file_fd, f->chunk, CHUNK);
        if (size < 0 && errno == EINTR)
            continue;
        if (size > 0 && (uint64_t)size > w->hash_left)
            size = -1; /* it grows as it is read */
        w->hash_left -= size > 0 ? (uint64_t)size : 0;
        if (size <= 0 || !cii_sha256_update(w->hash, f->chunk, (size_t)size)) {
            uint8_t digest[32];
            bool good = size == 0 && cii_sha256_final(w->hash, digest) && fstat(w->file_fd, &w->file) == 0;
            cii_close(TAKE_FD(w->file_fd));
            int32_t result = report(f, &w->file, good ? digest : NULL, ret_error);
            return result < 0 ? result : 0;
        }
        done += (size_t)size;
    }
    return 0;
}

/* The rest is walked all the same; the first folder that was left out is told at the end. */
static void left_out(file_op *f, int error_number) {
    bool gone = error_number == ENOENT || error_number == ENOTDIR || error_number == ELOOP; /* or swapped meanwhile */
    if (gone || f->status != CI_OK)
        return;
    f->status = error_number == 0 ? cii_error_set(&f->error, CI_ERR_LIMIT, LOCAL_DOMAIN,
                                                  "%.200s…: what lies more than %d folders deep is left out",
                                                  f->walk->path.data, DEPTH_MAX)
                                  : cii_error_errno(&f->error, error_number, LOCAL_DOMAIN, "%s", f->walk->path.data);
}

static int32_t visit(file_op *f, const char *name, ci_error **ret_error) {
    walk *w = f->walk;
    level *top = &w->levels[w->depth - 1];
    struct stat st;
    w->path.size = top->path_size;
    if (cii_buf_printf(&w->path, "%s%s", top->path_size > 0 ? "/" : "", name) != CI_OK)
        return cii_error_nomem(ret_error);
    if (fstatat(dirfd(top->dir), name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return 0; /* gone meanwhile */
    if (S_ISREG(st.st_mode) && (f->flags & CI_WALK_HASH)) {
        struct statx now;
        w->file = st;
        _cleanup_close_ int target = openat(dirfd(top->dir), name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
        bool is_there = target >= 0 && cii_resolve_stat(target, &now);
        w->hash_left = is_there ? size_max(f->session, now.stx_mnt_id) : 0;
        if (is_there && S_ISREG(now.stx_mode) && !is_kernel_fs(target) && now.stx_size <= w->hash_left)
            w->file_fd = cii_resolve_reopen(target, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
        return w->file_fd >= 0 ? 0 : report(f, &w->file, NULL, ret_error);
    }
    int32_t result = report(f, &st, NULL, ret_error);
    if (result != 0 || !S_ISDIR(st.st_mode))
        return result < 0 ? result : 0;
    if (w->depth >= DEPTH_MAX) {
        left_out(f, 0);
        return 0;
    }
    int fd = openat(dirfd(top->dir), name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 || push_level(w, fd) < 0) {
        left_out(f, errno);
        cii_close(fd);
    }
    return 0;
}

static int32_t walk_step(file_op *f, ci_error **ret_error) {
    walk *w = f->walk;
    if (w->depth == 0 && f->fd >= 0 && push_level(w, TAKE_FD(f->fd)) < 0)
        return cii_error_nomem(ret_error);
    for (int i = 0; i < 256; i++) {
        if (w->file_fd >= 0)
            return hash_more(f, ret_error);
        if (w->depth == 0)
            return f->status == CI_OK ? 1 : failed_step(f, ret_error);
        struct dirent *entry = readdir(w->levels[w->depth - 1].dir);
        if (entry == NULL) {
            closedir(w->levels[--w->depth].dir);
            continue;
        }
        int32_t result = no_dots(entry) ? visit(f, entry->d_name, ret_error) : 0;
        if (result < 0)
            return result;
    }
    return 0;
}

ci_status local_walk(void *session, const char *path, uint32_t flags, ci_entry_cb entry, void *user, ci_op **ret_op,
                     ci_error **ret_error) {
    file_op *f = file_new(session, path, walk_step);
    if (f == NULL || (f->walk = calloc(1, sizeof *f->walk)) == NULL)
        return started(f, cii_error_nomem(ret_error), ret_op, ret_error);
    f->walk->file_fd = -1;
    f->entry = entry;
    f->user = user;
    f->flags = flags;
    if ((flags & CI_WALK_HASH) && ((f->walk->hash = cii_sha256_new()) == NULL || (f->chunk = malloc(CHUNK)) == NULL))
        return started(f, cii_error_nomem(ret_error), ret_op, ret_error);
    return started(f, open_folder(f, ret_error), ret_op, ret_error);
}
