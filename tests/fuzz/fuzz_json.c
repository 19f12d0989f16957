/* Parses any bytes; what was understood is written out again, and must then mean the same. */
#include <string.h>

#include "base/json.h"
#include "fuzz.h"

static void write_value(cii_json_writer *w, const cii_json *value) {
    size_t size;
    const char *text;
    switch (cii_json_type_of(value)) {
    case CII_JSON_NULL:
        cii_json_null(w);
        break;
    case CII_JSON_BOOL:
        cii_json_bool(w, cii_json_bool_of(value));
        break;
    case CII_JSON_INT:
        cii_json_int(w, cii_json_int_of(value));
        break;
    case CII_JSON_DOUBLE:
        cii_json_double(w, cii_json_double_of(value));
        break;
    case CII_JSON_STRING:
        text = cii_json_text_of(value, &size);
        FUZZ_CHECK(text && text[size] == '\0');
        cii_json_string_n(w, text, size);
        break;
    case CII_JSON_ARRAY:
        cii_json_begin_array(w);
        for (size_t i = 0; i < cii_json_count(value); i++)
            write_value(w, cii_json_at(value, i));
        cii_json_end_array(w);
        break;
    case CII_JSON_OBJECT:
        /* Keys are C strings to the writer, so those with a NUL only have to be readable. */
        cii_json_begin_object(w);
        for (size_t i = 0; i < cii_json_count(value); i++) {
            text = cii_json_key_at(value, i, &size);
            FUZZ_CHECK(text && text[size] == '\0');
            cii_json_key(w, text);
            write_value(w, cii_json_at(value, i));
        }
        cii_json_end_object(w);
        break;
    }
}

/* The text of a value; NULL when it has a number that JSON cannot say. */
static char *text_of(const cii_json *value, size_t *ret_size) {
    cii_json_writer *w = cii_json_writer_new();
    write_value(w, value);
    return cii_json_take(w, ret_size);
}

/* In memory of just that size it says the same. */
static void read_in_place(const uint8_t *data, size_t size, ci_status wanted, const char *wanted_text) {
    _cleanup_json_ cii_json *root = NULL;
    _cleanup_free_ char *copy = malloc(size + (size == 0));
    FUZZ_CHECK(copy);
    memcpy(copy, data, size);
    FUZZ_CHECK(cii_json_parse_in_place(copy, size, 64, 1 << 20, &root) == wanted);
    if (wanted == CI_OK) {
        size_t text_size;
        _cleanup_free_ char *text = text_of(root, &text_size);
        FUZZ_CHECK(text && strcmp(text, wanted_text) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    _cleanup_json_ cii_json *first = NULL;
    _cleanup_json_ cii_json *second = NULL;
    ci_error *error = NULL;
    ci_status status = cii_json_parse((const char *)data, size, 0, &first, &error);
    FUZZ_CHECK((status == CI_OK) == (first != NULL));
    FUZZ_CHECK(ci_error_status(error) == status);
    ci_error_free(error);
    if (status < 0) {
        read_in_place(data, size, status, NULL);
        return 0;
    }
    size_t first_size, second_size;
    _cleanup_free_ char *first_text = text_of(first, &first_size);
    FUZZ_CHECK(first_text);
    read_in_place(data, size, status, first_text);
    FUZZ_CHECK(cii_json_parse(first_text, first_size, 0, &second, NULL) == CI_OK);
    _cleanup_free_ char *second_text = text_of(second, &second_size);
    FUZZ_CHECK(second_text && first_size == second_size && memcmp(first_text, second_text, first_size) == 0);
    return 0;
}
