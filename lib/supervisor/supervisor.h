/* The parts of the supervisor. One process, one thread; see README.md for what it is trusted with and why. */
#ifndef CII_SUPERVISOR_H
#define CII_SUPERVISOR_H

#include <ci/session.h>
#include <sys/types.h>

#include "base/str.h"
#include "wire/setup.h"

/* --- seccomp.c ------------------------------------------------------------------------------------------------------ */

/* The system call filter, compiled, in a memfd; -1 with errno. */
int filter_make(void);

/* --- interpreter.c -------------------------------------------------------------------------------------------------- */

#define INTERPRETER_PREFIXES_MAX 3

/* Where an interpreter and what belongs to it lies. Found by looking at files; it is not run for it. */
typedef struct interpreter {
    char *path;                               /* as given: a virtual environment is known by it */
    char *rootfs;                             /* the folder whose "/" the path starts from; NULL: the host's */
    char *prefixes[INTERPRETER_PREFIXES_MAX]; /* outside /usr; NULL-ended unless full; none with a rootfs */
} interpreter;
ci_status interpreter_find(const char *path, const char *rootfs, interpreter *ret_python, ci_error **ret_error);
void interpreter_free(interpreter *python);

/* --- identity.c ----------------------------------------------------------------------------------------------------- */

/* Which ids of the host the sandboxes' users are. */
typedef struct identity {
    uint32_t base;  /* host uid and gid of the template's root */
    uint32_t count; /* 1: only the user's own; sessions then share it */
    int lock_fd;
} identity;
void identity_choose(identity *ret_ids);
/* Writes the maps of a process that has just entered its user namespace. 0, or -1 with errno. */
int identity_map(const identity *ids, pid_t pid);
/* A detached mount of a host folder in which the folder's owner is the session's user `uid`; -1 with errno. */
int identity_open_tree(const identity *ids, const char *path, uint32_t uid);

/* --- cgroup.c ------------------------------------------------------------------------------------------------------- */

/* Groups for sessions, in each hierarchy this process may make them in (v2 or v1). */
typedef struct cgroup_root {
    struct {
        int fd; /* our folder, locked: its owner lives */
        bool v2, memory, pids;
    } trees[2];
    size_t count;
    int limits; /* CII_LIMIT_ bits */
} cgroup_root;
typedef struct cgroup_fds {
    int enter[CII_SETUP_CGROUP_MAX];
    size_t enter_count;
    int oom; /* event file, or -1 */
} cgroup_fds;
void cgroup_open(cgroup_root *root);
int cgroup_make(const cgroup_root *root, uint64_t id, uint64_t memory_bytes, uint32_t process_count, cgroup_fds *ret);
int cgroup_limit(const cgroup_root *root, uint64_t id, uint64_t memory_bytes, uint32_t process_count);
void cgroup_fds_close(cgroup_fds *fds);
bool cgroup_remove(const cgroup_root *root, uint64_t id); /* false: still in use, try again */
void cgroup_close(cgroup_root *root);                     /* waits, bounded, for what is in use */

/* --- template.c ----------------------------------------------------------------------------------------------------- */

/* The process that all sandboxes descend from: PID 1 of its namespaces, so that with it everything ends. */
typedef struct template_process {
    pid_t pid;
    int socket_fd;
} template_process;
ci_status template_start(const identity *ids, template_process *ret, ci_error **ret_error);

/* What a zygote is started with; written to the template process, which makes its root and executes it. */
typedef struct zygote_request {
    const interpreter *python;
    const char *preload;
    const char *guest_dir;
    char *const *env;
    bool host_network;
    int socket_fd;       /* becomes its descriptor 3 */
    int filter_fd;       /* and 4 */
    int rootfs_fd;       /* detached mount of its system; -1: the host's */
    int files_fd;        /* CII_SETUP_FILE_ fields: what its root has besides; -1: nothing */
    char *const *shares; /* as CII_SETUP_SHARE has them; NULL-ended */
} zygote_request;
int template_start_zygote(const template_process *template, const zygote_request *request);
/* A detached mount of a host folder, to be a session's workspace; -1 with errno. */
int template_open_tree(const template_process *template, const char *path);

#endif
