/* Any bytes as a guest's query, and as an upstream's reply to the question they hold: what is read is a name, what is
 * written fits, can be read again, and says the same. */
#include <string.h>

#include "fuzz.h"
#include "supervisor/gateway/dns.h"
#include "supervisor/gateway/rule.h"

static void check_name(const char *name) {
    size_t size = strlen(name);
    FUZZ_CHECK(size < NAME_SIZE);
    for (size_t i = 0; i < size; i++)
        FUZZ_CHECK(strchr("abcdefghijklmnopqrstuvwxyz0123456789-_.?", name[i]) != NULL);
}

static void check_reply(const dns_query *q, const dns_reply *r) {
    uint8_t out[DNS_REPLY_MAX];
    dns_reply again;
    FUZZ_CHECK(r->count <= DNS_RECORDS_MAX);
    for (size_t i = 0; i < r->count; i++)
        FUZZ_CHECK(r->records[i].type == q->type && address_is_v4(&r->records[i].a) == (q->type == DNS_TYPE_A));
    size_t size = dns_build_reply(q, r->rcode, r->records, r->count, out);
    FUZZ_CHECK(size >= 12 && size <= sizeof out && size <= CII_MAX(q->udp_size, 512));
    /* A "?" stands for a byte that is not known any more. */
    if (strchr(q->name, '?') != NULL || q->rcode != DNS_NOERROR)
        return;
    FUZZ_CHECK(dns_parse_reply(out, size, q->id, q->name, q->type, &again));
    FUZZ_CHECK(again.rcode == r->rcode && again.count <= r->count && !again.truncated);
    for (size_t i = 0; i < again.count; i++)
        FUZZ_CHECK(address_equal(&again.records[i].a, &r->records[i].a) &&
                   again.records[i].ttl_seconds <= DNS_TTL_MAX_S);
}

static void try_message(uint8_t *message, size_t size) {
    uint8_t out[DNS_QUERY_MAX];
    dns_query q, sent;
    dns_reply r = {0};
    message[2] &= 0x7f;
    FUZZ_CHECK(dns_parse_query(message, size, &q));
    check_name(q.name);
    FUZZ_CHECK(q.udp_size >= 512 && q.question_size <= DNS_QUESTION_MAX);
    check_reply(&q, &r);
    size_t query_size = dns_build_query(q.id, q.name, q.type, out);
    FUZZ_CHECK(query_size > 0 && query_size <= sizeof out);
    FUZZ_CHECK(dns_parse_query(out, query_size, &sent) && sent.rcode == DNS_NOERROR && sent.type == q.type);
    FUZZ_CHECK(strcmp(sent.name, q.name) == 0);
    message[2] |= 0x80;
    FUZZ_CHECK(!dns_parse_query(message, size, &q));
    if (dns_parse_reply(message, size, q.id, q.name, q.type, &r))
        check_reply(&q, &r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    dns_query q;
    if (size < 12) {
        FUZZ_CHECK(!dns_parse_query(data, size, &q));
        return 0;
    }
    uint8_t *message = malloc(size); /* of its very size, for the sanitizer to see what is read beyond */
    FUZZ_CHECK(message != NULL);
    memcpy(message, data, size);
    try_message(message, size);
    free(message);
    return 0;
}
