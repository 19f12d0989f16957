/* Calls in progress beside each other, in one thread, and the signals that end them. */
#ifndef CI_WORKSPACE_JOBS_H
#define CI_WORKSPACE_JOBS_H

#include <ci/ci.h>

struct job {
    ci_call *call;
    unsigned weight;  /* of what may be in progress at once */
    int input_fd;     /* what its reader waits for while it pauses; -1: never */
    int input_paused; /* set by its reader */
    /* Is told how the call ended, and frees the job; the call is freed by the caller. */
    void (*end)(struct job *job, ci_status status, ci_error *error); /* the error is the job's to free */
};

/* Gives the next thing to do: a job; NULL and *ret_wait = 1: not before one in progress has ended; NULL and 0: all is
 * begun. */
typedef struct job *(*next_job)(void *user, int *ret_wait);

/** Takes over SIGINT, SIGTERM and SIGHUP. Returns 0, or -1 after a sentence on stderr. */
int jobs_init(void);

/** The signal that asks ci-workspace to end; 0: none has come. */
int jobs_signal(void);

/** Runs all jobs that `next` gives, in progress at once those that weigh `most` together. Returns 0; -1 when a signal
 * ended it: then those in progress were cancelled. */
int jobs_run(next_job next, void *user, unsigned most);

#endif
