/* Locks of sessions: a file in .ci/locks, locked by flock(2), which ends with the descriptor and so with its holder,
 * however that dies. The file is removed with the lock: whoever opened it before finds, once it has the lock, that the
 * name is not this file's any more, and begins again. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>

#include "storage/dir/dir.h"

#define LOCKS CII_DIR_PRIVATE "/locks"

typedef struct held_lock {
    pid_t pid; /* a child of the host may close it, but not remove the file */
    int fd;
    char key[sizeof LOCKS + 1 + NAME_MAX];
} held_lock;

/* Opens and locks; a descriptor, or -1 with errno: EAGAIN when it is to be tried again, EBUSY when it is another's. */
static int try_lock(const cii_dir *dir, const char *key) {
    struct stat ours, named;
    _cleanup_close_ int fd = cii_resolve_open(dir->root_fd, key, O_RDWR | O_CREAT, 0666, CII_RESOLVE_NO_LINKS);
    if (fd < 0 && errno == ENOENT) {
        if (cii_resolve_mkdirs(dir->root_fd, LOCKS, 0777, CII_RESOLVE_NO_LINKS) == 0 || errno == ENOENT)
            errno = EAGAIN;
        return -1;
    }
    if (fd < 0)
        return -1;
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        errno = errno == EWOULDBLOCK ? EBUSY : errno;
        return -1;
    }
    _cleanup_close_ int named_fd = cii_resolve_open(dir->root_fd, key, O_PATH, 0, CII_RESOLVE_NO_LINKS);
    if (named_fd < 0 || fstat(named_fd, &named) < 0 || fstat(fd, &ours) < 0 || named.st_ino != ours.st_ino) {
        errno = EAGAIN;
        return -1;
    }
    return TAKE_FD(fd);
}

ci_status cii_dir_lock(void *impl, const char *name, void **ret_lock, ci_error **ret_error) {
    if (name[0] == '\0' || name[0] == '.' || strchr(name, '/') || strlen(name) > NAME_MAX)
        return cii_error_set(ret_error, CI_ERR_INVALID, "storage", "lock \"%s\": not a name", name);
    held_lock *lock = calloc(1, sizeof *lock);
    if (!lock)
        return cii_error_nomem(ret_error);
    lock->pid = getpid();
    snprintf(lock->key, sizeof lock->key, LOCKS "/%s", name);
    lock->fd = -1;
    for (int tries = 0; tries < 100 && lock->fd < 0; tries++) {
        lock->fd = try_lock(impl, lock->key);
        if (lock->fd < 0 && errno != EAGAIN)
            break;
    }
    if (lock->fd >= 0) {
        *ret_lock = lock;
        return CI_OK;
    }
    int error = errno;
    free(lock);
    if (error == EBUSY || error == EAGAIN)
        return cii_error_set(ret_error, CI_ERR_BUSY, "storage", "\"%s\" is in use by another session", name);
    return cii_dir_error(ret_error, error, "lock", name);
}

void cii_dir_unlock(void *impl, void *held) {
    const cii_dir *dir = impl;
    held_lock *lock = held;
    if (lock->pid == getpid()) {
        const char *name;
        _cleanup_close_ int fd = cii_resolve_parent(dir->root_fd, lock->key, CII_RESOLVE_NO_LINKS, &name);
        if (fd >= 0)
            unlinkat(fd, name, 0);
        cii_dir_prune(dir, lock->key);
    }
    close(lock->fd);
    free(lock);
}
