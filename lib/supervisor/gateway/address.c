/* Addresses, and which of them are none of the public internet: the special-purpose registries of IANA (RFC 6890, 8190 and
 * what they register), and what clouds answer their machines on. */
#include "supervisor/gateway/address.h"

#include <arpa/inet.h>

static const uint8_t mapped_prefix[12] = {[10] = 0xff, [11] = 0xff};

address address_from_v4(const void *bytes) {
    address a;
    memcpy(a.s6_addr, mapped_prefix, sizeof mapped_prefix);
    memcpy(a.s6_addr + sizeof mapped_prefix, bytes, 4);
    return a;
}

bool address_from_v6(const void *bytes, address *ret) {
    address a;
    memcpy(a.s6_addr, bytes, sizeof a.s6_addr);
    if (address_is_v4(&a))
        return false;
    *ret = a;
    return true;
}

bool address_parse(const char *text, address *ret) {
    uint8_t bytes[16];
    if (inet_pton(AF_INET, text, bytes) == 1) {
        *ret = address_from_v4(bytes);
        return true;
    }
    return inet_pton(AF_INET6, text, bytes) == 1 && address_from_v6(bytes, ret);
}

void address_format(const address *a, char ret_text[ADDRESS_TEXT_SIZE]) {
    if (address_is_v4(a))
        inet_ntop(AF_INET, address_v4_bytes(a), ret_text, ADDRESS_TEXT_SIZE);
    else
        inet_ntop(AF_INET6, a->s6_addr, ret_text, ADDRESS_TEXT_SIZE);
}

bool address_is_v4(const address *a) {
    return memcmp(a->s6_addr, mapped_prefix, sizeof mapped_prefix) == 0;
}

const uint8_t *address_v4_bytes(const address *a) {
    return a->s6_addr + sizeof mapped_prefix;
}

bool address_equal(const address *a, const address *b) {
    return memcmp(a->s6_addr, b->s6_addr, sizeof a->s6_addr) == 0;
}

/* Whether two byte strings have the same first bits. */
static bool same_bits(const uint8_t *a, const uint8_t *b, unsigned bits) {
    unsigned whole = bits / 8, rest = bits % 8;
    return memcmp(a, b, whole) == 0 && (rest == 0 || ((a[whole] ^ b[whole]) >> (8 - rest)) == 0);
}

bool network_holds(const network *n, const address *a) {
    return address_is_v4(&n->base) == address_is_v4(a) && same_bits(n->base.s6_addr, a->s6_addr, n->bits);
}

/* The first that fits gives the reason: what is more special stands before what it lies in. */
static const struct {
    uint8_t base[4];
    uint8_t bits;
    const char *words;
} special_v4[] = {
    {{169, 254, 169, 254}, 32, "cloud metadata"},
    {{168, 63, 129, 16}, 32, "cloud metadata"},
    {{100, 100, 100, 200}, 32, "cloud metadata"},
    {{192, 0, 0, 192}, 32, "cloud metadata"},
    {{0, 0, 0, 0}, 8, "0.0.0.0/8 is this host"},
    {{10, 0, 0, 0}, 8, "10.0.0.0/8 is private"},
    {{100, 64, 0, 0}, 10, "100.64.0.0/10 is shared by a provider"},
    {{127, 0, 0, 0}, 8, "127.0.0.0/8 is loopback"},
    {{169, 254, 0, 0}, 16, "169.254.0.0/16 is link-local"},
    {{172, 16, 0, 0}, 12, "172.16.0.0/12 is private"},
    {{192, 0, 0, 0}, 24, "192.0.0.0/24 is reserved for protocols"},
    {{192, 0, 2, 0}, 24, "192.0.2.0/24 is documentation"},
    {{192, 88, 99, 0}, 24, "192.88.99.0/24 is 6to4 relays"},
    {{192, 168, 0, 0}, 16, "192.168.0.0/16 is private"},
    {{198, 18, 0, 0}, 15, "198.18.0.0/15 is benchmarking"},
    {{198, 51, 100, 0}, 24, "198.51.100.0/24 is documentation"},
    {{203, 0, 113, 0}, 24, "203.0.113.0/24 is documentation"},
    {{224, 0, 0, 0}, 4, "224.0.0.0/4 is multicast"},
    {{255, 255, 255, 255}, 32, "255.255.255.255 is broadcast"},
    {{240, 0, 0, 0}, 4, "240.0.0.0/4 is reserved"},
};

static const struct {
    uint8_t base[16];
    uint8_t bits;
    const char *words;
} special_v6[] = {
    {{0xfd, 0x00, 0x0e, 0xc2, [14] = 0x02, [15] = 0x54}, 128, "cloud metadata"},
    {{0xfd, 0x20, 0x00, 0xce, [14] = 0x02, [15] = 0x54}, 128, "cloud metadata"},
    {{0}, 128, "::/128 is no address"},
    {{[15] = 1}, 128, "::1/128 is loopback"},
    {{0}, 96, "::/96 embeds an IPv4 address"},
    {{[8] = 0xff, [9] = 0xff}, 96, "::ffff:0:0:0/96 embeds an IPv4 address"},
    {{0x00, 0x64, 0xff, 0x9b}, 96, "64:ff9b::/96 embeds an IPv4 address"},
    {{0x00, 0x64, 0xff, 0x9b, 0x00, 0x01}, 48, "64:ff9b:1::/48 embeds an IPv4 address"},
    {{0x01}, 64, "100::/64 is discarded"},
    {{0xfc}, 7, "fc00::/7 is private"},
    {{0xfe, 0x80}, 10, "fe80::/10 is link-local"},
    {{0xfe, 0xc0}, 10, "fec0::/10 is site-local"},
    {{0xff}, 8, "ff00::/8 is multicast"},
    {{0x20, 0x01, 0x00, 0x00}, 32, "2001::/32 embeds an IPv4 address (Teredo)"},
    {{0x20, 0x01, 0x00, 0x10}, 28, "2001:10::/28 is identifiers (ORCHID)"},
    {{0x20, 0x01, 0x00, 0x20}, 28, "2001:20::/28 is identifiers (ORCHID)"},
    {{0x20, 0x01, 0x00, 0x00}, 23, "2001::/23 is reserved for protocols"},
    {{0x20, 0x01, 0x0d, 0xb8}, 32, "2001:db8::/32 is documentation"},
    {{0x20, 0x02}, 16, "2002::/16 embeds an IPv4 address (6to4)"},
    {{0x3f, 0xff}, 20, "3fff::/20 is documentation"},
};
static const uint8_t global_unicast[1] = {0x20};

const char *address_special(const address *a) {
    if (address_is_v4(a)) {
        for (size_t i = 0; i < CII_ELEMENTS(special_v4); i++)
            if (same_bits(special_v4[i].base, address_v4_bytes(a), special_v4[i].bits))
                return special_v4[i].words;
        return NULL;
    }
    for (size_t i = 0; i < CII_ELEMENTS(special_v6); i++)
        if (same_bits(special_v6[i].base, a->s6_addr, special_v6[i].bits))
            return special_v6[i].words;
    return same_bits(global_unicast, a->s6_addr, 3) ? NULL : "outside 2000::/3, which alone is public";
}
