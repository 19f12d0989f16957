/* Error objects: making, wrapping, reading. */
#include "unit.h"

#include <ci/sys/op.h>
#include <locale.h>

#include "failmalloc.h"

static void no_error_reads_as_none(void **state) {
    (void)state;
    assert_int_equal(ci_error_status(NULL), CI_OK);
    assert_string_equal(ci_error_message(NULL), "no error");
    assert_string_equal(ci_error_hint(NULL), "");
    assert_string_equal(ci_error_domain(NULL), "");
    assert_int_equal(ci_error_errno(NULL), 0);
    assert_int_equal(ci_error_http_status(NULL), 0);
    assert_int_equal(ci_error_retryable(NULL), 0);
    assert_int_equal(ci_error_handle_usable(NULL), 1);
    assert_null(cii_error_copy(NULL));
    ci_error_free(NULL);
}

static void says_what_it_was_told(void **state) {
    (void)state;
    _cleanup_error_ ci_error *error = NULL;
    assert_int_equal(cii_error_set(&error, CI_ERR_INVALID, "session", "id: %d", 7), CI_ERR_INVALID);
    assert_int_equal(ci_error_status(error), CI_ERR_INVALID);
    assert_string_equal(ci_error_message(error), "id: 7");
    assert_string_equal(ci_error_domain(error), "session");
    assert_string_equal(ci_error_hint(error), "");
    assert_int_equal(ci_error_retryable(error), 0);
    assert_int_equal(ci_error_handle_usable(error), 1);
    cii_error_hint(&error, "choose %s", "another");
    cii_error_hint(&error, "choose %s", "one more");
    assert_string_equal(ci_error_hint(error), "choose one more");
    cii_error_mark(&error, true, true);
    assert_int_equal(ci_error_retryable(error), 1);
    assert_int_equal(ci_error_handle_usable(error), 0);
}

static void may_be_set_over_another_that_it_quotes(void **state) {
    (void)state;
    _cleanup_error_ ci_error *error = NULL;
    cii_error_set(&error, CI_ERR_IO, "os", "first");
    cii_error_set(&error, CI_ERR_LOST, "os", "after %s", ci_error_message(error));
    assert_string_equal(ci_error_message(error), "after first");
    assert_int_equal(ci_error_handle_usable(error), 0);
}

static void nobody_asked_for_it(void **state) {
    (void)state;
    assert_int_equal(cii_error_set(NULL, CI_ERR_IO, "os", "x"), CI_ERR_IO);
    assert_int_equal(cii_error_errno(NULL, ENOENT, "os", "x"), CI_ERR_NOTFOUND);
    assert_int_equal(cii_error_wrap(NULL, CI_ERR_IO, "x"), CI_ERR_IO);
    assert_int_equal(cii_error_nomem(NULL), CI_ERR_NOMEM);
    cii_error_hint(NULL, "x");
    cii_error_mark(NULL, true, true);
    assert_int_equal(
        ci_error_make(&(ci_error_fields){.struct_size = sizeof(ci_error_fields), .status = CI_ERR_BUSY}, NULL),
        CI_ERR_BUSY);
    ci_error *none = NULL;
    cii_error_hint(&none, "x");
    cii_error_mark(&none, true, true);
    assert_null(none);
}

static void context_comes_before_the_message(void **state) {
    (void)state;
    _cleanup_error_ ci_error *error = NULL;
    cii_error_errno(&error, ENOSPC, "os", "mount %s", "workspace");
    assert_int_equal(ci_error_errno(error), ENOSPC);
    assert_int_equal(cii_error_wrap(&error, CI_ERR_LIMIT, "open %s", "session"), CI_ERR_LIMIT);
    assert_string_equal(ci_error_message(error), "open session: mount workspace: No space left on device");
    assert_int_equal(ci_error_errno(error), ENOSPC);
    assert_int_equal(cii_error_wrap(&error, CI_ERR_LOST, "run"), CI_ERR_LOST);
    assert_int_equal(ci_error_status(error), CI_ERR_LOST);
    _cleanup_error_ ci_error *bare = NULL;
    cii_error_wrap(&bare, CI_ERR_NOTFOUND, "read a.txt");
    assert_string_equal(ci_error_message(bare), "read a.txt: not found");
}

static void errno_gives_the_status_in_every_locale(void **state) {
    (void)state;
    static const struct {
        int number;
        ci_status status;
    } cases[] = {
        {ENOENT, CI_ERR_NOTFOUND},  {EACCES, CI_ERR_PERMISSION},
        {EPERM, CI_ERR_PERMISSION}, {EROFS, CI_ERR_PERMISSION},
        {ENOMEM, CI_ERR_NOMEM},     {EEXIST, CI_ERR_EXISTS},
        {ENOSPC, CI_ERR_LIMIT},     {EDQUOT, CI_ERR_LIMIT},
        {EFBIG, CI_ERR_LIMIT},      {EMFILE, CI_ERR_LIMIT},
        {ENFILE, CI_ERR_LIMIT},     {EINVAL, CI_ERR_INVALID},
        {E2BIG, CI_ERR_INVALID},    {ENAMETOOLONG, CI_ERR_INVALID},
        {ELOOP, CI_ERR_INVALID},    {ENOTDIR, CI_ERR_INVALID},
        {EISDIR, CI_ERR_INVALID},   {ETIMEDOUT, CI_ERR_TIMEOUT},
        {EPIPE, CI_ERR_IO},         {123456, CI_ERR_IO},
    };
    for (size_t i = 0; i < CII_ELEMENTS(cases); i++)
        assert_int_equal(cii_status_of_errno(cases[i].number), cases[i].status);
    setlocale(LC_ALL, "de_DE.UTF-8"); /* where it is installed */
    FAILS(CI_ERR_NOTFOUND, "open x: No such file or directory", cii_error_errno(&error, ENOENT, "os", "open x"));
    FAILS(CI_ERR_IO, "open x: unknown error", cii_error_errno(&error, 123456, "os", "open x"));
    setlocale(LC_ALL, "C");
}

static void message_stays_one_line_of_utf8(void **state) {
    (void)state;
    FAILS(CI_ERR_IO, "a?b?c? \xc3\xa4?",
          cii_error_set(&error, CI_ERR_IO, "os",
                        "a\nb\x7f"
                        "c\xff \xc3\xa4\xc3"));
    _cleanup_error_ ci_error *error = NULL;
    cii_error_set(&error, CI_ERR_IO, "a domain that is longer than any domain has a right to be", "x");
    assert_int_equal(strlen(ci_error_domain(error)), 31);
    cii_error_wrap(&error, CI_ERR_IO, "read \"a\nb\"");
    assert_string_equal(ci_error_message(error), "read \"a?b\": x");
    cii_error_hint(&error, "rename\nit");
    assert_string_equal(ci_error_hint(error), "rename?it");
}

static void backends_make_them_from_fields(void **state) {
    (void)state;
    const ci_error_fields fields = {
        .struct_size = sizeof(fields),
        .domain = "mine",
        .message = "it burns",
        .hint = "extinguish it",
        .status = CI_ERR_LOST,
        .error_number = EIO,
        .http_status = 503,
        .retryable = 1,
        .handle_unusable = 1,
    };
    _cleanup_error_ ci_error *error = NULL;
    assert_int_equal(ci_error_make(&fields, &error), CI_ERR_LOST);
    _cleanup_error_ ci_error *copy = cii_error_copy(error);
    ci_error *both[] = {error, copy};
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(ci_error_status(both[i]), CI_ERR_LOST);
        assert_string_equal(ci_error_message(both[i]), "it burns");
        assert_string_equal(ci_error_hint(both[i]), "extinguish it");
        assert_string_equal(ci_error_domain(both[i]), "mine");
        assert_int_equal(ci_error_errno(both[i]), EIO);
        assert_int_equal(ci_error_http_status(both[i]), 503);
        assert_int_equal(ci_error_retryable(both[i]), 1);
        assert_int_equal(ci_error_handle_usable(both[i]), 0);
    }
    assert_ptr_not_equal(error, copy);
}

static void fields_that_make_no_error_still_make_one(void **state) {
    (void)state;
    const ci_error_fields bare = {.struct_size = sizeof(bare), .status = CI_ERR_BUSY};
    FAILS(CI_ERR_BUSY, "in use", ci_error_make(&bare, &error));
    const ci_error_fields not_one = {.struct_size = sizeof(not_one), .message = "all is well"};
    FAILS(CI_ERR_INTERNAL, "all is well", ci_error_make(&not_one, &error));
    FAILS(CI_ERR_INTERNAL, "a defect", ci_error_make(&(ci_error_fields){.status = CI_ERR_BUSY}, &error));
}

static void older_backend_with_shorter_fields_is_understood(void **state) {
    (void)state;
    const ci_error_fields old = {
        .struct_size = offsetof(ci_error_fields, http_status),
        .status = CI_ERR_IO,
        .message = "old",
        .http_status = 999, /* beyond what it says it has */
        .handle_unusable = 1,
    };
    _cleanup_error_ ci_error *error = NULL;
    assert_int_equal(ci_error_make(&old, &error), CI_ERR_IO);
    assert_int_equal(ci_error_http_status(error), 0);
    assert_int_equal(ci_error_handle_usable(error), 1);
}

static void every_status_has_a_name(void **state) {
    (void)state;
    assert_string_equal(ci_status_name(CI_OK), "CI_OK");
    assert_string_equal(ci_status_name(CI_ERR_NOMEM), "CI_ERR_NOMEM");
    assert_string_equal(ci_status_name(CI_ERR_INTERNAL), "CI_ERR_INTERNAL");
    for (ci_status status = CI_OK; status >= CI_ERR_INTERNAL; status--)
        assert_string_not_equal(ci_status_name(status), "CI_ERR_UNKNOWN");
    assert_string_equal(ci_status_name(CI_ERR_INTERNAL - 1), "CI_ERR_UNKNOWN");
    assert_string_equal(ci_status_name(1), "CI_ERR_UNKNOWN");
    assert_string_equal(ci_status_name(INT32_MIN), "CI_ERR_UNKNOWN");
}

static void lack_of_memory_has_an_error_of_its_own(void **state) {
    (void)state;
    ci_error *error = NULL;
    assert_int_equal(cii_error_nomem(&error), CI_ERR_NOMEM);
    ci_error_free(error);
    assert_int_equal(ci_error_status(error), CI_ERR_NOMEM); /* it is static: free has done nothing */
    cii_error_hint(&error, "x");
    cii_error_mark(&error, false, true);
    assert_int_equal(cii_error_wrap(&error, CI_ERR_NOMEM, "x"), CI_ERR_NOMEM);
    assert_string_equal(ci_error_message(error), "out of memory");
    assert_string_equal(ci_error_hint(error), "");
    assert_int_equal(ci_error_handle_usable(error), 1);
    assert_ptr_equal(cii_error_copy(error), error);
}

static ci_status scenario(void *user) {
    (void)user;
    _cleanup_error_ ci_error *error = NULL;
    assert_int_equal(cii_error_errno(&error, EIO, "os", "open %s", "x"), CI_ERR_IO);
    assert_non_null(error);
    cii_error_hint(&error, "y");
    assert_int_equal(cii_error_wrap(&error, CI_ERR_IO, "z"), CI_ERR_IO);
    _cleanup_error_ ci_error *copy = cii_error_copy(error);
    assert_non_null(copy);
    assert_true(strlen(ci_error_message(copy)) > 0);
    return ci_error_status(error) == CI_ERR_IO ? CI_OK : CI_ERR_NOMEM;
}

static void lack_of_memory_still_gives_an_error(void **state) {
    (void)state;
    assert_true(failmalloc_each(scenario, NULL) >= 8);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_error_reads_as_none),
        cmocka_unit_test(says_what_it_was_told),
        cmocka_unit_test(may_be_set_over_another_that_it_quotes),
        cmocka_unit_test(nobody_asked_for_it),
        cmocka_unit_test(context_comes_before_the_message),
        cmocka_unit_test(errno_gives_the_status_in_every_locale),
        cmocka_unit_test(message_stays_one_line_of_utf8),
        cmocka_unit_test(backends_make_them_from_fields),
        cmocka_unit_test(fields_that_make_no_error_still_make_one),
        cmocka_unit_test(older_backend_with_shorter_fields_is_understood),
        cmocka_unit_test(every_status_has_a_name),
        cmocka_unit_test(lack_of_memory_has_an_error_of_its_own),
        cmocka_unit_test(lack_of_memory_still_gives_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
