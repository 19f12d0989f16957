/* Who the sandboxes are to the host. Root takes a block of 65,536 ids that no other supervisor has, far above those of
 * people and services, so that every session is a user of its own. Everybody else has only the own id. */
#include <fcntl.h>
#include <linux/mount.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "os/fd.h"
#include "supervisor/supervisor.h"

#define FIRST_BLOCK 0x4000u /* ids from 1,073,741,824 on */
#define BLOCK_COUNT 0x3fffu
#define LOCK_DIR "/run/libci"

/* Whether all ids may be mapped: not when this is the root of some container. */
static bool owns_all_ids(void) {
    _cleanup_free_ char *map = cii_fd_read_file(AT_FDCWD, "/proc/self/uid_map", 4096, NULL);
    unsigned long inside, outside, count;
    return geteuid() == 0 && map != NULL && sscanf(map, "%lu %lu %lu", &inside, &outside, &count) == 3 && inside == 0 &&
           count >= 4294967295ul;
}

/* The lock ends with this process; a file that is left is taken over by the next. */
static int lock_block(uint32_t block) {
    char name[64];
    mkdir(LOCK_DIR, 0700);
    snprintf(name, sizeof name, LOCK_DIR "/ids-%x", block);
    _cleanup_close_ int fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    return fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0 ? TAKE_FD(fd) : -1;
}

void identity_choose(identity *ret_ids) {
    *ret_ids = (identity){.base = geteuid(), .count = 1, .lock_fd = -1};
    if (!owns_all_ids())
        return;
    uint32_t start = 0;
    if (getrandom(&start, sizeof start, 0) != sizeof start)
        start = (uint32_t)getpid();
    for (uint32_t i = 0; i < 64 && ret_ids->lock_fd < 0; i++) {
        uint32_t block = FIRST_BLOCK + (start + i) % BLOCK_COUNT;
        ret_ids->lock_fd = lock_block(block);
        ret_ids->base = block << 16;
        ret_ids->count = 65536;
    }
}

static int write_proc(pid_t pid, const char *name, const char *text) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
    _cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);
    return fd < 0 || write(fd, text, strlen(text)) < 0 ? -1 : 0;
}

int identity_map(const identity *ids, pid_t pid) {
    char uids[64], gids[64];
    snprintf(uids, sizeof uids, "0 %u %u", ids->base, ids->count);
    snprintf(gids, sizeof gids, "0 %u %u", ids->count > 1 ? ids->base : getegid(), ids->count);
    /* Who may map only the own group may do so only when groups can no longer be changed (user_namespaces(7)). */
    if (ids->count == 1 && write_proc(pid, "setgroups", "deny") < 0)
        return -1;
    return write_proc(pid, "uid_map", uids) < 0 || write_proc(pid, "gid_map", gids) < 0 ? -1 : 0;
}

/* A user namespace that maps one id to another, for an idmapped mount (mount_setattr(2)). A process has to hold it
 * until it is opened. */
static int map_namespace(const struct stat *owner, uint32_t id) {
    char uids[48], gids[48], path[48];
    int ready[2];
    snprintf(uids, sizeof uids, "%u %u 1", owner->st_uid, id);
    snprintf(gids, sizeof gids, "%u %u 1", owner->st_gid, id);
    if (pipe2(ready, O_CLOEXEC) < 0)
        return -1;
    pid_t pid = (pid_t)syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, NULL, NULL, NULL, NULL);
    if (pid == 0) {
        char byte;
        close(ready[1]);
        _exit(read(ready[0], &byte, 1) != 0);
    }
    cii_close(ready[0]);
    snprintf(path, sizeof path, "/proc/%d/ns/user", (int)pid);
    int fd = pid < 0 || write_proc(pid, "uid_map", uids) < 0 || write_proc(pid, "gid_map", gids) < 0
                 ? -1
                 : open(path, O_RDONLY | O_CLOEXEC);
    int error_number = errno;
    cii_close(ready[1]); /* it ends */
    if (pid > 0)
        waitpid(pid, NULL, 0);
    errno = error_number;
    return fd;
}

int identity_open_tree(const identity *ids, const char *path, uint32_t uid) {
    struct stat st;
    _cleanup_close_ int tree = (int)syscall(SYS_open_tree, AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    if (tree < 0 || fstat(tree, &st) < 0)
        return -1;
    _cleanup_close_ int namespace = map_namespace(&st, ids->base + uid);
    struct mount_attr attr = {.attr_set = MOUNT_ATTR_IDMAP | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV,
                              .userns_fd = (uint64_t) namespace};
    if (namespace < 0 || syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &attr, sizeof attr) < 0)
        return -1;
    return TAKE_FD(tree);
}
