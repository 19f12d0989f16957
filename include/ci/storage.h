/**
 * @file ci/storage.h
 * @brief The place that keeps a workspace: a folder, a bucket of S3, or a storage of your own (ci/sys/storage.h).
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
 * name and no link leads out of it. Blocks for some system calls. Keys that cannot be files there are #CI_ERR_INVALID: `.ci`
 * and what is below it, parts that begin with `.ci-tmp-` or are longer than 255 bytes; nor can `a` and `a/b` be side by side.
 * @param path the folder; resolved now, so that a later chdir(2) changes nothing.
 * @param options copied; NULL: defaults.
 * @param[out] ret_storage the storage, the caller's; untouched on failure.
 * @param[out] ret_error why it failed; may be NULL.
 * @return #CI_OK; #CI_ERR_INVALID, #CI_ERR_NOTFOUND, #CI_ERR_PERMISSION, #CI_ERR_NOMEM, #CI_ERR_IO.
 * @since 0.1
 */
CI_API ci_status ci_storage_dir_new(const char *path, const ci_storage_dir_options *options, ci_storage **ret_storage,
                                    ci_error **ret_error);

/** How a bucket is named in requests (ci_storage_s3_options::addressing). */
enum {
    CI_S3_ADDRESSING_AUTO = 0,   /**< As the profile says; else of AWS the host, of other servers the path. */
    CI_S3_ADDRESSING_PATH = 1,   /**< In the path: https://HOST/BUCKET/KEY. */
    CI_S3_ADDRESSING_VIRTUAL = 2 /**< In the host: https://BUCKET.HOST/KEY. */
};

/** Options of ci_storage_s3_new(). Zero is the default of every field. What is not given here is read as AWS's own
 * clients do it: environment variables (`AWS_ENDPOINT_URL_S3`, `AWS_REGION`, `AWS_PROFILE`, `AWS_ACCESS_KEY_ID`,
 * `AWS_CA_BUNDLE`, `AWS_MAX_ATTEMPTS`, `https_proxy`, …), then the profile in `~/.aws/config` and
 * `~/.aws/credentials`. */
typedef struct ci_storage_s3_options {
    size_t struct_size;            /**< sizeof(ci_storage_s3_options). */
    const char *endpoint;          /**< "http(s)://HOST[:PORT][/PATH]" of a server; NULL: as set, else AWS's own. */
    const char *region;            /**< Region of the bucket; NULL: as set, else us-east-1, and what its server says. */
    const char *profile;           /**< Profile in the shared files; NULL: as set, else "default". */
    const char *access_key_id;     /**< The keys to sign with, both or neither. NULL: they are looked for. */
    const char *secret_access_key; /**< Its secret; wiped when the storage is freed. */
    const char *session_token;     /**< The token of temporary keys, only with them; NULL: none. */
    const char *ca_file;           /**< PEM file of those who may sign certificates; NULL: as set, else the system's. */
    const char *proxy;             /**< URL of an http, https or socks5h proxy; NULL: as set, else none. */
    uint64_t part_bytes;           /**< Size of the parts of a large upload, 5 MiB to 5 GiB; 0: 8 MiB. */
    uint32_t parallel;             /**< Parts of one upload in memory and on their way at once, 64 at most; 0: 3. */
    uint32_t attempts;             /**< How often a request is sent at most; 0: as set, else 3. */
    uint32_t connect_timeout_ms;   /**< Until a connection stands; 0: 10 s. */
    uint32_t idle_timeout_ms;      /**< Without a byte either way, a request has failed; 0: 60 s. */
    int32_t addressing;            /**< One of `CI_S3_ADDRESSING_`. */
    int32_t no_environment;        /**< 1: read neither environment nor shared files; $TMPDIR apart. */
} ci_storage_s3_options;

/** Initializer for ::ci_storage_s3_options. */
#define CI_STORAGE_S3_OPTIONS_INIT \
    { sizeof(ci_storage_s3_options), NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0, 0, 0, 0, 0, 0, 0 }

/**
 * @brief A workspace in a bucket of S3, or of a server that speaks its protocol. No request is sent before it is used;
 * reads the shared files, else does not block.
 *
 * Objects are written whole or not at all, large ones in parts, and what is written and read is checked by SHA-256 and
 * MD5. A large upload takes `parallel` parts of memory, two at least (by default 3 × 8 MiB); above 10,000 parts of
 * `part_bytes` (80 GB) they are as much larger as it takes, where the size was announced, else it is #CI_ERR_LIMIT. A
 * server that says nothing for `idle_timeout_ms` is asked again, `attempts` times in all, unless a call's own deadline
 * comes first.
 *
 * Conditions (`if_etag`, `if_absent` of ci/objects.h) are left to the server; where it has none (OpenStack Swift) the
 * object is looked at just before it is written, which keeps out other puts by this storage object, but not those of
 * other programs. The lock of a session holds among the sessions of this storage object alone.
 * Keys that can be no file name are left out of lists, and told of. Freeing the last share may take up to 5 s when
 * uploads that were given up have still to be aborted. While a large upload is under way, a file in $TMPDIR/ci-uploads-UID
 * (else /var/tmp; `no_environment` or not) names it, never with a secret, so that it is aborted by the next put of a
 * storage of the same URL should this process die. Where that folder is not this user's alone there is no such file,
 * and the storage's description in ci_session_info() says so.
 * @param url "s3://BUCKET" or "s3://BUCKET/PREFIX"; all keys are below the prefix. The bucket must exist.
 * @param options copied; NULL: defaults.
 * @param[out] ret_storage the storage, the caller's; untouched on failure.
 * @param[out] ret_error why it failed, never with a secret in it; may be NULL.
 * @return #CI_OK; #CI_ERR_INVALID (an option, or what the environment or the shared files say), #CI_ERR_LIMIT,
 * #CI_ERR_PERMISSION, #CI_ERR_IO (a shared file cannot be read), #CI_ERR_NOMEM.
 * @since 0.1
 */
CI_API ci_status ci_storage_s3_new(const char *url, const ci_storage_s3_options *options, ci_storage **ret_storage,
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
