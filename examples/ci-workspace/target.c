/* Folders are opened by openat2(2), which itself refuses links and ways out; the temporary file is made beside the target,
 * on the same file system, and renamed. */
#include "target.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static int open_folder(int folder_fd, const char *path) {
    const struct open_how how = {
        .flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
    };
    return (int)syscall(SYS_openat2, folder_fd, path, &how, sizeof(how));
}

/* Opens the folder, and makes it, and those above it, when they are not there. `path` is written to and restored. */
static int make_folder(int folder_fd, char *path) {
    int fd = open_folder(folder_fd, *path ? path : ".");
    if (fd >= 0 || errno != ENOENT)
        return fd;
    char *slash = strrchr(path, '/');
    if (slash)
        *slash = 0;
    int above = slash ? make_folder(folder_fd, path) : make_folder(folder_fd, (char[]){""});
    if (slash)
        *slash = '/';
    if (above < 0)
        return -1;
    if (mkdirat(above, slash ? slash + 1 : path, 0777) == 0 || errno == EEXIST)
        fd = open_folder(folder_fd, path);
    int saved = errno;
    close(above);
    errno = saved;
    return fd;
}

/* Keys have no such parts; a server could answer with others. */
static int leads_astray(const char *path) {
    for (const char *part = path;; part++) {
        size_t size = strcspn(part, "/");
        if (size == 0 || (size == 1 && *part == '.') || (size == 2 && part[0] == '.' && part[1] == '.'))
            return 1;
        part += size;
        if (!*part)
            return 0;
    }
}

const char *target_begin(struct target *target, int folder_fd, const char *path) {
    *target = (struct target){.fd = -1, .folder_fd = -1};
    char folder[4096];
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    if (leads_astray(path))
        return "the name leads out of the folder: not written";
    if (strlen(name) >= sizeof(target->name) || strlen(path) >= sizeof(folder))
        return strerror(ENAMETOOLONG);
    memcpy(folder, path, (size_t)(name - path));
    folder[slash ? slash - path : 0] = 0;
    strcpy(target->name, name);
    uint64_t number;
    if (getrandom(&number, sizeof(number), 0) != sizeof(number))
        return strerror(errno);
    snprintf(target->temporary, sizeof(target->temporary), ".ci-workspace-%016llx", (unsigned long long)number);
    target->folder_fd = make_folder(folder_fd, folder);
    if (target->folder_fd < 0)
        return errno == ELOOP || errno == EXDEV ? "the way to it leads through a link: not written" : strerror(errno);
    target->fd =
        openat(target->folder_fd, target->temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
    return target->fd < 0 ? strerror(errno) : NULL;
}

void target_begin_as_it_is(struct target *target, int fd) {
    *target = (struct target){.fd = fd, .folder_fd = -1};
}

int target_write(struct target *target, const void *data, size_t size) {
    const char *next = data;
    while (size > 0) {
        ssize_t written = write(target->fd, next, size);
        if (written < 0)
            return -1; /* a signal that interrupts it ends ci-workspace */
        next += written;
        size -= (size_t)written;
    }
    return 0;
}

/* What is replaced keeps its permissions. */
static void keep_mode(const struct target *target) {
    struct stat old;
    if (fstatat(target->folder_fd, target->name, &old, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(old.st_mode))
        fchmod(target->fd, old.st_mode & 0777);
}

int target_commit(struct target *target, int64_t modified_ms) {
    if (target->folder_fd < 0) {
        target->fd = -1;
        return 0;
    }
    keep_mode(target);
    if (modified_ms > 0) {
        struct timespec time = {.tv_sec = modified_ms / 1000, .tv_nsec = modified_ms % 1000 * 1000000};
        futimens(target->fd, (struct timespec[]){time, time});
    }
    int fd = target->fd;
    target->fd = -1;
    if (close(fd) || renameat(target->folder_fd, target->temporary, target->folder_fd, target->name)) {
        int saved = errno;
        unlinkat(target->folder_fd, target->temporary, 0);
        errno = saved;
        fd = -1;
    }
    int saved = errno;
    close(target->folder_fd);
    target->folder_fd = -1;
    errno = saved;
    return fd < 0 ? -1 : 0;
}

void target_drop(struct target *target) {
    if (target->folder_fd >= 0 && target->fd >= 0) {
        unlinkat(target->folder_fd, target->temporary, 0);
        close(target->fd);
    }
    if (target->folder_fd >= 0)
        close(target->folder_fd);
    target->fd = target->folder_fd = -1;
}

int target_stat(int folder_fd, const char *path, uint64_t *ret_size_bytes, int64_t *ret_modified_ms) {
    struct stat status;
    if (fstatat(folder_fd, path, &status, AT_SYMLINK_NOFOLLOW) || !S_ISREG(status.st_mode))
        return -1;
    *ret_size_bytes = (uint64_t)status.st_size;
    *ret_modified_ms = (int64_t)status.st_mtim.tv_sec * 1000 + status.st_mtim.tv_nsec / 1000000;
    return 0;
}
