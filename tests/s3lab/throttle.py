"""A relay on loopback to a server, through which bytes come slowly until it is told otherwise. So a test can see what is
shown meanwhile, however fast server and machine are."""

from __future__ import annotations

import contextlib
import socket
import threading
import urllib.parse
from collections.abc import Iterator

PIECE = 64 << 10
BYTES_A_SECOND = 4 << 20


class Throttle:
    def __init__(self, listener: socket.socket, target: tuple[str, int]) -> None:
        self.endpoint = "http://127.0.0.1:%d" % listener.getsockname()[1]
        self._listener, self._target = listener, target
        self._fast = threading.Event()
        self._connections: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def open_up(self) -> None:
        self._fast.set()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:  # closed
                return
            far = socket.create_connection(self._target)
            self._connections += [near, far]
            for pair in ((near, far), (far, near)):
                self._threads.append(threading.Thread(target=self._relay, args=pair))
                self._threads[-1].start()

    def _relay(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(PIECE):
                target.sendall(data)
                self._fast.wait(len(data) / BYTES_A_SECOND)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._fast.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._threads[0].join()
        for connection in self._connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads[1:]:
            thread.join()
        for connection in self._connections:
            connection.close()
        self._listener.close()


@contextlib.contextmanager
def throttle(endpoint: str) -> Iterator[Throttle]:
    """Of an http:// endpoint."""
    parts = urllib.parse.urlsplit(endpoint)
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, PIECE)  # else the kernel takes it all
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    relay = Throttle(listener, (parts.hostname or "", parts.port or 80))
    try:
        yield relay
    finally:
        relay.close()
