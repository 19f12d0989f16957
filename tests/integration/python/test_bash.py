"""Bash in a session. How the kernel itself behaves is tested in tests/unit/guest_bash."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

import libci
import pytest
from moments import PATIENCE, late, once, until


def sh(session: libci.Session, code: str, **options: object) -> libci.Result:
    return session.run_code(code, language="bash", **options)


def test_state_and_streams(session: libci.Session) -> None:
    assert sh(session, "mkdir d; cd d; x=1; f() { echo f$x; }; export E=e; echo err >&2").stderr == "err\n"
    result = sh(session, "f; sh -c 'echo $E'; pwd")
    assert (result.ok, result.stdout) == (True, "f1\ne\n/workspace/d\n")
    assert session.run_command("pwd").stdout == "/workspace\n"


def test_a_status_is_an_exit_as_of_a_command(session: libci.Session) -> None:
    for text in "false", "exit 3", "kill -TERM $$", "nonsense", "exit 0":
        cell, command = sh(session, text), session.run_command(text)
        if not text.startswith("kill"):
            assert (cell.outcome, cell.exit_code, cell.stderr) == (command.outcome, command.exit_code, command.stderr)
        assert not cell.state_lost
    result = sh(session, "touch ran\necho (")
    assert (result.outcome, result.error_name) == (libci.Outcome.EXCEPTION, "SyntaxError")
    assert result.error_message.startswith("line 2: ")
    assert not session.run_command("ls ran").ok


@pytest.mark.skipif(os.getuid() != 0, reason="an ordinary user's sessions share its count of processes")
def test_no_process_is_left_for_the_shell() -> None:
    with libci.Session(process_count=12) as session:
        session.run_code(
            "import subprocess\ntaken = []\ntry:\n    while True: taken.append(subprocess.Popen(['sleep', '60']))\n"
            "except BlockingIOError: last = taken.pop(); last.kill(); last.wait()"
        )
        result = sh(session, "echo 1")
        assert result.error_name == "KernelStart" and "bash cannot be started: " in (result.error_message or "")
        session.run_code("for process in taken: process.kill(); process.wait()")
        assert sh(session, "echo 1").stdout == "1\n"


@pytest.mark.parametrize("code", ["while :; do :; done", "f() { local kept=2; sleep 600; }; f", "sleep 600 | sleep 600"])
def test_a_deadline_keeps_the_state(open_session: Callable[..., libci.Session], code: str) -> None:
    session = open_session(grace=PATIENCE)  # in which the kernel is not killed, however slow
    sh(session, "kept=1")
    result = sh(session, code, timeout=0.5)
    assert result.outcome == libci.Outcome.TIMEOUT and not result.state_lost
    assert sh(session, "echo $kept").stdout == "1\n"


def test_a_child_that_ignores_the_interrupt_costs_the_state(session: libci.Session) -> None:
    sh(session, "kept=1")
    code = "sh -c \"trap '' INT; echo on; while :; do sleep 1; done\""
    result = late(session.start_code, code, language="bash")
    assert result.outcome == libci.Outcome.TIMEOUT and result.state_lost
    assert sh(session, "echo ${kept-none}").stdout == "none\n"
    until(lambda: "sleep" not in session.run_command("for p in /proc/[0-9]*; do cat $p/comm; done").stdout)


def test_an_interrupt_keeps_the_state_and_ends_what_the_call_started(open_session: Callable[..., libci.Session]) -> None:
    session = open_session(grace=PATIENCE)
    sh(session, "kept=1; sleep 1061 & earlier=$!")
    seen = threading.Event()
    thread = once(seen, session.interrupt)
    result = sh(session, "sleep 1062 & echo on; sleep 1063", on_output=lambda *_: seen.set())
    thread.join()
    assert result.outcome == libci.Outcome.INTERRUPTED and not result.state_lost
    assert sh(session, "echo $kept; kill -0 $earlier && echo runs").stdout == "1\nruns\n"
    left = "cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -ao 'sleep 106[123]'"
    until(lambda: session.run_command(left).stdout == "sleep 1061\n")  # one that is killed may be there for a while


@pytest.mark.parametrize("code", ["kill -9 $$", "exec true"])
def test_a_shell_that_dies_is_replaced(session: libci.Session, code: str) -> None:
    sh(session, "kept=1")
    assert sh(session, code).state_lost
    assert sh(session, "echo ${kept-none}").stdout == "none\n"


def test_options_of_a_call(session: libci.Session) -> None:
    session.run_command("mkdir sub")
    assert sh(session, "echo $A; pwd; cd /", env={"A": "a"}, cwd="sub").stdout == "a\n/workspace/sub\n"
    assert sh(session, "echo ${A-none}; pwd").stdout == "none\n/workspace\n"
    assert sh(session, "pwd", cwd="nowhere").error_name == "WorkingFolder"


def test_contexts_are_apart(session: libci.Session) -> None:
    sh(session, "x=1", context="a")
    assert sh(session, "echo ${x-none}", context="b").stdout == "none\n"
    assert sh(session, "echo $x", context="a").stdout == "1\n"


def test_output_between_cells_is_background(session: libci.Session) -> None:
    sh(session, "mkfifo go; { read -r line <go; echo $line; : >done; } &")
    session.run_command("echo later >go; until [ -e done ]; do sleep 0.01; done")
    assert sh(session, ":").background == b"later\n"
    assert sh(session, ":").background is None


def test_items_and_files_of_other_languages(session: libci.Session) -> None:
    session.run_code("open('a.svg', 'w').write('<svg/>')")
    result = sh(session, "echo before; display a.svg; echo after")
    assert result.stdout == "before\nafter\n"
    assert [item.mime_type for item in result.items] == ["image/svg+xml"]


def test_a_name_that_is_nearly_right(session: libci.Session) -> None:
    with pytest.raises(libci.Error, match="bash"):
        session.run_code("echo", language="bsh")
