#!/usr/bin/python3
"""In the place of ci-supervisor, for tests of what the library says to it and takes from a session's gateway: a helper
whose gateway is hostile, which the real one cannot be made to be. Its sessions run nothing: of a command it takes the
text for what the gateway is to say, a message a line, and answers that it failed.

What the file first has, the gateway says before there is a call. What OPEN said is written to open.json beside this program; into the FIFO over something is written when the gateway's
life line was cut.
"""

import contextlib
import json
import os
import select
import socket
import struct
import sys
from pathlib import Path

HERE = Path(sys.argv[0]).resolve().parent
HELLO_OK, OPEN, SESSION_READY, CALL = 65, 67, 73, 74
START, DONE = 32, 18
TEXT, KIND, OUTCOME, ALLOW, DENY, ALLOW_LIST, NETWORK = 1, 8, 30, 90, 91, 92, 69
COMMAND, EXCEPTION, LANGUAGES, PYTHON = 2, 1, 89, 1 << 3


def frame(kind: int, payload: bytes = b"") -> bytes:
    return struct.pack("<IBBH", len(payload), kind, 0, 0) + payload


def field(key: int, data: bytes) -> bytes:
    return struct.pack("<BI", key, len(data)) + data


def fields(payload: bytes) -> list[tuple[int, bytes]]:
    found = []
    while payload:
        key, size = struct.unpack("<BI", payload[:5])
        found.append((key, payload[5 : 5 + size]))
        payload = payload[5 + size :]
    return found


def receive(channel: socket.socket) -> tuple[int, bytes, list[int]]:
    data, fds, _flags, _address = socket.recv_fds(channel, 1 << 18, 8)
    return (data[4], data[8:], fds) if data else (0, b"", fds)


def note_open(payload: bytes, fds: list[int]) -> None:
    said = fields(payload)
    noted = {
        "network": [int.from_bytes(data, "little") for key, data in said if key == NETWORK],
        "allow": [data.decode() for key, data in said if key == ALLOW],
        "deny": [data.decode() for key, data in said if key == DENY],
        "allow_list": [int.from_bytes(data, "little") for key, data in said if key == ALLOW_LIST],
        "fds": len(fds),
    }
    (HERE / "open.json").write_text(json.dumps(noted))


def open_session(fds: list[int]) -> tuple[socket.socket, socket.socket]:
    """Control and events of a session that has a root and nothing in it."""
    setup, events = (socket.socket(fileno=fd) for fd in fds)
    control = socket.socket(fileno=receive(setup)[2][0])
    root = HERE / "root"
    for folder in ("workspace", "home/user", "tmp"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    root_fd = os.open(root, os.O_PATH)
    for line in (HERE / "first").read_text().splitlines() if (HERE / "first").exists() else []:
        events.send(line.encode("latin-1"))
    socket.send_fds(setup, [frame(SESSION_READY, field(LANGUAGES, struct.pack("<q", PYTHON)))], [root_fd])
    os.close(root_fd)
    return control, events


def answer(control: socket.socket, events: socket.socket) -> None:
    """A call: what its text says is said by the gateway, then the call fails."""
    kind, _payload, fds = receive(control)
    if kind != CALL:
        raise EOFError
    with socket.socket(fileno=fds[0]) as call:
        head = call.recv(8, socket.MSG_WAITALL)
        said = dict(fields(call.recv(struct.unpack("<I", head[:4])[0], socket.MSG_WAITALL)))
        if int.from_bytes(said[KIND], "little") == COMMAND:
            for line in said[TEXT].decode().splitlines():
                events.send(line.encode("latin-1"))
        call.sendall(frame(DONE, field(OUTCOME, struct.pack("<q", EXCEPTION))))


def main() -> None:
    library = socket.socket(fileno=3)
    receive(library)
    library.send(frame(HELLO_OK))
    kind, payload, fds = receive(library)
    if kind != OPEN:
        return
    note_open(payload, fds)
    if len(fds) < 2:
        return
    control, events = open_session(fds)
    while True:
        ready, _, _ = select.select([control, events], [], [])
        if events in ready and not events.recv(1, socket.MSG_PEEK):
            break
        if control in ready:
            try:
                answer(control, events)
            except EOFError:
                break
    assert not events.recv(1)
    with contextlib.suppress(OSError):  # nobody reads it
        os.write(os.open(HERE / "over", os.O_WRONLY | os.O_NONBLOCK), b"over")


main()
