/* JSON (RFC 8259) on yajl: a writer that builds text, and a reader that parses into a tree.
 *
 * Writer: calls in document order; the first failure (memory) sticks and is reported by cii_json_take(), so that the
 * calls between need no checks. Strings that are not UTF-8 get U+FFFD for each bad byte.
 *
 * Reader: bounded by bytes, depth and the count of values; an error says line, column and what was expected. Duplicate
 * keys: the last one wins. Numbers keep integer and double apart. Strings may hold NUL: sizes count. */
#ifndef CII_BASE_JSON_H
#define CII_BASE_JSON_H

#include "base/buf.h"

typedef struct cii_json_writer cii_json_writer;

cii_json_writer *cii_json_writer_new(void); /* NULL without memory; the calls below accept NULL and do nothing */
void cii_json_writer_free(cii_json_writer *w);
void cii_json_begin_object(cii_json_writer *w);
void cii_json_end_object(cii_json_writer *w);
void cii_json_begin_array(cii_json_writer *w);
void cii_json_end_array(cii_json_writer *w);
void cii_json_key(cii_json_writer *w, const char *key);
void cii_json_string(cii_json_writer *w, const char *text); /* NULL gives null */
void cii_json_string_n(cii_json_writer *w, const char *text, size_t size);
void cii_json_base64(cii_json_writer *w, const void *data, size_t size);
void cii_json_int(cii_json_writer *w, int64_t value);
void cii_json_uint(cii_json_writer *w, uint64_t value);
void cii_json_double(cii_json_writer *w, double value); /* not finite: null */
void cii_json_bool(cii_json_writer *w, bool value);
void cii_json_null(cii_json_writer *w);
void cii_json_raw(cii_json_writer *w, const char *json, size_t size); /* one value, known to be valid */
/* Key and value in one. */
void cii_json_key_string(cii_json_writer *w, const char *key, const char *text); /* NULL: writes nothing */
void cii_json_key_int(cii_json_writer *w, const char *key, int64_t value);
void cii_json_key_bool(cii_json_writer *w, const char *key, bool value);
/* The text, malloc'd; NULL when a call failed or the document is not complete. Frees the writer. */
char *cii_json_take(cii_json_writer *w, size_t *ret_size);

static inline void cii_json_writer_free_p(cii_json_writer **w) {
    cii_json_writer_free(*w);
}
#define _cleanup_json_writer_ _cleanup_(cii_json_writer_free_p)

typedef enum cii_json_type {
    CII_JSON_NULL,
    CII_JSON_BOOL,
    CII_JSON_INT,    /* fits int64_t */
    CII_JSON_DOUBLE, /* any other number */
    CII_JSON_STRING,
    CII_JSON_ARRAY,
    CII_JSON_OBJECT,
} cii_json_type;

typedef struct cii_json cii_json; /* a value; lives as long as its root */

/* Parses one value and nothing after it but white space. max_depth 0: 64; values: 1,048,576. */
ci_status cii_json_parse(const char *text, size_t size, unsigned max_depth, cii_json **ret_root, ci_error **ret_error);
/* The same where the text lies, which its strings are then parts of: nothing of them is held twice. The text must outlive the
 * root, and is spoilt by a failure: CI_ERR_INVALID, CI_ERR_LIMIT, CI_ERR_NOMEM. */
ci_status cii_json_parse_in_place(char *text, size_t size, unsigned max_depth, size_t max_count, cii_json **ret_root);
void cii_json_free(cii_json *root);
cii_json_type cii_json_type_of(const cii_json *value); /* NULL: CII_JSON_NULL */
const char *cii_json_type_name(const cii_json *value); /* "null", "boolean", "number", "string", "array", "object" */
bool cii_json_bool_of(const cii_json *value);
int64_t cii_json_int_of(const cii_json *value);                        /* a double is truncated; else 0 */
double cii_json_double_of(const cii_json *value);                      /* else 0 */
const char *cii_json_text_of(const cii_json *value, size_t *ret_size); /* NUL-ended; NULL when not a string */
size_t cii_json_count(const cii_json *value);                          /* of an array or object */
const cii_json *cii_json_at(const cii_json *value, size_t index);      /* array: element; object: value; else NULL */
const char *cii_json_key_at(const cii_json *value, size_t index, size_t *ret_size);
const cii_json *cii_json_get(const cii_json *object, const char *key); /* NULL when absent */

static inline void cii_json_free_p(cii_json **root) {
    cii_json_free(*root);
}
#define _cleanup_json_ _cleanup_(cii_json_free_p)

#endif
