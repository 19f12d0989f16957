"""What labs are made of: a folder, servers on loopback that are programs of others, and a certificate for them."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

PR_SET_PDEATHSIG = 1
READY_SECONDS = 120
STOP_SECONDS = 15

_c = ctypes.CDLL(None)


class Missing(Exception):
    """A program of the server's is not installed."""


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


def need(group: str, *programs: str) -> None:
    """Programs of a group of .ci/deps.sh."""
    for program in programs:
        if shutil.which(program) is None:
            raise Missing(f"{program} is not installed: .ci/deps.sh {group}")


def plain_environment() -> dict[str, str]:
    """The process's, without what would send AWS's clients elsewhere."""
    return {k: v for k, v in os.environ.items() if not k.startswith("AWS_") and not k.lower().endswith("_proxy")}


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


def make_certificate(p: Processes, *domains: str) -> None:
    """ca.pem, and tls.pem and tls.key by it, for loopback and these names."""
    names = ",".join(["subjectAltName=IP:127.0.0.1", *(f"DNS:{domain}" for domain in domains)])
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    p.run("ca", "openssl", "req", "-x509", *key, "-subj", "/CN=test authority", "-keyout", "ca.key", "-out", "ca.pem")
    p.run("tls", "openssl", "req", "-x509", *key, "-subj", "/CN=localhost", "-addext", names, "-CA", "ca.pem", "-CAkey",
          "ca.key", "-addext", "basicConstraints=critical,CA:FALSE", "-keyout", "tls.key", "-out", "tls.pem")
