"""A stub of AWS Bedrock AgentCore Code Interpreter on loopback, whose sessions are libci's own: README.md.

    with agentcorelab.start("plain") as service: …

It is ready when it is handed out, and ends with the block, or with this process however that ends. Nothing needs a privilege.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from labs import Missing, Processes, answers, free_ports, make_certificate, need

__all__ = ["EXPIRED_KEY", "MANNERS", "Missing", "PERMANENT_KEY", "ROLE_KEY", "Service", "node", "packages", "start"]

HERE = Path(__file__).resolve().parent
SOURCE = HERE.parents[1]
MANNERS = ("plain", "captured")
REGION = "us-west-2"
NODE_VERSION = 18
#: Keys that it knows: id, secret and token. The first are a role's, as most are.
ROLE_KEY = ("ASIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "token+of/the=role")
PERMANENT_KEY = ("AKIAIOSFODNN7EXAMPLE", "je7MtGbClwBF/2Zp9Utk/h3yCo8nvbEXAMPLEKEY", None)
EXPIRED_KEY = ("ASIAI44QH8DHBEXAMPLE", "GbClwBF/2Zp9Utk/h3yCo8nvbEXAMPLEKEYje7Mt", "token+of/yesterday=")


@dataclass
class Service:
    """Where it listens, and who may use it."""

    endpoint: str
    tls_endpoint: str
    ca_file: str
    manner: str

    def environment(self, key: tuple[str, str, Optional[str]] = ROLE_KEY) -> dict[str, str]:
        key_id, secret, token = key
        return {
            "CI_TEST_AGENTCORE_ENDPOINT": self.endpoint,
            "CI_TEST_AGENTCORE_TLS": self.tls_endpoint,
            "CI_TEST_AGENTCORE_CA": self.ca_file,
            "CI_TEST_AGENTCORE_MANNER": self.manner,
            "AWS_ENDPOINT_URL_BEDROCK_AGENTCORE": self.endpoint,
            "AWS_REGION": REGION,
            "AWS_ACCESS_KEY_ID": key_id,
            "AWS_SECRET_ACCESS_KEY": secret,
            **({"AWS_SESSION_TOKEN": token} if token else {}),
        }

    def control(self, method: str, what: str, value: Any = None) -> Any:
        """A control request: control("PUT", "rules", [{"error": "ThrottlingException"}])."""
        body = None if value is None else json.dumps(value).encode()
        request = urllib.request.Request(f"{self.endpoint}/_stub/{what}", body, method=method)
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60) as answer:
            return json.loads(answer.read())


def packages() -> Path:
    """AWS's packages: node_modules and python."""
    cache = "/var/cache" if os.getuid() == 0 else os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    folder = Path(os.environ.get("CI_TEST_AGENTCORE_PACKAGES", f"{cache}/libci/agentcore"))
    if not (folder / "node_modules").is_dir():
        raise Missing("AWS's packages are not installed: tests/agentcorelab/install.sh FOLDER")
    return folder


def node(least: int = NODE_VERSION) -> str:
    """Node's program."""
    need("node", "node")
    version = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    if int(version[1:].partition(".")[0]) < least:
        raise Missing(f"Node is {version}; {least} is needed")
    return str(shutil.which("node"))


def engine(library: Path) -> list[str]:
    """The engine's command. A sanitized library wants its runtime loaded before the interpreter that loads it."""
    linked = subprocess.run(["ldd", str(library)], capture_output=True, text=True, check=True).stdout
    runtime = re.search(r"=> (\S*/lib[at]san\.so\S*)", linked)
    sanitized = ["env", f"LD_PRELOAD={runtime[1]}", "ASAN_OPTIONS=detect_leaks=0"] if runtime else []
    return [*sanitized, sys.executable, "-B", str(HERE / "engine.py"), str(library)]


@contextlib.contextmanager
def start(manner: str = "plain") -> Iterator[Service]:
    """Raises Missing where something that it is made of is not there."""
    program, modules = node(), packages() / "node_modules"
    need("test", "openssl")
    build = os.environ.get("CI_TEST_AGENTCORE_BUILD") or os.environ.get("CI_TEST_BUILD") or SOURCE / "build"
    library = Path(build) / "lib/libci.so"
    with tempfile.TemporaryDirectory(prefix="ci-agentcore-") as folder:
        processes = Processes(Path(folder))
        try:
            make_certificate(processes, "localhost")
            http, https = free_ports(2)
            config = {
                "ports": {"http": http, "https": https},
                "tls": {"key": f"{folder}/tls.key", "cert": f"{folder}/tls.pem"},
                "region": REGION,
                "keys": {
                    key_id: {"secret": secret, "token": token, "expired": (key_id == EXPIRED_KEY[0])}
                    for key_id, secret, token in (ROLE_KEY, PERMANENT_KEY, EXPIRED_KEY)
                },
                "manner": manner,
                "engine": engine(library),
            }
            (processes.folder / "config.json").write_text(json.dumps(config))
            environment = ["env", "-u", "LD_PRELOAD", f"NODE_PATH={modules}"]
            processes.start("stub", *environment, program, str(HERE / "stub/main.js"), "config.json")
            processes.wait("stub", lambda: answers(http, "/_stub/rules"))
            yield Service(f"http://127.0.0.1:{http}", f"https://127.0.0.1:{https}", f"{folder}/ca.pem", manner)
        finally:
            stub = processes.running.get("stub")
            if stub and stub.poll() is not None:
                print(processes.log("stub").read_text(errors="replace"), file=sys.stderr)
            processes.stop()
