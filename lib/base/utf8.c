/* UTF-8. Most text is ASCII: eight bytes are looked at together until one of them is not. */
#include "base/utf8.h"

#define HIGH_BITS UINT64_C(0x8080808080808080)
#define LOW_BITS UINT64_C(0x0101010101010101)

static uint64_t load8(const unsigned char *p) {
    uint64_t word;
    memcpy(&word, p, sizeof(word));
    return word;
}

/* How many bytes a character has that begins with `lead`, and what its second byte may be (RFC 3629, section 4); 0: no
 * character begins so. */
static size_t lead_size(unsigned char lead, unsigned char *ret_low, unsigned char *ret_high) {
    *ret_low = 0x80;
    *ret_high = 0xbf;
    if (lead < 0x80)
        return 1;
    if (lead < 0xc2 || lead > 0xf4)
        return 0;
    if (lead < 0xe0)
        return 2;
    switch (lead) {
    case 0xe0:
        *ret_low = 0xa0; /* below: overlong */
        break;
    case 0xed:
        *ret_high = 0x9f; /* above: surrogates */
        break;
    case 0xf0:
        *ret_low = 0x90; /* below: overlong */
        break;
    case 0xf4:
        *ret_high = 0x8f; /* above: beyond U+10FFFF */
        break;
    }
    return lead < 0xf0 ? 3 : 4;
}

/* How many of the bytes that are there can be the character's; all of it: *ret_whole. */
static size_t char_prefix(const unsigned char *p, size_t size, bool *ret_whole) {
    unsigned char low, high;
    size_t length = size ? lead_size(p[0], &low, &high) : 0;
    *ret_whole = false;
    if (length == 0)
        return 0;
    size_t n = 1;
    for (; n < length && n < size; n++) {
        if (p[n] < low || p[n] > high)
            return n;
        low = 0x80;
        high = 0xbf;
    }
    *ret_whole = n == length;
    return n;
}

size_t cii_utf8_char(const void *data, size_t size) {
    bool whole;
    size_t n = char_prefix(data, size, &whole);
    return whole ? n : 0;
}

static bool valid(const unsigned char *p, size_t size, bool nul_allowed) {
    for (const unsigned char *end = p + size; p < end;) {
        while (end - p >= 8) {
            uint64_t word = load8(p);
            if ((word & HIGH_BITS) || (!nul_allowed && ((word - LOW_BITS) & HIGH_BITS)))
                break;
            p += 8;
        }
        if (p == end)
            break;
        size_t n = cii_utf8_char(p, (size_t)(end - p));
        if (n == 0 || (!nul_allowed && *p == 0))
            return false;
        p += n;
    }
    return true;
}

bool cii_utf8_valid(const void *data, size_t size) {
    return valid(data, size, true);
}

bool cii_utf8_is_text(const void *data, size_t size) {
    return valid(data, size, false);
}

size_t cii_utf8_incomplete_tail(const void *data, size_t size) {
    const unsigned char *p = data;
    for (size_t back = 1; back <= 3 && back <= size; back++) {
        bool whole;
        const unsigned char *lead = p + size - back;
        if ((*lead & 0xc0) == 0x80)
            continue;
        return char_prefix(lead, back, &whole) == back && !whole ? back : 0;
    }
    return 0;
}

size_t cii_utf8_continuation_head(const void *data, size_t size) {
    const unsigned char *p = data;
    size_t n = 0;
    while (n < 3 && n < size && (p[n] & 0xc0) == 0x80)
        n++;
    return n;
}
