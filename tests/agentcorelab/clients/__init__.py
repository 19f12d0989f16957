"""AWS's own clients as programs: botocore() and javascript() take steps, [OPERATION, INPUT] each, and return answers (sdk.py)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any, Optional

import agentcorelab

__all__ = ["CLIENTS", "NODE_VERSION", "botocore", "javascript"]

NODE_VERSION = 20  # that the JavaScript client wants
Answers = list[dict[str, Any]]
Key = tuple[str, str, Optional[str]]


def botocore(service: agentcorelab.Service, steps: list[Any], key: Key = agentcorelab.ROLE_KEY) -> Answers:
    command = [sys.executable, "-B", str(agentcorelab.HERE / "clients/sdk.py")]
    return _run(service, steps, key, command, PYTHONPATH=str(agentcorelab.packages() / "python"))


def javascript(service: agentcorelab.Service, steps: list[Any], key: Key = agentcorelab.ROLE_KEY) -> Answers:
    """Raises Missing where Node is too old for it."""
    command = [agentcorelab.node(NODE_VERSION), str(agentcorelab.HERE / "clients/sdk.js")]
    return _run(service, steps, key, command, NODE_PATH=str(agentcorelab.packages() / "node_modules"))


CLIENTS: list[Callable[..., Answers]] = [botocore, javascript]


def _run(service: agentcorelab.Service, steps: list[Any], key: Key, command: list[str], **variables: str) -> Answers:
    task = json.dumps({"endpoint": service.endpoint, "steps": steps})
    environment = {"PATH": os.environ["PATH"], "HOME": os.devnull, **service.environment(key), **variables}
    done = subprocess.run(command, input=task, capture_output=True, text=True, env=environment, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
