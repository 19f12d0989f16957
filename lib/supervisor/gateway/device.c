/* The session's interface, as the gateway holds it: a packet socket on the far end of a pair of virtual Ethernet devices,
 * in a network namespace of its own in which nothing else is. It needs no device file, and so works where /dev/net/tun is
 * closed or missing. Before each packet the kernel says what it left undone (PACKET_VNET_HDR, packet(7)): checksums are
 * not computed and segments not cut on this hop.
 *
 * Small packets lie in a ring that the kernel shares with the gateway (PACKET_RX_RING, Documentation/networking/
 * packet_mmap.rst), and are read without a call; those that are larger than its frames wait in the socket's queue. */
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <net/ethernet.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "supervisor/gateway/gateway.h"

#define VNET sizeof(struct virtio_net_hdr)
#define LINK ETHER_HDR_LEN
#ifndef VIRTIO_NET_HDR_GSO_UDP_L4 /* of Linux 6.2's headers */
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif
#define BATCH 64
#define PACKET_MAX (65536 + 64)
#define FRAME 1024
#define FRAMES 512
#define BLOCK 65536 /* a multiple of a page, however large */
#define QUEUE_BYTES (16 << 20)

_Static_assert(VNET + LINK <= DEVICE_HEADROOM, "room before a packet");

static _Alignas(DEVICE_ALIGN) uint8_t buffer[DEVICE_HEADROOM + PACKET_MAX];
static uint8_t *frames; /* NULL: there is no ring */
static size_t frame_at; /* the next to be filled */

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

/* What waits is bounded by the ring, and by the socket's buffer: what root may have of it, or what the machine grants
 * everybody. Where there is no ring, all of it is read from the queue. */
void device_open(int fd) {
    const int version = TPACKET_V2, larger_too = 1, bytes = QUEUE_BYTES;
    const struct tpacket_req ring = {
        .tp_block_size = BLOCK, .tp_block_nr = FRAMES * FRAME / BLOCK, .tp_frame_size = FRAME, .tp_frame_nr = FRAMES};
    gw.device = (source){.ready = device_ready, .fd = fd};
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes) < 0)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
    if (setsockopt(fd, SOL_PACKET, PACKET_VERSION, &version, sizeof version) < 0 ||
        setsockopt(fd, SOL_PACKET, PACKET_COPY_THRESH, &larger_too, sizeof larger_too) < 0 ||
        setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &ring, sizeof ring) < 0)
        return;
    void *ring_memory = mmap(NULL, FRAMES * FRAME, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (ring_memory != MAP_FAILED)
        frames = ring_memory;
    else
        setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &(struct tpacket_req){0}, sizeof ring);
}

static struct tpacket2_hdr *next_frame(void) {
    return (void *)(frames + frame_at * FRAME);
}

bool device_waits(void) {
    return frames != NULL && (__atomic_load_n(&next_frame()->tp_status, __ATOMIC_ACQUIRE) & TP_STATUS_USER);
}

static void take(uint8_t *data, size_t size) {
    packet p;
    if (size < VNET + LINK || size > VNET + LINK + PACKET_MAX ||
        !packet_parse(data + VNET + LINK, size - VNET - LINK, &p) ||
        !address_equal(&p.source.address, &gw.guest[p.v6].address))
        return;
    if (p.protocol == IPPROTO_TCP)
        tcp_packet(&p);
    else if (p.target.port == 53 && address_equal(&p.target.address, &gw.resolver.address))
        names_packet(&p);
    else
        udp_packet(&p);
}

static bool take_from_queue(void) {
    uint8_t *at = buffer + DEVICE_HEADROOM - LINK - VNET;
    ssize_t size = recv(gw.device.fd, at, VNET + LINK + PACKET_MAX, MSG_DONTWAIT | MSG_TRUNC);
    if (size > 0)
        take(at, (size_t)size);
    return size >= 0;
}

static bool take_next(void) {
    if (frames == NULL)
        return take_from_queue();
    if (!device_waits())
        return false;
    struct tpacket2_hdr *head = next_frame();
    if (head->tp_status & TP_STATUS_COPY)
        (void)(take_from_queue() || take_from_queue()); /* the first may be an error of the socket's own */
    else if (head->tp_snaplen == head->tp_len)
        take((uint8_t *)head + head->tp_mac - VNET, VNET + head->tp_snaplen);
    __atomic_store_n(&head->tp_status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
    frame_at = (frame_at + 1) % FRAMES;
    return true;
}

bool device_read(void) {
    for (int i = 0; i < BATCH; i++)
        if (!take_next())
            return i > 0;
    return true;
}

/* It is read after all that is ready, in each round. */
void device_ready(source *s, uint32_t events) {
    int error_number;
    if (events & EPOLLERR) /* taken, or it is told for ever */
        getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error_number, &(socklen_t){sizeof error_number});
}
