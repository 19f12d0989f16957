/* UTF-8 (RFC 3629): checking, and finding where a prefix may be cut. */
#ifndef CII_BASE_UTF8_H
#define CII_BASE_UTF8_H

#include "base/common.h"

/* Whether all of data is valid UTF-8 (no surrogates, no overlong forms, at most U+10FFFF). NUL is valid. */
bool cii_utf8_valid(const void *data, size_t size);
/* Valid and without NUL: what is handed to a model as text, not as base64. */
bool cii_utf8_is_text(const void *data, size_t size);
/* Bytes at the end of data that are the beginning of a character whose rest may still come: 0 to 3. */
size_t cii_utf8_incomplete_tail(const void *data, size_t size);
/* Bytes at the beginning of data that continue a character begun before it: 0 to 3. */
size_t cii_utf8_continuation_head(const void *data, size_t size);
/* Length of the valid character at the start of data; 0 when it is not valid (or is incomplete). */
size_t cii_utf8_char(const void *data, size_t size);

#endif
