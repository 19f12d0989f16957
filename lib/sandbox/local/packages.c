/* Packages: what sessions are given of the host's configuration for them, and the cache that they read. Both are the
 * business of programs that run outside of any sandbox (packages/), with the host's own environment. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/str.h"
#include "os/fd.h"
#include "os/process.h"
#include "sandbox/local/local.h"

#define PROGRAM "/usr/bin/python3" /* not the sandbox's interpreter, which can be anybody's */
#define COLLECT_TIMEOUT_MS 60000
#define COLLECTED_MAX (32u << 20)
#define HINT_MAX 128

extern char **environ;

static ci_status spawn(const char *const *argv, int fd, int *ret_pidfd, ci_error **ret_error) {
    pid_t pid;
    if (access(PROGRAM, X_OK) < 0) {
        cii_error_set(ret_error, CI_ERR_MISSING, LOCAL_DOMAIN, PROGRAM " is needed for the options of packages");
        cii_error_hint(ret_error, "install the package python3");
        return CI_ERR_MISSING;
    }
    return cii_process_spawn(PROGRAM, argv, (const char *const *)environ, &fd, 1, &pid, ret_pidfd, ret_error);
}

/* All that comes until the end. */
static ci_status read_to_end(int fd, cii_buf *to, ci_error **ret_error) {
    int64_t deadline = cii_clock_ms() + COLLECT_TIMEOUT_MS;
    for (;;) {
        char *room;
        int64_t left = deadline - cii_clock_ms();
        if (left <= 0 || cii_fd_wait(fd, 1 /* POLLIN */, left) <= 0)
            return cii_error_set(ret_error, CI_ERR_TIMEOUT, LOCAL_DOMAIN,
                                 "packages: pip does not tell its configuration");
        if (cii_buf_reserve(to, 65536, &room) != CI_OK)
            return cii_error_nomem(ret_error);
        ssize_t size = read(fd, room, 65536);
        if (size < 0 && errno != EINTR)
            return cii_error_errno(ret_error, errno, LOCAL_DOMAIN, "packages");
        if (size == 0)
            return CI_OK;
        if (size > 0)
            cii_buf_commit(to, (size_t)size);
        if (to->size > COLLECTED_MAX)
            return cii_error_set(ret_error, CI_ERR_LIMIT, LOCAL_DOMAIN, "packages: more than 32 MiB of configuration");
    }
}

/* Sorts what config.py has told: what HELLO is to say, and files, which go into the roots of zygotes. */
static ci_status take(const cii_buf *told, cii_buf *hello, int *ret_files_fd, ci_error **ret_error) {
    _cleanup_buf_ cii_buf files = {0};
    cii_wire_field field;
    size_t cursor = 0;
    while (cii_wire_next((const uint8_t *)told->data, told->size, &cursor, &field) == 1) {
        if (field.key == CII_SETUP_MESSAGE)
            return cii_error_set(ret_error, CI_ERR_INVALID, LOCAL_DOMAIN, "%.*s", (int)field.size,
                                 (const char *)field.data);
        bool of_file = field.key == CII_SETUP_FILE_PATH || field.key == CII_SETUP_FILE_DATA;
        cii_wire_put(of_file ? &files : hello, field.key, field.data, field.size);
    }
    if (files.size == 0)
        return CI_OK;
    _cleanup_close_ int fd = memfd_create("packages", MFD_CLOEXEC);
    if (fd < 0 || cii_fd_write_all(fd, files.data, files.size) < 0)
        return cii_error_errno(ret_error, errno, LOCAL_DOMAIN, "packages");
    *ret_files_fd = TAKE_FD(fd);
    return CI_OK;
}

ci_status local_packages_collect(const ci_sandbox_local_options *o, const char *dir, cii_buf *hello, int *ret_files_fd,
                                 ci_error **ret_error) {
    _cleanup_free_ char *script = cii_str_printf("%s/packages/config.py", dir),
                        *wheels = o->package_cache != NULL ? cii_str_printf("%s/wheels", o->package_cache) : NULL;
    const char *argv[16] = {PROGRAM, "-I", "-B", script};
    size_t count = 4;
    const struct {
        const char *name, *value, *option;
    } options[] = {{"--pip", o->pip_config, "pip_config"},
                   {"--npm", o->npm_config, "npm_config"},
                   {"--ca", o->ca_file, "ca_file"},
                   {"--wheels", wheels, "package_cache"}};
    if (o->package_cache != NULL && o->pip_config != NULL) {
        cii_error_set(
            ret_error, CI_ERR_INVALID, LOCAL_DOMAIN,
            "package_cache and pip_config: the cache is filled from the host's index, whose packages would take "
            "the place of others of the same name");
        cii_error_hint(ret_error,
                       "say it in the host's own pip configuration, and set host_packages instead of pip_config");
        return CI_ERR_INVALID;
    }
    for (size_t i = 0; i < CII_ELEMENTS(options); i++) {
        if (options[i].value == NULL)
            continue;
        if (options[i].value[0] != '/')
            return cii_error_set(ret_error, CI_ERR_INVALID, LOCAL_DOMAIN, "%s: \"%s\" is not an absolute path",
                                 options[i].option, options[i].value);
        argv[count++] = options[i].name;
        argv[count++] = options[i].value;
    }
    if (o->host_packages)
        argv[count++] = "--host";
    if (count == 4)
        return CI_OK;
    int ends[2];
    if (script == NULL || pipe2(ends, O_CLOEXEC) < 0)
        return cii_error_errno(ret_error, errno, LOCAL_DOMAIN, "packages");
    _cleanup_close_ int ours = ends[0], theirs = ends[1], pidfd = -1;
    _cleanup_buf_ cii_buf told = {0};
    ci_status status = spawn(argv, theirs, &pidfd, ret_error);
    cii_close(TAKE_FD(theirs));
    if (status == CI_OK)
        status = read_to_end(ours, &told, ret_error);
    if (status == CI_ERR_TIMEOUT)
        cii_pidfd_signal(pidfd, 9 /* SIGKILL */);
    if (pidfd >= 0)
        cii_process_reap_adopted(pidfd, 2000);
    return status == CI_OK ? take(&told, hello, ret_files_fd, ret_error) : status;
}

ci_status local_cache_start(local_cache *cache, const char *folder, bool host_packages, const char *dir,
                            ci_error **ret_error) {
    *cache = (local_cache){.fd = -1, .pidfd = -1};
    if (folder == NULL)
        return CI_OK;
    _cleanup_free_ char *script = cii_str_printf("%s/packages/fetch.py", dir),
                        *wheels = cii_str_printf("%s/wheels", folder);
    char host[16];
    int ends[2];
    snprintf(host, sizeof host, "%d", (int)getpid());
    if (folder[0] != '/')
        return cii_error_set(ret_error, CI_ERR_INVALID, LOCAL_DOMAIN, "package_cache: \"%s\" is not an absolute path",
                             folder);
    if (script == NULL || wheels == NULL)
        return cii_error_nomem(ret_error);
    if ((mkdir(folder, 0755) < 0 && errno != EEXIST) || (mkdir(wheels, 0755) < 0 && errno != EEXIST))
        return cii_error_errno(ret_error, errno, LOCAL_DOMAIN, "package_cache: make the folder %s", folder);
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        return cii_error_errno(ret_error, errno, LOCAL_DOMAIN, "package_cache");
    _cleanup_close_ int theirs = ends[0];
    cache->fd = ends[1];
    return spawn(
        (const char *const[]){PROGRAM, "-I", "-B", script, folder, host, host_packages ? "--host" : NULL, NULL}, theirs,
        &cache->pidfd, ret_error);
}

void local_cache_stop(local_cache *cache) {
    cii_close(TAKE_FD(cache->fd)); /* the program ends with it */
    if (cache->pidfd >= 0)
        cii_process_reap_adopted(cache->pidfd, 2000);
    cii_close(TAKE_FD(cache->pidfd));
}

/* What a session says that it has installed. It may say anything: so it is a hint, of which the program makes what it
 * likes, and one that does not fit into the socket is lost. */
void local_cache_hint(const local_cache *cache, const void *name, size_t size) {
    char line[HINT_MAX + 1];
    const char *text = name;
    if (cache->fd < 0 || size == 0 || size > HINT_MAX)
        return;
    for (size_t i = 0; i < size; i++)
        if (text[i] <= ' ' || text[i] > '~')
            return;
    memcpy(line, name, size);
    line[size] = '\n';
    if (send(cache->fd, line, size + 1, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
        errno = 0; /* full, or nobody reads any more */
}
