/* DNS messages (RFC 1035, 6891): a guest's query and its reply, the query to an upstream resolver and its reply. Both
 * sides are hostile. Sans-I/O, no allocation; what is beyond a maximum is left out, or makes the message invalid.
 *
 *     dns_parse_query(data, size, &query)                          from the guest; query.rcode: answer that at once
 *     dns_build_query(id, query.name, query.type, out)             to the upstream, id at random
 *     dns_parse_reply(data, size, id, query.name, query.type, &reply)
 *     dns_build_reply(&query, reply.rcode, records, count, out)    with the records the policy lets through */
#ifndef CII_SUPERVISOR_GATEWAY_DNS_H
#define CII_SUPERVISOR_GATEWAY_DNS_H

#include "supervisor/gateway/address.h"

#define DNS_QUESTION_MAX 259 /* name, type and class on the wire */
#define DNS_QUERY_MAX 282    /* header, question, OPT */
#define DNS_REPLY_MAX 1232   /* what is built for the guest, and what is asked of the upstream */
#define DNS_RECORDS_MAX 32   /* addresses of one reply */
#define DNS_SECTION_MAX 128  /* records of an answer section that are looked at */
#define DNS_CHAIN_MAX 16     /* CNAMEs followed */
#define DNS_TTL_MAX_S 300    /* what the guest is told at most */

enum { DNS_TYPE_A = 1, DNS_TYPE_AAAA = 28 };
enum {
    DNS_NOERROR = 0,
    DNS_FORMERR = 1,
    DNS_SERVFAIL = 2,
    DNS_NXDOMAIN = 3,
    DNS_NOTIMP = 4,
    DNS_REFUSED = 5,
    DNS_BADVERS = 16,
};

typedef struct dns_query {
    uint16_t id, flags, type;
    uint16_t udp_size;    /* what the asker takes: at least 512; a caller that answers over TCP may raise it */
    bool edns;            /* has an OPT record: then so has the reply */
    uint8_t rcode;        /* other than DNS_NOERROR: what is wrong with it, to be answered at once */
    char name[NAME_SIZE]; /* lower case, no dot at the end; "": the root. A byte that is no letter, digit, "-" or
                                 "_" shows as "?", so that a dot is always between labels; policy_name() refuses it */
    uint8_t question[DNS_QUESTION_MAX]; /* as it came */
    size_t question_size;               /* 0: there is none that could be read */
} dns_query;

typedef struct dns_record {
    uint16_t type; /* DNS_TYPE_A or DNS_TYPE_AAAA */
    uint32_t ttl_seconds;
    address a;
} dns_record;

typedef struct dns_reply {
    uint8_t rcode;
    bool truncated; /* TC: there is more over TCP */
    bool mapped;    /* an AAAA record with a mapped address was left out (ADDRESS_MAPPED_RULE) */
    size_t count;
    dns_record records[DNS_RECORDS_MAX]; /* of the type that was asked for; least TTL of the record and its chain */
} dns_reply;

/* False: not to be answered (shorter than a header, or itself a reply). */
bool dns_parse_query(const void *data, size_t size, dns_query *ret_query);
/* The message's size; 0 when the name is none. `name` is in text form. */
size_t dns_build_query(uint16_t id, const char *name, uint16_t type, uint8_t ret_data[DNS_QUERY_MAX]);
/* False: no reply to that query; the right one may still come. */
bool dns_parse_reply(const void *data, size_t size, uint16_t id, const char *name, uint16_t type, dns_reply *ret_reply);
/* The message's size; always fits query->udp_size, by leaving out records. Records of another type are left out. */
size_t dns_build_reply(const dns_query *query, uint8_t rcode, const dns_record *records, size_t count,
                       uint8_t ret_data[DNS_REPLY_MAX]);

#endif
