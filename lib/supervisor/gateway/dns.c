/* A cursor over the message, names in wire form with lower-case letters in between, so that names are compared exactly. */
#include "supervisor/gateway/dns.h"

#define HEADER_SIZE 12
#define WIRE_NAME_MAX 255
#define UDP_SIZE_MIN 512
#define TYPE_CNAME 5
#define TYPE_OPT 41
#define CLASS_IN 1
#define FLAG_REPLY 0x8000
#define FLAG_TRUNCATED 0x0200
#define FLAG_RECURSION_DESIRED 0x0100
#define FLAG_RECURSION_AVAILABLE 0x0080
#define FLAG_CHECKING_DISABLED 0x0010
#define OPCODE(flags) ((flags) >> 11 & 0xf)
#define OPT_SIZE 11

typedef struct wire_name {
    uint8_t bytes[WIRE_NAME_MAX];
    size_t size;
} wire_name;

typedef struct cursor {
    const uint8_t *data;
    size_t size, at;
} cursor;

typedef struct header {
    uint16_t id, flags;
    uint16_t counts[4]; /* questions, answers, authorities, additional */
} header;

typedef struct record {
    wire_name owner;
    uint16_t type, class_;
    uint32_t ttl;
    size_t data_at, data_size;
} record;

/* --- reading -------------------------------------------------------------------------------------------------------- */

static bool read_u16(cursor *c, uint16_t *ret) {
    if (c->size - c->at < 2)
        return false;
    *ret = (uint16_t)(c->data[c->at] << 8 | c->data[c->at + 1]);
    c->at += 2;
    return true;
}

static bool read_u32(cursor *c, uint32_t *ret) {
    uint16_t high, low;
    if (!read_u16(c, &high) || !read_u16(c, &low))
        return false;
    *ret = (uint32_t)high << 16 | low;
    return true;
}

static bool read_header(cursor *c, header *ret) {
    bool ok = read_u16(c, &ret->id) && read_u16(c, &ret->flags);
    for (size_t i = 0; i < CII_ELEMENTS(ret->counts); i++)
        ok = ok && read_u16(c, &ret->counts[i]);
    return ok;
}

static uint8_t lower(uint8_t c) {
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c - 'A' + 'a') : c;
}

/* A pointer must lead before the labels that it ends, which begin at `start`: so there is an end to it. */
static bool read_name(cursor *c, bool pointers, wire_name *ret) {
    size_t at = c->at, start = c->at;
    bool jumped = false;
    for (ret->size = 0; at < c->size;) {
        uint8_t length = c->data[at];
        if (length >= 0xc0) {
            size_t target = at + 1 < c->size ? (size_t)(length & 0x3f) << 8 | c->data[at + 1] : SIZE_MAX;
            if (!pointers || target >= start)
                return false;
            if (!jumped)
                c->at = at + 2;
            jumped = true;
            at = start = target;
            continue;
        }
        if (length > 63 || at + 1 + length > c->size || ret->size + 1 + length > WIRE_NAME_MAX)
            return false;
        ret->bytes[ret->size++] = length;
        for (size_t i = 0; i < length; i++)
            ret->bytes[ret->size++] = lower(c->data[at + 1 + i]);
        at += 1 + (size_t)length;
        if (length == 0) {
            if (!jumped)
                c->at = at;
            return true;
        }
    }
    return false;
}

static bool read_record(cursor *c, record *ret) {
    uint16_t data_size;
    if (!read_name(c, true, &ret->owner) || !read_u16(c, &ret->type) || !read_u16(c, &ret->class_) ||
        !read_u32(c, &ret->ttl) || !read_u16(c, &data_size) || c->size - c->at < data_size)
        return false;
    ret->data_at = c->at;
    ret->data_size = data_size;
    c->at += data_size;
    return true;
}

/* RFC 2181, 8. */
static uint32_t ttl_of(const record *r) {
    return r->ttl <= INT32_MAX ? r->ttl : 0;
}

static bool same_name(const wire_name *a, const wire_name *b) {
    return a->size == b->size && memcmp(a->bytes, b->bytes, a->size) == 0;
}

/* --- names ---------------------------------------------------------------------------------------------------------- */

/* A name of WIRE_NAME_MAX bytes on the wire has 253 characters. */
static void name_to_text(const wire_name *name, char ret_text[NAME_SIZE]) {
    size_t size = 0;
    for (size_t at = 0; at < name->size && name->bytes[at] != 0; at += 1 + (size_t)name->bytes[at]) {
        if (size > 0)
            ret_text[size++] = '.';
        for (size_t i = 1; i <= name->bytes[at]; i++) {
            uint8_t c = name->bytes[at + i];
            bool plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
            ret_text[size++] = plain ? (char)c : '?';
        }
    }
    ret_text[size] = 0;
}

static bool name_from_text(const char *text, wire_name *ret) {
    size_t size = strlen(text);
    if (size >= NAME_SIZE)
        return false;
    ret->size = 0;
    while (*text != 0) {
        size_t length = strcspn(text, ".");
        if (length == 0 || length > 63 || (text[length] == '.' && text[length + 1] == 0))
            return false;
        ret->bytes[ret->size++] = (uint8_t)length;
        for (size_t i = 0; i < length; i++)
            ret->bytes[ret->size++] = lower((uint8_t)text[i]);
        text += length + (text[length] == '.');
    }
    ret->bytes[ret->size++] = 0;
    return true;
}

/* --- writing: into buffers whose size is the most there can be ------------------------------------------------------- */

static uint8_t *write_u16(uint8_t *to, uint16_t value) {
    to[0] = (uint8_t)(value >> 8);
    to[1] = (uint8_t)value;
    return to + 2;
}

static uint8_t *write_u32(uint8_t *to, uint32_t value) {
    return write_u16(write_u16(to, (uint16_t)(value >> 16)), (uint16_t)value);
}

static uint8_t *write_bytes(uint8_t *to, const void *data, size_t size) {
    memcpy(to, data, size);
    return to + size;
}

static uint8_t *write_header(uint8_t *to, const header *h) {
    to = write_u16(write_u16(to, h->id), h->flags);
    for (size_t i = 0; i < CII_ELEMENTS(h->counts); i++)
        to = write_u16(to, h->counts[i]);
    return to;
}

static uint8_t *write_opt(uint8_t *to, uint8_t rcode_high) {
    *to++ = 0; /* the root */
    to = write_u16(write_u16(to, TYPE_OPT), DNS_REPLY_MAX);
    return write_u16(write_u32(to, (uint32_t)rcode_high << 24), 0);
}

/* --- a guest's query ------------------------------------------------------------------------------------------------ */

/* What follows the question: at most an OPT record, and records that do not concern us. */
static bool read_opt(cursor *c, const header *h, dns_query *q) {
    unsigned count = (unsigned)h->counts[1] + h->counts[2] + h->counts[3];
    for (unsigned i = 0; i < count; i++) {
        record r;
        if (i == DNS_SECTION_MAX || !read_record(c, &r))
            return false;
        if (r.type != TYPE_OPT || i < (unsigned)h->counts[1] + h->counts[2])
            continue;
        if (q->edns || r.owner.size != 1)
            return false;
        q->edns = true;
        q->udp_size = CII_MAX(r.class_, UDP_SIZE_MIN);
        if ((r.ttl >> 16 & 0xff) != 0)
            q->rcode = DNS_BADVERS;
    }
    return true;
}

bool dns_parse_query(const void *data, size_t size, dns_query *ret_query) {
    cursor c = {.data = data, .size = size};
    header h;
    wire_name name;
    uint16_t class_;
    if (!read_header(&c, &h) || (h.flags & FLAG_REPLY) != 0)
        return false;
    *ret_query = (dns_query){.id = h.id, .flags = h.flags, .udp_size = UDP_SIZE_MIN};
    if (OPCODE(h.flags) != 0) {
        ret_query->rcode = DNS_NOTIMP;
        return true;
    }
    ret_query->rcode = DNS_FORMERR;
    if ((h.flags & FLAG_TRUNCATED) != 0 || h.counts[0] != 1 || !read_name(&c, false, &name) ||
        !read_u16(&c, &ret_query->type) || !read_u16(&c, &class_))
        return true;
    ret_query->question_size = c.at - HEADER_SIZE;
    memcpy(ret_query->question, c.data + HEADER_SIZE, ret_query->question_size);
    name_to_text(&name, ret_query->name);
    ret_query->rcode = class_ == CLASS_IN ? DNS_NOERROR : DNS_REFUSED;
    if (!read_opt(&c, &h, ret_query))
        ret_query->rcode = DNS_FORMERR;
    return true;
}

size_t dns_build_reply(const dns_query *query, uint8_t rcode, const dns_record *records, size_t count,
                       uint8_t ret_data[DNS_REPLY_MAX]) {
    size_t room = CII_MIN(CII_MAX(query->udp_size, UDP_SIZE_MIN), DNS_REPLY_MAX) - (query->edns ? OPT_SIZE : 0);
    uint16_t keep = query->flags & (0xf << 11 | FLAG_RECURSION_DESIRED | FLAG_CHECKING_DISABLED);
    header h = {.id = query->id, .counts = {query->question_size > 0, 0, 0, query->edns}};
    h.flags = (uint16_t)(FLAG_REPLY | FLAG_RECURSION_AVAILABLE | keep | (rcode & 0xf));
    uint8_t *at = write_bytes(ret_data + HEADER_SIZE, query->question, query->question_size);
    for (size_t i = 0; i < count && query->question_size > 0; i++) {
        bool v4 = records[i].type == DNS_TYPE_A;
        size_t data_size = v4 ? 4 : 16;
        if (records[i].type != query->type || address_is_v4(&records[i].a) != v4)
            continue;
        if ((size_t)(at - ret_data) + 12 + data_size > room)
            break;
        at = write_u16(at, 0xc000 | HEADER_SIZE); /* the question's name */
        at = write_u16(write_u16(at, records[i].type), CLASS_IN);
        at = write_u32(at, CII_MIN(CII_MAX(records[i].ttl_seconds, 1), DNS_TTL_MAX_S));
        at = write_u16(at, (uint16_t)data_size);
        at = write_bytes(at, v4 ? address_v4_bytes(&records[i].a) : records[i].a.s6_addr, data_size);
        h.counts[1]++;
    }
    if (query->edns)
        at = write_opt(at, rcode >> 4);
    write_header(ret_data, &h);
    return (size_t)(at - ret_data);
}

/* --- the upstream resolver ------------------------------------------------------------------------------------------ */

size_t dns_build_query(uint16_t id, const char *name, uint16_t type, uint8_t ret_data[DNS_QUERY_MAX]) {
    const header h = {.id = id, .flags = FLAG_RECURSION_DESIRED, .counts = {1, 0, 0, 1}};
    wire_name wire;
    if (!name_from_text(name, &wire))
        return 0;
    uint8_t *at = write_bytes(write_header(ret_data, &h), wire.bytes, wire.size);
    at = write_opt(write_u16(write_u16(at, type), CLASS_IN), 0);
    return (size_t)(at - ret_data);
}

/* Looks in the answer section, from `answers` on, for the one record after `name` that says it is another's alias. */
static bool find_alias(const cursor *answers, size_t count, const wire_name *name, wire_name *ret_alias,
                       uint32_t *ttl) {
    cursor c = *answers;
    record r;
    for (size_t i = 0; i < count && read_record(&c, &r); i++) {
        if (r.type != TYPE_CNAME || r.class_ != CLASS_IN || !same_name(&r.owner, name))
            continue;
        cursor data = {.data = c.data, .size = r.data_at + r.data_size, .at = r.data_at};
        if (!read_name(&data, true, ret_alias) || data.at != data.size)
            continue;
        *ttl = CII_MIN(*ttl, ttl_of(&r));
        return true;
    }
    return false;
}

static void take_address(const cursor *c, const record *r, uint32_t chain_ttl, dns_reply *reply) {
    size_t wanted = r->type == DNS_TYPE_A ? 4 : 16;
    address a;
    if (r->data_size != wanted || reply->count == DNS_RECORDS_MAX)
        return;
    if (wanted == 4) {
        a = address_from_v4(c->data + r->data_at);
    } else if (!address_from_v6(c->data + r->data_at, &a)) {
        reply->mapped = true;
        return;
    }
    reply->records[reply->count++] =
        (dns_record){.type = r->type, .ttl_seconds = CII_MIN(ttl_of(r), chain_ttl), .a = a};
}

/* The addresses of the name that the chain of aliases ends at. */
static void take_addresses(const cursor *answers, size_t count, wire_name *name, uint16_t type, dns_reply *reply) {
    uint32_t ttl = INT32_MAX;
    wire_name alias;
    for (size_t i = 0; i < DNS_CHAIN_MAX && find_alias(answers, count, name, &alias, &ttl); i++)
        *name = alias;
    cursor c = *answers;
    record r;
    for (size_t i = 0; i < count && read_record(&c, &r); i++)
        if (r.type == type && r.class_ == CLASS_IN && same_name(&r.owner, name))
            take_address(&c, &r, ttl, reply);
}

bool dns_parse_reply(const void *data, size_t size, uint16_t id, const char *name, uint16_t type,
                     dns_reply *ret_reply) {
    cursor c = {.data = data, .size = size};
    wire_name asked, question;
    uint16_t question_type, class_;
    header h;
    if (!read_header(&c, &h) || h.id != id || (h.flags & FLAG_REPLY) == 0 || OPCODE(h.flags) != 0)
        return false;
    /* A resolver that could not read the query may not repeat it. */
    uint8_t rcode = h.flags & 0xf;
    bool bare = h.counts[0] == 0 && rcode != DNS_NOERROR && rcode != DNS_NXDOMAIN;
    if (!bare && (h.counts[0] != 1 || !name_from_text(name, &asked) || !read_name(&c, false, &question) ||
                  !read_u16(&c, &question_type) || !read_u16(&c, &class_) || !same_name(&question, &asked) ||
                  question_type != type || class_ != CLASS_IN))
        return false;
    *ret_reply = (dns_reply){.rcode = rcode, .truncated = (h.flags & FLAG_TRUNCATED) != 0};
    if (rcode == DNS_NOERROR && (type == DNS_TYPE_A || type == DNS_TYPE_AAAA))
        take_addresses(&c, CII_MIN(h.counts[1], DNS_SECTION_MAX), &question, type, ret_reply);
    return true;
}
