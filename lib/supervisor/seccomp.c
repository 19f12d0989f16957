/* Which system calls a sandboxed program may make. An allow-list: what is not named fails with ENOSYS, as on a kernel
 * without it, so that programs fall back; what is refused on purpose fails with EPERM. clone3 is ENOSYS because its
 * flags lie in memory that a filter cannot read; libc then uses clone, whose flags it can. */
#include <fcntl.h>
#include <linux/netlink.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "supervisor/supervisor.h"

static const char *const allowed[] = {
    /* files */
    "access",
    "chdir",
    "chmod",
    "chown",
    "close",
    "close_range",
    "copy_file_range",
    "creat",
    "dup",
    "dup2",
    "dup3",
    "faccessat",
    "faccessat2",
    "fadvise64",
    "fallocate",
    "fchdir",
    "fchmod",
    "fchmodat",
    "fchmodat2",
    "fchown",
    "fchownat",
    "fcntl",
    "fdatasync",
    "fgetxattr",
    "flistxattr",
    "flock",
    "fremovexattr",
    "fsetxattr",
    "fstat",
    "fstatfs",
    "fsync",
    "ftruncate",
    "futimesat",
    "getcwd",
    "getdents",
    "getdents64",
    "getxattr",
    "lchown",
    "lgetxattr",
    "link",
    "linkat",
    "listxattr",
    "llistxattr",
    "lremovexattr",
    "lseek",
    "lsetxattr",
    "lstat",
    "mkdir",
    "mkdirat",
    "newfstatat",
    "open",
    "openat",
    "openat2",
    "pread64",
    "preadv",
    "preadv2",
    "pwrite64",
    "pwritev",
    "pwritev2",
    "read",
    "readahead",
    "readlink",
    "readlinkat",
    "readv",
    "removexattr",
    "rename",
    "renameat",
    "renameat2",
    "rmdir",
    "sendfile",
    "setxattr",
    "splice",
    "stat",
    "statfs",
    "statx",
    "symlink",
    "symlinkat",
    "sync",
    "sync_file_range",
    "syncfs",
    "tee",
    "truncate",
    "umask",
    "unlink",
    "unlinkat",
    "utime",
    "utimensat",
    "utimes",
    "vmsplice",
    "write",
    "writev",
    "inotify_add_watch",
    "inotify_init",
    "inotify_init1",
    "inotify_rm_watch",
    "ioctl",
    "mknod",
    "mknodat",
    "name_to_handle_at",
    "memfd_create",
    "cachestat",
    /* memory */
    "brk",
    "get_mempolicy",
    "madvise",
    "map_shadow_stack",
    "mbind",
    "membarrier",
    "mincore",
    "mlock",
    "mlock2",
    "mlockall",
    "mmap",
    "mprotect",
    "mremap",
    "mseal",
    "msync",
    "munlock",
    "munlockall",
    "munmap",
    "pkey_alloc",
    "pkey_free",
    "pkey_mprotect",
    "process_madvise",
    "process_mrelease",
    "remap_file_pages",
    "set_mempolicy",
    /* processes and threads */
    "arch_prctl",
    "capget",
    "capset",
    "clone",
    "execve",
    "execveat",
    "exit",
    "exit_group",
    "fork",
    "futex",
    "futex_waitv",
    "get_robust_list",
    "get_thread_area",
    "getcpu",
    "getegid",
    "geteuid",
    "getgid",
    "getgroups",
    "getpgid",
    "getpgrp",
    "getpid",
    "getppid",
    "getpriority",
    "getresgid",
    "getresuid",
    "getrlimit",
    "getrusage",
    "getsid",
    "gettid",
    "getuid",
    "ioprio_get",
    "ioprio_set",
    "kill",
    "landlock_add_rule",
    "landlock_create_ruleset",
    "landlock_restrict_self",
    "personality",
    "pidfd_open",
    "pidfd_send_signal",
    "prctl",
    "prlimit64",
    "rseq",
    "sched_get_priority_max",
    "sched_get_priority_min",
    "sched_getaffinity",
    "sched_getattr",
    "sched_getparam",
    "sched_getscheduler",
    "sched_rr_get_interval",
    "sched_setaffinity",
    "sched_setattr",
    "sched_setparam",
    "sched_setscheduler",
    "sched_yield",
    "seccomp",
    "set_robust_list",
    "set_thread_area",
    "set_tid_address",
    "setfsgid",
    "setfsuid",
    "setgid",
    "setgroups",
    "setpgid",
    "setpriority",
    "setregid",
    "setresgid",
    "setresuid",
    "setreuid",
    "setrlimit",
    "setsid",
    "setuid",
    "sysinfo",
    "tgkill",
    "times",
    "tkill",
    "uname",
    "vfork",
    "wait4",
    "waitid",
    /* signals, time, waiting */
    "adjtimex",
    "alarm",
    "clock_adjtime",
    "clock_getres",
    "clock_gettime",
    "clock_nanosleep",
    "epoll_create",
    "epoll_create1",
    "epoll_ctl",
    "epoll_ctl_old",
    "epoll_pwait",
    "epoll_pwait2",
    "epoll_wait",
    "eventfd",
    "eventfd2",
    "getitimer",
    "gettimeofday",
    "nanosleep",
    "pause",
    "poll",
    "ppoll",
    "pselect6",
    "restart_syscall",
    "rt_sigaction",
    "rt_sigpending",
    "rt_sigprocmask",
    "rt_sigqueueinfo",
    "rt_sigreturn",
    "rt_sigsuspend",
    "rt_sigtimedwait",
    "rt_tgsigqueueinfo",
    "select",
    "setitimer",
    "sigaltstack",
    "signalfd",
    "signalfd4",
    "time",
    "timer_create",
    "timer_delete",
    "timer_getoverrun",
    "timer_gettime",
    "timer_settime",
    "timerfd_create",
    "timerfd_gettime",
    "timerfd_settime",
    /* talking to others */
    "accept",
    "accept4",
    "bind",
    "connect",
    "getpeername",
    "getsockname",
    "getsockopt",
    "listen",
    "mq_getsetattr",
    "mq_notify",
    "mq_open",
    "mq_timedreceive",
    "mq_timedsend",
    "mq_unlink",
    "msgctl",
    "msgget",
    "msgrcv",
    "msgsnd",
    "pipe",
    "pipe2",
    "recvfrom",
    "recvmmsg",
    "recvmsg",
    "semctl",
    "semget",
    "semop",
    "semtimedop",
    "sendmmsg",
    "sendmsg",
    "sendto",
    "setsockopt",
    "shmat",
    "shmctl",
    "shmdt",
    "shmget",
    "shutdown",
    "socket",
    "socketpair",
    /* the rest */
    "getrandom",
    "io_cancel",
    "io_destroy",
    "io_getevents",
    "io_pgetevents",
    "io_setup",
    "io_submit",
    "getpmsg",
    "riscv_flush_icache",
};

/* Refused in so many words: a program that tries should hear "not permitted". */
static const char *const refused[] = {
    "mount",
    "umount",
    "umount2",
    "open_tree",
    "open_tree_attr",
    "move_mount",
    "fsopen",
    "fsconfig",
    "fsmount",
    "fspick",
    "mount_setattr",
    "statmount",
    "listmount",
    "pivot_root",
    "chroot",
    "unshare",
    "setns",
    "ptrace",
    "process_vm_readv",
    "process_vm_writev",
    "kcmp",
    "pidfd_getfd",
    "bpf",
    "perf_event_open",
    "io_uring_setup",
    "io_uring_enter",
    "io_uring_register",
    "userfaultfd",
    "keyctl",
    "add_key",
    "request_key",
    "open_by_handle_at",
    "kexec_load",
    "kexec_file_load",
    "init_module",
    "finit_module",
    "delete_module",
    "create_module",
    "swapon",
    "swapoff",
    "reboot",
    "quotactl",
    "quotactl_fd",
    "acct",
    "ioperm",
    "iopl",
    "vhangup",
    "lookup_dcookie",
    "settimeofday",
    "clock_settime",
    "stime",
    "sethostname",
    "setdomainname",
    "fanotify_init",
    "fanotify_mark",
    "move_pages",
    "migrate_pages",
    "nfsservctl",
    "uselib",
    "ustat",
    "_sysctl",
    "sysfs",
    "modify_ldt",
    "memfd_secret",
    "syslog",
};

/* Of those, what the libseccomp at hand may be too old to know by name; numbers are the same on all architectures. */
static const struct {
    const char *name;
    int number;
} young[] = {{"statmount", 457}, {"listmount", 458}, {"open_tree_attr", 467}};

#define DENY SCMP_ACT_ERRNO(EPERM)
#define LOW UINT64_C(0xffffffff) /* the kernel ignores the upper half of int arguments: so do comparisons */
#define EQUAL(arg, value) SCMP_CMP64(arg, SCMP_CMP_MASKED_EQ, LOW, (value))
#define HAS(arg, mask, value) SCMP_CMP64(arg, SCMP_CMP_MASKED_EQ, (mask), (value))
#define DIFFERS(arg, value) SCMP_CMP64(arg, SCMP_CMP_NE, (value))

#define FAMILY_MAX 64 /* beyond every address family there is */

typedef struct argument_rule {
    const char *name;
    unsigned count;
    struct scmp_arg_cmp args[2];
} argument_rule;

static int rule(scmp_filter_ctx ctx, uint32_t action, const char *name, unsigned count,
                const struct scmp_arg_cmp *args) {
    int number = seccomp_syscall_resolve_name(name);
    for (size_t i = 0; i < CII_ELEMENTS(young) && number == __NR_SCMP_ERROR; i++)
        if (strcmp(young[i].name, name) == 0)
            number = young[i].number;
    if (number == __NR_SCMP_ERROR)
        return 0; /* a name this libseccomp does not know falls to the default */
    int result = seccomp_rule_add_array(ctx, action, number, count, args);
    return result == -EDOM || result == -EACCES ? 0 : result; /* not of this architecture; the default already */
}

static int rule_names(scmp_filter_ctx ctx, uint32_t action, const char *const *names, size_t count) {
    int result = 0;
    for (size_t i = 0; i < count && result == 0; i++)
        result = rule(ctx, action, names[i], 0, NULL);
    return result;
}

static int deny_arguments(scmp_filter_ctx ctx) {
    const argument_rule rules[] = {
        {"clone", 1, {HAS(0, CLONE_NEWNS, CLONE_NEWNS)}},
        {"clone", 1, {HAS(0, CLONE_NEWUTS, CLONE_NEWUTS)}},
        {"clone", 1, {HAS(0, CLONE_NEWIPC, CLONE_NEWIPC)}},
        {"clone", 1, {HAS(0, CLONE_NEWUSER, CLONE_NEWUSER)}},
        {"clone", 1, {HAS(0, CLONE_NEWPID, CLONE_NEWPID)}},
        {"clone", 1, {HAS(0, CLONE_NEWNET, CLONE_NEWNET)}},
        {"clone", 1, {HAS(0, CLONE_NEWCGROUP, CLONE_NEWCGROUP)}},
        {"ioctl", 1, {EQUAL(1, TIOCSTI)}},
        {"ioctl", 1, {EQUAL(1, TIOCLINUX)}},
        {"mknod", 1, {HAS(1, S_IFMT, S_IFCHR)}},
        {"mknod", 1, {HAS(1, S_IFMT, S_IFBLK)}},
        {"mknodat", 1, {HAS(2, S_IFMT, S_IFCHR)}},
        {"mknodat", 1, {HAS(2, S_IFMT, S_IFBLK)}},
        {"personality", 1, {DIFFERS(0, LOW)}}, /* asking is allowed */
        {"socket", 2, {EQUAL(0, AF_INET), HAS(1, 0xf, SOCK_RAW)}},
        {"socket", 2, {EQUAL(0, AF_INET), HAS(1, 0xf, SOCK_PACKET)}},
        {"socket", 2, {EQUAL(0, AF_INET6), HAS(1, 0xf, SOCK_RAW)}},
        {"socket", 2, {EQUAL(0, AF_NETLINK), DIFFERS(2, NETLINK_ROUTE)}},
        {"socket", 1, {SCMP_CMP64(0, SCMP_CMP_GT, FAMILY_MAX)}},
        {"socketpair", 1, {DIFFERS(0, AF_UNIX)}},
    };
    for (size_t i = 0; i < CII_ELEMENTS(rules); i++)
        if (rule(ctx, DENY, rules[i].name, rules[i].count, rules[i].args) < 0)
            return -1;
    for (int family = 0; family <= FAMILY_MAX; family++)
        if (family != AF_UNIX && family != AF_INET && family != AF_INET6 && family != AF_NETLINK &&
            rule(ctx, DENY, "socket", 1, (struct scmp_arg_cmp[]){EQUAL(0, (unsigned)family)}) < 0)
            return -1;
    return 0;
}

/* Files of a host folder outlive the session, and belong to the folder's owner: with a set-id bit, a program that the
 * sandbox left there would run as that owner for whoever finds it. openat2's mode lies in memory, so it is not there. */
static int build_host_folder_refusals(scmp_filter_ctx ctx) {
    static const struct {
        const char *name;
        unsigned mode, flags; /* which arguments; flags 0: the mode always counts */
    } calls[] = {{"chmod", 1, 0}, {"fchmod", 1, 0},  {"fchmodat", 2, 0}, {"fchmodat2", 2, 0}, {"creat", 1, 0},
                 {"mknod", 1, 0}, {"mknodat", 2, 0}, {"open", 2, 1},     {"openat", 3, 2}};
    for (size_t i = 0; i < CII_ELEMENTS(calls); i++)
        for (uint64_t bit = S_ISGID; bit <= S_ISUID; bit <<= 1) {
            struct scmp_arg_cmp args[] = {HAS(calls[i].mode, bit, bit), HAS(calls[i].flags, O_CREAT, O_CREAT)};
            struct scmp_arg_cmp unnamed[] = {args[0], HAS(calls[i].flags, O_TMPFILE, O_TMPFILE)};
            unsigned count = calls[i].flags == 0 ? 1 : 2;
            if (rule(ctx, DENY, calls[i].name, count, args) < 0 ||
                (count == 2 && rule(ctx, DENY, calls[i].name, count, unnamed) < 0))
                return -1;
        }
    return rule(ctx, SCMP_ACT_ERRNO(ENOSYS), "openat2", 0, NULL);
}

static int build_refusals(scmp_filter_ctx ctx) {
    return rule_names(ctx, DENY, refused, CII_ELEMENTS(refused)) < 0 || deny_arguments(ctx) < 0 ? -1 : 0;
}

static int build_allowances(scmp_filter_ctx ctx) {
    return rule_names(ctx, SCMP_ACT_ALLOW, allowed, CII_ELEMENTS(allowed)) < 0 ||
                   rule_names(ctx, SCMP_ACT_ALLOW, refused, CII_ELEMENTS(refused)) < 0
               ? -1
               : 0;
}

/* Appends a compiled filter to a file, its size before it. */
static int compile(int fd, uint32_t default_action, int (*build)(scmp_filter_ctx ctx)) {
    scmp_filter_ctx ctx = seccomp_init(default_action);
    uint32_t size = 0;
    off_t start = lseek(fd, 0, SEEK_CUR);
    bool good = ctx != NULL && seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, DENY) == 0 &&
                seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2) == 0 && build(ctx) == 0 &&
                write(fd, &size, sizeof size) == sizeof size && seccomp_export_bpf(ctx, fd) == 0;
    if (ctx != NULL)
        seccomp_release(ctx);
    off_t end = lseek(fd, 0, SEEK_CUR);
    size = (uint32_t)(end - start - (off_t)sizeof size);
    return good && pwrite(fd, &size, sizeof size, start) == sizeof size ? 0 : -1;
}

/* Filters of which the stricter answer counts: one that refuses with EPERM and lets all else pass, and the allow-list.
 * One filter could not do both, because arguments that match no rule get its default. The last is for sessions whose
 * workspace is a host folder. */
int filter_make(void) {
    _cleanup_close_ int fd = memfd_create("filter", MFD_CLOEXEC);
    if (fd < 0)
        return -1;
    if (compile(fd, SCMP_ACT_ALLOW, build_refusals) < 0 || compile(fd, SCMP_ACT_ERRNO(ENOSYS), build_allowances) < 0 ||
        compile(fd, SCMP_ACT_ALLOW, build_host_folder_refusals) < 0) {
        errno = EINVAL;
        return -1;
    }
    return TAKE_FD(fd);
}
