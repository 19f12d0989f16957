/* Error objects: made here, read by the public accessors of ci/error.h.
 *
 * A function that can fail ends with a trailing `ci_error **ret_error`, which may be NULL, and returns the status:
 *
 *     return cii_error_set(ret_error, CI_ERR_INVALID, "session", "session_id: %zu characters, at most 64", n);
 *     return cii_error_errno(ret_error, errno, "os", "open %s", path);          the status follows from errno
 *     return cii_error_wrap(ret_error, status, "open session");                 "open session: " before the message
 *
 * Setting over an error that is there already frees the old one. When memory is short the error is a static one. */
#ifndef CII_BASE_ERROR_H
#define CII_BASE_ERROR_H

#include <ci/error.h>

#include "base/common.h"

ci_status cii_error_set(ci_error **ret_error, ci_status status, const char *domain, const char *format, ...)
    _printf_(4, 5);

/* Status by errno (ENOENT: NOTFOUND, EACCES/EPERM/EROFS: PERMISSION, ENOMEM: NOMEM, EEXIST: EXISTS, ENOSPC/EDQUOT/
 * EFBIG/EMFILE/ENFILE: LIMIT, EINVAL/ENAMETOOLONG/ELOOP/ENOTDIR/EISDIR: INVALID, ETIMEDOUT: TIMEOUT, else IO); the
 * message ends with ": " and strerror's text. */
ci_status cii_error_errno(ci_error **ret_error, int error_number, const char *domain, const char *format, ...)
    _printf_(4, 5);
ci_status cii_status_of_errno(int error_number);

/* Puts "context: " before the message; makes an error when there was none. Returns status. */
ci_status cii_error_wrap(ci_error **ret_error, ci_status status, const char *format, ...) _printf_(3, 4);

/* Adds to an error that was just set; no-ops when ret_error or *ret_error is NULL. */
void cii_error_hint(ci_error **ret_error, const char *format, ...) _printf_(2, 3);
void cii_error_mark(ci_error **ret_error, bool retryable, bool handle_unusable);

/* CI_ERR_NOMEM with its static error. */
ci_status cii_error_nomem(ci_error **ret_error);

/* Another object that says the same. NULL gives NULL. */
ci_error *cii_error_copy(const ci_error *error);

static inline void cii_error_free_p(ci_error **error) {
    ci_error_free(*error);
}
#define _cleanup_error_ _cleanup_(cii_error_free_p)

#endif
