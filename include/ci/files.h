/**
 * @file ci/files.h
 * @brief Files of a session.
 *
 * Paths are relative to the sandbox root (`/workspace` for the code inside); absolute ones name the guest's own tree, and
 * so does what ".." leads to from the root: "../tmp/x" is "/tmp/x", and above "/" there is nothing.
 * Names are bytes, any but NUL and `/`. A path never leads out of the sandbox, whatever links the code has planted. The
 * sandbox root, the home folder and `/tmp` can be written, the system besides them read; `/proc`, `/sys` and `/dev`
 * neither.
 * Threads and deadlines as in ci/session.h.
 */
#ifndef CI_FILES_H
#define CI_FILES_H

#include <ci/session.h>

CI_BEGIN_DECLS

/** Operations of ci_file_op(). */
enum {
    CI_FILE_OP_READ = 1,  /**< Whole files of 32 MiB at most, 64 MiB a call; what is larger fails: see ci_file_get(). */
    CI_FILE_OP_WRITE = 2, /**< Whole files; missing folders are made. */
    CI_FILE_OP_LIST = 3,  /**< One level of each folder. */
    CI_FILE_OP_REMOVE = 4 /**< Files, and folders with all they hold. */
};

/** A file to write. It has no struct_size and is fixed for good, as an array of it is handed in: what more there will
 * be to say about files to write becomes fields of ::ci_file_op_options, for all of them or as arrays beside it. */
typedef struct ci_file_content {
    const char *path; /**< Where. */
    const void *data; /**< What; may be NULL when size is 0. */
    size_t size;      /**< Bytes. */
} ci_file_content;

/** Options of ci_file_op(). Zero is the default of every field but operation, which must be set. */
typedef struct ci_file_op_options {
    size_t struct_size;             /**< sizeof(ci_file_op_options). */
    const char *const *paths;       /**< READ, LIST, REMOVE: the paths. LIST of none lists the root. */
    size_t path_count;              /**< How many. */
    const ci_file_content *content; /**< WRITE: the files. */
    size_t content_count;           /**< How many. */
    int64_t timeout_ms;             /**< Deadline; 0: the session's; negative: none. */
    int32_t operation;              /**< A `CI_FILE_OP_` value. */
    int32_t reserved;               /**< 0. */
} ci_file_op_options;

/** Initializer for ::ci_file_op_options. */
#define CI_FILE_OP_OPTIONS_INIT \
    { sizeof(ci_file_op_options), NULL, 0, NULL, 0, 0, 0, 0 }

/**
 * @brief Reads, writes, lists or removes files. With several paths the good ones are done and each bad one is named in
 * the result, whose outcome is then #CI_OUTCOME_FAILED. Blocks.
 * @param session the session.
 * @param options borrowed.
 * @param[out] ret_result the result (#CI_FILES_MAIN), the caller's; untouched on failure.
 * @param[out] ret_error why the call failed; may be NULL.
 * @return #CI_OK whenever there is a result; #CI_ERR_INVALID, #CI_ERR_CLOSED, #CI_ERR_LOST, #CI_ERR_FORKED,
 * #CI_ERR_NOMEM.
 * @since 0.1
 */
CI_API ci_status ci_file_op(ci_session *session, const ci_file_op_options *options, ci_result **ret_result,
                            ci_error **ret_error);

/**
 * @brief The same as a ::ci_call, whose result is taken with ci_call_take_result().
 * @param session the session.
 * @param options copied, contents included.
 * @param[out] ret_call the call, the caller's.
 * @param[out] ret_error why it could not start; may be NULL.
 * @return #CI_OK, or why it could not start.
 * @since 0.1
 */
CI_API ci_status ci_file_op_start(ci_session *session, const ci_file_op_options *options, ci_call **ret_call,
                                  ci_error **ret_error);

/** Takes bytes of a file in their order; `data` lives until it returns. Other than 0 ends the transfer with
 * #CI_ERR_CANCELLED. */
typedef int32_t (*ci_write_cb)(void *user, const void *data, size_t size);

/** Gives the next bytes of a file: puts at most `size` into `buffer`, returns how many; 0 at the end; negative ends the
 * transfer with #CI_ERR_CANCELLED, and the target stays as it was. */
typedef int64_t (*ci_read_cb)(void *user, void *buffer, size_t size);

/**
 * @brief Streams a file out of the sandbox in bounded memory. Blocks.
 * @param session the session.
 * @param path the file.
 * @param offset first byte; beyond the end: nothing is written, and that is success.
 * @param length bytes at most; UINT64_MAX: to the end.
 * @param write gets the bytes.
 * @param user given to write.
 * @param[out] ret_error why it failed; may be NULL.
 * @return #CI_OK; #CI_ERR_NOTFOUND, #CI_ERR_PERMISSION, #CI_ERR_INVALID (not a regular file), #CI_ERR_CANCELLED,
 * #CI_ERR_TIMEOUT, #CI_ERR_CLOSED, #CI_ERR_LOST, #CI_ERR_FORKED, #CI_ERR_IO, #CI_ERR_NOMEM.
 * @since 0.1
 */
CI_API ci_status ci_file_get(ci_session *session, const char *path, uint64_t offset, uint64_t length, ci_write_cb write,
                             void *user, ci_error **ret_error);

/**
 * @brief The same as a ::ci_call, whose outcome is taken with ci_call_take_status().
 * @param session,path,offset,length,write,user as for ci_file_get().
 * @param[out] ret_call the call, the caller's.
 * @param[out] ret_error why it could not start; may be NULL.
 * @return #CI_OK, or why it could not start.
 * @since 0.1
 */
CI_API ci_status ci_file_get_start(ci_session *session, const char *path, uint64_t offset, uint64_t length,
                                   ci_write_cb write, void *user, ci_call **ret_call, ci_error **ret_error);

/**
 * @brief Streams a file into the sandbox in bounded memory; missing folders are made. The file appears whole or not at
 * all. Blocks.
 * @param session the session.
 * @param path the file.
 * @param read gives the bytes.
 * @param user given to read.
 * @param[out] ret_error why it failed; may be NULL.
 * @return as ci_file_get(), and #CI_ERR_LIMIT when the sandbox root is full.
 * @since 0.1
 */
CI_API ci_status ci_file_put(ci_session *session, const char *path, ci_read_cb read, void *user, ci_error **ret_error);

/**
 * @brief The same as a ::ci_call, whose outcome is taken with ci_call_take_status().
 * @param session,path,read,user as for ci_file_put().
 * @param[out] ret_call the call, the caller's.
 * @param[out] ret_error why it could not start; may be NULL.
 * @return #CI_OK, or why it could not start.
 * @since 0.1
 */
CI_API ci_status ci_file_put_start(ci_session *session, const char *path, ci_read_cb read, void *user,
                                   ci_call **ret_call, ci_error **ret_error);

CI_END_DECLS

#endif
