/* Names: the resolver that the guest asks. A question is checked, asked once outside with an id and a socket of its own,
 * and answered with those addresses that the policy lets through; they are what the guest can then connect to. */
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>

#include "supervisor/gateway/dns.h"
#include "supervisor/gateway/gateway.h"

#define TRY_MS 2000
#define TRIES 3

typedef struct question {
    source upstream; /* fd -1: the place is free */
    dns_query query;
    endpoint guest, asked;
    int64_t sent_ms;
    uint16_t id;
    unsigned tries;
} question;

static struct {
    question questions[GATEWAY_QUESTIONS_MAX];
    size_t used; /* places that were ever taken */
} names;

static void answer(const question *q, uint8_t rcode, const dns_record *records, size_t count) {
    uint8_t reply[DNS_REPLY_MAX];
    _Alignas(DEVICE_ALIGN) uint8_t room[DEVICE_HEADROOM + PACKET_HEADERS_MAX + DNS_REPLY_MAX];
    size_t transport, size = dns_build_reply(&q->query, rcode, records, count, reply);
    size = packet_make_udp(room + DEVICE_HEADROOM, &q->asked, &q->guest, reply, size, &transport);
    device_send(room + DEVICE_HEADROOM, size, transport);
}

/* --- asking --------------------------------------------------------------------------------------------------------- */

static void take_reply(question *q, const dns_reply *reply) {
    dns_record records[DNS_RECORDS_MAX];
    size_t count = 0;
    for (size_t i = 0; i < reply->count; i++) {
        const dns_record *r = &reply->records[i];
        const endpoint target = {.address = r->a};
        verdict v;
        bool may = policy_answer(gw.policy, q->query.name, &r->a, r->ttl_seconds, gw.now_ms, &v);
        if (may && !v.named_by_address && gateway_is_own(&r->a)) {
            may = false;
            snprintf(v.rule, sizeof v.rule, GATEWAY_OWN_RULE);
        }
        if (may)
            records[count++] = *r;
        else
            gateway_refused(q->query.name, &target, "dns", v.rule);
    }
    if (reply->mapped)
        gateway_refused(q->query.name, NULL, "dns", ADDRESS_MAPPED_RULE);
    answer(q, reply->rcode, records, count);
    gateway_unwatch(&q->upstream);
}

static void upstream_ready(source *s, _unused_ uint32_t events) {
    question *q = (question *)(void *)((char *)s - offsetof(question, upstream));
    uint8_t message[4096];
    dns_reply reply;
    ssize_t size = recv(s->fd, message, sizeof message, MSG_DONTWAIT);
    if (size > 0 && dns_parse_reply(message, (size_t)size, q->id, q->query.name, q->query.type, &reply))
        take_reply(q, &reply);
    else if (size < 0 && errno != EAGAIN && errno != EINTR)
        q->sent_ms = 0; /* nobody there: the next one is asked at once */
}

static bool ask(question *q) {
    uint8_t message[DNS_QUERY_MAX];
    if (q->tries == TRIES || gw.upstream_count == 0)
        return false;
    const endpoint *upstream = &gw.upstream[q->tries++ % gw.upstream_count];
    gateway_unwatch(&q->upstream);
    q->sent_ms = gw.now_ms;
    if (getrandom(&q->id, sizeof q->id, 0) != sizeof q->id)
        return false;
    q->upstream.fd = gateway_connect(upstream, SOCK_DGRAM);
    size_t size = dns_build_query(q->id, q->query.name, q->query.type, message);
    return q->upstream.fd >= 0 && gateway_watch(&q->upstream, EPOLLIN) &&
           send(q->upstream.fd, message, size, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)size;
}

/* Asks until one can be asked, or gives up. */
static void go_on(question *q) {
    while (q->tries < TRIES)
        if (ask(q))
            return;
    gateway_unwatch(&q->upstream);
    answer(q, DNS_SERVFAIL, NULL, 0);
}

static question *find_place(void) {
    for (size_t i = 0; i < names.used; i++)
        if (names.questions[i].upstream.fd < 0)
            return &names.questions[i];
    return names.used < GATEWAY_QUESTIONS_MAX ? &names.questions[names.used++] : NULL;
}

/* --- being asked ---------------------------------------------------------------------------------------------------- */

/* Whether it need not be asked outside, and then the answer's code: other types have no records. */
static bool is_settled(const dns_query *query, uint8_t *ret_rcode) {
    static const endpoint anywhere = {.address = {.s6_addr = {0x20, 0x01, 0x0d, 0xb8, [15] = 1}}, .port = 53};
    *ret_rcode = query->rcode;
    if (query->rcode != DNS_NOERROR || (query->type != DNS_TYPE_A && query->type != DNS_TYPE_AAAA))
        return true;
    verdict v;
    if (!policy_name(gw.policy, query->name, strlen(query->name), &v)) {
        gateway_refused(query->name, NULL, "dns", v.rule);
        *ret_rcode = DNS_NXDOMAIN;
        return true;
    }
    if (query->type == DNS_TYPE_A)
        return false;
    int fd = gateway_connect(&anywhere, SOCK_DGRAM); /* sends nothing: is there a route? */
    cii_close(fd);
    return fd < 0;
}

void names_packet(const packet *p) {
    question q = {.upstream = {.ready = upstream_ready, .fd = -1}, .guest = p->source, .asked = p->target};
    uint8_t rcode;
    if (!dns_parse_query(p->payload, p->payload_size, &q.query))
        return;
    if (is_settled(&q.query, &rcode)) {
        answer(&q, rcode, NULL, 0);
        return;
    }
    question *place = find_place();
    if (place == NULL) {
        answer(&q, DNS_SERVFAIL, NULL, 0);
        return;
    }
    *place = q;
    go_on(place);
}

bool names_expire(void) {
    bool left = false;
    for (size_t i = 0; i < names.used; i++) {
        question *q = &names.questions[i];
        if (q->upstream.fd >= 0 && gw.now_ms - q->sent_ms >= TRY_MS)
            go_on(q);
        left |= q->upstream.fd >= 0;
    }
    return left;
}
