/* JSON on yajl.
 *
 * yajl takes every allocation to succeed. So the writer gives it the little it needs from a block of its own and has
 * the text go to a cii_buf, which can fail; and the reader leaves yajl by longjmp(3) when there is no memory, having
 * kept count of what yajl holds. Numbers are read and written here, as yajl does it by the locale of the host.
 *
 * Strings are decoded here too, where they lie, since yajl would hold each a second time: it gets what stands between
 * them, and an empty one in place of each. */
#include "base/json.h"

#include <inttypes.h>
#include <locale.h>
#include <math.h>
#include <setjmp.h>
#include <stdio.h>
#include <yajl/yajl_gen.h>
#include <yajl/yajl_parse.h>

#include "base/base64.h"
#include "base/utf8.h"

/* glibc has the "C" locale at hand: this neither allocates nor reads files. */
static locale_t c_locale(void) {
    return newlocale(LC_ALL_MASK, "C", (locale_t)0);
}

/* Copies text, each byte that is not UTF-8 replaced by U+FFFD. */
static ci_status append_clean(cii_buf *to, const char *text, size_t size) {
    ci_status status = CI_OK;
    for (size_t at = 0, run = 0; at < size && status == CI_OK; run = at) {
        for (size_t n; at < size && (n = cii_utf8_char(text + at, size - at)) > 0;)
            at += n;
        status = cii_buf_append(to, text + run, at - run);
        if (at < size && status == CI_OK) {
            status = cii_buf_append_str(to, "\xef\xbf\xbd");
            at++;
        }
    }
    return status;
}

/* --- writer ------------------------------------------------------------------------------------------------------- */

struct cii_json_writer {
    yajl_gen gen;
    cii_buf text;
    unsigned depth;
    bool failed;
    size_t block_used;
    max_align_t block[2048 / sizeof(max_align_t)]; /* what yajl_gen_alloc() needs: about 650 bytes */
};

static void *block_malloc(void *user, size_t size) {
    cii_json_writer *w = user;
    size_t count = (size + sizeof(max_align_t) - 1) / sizeof(max_align_t);
    if (count > CII_ELEMENTS(w->block) - w->block_used)
        return NULL;
    void *memory = w->block + w->block_used;
    w->block_used += count;
    return memory;
}

static void *block_realloc(_unused_ void *user, _unused_ void *memory, _unused_ size_t size) {
    return NULL; /* only its own text buffer grows, which is not used */
}

static void block_free(_unused_ void *user, _unused_ void *memory) {}

static void print(void *user, const char *text, size_t size) {
    cii_json_writer *w = user;
    if (!w->failed && cii_buf_append(&w->text, text, size) < 0)
        w->failed = true;
}

cii_json_writer *cii_json_writer_new(void) {
    cii_json_writer *w = calloc(1, sizeof(*w));
    if (!w)
        return NULL;
    w->gen = yajl_gen_alloc(&(yajl_alloc_funcs){block_malloc, block_realloc, block_free, w});
    yajl_gen_config(w->gen, yajl_gen_print_callback, print, w);
    return w;
}

void cii_json_writer_free(cii_json_writer *w) {
    if (!w)
        return;
    cii_buf_free(&w->text);
    free(w);
}

static void check(cii_json_writer *w, yajl_gen_status status) {
    if (status != yajl_gen_status_ok)
        w->failed = true;
}

void cii_json_begin_object(cii_json_writer *w) {
    if (!w)
        return;
    check(w, yajl_gen_map_open(w->gen));
    w->depth++;
}

void cii_json_end_object(cii_json_writer *w) {
    if (!w)
        return;
    check(w, yajl_gen_map_close(w->gen));
    w->depth--;
}

void cii_json_begin_array(cii_json_writer *w) {
    if (!w)
        return;
    check(w, yajl_gen_array_open(w->gen));
    w->depth++;
}

void cii_json_end_array(cii_json_writer *w) {
    if (!w)
        return;
    check(w, yajl_gen_array_close(w->gen));
    w->depth--;
}

void cii_json_key(cii_json_writer *w, const char *key) {
    cii_json_string(w, key);
}

void cii_json_string(cii_json_writer *w, const char *text) {
    if (text)
        cii_json_string_n(w, text, strlen(text));
    else
        cii_json_null(w);
}

void cii_json_string_n(cii_json_writer *w, const char *text, size_t size) {
    if (!w)
        return;
    _cleanup_buf_ cii_buf clean = {0};
    if (!cii_utf8_valid(text, size)) {
        if (append_clean(&clean, text, size) < 0) {
            w->failed = true;
            return;
        }
        text = clean.data;
        size = clean.size;
    }
    check(w, yajl_gen_string(w->gen, (const unsigned char *)text, size));
}

/* The opening quote is written as if it were a number, with what must stand before it; the rest needs no escapes and
 * goes straight into the text. */
void cii_json_base64(cii_json_writer *w, const void *data, size_t size) {
    if (!w)
        return;
    check(w, yajl_gen_number(w->gen, "\"", 1));
    if (!w->failed && (cii_base64_encode(&w->text, data, size) < 0 || cii_buf_append(&w->text, "\"", 1) < 0))
        w->failed = true;
}

void cii_json_raw(cii_json_writer *w, const char *json, size_t size) {
    if (w)
        check(w, yajl_gen_number(w->gen, json, size));
}

void cii_json_int(cii_json_writer *w, int64_t value) {
    char text[24];
    cii_json_raw(w, text, (size_t)snprintf(text, sizeof(text), "%" PRId64, value));
}

void cii_json_uint(cii_json_writer *w, uint64_t value) {
    char text[24];
    cii_json_raw(w, text, (size_t)snprintf(text, sizeof(text), "%" PRIu64, value));
}

/* The shorter of two forms that says the same: 0.1, not 0.10000000000000001. */
void cii_json_double(cii_json_writer *w, double value) {
    if (!isfinite(value)) {
        cii_json_null(w);
        return;
    }
    char text[40];
    locale_t before = uselocale(c_locale());
    int size = snprintf(text, sizeof(text), "%.15g", value);
    if (strtod(text, NULL) != value)
        size = snprintf(text, sizeof(text), "%.17g", value);
    uselocale(before);
    if (!strpbrk(text, ".e"))
        size += snprintf(text + size, sizeof(text) - (size_t)size, ".0");
    cii_json_raw(w, text, (size_t)size);
}

void cii_json_bool(cii_json_writer *w, bool value) {
    if (w)
        check(w, yajl_gen_bool(w->gen, value));
}

void cii_json_null(cii_json_writer *w) {
    if (w)
        check(w, yajl_gen_null(w->gen));
}

void cii_json_key_string(cii_json_writer *w, const char *key, const char *text) {
    if (!text)
        return;
    cii_json_key(w, key);
    cii_json_string(w, text);
}

void cii_json_key_int(cii_json_writer *w, const char *key, int64_t value) {
    cii_json_key(w, key);
    cii_json_int(w, value);
}

void cii_json_key_bool(cii_json_writer *w, const char *key, bool value) {
    cii_json_key(w, key);
    cii_json_bool(w, value);
}

char *cii_json_take(cii_json_writer *w, size_t *ret_size) {
    if (!w)
        return NULL;
    bool complete = !w->failed && w->depth == 0 && w->text.size > 0;
    char *text = complete ? cii_buf_take(&w->text, ret_size) : NULL;
    cii_json_writer_free(w);
    return text;
}

/* --- reader: values ----------------------------------------------------------------------------------------------- */

struct cii_json {
    cii_json_type type;
    const char *key; /* of a member of an object */
    size_t key_size;
    union {
        bool boolean;
        int64_t integer;
        double number;
        struct {
            const char *data;
            size_t size;
        } text;
        struct {
            cii_json *items;
            size_t count;
            size_t capacity;
        } list;
    };
};

struct tree {
    cii_json root; /* first, so that the caller's pointer is ours */
    char *text;    /* where its strings lie; NULL: in what is the caller's */
};

static bool is_list(const cii_json *value) {
    return value && (value->type == CII_JSON_ARRAY || value->type == CII_JSON_OBJECT);
}

static void clear(cii_json *value) {
    if (!is_list(value))
        return;
    for (size_t i = 0; i < value->list.count; i++)
        clear(&value->list.items[i]);
    free(value->list.items);
}

void cii_json_free(cii_json *root) {
    if (!root)
        return;
    clear(root);
    free(((struct tree *)root)->text);
    free(root);
}

cii_json_type cii_json_type_of(const cii_json *value) {
    return value ? value->type : CII_JSON_NULL;
}

const char *cii_json_type_name(const cii_json *value) {
    static const char *const names[] = {
        [CII_JSON_NULL] = "null",     [CII_JSON_BOOL] = "boolean",  [CII_JSON_INT] = "number",
        [CII_JSON_DOUBLE] = "number", [CII_JSON_STRING] = "string", [CII_JSON_ARRAY] = "array",
        [CII_JSON_OBJECT] = "object",
    };
    return names[cii_json_type_of(value)];
}

bool cii_json_bool_of(const cii_json *value) {
    return cii_json_type_of(value) == CII_JSON_BOOL && value->boolean;
}

int64_t cii_json_int_of(const cii_json *value) {
    switch (cii_json_type_of(value)) {
    case CII_JSON_INT:
        return value->integer;
    case CII_JSON_DOUBLE:
        if (value->number >= 0x1p63)
            return INT64_MAX;
        return value->number <= -0x1p63 ? INT64_MIN : (int64_t)value->number;
    default:
        return 0;
    }
}

double cii_json_double_of(const cii_json *value) {
    switch (cii_json_type_of(value)) {
    case CII_JSON_INT:
        return (double)value->integer;
    case CII_JSON_DOUBLE:
        return value->number;
    default:
        return 0;
    }
}

const char *cii_json_text_of(const cii_json *value, size_t *ret_size) {
    bool is_text = cii_json_type_of(value) == CII_JSON_STRING;
    if (ret_size)
        *ret_size = is_text ? value->text.size : 0;
    return is_text ? value->text.data : NULL;
}

size_t cii_json_count(const cii_json *value) {
    return is_list(value) ? value->list.count : 0;
}

const cii_json *cii_json_at(const cii_json *value, size_t index) {
    return index < cii_json_count(value) ? &value->list.items[index] : NULL;
}

const char *cii_json_key_at(const cii_json *value, size_t index, size_t *ret_size) {
    const cii_json *item = cii_json_at(value, index);
    if (ret_size)
        *ret_size = item ? item->key_size : 0;
    return item ? item->key : NULL;
}

const cii_json *cii_json_get(const cii_json *object, const char *key) {
    size_t size = strlen(key);
    for (size_t i = cii_json_count(object); i-- > 0;) { /* from the end: of equal keys the last one wins */
        const cii_json *item = &object->list.items[i];
        if (item->key && item->key_size == size && memcmp(item->key, key, size) == 0)
            return item;
    }
    return NULL;
}

/* --- reader: strings ----------------------------------------------------------------------------------------------- */

struct reader {
    jmp_buf no_memory;
    void *blocks[16]; /* what yajl has allocated; it needs half of them */
    cii_json **open;  /* lists that have begun, outermost first */
    unsigned depth;
    unsigned max_depth;
    size_t room; /* for so many values more */
    struct tree *tree;
    const char *string; /* decoded, and told to yajl as an empty one */
    size_t string_size;
    const char *key; /* read, its value not yet */
    size_t key_size;
    ci_status status;
    char reason[160];
};

static int fail(struct reader *r, ci_status status, const char *reason) {
    r->status = status;
    snprintf(r->reason, sizeof(r->reason), "%s", reason);
    return 0;
}

/* What stands behind "\u", at *at, which moves on to what is not a digit. */
static bool read_hex(const char *text, size_t size, size_t *at, uint32_t *ret_code) {
    *ret_code = 0;
    for (size_t end = *at + 4; *at < end; ++*at) {
        char c = *at < size ? text[*at] : '\0';
        int digit = c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
        if (digit < 0)
            return false;
        *ret_code = *ret_code << 4 | (uint32_t)digit;
    }
    return true;
}

static size_t put_char(char *to, uint32_t code) {
    size_t size = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    static const uint8_t lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = size; i-- > 1; code >>= 6)
        to[i] = (char)(0x80 | (code & 0x3f));
    *to = (char)(lead[size] | code);
    return size;
}

/* An escape, *at behind its backslash; it takes more bytes than what it stands for. A surrogate alone is U+FFFD. */
static bool decode_escape(struct reader *r, const char *text, size_t size, size_t *at, char **to) {
    static const char names[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
    char name = *at < size ? text[*at] : '\0';
    const char *simple = name ? strchr(names, name) : NULL;
    uint32_t code = 0, low;
    if (simple)
        code = (uint32_t)meant[simple - names];
    else if (name != 'u')
        return fail(r, CI_ERR_INVALID, *at < size ? "inside a string: an escape that is none" : "premature EOF");
    ++*at;
    if (!simple && !read_hex(text, size, at, &code))
        return fail(r, CI_ERR_INVALID, *at < size ? "invalid (non-hex) character behind '\\u'" : "premature EOF");
    size_t next = *at + 2;
    if (code >= 0xd800 && code < 0xdc00 && next < size && memcmp(text + *at, "\\u", 2) == 0 &&
        read_hex(text, size, &next, &low) && low >= 0xdc00 && low < 0xe000) {
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
        *at = next;
    } else if (code >= 0xd800 && code < 0xe000) {
        code = 0xfffd;
    }
    *to += put_char(*to, code);
    return true;
}

/* The string whose first quote is before *at, where it lies; *at moves on behind its last, or to what is wrong. */
static bool decode_string(struct reader *r, char *text, size_t size, size_t *at) {
    char *to = text + *at;
    r->string = to;
    for (;;) {
        size_t begin = *at;
        while (*at < size && text[*at] != '"' && text[*at] != '\\' && (unsigned char)text[*at] >= ' ')
            ++*at;
        memmove(to, text + begin, *at - begin);
        to += *at - begin;
        if (*at == size)
            return fail(r, CI_ERR_INVALID, "premature EOF");
        if (text[*at] == '"')
            break;
        if (text[*at] != '\\')
            return fail(r, CI_ERR_INVALID, "invalid character inside string");
        ++*at;
        if (!decode_escape(r, text, size, at, &to))
            return false;
    }
    ++*at;
    r->string_size = (size_t)(to - r->string);
    *to = '\0';
    return true;
}

/* --- reader: parsing ---------------------------------------------------------------------------------------------- */

#define SIZE_MAX_OF_TEXT ((size_t)1 << 30) /* yajl's own buffers double, and must not overflow */
#define DEPTH_DEFAULT 64u
#define COUNT_MAX ((size_t)1 << 20) /* values */

static void **find_block(struct reader *r, const void *memory) {
    for (size_t i = 0; i < CII_ELEMENTS(r->blocks); i++)
        if (r->blocks[i] == memory)
            return &r->blocks[i];
    longjmp(r->no_memory, 1);
}

static void *kept_realloc(void *user, void *memory, size_t size) {
    struct reader *r = user;
    void **block = find_block(r, memory);
    void *moved = realloc(memory, size);
    if (!moved)
        longjmp(r->no_memory, 1);
    return *block = moved;
}

static void *kept_malloc(void *user, size_t size) {
    return kept_realloc(user, NULL, size);
}

static void kept_free(void *user, void *memory) {
    if (!memory)
        return;
    *find_block(user, memory) = NULL;
    free(memory);
}

/* The place for the next value: the root, or one more in the innermost list; NULL when it has failed. Items of a list
 * move only while none of them is open, so the pointers in r->open stay good. */
static cii_json *place(struct reader *r, cii_json_type type) {
    cii_json *list = r->depth > 0 ? r->open[r->depth - 1] : NULL;
    if (r->room == 0) {
        fail(r, CI_ERR_LIMIT, "too many values");
        return NULL;
    }
    if (!list) {
        r->tree = calloc(1, sizeof(*r->tree));
    } else if (list->list.count == list->list.capacity) {
        size_t capacity = list->list.capacity ? list->list.capacity * 2 : 4;
        cii_json *items = reallocarray(list->list.items, capacity, sizeof(*items));
        if (items) {
            list->list.items = items;
            list->list.capacity = capacity;
        }
    }
    if (list ? list->list.count == list->list.capacity : !r->tree) {
        fail(r, CI_ERR_NOMEM, "out of memory");
        return NULL;
    }
    r->room--;
    cii_json *value = list ? &list->list.items[list->list.count++] : &r->tree->root;
    *value = (cii_json){.type = type, .key = TAKE_PTR(r->key), .key_size = r->key_size};
    return value;
}

static int on_null(void *user) {
    return place(user, CII_JSON_NULL) != NULL;
}

static int on_bool(void *user, int boolean) {
    cii_json *value = place(user, CII_JSON_BOOL);
    if (value)
        value->boolean = boolean;
    return value != NULL;
}

static int on_number(void *user, const char *digits, size_t size) {
    char text[512];
    if (size >= sizeof(text))
        return fail(user, CI_ERR_LIMIT, "a number of more than 511 characters");
    memcpy(text, digits, size);
    text[size] = '\0';
    cii_json *value = place(user, CII_JSON_INT);
    if (!value)
        return 0;
    errno = 0;
    if (!strpbrk(text, ".eE")) {
        value->integer = strtoll(text, NULL, 10);
        if (errno != ERANGE)
            return 1;
    }
    value->type = CII_JSON_DOUBLE;
    value->number = strtod_l(text, NULL, c_locale());
    return isfinite(value->number) ? 1 : fail(user, CI_ERR_INVALID, "a number beyond the range of double");
}

static int on_string(void *user, _unused_ const unsigned char *data, _unused_ size_t size) {
    struct reader *r = user;
    cii_json *value = place(r, CII_JSON_STRING);
    if (value) {
        value->text.data = r->string;
        value->text.size = r->string_size;
    }
    return value != NULL;
}

static int on_key(void *user, _unused_ const unsigned char *data, _unused_ size_t size) {
    struct reader *r = user;
    r->key = r->string;
    r->key_size = r->string_size;
    return 1;
}

static int begin(struct reader *r, cii_json_type type) {
    if (r->depth == r->max_depth)
        return fail(r, CI_ERR_LIMIT, "nested too deeply");
    cii_json *value = place(r, type);
    if (value)
        r->open[r->depth++] = value;
    return value != NULL;
}

static int on_begin_object(void *user) {
    return begin(user, CII_JSON_OBJECT);
}

static int on_begin_array(void *user) {
    return begin(user, CII_JSON_ARRAY);
}

static int on_end(void *user) {
    ((struct reader *)user)->depth--;
    return 1;
}

static const yajl_callbacks callbacks = {
    .yajl_null = on_null,
    .yajl_boolean = on_bool,
    .yajl_number = on_number,
    .yajl_string = on_string,
    .yajl_start_map = on_begin_object,
    .yajl_map_key = on_key,
    .yajl_end_map = on_end,
    .yajl_start_array = on_begin_array,
    .yajl_end_array = on_end,
};

/* yajl's own words, as in "parse error: after array element, I expect ',' or ']'\n". It has then read past what it did
 * not expect, unless it complains of something inside a string, word or number; *at goes back to it. */
static void take_reason(struct reader *r, yajl_handle handle, size_t *at) {
    unsigned char *text = yajl_get_error(handle, 0, NULL, 0);
    if (!text)
        return;
    const char *colon = strstr((const char *)text, ": ");
    fail(r, CI_ERR_INVALID, colon ? colon + 2 : (const char *)text);
    r->reason[strcspn(r->reason, "\n")] = '\0';
    bool past = text[0] == 'p' || strncmp(r->reason, "invalid char ", 13) == 0;
    if (past && *at > 0 && strcmp(r->reason, "premature EOF") != 0)
        --*at;
    yajl_free_error(handle, text);
}

/* Runs yajl over the text; *at: where it stopped. Nothing here lives in a variable across the jump. */
static void run(struct reader *r, char *text, size_t size, size_t *at) {
    if (setjmp(r->no_memory) != 0) {
        fail(r, CI_ERR_NOMEM, "out of memory");
        return;
    }
    yajl_handle handle = yajl_alloc(&callbacks, &(yajl_alloc_funcs){kept_malloc, kept_realloc, kept_free, r}, r);
    yajl_status status = yajl_status_ok;
    while (status == yajl_status_ok && *at < size) {
        const char *quote = memchr(text + *at, '"', size - *at);
        size_t between = quote ? (size_t)(quote - text) - *at : size - *at;
        status = yajl_parse(handle, (const unsigned char *)text + *at, between);
        *at += status == yajl_status_ok ? between : yajl_get_bytes_consumed(handle);
        if (status != yajl_status_ok || !quote)
            break;
        size_t begin = ++*at;
        if (!decode_string(r, text, size, at))
            return;
        status = yajl_parse(handle, (const unsigned char *)"\"\"", 2);
        if (status != yajl_status_ok)
            *at = begin;
    }
    if (status == yajl_status_ok)
        status = yajl_complete_parse(handle);
    if (status != yajl_status_ok && r->status == CI_OK)
        take_reason(r, handle, at);
}

/* UTF-8; spoils the text where it fails. */
static ci_status parse(struct reader *r, char *text, size_t size, size_t *at) {
    r->open = calloc(r->max_depth, sizeof(*r->open));
    if (!r->open)
        return CI_ERR_NOMEM;
    run(r, text, size, at);
    for (size_t i = 0; i < CII_ELEMENTS(r->blocks); i++)
        free(r->blocks[i]);
    free(r->open);
    if (r->status < 0 && r->tree)
        cii_json_free(&r->tree->root);
    return r->status;
}

ci_status cii_json_parse_in_place(char *text, size_t size, unsigned max_depth, size_t max_count, cii_json **ret_root) {
    struct reader r = {.max_depth = max_depth, .room = max_count};
    size_t at = 0;
    if (size > SIZE_MAX_OF_TEXT)
        return CI_ERR_LIMIT;
    ci_status status = cii_utf8_valid(text, size) ? parse(&r, text, size, &at) : CI_ERR_INVALID;
    if (status == CI_OK)
        *ret_root = &r.tree->root;
    return status;
}

static ci_status report(ci_error **ret_error, ci_status status, const char *text, size_t at, const char *reason) {
    size_t line = 1, column = 1;
    for (size_t i = 0; i < at; i++) {
        if (text[i] == '\n') {
            line++;
            column = 1;
        } else {
            column += (text[i] & 0xc0) != 0x80;
        }
    }
    return cii_error_set(ret_error, status, "json", "line %zu, column %zu: %s", line, column, reason);
}

ci_status cii_json_parse(const char *text, size_t size, unsigned max_depth, cii_json **ret_root, ci_error **ret_error) {
    if (size > SIZE_MAX_OF_TEXT)
        return cii_error_set(ret_error, CI_ERR_LIMIT, "json", "%zu bytes of JSON, at most %zu are read", size,
                             SIZE_MAX_OF_TEXT);
    size_t at = 0;
    if (!cii_utf8_valid(text, size)) {
        for (size_t n; (n = cii_utf8_char(text + at, size - at)) > 0;)
            at += n;
        return report(ret_error, CI_ERR_INVALID, text, at, "a byte that is not UTF-8");
    }
    struct reader r = {.max_depth = max_depth ? max_depth : DEPTH_DEFAULT, .room = COUNT_MAX};
    _cleanup_free_ char *copy = malloc(size + 1);
    if (!copy)
        return cii_error_nomem(ret_error);
    if (size > 0)
        memcpy(copy, text, size);
    ci_status status = parse(&r, copy, size, &at);
    if (status == CI_ERR_NOMEM)
        return cii_error_nomem(ret_error);
    if (status < 0)
        return report(ret_error, status, text, at, r.reason);
    r.tree->text = TAKE_PTR(copy);
    *ret_root = &r.tree->root;
    return CI_OK;
}
