"""The gateway between a session and the internet: what it is left with, what it has room for, and when it ends."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from network import (  # noqa: F401
    REFUSED,
    TIMEOUT,
    Guest,
    guest,
    lab,
    names,
    netlab,
    open_guest,
    sandbox,
    wait_for,
)

Open = Callable[..., Guest]


def status(pid: str | int) -> dict[str, str]:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return {}
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


def listening(pid: str) -> set[str]:
    """The inodes of what listens in a process's network namespace: they say which it is, also to one who may not ask."""
    try:
        lines = Path(f"/proc/{pid}/net/tcp6").read_text().splitlines()
    except OSError:
        return set()  # ended meanwhile
    return {line.split()[9] for line in lines if line.split()[3] == "0A"}


def gateways() -> set[int]:
    """Of all supervisors in the lab: their children have their name; of them a gateway alone filters system calls."""
    lab = listening("self")
    named = {pid: status(pid) for pid in filter(str.isdigit, os.listdir("/proc"))}
    return {
        int(pid)
        for pid, has in named.items()
        if (has.get("Name"), has.get("Seccomp")) == ("ci-supervisor", "2")
        and has["State"][0] != "Z"
        and lab & listening(pid)
    }


@pytest.fixture
def with_gateway(open_guest: Open) -> tuple[Guest, int]:
    """A session and its gateway."""
    before = gateways()
    guest = open_guest()
    (pid,) = gateways() - before
    return guest, pid


def test_a_gateway_has_no_privilege_and_no_file(with_gateway: tuple[Guest, int]) -> None:
    guest, pid = with_gateway
    assert b"hello" in guest.ask(f"tcp({names.WEB4!r})")
    has = status(pid)
    for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(has[kind], 16) == 0, kind
    assert (has["NoNewPrivs"], has["Seccomp"]) == ("1", "2")
    assert has["Threads"] == "1"
    if os.getuid() == 0:
        assert set(has["Uid"].split()) != {"0"}
        assert os.listdir(f"/proc/{pid}/root/") == []
        links = []
        for fd in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(FileNotFoundError):  # a connection's, which has just been closed
                links.append(os.readlink(f"/proc/{pid}/fd/{fd}"))
        assert links and not [link for link in links if link.startswith("/") and link != "/dev/null"], links


def test_a_session_without_the_internet_has_no_gateway(open_guest: Open) -> None:
    before = gateways()
    for network in ("none", "host"):
        open_guest(network=network)
    assert gateways() == before


def test_a_gateway_ends_with_its_session(with_gateway: tuple[Guest, int]) -> None:
    guest, pid = with_gateway
    guest.session.close()
    assert wait_for(lambda: pid not in gateways())


def test_a_gateway_ends_with_its_host(lab: netlab.Lab, ci_run_start: Callable[..., subprocess.Popen]) -> None:
    before = gateways()
    host = ci_run_start("--network", "internet", "-c", f"curl -s http://{names.WEB4}:{names.SILENT}/")
    assert lab.has_open(names.SILENT, 1)
    (pid,) = gateways() - before
    host.kill()
    host.wait()
    assert lab.has_open(names.SILENT, 0)
    assert wait_for(lambda: status(pid).get("State", "Z")[0] == "Z")  # gone, or nobody has taken note of it


def test_without_its_gateway_a_session_lives_on_without_a_network(with_gateway: tuple[Guest, int]) -> None:
    guest, pid = with_gateway
    guest.run(f"s = socket.create_connection(({names.WEB4!r}, 7), 5); x = 6")
    os.kill(pid, signal.SIGKILL)
    assert wait_for(lambda: pid not in gateways())
    assert guest.ask(f"tcp({names.WEB4!r}, timeout=1)") in REFUSED | {TIMEOUT}
    assert guest.ask("resolve('web.example.com')") == "gaierror"
    assert guest.ask("s.settimeout(1); [trying(s.recv)(1) in (b'', 'ECONNRESET', 'no answer'), x * 7]") == [True, 42]


def test_more_connections_than_there_is_room_for_are_errors(open_guest: Open) -> None:
    guest = open_guest(open_file_count=4096)
    code = f"""
many = []
def fill(count):
    for n in range(count):
        s = socket.socket(); s.settimeout(20); many.append(s)
        if trying(s.connect)(({names.WEB4!r}, {names.SILENT})) is not None:
            return n
    return count
held = fill(2500)
"""
    guest.run(code)
    assert guest.ask("held") >= 900
    guest.run("for s in many: s.close()")
    assert wait_for(lambda: guest.ask(f"tcp({names.WEB4!r}, 7, b'x', 1)") == b"x")
    assert guest.ask(f"[tcp({names.WEB4!r}, 7, b'x') for _ in range(50)]") == [b"x"] * 50


def test_more_datagram_sockets_than_there_is_room_for_do_not_stop_the_next(open_guest: Open) -> None:
    guest = open_guest(open_file_count=4096)
    code = f"""
many = [socket.socket(type=socket.SOCK_DGRAM) for _ in range(1500)]
for s in many: trying(s.sendto)(b"x", ({names.WEB4!r}, {names.SILENT}))
answers = [udp({names.WEB4!r}, timeout=1) for _ in range(5)]
for s in many: s.close()
answers
"""
    assert b"ping" in guest.ask(code)  # one may be lost in the crowd


def test_questions_that_nobody_answers_do_not_stop_others_for_long(guest: Guest) -> None:
    code = """
many = [socket.socket(type=socket.SOCK_DGRAM) for _ in range(200)]
for s in many: s.sendto(query("silent.example.com"), ("198.18.0.3", 53))
"""
    guest.run(code)
    assert guest.ask("resolve('web.example.com', socket.AF_INET)") in ([names.WEB4], "gaierror")
    assert wait_for(lambda: guest.ask("resolve('web.example.com', socket.AF_INET)") == [names.WEB4])
    guest.run("for s in many: s.close()")


def test_one_session_cannot_use_up_what_another_needs(open_guest: Open) -> None:
    greedy, other = open_guest(), open_guest()
    code = f"""
import threading
def forever():
    while True: udp({names.DROPS4!r}, timeout=0.0001); tcp({names.DROPS4!r}, timeout=0.001)
for _ in range(4): threading.Thread(target=forever, daemon=True).start()
"""
    greedy.run(code)
    for _ in range(20):
        assert b"hello" in other.ask("tcp('web.example.com')")


def test_the_gateways_listeners_are_no_way_for_code(guest: Guest) -> None:
    """They are in the session's own network namespace. Whoever calls one himself gets nothing from it."""
    code = """
ports = {int(line.split()[1].rsplit(":", 1)[1], 16) for file in ("tcp", "tcp6") for line in open("/proc/net/" + file)
         if line.split()[3] == "0A"}
def call(address, port, source=None):
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as s:
        s.settimeout(1)
        if source:
            s.setsockopt(socket.IPPROTO_IP, 15, 1)  # IP_FREEBIND
            s.bind((source, 1024))
        s.connect((address, port)); s.sendall(b"GET / HTTP/1.0\\r\\n\\r\\n")
        return s.recv(100)
[trying(call)(address, port, source) for port in ports for address, source in
 [("198.18.0.1", None), ("127.0.0.1", None), ("fd00:6369::1", None), ("::1", None), ("198.18.0.1", "198.18.0.2"),
  ("198.18.0.1", "93.184.216.34"), ("198.18.0.2", None)]]
"""
    assert not [answer for answer in guest.ask(code) if isinstance(answer, bytes) and answer]
    assert b"hello" in guest.ask(f"tcp({names.WEB4!r})")
