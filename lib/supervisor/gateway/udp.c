/* UDP: a connected socket of the host's for each pair of ends, until it was idle for a while. */
#include <sys/epoll.h>
#include <sys/socket.h>

#include "supervisor/gateway/gateway.h"

#define IDLE_MS 60000
#define BATCH 32
#define DATAGRAM_MAX 65507
#define BUCKETS 1024 /* a power of two */

typedef struct udp_flow udp_flow;
struct udp_flow {
    udp_flow *next; /* in its bucket */
    source outer;   /* fd -1: the place is free */
    endpoint guest, target;
    int64_t used_ms;
};

static struct {
    udp_flow flows[GATEWAY_UDP_MAX];
    size_t used; /* places that were ever taken */
    udp_flow *buckets[BUCKETS];
    uint8_t datagram[DATAGRAM_MAX];
    _Alignas(DEVICE_ALIGN) uint8_t packet[DEVICE_HEADROOM + PACKET_HEADERS_MAX + DATAGRAM_MAX];
} udp;

static udp_flow **bucket_of(const endpoint *guest, const endpoint *target) {
    return &udp.buckets[endpoint_hash(guest, target) % BUCKETS];
}

static void forget(udp_flow *f) {
    udp_flow **at = bucket_of(&f->guest, &f->target);
    while (*at != f)
        at = &(*at)->next;
    *at = f->next;
    gateway_unwatch(&f->outer);
}

static udp_flow *find_place(void) {
    udp_flow *oldest = udp.flows;
    if (udp.used < GATEWAY_UDP_MAX)
        return &udp.flows[udp.used++];
    for (udp_flow *f = udp.flows; f < udp.flows + GATEWAY_UDP_MAX; f++) {
        if (f->outer.fd < 0)
            return f;
        if (f->used_ms < oldest->used_ms)
            oldest = f;
    }
    forget(oldest);
    return oldest;
}

/* Nobody is there: the guest's socket gets the error that the host's got. */
static void tell_unreachable(const udp_flow *f) {
    uint8_t datagram[PACKET_HEADERS_MAX] = {0};
    _Alignas(DEVICE_ALIGN) uint8_t answer[DEVICE_HEADROOM + PACKET_HEADERS_MAX];
    size_t transport;
    packet p;
    if (packet_parse(datagram, packet_make_udp(datagram, &f->guest, &f->target, datagram, 0, &transport), &p))
        device_send(answer + DEVICE_HEADROOM, packet_make_unreachable(answer + DEVICE_HEADROOM, &p), 0);
}

static void outer_ready(source *s, _unused_ uint32_t events) {
    udp_flow *f = (udp_flow *)(void *)((char *)s - offsetof(udp_flow, outer));
    f->used_ms = gw.now_ms;
    for (int i = 0; i < BATCH; i++) {
        ssize_t size = recv(s->fd, udp.datagram, sizeof udp.datagram, MSG_DONTWAIT);
        if (size >= 0) {
            uint8_t *at = udp.packet + DEVICE_HEADROOM;
            size_t transport,
                whole = packet_make_udp(at, &f->target, &f->guest, udp.datagram, (size_t)size, &transport);
            device_send(at, whole, transport);
        } else {
            if (errno == ECONNREFUSED || errno == EHOSTUNREACH)
                tell_unreachable(f);
            return;
        }
    }
}

static udp_flow *open_flow(const packet *p) {
    if (!gateway_permits(&p->target, "udp"))
        return NULL;
    int fd = gateway_connect(&p->target, SOCK_DGRAM);
    if (fd < 0)
        return NULL;
    udp_flow *f = find_place(), **bucket = bucket_of(&p->source, &p->target);
    *f =
        (udp_flow){.next = *bucket, .outer = {.ready = outer_ready, .fd = fd}, .guest = p->source, .target = p->target};
    *bucket = f;
    if (gateway_watch(&f->outer, EPOLLIN))
        return f;
    forget(f);
    return NULL;
}

void udp_packet(const packet *p) {
    udp_flow *f = *bucket_of(&p->source, &p->target);
    while (f != NULL && !(endpoint_equal(&f->guest, &p->source) && endpoint_equal(&f->target, &p->target)))
        f = f->next;
    if (f == NULL)
        f = open_flow(p);
    if (f == NULL) {
        _Alignas(DEVICE_ALIGN) uint8_t answer[DEVICE_HEADROOM + PACKET_HEADERS_MAX];
        device_send(answer + DEVICE_HEADROOM, packet_make_unreachable(answer + DEVICE_HEADROOM, p), 0);
        return;
    }
    f->used_ms = gw.now_ms;
    /* The kernel hands on uncut what code sends by UDP_SEGMENT (udp(7)). What finds no room is lost, as UDP may be. */
    size_t most = device_segment_size(p), piece = most != 0 ? most : CII_MAX(p->payload_size, 1);
    size_t at = 0;
    do
        send(f->outer.fd, p->payload + at, CII_MIN(piece, p->payload_size - at), MSG_DONTWAIT | MSG_NOSIGNAL);
    while ((at += piece) < p->payload_size);
}

bool udp_expire(void) {
    bool left = false;
    for (udp_flow *f = udp.flows; f < udp.flows + udp.used; f++) {
        if (f->outer.fd >= 0 && gw.now_ms - f->used_ms > IDLE_MS)
            forget(f);
        left |= f->outer.fd >= 0;
    }
    return left;
}
