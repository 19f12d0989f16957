"""Many sessions: at once, one after another, and with somebody killed in the middle. Nothing stays."""

from __future__ import annotations

import gc
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import BUILD, SOURCE, descriptors
from moments import PATIENCE, until

import libci


def processes() -> set[int]:
    """The supervisors of this build with all that they started: inits, kernels, commands."""
    found = set()
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and f"{BUILD}/".encode() in (entry / "cmdline").read_bytes().split(b"\0")[0]:
                found.add(int(entry.name))
        except OSError:
            pass
    return found | descendants(found)


def command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""  # it has ended meanwhile


def descendants(roots: set[int]) -> set[int]:
    """Every process whose parents lead to one of the roots."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            except OSError:
                pass
    found = set(roots)
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found - roots


def gone(pids: set[int]) -> set[int]:
    """Those of the processes that are still there after a while; zombies do not count."""
    deadline = time.monotonic() + PATIENCE
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


def groups_of_ours() -> set[str]:
    """Names of the control groups that the supervisors of this build have made for their sessions."""
    found = set()
    for pid in processes():
        try:
            found |= set(re.findall(r"/(libci-\w+)", Path(f"/proc/{pid}/cgroup").read_text()))
        except OSError:
            pass
    return found


def files_of_ours(tmp: Path, groups: set[str]) -> list[str]:
    """Temporary files, and folders of control groups."""
    return sorted(os.listdir(tempfile.gettempdir())) + sorted(os.listdir(tmp)) + [
        path for path, _, _ in os.walk("/sys/fs/cgroup") if groups & set(path.split("/"))
    ]  # fmt: skip


def open_use_close(sandbox: libci.Sandbox, count: int) -> None:
    for i in range(count):
        with libci.Session(sandbox=sandbox) as session:
            assert session.run_code(f"print({i})").stdout == f"{i}\n"
            if i % 10 == 0:
                session.run_command("sleep 100 & echo x > f")


def cycles(sandbox: libci.Sandbox, tmp: Path, count: int) -> None:
    open_use_close(sandbox, 50)  # whatever is made once is made
    with libci.Session(sandbox=sandbox) as session:
        session.run_code("1")
        groups = groups_of_ours()
    sandbox.prepare()  # what is kept ready for the next session is there, now and at the end
    time.sleep(1)
    gc.collect()
    before = descriptors(), mounts(), files_of_ours(tmp, groups)
    pids = processes()
    memory = resident_kib(pids | {os.getpid()})
    open_use_close(sandbox, count)
    sandbox.prepare()
    until(lambda: len(processes()) <= len(pids), "the end of all processes")
    until(lambda: len(files_of_ours(tmp, groups)) <= len(before[2]), "the end of files and control groups")
    gc.collect()
    assert (descriptors(), mounts()) == before[:2]
    assert resident_kib(processes() | {os.getpid()}) - memory < 20 << 10


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
    if host.stdout.readline() != b"ready\n":
        host.kill()
        host.wait()
        pytest.fail("the host did not start")
    return host, processes() | descendants({host.pid})


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
            supervisors = [p for p in pids if b"ci-supervisor" in command_line(p)]
            assert supervisors
            os.kill(rng.choice(supervisors), signal.SIGKILL)
        host.wait(PATIENCE)
        host.stdout.close()
        # What this process' own sandbox keeps ready for a session may have been made meanwhile.
        assert gone((pids | processes()) - ours - descendants({os.getpid()})) == set()


@pytest.mark.parametrize("victim", ["host", "supervisor"])
def test_when_one_is_killed_nothing_keeps_running(victim: str) -> None:
    everything_ends(victim, 3)


@pytest.mark.long
@pytest.mark.parametrize("victim", ["host", "supervisor"])
def test_when_one_is_killed_at_many_moments_nothing_keeps_running(victim: str) -> None:
    everything_ends(victim, 40)


def init_of(session: libci.Session) -> int:
    """The init of a session, as the host sees it: above a process that carries a mark, the first of its namespace."""
    mark = f"{random.random()}"
    session.run_command(f"exec -a {mark} sleep 1000 &")
    found: list[int] = []
    until(lambda: found.extend(pid for pid in processes() if command_line(pid).startswith(mark.encode())) or found)
    pid = found[0]
    while True:
        status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
        if status["NSpid"].split()[-1] == "1":
            return pid
        pid = int(status["PPid"])


def test_a_session_whose_init_is_killed_is_lost_and_the_others_are_not(sandbox: libci.Sandbox) -> None:
    with libci.Session(sandbox=sandbox) as bystander, libci.Session(sandbox=sandbox) as victim:
        bystander.run_code("x = 1")
        call = victim.start_code("import time; time.sleep(600)")
        call.process()
        init = init_of(victim)
        inside = descendants({init})
        os.kill(init, signal.SIGKILL)
        with pytest.raises(libci.Lost):
            assert call.result().outcome is libci.Outcome.LOST  # a call that was under way may end with a result
            assert victim.run_code("1").outcome is libci.Outcome.LOST
            victim.run_code("1")
        assert len(inside) >= 2 and gone({init} | inside) == set()
        assert bystander.run_code("x").value == "1"
