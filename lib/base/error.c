/* Error objects. Each is one allocation of its own with two strings behind it; the one for "out of memory" is static,
 * shared by everybody, and neither changed nor freed. */
#include "base/error.h"

#include <ci/sys/op.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/utf8.h"

struct ci_error {
    ci_status status;
    int32_t error_number;
    int32_t http_status;
    bool retryable;
    bool handle_unusable;
    char domain[32];
    char *message;
    char *hint; /* NULL: none */
};

static ci_error no_memory = {
    .status = CI_ERR_NOMEM,
    .error_number = ENOMEM,
    .retryable = true,
    .domain = "base",
    .message = (char *)"out of memory",
};

static const struct status_text {
    const char *name;
    const char *text;
} status_texts[] = {
    [-CI_OK] = {"CI_OK", "no error"},
    [-CI_ERR_NOMEM] = {"CI_ERR_NOMEM", "out of memory"},
    [-CI_ERR_INVALID] = {"CI_ERR_INVALID", "not allowed"},
    [-CI_ERR_NOTSUP] = {"CI_ERR_NOTSUP", "not supported"},
    [-CI_ERR_NOTFOUND] = {"CI_ERR_NOTFOUND", "not found"},
    [-CI_ERR_EXISTS] = {"CI_ERR_EXISTS", "exists already"},
    [-CI_ERR_BUSY] = {"CI_ERR_BUSY", "in use"},
    [-CI_ERR_CLOSED] = {"CI_ERR_CLOSED", "closed"},
    [-CI_ERR_FORKED] = {"CI_ERR_FORKED", "the handle belongs to another process"},
    [-CI_ERR_TIMEOUT] = {"CI_ERR_TIMEOUT", "time-out"},
    [-CI_ERR_CANCELLED] = {"CI_ERR_CANCELLED", "cancelled"},
    [-CI_ERR_IO] = {"CI_ERR_IO", "input or output failed"},
    [-CI_ERR_PERMISSION] = {"CI_ERR_PERMISSION", "permission denied"},
    [-CI_ERR_LIMIT] = {"CI_ERR_LIMIT", "a limit was reached"},
    [-CI_ERR_PROTOCOL] = {"CI_ERR_PROTOCOL", "the other side broke the protocol"},
    [-CI_ERR_LOST] = {"CI_ERR_LOST", "the sandbox is gone"},
    [-CI_ERR_CONDITION] = {"CI_ERR_CONDITION", "a condition did not hold"},
    [-CI_ERR_MISMATCH] = {"CI_ERR_MISMATCH", "library and helper program are not of one build"},
    [-CI_ERR_MISSING] = {"CI_ERR_MISSING", "something is not installed"},
    [-CI_ERR_INTERNAL] = {"CI_ERR_INTERNAL", "a defect of libci"},
};

static const struct status_text *status_text(ci_status status) {
    static const struct status_text unknown = {"CI_ERR_UNKNOWN", "unknown error"};
    if (status > 0 || status <= -(ci_status)CII_ELEMENTS(status_texts))
        return &unknown;
    return &status_texts[-status];
}

/* --- making ------------------------------------------------------------------------------------------------------- */

/* Messages quote names that others chose: what would break the line or is not UTF-8 becomes "?". */
static void make_one_line(char *text) {
    for (size_t left = strlen(text); left > 0;) {
        size_t n = cii_utf8_char(text, left);
        if (n == 0 || (unsigned char)*text < 0x20 || *text == 0x7f) {
            *text = '?';
            n = 1;
        }
        text += n;
        left -= n;
    }
}

static ci_status put(ci_error **ret_error, ci_error *error) {
    ci_error_free(*ret_error);
    *ret_error = error;
    return error->status;
}

/* Takes message over. The old error goes last: the arguments may have quoted it. */
static ci_status make(ci_error **ret_error, ci_status status, const char *domain, int error_number, char *message) {
    _cleanup_free_ char *text = message;
    ci_error *error = text ? calloc(1, sizeof(*error)) : NULL;
    if (!error) {
        put(ret_error, &no_memory);
        return status;
    }
    make_one_line(text);
    error->status = status;
    error->error_number = error_number;
    error->retryable = status == CI_ERR_BUSY || status == CI_ERR_NOMEM;
    error->handle_unusable = status == CI_ERR_LOST || status == CI_ERR_CLOSED || status == CI_ERR_FORKED;
    snprintf(error->domain, sizeof(error->domain), "%s", domain);
    error->message = TAKE_PTR(text);
    return put(ret_error, error);
}

static char *format_text(const char *format, va_list args) {
    char *text = NULL;
    return vasprintf(&text, format, args) < 0 ? NULL : text;
}

__attribute__((format(printf, 1, 2))) static char *join(const char *format, ...) {
    va_list args;
    va_start(args, format);
    char *text = format_text(format, args);
    va_end(args);
    return text;
}

ci_status cii_error_set(ci_error **ret_error, ci_status status, const char *domain, const char *format, ...) {
    if (!ret_error)
        return status;
    va_list args;
    va_start(args, format);
    char *text = format_text(format, args);
    va_end(args);
    return make(ret_error, status, domain, 0, text);
}

ci_status cii_status_of_errno(int error_number) {
    switch (error_number) {
    case ENOENT:
        return CI_ERR_NOTFOUND;
    case EACCES:
    case EPERM:
    case EROFS:
        return CI_ERR_PERMISSION;
    case ENOMEM:
        return CI_ERR_NOMEM;
    case EEXIST:
        return CI_ERR_EXISTS;
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
    case EMFILE:
    case ENFILE:
        return CI_ERR_LIMIT;
    case EINVAL:
    case E2BIG:
    case ENAMETOOLONG:
    case ELOOP:
    case ENOTDIR:
    case EISDIR:
        return CI_ERR_INVALID;
    case ETIMEDOUT:
        return CI_ERR_TIMEOUT;
    default:
        return CI_ERR_IO;
    }
}

ci_status cii_error_errno(ci_error **ret_error, int error_number, const char *domain, const char *format, ...) {
    ci_status status = cii_status_of_errno(error_number);
    if (!ret_error)
        return status;
    va_list args;
    va_start(args, format);
    _cleanup_free_ char *text = format_text(format, args);
    va_end(args);
    const char *reason = strerrordesc_np(error_number); /* in every locale the same */
    return make(ret_error, status, domain, error_number,
                text ? join("%s: %s", text, reason ? reason : "unknown error") : NULL);
}

ci_status cii_error_wrap(ci_error **ret_error, ci_status status, const char *format, ...) {
    if (!ret_error || *ret_error == &no_memory)
        return status;
    va_list args;
    va_start(args, format);
    _cleanup_free_ char *context = format_text(format, args);
    va_end(args);
    ci_error *error = *ret_error;
    char *text = context ? join("%s: %s", context, error ? error->message : status_text(status)->text) : NULL;
    if (!error)
        return make(ret_error, status, "", 0, text);
    error->status = status;
    if (text) { /* without memory the message stays as it was, which is better than none */
        make_one_line(text);
        free(error->message);
        error->message = text;
    }
    return status;
}

static bool changeable(ci_error **ret_error) {
    return ret_error && *ret_error && *ret_error != &no_memory;
}

void cii_error_hint(ci_error **ret_error, const char *format, ...) {
    if (!changeable(ret_error))
        return;
    va_list args;
    va_start(args, format);
    char *text = format_text(format, args);
    va_end(args);
    if (!text)
        return;
    make_one_line(text);
    free((*ret_error)->hint);
    (*ret_error)->hint = text;
}

void cii_error_mark(ci_error **ret_error, bool retryable, bool handle_unusable) {
    if (!changeable(ret_error))
        return;
    (*ret_error)->retryable = retryable;
    (*ret_error)->handle_unusable = handle_unusable;
}

ci_status cii_error_nomem(ci_error **ret_error) {
    return ret_error ? put(ret_error, &no_memory) : CI_ERR_NOMEM;
}

ci_error *cii_error_copy(const ci_error *error) {
    if (!error || error == &no_memory)
        return (ci_error *)error;
    ci_error *copy = NULL;
    make(&copy, error->status, error->domain, error->error_number, strdup(error->message));
    if (copy == &no_memory)
        return copy;
    copy->http_status = error->http_status;
    cii_error_mark(&copy, error->retryable, error->handle_unusable);
    if (error->hint)
        cii_error_hint(&copy, "%s", error->hint);
    return copy;
}

/* What a newer backend knows beyond our fields is left out, as an error about an error would help nobody. */
ci_status ci_error_make(const ci_error_fields *fields, ci_error **ret_error) {
    ci_error_fields own = {0};
    memcpy(&own, fields, CII_MIN(fields->struct_size, sizeof(own)));
    if (own.status >= 0)
        own.status = CI_ERR_INTERNAL; /* no struct_size, or no failure */
    if (!ret_error)
        return own.status;
    ci_error *error = NULL;
    const char *message = own.message ? own.message : status_text(own.status)->text;
    make(&error, own.status, own.domain ? own.domain : "", own.error_number, strdup(message));
    if (changeable(&error)) {
        error->http_status = own.http_status;
        cii_error_mark(&error, own.retryable, own.handle_unusable);
        if (own.hint)
            cii_error_hint(&error, "%s", own.hint);
    }
    put(ret_error, error);
    return own.status;
}

/* --- reading ------------------------------------------------------------------------------------------------------ */

ci_status ci_error_status(const ci_error *error) {
    return error ? error->status : CI_OK;
}

const char *ci_error_message(const ci_error *error) {
    return error ? error->message : "no error";
}

const char *ci_error_hint(const ci_error *error) {
    return error && error->hint ? error->hint : "";
}

const char *ci_error_domain(const ci_error *error) {
    return error ? error->domain : "";
}

int32_t ci_error_errno(const ci_error *error) {
    return error ? error->error_number : 0;
}

int32_t ci_error_http_status(const ci_error *error) {
    return error ? error->http_status : 0;
}

int32_t ci_error_retryable(const ci_error *error) {
    return error && error->retryable;
}

int32_t ci_error_handle_usable(const ci_error *error) {
    return !(error && error->handle_unusable);
}

const char *ci_status_name(ci_status status) {
    return status_text(status)->name;
}

void ci_error_free(ci_error *error) {
    if (!error || error == &no_memory)
        return;
    free(error->message);
    free(error->hint);
    free(error);
}
