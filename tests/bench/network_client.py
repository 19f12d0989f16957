"""The client of the network's figures, the same in every kind of network: network_client.py ADDRESS HTTP-PORT FLOOD-PORT, then
WHAT and COUNT as arguments, or else lines of them from standard input. It answers with a line of microseconds.

down1, up1, down8, up8: COUNT MiB by so many streams. kept, new: COUNT small HTTP requests on one connection, or on one each.
"""

from __future__ import annotations

import socket
import sys
import threading
import time

REQUEST = b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n"
MIB = 1 << 20


def connect(address: str, port: int) -> socket.socket:
    s = socket.create_connection((address, port), 60)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return s


def transfer(address: str, port: int, direction: str, size: int) -> None:
    block = memoryview(bytearray(MIB))
    with connect(address, port) as s:
        if direction == "up":
            s.sendall(b"u")
            while size > 0:
                size -= s.send(block[:size])
            s.shutdown(socket.SHUT_WR)
            while s.recv(1):
                pass
        else:
            s.sendall(b"d" + size.to_bytes(8, "big"))
            while taken := s.recv_into(block):
                size -= taken
    if size:
        sys.exit(f"bench: {size} bytes are missing")


def flood(address: str, port: int, direction: str, streams: int, size: int) -> list[float]:
    start = time.perf_counter()
    arguments = (address, port, direction, size // streams)
    threads = [threading.Thread(target=transfer, args=arguments) for _ in range(streams)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [(time.perf_counter() - start) * 1e6]


def request(s: socket.socket) -> None:
    s.sendall(REQUEST)
    if not s.recv(4096).startswith(b"HTTP/1.1 200"):
        sys.exit("bench: no answer")


def kept(address: str, port: int, count: int) -> list[float]:
    taken = []
    with connect(address, port) as s:
        for _ in range(count):
            start = time.perf_counter()
            request(s)
            taken.append((time.perf_counter() - start) * 1e6)
    return taken


def new(address: str, port: int, count: int) -> list[float]:
    taken = []
    for _ in range(count):
        start = time.perf_counter()
        with connect(address, port) as s:
            request(s)
        taken.append((time.perf_counter() - start) * 1e6)
    return taken


def main() -> None:
    address, http, flooded = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    for what, count in [sys.argv[4:6]] if len(sys.argv) > 4 else map(str.split, sys.stdin):
        if what in ("kept", "new"):
            taken = {"kept": kept, "new": new}[what](address, http, int(count))
        else:
            taken = flood(address, flooded, what[:-1], int(what[-1]), int(count) * MIB)
        print(*taken, flush=True)


if __name__ == "__main__":
    main()
