/* The session's interface, as the gateway holds it: a packet socket on the far end of a pair of virtual Ethernet devices,
 * in a network namespace of its own in which nothing else is. It needs no device file, and so works where /dev/net/tun is
 * closed or missing. Before each packet the kernel says what it left undone (PACKET_VNET_HDR, packet(7)): checksums are
 * not computed and segments not cut on this hop. */
#include <linux/virtio_net.h>
#include <net/ethernet.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "supervisor/gateway/gateway.h"

#define VNET sizeof(struct virtio_net_hdr)
#define LINK ETHER_HDR_LEN
#ifndef VIRTIO_NET_HDR_GSO_UDP_L4 /* of Linux 6.2's headers */
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif
#define BATCH 64
#define PACKET_MAX (65536 + 64)

_Static_assert(VNET + LINK <= DEVICE_HEADROOM, "room before a packet");

static _Alignas(DEVICE_ALIGN) uint8_t buffer[DEVICE_HEADROOM + PACKET_MAX];

static void write_packet(uint8_t *ip, size_t size) {
    struct ether_header *link = (struct ether_header *)(void *)(ip - LINK);
    memcpy(link->ether_dhost, (const uint8_t[]){2, 0, 0, 0, 0, 1}, ETH_ALEN);
    memcpy(link->ether_shost, (const uint8_t[]){2, 0, 0, 0, 0, 2}, ETH_ALEN);
    link->ether_type = htons(ip[0] >> 4 == 6 ? ETHERTYPE_IPV6 : ETHERTYPE_IP);
    /* One that finds no room is lost, as on any network. */
    send(gw.device.fd, ip - LINK - VNET, VNET + LINK + size, MSG_DONTWAIT | MSG_NOSIGNAL);
}

void device_forward(packet *p, const endpoint *from, const endpoint *to) {
    const struct virtio_net_hdr *head = (const void *)(p->ip - LINK - VNET);
    packet_readdress(p, from, to, (head->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) != 0);
    write_packet(p->ip, p->size);
}

void device_send(uint8_t *data, size_t size, size_t transport) {
    struct virtio_net_hdr *head = (void *)(data - LINK - VNET);
    *head = (struct virtio_net_hdr){0};
    if (transport != 0) {
        head->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
        head->csum_start = (uint16_t)(LINK + transport);
        head->csum_offset = 6; /* of UDP */
    }
    write_packet(data, size);
}

size_t device_segment_size(const packet *p) {
    const struct virtio_net_hdr *head = (const void *)(p->ip - LINK - VNET);
    return (head->gso_type & ~VIRTIO_NET_HDR_GSO_ECN) == VIRTIO_NET_HDR_GSO_UDP_L4 ? head->gso_size : 0;
}

bool device_read(void) {
    for (int i = 0; i < BATCH; i++) {
        uint8_t *at = buffer + DEVICE_HEADROOM - LINK - VNET;
        ssize_t size = recv(gw.device.fd, at, VNET + LINK + PACKET_MAX, MSG_DONTWAIT | MSG_TRUNC);
        packet p;
        if (size < 0)
            return i > 0;
        if (size < (ssize_t)(VNET + LINK) || size > (ssize_t)(VNET + LINK + PACKET_MAX) ||
            !packet_parse(buffer + DEVICE_HEADROOM, (size_t)size - VNET - LINK, &p) ||
            !address_equal(&p.source.address, &gw.guest[p.v6].address))
            continue;
        if (p.protocol == IPPROTO_TCP)
            tcp_packet(&p);
        else if (p.target.port == 53 && address_equal(&p.target.address, &gw.resolver.address))
            names_packet(&p);
        else
            udp_packet(&p);
    }
    return true;
}

void device_ready(_unused_ source *s, _unused_ uint32_t events) {
    /* It is read after all that is ready, in each round. */
}
