"""Many sessions: at once, one after another, and with somebody killed in the middle. Nothing stays."""

from __future__ import annotations

import gc
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import BUILD, SOURCE, descriptors

import libci


def processes() -> set[int]:
    """All that is ours: what has the build's programs, or a guest's kernel, as its executable, and whoever they started."""
    found = set()
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and f"{BUILD}/".encode() in (entry / "cmdline").read_bytes():
                found.add(int(entry.name))
        except OSError:
            pass
    return found


def descendants(pid: int) -> set[int]:
    """Every process whose parents lead to pid."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            except OSError:
                pass
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {pid}


def gone(pids: set[int], seconds: float = 10) -> set[int]:
    """Those of the processes that are still there after a while; zombies do not count."""
    deadline = time.monotonic() + seconds
    while True:
        left = set()
        for pid in pids:
            try:
                if Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX":
                    left.add(pid)
            except OSError:
                pass
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.05)


def mounts() -> int:
    return Path("/proc/self/mountinfo").read_text().count("\n")


def resident_kib(pids: set[int]) -> int:
    total = 0
    for pid in pids:
        try:
            lines = Path(f"/proc/{pid}/status").read_text().splitlines()
            total += next((int(line.split()[1]) for line in lines if line.startswith("VmRSS")), 0)
        except OSError:
            pass
    return total


def open_use_close(sandbox: libci.Sandbox, count: int) -> None:
    for i in range(count):
        with libci.Session(sandbox=sandbox) as session:
            assert session.run_code(f"print({i})").stdout == f"{i}\n"
            if i % 10 == 0:
                session.run_command("sleep 100 & echo x > f")


def cycles(sandbox: libci.Sandbox, tmp: Path, count: int) -> None:
    open_use_close(sandbox, 50)  # whatever is made once is made
    time.sleep(1)
    gc.collect()
    before = descriptors(), mounts(), sorted(os.listdir("/tmp")), sorted(os.listdir(tmp))
    pids = processes()
    memory = resident_kib(pids | {os.getpid()})
    open_use_close(sandbox, count)
    deadline = time.monotonic() + 10
    while processes() != pids and time.monotonic() < deadline:
        time.sleep(0.1)
    gc.collect()
    assert processes() == pids
    assert (descriptors(), mounts(), sorted(os.listdir("/tmp")), sorted(os.listdir(tmp))) == before
    assert resident_kib(pids | {os.getpid()}) - memory < 20 << 10


def test_sessions_opened_used_and_closed_leave_nothing(sandbox: libci.Sandbox, tmp_path: Path) -> None:
    cycles(sandbox, tmp_path, 100)


@pytest.mark.long
def test_two_thousand_sessions_leave_nothing(sandbox: libci.Sandbox, tmp_path: Path) -> None:
    cycles(sandbox, tmp_path, 2000)


def at_once(open_session: Callable[..., libci.Session], count: int) -> None:
    sessions = [open_session() for _ in range(count)]
    calls = [session.start_code(f"x = {i}\nx * 2") for i, session in enumerate(sessions)]
    assert [call.result().value for call in calls] == [str(2 * i) for i in range(count)]
    assert [session.run_code("x").value for session in sessions] == [str(i) for i in range(count)]


def test_twenty_sessions_at_once(open_session: Callable[..., libci.Session]) -> None:
    at_once(open_session, 20)


@pytest.mark.long
def test_two_hundred_sessions_at_once(open_session: Callable[..., libci.Session]) -> None:
    at_once(open_session, 200)


def test_an_idle_session_costs_the_host_four_descriptors_at_most(sandbox: libci.Sandbox) -> None:
    before = len(descriptors())
    sessions = [libci.Session(sandbox=sandbox) for _ in range(10)]
    for session in sessions:
        session.run_code("1")
    assert len(descriptors()) - before <= 40
    for session in sessions:
        session.close()


HOST = """
import sys
sys.path.insert(0, sys.argv[1])
import libci
libci.use_library(sys.argv[2])
with libci.Sandbox() as sandbox:
    sessions = [libci.Session(sandbox=sandbox) for _ in range(3)]
    sessions[0].run_command("sleep 1000 & setsid sleep 1000 &")
    print("ready", flush=True)
    i = 0
    while True:
        for session in sessions:
            try:
                i += 1
                session.run_code(f"x = {i}; import subprocess; subprocess.run(['true'])")
            except libci.Lost:
                print("lost", flush=True)
                sys.exit(3)
"""


def start_host() -> tuple[subprocess.Popen, set[int]]:
    command = [sys.executable, "-B", "-c", HOST, str(SOURCE / "bindings/python"), str(BUILD / "lib/libci.so")]
    host = subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"})
    assert host.stdout.readline() == b"ready\n"
    return host, processes() | descendants(host.pid)


def everything_ends(victim: str, rounds: int) -> None:
    rng = random.Random(1)
    ours = processes()
    for _ in range(rounds):
        host, pids = start_host()
        pids -= ours
        time.sleep(rng.random() * 0.2)
        if victim == "host":
            os.kill(host.pid, signal.SIGKILL)
        else:
            supervisors = [p for p in pids if b"ci-supervisor" in Path(f"/proc/{p}/cmdline").read_bytes()]
            assert supervisors
            os.kill(rng.choice(supervisors), signal.SIGKILL)
        host.wait(20)
        host.stdout.close()
        assert gone(pids | (processes() - ours)) == set()


@pytest.mark.parametrize("victim", ["host", "supervisor"])
def test_when_one_is_killed_nothing_keeps_running(victim: str) -> None:
    everything_ends(victim, 3)


@pytest.mark.long
@pytest.mark.parametrize("victim", ["host", "supervisor"])
def test_when_one_is_killed_at_many_moments_nothing_keeps_running(victim: str) -> None:
    everything_ends(victim, 40)


def test_a_session_whose_init_is_killed_is_lost_and_the_others_are_not(sandbox: libci.Sandbox) -> None:
    with libci.Session(sandbox=sandbox) as bystander:
        bystander.run_code("x = 1")
        before = processes()
        victim = libci.Session(sandbox=sandbox)
        victim.run_code("1")
        for pid in processes() - before:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        with pytest.raises(libci.Lost):
            victim.run_code("1")
        victim.close()
        assert bystander.run_code("x").value == "1"
