"""An HTTP/1.1 server on loopback that misbehaves on command, and tells what it was sent.

usage: server.py [--tls FOLDER] [--until-eof]

Prints "http PORT" and, with a certificate made in FOLDER (cert.pem), "https PORT". --until-eof: ends with its standard
input, so that it does not outlive a test that crashes.

A request's path says what is done, step by step, once its head has been read: /do/STEP/STEP/…?id=NAME

    body                read the request's body          continue        send 100 Continue
    status-N            the answer's status (200)        header-NAME=VALUE
    length-N            Content-Length, whatever follows chunked         Transfer-Encoding instead
    head                send status and headers          garbage         send what is no HTTP
    half-head           send a part of the head          headers-N       N headers of 100 bytes
    text-TEXT           send it                          bytes-N         send N bytes of a pattern: i % 251
    hex-DIGITS          send these bytes
    drip-N-MS           N bytes, each after MS ms        from-N          where the pattern begins (0)
    endless             bytes until the other side has enough
    stall               nothing, until the other side is gone
    freeze              the same without reading what comes
    rules               nothing, until there are other rules
    reset               end the connection by RST        close           end it by FIN
    until-N             all that follows only for the first N requests of this id; then as if it were not there
    again               keep the connection, but reset it when the next request has come, unanswered (again-head: has
                        begun to come); once for an id

What a step needs before it is done by itself: head before a body, and at the end what is missing of head and body. Any
other path is answered with 200 and a line "METHOD BYTES SHA256" of what was received; /bytes/N with a pattern.

    GET /log/ID         what came for an id (the path, where none was given): a line each, "METHOD BYTES SHA256 STATE
                        connection N" (whole, short or unread), and a line "> Name: value" for each header and "> : TARGET"
    PUT /rules          lines "TIMES METHOD PATTERN STEPS": the next TIMES requests that match (fnmatch on the target) do
                        STEPS instead, as in /do/. Replaces earlier rules. So it misbehaves for clients whose paths are
                        their own affair.
"""
import argparse
import fnmatch
import hashlib
import itertools
import os
import socket
import ssl
import struct
import subprocess
import threading
import time
from pathlib import Path
from urllib.parse import parse_qs, unquote

PATTERN = bytes(i % 251 for i in range(251 * 261))  # 64 KiB, and whole periods
REASONS = {100: "Continue", 200: "OK", 206: "Partial Content", 301: "Moved", 404: "Not Found", 503: "Slow Down"}


class Gone(Exception):
    """The connection is over."""


class Shared:
    """What the threads of all connections know."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.other_rules = threading.Condition(self.lock)
        self.log: dict[str, list[list[str]]] = {}  # of each id the requests, of each its lines
        self.counts: dict[str, int] = {}
        self.rules: list[list] = []  # [times, method, pattern, steps]
        self.connections = itertools.count(1)

    def count(self, key: str) -> int:
        with self.lock:
            self.counts[key] = self.counts.get(key, 0) + 1
            return self.counts[key]

    def rule(self, method: str, target: str) -> str | None:
        with self.lock:
            for rule in self.rules:
                if rule[0] > 0 and fnmatch.fnmatchcase(method, rule[1]) and fnmatch.fnmatchcase(target, rule[2]):
                    rule[0] -= 1
                    return rule[3]
        return None

    def set_rules(self, text: str) -> None:
        with self.other_rules:
            self.other_rules.notify_all()
            self.rules = [[int(times), *rest] for times, *rest in (line.split(None, 3) for line in text.splitlines())]


class Connection:
    def __init__(self, sock: socket.socket, shared: Shared) -> None:
        self.sock, self.shared = sock, shared
        self.number = next(shared.connections)
        self.buffer = b""
        self.doomed: dict[str, str] = {}  # ids whose next request ends this connection, and when

    def fill(self) -> None:
        data = self.sock.recv(1 << 16)
        if not data:
            raise Gone
        self.buffer += data

    def serve(self) -> None:
        try:
            while True:
                while b"\r\n\r\n" not in self.buffer:
                    self.fill()
                head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
                Request(self, head.decode("latin-1")).answer()
        except (Gone, OSError):
            pass
        finally:
            self.sock.close()

    def reset(self) -> None:
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()
        raise Gone

    def stall(self) -> None:
        while True:
            self.fill()
            self.buffer = b""


class Request:
    def __init__(self, connection: Connection, head: str) -> None:
        self.connection, self.shared = connection, connection.shared
        first, *lines = head.split("\r\n")
        self.method, self.target, _ = first.split(" ", 2)
        self.headers = [line.split(":", 1) for line in lines]
        path, _, query = self.target.partition("?")
        if path.startswith("http://"):  # to a proxy
            path = "/" + path[7:].partition("/")[2]
        self.path = path
        self.id = parse_qs(query).get("id", [path])[0]
        self.expected = int(self.header("content-length") or 0)
        self.chunked = "chunked" in self.header("transfer-encoding")
        self.read_done = False
        self.status, self.reply_headers, self.length = 200, [], None
        self.reply_chunked = self.head_sent = False
        self.sent = self.start = 0
        self.content = b""
        self.sum = "0 -"
        # In the log from the beginning, so that who has had an answer finds the request there.
        self.entry = [self.summary("unread"), f"> : {self.target}"]
        self.entry += [f"> {name}: {value.strip()}" for name, value in self.headers]
        with self.shared.lock:
            self.shared.log.setdefault(self.id, []).append(self.entry)

    def summary(self, state: str) -> str:
        return f"{self.method} {self.sum} {state} connection {self.connection.number}"

    def header(self, name: str) -> str:
        return next((value.strip() for key, value in self.headers if key.lower() == name), "")

    # --- reading

    def read_body(self) -> None:
        if self.read_done:
            return
        self.read_done = True
        digest, size, kept, whole = hashlib.sha256(), 0, [], False
        try:
            if self.header("expect") and not self.head_sent:
                self.send(b"HTTP/1.1 100 Continue\r\n\r\n")
            for piece in self.pieces():
                digest.update(piece)
                size += len(piece)
                if size <= 1 << 20:
                    kept.append(piece)
            whole = True
        finally:
            self.content = b"".join(kept)
            self.sum = f"{size} {digest.hexdigest()}"
            self.entry[0] = self.summary("whole" if whole else "short")

    def pieces(self):
        connection = self.connection
        left = self.expected
        while left > 0:
            if not connection.buffer:
                connection.fill()
            piece, connection.buffer = connection.buffer[:left], connection.buffer[left:]
            left -= len(piece)
            yield piece

    # --- answering

    def send(self, data: bytes) -> None:
        self.connection.sock.sendall(data)

    def send_head(self, size: int = 0) -> None:
        if self.head_sent:
            return
        self.head_sent = True
        length = "Transfer-Encoding: chunked" if self.reply_chunked else f"Content-Length: {size if self.length is None else self.length}"
        lines = [f"HTTP/1.1 {self.status} {REASONS.get(self.status, 'Status')}", length]
        lines += [f"{name}: {value}" for name, value in self.reply_headers]
        self.send("\r\n".join([*lines, "", ""]).encode("latin-1"))

    def send_body(self, data: bytes) -> None:
        self.send_head(len(data))
        if self.reply_chunked:
            data = b"%x\r\n%s\r\n" % (len(data), data)
        self.send(data)
        self.sent += len(data)

    def send_pattern(self, size: int) -> None:
        self.send_head(size)
        shift = self.start % 251
        pattern = PATTERN[shift:] + PATTERN[:shift]
        for at in range(0, size, len(pattern)):
            self.send_body(pattern[: size - at])

    def answer(self) -> None:
        if self.id in self.connection.doomed:
            if self.connection.doomed[self.id] != "head":
                self.read_body()
            self.connection.reset()
        steps = self.shared.rule(self.method, self.target) if not self.path.startswith(("/log/", "/rules")) else None
        if steps is None and self.path.startswith("/do/"):
            steps = self.path[4:]
        if steps is not None:
            self.act(steps)
        else:
            self.read_body()
            self.plain()
        if self.header("connection").lower() == "close":
            raise Gone

    def plain(self) -> None:
        if self.path.startswith("/log/"):
            with self.shared.lock:
                entries = self.shared.log.get(unquote(self.path[5:]), [])
                text = "".join(line + "\n" for entry in entries for line in entry)
            self.send_body(text.encode("latin-1"))
        elif self.path == "/rules":
            self.shared.set_rules(self.content.decode())
            self.send_body(b"")
        elif self.method == "HEAD":
            self.send_head(5)
        elif self.path.startswith("/bytes/"):
            self.send_pattern(int(self.path[7:]))
        else:
            self.send_body(f"{self.method} {self.sum}\n".encode())

    def act(self, steps: str) -> None:
        nth = self.shared.count(self.id)
        for step in steps.split("/"):
            name, _, value = step.partition("-")
            if name == "until" and nth > int(value):
                break
            self.act_step(name, unquote(value))
        self.read_body()
        if not self.head_sent:
            self.send_body(b"" if self.method == "HEAD" or self.status in (204, 304) else f"{self.method} {self.sum}\n".encode())
        if self.reply_chunked:
            self.send(b"0\r\n\r\n")
        if self.length is not None and self.sent != self.length:
            raise Gone

    def act_step(self, name: str, value: str) -> None:
        if name == "body":
            self.read_body()
        elif name == "continue":
            self.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        elif name == "status":
            self.status = int(value)
        elif name == "header":
            self.reply_headers.append(value.split("=", 1))
        elif name == "headers":
            self.reply_headers += [(f"x-many-{i}", "v" * 100) for i in range(int(value))]
        elif name == "length":
            self.length = int(value)
        elif name == "chunked":
            self.reply_chunked = True
        elif name == "head":
            self.send_head()
        elif name == "half":
            self.send(b"HTTP/1.1 200 OK\r\nContent-Le")
        elif name == "garbage":
            self.send(b"what is this?\r\n\r\n")
        elif name == "text":
            self.send_body(value.encode())
        elif name == "hex":
            self.send_body(bytes.fromhex(value))
        elif name == "bytes":
            self.send_pattern(int(value))
        elif name == "drip":
            count, pause = map(int, value.split("-"))
            self.send_head(count)
            for i in range(count):
                time.sleep(pause / 1000)
                self.send_body(PATTERN[i % 251 : i % 251 + 1])
        elif name == "endless":
            self.reply_chunked = True
            while True:
                self.send_pattern(len(PATTERN))
        elif name == "from":
            self.start = int(value)
        elif name == "freeze":
            threading.Event().wait()
        elif name == "rules":
            with self.shared.other_rules:
                self.shared.other_rules.wait()
        elif name == "stall":
            self.connection.stall()
        elif name == "reset":
            self.connection.reset()
        elif name == "close":
            raise Gone
        elif name == "again":
            if self.shared.count("again " + self.id) == 1:
                self.connection.doomed[self.id] = value
        elif name != "until":
            self.status = 400


def accept(listener: socket.socket, shared: Shared, context: ssl.SSLContext | None) -> None:
    def run(sock: socket.socket) -> None:
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if context:
                sock = context.wrap_socket(sock, server_side=True)
        except OSError:
            sock.close()
            return
        Connection(sock, shared).serve()

    while True:
        sock, _ = listener.accept()
        threading.Thread(target=run, args=(sock,), daemon=True).start()


def make_certificate(folder: Path) -> ssl.SSLContext:
    cert, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
                    "-keyout", str(key), "-out", str(cert)], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return context


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--tls", type=Path)
    parser.add_argument("--until-eof", action="store_true")
    options = parser.parse_args()
    shared = Shared()
    kinds = [("http", None)] + ([("https", make_certificate(options.tls))] if options.tls else [])
    threads = []
    for name, context in kinds:
        listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        threads.append(threading.Thread(target=accept, args=(listener, shared, context), daemon=True))
        threads[-1].start()
        print(name, listener.getsockname()[1], flush=True)
    if options.until_eof:
        os.read(0, 1)  # nothing comes but the end
        os._exit(0)  # whatever the threads of connections do
    else:
        threads[0].join()


if __name__ == "__main__":
    main()
