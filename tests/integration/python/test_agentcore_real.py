"""AgentCore itself, with an account's credentials from the environment: what the stub cannot tell, in one short session. Runs
with CI_TEST_AGENTCORE_REAL=1 alone, since it costs something."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import libci
import pytest
from libci import Outcome

SOURCES = (
    "AWS_ACCESS_KEY_ID",
    "AWS_PROFILE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)
pytestmark = pytest.mark.skipif(
    os.environ.get("CI_TEST_AGENTCORE_REAL") != "1" or not any(os.environ.get(name) for name in SOURCES),
    reason="needs credentials of AWS in the environment, and CI_TEST_AGENTCORE_REAL=1",
)


@pytest.fixture(autouse=True)
def nothing_is_left() -> None:
    """The session is the whole file's, and so are its connections."""


@pytest.fixture(scope="module")
def remote() -> Iterator[libci.Sandbox]:
    with libci.Sandbox.agentcore(session_timeout=300, part_bytes=1 << 20) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def at(remote: libci.Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[libci.Session]:
    workspace = tmp_path_factory.mktemp("workspace")
    (workspace / "uploads").mkdir()
    (workspace / "uploads/table.csv").write_bytes(b"a,b\r\n1,2\n")
    with libci.Session(sandbox=remote, workspace_dir=workspace, timeout=120) as session:
        yield session


def test_code_keeps_its_variables_and_raises(at: libci.Session) -> None:
    assert at.run_code("x = 41; print('on')").stdout == "on\n"
    assert at.run_code("print(x + 1)").stdout == "42\n"
    raised = at.run_code("print('before'); 1 / 0")
    assert raised.outcome is Outcome.EXCEPTION and raised.error_name == "ZeroDivisionError"
    assert raised.stdout == "before\n"
    assert at.run_code("print('x' in globals())", clear_context=True).stdout == "False\n"


def test_javascript_runs_in_node(at: libci.Session) -> None:
    assert at.run_code("console.log(typeof process.versions.node)", language="javascript").stdout == "string\n"


def test_commands_have_two_streams_and_a_status(at: libci.Session) -> None:
    done = at.run_command("echo out; printf 'err\\n' >&2; exit 3")
    assert (done.stdout, done.stderr, done.exit_code) == ("out\n", "err\n", 3)
    assert at.run_command("printf 'a\\r\\nb\\0c'").stdout == "a\r\nb\0c"
    late = at.run_command("echo on; sleep 60", timeout=2)
    assert late.outcome is Outcome.TIMEOUT and late.stdout == "on\n"


def test_long_output_comes_whole(at: libci.Session) -> None:
    many = at.run_command("seq 400000", stream_bytes=4_000_000)
    assert many.stdout.split() == [str(number) for number in range(1, 400001)]


def test_files_are_the_bytes_that_they_were(at: libci.Session) -> None:
    data = bytes(range(256)) * 10_000  # three parts
    at.write_file("d e/large", data)
    assert at.read_file("d e/large") == data
    assert at.read_file("table.csv") == b"a,b\r\n1,2\n"  # an upload
    assert [one.path for one in at.list_files("d e")] == ["d e/large"]
    assert at.run_command("sha256sum < 'd e/large' | cut -c 1-8; rm -r 'd e'; echo 1 > made").exit_code == 0
    with pytest.raises(libci.NotFound):
        at.read_file("d e/large")


def test_what_was_made_is_pushed_and_nothing_of_the_services(at: libci.Session) -> None:
    at.run_command("mkdir -p new; echo 2 > new/file")
    pushed = {file.path for file in at.push().files if file.status is libci.FileStatus.SAVED}
    assert "new/file" in pushed and not any(path.startswith((".ipython/", "log/", "node_modules/")) for path in pushed)


def test_a_task_runs_beside_and_is_stopped(at: libci.Session) -> None:
    task = at.run_command("echo begun; sleep 600", background=True).task_id
    until, printed = time.monotonic() + 60, ""
    while not printed and time.monotonic() < until:
        printed = at.poll_task(task).stdout
    assert printed == "begun\n"
    assert not at.stop_task(task).task_running


def test_a_session_that_was_kept_is_gone_on_in_and_then_over() -> None:
    with libci.Sandbox.agentcore(session_timeout=120, keep_sessions=True) as remote:
        with libci.Session(sandbox=remote) as session:
            session.run_code("x = 1")
            kept = session.info()["sandbox"]["sessionId"]
    with libci.Sandbox.agentcore() as remote, libci.Session(sandbox=remote, attach_id=kept) as session:
        assert session.run_code("print(x)").stdout == "1\n"
    with libci.Sandbox.agentcore() as remote, pytest.raises(libci.Lost):
        libci.Session(sandbox=remote, attach_id=kept)
