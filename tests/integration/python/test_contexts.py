"""Contexts: told of, cleared, removed, and cleared for one call."""

from __future__ import annotations

import threading

import libci
import pytest
from libci import Context
from moments import PATIENCE


def test_contexts_are_told_in_the_order_in_which_they_began(session: libci.Session) -> None:
    assert session.contexts() == [Context("python", "", False)]  # kept ready
    session.run_code("x = 1", context="b")
    call = session.start_code("import time; print('on', flush=True); time.sleep(600)", context="a")
    while not any(context.running for context in session.contexts()):
        pass
    assert session.contexts() == [Context("python", "", False), Context("python", "b", False), Context("python", "a", True)]
    call.interrupt()
    call.result()


def test_a_removed_context_is_gone_and_begins_anew(session: libci.Session) -> None:
    pid = session.run_code("x = 1; open('kept', 'w').close(); import os; os.getpid()", context="one").value
    session.remove_context(context="one")
    assert session.contexts() == [Context("python", "", False)]
    assert not session.run_command(f"kill -0 {pid}").ok
    result = session.run_code("'x' in dir(), __import__('os').path.exists('kept')", context="one")
    assert (result.value, result.state_lost) == ("(False, True)", False)


def test_removing_takes_what_is_named_and_only_that(session: libci.Session) -> None:
    session.run_code("x = 1")
    for language, context in ((None, "never"), ("javascript", None)):
        with pytest.raises(libci.NotFound, match="no such context"):
            session.remove_context(language, context)
    with pytest.raises(libci.Invalid):
        session.remove_context("cobol")
    with pytest.raises(libci.Invalid):
        session.remove_context(context="no/name")
    assert session.run_code("x").value == "1"
    session.remove_context()
    assert session.contexts() == []
    assert session.run_code("x").error_name == "NameError"


def test_a_call_that_runs_in_a_removed_context_ends_as_lost(session: libci.Session) -> None:
    started = threading.Event()
    call = session.start_code("print(1, flush=True)\nwhile True: pass", context="one", on_output=lambda *_: started.set())
    waiting = session.start_code("'call' in dir()", context="one")
    results: list[libci.Result] = []
    threads = [threading.Thread(target=lambda c=c: results.append(c.result())) for c in (call, waiting)]
    for thread in threads:
        thread.start()
    assert started.wait(PATIENCE)
    session.remove_context(context="one")
    for thread in threads:
        thread.join(PATIENCE)
    lost, fresh = sorted(results, key=lambda result: result.ok)
    assert (lost.outcome, lost.state_lost) == (libci.Outcome.LOST, True)
    assert "removed" in (lost.error_message or "")
    assert fresh.value == "False"


def test_contexts_can_be_used_and_removed_without_end(session: libci.Session) -> None:
    for number in range(80):  # 32 can live at a time
        assert session.run_code("1", context=f"c{number}").value == "1"
        session.remove_context(context=f"c{number}")
    calls = [session.start_code("1", context=f"d{number}") for number in range(40)]
    outcomes = [call.result().outcome for call in calls]
    assert outcomes.count(libci.Outcome.REFUSED) == 40 - 31
    assert len(session.contexts()) == 32
    with pytest.raises(libci.Limit, match="too many contexts"):
        session.clear_context(context="one-more")


def test_a_context_is_cleared_for_a_call_in_its_turn(session: libci.Session) -> None:
    session.run_code("x = 1")
    first = session.start_code("x")
    second = session.start_code("'x' in dir()", clear_context=True)
    third = session.start_code("y = 2")
    assert [call.result().value for call in (first, second, third)] == ["1", "False", None]
    result = session.run_code("y", clear_context=False)
    assert (result.value, result.state_lost) == ("2", False)
    assert not session.run_code("1", clear_context=True).state_lost  # it was wished for


def test_clearing_and_removing_answer_while_a_kernel_is_starting(open_session) -> None:
    session = open_session()
    for _ in range(10):
        calls = [
            session.start_code("z = 1", context="quick"),
            session.start_clear_context(context="quick"),
            session.start_remove_context(context="quick"),
            session.start_code("6 * 7", context="quick"),
        ]
        for call in calls[:3]:
            try:
                call.result()
            except (libci.Lost, libci.NotFound):
                pass  # one of the others was quicker
        assert calls[3].result().value == "42"


def test_the_tool_clears_on_request_and_commands_cannot(session: libci.Session) -> None:
    session.tool_call("execute_code", {"code": "x = 1"})
    result = session.tool_call("execute_code", {"code": "'x' in dir()", "clear_context": True})
    assert result.value == "False"
    with pytest.raises(libci.Invalid, match="for code"):
        session.run_command("true", clear_context=True)


def test_javascript_and_typescript_share_a_context(session: libci.Session) -> None:
    if not session.run_code("1", language="javascript").ok:
        pytest.skip("no node")
    assert Context("javascript", "", False) in session.contexts()
    session.remove_context("typescript")
    assert session.contexts() == [Context("python", "", False)]
