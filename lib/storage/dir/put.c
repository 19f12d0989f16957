/* Writing an object, whole or not at all: into a temporary file beside it, which then takes its name. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <time.h>

#include "base/hash.h"
#include "base/str.h"
#include "storage/dir/dir.h"

#define BEGIN_TRIES 100

typedef enum stage {
    STAGE_BEGIN,
    STAGE_COPY,
    STAGE_COMMIT,
} stage;

typedef struct put {
    ci_op op;
    const cii_dir *dir;
    pid_t pid; /* a child of the host gives nothing up but descriptors */
    stage stage;
    char *key;
    char *if_etag;
    const char *base; /* last part of the key */
    bool if_absent;
    bool has_sha256;
    uint8_t wanted_sha256[32];
    uint8_t sha256[32];
    uint64_t wanted_bytes; /* UINT64_MAX: not known */
    uint64_t bytes;
    ci_op_read_cb read;
    ci_object_cb object;
    void *user;
    cii_sha256 *hash;
    char *buffer;
    int parent_fd;
    int fd;             /* of the temporary file, locked while it is one */
    char temporary[64]; /* its name; "" when there is none */
    bool made_folders;
    int64_t waiting_since_ms;
} put;

static void give_up(put *p) {
    if (p->pid == getpid() && p->temporary[0] != '\0')
        unlinkat(p->parent_fd, p->temporary, 0);
    if (p->pid == getpid() && p->made_folders)
        cii_dir_prune(p->dir, p->key);
    p->temporary[0] = '\0';
    p->made_folders = false;
}

static void put_free(ci_op *op) {
    put *p = (put *)op;
    give_up(p);
    cii_close(p->fd);
    cii_close(p->parent_fd);
    cii_sha256_free(p->hash);
    free(p->buffer);
    free(p->key);
    free(p->if_etag);
    free(p);
}

static ci_status failed(const put *p, ci_error **ret_error) {
    return cii_dir_error(ret_error, errno, "write", p->key);
}

/* --- the conditions ----------------------------------------------------------------------------------------------- */

static ci_status exists(const put *p, ci_error **ret_error) {
    return cii_error_set(ret_error, CI_ERR_CONDITION, "storage", "\"%s\" exists already", p->key);
}

static ci_status check_conditions(const put *p, ci_error **ret_error) {
    struct stat st;
    if (!p->if_absent && !p->if_etag)
        return CI_OK;
    bool there = fstatat(p->parent_fd, p->base, &st, AT_SYMLINK_NOFOLLOW) == 0;
    if (!there && errno != ENOENT)
        return failed(p, ret_error);
    if (there && p->if_absent)
        return exists(p, ret_error);
    return cii_dir_check_etag(p->if_etag, there && S_ISREG(st.st_mode) ? &st : NULL, p->key, ret_error);
}

static ci_status check_content(put *p, ci_error **ret_error) {
    if (p->wanted_bytes != UINT64_MAX && p->bytes != p->wanted_bytes)
        return cii_error_set(ret_error, CI_ERR_INVALID, "storage",
                             "write \"%s\": %llu bytes came where %llu were announced", p->key,
                             (unsigned long long)p->bytes, (unsigned long long)p->wanted_bytes);
    if (!cii_sha256_final(p->hash, p->sha256))
        return cii_error_nomem(ret_error);
    if (p->has_sha256 && memcmp(p->sha256, p->wanted_sha256, sizeof p->sha256) != 0)
        return cii_error_set(ret_error, CI_ERR_INVALID, "storage",
                             "write \"%s\": the content has not the announced SHA-256", p->key);
    return CI_OK;
}

/* --- beginning ---------------------------------------------------------------------------------------------------- */

/* Opens the folder of the key, made where it is missing; 0 or -1 with errno. */
static int open_parent(put *p) {
    cii_close(TAKE_FD(p->parent_fd));
    p->parent_fd = cii_resolve_parent(p->dir->root_fd, p->key, CII_RESOLVE_NO_LINKS, &p->base);
    if (p->parent_fd >= 0 || errno != ENOENT || !strrchr(p->key, '/'))
        return p->parent_fd < 0 ? -1 : 0;
    _cleanup_free_ char *folder = strndup(p->key, (size_t)(strrchr(p->key, '/') - p->key));
    if (!folder || cii_resolve_mkdirs(p->dir->root_fd, folder, 0777, CII_RESOLVE_NO_LINKS) < 0)
        return -1;
    p->made_folders = true;
    p->parent_fd = cii_resolve_parent(p->dir->root_fd, p->key, CII_RESOLVE_NO_LINKS, &p->base);
    return p->parent_fd < 0 ? -1 : 0;
}

/* Makes the temporary file and locks it; 0 or -1 with errno, ENOENT when folder or file was taken away meanwhile. */
static int make_temporary(put *p) {
    char id[27];
    struct stat st;
    if (cii_id_random(id) < 0) {
        errno = ENOMEM;
        return -1;
    }
    cii_close(TAKE_FD(p->fd));
    snprintf(p->temporary, sizeof p->temporary, CII_DIR_TEMPORARY "%s", id);
    p->fd = cii_resolve_open(p->parent_fd, p->temporary, O_WRONLY | O_CREAT | O_EXCL, 0666, CII_RESOLVE_NO_LINKS);
    if (p->fd < 0) {
        p->temporary[0] = '\0';
        return -1;
    }
    bool taken = flock(p->fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK;
    if (!taken && fstat(p->fd, &st) == 0 && st.st_nlink > 0)
        return 0;
    errno = ENOENT; /* list() found it between the two calls, and took it for a dead writer's */
    return -1;
}

static ci_status begin(put *p, ci_error **ret_error) {
    int result = -1;
    errno = ENOENT;
    for (int tries = 0; tries < BEGIN_TRIES && result < 0 && errno == ENOENT; tries++) {
        result = open_parent(p); /* a remove() of the last other file in the folder may take it away */
        if (result == 0) {
            ci_status status = check_conditions(p, ret_error);
            if (status < 0)
                return status;
            result = make_temporary(p);
        }
    }
    p->stage = STAGE_COPY;
    return result < 0 ? failed(p, ret_error) : CI_OK;
}

/* --- copying ------------------------------------------------------------------------------------------------------ */

static ci_status copy(put *p, ci_error **ret_error) {
    int64_t size = p->read(p->user, p->buffer, CII_DIR_CHUNK);
    if (size == CI_IO_PAUSE)
        return CI_OK;
    if (size < 0 || (uint64_t)size > CII_DIR_CHUNK)
        return cii_error_set(ret_error, CI_ERR_CANCELLED, "storage", "the source of \"%s\" asked to stop", p->key);
    if (size == 0) {
        p->stage = STAGE_COMMIT;
        return check_content(p, ret_error);
    }
    p->bytes += (uint64_t)size;
    if (!cii_sha256_update(p->hash, p->buffer, (size_t)size))
        return cii_error_nomem(ret_error);
    return cii_fd_write_all(p->fd, p->buffer, (size_t)size) < 0 ? failed(p, ret_error) : CI_OK;
}

/* --- committing --------------------------------------------------------------------------------------------------- */

/* Gives the file its name. 0 or -1 with errno. */
static int give_name(const put *p) {
    if (!p->if_absent)
        return renameat(p->parent_fd, p->temporary, p->parent_fd, p->base);
    if (renameat2(p->parent_fd, p->temporary, p->parent_fd, p->base, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno != EINVAL) /* else a file system without it */
        return -1;
    if (linkat(p->parent_fd, p->temporary, p->parent_fd, p->base, 0) < 0)
        return -1;
    return unlinkat(p->parent_fd, p->temporary, 0);
}

/* A new folder is safe only when the ones above it are; its own names are. */
static int sync_folders(const put *p) {
    _cleanup_free_ char *path = strndup(p->key, (size_t)(p->base - p->key));
    if (!path)
        return -1;
    path[strlen(path) - 1] = '\0';
    for (char *slash; (slash = strrchr(path, '/')) != NULL;) {
        *slash = '\0';
        _cleanup_close_ int fd =
            cii_resolve_open(p->dir->root_fd, path, O_RDONLY | O_DIRECTORY, 0, CII_RESOLVE_NO_LINKS);
        if (fd < 0 || fsync(fd) < 0)
            return -1;
    }
    return fsync(p->dir->root_fd);
}

static int32_t commit(put *p, ci_error **ret_error) {
    struct stat st;
    _cleanup_close_ int entered_fd = cii_dir_enter(p->parent_fd);
    if (entered_fd < 0 && errno == EWOULDBLOCK)
        return cii_dir_wait(&p->waiting_since_ms, p->key, ret_error);
    if (entered_fd < 0)
        return failed(p, ret_error);
    ci_status status = check_conditions(p, ret_error);
    if (status < 0)
        return status;
    if (give_name(p) < 0)
        return errno == EEXIST ? exists(p, ret_error) : failed(p, ret_error);
    p->temporary[0] = '\0';
    flock(entered_fd, LOCK_UN);
    if ((p->dir->sync && (fsync(entered_fd) < 0 || (p->made_folders && sync_folders(p) < 0))) || fstat(p->fd, &st) < 0)
        return failed(p, ret_error);
    status = cii_dir_tell(p->object, p->user, p->key, &st, p->sha256, ret_error);
    return status < 0 ? status : 1;
}

/* The time is set, as the kernel's own is too coarse to tell two puts of one inode number apart. */
static ci_status seal(put *p, ci_error **ret_error) {
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}};
    clock_gettime(CLOCK_REALTIME, &times[1]);
    if (futimens(p->fd, times) < 0 || (p->dir->sync && fsync(p->fd) < 0))
        return failed(p, ret_error);
    return CI_OK;
}

static int32_t put_process(ci_op *op, ci_error **ret_error) {
    put *p = (put *)op;
    int32_t result = CI_OK;
    switch (p->stage) {
    case STAGE_BEGIN:
        result = begin(p, ret_error);
        break;
    case STAGE_COPY:
        result = copy(p, ret_error);
        if (result == CI_OK && p->stage == STAGE_COMMIT)
            result = seal(p, ret_error);
        break;
    case STAGE_COMMIT:
        result = commit(p, ret_error);
        break;
    }
    if (result < 0)
        give_up(p);
    return result;
}

ci_status cii_dir_put(void *impl, const ci_put_request *request, ci_op_read_cb read, ci_object_cb object, void *user,
                      ci_op **ret_op, ci_error **ret_error) {
    static const ci_op_ops ops = {sizeof ops, cii_dir_op_fd, put_process, NULL, NULL, put_free};
    ci_status status = cii_dir_key_check(request->key, ret_error);
    if (status < 0)
        return status;
    put *p = calloc(1, sizeof *p);
    if (!p)
        return cii_error_nomem(ret_error);
    *p = (put){.op = {&ops}, .dir = impl, .pid = getpid(), .read = read, .object = object, .user = user};
    p->parent_fd = p->fd = -1;
    p->wanted_bytes = request->size_bytes;
    p->if_absent = request->if_absent != 0;
    p->has_sha256 = request->sha256 != NULL;
    if (p->has_sha256)
        memcpy(p->wanted_sha256, request->sha256, sizeof p->wanted_sha256);
    p->key = strdup(request->key);
    p->if_etag = request->if_etag ? strdup(request->if_etag) : NULL;
    p->hash = cii_sha256_new();
    p->buffer = malloc(CII_DIR_CHUNK);
    if (!p->key || (request->if_etag && !p->if_etag) || !p->hash || !p->buffer) {
        put_free(&p->op);
        return cii_error_nomem(ret_error);
    }
    *ret_op = &p->op;
    return CI_OK;
}
