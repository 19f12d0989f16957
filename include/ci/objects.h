/**
 * @file ci/objects.h
 * @brief The objects of a storage, without a session: for hosts and tools that show a workspace, fill it, or fetch from
 * it. `ci-workspace` is made of these functions.
 *
 * Keys are the storage's own, as in "code-interpreter/chart.png": no prefix of a session is put before them, and nothing
 * keeps them inside one. They are UTF-8 with `/` between parts; empty parts, ".", ".." and control bytes are refused.
 *
 * **Threads**: any number of calls may be in progress on one storage, from different threads, or many in one thread:
 * their ::ci_call each have a descriptor to poll, and that is how objects are transferred beside each other. A call holds
 * its storage. **Blocking**: a storage that says #CI_STORAGE_CAP_BLOCKING, as a folder does for its disk, blocks for as
 * long within ci_call_process(). **Deadlines** are in milliseconds and cover the whole call; 0 or less: none. A call that
 * is cancelled or past its deadline leaves the objects as they were, but that a server may have been done already.
 * **Pausing**: the readers and writers of a ci_storage_read_start() and ci_storage_write_start() may answer #CI_IO_PAUSE
 * when a source has nothing yet or a sink is full: they are asked again when the call is processed next, which is the
 * host's to do when its source or sink is ready; what the call itself waits for still shows on its descriptor. In the
 * blocking functions it ends the transfer like any other negative number.
 */
#ifndef CI_OBJECTS_H
#define CI_OBJECTS_H

#include <ci/files.h>
#include <ci/storage.h>

CI_BEGIN_DECLS

/** What is known of an object. Strings live until the callback returns, or as long as the operation. */
typedef struct ci_object {
    size_t struct_size;    /**< sizeof(ci_object) of the storage. */
    const char *key;       /**< Its key. */
    const char *etag;      /**< Differs whenever the content does, opaque; may be given as if_etag. NULL: not known. */
    const uint8_t *sha256; /**< 32 bytes; NULL: not known, as in lists of S3: ci_storage_stat() tells it. */
    uint64_t size_bytes;   /**< Size. */
    int64_t modified_ms;   /**< Milliseconds since 1970-01-01 UTC, of S3 in whole seconds; 0: not known. */
} ci_object;

/** Gets an object. @return 0; negative: stop, with #CI_ERR_CANCELLED. */
typedef int32_t (*ci_object_cb)(void *user, const ci_object *object);

/** Options of ci_storage_list(). Zero is the default of every field. */
typedef struct ci_storage_list_options {
    size_t struct_size; /**< sizeof(ci_storage_list_options). */
    int64_t timeout_ms; /**< Deadline; 0 or less: none. */
    const char *after;  /**< Only keys after this one, which need not exist; NULL: from the first. */
    uint64_t max_count; /**< Objects at most; 0: all. Fewer than asked for: that was the end. */
} ci_storage_list_options;

/** Initializer for ::ci_storage_list_options. */
#define CI_STORAGE_LIST_OPTIONS_INIT \
    { sizeof(ci_storage_list_options), 0, NULL, 0 }

/**
 * @brief Lists objects, all levels, in byte order of their keys, in bounded memory. Blocks.
 * @param storage the storage.
 * @param prefix how the keys begin; it may end anywhere. NULL or "": all.
 * @param options copied; NULL: defaults.
 * @param object gets each object.
 * @param user given to object.
 * @param[out] ret_error why it failed; may be NULL.
 * @return #CI_OK; #CI_ERR_NOTSUP when all was listed but what can be no object (links, names that are no keys, folders
 * that cannot be read), of which the message names the first; #CI_ERR_INVALID, #CI_ERR_CANCELLED, #CI_ERR_TIMEOUT,
 * #CI_ERR_NOTFOUND (the bucket), #CI_ERR_PERMISSION, #CI_ERR_FORKED, #CI_ERR_IO, #CI_ERR_NOMEM. Of S3 all these functions
 * may also return #CI_ERR_BUSY (asked too often, after all attempts), #CI_ERR_LIMIT (a quota, too large), #CI_ERR_PROTOCOL
 * and #CI_ERR_NOTSUP (an object in an archive).
 * @since 0.1
 */
CI_API ci_status ci_storage_list(ci_storage *storage, const char *prefix, const ci_storage_list_options *options,
                                 ci_object_cb object, void *user, ci_error **ret_error);

/**
 * @brief The same as a ::ci_call, whose outcome is taken with ci_call_take_status().
 * @param storage,prefix,options,object,user as for ci_storage_list(); strings are copied.
 * @param[out] ret_call the call, the caller's.
 * @param[out] ret_error why it could not start; may be NULL.
 * @return #CI_OK, or why it could not start.
 * @since 0.1
 */
CI_API ci_status ci_storage_list_start(ci_storage *storage, const char *prefix, const ci_storage_list_options *options,
                                       ci_object_cb object, void *user, ci_call **ret_call, ci_error **ret_error);

/**
 * @brief What is known of one object. Blocks.
 * @param storage the storage.
 * @param key the object.
 * @param timeout_ms deadline; 0 or less: none.
 * @param object gets it, once.
 * @param user given to object.
 * @param[out] ret_error why it failed; may be NULL.
 * @return #CI_OK; #CI_ERR_NOTFOUND, #CI_ERR_INVALID, #CI_ERR_CANCELLED, #CI_ERR_TIMEOUT, #CI_ERR_PERMISSION,
 * #CI_ERR_FORKED, #CI_ERR_IO, #CI_ERR_NOMEM.
 * @since 0.1
 */
CI_API ci_status ci_storage_stat(ci_storage *storage, const char *key, int64_t timeout_ms, ci_object_cb object,
                                 void *user, ci_error **ret_error);

/**
 * @brief The same as a ::ci_call, whose outcome is taken with ci_call_take_status().
 * @param storage,key,timeout_ms,object,user as for ci_storage_stat(); the key is copied.
 * @param[out] ret_call the call, the caller's.
 * @param[out] ret_error why it could not start; may be NULL.
 * @return #CI_OK, or why it could not start.
 * @since 0.1
 */
CI_API ci_status ci_storage_stat_start(ci_storage *storage, const char *key, int64_t timeout_ms, ci_object_cb object,
                                       void *user, ci_call **ret_call, ci_error **ret_error);

/** Options of ci_storage_read(). Zero is the default of every field. */
typedef struct ci_storage_read_options {
    size_t struct_size;    /**< sizeof(ci_storage_read_options). */
    int64_t timeout_ms;    /**< Deadline; 0 or less: none. */
    uint64_t offset_bytes; /**< First byte; beyond the end: nothing is written, and that is success. */
    uint64_t length_bytes; /**< Bytes at most; 0: to the end. */
    const char *if_etag;   /**< Only if the object has this etag; NULL: no such condition. */
} ci_storage_read_options;

/** Initializer for ::ci_storage_read_options. */
#define CI_STORAGE_READ_OPTIONS_INIT \
    { sizeof(ci_storage_read_options), 0, 0, 0, NULL }

/**
 * @brief Streams an object, or a range of it, in bounded memory. Blocks.
 * @param storage the storage.
 * @param key the object.
 * @param options copied; NULL: defaults.
 * @param write gets the bytes.
 * @param object gets the object before its first byte; may be NULL.
 * @param user given to both.
 * @param[out] ret_error why it failed; may be NULL.
 * @return as ci_storage_stat(), and #CI_ERR_CONDITION.
 * @since 0.1
 */
CI_API ci_status ci_storage_read(ci_storage *storage, const char *key, const ci_storage_read_options *options,
                                 ci_write_cb write, ci_object_cb object, void *user, ci_error **ret_error);

/**
 * @brief The same as a ::ci_call, whose outcome is taken with ci_call_take_status().
 * @param storage,key,options,write,object,user as for ci_storage_read(); strings are copied.
 * @param[out] ret_call the call, the caller's.
 * @param[out] ret_error why it could not start; may be NULL.
 * @return #CI_OK, or why it could not start.
 * @since 0.1
 */
CI_API ci_status ci_storage_read_start(ci_storage *storage, const char *key, const ci_storage_read_options *options,
                                       ci_write_cb write, ci_object_cb object, void *user, ci_call **ret_call,
                                       ci_error **ret_error);

/** Options of ci_storage_write(). Zero is the default of every field. */
typedef struct ci_storage_write_options {
    size_t struct_size;    /**< sizeof(ci_storage_write_options). */
    int64_t timeout_ms;    /**< Deadline; 0 or less: none. */
    const char *if_etag;   /**< Only if the object has this etag; NULL: no such condition. Not with if_absent. */
    const char *mime_type; /**< MIME type; NULL: by the key's suffix. */
    const uint8_t *sha256; /**< Hash the content must have, 32 bytes; NULL: not known. */
    uint64_t size_bytes;   /**< Size the content must have; 0: not known (that of an empty object cannot be told). */
    int32_t if_absent;     /**< 1: only if there is no such object. */
    int32_t reserved;      /**< 0. */
} ci_storage_write_options;

/** Initializer for ::ci_storage_write_options. */
#define CI_STORAGE_WRITE_OPTIONS_INIT \
    { sizeof(ci_storage_write_options), 0, NULL, NULL, NULL, 0, 0, 0 }

/**
 * @brief Streams an object into the storage; it appears whole or not at all. Blocks.
 * @param storage the storage.
 * @param key the object.
 * @param options copied; NULL: defaults.
 * @param read gives the bytes.
 * @param object gets the object at the end, with what is known of hash and etag; may be NULL.
 * @param user given to both.
 * @param[out] ret_error why it failed; may be NULL.
 * @return #CI_OK; #CI_ERR_CONDITION (if_etag or if_absent does not hold), #CI_ERR_INVALID (the key; an option; the content
 * has another size or hash), #CI_ERR_CANCELLED, #CI_ERR_TIMEOUT, #CI_ERR_PERMISSION, #CI_ERR_FORKED, #CI_ERR_IO,
 * #CI_ERR_NOMEM.
 * @since 0.1
 */
CI_API ci_status ci_storage_write(ci_storage *storage, const char *key, const ci_storage_write_options *options,
                                  ci_read_cb read, ci_object_cb object, void *user, ci_error **ret_error);

/**
 * @brief The same as a ::ci_call, whose outcome is taken with ci_call_take_status().
 * @param storage,key,options,read,object,user as for ci_storage_write(); strings and hash are copied.
 * @param[out] ret_call the call, the caller's.
 * @param[out] ret_error why it could not start; may be NULL.
 * @return #CI_OK, or why it could not start.
 * @since 0.1
 */
CI_API ci_status ci_storage_write_start(ci_storage *storage, const char *key, const ci_storage_write_options *options,
                                        ci_read_cb read, ci_object_cb object, void *user, ci_call **ret_call,
                                        ci_error **ret_error);

/** Is told what became of an object that was to be removed: #CI_OK, or why it may still be there; `error` lives until the
 * callback returns, NULL when all is well. @return 0; negative: stop, with #CI_ERR_CANCELLED. */
typedef int32_t (*ci_removed_cb)(void *user, const char *key, ci_status status, const ci_error *error);

/**
 * @brief Removes objects, with as few requests as the storage can. One that cannot be removed does not keep the others
 * from it. Blocks.
 * @param storage the storage.
 * @param keys the objects.
 * @param key_count how many.
 * @param timeout_ms deadline; 0 or less: none.
 * @param removed is told of each; may be NULL. An object that is not there counts as removed where the storage does not
 * tell, else it is #CI_ERR_NOTFOUND; one key alone is always told apart.
 * @param user given to removed.
 * @param[out] ret_error why it failed; may be NULL.
 * @return #CI_OK when all were removed; else the failure of the first that was not: #CI_ERR_NOTFOUND, #CI_ERR_INVALID,
 * #CI_ERR_CANCELLED, #CI_ERR_TIMEOUT, #CI_ERR_PERMISSION, #CI_ERR_FORKED, #CI_ERR_IO, #CI_ERR_NOMEM.
 * @since 0.1
 */
CI_API ci_status ci_storage_remove(ci_storage *storage, const char *const *keys, size_t key_count, int64_t timeout_ms,
                                   ci_removed_cb removed, void *user, ci_error **ret_error);

/**
 * @brief The same as a ::ci_call, whose outcome is taken with ci_call_take_status().
 * @param storage,keys,key_count,timeout_ms,removed,user as for ci_storage_remove(); keys are copied.
 * @param[out] ret_call the call, the caller's.
 * @param[out] ret_error why it could not start; may be NULL.
 * @return #CI_OK, or why it could not start.
 * @since 0.1
 */
CI_API ci_status ci_storage_remove_start(ci_storage *storage, const char *const *keys, size_t key_count,
                                         int64_t timeout_ms, ci_removed_cb removed, void *user, ci_call **ret_call,
                                         ci_error **ret_error);

CI_END_DECLS

#endif
