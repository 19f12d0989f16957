/* Strings, string lists, identifiers and names. */
#include "base/str.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/random.h>

char *cii_str_printf(const char *format, ...) {
    va_list args;
    va_start(args, format);
    char *text = NULL;
    int size = vasprintf(&text, format, args);
    va_end(args);
    return size < 0 ? NULL : text;
}

bool cii_str_starts(const char *text, const char *prefix) {
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

bool cii_str_ends(const char *text, const char *suffix) {
    size_t size = strlen(text), suffix_size = strlen(suffix);
    return size >= suffix_size && memcmp(text + size - suffix_size, suffix, suffix_size) == 0;
}

char **cii_strv_copy(const char *const *list) {
    size_t count = cii_strv_count(list);
    _cleanup_strv_ char **copy = calloc(count + 1, sizeof(*copy));
    if (!copy)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        copy[i] = strdup(list[i]);
        if (!copy[i])
            return NULL;
    }
    return TAKE_PTR(copy);
}

void cii_strv_free(char **list) {
    for (char **item = list; item && *item; item++)
        free(*item);
    free(list);
}

size_t cii_strv_count(const char *const *list) {
    size_t count = 0;
    while (list && list[count])
        count++;
    return count;
}

/* Not isalnum(3): that one asks the locale. */
static bool is_id_char(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
}

bool cii_id_valid(const char *id) {
    size_t size = 0;
    while (is_id_char(id[size]) && size <= 64)
        size++;
    return size >= 1 && size <= 64 && id[size] == '\0';
}

ci_status cii_id_random(char ret_id[27]) {
    static const char letters[] = "0123456789abcdefghjkmnpqrstvwxyz"; /* 32, none that is taken for another */
    unsigned char random[26];
    ssize_t n;
    do {
        n = getrandom(random, sizeof(random), 0);
    } while (n < 0 && errno == EINTR);
    if (n != (ssize_t)sizeof(random))
        return CI_ERR_IO;
    for (size_t i = 0; i < sizeof(random); i++)
        ret_id[i] = letters[random[i] & 31];
    ret_id[sizeof(random)] = '\0';
    return CI_OK;
}

/* --- the nearest name --------------------------------------------------------------------------------------------- */

#define NEAREST_MAX 64u

static unsigned least(unsigned a, unsigned b, unsigned c) {
    unsigned ab = CII_MIN(a, b);
    return CII_MIN(ab, c);
}

/* How many letters must be put in, left out, changed or swapped with their neighbour; case does not count. */
static unsigned edit_distance(const char *a, size_t a_size, const char *b, size_t b_size) {
    unsigned rows[3][NEAREST_MAX + 1];
    unsigned *before = rows[0], *above = rows[1], *row = rows[2];
    for (unsigned j = 0; j <= b_size; j++)
        row[j] = j;
    for (size_t i = 1; i <= a_size; i++) {
        unsigned *spare = before;
        before = above;
        above = row;
        row = spare;
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= b_size; j++) {
            unsigned changed = (a[i - 1] | 32) != (b[j - 1] | 32);
            row[j] = least(above[j] + 1, row[j - 1] + 1, above[j - 1] + changed);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = CII_MIN(row[j], before[j - 2] + 1);
        }
    }
    return row[b_size];
}

const char *cii_nearest(const char *given, const char *const *names, size_t count) {
    const char *nearest = NULL;
    size_t given_size = strlen(given);
    unsigned best = NEAREST_MAX;
    for (size_t i = 0; i < count; i++) {
        size_t size = strlen(names[i]);
        if (given_size > NEAREST_MAX || size > NEAREST_MAX)
            continue;
        unsigned distance = edit_distance(given, given_size, names[i], size);
        size_t longer = CII_MAX(given_size, size);
        if (distance <= CII_MAX(longer / 3, (size_t)1) && distance < longer && distance < best) {
            best = distance;
            nearest = names[i];
        }
    }
    return nearest;
}

/* --- numbers ------------------------------------------------------------------------------------------------------ */

void cii_hex(const void *data, size_t size, char *ret_hex) {
    static const char digits[] = "0123456789abcdef";
    const unsigned char *p = data;
    for (size_t i = 0; i < size; i++) {
        *ret_hex++ = digits[p[i] >> 4];
        *ret_hex++ = digits[p[i] & 15];
    }
    *ret_hex = '\0';
}

/* The power of two that "", "B", "K", "KB", "KiB", "m" and so on stand for; -1: none. */
static int parse_unit(const char *text) {
    static const char letters[] = "kmgtpe";
    if (*text == '\0')
        return 0;
    int shift = 0;
    const char *letter = strchr(letters, *text | 32);
    if (letter) {
        shift = 10 * (int)(letter - letters + 1);
        text++;
        if (*text == 'i')
            return strcasecmp(text, "ib") == 0 ? shift : -1;
    }
    return *text == '\0' || strcasecmp(text, "b") == 0 ? shift : -1;
}

bool cii_parse_size(const char *text, uint64_t *ret_bytes) {
    uint64_t whole = 0;
    double fraction = 0, weight = 0.1;
    if (!isdigit((unsigned char)*text))
        return false;
    for (; *text >= '0' && *text <= '9'; text++)
        if (__builtin_mul_overflow(whole, 10, &whole) || __builtin_add_overflow(whole, *text - '0', &whole))
            return false;
    bool has_fraction = *text == '.';
    if (has_fraction)
        for (text++; *text >= '0' && *text <= '9'; text++, weight /= 10)
            fraction += (*text - '0') * weight;
    int shift = parse_unit(text);
    if (shift < 0 || (has_fraction && (shift == 0 || text[-1] == '.')))
        return false;
    uint64_t unit = UINT64_C(1) << shift, bytes;
    if (__builtin_mul_overflow(whole, unit, &bytes) ||
        __builtin_add_overflow(bytes, (uint64_t)(fraction * (double)unit), &bytes))
        return false;
    *ret_bytes = bytes;
    return true;
}
