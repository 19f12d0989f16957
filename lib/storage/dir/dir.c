/* The folder storage: making it, keys and files, and the two operations that are done at once. */
#include "storage/dir/dir.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/file.h>

#include "base/clock.h"
#include "base/options.h"
#include "base/path.h"
#include "base/str.h"

#define ENTER_MS 10000 /* the lock is held for some system calls, so who has it longer is stopped, or not ours */

/* --- keys and files ----------------------------------------------------------------------------------------------- */

bool cii_dir_part_reserved(const char *part, size_t size, bool top) {
    const size_t temporary = sizeof CII_DIR_TEMPORARY - 1, private = sizeof CII_DIR_PRIVATE - 1;
    return (size >= temporary && memcmp(part, CII_DIR_TEMPORARY, temporary) == 0) ||
           (top && size == private && memcmp(part, CII_DIR_PRIVATE, private) == 0);
}

ci_status cii_dir_key_check(const char *key, ci_error **ret_error) {
    ci_status status = cii_key_check(key, false, "key", ret_error);
    for (const char *part = key; status == CI_OK && *part != '\0';) {
        size_t size = strcspn(part, "/");
        if (cii_dir_part_reserved(part, size, part == key))
            return cii_error_set(ret_error, CI_ERR_INVALID, "storage", "key \"%s\": \"%.*s\" is reserved", key,
                                 (int)size, part);
        if (size > NAME_MAX)
            return cii_error_set(ret_error, CI_ERR_INVALID, "storage",
                                 "key \"%s\": a part is longer than the %d bytes of a file name", key, NAME_MAX);
        part += size + (part[size] == '/');
    }
    return status;
}

int cii_dir_open(const cii_dir *dir, const char *key, struct stat *ret_stat) {
    _cleanup_close_ int fd = cii_resolve_open(dir->root_fd, key, O_PATH, 0, CII_RESOLVE_NO_LINKS);
    if (fd < 0 || fstat(fd, ret_stat) < 0) {
        if (errno == ENOTDIR || errno == ELOOP)
            errno = ENOENT;
        return -1;
    }
    if (!S_ISREG(ret_stat->st_mode)) {
        errno = ENOENT;
        return -1;
    }
    return TAKE_FD(fd);
}

ci_status cii_dir_error(ci_error **ret_error, int error_number, const char *what, const char *key) {
    switch (error_number) {
    case ENOTDIR:
        return cii_error_set(ret_error, CI_ERR_INVALID, "storage", "%s \"%s\": a part of the key is a file", what, key);
    case EISDIR:
        return cii_error_set(ret_error, CI_ERR_INVALID, "storage", "%s \"%s\": that is a folder", what, key);
    case ELOOP:
        return cii_error_set(ret_error, CI_ERR_PERMISSION, "storage",
                             "%s \"%s\": a part of the key is a link, and links are not followed", what, key);
    default:
        return cii_error_errno(ret_error, error_number, "storage", "%s \"%s\"", what, key);
    }
}

static int64_t nanoseconds(struct timespec time) {
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

cii_dir_etag cii_dir_etag_of(const struct stat *st) {
    cii_dir_etag etag;
    snprintf(etag.text, sizeof etag.text, "%llx-%llx-%llx-%llx", (unsigned long long)st->st_ino,
             (unsigned long long)st->st_size, (unsigned long long)nanoseconds(st->st_mtim),
             (unsigned long long)nanoseconds(st->st_ctim));
    return etag;
}

ci_status cii_dir_tell(ci_object_cb object, void *user, const char *key, const struct stat *st, const uint8_t *sha256,
                       ci_error **ret_error) {
    cii_dir_etag etag = cii_dir_etag_of(st);
    const ci_object told = {
        .struct_size = sizeof told,
        .key = key,
        .etag = etag.text,
        .sha256 = sha256,
        .size_bytes = (uint64_t)st->st_size,
        .modified_ms = (int64_t)st->st_mtim.tv_sec * 1000 + st->st_mtim.tv_nsec / 1000000,
    };
    if (!object || object(user, &told) >= 0)
        return CI_OK;
    return cii_error_set(ret_error, CI_ERR_CANCELLED, "storage", "the receiver of \"%s\" asked to stop", key);
}

ci_status cii_dir_check_etag(const char *if_etag, const struct stat *st, const char *key, ci_error **ret_error) {
    if (!if_etag || (st && strcmp(if_etag, cii_dir_etag_of(st).text) == 0))
        return CI_OK;
    return cii_error_set(ret_error, CI_ERR_CONDITION, "storage", "\"%s\" %s", key,
                         st ? "has another content than expected (its etag differs)" : "does not exist any more");
}

int cii_dir_enter(int parent_fd) {
    _cleanup_close_ int fd = cii_resolve_open(parent_fd, ".", O_RDONLY | O_DIRECTORY, 0, CII_RESOLVE_NO_LINKS);
    /* A file system that cannot lock has no more than one writer, or none that care. */
    if (fd < 0 || (flock(fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK))
        return -1;
    return TAKE_FD(fd);
}

int cii_dir_wait(int64_t *since_ms, const char *key, ci_error **ret_error) {
    int64_t now = cii_clock_ms();
    if (*since_ms == 0)
        *since_ms = now;
    if (now - *since_ms > ENTER_MS)
        return cii_error_set(ret_error, CI_ERR_BUSY, "storage", "another program keeps the folder of \"%s\" locked",
                             key);
    sched_yield();
    return 0;
}

void cii_dir_prune(const cii_dir *dir, const char *key) {
    _cleanup_free_ char *path = strdup(key);
    for (char *slash; path && (slash = strrchr(path, '/')) != NULL;) {
        const char *name;
        *slash = '\0';
        _cleanup_close_ int fd = cii_resolve_parent(dir->root_fd, path, CII_RESOLVE_NO_LINKS, &name);
        if (fd < 0 || unlinkat(fd, name, AT_REMOVEDIR) < 0)
            return;
    }
}

int32_t cii_dir_op_fd(ci_op *op) {
    (void)op;
    return -1;
}

/* --- stat and remove ---------------------------------------------------------------------------------------------- */

typedef struct key_op {
    ci_op op;
    const cii_dir *dir;
    char *key;
    ci_object_cb object;
    void *user;
    int64_t waiting_since_ms;
} key_op;

static void key_op_free(ci_op *op) {
    key_op *k = (key_op *)op;
    free(k->key);
    free(k);
}

static ci_status key_op_new(const ci_op_ops *ops, void *impl, const char *key, ci_object_cb object, void *user,
                            ci_op **ret_op, ci_error **ret_error) {
    ci_status status = cii_dir_key_check(key, ret_error);
    if (status < 0)
        return status;
    key_op *k = calloc(1, sizeof *k);
    if (!k || !(k->key = strdup(key))) {
        free(k);
        return cii_error_nomem(ret_error);
    }
    k->op.ops = ops;
    k->dir = impl;
    k->object = object;
    k->user = user;
    *ret_op = &k->op;
    return CI_OK;
}

static int32_t stat_process(ci_op *op, ci_error **ret_error) {
    key_op *k = (key_op *)op;
    struct stat st;
    _cleanup_close_ int fd = cii_dir_open(k->dir, k->key, &st);
    if (fd < 0)
        return cii_dir_error(ret_error, errno, "look at", k->key);
    ci_status status = cii_dir_tell(k->object, k->user, k->key, &st, NULL, ret_error);
    return status < 0 ? status : 1;
}

static int32_t remove_process(ci_op *op, ci_error **ret_error) {
    key_op *k = (key_op *)op;
    struct stat st;
    _cleanup_close_ int fd = cii_dir_open(k->dir, k->key, &st);
    const char *name;
    _cleanup_close_ int parent_fd =
        fd < 0 ? -1 : cii_resolve_parent(k->dir->root_fd, k->key, CII_RESOLVE_NO_LINKS, &name);
    _cleanup_close_ int entered_fd = parent_fd < 0 ? -1 : cii_dir_enter(parent_fd);
    if (entered_fd < 0 && errno == EWOULDBLOCK)
        return cii_dir_wait(&k->waiting_since_ms, k->key, ret_error);
    if (entered_fd < 0 || unlinkat(parent_fd, name, 0) < 0 || (k->dir->sync && fsync(entered_fd) < 0))
        return cii_dir_error(ret_error, errno, "remove", k->key);
    cii_dir_prune(k->dir, k->key);
    return 1;
}

static ci_status dir_stat(void *impl, const char *key, ci_object_cb object, void *user, ci_op **ret_op,
                          ci_error **ret_error) {
    static const ci_op_ops ops = {sizeof ops, cii_dir_op_fd, stat_process, NULL, NULL, key_op_free};
    return key_op_new(&ops, impl, key, object, user, ret_op, ret_error);
}

static ci_status dir_remove(void *impl, const char *key, ci_op **ret_op, ci_error **ret_error) {
    static const ci_op_ops ops = {sizeof ops, cii_dir_op_fd, remove_process, NULL, NULL, key_op_free};
    return key_op_new(&ops, impl, key, NULL, NULL, ret_op, ret_error);
}

/* --- the storage -------------------------------------------------------------------------------------------------- */

static void dir_free(void *impl) {
    cii_dir *dir = impl;
    if (!dir)
        return;
    cii_dir_cursor_free(dir->cursor);
    pthread_mutex_destroy(&dir->lock);
    cii_close(dir->root_fd);
    free(dir->path);
    free(dir);
}

static ci_status dir_describe(void *impl, char **ret_text) {
    const cii_dir *dir = impl;
    char *text = cii_str_printf("folder %s", dir->path);
    if (!text)
        return CI_ERR_NOMEM;
    *ret_text = text;
    return CI_OK;
}

/* The host's own path: its links are the host's business. */
static int make_folders(const char *path) {
    _cleanup_free_ char *prefix = strdup(path);
    if (!prefix)
        return -1;
    for (char *end = prefix + strspn(prefix, "/"); *end != '\0'; end += strspn(end, "/")) {
        end += strcspn(end, "/");
        char kept = *end;
        *end = '\0';
        if (mkdir(prefix, 0777) < 0 && errno != EEXIST)
            return -1;
        *end = kept;
    }
    return 0;
}

static int open_root(const char *path, bool create) {
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0 || errno != ENOENT || !create || make_folders(path) < 0)
        return fd;
    return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static const ci_storage_ops dir_ops = {
    .struct_size = sizeof dir_ops,
    .capabilities = CI_STORAGE_CAP_BLOCKING,
    .name = "dir",
    .free = dir_free,
    .get = cii_dir_get,
    .put = cii_dir_put,
    .list = cii_dir_list,
    .stat = dir_stat,
    .remove = dir_remove,
    .lock = cii_dir_lock,
    .unlock = cii_dir_unlock,
    .describe = dir_describe,
};

static void dir_free_p(cii_dir **dir) {
    dir_free(*dir);
}

ci_status ci_storage_dir_new(const char *path, const ci_storage_dir_options *options, ci_storage **ret_storage,
                             ci_error **ret_error) {
    ci_storage_dir_options o;
    if (!path || path[0] == '\0' || !ret_storage)
        return cii_error_set(ret_error, CI_ERR_INVALID, "storage", "%s: missing", ret_storage ? "path" : "ret_storage");
    ci_status status = cii_options_copy(&o, sizeof o, options, "ci_storage_dir_options", ret_error);
    if (status < 0)
        return status;
    _cleanup_(dir_free_p) cii_dir *dir = calloc(1, sizeof *dir);
    if (!dir)
        return cii_error_nomem(ret_error);
    dir->root_fd = -1;
    pthread_mutex_init(&dir->lock, NULL);
    dir->sync = !o.no_sync;
    dir->root_fd = open_root(path, !o.no_create);
    if (dir->root_fd < 0)
        return cii_error_errno(ret_error, errno, "storage", "folder %s", path);
    dir->path = realpath(path, NULL);
    if (!dir->path && !(dir->path = strdup(path)))
        return cii_error_nomem(ret_error);
    status = ci_storage_new(&dir_ops, dir, ret_storage, ret_error);
    if (status == CI_OK)
        dir = NULL;
    return status;
}
