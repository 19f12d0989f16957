/* Base64. Room for the whole is made first, so that a failure leaves the buffer as it was. */
#include "base/base64.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

ci_status cii_base64_encode(cii_buf *to, const void *data, size_t size) {
    if (size > SIZE_MAX / 4 * 3 - 3)
        return CI_ERR_LIMIT;
    size_t encoded_size = (size + 2) / 3 * 4;
    char *out;
    ci_status status = cii_buf_reserve(to, encoded_size, &out);
    if (status < 0)
        return status;
    const unsigned char *in = data;
    for (; size >= 3; size -= 3, in += 3, out += 4) {
        uint32_t group = (uint32_t)in[0] << 16 | (uint32_t)in[1] << 8 | in[2];
        out[0] = alphabet[group >> 18];
        out[1] = alphabet[group >> 12 & 63];
        out[2] = alphabet[group >> 6 & 63];
        out[3] = alphabet[group & 63];
    }
    if (size > 0) {
        uint32_t group = (uint32_t)in[0] << 16 | (size == 2 ? (uint32_t)in[1] << 8 : 0);
        out[0] = alphabet[group >> 18];
        out[1] = alphabet[group >> 12 & 63];
        out[2] = size == 2 ? alphabet[group >> 6 & 63] : '=';
        out[3] = '=';
    }
    cii_buf_commit(to, encoded_size);
    return CI_OK;
}

enum { SPACE = 64, PADDING = 65, BAD = 66 };

static unsigned value_of(unsigned char c) {
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26u;
    if (c >= '0' && c <= '9')
        return c - '0' + 52u;
    switch (c) {
    case '+':
        return 62;
    case '/':
        return 63;
    case '=':
        return PADDING;
    case ' ':
    case '\t':
    case '\r':
    case '\n':
        return SPACE;
    default:
        return BAD;
    }
}

static void fill_table(unsigned char table[256]) {
    for (unsigned c = 0; c < 256; c++)
        table[c] = (unsigned char)value_of((unsigned char)c);
}

static size_t decoded_size_of(const unsigned char table[256], const char *text, size_t size) {
    size_t count = 0;
    for (size_t i = 0; i < size; i++)
        count += table[(unsigned char)text[i]] < SPACE;
    return count / 4 * 3 + count % 4 * 3 / 4;
}

static ci_status refuse(ci_error **ret_error, size_t at, const char *why) {
    return cii_error_set(ret_error, CI_ERR_INVALID, "base64", "base64, byte %zu: %s", at, why);
}

static ci_status decode(char *out, const unsigned char table[256], const char *text, size_t size,
                        ci_error **ret_error) {
    uint32_t group = 0;
    unsigned count = 0, padding = 0;
    for (size_t i = 0; i < size; i++) {
        unsigned value = table[(unsigned char)text[i]];
        if (value == SPACE)
            continue;
        if (value == BAD)
            return refuse(ret_error, i, "a character that does not belong");
        if (value == PADDING) {
            if (count < 2 || count + ++padding > 4)
                return refuse(ret_error, i, "padding out of place");
            continue;
        }
        if (padding > 0)
            return refuse(ret_error, i, "characters after the padding");
        group = group << 6 | value;
        if (++count == 4) {
            *out++ = (char)(group >> 16);
            *out++ = (char)(group >> 8);
            *out++ = (char)group;
            count = 0;
            group = 0;
        }
    }
    if (count == 0)
        return CI_OK;
    if (count + padding != 4)
        return refuse(ret_error, size, "it ends early, or without its padding");
    if (group & (count == 3 ? 3u : 15u))
        return refuse(ret_error, size, "its last character says more than it may");
    if (count == 3)
        *out++ = (char)(group >> 10);
    *out = (char)(group >> (count == 3 ? 2 : 4));
    return CI_OK;
}

ci_status cii_base64_decode(cii_buf *to, const char *text, size_t size, ci_error **ret_error) {
    unsigned char table[256];
    fill_table(table);
    size_t decoded_size = decoded_size_of(table, text, size);
    char *room;
    ci_status status = cii_buf_reserve(to, decoded_size, &room);
    if (status < 0)
        return cii_error_set(ret_error, status, "base64", "base64: no room for %zu bytes", decoded_size);
    status = decode(room, table, text, size, ret_error);
    if (status == CI_OK)
        cii_buf_commit(to, decoded_size);
    else
        *room = '\0';
    return status;
}

/* What is written is behind what is read. */
ci_status cii_base64_decode_in_place(char *text, size_t size, size_t *ret_size) {
    unsigned char table[256];
    fill_table(table);
    size_t decoded_size = decoded_size_of(table, text, size);
    ci_status status = decode(text, table, text, size, NULL);
    if (status == CI_OK)
        *ret_size = decoded_size;
    return status;
}
