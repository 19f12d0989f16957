/* Where downloads go: files that appear whole, below a folder that nothing leads out of. */
#ifndef CI_WORKSPACE_TARGET_H
#define CI_WORKSPACE_TARGET_H

#include <stddef.h>
#include <stdint.h>

/** A file that is being written. */
struct target {
    int fd;         /* -1: none */
    int folder_fd;  /* -1: written to as it is (standard output, a pipe, a device) */
    char name[256]; /* in the folder */
    char temporary[64];
};

/**
 * Begins the file `path` below a folder; missing folders are made, no link is followed. Returns NULL, or what is wrong
 * (which lives until the next call).
 */
const char *target_begin(struct target *target, int folder_fd, const char *path);

/** Begins to write to a descriptor, which stays the caller's. */
void target_begin_as_it_is(struct target *target, int fd);

/** Writes all of it. Returns 0; -1 with errno. */
int target_write(struct target *target, const void *data, size_t size);

/** Puts the file in its place, with the time it was last changed (0: now). Returns 0; -1 with errno. */
int target_commit(struct target *target, int64_t modified_ms);

/** Gives the file up; after target_commit() it does nothing. What was there before is as it was. */
void target_drop(struct target *target);

/** Size and time of the file at path below the folder. Returns 0; -1 when there is no such regular file. */
int target_stat(int folder_fd, const char *path, uint64_t *ret_size_bytes, int64_t *ret_modified_ms);

#endif
