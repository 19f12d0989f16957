"""Real S3 servers on loopback, which check signatures: Ceph's radosgw and OpenStack Swift, from the distribution's packages
(.ci/deps.sh s3).

    with s3lab.start("rgw") as server: …

A server is ready when it is handed out, with an empty store that goes with it. Nothing needs a privilege. Its processes end
with the block, or with this process however that ends. `python3 -m s3lab rgw COMMAND…` (in tests/) runs a command with a
server's address and keys in its environment.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

PR_SET_PDEATHSIG = 1
READY_SECONDS = 120
STOP_SECONDS = 15

_c = ctypes.CDLL(None)


class Missing(Exception):
    """A program of the server's is not installed."""


@dataclass
class Server:
    """Where it listens, and who may use it."""

    name: str
    endpoint: str
    access_key_id: str
    secret_access_key: str
    region: str = "us-east-1"
    #: The same store over TLS, with a certificate by the authority in ca_file.
    tls_endpoint: str = ""
    ca_file: str = ""
    #: What runs for it.
    processes: Processes | None = field(default=None, repr=False)
    #: Of virtual-hosted addresses, BUCKET.domain:PORT; "": there are none.
    domain: str = ""
    #: Frees the room of what was removed, which the server else does at its leisure.
    collect: Callable[[], object] = lambda: None
    #: Which of two puts on one key that overlap wins: the last to "end", or the last to "start".
    order: str = "end"
    #: The process that speaks S3, which a test may kill: run_reviving() starts it again.
    front: str = ""

    def environment(self) -> dict[str, str]:
        """What AWS's clients read."""
        return {
            "AWS_ENDPOINT_URL_S3": self.endpoint,
            "AWS_REGION": self.region,
            "AWS_ACCESS_KEY_ID": self.access_key_id,
            "AWS_SECRET_ACCESS_KEY": self.secret_access_key,
        }


@dataclass
class Processes:
    """A server's folder and what runs for it. They are stopped in the order opposite to their start."""

    folder: Path
    running: dict[str, subprocess.Popen] = field(default_factory=dict)
    commands: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def log(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def pid_file(self, name: str) -> Path:
        """Which process it is now."""
        return self.folder / f"{name}.process"

    def start(self, name: str, *command: str) -> None:
        parent = os.getpid()
        self.commands[name] = command

        def die_with_parent() -> None:
            _c.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != parent:
                os._exit(1)

        with self.log(name).open("wb") as log:
            self.running[name] = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                start_new_session=True,
                preexec_fn=die_with_parent,
            )
        fresh = self.pid_file(name).with_suffix(".new")
        fresh.write_text(f"{self.running[name].pid}\n")
        fresh.rename(self.pid_file(name))

    def run_reviving(self, name: str, command: list[str], env: dict[str, str]) -> int:
        """Runs a command to its end, and starts the process again whenever that is killed meanwhile."""
        program = subprocess.Popen(command, env=env)
        while program.poll() is None:
            if self.running[name].poll() is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self.running[name].pid, signal.SIGKILL)  # its workers
                self.start(name, *self.commands[name])
            time.sleep(0.05)
        return program.returncode

    def run(self, name: str, *command: str) -> str:
        """A command that prepares something, to its end."""
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, cwd=self.folder, timeout=READY_SECONDS
        )
        if done.returncode != 0:
            text = (done.stdout + done.stderr).decode(errors="replace")
            raise RuntimeError(f"{name}: {' '.join(command)} ended with {done.returncode}: {text[-2000:]}")
        return done.stdout.decode()

    def wait(self, what: str, ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while not ready():
            for name, process in self.running.items():
                if process.poll() is not None:
                    text = self.log(name).read_text(errors="replace")[-2000:]
                    raise RuntimeError(f"{name} ended with {process.returncode}: {text}")
            if time.monotonic() > deadline:
                raise RuntimeError(f"{what} is not ready after {READY_SECONDS} s")
            time.sleep(0.05)

    def stop(self) -> None:
        for process in reversed(self.running.values()):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                pass
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def need(*programs: str) -> None:
    for program in programs:
        if shutil.which(program) is None:
            raise Missing(f"{program} is not installed: .ci/deps.sh s3")


def free_ports(count: int) -> list[int]:
    """Of loopback. They could be taken by somebody else before they are used: then the server does not start."""
    sockets = [socket.socket() for _ in range(count)]
    for s in sockets:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def answers(port: int, path: str = "/") -> bool:
    """Whether a web server at the port answers, whatever it says."""
    try:
        with socket.create_connection(("127.0.0.1", port), 5) as s:
            s.sendall(f"GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
            return s.recv(5) == b"HTTP/"
    except OSError:
        return False


@contextlib.contextmanager
def start(kind: str, **options: object) -> Iterator[Server]:
    """rgw or swift, with options of its own start(). Raises Missing where it is not installed."""
    from s3lab import rgw, swift

    with tempfile.TemporaryDirectory(prefix="ci-s3-") as folder:
        processes = Processes(Path(folder))
        try:
            server = {"rgw": rgw, "swift": swift}[kind].start(processes, **options)
            server.processes = processes
            yield server
        finally:
            processes.stop()
