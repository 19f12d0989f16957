/* Control groups for sessions. In each hierarchy that has the memory or pids controller and that this process may
 * write to, there is one folder of ours, "libci-<random>", and in it one for each session. The host's own process is
 * never moved. Our folder is locked with flock(2) as long as we live; a folder whose lock can be had belongs to a dead
 * supervisor and is removed at the next start. Linux: cgroups(7), Documentation/admin-guide/cgroup-v2.rst. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statfs.h>

#include "os/fd.h"
#include "supervisor/supervisor.h"

#define PREFIX "libci-"
#define LOCK_ATTEMPTS 64

static int write_at(int dir, const char *name, const char *text) {
    _cleanup_close_ int fd = openat(dir, name, O_WRONLY | O_CLOEXEC);
    return fd < 0 || write(fd, text, strlen(text)) < 0 ? -1 : 0;
}

static bool has_word_at(int dir, const char *name, const char *word) {
    _cleanup_free_ char *text = cii_fd_read_file(dir, name, 4096, NULL);
    char *state = NULL;
    for (char *at = text != NULL ? strtok_r(text, " \n", &state) : NULL; at != NULL; at = strtok_r(NULL, " \n", &state))
        if (strcmp(at, word) == 0)
            return true;
    return false;
}

/* Removes the folders of supervisors that have died. */
static void sweep(int parent) {
    int copy = openat(parent, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = copy >= 0 ? fdopendir(copy) : NULL;
    for (struct dirent *entry; dir != NULL && (entry = readdir(dir)) != NULL;) {
        if (!cii_str_starts(entry->d_name, PREFIX))
            continue;
        int group = openat(parent, entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        DIR *sessions = group >= 0 && flock(group, LOCK_EX | LOCK_NB) == 0 ? fdopendir(group) : NULL;
        for (struct dirent *session; sessions != NULL && (session = readdir(sessions)) != NULL;)
            if (session->d_type == DT_DIR && session->d_name[0] != '.')
                unlinkat(group, session->d_name, AT_REMOVEDIR);
        if (sessions != NULL) {
            closedir(sessions);
            unlinkat(parent, entry->d_name, AT_REMOVEDIR);
        } else {
            cii_close(group);
        }
    }
    if (dir != NULL)
        closedir(dir);
}

/* Makes our folder and locks it. Another's sweep may take it for dead between the two, and remove it: then once more. */
static int make_locked(int parent) {
    char name[40], id[27];
    for (int attempt = 0; attempt < LOCK_ATTEMPTS; attempt++) {
        if (cii_id_random(id) != CI_OK)
            return -1;
        snprintf(name, sizeof name, PREFIX "%.12s", id);
        if (mkdirat(parent, name, 0755) < 0)
            return -1;
        _cleanup_close_ int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0 && faccessat(parent, name, F_OK, 0) == 0)
            return TAKE_FD(fd);
    }
    return -1;
}

/* Our folder below `parent`; in v2 its children get the controllers only when the parent hands them on. */
static int make_root(int parent, bool v2) {
    if (v2) {
        if (!has_word_at(parent, "cgroup.subtree_control", "memory"))
            write_at(parent, "cgroup.subtree_control", "+memory");
        if (!has_word_at(parent, "cgroup.subtree_control", "pids"))
            write_at(parent, "cgroup.subtree_control", "+pids");
    }
    sweep(parent);
    int fd = make_locked(parent);
    if (fd >= 0 && v2) {
        write_at(fd, "cgroup.subtree_control", "+memory");
        write_at(fd, "cgroup.subtree_control", "+pids");
    }
    return fd;
}

static void add_tree(cgroup_root *root, const char *mount, const char *path, bool v2, bool memory, bool pids) {
    /* In v2 a group with processes of its own hands no controllers on: ours is made beside, not below. */
    _cleanup_free_ char *folder = cii_str_printf("%s%s", mount, strcmp(path, "/") == 0 ? "" : path);
    char *slash = folder != NULL && v2 && strcmp(path, "/") != 0 ? strrchr(folder, '/') : NULL;
    if (slash != NULL)
        *slash = 0;
    _cleanup_close_ int parent = folder != NULL ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (parent < 0 || root->count == CII_ELEMENTS(root->trees))
        return;
    int fd = make_root(parent, v2);
    if (fd < 0)
        return;
    if (v2) {
        memory = has_word_at(fd, "cgroup.subtree_control", "memory");
        pids = has_word_at(fd, "cgroup.subtree_control", "pids");
    }
    root->trees[root->count].fd = fd;
    root->trees[root->count].v2 = v2;
    root->trees[root->count].memory = memory;
    root->trees[root->count++].pids = pids;
    root->limits |= (memory ? CII_LIMIT_MEMORY_CGROUP : 0) | (pids ? CII_LIMIT_PIDS_CGROUP : 0);
}

/* Where the hierarchy with a controller list ("" for v2) is mounted: fields of /proc/self/mountinfo, see proc(5). */
static char *find_mount(const char *type, const char *controller) {
    FILE *file = fopen("/proc/self/mountinfo", "re");
    char line[4096], *found = NULL;
    while (file != NULL && found == NULL && fgets(line, sizeof line, file) != NULL) {
        char point[1024], fstype[64], options[512];
        const char *rest = strstr(line, " - ");
        if (rest == NULL || sscanf(line, "%*s %*s %*s %*s %1023s", point) != 1 ||
            sscanf(rest, " - %63s %*s %511s", fstype, options) != 2 || strcmp(fstype, type) != 0)
            continue;
        _cleanup_free_ char *padded = cii_str_printf(",%s,", options), *wanted = cii_str_printf(",%s,", controller);
        if (*controller == 0 || (padded != NULL && wanted != NULL && strstr(padded, wanted) != NULL))
            found = strdup(point);
    }
    if (file != NULL)
        fclose(file);
    return found;
}

/* Lines of /proc/self/cgroup: "number:controllers:path". */
void cgroup_open(cgroup_root *root) {
    *root = (cgroup_root){0};
    _cleanup_free_ char *text = cii_fd_read_file(AT_FDCWD, "/proc/self/cgroup", 65536, NULL);
    char *state = NULL;
    for (char *line = text != NULL ? strtok_r(text, "\n", &state) : NULL; line != NULL;
         line = strtok_r(NULL, "\n", &state)) {
        char *controllers = strchr(line, ':'), *path = controllers != NULL ? strchr(controllers + 1, ':') : NULL;
        if (path == NULL)
            continue;
        *path++ = 0;
        controllers++;
        bool memory = strcmp(controllers, "memory") == 0, pids = strcmp(controllers, "pids") == 0;
        if (!memory && !pids && *controllers != 0)
            continue;
        _cleanup_free_ char *mount = find_mount(*controllers == 0 ? "cgroup2" : "cgroup", controllers);
        if (mount != NULL && ((*controllers == 0 && root->limits == 0) || memory || pids))
            add_tree(root, mount, path, *controllers == 0, memory, pids);
    }
}

static void session_name(uint64_t id, char ret_name[32]) {
    snprintf(ret_name, 32, "s%llu", (unsigned long long)id);
}

/* v1 counts memory and swap together in a limit of its own, which the one of memory may at no time be above: raised first,
 * lowered last. It is not there when the kernel does not account for swap. */
static int limit_memory_v1(int dir, const char *text) {
    write_at(dir, "memory.memsw.limit_in_bytes", text);
    if (write_at(dir, "memory.limit_in_bytes", text) < 0)
        return -1;
    write_at(dir, "memory.memsw.limit_in_bytes", text);
    return 0;
}

static int limit_memory_v2(int dir, const char *text) {
    if (write_at(dir, "memory.max", text) < 0)
        return -1;
    write_at(dir, "memory.swap.max", "0"); /* swap is no memory: none of it */
    return 0;
}

static int limit_session(int dir, bool v2, bool memory, bool pids, uint64_t memory_bytes, uint32_t process_count) {
    char text[32];
    snprintf(text, sizeof text, "%llu", (unsigned long long)memory_bytes);
    if (memory && (v2 ? limit_memory_v2 : limit_memory_v1)(dir, text) < 0)
        return -1;
    snprintf(text, sizeof text, "%u", process_count);
    return pids ? write_at(dir, "pids.max", text) : 0;
}

int cgroup_make(const cgroup_root *root, uint64_t id, uint64_t memory_bytes, uint32_t process_count, cgroup_fds *ret) {
    char name[32];
    *ret = (cgroup_fds){.oom = -1};
    session_name(id, name);
    for (size_t i = 0; i < root->count; i++) {
        bool v2 = root->trees[i].v2, memory = root->trees[i].memory, pids = root->trees[i].pids;
        if (!memory && !pids)
            continue;
        if (mkdirat(root->trees[i].fd, name, 0755) < 0)
            return -1;
        _cleanup_close_ int dir = openat(root->trees[i].fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        /* v1's "tasks" moves one thread without the lock that "cgroup.procs" takes. */
        int enter = dir < 0 ? -1 : openat(dir, v2 ? "cgroup.procs" : "tasks", O_WRONLY | O_CLOEXEC);
        if (enter < 0 || limit_session(dir, v2, memory, pids, memory_bytes, process_count) < 0) {
            cii_close(enter);
            return -1;
        }
        ret->enter[ret->enter_count++] = enter;
        if (memory)
            ret->oom = openat(dir, v2 ? "memory.events" : "memory.oom_control", O_RDONLY | O_CLOEXEC);
    }
    return 0;
}

/* Other limits for a session that is there. */
int cgroup_limit(const cgroup_root *root, uint64_t id, uint64_t memory_bytes, uint32_t process_count) {
    char name[32];
    int result = 0;
    session_name(id, name);
    for (size_t i = 0; i < root->count && result == 0; i++) {
        _cleanup_close_ int dir = openat(root->trees[i].fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (dir >= 0)
            result = limit_session(dir, root->trees[i].v2, root->trees[i].memory, root->trees[i].pids, memory_bytes,
                                   process_count);
    }
    return result;
}

void cgroup_fds_close(cgroup_fds *fds) {
    while (fds->enter_count > 0)
        cii_close(fds->enter[--fds->enter_count]);
    cii_close(TAKE_FD(fds->oom));
}

bool cgroup_remove(const cgroup_root *root, uint64_t id) {
    char name[32];
    bool gone = true;
    session_name(id, name);
    for (size_t i = 0; i < root->count; i++)
        if (unlinkat(root->trees[i].fd, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
            gone = false;
    return gone;
}

static bool remove_tree(int root) {
    bool gone = true;
    int copy = openat(root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = copy >= 0 ? fdopendir(copy) : NULL;
    for (struct dirent *entry; dir != NULL && (entry = readdir(dir)) != NULL;)
        if (entry->d_type == DT_DIR && entry->d_name[0] != '.' && unlinkat(root, entry->d_name, AT_REMOVEDIR) < 0)
            gone = false;
    if (dir != NULL)
        closedir(dir);
    char path[64], name[4096];
    snprintf(path, sizeof path, "/proc/self/fd/%d", root);
    ssize_t size = gone ? readlink(path, name, sizeof name - 1) : -1;
    if (size > 0) {
        name[size] = 0;
        gone = rmdir(name) == 0;
    }
    return gone;
}

/* Processes that were killed leave their groups a little later. */
void cgroup_close(cgroup_root *root) {
    for (size_t i = 0; i < root->count; i++) {
        for (int wait = 0; !remove_tree(root->trees[i].fd) && wait < 400; wait++)
            usleep(5000);
        cii_close(root->trees[i].fd);
    }
    root->count = 0;
}
