/* Finding what belongs to an interpreter without running it: this process may be root, the interpreter anybody's. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "os/resolve.h"
#include "supervisor/supervisor.h"

#define DOMAIN "local"

static char *parent_of(const char *path, int levels) {
    char *copy = strdup(path);
    for (int i = 0; copy != NULL && i < levels; i++) {
        char *slash = strrchr(copy, '/');
        if (slash == NULL)
            break;
        *slash = 0;
    }
    return copy;
}

static ci_status check_program(const char *path, int fd, ci_error **ret_error) {
    char magic[4] = "";
    if (cii_fd_read_all(fd, magic, sizeof magic) == sizeof magic && memcmp(magic, "\177ELF", 4) == 0)
        return CI_OK;
    return cii_error_set(ret_error, CI_ERR_INVALID, DOMAIN,
                         "python: %s is not an interpreter but a script or wrapper; name the interpreter itself", path);
}

/* "/usr" is in every sandbox anyway; "/", a home folder or the folder of all homes never is. */
static bool in_system(const char *prefix) {
    return strcmp(prefix, "/usr") == 0 || cii_str_starts(prefix, "/usr/");
}

static bool is_too_wide(const char *prefix) {
    _cleanup_free_ char *parent = parent_of(prefix, 1);
    return parent == NULL || *parent == 0 || strcmp(parent, "/home") == 0;
}

static ci_status add_prefix(interpreter *found, const char *prefix, ci_error **ret_error) {
    if (in_system(prefix))
        return CI_OK;
    if (is_too_wide(prefix)) {
        cii_error_set(ret_error, CI_ERR_INVALID, DOMAIN,
                      "python: the interpreter's prefix is %s, too wide to be shown to a sandbox",
                      *prefix == 0 ? "/" : prefix);
        cii_error_hint(ret_error, "use a virtual environment, or an interpreter installed in a folder of its own");
        return CI_ERR_INVALID;
    }
    size_t count = 0;
    for (; count < INTERPRETER_PREFIXES_MAX && found->prefixes[count] != NULL; count++)
        if (strcmp(found->prefixes[count], prefix) == 0)
            return CI_OK;
    if (count < INTERPRETER_PREFIXES_MAX && (found->prefixes[count] = strdup(prefix)) == NULL)
        return cii_error_nomem(ret_error);
    return CI_OK;
}

/* A virtual environment names the folder of its base interpreter in pyvenv.cfg. */
static ci_status add_environment(interpreter *found, const char *prefix, ci_error **ret_error) {
    _cleanup_free_ char *name = cii_str_printf("%s/pyvenv.cfg", prefix);
    _cleanup_free_ char *text = name != NULL ? cii_fd_read_file(AT_FDCWD, name, 65536, NULL) : NULL;
    if (text == NULL)
        return CI_OK;
    ci_status status = add_prefix(found, prefix, ret_error);
    const char *home = cii_str_starts(text, "home") ? text : strstr(text, "\nhome");
    if (status != CI_OK || home == NULL)
        return status;
    home += strcspn(home, "=");
    home += strspn(home, "= \t");
    _cleanup_free_ char *folder = strndup(home, strcspn(home, "\r\n"));
    _cleanup_free_ char *base = folder != NULL ? parent_of(folder, 1) : NULL;
    return base == NULL ? cii_error_nomem(ret_error) : *base == 0 ? CI_OK : add_prefix(found, base, ret_error);
}

/* A system of its own has in it all that belongs to its interpreter. */
static ci_status find_inside(const char *path, const char *rootfs, interpreter *ret_python, ci_error **ret_error) {
    _cleanup_close_ int root = open(rootfs, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        return cii_error_errno(ret_error, errno, DOMAIN, "rootfs: %s", rootfs);
    _cleanup_close_ int fd = cii_resolve_open(root, path, O_RDONLY | O_NONBLOCK, 0, CII_RESOLVE_IN_ROOT);
    if (fd < 0) {
        cii_error_set(ret_error, CI_ERR_MISSING, DOMAIN, "rootfs: %s: %s: %s", rootfs, path, strerror(errno));
        cii_error_hint(ret_error, "install python3 in it, or name its interpreter by the path it has inside");
        return CI_ERR_MISSING;
    }
    ci_status status = check_program(path, fd, ret_error);
    if (status != CI_OK)
        return status;
    interpreter found = {.path = strdup(path), .rootfs = strdup(rootfs)};
    if (found.path == NULL || found.rootfs == NULL) {
        interpreter_free(&found);
        return cii_error_nomem(ret_error);
    }
    *ret_python = found;
    return CI_OK;
}

ci_status interpreter_find(const char *path, const char *rootfs, interpreter *ret_python, ci_error **ret_error) {
    interpreter found = {0};
    if (path[0] != '/')
        return cii_error_set(ret_error, CI_ERR_INVALID, DOMAIN, "python: \"%s\" is not an absolute path", path);
    if (rootfs != NULL)
        return find_inside(path, rootfs, ret_python, ret_error);
    _cleanup_free_ char *real = realpath(path, NULL);
    _cleanup_close_ int fd = real != NULL && access(real, X_OK) == 0 ? open(real, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0) {
        cii_error_set(ret_error, CI_ERR_MISSING, DOMAIN, "python: %s: %s", path, strerror(errno));
        cii_error_hint(ret_error, "install the package python3, or name an interpreter by its absolute path");
        return CI_ERR_MISSING;
    }
    ci_status status = check_program(path, fd, ret_error);
    if (status != CI_OK)
        return status;
    _cleanup_free_ char *prefix = parent_of(path, 2), *real_prefix = parent_of(real, 2);
    if (prefix == NULL || real_prefix == NULL || (found.path = strdup(path)) == NULL)
        return cii_error_nomem(ret_error);
    status = add_environment(&found, prefix, ret_error);
    if (status == CI_OK && !in_system(path)) /* a link elsewhere must be there to be executed */
        status = add_prefix(&found, prefix, ret_error);
    if (status == CI_OK)
        status = add_prefix(&found, real_prefix, ret_error);
    if (status != CI_OK)
        interpreter_free(&found);
    else
        *ret_python = found;
    return status;
}

void interpreter_free(interpreter *python) {
    free(python->path);
    free(python->rootfs);
    for (size_t i = 0; i < INTERPRETER_PREFIXES_MAX; i++)
        free(python->prefixes[i]);
    memset(python, 0, sizeof *python);
}
