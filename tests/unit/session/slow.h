/* A storage like a distant one: each of its operations makes its callers wait at every step. Around a folder's. */
#ifndef SLOW_H
#define SLOW_H

#include <ci/sys/storage.h>
#include <stdatomic.h>

typedef struct slow_log {
    _Atomic int ops;      /* in flight */
    _Atomic int most_ops; /* at once */
    _Atomic int fail_list;
} slow_log;

ci_storage *slow_storage(const char *folder, long step_ms, slow_log *log);

#endif
