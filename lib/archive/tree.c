/* Removing a tree that somebody hostile made: no recursion (it may be 10,000 folders deep), two descriptors at most, no
 * path ever put together, no link followed, no other mount entered.
 *
 * A folder is emptied front to back. Down goes through a descriptor; up goes through "..", which must then be the very
 * folder we came from, or somebody is moving things about and we stop. What cannot be removed is remembered and passed
 * over, so that the rest goes. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "archive/archive.h"
#include "os/resolve.h"

#define STUCK_MAX 64
#define AGAIN_MAX 8 /* times a folder that was emptied is found with something new in it */

typedef struct place {
    dev_t dev;
    ino_t ino;
} place;

typedef struct walk {
    int fd; /* the folder being emptied */
    uint64_t mount_id;
    place *above; /* the folders above it, outermost first */
    size_t depth;
    size_t capacity;
    ino_t stuck[STUCK_MAX]; /* what cannot be removed */
    size_t stuck_count;
    int error;  /* of the first of them */
    ino_t left; /* the folder last emptied */
    unsigned again;
} walk;

static void closedir_p(DIR **dir) {
    if (*dir)
        closedir(*dir);
}

static void walk_done(walk *w) {
    cii_close(w->fd);
    free(w->above);
}

static bool is_stuck(const walk *w, ino_t ino) {
    for (size_t i = 0; i < w->stuck_count; i++)
        if (w->stuck[i] == ino)
            return true;
    return false;
}

/* False when there are too many of them. */
static bool stick(walk *w, ino_t ino, int error) {
    if (w->error == 0)
        w->error = error;
    if (w->stuck_count == STUCK_MAX)
        return false;
    w->stuck[w->stuck_count++] = ino;
    return true;
}

/* Opens a folder for reading, whatever its permissions are; -1 with errno. */
static int open_folder(int at_fd, const char *name, uint64_t *ret_mount_id) {
    _cleanup_close_ int fd = cii_resolve_open(at_fd, name, O_PATH | O_DIRECTORY, 0, CII_RESOLVE_NO_LINKS);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0)
        return -1;
    *ret_mount_id = cii_resolve_mount_id(fd);
    if ((st.st_mode & 0700) != 0700) {
        char path[32];
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        (void)chmod(path, 0700); /* not the owner: the next call says so */
    }
    return cii_resolve_reopen(fd, O_RDONLY | O_DIRECTORY);
}

static int push(walk *w) {
    struct stat st;
    if (fstat(w->fd, &st) < 0)
        return -1;
    if (w->depth == w->capacity) {
        size_t capacity = CII_MAX(w->capacity * 2, (size_t)64);
        place *above = reallocarray(w->above, capacity, sizeof *above);
        if (!above)
            return -1;
        w->above = above;
        w->capacity = capacity;
    }
    w->above[w->depth++] = (place){st.st_dev, st.st_ino};
    return 0;
}

static int go_up(walk *w) {
    struct stat st;
    int fd = openat(w->fd, "..", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -1;
    cii_close(w->fd);
    w->fd = fd;
    const place *from = &w->above[--w->depth];
    if (fstat(fd, &st) < 0)
        return -1;
    if (st.st_dev == from->dev && st.st_ino == from->ino)
        return 0;
    errno = ESTALE;
    return -1;
}

/* 0; 1: it is a folder with something in it; -1 with errno. */
static int remove_one(int fd, const struct dirent *entry) {
    if (entry->d_type != DT_DIR && (unlinkat(fd, entry->d_name, 0) == 0 || errno == ENOENT))
        return 0;
    if (entry->d_type != DT_DIR && errno != EISDIR)
        return -1;
    if (unlinkat(fd, entry->d_name, AT_REMOVEDIR) == 0 || errno == ENOENT)
        return 0;
    return errno == ENOTEMPTY || errno == EEXIST || errno == EACCES ? 1 : -1;
}

/* Enters a folder; -1 with errno when it is not to be entered. */
static int enter(walk *w, const struct dirent *entry) {
    uint64_t mount_id;
    w->again = entry->d_ino == w->left ? w->again + 1 : 0;
    if (w->again > AGAIN_MAX) {
        errno = ENOTEMPTY;
        return -1;
    }
    _cleanup_close_ int child = open_folder(w->fd, entry->d_name, &mount_id);
    if (child >= 0 && mount_id != w->mount_id)
        errno = EXDEV;
    if (child < 0 || mount_id != w->mount_id || push(w) < 0)
        return -1;
    cii_close(w->fd);
    w->fd = TAKE_FD(child);
    return 0;
}

/* Removes what it can of the current folder until one in it has to be emptied first, and enters that. 1: entered;
 * 0: nothing is left but what is stuck, *ret_left says whether; -1 with errno. */
static int empty_some(walk *w, bool *ret_left) {
    int copy = openat(w->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    _cleanup_(closedir_p) DIR *dir = copy < 0 ? NULL : fdopendir(copy);
    if (!dir) {
        cii_close(copy);
        return -1;
    }
    *ret_left = false;
    for (const struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        int removed = is_stuck(w, entry->d_ino) ? 0 : remove_one(w->fd, entry);
        *ret_left |= is_stuck(w, entry->d_ino);
        if (removed == 0)
            continue;
        if (removed > 0 && enter(w, entry) == 0)
            return 1;
        if (!stick(w, entry->d_ino, errno))
            return -1;
        *ret_left = true;
    }
    return 0;
}

/* Empties the folder that the walk begins in; 0 or -1. */
static int empty(walk *w) {
    for (;;) {
        bool left;
        int entered = empty_some(w, &left);
        if (entered < 0)
            return -1;
        if (entered > 0)
            continue;
        if (w->depth == 0)
            break;
        struct stat st;
        if (fstat(w->fd, &st) < 0 || (left && !stick(w, st.st_ino, w->error)) || go_up(w) < 0)
            return -1;
        w->left = st.st_ino;
    }
    errno = w->error;
    return w->error == 0 ? 0 : -1;
}

int cii_tree_remove(int parent_fd, const char *name) {
    if (unlinkat(parent_fd, name, 0) == 0 || errno == ENOENT)
        return 0;
    if (errno != EISDIR)
        return -1;
    _cleanup_(walk_done) walk w = {.fd = -1};
    w.fd = open_folder(parent_fd, name, &w.mount_id);
    if (w.fd < 0 || empty(&w) < 0)
        return -1;
    return unlinkat(parent_fd, name, AT_REMOVEDIR);
}
