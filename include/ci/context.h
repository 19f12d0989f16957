/**
 * @file ci/context.h
 * @brief Contexts: the kernels of a session, each with variables of its own on the same files.
 *
 * Every language has a context without a name, which is used unless ::ci_run_options names another; JavaScript and
 * TypeScript share theirs, and those of equal names. Python's own is there from opening, as are those of
 * ci_sandbox_local_options::kernels; any other begins with the first call that names it. Each is a process of the session,
 * within its limits. A session of a local sandbox has 32 at most; code for one more gets #CI_OUTCOME_REFUSED.
 */
#ifndef CI_CONTEXT_H
#define CI_CONTEXT_H

#include <ci/session.h>

CI_BEGIN_DECLS

/** A context. Strings live until the callback returns. */
typedef struct ci_context_info {
    size_t struct_size;   /**< sizeof(ci_context_info) of who fills it: for a host, of the library. */
    const char *language; /**< "python", …; "javascript" also stands for TypeScript, which shares its variables. */
    const char *context;  /**< Its name; "" for the language's own. */
    int32_t running;      /**< 1 while a call runs there, else 0. */
    int32_t reserved;     /**< 0. */
} ci_context_info;

/** Gets a context. @return 0; other than 0: no more. */
typedef int32_t (*ci_context_cb)(void *user, const ci_context_info *context);

/**
 * @brief Tells of every context that lives, in the order in which they began. Blocks for a round trip.
 * @param session the session.
 * @param context called for each, within this call.
 * @param user given to context.
 * @param[out] ret_error why it failed; may be NULL.
 * @return #CI_OK; #CI_ERR_INVALID, #CI_ERR_NOTSUP (the backend cannot tell), #CI_ERR_CLOSED, #CI_ERR_LOST,
 * #CI_ERR_FORKED, #CI_ERR_NOMEM.
 * @since 0.1
 */
CI_API ci_status ci_context_list(ci_session *session, ci_context_cb context, void *user, ci_error **ret_error);

/**
 * @brief Ends a context's kernel and starts a new one: its variables are lost, files stay. A call that runs there ends
 * with outcome #CI_OUTCOME_LOST; one that waits for its turn finds the new kernel. Where there is no such context it is
 * made. Blocks until the new kernel answers. #CI_RUN_CLEAR_CONTEXT does it in its turn, before
 * code that is to find nothing.
 * @param session the session.
 * @param language as in ::ci_run_options; NULL: "python".
 * @param context as in ::ci_run_options; NULL: the language's own.
 * @param[out] ret_error why it failed; may be NULL.
 * @return #CI_OK; #CI_ERR_INVALID, #CI_ERR_NOTSUP, #CI_ERR_LIMIT (there are too many), #CI_ERR_TIMEOUT,
 * #CI_ERR_CANCELLED (it was interrupted), #CI_ERR_CLOSED, #CI_ERR_LOST, #CI_ERR_FORKED, #CI_ERR_NOMEM, #CI_ERR_IO.
 * @since 0.1
 */
CI_API ci_status ci_context_clear(ci_session *session, const char *language, const char *context, ci_error **ret_error);

/**
 * @brief The same as a ::ci_call, whose outcome is taken with ci_call_take_status().
 * @param session,language,context as for ci_context_clear().
 * @param[out] ret_call the call, the caller's.
 * @param[out] ret_error why it could not start; may be NULL.
 * @return #CI_OK, or why it could not start.
 * @since 0.1
 */
CI_API ci_status ci_context_clear_start(ci_session *session, const char *language, const char *context,
                                        ci_call **ret_call, ci_error **ret_error);

/**
 * @brief Ends a context's kernel and forgets the context: its variables are lost, its memory is free, files stay. A call
 * that runs there ends with outcome #CI_OUTCOME_LOST; one that waits for its turn finds a new context. Blocks until the
 * kernel has ended.
 * @param session the session.
 * @param language as in ::ci_run_options; NULL: "python".
 * @param context as in ::ci_run_options; NULL: the language's own.
 * @param[out] ret_error why it failed; may be NULL.
 * @return as ci_context_clear(), and #CI_ERR_NOTFOUND: there is no such context.
 * @since 0.1
 */
CI_API ci_status ci_context_remove(ci_session *session, const char *language, const char *context,
                                   ci_error **ret_error);

/**
 * @brief The same as a ::ci_call, whose outcome is taken with ci_call_take_status().
 * @param session,language,context as for ci_context_remove().
 * @param[out] ret_call the call, the caller's.
 * @param[out] ret_error why it could not start; may be NULL.
 * @return #CI_OK, or why it could not start.
 * @since 0.1
 */
CI_API ci_status ci_context_remove_start(ci_session *session, const char *language, const char *context,
                                         ci_call **ret_call, ci_error **ret_error);

CI_END_DECLS

#endif
