/* DNS messages of hostile guests and resolvers, and what is made of them. */
#include "unit.h"

#include "supervisor/gateway/dns.h"

/* A message, put together by the macros below; offsets count from its beginning. */
typedef struct message {
    uint8_t data[8192];
    size_t size;
} message;

static void put(message *m, const void *data, size_t size) {
    assert_true(m->size + size <= sizeof m->data);
    memcpy(m->data + m->size, data, size);
    m->size += size;
}
#define PUT(m, literal) put((m), (literal), sizeof(literal) - 1)

#define ID "\x12\x34"
#define QUERY ID "\x01\x00"
#define REPLY ID "\x81\x80"
#define COUNTS(q, an, ns, ar) "\0" q "\0" an "\0" ns "\0" ar
#define WWW "\3www\7example\3com\0"
#define A_IN "\0\1\0\1"
#define AAAA_IN "\0\x1c\0\1"
#define CNAME_IN "\0\5\0\1"
#define TTL(last) "\0\0\0" last
#define AT_QUESTION "\xc0\x0c"
#define LETTERS_64 "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijkl"
#define OPT_RECORD(size, version) "\0\0\x29" size "\0" version "\0\0\0\0"

static void put_u16(message *m, unsigned value) {
    const uint8_t bytes[2] = {(uint8_t)(value >> 8), (uint8_t)value};
    put(m, bytes, sizeof bytes);
}

static dns_query parsed(const message *m) {
    dns_query q;
    assert_true(dns_parse_query(m->data, m->size, &q));
    return q;
}

static void assert_address(const dns_record *r, const char *wanted) {
    char text[ADDRESS_TEXT_SIZE];
    address_format(&r->a, text);
    assert_string_equal(text, wanted);
}

/* --- a guest's query ------------------------------------------------------------------------------------------------ */

static void a_query_is_read(void **state) {
    (void)state;
    message m = {.size = 0};
    PUT(&m, QUERY COUNTS("\1", "\0", "\0", "\0") "\3wWw\7EXAMPLE\3com\0" AAAA_IN);
    dns_query q = parsed(&m);
    assert_int_equal(q.rcode, DNS_NOERROR);
    assert_int_equal(q.id, 0x1234);
    assert_int_equal(q.type, DNS_TYPE_AAAA);
    assert_string_equal(q.name, "www.example.com");
    assert_int_equal(q.question_size, m.size - 12);
    assert_memory_equal(q.question, m.data + 12, q.question_size);
    assert_int_equal(q.udp_size, 512);
    assert_false(q.edns);
}

static void edns_says_how_much_the_guest_takes(void **state) {
    (void)state;
    message m = {.size = 0};
    PUT(&m, QUERY COUNTS("\1", "\0", "\0", "\1") WWW A_IN OPT_RECORD("\x10\x00", "\0"));
    dns_query q = parsed(&m);
    assert_int_equal(q.rcode, DNS_NOERROR);
    assert_true(q.edns);
    assert_int_equal(q.udp_size, 4096);
    message small = {.size = 0}, two = {.size = 0}, later = {.size = 0};
    PUT(&small, QUERY COUNTS("\1", "\0", "\0", "\1") WWW A_IN OPT_RECORD("\0\1", "\0"));
    assert_int_equal(parsed(&small).udp_size, 512);
    PUT(&two, QUERY COUNTS("\1", "\0", "\0", "\2") WWW A_IN OPT_RECORD("\x10\x00", "\0") OPT_RECORD("\x10\x00", "\0"));
    assert_int_equal(parsed(&two).rcode, DNS_FORMERR);
    PUT(&later, QUERY COUNTS("\1", "\0", "\0", "\1") WWW A_IN OPT_RECORD("\x10\x00", "\1"));
    q = parsed(&later);
    assert_int_equal(q.rcode, DNS_BADVERS);
    uint8_t out[DNS_REPLY_MAX];
    size_t size = dns_build_reply(&q, q.rcode, NULL, 0, out);
    assert_int_equal(out[3] & 0xf, 0);
    assert_memory_equal(out + size - 11, OPT_RECORD("\x04\xd0", "\0"), 5);
    assert_int_equal(out[size - 6], 1); /* the upper bits of 16 */
}

static void what_is_no_query_is_not_answered(void **state) {
    (void)state;
    dns_query q = {.id = 7};
    message m = {.size = 0};
    PUT(&m, REPLY COUNTS("\1", "\0", "\0", "\0") WWW A_IN);
    assert_false(dns_parse_query(m.data, m.size, &q));
    m.data[2] = 1;
    for (size_t size = 0; size < 12; size++)
        assert_false(dns_parse_query(m.data, size, &q));
    assert_int_equal(q.id, 7);
    assert_true(dns_parse_query(m.data, 12, &q));
}

static void a_wrong_query_is_answered_with_what_is_wrong(void **state) {
    (void)state;
    static const struct {
        const char *data;
        size_t size;
        uint8_t rcode;
    } bad[] = {
#define ROW(literal, rcode) {(literal), sizeof(literal) - 1, (rcode)}
        ROW(QUERY COUNTS("\0", "\0", "\0", "\0"), DNS_FORMERR),
        ROW(QUERY COUNTS("\2", "\0", "\0", "\0") WWW A_IN WWW A_IN, DNS_FORMERR),
        ROW(QUERY COUNTS("\1", "\0", "\0", "\0") WWW "\0\1\0", DNS_FORMERR),
        ROW(QUERY COUNTS("\1", "\0", "\0", "\0") "\3www\7exam", DNS_FORMERR),
        ROW(QUERY COUNTS("\1", "\0", "\0", "\0") "\3www", DNS_FORMERR),
        ROW(QUERY COUNTS("\1", "\0", "\0", "\0") "\3www\xc0\4" A_IN, DNS_FORMERR), /* a pointer */
        ROW(QUERY COUNTS("\1", "\0", "\0", "\0") "\x43www" A_IN, DNS_FORMERR),
        ROW(QUERY COUNTS("\1", "\0", "\0", "\0") "\x83www" A_IN, DNS_FORMERR),
        ROW(QUERY COUNTS("\1", "\0", "\0", "\0") "\x40" LETTERS_64 "\0" A_IN, DNS_FORMERR),
        ROW(QUERY COUNTS("\1", "\0", "\0", "\1") WWW A_IN, DNS_FORMERR),
        ROW(QUERY COUNTS("\1", "\0", "\0", "\1") WWW A_IN "\1a\0\0\x29\2\0\0\0\0\0\0\0", DNS_FORMERR),
        ROW(QUERY COUNTS("\1", "\0", "\0", "\1") WWW A_IN "\0\0\x29\2\0\0\0\0\0\0\1", DNS_FORMERR),
        ROW(ID "\3\0" COUNTS("\1", "\0", "\0", "\0") WWW A_IN, DNS_FORMERR),
        ROW(ID "\x10\0" COUNTS("\1", "\0", "\0", "\0") WWW A_IN, DNS_NOTIMP),
        ROW(ID "\x28\0" COUNTS("\1", "\0", "\0", "\0") WWW A_IN, DNS_NOTIMP),
        ROW(QUERY COUNTS("\1", "\0", "\0", "\0") WWW "\0\1\0\3", DNS_REFUSED),
        ROW(QUERY COUNTS("\1", "\0", "\0", "\0") WWW "\0\1\0\xff", DNS_REFUSED),
    };
    for (size_t i = 0; i < CII_ELEMENTS(bad); i++) {
        dns_query q;
        uint8_t out[DNS_REPLY_MAX];
        assert_true(dns_parse_query(bad[i].data, bad[i].size, &q));
        if (q.rcode != bad[i].rcode)
            fail_msg("row %zu: %u", i, q.rcode);
        size_t size = dns_build_reply(&q, q.rcode, NULL, 0, out);
        assert_true(size >= 12 && size <= 512);
        assert_memory_equal(out, ID, 2);
        assert_int_equal(out[2] & 0x80, 0x80);
        assert_int_equal(out[3] & 0xf, bad[i].rcode);
    }
}

/* Labels of one letter, then one that fills up: `size` bytes on the wire. */
static void put_long_name(message *m, size_t size) {
    size_t start = m->size;
    while (size - (m->size - start) > 60)
        PUT(m, "\1a");
    uint8_t label[64] = {(uint8_t)(size - (m->size - start) - 2)};
    memset(label + 1, 'b', sizeof label - 1);
    put(m, label, 1 + (size_t)label[0]);
    PUT(m, "\0");
    assert_int_equal(m->size - start, size);
}

static void a_name_has_at_most_255_bytes(void **state) {
    (void)state;
    message m = {.size = 0}, longer = {.size = 0};
    PUT(&m, QUERY COUNTS("\1", "\0", "\0", "\0"));
    PUT(&longer, QUERY COUNTS("\1", "\0", "\0", "\0"));
    put_long_name(&m, 255);
    put_long_name(&longer, 256);
    PUT(&m, A_IN);
    PUT(&longer, A_IN);
    dns_query q = parsed(&m);
    assert_int_equal(q.rcode, DNS_NOERROR);
    assert_int_equal(strlen(q.name), 253);
    assert_int_equal(q.question_size, DNS_QUESTION_MAX);
    uint8_t out[DNS_QUERY_MAX];
    assert_int_equal(dns_build_query(1, q.name, DNS_TYPE_A, out), DNS_QUERY_MAX);
    assert_memory_equal(out + 12, m.data + 12, DNS_QUESTION_MAX);
    assert_int_equal(parsed(&longer).rcode, DNS_FORMERR);
}

static void odd_bytes_in_a_label_never_look_like_a_name(void **state) {
    (void)state;
    message m = {.size = 0}, root = {.size = 0};
    PUT(&m, QUERY COUNTS("\1", "\0", "\0", "\0") "\4a.b\0\7_x-Y z\xff\3com\0" A_IN);
    dns_query q = parsed(&m);
    assert_int_equal(q.rcode, DNS_NOERROR);
    assert_string_equal(q.name, "a?b?._x-y?z?.com");
    PUT(&root, QUERY COUNTS("\1", "\0", "\0", "\0") "\0" A_IN);
    assert_string_equal(parsed(&root).name, "");
}

/* --- the query to the upstream -------------------------------------------------------------------------------------- */

static void the_upstream_is_asked_recursively_with_edns(void **state) {
    (void)state;
    static const char wanted[] = "\xab\xcd\1\0" COUNTS("\1", "\0", "\0", "\1") WWW AAAA_IN OPT_RECORD("\x04\xd0", "\0");
    uint8_t out[DNS_QUERY_MAX];
    assert_int_equal(dns_build_query(0xabcd, "WWW.example.com", DNS_TYPE_AAAA, out), sizeof wanted - 1);
    assert_memory_equal(out, wanted, sizeof wanted - 1);
}

static void what_is_no_name_is_not_asked(void **state) {
    (void)state;
    uint8_t out[DNS_QUERY_MAX];
    char text[260];
    snprintf(text, sizeof text, "%064d.com", 0);
    assert_int_equal(dns_build_query(1, text, DNS_TYPE_A, out), 0);
    assert_true(dns_build_query(1, text + 1, DNS_TYPE_A, out) > 0);
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = i % 2 == 0 ? 'a' : '.';
    text[253] = 'b';
    text[254] = 0;
    assert_int_equal(dns_build_query(1, text, DNS_TYPE_A, out), 0);
    static const char *const bad[] = {".", "a.", ".a", "a..b"};
    for (size_t i = 0; i < CII_ELEMENTS(bad); i++)
        assert_int_equal(dns_build_query(1, bad[i], DNS_TYPE_A, out), 0);
}

/* --- the upstream's reply ------------------------------------------------------------------------------------------- */

static dns_reply reply_of(const message *m, uint16_t type) {
    dns_reply r;
    assert_true(dns_parse_reply(m->data, m->size, 0x1234, "www.example.com", type, &r));
    return r;
}

static void addresses_of_the_name_are_taken(void **state) {
    (void)state;
    message m = {.size = 0}, six = {.size = 0};
    PUT(&m, REPLY COUNTS("\1", "\3", "\0", "\0") WWW A_IN AT_QUESTION A_IN TTL("\x3c") "\0\4\x5d\xb8\xd8\x22");
    PUT(&m, "\3WWW\xc0\x10" A_IN TTL("\x3d") "\0\4\x5d\xb8\xd8\x23");
    PUT(&m, "\4evil\xc0\x10" A_IN TTL("\x3d") "\0\4\x01\x02\x03\x04");
    dns_reply r = reply_of(&m, DNS_TYPE_A);
    assert_int_equal(r.rcode, DNS_NOERROR);
    assert_int_equal(r.count, 2);
    assert_address(&r.records[0], "93.184.216.34");
    assert_address(&r.records[1], "93.184.216.35");
    assert_int_equal(r.records[0].ttl_seconds, 60);
    assert_int_equal(r.records[1].ttl_seconds, 61);
    PUT(&six, REPLY COUNTS("\1", "\2", "\0", "\0") WWW AAAA_IN AT_QUESTION AAAA_IN TTL("\x3c"));
    PUT(&six, "\0\x10\x2a\0\x14\x50\0\0\0\0\0\0\0\0\0\0\0\1");
    PUT(&six, AT_QUESTION AAAA_IN TTL("\x3c") "\0\x10\0\0\0\0\0\0\0\0\0\0\xff\xff\x7f\0\0\1");
    r = reply_of(&six, DNS_TYPE_AAAA);
    assert_int_equal(r.count, 1);
    assert_address(&r.records[0], "2a00:1450::1");
    assert_true(r.mapped);
}

static void aliases_are_followed_in_any_order(void **state) {
    (void)state;
    message m = {.size = 0};
    PUT(&m, REPLY COUNTS("\1", "\5", "\0", "\0") WWW A_IN);
    PUT(&m, "\1b\3net\0" A_IN TTL("\x78") "\0\4\x01\0\0\x01"); /* at 33 */
    PUT(&m, "\1a\3net\0" CNAME_IN TTL("\x1e") "\0\2\xc0\x21"); /* at 54: a.net is b.net */
    PUT(&m, "\1c\3net\0" A_IN TTL("\x78") "\0\4\x01\0\0\x02");
    PUT(&m, AT_QUESTION CNAME_IN TTL("\x3c") "\0\2\xc0\x36");
    PUT(&m, "\1B\3NET\0" A_IN TTL("\x78") "\0\4\x01\0\0\x03");
    dns_reply r = reply_of(&m, DNS_TYPE_A);
    assert_int_equal(r.count, 2);
    assert_address(&r.records[0], "1.0.0.1");
    assert_address(&r.records[1], "1.0.0.3");
    assert_int_equal(r.records[0].ttl_seconds, 30); /* the least of the chain */
}

static void a_loop_of_aliases_ends(void **state) {
    (void)state;
    message m = {.size = 0}, chain = {.size = 0};
    PUT(&m, REPLY COUNTS("\1", "\2", "\0", "\0") WWW A_IN AT_QUESTION CNAME_IN TTL("\x3c") "\0\2\xc0\x2d");
    PUT(&m, "\1a\0" CNAME_IN TTL("\x3c") "\0\2" AT_QUESTION);
    assert_int_equal(reply_of(&m, DNS_TYPE_A).count, 0);
    for (unsigned links = DNS_CHAIN_MAX; links <= DNS_CHAIN_MAX + 1; links++) {
        chain.size = 0;
        PUT(&chain, REPLY "\0\1\0");
        uint8_t count = (uint8_t)(links + 1), letter = 'a';
        put(&chain, &count, 1);
        PUT(&chain, "\0\0\0\0" WWW A_IN AT_QUESTION CNAME_IN TTL("\x3c") "\0\3\1a\0");
        for (unsigned i = 1; i < links; i++, letter++) {
            const uint8_t next = (uint8_t)(letter + 1);
            PUT(&chain, "\1");
            put(&chain, &letter, 1);
            PUT(&chain, "\0" CNAME_IN TTL("\x3c") "\0\3\1");
            put(&chain, &next, 1);
            PUT(&chain, "\0");
        }
        PUT(&chain, "\1");
        put(&chain, &letter, 1);
        PUT(&chain, "\0" A_IN TTL("\x3c") "\0\4\1\2\3\4");
        assert_int_equal(reply_of(&chain, DNS_TYPE_A).count, links == DNS_CHAIN_MAX);
    }
}

static void pointers_lead_back_or_nowhere(void **state) {
    (void)state;
    static const struct {
        const char *data;
        size_t size;
    } bad[] = {
#define OWNER(literal) {(literal), sizeof(literal) - 1}
        OWNER("\xc0\x21"),    /* to itself */
        OWNER("\1a\xc0\x21"), /* to the labels that it ends */
        OWNER("\xc0\x22"),    /* forward */
        OWNER("\xff\xff"),    /* out of the message */
        OWNER("\xc0"),        /* cut */
        OWNER("\x40\x0c"),    /* other kinds of labels */
        OWNER("\x80\x0c"),
    };
    for (size_t i = 0; i < CII_ELEMENTS(bad); i++) {
        message m = {.size = 0};
        PUT(&m, REPLY COUNTS("\1", "\1", "\0", "\0") WWW A_IN); /* 33 bytes */
        put(&m, bad[i].data, bad[i].size);
        PUT(&m, A_IN TTL("\x3c") "\0\4\1\2\3\4");
        assert_int_equal(reply_of(&m, DNS_TYPE_A).count, 0);
    }
    message many = {.size = 0}; /* each pointer to the one before it: read to its end, and in time */
    PUT(&many, REPLY COUNTS("\1", "\2", "\0", "\0") WWW A_IN "\0\0\x10\0\1" TTL("\0"));
    put_u16(&many, 2000);
    size_t at = many.size;
    for (unsigned i = 0; i < 1000; i++)
        put_u16(&many, 0xc000 | (unsigned)(i == 0 ? 12 : at + 2 * (i - 1)));
    put_u16(&many, 0xc000 | (unsigned)(many.size - 2));
    PUT(&many, A_IN TTL("\x3c") "\0\4\1\2\3\4");
    assert_int_equal(reply_of(&many, DNS_TYPE_A).count, 1);
}

static void a_reply_is_to_the_query(void **state) {
    (void)state;
    message m = {.size = 0};
    dns_reply r = {.count = 7};
    PUT(&m, REPLY COUNTS("\1", "\1", "\0", "\0") WWW A_IN AT_QUESTION A_IN TTL("\x3c") "\0\4\1\2\3\4");
    assert_true(dns_parse_reply(m.data, m.size, 0x1234, "www.Example.com", DNS_TYPE_A, &r));
    r.count = 7;
    assert_false(dns_parse_reply(m.data, m.size, 0x1235, "www.example.com", DNS_TYPE_A, &r));
    assert_false(dns_parse_reply(m.data, m.size, 0x1234, "ww.example.com", DNS_TYPE_A, &r));
    assert_false(dns_parse_reply(m.data, m.size, 0x1234, "www.example.com", DNS_TYPE_AAAA, &r));
    for (size_t size = 0; size < 33; size++)
        assert_false(dns_parse_reply(m.data, size, 0x1234, "www.example.com", DNS_TYPE_A, &r));
    static const struct {
        size_t at;
        uint8_t value;
    } damage[] = {{2, 0x01}, {2, 0xa9}, {5, 0}, {5, 2}, {13, 'v'}, {32, 3}};
    for (size_t i = 0; i < CII_ELEMENTS(damage); i++) {
        message other = m;
        other.data[damage[i].at] = damage[i].value;
        if (dns_parse_reply(other.data, other.size, 0x1234, "www.example.com", DNS_TYPE_A, &r))
            fail_msg("damage %zu is not seen", i);
    }
    assert_int_equal(r.count, 7);
}

static void failures_and_truncation_are_told(void **state) {
    (void)state;
    message m = {.size = 0}, bare = {.size = 0}, cut = {.size = 0};
    PUT(&m, ID "\x81\x83" COUNTS("\1", "\1", "\0", "\0") WWW A_IN AT_QUESTION A_IN TTL("\x3c") "\0\4\1\2\3\4");
    dns_reply r = reply_of(&m, DNS_TYPE_A);
    assert_int_equal(r.rcode, DNS_NXDOMAIN);
    assert_int_equal(r.count, 0);
    PUT(&bare, ID "\x81\x81" COUNTS("\0", "\0", "\0", "\0"));
    assert_int_equal(reply_of(&bare, DNS_TYPE_A).rcode, DNS_FORMERR);
    bare.data[3] = 0x83;
    assert_false(dns_parse_reply(bare.data, bare.size, 0x1234, "www.example.com", DNS_TYPE_A, &r));
    PUT(&cut,
        ID "\x83\x80" COUNTS("\1", "\2", "\0", "\0") WWW A_IN AT_QUESTION A_IN TTL("\x3c") "\0\4\1\2\3\4" AT_QUESTION);
    r = reply_of(&cut, DNS_TYPE_A);
    assert_true(r.truncated);
    assert_int_equal(r.count, 1);
}

static void records_of_another_size_or_class_are_left_out(void **state) {
    (void)state;
    message m = {.size = 0};
    PUT(&m, REPLY COUNTS("\1", "\6", "\0", "\0") WWW A_IN);
    PUT(&m, AT_QUESTION "\0\5\0\3" TTL("\x3c") "\0\3\1a\0");
    PUT(&m, AT_QUESTION A_IN TTL("\x3c") "\0\3\1\2\3");
    PUT(&m, AT_QUESTION A_IN TTL("\x3c") "\0\5\1\2\3\4\5");
    PUT(&m, AT_QUESTION "\0\1\0\3" TTL("\x3c") "\0\4\1\2\3\5");
    PUT(&m, AT_QUESTION "\0\1\0\1\xff\xff\xff\xff\0\4\1\2\3\4");
    PUT(&m, AT_QUESTION AAAA_IN TTL("\x3c") "\0\4\1\2\3\6");
    dns_reply r = reply_of(&m, DNS_TYPE_A);
    assert_int_equal(r.count, 1);
    assert_address(&r.records[0], "1.2.3.4");
    assert_int_equal(r.records[0].ttl_seconds, 0);
}

static void at_most_so_many_records_are_looked_at(void **state) {
    (void)state;
    message m = {.size = 0}, far = {.size = 0};
    PUT(&m, REPLY COUNTS("\1", "\x50", "\0", "\0") WWW A_IN);
    for (unsigned i = 0; i < 80; i++)
        PUT(&m, AT_QUESTION A_IN TTL("\x3c") "\0\4\1\2\3\4");
    assert_int_equal(reply_of(&m, DNS_TYPE_A).count, DNS_RECORDS_MAX);
    for (unsigned others = DNS_SECTION_MAX - 1; others <= DNS_SECTION_MAX; others++) {
        far.size = 0;
        PUT(&far, REPLY "\0\1\xff\xff\0\0\0\0" WWW A_IN);
        for (unsigned i = 0; i < others; i++)
            PUT(&far, "\0" A_IN TTL("\x3c") "\0\4\1\2\3\4");
        PUT(&far, AT_QUESTION A_IN TTL("\x3c") "\0\4\1\2\3\4");
        assert_int_equal(reply_of(&far, DNS_TYPE_A).count, others < DNS_SECTION_MAX);
    }
}

/* --- the guest's reply ---------------------------------------------------------------------------------------------- */

static const dns_record *many_records(void) {
    static dns_record records[DNS_RECORDS_MAX];
    for (size_t i = 0; i < DNS_RECORDS_MAX; i++) {
        uint8_t bytes[16] = {0x2a, 0, [15] = (uint8_t)i};
        records[i] = (dns_record){.type = DNS_TYPE_AAAA, .ttl_seconds = 60};
        assert_true(address_from_v6(bytes, &records[i].a));
    }
    return records;
}

static void the_guest_gets_the_addresses_for_its_own_question(void **state) {
    (void)state;
    message m = {.size = 0};
    PUT(&m, ID "\x01\x10" COUNTS("\1", "\0", "\0", "\1") "\3WwW\7example\3com\0" A_IN OPT_RECORD("\x10\x00", "\0"));
    dns_query q = parsed(&m);
    const dns_record records[] = {
        {.type = DNS_TYPE_A, .ttl_seconds = 86400, .a = address_from_v4("\1\2\3\4")},
        many_records()[0],
        {.type = DNS_TYPE_A, .ttl_seconds = 0, .a = many_records()[0].a},
        {.type = DNS_TYPE_A, .ttl_seconds = 0, .a = address_from_v4("\1\2\3\5")},
    };
    static const char wanted[] =
        ID "\x81\x90" COUNTS("\1", "\2", "\0", "\1") "\3WwW\7example\3com\0" A_IN AT_QUESTION A_IN
                                                     "\0\0\1\x2c\0\4\1\2\3\4" AT_QUESTION A_IN TTL(
                                                         "\1") "\0\4\1\2\3\5" OPT_RECORD("\x04\xd0", "\0");
    uint8_t out[DNS_REPLY_MAX];
    assert_int_equal(dns_build_reply(&q, DNS_NOERROR, records, CII_ELEMENTS(records), out), sizeof wanted - 1);
    assert_memory_equal(out, wanted, sizeof wanted - 1);
}

static void a_reply_fits_what_the_guest_takes(void **state) {
    (void)state;
    for (unsigned udp_size = 512; udp_size <= 1400; udp_size += 74) {
        message m = {.size = 0};
        PUT(&m, QUERY COUNTS("\1", "\0", "\0", "\1") WWW AAAA_IN "\0\0\x29");
        put_u16(&m, udp_size);
        PUT(&m, "\0\0\0\0\0\0");
        dns_query q = parsed(&m);
        uint8_t out[DNS_REPLY_MAX];
        size_t size = dns_build_reply(&q, DNS_NOERROR, many_records(), DNS_RECORDS_MAX, out);
        size_t count = CII_MIN((size_t)DNS_RECORDS_MAX, (udp_size - 12 - 21 - 11) / 28);
        assert_int_equal(size, 12 + 21 + 11 + 28 * count);
        assert_int_equal(out[7], count);
        assert_int_equal(out[2] & 2, 0); /* not truncated: what there is will do */
        dns_reply r;
        assert_true(dns_parse_reply(out, size, 0x1234, "www.example.com", DNS_TYPE_AAAA, &r));
        assert_int_equal(r.count, count);
    }
}

static void other_types_are_answered_without_records(void **state) {
    (void)state;
    message m = {.size = 0};
    PUT(&m, QUERY COUNTS("\1", "\0", "\0", "\0") WWW "\0\x10\0\1"); /* TXT */
    dns_query q = parsed(&m);
    uint8_t out[DNS_REPLY_MAX];
    assert_int_equal(dns_build_reply(&q, DNS_NOERROR, many_records(), DNS_RECORDS_MAX, out), m.size);
    assert_memory_equal(out, REPLY COUNTS("\1", "\0", "\0", "\0") WWW, 12 + 17);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_query_is_read),
        cmocka_unit_test(edns_says_how_much_the_guest_takes),
        cmocka_unit_test(what_is_no_query_is_not_answered),
        cmocka_unit_test(a_wrong_query_is_answered_with_what_is_wrong),
        cmocka_unit_test(a_name_has_at_most_255_bytes),
        cmocka_unit_test(odd_bytes_in_a_label_never_look_like_a_name),
        cmocka_unit_test(the_upstream_is_asked_recursively_with_edns),
        cmocka_unit_test(what_is_no_name_is_not_asked),
        cmocka_unit_test(addresses_of_the_name_are_taken),
        cmocka_unit_test(aliases_are_followed_in_any_order),
        cmocka_unit_test(a_loop_of_aliases_ends),
        cmocka_unit_test(pointers_lead_back_or_nowhere),
        cmocka_unit_test(a_reply_is_to_the_query),
        cmocka_unit_test(failures_and_truncation_are_told),
        cmocka_unit_test(records_of_another_size_or_class_are_left_out),
        cmocka_unit_test(at_most_so_many_records_are_looked_at),
        cmocka_unit_test(the_guest_gets_the_addresses_for_its_own_question),
        cmocka_unit_test(a_reply_fits_what_the_guest_takes),
        cmocka_unit_test(other_types_are_answered_without_records),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
