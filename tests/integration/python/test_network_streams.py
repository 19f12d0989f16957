"""What goes through a connection arrives once, in order and whole, however it is sent, paused and ended; and a connection
that is over leaves nothing of itself."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from network import Guest, guest, lab, names, netlab, open_guest, sandbox, wait_for  # noqa: F401

MIB = 1 << 20
PAUSE_SECONDS = 65  # longer than what is over is kept for
GATEWAY_LISTENER = 1

#: Runs in the session.
STREAMS = f"""
import fcntl, hashlib, random, select, struct, threading
from concurrent.futures import ThreadPoolExecutor

def connect(word=b"", port={names.BULK}, address={names.WEB4!r}, buffer=0):
    s = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    if buffer:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    s.settimeout(60); s.connect((address, port)); s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    s.sendall(word)
    return s

def later():
    s = connect(b"later\\n")
    assert s.recv(1) == b"."
    return s

def messages(seed, count):
    "Small ones as often as large ones."
    numbers = random.Random(seed)
    for _ in range(count):
        yield numbers.randbytes(int(9000 ** numbers.random()))

def fill(s, pieces, taken):
    "Sends until there is no room, for a while."
    s.settimeout(0.5)
    for piece in pieces:
        while piece:
            try:
                sent = s.send(piece)
            except TimeoutError:
                s.settimeout(60)
                return piece
            taken.update(piece[:sent]); piece = piece[sent:]
    raise AssertionError("there was room for all")

def down(size):
    h = hashlib.sha256()
    with connect(b"down %d\\n" % size) as s:
        while data := s.recv(1 << 18): h.update(data)
    return h.hexdigest()

def up(data):
    with connect(b"up\\n") as s:
        s.sendall(data); s.shutdown(socket.SHUT_WR)
        return s.recv(100).decode() == hashlib.sha256(data).hexdigest()

def flood():
    "A stream without an end, that is not read."
    return connect(b"d" + (1 << 60).to_bytes(8, "big"), {names.FLOOD}, buffer=4096)

def reset(s):
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)); s.close()
"""


@pytest.fixture
def guest(open_guest: Callable[..., Guest]) -> Guest:  # noqa: F811
    return open_streams(open_guest)


@pytest.fixture(autouse=True)
def no_server_waits(lab: netlab.Lab) -> Iterator[None]:  # noqa: F811
    yield
    lab.go()


def open_streams(open_guest: Callable[..., Guest]) -> Guest:  # noqa: F811
    guest = open_guest()
    guest.run(STREAMS)
    return guest


def sockets(port: int) -> list[int]:
    """What waits to be read in each of the gateways' sockets to a port of the internet."""
    lines = [line.split() for file in ("tcp", "tcp6") for line in Path("/proc/net", file).read_text().splitlines()[1:]]
    return [int(has[4][-8:], 16) for has in lines if int(has[2][-4:], 16) == port and has[9] != "0"]


def inner_sockets(guest: Guest) -> int:  # noqa: F811
    """How many the gateway has in the session; of a socket that is closed no inode is left."""
    code = f"""
lines = [line.split() for file in ("tcp", "tcp6") for line in open("/proc/net/" + file).readlines()[1:]]
len([has for has in lines if int(has[1][-4:], 16) == {GATEWAY_LISTENER} and has[3] != "0A" and has[9] != "0"])
"""
    return guest.ask(code)


#: Port, what comes first, and what breaks the connection then.
HALVES = {
    "the server's, then the client breaks it": (
        names.BULK,
        "s = connect(b'half 1000000\\n'); len(s.makefile('rb').read()) == 1000000",
        "reset(s)",
    ),
    "the server's, and the client breaks it unread": (
        names.BULK,
        "s = connect(b'half 300000\\n', buffer=4096); len(s.recv(1)) == 1",
        "reset(s)",
    ),
    "the server's, then the server breaks it": (
        names.BULK,
        "s = connect(b'half 1000000\\n'); len(s.makefile('rb').read()) == 1000000",
        "s.send(b'x'); end = select.poll(); end.register(s, 0); assert end.poll(60000); s.close()",
    ),
    "the client's, then the server breaks it": (
        names.RESETS,
        f"s = connect(b'x', {names.RESETS}); s.recv(100) == b'before'",
        "s.shutdown(socket.SHUT_WR); assert trying(s.recv)(100) == 'ECONNRESET'; s.close()",
    ),
    "the client's, then the client breaks it": (
        names.BULK,
        "s = connect(b'hold\\n'); s.sendall(bytes(1000000)); s.shutdown(socket.SHUT_WR); len(s.recv(64)) == 64",
        "reset(s)",
    ),
}


@pytest.mark.parametrize("half", HALVES)
def test_a_half_closed_connection_that_breaks_ends_on_both_sides(lab: netlab.Lab, guest: Guest, half: str) -> None:
    port, first, breaks = HALVES[half]
    assert guest.ask(first) is True
    assert (len(sockets(port)), inner_sockets(guest)) == (1, 1)
    guest.run(breaks)
    assert lab.has_open(port, 0)
    assert wait_for(lambda: (len(sockets(port)), inner_sockets(guest)) == (0, 0))


def bulk_works(guest: Guest) -> bool:
    expected = hashlib.sha256(names.pattern(8 * MIB)).hexdigest()
    return guest.ask(f"down({8 * MIB})") == expected and guest.ask(f"up(os.urandom({MIB}) * 8)")


def pause_downwards(guest: Guest, count: int) -> None:
    guest.run(f"paused = [flood() for _ in range({count})]")
    assert wait_for(lambda: sum(1 for waiting in sockets(names.FLOOD) if waiting > 0) == count)


def test_streams_that_nobody_reads_do_not_stop_the_next(guest: Guest) -> None:
    """There are more of them than pipes."""
    pause_downwards(guest, 40)
    assert bulk_works(guest)
    guest.run("for s in paused: s.close()")


def test_streams_that_the_server_does_not_read_do_not_stop_the_next(lab: netlab.Lab, guest: Guest) -> None:
    code = """
def pause(_):
    s = later(); taken = hashlib.sha256(); fill(s, (bytes(1 << 16) for _ in range(1000)), taken); return s, taken
with ThreadPoolExecutor(40) as threads: paused = list(threads.map(pause, range(40)))
"""
    guest.run(code)
    assert bulk_works(guest)
    lab.go()
    code = """
def goes_on(s, taken):
    s.shutdown(socket.SHUT_WR); digest = s.recv(100).decode(); s.close()
    return digest == taken.hexdigest()
[goes_on(s, taken) for s, taken in paused] == [True] * 40
"""
    assert guest.ask(code) is True


def test_a_session_that_uses_up_pipes_does_not_stop_another(open_guest: Callable[..., Guest]) -> None:
    """The kernel counts those of a user together: an ordinary user's sessions and gateways are all his."""
    greedy, other = open_streams(open_guest), open_streams(open_guest)
    code = """
pipes = []
def enlarge():
    while True:
        pipes.append(os.pipe()); fcntl.fcntl(pipes[-1][1], fcntl.F_SETPIPE_SZ, 1 << 20)
trying(enlarge)()
"""
    assert greedy.ask(code) == "EPERM"
    pause_downwards(greedy, 40)
    assert bulk_works(other) and bulk_works(greedy)
    greedy.run("for s in paused: s.close()")


@pytest.mark.parametrize("address", [names.WEB4, names.WEB6])
def test_messages_of_any_size_come_back_once_and_in_order(guest: Guest, address: str) -> None:
    code = f"""
def exchange(seed):
    sent, got = hashlib.sha256(), hashlib.sha256()
    def send(s):
        for message in messages(seed, 6000): s.sendall(message); sent.update(message)
        s.shutdown(socket.SHUT_WR)
    with connect(port={names.ECHO}, address={address!r}) as s:
        sender = threading.Thread(target=send, args=(s,)); sender.start()
        while data := s.recv(65536): got.update(data)
        sender.join()
    return sent.digest() == got.digest()
with ThreadPoolExecutor(4) as threads: came = list(threads.map(exchange, range(4)))
came
"""
    assert guest.ask(code) == [True] * 4


def test_messages_that_find_no_room_arrive_once_and_in_order(lab: netlab.Lab, guest: Guest) -> None:
    """The server stops to read: sockets become full in the midst of a message, or of what was passed on of it."""
    code = """
def begin(seed):
    s = later(); taken = hashlib.sha256(); pieces = messages(seed, 20000)
    return s, taken, fill(s, pieces, taken), pieces
with ThreadPoolExecutor(16) as threads: paused = list(threads.map(begin, range(16)))
"""
    guest.run(code)
    lab.go()
    code = """
def go_on(s, taken, rest, pieces):
    s.sendall(rest); taken.update(rest)
    for _, piece in zip(range(500), pieces): s.sendall(piece); taken.update(piece)
    s.shutdown(socket.SHUT_WR); digest = s.recv(100).decode(); s.close()
    return digest == taken.hexdigest()
with ThreadPoolExecutor(16) as threads: came = list(threads.map(lambda one: go_on(*one), paused))
came
"""
    assert guest.ask(code) == [True] * 16


def test_an_end_just_behind_the_data_ends_it_whole(guest: Guest) -> None:
    """By a packet of its own, or by that of the last message."""
    code = """
def send(seed):
    taken = hashlib.sha256()
    with connect(b"up\\n") as s:
        for message in messages(seed, seed % 5 + 1):
            s.sendall(message, socket.MSG_MORE if seed % 2 else 0); taken.update(message)
        s.shutdown(socket.SHUT_WR)
        return s.recv(100).decode() == taken.hexdigest()
sum(send(seed) for seed in range(300))
"""
    assert guest.ask(code) == 300


def test_what_a_server_says_and_leaves_at_once_arrives(guest: Guest) -> None:
    """Perhaps before the session's side of the connection stands."""
    code = f"""
def hear():
    with connect(port={names.GREETS}) as s:
        return trying(s.makefile("rb").read)()
came = [hear() for _ in range(300)]
{{answer: came.count(answer) for answer in came}}
"""
    assert guest.ask(code) == {b"welcome": 300}


@pytest.mark.parametrize("size", [3, 2000, 300_000])
def test_urgent_data_has_its_place_among_the_other(guest: Guest, size: int) -> None:
    expected = hashlib.sha256(names.pattern(size) * 2).hexdigest()
    code = f"""
def exchange():
    half = os.urandom({size})
    with connect(b"urgent {size}\\n") as s:
        for _ in range(3): s.sendall(half, socket.MSG_OOB); s.sendall(half)
        got = s.makefile('rb').read(2 * len(half))
        s.shutdown(socket.SHUT_WR)
        came = s.recv(100) == hashlib.sha256(half * 6).hexdigest().encode()
        return came, hashlib.sha256(got).hexdigest() == {expected!r}
[exchange() for _ in range(10)]
"""
    assert guest.ask(code) == [(True, True)] * 10


def test_what_was_sent_before_closing_arrives(lab: netlab.Lab, guest: Guest) -> None:
    code = """
def send(seed):
    taken = hashlib.sha256()
    with connect(b"up\\n") as s:
        for message in messages(seed, 20): s.sendall(message); taken.update(message)
    return taken.hexdigest()
[send(seed) for seed in range(1000, 1100)]
"""
    digests = set(guest.ask(code))
    assert len(digests) == 100
    assert wait_for(lambda: digests <= {entry.get("digest") for entry in lab.log("internet")})


def test_more_short_connections_at_once_than_the_table_has_places(guest: Guest) -> None:
    """1,024, of which those that are over are taken again: more than once."""
    code = f"""
def ask_one(_):
    answer = tcp({names.WEB4!r}, {names.FAST}, b"x")
    return answer[:8] if isinstance(answer, bytes) else answer
with ThreadPoolExecutor(64) as threads: came = list(threads.map(ask_one, range(2500)))
{{answer: came.count(answer) for answer in came}}
"""
    assert guest.ask(code) == {b"HTTP/1.1": 2500}


def test_what_a_closed_connection_still_sends_is_not_cut_off_by_others(guest: Guest) -> None:
    """Its place is the last to be taken again."""
    size = 100_000
    code = f"""
reader = connect(b"down {size}\\n", buffer=8000); reader.shutdown(socket.SHUT_WR); got = hashlib.sha256()
for i in range(1200):
    assert tcp({names.WEB4!r}, {names.FAST}, b"x").startswith(b"HTTP")
    if i % 20 == 0: got.update(reader.recv(500))
while data := reader.recv(65536): got.update(data)
reader.close(); got.hexdigest()
"""
    assert guest.ask(code) == hashlib.sha256(names.pattern(size)).hexdigest()


@pytest.mark.long
def test_a_reader_that_pauses_for_longer_than_a_minute_gets_everything(
    lab: netlab.Lab, open_guest: Callable[..., Guest]
) -> None:
    guest = open_streams(open_guest)
    size = 32 * MIB
    code = f"""
reader = connect(b"down {size}\\n", buffer=65536); s = later(); taken = hashlib.sha256()
rest = fill(s, (os.urandom(1 << 16) for _ in range(1000)), taken)
"""
    guest.run(code)
    assert wait_for(lambda: sum(1 for waiting in sockets(names.BULK) if waiting > 0) == 1)
    time.sleep(PAUSE_SECONDS)
    lab.go()
    code = """
s.sendall(rest); taken.update(rest); s.shutdown(socket.SHUT_WR)
whole = s.recv(100).decode() == taken.hexdigest(); s.close()
got = hashlib.sha256()
while data := reader.recv(1 << 18): got.update(data)
reader.close(); whole, got.hexdigest()
"""
    assert guest.ask(code) == (True, hashlib.sha256(names.pattern(size)).hexdigest())
