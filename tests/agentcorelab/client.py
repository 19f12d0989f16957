"""A client of the stub with the tests' own signer and decoder, for what no decent client sends or survives."""

from __future__ import annotations

import hashlib
import http.client
import json
import ssl
import struct
import time
import urllib.parse
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Optional

import agentcorelab
import sigv4

ID = "aws.codeinterpreter.v1"
SESSION = "x-amzn-code-interpreter-session-id"
ROUTES = {
    "Start": ("PUT", "sessions/start"),
    "Invoke": ("POST", "tools/invoke"),
    "Stop": ("PUT", "sessions/stop"),
    "Get": ("GET", "sessions/get"),
    "List": ("POST", "sessions/list"),
}


@dataclass
class Request:
    """As it goes out. What is changed after sign() is forged."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    def sign(
        self,
        key: tuple[str, str, Optional[str]] = agentcorelab.ROLE_KEY,
        region: str = agentcorelab.REGION,
        service: str = "bedrock-agentcore",
        ahead: float = 0,
    ) -> Request:
        self.headers["x-amz-date"] = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(time.time() + ahead))
        if key[2]:
            self.headers["x-amz-security-token"] = key[2]
        scope = {"key_id": key[0], "secret": key[1], "region": region, "service": service}
        digest = self.headers.get("x-amz-content-sha256") or hashlib.sha256(self.body).hexdigest()
        self.headers["authorization"] = sigv4.authorization(self.method, self.target, self.headers, digest, **scope)
        return self


@dataclass
class Frame:
    """A message of an event stream; a header's value is its bytes, whatever its type."""

    headers: dict[str, bytes]
    payload: bytes

    @property
    def kind(self) -> str:
        """result, or the exception's or the error's name."""
        names = (":event-type", ":exception-type", ":error-code")
        return next((self.headers[name].decode() for name in names if name in self.headers), "")

    def json(self) -> Any:
        return json.loads(self.payload)


SIZES = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}  # of a header's value by its type; the rest say their own


def read_frame(stream: Any) -> Optional[Frame]:
    """Raises ValueError where it is broken; None at the end."""
    prelude = stream.read(12)
    if not prelude:
        return None
    total, header_bytes, check = struct.unpack(">III", prelude)
    if zlib.crc32(prelude[:8]) != check:
        raise ValueError("the prelude's sum is wrong")
    rest = stream.read(total - 12)
    if len(rest) < total - 12:
        raise ValueError("the stream ends in a frame")
    if zlib.crc32(prelude + rest[:-4]) != struct.unpack(">I", rest[-4:])[0]:
        raise ValueError("the message's sum is wrong")
    return Frame(dict(headers_of(rest[:header_bytes])), rest[header_bytes:-4])


def headers_of(data: bytes) -> Iterator[tuple[str, bytes]]:
    while data:
        name, kind, data = data[1 : 1 + data[0]], data[1 + data[0]], data[2 + data[0] :]
        size = SIZES.get(kind)
        if size is None:
            size, data = struct.unpack(">H", data[:2])[0], data[2:]
        value, data = data[:size], data[size:]
        yield name.decode(), value


class Answer:
    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.getheaders()}
        self.response = response

    def frames(self) -> Iterator[Frame]:
        while frame := read_frame(self.response):
            yield frame

    def chunks(self) -> list[bytes]:
        """As they came."""
        return list(iter(lambda: self.response.read1(1 << 20), b""))

    def json(self) -> Any:
        return json.loads(self.response.read())

    @property
    def error(self) -> str:
        return self.headers.get("x-amzn-errortype", "").partition(":")[0]


class Client:
    """One connection at a time."""

    def __init__(self, service: agentcorelab.Service, tls: bool = False) -> None:
        parts = urllib.parse.urlsplit(service.tls_endpoint if tls else service.endpoint)
        self.host = parts.netloc
        context = ssl.create_default_context(cafile=service.ca_file)
        self.connection = (
            http.client.HTTPSConnection(self.host, timeout=60, context=context)
            if tls
            else http.client.HTTPConnection(self.host, timeout=60)
        )

    def request(self, operation: str, body: Any = None, session: str = "", interpreter: str = ID) -> Request:
        method, path = ROUTES[operation]
        target = f"/code-interpreters/{urllib.parse.quote(interpreter, safe='')}/{path}"
        headers = {"host": self.host}
        if operation in ("Stop", "Get"):
            target += f"?sessionId={session}"
        elif session:
            headers[SESSION] = session
        data = b"" if method == "GET" else json.dumps(body or {}).encode()
        if data:
            headers["content-type"] = "application/json"
        return Request(method, target, headers, data)

    def send(self, request: Request) -> Answer:
        self.connection.request(request.method, request.target, request.body or None, request.headers)
        return Answer(self.connection.getresponse())

    def call(self, operation: str, body: Any = None, session: str = "", interpreter: str = ID) -> Answer:
        return self.send(self.request(operation, body, session, interpreter).sign())

    def start(self, **members: Any) -> str:
        return self.call("Start", members).json()["sessionId"]

    def invoke(self, session: str, tool: str, **arguments: Any) -> Answer:
        return self.call("Invoke", {"name": tool, "arguments": arguments}, session)

    def results(self, session: str, tool: str, **arguments: Any) -> list[dict[str, Any]]:
        """Of a call that has nothing but results."""
        frames = list(self.invoke(session, tool, **arguments).frames())
        assert {frame.kind for frame in frames} == {"result"}, frames
        return [frame.json() for frame in frames]

    def close(self) -> None:
        self.connection.close()
