"""Who is who in the lab: addresses, ports and names. The lab's internet answers at every address there is but the
host's, so that what must not be reached would answer, too."""

from __future__ import annotations

import struct

#: The host's own: what it has as its address towards the internet, among private ones, on the link, and of itself.
HOST4, HOST6 = "93.184.215.2", "2606:2800:21f::2"
HOST_PRIVATE4, HOST_PRIVATE6 = "192.168.77.1", "fd77::1"
HOST_LINK4, HOST_LINK6 = "169.254.77.1", "fe80::1"
HOST_ADDRESSES = ["127.0.0.1", "::1", HOST4, HOST6, HOST_PRIVATE4, HOST_PRIVATE6, HOST_LINK4, HOST_LINK6]
HOST_INTERFACE = "uplink"

WEB4, WEB6 = "93.184.216.34", "2606:2800:220:1::1"
OTHER4 = "93.184.217.35"
DROPS4 = "93.184.216.99"  # whatever is sent there is dropped
UNREACHABLE4 = "93.184.216.98"  # the host knows no way there
RESOLVER4 = "10.53.53.53"  # what the host's resolv.conf names: a private address, as at many
PUBLIC_RESOLVER4, PUBLIC_RESOLVER6 = "8.8.8.8", "2001:4860:4860::8888"
GATEWAY4, GATEWAY6 = "93.184.215.1", "fe80::2"  # the internet at the other end of the uplink

ECHO, CONTROL, DNS, HTTP, HTTPS, OTHER_HTTP = 7, 9, 53, 80, 443, 8080
SILENT, RESETS, REFUSES, BULK, GREETS = 7001, 7002, 7003, 7004, 7007
FAST, FLOOD = 7005, 7006  # for figures: not logged

#: Not public, and not the host's: kind, address.
FORBIDDEN4 = [
    ("private", "10.1.2.3"),
    ("private", "172.16.0.1"),
    ("private", "172.31.255.254"),
    ("private", "192.168.1.1"),
    ("shared", "100.64.0.1"),
    ("shared", "100.127.255.254"),
    ("link-local", "169.254.1.1"),
    ("metadata", "169.254.169.254"),
    ("metadata", "168.63.129.16"),
    ("metadata", "100.100.100.200"),
    ("this-network", "0.1.2.3"),
    ("reserved", "192.0.0.1"),
    ("reserved", "192.0.2.1"),
    ("reserved", "192.88.99.1"),
    ("reserved", "198.19.255.1"),
    ("reserved", "198.51.100.1"),
    ("reserved", "203.0.113.1"),
    ("reserved", "240.0.0.1"),
    ("reserved", "255.255.255.254"),
    ("resolver", RESOLVER4),
]
FORBIDDEN6 = [
    ("private", "fd00:ec2::254"),
    ("private", "fc00::1"),
    ("site-local", "fec0::1"),
    ("reserved", "2001:db8::1"),
    ("reserved", "100::1"),
    ("reserved", "5f00::1"),
    ("compatible", "::192.168.77.1"),
    ("translated", "::ffff:0:10.1.2.3"),
    ("nat64", "64:ff9b::10.1.2.3"),
    ("nat64", "64:ff9b::192.168.77.1"),
    ("nat64", "64:ff9b:1::10.1.2.3"),
    ("6to4", "2002:c0a8:4d01::1"),
    ("6to4", "2002:7f00:1::1"),
    ("teredo", "2001:0:5db8:d822:0:0:3f57:b2fe"),  # its client is 192.168.77.1, its server a public one
]

#: What the lab's name servers know: name, then its records. A list in a list is one answer of those that take turns.
ZONE: dict[str, list] = {
    "web.example.com": [("A", WEB4), ("AAAA", WEB6)],
    "api.example.com": [("A", WEB4)],
    "index.example.com": [("A", WEB4)],
    "six.example.com": [("AAAA", WEB6)],
    "other.example.com": [("A", OTHER4)],
    "deep.er.example.com": [("A", OTHER4)],
    "example.com": [("A", WEB4)],
    "example.org": [("A", OTHER4)],
    "web.example.org": [("A", OTHER4)],
    "badexample.com": [("A", OTHER4)],
    "_service.example.com": [("A", WEB4)],
    "drops.example.com": [("A", DROPS4)],
    "cname.example.com": [("CNAME", "web.example.com")],
    "cname-out.example.com": [("CNAME", "web.example.org")],
    "cname-private.example.com": [("CNAME", "private.example.net")],
    "private.example.net": [("A", HOST_PRIVATE4), ("AAAA", HOST_PRIVATE6)],
    "loopback.example.net": [("A", "127.0.0.1"), ("AAAA", "::1")],
    "zero.example.net": [("A", "0.0.0.0"), ("AAAA", "::")],
    "host.example.net": [("A", HOST4), ("AAAA", HOST6)],
    "metadata.example.net": [("A", "169.254.169.254"), ("AAAA", "fd00:ec2::254")],
    "mapped.example.net": [("AAAA", f"::ffff:{HOST_PRIVATE4}")],
    "nat64.example.net": [("AAAA", f"64:ff9b::{HOST_PRIVATE4}")],
    "6to4.example.net": [("AAAA", "2002:c0a8:4d01::1")],
    "teredo.example.net": [("AAAA", "2001:0:5db8:d822:0:0:3f57:b2fe")],
    "mixed.example.net": [("A", HOST_PRIVATE4), ("A", WEB4), ("A", "10.1.2.3")],
    "rebind.example.net": [[("A", WEB4)], [("A", HOST_PRIVATE4)]],
    "many.example.com": [("A", f"93.184.216.{n}") for n in range(101, 131)],
    "huge.example.com": [("A", f"93.184.216.{n}") for n in range(1, 255)] * 4,
    "loop.example.com": [("CNAME", "loop2.example.com")],
    "loop2.example.com": [("CNAME", "loop.example.com")],
}
SILENT_NAME, FAILING_NAME = "silent.example.com", "failing.example.com"


def pattern(size: int) -> bytes:
    """What the server of bulk data sends: bytes that any lost or moved piece would change."""
    block = b"".join(struct.pack("!I", n * 2654435761 & 0xFFFFFFFF) for n in range(16384))
    return (block * (size // len(block) + 1))[:size]
