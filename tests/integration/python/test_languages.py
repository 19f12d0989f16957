"""What holds for every language, of the table in languages.py. One session serves the whole file, as a long
conversation does: what one test leaves behind must not matter to the next."""

from __future__ import annotations

import functools
import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import moments
import pytest
from conftest import TIMEOUT_FACTOR
from languages import FLOOD, LANGUAGES, LATE, Failure, Language
from moments import PATIENCE, late, once

import libci
from libci import FileStatus, Outcome

Run = Callable[..., libci.Result]
OpenSession = Callable[..., libci.Session]


def parameter(lang: Language, *more: object, name: str = "", starts: bool = False) -> object:
    marks = [pytest.mark.skipif(lang.missing is not None, reason=lang.missing or "")]
    if starts and lang.slow_start:
        marks.append(pytest.mark.long)
    return pytest.param(lang, *more, id=f"{lang.name}{name}", marks=marks)


#: Of a test that takes kernels of its own.
starts_kernels = pytest.mark.parametrize("lang", [parameter(lang, starts=True) for lang in LANGUAGES])


def having(field: str) -> pytest.MarkDecorator:
    """Only languages in which there is such a thing."""
    return pytest.mark.parametrize("lang", [parameter(lang) for lang in LANGUAGES if getattr(lang, field) is not None])


def each(field: str, argument: str, starts: bool = False) -> pytest.MarkDecorator:
    """Every phrase of a field that holds several."""
    rows = [
        parameter(lang, phrase, name=f"-{i}", starts=starts)
        for lang in LANGUAGES
        for i, phrase in enumerate(getattr(lang, field), 1)
    ]
    return pytest.mark.parametrize(("lang", argument), rows)


@pytest.fixture(params=[parameter(lang) for lang in LANGUAGES])
def lang(request: pytest.FixtureRequest) -> Language:
    return request.param


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[libci.Session]:
    """Its sandbox is its own: one keeps a descriptor for each of several calls at once until a session of it ends."""
    options = {"workspace_dir": tmp_path_factory.mktemp("workspace"), "timeout": PATIENCE * TIMEOUT_FACTOR, "grace": PATIENCE}
    with libci.Sandbox() as sandbox, libci.Session(sandbox=sandbox, **options) as session:
        seen = threading.Event()
        code = "import os\nprint(flush=True)\nwhile not os.path.exists('go'): pass"
        beside = threading.Thread(target=session.run_code, args=[code], kwargs={"on_output": lambda *_: seen.set()})
        beside.start()
        assert seen.wait(PATIENCE)
        session.write_file("go", "")
        beside.join()
        yield session


@pytest.fixture
def run(session: libci.Session, lang: Language) -> Run:
    """Runs code of the language and leaves no file behind."""
    session.run_command("rm -rf ./*")
    return functools.partial(session.run_code, language=lang.name)


@pytest.fixture
def start(session: libci.Session, lang: Language) -> Callable[..., libci._session.Call]:
    return functools.partial(session.start_code, language=lang.name)


def printed(result: libci.Result) -> str:
    """What a cell that is to go well has printed."""
    assert result.ok and not result.state_lost, (result.outcome, result.traceback, result.stderr)
    return result.stdout


def until(session: libci.Session, condition: str) -> None:
    assert session.run_command(f"until {condition}; do sleep 0.02; done").ok, condition


# -- names and values


def test_names_and_functions_persist(run: Run, lang: Language) -> None:
    define, use = lang.function
    printed(run(lang.define("kept", 5)))
    printed(run(define))
    assert printed(run(lang.show("kept"))) == "5\n"
    assert printed(run(use)) == "42\n"


def test_names_may_be_declared_again_in_any_way(run: Run, lang: Language) -> None:
    printed(run(lang.define("again", 0)))
    for declarations in (lang.again, lang.again[::-1]):
        for declare, use, text in declarations:
            printed(run(declare))
            assert printed(run(use)) == f"{text}\n"
            assert printed(run(f"{declare}\n{use}")) == f"{text}\n"


@having("value")
def test_the_last_expression_is_the_value_and_is_not_printed(run: Run, lang: Language) -> None:
    code, text = lang.value
    result = run(code)
    assert (result.ok, result.value, result.stdout) == (True, text, ""), result.traceback


@each("no_value", "code")
def test_what_is_no_value_is_none(run: Run, lang: Language, code: str) -> None:
    result = run(code)
    assert (result.ok, result.value, result.stdout) == (True, None, ""), result.traceback


@having("text_value")
def test_values_are_unicode_and_cut_when_they_are_long(run: Run, lang: Language) -> None:
    code, text = lang.text_value("héllo ☃ 𝄞")
    assert run(code).value == text
    code, text = lang.text_value("é" * 500_000)
    value = run(code).value
    assert 1000 < len(value) < 400_000 and value[1000] == "é"


def test_names_texts_and_files_are_unicode(run: Run, lang: Language, session: libci.Session) -> None:
    assert printed(run(lang.unicode)) == "héllo ☃ 𝄞\n"
    printed(run(lang.write("ünï ☃.txt", "日本語 𝄞\n")))
    assert session.read_file("ünï ☃.txt") == "日本語 𝄞\n".encode()
    assert printed(run(lang.read("ünï ☃.txt"))) == "日本語 𝄞\n"


@having("awaited")
def test_awaiting_at_the_top_level(run: Run, lang: Language) -> None:
    assert printed(run(lang.awaited)) == "awaited\n"


# -- forms of source


def test_source_of_nothing_does_nothing(run: Run, lang: Language) -> None:
    for code in ("", "\n\n", "   ", lang.comment, f"\n{lang.comment}\n\n"):
        result = run(code)
        assert (result.ok, result.stdout, result.stderr, result.value) == (True, "", "", None), repr(code)


def test_line_ends_of_windows_and_a_byte_order_mark(run: Run, lang: Language) -> None:
    define, use = lang.function
    code = f"{lang.comment}\n{define}\n{use}\n{lang.say('end')}\n"
    for text in ("\ufeff" + code, code.replace("\n", "\r\n"), ("\ufeff" + code).replace("\n", "\r\n")):
        result = run(text)
        assert (printed(result), result.stderr) == ("42\nend\n", ""), repr(text)


def test_source_of_a_megabyte_runs(run: Run, lang: Language) -> None:
    lines = [lang.define(f"many{i}", i) for i in range(500)]
    code = "\n".join([*lines, f"{lang.comment} {'x' * (1 << 20)}", lang.show("many499")])
    assert printed(run(code)) == "499\n"


@pytest.mark.parametrize("junk", [b"\0", b"\xff\xfe", b"\xed\xa0\x80"], ids=repr)
def test_source_that_is_no_text_fails_or_runs_and_loses_nothing(run: Run, lang: Language, junk: bytes) -> None:
    printed(run(lang.define("kept", 6)))
    result = run(lang.say("ran").encode() + b"\n" + junk)
    assert not result.state_lost
    assert result.ok or result.outcome in (Outcome.EXCEPTION, Outcome.TYPE_ERROR, Outcome.EXIT)
    assert printed(run(lang.show("kept"))) == "6\n"


# -- streams


def test_streams_are_apart_and_byte_exact(run: Run, lang: Language) -> None:
    result = run(lang.all_bytes)
    assert result.stdout_bytes == bytes(range(256))
    assert result.stderr_bytes == bytes(range(255, -1, -1))


def test_what_the_cell_and_its_children_print_keeps_its_order(run: Run, lang: Language) -> None:
    parts = [
        lang.begin_line("one, "),
        lang.child("echo two; echo err two >&2"),
        lang.say("three"),
        lang.complain("err three"),
        lang.child("printf 'four, '"),
        lang.begin_line("five"),
    ]
    result = run("\n".join(parts))
    assert (printed(result), result.stderr) == ("one, two\nthree\nfour, five", "err two\nerr three\n")


def test_output_comes_while_the_cell_runs(run: Run, lang: Language, session: libci.Session) -> None:
    seen = threading.Event()
    code = f"{lang.complain('waiting')}\n{lang.wait_for('go')}\n{lang.say('gone on')}"
    thread = once(seen, lambda: session.write_file("go", ""))
    result = run(code, on_output=lambda stream, data: seen.set())
    thread.join()
    assert (printed(result), result.stderr) == ("gone on\n", "waiting\n")


@having("item")
def test_rich_items_have_their_place_in_the_output(run: Run, lang: Language) -> None:
    result = run("\n".join([lang.begin_line("héy "), lang.item, lang.say("after"), lang.item, lang.item]))
    assert printed(result) == "héy after\n"
    assert [(item.mime_type, item.data) for item in result.items] == [("text/html", b"<b>")] * 3
    assert [item.stdout_offset for item in result.items] == [5, 11, 11]
    assert run(lang.say("no item")).items == []


def test_much_output_keeps_head_tail_and_totals_in_bounded_memory(
    run: Run, lang: Language, session: libci.Session
) -> None:
    pid = printed(run(lang.pid)).strip()
    peak = f"awk '/VmHWM/ {{ print $2 }}' /proc/{pid}/status"
    before_kib = int(session.run_command(peak).stdout)
    Path("/proc/self/clear_refs").write_text("5")  # the peak of this process begins anew
    status = Path("/proc/self/status").read_text()
    result = run(lang.flood)
    assert result.stdout_total == FLOOD and result.ok
    assert len(result.stdout_bytes) < 2 << 20 and result.stdout_kept < 2 << 20
    assert result.stdout_bytes.startswith(b"head\nxxx") and result.stdout_bytes.endswith(b"xxxtail\n")
    truncated = result.json()["structuredContent"]["truncated"]["stdout"]
    assert (truncated["total"], truncated["kept"]) == (FLOOD, result.stdout_kept)
    after = Path("/proc/self/status").read_text()
    assert peak_kib(after) - peak_kib(status) < 24 << 10
    assert int(session.run_command(peak).stdout) - before_kib < 32 << 10


def peak_kib(status: str) -> int:
    (line,) = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1])


@each("close_output", "code")
def test_output_that_was_closed_or_replaced_is_back_in_the_next_cell(run: Run, lang: Language, code: str) -> None:
    run(code)
    result = run(f"{lang.say('out')}\n{lang.complain('err')}\n{lang.child('echo child')}")
    assert (printed(result), result.stderr) == ("out\nchild\n", "err\n")


def test_standard_input_is_at_its_end(run: Run, lang: Language) -> None:
    for _ in range(2):
        assert printed(run(lang.stdin)).strip() == "0"


def test_what_is_printed_between_cells_comes_with_the_next(run: Run, lang: Language, session: libci.Session) -> None:
    for code in (lang.late, lang.start(LATE)):
        assert printed(run(f"{code}\n{lang.say('now')}")) == "now\n"
        session.write_file("go", "")
        until(session, "[ -e done ]")
        result = run(lang.say("next"))
        assert (printed(result), result.background) == ("next\n", b"late\n")
        assert run(lang.say("none")).background is None
        session.remove_files("go", "done")


# -- failures


@each("failures", "failure")
def test_a_failure_is_a_result_that_says_where_and_keeps_the_state(run: Run, lang: Language, failure: Failure) -> None:
    printed(run(lang.define("before", 7)))
    result = run(failure.code)
    check_failure(result, failure)
    assert printed(run(lang.show("before"))) == "7\n"


def check_failure(result: libci.Result, failure: Failure) -> None:
    assert (result.outcome, result.error_name) == (failure.outcome, failure.name), result.traceback
    assert failure.message in (result.error_message or "")
    assert failure.place in re.sub(r"<cell \d+>", "<cell N>", result.traceback or result.stderr), result.traceback
    assert result.exit_code == failure.exit_code and not result.state_lost
    canonical = result.json()
    assert canonical["isError"] is True
    assert canonical["structuredContent"]["error"]["name"] == failure.name


def test_what_came_before_a_failure_in_its_cell_is_kept(run: Run, lang: Language) -> None:
    failure = lang.failures[0]
    result = run("\n".join([lang.define("early", 8), lang.say("before"), failure.code, lang.say("after")]))
    assert (result.outcome, result.stdout) == (failure.outcome, "before\n")
    assert printed(run(lang.show("early"))) == "8\n"
    printed(run(lang.define("early", 9)))
    assert printed(run(lang.show("early"))) == "9\n"


def test_a_text_that_is_no_code_does_not_run(run: Run, lang: Language) -> None:
    printed(run(lang.define("before", 10)))
    result = run(lang.syntax.code)
    check_failure(result, lang.syntax)
    assert result.stdout == ""
    assert printed(run(lang.show("before"))) == "10\n"


@pytest.mark.parametrize("how", ["exit", "exit_in_function"])
def test_exit_ends_the_cell_with_its_status_and_keeps_the_state(run: Run, lang: Language, how: str) -> None:
    leave = getattr(lang, how)
    for status, outcome in ((0, Outcome.OK), (3, Outcome.EXIT), (255, Outcome.EXIT)):
        code = "\n".join([lang.define("kept", status), lang.say("before"), leave(status), lang.say("after")])
        result = run(code)
        assert (result.outcome, result.exit_code, result.state_lost) == (outcome, status, False)
        assert (result.stdout, result.stderr) == ("before\n", "")
        assert printed(run(lang.show("kept"))) == f"{status}\n"


@each("deadly", "signal", starts=True)
def test_a_kernel_that_dies_is_told_once_and_replaced(
    run: Run, lang: Language, session: libci.Session, signal: int
) -> None:
    printed(run(lang.define("kept", 1)))
    result = run(f"{lang.say('before')}\n{lang.die(signal)}\n{lang.say('after')}")
    assert (result.outcome, result.exit_code, result.state_lost) == (Outcome.SIGNAL, 128 + signal, True)
    assert result.stdout == "before\n" and result.error_message
    assert printed(run(lang.say("next"))) == "next\n"
    assert "1" not in run(lang.show("kept")).stdout


@starts_kernels
def test_a_kernel_that_is_killed_between_cells_is_told_once(run: Run, lang: Language, session: libci.Session) -> None:
    pid = printed(run(lang.pid)).strip()
    assert session.run_command(f"kill -9 {pid}; while [ -e /proc/{pid} ]; do sleep 0.02; done").ok
    assert run(lang.say("lost")).state_lost
    assert not run(lang.say("told")).state_lost


@starts_kernels
def test_memory_beyond_the_limit_is_told_and_the_next_cell_runs(open_session: OpenSession, lang: Language) -> None:
    session = open_session(memory_bytes=512 << 20, timeout=60)
    run = functools.partial(session.run_code, language=lang.name)
    printed(run(lang.say("begun")))
    result = run(lang.exhaust)
    assert result.outcome is Outcome.MEMORY_LIMIT or result.error_name in lang.no_memory, result.error_message
    assert result.state_lost == (result.outcome is Outcome.MEMORY_LIMIT)
    assert printed(run(lang.say("next"))) == "next\n"


# -- interrupts and deadlines


@pytest.mark.parametrize("what", ["loop", "sleep", "child"])
def test_a_deadline_ends_the_cell_and_keeps_the_state(
    run: Run, start: Callable[..., libci._session.Call], lang: Language, what: str
) -> None:
    endless = lang.child("sleep 600") if what == "child" else getattr(lang, what)
    printed(run(lang.define("kept", 11)))
    result = late(start, f"{lang.say('before')}\n{endless}\n{lang.say('after')}")
    assert (result.outcome, result.exit_code, result.state_lost) == (Outcome.TIMEOUT, 124, False), result.traceback
    assert result.stdout == "before\n"
    assert printed(run(lang.show("kept"))) == "11\n"


def test_a_deadline_kills_what_the_cell_started_and_nothing_older(
    run: Run, start: Callable[..., libci._session.Call], lang: Language, session: libci.Session
) -> None:
    older, own = "sleep 1001", "setsid sleep 1002 & setsid sleep 1002"
    printed(run(lang.start(f"exec {older}")))
    printed(run(lang.say("next")))
    sleeping = "cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' ' | grep -ao 'sleep 100[12]'"
    moments.until(lambda: session.run_command(sleeping).stdout == f"{older}\n")
    result = late(start, f"{lang.start(own)}\n{lang.say('on')}\n{lang.loop}")
    assert result.outcome is Outcome.TIMEOUT
    moments.until(lambda: session.run_command(sleeping).stdout == f"{older}\n")  # a process that is killed may be there for a while
    session.run_command("pkill -f '^sleep 1001'")


@starts_kernels
def test_code_that_cannot_be_interrupted_is_killed_after_the_grace(open_session: OpenSession, lang: Language) -> None:
    session = open_session(grace=0.3)
    run = functools.partial(session.run_code, language=lang.name)
    printed(run(lang.say("begun")))
    began = time.monotonic()
    result = late(session.start_code, lang.stubborn, language=lang.name)
    assert (result.outcome, result.state_lost, result.stdout) == (Outcome.TIMEOUT, True, "on\n"), result.traceback
    assert time.monotonic() - began > 0.2
    assert printed(run(lang.say("next"))) == "next\n"


def test_an_interrupt_from_another_thread_keeps_the_state(
    run: Run, start: Callable[..., libci._session.Call], lang: Language
) -> None:
    printed(run(lang.define("kept", 12)))
    late_child = lang.child("trap 'trap - INT; sleep 600' INT; sleep 600")  # starts another when it is interrupted
    for endless in (lang.loop, lang.sleep, lang.child("sleep 600"), late_child):
        seen = threading.Event()
        call = start(f"{lang.say('on')}\n{endless}\n{lang.say('after')}", on_output=lambda stream, data: seen.set())
        thread = once(seen, call.interrupt)
        result = call.result()
        thread.join()
        assert (result.outcome, result.exit_code, result.state_lost) == (Outcome.INTERRUPTED, 130, False), endless
        assert result.stdout == "on\n"
        assert printed(run(lang.show("kept"))) == "12\n"


def test_an_interrupt_that_comes_late_hits_no_later_cell(
    run: Run, start: Callable[..., libci._session.Call], lang: Language
) -> None:
    printed(run(lang.say("warm")))
    for i in range(20):
        call = start(lang.define("late", i))
        if i % 2:
            call.process()
        call.interrupt()
        call.result()
        assert printed(run(lang.say(f"cell {i}"))) == f"cell {i}\n"


# -- files and surroundings


def test_files_are_shared_by_all_languages(session: libci.Session, run: Run, lang: Language) -> None:
    printed(run(lang.write("shared.txt", f"from {lang.name} ☃\n")))
    for other in LANGUAGES:
        if other.missing is None:
            result = session.run_code(other.read("shared.txt"), language=other.name)
            assert printed(result) == f"from {lang.name} ☃\n", other.name
    assert session.run_command("cat shared.txt").stdout == f"from {lang.name} ☃\n"


def test_an_output_file_is_saved_to_the_workspace_and_one_that_is_missing_is_told(
    run: Run, lang: Language, session: libci.Session
) -> None:
    result = run(lang.write("made.txt", f"by {lang.name}"), output_filename="made.txt")
    (file,) = result.files
    assert (result.ok, file.status, file.path) == (True, FileStatus.SAVED, "made.txt")
    assert session.workspace_read(file.key) == f"by {lang.name}".encode()
    result = run(lang.say("nothing"), output_filename="missing.txt")
    (file,) = result.files
    assert file.status is FileStatus.FAILED and file.error and result.stdout == "nothing\n"
    result = run(f"{lang.write('made.txt', 'once more')}\n{lang.failures[0].code}", output_filename="made.txt")
    assert result.outcome is lang.failures[0].outcome
    assert session.workspace_read(result.files[0].key) == b"once more"


def test_an_environment_is_there_for_its_call_and_its_children(run: Run, lang: Language) -> None:
    both = f"{lang.environment('CALL')}\n{lang.child('echo ${CALL-unset}')}"
    assert printed(run(both)) == "unset\nunset\n"
    assert printed(run(both, env={"CALL": "välue = 1"})) == "välue = 1\nvälue = 1\n"
    assert printed(run(both, env={"CALL": ""})) == "\n\n"
    assert run(lang.failures[0].code, env={"CALL": "failed"}).outcome is lang.failures[0].outcome
    assert printed(run(both)) == "unset\nunset\n"
    path = printed(run(lang.environment("PATH")))
    assert printed(run(lang.environment("PATH"), env={"PATH": "/usr/bin:/bin"})) == "/usr/bin:/bin\n"
    assert printed(run(lang.environment("PATH"))) == path


def test_a_folder_is_entered_for_one_call_or_by_code_for_good(
    run: Run, lang: Language, session: libci.Session
) -> None:
    session.run_command("mkdir -p sub/deep other")
    both = f"{lang.folder}\n{lang.child('pwd')}"
    assert printed(run(both, cwd="sub/deep")) == "/workspace/sub/deep\n" * 2
    assert printed(run(both)) == "/workspace\n" * 2
    printed(run(lang.enter("other")))
    assert printed(run(both)) == "/workspace/other\n" * 2
    assert printed(run(both, cwd="sub")) == "/workspace/sub\n" * 2
    assert printed(run(both)) == "/workspace/other\n" * 2
    result = run(lang.say("ran"), cwd="nowhere")
    assert (result.ok, result.stdout, result.state_lost) == (False, "", False)
    printed(run(lang.enter("/workspace")))


def test_a_folder_that_is_removed_under_the_kernel_is_left(run: Run, lang: Language, session: libci.Session) -> None:
    session.run_command("mkdir gone")
    printed(run(lang.enter("gone")))
    session.run_command("rmdir gone")
    assert printed(run(f"{lang.folder}\n{lang.child('pwd')}")) == "/workspace\n" * 2


# -- contexts


@starts_kernels
def test_contexts_have_names_of_their_own_and_share_files(run: Run, lang: Language) -> None:
    printed(run(lang.define("mine", 13)))
    printed(run(lang.define("mine", 14) + "\n" + lang.write("by.txt", "other"), context="other"))
    assert printed(run(lang.show("mine"))) == "13\n"
    assert printed(run(lang.show("mine"), context="other")) == "14\n"
    assert printed(run(lang.read("by.txt"))) == "other"


@starts_kernels
def test_contexts_run_beside_each_other(
    run: Run, start: Callable[..., libci._session.Call], lang: Language, session: libci.Session
) -> None:
    call = start(f"{lang.wait_for('go')}\n{lang.say('met')}")
    call.process()
    printed(run(lang.write("go", ""), context="other"))
    assert printed(call.result()) == "met\n"


@starts_kernels
def test_a_restart_loses_names_and_keeps_files(run: Run, lang: Language, session: libci.Session) -> None:
    printed(run(lang.define("kept", 15) + "\n" + lang.write("kept.txt", "here")))
    session.clear_context(lang.name)
    assert "15" not in run(lang.show("kept")).stdout
    assert printed(run(lang.read("kept.txt"))) == "here"


# -- many cells, and their price


def test_many_cells_in_a_row(run: Run, lang: Language) -> None:
    for i in range(30):
        name = f"row{i % 7}"
        assert printed(run(f"{lang.define(name, i)}\n{lang.show(name)}")) == f"{i}\n"


def test_a_warm_cell_is_cheaper_than_a_fresh_interpreter(run: Run, lang: Language, session: libci.Session) -> None:
    def best(action: Callable[[], libci.Result]) -> float:
        """What other programs disturbed least."""
        times = []
        for _ in range(30):
            began = time.monotonic()
            assert action().ok
            times.append(time.monotonic() - began)
        return min(times)

    printed(run(lang.define("warm", 0)))
    warm = best(lambda: run(lang.define("warm", 1)))
    assert warm * 1.5 < best(lambda: session.run_command(lang.interpreter))


# -- from outside


@starts_kernels
def test_files_run_by_their_suffix(ci_run: Callable, tmp_path: Path, lang: Language) -> None:
    for suffix in lang.suffixes:
        code = f"{lang.say('ran')}\n{lang.exit(3)}"
        (tmp_path / f"file{suffix}").write_text(code)
        done = ci_run(tmp_path / f"file{suffix}", "--preload", "none")
        assert (done.stdout, done.returncode) == (b"ran\n", 3), done.stderr


def test_a_tool_call_names_the_language(session: libci.Session, run: Run, lang: Language) -> None:
    result = session.tool_call("execute_code", {"language": lang.name, "code": lang.say("called")})
    assert printed(result) == "called\n"
