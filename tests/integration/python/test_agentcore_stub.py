"""The stub of AgentCore (tests/agentcorelab): what AWS's own clients make of it, and that it refuses and misbehaves as told."""

from __future__ import annotations

import base64
import functools
import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import agentcorelab
import pytest
import sigv4
from agentcorelab import clients
from agentcorelab.client import ID, SESSION, Client, Frame, Request

BINARY = bytes(range(256))
ARN = f"arn:aws:bedrock-agentcore:us-west-2:aws:code-interpreter/{ID}"
TOKEN = "0123456789abcdef0123456789abcdef-token"


@pytest.fixture
def client(service: agentcorelab.Service) -> Iterator[Client]:
    client = Client(service)
    yield client
    client.close()


# -- AWS's clients


def step(operation: str, **members: Any) -> list[Any]:
    return [f"{operation}CodeInterpreterSession", {"codeInterpreterIdentifier": ID, **members}]


def tool(name: str, **arguments: Any) -> list[Any]:
    members = {"codeInterpreterIdentifier": ID, "sessionId": "$sessionId", "name": name, "arguments": arguments}
    return ["InvokeCodeInterpreter", members]


STEPS = [
    step("Start", name="stub"),
    tool("executeCode", code="x = 6\nprint(x * 7)", language="python"),
    tool("executeCode", code="print(x)\nraise KeyError(x)", language="python"),
    tool("executeCommand", command="echo out; echo err >&2; exit 3"),
    tool(
        "writeFiles",
        content=[
            {"path": "a/é b.txt", "text": "text\n"},
            {"path": "x.bin", "blob": {"base64": base64.b64encode(BINARY).decode()}},
        ],
    ),
    tool("readFiles", paths=["a/é b.txt", "/x.bin"]),
    tool("listFiles", directoryPath=""),
    tool("startCommandExecution", command="echo begun; sleep 1000"),
    tool("stopTask", taskId="$taskId"),
    tool("removeFiles", paths=["a", "x.bin"]),
    tool("readFiles", paths=["x.bin"]),
    tool("executeCode", code="1", language="javascript"),
    step("Stop", sessionId="$sessionId"),
    step("Get", sessionId="$sessionId"),
    tool("executeCode", code="1", language="python"),
]


def joined(results: list[dict[str, Any]], name: str) -> str:
    return "".join(result.get("structuredContent", {}).get(name, "") for result in results)


def text_of(answer: dict[str, Any]) -> str:
    return answer["results"][-1]["content"][0]["text"]


@pytest.mark.parametrize("manner", agentcorelab.MANNERS)
@pytest.mark.parametrize("run", clients.CLIENTS)
def test_awss_clients_start_run_write_read_and_stop(
    service: agentcorelab.Service, run: Callable[..., list[dict[str, Any]]], manner: str
) -> None:
    service.control("PUT", "settings", {"manner": manner})
    plain = manner == "plain"
    opened = service.control("GET", "connections")["opened"]
    try:
        answers = run(service, STEPS)
    except agentcorelab.Missing as error:
        pytest.skip(str(error))
    started, printed, raised, command, written, read, listed, task, stopped, removed, missing, deno = answers[:12]

    assert len(started["sessionId"]) == 26 and started["codeInterpreterIdentifier"] == ID
    assert len(printed["results"]) == (2 if plain else 1)
    assert joined(printed["results"], "stdout") == ("42\n" if plain else "42")
    last = printed["results"][-1]
    assert last["structuredContent"]["exitCode"] == 0 and 0 < last["structuredContent"]["executionTime"] < 10
    assert not last["isError"]
    assert raised["results"][-1]["isError"] and raised["results"][-1]["structuredContent"]["exitCode"] == 1
    assert "KeyError: 6" in joined(raised["results"], "stderr")

    out = (joined(command["results"], "stdout"), joined(command["results"], "stderr"))
    assert out == (("out\n", "err\n") if plain else ("", "out\r\nerr\r\n"))
    last = command["results"][-1]
    assert (last["structuredContent"]["exitCode"], last["isError"]) == (3, plain)

    assert text_of(written) == "Successfully wrote all 2 files"
    first, second = (block["resource"] for block in read["results"][0]["content"])
    assert (first["text"], first["mimeType"]) == ("text\n", "text/plain")
    assert base64.b64decode(second["blob"]) == BINARY and second["uri"] == "file:///x.bin"
    assert [block.get("type") for block in (first, second)] == (["text", "blob"] if plain else [None, None])
    names = [entry["name"] for entry in listed["results"][0]["content"]]
    assert names == (["a", "x.bin"] if plain else ["x.bin", "log", "a", ".ipython"])
    assert all(("size" in entry) == plain for entry in listed["results"][0]["content"])
    assert task["results"][0]["structuredContent"]["taskStatus"] == "submitted"
    assert ("structuredContent" in stopped["results"][0]) == plain
    assert text_of(removed) == "Successfully removed all 2 files"
    assert missing["results"][0]["isError"] and "x.bin" in text_of(missing)
    assert (deno["error"], deno["reason"]) == ("ValidationException", "FieldValidationFailed")
    assert answers[13]["status"] == "TERMINATED"
    assert answers[14]["error"] == "ResourceNotFoundException"

    log = service.control("GET", "log")
    assert [entry["operation"] for entry in log].count("Invoke") == len(STEPS) - 3
    assert {entry["connection"] for entry in log} == {opened + 1}
    assert service.control("GET", "connections") == {"opened": opened + 1, "open": 0}


# -- signatures


def test_the_tests_signer_signs_as_awss_does() -> None:
    scope = {
        "key_id": "AKIDEXAMPLE",
        "secret": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
        "region": "us-east-1",
        "service": "bedrock-agentcore",
    }
    headers = {"host": "bedrock-agentcore.us-east-1.amazonaws.com", "x-amz-date": "20150830T123600Z"}
    target = "/code-interpreters/a%20b%2Fc/sessions/get?sessionId=01ARZ3NDEKTSV4RRFFQ69G5FAV"
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    signed = sigv4.authorization("GET", target, headers, empty, **scope)
    assert signed.endswith("baffea4823e8debf1aefbcad201f6542fb0ae059c314b520779adca89468bc16")


def flipped(text: str, at: int = -1) -> str:
    """With one bit of a character changed."""
    at %= len(text)
    return text[:at] + chr(ord(text[at]) ^ 1) + text[at + 1 :]


def change_header(request: Request, name: str, value: str) -> None:
    request.sign().headers[name] = value


def change_target(request: Request) -> None:
    request.sign()
    request.target = flipped(request.target, request.target.index("us-west"))


def change_body(request: Request) -> None:
    request.sign().body = request.body.replace(b"stub", b"stuc")


def change_sum(request: Request) -> None:
    request.headers["x-amz-content-sha256"] = "0" * 64
    request.sign()


def change_signature(request: Request) -> None:
    request.sign()
    request.headers["authorization"] = flipped(request.headers["authorization"])


def leave_unsigned(request: Request, name: str) -> None:
    kept = request.headers.pop(name)
    request.sign().headers[name] = kept


def leave_out(request: Request, name: str) -> None:
    del request.sign().headers[name]


def with_key(index: int, value: str) -> Callable[[Request], object]:
    key = list(agentcorelab.ROLE_KEY)
    key[index] = value
    return functools.partial(Request.sign, key=tuple(key))


INVALID = "InvalidSignatureException"
FORGED: dict[str, tuple[str, Callable[[Request], object]]] = {
    "path": (INVALID, change_target),
    "header": (INVALID, functools.partial(change_header, name="traceparent", value="00-b")),
    "content type": (INVALID, functools.partial(change_header, name="content-type", value="application/jsom")),
    "body": (INVALID, change_body),
    "sum of the body": (INVALID, change_sum),
    "signature": (INVALID, change_signature),
    "secret": (INVALID, with_key(1, flipped(agentcorelab.ROLE_KEY[1]))),
    "region": (INVALID, functools.partial(Request.sign, region="us-west-3")),
    "service": (INVALID, functools.partial(Request.sign, service="bedrock-agentcorf")),
    "date": (INVALID, functools.partial(change_header, name="x-amz-date", value="20150830T123600Z")),
    "old": (INVALID, functools.partial(Request.sign, ahead=-600)),
    "from the future": (INVALID, functools.partial(Request.sign, ahead=600)),
    "unsigned header": (INVALID, functools.partial(leave_unsigned, name="traceparent")),
    "unsigned host": (INVALID, functools.partial(leave_unsigned, name="host")),
    "signed trace id": (INVALID, lambda request: request.headers.update({"x-amzn-trace-id": "Root=1"}) or request.sign()),
    "token": ("UnrecognizedClientException", with_key(2, "another")),
    "no token": ("UnrecognizedClientException", with_key(2, "")),
    "unknown key": ("UnrecognizedClientException", with_key(0, "AKIAUNKNOWN")),
    "expired": ("ExpiredTokenException", functools.partial(Request.sign, key=agentcorelab.EXPIRED_KEY)),
    "no date": ("IncompleteSignatureException", lambda request: leave_out(request, "x-amz-date")),
    "another algorithm": (
        "IncompleteSignatureException",
        functools.partial(change_header, name="authorization", value="Bearer x"),
    ),
    "none": ("MissingAuthenticationTokenException", lambda request: leave_out(request, "authorization")),
}


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_request_is_refused(service: agentcorelab.Service, client: Client, name: str) -> None:
    def request() -> Request:
        one = client.request("Start", {"name": "stub"}, interpreter=ARN)
        one.headers["traceparent"] = "00-a"
        return one

    error, forge = FORGED[name]
    forged = request()
    forge(forged)
    answer = client.send(forged)
    assert (answer.status, answer.error) == (403, error)
    answer.json()
    assert client.call("List").json() == {"items": []}
    sound = client.send(request().sign())
    assert sound.status == 200 and sound.json()["codeInterpreterIdentifier"] == ID
    key = client.send(request().sign(key=agentcorelab.PERMANENT_KEY))
    assert key.status == 200 and key.json()


# -- sessions


@pytest.mark.parametrize(
    "members, field",
    [
        ({"name": ""}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"sessionTimeoutSeconds": 0}, "sessionTimeoutSeconds"),
        ({"sessionTimeoutSeconds": 28801}, "sessionTimeoutSeconds"),
        ({"sessionTimeoutSeconds": "60"}, "sessionTimeoutSeconds"),
        ({"clientToken": "a" * 32}, "clientToken"),
        ({"clientToken": "-" * 40}, "clientToken"),
        ({"clientToken": None}, "clientToken"),
    ],
)
def test_what_breaks_the_services_model_is_told_by_field(client: Client, members: dict[str, Any], field: str) -> None:
    answer = client.call("Start", members)
    told = answer.json()
    assert (answer.status, answer.error, told["reason"]) == (400, "ValidationException", "FieldValidationFailed")
    assert [one["name"] for one in told["fieldList"]] == [field]


def test_a_client_token_starts_one_session(client: Client) -> None:
    session = client.start(name="a", clientToken=TOKEN)
    assert client.start(name="a", clientToken=TOKEN) == session != client.start(name="a")
    other = client.call("Start", {"name": "b", "clientToken": TOKEN})
    assert (other.status, other.json()["reason"]) == (400, "IdempotentParameterMismatchException")
    stop = {"clientToken": TOKEN[::-1]}
    assert client.call("Stop", stop, session).json() == client.call("Stop", stop, session).json()
    again = client.call("Stop", {}, session)
    assert again.status == 404 and again.json()


def test_a_session_ends_when_its_time_is_over_whatever_it_does(service: agentcorelab.Service, client: Client) -> None:
    session = client.start(sessionTimeoutSeconds=1)
    frames = list(client.invoke(session, "executeCommand", command="echo begun; sleep 1000").frames())
    assert [frame.kind for frame in frames] == ["result", "resourceNotFoundException"]
    assert client.call("Get", session=session).json()["status"] == "TERMINATED"
    lost = client.invoke(session, "executeCode", code="1")
    assert (lost.status, lost.error) == (404, "ResourceNotFoundException") and lost.json()


def test_sessions_are_listed_in_pages(client: Client) -> None:
    sessions = [client.start(name=str(i)) for i in range(3)]
    client.call("Stop", {}, sessions[1]).json()
    first = client.call("List", {"maxResults": 2}).json()
    second = client.call("List", {"maxResults": 2, "nextToken": first["nextToken"]}).json()
    assert [one["sessionId"] for one in first["items"] + second["items"]] == sessions and "nextToken" not in second
    ready = client.call("List", {"status": "READY"}).json()["items"]
    assert [one["sessionId"] for one in ready] == [sessions[0], sessions[2]]


# -- calls


def test_output_comes_as_it_is_printed(service: agentcorelab.Service, client: Client) -> None:
    session = client.start()
    command = "echo begun; until [ -e go ]; do sleep 0.01; done; echo done"
    frames = client.invoke(session, "executeCommand", command=command).frames()
    assert next(frames).json()["structuredContent"] == {"stdout": "begun\n", "stderr": ""}
    other = Client(service)
    other.results(session, "writeFiles", content=[{"path": "go", "text": ""}])
    other.close()
    assert joined([frame.json() for frame in frames], "stdout") == "done\n"


def test_ten_calls_on_a_session_run_at_once_and_no_more(service: agentcorelab.Service, client: Client) -> None:
    session = client.start()
    clients = [Client(service) for _ in range(11)]
    wait = "until [ -e go ]; do sleep 0.01; done"
    answers = [one.invoke(session, "executeCommand", command=wait) for one in clients]
    assert [answer.status for answer in answers] == [200] * 10 + [402]
    assert answers[10].error == "ServiceQuotaExceededException"
    service.control("PUT", "settings", {"invokes": 11})
    client.results(session, "writeFiles", content=[{"path": "go", "text": ""}])
    assert [next(answer.frames()).json()["structuredContent"]["exitCode"] for answer in answers[:10]] == [0] * 10
    for one in clients:
        one.close()


def test_a_task_is_told_by_its_output_and_its_end(client: Client) -> None:
    session = client.start()
    [started] = client.results(session, "startCommandExecution", command="echo one; until [ -e go ]; do sleep 0.01; done; exit 5")
    task = started["structuredContent"]["taskId"]

    def poll() -> dict[str, Any]:
        return client.results(session, "getTask", taskId=task)[0]["structuredContent"]

    while not (state := poll())["stdout"]:
        pass
    assert state == {"taskId": task, "taskStatus": "working", "stdout": "one\n", "stderr": ""}
    client.results(session, "writeFiles", content=[{"path": "go", "text": ""}])
    while (state := poll())["taskStatus"] == "working":
        pass
    assert state == poll() == {"taskId": task, "taskStatus": "failed", "exitCode": 5, "stdout": "one\n", "stderr": ""}


def test_the_terminal_of_the_captured_manner(service: agentcorelab.Service, client: Client) -> None:
    service.control("PUT", "settings", {"manner": "captured"})
    session = client.start()
    [ok] = client.results(session, "executeCommand", command="echo a; echo b >&2; echo c; sleep 1000 & echo $! >pid")
    assert ok["structuredContent"]["stdout"] == ok["content"][0]["text"] == "a\r\nb\r\nc\r\n"
    [gone] = client.results(session, "executeCommand", command="kill -0 $(cat pid)")
    assert gone["structuredContent"]["exitCode"] == 1 and "No such process" in gone["structuredContent"]["stderr"]
    [nested] = client.results(session, "writeFiles", content=[{"path": "d/é?.txt", "text": "x"}])
    [listed] = client.results(session, "listFiles", directoryPath="d")
    assert listed["content"] == [
        {
            "type": "resource_link",
            "uri": "file:///d/é?.txt",
            "name": "d/é?.txt",
            "description": "File",
            "mimeType": "text/plain",
        }
    ]


# -- misbehaviour


@pytest.fixture
def told(service: agentcorelab.Service, client: Client) -> Iterator[Callable[..., Any]]:
    """The answer to a command under one rule, which is used up by it."""
    session = client.start()

    def ask(**rule: Any) -> Any:
        service.control("PUT", "rules", [{"operation": "Invoke", **rule}])
        try:
            return client.invoke(session, "executeCommand", command="echo ran >>ran; echo out")
        finally:
            assert service.control("GET", "rules") == []

    yield ask


def ran(service: agentcorelab.Service) -> int:
    """How often the command of told() was carried out."""
    other = Client(service)
    session = other.call("List").json()["items"][0]["sessionId"]
    [*_, result] = other.results(session, "executeCommand", command="exit $(cat ran 2>/dev/null | wc -l)")
    other.close()
    return result["structuredContent"]["exitCode"]


STATUS = {
    "ValidationException": 400,
    "ServiceQuotaExceededException": 402,
    "AccessDeniedException": 403,
    "ResourceNotFoundException": 404,
    "ConflictException": 409,
    "ThrottlingException": 429,
    "InternalServerException": 500,
}


@pytest.mark.parametrize("operation", ["Start", "Invoke", "Stop", "Get", "List"])
def test_every_error_of_every_operation(service: agentcorelab.Service, client: Client, operation: str) -> None:
    session = client.start()
    body = {"name": "executeCode", "arguments": {"code": "1"}} if operation == "Invoke" else {}
    rules = [{"operation": operation, "error": name} for name in STATUS]
    service.control("PUT", "rules", [*rules, {"operation": "other", "error": "ConflictException"}])
    for name, status in STATUS.items():
        answer = client.call(operation, body, session if operation in ("Invoke", "Stop", "Get") else "")
        assert (answer.status, answer.error) == (status, name) and answer.json()["message"]
    assert client.call("Get", session=session).json()["status"] == "READY"


@pytest.mark.parametrize("named", ["code", "__type"])
def test_an_error_named_in_its_body(told: Callable[..., Any], named: str) -> None:
    answer = told(error="ThrottlingException", named=named, headers={"retry-after": "7"}, message="slower")
    body = answer.json()
    assert (answer.status, answer.error, answer.headers["retry-after"]) == (429, "", "7")
    assert body["message"] == "slower" and body[named].endswith("#ThrottlingException")


def test_a_page_of_html(told: Callable[..., Any]) -> None:
    answer = told(html=503)
    assert (answer.status, answer.headers["content-type"]) == (503, "text/html")
    assert answer.response.read().startswith(b"<html>")


def test_an_answer_can_be_lost_before_or_after_the_work(service: agentcorelab.Service, told: Callable[..., Any]) -> None:
    for done in (False, True):
        for reset in (False, True):
            before = ran(service)
            with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
                told(cut="before-head", reset=reset, done=done)
            assert ran(service) - before == done
    before = ran(service)
    answer = told(error="InternalServerException", done=True)
    assert answer.status == 500 and answer.json() and ran(service) == before + 1


@pytest.mark.parametrize("cut", ["after-head", "in-frame"])
def test_a_stream_that_is_cut(told: Callable[..., Any], cut: str) -> None:
    answer = told(cut=cut)
    assert answer.status == 200
    with pytest.raises((http.client.IncompleteRead, ValueError, ConnectionResetError)):
        list(answer.frames())


WHOLE = [("result", {"stdout": "out\n", "stderr": ""}), ("result", None)]


def seen(frames: list[Frame]) -> list[tuple[str, Any]]:
    """Kinds, and what partial results hold."""
    content = [frame.json().get("structuredContent", {}) if frame.kind == "result" else {} for frame in frames]
    return [(frame.kind, None if "exitCode" in one else one) for frame, one in zip(frames, content)]


@pytest.mark.parametrize(
    "rule, frames",
    [
        ({}, WHOLE),
        ({"split": 1}, WHOLE),
        ({"split": 7}, WHOLE),
        ({"join": True}, WHOLE),
        ({"pace": [50, 1]}, WHOLE),
        ({"head_ms": 5, "first_ms": 5}, WHOLE),
        ({"empty": True}, []),
        ({"exception": "throttlingException"}, [WHOLE[0], ("throttlingException", {})]),
        ({"exception": "validationException", "at": "start"}, [("validationException", {})]),
        (
            {"exception": "conflictException", "at": "middle"},
            [("result", {"stdout": "begun", "stderr": ""}), ("conflictException", {})],
        ),
        ({"error_frame": ["InternalFailure", "boom"]}, [WHOLE[0], ("InternalFailure", {})]),
        ({"extra": ["unknown-event"]}, [("somethingNew", {}), *WHOLE]),
        ({"extra": ["all-headers", "unknown-type", "empty"]}, [("everything", {}), ("", {}), ("", {}), *WHOLE]),
        ({"result": {"content": [], "structuredContent": {"exitCode": 9}}}, [WHOLE[1]]),
    ],
)
def test_a_stream_is_as_the_rule_says(told: Callable[..., Any], rule: dict[str, Any], frames: list[Any]) -> None:
    answer = told(**rule)
    assert answer.status == 200 and answer.headers["transfer-encoding"] == "chunked"
    assert seen(list(answer.frames())) == frames


def test_a_streams_bytes_are_written_as_the_rule_says(told: Callable[..., Any]) -> None:
    frames = told().chunks()
    assert len(frames) == 2
    [joined_frames] = told(join=True).chunks()
    assert len(joined_frames) == pytest.approx(sum(map(len, frames)), abs=10)  # the time taken has as many digits as it has
    assert {len(chunk) for chunk in told(split=1).chunks()} == {1}
    assert max(map(len, told(pace=[50, 1]).chunks())) == 50
    begun = time.monotonic()
    assert told(head_ms=100, first_ms=100).chunks()
    assert time.monotonic() - begun >= 0.2


def test_a_header_of_every_type(told: Callable[..., Any]) -> None:
    headers = next(told(extra=["all-headers"]).frames()).headers
    assert (headers["true"], headers["false"]) == (b"", b"")
    numbers = [int.from_bytes(headers[name], "big", signed=True) for name in ("byte", "short", "integer", "long")]
    assert numbers == [-1, -2, -3, -4]
    assert (headers["binary"], headers["timestamp"], headers["uuid"][:2]) == (b"\0\xff", bytes(8), b"\x12\x3e")


@pytest.mark.parametrize("corrupt", ["prelude-crc", "message-crc", "payload", "length", "short", "headers"])
def test_a_frame_that_is_broken(told: Callable[..., Any], corrupt: str) -> None:
    frames = told(corrupt=corrupt).frames()
    assert next(frames).kind == "result"
    with pytest.raises(ValueError):
        next(frames)


def test_a_result_that_is_no_utf8(told: Callable[..., Any]) -> None:
    last = list(told(result={"content": [{"type": "text", "text": "x"}]}, invalid_utf8=True).frames())[-1]
    with pytest.raises(UnicodeDecodeError):
        last.payload.decode()


def test_a_result_of_20_megabytes(told: Callable[..., Any]) -> None:
    [frame] = told(result_bytes=20 << 20).frames()
    assert len(frame.json()["content"][0]["text"]) == 20 << 20


def test_an_expired_session_and_a_wrong_clock(service: agentcorelab.Service, client: Client, told: Callable[..., Any]) -> None:
    service.control("PUT", "settings", {"clock_ms": 3_600_000})
    answer = client.call("List")
    assert (answer.status, answer.error) == (403, "InvalidSignatureException") and answer.json()
    ahead = client.send(client.request("List").sign(ahead=3600))
    assert ahead.status == 200 and ahead.json()
    service.control("PUT", "settings", {"clock_ms": 0})
    answer = told(expire=True)
    assert (answer.status, answer.error) == (404, "ResourceNotFoundException") and answer.json()


def test_tls(service: agentcorelab.Service) -> None:
    client = Client(service, tls=True)
    session = client.start()
    assert client.results(session, "executeCode", code="print(1)")[0]["structuredContent"]["stdout"] == "1\n"
    client.close()
    assert [entry["tls"] for entry in service.control("GET", "log")] == [True, True]


def test_forty_sessions_side_by_side(service: agentcorelab.Service) -> None:
    at_once = 40
    barrier = threading.Barrier(at_once)
    outputs: list[str] = []

    def use(number: int) -> None:
        client = Client(service)
        session = client.start()
        barrier.wait(60)  # none goes on before all are there
        results = client.results(session, "executeCode", code=f"print({number})")
        outputs.append(joined(results, "stdout"))
        client.close()

    threads = [threading.Thread(target=use, args=[number]) for number in range(at_once)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outputs) == sorted(f"{number}\n" for number in range(at_once))
