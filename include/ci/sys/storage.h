/**
 * @file ci/sys/storage.h
 * @brief The storage contract: what a place must do to keep workspaces. For authors of storages;
 * examples/template_storage.c is a small complete one.
 *
 * A storage holds objects: bytes under a key. Keys are UTF-8, parts between `/`; the library passes none with empty
 * parts, ".", ".." or control bytes. The table's rules are those of ci/sys/sandbox.h; `get`, `put`, `list`, `stat` and
 * `remove` are required. Many operations may be in flight on one storage, from several threads.
 *
 * A storage that cannot do without waiting (for a disk, in a library that knows no other way) may block within start
 * and process(), as shortly as it can, and says so by #CI_STORAGE_CAP_BLOCKING: ci_session_info() tells the host, whose
 * ci_call_process() may then block for as long.
 */
#ifndef CI_SYS_STORAGE_H
#define CI_SYS_STORAGE_H

#include <ci/objects.h>
#include <ci/sys/op.h>

CI_BEGIN_DECLS

/** What is to be written. Zero is the default of every field; strings live until start returns. */
typedef struct ci_put_request {
    size_t struct_size;    /**< sizeof(ci_put_request) of the library. */
    const char *key;       /**< Where. */
    const char *if_etag;   /**< Only if the object has this etag; NULL: no such condition. */
    const char *mime_type; /**< MIME type; NULL: not known. */
    const uint8_t *sha256; /**< Hash the content must have, 32 bytes; NULL: not known. */
    uint64_t size_bytes;   /**< Size; UINT64_MAX: not known. */
    int32_t if_absent;     /**< 1: only if there is no such object. */
    int32_t reserved;      /**< 0. */
} ci_put_request;

/** What is known of a storage beforehand (bits of ci_storage_ops::capabilities). Bits this version does not know are
 * ignored. */
#define CI_STORAGE_CAP_BLOCKING (UINT64_C(1) << 0) /**< Operations may block within start or process(). */

#define CI_REMOVE_MANY_MAX 1000 /**< Keys of one ci_storage_ops::remove_many. */

/** The functions of a storage. */
typedef struct ci_storage_ops {
    size_t struct_size;    /**< sizeof(ci_storage_ops) of the storage. */
    uint64_t required;     /**< `CI_REQUIRE_` bits. */
    uint64_t capabilities; /**< `CI_STORAGE_CAP_` bits. */
    const char *name;      /**< One word: "dir". */
    /** Releases the impl. Default: nothing. */
    void (*free)(void *impl);
    /** Reads length bytes at most (UINT64_MAX: all) from offset; `object`, where not NULL, gets the object before its
     * first byte. Both callbacks are given `user`.
     * #CI_ERR_NOTFOUND; #CI_ERR_CONDITION when if_etag is not NULL and is not the object's. */
    ci_status (*get)(void *impl, const char *key, const char *if_etag, uint64_t offset, uint64_t length,
                     ci_op_write_cb write, ci_object_cb object, void *user, ci_op **ret_op, ci_error **ret_error);
    /** Writes an object, whole or not at all; `object`, where not NULL, gets it at the end, with what is known of hash
     * and etag.
     * #CI_ERR_CONDITION when a condition does not hold; #CI_ERR_INVALID for a key that cannot be. */
    ci_status (*put)(void *impl, const ci_put_request *request, ci_op_read_cb read, ci_object_cb object, void *user,
                     ci_op **ret_op, ci_error **ret_error);
    /** Objects whose key begins with prefix, in byte order, at most max of them, after the key `after` (NULL: from the
     * first). Fewer than max: that was the end. What is there and can be no object (its name is no key, it is a link,
     * its folder cannot be read) is left out, and the end, when all else was told, is then #CI_ERR_NOTSUP with a message
     * that names the first such thing. */
    ci_status (*list)(void *impl, const char *prefix, const char *after, uint32_t max, ci_object_cb object, void *user,
                      ci_op **ret_op, ci_error **ret_error);
    /** One object. #CI_ERR_NOTFOUND. */
    ci_status (*stat)(void *impl, const char *key, ci_object_cb object, void *user, ci_op **ret_op,
                      ci_error **ret_error);
    /** Removes an object. #CI_ERR_NOTFOUND where that can be known. */
    ci_status (*remove)(void *impl, const char *key, ci_op **ret_op, ci_error **ret_error);
    /** Takes a lock by name for a session, without waiting: #CI_ERR_BUSY when another has it, in this process or
     * another. It ends with its holder. Default: always granted. */
    ci_status (*lock)(void *impl, const char *name, void **ret_lock, ci_error **ret_error);
    /** Gives a lock back. Default: nothing. */
    void (*unlock)(void *impl, void *lock);
    /** A word or two on where it is, for people: "folder /srv/work". malloc'd. Default: the name. */
    ci_status (*describe)(void *impl, char **ret_text);
    /** Removes several objects, #CI_REMOVE_MANY_MAX at most, with fewer steps than one each. The keys live until the
     * operation is freed. `removed` is told of each in their order: #CI_OK, also of one that was not there where that
     * cannot be known; or why it may still be there. That one failed does not fail the operation. When the operation
     * fails, so have the keys it has not told of; with #CI_ERR_NOTSUP, from start or before it has told of any, they are
     * to be removed one by one. Default: #CI_ERR_NOTSUP. */
    ci_status (*remove_many)(void *impl, const char *const *keys, size_t key_count, ci_removed_cb removed, void *user,
                             ci_op **ret_op, ci_error **ret_error);
} ci_storage_ops;

/**
 * @brief Makes a storage object. Any thread; does not block.
 * @param ops the storage's table; copied.
 * @param impl its object; consumed on success.
 * @param[out] ret_storage the storage, the caller's; untouched on failure.
 * @param[out] ret_error why it failed; may be NULL.
 * @return #CI_OK; #CI_ERR_INVALID (a required slot is missing), #CI_ERR_NOTSUP, #CI_ERR_NOMEM.
 * @since 0.1
 */
CI_API ci_status ci_storage_new(const ci_storage_ops *ops, void *impl, ci_storage **ret_storage, ci_error **ret_error);

CI_END_DECLS

#endif
