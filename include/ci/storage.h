/**
 * @file ci/storage.h
 * @brief The place that keeps a workspace: a folder, or a storage of your own (ci/sys/storage.h).
 *
 * A storage object is counted like a sandbox object, and several sessions may share it, from different threads.
 */
#ifndef CI_STORAGE_H
#define CI_STORAGE_H

#include <ci/call.h>

CI_BEGIN_DECLS

/** A place that keeps named objects; opaque, counted. */
typedef struct ci_storage ci_storage;

/** Options of ci_storage_dir_new(). Zero is the default of every field. */
typedef struct ci_storage_dir_options {
    size_t struct_size; /**< sizeof(ci_storage_dir_options). */
    int32_t no_create;  /**< 1: fail when the folder does not exist; 0: create it, with its parents. */
    int32_t no_sync;    /**< 1: do not fsync(2) what is written: faster, and lost in a power failure. */
} ci_storage_dir_options;

/** Initializer for ::ci_storage_dir_options. */
#define CI_STORAGE_DIR_OPTIONS_INIT \
    { sizeof(ci_storage_dir_options), 0, 0 }

/**
 * @brief A workspace in a folder. Objects are files below it; writes are atomic (temporary file, fsync, rename), and no
 * name and no link leads out of it. Blocks for some system calls.
 * @param path the folder; resolved now, so that a later chdir(2) changes nothing.
 * @param options copied; NULL: defaults.
 * @param[out] ret_storage the storage, the caller's; untouched on failure.
 * @param[out] ret_error why it failed; may be NULL.
 * @return #CI_OK; #CI_ERR_INVALID, #CI_ERR_NOTFOUND, #CI_ERR_PERMISSION, #CI_ERR_NOMEM, #CI_ERR_IO.
 * @since 0.1
 */
CI_API ci_status ci_storage_dir_new(const char *path, const ci_storage_dir_options *options, ci_storage **ret_storage,
                                    ci_error **ret_error);

/**
 * @brief Another share of the storage, to be given up with its own ci_storage_free().
 * @param storage the storage.
 * @return the same pointer.
 * @since 0.1
 */
CI_API ci_storage *ci_storage_ref(ci_storage *storage);

/**
 * @brief Gives up the caller's share.
 * @param storage the storage; NULL does nothing.
 * @since 0.1
 */
CI_API void ci_storage_free(ci_storage *storage);

CI_END_DECLS

#endif
