/* What the supervisor knows, and how its files share it: answers.c tells the library, families.c keeps interpreters to
 * fork from, sessions.c brings sessions to them, supervisor.c listens. One process, one thread. */
#ifndef CII_SUPERVISOR_STATE_H
#define CII_SUPERVISOR_STATE_H

#include "supervisor/supervisor.h"

#define DOMAIN "local"

typedef enum zygote_state { ZYGOTE_NONE, ZYGOTE_STARTING, ZYGOTE_READY, ZYGOTE_FAILED } zygote_state;

/* A session on its way to a zygote, then its init, watched until it ends. */
typedef struct session session;
struct session {
    session *next;
    uint64_t id;
    uint32_t uid;
    int setup_fd, tree_fd, rootfs_fd, pidfd;
    bool internet;
    int channel_fds[2]; /* the init's end, until it has it, and the gateway's, until it is started; -1 otherwise */
    pid_t gateway_pid;  /* 0: none */
    /* A spare: made before anybody asked for it. */
    int spare_fd;         /* the other end of its setup socket; -1: no spare (any more) */
    int root_fd, base_fd; /* what it sent when it was ready; -1 before */
    uint64_t languages;   /* likewise */
    bool kernels_ready;   /* those that are kept ready */
    int attempts;
    uint64_t memory_bytes;
    uint32_t process_count;
    struct family *family;
    struct zygote *zygote; /* has been asked, has not answered */
};

typedef struct zygote {
    int fd;
    zygote_state state;
    const char *preload;
    char *failure;
    char *info; /* what it says of itself when it is ready: JSON */
} zygote;

/* Who waits for the preload list and the kernels that are kept ready. */
typedef struct waiter {
    struct waiter *next;
    int fd;
} waiter;

/* Zygotes of one interpreter, system and network: a bare one, at once, and one with the preload list, when it is ready.
 * The first family is the sandbox's own and stays; others end when nobody has used them for a while. */
typedef struct family {
    struct family *next;
    interpreter python;
    bool host_network;
    bool internet; /* a session had it: the next that wants it finds a spare */
    zygote bare, full;
    session *spares[2]; /* without a network, with the internet */
    waiter *waiters;
    int64_t used_ms;
    bool ending; /* gone for who asks; freed with its last session */
} family;

/* What the library asks for. */
typedef struct request {
    char *python, *host_dir, *rootfs, *preload, *guest_dir, *build;
    char **env, **allow, **deny; /* NULL-ended */
    size_t env_count, allow_count, deny_count;
    char *shares[CII_SETUP_SHARES_MAX + 1];
    size_t share_count;
    uint64_t memory_bytes, kernels;
    uint32_t process_count;
    int network;
    bool plain, allow_list;
} request;

struct supervisor {
    char *preload, *guest_dir;
    char **env;                             /* NULL-ended */
    int files_fd;                           /* what roots of zygotes have besides; -1: nothing */
    char *shares[CII_SETUP_SHARES_MAX + 1]; /* folders of the host that sessions are shown; NULL-ended */
    uint64_t kernels;                       /* CI_CAP_ bits of the languages whose kernels are kept ready */
    family *families;
    session *sessions;
    cgroup_root cgroups;
    identity ids;
    template_process template;
    int filter_fd;
    int fd_limit;
    uint64_t last_id;
    int64_t spare_due_ms; /* when to make the next spares; 0: nothing to do */
};
extern struct supervisor supervisor;

/* --- answers.c ------------------------------------------------------------------------------------------------------ */

void answer_send(int fd, uint8_t type, const ci_error *error, const char *info);
void answer_refuse(int fd, ci_status status, const char *text);
/* Refuses a session on its setup socket. */
void answer_refuse_session(int fd, const ci_error *error);
void answer_refuse_session_text(int fd, ci_status status, const char *text);

/* --- families.c ----------------------------------------------------------------------------------------------------- */

/* A detached mount of a host's folder for a session's user; -1 with errno. */
int open_host_dir(const char *path, uint32_t uid);
/* Whether there is a preload list: "none" asks for the bare zygote alone. */
bool wants_full(void);
/* Finds the family or makes it; NULL with an error. rootfs NULL: the host's system. */
family *family_find(const char *python, const char *rootfs, bool host_network, ci_error **ret_error);
/* Starts what zygotes are missing. */
void family_ensure(family *f);
/* Answers those who wait, if there is nothing to wait for any more. */
void family_wake(family *f);
/* A message or the end of a zygote. */
void zygote_ready(family *f, zygote *z);
void families_end_idle(void);
/* How long until families_end_idle() has something to do, in milliseconds; -1: nothing. */
int families_timeout(void);

/* --- sessions.c ----------------------------------------------------------------------------------------------------- */

/* Opens a session on its setup socket, which is consumed. events_fd: where its gateway tells what it refused; or -1. */
void session_open(const request *r, int setup_fd, int events_fd);
void session_refuse(session *s, ci_status status, const char *text);
/* A zygote has forked its oldest session: pidfd of the init, consumed; -1: it could not. */
void session_forked(const zygote *z, int pidfd);
/* The init has ended; its control groups may be in use for a moment longer: then it is called again. */
void session_reap(session *s);
/* Gives sessions that wait to the zygote that is ready. */
void sessions_dispatch(family *f);
/* Has the sessions made that nobody has asked for yet. */
void spares_make(family *f);
/* Whether one is to come that has its kernels ready. */
bool spare_pending(const family *f);
/* A message of a spare that is being made, or its end. */
void spare_ready(session *s);
/* How long until the next spares are due, in milliseconds; -1: none are. */
int spare_timeout(void);

#endif
