/* Whether anything can have written a file since the last time it was asked: whoever writes has been started, or runs,
 * or has used the processor. */
#include <dirent.h>
#include <time.h>

#include "guest/init/guest.h"

static bool is_kernel(const guest *g, pid_t pid) {
    for (const kernel *k = g->kernels; k != NULL; k = k->next)
        if (k->pid == pid)
            return true;
    return false;
}

/* Processes of commands that went on, and what kernels have started. */
static bool others_live(const guest *g) {
    DIR *proc = opendir("/proc");
    bool found = proc == NULL;
    for (struct dirent *entry; !found && (entry = readdir(proc)) != NULL;) {
        pid_t pid = entry->d_name[0] >= '1' && entry->d_name[0] <= '9' ? (pid_t)atol(entry->d_name) : 0;
        found = pid > 1 && !is_kernel(g, pid);
    }
    if (proc != NULL)
        closedir(proc);
    return found;
}

/* Of all kernels, threads that have ended included; -1: not known. */
static int64_t kernels_cpu_ns(const guest *g) {
    int64_t sum = 0;
    for (const kernel *k = g->kernels; k != NULL; k = k->next) {
        clockid_t clock;
        struct timespec time;
        if (k->pid <= 0)
            continue;
        if (clock_getcpuclockid(k->pid, &clock) != 0 || clock_gettime(clock, &time) < 0)
            return -1;
        sum += (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
    }
    return sum;
}

uint64_t guest_activity(guest *g, const job *asking) {
    for (const job *j = g->jobs; j != NULL; j = j->next)
        if (j != asking && j->state != JOB_DONE && j->state != JOB_TASK)
            return 0;
    int64_t cpu_ns = kernels_cpu_ns(g);
    if (cpu_ns < 0 || others_live(g))
        return 0;
    if (g->activity.number == 0 || g->activity.start_count != g->start_count || g->activity.cpu_ns != cpu_ns) {
        g->activity.number++;
        g->activity.start_count = g->start_count;
        g->activity.cpu_ns = cpu_ns;
    }
    return g->activity.number;
}
