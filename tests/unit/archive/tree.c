/* See tree.h. */
#include "tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/str.h"

static int by_name(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static char **names_of(int dir_fd, size_t *ret_count) {
    DIR *dir = fdopendir(openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    char **names = NULL;
    size_t count = 0;
    for (const struct dirent *entry; dir && (entry = readdir(dir)) != NULL;) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        names = reallocarray(names, count + 1, sizeof *names);
        names[count++] = strdup(entry->d_name);
    }
    if (dir)
        closedir(dir);
    if (count > 0)
        qsort(names, count, sizeof *names, by_name);
    *ret_count = count;
    return names;
}

static void put_content(int dir_fd, const char *name, off_t size, cii_buf *to) {
    char content[64];
    int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    ssize_t got = fd < 0 ? 0 : read(fd, content, sizeof content);
    cii_buf_append(to, content, got > 0 ? (size_t)got : 0);
    if (size > (off_t)sizeof content)
        cii_buf_printf(to, "…%lld", (long long)size);
    if (fd >= 0)
        close(fd);
}

static void put_target(int dir_fd, const char *name, cii_buf *to) {
    char target[4096];
    ssize_t size = readlinkat(dir_fd, name, target, sizeof target);
    cii_buf_printf(to, "->%.*s ", (int)size, target);
}

static void put_folder(int dir_fd, const char *prefix, bool modes, cii_buf *to) {
    size_t count;
    char **names = names_of(dir_fd, &count);
    for (size_t i = 0; i < count; i++) {
        struct stat st = {0};
        fstatat(dir_fd, names[i], &st, AT_SYMLINK_NOFOLLOW);
        cii_buf_printf(to, "%s%s", prefix, names[i]);
        if (modes && !S_ISLNK(st.st_mode))
            cii_buf_printf(to, ":%o", (unsigned)st.st_mode & 07777);
        if (S_ISDIR(st.st_mode)) {
            char *inner = cii_str_printf("%s%s/", prefix, names[i]);
            int fd = openat(dir_fd, names[i], O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
            cii_buf_append_str(to, "/ ");
            put_folder(fd, inner, modes, to);
            close(fd);
            free(inner);
        } else if (S_ISLNK(st.st_mode)) {
            put_target(dir_fd, names[i], to);
        } else {
            cii_buf_append_str(to, S_ISREG(st.st_mode) ? "=" : "?");
            put_content(dir_fd, names[i], S_ISREG(st.st_mode) ? st.st_size : 0, to);
            cii_buf_append_str(to, " ");
        }
        free(names[i]);
    }
    free(names);
}

void tree_text(int dir_fd, bool modes, cii_buf *ret_text) {
    cii_buf_clear(ret_text);
    cii_buf_append_str(ret_text, "");
    put_folder(dir_fd, "", modes, ret_text);
}

char *tree_temporary(void) {
    const char *where = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : getenv("TMPDIR");
    char *path = cii_str_printf("%s/ci-archive-XXXXXX", where ? where : "/tmp");
    return mkdtemp(path);
}
