/* Entries to files: every name is opened by openat2 below the folder, part by part where it has to be made, and no link
 * is ever followed. The folder is not visible to the guest, so nothing changes below our hands; modes are set by
 * chmod, so that the host's umask has no say.
 *
 * Archives list what lies in one folder together: its descriptor is kept for the next entry. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "archive/entry.h"
#include "os/resolve.h"

void cii_archive_writer_init(cii_archive_writer *w, int dir_fd, uint64_t folder_max) {
    *w = (cii_archive_writer){.dir_fd = dir_fd, .parent_fd = -1, .file_fd = -1, .folder_max = folder_max};
}

void cii_archive_writer_done(cii_archive_writer *w) {
    cii_close(TAKE_FD(w->file_fd));
    cii_close(TAKE_FD(w->parent_fd));
    cii_buf_free(&w->parent);
}

static int open_folder(int at_fd, const char *path) {
    return cii_resolve_open(at_fd, path, O_PATH | O_DIRECTORY, 0, CII_RESOLVE_NO_LINKS);
}

/* Makes a folder that is not there, within the limit; 0 or an errno. */
static int make_folder(cii_archive_writer *w, int at_fd, const char *name) {
    if (w->folder_count >= w->folder_max)
        return faccessat(at_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0 ? 0 : EDQUOT;
    if (mkdirat(at_fd, name, 0755) < 0)
        return errno == EEXIST ? 0 : errno;
    w->folder_count++;
    return fchmodat(at_fd, name, 0755, 0) < 0 ? errno : 0;
}

/* Opens the folder of that path, making what is missing; a descriptor, or -1 with errno. */
static int make_folders(cii_archive_writer *w, const char *path) {
    int fd = open_folder(w->dir_fd, path);
    if (fd >= 0 || errno != ENOENT)
        return fd;
    fd = open_folder(w->dir_fd, ".");
    for (const char *part = path; fd >= 0 && *part != '\0';) {
        size_t size = strcspn(part, "/");
        char name[256];
        snprintf(name, sizeof name, "%.*s", (int)size, part);
        int error = make_folder(w, fd, name);
        int next = error == 0 ? open_folder(fd, name) : -1;
        cii_close(fd);
        if (error != 0)
            errno = error;
        fd = next;
        part += size + (part[size] == '/');
    }
    return fd;
}

/* Opens the folder that `name` lies in, and points *ret_base at its last part; 0 or an errno. */
static int enter_parent(cii_archive_writer *w, const char *name, const char **ret_base) {
    const char *slash = strrchr(name, '/');
    size_t size = slash ? (size_t)(slash - name) : 0;
    *ret_base = slash ? slash + 1 : name;
    if (w->parent_fd >= 0 && w->parent.size == size && memcmp(w->parent.data, name, size) == 0)
        return 0;
    cii_close(TAKE_FD(w->parent_fd));
    cii_buf_clear(&w->parent);
    if (cii_buf_append(&w->parent, name, size) != CI_OK || cii_buf_append(&w->parent, "", 0) != CI_OK)
        return ENOMEM;
    w->parent_fd = size > 0 ? make_folders(w, w->parent.data) : open_folder(w->dir_fd, ".");
    return w->parent_fd < 0 ? errno : 0;
}

int cii_archive_write_folder(cii_archive_writer *w, const char *name, mode_t mode) {
    const char *base;
    int error = enter_parent(w, name, &base);
    if (error == 0)
        error = make_folder(w, w->parent_fd, base);
    if (error != 0)
        return error;
    _cleanup_close_ int fd = open_folder(w->parent_fd, base);
    if (fd < 0)
        return errno == ENOTDIR ? EEXIST : errno;
    return fchmodat(w->parent_fd, base, mode | 0700, 0) < 0 ? errno : 0;
}

int cii_archive_write_link(cii_archive_writer *w, const char *name, const char *target) {
    const char *base;
    int error = enter_parent(w, name, &base);
    if (error != 0)
        return error;
    return symlinkat(target, w->parent_fd, base) < 0 ? errno : 0;
}

int cii_archive_write_hard_link(cii_archive_writer *w, const char *name, const char *target, uint64_t *ret_bytes) {
    const char *target_base;
    _cleanup_close_ int from_fd = cii_resolve_parent(w->dir_fd, target, CII_RESOLVE_NO_LINKS, &target_base);
    struct stat st;
    if (from_fd < 0 || fstatat(from_fd, target_base, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno;
    if (!S_ISREG(st.st_mode))
        return EINVAL;
    const char *base;
    int error = enter_parent(w, name, &base);
    if (error != 0)
        return error;
    if (linkat(from_fd, target_base, w->parent_fd, base, 0) < 0)
        return errno;
    *ret_bytes = (uint64_t)st.st_size;
    return 0;
}

int cii_archive_write_begin(cii_archive_writer *w, const char *name) {
    int error = enter_parent(w, name, &w->base);
    if (error != 0)
        return error;
    w->file_fd = cii_resolve_open(w->parent_fd, w->base, O_WRONLY | O_CREAT | O_EXCL, 0600, CII_RESOLVE_NO_LINKS);
    return w->file_fd < 0 ? errno : 0;
}

int cii_archive_write_data(cii_archive_writer *w, const void *data, size_t size, uint64_t offset) {
    for (const char *from = data; size > 0;) {
        ssize_t written = pwrite(w->file_fd, from, size, (off_t)offset);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return errno;
        from += written;
        size -= (size_t)written;
        offset += (uint64_t)written;
    }
    return 0;
}

int cii_archive_write_end(cii_archive_writer *w, const cii_archive_entry *entry, uint64_t size) {
    struct stat st;
    if (fstat(w->file_fd, &st) < 0 || ((uint64_t)st.st_size < size && ftruncate(w->file_fd, (off_t)size) < 0) ||
        fchmod(w->file_fd, entry->mode | 0600) < 0)
        return errno;
    /* A time that the file system cannot hold is not worth a file. */
    if (entry->has_modified && entry->modified.tv_nsec >= 0 && entry->modified.tv_nsec < 1000000000)
        (void)futimens(w->file_fd, (struct timespec[]){{0, UTIME_OMIT}, entry->modified});
    return close(TAKE_FD(w->file_fd)) < 0 ? errno : 0;
}

void cii_archive_write_cancel(cii_archive_writer *w) {
    if (w->file_fd < 0)
        return;
    cii_close(TAKE_FD(w->file_fd));
    unlinkat(w->parent_fd, w->base, 0);
}
