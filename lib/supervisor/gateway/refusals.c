/* What a session may reach, and telling the host what it may not. */
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <sys/socket.h>

#include "base/str.h"
#include "supervisor/gateway/gateway.h"

#define MESSAGE_MAX 1024
#define TOLD_MAX 16 /* the same, one by one, before they are counted: code that tries all the time fills no queue */

static struct {
    char last[MESSAGE_MAX]; /* the last refusal, but for its end */
    unsigned told;          /* times it was told by itself */
    unsigned repeated;      /* and times since then */
    int route_fd;           /* asks the kernel for routes */
    uint32_t route_seq;
} refusals;

bool gateway_ask_routes(void) {
    refusals.route_fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    return refusals.route_fd >= 0;
}

/* Where the kernel would take a packet to it: RTN_UNICAST, RTN_LOCAL, …; RTN_UNREACHABLE when there is no way, RTN_UNSPEC when
 * it does not say (rtnetlink(7)). */
static uint8_t route_type(const address *a) {
    const bool v4 = address_is_v4(a);
    const uint16_t bytes = v4 ? 4 : 16;
    struct {
        struct nlmsghdr head;
        struct rtmsg route;
        struct rtattr attribute;
        uint8_t target[16];
    } ask = {.head = {.nlmsg_type = RTM_GETROUTE, .nlmsg_flags = NLM_F_REQUEST, .nlmsg_seq = ++refusals.route_seq},
             .route = {.rtm_family = v4 ? AF_INET : AF_INET6, .rtm_dst_len = (uint8_t)(bytes * 8)},
             .attribute = {.rta_len = (uint16_t)RTA_LENGTH(bytes), .rta_type = RTA_DST}};
    struct {
        struct nlmsghdr head;
        union {
            struct rtmsg route;
            struct nlmsgerr error;
        };
        uint8_t rest[1024];
    } answer;
    memcpy(ask.target, a->s6_addr + 16 - bytes, bytes);
    ask.head.nlmsg_len = (uint32_t)(offsetof(__typeof__(ask), target) + bytes);
    if (send(refusals.route_fd, &ask, ask.head.nlmsg_len, 0) < 0)
        return RTN_UNSPEC;
    ssize_t size;
    do /* what was left of a question before it is not the answer */
        size = recv(refusals.route_fd, &answer, sizeof answer, MSG_DONTWAIT);
    while (size >= (ssize_t)sizeof answer.head && answer.head.nlmsg_seq != ask.head.nlmsg_seq);
    if (size >= (ssize_t)NLMSG_LENGTH(sizeof answer.route) && answer.head.nlmsg_type == RTM_NEWROUTE)
        return answer.route.rtm_type;
    bool no_way = size >= (ssize_t)NLMSG_LENGTH(sizeof answer.error) && answer.head.nlmsg_type == NLMSG_ERROR &&
                  (answer.error.error == -ENETUNREACH || answer.error.error == -EHOSTUNREACH ||
                   answer.error.error == -EACCES /* prohibited */);
    return no_way ? RTN_UNREACHABLE : RTN_UNSPEC;
}

/* An address that the kernel would take itself is this machine's, whatever has it: an interface, a local route to a whole
 * network, a router's anycast. Asked each time, since they change. What the kernel does not say is refused, a
 * blackhole among it: the question is invalid to it, as a wrong one were. */
bool gateway_is_own(const address *a) {
    uint8_t type = route_type(a);
    return type != RTN_UNICAST && type != RTN_UNREACHABLE && type != RTN_PROHIBIT;
}

bool gateway_permits(const endpoint *target, const char *protocol) {
    verdict v;
    bool may = policy_connect(gw.policy, &target->address, target->port, gw.now_ms, &v);
    if (may && !v.named_by_address && gateway_is_own(&target->address)) {
        may = false;
        snprintf(v.rule, sizeof v.rule, GATEWAY_OWN_RULE);
    }
    if (!may)
        gateway_refused(v.name, target, protocol, v.rule);
    return may;
}

/* Nothing that would end a JSON string. */
static const char *clean(const char *text, char *ret, size_t size) {
    size_t i = 0;
    for (; text[i] != 0 && i + 1 < size; i++)
        ret[i] = (unsigned char)text[i] < ' ' || (unsigned char)text[i] > '~' || text[i] == '"' || text[i] == '\\'
                     ? '?'
                     : text[i];
    ret[i] = 0;
    return ret;
}

static void tell(unsigned count) {
    char message[MESSAGE_MAX + 32];
    int size = snprintf(message, sizeof message, "%s,\"count\":%u}", refusals.last, count);
    send(gw.events.fd, message, (size_t)size,
         MSG_DONTWAIT | MSG_NOSIGNAL); /* a host that does not read has its reasons */
}

void gateway_refused(const char *name, const endpoint *target, const char *protocol, const char *rule) {
    char message[MESSAGE_MAX], text[NAME_SIZE], where[ADDRESS_TEXT_SIZE] = "";
    size_t at = (size_t)snprintf(message, sizeof message, "{\"protocol\":\"%s\",\"port\":%u", protocol,
                                 target != NULL ? target->port : 0u);
    if (*name != 0)
        at += (size_t)snprintf(message + at, sizeof message - at, ",\"name\":\"%s\"", clean(name, text, sizeof text));
    if (target != NULL) {
        address_format(&target->address, where);
        at += (size_t)snprintf(message + at, sizeof message - at, ",\"address\":\"%s\"", where);
    }
    snprintf(message + at, sizeof message - at, ",\"rule\":\"%s\"", clean(rule, text, sizeof text));
    bool same = strcmp(message, refusals.last) == 0;
    if (same && refusals.told >= TOLD_MAX) {
        refusals.repeated++;
        return;
    }
    gateway_refused_expire();
    memcpy(refusals.last, message, sizeof message);
    refusals.told = same ? refusals.told + 1 : 1;
    tell(1);
}

bool gateway_refused_expire(void) {
    if (refusals.repeated > 0)
        tell(refusals.repeated);
    refusals.repeated = 0;
    return false;
}
