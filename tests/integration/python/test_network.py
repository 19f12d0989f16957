"""What works in a session that has the internet: connections of all kinds, names, and ends of all kinds."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import libci
import pytest
from network import REFUSED, TIMEOUT, Guest, guest, lab, names, netlab, open_guest, sandbox  # noqa: F401

MIB = 1 << 20


@pytest.mark.parametrize("target", [names.WEB4, names.WEB6, "web.example.com", "six.example.com", "cname.example.com"])
def test_a_server_is_reached(guest: Guest, target: str) -> None:
    assert b"hello from" in guest.ask(f"tcp({target!r})")
    assert guest.refusals == []


def test_names_resolve_to_both_families(guest: Guest) -> None:
    assert guest.ask("resolve('web.example.com')") == sorted([names.WEB4, names.WEB6])
    assert guest.ask("resolve('WEB.Example.Com.', socket.AF_INET)") == [names.WEB4]
    assert guest.ask("resolve('cname-out.example.com')") == [names.OTHER4]
    assert guest.ask("resolve('_service.example.com')") == [names.WEB4]


def test_a_name_that_is_not_there_is_told_at_once(guest: Guest) -> None:
    assert guest.ask("resolve('nowhere.example.com')") == "gaierror"
    assert guest.ask("ask('nowhere.example.com')") == (3, 0)


@pytest.mark.parametrize("name", ["silent.example.com", "failing.example.com", "loop.example.com"])
def test_a_name_server_that_fails_is_an_error_in_time(guest: Guest, name: str) -> None:
    assert guest.ask(f"resolve({name!r})") == "gaierror"


def test_a_name_of_many_addresses(guest: Guest) -> None:
    """More than fit into a datagram of the old size: as many are given as do."""
    found = set(guest.ask("resolve('many.example.com')"))
    assert len(found) >= 20 and found <= {address for _, address in names.ZONE["many.example.com"]}
    assert b"hello" in guest.ask("tcp('many.example.com')")


def test_a_name_of_more_addresses_than_anybody_needs_harms_nothing(guest: Guest) -> None:
    assert isinstance(guest.ask("resolve('huge.example.com')"), (list, str))
    assert guest.ask("resolve('web.example.com', socket.AF_INET)") == [names.WEB4]


def test_datagrams_come_back(guest: Guest) -> None:
    for address in (names.WEB4, names.WEB6):
        assert guest.ask(f"udp({address!r}, 7, b'ping')") == b"ping"
        assert guest.ask(f"udp({address!r}, 7, bytes(1400)) == bytes(1400)") is True
    code = (
        "sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(50)]\n"
        f"for n, s in enumerate(sockets): s.settimeout(10); s.sendto(b'%d' % n, ({names.WEB4!r}, 7))\n"
        "[int(s.recvfrom(100)[0]) for s in sockets]"
    )
    assert guest.ask(code) == list(range(50))
    guest.run("[s.close() for s in sockets]")


@pytest.mark.parametrize("size", [1, 1472, 1473, 9000, 60000])
def test_datagrams_of_any_size_come_back_whole(guest: Guest, size: int) -> None:
    assert guest.ask(f"udp({names.WEB4!r}, 7, bytes({size}))") == bytes(size)


def test_a_datagram_that_the_kernel_was_to_cut_arrives_in_pieces(guest: Guest) -> None:
    code = (
        "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(10)\n"
        f"s.connect(({names.WEB4!r}, 7)); s.setsockopt(socket.IPPROTO_UDP, 103, 400)  # UDP_SEGMENT\n"
        "s.send(bytes(1000)); sizes = sorted(len(s.recv(9999)) for _ in range(3)); s.close(); sizes"
    )
    assert guest.run(code).value == "[200, 400, 400]"


def test_one_socket_talks_to_many(guest: Guest) -> None:
    code = (
        "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(10); found = []\n"
        f"for a in ({names.WEB4!r}, {names.OTHER4!r}): s.sendto(a.encode(), (a, 7)); d, p = s.recvfrom(99); "
        "found.append(d.decode() == p[0] == a)\n"
        "s.close(); found"
    )
    assert guest.run(code).value == "[True, True]"


@pytest.mark.parametrize("address", [names.WEB4, names.WEB6])
def test_large_transfers_arrive_whole(guest: Guest, address: str) -> None:
    size = 48 * MIB
    expected = hashlib.sha256(names.pattern(size)).hexdigest()
    code = f"""
import hashlib
def down(address, size):
    h = hashlib.sha256(); n = 0
    with socket.create_connection((address, {names.BULK}), 30) as s:
        s.sendall(b"down %d\\n" % size)
        while data := s.recv(1 << 18): h.update(data); n += len(data)
    return n, h.hexdigest()
def up(address, data):
    with socket.create_connection((address, {names.BULK}), 30) as s:
        s.sendall(b"up\\n"); s.sendall(data); s.shutdown(socket.SHUT_WR)
        return s.recv(100).decode(), hashlib.sha256(data).hexdigest()
"""
    guest.run(code)
    assert guest.ask(f"down({address!r}, {size})") == (size, expected)
    theirs, ours = guest.ask(f"up({address!r}, os.urandom(1 << 20) * 32)")
    assert theirs == ours


def test_a_reader_who_takes_his_time_gets_everything(guest: Guest) -> None:
    code = f"""
s = socket.create_connection(({names.WEB4!r}, {names.BULK}), 30)
s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
s.sendall(b"down 30000000\\n"); n = 0
while data := s.recv(1000): n += len(data)
s.close(); n
"""
    assert guest.run(code).value == "30000000"


def test_many_connections_at_once(guest: Guest) -> None:
    code = f"""
many = [socket.create_connection(({names.WEB4!r}, 7), 20) for _ in range(200)]
for n, s in enumerate(many): s.sendall(b"%d" % n)
found = [int(s.recv(100)) for s in many]
for s in many: s.close()
found == list(range(200))
"""
    assert guest.run(code).value == "True"


def test_connections_one_after_the_other_leave_nothing_behind(guest: Guest) -> None:
    assert guest.ask(f"sum(tcp({names.WEB4!r}, 7, b'x') == b'x' for _ in range(2200))") == 2200


def test_a_half_closed_connection_still_brings_the_answer(guest: Guest) -> None:
    code = f"""
s = socket.create_connection(({names.WEB4!r}, 7), 10)
s.sendall(b"last words"); s.shutdown(socket.SHUT_WR); answer = b""
while data := s.recv(100): answer += data
s.close(); answer
"""
    assert guest.run(code).value == "b'last words'"


def test_a_broken_connection_is_an_error_after_what_came_before(guest: Guest) -> None:
    code = f"""
s = socket.create_connection(({names.WEB4!r}, {names.RESETS}), 10)
s.sendall(b"x"); before = s.recv(100); s.sendall(b"y")
before, trying(s.recv)(100)
"""
    assert guest.run(code).value == "(b'before', 'ECONNRESET')"
    guest.run("s.close()")


def test_what_nobody_takes_is_refused(guest: Guest) -> None:
    assert guest.ask(f"tcp({names.WEB4!r}, {names.REFUSES})") in REFUSED
    assert guest.ask(f"tcp({names.WEB6!r}, {names.REFUSES})") in REFUSED
    assert guest.ask(f"tcp({names.UNREACHABLE4!r})") in REFUSED
    assert guest.refusals == []  # it was not the policy that refused


def test_the_dead_end_in_the_clients_time(guest: Guest) -> None:
    assert guest.ask(f"tcp({names.DROPS4!r}, timeout=1)") == TIMEOUT
    assert guest.ask("tcp('drops.example.com', timeout=1)") == TIMEOUT
    assert guest.ask(f"tcp({names.WEB4!r}, {names.SILENT}, timeout=1)") == TIMEOUT
    assert guest.ask(f"udp({names.DROPS4!r}, timeout=1)") == TIMEOUT


def test_a_deadline_ends_code_that_waits_for_the_dead(open_guest: Callable[..., Guest]) -> None:
    guest = open_guest()
    for target in ((names.WEB4, names.SILENT), (names.DROPS4, names.HTTP)):
        result = guest.session.run_code(f"tcp({target[0]!r}, {target[1]}, timeout=None)", timeout=1)
        assert result.outcome == libci.Outcome.TIMEOUT and not result.state_lost
    assert b"hello" in guest.ask(f"tcp({names.WEB4!r})")


def test_closing_a_session_ends_its_connections(lab: netlab.Lab, open_guest: Callable[..., Guest]) -> None:
    guest = open_guest()
    guest.run(f"s = socket.create_connection(({names.WEB4!r}, {names.SILENT}), 10)")
    assert lab.has_open(names.SILENT, 1)
    guest.session.close()
    assert lab.has_open(names.SILENT, 0)


def test_what_the_session_says_of_its_network(guest: Guest) -> None:
    network = guest.session.info()["network"]
    assert network["mode"] == "internet" and "private" in network["meaning"]
    interfaces = guest.ask("[line.split(':')[0].strip() for line in open('/proc/net/dev') if ':' in line]")
    assert sorted(interfaces) == ["eth0", "lo"]


def test_servers_of_the_session_itself_still_work(guest: Guest) -> None:
    code = """
def serve(family, address):
    with socket.create_server((address, 0), family=family) as server:
        with socket.create_connection(server.getsockname()[:2], 5) as client:
            peer, _ = server.accept()
            client.sendall(b"mine"); data = peer.recv(10); peer.close()
            return data
[serve(socket.AF_INET, "127.0.0.1"), serve(socket.AF_INET6, "::1"), resolve("localhost", socket.AF_INET)]
"""
    assert guest.run(code).value == "[b'mine', b'mine', ['127.0.0.1']]"


def test_sessions_beside_each_other_are_apart(open_guest: Callable[..., Guest]) -> None:
    """They have the same addresses, and neither is the other."""
    one, other = open_guest(), open_guest()
    one.run("server = socket.create_server(('', 4000)); server.settimeout(0)")
    one.run("datagrams = socket.socket(type=socket.SOCK_DGRAM); datagrams.bind(('', 4000)); datagrams.settimeout(0)")
    for address in ("198.18.0.1", "198.18.0.2", "198.18.0.3", "127.0.0.1"):
        assert other.ask(f"tcp({address!r}, 4000, timeout=3)") in REFUSED | {TIMEOUT}
        other.ask(f"udp({address!r}, 4000, timeout=0.2)")
    assert one.ask("trying(server.accept)()") == "EAGAIN"
    assert one.ask("trying(datagrams.recv)(10)") == "EAGAIN"
    assert b"hello" in one.ask(f"tcp({names.WEB4!r})") and b"hello" in other.ask(f"tcp({names.WEB4!r})")
