"""AgentCore's background tasks against the stub of the service: what is told of them, and how they end."""

from __future__ import annotations

import time

import agentcorelab
import libci
import pytest
from agentcore import at, ends, remote, requests, rules, sandbox_of  # noqa: F401
from libci import Outcome
from moments import PATIENCE

pytestmark = pytest.mark.parametrize("started", agentcorelab.MANNERS, indirect=True, scope="module")


def written(session: libci.Session, name: str) -> None:
    """Waits for a file that a task makes."""
    assert session.run_command(f"until [ -e {name} ]; do sleep 0.01; done", timeout=PATIENCE).ok


def polled(session: libci.Session, task: int) -> tuple[str, libci.Result]:
    """Until it ends: all that it printed, and the last poll."""
    seen = ""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        result = session.poll_task(task)
        seen += result.stdout
        if not result.task_running:
            return seen, result
    raise AssertionError("the task does not end")


def numbers(count: int) -> str:
    return "".join(f"{n}\n" for n in range(1, count + 1))


def test_polls_of_one_task_take_turns(at: libci.Session) -> None:
    task = at.run_command("seq 1000; echo > printed; until [ -e go ]; do sleep 0.01; done; echo late", background=True).task_id
    written(at, "printed")
    calls = [at.start_poll_task(task) for _ in range(4)]
    seen = "".join(call.result().stdout for call in calls)
    at.run_command("echo > go")
    rest, _ = polled(at, task)
    assert seen + rest == numbers(1000) + "late\n"
    with pytest.raises(libci.NotFound):
        at.poll_task(task)


def test_a_poll_that_fails_loses_nothing(service: agentcorelab.Service, at: libci.Session) -> None:
    task = at.run_command("seq 1000; exit 3", background=True).task_id
    at.run_command("until ls /tmp/ci-*/x >&2; do sleep 0.01; done", timeout=PATIENCE)
    rules(service, {"operation": "Invoke", "cut": "in-frame"})
    with pytest.raises(libci.Error) as raised:
        at.poll_task(task)
    assert raised.value.retryable
    seen, last = polled(at, task)
    assert (seen, last.exit_code) == (numbers(1000), 3)


def test_a_task_is_over_when_its_end_is_there(service: agentcorelab.Service, at: libci.Session) -> None:
    task = at.run_command("echo said; exit 3", background=True).task_id
    at.run_command("until ls /tmp/ci-*/x >&2; do sleep 0.01; done", timeout=PATIENCE)
    service.control("DELETE", "log")
    last = at.poll_task(task)
    assert (last.stdout, last.exit_code, len(requests(service))) == ("said\n", 3, 1)
    assert at.run_command("ls -d /tmp/ci-* | wc -l").stdout == "1\n"


def test_a_task_that_prints_without_end_is_polled_and_bounded(at: libci.Session) -> None:
    task = at.run_command("yes", background=True).task_id
    rotated = r"ls /tmp/ci-*/o.* | grep -qv 'o\.\(0\|1048576\)$'"
    assert at.run_command(f"until {rotated}; do sleep 0.01; done", timeout=PATIENCE).ok
    call = at.start_poll_task(task)
    call.set_timeout(PATIENCE)
    result = call.result()
    assert result.task_running and b"bytes omitted" in result.stdout_bytes and result.stdout_total <= 1 << 20
    assert int(at.run_command("set -- /tmp/ci-*/o.*; echo $#").stdout) <= 4
    assert not at.stop_task(task).task_running


def test_a_task_is_told_in_parts_and_its_end_with_the_last(service: agentcorelab.Service) -> None:
    with sandbox_of(service, part_bytes=4096) as sandbox, libci.Session(sandbox=sandbox) as session:
        task = session.run_command("seq 3000; echo > printed; exit 3", background=True).task_id
        written(session, "printed")
        first = session.poll_task(task)
        assert first.task_running and first.ok and first.stdout_total <= 2048
        rest, last = polled(session, task)
        assert (first.stdout + rest, last.exit_code) == (numbers(3000), 3)


def test_a_poll_takes_no_more_than_a_result_keeps(at: libci.Session) -> None:
    task = at.run_command("seq 250000; echo > printed; until [ -e go ]; do sleep 0.01; done", background=True).task_id
    written(at, "printed")
    at.run_command("echo > go")
    seen, _ = polled(at, task)
    assert seen == numbers(250000)


def test_what_else_stands_for_a_tasks_files_holds_nobody_up(at: libci.Session) -> None:
    task = at.run_command("echo > begun; sleep 1000", background=True).task_id
    written(at, "begun")
    at.run_command("for f in /tmp/ci-*/{o,e,o.0,e.0,x}; do rm -f $f; mkfifo $f; done")
    for call in (at.start_poll_task(task), at.start_stop_task(task)):
        call.set_timeout(PATIENCE)
        assert call.result().outcome is not Outcome.TIMEOUT
    with pytest.raises(libci.NotFound):
        at.poll_task(task)


def test_a_task_whose_end_nobody_knows_is_lost(at: libci.Session) -> None:
    task = at.run_command("echo > begun; until [ -e gone ]; do sleep 0.01; done; exit 3", background=True).task_id
    written(at, "begun")
    at.run_command("rm -rf /tmp/ci-*; echo > gone")
    _, last = polled(at, task)
    assert last.outcome is Outcome.LOST and "exit code" in last.error_message


def test_a_task_without_its_folder_says_so(at: libci.Session) -> None:
    task = at.run_command("echo never", background=True, cwd="nowhere").task_id
    seen, last = polled(at, task)
    assert (seen, last.exit_code) == ("", 1) and "nowhere: No such file or directory" in last.stderr


def test_a_task_is_stopped_though_the_service_refuses(service: agentcorelab.Service, at: libci.Session) -> None:
    task = at.run_command("echo $$ > pid; echo said; sleep 1000", background=True).task_id
    written(at, "pid")
    rules(service, {"operation": "Invoke", "tool": "stopTask", "error": "ValidationException", "message": "no"})
    stopped = at.stop_task(task)
    assert stopped.stdout == "said\n" and not stopped.task_running
    assert ends(at)


def test_all_that_a_stopped_task_printed_is_told(service: agentcorelab.Service) -> None:
    with sandbox_of(service, part_bytes=4096) as sandbox, libci.Session(sandbox=sandbox) as session:
        task = session.run_command("seq 5000; seq 1000 >&2; echo > printed; sleep 1000", background=True).task_id
        written(session, "printed")
        stopped = session.stop_task(task)
        assert (stopped.stdout, stopped.stderr) == (numbers(5000), numbers(1000))


@pytest.mark.parametrize("spoil", ["echo 999999 > $d/x", "echo > $d/o.9999999999999999999"])
def test_a_task_that_spoils_what_is_seen_of_it_is_stopped(at: libci.Session, spoil: str) -> None:
    found = "until d=$(grep -lx $$ /tmp/ci-*/p 2>/dev/null); do sleep 0.01; done; d=${d%/p}"
    task = at.run_command(f"echo $$ > pid; {found}; rm $d/p; {spoil}; touch spoilt; sleep 1000", background=True).task_id
    written(at, "spoilt")
    assert not at.stop_task(task).task_running
    assert ends(at)
    with pytest.raises(libci.NotFound):
        at.poll_task(task)


def test_a_task_whose_start_is_not_answered_is_killed_by_the_next_probe(
    service: agentcorelab.Service, at: libci.Session
) -> None:
    rules(service, {"operation": "Invoke", "tool": "startCommandExecution", "done": True, "cut": "before-head"})
    with pytest.raises(libci.Error):
        at.run_command("echo $$ > new; mv new pid; sleep 1000", background=True)
    at.run_code("import os, time\nwhile not os.path.exists('pid'): time.sleep(0.01)")  # which brings no probe
    at.run_command("true")
    assert ends(at)


def test_a_task_whose_text_came_in_a_file_goes_on_after_a_poll(at: libci.Session) -> None:
    text = "x" * 100_000
    task = at.run_command(f": {text}\necho $$ > new; mv new pid; until [ -e go ]; do sleep 0.01; done; exit 3", background=True).task_id
    written(at, "pid")
    assert at.poll_task(task).task_running
    at.run_command("touch go")
    assert polled(at, task)[1].exit_code == 3


def gone(at: libci.Session) -> int:
    """A task that has ended without a word."""
    task = at.run_command("echo $$ > new; mv new begun; kill -9 $PPID; exit 3", background=True).task_id
    written(at, "begun")
    assert ends(at, "$(cat begun)")
    return task


@pytest.mark.parametrize("stops", [False, True])
def test_a_task_that_the_service_does_not_know_any_more_is_lost(
    service: agentcorelab.Service, at: libci.Session, stops: bool
) -> None:
    task = gone(at)
    rules(service, *({"operation": "Invoke", "tool": tool, "error": "ResourceNotFoundException"} for tool in ("getTask", "stopTask")))
    assert (at.stop_task(task) if stops else polled(at, task)[1]).outcome is Outcome.LOST
    with pytest.raises(libci.NotFound):
        at.poll_task(task)


def test_a_task_that_is_asked_about_in_a_session_that_is_over_is_not_lost_alone(
    service: agentcorelab.Service, at: libci.Session
) -> None:
    task = gone(at)
    rules(service, {"operation": "Invoke", "tool": "getTask", "expire": True})
    with pytest.raises(libci.Lost, match="is over"):
        at.poll_task(task)
