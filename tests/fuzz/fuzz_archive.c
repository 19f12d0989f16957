/* Unpacks any bytes. It must end; keep to its limits; and write below its folder alone: beside it lies a canary, links in
 * it lead nowhere else, and what it holds are files, folders and links with no set-id bits. */
#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "archive/archive.h"
#include "base/str.h"
#include "fuzz.h"

static const cii_archive_limits limits = {
    .entry_count = 300, .bytes = 4 << 20, .ratio = 100, .ratio_free_bytes = 1 << 20};

typedef struct found {
    uint64_t bytes;
    uint64_t count;
} found;

static void check_link(int dir_fd, const char *name, unsigned depth) {
    char target[4096];
    ssize_t size = readlinkat(dir_fd, name, target, sizeof target - 1);
    FUZZ_CHECK(size > 0 && target[0] != '/');
    target[size] = '\0';
    unsigned up = 0;
    const char *at = target;
    for (;; at += strspn(at, "/")) {
        size_t part = strcspn(at, "/");
        if (part == 2 && at[0] == '.' && at[1] == '.')
            up++;
        else if (part != 1 || at[0] != '.')
            break;
        at += part;
    }
    FUZZ_CHECK(up <= depth && !strstr(at, "/../") && !cii_str_ends(at, "/.."));
}

/* limits.entry_count bounds the depth too. */
static void check_folder(int dir_fd, unsigned depth, found *f) {
    DIR *dir = fdopendir(dir_fd);
    FUZZ_CHECK(dir);
    for (const struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        struct stat st;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        FUZZ_CHECK(fstatat(dir_fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0);
        f->count++;
        f->bytes += S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0;
        FUZZ_CHECK(S_ISLNK(st.st_mode) || (st.st_mode & 07000) == 0);
        FUZZ_CHECK(S_ISREG(st.st_mode) || S_ISDIR(st.st_mode) || S_ISLNK(st.st_mode));
        if (S_ISLNK(st.st_mode))
            check_link(dir_fd, entry->d_name, depth);
        if (S_ISDIR(st.st_mode))
            check_folder(openat(dir_fd, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), depth + 1, f);
    }
    closedir(dir);
}

static void unpack(int archive_fd, int dir_fd) {
    cii_archive *archive = NULL;
    cii_archive_report report = {0};
    ci_error *error = NULL;
    found f = {0};
    int result = cii_archive_new(archive_fd, dir_fd, &limits, NULL, NULL, &archive, &error);
    while (result == 0)
        result = cii_archive_step(archive, 100, &report, &error);
    FUZZ_CHECK(result == 1 ? !error : ci_error_status(error) == result);
    cii_archive_free(archive);
    ci_error_free(error);
    check_folder(openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), 0, &f);
    FUZZ_CHECK(f.bytes <= limits.bytes && f.count <= limits.entry_count);
    FUZZ_CHECK(result != 1 || report.bytes <= f.bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char path[32];
    snprintf(path, sizeof path, "%s/ci-fuzz-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    FUZZ_CHECK(mkdtemp(path));
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int archive_fd = memfd_create("archive", MFD_CLOEXEC);
    FUZZ_CHECK(archive_fd >= 0 && write(archive_fd, data, size) == (ssize_t)size);
    FUZZ_CHECK(mkdirat(fd, "in", 0755) == 0);
    int dir_fd = openat(fd, "in", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    unpack(archive_fd, dir_fd);
    FUZZ_CHECK(cii_tree_remove(fd, "in") == 0);
    FUZZ_CHECK(rmdir(path) == 0); /* and nothing else is in it */
    close(dir_fd);
    close(archive_fd);
    close(fd);
    return 0;
}
