"""What the tests of AgentCore against the stub share: a sandbox and a session there, the stub's rules, and what it was asked."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import agentcorelab
import libci
import pytest
from moments import PATIENCE

KEYS = {
    "access_key_id": agentcorelab.ROLE_KEY[0],
    "secret_access_key": agentcorelab.ROLE_KEY[1],
    "session_token": agentcorelab.ROLE_KEY[2],
}


def sandbox_of(service: agentcorelab.Service, **options: Any) -> libci.Sandbox:
    options = {"endpoint": service.endpoint, "region": agentcorelab.REGION, "environment": False, **KEYS, **options}
    return libci.Sandbox.agentcore(**options)


@pytest.fixture
def remote(service: agentcorelab.Service) -> Iterator[libci.Sandbox]:
    with sandbox_of(service) as sandbox:
        yield sandbox


@pytest.fixture
def at(remote: libci.Sandbox) -> Iterator[libci.Session]:
    """A session there."""
    with libci.Session(sandbox=remote) as session:
        yield session


def ends(session: libci.Session, pid: str = "$(cat pid)") -> bool:
    """Whether a process comes to its end, which takes a while when it is killed."""
    return session.run_command(f"while kill -0 {pid} 2>/dev/null; do sleep 0.01; done", timeout=PATIENCE).ok


def rules(service: agentcorelab.Service, *rules: dict[str, Any]) -> None:
    service.control("PUT", "rules", list(rules))


def requests(service: agentcorelab.Service, operation: str = "") -> list[dict[str, Any]]:
    return [one for one in service.control("GET", "log") if operation in ("", one["operation"])]


def body(request: dict[str, Any]) -> Any:
    return json.loads(base64.b64decode(request["body"]))
