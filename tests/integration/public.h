/* What programs that use the public interface alone include. */
#ifndef CI_TEST_PUBLIC_H
#define CI_TEST_PUBLIC_H

// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
// clang-format on

#include <ci/ci.h>

/* Of a call whose last argument is &error. */
#define MUST(call)                                   \
    do {                                             \
        ci_error *error = NULL;                      \
        if ((call) < 0)                              \
            fail_msg("%s", ci_error_message(error)); \
    } while (0)

#endif
