"""ci-run --sandbox agentcore, as people use it, against the stub of the service."""

from __future__ import annotations

import os
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import agentcorelab
import pytest

Run = Callable[..., Any]
pytestmark = pytest.mark.parametrize("started", ["captured"], indirect=True, scope="module")


@pytest.fixture
def run(ci_run: Run, service: agentcorelab.Service, tmp_path: Path) -> Run:
    """With the service's address and keys in the environment, and no others: a None takes one away."""

    def run_there(*arguments: object, **variables: str | None) -> Any:
        mine = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "AWS_EC2_METADATA_DISABLED": "true"}
        environment = {**mine, **service.environment(), **variables}
        kept = {name: value for name, value in environment.items() if value is not None}
        return ci_run("--sandbox", "agentcore", *arguments, env=kept)

    return run_there


def operations(service: agentcorelab.Service) -> list[str]:
    return [request["operation"] for request in service.control("GET", "log")]


def test_units_run_in_one_session_which_is_ended(run: Run, service: agentcorelab.Service) -> None:
    done = run("-e", "x = 6\nprint(x)", "-c", "echo $((6 * 7)) > f; echo err >&2", "-e", "print(x, open('f').read().strip())")
    assert (done.stdout, done.stderr, done.returncode) == (b"6\n6 42\n", b"err\n", 0)
    assert operations(service).count("Start") == operations(service).count("Stop") == 1


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["-e", "1 / 0"], 1, b"ZeroDivisionError"),
        (["-c", "echo why >&2; exit 42"], 42, b"why"),
        (["-c", "sleep 10", "--timeout", "0.3"], 124, b"0.3"),
    ],
)
def test_the_exit_status_is_that_of_what_ran(run: Run, arguments: list[str], status: int, said: bytes) -> None:
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (status, b"") and said in done.stderr, done.stderr


def test_uploads_of_a_folder_are_there_and_results_come_back(
    run: Run, service: agentcorelab.Service, tmp_path: Path
) -> None:
    with zipfile.ZipFile(tmp_path / "data.zip", "w") as archive:
        archive.writestr("in/side.txt", "inside")
    (tmp_path / "table.csv").write_bytes(b"a,b\r\n1,\xff\n")
    out = tmp_path / "out"
    uploads = ["--upload", tmp_path / "data.zip", "--upload", tmp_path / "table.csv"]
    done = run(*uploads, "--workspace", out, "-c", "cat data/in/side.txt; cp table.csv copy.csv; mkdir d; echo 1 > d/x", "--push")
    assert (done.stdout, done.returncode) == (b"inside", 0), done.stderr
    assert b"unpacked data.zip" in done.stderr and b"saved code-interpreter/copy.csv" in done.stderr
    assert (out / "code-interpreter/copy.csv").read_bytes() == b"a,b\r\n1,\xff\n"
    saved = sorted(str(file.relative_to(out)) for file in (out / "code-interpreter").rglob("*") if file.is_file())
    assert saved == ["code-interpreter/copy.csv", "code-interpreter/d/x"]
    assert operations(service).count("Start") == 1  # storing needs none


def test_a_session_is_kept_and_gone_on_in_with_more_uploads(
    run: Run, service: agentcorelab.Service, tmp_path: Path
) -> None:
    (tmp_path / "one").write_text("1")
    (tmp_path / "two").write_text("2")
    done = run("--keep", "--upload", tmp_path / "one", "-e", "x = open('one').read()")
    kept = re.search(rb"--attach (\w+)", done.stderr)
    assert done.returncode == 0 and kept and operations(service).count("Stop") == 0, done.stderr
    name = kept[1].decode()
    done = run("--attach", name, "--upload", tmp_path / "two", "-e", "print(x + open('two').read())")
    assert (done.stdout, done.returncode) == (b"12\n", 0), done.stderr
    assert operations(service).count("Start") == operations(service).count("Stop") == 1
    done = run("--attach", name, "-e", "1")
    assert (done.returncode, done.stdout) == (125, b"") and b"is over" in done.stderr and b"open a new one" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "variables", "said"),
    [
        (["--region", "us west"], {}, ["region", "us west"]),
        ([], {"AWS_REGION": None}, ["region", "AWS_REGION"]),
        (["--region", "eu-west-1"], {}, ["scoped to us-west-2", "see whether the secret access key and the region are right"]),
        ([], {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None}, ["credentials", "AWS_ACCESS_KEY_ID"]),
        ([], {"AWS_SECRET_ACCESS_KEY": "another"}, ["ignature", "secret"]),
        (["--service", "http://127.0.0.1:1"], {}, ["127.0.0.1"]),
        (["--service", "ftp://127.0.0.1"], {}, ["http"]),
        (["--attach", "01ARZ3NDEKTSV4RRFFQ69G5FAV"], {}, ["there is no session", "open a new one"]),
        (["--attach", "../x"], {}, ["letters and digits"]),
    ],
)
def test_what_is_wrong_is_told_with_what_to_do(
    run: Run, arguments: list[str], variables: dict[str, str | None], said: list[str]
) -> None:
    done = run(*arguments, "-e", "1", **variables)
    told = done.stderr.decode()
    assert (done.returncode, done.stdout) == (125, b"") and all(word in told for word in said), told
    assert agentcorelab.ROLE_KEY[1] not in told and agentcorelab.ROLE_KEY[2] not in told
