/* A storage like a distant one: each of its operations makes its callers wait at every step, and lists tell no SHA-256.
 * Around a folder's, or, with folder NULL, around the template, whose stat tells SHA-256. */
#ifndef SLOW_H
#define SLOW_H

#include <ci/sys/storage.h>
#include <stdatomic.h>
#include <stdbool.h>

typedef struct slow_log {
    _Atomic int ops;      /* in flight */
    _Atomic int most_ops; /* at once */
    _Atomic int fail_list;
    _Atomic bool fail_next_list;          /* after the time it takes */
    _Atomic int lists, gets, puts, stats; /* requests, of lists one a page */
    char last_put[64];                    /* key of the last put */
    char refused[32];                     /* no object whose key contains it can be read or written; "": each can */
    bool forbids_stat;                    /* nothing can be asked for */
    int dies_after;                       /* the put that fails, and all after it; 0: none */
    int steps;                            /* of the storage behind it in one of its own; 0: one */
    void (*on_get)(const char *key);      /* before an object is read; NULL: nothing */
    int beats;                            /* an eventfd(2) with EFD_SEMAPHORE that lets steps be made; 0: time does */
} slow_log;

ci_storage *slow_storage(const char *folder, long step_ms, slow_log *log);

#endif
