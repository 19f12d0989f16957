/* A signal writes to an eventfd, which is polled beside the calls. System calls that block elsewhere (a pipe that nobody
 * reads) are interrupted by it. */
#include "jobs.h"

#include "../common/note.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { MOST_JOBS = 128 };

static int wake_fd = -1;
static volatile sig_atomic_t caught;

static void on_signal(int number) {
    int saved = errno;
    caught = number;
    if (write(wake_fd, &(uint64_t){1}, sizeof(uint64_t)) < 0)
        caught = number; /* it is readable already */
    errno = saved;
}

int jobs_init(void) {
    static const int ends[] = {SIGINT, SIGTERM, SIGHUP};
    wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (wake_fd < 0) {
        note("ci-workspace: eventfd: %s", strerror(errno));
        return -1;
    }
    /* The second one ends the program as it would any other. What nohup(1) ignores on its behalf stays ignored. */
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESETHAND}, old;
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
        if (sigaction(ends[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
            sigaction(ends[i], &action, NULL);
    signal(SIGPIPE, SIG_IGN); /* a write tells */
    return 0;
}

int jobs_signal(void) {
    return caught;
}

struct jobs {
    struct job *items[MOST_JOBS];
    size_t count;
    unsigned weight;
};

static void end(struct jobs *jobs, size_t at) {
    struct job *job = jobs->items[at];
    ci_call *call = job->call;
    ci_error *error = NULL;
    jobs->weight -= job->weight;
    jobs->items[at] = jobs->items[--jobs->count];
    ci_status status = ci_call_take_status(call, &error);
    ci_call_free(call);
    job->end(job, status, error);
}

/* Whether it is still in progress. */
static int process(struct jobs *jobs, size_t at) {
    struct job *job = jobs->items[at];
    job->input_paused = 0;
    if (ci_call_process(job->call) == CI_CALL_RUNNING)
        return 1;
    end(jobs, at);
    return 0;
}

/* Begins what there is room for. Returns whether there will be more to begin. */
static int fill(struct jobs *jobs, next_job next, void *user, unsigned most) {
    while (jobs->weight < most && jobs->count < MOST_JOBS && !caught) {
        int wait = 0;
        struct job *job = next(user, &wait);
        if (!job)
            return wait;
        jobs->items[jobs->count++] = job;
        jobs->weight += job->weight;
        process(jobs, jobs->count - 1);
    }
    return 1;
}

/* Waits until something can be done, and does it. */
static void step(struct jobs *jobs) {
    struct pollfd fds[2 * MOST_JOBS + 1];
    size_t count = jobs->count;
    int timeout = -1;
    fds[2 * count] = (struct pollfd){.fd = wake_fd, .events = POLLIN};
    for (size_t i = 0; i < count; i++) {
        struct job *job = jobs->items[i];
        fds[2 * i] = (struct pollfd){.fd = ci_call_fd(job->call), .events = POLLIN};
        fds[2 * i + 1] = (struct pollfd){.fd = job->input_paused ? job->input_fd : -1, .events = POLLIN};
        if (fds[2 * i].fd < 0) /* none was left: looking now and then does */
            timeout = 10;
    }
    poll(fds, 2 * count + 1, timeout);
    for (size_t i = count; i-- > 0 && !caught;) /* backwards: the last takes the place of one that ends */
        if (fds[2 * i].revents || fds[2 * i + 1].revents || fds[2 * i].fd < 0)
            process(jobs, i);
}

/* Cancels what is in progress, and sees each end. */
static void cancel(struct jobs *jobs) {
    while (jobs->count > 0) {
        ci_call_cancel(jobs->items[jobs->count - 1]->call);
        process(jobs, jobs->count - 1);
    }
}

int jobs_run(next_job next, void *user, unsigned most) {
    struct jobs *jobs = calloc(1, sizeof(*jobs));
    if (!jobs) {
        note("ci-workspace: out of memory");
        return 0;
    }
    int more = 1;
    while (!caught && (more || jobs->count > 0)) {
        if (more)
            more = fill(jobs, next, user, most);
        if (jobs->count > 0 && !caught)
            step(jobs);
    }
    cancel(jobs);
    free(jobs);
    return caught ? -1 : 0;
}
