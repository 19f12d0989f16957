"""The lab's name server: answers from names.ZONE, logs every query, and is as bad as a name server can be for some."""

from __future__ import annotations

import itertools
import socket
import struct

from names import FAILING_NAME, SILENT_NAME, ZONE

TYPES = {"A": 1, "CNAME": 5, "AAAA": 28}
NXDOMAIN, SERVFAIL = 3, 2
UDP_MAX = 512

_turns = {name: itertools.cycle(records) for name, records in ZONE.items() if isinstance(records[0], list)}


def question(message: bytes) -> tuple[str, int, int]:
    """Name, type, and where the question ends."""
    labels, at = [], 12
    while message[at]:
        labels.append(message[at + 1 : at + 1 + message[at]].decode("latin-1"))
        at += 1 + message[at]
    return ".".join(labels), struct.unpack_from("!H", message, at + 1)[0], at + 5


def encode_name(name: str) -> bytes:
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"


def record(name: str, kind: str, value: str) -> bytes:
    if kind == "CNAME":
        data = encode_name(value)
    else:
        data = socket.inet_pton(socket.AF_INET if kind == "A" else socket.AF_INET6, value)
    return encode_name(name) + struct.pack("!HHIH", TYPES[kind], 1, 0, len(data)) + data


def answers(name: str, wanted: int) -> list[bytes]:
    """The records of a name and of those it is another name of."""
    found = []
    for _ in range(8):
        records = next(_turns[name]) if name in _turns else ZONE.get(name, [])
        found += [record(name, kind, value) for kind, value in records if TYPES[kind] in (wanted, TYPES["CNAME"])]
        if not records or records[0][0] != "CNAME":
            break
        name = records[0][1]
    return found


def respond(message: bytes, most: int) -> bytes | None:
    """The answer to one query; None for silence. What does not fit into `most` bytes, or more that the asker announces
    (EDNS), is cut off and says so."""
    name, wanted, end = question(message)
    if len(message) >= end + 11 and message[end : end + 3] == b"\0\0\x29":
        most = max(most, struct.unpack_from("!H", message, end + 3)[0])
    name = name.lower()
    if name == SILENT_NAME:
        return None
    code = SERVFAIL if name == FAILING_NAME else 0 if name in ZONE else NXDOMAIN
    found = [] if code else answers(name, wanted)
    body = b"".join(found)
    flags = 0x8180 | code
    if 12 + end + len(body) > most:
        flags, found, body = flags | 0x200, [], b""
    return struct.pack("!2sHHHHH", message[:2], flags, 1, len(found), 0, 0) + message[12:end] + body
