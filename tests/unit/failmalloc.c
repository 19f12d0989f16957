/* See failmalloc.h. The linker's --wrap turns calls of malloc() into __wrap_malloc(), and __real_malloc() into malloc(). */
#include "failmalloc.h"

// clang-format off
#include <stdarg.h>
#include <stdbool.h>
#include <setjmp.h>
#include <cmocka.h>
// clang-format on
#include <errno.h>

static size_t left; /* allocations until the one that fails; 0: none will */
static bool failed;

static bool fails(void) {
    if (left == 0 || --left > 0)
        return false;
    failed = true;
    errno = ENOMEM;
    return true;
}

#define WRAPPED(type, name, failure, parameters, arguments)   \
    type __real_##name parameters;                            \
    type __wrap_##name parameters;                            \
    type __wrap_##name parameters {                           \
        return fails() ? (failure) : __real_##name arguments; \
    }

WRAPPED(void *, malloc, NULL, (size_t size), (size))
WRAPPED(void *, calloc, NULL, (size_t count, size_t size), (count, size))
WRAPPED(void *, realloc, NULL, (void *memory, size_t size), (memory, size))
WRAPPED(void *, reallocarray, NULL, (void *memory, size_t count, size_t size), (memory, count, size))
WRAPPED(char *, strdup, NULL, (const char *text), (text))
WRAPPED(char *, strndup, NULL, (const char *text, size_t size), (text, size))
WRAPPED(int, vasprintf, -1, (char **text, const char *format, va_list args), (text, format, args))
WRAPPED(int, __vasprintf_chk, -1, (char **text, int flag, const char *format, va_list args), (text, flag, format, args))

void failmalloc_at(size_t n) {
    left = n;
    failed = false;
}

int failmalloc_stop(void) {
    left = 0;
    return failed;
}

size_t failmalloc_each(ci_status (*scenario)(void *user), void *user) {
    for (size_t n = 1;; n++) {
        failmalloc_at(n);
        ci_status status = scenario(user);
        if (!failmalloc_stop()) {
            assert_int_equal(status, CI_OK);
            return n - 1;
        }
        assert_true(status == CI_OK || status == CI_ERR_NOMEM);
    }
}
