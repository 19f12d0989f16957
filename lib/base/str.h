/* Strings, string lists, identifiers and names. */
#ifndef CII_BASE_STR_H
#define CII_BASE_STR_H

#include "base/error.h"

char *cii_str_printf(const char *format, ...) _printf_(1, 2); /* malloc'd; NULL without memory */
bool cii_str_starts(const char *text, const char *prefix);
bool cii_str_ends(const char *text, const char *suffix);

/* NULL-ended lists. Copies are one allocation each string plus one for the list. */
char **cii_strv_copy(const char *const *list); /* NULL without memory; of NULL: an empty list */
void cii_strv_free(char **list);
size_t cii_strv_count(const char *const *list);
static inline void cii_strv_free_p(char ***list) {
    cii_strv_free(*list);
}
#define _cleanup_strv_ _cleanup_(cii_strv_free_p)

/* 1 to 64 of [A-Za-z0-9_-]. */
bool cii_id_valid(const char *id);
/* 26 characters of lower-case letters and digits from getrandom(2), NUL-ended. */
ci_status cii_id_random(char ret_id[27]);

/* The name nearest to `given` among `count` names by edit distance; NULL when none is near enough to be meant. */
const char *cii_nearest(const char *given, const char *const *names, size_t count);

/* Lower-case hex, NUL-ended; ret_hex has room for 2 * size + 1. */
void cii_hex(const void *data, size_t size, char *ret_hex);

/* "512", "64K", "1.5G", "2GiB": powers of 1024. False when it is none, or does not fit. */
bool cii_parse_size(const char *text, uint64_t *ret_bytes);

#endif
