"""What AgentCore does not answer in time, or is not waited for, against the stub of the service; and what is left behind."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import agentcorelab
import libci
import pytest
from agentcore import at, ends, remote, requests, rules, sandbox_of  # noqa: F401
from agentcorelab.client import Client
from libci import Outcome
from moments import PATIENCE

pytestmark = pytest.mark.parametrize("started", agentcorelab.MANNERS, indirect=True, scope="module")


WAIT_TO_GO = "import os, time\nwhile not os.path.exists('go'): time.sleep(0.01)"


def test_code_that_did_not_come_to_run_loses_no_state(at: libci.Session) -> None:
    first = at.start_code(f"kept = 1\n{WAIT_TO_GO}")
    late = at.run_code("pass", timeout=0.2)
    assert late.outcome is Outcome.TIMEOUT and not late.state_lost
    at.write_file("go", b"")
    assert first.result().ok and at.run_code("print(kept)").stdout == "1\n"


def arrived(service: agentcorelab.Service, at: libci.Session, code: str, **options: Any) -> libci.Call:
    """Code that has come there, and waits."""
    service.control("DELETE", "log")
    call = at.start_code(code, **options)
    while not requests(service, "Invoke"):
        call.process()
    return call


def test_code_that_was_given_up_leaves_no_variables(service: agentcorelab.Service, at: libci.Session) -> None:
    at.run_code("kept = 1")
    call = arrived(service, at, WAIT_TO_GO)
    call.set_timeout(0.001)
    late = call.result()
    assert late.outcome is Outcome.TIMEOUT and late.state_lost
    at.write_file("go", b"")
    assert at.run_code("print('kept' in globals())").stdout == "False\n"


def test_javascript_that_was_given_up_loses_no_variables(service: agentcorelab.Service, at: libci.Session) -> None:
    at.run_code("let kept = 1", language="javascript")
    code = "while (!require('fs').existsSync('go')) await new Promise(done => setTimeout(done, 10))"
    call = arrived(service, at, code, language="javascript")
    call.set_timeout(0.001)
    late = call.result()
    assert late.outcome is Outcome.TIMEOUT and not late.state_lost
    at.write_file("go", b"")
    assert at.run_code("console.log(kept)", language="javascript").stdout == "1\n"


def given_up(service: agentcorelab.Service, at: libci.Session) -> None:
    """Code that has come there and is not waited for."""
    at.run_code("kept = 1")
    call = arrived(service, at, WAIT_TO_GO)
    call.cancel()
    with pytest.raises(libci.Cancelled):
        call.result()
    at.write_file("go", b"")


def test_the_run_that_clears_what_was_given_up_says_so(service: agentcorelab.Service, at: libci.Session) -> None:
    given_up(service, at)
    first = at.run_code("print('kept' in globals())")
    assert first.stdout == "False\n" and first.state_lost
    assert not at.run_code("pass").state_lost


def test_a_context_that_is_to_be_cleared_stays_so_when_that_is_refused(
    service: agentcorelab.Service, at: libci.Session
) -> None:
    given_up(service, at)
    rules(service, {"operation": "Invoke", "error": "ThrottlingException"})
    with pytest.raises(libci.Busy):
        at.run_code("pass")
    result = at.run_code("print('kept' in globals())")
    assert result.stdout == "False\n" and result.state_lost


def test_a_context_is_asked_to_be_cleared_once(service: agentcorelab.Service, at: libci.Session) -> None:
    given_up(service, at)
    service.control("DELETE", "log")
    assert not at.run_code("print('kept' in globals())", clear_context=True).state_lost
    assert base64.b64decode(requests(service, "Invoke")[0]["body"]).count(b"clearContext") == 1


def give_up_command(at: libci.Session) -> None:
    """One that runs there, whose process is in the file `pid`."""
    call = at.start_command("echo $$ > pid; sleep 1000")
    while not at.run_command("cat pid 2>/dev/null").stdout:
        call.process()
    call.cancel()
    with pytest.raises(libci.Cancelled):
        call.result()


def test_a_command_that_was_given_up_is_killed_by_the_next(at: libci.Session) -> None:
    give_up_command(at)
    at.run_command("true")
    assert ends(at)


def test_what_a_refused_request_was_to_kill_is_killed_by_the_next(
    service: agentcorelab.Service, at: libci.Session
) -> None:
    give_up_command(at)
    rules(service, {"operation": "Invoke", "error": "ThrottlingException"})
    with pytest.raises(libci.Busy):
        at.run_command("true")
    at.run_command("true")
    assert ends(at)


def test_code_of_one_language_runs_in_the_order_of_its_start(at: libci.Session) -> None:
    calls = [at.start_code(f"order = globals().get('order', []) + [{n}]; print(order)") for n in range(4)]
    assert [call.result().stdout for call in calls][-1] == "[0, 1, 2, 3]\n"


def test_what_a_service_has_of_its_own_is_not_saved(
    service: agentcorelab.Service, remote: libci.Sandbox, tmp_path: Path
) -> None:
    with libci.Session(sandbox=remote, workspace_dir=tmp_path) as session:
        session.run_command("echo 1 > mine; mkdir -p log .ipython; echo 2 > log/x; echo 3 > .ipython/y")
        saved = {file.path for file in session.push().files}
    assert saved == ({"mine"} if service.manner == "captured" else {"mine", "log/x", ".ipython/y"})


def test_what_a_service_has_of_its_own_is_not_saved_by_who_attaches(
    service: agentcorelab.Service, tmp_path: Path
) -> None:
    with sandbox_of(service, keep_sessions=True) as sandbox, libci.Session(sandbox=sandbox) as session:
        session.run_command("echo 1 > mine; mkdir -p log .ipython; echo 2 > log/x; echo 3 > .ipython/y")
        kept = session.info()["sandbox"]["sessionId"]
    with sandbox_of(service) as sandbox:
        with libci.Session(sandbox=sandbox, attach_id=kept, workspace_dir=tmp_path) as session:
            saved = {file.path for file in session.push().files}
    assert saved == ({"mine"} if service.manner == "captured" else {"mine", "log/x", ".ipython/y"})


def test_what_is_put_into_a_folder_of_the_services_is_saved(
    service: agentcorelab.Service, tmp_path: Path
) -> None:
    with sandbox_of(service, keep_sessions=True) as sandbox, libci.Session(sandbox=sandbox) as session:
        session.write_file("log/d/mine", b"1")
        session.run_command("echo 2 > log/x")
        kept = session.info()["sandbox"]["sessionId"]
    with sandbox_of(service) as sandbox:
        with libci.Session(sandbox=sandbox, attach_id=kept, workspace_dir=tmp_path) as session:
            others = set() if service.manner == "captured" else {"log/x"}
            assert {file.path for file in session.push().files} == {"log/d/mine"} | others
            assert [file.path for file in session.push("log/x").files] == ["log/x"]


def test_of_another_clients_session_what_may_be_the_users_is_saved(
    service: agentcorelab.Service, remote: libci.Sandbox, tmp_path: Path
) -> None:
    other = Client(service)
    name = other.start(name="others")
    other.results(name, "executeCommand", command="mkdir -p log .ipython; touch mine log/x .ipython/y")
    other.close()
    with libci.Session(sandbox=remote, attach_id=name, workspace_dir=tmp_path) as session:
        assert {file.path for file in session.push().files} == {"mine", "log/x"}


def test_commands_beyond_what_a_session_takes_wait_and_leave_room_for_what_kills_them(
    service: agentcorelab.Service, at: libci.Session
) -> None:
    service.control("DELETE", "log")
    calls = [at.start_command(f"echo $$ > new.{n}; mv new.{n} pid.{n}; exec sleep 1000") for n in range(16)]
    while len(requests(service, "Invoke")) < 7:
        for call in calls:
            call.process()
    assert at.run_code("pass").ok and at.run_code("1", language="javascript").ok
    with pytest.raises(libci.NotFound):
        at.read_file("none")
    for call in calls:
        call.cancel()
        with pytest.raises(libci.Cancelled):
            call.result()
    assert at.run_command("for f in pid.*; do while kill -0 $(cat $f) 2>/dev/null; do sleep 0.01; done; done", timeout=PATIENCE).ok


def test_a_command_that_waits_in_vain_does_not_run(service: agentcorelab.Service, at: libci.Session) -> None:
    service.control("DELETE", "log")
    calls = [at.start_command("until [ -e go ]; do sleep 0.01; done") for _ in range(7)]
    while len(requests(service, "Invoke")) < 7:
        for call in calls:
            call.process()
    assert at.run_command("touch ran", timeout=0.2).outcome is Outcome.TIMEOUT
    at.write_file("go", b"")
    assert [call.result().exit_code for call in calls] == [0] * 7
    assert not at.run_command("ls ran").ok


def cancelled(at: libci.Session, command: str) -> None:
    """A command that has come there, says so by a file `pid`, and is not waited for."""
    call = at.start_command(f"echo $$ > new; mv new pid; {command}")
    while not at.run_command("cat pid 2>/dev/null").stdout:
        call.process()
    call.cancel()
    with pytest.raises(libci.Cancelled):
        call.result()


def test_refused_requests_leave_nothing_and_push_out_no_name_that_matters(
    service: agentcorelab.Service, at: libci.Session
) -> None:
    cancelled(at, "exec sleep 1000")
    rules(service, {"operation": "Invoke", "error": "ThrottlingException", "times": 0})
    for _ in range(200):
        for background in (False, True):
            with pytest.raises(libci.Busy):
                at.run_command("true", background=background)
    rules(service)
    at.run_command("true")
    assert ends(at)
    assert at.run_command("ls -d /tmp/ci-*/over | wc -l").stdout == "1\n"


def test_names_that_were_put_back_come_before_those_that_have_come_since(
    service: agentcorelab.Service, at: libci.Session
) -> None:
    cancelled(at, "exec sleep 1000")
    rules(service, {"operation": "Invoke", "tool": "executeCommand", "cut": "before-head", "times": 0})
    for _ in range(200):
        with pytest.raises(libci.Error):
            at.run_command("true")
    rules(service)
    at.run_command("true")
    assert ends(at)
