"""What the tests of the network share: the lab as a fixture, a sandbox in it, and code that tries to reach things."""

from __future__ import annotations

import ast
import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import libci
import pytest
from conftest import SOURCE
from moments import PATIENCE

sys.path.insert(0, str(SOURCE / "tests"))

import netlab  # noqa: E402
from netlab import names  # noqa: E402

#: What a connection that may not be is answered with.
REFUSED = {"ECONNREFUSED", "ECONNRESET", "EHOSTUNREACH", "ENETUNREACH", "EACCES", "EPERM"}
TIMEOUT = "no answer"

#: Runs in the session. Each function says what came of a try: bytes, a list, or an error's name.
PROBE = f'''
import errno, os, socket, struct, time

def trying(function):
    def tried(*arguments, **options):
        try:
            return function(*arguments, **options)
        except TimeoutError:
            return {TIMEOUT!r}
        except socket.gaierror as error:
            return "gaierror"
        except (OSError, UnicodeError) as error:
            return errno.errorcode.get(getattr(error, "errno", None), type(error).__name__)
    return tried

@trying
def tcp(host, port=80, message=b"GET / HTTP/1.0\\r\\n\\r\\n", timeout=60):
    with socket.create_connection((host, port), timeout) as s:
        s.sendall(message)
        return s.recv(65536)

@trying
def udp(host, port=7, message=b"ping", timeout=60):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as s:
        s.settimeout(timeout)
        s.connect((host, port))
        s.send(message)
        return s.recv(65536)

@trying
def resolve(name, family=0):
    return sorted({{entry[4][0] for entry in socket.getaddrinfo(name, 80, family, socket.SOCK_STREAM)}})

def query(name, kind=1):
    labels = [label if isinstance(label, bytes) else label.encode("latin-1") for label in
              (name if isinstance(name, list) else name.split("."))]
    question = b"".join(bytes([len(label)]) + label for label in labels) + b"\\0" + struct.pack("!HH", kind, 1)
    return struct.pack("!HHHHHH", 4711, 0x100, 1, 0, 0, 0) + question

def ask(name, kind=1, server=None, timeout=60):
    """The code and number of records of a name server's answer, by a query made by hand."""
    answer = udp(server or open("/etc/resolv.conf").read().split()[1], 53, query(name, kind), timeout)
    return answer if isinstance(answer, str) else (answer[3] & 15, struct.unpack_from("!H", answer, 6)[0])
'''


def wait_for(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + PATIENCE
    while not condition() and time.monotonic() < deadline:
        os.sched_yield()
    return condition()


class Guest:
    """A session and what its code can reach."""

    def __init__(self, session: libci.Session) -> None:
        self.session = session
        self.refusals: list[dict[str, Any]] = []
        self.run(PROBE)

    def run(self, code: str, **options: Any) -> libci.Result:
        """Runs code that must end well. `refusals` has what was refused meanwhile."""
        result = self.session.run_code(code, **options)
        self.refusals = result.json()["structuredContent"].get("refusals", [])
        assert result.ok, result.traceback or result.stderr
        return result

    def is_told(self, condition: Callable[[], bool]) -> bool:
        """Whether the host is told of a refusal: with the run, or with a later one where the gateway was slow."""

        def look_again() -> bool:
            before = self.refusals
            self.run("pass")
            self.refusals = before + self.refusals
            return condition()

        return condition() or wait_for(look_again)

    def shell(self, command: str, **options: Any) -> libci.Result:
        result = self.session.run_command(command, **options)
        self.refusals = result.json()["structuredContent"].get("refusals", [])
        return result

    def ask(self, code: str) -> Any:
        """The value of its last line."""
        return ast.literal_eval(self.run(code).value or "None")


@pytest.fixture(scope="module")
def lab() -> Iterator[netlab.Lab]:
    with netlab.enter() as lab:
        yield lab


@pytest.fixture(scope="module")
def sandbox(lab: netlab.Lab) -> Iterator[libci.Sandbox]:
    """In the lab, in place of that of other files."""
    with libci.Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def open_guest(open_session: Callable[..., libci.Session]) -> Callable[..., Guest]:
    return lambda **options: Guest(open_session(**{"network": "internet", "timeout": PATIENCE, **options}))


@pytest.fixture
def guest(open_guest: Callable[..., Guest]) -> Guest:
    """In a session of all defaults but the network."""
    return open_guest()


def host_reached(lab: netlab.Lab) -> list[dict[str, Any]]:
    """What has come to the host's own servers, at whichever address; each of these can be reached."""
    for address in names.HOST_ADDRESSES:
        lab.visitors(address)
        lab.visitors(address, names.ECHO, "udp")
    return lab.log("host")
