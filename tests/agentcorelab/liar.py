"""A service whose sessions lie: it answers the library's own script in their place, with whatever lines a test wants.

    with liar.start(tree=lambda *words: ["m 0"]) as service: …

Signatures are not looked at."""

from __future__ import annotations

import base64
import contextlib
import http.server
import json
import struct
import threading
import zlib
from collections.abc import Callable, Iterator
from typing import Any

#: The lines that answer an operation of the script, by its words.
Lines = Callable[..., list[str]]

HEADERS = {":message-type": "event", ":event-type": "result", ":content-type": "application/json"}


def text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def frame(payload: bytes) -> bytes:
    headers = b"".join(
        struct.pack(">B", len(name)) + name.encode() + struct.pack(">BH", 7, len(value)) + value.encode()
        for name, value in HEADERS.items()
    )
    prelude = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
    message = prelude + struct.pack(">I", zlib.crc32(prelude)) + headers + payload
    return message + struct.pack(">I", zlib.crc32(message))


class Service(http.server.ThreadingHTTPServer):
    daemon_threads = False  # who ends it has closed his connections, and waits for their threads to have seen it

    def __init__(self, operations: dict[str, Lines]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self.server_port}"
        self.operations = {"hello": lambda *words: ["r " + text(b"/root")], **operations}
        self.asked: list[str] = []

    def invoke(self, body: dict[str, Any]) -> str:
        """The standard output of a call of the script."""
        if body["name"] != "executeCommand":
            return ""
        words = body["arguments"]["command"].partition(" python3 -I -S - ")[2].split(" ")
        nonce, _, _, operation, *arguments = words
        self.asked.append(operation)
        lines = self.operations.get(operation, lambda *words: [])(
            *(b"" if word == "=" else base64.b64decode(word) for word in arguments)
        )
        return "\r\n".join([f"ci:{nonce}", *lines, ".", ""])


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Service

    def log_message(self, *_: Any) -> None:
        pass

    def answer(self, kind: str, body: bytes) -> None:
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if not self.path.endswith("/tools/invoke"):
            return self.answer("application/json", b'{"sessionId": "S1", "status": "READY"}')
        out = self.server.invoke(json.loads(body))
        result = {"content": [], "structuredContent": {"stdout": out, "stderr": "", "exitCode": 0}, "isError": False}
        self.answer("application/vnd.amazon.eventstream", frame(json.dumps(result).encode()))

    do_PUT = do_POST = do_GET


@contextlib.contextmanager
def start(**operations: Lines) -> Iterator[Service]:
    with Service(operations) as service:
        thread = threading.Thread(target=service.serve_forever, daemon=True)
        thread.start()
        try:
            yield service
        finally:
            service.shutdown()
            thread.join()
