/* The network of a session that has the internet, as init makes it and the gateway serves it. Nobody on the internet has
 * these addresses: 198.18.0.0/15 (RFC 2544) and fd00::/8 (RFC 4193). */
#ifndef CII_WIRE_NETWORK_H
#define CII_WIRE_NETWORK_H

#define CII_NETWORK_GUEST_V4 "198.18.0.1"
#define CII_NETWORK_PEER_V4 "198.18.0.2" /* where the session's listener sees its connections come from */
#define CII_NETWORK_RESOLVER "198.18.0.3"
#define CII_NETWORK_GUEST_V6 "fd00:6369::1"
#define CII_NETWORK_PEER_V6 "fd00:6369::2"
#define CII_NETWORK_LISTEN_PORT 1

/* In a sandbox /etc/resolv.conf leads here, where nothing is: a session that has the internet lays a folder over it. */
#define CII_NETWORK_FOLDER "/opt/libci/network"

/* The descriptors that init sends to the gateway, in this order: the interface's far end, a listener for IPv4, and one
 * for IPv6 where the kernel has that. */
#define CII_NETWORK_FDS 3

#endif
