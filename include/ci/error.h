/**
 * @file ci/error.h
 * @brief Status codes and the error object.
 *
 * libci keeps two kinds of failure apart. A *call* that could not be carried out returns a negative ::ci_status and,
 * where the caller passed a non-NULL `ci_error **`, an error object that says what failed, where and what to do. *Code*
 * that ran and failed is no error: the call returns #CI_OK and the result (ci/result.h) says what happened.
 *
 * An error object belongs to the caller, outlives everything else of libci and is never changed after it was returned;
 * it may be read from several threads at once. Strings returned by its accessors live as long as the object. No
 * function here blocks.
 */
#ifndef CI_ERROR_H
#define CI_ERROR_H

#include <ci/version.h>

CI_BEGIN_DECLS

/** What a call came to: #CI_OK, or one of the negative values below. */
typedef int32_t ci_status;

/** Values of ::ci_status. Numbers are never reused or changed. */
enum {
    CI_OK = 0,               /**< Done. */
    CI_ERR_NOMEM = -1,       /**< Memory could not be allocated; nothing was changed. */
    CI_ERR_INVALID = -2,     /**< An argument or option is not allowed; the message names it. */
    CI_ERR_NOTSUP = -3,      /**< This backend, storage or build cannot do it; the message says what can. */
    CI_ERR_NOTFOUND = -4,    /**< A file, object, task or session by that name does not exist. */
    CI_ERR_EXISTS = -5,      /**< It exists already and must not. */
    CI_ERR_BUSY = -6,        /**< In use: a session of that id is open, or its kernel was left running. */
    CI_ERR_CLOSED = -7,      /**< The session was closed, by another thread perhaps. */
    CI_ERR_FORKED = -8,      /**< The handle was made by another process, before a fork. */
    CI_ERR_TIMEOUT = -9,     /**< The call itself (opening, a transfer) did not end in time. */
    CI_ERR_CANCELLED = -10,  /**< ci_call_cancel() was called, or a callback asked to stop. */
    CI_ERR_IO = -11,         /**< The operating system or a server failed; see ci_error_errno() and the message. */
    CI_ERR_PERMISSION = -12, /**< Not allowed by the system, a server, or the limits of a session. */
    CI_ERR_LIMIT = -13,      /**< A limit on size, count or depth was reached. */
    CI_ERR_PROTOCOL = -14,   /**< The other side sent what it must not. */
    CI_ERR_LOST = -15,       /**< The sandbox or its supervisor is gone; the handle can only be closed. */
    CI_ERR_CONDITION = -16,  /**< A condition (only if absent, only if this etag) did not hold. */
    CI_ERR_MISMATCH = -17,   /**< Library and helper program are not of one build. */
    CI_ERR_MISSING = -18,    /**< Something that must be installed is not; the hint names the package. */
    CI_ERR_INTERNAL = -19    /**< A defect of libci. Please report it. */
};

/** An error: opaque, immutable, the caller's. */
typedef struct ci_error ci_error;

/**
 * @brief The status that the failed call returned.
 * @param error the error; NULL is taken as "no error".
 * @return the status; #CI_OK for NULL.
 * @since 0.1
 */
CI_API ci_status ci_error_status(const ci_error *error);

/**
 * @brief One line for people: what failed, outermost first, as in "open session: mount workspace: No space left on
 * device". Never holds a secret.
 * @param error the error; NULL gives "no error".
 * @return UTF-8 text without a newline at its end.
 * @since 0.1
 */
CI_API const char *ci_error_message(const ci_error *error);

/**
 * @brief What the reader can do about it, as in "install the package python3-ipython".
 * @param error the error, or NULL.
 * @return one sentence, or "" when there is nothing to advise.
 * @since 0.1
 */
CI_API const char *ci_error_hint(const ci_error *error);

/**
 * @brief Which part failed: "session", "sandbox", "storage", "archive", "tools", "os", "http" or a backend's name.
 * @param error the error, or NULL.
 * @return a short word; "" for NULL.
 * @since 0.1
 */
CI_API const char *ci_error_domain(const ci_error *error);

/**
 * @brief The operating system's error number (errno(3)) behind the failure.
 * @param error the error, or NULL.
 * @return the number, 0 when there is none.
 * @since 0.1
 */
CI_API int32_t ci_error_errno(const ci_error *error);

/**
 * @brief The HTTP status (RFC 9110) behind the failure.
 * @param error the error, or NULL.
 * @return the status, 0 when there is none.
 * @since 0.1
 */
CI_API int32_t ci_error_http_status(const ci_error *error);

/**
 * @brief Whether the same call may succeed when it is repeated later, unchanged.
 * @param error the error, or NULL.
 * @return 1 or 0.
 * @since 0.1
 */
CI_API int32_t ci_error_retryable(const ci_error *error);

/**
 * @brief Whether the handle that the call was made on can still be used.
 * @param error the error, or NULL.
 * @return 1 when it can, 0 when it can only be closed.
 * @since 0.1
 */
CI_API int32_t ci_error_handle_usable(const ci_error *error);

/**
 * @brief The name of a status, as in "CI_ERR_NOMEM".
 * @param status any value.
 * @return a string that lives as long as the library; "CI_ERR_UNKNOWN" for a value this version does not know.
 * @since 0.1
 */
CI_API const char *ci_status_name(ci_status status);

/**
 * @brief Releases an error.
 * @param error the error; NULL does nothing.
 * @since 0.1
 */
CI_API void ci_error_free(ci_error *error);

CI_END_DECLS

#endif
