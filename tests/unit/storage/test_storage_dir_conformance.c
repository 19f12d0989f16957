/* The folder storage keeps the contract; with and without fsync(2). */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "archive/archive.h"
#include "conformance.h"

static ci_status make(void **ret_state, ci_storage **ret_storage, ci_error **ret_error, int no_sync) {
    const char *where = getenv("TMPDIR");
    char *path = NULL;
    ci_storage_dir_options options = CI_STORAGE_DIR_OPTIONS_INIT;
    options.no_sync = no_sync;
    if (asprintf(&path, "%s/ci-storage-XXXXXX", where ? where : "/tmp") < 0 || !mkdtemp(path))
        return CI_ERR_IO;
    *ret_state = path;
    return ci_storage_dir_new(path, &options, ret_storage, ret_error);
}

static ci_status make_plain(void **ret_state, ci_storage **ret_storage, ci_error **ret_error) {
    return make(ret_state, ret_storage, ret_error, 0);
}

static ci_status make_no_sync(void **ret_state, ci_storage **ret_storage, ci_error **ret_error) {
    return make(ret_state, ret_storage, ret_error, 1);
}

static void destroy(void *state) {
    char *path = state;
    char *slash = strrchr(path, '/');
    *slash = '\0';
    int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    cii_tree_remove(fd, slash + 1);
    close(fd);
    free(path);
}

int main(void) {
    static const storage_factory factories[] = {{.name = "dir", .make = make_plain, .destroy = destroy},
                                                {.name = "dir, no_sync", .make = make_no_sync, .destroy = destroy}};
    return storage_conformance(&factories[0]) + storage_conformance(&factories[1]);
}
