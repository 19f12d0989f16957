/* How a session comes to be: what library, supervisor, zygote and init say to each other before any code of a user
 * runs. Messages are single frames of wire.h over SOCK_SEQPACKET sockets, descriptors beside them by SCM_RIGHTS.
 *
 *     library -> supervisor  HELLO + [files?], once; answered by HELLO_OK or REFUSED
 *                            OPEN + [setup, events?]: fork a session; their other ends stay with the library.
 *                            events comes with a session of CI_NETWORK_INTERNET alone, for its gateway
 *                            PREPARE + [reply]: answered on reply by HELLO_OK when the preload list is ready
 *     supervisor -> zygote   FORK + [setup, tree?, rootfs?, channel?, oom?, cgroup…]
 *     zygote -> supervisor   ZYGOTE_READY; FORKED + [pidfd] for each FORK
 *     library -> init        SESSION + [control], waiting in the setup socket before it is passed on
 *     init -> library        SESSION_READY + [root, base] or REFUSED
 *     init -> supervisor     KERNELS_READY, by a spare whose kernels are to be kept ready, when they are or cannot be
 *
 * A SESSION without descriptor makes a spare: it is sent by the supervisor, which gets its SESSION_READY, and when a
 * plain session is wanted hands the library's SESSION on to it and its descriptors to the library.
 *
 * After SESSION_READY both ends of the setup socket are closed. Each call is then CALL + [connection] on control.
 *
 *     gateway -> library     on events, a message a refusal: a JSON object of CII_REFUSAL_MAX bytes at most,
 *                            {"name"?, "address"?, "port", "protocol", "rule", "count"?}, sent before whoever was
 *                            refused hears of it. The gateway ends when the library closes its end. */
#ifndef CII_WIRE_SETUP_H
#define CII_WIRE_SETUP_H

#include "wire/wire.h"

#define CII_SETUP_MESSAGE_MAX (128u << 10)
#define CII_SETUP_SHARES_MAX 8 /* folders of the host that sessions are shown */
#define CII_SETUP_CGROUP_MAX 4 /* descriptors to enter cgroups by */
#define CII_REFUSAL_MAX 1024u

enum {
    CII_SETUP_HELLO = 64,
    CII_SETUP_HELLO_OK = 65,
    CII_SETUP_REFUSED = 66,
    CII_SETUP_OPEN = 67,
    CII_SETUP_PREPARE = 68,
    CII_SETUP_FORK = 69,
    CII_SETUP_ZYGOTE_READY = 70,
    CII_SETUP_FORKED = 71,
    CII_SETUP_SESSION = 72,
    CII_SETUP_SESSION_READY = 73,
    CII_SETUP_CALL = 74,
    CII_SETUP_TEMPLATE = 75, /* supervisor to its template process: start a zygote */
    CII_SETUP_KERNELS_READY = 76,
};

enum {
    CII_SETUP_BUILD = 64, /* build id, checked by everybody */
    CII_SETUP_PYTHON = 65,
    CII_SETUP_PRELOAD = 66,
    CII_SETUP_GUEST_DIR = 67,
    CII_SETUP_ENV = 68, /* repeated */
    CII_SETUP_NETWORK = 69,
    CII_SETUP_MEMORY = 70,
    CII_SETUP_WORKSPACE = 71,
    CII_SETUP_INODES = 72,
    CII_SETUP_PROCESSES = 73,
    CII_SETUP_OPEN_FILES = 74,
    CII_SETUP_HOST_DIR = 75,
    CII_SETUP_UID = 76,
    CII_SETUP_STATUS = 77,
    CII_SETUP_MESSAGE = 78,
    CII_SETUP_HINT = 79,
    CII_SETUP_ERRNO = 80,
    CII_SETUP_INFO = 81,      /* JSON */
    CII_SETUP_LIMITS = 82,    /* CII_LIMIT_ bits: how memory and processes are limited */
    CII_SETUP_OOM = 83,       /* 1: the first cgroup descriptor is the memory group's event file */
    CII_SETUP_TREE = 84,      /* 1: a detached mount for the workspace comes with it */
    CII_SETUP_PREFIX = 85,    /* repeated */
    CII_SETUP_PLAIN = 86,     /* 1: a session as CII_PLAIN_ describes; a spare one may be taken */
    CII_SETUP_ROOTFS = 87,    /* folder with a system; to a zygote 1: a detached mount of it comes with it */
    CII_SETUP_KERNELS = 88,   /* CI_CAP_ bits of the languages whose kernels are kept ready */
    CII_SETUP_LANGUAGES = 89, /* CI_CAP_ bits of what languages a session has */
    /* of OPEN, how far a session of CI_NETWORK_INTERNET reaches */
    CII_SETUP_ALLOW = 90,      /* a rule; repeated */
    CII_SETUP_DENY = 91,       /* a rule; repeated */
    CII_SETUP_ALLOW_LIST = 92, /* 1: there is an allow-list, perhaps an empty one */
    CII_SETUP_CHANNEL = 93,    /* 1: the session's gateway waits at a socket that comes with it (network.h) */
    /* Of the files that HELLO brings with it, for the roots of zygotes: each path, then its content. */
    CII_SETUP_FILE_PATH = 100, /* relative to the root */
    CII_SETUP_FILE_DATA = 101,
    CII_SETUP_SHARE = 102, /* repeated: a folder of the host, a newline, where it is shown, read-only */
    CII_SETUP_FILES = 103, /* to a zygote 1: a descriptor of files comes with it */
};

/* What a spare session is made with. One that is asked for may have fewer processes and open files, nothing else. */
#define CII_PLAIN_MEMORY (UINT64_C(2) << 30)
#define CII_PLAIN_WORKSPACE (UINT64_C(4) << 30)
#define CII_PLAIN_INODES UINT64_C(1000000)
#define CII_PLAIN_PROCESSES 256
#define CII_PLAIN_OPEN_FILES 4096

#define CII_LIMIT_MEMORY_CGROUP 1
#define CII_LIMIT_PIDS_CGROUP 2

#endif
