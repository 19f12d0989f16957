"""JavaScript and TypeScript in a session. How the kernel itself behaves is tested in tests/unit/guest_node."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import libci
import pytest
from conftest import BUILD
from moments import PATIENCE

pytestmark = pytest.mark.skipif(shutil.which("node", path="/usr/local/bin:/usr/bin:/bin") is None, reason="no node")
typed = pytest.mark.skipif(
    not (BUILD / "libexec/libci/guest/node/typescript.stamp").exists(), reason="built without TypeScript"
)


def js(session: libci.Session, code: str, **options: object) -> libci.Result:
    return session.run_code(code, language="javascript", **options)


def ts(session: libci.Session, code: str, **options: object) -> libci.Result:
    return session.run_code(code, language="typescript", **options)


def test_state_value_and_streams(session: libci.Session) -> None:
    assert js(session, "const a = [1, 2]; console.log('out'); console.error('err')").stdout == "out\n"
    result = js(session, "console.error('err'); a.map(x => x * 2)")
    assert (result.value, result.stderr) == ("[ 2, 4 ]", "err\n")


def test_exceptions_and_exits(session: libci.Session) -> None:
    result = js(session, "\nnull.x")
    assert result.error_name == "TypeError" and result.traceback.startswith("<cell 1>:2:6\n")
    assert js(session, "process.exit(3)").exit_code == 3
    assert js(session, "1").ok


@pytest.mark.parametrize(
    "code",
    [
        "for (;;);",
        "await null; for (;;);",
        "await new Promise(() => {})",
        "require('child_process').execSync('sleep 600')",
    ],
)
def test_a_deadline_keeps_the_state(open_session: Callable[..., libci.Session], code: str) -> None:
    session = open_session(grace=PATIENCE)  # in which the kernel is not killed, however slow
    js(session, "kept = 1")
    result = js(session, code, timeout=0.5)
    assert result.outcome == libci.Outcome.TIMEOUT and not result.state_lost
    assert js(session, "kept").value == "1"


def test_a_kernel_that_dies_is_replaced(session: libci.Session) -> None:
    result = js(session, "process.kill(process.pid, 'SIGKILL')")
    assert result.state_lost
    assert js(session, "1").value == "1"


def test_memory_that_runs_out_is_told_as_that(open_session: Callable[..., libci.Session]) -> None:
    session = open_session(memory_bytes=192 << 20, timeout=60)
    result = js(session, "console.log('before'); const all = []; for (;;) all.push(new Array(1000).fill({}))")
    assert result.outcome == libci.Outcome.MEMORY_LIMIT and result.state_lost
    assert (result.stdout, result.error_message) == ("before\n", "memory limit of 192 MiB reached")
    assert js(session, "1").value == "1"


def test_an_abort_that_is_not_for_memory_is_a_signal(session: libci.Session) -> None:
    assert js(session, "process.abort()").outcome == libci.Outcome.SIGNAL


def test_a_session_is_confined(session: libci.Session) -> None:
    assert js(session, "process.cwd()").value == "'/workspace'"
    status = js(session, "require('fs').readFileSync('/proc/self/status', 'utf8')").value
    assert "NoNewPrivs:\\t1" in status and "Seccomp:\\t2" in status and "CapEff:\\t0000000000000000" in status
    links = js(
        session,
        "require('fs').readdirSync('/proc/self/fd').map(n => { try { return"
        " require('fs').readlinkSync('/proc/self/fd/' + n) } catch { return '' } }).join()",
    ).value
    assert links.count("socket:") == 1, links  # the channel


def test_files_are_shared_with_python_and_the_shell(session: libci.Session) -> None:
    session.run_code("open('p.txt', 'w').write('from python')")
    assert js(session, "require('fs').readFileSync('p.txt', 'utf8')").value == "'from python'"
    session.write_file("m.mjs", "export const n = 7")
    assert js(session, "import { n } from './m.mjs'; n").value == "7"
    js(session, "require('fs').writeFileSync('j.txt', 'from node')")
    assert session.run_command("cat j.txt").stdout == "from node"


def test_rich_items_have_their_place(session: libci.Session) -> None:
    result = js(session, "console.log('a'); display.html('<b>'); console.log('b')")
    assert [item.mime_type for item in result.items] == ["text/html"]


def test_contexts_have_variables_of_their_own(session: libci.Session) -> None:
    js(session, "var x = 1")
    js(session, "var x = 2", context="other")
    assert js(session, "x").value == "1"


@typed
def test_typescript_is_checked_against_javascript(session: libci.Session) -> None:
    js(session, "const list = [1, 2]")
    assert ts(session, "const n: number = list.length; n").value == "2"
    result = ts(session, "console.log('no'); list.nope")
    assert result.outcome == libci.Outcome.TYPE_ERROR and result.stdout == ""
    assert "cell.ts(1,25): error TS2339" in result.traceback
    assert js(session, "n").value == "2"


def test_files_by_their_suffix(ci_run: Callable, tmp_path: Path) -> None:
    (tmp_path / "a.mjs").write_text("import { sep } from 'path'\nconsole.log(sep)")
    assert ci_run(tmp_path / "a.mjs").stdout == b"/\n"


@typed
def test_diagnostics_are_told_apart(session: libci.Session) -> None:
    result = ts(session, "const n: number = 'a'\nlet ok = 1\nok.nope")
    assert [(d.code, d.line, d.column) for d in result.diagnostics] == [(2322, 1, 7), (2339, 3, 4)]
    assert "not assignable to type 'number'" in result.diagnostics[0].message
    told = result.json()["structuredContent"]["diagnostics"]
    assert [(d["code"], d["line"], d["column"]) for d in told] == [(2322, 1, 7), (2339, 3, 4)]
    assert ts(session, "const n: number = 'a'; n", typecheck=False).value == "'a'"
    many = ts(session, "nope\n" * 500)
    assert len(many.diagnostics) == 100 and many.traceback.count("error TS2304") == 100
    assert many.traceback.endswith("\nand 400 more\n")
    assert js(session, "1").diagnostics == []


@typed
@pytest.mark.skipif(os.getuid() != 0, reason="an ordinary user's sessions share its count of processes")
def test_no_process_is_left_for_the_checker() -> None:
    with libci.Session(process_count=24) as session:
        assert js(session, "1").ok
        session.run_code(
            "import subprocess\ntry:\n    taken = [subprocess.Popen(['sleep', '60']) for _ in range(24)]\n"
            "except BlockingIOError: pass"
        )
        result = ts(session, "1")
        assert (result.error_name, result.error_message[:34]) == ("NoTypeScript", "the type checker cannot be started")
        assert js(session, "2").value == "2"
