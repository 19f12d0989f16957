/* The growing buffer's contract. */
#include "unit.h"

#include "base/buf.h"
#include "failmalloc.h"

static void appended_bytes_are_there_and_end_with_nul(void **state) {
    (void)state;
    _cleanup_buf_ cii_buf buf;
    cii_buf_init(&buf, 0);
    assert_int_equal(cii_buf_append(&buf, "ab\0c", 4), CI_OK);
    assert_int_equal(cii_buf_append_str(&buf, "de"), CI_OK);
    assert_int_equal(cii_buf_printf(&buf, "%d-%s", 42, "x"), CI_OK);
    assert_int_equal(cii_buf_append(&buf, NULL, 0), CI_OK);
    assert_int_equal(buf.size, 10);
    assert_memory_equal(buf.data, "ab\0cde42-x", 11);
}

static void grows_to_megabytes_in_small_steps(void **state) {
    (void)state;
    _cleanup_buf_ cii_buf buf = {0};
    for (int i = 0; i < 300000; i++)
        assert_int_equal(cii_buf_append(&buf, "0123456789", 10), CI_OK);
    assert_int_equal(buf.size, 3000000);
    assert_memory_equal(buf.data + 2999990, "0123456789", 11);
}

static void maximum_can_be_reached_and_not_passed(void **state) {
    (void)state;
    _cleanup_buf_ cii_buf buf;
    cii_buf_init(&buf, 100);
    for (int i = 0; i < 10; i++)
        assert_int_equal(cii_buf_append(&buf, "0123456789", 10), CI_OK);
    assert_int_equal(cii_buf_append(&buf, "x", 1), CI_ERR_LIMIT);
    assert_int_equal(cii_buf_printf(&buf, "%d", 1), CI_ERR_LIMIT);
    assert_int_equal(cii_buf_reserve(&buf, SIZE_MAX, NULL), CI_ERR_LIMIT);
    assert_int_equal(cii_buf_append(&buf, "", 0), CI_OK);
    assert_int_equal(buf.size, 100);
    assert_int_equal(strlen(buf.data), 100);
    assert_true(buf.capacity <= 101);
}

static void sizes_that_overflow_are_refused(void **state) {
    (void)state;
    _cleanup_buf_ cii_buf buf = {0};
    assert_int_equal(cii_buf_append_str(&buf, "abc"), CI_OK);
    assert_int_equal(cii_buf_reserve(&buf, SIZE_MAX, NULL), CI_ERR_LIMIT);
    assert_int_equal(cii_buf_reserve(&buf, SIZE_MAX - 3, NULL), CI_ERR_LIMIT);
    assert_string_equal(buf.data, "abc");
}

static void reserved_room_counts_when_committed(void **state) {
    (void)state;
    _cleanup_buf_ cii_buf buf = {0};
    char *room;
    assert_int_equal(cii_buf_reserve(&buf, 1000, &room), CI_OK);
    assert_string_equal(buf.data, "");
    memcpy(room, "hello", 5);
    cii_buf_commit(&buf, 5);
    assert_string_equal(buf.data, "hello");
    assert_int_equal(buf.size, 5);
}

static void is_drained_from_the_front(void **state) {
    (void)state;
    _cleanup_buf_ cii_buf buf = {0};
    cii_buf_consume(&buf, 0);
    cii_buf_clear(&buf);
    cii_buf_append_str(&buf, "hello world");
    cii_buf_consume(&buf, 6);
    assert_string_equal(buf.data, "world");
    cii_buf_consume(&buf, 5);
    assert_int_equal(buf.size, 0);
    assert_string_equal(buf.data, "");
    cii_buf_append_str(&buf, "x");
    cii_buf_clear(&buf);
    assert_int_equal(buf.size, 0);
}

static void taken_bytes_leave_an_empty_buffer_that_still_works(void **state) {
    (void)state;
    _cleanup_buf_ cii_buf buf;
    cii_buf_init(&buf, 10);
    size_t size = 1;
    _cleanup_free_ char *nothing = cii_buf_take(&buf, &size);
    assert_string_equal(nothing, "");
    assert_int_equal(size, 0);
    cii_buf_append_str(&buf, "0123456789");
    _cleanup_free_ char *text = cii_buf_take(&buf, &size);
    assert_string_equal(text, "0123456789");
    assert_int_equal(size, 10);
    assert_null(buf.data);
    assert_int_equal(buf.max, 10);
    assert_int_equal(cii_buf_append_str(&buf, "0123456789a"), CI_ERR_LIMIT);
    cii_buf_free(&buf);
    cii_buf_free(&buf);
}

static ci_status fill(void *user) {
    cii_buf *buf = user;
    for (int i = 0; i < 20; i++) {
        size_t size = buf->size;
        ci_status status = cii_buf_printf(buf, "%064d", i);
        if (status < 0) {
            assert_int_equal(buf->size, size);
            return status;
        }
        assert_int_equal(buf->data[buf->size], 0);
    }
    return CI_OK;
}

static void lack_of_memory_changes_nothing(void **state) {
    (void)state;
    _cleanup_buf_ cii_buf buf = {0};
    assert_true(failmalloc_each(fill, &buf) >= 2);
    failmalloc_at(1); /* taking shrinks; it is no failure when it cannot */
    _cleanup_free_ char *text = cii_buf_take(&buf, NULL);
    failmalloc_stop();
    assert_non_null(text);
    failmalloc_at(1);
    assert_null(cii_buf_take(&buf, NULL));
    failmalloc_stop();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(appended_bytes_are_there_and_end_with_nul),
        cmocka_unit_test(grows_to_megabytes_in_small_steps),
        cmocka_unit_test(maximum_can_be_reached_and_not_passed),
        cmocka_unit_test(sizes_that_overflow_are_refused),
        cmocka_unit_test(reserved_room_counts_when_committed),
        cmocka_unit_test(is_drained_from_the_front),
        cmocka_unit_test(taken_bytes_leave_an_empty_buffer_that_still_works),
        cmocka_unit_test(lack_of_memory_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
