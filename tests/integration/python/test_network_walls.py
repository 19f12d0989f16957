"""What code in a session that has the internet, without any rule, must not reach, and how it is told. Each server that
must not be reached is called by the test as well: it is there, and its log has nothing but that."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

import pytest
from network import REFUSED, TIMEOUT, Guest, guest, host_reached, lab, names, netlab, open_guest, sandbox  # noqa: F401

FORBIDDEN = [address for _, address in names.FORBIDDEN4 + names.FORBIDDEN6]
#: The host's own that a session has not got itself: its loopback is another.
HOSTS = [address for address in names.HOST_ADDRESSES if address not in ("127.0.0.1", "::1")]


@pytest.fixture(autouse=True)
def nothing_of_the_host_is_reached(lab: netlab.Lab) -> Iterator[None]:
    yield
    assert host_reached(lab) == []


def told(guest: Guest, address: str, protocol: str, port: int, rule: str | None = None) -> bool:
    """Whether the host was told of a refused address, in whichever form, and by which rule."""
    wanted = ipaddress.ip_address(address.split("%")[0])
    wanted = getattr(wanted, "ipv4_mapped", None) or wanted
    return any(
        (ipaddress.ip_address(entry["address"]), entry["port"], entry["protocol"]) == (wanted, port, protocol)
        and entry["rule"] == (rule or entry["rule"])
        for entry in guest.refusals
        if entry.get("address")
    )


@pytest.mark.parametrize("address", [address for address in FORBIDDEN + HOSTS if not address.startswith("fe80")])
def test_an_address_that_is_not_public_is_refused(lab: netlab.Lab, guest: Guest, address: str) -> None:
    assert guest.ask(f"tcp({address!r})") in REFUSED
    assert guest.is_told(lambda: told(guest, address, "tcp", 80)), guest.refusals
    assert lab.visitors(address) == []


@pytest.mark.parametrize("address", [address for address in FORBIDDEN + HOSTS if not address.startswith("fe80")])
def test_no_datagram_goes_there_either(lab: netlab.Lab, guest: Guest, address: str) -> None:
    assert guest.ask(f"udp({address!r}, timeout=0.5)") in REFUSED | {TIMEOUT}
    assert guest.is_told(lambda: told(guest, address, "udp", names.ECHO)), guest.refusals
    assert lab.visitors(address, names.ECHO, "udp") == []


OWN_RULE = "one of the host's own addresses"
#: What the host takes for its own though no interface of it has the address, and how it comes to: a route of a whole
#: network to itself; where it routes, the first address of each network.
ROUTED_TO_ITSELF = {
    "8.9.10.77": ("ip route add local 8.9.10.0/24 dev lo", "ip route del local 8.9.10.0/24 dev lo"),
    "2a00:1450::77": ("ip -6 route add local 2a00:1450::/48 dev lo", "ip -6 route del local 2a00:1450::/48 dev lo"),
}
FORWARDING = f"/proc/sys/net/ipv6/conf/{names.HOST_INTERFACE}/forwarding"
ANYCAST = "2606:2800:21e::"
ROUTER = (
    f"echo 1 >{FORWARDING} && ip addr add {ANYCAST}5/64 dev {names.HOST_INTERFACE} nodad",
    f"ip addr del {ANYCAST}5/64 dev {names.HOST_INTERFACE}; echo 0 >{FORWARDING}",
)


@pytest.mark.parametrize("address", ROUTED_TO_ITSELF)
def test_a_network_that_the_host_routes_to_itself_is_refused(lab: netlab.Lab, guest: Guest, address: str) -> None:
    assert b"hello" in guest.ask(f"tcp({address!r})")
    assert guest.ask(f"udp({address!r})") == b"ping"
    with lab.changed(*ROUTED_TO_ITSELF[address], address):
        assert guest.ask(f"tcp({address!r})") in REFUSED
        assert guest.is_told(lambda: told(guest, address, "tcp", 80, OWN_RULE)), guest.refusals
        assert guest.ask(f"udp({address!r})") in REFUSED
        assert guest.is_told(lambda: told(guest, address, "udp", names.ECHO, OWN_RULE)), guest.refusals
        assert lab.visitors(address) == []
        assert lab.visitors(address, names.ECHO, "udp") == []
    assert b"hello" in guest.ask(f"tcp({address!r})")
    assert guest.ask(f"udp({address!r})") == b"ping"


def test_an_anycast_address_of_the_host_is_refused(lab: netlab.Lab, guest: Guest) -> None:
    """It is reached by datagrams: not every kernel lets a connection to it stand."""
    assert b"hello" in guest.ask(f"tcp({ANYCAST!r})")
    with lab.changed(*ROUTER, ANYCAST):
        assert guest.ask(f"tcp({ANYCAST!r})") in REFUSED
        assert guest.is_told(lambda: told(guest, ANYCAST, "tcp", 80, OWN_RULE)), guest.refusals
        assert guest.ask(f"udp({ANYCAST!r})") in REFUSED
        assert guest.is_told(lambda: told(guest, ANYCAST, "udp", names.ECHO, OWN_RULE)), guest.refusals
        assert lab.visitors(ANYCAST, names.ECHO, "udp") == []


@pytest.mark.parametrize("kind", ["unreachable", "prohibit", "blackhole"])
@pytest.mark.parametrize("address", ["8.9.10.77", "2a00:1450::77"])
def test_where_the_host_goes_nowhere_is_an_error_at_once(
    lab: netlab.Lab, guest: Guest, address: str, kind: str
) -> None:
    """And not the policy's doing; but a blackhole is no answer to the question whose an address is."""
    family = "-6" if ":" in address else "-4"
    unclear = kind == "blackhole"
    with lab.changed(f"ip {family} route add {kind} {address}", f"ip {family} route del {kind} {address}"):
        for protocol, port in (("tcp", 80), ("udp", names.ECHO)):
            assert guest.ask(f"{protocol}({address!r})") in REFUSED
            if unclear:
                assert guest.is_told(lambda: told(guest, address, protocol, port)), guest.refusals  # noqa: B023
            assert len(guest.refusals) == unclear
    assert b"hello" in guest.ask(f"tcp({address!r})")


@pytest.mark.parametrize("address", ["10.1.2.3", "169.254.169.254", "127.0.0.1", names.HOST4, names.HOST_PRIVATE4])
def test_ipv4_in_ipv6_is_looked_through(lab: netlab.Lab, guest: Guest, address: str) -> None:
    assert guest.ask(f"tcp('::ffff:{address}')") in REFUSED
    assert guest.ask(f"udp('::ffff:{address}', timeout=0.5)") in REFUSED | {TIMEOUT}
    assert lab.visitors(address) == []


@pytest.mark.parametrize("address", ["fe80::1", "fe80::2", "fe80::99"])
def test_nothing_on_the_link_is_the_hosts(guest: Guest, address: str) -> None:
    """With each interface that the session has as scope; the host's own is called the same on its side."""
    for interface in ("lo", "eth0"):
        assert guest.ask(f"tcp('{address}%{interface}', timeout=2)") in REFUSED | {"EINVAL", "gaierror", TIMEOUT}
        guest.ask(f"udp('{address}%{interface}', timeout=0.2)")


LOOPBACK_SHAPES = "127.0.0.1 127.1.2.3 ::1 0.0.0.0 :: localhost 127.1 0x7f000001 2130706433 0".split()


@pytest.mark.parametrize("address", LOOPBACK_SHAPES)
def test_loopback_is_the_sessions_own(guest: Guest, address: str) -> None:
    assert guest.ask(f"tcp({address!r})") in REFUSED
    guest.ask(f"udp({address!r}, timeout=0.2)")


def test_loopback_is_not_reached_through_the_interface(guest: Guest) -> None:
    code = """
@trying
def through(kind, address, port):
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind) as s:
        s.settimeout(0.5)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"eth0")
        s.connect((address, port)); s.send(b"GET / HTTP/1.0\\r\\n\\r\\n")
        return s.recv(100)
[through(kind, address, 80 if kind == socket.SOCK_STREAM else 7)
 for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM) for address in ("127.0.0.1", "::1", "0.0.0.0")]
"""
    assert not any(isinstance(one, bytes) for one in guest.ask(code))


OWN_ADDRESSES = "198.18.0.1 198.18.0.2 198.18.0.3 198.18.0.0 fd00:6369::1 fd00:6369::2".split()


@pytest.mark.parametrize("address", OWN_ADDRESSES)
def test_the_gateways_own_addresses_are_no_way_to_the_host(guest: Guest, address: str) -> None:
    for port in (names.HTTP, names.HTTPS, names.CONTROL, names.DNS):
        assert guest.ask(f"tcp({address!r}, {port}, timeout=2)") in REFUSED | {TIMEOUT}
    guest.ask(f"udp({address!r}, timeout=0.2)")


NAMES = "private loopback zero host metadata mapped nat64 6to4 teredo".split()


@pytest.mark.parametrize("name", NAMES)
def test_a_public_name_of_another_address_is_no_way_there(lab: netlab.Lab, guest: Guest, name: str) -> None:
    name += ".example.net"
    assert guest.ask(f"tcp({name!r})") in REFUSED | {"gaierror"}
    assert {guest.ask(f"ask({name!r}, {kind})") for kind in (1, 28)} == {(0, 0)}
    for address in (names.HOST_PRIVATE4, "169.254.169.254", "64:ff9b::192.168.77.1", "2002:c0a8:4d01::1"):
        assert lab.visitors(address) == []


def test_of_a_names_addresses_the_public_one_is_what_is_left(lab: netlab.Lab, guest: Guest) -> None:
    assert guest.ask("resolve('mixed.example.net')") == [names.WEB4]
    assert b"hello" in guest.ask("tcp('mixed.example.net')")
    assert lab.visitors("10.1.2.3") == []


def test_a_name_that_rebinds_never_leads_to_the_host(lab: netlab.Lab, guest: Guest) -> None:
    """Its answers take turns: public, private. It was asked for often enough for both."""
    before = lab.queries().count("rebind.example.net")
    for _ in range(6):
        answer = guest.ask("tcp('rebind.example.net', timeout=2)")
        assert b"hello" in answer if isinstance(answer, bytes) else answer in REFUSED | {"gaierror", TIMEOUT}
    assert lab.queries().count("rebind.example.net") >= before + 4
    assert lab.visitors(names.HOST_PRIVATE4) == []


TARGETS = "127.0.0.1 192.168.77.1 169.254.169.254 [::ffff:192.168.77.1] private.example.net [fd77::1]".split()


@pytest.mark.parametrize("target", TARGETS)
def test_a_redirect_is_no_way_there(lab: netlab.Lab, guest: Guest, target: str) -> None:
    result = guest.shell(f"curl -sS -m 60 -L 'http://web.example.com/redirect?to=http://{target}/'")
    assert result.exit_code in (6, 7, 28, 35, 52, 56), (result.exit_code, result.stderr)
    assert result.stdout == ""
    assert lab.visitors(names.HOST_PRIVATE4) == [] and lab.visitors("169.254.169.254") == []


@pytest.mark.parametrize("address", "255.255.255.255 224.0.0.1 239.255.255.250 ff02::1 ff0e::1 198.18.0.3".split())
def test_nothing_is_sent_to_many(lab: netlab.Lab, guest: Guest, address: str) -> None:
    code = f"""
@trying
def send():
    with socket.socket(socket.AF_INET6 if ":" in {address!r} else socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1); s.settimeout(0.3)
        s.sendto(b"to all", ({address!r}, 7)); return s.recv(100)
send()
"""
    assert not isinstance(guest.ask(code), bytes)
    lab.visitors(names.WEB4, names.ECHO, "udp")
    assert not [entry for entry in lab.log("internet") if ipaddress.ip_address(entry["address"]).is_multicast]


def test_no_packet_is_made_by_hand(guest: Guest) -> None:
    code = """
@trying
def open_one(*arguments):
    socket.socket(*arguments).close(); return "open"
[open_one(family, socket.SOCK_RAW, protocol) for family in (socket.AF_INET, socket.AF_INET6)
 for protocol in (socket.IPPROTO_ICMP, socket.IPPROTO_TCP, socket.IPPROTO_RAW)] + [
 open_one(socket.AF_PACKET, kind, socket.htons(3)) for kind in (socket.SOCK_RAW, socket.SOCK_DGRAM)] + [
 trying(os.open)("/dev/net/tun", os.O_RDWR)]
"""
    assert all(str(one).startswith("E") for one in guest.ask(code))


CHANGES = [
    "ip addr add 10.9.9.9/32 dev eth0",
    "ip link set eth0 down",
    "ip link add d type dummy",
    "ip route add 10.0.0.0/8 dev eth0",
    "unshare -Urn true",
    "echo 1 >/proc/sys/net/ipv4/conf/eth0/route_localnet",
]


@pytest.mark.parametrize("command", CHANGES)
def test_the_interface_is_not_the_sessions_to_change(guest: Guest, command: str) -> None:
    assert guest.shell(command).exit_code != 0
    assert b"hello" in guest.ask(f"tcp({names.WEB4!r})")


def test_the_hosts_sockets_without_a_network_are_not_there(guest: Guest) -> None:
    """Abstract UNIX sockets belong to a network namespace."""
    import socket

    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server, socket.socket(socket.AF_UNIX) as control:
        server.bind("\0ci-netlab")
        server.listen()
        control.connect("\0ci-netlab")
        code = "s = socket.socket(socket.AF_UNIX); answer = trying(s.connect)('\\0ci-netlab'); s.close(); answer"
        assert guest.ask(code) == "ECONNREFUSED"


def test_a_burst_of_refusals_is_bounded_and_counted(lab: netlab.Lab, guest: Guest) -> None:
    guest.run("for n in range(600): udp(f'10.7.{n % 200}.1', 7, timeout=0.0001)")
    assert 1 <= len(guest.refusals) <= 65
    assert guest.ask("tcp('10.1.2.3')") in REFUSED
    assert guest.is_told(lambda: told(guest, "10.1.2.3", "tcp", 80))
    assert b"hello" in guest.ask(f"tcp({names.WEB4!r})")


def test_equal_refusals_are_told_once_with_their_count(guest: Guest) -> None:
    """With the run, or with a later one when there were more while it was told."""
    guest.run("for _ in range(50): tcp('10.1.2.3', 81)")
    assert guest.is_told(lambda: sum(entry["count"] for entry in guest.refusals) >= 50)
    assert sum(entry["count"] for entry in guest.refusals) == 50 and len(guest.refusals) <= 5
