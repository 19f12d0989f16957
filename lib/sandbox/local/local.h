/* The local backend's parts: the sandbox object and its sessions (local.c), runs (run.c), what their network refused
 * (refusals.c), files on the host's side (files.c), packages (packages.c), the interpreter that is meant (python.c), what
 * this machine gives (check.c). */
#ifndef CII_SANDBOX_LOCAL_H
#define CII_SANDBOX_LOCAL_H

#include <ci/sys/sandbox.h>
#include <stdatomic.h>

#include "base/error.h"
#include "wire/setup.h"

#define LOCAL_DOMAIN "local"

/* The program that fills the package cache. */
typedef struct local_cache {
    int fd; /* hints go there; -1: there is no cache */
    int pidfd;
} local_cache;

typedef struct local_session {
    int control_fd; /* calls go here; init at the other end */
    int root_fd;    /* O_PATH of the guest's "/" */
    int base_fd;    /* the mount with the workspace, "files", and beside it "stage", which the guest does not see; -1
                       when the workspace is a host folder */
    int files_fd;   /* these two, opened when they are asked for */
    int stage_fd;
    int events_fd; /* from the session's gateway, whose life line it is: refusals; -1 where there is no gateway */
    uint64_t writable_mounts[3]; /* mount ids of workspace, home and /tmp */
    uint32_t uid, gid;           /* of the session's user, as the host sees them */
    int32_t network;
    int limits;         /* CII_LIMIT_ bits */
    uint64_t languages; /* CI_CAP_ bits */
    ci_sandbox_request request;
    bool fills_cache; /* what it installs may be fetched for others: a session with rules could send data out by it */
    const local_cache *cache; /* the sandbox's */
    _Atomic bool closed;
} local_session;

/* run.c */
ci_status local_run(void *session, const ci_run_request *request, const ci_sink *sink, ci_op **ret_op,
                    ci_error **ret_error);
ci_status local_contexts(void *session, ci_context_cb context, void *user, ci_error **ret_error);
ci_status local_info(void *session, char **ret_json, ci_error **ret_error);
uint64_t local_activity(void *session);

/* refusals.c: those that have come go to the sink. From any thread: each goes to one. */
void local_refusals_tell(const local_session *s, const ci_sink *sink);

/* packages.c */
/* What the options say of packages: fields for HELLO, and a descriptor with files for the roots of zygotes, untouched when
 * there are none. Blocks while programs outside tell. */
ci_status local_packages_collect(const ci_sandbox_local_options *options, const char *helper_dir, cii_buf *hello,
                                 int *ret_files_fd, ci_error **ret_error);
ci_status local_cache_start(local_cache *cache, const char *folder, bool host_packages, const char *helper_dir,
                            ci_error **ret_error);
void local_cache_stop(local_cache *cache);
/* "name-version" of what a session says that it has installed. Never blocks. */
void local_cache_hint(const local_cache *cache, const void *name, size_t size);

/* files.c */
ci_status local_file_get(void *session, const char *path, uint64_t offset, uint64_t length, ci_op_write_cb write,
                         void *user, ci_op **ret_op, ci_error **ret_error);
ci_status local_file_put(void *session, const char *path, ci_op_read_cb read, void *user, ci_op **ret_op,
                         ci_error **ret_error);
ci_status local_file_list(void *session, const char *path, ci_entry_cb entry, void *user, ci_op **ret_op,
                          ci_error **ret_error);
ci_status local_file_stat(void *session, const char *path, ci_entry_cb entry, void *user, ci_op **ret_op,
                          ci_error **ret_error);
ci_status local_file_remove(void *session, const char *path, ci_op **ret_op, ci_error **ret_error);
ci_status local_file_mkdir(void *session, const char *path, ci_op **ret_op, ci_error **ret_error);
ci_status local_walk(void *session, const char *path, uint32_t flags, ci_entry_cb entry, void *user, ci_op **ret_op,
                     ci_error **ret_error);
/* Finds out which mounts may be written, before any code of a user runs. */
ci_status local_files_init(local_session *s, ci_error **ret_error);

/* python.c: the path of the interpreter that an option names, malloc'd; NULL: the default. */
ci_status local_python_find(const char *option, char **ret_python, ci_error **ret_error);

#endif
