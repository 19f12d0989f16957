"""Shell commands: pipes, heredocs, exit codes, signals, background processes, time-outs."""

from __future__ import annotations

import math
import select
import time
from collections.abc import Callable

import pytest
from moments import begun, late, until

import libci
from libci import Outcome

OpenSession = Callable[..., libci.Session]


@pytest.mark.parametrize(
    ("command", "stdout"),
    [
        ("echo hello | tr a-z A-Z", "HELLO\n"),
        ("cat <<EOF\none $((1 + 1))\nEOF", "one 2\n"),
        ("cat <<'EOF' | wc -l\n$x\n`y`\nEOF", "2\n"),
        ("for i in 1 2 3; do echo $i; done | paste -sd+", "1+2+3\n"),
        ('read x; echo "got:$x"', "got:\n"),
        ("cat", ""),
        ("echo $((2 ** 10)); [[ abc == a* ]] && echo bash", "1024\nbash\n"),
        ("printf 'a\\0b' | od -An -tx1", " 61 00 62\n"),
        ("pwd", "/workspace\n"),
        ("diff <(echo a) <(echo a) && echo same", "same\n"),
    ],
)
def test_the_whole_shell_is_there(session: libci.Session, command: str, stdout: str) -> None:
    result = session.run_command(command)
    assert (result.stdout, result.stderr, result.exit_code) == (stdout, "", 0)


@pytest.mark.parametrize(
    ("command", "outcome", "exit_code"),
    [
        ("true", Outcome.OK, 0),
        ("exit 0", Outcome.OK, 0),
        ("false", Outcome.EXIT, 1),
        ("exit 42", Outcome.EXIT, 42),
        ("exit 255", Outcome.EXIT, 255),
        ("no_such_command_here", Outcome.EXIT, 127),
        ("if", Outcome.EXIT, 2),
        ("kill -TERM $$", Outcome.SIGNAL, 128 + 15),
        ("kill -SEGV $$", Outcome.SIGNAL, 128 + 11),
        ("kill -KILL $$", Outcome.SIGNAL, 128 + 9),
    ],
)
def test_exit_codes_and_signals(session: libci.Session, command: str, outcome: Outcome, exit_code: int) -> None:
    result = session.run_command(command)
    assert (result.outcome, result.exit_code) == (outcome, exit_code)
    assert session.run_command("echo lives").stdout == "lives\n"


def test_output_before_a_failure_is_kept_and_streams_are_apart(session: libci.Session) -> None:
    result = session.run_command("echo out; echo err >&2; printf 'tail'; exit 3")
    assert (result.stdout, result.stderr, result.exit_code) == ("out\ntail", "err\n", 3)


def test_a_command_with_a_nul_or_nothing_is_no_trap(session: libci.Session) -> None:
    with pytest.raises(ValueError):
        session.run_command("echo a\0b")
    assert session.run_command("").exit_code == 0


def test_a_command_of_megabytes_runs(session: libci.Session) -> None:
    lines = "a line of text 'with' \"quotes\" and $x\n" * 100_000
    script = f"cat > file <<'EOF'\n{lines}EOF\nwc -c < file; ls /proc/self/fd | wc -l\nno_such_command"
    result = session.run_command(script)
    assert result.stdout == f"{len(lines)}\n4\n"
    assert (result.exit_code, result.stderr) == (127, "bash: line 100004: no_such_command: command not found\n")
    assert session.run_command("exit 3\n#" + "x" * 200_000).exit_code == 3
    edge = "echo $0 #" + "x" * ((128 << 10) - 9)
    assert [session.run_command(edge[:-1]).stdout, session.run_command(edge).stdout] == ["bash\n", "bash\n"]


def test_a_command_that_cannot_be_started_says_why(session: libci.Session) -> None:
    result = session.run_command("echo never", env={"BIG": "x" * 200_000})
    assert (result.outcome, result.error_message) == (Outcome.FAILED, "Argument list too long")


def test_files_are_shared_with_python(session: libci.Session) -> None:
    session.run_code("open('from_python', 'w').write('p')")
    assert session.run_command("cat from_python; echo s > from_shell").stdout == "p"
    assert session.run_code("open('from_shell').read()").value == "'s\\n'"


def test_a_deadline_ends_a_command_and_tells_what_it_printed(session: libci.Session) -> None:
    result = late(session.start_command, "echo before; sleep 600; echo never")
    assert (result.outcome, result.exit_code, result.stdout) == (Outcome.TIMEOUT, 124, "before\n")


@pytest.mark.parametrize("none", [math.inf, -1])
def test_a_call_may_do_without_the_sessions_deadline(open_session: OpenSession, none: float) -> None:
    session = open_session(timeout=0.25, open_timeout=math.inf)
    assert session.run_command("sleep 0.5").outcome is Outcome.TIMEOUT
    assert session.run_command("sleep 0.5; echo done", timeout=none).stdout == "done\n"
    assert session.run_code("import time; time.sleep(0.5); 7", timeout=none).value == "7"
    answer = session.tool_call("execute_command", {"command": "sleep 0.5; echo done"}, timeout=none)
    assert answer.stdout == "done\n"
    assert session.file_op("list", timeout=none).ok
    call = session.start_command("sleep 0.5; echo done")
    call.set_timeout(none)
    assert call.result().stdout == "done\n"


def read_late(call: libci.Call) -> None:
    """Lets a call run until it can write no more, reading nothing of what it printed."""
    call.process()
    time.sleep(1)


def sleepers(session: libci.Session) -> list[str]:
    found = session.run_command(
        "for p in /proc/[0-9]*/cmdline; do tr '\\0' ' ' < $p; echo; done 2>/dev/null | grep '^sleep' | sort"
    )
    return found.stdout.split("\n")[:-1]


def test_a_deadline_kills_what_the_command_started_and_nothing_older(session: libci.Session) -> None:
    older = ["sleep 2000 ", "sleep 2001 "]
    session.run_command("sleep 2000 & setsid sleep 2001 &")
    until(lambda: sleepers(session) == older)
    result = late(
        session.start_command,
        "trap '' INT TERM HUP\n"
        "sleep 2002 & setsid sleep 2003 & (setsid sleep 2004 &) & nohup sleep 2005 >/dev/null 2>&1 &\n"
        "setsid bash -c 'setsid sleep 2006 & disown; exit' &\necho on; sleep 600",
    )
    assert result.outcome is Outcome.TIMEOUT
    until(lambda: sleepers(session) == older)  # a process that is killed may be there for a while


def test_a_server_in_the_background_neither_hangs_the_call_nor_dies(session: libci.Session) -> None:
    result = session.run_command("python3 -u -m http.server 8123 --bind 127.0.0.1 &\necho started")
    assert result.ok and result.stdout.startswith("started\n")
    task = result.task_id
    assert task and result.task_running
    fetch = (
        "import urllib.request, time\nfor i in range(2000):\n    try:\n"
        "        print(urllib.request.urlopen('http://127.0.0.1:8123/').status); break\n"
        "    except OSError: time.sleep(0.1)"
    )
    assert session.run_code(fetch).stdout == "200\n"
    polled = session.poll_task(task)
    assert polled.task_running and b"GET / HTTP" in polled.stdout_bytes + polled.stderr_bytes
    stopped = session.stop_task(task)
    assert not stopped.task_running
    assert session.run_code(fetch.replace("range(2000)", "range(2)")).stdout == ""
    with pytest.raises(libci.NotFound):
        session.poll_task(task)


def test_a_background_command_is_a_task_at_once(session: libci.Session) -> None:
    result = session.run_command("echo one; until [ -e go ]; do sleep 0.01; done; echo two; exit 6", background=True)
    assert result.task_id and result.task_running
    session.write_file("go", "")
    polls = [result]
    until(lambda: not polls.append(session.poll_task(result.task_id)) and not polls[-1].task_running)
    assert (b"".join(poll.stdout_bytes for poll in polls), polls[-1].exit_code) == (b"one\ntwo\n", 6)
    with pytest.raises(libci.NotFound):
        session.poll_task(result.task_id)


def test_a_task_that_prints_without_end_is_bounded_and_does_not_block(session: libci.Session) -> None:
    result = session.run_command(
        "(for i in $(seq 1 400000); do echo 'a line of a log that nobody reads'; done; echo end > done) &"
    )
    until(lambda: session.run_command("cat done 2>/dev/null").stdout == "end\n", "the writer's end")
    polled = session.poll_task(result.task_id)
    assert b"bytes omitted" in polled.stdout_bytes and len(polled.stdout_bytes) < 4 << 20


def test_a_task_whose_call_was_read_late_does_not_block(session: libci.Session) -> None:
    session.write_file(
        "task.py",
        "import fcntl, os, time\n"
        "try: fcntl.fcntl(1, 1031, 1 << 20)  # F_SETPIPE_SZ\n"
        "except PermissionError: pass  # the user has too many such pipes\n"
        "if os.fork() == 0:\n"
        "    for i in range(600): os.write(1, b'x' * 10000)\n"
        "    open('done', 'w')\n"
        "    time.sleep(600)\n",
    )
    call = session.start_command("python3 task.py")
    read_late(call)
    assert call.result().task_running
    until(lambda: session.run_command("test -e done").ok, "the writer's end")


def test_tasks_and_restarts_are_calls_that_do_not_block(session: libci.Session) -> None:
    session.run_code("x = 1")
    task = session.run_command("echo one; sleep 600", background=True)
    calls: list[libci.Call] = [session.start_poll_task(task.task_id), session.start_clear_context()]
    for call in calls:
        while not call.process():
            select.select([call], [], [], 10)
    polled = calls[0].result()
    assert polled.task_running and task.stdout_bytes + polled.stdout_bytes in (b"", b"one\n")
    assert calls[1].result() is None
    assert session.run_code("x").error_name == "NameError"
    assert not session.start_stop_task(task.task_id).result().task_running
    with pytest.raises(libci.NotFound):
        session.start_poll_task(task.task_id).result()


def test_a_call_gets_another_deadline(session: libci.Session) -> None:
    call = session.start_command("sleep 600")
    assert not call.process()
    call.set_timeout(0.3)
    assert call.result().outcome == Outcome.TIMEOUT
    call = session.start_command("sleep 1; echo done", timeout=0.5)
    call.set_timeout(None)
    assert call.result().stdout == "done\n"


def test_no_task_by_that_number(session: libci.Session) -> None:
    with pytest.raises(libci.NotFound):
        session.poll_task(12345)
    with pytest.raises(libci.NotFound):
        session.stop_task(12345)


def test_an_interrupt_ends_a_command(session: libci.Session) -> None:
    call = begun(session.start_command, "echo begun; sleep 600")
    call.interrupt()
    result = call.result()
    assert (result.outcome, result.exit_code, result.stdout) == (Outcome.INTERRUPTED, 130, "begun\n")


def test_environment_and_folder_of_one_command(session: libci.Session) -> None:
    session.run_command("mkdir -p deep/er")
    result = session.run_command("echo $GREETING; pwd", env={"GREETING": "hej då"}, cwd="deep/er")
    assert result.stdout == "hej då\n/workspace/deep/er\n"
    assert session.run_command("echo $GREETING; pwd").stdout == "\n/workspace\n"


def test_every_byte_passes(session: libci.Session) -> None:
    result = session.run_command('for i in $(seq 0 255); do printf "\\\\x$(printf %x $i)"; done')
    assert result.stdout_bytes == bytes(range(256))


def test_a_working_folder_that_is_not_there_is_named(session: libci.Session) -> None:
    result = session.run_command("echo ran", cwd="no/such")
    assert result.outcome is Outcome.FAILED and result.stdout == ""
    assert result.error_message == "working folder no/such: No such file or directory"
    assert "no/such" in (session.run_code("print('ran')", cwd="no/such").error_message or "")
