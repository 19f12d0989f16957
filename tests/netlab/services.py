"""The servers of the lab, one process for each side: services.py internet|host FOLDER. It says "here" when it runs, starts
to serve at the first line of its input and says "ready", and ends with its input.

Each server takes what comes to any address of its side and logs, before anything else, what address was called from
where: that log, told on the control port as JSON, is how a test knows that something was never reached."""

from __future__ import annotations

import hashlib
import json
import os
import re
import select
import socket
import socketserver
import ssl
import struct
import sys
import threading
from collections import Counter
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import names
import resolver

LOG: list[dict] = []
OPEN: Counter = Counter()  # connections of each port
CHANGED = threading.Condition()
GONE_ON: Counter = Counter()  # how often who waits was told to go on
LOG_MAX = 20_000
IPV6_FREEBIND = 78
DATA = [{"city": "Lisbon", "sales": 12}, {"city": "Oslo", "sales": 7}]


def plain(address: str) -> str:
    return address.split("%")[0].removeprefix("::ffff:") if "." in address else address.split("%")[0]


def note(protocol: str, local: tuple, peer: tuple, **more: str) -> None:
    if len(LOG) < LOG_MAX:
        entry = {"address": plain(local[0]), "port": local[1], "peer": [plain(peer[0]), peer[1]]}
        LOG.append({"protocol": protocol, **entry, **more})


class Server(socketserver.ThreadingTCPServer):
    address_family = socket.AF_INET6
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 1024

    def server_bind(self) -> None:
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()

    def get_request(self) -> tuple[socket.socket, tuple]:
        connection, peer = super().get_request()
        if self.server_address[1] not in (names.FAST, names.FLOOD):
            note("tcp", connection.getsockname(), peer)
        self.count(1)
        return connection, peer

    def close_request(self, request: socket.socket) -> None:
        super().close_request(request)
        self.count(-1)

    def count(self, more: int) -> None:
        with CHANGED:
            OPEN[self.server_address[1]] += more
            CHANGED.notify_all()

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients may go as they like."""


class WebServer(Server, ThreadingHTTPServer):
    def server_bind(self) -> None:
        Server.server_bind(self)
        self.server_name, self.server_port = "web", self.server_address[1]


class SecureWebServer(WebServer):
    context: ssl.SSLContext

    def finish_request(self, request: socket.socket, client_address: tuple) -> None:
        super().finish_request(self.context.wrap_socket(request, server_side=True), client_address)


class Web(SimpleHTTPRequestHandler):
    """Files of the folder, and some pages that are made up."""

    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16  # head and body in one

    def log_message(self, *_: object) -> None:
        pass

    def answer(self, body: bytes, kind: str = "text/plain", status: int = 200, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        if url.path == "/":
            self.answer(f"hello from {self.headers['Host']}\n".encode())
        elif url.path == "/data":
            self.answer(json.dumps(DATA).encode(), "application/json")
        elif url.path == "/redirect":
            self.answer(b"", status=302, Location=parse_qs(url.query)["to"][0])
        elif url.path == "/stalls":  # half an answer
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"x")
            self.wfile.flush()
            self.rfile.read(1)
        elif match := re.fullmatch(r"/bytes/(\d+)", url.path):
            self.answer(names.pattern(int(match[1])), "application/octet-stream")
        else:
            super().do_GET()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(hashlib.sha256(body).hexdigest().encode())


class Echo(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while data := self.request.recv(65536):
            self.request.sendall(data)


class Silent(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        while self.request.recv(65536):
            pass


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


class Resets(socketserver.BaseRequestHandler):
    """Answers once, then breaks the connection."""

    def handle(self) -> None:
        self.request.recv(65536)
        self.request.sendall(b"before")
        self.request.recv(65536)
        reset(self.request)


class Greets(socketserver.BaseRequestHandler):
    """Is the first to speak, and the first to go."""

    def handle(self) -> None:
        self.request.sendall(b"welcome", socket.MSG_OOB if self.client_address[1] % 2 else 0)


class Bulk(socketserver.BaseRequestHandler):
    """`down N`: so many bytes, then the end. `up`: takes all until the other side's end, then logs its hash and says it.
    `later`: as `up`, but says a dot and takes nothing before the control port says `go`. `urgent N`: as `up`, but first
    sends so many bytes twice, of which one in the middle is urgent. `hold`: as `up`, and then stays until the connection
    breaks. `half N`: as `down`, but ends its own half alone, and breaks the connection at the other's next byte."""

    def handle(self) -> None:
        word, *size = self.request.makefile("rb", buffering=0).readline().split()
        if word == b"urgent":
            self.request.sendall(names.pattern(int(size[0])), socket.MSG_OOB)
        if size:
            self.request.sendall(names.pattern(int(size[0])))
        if word == b"half":
            self.request.shutdown(socket.SHUT_WR)
            if self.request.recv(1):
                reset(self.request)
        elif word != b"down":
            if word == b"later":
                self.wait()
            digest = self.take()
            note("bulk", self.request.getsockname(), self.client_address, digest=digest)
            self.request.sendall(digest.encode())
            if word == b"hold":
                broken = select.poll()
                broken.register(self.request, 0)
                broken.poll()

    def wait(self) -> None:
        before = GONE_ON["later"]
        self.request.sendall(b".")
        with CHANGED:
            CHANGED.wait_for(lambda: GONE_ON["later"] > before)

    def take(self) -> str:
        taken = hashlib.sha256()
        while data := self.request.recv(1 << 18):
            taken.update(data)
        return taken.hexdigest()


class Fast(socketserver.BaseRequestHandler):
    """A web server for the figures: the same short answer to everything, as quickly as can be."""

    ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 64\r\n\r\n" + b"x" * 64

    def handle(self) -> None:
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while self.request.recv(4096):
            self.request.sendall(self.ANSWER)


class Flood(socketserver.BaseRequestHandler):
    """`d` and a size of eight bytes: sends so much. `u`: takes all. Both end by closing."""

    def handle(self) -> None:
        block = memoryview(bytearray(1 << 20))
        if self.request.recv(1) == b"u":
            while self.request.recv_into(block):
                pass
            return
        left = int.from_bytes(self.request.recv(8, socket.MSG_WAITALL), "big")
        while left > 0:
            left -= self.request.send(block[:left])


class NameServer(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        stream = self.request.makefile("rb")
        while head := stream.read(2):
            message = stream.read(int.from_bytes(head, "big"))
            note("dns-tcp", self.request.getsockname(), self.client_address, name=resolver.question(message)[0])
            answer = resolver.respond(message, 65535)
            if answer:
                self.request.sendall(len(answer).to_bytes(2, "big") + answer)


class Control(socketserver.StreamRequestHandler):
    """`log N`: all of it but the first N. `open PORT COUNT`: whether a port came to have so many connections, in 100 s.
    `go`: who waits for it goes on."""

    def handle(self) -> None:
        line = self.rfile.readline().split()
        mine = [plain(self.client_address[0]), self.client_address[1]]
        next(entry for entry in reversed(LOG) if entry["peer"] == mine)["own"] = True
        if line[0] == b"log":
            told: object = LOG[int(line[1]) :]
        elif line[0] == b"go":
            with CHANGED:
                GONE_ON["later"] += 1
                CHANGED.notify_all()
            told = True
        else:
            port, count = map(int, line[1:])
            with CHANGED:
                told = CHANGED.wait_for(lambda: OPEN[port] == count, 100)
        self.wfile.write(json.dumps(told).encode())


def serve_datagrams(port: int, reply: object) -> None:
    """Answers from the address that was asked, whichever it is."""
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as s:
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        s.setsockopt(socket.IPPROTO_IPV6, IPV6_FREEBIND, 1)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        s.bind(("::", port))
        STARTED.release()
        while True:
            data, controls, _, peer = s.recvmsg(65536, 256)
            address = next(data[:16] for _, kind, data in controls if kind == socket.IPV6_PKTINFO)
            local = socket.inet_ntop(socket.AF_INET6, address)
            try:
                more = {"name": resolver.question(data)[0]} if port == names.DNS else {}
                answer = reply(data)  # type: ignore[operator]
            except (IndexError, struct.error):
                more, answer = {}, None
            note("udp", (local, port), peer, **more)
            try:
                if answer:
                    control = (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, address + bytes(4))
                    s.sendmsg([answer], [control], 0, peer)
            except OSError:
                pass  # no way back there


STARTED = threading.Semaphore(0)


def main() -> None:
    side, folder = sys.argv[1], Path(sys.argv[2])
    print("here", flush=True)
    sys.stdin.readline()

    def web(*arguments: object) -> Web:
        return Web(*arguments, directory=str(folder / "www"))  # type: ignore[arg-type]

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "web.pem", folder / "web.key")
    secure = SecureWebServer(("::", names.HTTPS), web)
    secure.context = context
    handlers = {names.ECHO: Echo, names.CONTROL: Control, names.DNS: NameServer}
    if side == "internet":
        handlers |= {names.SILENT: Silent, names.RESETS: Resets, names.BULK: Bulk, names.GREETS: Greets}
        handlers |= {names.FAST: Fast, names.FLOOD: Flood}
    servers = [secure, *(WebServer(("::", port), web) for port in (names.HTTP, names.OTHER_HTTP))]
    servers += [Server(("::", p), h) for p, h in handlers.items()]
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    replies = {names.ECHO: lambda data: data, names.DNS: lambda data: resolver.respond(data, resolver.UDP_MAX)}
    for port, reply in replies.items():
        threading.Thread(target=serve_datagrams, args=(port, reply), daemon=True).start()
        STARTED.acquire()
    print("ready", flush=True)
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    main()
