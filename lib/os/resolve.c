/* Opening below a folder that somebody hostile writes to. */
#include "os/resolve.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

static const uint64_t resolve_flags[] = {
    [CII_RESOLVE_IN_ROOT] = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
    [CII_RESOLVE_BENEATH] = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
    [CII_RESOLVE_NO_LINKS] = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS,
};

int cii_resolve_open(int root_fd, const char *path, int flags, unsigned mode, int how) {
    struct open_how request = {
        .flags = (uint64_t)(unsigned)(flags | O_CLOEXEC),
        .mode = flags & (O_CREAT | __O_TMPFILE) ? mode : 0, /* openat2 refuses a mode where none is used */
        .resolve = resolve_flags[how],
    };
    for (int races = 0; races < 128;) {
        int fd = (int)syscall(SYS_openat2, root_fd, path, &request, sizeof(request));
        bool is_lease = errno == EAGAIN && how == CII_RESOLVE_NO_LINKS; /* nothing is resolved that could be a race */
        if (fd >= 0 || (errno != EAGAIN && errno != EINTR) || is_lease)
            return fd;
        races += errno == EAGAIN; /* something was renamed meanwhile, and ".." could not be trusted */
    }
    return -1;
}

/* Splits path before its last part; false: there is none that could be made or removed. */
static bool split(const char *path, size_t *ret_parent_size, const char **ret_name) {
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    if (*name == '\0' || strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
        errno = EINVAL;
        return false;
    }
    *ret_parent_size = (size_t)(name - path);
    *ret_name = name;
    return true;
}

int cii_resolve_parent(int root_fd, const char *path, int how, const char **ret_name) {
    char parent[PATH_MAX];
    size_t size;
    const char *name;
    if (!split(path, &size, &name))
        return -1;
    if (size >= sizeof(parent)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(parent, path, size);
    parent[size] = '\0';
    int fd = cii_resolve_open(root_fd, size ? parent : ".", O_PATH | O_DIRECTORY, 0, how);
    if (fd >= 0)
        *ret_name = name;
    return fd;
}

int cii_resolve_reopen(int path_fd, int flags) {
    /* thread-self: a thread of the host may have a descriptor table of its own. */
    char link[64];
    snprintf(link, sizeof(link), "/proc/thread-self/fd/%d", path_fd);
    return open(link, flags | O_CLOEXEC);
}

bool cii_resolve_stat(int fd, struct statx *ret_stat) {
    if (statx(fd, "", AT_EMPTY_PATH | AT_NO_AUTOMOUNT, STATX_BASIC_STATS | STATX_MNT_ID, ret_stat) < 0)
        return false;
    if (!(ret_stat->stx_mask & STATX_MNT_ID))
        ret_stat->stx_mnt_id = 0;
    return true;
}

uint64_t cii_resolve_mount_id(int fd) {
    struct statx info;
    return cii_resolve_stat(fd, &info) ? info.stx_mnt_id : 0;
}

static int open_folder(int root_fd, const char *path, int how) {
    return cii_resolve_open(root_fd, path, O_PATH | O_DIRECTORY, 0, how);
}

/* Makes the last folder of path unless it is there. */
static int ensure_folder(int root_fd, const char *path, unsigned mode, int how) {
    _cleanup_close_ int fd = open_folder(root_fd, path, how);
    if (fd >= 0 || errno != ENOENT)
        return fd < 0 ? -1 : 0;
    const char *name;
    _cleanup_close_ int parent_fd = cii_resolve_parent(root_fd, path, how, &name);
    if (parent_fd < 0 || (mkdirat(parent_fd, name, mode) < 0 && errno != EEXIST))
        return -1;
    fd = open_folder(root_fd, path, how); /* fails when the name is a link to nowhere, or a file */
    return fd < 0 ? -1 : 0;
}

int cii_resolve_mkdirs(int root_fd, const char *path, unsigned mode, int how) {
    char prefix[PATH_MAX];
    size_t size = strlen(path);
    if (size >= sizeof(prefix)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(prefix, path, size + 1);
    _cleanup_close_ int fd = open_folder(root_fd, size ? path : ".", how);
    if (fd >= 0 || errno != ENOENT)
        return fd < 0 ? -1 : 0;
    for (char *end = prefix + strspn(prefix, "/"); *end; end += strspn(end, "/")) {
        end += strcspn(end, "/");
        char after = *end;
        *end = '\0';
        if (ensure_folder(root_fd, prefix, mode, how) < 0)
            return -1;
        *end = after;
    }
    return 0;
}

/* --- file system identity ----------------------------------------------------------------------------------------- */

/* The kernel takes a change of identity as a reason to make the whole process non-dumpable (no core dump, no debugger)
 * and to forget the thread's parent-death signal. The host shall not notice: both are put back. Dumpability belongs to
 * the process, and several threads may be in here, so what it was before the first of them is kept, with how many are
 * inside and a count of changes, in one word that is changed as a whole: changes << 32 | inside << 8 | dumpable.
 * Whoever leaves puts it back before it is counted out, so with nobody inside the process says the truth. */
static _Atomic uint64_t identity_state;

#define STATE_CHANGE (UINT64_C(1) << 32)
#define STATE_INSIDE UINT64_C(0x100)
#define STATE_INSIDE_MASK UINT64_C(0xffffff00)
#define STATE_DUMPABLE_MASK UINT64_C(0xff)

static void remember_dumpable(void) {
    uint64_t state = atomic_load(&identity_state), next;
    do {
        uint64_t dumpable = state & STATE_DUMPABLE_MASK;
        if ((state & STATE_INSIDE_MASK) == 0)
            dumpable = (uint64_t)prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) & STATE_DUMPABLE_MASK;
        next = ((state & ~STATE_DUMPABLE_MASK) | dumpable) + STATE_CHANGE + STATE_INSIDE;
    } while (!atomic_compare_exchange_weak(&identity_state, &state, next));
}

static void restore_dumpable(void) {
    if ((atomic_load(&identity_state) & STATE_DUMPABLE_MASK) == 1) /* the only value that can be set */
        prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
    atomic_fetch_add(&identity_state, STATE_CHANGE - STATE_INSIDE);
}

/* Raw calls: they concern the calling thread alone. An id of -1 changes nothing and tells the present one. */
static cii_fsid present_fsid(void) {
    return (cii_fsid){.uid = (uint32_t)syscall(SYS_setfsuid, -1), .gid = (uint32_t)syscall(SYS_setfsgid, -1)};
}

cii_fsid cii_fsid_enter(uint32_t uid, uint32_t gid) {
    cii_fsid before = present_fsid();
    if (before.uid == uid && before.gid == gid)
        return before;
    before.changed = true;
    prctl(PR_GET_PDEATHSIG, &before.death_signal, 0, 0, 0);
    remember_dumpable();
    syscall(SYS_setfsgid, gid); /* while it is still allowed */
    syscall(SYS_setfsuid, uid);
    return before;
}

void cii_fsid_leave(cii_fsid before) {
    if (!before.changed)
        return;
    syscall(SYS_setfsuid, before.uid);
    syscall(SYS_setfsgid, before.gid);
    restore_dumpable();
    if (before.death_signal != 0)
        prctl(PR_SET_PDEATHSIG, before.death_signal, 0, 0, 0);
}
