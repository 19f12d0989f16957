"""The AgentCore sandbox against the stub of the service: what goes over the wire, and what becomes of each way to fail."""

from __future__ import annotations

import io
import json
import os
import shlex
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import agentcorelab
import libci
import pytest
from agentcore import KEYS, at, body, remote, requests, rules, sandbox_of  # noqa: F401
from libci import Outcome
from moments import PATIENCE

pytestmark = pytest.mark.parametrize("started", agentcorelab.MANNERS, indirect=True, scope="module")


def ended(service: agentcorelab.Service, count: int) -> list[dict[str, Any]]:
    """The requests that end sessions, when they have come: closing does not wait for them."""
    until = time.monotonic() + PATIENCE
    while len(requests(service, "Stop")) < count and time.monotonic() < until:
        pass
    return requests(service, "Stop")


# -- what goes over the wire


def test_a_session_is_started_and_ended_once_over_one_connection(service: agentcorelab.Service) -> None:
    with sandbox_of(service, session_timeout=120, name="a-name") as sandbox:
        with libci.Session(sandbox=sandbox) as session:
            for number in range(5):
                assert session.run_command(f"echo {number}").stdout == f"{number}\n"
            session.run_code("x = 1")
    start, *others, stop = requests(service)
    assert start["operation"] == "Start" and stop["operation"] == "Stop"
    asked = body(start)
    assert asked.pop("clientToken") and asked == {"name": "a-name", "sessionTimeoutSeconds": 120}
    assert {one["operation"] for one in others} == {"Invoke"}
    assert {one["connection"] for one in (start, *others, stop)} == {start["connection"]}


def test_code_is_asked_for_as_awss_clients_do(service: agentcorelab.Service, at: libci.Session) -> None:
    service.control("DELETE", "log")
    at.run_code("print(1)")
    at.run_code("print(1)", clear_context=True)
    at.run_code("console.log(1)", language="javascript")
    at.run_code("console.log(1)", language="typescript")
    asked = [body(one) for one in requests(service)]
    assert asked == [
        {"name": "executeCode", "arguments": {"code": "print(1)", "language": "python"}},
        {"name": "executeCode", "arguments": {"code": "print(1)", "language": "python", "clearContext": True}},
        {"name": "executeCode", "arguments": {"code": "console.log(1)", "language": "javascript", "runtime": "nodejs"}},
        {"name": "executeCode", "arguments": {"code": "console.log(1)", "language": "typescript", "runtime": "nodejs"}},
    ]
    names = {name.lower() for name, _ in requests(service)[0]["headers"]}
    assert names == {
        "host",
        "content-type",
        "content-length",
        "x-amz-date",
        "x-amz-security-token",
        "x-amzn-code-interpreter-session-id",
        "authorization",
    }


def test_trace_headers_go_along(service: agentcorelab.Service) -> None:
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    with sandbox_of(service, trace_id="Root=1-2-3", trace_parent=parent) as sandbox, libci.Session(sandbox=sandbox):
        pass
    for request in requests(service):
        headers = {name.lower(): value for name, value in request["headers"]}
        assert headers["traceparent"] == parent and headers["x-amzn-trace-id"] == "Root=1-2-3"
        signed = headers["authorization"].partition("SignedHeaders=")[2].partition(",")[0].split(";")
        assert "traceparent" in signed and "x-amzn-trace-id" not in signed


def test_an_arn_is_an_interpreter_and_says_the_region(service: agentcorelab.Service) -> None:
    arn = f"arn:aws:bedrock-agentcore:{agentcorelab.REGION}:aws:code-interpreter/aws.codeinterpreter.v1"
    with sandbox_of(service, interpreter=arn, region=None) as sandbox, libci.Session(sandbox=sandbox) as session:
        assert session.run_command("echo 1").stdout == "1\n"
    assert "%3Abedrock-agentcore%3A" in requests(service)[0]["target"]


def test_over_tls(service: agentcorelab.Service) -> None:
    with sandbox_of(service, endpoint=service.tls_endpoint, ca_file=service.ca_file) as sandbox:
        with libci.Session(sandbox=sandbox) as session:
            assert session.run_command("echo 1").stdout == "1\n"
    with sandbox_of(service, endpoint=service.tls_endpoint) as sandbox, pytest.raises(libci.Error, match="certificate"):
        libci.Session(sandbox=sandbox)


def test_files_go_in_parts_and_leave_nothing_behind(service: agentcorelab.Service) -> None:
    data = bytes(range(256)) * 1000
    with sandbox_of(service, part_bytes=100_000) as sandbox, libci.Session(sandbox=sandbox) as session:
        session.write_file("d/large", data)
        session.write_file("small", b"\0\r\n\xff")
        written = [body(one)["arguments"] for one in requests(service) if one.get("tool") == "writeFiles"]
        assert len(written) >= 4
        assert session.read_file("d/large") == data
        assert session.read_file("small") == b"\0\r\n\xff"
        def litter() -> list[str]:
            return session.run_command("ls -A; ls /tmp | grep ^ci-").stdout.split()

        files = ["d", "small", *([".ipython", "log"] if service.manner == "captured" else [])]
        assert sorted(name for name in litter() if name[:3] != "ci-") == sorted(files)
        assert len(litter()) == len(files) + 1  # the command's own
        many = session.run_command("seq 200000; seq 100000 >&2", stream_bytes=4_000_000)
        assert many.stdout.split() == [str(n) for n in range(1, 200001)]
        assert many.stderr.split() == [str(n) for n in range(1, 100001)]
        assert len(litter()) == len(files) + 1


def test_a_name_that_is_not_utf8_is_kept(at: libci.Session) -> None:
    at.write_file(b"d/\xffq", b"1")
    assert at.read_file(b"d/\xffq") == b"1"
    assert at.run_command("ls d | od -An -tx1").stdout.split() == ["ff", "71", "0a"]


def test_a_link_to_the_root_can_be_removed(at: libci.Session) -> None:
    at.run_command("ln -s . self")
    at.remove_files("self")
    assert at.run_command("ls").stdout.split().count("self") == 0


class Source(io.RawIOBase):
    """100,000 bytes, in whose midst something is done."""

    def __init__(self, in_the_midst: Callable[[], Any]) -> None:
        self.in_the_midst, self.left = in_the_midst, 20

    def read(self, _size: int = -1) -> bytes:
        self.left -= 1
        if self.left == 10:
            self.in_the_midst()
        return b"x" * 5000 if self.left >= 0 else b""


def test_a_large_file_that_fails_leaves_nothing_behind(service: agentcorelab.Service) -> None:
    with sandbox_of(service, part_bytes=10_000) as sandbox, libci.Session(sandbox=sandbox) as session:
        session.run_command("mkdir d")
        with pytest.raises(libci.NotFound):
            session.put("d/large", Source(lambda: session.run_command("rm .ci-*.1")))
        session.run_command("true")
        assert ".ci-" not in session.run_command("ls -A . d").stdout


class Sink(io.RawIOBase):
    """Keeps what comes; after the first of it something is done."""

    def __init__(self, then: Callable[[], Any]) -> None:
        self.then, self.kept = then, b""

    def write(self, data: Any) -> int:
        first = not self.kept
        self.kept += bytes(data)
        if first:
            self.then()
        return len(data)


@pytest.mark.parametrize("change", ["mv b a", "cp b a", "cat b b > a"])
def test_a_file_that_is_changed_between_its_parts_is_not_told(service: agentcorelab.Service, change: str) -> None:
    with sandbox_of(service, part_bytes=10_000) as sandbox, libci.Session(sandbox=sandbox) as session:
        session.run_command("head -c 30000 /dev/zero > a; tr '\\0' b < a > b")
        with pytest.raises(libci.Error, match="changed while it was read") as raised:
            session.get("a", Sink(lambda: session.run_command(change)))
        assert raised.value.retryable


def test_a_file_that_grows_while_it_is_read_is_told_as_it_was(service: agentcorelab.Service) -> None:
    with sandbox_of(service, part_bytes=10_000) as sandbox, libci.Session(sandbox=sandbox) as session:
        session.run_command("seq 5000 > said")
        sink = Sink(lambda: session.run_command("seq 5001 9000 >> said"))
        session.get("said", sink)
        assert sink.kept.decode() == "".join(f"{n}\n" for n in range(1, 5001))


def test_a_file_under_way_is_not_saved(service: agentcorelab.Service, tmp_path: Path) -> None:
    saved: list[str] = []
    with sandbox_of(service, part_bytes=10_000) as sandbox:
        with libci.Session(sandbox=sandbox, workspace_dir=tmp_path) as session:
            session.write_file(".ci-mine", b"1")
            session.put("large", Source(lambda: saved.extend(file.path for file in session.push().files)))
    assert saved == [".ci-mine"]


def test_long_listings_come_in_pages(service: agentcorelab.Service, at: libci.Session) -> None:
    at.run_command("mkdir d && seq -f d/%05g 20001 | xargs touch")
    service.control("DELETE", "log")
    assert [file.path for file in at.list_files("d")] == [f"d/{n:05}" for n in range(1, 20002)]
    assert len(requests(service, "Invoke")) == 2


def test_a_push_fails_with_what_an_earlier_page_of_its_walk_could_not_look_at(
    service: agentcorelab.Service, tmp_path: Path
) -> None:
    deep = "import os\nfor _ in range(17):\n    os.mkdir('d' * 250)\n    os.chdir('d' * 250)"
    with sandbox_of(service) as sandbox, libci.Session(sandbox=sandbox, workspace_dir=tmp_path) as session:
        session.run_command(f"{shlex.join(['python3', '-c', deep])}; mkdir e; cd e; seq 20000 | xargs mkdir")
        pushed = session.push()
        assert pushed.outcome is Outcome.FAILED and "File name too long" in pushed.error_message


def test_a_file_that_is_written_anew_keeps_its_mode_and_its_link(service: agentcorelab.Service) -> None:
    with sandbox_of(service, part_bytes=10_000) as sandbox, libci.Session(sandbox=sandbox) as session:
        session.run_command("mkdir d e; touch d/file; chmod 750 d/file; ln -s ../d/file e/link")
        for name, size in (("d/file", 100), ("d/file", 20_000), ("e/link", 30_000)):
            session.write_file(name, b"x" * size)
            seen = session.run_command("stat -c '%a %s' d/file; readlink e/link; ls -A d e").stdout.split()
            assert seen == ["750", str(size), "../d/file", "d:", "file", "e:", "link"]


def test_the_end_of_a_file_in_parts_that_was_refused_is_said_again(service: agentcorelab.Service) -> None:
    with sandbox_of(service, part_bytes=10_000) as sandbox, libci.Session(sandbox=sandbox) as session:
        rules(service, {"operation": "Invoke", "tool": "executeCommand", "error": "ThrottlingException"})
        session.write_file("large", b"x" * 20_000)
        assert session.run_command("stat -c %s large").stdout == "20000\n"


def test_arguments_whose_request_was_refused_are_removed_by_the_next(
    service: agentcorelab.Service, at: libci.Session
) -> None:
    rules(service, {"operation": "Invoke", "tool": "executeCommand", "error": "AccessDeniedException"})
    with pytest.raises(libci.Failed, match="AccessDeniedException"):
        at.list_files("x" * 100_000)
    assert "writeFiles" in [one.get("tool") for one in requests(service)]
    at.run_command("true")
    assert ".ci-" not in at.run_command("ls -A").stdout


# -- sessions


def test_a_session_tells_what_it_reaches(at: libci.Session) -> None:
    info = at.info()
    assert info["network"] == {"mode": "none", "meaning": "as the sandbox's service keeps it"}
    assert info["sandbox"]["network"].startswith("SANDBOX")


def test_a_kept_session_is_attached_to(service: agentcorelab.Service) -> None:
    with sandbox_of(service, keep_sessions=True) as sandbox, libci.Session(sandbox=sandbox) as session:
        session.run_code("x = 41")
        session.run_command("echo kept > file")
        kept = session.info()["sandbox"]["sessionId"]
    with sandbox_of(service) as sandbox:
        with libci.Session(sandbox=sandbox, attach_id=kept) as session:
            assert session.run_code("print(x + 1)").stdout == "42\n"
            assert session.run_command("cat file").stdout == "kept\n"
        ended(service, 1)
        with pytest.raises(libci.Lost, match="is over"):
            libci.Session(sandbox=sandbox, attach_id=kept)
        with pytest.raises(libci.NotFound, match="there is no session"):
            libci.Session(sandbox=sandbox, attach_id="01ARZ3NDEKTSV4RRFFQ69G5FAV")
        with pytest.raises(libci.Invalid, match="no session's id"):
            libci.Session(sandbox=sandbox, attach_id="../x")


def test_a_session_that_is_over_is_lost(service: agentcorelab.Service, at: libci.Session) -> None:
    rules(service, {"operation": "Invoke", "expire": True})
    lost = at.run_command("echo 1")
    assert lost.outcome is Outcome.LOST and "is over" in lost.error_message
    with pytest.raises(libci.Lost) as raised:
        at.read_file("x")
    assert "open another one" in raised.value.hint


@pytest.mark.parametrize("error", [
    {"error": "ConflictException", "message": "no"},
    {"error": "ValidationException", "message": "the session is not active"},
])
def test_a_doubt_about_the_session_is_looked_into(
    service: agentcorelab.Service, at: libci.Session, error: dict[str, Any]
) -> None:
    rules(service, {"operation": "Invoke", **error})
    with pytest.raises(libci.Error, match=error["message"]) as raised:
        at.run_command("echo 1")
    assert not isinstance(raised.value, libci.Lost)
    assert len(requests(service, "Get")) == 1
    assert at.run_command("echo 2").stdout == "2\n"


def test_a_session_whose_opening_was_given_up_is_ended(service: agentcorelab.Service) -> None:
    rules(service, {"operation": "Start", "head_ms": 60_000})
    with sandbox_of(service) as sandbox, pytest.raises(libci.Error):
        libci.Session(sandbox=sandbox, open_timeout=3)
    first, again, stop = requests(service)
    assert body(first)["clientToken"] == body(again)["clientToken"] and stop["status"] == 200


def test_many_sessions_end_together_though_the_service_is_busy(service: agentcorelab.Service) -> None:
    sandbox = sandbox_of(service)
    sessions = [libci.Session(sandbox=sandbox) for _ in range(20)]
    rules(service, {"operation": "Stop", "error": "ThrottlingException", "times": 20})
    for session in sessions:
        session.close()
    sandbox.close()
    assert [one["status"] for one in requests(service, "Stop")].count(200) == 20


def test_a_session_is_ended_though_the_service_fails_again_and_again(service: agentcorelab.Service) -> None:
    with sandbox_of(service) as sandbox:
        session = libci.Session(sandbox=sandbox)
        rules(service, {"operation": "Stop", "error": "InternalServerException", "times": 5})
        session.close()
    assert [one["status"] for one in requests(service, "Stop")] == [500] * 5 + [200]


def test_a_file_that_is_not_there_raises_no_doubt_about_the_session(
    service: agentcorelab.Service, at: libci.Session
) -> None:
    with pytest.raises(libci.NotFound):
        at.read_file("nothing")
    assert requests(service, "Get") == []


def test_code_that_ends_itself_tells_its_status(at: libci.Session) -> None:
    ended = at.run_code("import sys; sys.exit(3)")
    assert (ended.outcome, ended.exit_code) == (Outcome.EXIT, 3)
    assert at.run_code("import sys; sys.exit(0)").outcome is Outcome.OK
    failed = at.run_code("raise ValueError('a\\nDone: b')")
    assert (failed.outcome, failed.error_name) == (Outcome.EXCEPTION, "ValueError")


@pytest.mark.parametrize("rule", [{"error": "ResourceNotFoundException"}, {"html": 404}])
def test_what_a_session_that_lives_does_not_find_is_not_its_end(
    service: agentcorelab.Service, at: libci.Session, rule: dict[str, Any]
) -> None:
    at.run_code("kept = 41")
    at.run_command("echo 1 > x")
    for call in (lambda: at.run_code("pass"), lambda: at.run_command("true"), lambda: at.read_file("x")):
        rules(service, {"operation": "Invoke", **rule})
        with pytest.raises(libci.Error, match="lives") as raised:
            call()
        assert not isinstance(raised.value, libci.NotFound | libci.Lost) and raised.value.retryable
    again = at.run_code("print(kept)")
    assert again.stdout == "41\n" and not again.state_lost


# -- failures


@pytest.mark.parametrize(("name", "kind"), [
    ("ThrottlingException", libci.Busy),
    ("ServiceQuotaExceededException", libci.Limit),
    ("AccessDeniedException", libci.Permission),
    ("InternalServerException", libci.Error),
    ("ValidationException", libci.Invalid),
])
def test_each_error_has_its_kind_and_code_is_sent_once(
    service: agentcorelab.Service, at: libci.Session, name: str, kind: type[libci.Error]
) -> None:
    service.control("DELETE", "log")
    rules(service, {"operation": "Invoke", "error": name, "times": 0, "message": "as was told"})
    for call in (lambda: at.run_code("print(1)"), lambda: at.run_command("true")):
        with pytest.raises(kind, match="as was told"):
            call()
    assert len(requests(service, "Invoke")) == 2


def test_what_may_be_repeated_is(service: agentcorelab.Service, remote: libci.Sandbox) -> None:
    rules(
        service,
        {"operation": "Start", "error": "ThrottlingException"},
        {"operation": "Invoke", "html": 503},
        {"operation": "Stop", "error": "InternalServerException"},
    )
    with libci.Session(sandbox=remote) as session:
        session.run_command("echo kept > x")
        rules(service, {"operation": "Invoke", "error": "ThrottlingException"}, {"operation": "Stop", "html": 500})
        assert session.read_file("x") == b"kept\n"
    started = [body(one)["clientToken"] for one in requests(service, "Start")]
    assert len(started) == 2 and len(set(started)) == 1


def test_what_finds_no_room_in_a_session_is_asked_again_until_its_time_is_over(
    service: agentcorelab.Service, at: libci.Session
) -> None:
    at.run_command("echo kept > x")
    no_room = {"operation": "Invoke", "error": "ServiceQuotaExceededException"}
    rules(service, {**no_room, "times": 4})
    assert at.read_file("x") == b"kept\n"
    service.control("DELETE", "log")
    rules(service, {"operation": "Invoke", "error": "ThrottlingException", "times": 0})
    with pytest.raises(libci.Busy):
        at.read_file("x")
    assert len(requests(service, "Invoke")) == 3
    rules(service)
    with sandbox_of(service, answer_timeout=2.5) as sandbox, libci.Session(sandbox=sandbox) as session:
        rules(service, {**no_room, "times": 0})
        with pytest.raises((libci.Limit, libci.TimedOut)):  # it waits, or asks, when its time is over
            session.read_file("x")


@pytest.mark.parametrize("rule", [
    {"cut": "before-head"},
    {"cut": "after-head"},
    {"cut": "in-frame"},
    {"error": "InternalServerException"},
    {"html": 504},
])
def test_no_request_to_a_session_is_repeated_that_may_have_arrived(
    service: agentcorelab.Service, at: libci.Session, rule: dict[str, Any]
) -> None:
    at.run_command("echo kept > x")
    for call in (lambda: at.read_file("x"), lambda: at.write_file("y", b"1")):
        service.control("DELETE", "log")
        rules(service, {"operation": "Invoke", "done": True, **rule})
        with pytest.raises(libci.Error) as raised:
            call()
        assert raised.value.retryable and "it can be repeated" in raised.value.hint
        assert len(requests(service, "Invoke")) == 1
    assert at.read_file("x") == b"kept\n" and at.read_file("y") == b"1"
    service.control("DELETE", "log")
    rules(service, {"operation": "Invoke", "done": True, **rule})
    with pytest.raises(libci.Failed):
        at.list_files()
    assert len(requests(service, "Invoke")) == 1


def test_a_push_one_of_whose_reads_breaks_off_saves_the_rest_and_then_that(
    service: agentcorelab.Service, remote: libci.Sandbox, tmp_path: Path
) -> None:
    with libci.Session(sandbox=remote, workspace_dir=tmp_path) as session:
        session.run_command("echo 1 > a; echo 2 > b; echo 3 > c")
        rules(service, {"operation": "Invoke", "times": 1}, {"operation": "Invoke", "cut": "before-head"})
        failed = [file.path for file in session.push().files if file.status is libci.FileStatus.FAILED]
        again = {file.path: file.status for file in session.push().files}
        assert len(failed) == 1 and again[failed[0]] is libci.FileStatus.SAVED
    assert sorted(file.name for file in tmp_path.rglob("[abc]")) == ["a", "b", "c"]


def test_an_upload_whose_writing_breaks_off_comes_with_the_next_call(
    service: agentcorelab.Service, remote: libci.Sandbox, tmp_path: Path
) -> None:
    (tmp_path / "uploads").mkdir()
    for name in "abc":
        (tmp_path / "uploads" / name).write_text(name)
    rules(service, {"operation": "Invoke", "tool": "writeFiles", "cut": "before-head"})
    with libci.Session(sandbox=remote, workspace_dir=tmp_path) as session:
        told = [file.status for file in session.run_command("true").preload]
        assert told.count(libci.FileStatus.FAILED) == 1 and told.count(libci.FileStatus.PRELOADED) == 3
        assert session.run_command("cat a b c").stdout == "abc"


@pytest.mark.parametrize("cut", ["before-head", "after-head", "in-frame"])
def test_code_whose_answer_is_cut_runs_once_and_is_not_called_repeatable(
    service: agentcorelab.Service, at: libci.Session, cut: str
) -> None:
    service.control("DELETE", "log")
    rules(service, {"operation": "Invoke", "done": True, "cut": cut})
    try:
        result = at.run_code("open('ran', 'a').write('x'); None")
        assert result.outcome is Outcome.LOST
    except libci.Error as error:
        assert not error.retryable
    assert len(requests(service, "Invoke")) == 1
    assert at.run_command("cat ran").stdout == "x"


def test_a_folder_that_is_not_there_is_named_in_whole_characters(at: libci.Session) -> None:
    for folder in ("x" + "ä" * 120, "ä" * 120):
        result = at.run_command("true", cwd=f"{folder}/{'ö' * 120}")
        assert result.outcome is Outcome.FAILED and folder in result.error_message
        assert "\ufffd" not in result.error_message and "\\x" not in result.error_message


def test_a_command_that_is_given_up_loses_no_state(service: agentcorelab.Service, at: libci.Session) -> None:
    rules(service, {"operation": "Invoke", "head_ms": 60_000})
    late = at.run_command("true", timeout=0.2)
    assert late.outcome is Outcome.TIMEOUT and not late.state_lost


def test_a_removal_is_sent_once(service: agentcorelab.Service, at: libci.Session) -> None:
    at.write_file("x", b"")
    service.control("DELETE", "log")
    rules(service, {"operation": "Invoke", "done": True, "error": "InternalServerException"})
    with pytest.raises(libci.Failed, match="InternalServerException"):
        at.remove_files("x")
    assert len(requests(service, "Invoke")) == 1


@pytest.mark.parametrize("rule", [
    {"exception": "internalServerException", "message": "oh"},
    {"cut": "in-frame"},
    {"corrupt": "message-crc"},
])
def test_what_a_command_printed_before_its_answer_broke_off_is_kept(
    service: agentcorelab.Service, at: libci.Session, rule: dict[str, Any]
) -> None:
    service.control("PUT", "settings", {"manner": "plain"})  # which tells more than one event
    rules(service, {"operation": "Invoke", **rule})
    result = at.run_command("echo begun")
    assert result.outcome is Outcome.LOST and result.stdout == "begun\n" and result.error_message


def test_a_command_that_kills_what_runs_it_is_lost(at: libci.Session) -> None:
    result = at.run_command("echo begun; sleep 0.1; kill -9 $PPID")
    assert result.outcome is Outcome.LOST and result.stdout == "begun\n"
    assert at.run_command("echo 1").stdout == "1\n"


def test_a_command_is_over_when_its_output_is_there(service: agentcorelab.Service) -> None:
    with sandbox_of(service, part_bytes=4096) as sandbox, libci.Session(sandbox=sandbox) as session:
        service.control("DELETE", "log")
        assert session.run_command("seq 2000").stdout.split()[-1] == "2000"
        assert len(requests(service)) == 3  # it is run, and two parts are read
        assert session.run_command("ls -d /tmp/ci-* | wc -l").stdout == "1\n"


@pytest.mark.parametrize(("error", "retryable"), [
    ({"error": "InternalServerException"}, False),
    ({"html": 504}, False),
    ({"html": 503}, True),
    ({"error": "ThrottlingException"}, True),
])
def test_code_that_may_have_run_is_not_called_repeatable(
    service: agentcorelab.Service, at: libci.Session, error: dict[str, Any], retryable: bool
) -> None:
    rules(service, {"operation": "Invoke", "done": True, **error})
    with pytest.raises(libci.Error) as raised:
        at.run_code("pass")
    assert raised.value.retryable == retryable
    assert ("had its effect" in raised.value.hint) != retryable


@pytest.mark.parametrize("rule", [
    {"corrupt": "message-crc"},
    {"corrupt": "prelude-crc"},
    {"corrupt": "length"},
    {"corrupt": "short"},
    {"extra": ["unknown-type"]},
    {"extra": ["no-type"]},
    {"empty": True},
    {"result": {"nothing": 1}},
])
def test_what_no_answer_may_be_is_refused(
    service: agentcorelab.Service, at: libci.Session, rule: dict[str, Any]
) -> None:
    rules(service, {"operation": "Invoke", **rule})
    try:
        result = at.run_code("pass")
        assert result.outcome is Outcome.LOST
    except libci.Error as error:
        assert error.domain in ("agentcore", "aws", "http")
    assert at.run_command("echo 1").stdout == "1\n"


@pytest.mark.parametrize("rule", [
    {"split": 1},
    {"split": 7},
    {"join": True},
    {"extra": ["unknown-event", "all-headers"]},
    {"first_ms": 100},
    {"pace": [64, 1]},
])
def test_how_an_answer_is_cut_does_not_matter(
    service: agentcorelab.Service, at: libci.Session, rule: dict[str, Any]
) -> None:
    rules(service, {"operation": "Invoke", "times": 2, **rule})
    assert at.run_code("print('as ever')").stdout == "as ever\n"
    assert at.run_command("echo out; echo err >&2; exit 3").exit_code == 3


def test_what_runs_nothing_is_not_silent_for_long(service: agentcorelab.Service) -> None:
    with sandbox_of(service, answer_timeout=2.5, attempts=1) as sandbox, libci.Session(sandbox=sandbox) as session:
        rules(service, {"operation": "Invoke", "head_ms": 4000, "times": 2})
        assert session.run_command("echo 1").stdout == "1\n"
        assert session.run_code("print(1)").stdout == "1\n"
        rules(service, {"operation": "Invoke", "head_ms": 60_000, "times": 3})
        for call in (lambda: session.read_file("x"), lambda: session.list_files(), lambda: session.write_file("x", b"")):
            with pytest.raises((libci.Error, libci.Failed), match="no byte in 2500 ms"):
                call()
        rules(service, {"operation": "Invoke", "head_ms": 60_000})
        with pytest.raises((libci.Error, libci.Failed), match="no byte in 2500 ms"):
            libci.Session(sandbox=sandbox)


def test_what_runs_nothing_is_not_answered_for_ever(service: agentcorelab.Service) -> None:
    with sandbox_of(service, answer_timeout=2.5) as sandbox, libci.Session(sandbox=sandbox) as session:
        rules(service, {"operation": "Invoke", "pace": [1, 50]})
        with pytest.raises(libci.Failed, match="not done in 25000 ms"):
            session.list_files()


def test_what_came_before_an_exception_is_kept(service: agentcorelab.Service, at: libci.Session) -> None:
    rules(service, {"operation": "Invoke", "exception": "internalServerException", "message": "oh", "at": "middle"})
    result = at.run_code("pass")
    assert result.outcome is Outcome.LOST and "oh" in result.error_message and "begun" in result.stdout
    rules(service, {"operation": "Invoke", "exception": "throttlingException", "at": "start"})
    with pytest.raises(libci.Busy):
        at.run_code("pass")
    rules(service, {"operation": "Invoke", "error_frame": ["InternalFailure", "boom"], "at": "start"})
    with pytest.raises(libci.Error, match="boom"):
        at.run_code("pass")


def test_a_clock_that_is_wrong_is_put_right(service: agentcorelab.Service) -> None:
    service.control("PUT", "settings", {"clock_ms": 3_600_000})
    with sandbox_of(service) as sandbox, libci.Session(sandbox=sandbox) as session:
        assert session.run_command("echo 1").stdout == "1\n"


def test_credentials_that_have_expired_are_asked_for_anew(
    service: agentcorelab.Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, (key_id, secret, token) in enumerate((agentcorelab.EXPIRED_KEY, agentcorelab.ROLE_KEY)):
        keys = {"Version": 1, "AccessKeyId": key_id, "SecretAccessKey": secret, "SessionToken": token}
        (tmp_path / f"keys{number}").write_text(json.dumps(keys))
    process = tmp_path / "process"
    process.write_text(f"#!/bin/sh\ncd {tmp_path} && cat keys0 && mv keys1 keys0 2>/dev/null || true\n")
    process.chmod(0o755)
    (tmp_path / "config").write_text(f"[default]\nregion = {agentcorelab.REGION}\ncredential_process = {process}\n")
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    with libci.Sandbox.agentcore(endpoint=service.endpoint) as sandbox, libci.Session(sandbox=sandbox) as session:
        assert session.run_command("echo 1").stdout == "1\n"
    assert [(one["operation"], one["status"]) for one in requests(service)][:3] == [
        ("Start", 403),
        ("Start", 200),
        ("Invoke", 200),
    ]


def test_secrets_are_in_no_error(service: agentcorelab.Service) -> None:
    with sandbox_of(service, secret_access_key="wrong-secret-of-somebody") as sandbox:
        with pytest.raises(libci.Permission) as raised:
            libci.Session(sandbox=sandbox)
    told = f"{raised.value} {raised.value.hint}"
    assert "wrong-secret" not in told and KEYS["session_token"] not in told
