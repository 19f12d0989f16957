/* What the option `python` means: an interpreter by its path, the folder of an environment, or the name of one that
 * ci-env (lib/environments) has made. A path that has nothing at its end is left to the supervisor, which refuses it. */
#include <dirent.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/str.h"
#include "os/fd.h"
#include "sandbox/local/local.h"

#define PYTHON_DEFAULT "/usr/bin/python3"
#define ENVIRONMENTS ".local/share/libci/environments"
#define NAMES_MAX 256u
#define ENTRY_MAX (64u << 10) /* of the passwd file */

static void close_dir(DIR **dir) {
    if (*dir != NULL)
        closedir(*dir);
}

/* By the passwd file: the library reads no environment variables. */
static ci_status find_environments(char **ret_folder, ci_error **ret_error) {
    struct passwd entry, *found = NULL;
    _cleanup_free_ char *texts = malloc(ENTRY_MAX);
    if (texts == NULL)
        return cii_error_nomem(ret_error);
    int error_number = getpwuid_r(geteuid(), &entry, texts, ENTRY_MAX, &found);
    if (error_number != 0)
        return cii_error_errno(ret_error, error_number, LOCAL_DOMAIN, "python: find your home");
    if (found == NULL) {
        cii_error_set(ret_error, CI_ERR_MISSING, LOCAL_DOMAIN, "python: user %u has no home in the passwd file",
                      (unsigned)geteuid());
        cii_error_hint(ret_error, "name the environment by its path");
        return CI_ERR_MISSING;
    }
    char *folder = cii_str_printf("%s/" ENVIRONMENTS, found->pw_dir);
    if (folder == NULL)
        return cii_error_nomem(ret_error);
    *ret_folder = folder;
    return CI_OK;
}

/* The name of an environment that was probably meant, malloc'd; NULL when there is none. */
static char *nearest_in(const char *folder, const char *given) {
    _cleanup_(close_dir) DIR *dir = opendir(folder);
    char *names[NAMES_MAX];
    size_t count = 0;
    for (struct dirent *entry; dir != NULL && count < NAMES_MAX && (entry = readdir(dir)) != NULL;)
        if (entry->d_name[0] != '.' && (names[count] = strdup(entry->d_name)) != NULL)
            count++;
    const char *nearest = cii_nearest(given, (const char *const *)names, count);
    char *copy = nearest != NULL ? strdup(nearest) : NULL;
    while (count > 0)
        free(names[--count]);
    return copy;
}

static ci_status refuse_name(const char *folder, const char *name, ci_error **ret_error) {
    _cleanup_free_ char *nearest = nearest_in(folder, name);
    bool meant = nearest != NULL;
    cii_error_set(ret_error, CI_ERR_MISSING, LOCAL_DOMAIN, "python: there is no environment \"%s\"%s%s%s", name,
                  meant ? "; did you mean \"" : "", meant ? nearest : "", meant ? "\"?" : "");
    cii_error_hint(ret_error,
                   "`ci-env list` shows those there are, `ci-env create %s` makes it; an interpreter is named "
                   "by its absolute path",
                   name);
    return CI_ERR_MISSING;
}

/* What ci-env has not finished is no environment yet. */
static ci_status check_whole(const char *folder, ci_error **ret_error) {
    _cleanup_free_ char *partial = cii_str_printf("%s/ci-env.partial", folder);
    if (partial == NULL)
        return cii_error_nomem(ret_error);
    if (access(partial, F_OK) != 0)
        return CI_OK;
    cii_error_set(ret_error, CI_ERR_INVALID, LOCAL_DOMAIN, "python: the environment %s is not whole", folder);
    cii_error_hint(ret_error, "`ci-env create %s` goes on with it", folder);
    return CI_ERR_INVALID;
}

static bool is_folder(const char *path) {
    struct stat status;
    return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

/* The folder above "bin" of ".../bin/python"; NULL when it is not such a path. malloc'd. */
static char *environment_of(const char *python) {
    char *copy = strdup(python);
    for (int i = 0; copy != NULL && i < 2; i++) {
        char *slash = strrchr(copy, '/');
        if (slash == NULL || slash == copy) {
            free(copy);
            return NULL;
        }
        *slash = 0;
    }
    return copy;
}

ci_status local_python_find(const char *option, char **ret_python, ci_error **ret_error) {
    _cleanup_free_ char *folder = NULL;
    if (option == NULL)
        option = PYTHON_DEFAULT;
    if (strchr(option, '/') == NULL) {
        _cleanup_free_ char *environments = NULL;
        ci_status status = find_environments(&environments, ret_error);
        if (status != CI_OK)
            return status;
        if ((folder = cii_str_printf("%s/%s", environments, option)) == NULL)
            return cii_error_nomem(ret_error);
        if (*option == 0 || *option == '.' || !is_folder(folder))
            return refuse_name(environments, option, ret_error);
    } else if (is_folder(option) && (folder = strdup(option)) == NULL)
        return cii_error_nomem(ret_error);
    for (size_t size = folder != NULL ? strlen(folder) : 0; size > 1 && folder[size - 1] == '/'; size--)
        folder[size - 1] = 0;
    _cleanup_free_ char *python = folder != NULL ? cii_str_printf("%s/bin/python", folder) : strdup(option);
    if (python == NULL)
        return cii_error_nomem(ret_error);
    if (folder != NULL && check_whole(folder, NULL) == CI_OK && access(python, F_OK) != 0) {
        cii_error_set(ret_error, CI_ERR_MISSING, LOCAL_DOMAIN,
                      "python: %s is no virtual environment: there is no bin/python in it", folder);
        cii_error_hint(ret_error,
                       "name an interpreter, a virtual environment's folder, or one that `ci-env list` shows");
        return CI_ERR_MISSING;
    }
    if (folder == NULL)
        folder = environment_of(python);
    ci_status status = folder != NULL ? check_whole(folder, ret_error) : CI_OK;
    if (status == CI_OK)
        *ret_python = TAKE_PTR(python);
    return status;
}
