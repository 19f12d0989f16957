/* The template process, and the roots of zygotes.
 *
 * The template is PID 1 of a user, pid, mount, IPC and UTS namespace; zygotes are its children, sessions' inits theirs,
 * each session in namespaces below. When the supervisor dies the kernel kills the template, and with it everything.
 * It never reads anything but the supervisor's requests.
 *
 * A zygote's root is a tmpfs with the system, the host's or one of its own (rootfs), bound into it read-only, nosuid and
 * nodev; it becomes read-only itself. Sessions inherit it and lay their own /proc, workspace, home and /tmp over it. */
#include <dirent.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "os/fd.h"
#include "supervisor/supervisor.h"
#include "wire/network.h"

#define DOMAIN "local"
#define TREES_MAX (INTERPRETER_PREFIXES_MAX + 1 + CII_SETUP_SHARES_MAX)
#define OWN_FDS_MAX 4 /* of a zygote's start, before the trees */

/* <sys/mount.h> cannot be included beside <linux/mount.h> with every libc; these are mount(2)'s and umount2(2)'s. */
#ifndef MNT_DETACH
#define MNT_DETACH 2
#endif
int mount(const char *source, const char *target, const char *type, unsigned long flags, const void *data);
int umount2(const char *target, int flags);

static int tree_clone(const char *path) {
    return (int)syscall(SYS_open_tree, AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
}

static int tree_protect(int tree, uint64_t attributes) {
    struct mount_attr attr = {.attr_set = attributes};
    return (int)syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof attr);
}

static int tree_attach(int tree, const char *target) {
    return (int)syscall(SYS_move_mount, tree, "", AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH);
}

/* --- building a root ------------------------------------------------------------------------------------------------ */

typedef struct build {
    int socket_fd; /* failures are told here */
    int filter_fd;
    char *python, *preload, *guest_dir;
    int rootfs_fd; /* detached mount of a system of its own; -1: the host's */
    char *prefixes[INTERPRETER_PREFIXES_MAX];
    size_t prefix_count;
    char *shares[CII_SETUP_SHARES_MAX]; /* folder, newline, place */
    size_t share_count;
    int files_fd; /* -1: none */
    char **env;
    size_t env_count;
    int trees[TREES_MAX]; /* made by a supervisor that is root; -1: to be made here */
    bool host_network;
} build;

static _Noreturn void refuse(const build *b, const char *what) {
    int error_number = errno;
    _cleanup_free_ char *text = cii_str_printf("make the sandbox's root: %s", what);
    _cleanup_buf_ cii_buf message = {0};
    cii_wire_mark mark;
    cii_wire_begin(&message, CII_SETUP_REFUSED, &mark);
    cii_wire_put_int(&message, CII_SETUP_ERRNO, error_number);
    cii_wire_put_str(&message, CII_SETUP_MESSAGE, text);
    cii_wire_end(&message, &mark);
    cii_fd_send(b->socket_fd, message.data, message.size, NULL, 0, 0);
    _exit(1);
}

static void must(const build *b, long result, const char *what) {
    if (result < 0)
        refuse(b, what);
}

/* Makes the folders above a path below the new root, which is the working folder. */
static void make_parents(const build *b, const char *path) {
    _cleanup_free_ char *copy = strdup(path);
    for (char *slash = strchr(copy, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        if (*copy != 0 && mkdir(copy, 0755) < 0 && errno != EEXIST)
            refuse(b, copy);
        *slash = '/';
    }
}

static void make_dir(const build *b, const char *path, mode_t mode) {
    make_parents(b, path);
    if (mkdir(path, mode) < 0 && errno != EEXIST)
        refuse(b, path);
    must(b, chmod(path, mode), path);
}

static void write_bytes(const build *b, const char *path, const void *data, size_t size, mode_t mode) {
    make_parents(b, path);
    _cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
    must(b, fd, path);
    must(b, cii_fd_write_all(fd, data, size), path);
}

static void write_file(const build *b, const char *path, const char *text, mode_t mode) {
    write_bytes(b, path, text, strlen(text), mode);
}

#define CERTIFICATES "opt/libci/config/ca.pem"
#define SESSION_ENVIRONMENT "/home/user/.local"
#define READ_ONLY (MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV)

/* Attaches a tree (consumed) at a path of the new root, a folder or a file as the tree is. */
static void attach(const build *b, int tree, const char *target, uint64_t attributes) {
    struct stat st;
    must(b, fstat(tree, &st), target);
    if (S_ISDIR(st.st_mode))
        make_dir(b, target, 0755);
    else
        write_file(b, target, "", 0644);
    must(b, tree_protect(tree, attributes), target);
    must(b, tree_attach(tree, target), target);
    cii_close(tree);
}

/* Shows a path at one of the new root, where it is present; a link at the top is made again as a link. */
static void show_at(const build *b, const char *path, const char *target, uint64_t attributes) {
    char link[512];
    struct stat st;
    if (lstat(path, &st) < 0)
        return;
    bool top = strchr(target, '/') == NULL;
    ssize_t size = top && S_ISLNK(st.st_mode) ? readlink(path, link, sizeof link - 1) : -1;
    if (size > 0) { /* /bin and the like on a merged /usr */
        link[size] = 0;
        must(b, symlink(link, target), path);
        return;
    }
    int tree = tree_clone(path);
    if (tree >= 0)
        attach(b, tree, target, attributes);
}

static void show(const build *b, const char *path, uint64_t attributes) {
    show_at(b, path, path + 1, attributes);
}

static const char *const system_folders[] = {"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"};
static const char *const etc_entries[] = {
    "/etc/ld.so.cache",     "/etc/ld.so.conf",    "/etc/ld.so.conf.d", "/etc/alternatives",    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf", "/etc/pki/tls/certs", "/etc/pki/ca-trust", "/etc/ca-certificates", "/etc/fonts",
    "/etc/mime.types",      "/etc/localtime",     "/etc/python3",      "/etc/matplotlibrc",    "/etc/magic",
};
static const char *const devices[] = {"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty"};

static void build_devices(const build *b) {
    for (size_t i = 0; i < CII_ELEMENTS(devices); i++)
        show(b, devices[i], MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);
}

/* /proc/self/fd/N of a tree that was cloned before /tmp was covered would not do: trees are attached by descriptor. */
static void build_system(const build *b) {
    for (size_t i = 0; i < CII_ELEMENTS(system_folders); i++)
        show(b, system_folders[i], READ_ONLY);
    for (size_t i = 0; i < CII_ELEMENTS(etc_entries); i++)
        show(b, etc_entries[i], READ_ONLY | MOUNT_ATTR_NOEXEC);
    write_file(b, "etc/passwd",
               "root:x:0:0:root:/nonexistent:/usr/sbin/nologin\nuser:x:1000:1000:user:/home/user:/bin/bash\n"
               "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
               0644);
    write_file(b, "etc/group", "root:x:0:\nuser:x:1000:\nnogroup:x:65534:\n", 0644);
    write_file(b, "etc/hosts", "127.0.0.1 localhost ci\n::1 localhost\n", 0644);
    write_file(b, "etc/hostname", "ci\n", 0644);
    write_file(b, "etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\nservices: files\n", 0644);
    show(b, "/etc/services", READ_ONLY | MOUNT_ATTR_NOEXEC);
    if (b->host_network)
        show(b, "/etc/resolv.conf", READ_ONLY | MOUNT_ATTR_NOEXEC);
    else
        must(b, symlink(CII_NETWORK_FOLDER "/resolv.conf", "etc/resolv.conf"), "resolv.conf");
}

/* What a sandbox has of its own at the top, whatever system it runs on. */
static bool is_own_folder(const char *name) {
    static const char *const own[] = {"proc", "sys", "dev", "run", "tmp", "mnt", "home", "workspace", "opt"};
    for (size_t i = 0; i < CII_ELEMENTS(own); i++)
        if (strcmp(name, own[i]) == 0)
            return true;
    return false;
}

/* The entries of a folder of the rootfs, which is mounted on mnt, at the same place of the new root. */
static void show_entries(const build *b, const char *folder) {
    _cleanup_free_ char *path = cii_str_printf("mnt/%s", folder);
    DIR *dir = path != NULL ? opendir(path) : NULL;
    must(b, dir == NULL && errno != ENOENT ? -1 : 0, path);
    for (struct dirent *entry; dir != NULL && (entry = readdir(dir)) != NULL;) {
        _cleanup_free_ char *source = cii_str_printf("%s/%s", path, entry->d_name),
                            *target = cii_str_printf("%s%s%s", folder, *folder != 0 ? "/" : "", entry->d_name);
        if (entry->d_name[0] != '.' && source != NULL && target != NULL && !is_own_folder(target))
            show_at(b, source, target, READ_ONLY);
    }
    if (dir != NULL)
        closedir(dir);
}

/* Adds what follows to a copy of a file of the rootfs, unless it knows the user's id already. */
static void write_accounts(const build *b, const char *name, const char *entry) {
    _cleanup_free_ char *source = cii_str_printf("mnt/etc/%s", name),
                        *target = cii_str_printf("opt/libci/etc/%s", name),
                        *text = source != NULL ? cii_fd_read_file(AT_FDCWD, source, 1 << 20, NULL) : NULL,
                        *whole = text != NULL && strstr(text, ":1000:") != NULL
                                     ? strdup(text)
                                     : cii_str_printf("%s%s", text != NULL ? text : "", entry);
    must(b, target == NULL || whole == NULL ? -1 : 0, "no memory");
    write_file(b, target, whole, 0644);
}

/* A system of its own. What libci has to say in /etc waits in opt/libci/etc for the session's overlay. */
static void build_rootfs(const build *b) {
    must(b, tree_protect(b->rootfs_fd, READ_ONLY), "rootfs");
    must(b, tree_attach(b->rootfs_fd, "mnt"), "rootfs");
    show_entries(b, "");
    show_entries(b, "opt");
    write_accounts(b, "passwd", "user:x:1000:1000:user:/home/user:/bin/sh\n");
    write_accounts(b, "group", "user:x:1000:\n");
    write_file(b, "opt/libci/etc/hosts", "127.0.0.1 localhost ci\n::1 localhost\n", 0644);
    write_file(b, "opt/libci/etc/hostname", "ci\n", 0644);
    _cleanup_free_ char *resolver =
        b->host_network ? cii_fd_read_file(AT_FDCWD, "/etc/resolv.conf", 1 << 16, NULL) : NULL;
    if (resolver != NULL)
        write_file(b, "opt/libci/etc/resolv.conf", resolver, 0644);
    else
        must(b, symlink(CII_NETWORK_FOLDER "/resolv.conf", "opt/libci/etc/resolv.conf"), "resolv.conf");
    must(b, umount2("mnt", MNT_DETACH), "rootfs");
}

static void build_folders(const build *b) {
    static const char *const folders[] = {
        "proc", "sys", "run", "var", "mnt", "workspace", "home/user", "opt/libci/bin", CII_NETWORK_FOLDER + 1};
    for (size_t i = 0; i < CII_ELEMENTS(folders); i++)
        make_dir(b, folders[i], 0755);
    make_dir(b, "tmp", 01777);
    make_dir(b, "dev/shm", 01777);
    must(b, symlink("/proc/self/fd", "dev/fd"), "/dev/fd");
    must(b, symlink("/proc/self/fd/0", "dev/stdin"), "/dev/stdin");
    must(b, symlink("/proc/self/fd/1", "dev/stdout"), "/dev/stdout");
    must(b, symlink("/proc/self/fd/2", "dev/stderr"), "/dev/stderr");
    must(b, symlink("/tmp", "var/tmp"), "/var/tmp");
    must(b, mount("tmpfs", "home/user", "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755,size=64m"), "/home/user");
    must(b, mount("tmpfs", "tmp", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777,size=64m"), "/tmp");
    if (mount("proc", "proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
        refuse(b, "mount /proc (in a container this needs an unmasked /proc)");
}

/* First in the guest's PATH: `python`, `python3` and `pip` are the session's interpreter. Of a virtual environment that is
 * the one that the session has made on top of it (ci_kernel/packages.py). */
static void build_commands(const build *b) {
    static const char run_text[] = "#!/bin/sh\n[ -f " SESSION_ENVIRONMENT "/pyvenv.cfg ] && exec " SESSION_ENVIRONMENT
                                   "/bin/python %s\"$@\"\nexec %s %s\"$@\"\n";
    _cleanup_free_ char *run = cii_str_printf(run_text, "", b->python, "");
    _cleanup_free_ char *pip = cii_str_printf(run_text, "-m pip ", b->python, "-m pip ");
    must(b, run == NULL || pip == NULL ? -1 : 0, "no memory");
    if (cii_str_starts(b->python, "/usr/bin/")) { /* no virtual environment that a link would hide */
        must(b, symlink(b->python, "opt/libci/bin/python"), "python");
        must(b, symlink(b->python, "opt/libci/bin/python3"), "python3");
    } else {
        write_file(b, "opt/libci/bin/python", run, 0755);
        write_file(b, "opt/libci/bin/python3", run, 0755);
    }
    write_file(b, "opt/libci/bin/pip", pip, 0755);
    write_file(b, "opt/libci/bin/pip3", pip, 0755);
    if (access("usr/bin/npm", X_OK) == 0 || access("usr/local/bin/npm", X_OK) == 0)
        write_file(b, "opt/libci/bin/npm", "#!/bin/sh\nexec /bin/sh /opt/libci/guest/node/npm.sh \"$@\"\n", 0755);
}

/* In place of the bundle that programs look at which read no variable. */
static void build_certificates(const build *b, const void *data, size_t size) {
    static const char *const bundles[] = {"etc/ssl/certs/ca-certificates.crt", "etc/pki/tls/certs/ca-bundle.crt",
                                          "etc/ssl/cert.pem"};
    for (size_t i = 0; i < CII_ELEMENTS(bundles); i++) {
        if (access(bundles[i], F_OK) < 0)
            continue;
        if (b->rootfs_fd >= 0) { /* by the session's overlay */
            _cleanup_free_ char *path = cii_str_printf("opt/libci/%s", bundles[i]);
            must(b, path == NULL ? -1 : 0, "no memory");
            write_bytes(b, path, data, size, 0644);
            continue;
        }
        _cleanup_close_ int tree = tree_clone(CERTIFICATES);
        must(b, tree, bundles[i]);
        must(b, tree_protect(tree, READ_ONLY | MOUNT_ATTR_NOEXEC), bundles[i]);
        must(b, tree_attach(tree, bundles[i]), bundles[i]);
    }
}

/* What the host hands in (packages). */
static void build_files(const build *b) {
    struct stat st;
    size_t cursor = 0;
    _cleanup_free_ char *path = NULL;
    cii_wire_field field;
    if (b->files_fd < 0)
        return;
    must(b, fstat(b->files_fd, &st), "files");
    _cleanup_free_ uint8_t *data = malloc((size_t)st.st_size);
    must(b, data == NULL || pread(b->files_fd, data, (size_t)st.st_size, 0) != st.st_size ? -1 : 0, "files");
    while (cii_wire_next(data, (size_t)st.st_size, &cursor, &field) == 1)
        if (field.key == CII_SETUP_FILE_PATH) {
            free(path);
            path = strndup((const char *)field.data, field.size);
        } else if (path != NULL) {
            write_bytes(b, path, field.data, field.size, 0644);
            if (strcmp(path, CERTIFICATES) == 0)
                build_certificates(b, field.data, field.size);
        }
}

static void build_root(build *b) {
    must(b, unshare(CLONE_NEWNS | (b->host_network ? 0 : CLONE_NEWNET)), "make the zygote's namespaces");
    const char *sources[TREES_MAX] = {b->guest_dir}, *targets[TREES_MAX] = {"/opt/libci/guest"};
    size_t count = 1;
    for (size_t i = 0; i < b->prefix_count; i++, count++)
        sources[count] = targets[count] = b->prefixes[i];
    for (size_t i = 0; i < b->share_count; i++, count++) {
        sources[count] = strsep(&b->shares[i], "\n");
        targets[count] = b->shares[i];
    }
    for (size_t i = 0; i < count; i++)
        if (b->trees[i] < 0)
            must(b, b->trees[i] = tree_clone(sources[i]), sources[i]);
    must(b, mount("tmpfs", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755,size=16m"), "mount the root");
    must(b, chdir("/tmp"), "enter the root");
    build_folders(b);
    build_devices(b);
    if (b->rootfs_fd >= 0)
        build_rootfs(b);
    else
        build_system(b);
    build_commands(b);
    build_files(b);
    for (size_t i = 0; i < count; i++)
        attach(b, b->trees[i], targets[i] + 1, READ_ONLY);
    must(b, syscall(SYS_pivot_root, ".", "."), "pivot_root");
    must(b, umount2(".", MNT_DETACH), "leave the host's root");
    must(b, chdir("/"), "enter the root");
    struct mount_attr attr = {.attr_set = READ_ONLY};
    must(b, syscall(SYS_mount_setattr, AT_FDCWD, "/", 0, &attr, sizeof attr), "protect the root");
}

static _Noreturn void be_zygote(build *b) {
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    must(b, null, "/dev/null");
    build_root(b);
    for (int i = 0; i < 3; i++)
        dup2(null, i);
    int socket_fd = fcntl(b->socket_fd, F_DUPFD, 5), filter_fd = fcntl(b->filter_fd, F_DUPFD, 5);
    dup2(socket_fd, 3);
    dup2(filter_fd, 4);
    b->socket_fd = 3;
    syscall(SYS_close_range, 5, ~0U, 0);
    fcntl(3, F_SETFD, 0);
    signal(SIGCHLD, SIG_DFL);
    umask(022);
    char *const argv[] = {b->python, (char *)(uintptr_t) "/opt/libci/guest/python/zygote.py",
                          (char *)(uintptr_t) "/opt/libci/guest/libci_guest.so", b->preload, NULL};
    execve(b->python, argv, b->env);
    refuse(b, b->python);
}

/* --- the template process ------------------------------------------------------------------------------------------- */

static void parse_field(build *b, const cii_wire_field *field) {
    char *text = strndup((const char *)field->data, field->size);
    if (field->key == CII_SETUP_PYTHON)
        b->python = text;
    else if (field->key == CII_SETUP_PRELOAD)
        b->preload = text;
    else if (field->key == CII_SETUP_GUEST_DIR)
        b->guest_dir = text;
    else if (field->key == CII_SETUP_PREFIX && b->prefix_count < INTERPRETER_PREFIXES_MAX)
        b->prefixes[b->prefix_count++] = text;
    else if (field->key == CII_SETUP_SHARE && b->share_count < CII_SETUP_SHARES_MAX && strchr(text, '\n') != NULL)
        b->shares[b->share_count++] = text;
    else if (field->key == CII_SETUP_ENV)
        b->env[b->env_count++] = text;
    else if (field->key == CII_SETUP_NETWORK)
        b->host_network = cii_wire_int(field) == CI_NETWORK_HOST;
}

static void start_zygote(const uint8_t *data, size_t size, const int *fds, size_t fd_count) {
    if (fd_count < 2 || fork() != 0)
        return;
    build b = {.socket_fd = fds[0],
               .filter_fd = fds[1],
               .rootfs_fd = -1,
               .files_fd = -1,
               .env = calloc(size / 5 + 1, sizeof(char *))};
    cii_wire_field field;
    size_t cursor = 0, next = 2;
    while (cii_wire_next(data, size, &cursor, &field) == 1)
        if (field.key == CII_SETUP_ROOTFS)
            b.rootfs_fd = cii_wire_int(&field) != 0 && next < fd_count ? fds[next++] : -1;
        else if (field.key == CII_SETUP_FILES)
            b.files_fd = cii_wire_int(&field) != 0 && next < fd_count ? fds[next++] : -1;
        else
            parse_field(&b, &field);
    for (size_t i = 0; i < TREES_MAX; i++)
        b.trees[i] = next < fd_count ? fds[next++] : -1;
    be_zygote(&b);
}

static void open_tree_for(int socket_fd, const uint8_t *data, size_t size) {
    cii_wire_field field;
    size_t cursor = 0;
    char *path = NULL;
    while (cii_wire_next(data, size, &cursor, &field) == 1)
        if (field.key == CII_SETUP_HOST_DIR)
            path = strndup((const char *)field.data, field.size);
    _cleanup_close_ int tree = path != NULL ? tree_clone(path) : -1;
    int32_t error_number = tree < 0 ? errno : 0;
    if (tree >= 0 && tree_protect(tree, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV) < 0)
        error_number = errno;
    free(path);
    cii_fd_send(socket_fd, &error_number, sizeof error_number, &tree, tree >= 0 ? 1 : 0, 0);
}

static _Noreturn void be_template(int socket_fd, int go_fd) {
    static uint8_t message[CII_SETUP_MESSAGE_MAX];
    char go;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (read(go_fd, &go, 1) != 1 || syscall(SYS_setresgid, 0, 0, 0) < 0 || syscall(SYS_setresuid, 0, 0, 0) < 0)
        _exit(1);
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* a change of identity clears it */
    prctl(PR_SET_DUMPABLE, 0);
    syscall(SYS_setgroups, 0, NULL); /* where that is allowed */
    signal(SIGCHLD, SIG_IGN);
    int32_t error_number = mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ? errno : 0;
    cii_fd_send(socket_fd, &error_number, sizeof error_number, NULL, 0, 0);
    for (;;) {
        int fds[OWN_FDS_MAX + TREES_MAX];
        size_t fd_count = 0;
        cii_wire_frame_head head;
        ssize_t size = cii_fd_recv(socket_fd, message, sizeof message, fds, CII_ELEMENTS(fds), &fd_count, 0);
        if (size < 0 && errno == EINTR)
            continue;
        if (size < (ssize_t)CII_WIRE_HEAD_SIZE || cii_wire_parse_head(message, &head) < 0)
            _exit(0);
        if (head.type == CII_SETUP_TEMPLATE)
            start_zygote(message + CII_WIRE_HEAD_SIZE, (size_t)size - CII_WIRE_HEAD_SIZE, fds, fd_count);
        else
            open_tree_for(socket_fd, message + CII_WIRE_HEAD_SIZE, (size_t)size - CII_WIRE_HEAD_SIZE);
        while (fd_count > 0)
            cii_close(fds[--fd_count]);
    }
}

/* --- the supervisor's side ------------------------------------------------------------------------------------------ */

/* Why namespaces are refused, and what to do about it. */
static void explain(ci_error **ret_error) {
    static const struct {
        const char *path, *value, *hint;
    } causes[] = {
        {"/proc/sys/user/max_user_namespaces", "0", "allow user namespaces: sysctl user.max_user_namespaces=10000"},
        {"/proc/sys/kernel/unprivileged_userns_clone", "0",
         "allow user namespaces: sysctl kernel.unprivileged_userns_clone=1"},
        {"/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1",
         "AppArmor restricts user namespaces: install libci's profile (lib/supervisor/apparmor), or sysctl "
         "kernel.apparmor_restrict_unprivileged_userns=0"},
    };
    for (size_t i = 0; i < CII_ELEMENTS(causes); i++) {
        _cleanup_free_ char *text = cii_fd_read_file(AT_FDCWD, causes[i].path, 16, NULL);
        if (text != NULL && strtol(text, NULL, 10) == strtol(causes[i].value, NULL, 10)) {
            cii_error_hint(ret_error, "%s", causes[i].hint);
            return;
        }
    }
    cii_error_hint(ret_error,
                   "in a container, allow user namespaces and mounts in its seccomp profile and unmask /proc "
                   "(docker: --security-opt seccomp=unconfined --security-opt systempaths=unconfined)");
}

static ci_status fail(ci_error **ret_error, int error_number, const char *what) {
    cii_error_errno(ret_error, error_number, DOMAIN, "%s", what);
    explain(ret_error);
    return CI_ERR_PERMISSION;
}

ci_status template_start(const identity *ids, template_process *ret, ci_error **ret_error) {
    int sockets[2], go[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) < 0 || pipe2(go, O_CLOEXEC) < 0)
        return cii_error_errno(ret_error, errno, DOMAIN, "start the template process");
    unsigned long flags = CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS | SIGCHLD;
    pid_t pid = (pid_t)syscall(SYS_clone, flags, NULL, NULL, NULL, NULL);
    int error_number = errno;
    if (pid == 0) {
        cii_close(sockets[0]);
        cii_close(go[1]);
        be_template(sockets[1], go[0]);
    }
    cii_close(sockets[1]);
    cii_close(go[0]);
    _cleanup_close_ int socket_fd = sockets[0];
    _cleanup_close_ int go_fd = go[1];
    if (pid < 0)
        return fail(ret_error, error_number, "make a user namespace");
    *ret = (template_process){.pid = pid, .socket_fd = -1};
    int32_t reply = EPIPE;
    if (identity_map(ids, pid) < 0)
        return fail(ret_error, errno, "map the sandbox's users");
    if (write(go_fd, "", 1) != 1 || recv(socket_fd, &reply, sizeof reply, 0) != sizeof reply || reply != 0)
        return fail(ret_error, reply, "prepare mounts in a user namespace");
    ret->socket_fd = TAKE_FD(socket_fd);
    return CI_OK;
}

/* Root shows sandboxes folders that their users could not reach by themselves, such as those below /root. */
static size_t make_trees(const zygote_request *request, int fds[TREES_MAX]) {
    size_t count = 0;
    if (geteuid() != 0 || (fds[count] = tree_clone(request->guest_dir)) < 0)
        return 0;
    count++;
    for (size_t i = 0; i < INTERPRETER_PREFIXES_MAX && request->python->prefixes[i] != NULL; i++) {
        if ((fds[count] = tree_clone(request->python->prefixes[i])) < 0)
            return count;
        count++;
    }
    for (char *const *share = request->shares; *share != NULL; share++) {
        _cleanup_free_ char *folder = strndup(*share, strcspn(*share, "\n"));
        if (folder == NULL || (fds[count] = tree_clone(folder)) < 0)
            return count;
        count++;
    }
    return count;
}

int template_start_zygote(const template_process *template, const zygote_request *request) {
    _cleanup_buf_ cii_buf message = {0};
    cii_wire_mark mark;
    cii_wire_begin(&message, CII_SETUP_TEMPLATE, &mark);
    cii_wire_put_str(&message, CII_SETUP_PYTHON, request->python->path);
    cii_wire_put_str(&message, CII_SETUP_PRELOAD, request->preload);
    cii_wire_put_str(&message, CII_SETUP_GUEST_DIR, request->guest_dir);
    cii_wire_put_int(&message, CII_SETUP_ROOTFS, request->rootfs_fd >= 0);
    cii_wire_put_int(&message, CII_SETUP_NETWORK, request->host_network ? CI_NETWORK_HOST : CI_NETWORK_NONE);
    cii_wire_put_int(&message, CII_SETUP_FILES, request->files_fd >= 0);
    for (char *const *share = request->shares; *share != NULL; share++)
        cii_wire_put_str(&message, CII_SETUP_SHARE, *share);
    for (size_t i = 0; i < INTERPRETER_PREFIXES_MAX; i++)
        cii_wire_put_str(&message, CII_SETUP_PREFIX, request->python->prefixes[i]);
    for (char *const *entry = request->env; *entry != NULL; entry++)
        cii_wire_put_str(&message, CII_SETUP_ENV, *entry);
    cii_wire_end(&message, &mark);
    int fds[OWN_FDS_MAX + TREES_MAX] = {request->socket_fd, request->filter_fd};
    size_t own = 2;
    if (request->rootfs_fd >= 0)
        fds[own++] = request->rootfs_fd;
    if (request->files_fd >= 0)
        fds[own++] = request->files_fd;
    size_t count = make_trees(request, fds + own);
    ssize_t sent = cii_fd_send(template->socket_fd, message.data, message.size, fds, own + count, 0);
    while (count > 0)
        cii_close(fds[own + --count]);
    return sent < 0 ? -1 : 0;
}

int template_open_tree(const template_process *template, const char *path) {
    _cleanup_buf_ cii_buf message = {0};
    cii_wire_mark mark;
    cii_wire_begin(&message, CII_SETUP_OPEN, &mark);
    cii_wire_put_str(&message, CII_SETUP_HOST_DIR, path);
    cii_wire_end(&message, &mark);
    int32_t reply = EPIPE;
    int tree = -1;
    size_t count = 0;
    if (cii_fd_send(template->socket_fd, message.data, message.size, NULL, 0, 0) < 0 ||
        cii_fd_recv(template->socket_fd, &reply, sizeof reply, &tree, 1, &count, 0) != sizeof reply || reply != 0) {
        cii_close(tree);
        errno = reply;
        return -1;
    }
    return tree;
}
