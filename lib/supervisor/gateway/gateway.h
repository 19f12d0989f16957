/* What the files of the gateway share. One process for each session that has the internet, one thread; see README.md. */
#ifndef CII_SUPERVISOR_GATEWAY_H
#define CII_SUPERVISOR_GATEWAY_H

#include "supervisor/gateway/packet.h"
#include "supervisor/gateway/policy.h"
#include "wire/network.h"

#define GATEWAY_TCP_MAX 1024 /* connections at a time */
#define GATEWAY_UDP_MAX 512
#define GATEWAY_QUESTIONS_MAX 64 /* names being resolved */
#define GATEWAY_RESOLVERS_MAX 3
#define GATEWAY_FDS_MAX 16384 /* six a connection, at worst */
#define GATEWAY_OWN_RULE "one of the host's own addresses"

/* Something with a descriptor in the epoll set: called with its events. */
typedef struct source source;
struct source {
    void (*ready)(source *s, uint32_t events);
    int fd;
};

typedef struct gateway {
    policy *policy;
    endpoint guest[2], peer[2]; /* IPv4, IPv6 */
    endpoint resolver;          /* what the guest asks */
    endpoint upstream[GATEWAY_RESOLVERS_MAX];
    size_t upstream_count;
    int epoll_fd;
    source device, events, listeners[2];
    int64_t now_ms; /* of this round */
} gateway;
extern gateway gw;

/* --- confine.c ---------------------------------------------------------------------------------------------------- */

/* Leaves the process nothing but its descriptors and new sockets of the internet: an empty root, no capability, no
 * right, no other system call. 0, or -1 with errno. */
int gateway_confine(void);

/* --- gateway.c ------------------------------------------------------------------------------------------------------ */

typedef union socket_address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
} socket_address;
endpoint endpoint_from(const socket_address *a);
/* Its size. */
socklen_t socket_address_of(const endpoint *e, socket_address *ret);

bool gateway_watch(source *s, uint32_t events);
void gateway_rewatch(source *s, uint32_t events);
/* Ends a source's descriptor. */
void gateway_unwatch(source *s);
/* A socket of the host's, not blocking, on its way to `target`; -1 with errno. */
int gateway_connect(const endpoint *target, int type);

/* --- refusals.c: what the guest may not do, told to the host -------------------------------------------------------- */

/* Before the walls are up. */
bool gateway_ask_routes(void);
/* Whether the guest may talk to `target`; else the host is told. */
bool gateway_permits(const endpoint *target, const char *protocol);
/* Whether it is one of the host's own addresses. */
bool gateway_is_own(const address *a);
/* name "" or target NULL: there is none. */
void gateway_refused(const char *name, const endpoint *target, const char *protocol, const char *rule);
/* Tells how often the last one was repeated; false: there is nothing more to tell. */
bool gateway_refused_expire(void);

/* --- device.c: the session's interface ------------------------------------------------------------------------------ */

/* Room before each packet: for what the kernel says of it (virtio-net's header) and a link header. */
#define DEVICE_HEADROOM 32
#define DEVICE_ALIGN 8 /* of what has it, so that the headers in it are aligned */
/* Takes the session's packet socket; before the walls are up. */
void device_open(int fd);
/* Sends a packet that came back with other addresses; what lies before it is as it came. */
void device_forward(packet *p, const endpoint *from, const endpoint *to);
/* Sends one that was made here. transport: where a header with a partial checksum begins; 0: it is whole. */
void device_send(uint8_t *data, size_t size, size_t transport);
void device_ready(source *s, uint32_t events);
/* Into what pieces the kernel left a datagram to be cut; 0: it is one. */
size_t device_segment_size(const packet *p);
/* Reads what has come; false: nothing had. */
bool device_read(void);
/* Whether something is known to have come, without a call. */
bool device_waits(void);

/* --- tcp.c, udp.c, names.c ------------------------------------------------------------------------------------------ */

/* For a socket that listens: those that it accepts are as it is. */
void tcp_tune(int fd);
void tcp_packet(packet *p);
void tcp_accept(source *listener, uint32_t events);
/* Goes on with what was left for others to have their turn; false: nothing was. */
bool tcp_again(void);
void udp_packet(const packet *p);
void names_packet(const packet *p);
/* Forget what is too old; false: nothing is left that could become so. */
bool tcp_expire(void);
bool udp_expire(void);
bool names_expire(void);

#endif
