/* The walls around a gateway, which reads what code in the session sends: an empty root, namespaces of its own but for the
 * network, no capability, the id of nobody else where the host is root, and system calls for sockets of the internet. */
#include <fcntl.h>
#include <linux/mount.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "os/privileges.h"
#include "supervisor/gateway/gateway.h"
#include "supervisor/state.h"

#define GATEWAY_ID 1 /* of the sandboxes' ids: no session's, those begin with 1000 */

#ifndef MNT_DETACH
#define MNT_DETACH 2
#endif
int mount(const char *source, const char *target, const char *type, unsigned long flags, const void *data);
int umount2(const char *target, int flags);

static int change_identity(void) {
    if (supervisor.ids.count <= GATEWAY_ID)
        return 0;
    uint32_t id = supervisor.ids.base + GATEWAY_ID;
    return (int)(syscall(SYS_setgroups, 0, NULL) | syscall(SYS_setresgid, id, id, id) |
                 syscall(SYS_setresuid, id, id, id));
}

static int empty_root(void) {
    struct mount_attr attr = {.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC};
    return unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS) < 0 ||
                   mount(NULL, "/", NULL, 1 << 14 | 1 << 18 /* MS_REC | MS_PRIVATE */, NULL) < 0 ||
                   mount("tmpfs", "/tmp", "tmpfs", 0, "size=4k,nr_inodes=1") < 0 || chdir("/tmp") < 0 ||
                   syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0 || chdir("/") < 0 ||
                   syscall(SYS_mount_setattr, AT_FDCWD, "/", 0, &attr, sizeof attr) < 0
               ? -1
               : 0;
}

static int limit(int which, rlim_t value) {
    struct rlimit limits;
    if (getrlimit(which, &limits) < 0)
        return -1;
    limits.rlim_max = CII_MIN(limits.rlim_max, value);
    limits.rlim_cur = limits.rlim_max;
    return setrlimit(which, &limits);
}

/* A socket of the internet, of a kind that is made here. */
static int allow_socket(scmp_filter_ctx ctx, int domain, int type) {
    return seccomp_rule_add(
        ctx, SCMP_ACT_ALLOW, SCMP_SYS(socket), 3, SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)domain),
        SCMP_A1(SCMP_CMP_MASKED_EQ, (scmp_datum_t) ~(SOCK_NONBLOCK | SOCK_CLOEXEC), (scmp_datum_t)type),
        SCMP_A2(SCMP_CMP_EQ, 0));
}

static int install_filter(void) {
    static const int calls[] = {
        SCMP_SYS(recvfrom),
        SCMP_SYS(sendto),
        SCMP_SYS(recvmsg),
        SCMP_SYS(sendmsg),
        SCMP_SYS(splice),
        SCMP_SYS(pipe2),
        SCMP_SYS(epoll_wait),
        SCMP_SYS(epoll_pwait),
        SCMP_SYS(epoll_ctl),
        SCMP_SYS(connect),
        SCMP_SYS(bind),
        SCMP_SYS(accept4),
        SCMP_SYS(shutdown),
        SCMP_SYS(close),
        SCMP_SYS(getpeername),
        SCMP_SYS(getsockopt),
        SCMP_SYS(setsockopt),
        SCMP_SYS(fcntl),
        SCMP_SYS(getrandom),
        SCMP_SYS(clock_gettime),
        SCMP_SYS(brk),
        SCMP_SYS(munmap),
        SCMP_SYS(mremap),
        SCMP_SYS(madvise),
        SCMP_SYS(sched_yield),
        SCMP_SYS(restart_syscall),
        SCMP_SYS(rt_sigreturn),
        SCMP_SYS(exit_group),
        SCMP_SYS(exit),
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) /* what sanitizers do beside us, and tell */
        SCMP_SYS(sigaltstack),
        SCMP_SYS(futex),
        SCMP_SYS(write),
#endif
    };
    scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_KILL_PROCESS);
    int result = ctx == NULL ? -1 : 0;
    for (size_t i = 0; i < CII_ELEMENTS(calls) && result == 0; i++)
        result = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, calls[i], 0);
    const int families[] = {AF_INET, AF_INET6};
    for (size_t i = 0; i < CII_ELEMENTS(families) && result == 0; i++)
        result = allow_socket(ctx, families[i], SOCK_STREAM) | allow_socket(ctx, families[i], SOCK_DGRAM);
    if (result == 0)
        result = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
    if (result == 0)
        result = seccomp_load(ctx);
    if (ctx != NULL)
        seccomp_release(ctx);
    return result == 0 ? 0 : -1;
}

int gateway_confine(void) {
    const char *what;
    if (change_identity() != 0 || empty_root() < 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 ||
        limit(RLIMIT_CORE, 0) < 0 || limit(RLIMIT_FSIZE, 0) < 0 || limit(RLIMIT_NOFILE, GATEWAY_FDS_MAX) < 0 ||
        cii_privileges_drop(&what) < 0)
        return -1;
    return install_filter();
}
