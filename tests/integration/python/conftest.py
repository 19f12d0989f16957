"""Fixtures of the end-to-end tests. CI_TEST_BUILD names the build folder, CI_TEST_FULL=1 adds the long tests,
CI_TEST_S3 says that there is a server of S3, and that only what is marked s3 runs (tests/s3lab/programs.py),
CI_TEST_TIMEOUT_FACTOR multiplies the deadlines of sessions where all is slow, CI_TEST_ENVIRONMENT names the core
environment that ci-env has made."""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

SOURCE = Path(__file__).resolve().parents[3]
BUILD = Path(os.environ.get("CI_TEST_BUILD") or SOURCE / "build")
TIMEOUT_FACTOR = int(os.environ.get("CI_TEST_TIMEOUT_FACTOR") or 1)
S3 = os.environ.get("CI_TEST_S3", "")
sys.path[:0] = [str(SOURCE / "bindings/python"), str(SOURCE / "tests")]
sys.dont_write_bytecode = True

import agentcorelab  # noqa: E402
import libci  # noqa: E402
from s3lab.client import Client  # noqa: E402

libci.use_library(str(BUILD / "lib/libci.so"))


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    if not (BUILD / "lib/libci.so").exists():
        pytest.exit(f"nothing is built in {BUILD}: CI_TEST_BUILD names the build folder", 2)
    if not config.option.basetemp:  # files run beside each other: none shall clean up after another
        config.option.basetemp = tempfile.mkdtemp(prefix="ci-test-")
        config.add_cleanup(lambda: shutil.rmtree(config.option.basetemp, ignore_errors=True))
    config.addinivalue_line("markers", "long: takes minutes; runs only with CI_TEST_FULL=1")
    config.addinivalue_line("markers", "s3: runs on a server of S3 too, or there alone (fixture server)")


def is_wanted(item: pytest.Item) -> bool:
    if item.get_closest_marker("long") and not os.environ.get("CI_TEST_FULL"):
        return False
    if S3:
        return item.get_closest_marker("s3") is not None
    return "server" not in item.fixturenames  # type: ignore


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    unwanted = [item for item in items if not is_wanted(item)]
    if unwanted:
        config.hook.pytest_deselected(items=unwanted)
        items[:] = [item for item in items if is_wanted(item)]


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
    after = descriptors()
    assert {fd: after[fd] for fd in after if after[fd] != before[0].get(fd)} == {}
    assert (sorted(after), children()) == (sorted(before[0]), before[1])


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A workspace folder with an empty uploads folder."""
    (tmp_path / "workspace/uploads").mkdir(parents=True)
    return tmp_path / "workspace"


BUCKET = "ci-end-to-end"


@pytest.fixture(scope="session")
def server() -> Client:
    """The server of S3, with a bucket, as libci does not see it."""
    client = Client(os.environ)
    client.make_bucket(BUCKET)
    return client


class Folder:
    """A workspace in a folder, and what is really in it."""

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        self.path = path

    def contents(self, prefix: str = "") -> dict[str, bytes]:
        files = {str(file.relative_to(self.path)): file for file in self.path.rglob("*") if file.is_file()}
        return {key: file.read_bytes() for key, file in sorted(files.items()) if key.startswith(prefix)}

    def put(self, key: str, content: bytes) -> None:
        (self.path / key).parent.mkdir(parents=True, exist_ok=True)
        (self.path / key).write_bytes(content)

    def unfinished(self) -> list[str]:
        return [str(file) for file in self.path.rglob(".ci-tmp-*")]


class Bucket:
    """One in a bucket, below a prefix of its own."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.prefix = f"{uuid.uuid4().hex}/"
        self.name = f"s3://{BUCKET}/{self.prefix[:-1]}"

    def contents(self, prefix: str = "") -> dict[str, bytes]:
        keys = self.client.keys(BUCKET, self.prefix + prefix)
        return {key[len(self.prefix) :]: self.client.get(BUCKET, key) for key in keys}

    def put(self, key: str, content: bytes) -> None:
        self.client.put(BUCKET, self.prefix + key, content)

    def unfinished(self) -> list[str]:
        return [key for key in self.client.uploads(BUCKET) if key.startswith(self.prefix)]


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Folder | Bucket:
    """An empty workspace: in a folder, or on the server of S3 where there is one."""
    if S3:
        return Bucket(request.getfixturevalue("server"))
    (tmp_path / "place").mkdir()
    return Folder(tmp_path / "place")


@pytest.fixture(scope="module")
def started(request: pytest.FixtureRequest) -> Iterator[agentcorelab.Service]:
    """The stub of AgentCore, one a file and manner: plain, or what the file says by a mark."""
    try:
        with agentcorelab.start(getattr(request, "param", "plain")) as service:
            yield service
    except agentcorelab.Missing as error:
        pytest.skip(str(error))


@pytest.fixture
def service(started: agentcorelab.Service) -> Iterator[agentcorelab.Service]:
    """It, as it was when it began."""
    started.control("POST", "reset")
    yield started
    started.control("POST", "reset")


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
    return open_session(timeout=300)


@pytest.fixture
def ci_run() -> Callable[..., subprocess.CompletedProcess]:
    """Runs ci-run to its end; bytes in, bytes out."""

    def run(*arguments: object, stdin: bytes = b"", **options: object) -> subprocess.CompletedProcess:
        command = [str(BUILD / "bin/ci-run"), *map(str, arguments)]
        return subprocess.run(command, input=stdin, capture_output=True, timeout=300, **options)  # type: ignore

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
