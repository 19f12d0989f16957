/* Packets: what is found in them, turning them to other addresses, and those that are made. Checksums are computed here
 * anew, over the whole. */
#include "unit.h"

#include "supervisor/gateway/packet.h"

static endpoint end(const char *text, uint16_t port) {
    endpoint e = {.port = port};
    assert_true(address_parse(text, &e.address));
    return e;
}

static uint32_t words(const uint8_t *data, size_t size) {
    uint32_t total = 0;
    for (size_t i = 0; i < size; i++)
        total += i % 2 == 0 ? (uint32_t)data[i] << 8 : data[i];
    return total;
}

/* 0xffff for data that holds its own checksum. */
static uint32_t folded(uint32_t total) {
    while (total >> 16 != 0)
        total = (total & 0xffff) + (total >> 16);
    return total;
}

static bool is_v6(const uint8_t *ip) {
    return ip[0] >> 4 == 6;
}

/* Of the transport's checksum: the whole must come to 0xffff. */
static uint32_t transport_sum(const uint8_t *ip, size_t size, uint8_t protocol) {
    size_t header = is_v6(ip) ? 40 : (size_t)(ip[0] & 15) * 4;
    uint32_t pseudo = words(ip + (is_v6(ip) ? 8 : 12), is_v6(ip) ? 32 : 8) + protocol + (uint32_t)(size - header);
    return folded(pseudo + words(ip + header, size - header));
}

static void check_ip(const uint8_t *ip, size_t size) {
    if (!is_v6(ip)) {
        assert_int_equal(folded(words(ip, (size_t)(ip[0] & 15) * 4)), 0xffff);
        assert_int_equal(ip[2] << 8 | ip[3], size);
    } else {
        assert_int_equal((ip[4] << 8 | ip[5]) + 40, size);
    }
}

/* Completes a partial checksum, as the device would. */
static void complete(uint8_t *ip, size_t size, size_t transport) {
    uint32_t total = folded(words(ip + transport, size - transport));
    ip[transport + 6] = (uint8_t)(~total >> 8);
    ip[transport + 7] = (uint8_t)~total;
}

static size_t make_udp(uint8_t *out, const char *from, const char *to, const char *text, bool whole) {
    const endpoint source = end(from, 1000), target = end(to, 53);
    size_t transport, size = packet_make_udp(out, &source, &target, (const uint8_t *)text, strlen(text), &transport);
    if (whole)
        complete(out, size, transport);
    return size;
}

/* A connection attempt without data, as a kernel sends it. */
static size_t make_syn(uint8_t *out, const char *from, const char *to) {
    size_t size = make_udp(out, from, to, "012345678901", false), header = is_v6(out) ? 40 : 20;
    out[is_v6(out) ? 6 : 9] = IPPROTO_TCP;
    if (!is_v6(out)) {
        memset(out + 10, 0, 2);
        uint32_t total = folded(words(out, 20));
        out[10] = (uint8_t)(~total >> 8);
        out[11] = (uint8_t)~total;
    }
    uint8_t *tcp = out + header;
    memcpy(tcp + 4, "\x11\x22\x33\x44\0\0\0\0\x50\x02\xff\xff\0\0\0\0", 16);
    uint32_t total = transport_sum(out, size, IPPROTO_TCP);
    tcp[16] = (uint8_t)(~total >> 8);
    tcp[17] = (uint8_t)~total;
    return size;
}

static const char *const ends[][3] = {{"198.18.0.1", "93.184.216.34", "10.1.2.3"},
                                      {"fd00:6369::1", "2606:2800::1", "2001:db8::9"}};

static void a_datagram_is_made_and_found(void **state) {
    (void)state;
    for (size_t v = 0; v < CII_ELEMENTS(ends); v++) {
        uint8_t data[PACKET_HEADERS_MAX];
        packet p;
        size_t size = make_udp(data, ends[v][0], ends[v][1], "abc", true);
        check_ip(data, size);
        assert_int_equal(transport_sum(data, size, IPPROTO_UDP), 0xffff);
        assert_true(packet_parse(data, sizeof data, &p)); /* what follows is no part of it */
        const endpoint source = end(ends[v][0], 1000), target = end(ends[v][1], 53);
        assert_true(endpoint_equal(&p.source, &source) && endpoint_equal(&p.target, &target));
        assert_int_equal(p.size, size);
        assert_int_equal(p.protocol, IPPROTO_UDP);
        assert_int_equal(p.payload_size, 3);
        assert_memory_equal(p.payload, "abc", 3);
        assert_int_equal(p.v6, v);
    }
}

static void what_is_not_whole_is_refused(void **state) {
    (void)state;
    for (size_t v = 0; v < CII_ELEMENTS(ends); v++) {
        uint8_t whole[2][PACKET_HEADERS_MAX];
        packet p;
        const size_t sizes[2] = {make_udp(whole[0], ends[v][0], ends[v][1], "abc", true),
                                 make_syn(whole[1], ends[v][0], ends[v][1])};
        for (size_t kind = 0; kind < 2; kind++)
            for (size_t size = 0; size < sizes[kind]; size++) {
                uint8_t *cut = malloc(size + 1); /* of its very size, for the sanitizer */
                memcpy(cut, whole[kind], size);
                assert_false(packet_parse(cut, size, &p));
                free(cut);
            }
    }
}

typedef struct change {
    size_t at;
    uint8_t value;
    const char *what;
} change;

static void what_is_none_of_ours_is_refused(void **state) {
    (void)state;
    static const change v4[] = {{0, 0x55, "version 5"},
                                {0, 0x44, "a header of 16 bytes"},
                                {0, 0x4f, "a header beyond the packet"},
                                {6, 0x20, "first fragment"},
                                {7, 0x01, "later fragment"},
                                {9, 1, "ICMP"},
                                {9, 47, "GRE"},
                                {3, 27, "less than a UDP header"},
                                {24, 0xff, "a datagram larger than its packet"},
                                {25, 7, "a datagram smaller than its header"}};
    static const change v6[] = {{6, 44, "a fragment header"}, {6, 0, "hop-by-hop options"}, {6, 58, "ICMPv6"}};
    uint8_t data[PACKET_HEADERS_MAX];
    packet p;
    for (size_t i = 0; i < CII_ELEMENTS(v4); i++) {
        size_t size = make_udp(data, ends[0][0], ends[0][1], "abc", true);
        data[v4[i].at] = v4[i].value;
        if (packet_parse(data, size, &p))
            fail_msg("%s is taken", v4[i].what);
    }
    for (size_t i = 0; i < CII_ELEMENTS(v6); i++) {
        size_t size = make_udp(data, ends[1][0], ends[1][1], "abc", true);
        data[v6[i].at] = v6[i].value;
        if (packet_parse(data, size, &p))
            fail_msg("%s is taken", v6[i].what);
    }
    size_t size = make_udp(data, ends[0][0], ends[0][1], "abc", true);
    data[0] = 0x44; /* the header's last word as the datagram's first, which would fit */
    memcpy(data + 20, "\0\x0c", 2);
    assert_false(packet_parse(data, size, &p));
    size = make_udp(data, ends[1][0], ends[1][1], "abc", true);
    memcpy(data + 24, "\0\0\0\0\0\0\0\0\0\0\xff\xff\x7f\0\0\x01", 16);
    assert_false(packet_parse(data, size, &p)); /* would be taken for 127.0.0.1 */
    size = make_syn(data, ends[0][0], ends[0][1]);
    data[20 + 12] = 0x40;
    assert_false(packet_parse(data, size, &p));
    data[20 + 12] = 0x60;
    assert_false(packet_parse(data, size, &p)); /* options beyond the packet */
}

static void a_packet_is_turned_with_its_checksums(void **state) {
    (void)state;
    for (size_t v = 0; v < CII_ELEMENTS(ends); v++)
        for (int kind = 0; kind < 3; kind++) {
            uint8_t data[PACKET_HEADERS_MAX];
            packet p;
            const endpoint source = end(ends[v][2], 65535), target = end(ends[v][0], 1);
            size_t size = kind == 2 ? make_syn(data, ends[v][0], ends[v][1])
                                    : make_udp(data, ends[v][0], ends[v][1], "abcd", kind == 0);
            assert_true(packet_parse(data, size, &p));
            packet_readdress(&p, &source, &target, kind == 1);
            check_ip(data, size);
            if (kind == 1)
                complete(data, size, v == 0 ? 20 : 40);
            assert_int_equal(transport_sum(data, size, p.protocol), 0xffff);
            assert_true(packet_parse(data, size, &p));
            assert_true(endpoint_equal(&p.source, &source) && endpoint_equal(&p.target, &target));
        }
}

static void a_datagram_without_a_checksum_keeps_none(void **state) {
    (void)state;
    uint8_t data[PACKET_HEADERS_MAX];
    packet p;
    const endpoint source = end("10.0.0.1", 5), target = end("10.0.0.2", 6);
    size_t size = make_udp(data, ends[0][0], ends[0][1], "abc", false);
    memset(data + 26, 0, 2);
    assert_true(packet_parse(data, size, &p));
    packet_readdress(&p, &source, &target, false);
    assert_memory_equal(data + 26, "\0", 2);
}

static void an_attempt_is_answered_by_a_reset(void **state) {
    (void)state;
    for (size_t v = 0; v < CII_ELEMENTS(ends); v++) {
        uint8_t data[PACKET_HEADERS_MAX], out[PACKET_HEADERS_MAX];
        packet p, answer;
        assert_true(packet_parse(data, make_syn(data, ends[v][0], ends[v][1]), &p));
        size_t size = packet_make_reset(out, &p);
        check_ip(out, size);
        assert_int_equal(transport_sum(out, size, IPPROTO_TCP), 0xffff);
        assert_true(packet_parse(out, size, &answer));
        assert_true(endpoint_equal(&answer.source, &p.target) && endpoint_equal(&answer.target, &p.source));
        assert_int_equal(answer.tcp_flags, TCP_RST | TCP_ACK);
        assert_memory_equal(answer.transport + 8, "\x11\x22\x33\x45",
                            4); /* one beyond the attempt (RFC 9293, 3.10.7.1) */
        p.transport[13] = TCP_ACK;
        memcpy(p.transport + 8, "\xaa\xbb\xcc\xdd", 4);
        assert_true(packet_parse(data, p.size, &p));
        assert_true(packet_parse(out, packet_make_reset(out, &p), &answer));
        assert_int_equal(answer.tcp_flags, TCP_RST);
        assert_memory_equal(answer.transport + 4, "\xaa\xbb\xcc\xdd", 4);
    }
}

static void what_cannot_be_reached_is_said_so(void **state) {
    (void)state;
    static const uint8_t codes[2][2][2] = {{{3, 3}, {3, 1}}, {{1, 4}, {1, 3}}};
    for (size_t v = 0; v < CII_ELEMENTS(ends); v++)
        for (int kind = 0; kind < 2; kind++) {
            uint8_t data[PACKET_HEADERS_MAX], out[PACKET_HEADERS_MAX];
            packet p;
            assert_true(packet_parse(data, make_udp(data, ends[v][0], ends[v][1], "abc", true), &p));
            size_t size = (kind == 0 ? packet_make_unreachable : packet_make_no_route)(out, &p);
            size_t header = v == 0 ? 20 : 40;
            check_ip(out, size);
            assert_true(size <= PACKET_HEADERS_MAX);
            assert_memory_equal(out + header, codes[v][kind], 2);
            assert_memory_equal(out + header + 8, data, header + 8);
            assert_int_equal(
                v == 0 ? folded(words(out + header, size - header)) : transport_sum(out, size, IPPROTO_ICMPV6), 0xffff);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_datagram_is_made_and_found),
        cmocka_unit_test(what_is_not_whole_is_refused),
        cmocka_unit_test(what_is_none_of_ours_is_refused),
        cmocka_unit_test(a_packet_is_turned_with_its_checksums),
        cmocka_unit_test(a_datagram_without_a_checksum_keeps_none),
        cmocka_unit_test(an_attempt_is_answered_by_a_reset),
        cmocka_unit_test(what_cannot_be_reached_is_said_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
