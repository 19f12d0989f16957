/* The network of a session that has the internet: one interface, whose far end lies in a namespace of its own, where
 * nothing is but the socket the gateway reads it by (lib/supervisor/gateway). And the sockets that end the session's
 * connections, in the session's own namespace. Made before the session gives up its rights over both. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "guest/init/guest.h"
#include "os/fd.h"
#include "wire/network.h"

#define MTU 65520   /* no datagram is cut in pieces */
#define MSS_V4 1460 /* a connection's segments are as on a real network; the kernel passes 64 KiB of them at a time */
#define MSS_V6 1440

/* --- netlink (rtnetlink(7)) ----------------------------------------------------------------------------------------- */

typedef struct request {
    struct nlmsghdr head;
    uint8_t body[1000];
} request;

static void *append(request *r, const void *data, size_t size) {
    uint8_t *at = (uint8_t *)r + NLMSG_ALIGN(r->head.nlmsg_len);
    memcpy(at, data, size);
    r->head.nlmsg_len = (uint32_t)(at - (uint8_t *)r + (ptrdiff_t)size);
    return at;
}

static struct rtattr *attribute(request *r, uint16_t type, const void *data, size_t size) {
    const struct rtattr attr = {.rta_len = (uint16_t)RTA_LENGTH(size), .rta_type = type};
    struct rtattr *at = append(r, &attr, sizeof attr);
    if (size > 0)
        append(r, data, size);
    return at;
}

/* What was added since belongs to it. */
static void end_nest(request *r, struct rtattr *nest) {
    nest->rta_len = (uint16_t)((uint8_t *)r + r->head.nlmsg_len - (uint8_t *)nest);
}

static request begin(uint16_t type, uint16_t flags, const void *data, size_t size) {
    request r = {
        .head = {.nlmsg_len = NLMSG_HDRLEN, .nlmsg_type = type, .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags}};
    append(&r, data, size);
    return r;
}

/* 0, or -1 with errno. */
static int ask(int fd, const request *r) {
    struct {
        struct nlmsghdr head;
        struct nlmsgerr error;
        uint8_t rest[1024];
    } answer;
    if (send(fd, r, r->head.nlmsg_len, 0) < 0 ||
        recv(fd, &answer, sizeof answer, 0) < (ssize_t)NLMSG_LENGTH(sizeof(int)))
        return -1;
    errno = -answer.error.error;
    return errno == 0 ? 0 : -1;
}

/* --- the interface -------------------------------------------------------------------------------------------------- */

#define NAME "eth0"

static void put_link(request *r, const char *name, uint8_t last) {
    const uint8_t address[6] = {2, 0, 0, 0, 0, last};
    const uint32_t mtu = MTU;
    attribute(r, IFLA_IFNAME, name, strlen(name) + 1);
    attribute(r, IFLA_ADDRESS, address, sizeof address);
    attribute(r, IFLA_MTU, &mtu, sizeof mtu);
}

static int add_pair(int fd, int32_t far_namespace) {
    const struct ifinfomsg link = {0};
    request r = begin(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &link, sizeof link);
    put_link(&r, NAME, 1);
    struct rtattr *info = attribute(&r, IFLA_LINKINFO, NULL, 0);
    attribute(&r, IFLA_INFO_KIND, "veth", 4);
    struct rtattr *data = attribute(&r, IFLA_INFO_DATA, NULL, 0);
    struct rtattr *peer = attribute(&r, VETH_INFO_PEER, &link, sizeof link);
    put_link(&r, NAME, 2);
    attribute(&r, IFLA_NET_NS_FD, &far_namespace, sizeof far_namespace);
    end_nest(&r, peer);
    end_nest(&r, data);
    end_nest(&r, info);
    return ask(fd, &r);
}

/* In the namespace of the socket. There is nobody to ask for link addresses. */
static int raise_link(int fd) {
    struct ifreq link = {.ifr_name = NAME, .ifr_flags = IFF_UP | IFF_RUNNING | IFF_NOARP};
    return ioctl(fd, SIOCSIFFLAGS, &link);
}

static int add_address(int fd, int family, const char *text, uint32_t index) {
    struct ifaddrmsg message = {.ifa_family = (uint8_t)family,
                                .ifa_prefixlen = family == AF_INET ? 32 : 128,
                                .ifa_flags = IFA_F_NODAD,
                                .ifa_index = index};
    uint8_t address[16];
    inet_pton(family, text, address);
    request r = begin(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, &message, sizeof message);
    attribute(&r, IFA_LOCAL, address, family == AF_INET ? 4 : 16);
    return ask(fd, &r);
}

static int add_default_route(int fd, int family, uint32_t index) {
    const struct rtmsg message = {.rtm_family = (uint8_t)family,
                                  .rtm_table = RT_TABLE_MAIN,
                                  .rtm_protocol = RTPROT_BOOT,
                                  .rtm_scope = family == AF_INET ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE,
                                  .rtm_type = RTN_UNICAST};
    request r = begin(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, &message, sizeof message);
    const uint32_t mss = family == AF_INET ? MSS_V4 : MSS_V6;
    attribute(&r, RTA_OIF, &index, sizeof index);
    struct rtattr *metrics = attribute(&r, RTA_METRICS, NULL, 0);
    attribute(&r, RTAX_ADVMSS, &mss, sizeof mss);
    end_nest(&r, metrics);
    return ask(fd, &r);
}

static void set_parameter(const char *name, const char *value) {
    char path[96];
    snprintf(path, sizeof path, "/proc/sys/net/%s", name);
    _cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd >= 0 && write(fd, value, strlen(value)) < 0)
        return; /* a kernel without it works too */
}

/* --- sockets -------------------------------------------------------------------------------------------------------- */

static int listen_at(int family, const char *text) {
    _cleanup_close_ int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(CII_NETWORK_LISTEN_PORT)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(CII_NETWORK_LISTEN_PORT)};
    inet_pton(family, text, family == AF_INET ? (void *)&v4.sin_addr : &v6.sin6_addr);
    const struct sockaddr *address = family == AF_INET ? (void *)&v4 : (void *)&v6;
    socklen_t size = family == AF_INET ? sizeof v4 : sizeof v6;
    return fd >= 0 && bind(fd, address, size) == 0 && listen(fd, 1024) == 0 ? TAKE_FD(fd) : -1;
}

/* The far end of the interface; the current namespace must be the one it lies in. */
static int open_far_end(void) {
    const int on = 1;
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0 && setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof on) < 0)
        cii_close(TAKE_FD(fd));
    if (fd >= 0) {
        setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof on);
        setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof on);
    }
    return fd;
}

static int bind_far_end(int fd) {
    struct ifreq link = {.ifr_name = NAME};
    if (ioctl(fd, SIOCGIFINDEX, &link) < 0)
        return -1;
    const struct sockaddr_ll address = {
        .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = link.ifr_ifindex};
    return bind(fd, (const struct sockaddr *)&address, sizeof address);
}

/* --- all of it ------------------------------------------------------------------------------------------------------ */

static int fill(int netlink, int far_end, int far_namespace) {
    /* Dead hosts end in an error after half a minute, and the windows are no larger than what the far end can hold. */
    set_parameter("ipv4/tcp_syn_retries", "4");
    set_parameter("ipv4/tcp_rmem", "4096 131072 524288");
    set_parameter("ipv4/tcp_wmem", "4096 65536 1048576");
    set_parameter("ipv4/ip_unprivileged_port_start", "2"); /* nobody's listener but ours is below it */
    if (add_pair(netlink, far_namespace) < 0)
        return -1;
    uint32_t index = if_nametoindex(NAME);
    _cleanup_close_ int any = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (index == 0 || raise_link(any) < 0 || raise_link(far_end) < 0 || bind_far_end(far_end) < 0 ||
        add_address(netlink, AF_INET, CII_NETWORK_GUEST_V4, index) < 0 ||
        add_default_route(netlink, AF_INET, index) < 0)
        return -1;
    if (add_address(netlink, AF_INET6, CII_NETWORK_GUEST_V6, index) == 0)
        add_default_route(netlink, AF_INET6, index);
    return 0;
}

int network_make(int channel_fd) {
    set_parameter("ipv6/conf/default/addr_gen_mode", "1"); /* no link-local addresses */
    _cleanup_close_ int far_namespace = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC), far_end = open_far_end();
    if (far_namespace < 0 || far_end < 0 || unshare(CLONE_NEWNET) < 0)
        return -1;
    set_parameter("ipv6/conf/default/addr_gen_mode", "1");
    _cleanup_close_ int netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (netlink < 0 || fill(netlink, far_end, far_namespace) < 0)
        return -1;
    _cleanup_close_ int v4 = listen_at(AF_INET, CII_NETWORK_GUEST_V4);
    _cleanup_close_ int v6 = listen_at(AF_INET6, CII_NETWORK_GUEST_V6);
    const int fds[CII_NETWORK_FDS] = {far_end, v4, v6};
    return v4 < 0 || cii_fd_send(channel_fd, "", 1, fds, v6 < 0 ? 2 : 3, 0) < 0 ? -1 : 0;
}

int network_await(int channel_fd) {
    char ready;
    errno = EPIPE; /* if it has ended */
    return recv(channel_fd, &ready, 1, 0) == 1 ? 0 : -1;
}
