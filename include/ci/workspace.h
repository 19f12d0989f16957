/**
 * @file ci/workspace.h
 * @brief The workspace: what outlives the session.
 *
 * Names are logical: "code-interpreter/chart.png" is where libci saves to, "uploads/data.zip" where users' files come
 * from, and the host may add prefixes of its own; the session's prefixes (::ci_session_options) map them to keys of the
 * storage, and no name leads out of them.
 * Names are UTF-8 with `/` between parts; empty parts, "." and ".." are refused. Threads and deadlines as in
 * ci/session.h.
 */
#ifndef CI_WORKSPACE_H
#define CI_WORKSPACE_H

#include <ci/files.h>

CI_BEGIN_DECLS

/** Flags of a push. */
enum {
    CI_PUSH_EVERYTHING = 1 << 0 /**< Skip no folder by name, as #CI_SESSION_PUSH_EVERYTHING says for every push. */
};

/**
 * Options of ci_push_to_workspace(). Zero is the default of every field. Strings are copied.
 *
 * **Manifest**: an object that lists the files of a push, written when all of them are there, so that a reader sees all of
 * a push or none. It is JSON: `{"version": 1, "session": ID, "time": "2026-01-31T12:00:00Z", "files": [{"name", "size",
 * "sha256", "etag"}]}`, names below "code-interpreter/", saved and unchanged files alike; `etag` is null where the storage
 * has none. The result has an entry for it. Where a file failed it is not written (entry #CI_FILE_SKIPPED), and the one
 * before stays. A reader reads the manifest, then each object on the condition that it still has that etag (If-Match), or
 * compares the SHA-256 of what it read; an object that is another by now belongs to a later push, which may be under
 * way: then what was read is dropped, and the reader begins with the manifest again.
 */
typedef struct ci_push_options {
    size_t struct_size;   /**< sizeof(ci_push_options). */
    int64_t timeout_ms;   /**< Deadline in milliseconds; 0: the session's; negative: none. */
    uint32_t flags;       /**< `CI_PUSH_` flags. */
    int32_t reserved;     /**< 0. */
    const char *manifest; /**< Name of the manifest below "code-interpreter/", as in "manifest.json"; a file of the
                               sandbox that is pushed by that name has failed. NULL: the session's; "": none. */
} ci_push_options;

/** Initializer for ::ci_push_options. */
#define CI_PUSH_OPTIONS_INIT \
    { sizeof(ci_push_options), 0, 0, 0, NULL }

/**
 * @brief Saves files of the sandbox to the workspace under "code-interpreter/". What the workspace already has is not
 * written again; one failure does not stop the rest; files deleted in the sandbox stay in the workspace. One push saves
 * no more bytes than the sandbox root may hold: sparse files that claim more have failed. Blocks.
 * @param session the session.
 * @param paths files and folders, relative to the sandbox root; NULL: all there is in the sandbox root and its folders.
 * What is a link or leads through one is skipped, what leads out of the root by ".." has failed.
 * @param path_count how many.
 * @param options NULL: defaults.
 * @param[out] ret_result the result (#CI_FILES_MAIN: each file with key, size, SHA-256 and what became of it), the
 * caller's; outcome #CI_OUTCOME_FAILED when one failed, #CI_OUTCOME_TIMEOUT when the deadline came first. Untouched on
 * failure.
 * @param[out] ret_error why the call failed; may be NULL.
 * @return #CI_OK whenever there is a result; #CI_ERR_NOTSUP (no workspace), #CI_ERR_INVALID, #CI_ERR_CLOSED,
 * #CI_ERR_LOST, #CI_ERR_FORKED, #CI_ERR_NOMEM.
 * @since 0.1
 */
CI_API ci_status ci_push_to_workspace(ci_session *session, const char *const *paths, size_t path_count,
                                      const ci_push_options *options, ci_result **ret_result, ci_error **ret_error);

/**
 * @brief The same as a ::ci_call, whose result is taken with ci_call_take_result().
 * @param session the session.
 * @param paths,path_count,options as for ci_push_to_workspace(), copied.
 * @param[out] ret_call the call, the caller's.
 * @param[out] ret_error why it could not start; may be NULL.
 * @return #CI_OK, or why it could not start.
 * @since 0.1
 */
CI_API ci_status ci_push_to_workspace_start(ci_session *session, const char *const *paths, size_t path_count,
                                            const ci_push_options *options, ci_call **ret_call, ci_error **ret_error);

/**
 * @brief Lists the workspace below a prefix, all levels. What the storage has there and cannot give (links, names that are
 * not UTF-8, folders that cannot be read) is told by one entry of status #CI_FILE_SKIPPED, which names the first. Blocks.
 * @param session the session.
 * @param prefix how the names begin, as in "code-interpreter/" (without the slash "code-interpreter" and "code" are
 * prefixes too); NULL or "": everything the session may see.
 * @param[out] ret_result the result (#CI_FILES_MAIN, in byte order of their names), the caller's.
 * @param[out] ret_error why the call failed; may be NULL.
 * @return #CI_OK; #CI_ERR_NOTSUP (no workspace), #CI_ERR_INVALID, #CI_ERR_TIMEOUT, #CI_ERR_CLOSED, #CI_ERR_FORKED,
 * #CI_ERR_PERMISSION, #CI_ERR_IO, #CI_ERR_NOMEM.
 * @since 0.1
 */
CI_API ci_status ci_workspace_list(ci_session *session, const char *prefix, ci_result **ret_result,
                                   ci_error **ret_error);

/**
 * @brief The same as a ::ci_call, whose result is taken with ci_call_take_result().
 * @param session,prefix as for ci_workspace_list().
 * @param[out] ret_call the call, the caller's.
 * @param[out] ret_error why it could not start; may be NULL.
 * @return #CI_OK, or why it could not start.
 * @since 0.1
 */
CI_API ci_status ci_workspace_list_start(ci_session *session, const char *prefix, ci_call **ret_call,
                                         ci_error **ret_error);

/**
 * @brief Size and time of one file of the workspace: a result with one #CI_FILES_MAIN entry. Blocks.
 * @param session the session.
 * @param name the file.
 * @param[out] ret_result the result, the caller's.
 * @param[out] ret_error why the call failed; may be NULL.
 * @return as ci_workspace_list(), and #CI_ERR_NOTFOUND.
 * @since 0.1
 */
CI_API ci_status ci_workspace_stat(ci_session *session, const char *name, ci_result **ret_result, ci_error **ret_error);

/**
 * @brief The same as a ::ci_call, whose result is taken with ci_call_take_result().
 * @param session,name as for ci_workspace_stat().
 * @param[out] ret_call the call, the caller's.
 * @param[out] ret_error why it could not start; may be NULL.
 * @return #CI_OK, or why it could not start.
 * @since 0.1
 */
CI_API ci_status ci_workspace_stat_start(ci_session *session, const char *name, ci_call **ret_call,
                                         ci_error **ret_error);

/**
 * @brief Streams a file of the workspace, or a range of it, in bounded memory. Blocks.
 * @param session the session.
 * @param name the file.
 * @param offset first byte.
 * @param length bytes at most; UINT64_MAX: to the end.
 * @param write gets the bytes.
 * @param user given to write.
 * @param[out] ret_error why it failed; may be NULL.
 * @return #CI_OK; #CI_ERR_NOTFOUND, #CI_ERR_INVALID (the name), #CI_ERR_NOTSUP, #CI_ERR_CANCELLED, #CI_ERR_TIMEOUT,
 * #CI_ERR_CLOSED, #CI_ERR_FORKED, #CI_ERR_PERMISSION, #CI_ERR_IO, #CI_ERR_NOMEM.
 * @since 0.1
 */
CI_API ci_status ci_workspace_read(ci_session *session, const char *name, uint64_t offset, uint64_t length,
                                   ci_write_cb write, void *user, ci_error **ret_error);

/**
 * @brief The same as a ::ci_call, whose outcome is taken with ci_call_take_status().
 * @param session,name,offset,length,write,user as for ci_workspace_read().
 * @param[out] ret_call the call, the caller's.
 * @param[out] ret_error why it could not start; may be NULL.
 * @return #CI_OK, or why it could not start.
 * @since 0.1
 */
CI_API ci_status ci_workspace_read_start(ci_session *session, const char *name, uint64_t offset, uint64_t length,
                                         ci_write_cb write, void *user, ci_call **ret_call, ci_error **ret_error);

/**
 * @brief Streams a file into the workspace; it appears whole or not at all. Blocks.
 * @param session the session.
 * @param name the file.
 * @param read gives the bytes.
 * @param user given to read.
 * @param[out] ret_error why it failed; may be NULL.
 * @return as ci_workspace_read().
 * @since 0.1
 */
CI_API ci_status ci_workspace_write(ci_session *session, const char *name, ci_read_cb read, void *user,
                                    ci_error **ret_error);

/**
 * @brief The same as a ::ci_call, whose outcome is taken with ci_call_take_status().
 * @param session,name,read,user as for ci_workspace_write().
 * @param[out] ret_call the call, the caller's.
 * @param[out] ret_error why it could not start; may be NULL.
 * @return #CI_OK, or why it could not start.
 * @since 0.1
 */
CI_API ci_status ci_workspace_write_start(ci_session *session, const char *name, ci_read_cb read, void *user,
                                          ci_call **ret_call, ci_error **ret_error);

/**
 * @brief Removes a file from the workspace. Blocks.
 * @param session the session.
 * @param name the file.
 * @param[out] ret_error why it failed; may be NULL.
 * @return as ci_workspace_stat().
 * @since 0.1
 */
CI_API ci_status ci_workspace_remove(ci_session *session, const char *name, ci_error **ret_error);

/**
 * @brief The same as a ::ci_call, whose outcome is taken with ci_call_take_status().
 * @param session,name as for ci_workspace_remove().
 * @param[out] ret_call the call, the caller's.
 * @param[out] ret_error why it could not start; may be NULL.
 * @return #CI_OK, or why it could not start.
 * @since 0.1
 */
CI_API ci_status ci_workspace_remove_start(ci_session *session, const char *name, ci_call **ret_call,
                                           ci_error **ret_error);

CI_END_DECLS

#endif
