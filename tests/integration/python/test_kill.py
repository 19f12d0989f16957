"""Pushes that are killed at random moments, client or server: what is there is whole, and the next push puts it right.
CI_TEST_SEED repeats a run."""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import signal
import subprocess
import time
import urllib.error
from collections.abc import Callable
from pathlib import Path

import libci
import pytest
from conftest import BUCKET, Bucket, Folder
from s3lab.client import Client

pytestmark = pytest.mark.s3
OUTPUT = "code-interpreter/"
PATIENCE_SECONDS = 200
CLIENT_ROUNDS = 8
SERVER_ROUNDS = 3

# What a round pushes, in the sandbox and here: many small files and one that goes in parts. No two rounds have a part in
# common; two after each other may have files of one size.
CONTENTS = """
import random
def contents(round):
    sizes = {f"small/{i:02}": 500 + (i + round // 2) % 7 * 500 for i in range(40)}
    sizes["large"] = (20 + round // 2 * 7 % 20 << 20) + round // 2
    for name, size in sizes.items():
        block = random.Random(f"{round} {name}").randbytes(min(size, 1 << 20))
        turned = (block[i:] + block[:i] for i in range(0, size // len(block) * 4099 + 1, 4099))
        yield name, b"".join(turned)[:size]
"""
MAKE = CONTENTS + """
import os
os.makedirs("small", exist_ok=True)
for name, content in contents({round}):
    with open(name, "wb") as file:
        file.write(content)
print("made", flush=True)
"""
exec(CONTENTS)


def hashes(round: int) -> dict[str, str]:
    return {OUTPUT + name: hashlib.sha256(content).hexdigest() for name, content in contents(round)}  # noqa: F821


@pytest.fixture
def chance() -> random.Random:
    seed = os.environ.get("CI_TEST_SEED") or str(time.time_ns())
    print(f"CI_TEST_SEED={seed}")
    return random.Random(seed)


def found(place: Folder | Bucket) -> dict[str, str]:
    """Objects; of a folder's workspace a temporary file is none."""
    there = place.contents(OUTPUT)
    return {key: hashlib.sha256(content).hexdigest() for key, content in there.items() if ".ci-tmp-" not in key}


def assert_whole(place: Folder | Bucket, rounds: list[dict[str, str]]) -> None:
    """Each object is what one of the rounds had there."""
    for key, sha256 in found(place).items():
        assert sha256 in [round[key] for round in rounds], f"{key} was never put, after {len(rounds)} rounds"


Start = Callable[..., subprocess.Popen]


def push(ci_run_start: Start, place: Folder | Bucket, round: int) -> subprocess.Popen:
    """One that has begun, or is just about to."""
    code = MAKE.replace("{round}", str(round))
    process = ci_run_start("--workspace", place.name, "--push", "-e", code, stderr=subprocess.DEVNULL)
    assert process.stdout.readline() == b"made\n"
    return process


def test_a_client_that_is_killed_leaves_nothing_short_and_nothing_behind(
    ci_run_start: Start, place: Folder | Bucket, chance: random.Random
) -> None:
    rounds = [hashes(0)]
    process = push(ci_run_start, place, 0)
    begun = time.monotonic()
    assert process.wait(PATIENCE_SECONDS) == 0
    whole = time.monotonic() - begun
    killed = 0
    for round in range(1, CLIENT_ROUNDS + 1):
        rounds.append(hashes(round))
        process = push(ci_run_start, place, round)
        time.sleep(chance.uniform(0, whole))  # anywhere in it
        process.kill()
        was_killed = process.wait() == -signal.SIGKILL
        killed += was_killed
        whole *= 1 if was_killed else 0.5  # the first may have been slow
        assert_whole(place, rounds)
        if round % 2:  # the next is killed upon what this one has left
            continue
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            assert push(ci_run_start, place, round).wait(PATIENCE_SECONDS) == 0
            if not place.unfinished():
                break  # a server may have been at a request of the dead still
            assert time.monotonic() < deadline, place.unfinished()
        assert found(place) == rounds[-1]
    assert killed > 0


def kill_server() -> None:
    os.killpg(int(Path(os.environ["CI_TEST_S3_PROCESS"]).read_text()), signal.SIGKILL)


def wait_for_server(server: Client) -> None:
    """It is started again by who started it."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        with contextlib.suppress(OSError, urllib.error.HTTPError):
            server.keys(BUCKET, "none/")
            return
        assert time.monotonic() < deadline
        time.sleep(0.05)


def statuses(result: libci.Result) -> dict[str, str]:
    return {OUTPUT + file.path: file.status.name.lower() for file in result.files}


def test_a_push_whose_server_is_killed_tells_what_failed_and_the_next_sends_what_is_missing(
    open_session: Callable[..., libci.Session],
    place: Bucket,
    server: Client,
    chance: random.Random,
) -> None:
    moment = 0.0

    def on_progress(progress: libci.Progress) -> None:
        nonlocal moment
        if progress.bytes_done > moment * progress.bytes_total:
            moment = 2
            kill_server()

    rounds = []
    failures = 0
    with libci.Storage.s3(place.name, attempts=1) as storage:  # with more the push might outlast the kill
        session = open_session(storage=storage, timeout=PATIENCE_SECONDS, progress=on_progress)
        for round in range(SERVER_ROUNDS):
            rounds.append(hashes(round))
            session.run_code(MAKE.replace("{round}", str(round)))
            moment = chance.uniform(0, 0.8)
            first = session.push()
            assert moment == 2
            wait_for_server(server)
            told = statuses(first)
            assert set(told) == set(rounds[-1]) and set(told.values()) <= {"saved", "failed"}
            assert all(file.error for file in first.files if file.status is libci.FileStatus.FAILED)
            failed = [key for key, status in told.items() if status == "failed"]
            failures += len(failed)
            assert_whole(place, rounds)
            there, before = found(place), server.versions(BUCKET, place.prefix)
            assert {key: there[key] for key in told if key not in failed} == {
                key: rounds[-1][key] for key in told if key not in failed
            }

            deadline = time.monotonic() + PATIENCE_SECONDS
            while not (result := session.push()).ok:  # each request is sent once, and the server has just begun
                assert time.monotonic() < deadline, [(file.path, file.error) for file in result.files if file.error]
            second, after = statuses(result), server.versions(BUCKET, place.prefix)
            assert set(second) == set(told)
            for key in set(told) - set(failed):
                assert second[key] == "unchanged" and after[place.prefix + key] == before[place.prefix + key]
            assert found(place) == rounds[-1] and place.unfinished() == []
    assert failures > 0
