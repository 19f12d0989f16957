"""Fixtures of the end-to-end tests. CI_TEST_BUILD names the build folder, CI_TEST_FULL=1 adds the long tests,
CI_TEST_TIMEOUT_FACTOR multiplies the deadlines of sessions where all is slow, CI_TEST_ENVIRONMENT names the core
environment that ci-env has made."""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

SOURCE = Path(__file__).resolve().parents[3]
BUILD = Path(os.environ.get("CI_TEST_BUILD") or SOURCE / "build")
TIMEOUT_FACTOR = int(os.environ.get("CI_TEST_TIMEOUT_FACTOR") or 1)
sys.path.insert(0, str(SOURCE / "bindings/python"))
sys.dont_write_bytecode = True

import libci  # noqa: E402

libci.use_library(str(BUILD / "lib/libci.so"))


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    if not (BUILD / "lib/libci.so").exists():
        pytest.exit(f"nothing is built in {BUILD}: CI_TEST_BUILD names the build folder", 2)
    if not config.option.basetemp:  # files run beside each other: none shall clean up after another
        config.option.basetemp = tempfile.mkdtemp(prefix="ci-test-")
        config.add_cleanup(lambda: shutil.rmtree(config.option.basetemp, ignore_errors=True))
    config.addinivalue_line("markers", "long: takes minutes; runs only with CI_TEST_FULL=1")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if os.environ.get("CI_TEST_FULL"):
        return
    long = [item for item in items if item.get_closest_marker("long")]
    if long:
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item not in long]


def pytest_collection_finish() -> None:
    gc.collect()
    gc.freeze()  # what is there by now: each test collects garbage twice, and need not look at pytest's own again


def descriptors() -> dict[str, str]:
    found = {}
    for fd in os.listdir("/proc/self/fd"):
        try:
            found[fd] = os.readlink(f"/proc/self/fd/{fd}")
        except FileNotFoundError:
            pass  # the one that listed them
    return found


def children() -> list[int]:
    pids = []
    for task in Path("/proc/self/task").iterdir():
        try:
            pids += map(int, (task / "children").read_text().split())
        except (FileNotFoundError, ProcessLookupError):
            pass  # a thread that has ended meanwhile
    return pids


@pytest.fixture(scope="session")
def sandbox() -> Iterator[libci.Sandbox]:
    """One sandbox for the sessions of a whole file, as a host has one."""
    with libci.Sandbox() as sandbox:
        yield sandbox


@pytest.fixture(autouse=True)
def nothing_is_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """Every test leaves descriptors and children as they were."""
    if "sandbox" in request.fixturenames or "session" in request.fixturenames or "open_session" in request.fixturenames:
        request.getfixturevalue("sandbox")
    gc.collect()
    before = descriptors(), children()
    yield
    gc.collect()
    assert (descriptors(), children()) == before


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A workspace folder with an empty uploads folder."""
    (tmp_path / "workspace/uploads").mkdir(parents=True)
    return tmp_path / "workspace"


@pytest.fixture
def open_session(sandbox: libci.Sandbox) -> Iterator[Callable[..., libci.Session]]:
    """Opens sessions that are closed at the test's end."""
    sessions: list[libci.Session] = []

    def open_one(**options: Any) -> libci.Session:
        if "timeout" in options:
            options["timeout"] *= TIMEOUT_FACTOR
        sessions.append(libci.Session(**{"sandbox": sandbox, **options}))
        return sessions[-1]

    yield open_one
    for session in sessions:
        session.close()


@pytest.fixture
def session(open_session: Callable[..., libci.Session]) -> libci.Session:
    """A session with all defaults and a deadline that ends a test gone wrong."""
    return open_session(timeout=60)


@pytest.fixture
def ci_run() -> Callable[..., subprocess.CompletedProcess]:
    """Runs ci-run to its end; bytes in, bytes out."""

    def run(*arguments: object, stdin: bytes = b"", **options: object) -> subprocess.CompletedProcess:
        command = [str(BUILD / "bin/ci-run"), *map(str, arguments)]
        return subprocess.run(command, input=stdin, capture_output=True, timeout=120, **options)  # type: ignore

    return run


@pytest.fixture
def ci_run_start() -> Iterator[Callable[..., subprocess.Popen]]:
    """Starts ci-run with pipes; it is killed at the test's end if it still runs."""
    started: list[subprocess.Popen] = []

    def start(*arguments: object, **options: object) -> subprocess.Popen:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        started.append(subprocess.Popen([str(BUILD / "bin/ci-run"), *map(str, arguments)], **pipes))  # type: ignore
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe:
                pipe.close()
