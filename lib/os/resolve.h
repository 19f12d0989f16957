/* Opening below a folder that somebody hostile writes to: openat2(2). No fallback: without it the sandbox does not
 * open. */
#ifndef CII_OS_RESOLVE_H
#define CII_OS_RESOLVE_H

#include <sys/stat.h>

#include "os/fd.h"

/* How links are taken. */
#define CII_RESOLVE_IN_ROOT 1  /* absolute links and ".." stay below root_fd; magic links refused */
#define CII_RESOLVE_BENEATH 2  /* leaving root_fd fails with EXDEV; magic links refused */
#define CII_RESOLVE_NO_LINKS 3 /* BENEATH, and any link fails with ELOOP */

/* openat2 with O_CLOEXEC; a descriptor, or -1 with errno. EAGAIN (a race with renames) is retried some times. */
int cii_resolve_open(int root_fd, const char *path, int flags, unsigned mode, int how);

/* Opens the parent folder of path O_PATH and points *ret_name at the last part (inside path). EINVAL when there is no
 * last part ("", "/", "."). */
int cii_resolve_parent(int root_fd, const char *path, int how, const char **ret_name);

/* Reopens an O_PATH descriptor through /proc/self/fd; -1 with errno. */
int cii_resolve_reopen(int path_fd, int flags);

/* What is there and on which mount, by one statx(2); false with errno. stx_mnt_id is 0 when it cannot be told. */
bool cii_resolve_stat(int fd, struct statx *ret_stat);

/* The mount the descriptor is on; 0 when it cannot be told. */
uint64_t cii_resolve_mount_id(int fd);

/* Makes the missing folders of path below root_fd, links as `how`; 0, or -1 with errno. */
int cii_resolve_mkdirs(int root_fd, const char *path, unsigned mode, int how);

/* Takes on a file system identity (setfsuid(2), setfsgid(2)) for this thread, so that what is created belongs to it
 * and may not more than it; and goes back. Nothing between them may fail to reach the end. Without the privilege, or with
 * that identity already, it changes nothing. Meanwhile the process is not dumpable; afterwards it is as before. */
typedef struct cii_fsid {
    uint32_t uid;
    uint32_t gid;
    bool changed;     /* there is something to go back from */
    int death_signal; /* of the thread; the kernel forgets it with a change */
} cii_fsid;
cii_fsid cii_fsid_enter(uint32_t uid, uint32_t gid);
void cii_fsid_leave(cii_fsid before);

#endif
