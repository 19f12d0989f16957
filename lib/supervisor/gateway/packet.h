/* IP packets of a session: finding what is in one, turning it to another address, and making the few that the gateway
 * sends by itself. Sans-I/O: every byte that comes is hostile, nothing beyond `size` is read. RFC 791, 8200, 9293, 768,
 * 792, 4443. */
#ifndef CII_SUPERVISOR_PACKET_H
#define CII_SUPERVISOR_PACKET_H

#include "supervisor/gateway/address.h"

/* Where a packet comes from or goes to. */
typedef struct endpoint {
    address address;
    uint16_t port;
} endpoint;

bool endpoint_equal(const endpoint *a, const endpoint *b);
/* Of two ends, for a table of a power of two. */
uint32_t endpoint_hash(const endpoint *a, const endpoint *b);

typedef struct packet {
    uint8_t *ip; /* the whole, from the IP header on; `size` bytes */
    size_t size;
    uint8_t *transport; /* TCP or UDP header */
    uint8_t *payload;   /* UDP: what follows its header; TCP: what follows the options */
    size_t payload_size;
    endpoint source, target;
    bool v6;
    uint8_t protocol; /* IPPROTO_TCP or IPPROTO_UDP */
    uint8_t tcp_flags;
} packet;

enum { TCP_FIN = 1, TCP_SYN = 2, TCP_RST = 4, TCP_ACK = 16 };

/* False: not a whole, unfragmented TCP or UDP packet. IPv4 options are skipped; IPv6 extension headers are not. */
bool packet_parse(uint8_t *data, size_t size, packet *ret);

/* Of the first byte of a TCP packet. */
uint32_t packet_sequence(const packet *p);

/* Writes other ends into a packet of the same IP version. `partial`: its checksum covers only the pseudo header, as the
 * kernel leaves it for a device that computes the rest. */
void packet_readdress(packet *p, const endpoint *source, const endpoint *target, bool partial);

#define PACKET_HEADERS_MAX 128 /* of those that are made here */

/* Make a packet in `out` (room for PACKET_HEADERS_MAX and the payload) and return its size. */
/* A datagram; its checksum is partial: *ret_transport says where its UDP header begins. */
size_t packet_make_udp(uint8_t *out, const endpoint *source, const endpoint *target, const uint8_t *payload,
                       size_t payload_size, size_t *ret_transport);
/* The answer to a connection attempt that nobody takes. */
size_t packet_make_reset(uint8_t *out, const packet *to);
/* "Port unreachable", to a datagram. */
size_t packet_make_unreachable(uint8_t *out, const packet *to);
/* "Host unreachable", likewise, or to a connection attempt. */
size_t packet_make_no_route(uint8_t *out, const packet *to);

#endif
