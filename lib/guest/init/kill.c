/* Finding and ending the processes of a call. See guest.h for the tag. */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "guest/init/guest.h"

void tag_set(pid_t pid, uint64_t tag) {
    struct rlimit limit = {.rlim_cur = tag, .rlim_max = RLIM_INFINITY};
    prlimit(pid, RLIMIT_LOCKS, &limit, NULL);
}

static bool has_tag(pid_t pid, uint64_t tag) {
    struct rlimit limit;
    return prlimit(pid, RLIMIT_LOCKS, NULL, &limit) == 0 && limit.rlim_cur == tag;
}

/* A process that has ended but was not waited for. */
static bool is_zombie(pid_t pid) {
    char path[32], text[512];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return true;
    ssize_t size = read(fd, text, sizeof text - 1);
    if (size <= 0)
        return true;
    text[size] = 0;
    const char *name_end = strrchr(text, ')');
    return name_end == NULL || name_end[1] == 0 || name_end[2] == 'Z' || name_end[2] == 'X';
}

/* Calls back for every living process with the tag; counts them. */
static size_t tag_each(uint64_t tag, pid_t except, int signal_number) {
    DIR *proc = opendir("/proc");
    if (proc == NULL)
        return 0;
    size_t count = 0;
    for (struct dirent *entry; (entry = readdir(proc)) != NULL;) {
        pid_t pid = entry->d_name[0] >= '1' && entry->d_name[0] <= '9' ? (pid_t)atol(entry->d_name) : 0;
        if (pid <= 1 || pid == except || !has_tag(pid, tag) || is_zombie(pid))
            continue;
        count++;
        if (signal_number != 0)
            kill(pid, signal_number);
    }
    closedir(proc);
    return count;
}

bool tag_alive(uint64_t tag, pid_t except) {
    return tag_each(tag, except, 0) > 0;
}

void tag_signal(uint64_t tag, pid_t except, int signal_number) {
    tag_each(tag, except, signal_number);
}

/* Stopping first keeps a program that forks faster than it is found from getting away. */
void tag_kill(uint64_t tag, pid_t except) {
    for (int pass = 0; pass < 3; pass++)
        tag_each(tag, except, SIGSTOP);
    for (int pass = 0; pass < 100 && tag_each(tag, except, SIGKILL) > 0; pass++)
        usleep(pass < 10 ? 200 : 2000);
}
