/* Structs across the ABI: every option struct at each size that can come, tables, and structs that libci fills. */
#include "unit.h"

#include <ci/ci.h>
#include <ci/sys/sandbox.h>
#include <ci/sys/storage.h>

#include "base/options.h"

/* Every struct that a caller hands in by its size. */
static const struct {
    const char *name;
    size_t size;
} structs[] = {
#define STRUCT(type) \
    { #type, sizeof(type) }
    STRUCT(ci_error_fields),          STRUCT(ci_file_op_options),      STRUCT(ci_run_options),
    STRUCT(ci_sandbox_local_options), STRUCT(ci_session_options),      STRUCT(ci_storage_dir_options),
    STRUCT(ci_storage_s3_options),    STRUCT(ci_storage_list_options), STRUCT(ci_storage_read_options),
    STRUCT(ci_storage_write_options), STRUCT(ci_push_options),         STRUCT(ci_tool_options),
};

/* A caller's struct of the given size, all bytes `fill`, in exactly that much memory, so that a sanitizer sees a read
 * beyond it. */
static char *callers(size_t size, size_t struct_size, int fill) {
    char *options = malloc(size);
    assert_non_null(options);
    memset(options, fill, size);
    memcpy(options, &struct_size, sizeof(struct_size));
    return options;
}

static void smaller_ones_are_filled_with_zeros(void **state) {
    (void)state;
    for (size_t i = 0; i < CII_ELEMENTS(structs); i++) {
        size_t size = structs[i].size;
        size_t sizes[] = {sizeof(size_t), size - 1};
        for (size_t j = 0; j < CII_ELEMENTS(sizes); j++) {
            _cleanup_free_ char *from = callers(sizes[j], sizes[j], 'x');
            _cleanup_free_ char *own = callers(size, 0, '?');
            assert_int_equal(cii_options_copy(own, size, from, structs[i].name, NULL), CI_OK);
            assert_memory_equal(own, &size, sizeof(size));
            assert_memory_equal(own + sizeof(size), from + sizeof(size), sizes[j] - sizeof(size));
            for (size_t at = sizes[j]; at < size; at++)
                assert_int_equal(own[at], 0);
        }
    }
}

static void same_size_is_copied(void **state) {
    (void)state;
    for (size_t i = 0; i < CII_ELEMENTS(structs); i++) {
        size_t size = structs[i].size;
        _cleanup_free_ char *from = callers(size, size, 'x');
        _cleanup_free_ char *own = callers(size, 0, '?');
        assert_int_equal(cii_options_copy(own, size, from, structs[i].name, NULL), CI_OK);
        assert_memory_equal(own, from, size);
    }
}

static void larger_ones_pass_only_with_a_zero_tail(void **state) {
    (void)state;
    for (size_t i = 0; i < CII_ELEMENTS(structs); i++) {
        size_t size = structs[i].size;
        _cleanup_free_ char *from = callers(size + 8, size + 8, 'x');
        _cleanup_free_ char *own = callers(size, 0, '?');
        memset(from + size, 0, 8);
        assert_int_equal(cii_options_copy(own, size, from, structs[i].name, NULL), CI_OK);
        assert_memory_equal(own, &size, sizeof(size));
        assert_memory_equal(own + sizeof(size), from + sizeof(size), size - sizeof(size));
        for (size_t at = size; at < size + 8; at++) {
            from[at] = 1;
            memset(own, '?', size);
            FAILS(CI_ERR_INVALID, structs[i].name, cii_options_copy(own, size, from, structs[i].name, &error));
            assert_int_equal(own[0], '?');
            from[at] = 0;
        }
    }
}

static void none_gives_zeros(void **state) {
    (void)state;
    ci_run_options own, zero = {.struct_size = sizeof(zero)};
    memset(&own, '?', sizeof(own));
    assert_int_equal(cii_options_copy(&own, sizeof(own), NULL, "ci_run_options", NULL), CI_OK);
    assert_memory_equal(&own, &zero, sizeof(own));
}

static void sizes_that_cannot_be_are_refused(void **state) {
    (void)state;
    static const size_t sizes[] = {0, 1, sizeof(size_t) - 1, ((size_t)64 << 10) + 1, SIZE_MAX};
    for (size_t i = 0; i < CII_ELEMENTS(sizes); i++) {
        ci_run_options own, from = {.struct_size = sizes[i]};
        FAILS(CI_ERR_INVALID, "set it to sizeof(ci_run_options)",
              cii_options_copy(&own, sizeof(own), &from, "ci_run_options", &error));
    }
}

static void initializers_are_all_defaults(void **state) {
    (void)state;
#define INITIALIZED(type, init)                                 \
    do {                                                        \
        static type made = init; /* static: padding is zero */  \
        type own;                                               \
        cii_options_copy(&own, sizeof(own), NULL, #type, NULL); \
        assert_int_equal(made.struct_size, sizeof(type));       \
        assert_memory_equal(&made, &own, sizeof(type));         \
    } while (0)
    INITIALIZED(ci_progress, CI_PROGRESS_INIT);
    INITIALIZED(ci_session_options, CI_SESSION_OPTIONS_INIT);
    INITIALIZED(ci_run_options, CI_RUN_OPTIONS_INIT);
    INITIALIZED(ci_file_op_options, CI_FILE_OP_OPTIONS_INIT);
    INITIALIZED(ci_push_options, CI_PUSH_OPTIONS_INIT);
    INITIALIZED(ci_tool_options, CI_TOOL_OPTIONS_INIT);
    INITIALIZED(ci_sandbox_local_options, CI_SANDBOX_LOCAL_OPTIONS_INIT);
    INITIALIZED(ci_storage_dir_options, CI_STORAGE_DIR_OPTIONS_INIT);
    INITIALIZED(ci_storage_s3_options, CI_STORAGE_S3_OPTIONS_INIT);
    INITIALIZED(ci_storage_list_options, CI_STORAGE_LIST_OPTIONS_INIT);
    INITIALIZED(ci_storage_read_options, CI_STORAGE_READ_OPTIONS_INIT);
    INITIALIZED(ci_storage_write_options, CI_STORAGE_WRITE_OPTIONS_INIT);
    INITIALIZED(ci_file_info, CI_FILE_INFO_INIT);
    INITIALIZED(ci_item, CI_ITEM_INIT);
    INITIALIZED(ci_refusal, CI_REFUSAL_INIT);
}

/* --- tables ------------------------------------------------------------------------------------------------------- */

struct table {
    size_t struct_size;
    uint64_t required;
    int (*first)(void);
    int (*second)(void);
    int (*third)(void);
};

static int own(void) {
    return 1;
}
static int other(void) {
    return 2;
}
static const struct table defaults = {sizeof(defaults), 0, other, other, other};

static ci_status copy_table(struct table *ret_table, const void *from, ci_error **ret_error) {
    return cii_table_copy(ret_table, sizeof(*ret_table), from, &defaults, offsetof(struct table, first), "table",
                          ret_error);
}

static void missing_slots_become_defaults(void **state) {
    (void)state;
    struct table table;
    const struct table from = {.struct_size = offsetof(struct table, third), .required = 5, .first = own, .third = own};
    assert_int_equal(copy_table(&table, &from, NULL), CI_OK);
    assert_int_equal(table.struct_size, sizeof(table));
    assert_int_equal(table.required, 5);
    assert_int_equal(table.first(), 1);
    assert_int_equal(table.second(), 2); /* NULL */
    assert_int_equal(table.third(), 2);  /* beyond its size */
    const struct table torn = {.struct_size = sizeof(torn) - 1, .first = own, .third = own};
    assert_int_equal(copy_table(&table, &torn, NULL), CI_OK);
    assert_int_equal(table.third(), 2); /* half a slot is none */
}

static void unknown_tail_of_a_table_is_ignored(void **state) {
    (void)state;
    const struct {
        struct table known;
        int (*unknown)(void);
    } from = {{sizeof(from), 0, own, own, own}, own};
    struct table table;
    assert_int_equal(copy_table(&table, &from, NULL), CI_OK);
    assert_int_equal(table.third(), 1);
    assert_int_equal(table.struct_size, sizeof(table));
}

static void table_without_a_size_is_refused(void **state) {
    (void)state;
    struct table table;
    FAILS(CI_ERR_INVALID, "sizeof(table)", copy_table(&table, &(struct table){0}, &error));
    FAILS(CI_ERR_INVALID, "sizeof(table)", copy_table(&table, &(struct table){.struct_size = 8}, &error));
}

/* --- structs that libci fills ------------------------------------------------------------------------------------- */

static void structs_are_filled_up_to_the_callers_size(void **state) {
    (void)state;
    const ci_item item = {.struct_size = sizeof(item), .mime_type = "image/png", .data_size = 7, .stdout_offset = 9};
    struct {
        ci_item item;
        char tail[8];
    } to;
    memset(&to, '?', sizeof(to));
    to.item.struct_size = sizeof(item);
    assert_int_equal(cii_struct_fill(&to, &item, sizeof(item)), CI_OK);
    assert_memory_equal(&to.item, &item, sizeof(item));
    assert_int_equal(to.tail[0], '?');

    memset(&to, '?', sizeof(to)); /* an older caller */
    to.item.struct_size = offsetof(ci_item, stdout_offset);
    assert_int_equal(cii_struct_fill(&to, &item, sizeof(item)), CI_OK);
    assert_int_equal(to.item.data_size, 7);
    assert_int_equal(to.item.struct_size, offsetof(ci_item, stdout_offset));
    assert_memory_equal(&to.item.stdout_offset, "????????", 8);

    memset(&to, '?', sizeof(to)); /* a newer one */
    to.item.struct_size = sizeof(to);
    assert_int_equal(cii_struct_fill(&to, &item, sizeof(item)), CI_OK);
    assert_int_equal(to.item.stdout_offset, 9);
    assert_int_equal(to.item.struct_size, sizeof(to));
    assert_memory_equal(to.tail, "\0\0\0\0\0\0\0\0", 8);

    to.item.struct_size = 0;
    assert_int_equal(cii_struct_fill(&to, &item, sizeof(item)), CI_ERR_INVALID);
    to.item.struct_size = SIZE_MAX;
    assert_int_equal(cii_struct_fill(&to, &item, sizeof(item)), CI_ERR_INVALID);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(smaller_ones_are_filled_with_zeros),
        cmocka_unit_test(same_size_is_copied),
        cmocka_unit_test(larger_ones_pass_only_with_a_zero_tail),
        cmocka_unit_test(none_gives_zeros),
        cmocka_unit_test(sizes_that_cannot_be_are_refused),
        cmocka_unit_test(initializers_are_all_defaults),
        cmocka_unit_test(missing_slots_become_defaults),
        cmocka_unit_test(unknown_tail_of_a_table_is_ignored),
        cmocka_unit_test(table_without_a_size_is_refused),
        cmocka_unit_test(structs_are_filled_up_to_the_callers_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
