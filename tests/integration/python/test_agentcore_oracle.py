"""libci's requests to AgentCore beside those of AWS's own clients. What libci asks for is read from the stub's log and given to
AWS's JavaScript client and to botocore as their input; what the three then sent must be the same: target, headers, body."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import agentcorelab
import pytest
from agentcorelab import clients
from agentcorelab.client import ID, SESSION

import libci

ARN = f"arn:aws:bedrock-agentcore:{agentcorelab.REGION}:aws:code-interpreter/{ID}"
TRACE = {"trace_id": "Root=1-2-3", "trace_parent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
BINARY = bytes(range(256))
TEXT = 'print("é\u2028\\\\ \U0001f600\t/", """<&>\x7f\n""")'  # of what JSON can be written in more than one way

UUID = "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"

#: Headers that differ, and why. Any other must be the same.
DIFFERENCES = {
    "user-agent": "names the program",
    "x-amz-user-agent": "likewise, of the JavaScript client",
    "amz-sdk-invocation-id": "the clients' own count of attempts, which the service's model does not know",
    "amz-sdk-request": "likewise",
    "x-amz-content-sha256": "the JavaScript client's: the hash is signed with or without it",
    "accept-encoding": "botocore's, which takes nothing but identity; it is the same without",
    "connection": "Node's words for what HTTP/1.1 does anyway",
    "content-length": "follows from how the JSON is spaced; checked against the body",
    "x-amz-date": "the time; its form is checked",
    "authorization": "checked part by part",
}
#: Headers that a client sends unsigned, which the stub refuses: botocore 1.44.8 as against AWS's JavaScript client.
UNSIGNED = {"botocore": {"traceparent"}, "javascript": set()}


def use(sandbox: libci.Sandbox, languages: Iterable[str]) -> None:
    """Whatever there is to be asked for, at least once."""
    with libci.Session(sandbox=sandbox) as session:
        session.run_code(TEXT)
        session.run_code("x = 1", clear_context=True)
        for language in languages:
            session.run_code("1", language=language)
        session.run_command("echo 'é' | tr -d '\"'")
        session.write_file("a/é b.bin", BINARY)
        session.write_file("empty", b"")
        # One that loses what libci keeps about it, so that the service has to be asked.
        folder = r"w=/tmp/ci-$(tr '\0' '\n' < /proc/$PPID/cmdline | sed -n 5p)"
        lost = f"{folder}; until [ -s $w/p ]; do sleep 0.01; done; rm -r $w; touch lost; sleep 1000"
        task = session.run_command(lost, background=True).task_id
        session.run_command("until [ -e lost ]; do sleep 0.01; done")
        session.poll_task(task)
        session.stop_task(task)
        libci.Session(sandbox=sandbox, attach_id=session.info()["sandbox"]["sessionId"]).close()


#: Keys, options of the sandbox, and which languages beside Python, which take the stub long.
WAYS = {
    "role": (agentcorelab.ROLE_KEY, {"session_timeout": 120, "name": "a-name"}, ["javascript", "typescript"]),
    "permanent": (agentcorelab.PERMANENT_KEY, {}, []),
    "arn-traced": (agentcorelab.ROLE_KEY, {"interpreter": ARN, **TRACE}, []),
}


@pytest.fixture(scope="module")
def service() -> Iterator[agentcorelab.Service]:
    try:
        agentcorelab.node(clients.NODE_VERSION)
        with agentcorelab.start() as service:
            yield service
    except agentcorelab.Missing as error:
        pytest.skip(str(error))


def recorded(service: agentcorelab.Service, run: Callable[[], object]) -> list[Request]:
    service.control("DELETE", "log")
    run()
    return [Request(entry) for entry in service.control("GET", "log")]


class Request:
    """As it came."""

    def __init__(self, entry: dict[str, Any]) -> None:
        self.method, self.target, self.operation, self.status = (
            entry[name] for name in ("method", "target", "operation", "status")
        )
        self.tool = entry.get("tool")
        self.headers = {name.lower(): value for name, value in entry["headers"]}
        assert len(self.headers) == len(entry["headers"])
        self.raw = base64.b64decode(entry["body"])
        self.body = json.loads(self.raw) if self.raw else None

    def step(self) -> list[Any]:
        """The clients' input that asks for the same. Blobs are bytes for them, tokens what libci made."""
        url = urlsplit(self.target)
        given = {"codeInterpreterIdentifier": unquote(url.path.split("/")[2]), **json.loads(self.raw or b"{}")}
        session = parse_qs(url.query).get("sessionId", [self.headers.get(SESSION)])[0]
        if session:
            given["sessionId"] = session
        for header, member in (("x-amzn-trace-id", "traceId"), ("traceparent", "traceParent")):
            if header in self.headers:
                given[member] = self.headers[header]
        for block in given.get("arguments", {}).get("content", []):
            if "blob" in block:
                block["blob"] = {"base64": block["blob"]}
        name = "InvokeCodeInterpreter" if self.operation == "Invoke" else f"{self.operation}CodeInterpreterSession"
        return [name, given]

    def compared(self) -> dict[str, str]:
        return {name: value for name, value in self.headers.items() if name not in DIFFERENCES}

    def signed(self) -> tuple[str, set[str]]:
        """Who signs for what, and which headers. The stub has verified the signature."""
        form = r"AWS4-HMAC-SHA256 Credential=([^/]+)/\d{8}/(\S+), SignedHeaders=(\S+), Signature=[0-9a-f]{64}"
        key, scope, names = re.fullmatch(form, self.headers["authorization"]).groups()  # type: ignore[union-attr]
        assert names.split(";") == sorted(names.split(";"))
        return f"{key} {scope}", set(names.split(";")) - DIFFERENCES.keys()


def assert_well_formed(request: Request) -> None:
    assert re.fullmatch(r"\d{8}T\d{6}Z", request.headers["x-amz-date"])
    length = request.headers.get("content-length")
    assert length == (str(len(request.raw)) if request.raw else None)


def assert_same(ours: Request, theirs: Request, unsigned: set[str]) -> None:
    assert (ours.method, ours.target) == (theirs.method, theirs.target)
    assert ours.compared() == theirs.compared()
    assert ours.body == theirs.body
    (our_scope, our_names), (their_scope, their_names) = ours.signed(), theirs.signed()
    assert our_scope == their_scope
    assert our_names - their_names == unsigned & ours.headers.keys() and their_names <= our_names
    assert ours.status != 403 and (theirs.status == 403) == (our_names != their_names)


@pytest.mark.parametrize("way", WAYS)
def test_libci_asks_as_awss_clients_do(service: agentcorelab.Service, way: str) -> None:
    key, options, languages = WAYS[way]

    def run() -> None:
        with libci.Sandbox.agentcore(
            endpoint=service.endpoint,
            region=agentcorelab.REGION,
            environment=False,
            access_key_id=key[0],
            secret_access_key=key[1],
            session_token=key[2],
            **options,
        ) as sandbox:
            use(sandbox, languages)

    ours = recorded(service, run)
    asked = {request.tool or request.operation for request in ours}
    tools = {"executeCode", "executeCommand", "writeFiles", "startCommandExecution", "getTask", "stopTask"}
    assert asked == {"Start", "Get", "Stop", *tools}
    for client in clients.CLIENTS:
        theirs = recorded(service, lambda: client(service, [request.step() for request in ours], key))
        assert len(theirs) == len(ours)
        for our, their in zip(ours, theirs):
            assert_well_formed(our)
            assert_well_formed(their)
            assert_same(our, their, UNSIGNED[client.__name__])
        # A token of their own is like ours.
        untold = ["StartCodeInterpreterSession", {"codeInterpreterIdentifier": ID}]
        [start] = recorded(service, lambda: client(service, [untold]))
        for request in (start, ours[0]):
            assert re.fullmatch(UUID, request.body["clientToken"])
