/* Addresses and names as the gateway has them. An IPv4 address is held in its v4-mapped form (::ffff:a.b.c.d), so that one
 * type does for both. An IPv6 packet or record that holds a mapped address is therefore none: address_from_v6() refuses
 * it. */
#ifndef CII_SUPERVISOR_GATEWAY_ADDRESS_H
#define CII_SUPERVISOR_GATEWAY_ADDRESS_H

#include <netinet/in.h>

#include "base/common.h"

typedef struct in6_addr address;

#define NAME_SIZE 254 /* a name in text form, without a dot at its end, and its NUL */
#define ADDRESS_TEXT_SIZE INET6_ADDRSTRLEN
/* Why address_from_v6() refuses, in the words of a verdict. */
#define ADDRESS_MAPPED_RULE "::ffff:0:0/96 embeds an IPv4 address"

/* From 4 bytes in network order. */
address address_from_v4(const void *bytes);
/* From 16 bytes in network order; false for a mapped address. */
bool address_from_v6(const void *bytes, address *ret);
/* "10.0.0.1" or "2001:db8::1"; not a mapped one, no zone. */
bool address_parse(const char *text, address *ret);
void address_format(const address *a, char ret_text[ADDRESS_TEXT_SIZE]);
bool address_is_v4(const address *a);
/* The 4 bytes of an IPv4 address, in network order. */
const uint8_t *address_v4_bytes(const address *a);
bool address_equal(const address *a, const address *b);

/* Addresses whose first bits are those of `base`. bits counts within the mapped form: 10.0.0.0/8 has 104. */
typedef struct network {
    address base;
    uint8_t bits;
} network;
/* An IPv6 network never holds an IPv4 address. */
bool network_holds(const network *n, const address *a);

/* Why an address is none of the public internet ("10.0.0.0/8 is private"), or NULL: it is public. */
const char *address_special(const address *a);

#endif
