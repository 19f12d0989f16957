/* From a fork of the zygote to the init of a session: namespaces, mounts, identity, no privileges. Nothing of a user
 * runs before this is over, and nothing privileged joins the session afterwards.
 *
 * The mount, network, IPC and UTS namespaces are made before the session's own user namespace and belong to its parent:
 * whoever gained every capability in the session would still have none over them. */
#include <dirent.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/str.h"
#include "guest/init/guest.h"
#include "os/fd.h"
#include "os/privileges.h"
#include "wire/network.h"

#ifndef OPEN_TREE_CLONE
#define OPEN_TREE_CLONE 1
#endif
#ifndef MOVE_MOUNT_F_EMPTY_PATH
#define MOVE_MOUNT_F_EMPTY_PATH 0x00000004
#endif

/* --- failing ------------------------------------------------------------------------------------------------------- */

/* Tells the library what failed, and ends. */
static _Noreturn void refuse(const session_spec *spec, const char *what) {
    int error_number = errno;
    _cleanup_buf_ cii_buf message = {0};
    cii_wire_mark mark;
    cii_wire_begin(&message, CII_SETUP_REFUSED, &mark);
    cii_wire_put_int(&message, CII_SETUP_ERRNO, error_number);
    cii_wire_put_str(&message, CII_SETUP_MESSAGE, what);
    cii_wire_end(&message, &mark);
    cii_fd_send(spec->setup_fd, message.data, message.size, NULL, 0, 0);
    _exit(1);
}

static void must(const session_spec *spec, long result, const char *what) {
    if (result < 0)
        refuse(spec, what);
}

/* --- mounts -------------------------------------------------------------------------------------------------------- */

static void copy_file(int from, int to_dir, const char *name, uint32_t uid) {
    _cleanup_close_ int to = openat(to_dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    char chunk[65536];
    ssize_t size;
    while (to >= 0 && (size = read(from, chunk, sizeof chunk)) > 0)
        cii_fd_write_all(to, chunk, (size_t)size);
    if (to >= 0 && fchown(to, uid, uid) < 0)
        return; /* a cache that cannot be used is only slow */
}

/* Copies what the zygote left in its home (caches of fonts and the like): plain files and folders, a bounded number. */
static void copy_tree(int from, int to, uint32_t uid, int depth, int *budget) {
    struct stat folder;
    DIR *dir = fstat(from, &folder) == 0 ? fdopendir(from) : NULL;
    if (dir == NULL) {
        cii_close(from);
        return;
    }
    for (struct dirent *entry; *budget > 0 && (entry = readdir(dir)) != NULL;) {
        const char *name = entry->d_name;
        if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
            continue;
        --*budget;
        _cleanup_close_ int source = openat(from, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
        struct stat st;
        if (source < 0 || fstat(source, &st) < 0 || st.st_dev != folder.st_dev)
            continue;
        if (S_ISREG(st.st_mode))
            copy_file(source, to, name, uid);
        else if (S_ISDIR(st.st_mode) && depth > 0 && mkdirat(to, name, 0755) == 0) {
            _cleanup_close_ int target = openat(to, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
            if (fchown(target, uid, uid) == 0)
                copy_tree(TAKE_FD(source), target, uid, depth - 1, budget);
        }
    }
    closedir(dir);
}

static void make_dir(const session_spec *spec, int dir, const char *name, mode_t mode, uint32_t uid) {
    must(spec, mkdirat(dir, name, mode), name);
    must(spec, fchmodat(dir, name, mode, 0), name);
    must(spec, fchownat(dir, name, uid, uid, AT_SYMLINK_NOFOLLOW), name);
}

static void bind_path(const session_spec *spec, const char *from, const char *to) {
    must(spec, mount(from, to, NULL, MS_BIND, NULL), to);
}

#define PROCESSES_BYTES (UINT64_C(64) << 20)

/* Files on a tmpfs are memory of the session's control group, and stay when its processes are killed: if they could fill
 * it, no process could be started any more to remove them. So they leave an eighth of it. */
static uint64_t files_bytes(const session_spec *spec) {
    uint64_t memory = spec->memory_bytes, reserve = CII_MAX(memory / 8, CII_MIN(PROCESSES_BYTES, memory / 2));
    return spec->limits & CII_LIMIT_MEMORY_CGROUP ? CII_MIN(spec->workspace_bytes, memory - reserve)
                                                  : spec->workspace_bytes;
}

static int mount_tmpfs(const session_spec *spec) {
    char options[96];
    snprintf(options, sizeof options, "mode=0755,size=%llu,nr_inodes=%llu", (unsigned long long)files_bytes(spec),
             (unsigned long long)spec->workspace_inodes);
    must(spec, mount("tmpfs", "/mnt", "tmpfs", MS_NOSUID | MS_NODEV, options), "mount the session's files");
    int fd = open("/mnt", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    must(spec, fd, "open the session's files");
    return fd;
}

/* What /proc/meminfo says inside: the session's memory, not the machine's. */
static void write_meminfo(const session_spec *spec) {
    char text[512];
    unsigned long long kib = spec->memory_bytes >> 10;
    int size = snprintf(text, sizeof text,
                        "MemTotal:       %llu kB\nMemFree:        %llu kB\nMemAvailable:   %llu kB\n"
                        "Buffers:        0 kB\nCached:         0 kB\nSwapCached:     0 kB\nActive:         0 kB\n"
                        "Inactive:       0 kB\nSwapTotal:      0 kB\nSwapFree:       0 kB\nShmem:          0 kB\n"
                        "Slab:           0 kB\n",
                        kib, kib, kib);
    must(spec, ftruncate(spec->meminfo_fd, 0), "meminfo");
    must(spec, pwrite(spec->meminfo_fd, text, (size_t)size, 0), "meminfo");
}

/* The workspace: a folder of the host, or "files", whose other half "stage" the guest cannot see: what is written there
 * can be renamed into the workspace in one step. */
static void mount_workspace(const session_spec *spec, int base) {
    if (spec->tree_fd >= 0) {
        must(spec, syscall(SYS_move_mount, spec->tree_fd, "", AT_FDCWD, GUEST_ROOT, MOVE_MOUNT_F_EMPTY_PATH),
             "mount the host folder as workspace");
        return;
    }
    make_dir(spec, base, "files", 0755, spec->uid);
    make_dir(spec, base, "stage", 0700, spec->uid);
    bind_path(spec, "/mnt/files", GUEST_ROOT);
}

/* Makes a folder of the session's system one that can be written: what is written lands in a layer of its own, and the
 * system stays as it was. What libci adds to /etc lies between the two. The layer's root stands for the folder's. */
static void mount_layer(const session_spec *spec, int layers, const char *name) {
    struct stat st, shown;
    _cleanup_free_ char *lower = cii_str_printf("/mnt/rootfs/%s", name), *target = cii_str_printf("/%s", name),
                        *upper = cii_str_printf("%s.files", name), *work = cii_str_printf("%s.work", name),
                        *options =
                            cii_str_printf("lowerdir=%s%s,upperdir=/mnt/layers/%s,workdir=/mnt/layers/%s,userxattr",
                                           strcmp(name, "etc") == 0 ? "/opt/libci/etc:" : "", lower, upper, work);
    if (lower == NULL || target == NULL || upper == NULL || work == NULL || options == NULL)
        refuse(spec, "no memory");
    if (lstat(lower, &st) < 0 || !S_ISDIR(st.st_mode) || lstat(target, &shown) < 0 || shown.st_dev != st.st_dev ||
        shown.st_ino != st.st_ino)
        return; /* not what the zygote shows there: the sandbox has its own */
    make_dir(spec, layers, upper, st.st_mode & 07777, st.st_uid);
    make_dir(spec, layers, work, 0700, 0);
    must(spec, mount("overlay", target, "overlay", MS_NOSUID | MS_NODEV, options), "rootfs: mount an overlay");
}

/* A name that overlay's options would take for something else stays read-only. */
static void mount_layers(const session_spec *spec, int base) {
    make_dir(spec, base, "rootfs", 0700, 0);
    make_dir(spec, base, "layers", 0700, 0);
    must(spec, syscall(SYS_move_mount, spec->rootfs_fd, "", AT_FDCWD, "/mnt/rootfs", MOVE_MOUNT_F_EMPTY_PATH),
         "rootfs");
    _cleanup_close_ int layers = openat(base, "layers", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = opendir("/mnt/rootfs");
    must(spec, dir == NULL ? -1 : layers, "rootfs");
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;)
        if (entry->d_name[0] != '.' && strpbrk(entry->d_name, ",:\\") == NULL)
            mount_layer(spec, layers, entry->d_name);
    closedir(dir);
}

static void mount_home(const session_spec *spec, int base) {
    int budget = 200;
    make_dir(spec, base, "home", 0755, spec->uid);
    _cleanup_close_ int home = openat(base, "home", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    must(spec, home, "home");
    copy_tree(open(GUEST_HOME, O_RDONLY | O_DIRECTORY | O_CLOEXEC), home, spec->uid, 5, &budget);
    bind_path(spec, "/mnt/home", GUEST_HOME);
}

static void make_parents(const session_spec *spec, const char *path) {
    _cleanup_free_ char *copy = strdup(path);
    for (char *slash = copy != NULL ? strchr(copy + 1, '/') : NULL; slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        must(spec, mkdir(copy, 0755) < 0 && errno != EEXIST ? -1 : 0, copy);
        *slash = '/';
    }
}

/* What the interpreter has below /tmp or home goes on top of the session's own. */
static void uncover(const session_spec *spec, const int trees[GUEST_COVERED_MAX]) {
    for (size_t i = 0; spec->covered[i] != NULL; i++) {
        make_parents(spec, spec->covered[i]);
        must(spec, mkdir(spec->covered[i], 0755) < 0 && errno != EEXIST ? -1 : 0, spec->covered[i]);
        must(spec, syscall(SYS_move_mount, trees[i], "", AT_FDCWD, spec->covered[i], MOVE_MOUNT_F_EMPTY_PATH),
             spec->covered[i]);
        cii_close(trees[i]);
    }
}

/* It answers by datagrams alone: those may be larger than 512 bytes. */
static void name_resolver(const session_spec *spec, int base) {
    static const char text[] = "nameserver " CII_NETWORK_RESOLVER "\noptions edns0\n";
    make_dir(spec, base, "network", 0755, 0);
    _cleanup_close_ int fd = openat(base, "network/resolv.conf", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    must(spec, fd, "resolv.conf");
    must(spec, cii_fd_write_all(fd, text, sizeof text - 1), "resolv.conf");
    bind_path(spec, "/mnt/network", CII_NETWORK_FOLDER);
}

/* All that the session writes lies on one tmpfs: workspace, home, /tmp, /dev/shm, and what it changes of a system of its
 * own. Returns a descriptor of its root. */
static int mount_files(session_spec *spec) {
    int base = mount_tmpfs(spec), trees[GUEST_COVERED_MAX];
    for (size_t i = 0; spec->covered[i] != NULL; i++)
        must(spec, trees[i] = (int)syscall(SYS_open_tree, AT_FDCWD, spec->covered[i], OPEN_TREE_CLONE | O_CLOEXEC),
             spec->covered[i]);
    mount_workspace(spec, base);
    mount_home(spec, base);
    make_dir(spec, base, "tmp", 01777, spec->uid);
    make_dir(spec, base, "shm", 01777, spec->uid);
    spec->meminfo_fd = openat(base, "meminfo", O_RDWR | O_CREAT | O_CLOEXEC, 0444);
    must(spec, spec->meminfo_fd, "meminfo");
    write_meminfo(spec);
    if (spec->rootfs_fd >= 0)
        mount_layers(spec, base);
    bind_path(spec, "/mnt/tmp", "/tmp");
    bind_path(spec, "/mnt/shm", "/dev/shm");
    bind_path(spec, "/mnt/meminfo", "/proc/meminfo");
    if (spec->channel_fd >= 0)
        name_resolver(spec, base);
    uncover(spec, trees);
    must(spec, umount2("/mnt", MNT_DETACH), "mount the session's files");
    return base;
}

/* --- namespaces and identity ---------------------------------------------------------------------------------------- */

static void raise_loopback(const session_spec *spec) {
    _cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
    must(spec, fd, "loopback");
    must(spec, ioctl(fd, SIOCSIFFLAGS, &request), "loopback");
}

/* A session that asks for the internet and has no gateway has no network. */
static void make_network(session_spec *spec) {
    if (spec->channel_fd >= 0)
        must(spec, network_make(spec->channel_fd), "make the session's network (the kernel must have veth)");
    raise_loopback(spec);
}

static void write_map(const session_spec *spec, const char *path, const char *text) {
    _cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);
    must(spec, fd, path);
    must(spec, write(fd, text, strlen(text)), path);
}

/* The session's own identity: one user, in a user namespace of its own, so that the count of its processes is its own
 * too. The map may be written without privileges because it names nobody but the writer. */
static void become_user(const session_spec *spec) {
    char map[48];
    if (spec->uid != 0) {
        must(spec, (long)syscall(SYS_setgroups, 0, NULL), "setgroups");
        must(spec, (long)syscall(SYS_setresgid, spec->uid, spec->uid, spec->uid), "setresgid");
        must(spec, (long)syscall(SYS_setresuid, spec->uid, spec->uid, spec->uid), "setresuid");
    }
    must(spec, prctl(PR_SET_DUMPABLE, 1), "PR_SET_DUMPABLE"); /* or the maps could not be written */
    must(spec, unshare(CLONE_NEWUSER), "make the session's user namespace");
    snprintf(map, sizeof map, "%d %u 1", GUEST_UID, spec->uid);
    write_map(spec, "/proc/self/setgroups", "deny");
    write_map(spec, "/proc/self/uid_map", map);
    write_map(spec, "/proc/self/gid_map", map);
}

static void drop_privileges(const session_spec *spec) {
    const char *what;
    int result = cii_privileges_drop(&what);
    must(spec, result, what);
}

static void limit(int which, uint64_t value) {
    struct rlimit limit = {.rlim_cur = value, .rlim_max = value};
    setrlimit(which, &limit);
}

/* The supervisor's file: programs, each with its size in bytes before it. The last is for a host folder alone. */
static void install_filters(const session_spec *spec, const uint8_t *file, size_t size) {
    int count = spec->tree_fd >= 0 ? 3 : 2;
    for (size_t at = 0; at + 4 < size && count > 0; count--) {
        uint32_t length;
        memcpy(&length, file + at, sizeof length);
        at += sizeof length;
        struct sock_fprog program = {.len = (unsigned short)(length / sizeof(struct sock_filter)),
                                     .filter = (struct sock_filter *)(uintptr_t)(file + at)};
        must(spec, length > size - at ? -1 : syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program),
             "install the system call filter");
        at += length;
    }
}

/* What RLIMIT_DATA counts (proc(5), statm); 0 when it cannot be told. */
static uint64_t own_data_bytes(void) {
    unsigned long pages = 0;
    _cleanup_free_ char *text = cii_fd_read_file(AT_FDCWD, "/proc/self/statm", 256, NULL);
    return text != NULL && sscanf(text, "%*u %*u %*u %*u %*u %lu", &pages) == 1
               ? (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE)
               : 0;
}

static void send_ready(const session_spec *spec, int root_fd, int base_fd) {
    _cleanup_buf_ cii_buf message = {0};
    cii_wire_mark mark;
    cii_wire_begin(&message, CII_SETUP_SESSION_READY, &mark);
    cii_wire_put_int(&message, CII_SETUP_LIMITS, spec->limits);
    cii_wire_put_int(&message, CII_SETUP_LANGUAGES, (int64_t)kernel_languages(spec));
    cii_wire_end(&message, &mark);
    int fds[] = {root_fd, base_fd};
    must(spec, cii_fd_send(spec->setup_fd, message.data, message.size, fds, base_fd >= 0 ? 2 : 1, 0), "report");
}

void guest_enter(session_spec *spec, const void *filter, size_t filter_size) {
    int namespaces = CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP;
    if (spec->network != 2)
        namespaces |= CLONE_NEWNET;
    spec->inherited_bytes = own_data_bytes();
    must(spec, setsid(), "setsid");
    must(spec, unshare(namespaces), "make the session's namespaces");
    must(spec, mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL), "mount /proc");
    if (spec->network != 2)
        make_network(spec);
    must(spec, sethostname("ci", 2), "set the host name");
    _cleanup_close_ int base = mount_files(spec);
    must(spec, chdir(GUEST_ROOT), "enter the workspace");
    _cleanup_close_ int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    must(spec, root, "open the root");
    become_user(spec);
    limit(RLIMIT_CORE, 0);
    limit(RLIMIT_RTPRIO, 0); /* the host's, where it has any */
    limit(RLIMIT_NICE, 0);
    drop_privileges(spec);
    install_filters(spec, filter, filter_size);
    must(spec, prctl(PR_SET_DUMPABLE, 0), "PR_SET_DUMPABLE");
    signal(SIGINT, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    umask(022);
    if (spec->control_fd >= 0 && spec->channel_fd >= 0) {
        must(spec, network_await(spec->channel_fd), "the session's gateway has ended");
        cii_close(TAKE_FD(spec->channel_fd));
    }
    send_ready(spec, root, spec->tree_fd >= 0 ? -1 : base);
    if (spec->control_fd >= 0)
        cii_close(TAKE_FD(spec->setup_fd));
    cii_close(TAKE_FD(spec->tree_fd));
    cii_close(TAKE_FD(spec->rootfs_fd));
}

void guest_adopt(session_spec *spec, const uint8_t *fields, size_t size) {
    cii_wire_field field;
    size_t cursor = 0;
    while (cii_wire_next(fields, size, &cursor, &field) == 1)
        session_take_field(spec, &field);
    write_meminfo(spec);
    if (spec->channel_fd >= 0 && network_await(spec->channel_fd) < 0)
        _exit(1); /* without its gateway there is no session */
    cii_close(TAKE_FD(spec->channel_fd));
    cii_close(TAKE_FD(spec->setup_fd));
}

static void limit_process(pid_t pid, __rlimit_resource_t which, uint64_t value) {
    struct rlimit limits = {.rlim_cur = value, .rlim_max = value};
    prlimit(pid, which, &limits, NULL);
}

static void limit_resources(const session_spec *spec, pid_t pid, uint64_t inherited_bytes) {
    limit_process(pid, RLIMIT_NOFILE, spec->open_file_count);
    if (!(spec->limits & CII_LIMIT_MEMORY_CGROUP))
        limit_process(pid, RLIMIT_DATA, spec->memory_bytes + inherited_bytes);
    if (!(spec->limits & CII_LIMIT_PIDS_CGROUP))
        limit_process(pid, RLIMIT_NPROC, spec->process_count + 1); /* init counts too */
}

void guest_limit_kernel(const session_spec *spec, pid_t pid, bool is_fork) {
    limit_resources(spec, pid, is_fork ? spec->inherited_bytes : 0);
}

/* --- what runs users' code ------------------------------------------------------------------------------------------ */

void guest_confine(const session_spec *spec, bool is_kernel) {
    for (size_t i = 0; i < spec->cgroup_count; i++)
        if (write(spec->cgroup_fds[i], "0", 1) < 0)
            _exit(125);
    limit_resources(spec, 0, is_kernel ? spec->inherited_bytes : 0);
    setsid();
    signal(SIGINT, SIG_DFL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}
