/* What every unit test of the lower rooms includes. */
#ifndef UNIT_H
#define UNIT_H

// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
// clang-format on

#include <stdio.h>

#include "base/error.h"

/* Status and message of a call whose last argument is &error: FAILS(CI_ERR_INVALID, "part of it", f(x, &error)). */
#define FAILS(wanted, text, call)                               \
    do {                                                        \
        _cleanup_error_ ci_error *error = NULL;                 \
        assert_int_equal((call), (wanted));                     \
        assert_int_equal(ci_error_status(error), (wanted));     \
        if (!strstr(ci_error_message(error), (text)))           \
            assert_string_equal(ci_error_message(error), text); \
    } while (0)

#endif
