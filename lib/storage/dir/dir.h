/* The parts of the folder storage share this: the object, and how keys become files.
 *
 * An object is a regular file below the root; every path is opened by openat2 below the root's descriptor, and no link
 * is followed, whoever made it. Reserved for bookkeeping, refused as keys and never listed:
 *
 *     .ci/                  in the root only: locks of sessions (lock.c)
 *     .ci-tmp-…             in any folder: what a put is writing (put.c)
 *
 * A put writes beside its target, not in one place: a subfolder may be a mount of its own, over which no rename goes,
 * and the file keeps the folder from being removed as empty while it is written. Its writer holds a lock on it
 * (flock(2)), so that list(), which meets all of them, removes those whose writer is dead. */
#ifndef CII_STORAGE_DIR_DIR_H
#define CII_STORAGE_DIR_DIR_H

#include <limits.h>
#include <pthread.h>
#include <sys/stat.h>

#include <ci/sys/storage.h>

#include "base/buf.h"
#include "os/resolve.h"

#define CII_DIR_PRIVATE ".ci"
#define CII_DIR_TEMPORARY ".ci-tmp-"
#define CII_DIR_CHUNK ((size_t)256 << 10) /* bytes moved in one process() */

typedef struct cii_dir_cursor cii_dir_cursor;

typedef struct cii_dir {
    int root_fd;
    bool sync;
    char *path; /* for people */
    pthread_mutex_t lock;
    cii_dir_cursor *cursor; /* where the last full page of a list ended; guarded by lock; see list.c */
} cii_dir;

typedef struct cii_dir_etag {
    char text[72];
} cii_dir_etag;

/* CI_OK, or CI_ERR_INVALID for what cannot be a key here. */
ci_status cii_dir_key_check(const char *key, ci_error **ret_error);
/* Whether one part of a key is reserved; `top`: it is the first. */
bool cii_dir_part_reserved(const char *part, size_t size, bool top);

/* Opens an object's file O_PATH; -1 with errno. What is no regular file, or behind a link, is ENOENT. */
int cii_dir_open(const cii_dir *dir, const char *key, struct stat *ret_stat);
/* The error of an operation on a key. */
ci_status cii_dir_error(ci_error **ret_error, int error_number, const char *what, const char *key);

/* Changes whenever the file does: each put is a new inode with a time of its own, a write in place changes times. */
cii_dir_etag cii_dir_etag_of(const struct stat *st);
/* Hands an object to the callback, NULL allowed; CI_OK or CI_ERR_CANCELLED. */
ci_status cii_dir_tell(ci_object_cb object, void *user, const char *key, const struct stat *st, const uint8_t *sha256,
                       ci_error **ret_error);
/* Fails with CI_ERR_CONDITION unless etag is NULL or that of st; st NULL: there is no object. */
ci_status cii_dir_check_etag(const char *if_etag, const struct stat *st, const char *key, ci_error **ret_error);

/* Takes the lock under which a name in that folder changes hands, so that a condition still holds when its put takes
 * effect. A descriptor of the folder, to be closed; -1 with EWOULDBLOCK or another errno. */
int cii_dir_enter(int parent_fd);
/* What process() returns on EWOULDBLOCK: 0, and after a long time CI_ERR_BUSY. *since_ms is 0 at first. */
int cii_dir_wait(int64_t *since_ms, const char *key, ci_error **ret_error);
/* Removes the folders above key that are empty. */
void cii_dir_prune(const cii_dir *dir, const char *key);

int32_t cii_dir_op_fd(ci_op *op); /* -1: there is nothing to wait for */

ci_status cii_dir_get(void *impl, const char *key, const char *if_etag, uint64_t offset, uint64_t length,
                      ci_op_write_cb write, ci_object_cb object, void *user, ci_op **ret_op, ci_error **ret_error);
ci_status cii_dir_put(void *impl, const ci_put_request *request, ci_op_read_cb read, ci_object_cb object, void *user,
                      ci_op **ret_op, ci_error **ret_error);
ci_status cii_dir_list(void *impl, const char *prefix, const char *after, uint32_t max, ci_object_cb object, void *user,
                       ci_op **ret_op, ci_error **ret_error);
void cii_dir_cursor_free(cii_dir_cursor *cursor);
ci_status cii_dir_lock(void *impl, const char *name, void **ret_lock, ci_error **ret_error);
void cii_dir_unlock(void *impl, void *lock);

#endif
