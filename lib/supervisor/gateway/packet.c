#include "supervisor/gateway/packet.h"

#define V4_HEADER 20
#define V6_HEADER 40
#define TCP_HEADER 20
#define UDP_HEADER 8
#define ICMP_HEADER 8
#define QUOTE 28 /* IPv4 header and eight bytes: enough to find the socket (RFC 792) */

static uint16_t get16(const uint8_t *at) {
    return (uint16_t)(at[0] << 8 | at[1]);
}

static void put16(uint8_t *at, uint16_t value) {
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

static uint32_t get32(const uint8_t *at) {
    return (uint32_t)get16(at) << 16 | get16(at + 2);
}

static void put32(uint8_t *at, uint32_t value) {
    put16(at, (uint16_t)(value >> 16));
    put16(at + 2, (uint16_t)value);
}

bool endpoint_equal(const endpoint *a, const endpoint *b) {
    return a->port == b->port && address_equal(&a->address, &b->address);
}

uint32_t endpoint_hash(const endpoint *a, const endpoint *b) {
    const address *addresses[] = {&a->address, &b->address};
    uint32_t hash = (uint32_t)a->port << 16 | b->port;
    for (size_t i = 0; i < 8; i++) {
        uint32_t word;
        memcpy(&word, addresses[i / 4]->s6_addr + i % 4 * 4, sizeof word);
        hash = (hash ^ word) * 0x9e3779b1u;
        hash ^= hash >> 15;
    }
    return hash;
}

/* --- finding -------------------------------------------------------------------------------------------------------- */

static bool parse_ip(packet *p) {
    const uint8_t *ip = p->ip;
    size_t header, total;
    if (p->size >= V4_HEADER && ip[0] >> 4 == 4) {
        header = (size_t)(ip[0] & 15) * 4;
        total = get16(ip + 2);
        if (header < V4_HEADER || (get16(ip + 6) & 0x3fff) != 0) /* fragments */
            return false;
        p->protocol = ip[9];
        p->source.address = address_from_v4(ip + 12);
        p->target.address = address_from_v4(ip + 16);
    } else if (p->size >= V6_HEADER && ip[0] >> 4 == 6) {
        header = V6_HEADER;
        total = header + get16(ip + 4);
        p->v6 = true;
        p->protocol = ip[6];
        if (!address_from_v6(ip + 8, &p->source.address) || !address_from_v6(ip + 24, &p->target.address))
            return false; /* they would be taken for IPv4 */
    } else {
        return false;
    }
    if (total > p->size || header > total)
        return false;
    p->size = total;
    p->transport = p->ip + header;
    return true;
}

bool packet_parse(uint8_t *data, size_t size, packet *ret) {
    packet p = {.ip = data, .size = size};
    if (!parse_ip(&p))
        return false;
    size_t left = p.size - (size_t)(p.transport - p.ip), header;
    if (p.protocol == IPPROTO_TCP && left >= TCP_HEADER) {
        header = (size_t)(p.transport[12] >> 4) * 4;
        p.tcp_flags = p.transport[13];
        if (header < TCP_HEADER)
            return false;
    } else if (p.protocol == IPPROTO_UDP && left >= UDP_HEADER) {
        header = UDP_HEADER;
        if (get16(p.transport + 4) > left)
            return false;
        left = get16(p.transport + 4);
    } else {
        return false;
    }
    if (header > left)
        return false;
    p.source.port = get16(p.transport);
    p.target.port = get16(p.transport + 2);
    p.payload = p.transport + header;
    p.payload_size = left - header;
    *ret = p;
    return true;
}

uint32_t packet_sequence(const packet *p) {
    return get32(p->transport + 4);
}

/* --- checksums (RFC 1071) ------------------------------------------------------------------------------------------- */

static uint32_t sum(uint32_t so_far, const uint8_t *data, size_t size) {
    for (; size > 1; data += 2, size -= 2)
        so_far += get16(data);
    return size > 0 ? so_far + (uint32_t)(*data << 8) : so_far;
}

static uint16_t fold(uint32_t value) {
    value = (value & 0xffff) + (value >> 16);
    return (uint16_t)((value & 0xffff) + (value >> 16));
}

/* Changes a sum by what replaces what (RFC 1624): complemented, or plain as in a partial checksum. */
static void adjust(uint8_t *at, uint32_t removed, uint32_t added, bool plain) {
    uint16_t old = get16(at), before = plain ? old : (uint16_t)~old;
    uint16_t after = fold((uint32_t)before + (uint16_t)~fold(removed) + fold(added));
    put16(at, plain ? after : (uint16_t)~after);
}

static uint8_t *checksum_of(const packet *p) {
    return p->transport + (p->protocol == IPPROTO_TCP ? 16 : 6);
}

/* --- turning -------------------------------------------------------------------------------------------------------- */

static size_t put_address(uint8_t *at, const endpoint *e, bool v6) {
    size_t size = v6 ? 16 : 4;
    memcpy(at, e->address.s6_addr + 16 - size, size);
    return size;
}

void packet_readdress(packet *p, const endpoint *source, const endpoint *target, bool partial) {
    uint8_t *addresses = p->ip + (p->v6 ? 8 : 12), *checksum = checksum_of(p);
    size_t size = p->v6 ? 32 : 8;
    uint32_t removed = sum(0, addresses, size);
    put_address(addresses, source, p->v6);
    put_address(addresses + size / 2, target, p->v6);
    uint32_t added = sum(0, addresses, size);
    if (!p->v6)
        adjust(p->ip + 10, removed, added, false);
    if (!partial) { /* ports are no part of the pseudo header */
        removed = sum(removed, p->transport, 4);
        added = sum(added,
                    (const uint8_t[]){(uint8_t)(source->port >> 8), (uint8_t)source->port, (uint8_t)(target->port >> 8),
                                      (uint8_t)target->port},
                    4);
    }
    if (p->protocol == IPPROTO_TCP || partial || get16(checksum) != 0) /* a datagram may do without */
        adjust(checksum, removed, added, partial);
    put16(p->transport, source->port);
    put16(p->transport + 2, target->port);
    p->source = *source;
    p->target = *target;
}

/* --- making --------------------------------------------------------------------------------------------------------- */

/* An IP header with `size` bytes to follow; returns its own size. */
static size_t put_ip(uint8_t *out, const endpoint *source, const endpoint *target, uint8_t protocol, size_t size) {
    bool v6 = !address_is_v4(&source->address);
    memset(out, 0, V6_HEADER);
    if (v6) {
        out[0] = 0x60;
        put16(out + 4, (uint16_t)size);
        out[6] = protocol;
        out[7] = 64;
    } else {
        out[0] = 0x45;
        put16(out + 2, (uint16_t)(V4_HEADER + size));
        put16(out + 6, 0x4000); /* do not fragment */
        out[8] = 64;
        out[9] = protocol;
    }
    uint8_t *addresses = out + (v6 ? 8 : 12);
    addresses += put_address(addresses, source, v6);
    put_address(addresses, target, v6);
    if (!v6)
        put16(out + 10, (uint16_t)~fold(sum(0, out, V4_HEADER)));
    return v6 ? V6_HEADER : V4_HEADER;
}

static uint32_t pseudo_header(const uint8_t *ip, uint8_t protocol, size_t size) {
    bool v6 = ip[0] >> 4 == 6;
    return sum(protocol + (uint32_t)size, ip + (v6 ? 8 : 12), v6 ? 32 : 8);
}

size_t packet_make_udp(uint8_t *out, const endpoint *source, const endpoint *target, const uint8_t *payload,
                       size_t payload_size, size_t *ret_transport) {
    size_t size = UDP_HEADER + payload_size, header = put_ip(out, source, target, IPPROTO_UDP, size);
    uint8_t *udp = out + header;
    put16(udp, source->port);
    put16(udp + 2, target->port);
    put16(udp + 4, (uint16_t)size);
    put16(udp + 6, fold(pseudo_header(out, IPPROTO_UDP, size)));
    memcpy(udp + UDP_HEADER, payload, payload_size);
    *ret_transport = header;
    return header + size;
}

size_t packet_make_reset(uint8_t *out, const packet *to) {
    size_t header = put_ip(out, &to->target, &to->source, IPPROTO_TCP, TCP_HEADER);
    uint8_t *tcp = out + header;
    bool answers = (to->tcp_flags & TCP_ACK) != 0;
    uint32_t length = (uint32_t)to->payload_size + (to->tcp_flags & TCP_SYN ? 1 : 0);
    memset(tcp, 0, TCP_HEADER);
    put16(tcp, to->target.port);
    put16(tcp + 2, to->source.port);
    put32(tcp + 4, answers ? get32(to->transport + 8) : 0);
    put32(tcp + 8, answers ? 0 : get32(to->transport + 4) + length);
    tcp[12] = TCP_HEADER / 4 << 4;
    tcp[13] = answers ? TCP_RST : TCP_RST | TCP_ACK;
    put16(tcp + 16, (uint16_t)~fold(sum(pseudo_header(out, IPPROTO_TCP, TCP_HEADER), tcp, TCP_HEADER)));
    return header + TCP_HEADER;
}

static size_t make_icmp(uint8_t *out, const packet *to, uint8_t type, uint8_t code) {
    size_t quote = CII_MIN(to->size, (size_t)(to->v6 ? V6_HEADER + 8 : QUOTE)), size = ICMP_HEADER + quote;
    uint8_t protocol = to->v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP;
    size_t header = put_ip(out, &to->target, &to->source, protocol, size);
    uint8_t *icmp = out + header;
    memset(icmp, 0, ICMP_HEADER);
    icmp[0] = type;
    icmp[1] = code;
    memcpy(icmp + ICMP_HEADER, to->ip, quote);
    put16(icmp + 2, (uint16_t)~fold(sum(to->v6 ? pseudo_header(out, protocol, size) : 0, icmp, size)));
    return header + size;
}

size_t packet_make_unreachable(uint8_t *out, const packet *to) {
    return to->v6 ? make_icmp(out, to, 1, 4) : make_icmp(out, to, 3, 3);
}

size_t packet_make_no_route(uint8_t *out, const packet *to) {
    return to->v6 ? make_icmp(out, to, 1, 3) : make_icmp(out, to, 3, 1);
}
