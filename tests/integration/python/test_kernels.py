"""Kernels that are kept ready, and sessions whose system lacks what a language needs."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import libci
import pytest
from conftest import BUILD
from moments import PATIENCE, until

NO_NODE = {"PATH": "/opt/libci/bin"}
needs_node = pytest.mark.skipif(
    shutil.which("node", path="/usr/local/bin:/usr/bin:/bin") is None, reason="no node"
)
typed = pytest.mark.skipif(
    not (BUILD / "libexec/libci/guest/node/typescript.stamp").exists(), reason="built without TypeScript"
)

#: What a Node kernel's first TypeScript cell must load the library's and Node's types for.
CELL = "import { readFileSync } from 'fs'; const n: number = [1, 2].map((x) => x * 2)[1]; n"


def kernels(session: libci.Session) -> dict[str, Any]:
    return {kernel["name"]: kernel for kernel in session.info()["sandbox"]["guest"]["kernels"]}


def arguments(session: libci.Session) -> list[str]:
    """Of the Node kernel; asks the shell, so that no kernel is started for it."""
    found = session.run_command("cat /proc/[0-9]*/cmdline | tr '\\0' '\\n' | grep -A9 -x '[n]ode'").stdout
    return found.splitlines()


@needs_node
def test_a_kernel_that_was_asked_for_is_there_before_its_first_cell() -> None:
    with libci.Sandbox(kernels=" javascript,") as sandbox:
        sandbox.prepare(timeout=PATIENCE)
        with libci.Session(sandbox=sandbox, timeout=PATIENCE) as session:
            assert kernels(session)["javascript"]["kernel"]["node"]
            assert "--typescript" not in arguments(session)
            assert session.run_code("1 + 1", language="javascript").value == "2"
        # One that cannot be the spare gets them too, by and by.
        with libci.Session(sandbox=sandbox, timeout=PATIENCE, workspace_bytes=64 << 20) as session:
            assert kernels(session)["javascript"]["running"]


def test_one_that_was_not_asked_for_is_not(session: libci.Session) -> None:
    assert list(kernels(session)) == ["python"] and arguments(session) == []


@needs_node
@typed
def test_typescript_that_is_kept_ready_has_its_types_loaded() -> None:
    def first_cell(**options: Any) -> float:
        """In the session that other programs disturbed least."""
        times = []
        for _ in range(3):
            with libci.Sandbox(**options) as sandbox:
                sandbox.prepare(timeout=PATIENCE)
                with libci.Session(sandbox=sandbox, timeout=PATIENCE) as session:
                    start = time.perf_counter()
                    assert session.run_code(CELL, language="typescript").value == "4"
                    times.append(time.perf_counter() - start)
        return min(times)

    assert first_cell(kernels="typescript") * 3 < first_cell()


@needs_node
@typed
def test_it_stays_so_after_a_restart() -> None:
    with libci.Sandbox(kernels="typescript") as sandbox, libci.Session(sandbox=sandbox, timeout=PATIENCE) as session:
        assert session.run_code("const a = 1", language="typescript").ok
        session.clear_context("javascript")
        assert "--typescript" in arguments(session)
        assert session.run_code("const a = 'x'; a", language="typescript").value == "'x'"


@needs_node
def test_a_kernel_that_ends_before_it_was_used_is_started_on_use() -> None:
    with libci.Sandbox(kernels="javascript") as sandbox:
        sandbox.prepare(timeout=PATIENCE)
        with libci.Session(sandbox=sandbox, timeout=PATIENCE) as session:
            session.run_command("kill -9 $(grep -lx node /proc/[0-9]*/comm | cut -d / -f 3)")
            until(lambda: not kernels(session)["javascript"]["running"])
            result = session.run_code("1", language="javascript")
            assert result.value == "1" and not result.state_lost


def test_a_kernel_that_cannot_start_is_not_tried_again_and_again(tmp_path: Path) -> None:
    node = tmp_path / "node_modules/.bin/node"  # in a session's PATH before the system's
    node.parent.mkdir(parents=True)
    node.write_text("#!/bin/sh\necho >> /workspace/starts\necho too old >&2\nexit 1\n")
    node.chmod(0o755)
    starts = tmp_path / "starts"
    with libci.Sandbox(kernels="javascript") as sandbox:
        with libci.Session(sandbox=sandbox, timeout=PATIENCE, host_dir=tmp_path) as session:
            until(lambda: starts.exists() and not kernels(session)["javascript"]["running"])
            assert session.run_code("1").value == "1"
            result = session.run_code("1", language="javascript")
            assert result.error_name == "KernelStart"
            assert result.error_message.endswith("ended itself with status 1 before it could run code: too old")
            assert session.run_code("1").value == "1"
            assert starts.read_text() == "\n\n"


@needs_node
def test_its_limits_are_the_sessions(tmp_path: Path) -> None:
    with libci.Sandbox(kernels="javascript") as sandbox:
        sandbox.prepare(timeout=PATIENCE)
        with libci.Session(sandbox=sandbox, timeout=PATIENCE, open_file_count=64) as session:
            limits = session.run_command("cat /proc/$(grep -lx node /proc/[0-9]*/comm | cut -d / -f 3)/limits").stdout
            assert limits.split("Max open files")[1].split()[:2] == ["64", "64"]


def test_what_is_no_kernel_is_refused() -> None:
    with pytest.raises(libci.Invalid, match='kernels: "ruby" is not allowed: python, javascript'):
        libci.Sandbox(kernels="javascript, ruby")


def test_without_node_the_rest_goes_on_and_one_warning_says_so() -> None:
    said: list[str] = []

    def log(level: str, _domain: str, message: str) -> None:
        if level == "warning":
            said.append(message)

    with libci.Sandbox(env=NO_NODE, kernels="javascript", log=log) as sandbox:
        sandbox.prepare(timeout=PATIENCE)
        for options in ({}, {"workspace_bytes": 64 << 20}):  # a spare, and one that is not
            with libci.Session(sandbox=sandbox, timeout=PATIENCE, **options) as session:
                assert session.run_code("1").value == "1"
    assert said == ["kernels: javascript is not kept ready: sessions do not have it"]


@pytest.mark.parametrize("options", [{}, {"workspace_bytes": 64 << 20}], ids=["spare", "made"])
def test_without_node_its_languages_are_not_there(options: dict[str, Any]) -> None:
    with libci.Sandbox(env=NO_NODE) as sandbox:
        sandbox.prepare(timeout=PATIENCE)
        with libci.Session(sandbox=sandbox, timeout=PATIENCE, **options) as session:
            there = session.info()["capabilities"]
            assert "python" in there and not {"javascript", "typescript", "typecheck"} & set(there)
            for language in ("javascript", "typescript"):
                with pytest.raises(libci.NotSupported, match="it runs: python") as refusal:
                    session.run_code("1", language=language)
                assert "install Node 18 or later" in refusal.value.hint
            result = session.tool_call("execute_code", {"code": "1", "language": "javascript"})
            assert result.outcome == libci.Outcome.REFUSED and "install Node 18 or later" in result.error_message


@needs_node
def test_without_the_package_typescript_there_is_javascript(build_without: Callable[[str], Path]) -> None:
    helper_dir = build_without("guest/node/node_modules")
    said: list[str] = []
    with libci.Sandbox(helper_dir=helper_dir, kernels="typescript", log=lambda *m: said.append(m[2])) as sandbox:
        sandbox.prepare(timeout=PATIENCE)
        with libci.Session(sandbox=sandbox, timeout=PATIENCE) as session:
            there = session.info()["capabilities"]
            assert "javascript" in there and not {"typescript", "typecheck"} & set(there)
            with pytest.raises(libci.NotSupported) as refusal:
                session.run_code("1", language="typescript")
            assert "CI_TYPESCRIPT=ON" in refusal.value.hint
            assert session.run_code("1", language="javascript").value == "1"
    assert said == ["kernels: typescript is not kept ready: sessions do not have it"]


@pytest.fixture
def build_without(tmp_path: Path) -> Callable[[str], Path]:
    """The helper folder as it would be built without a part of it."""

    def copy(part: str) -> Path:
        whole = BUILD / "libexec/libci"
        skipped = whole / part
        shutil.copytree(
            whole,
            tmp_path / "libci",
            ignore=lambda folder, names: [name for name in names if Path(folder) / name == skipped],
        )
        return tmp_path / "libci"

    return copy
