"""Rules on their way to the helper program, and refusals on their way to the host, with a gateway that is not to be
trusted (gateway_helper.py). What real gateways do is tested elsewhere."""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from conftest import BUILD, SOURCE

import libci

GOOD = {"address": "10.0.0.1", "port": 80, "protocol": "tcp", "rule": "10.0.0.0/8 is private"}


@pytest.fixture
def helper(tmp_path: Path) -> Path:
    """A folder with the helper program in it."""
    program = tmp_path / "libexec/libci/ci-supervisor"
    program.parent.mkdir(parents=True)
    shutil.copyfile(SOURCE / "tests/integration/python/gateway_helper.py", program)
    program.chmod(0o755)
    os.mkfifo(program.parent / "over")
    return program.parent


def noted(helper: Path) -> dict[str, Any]:
    return json.loads((helper / "open.json").read_text())


def say(*messages: object) -> str:
    return "\n".join(m if isinstance(m, str) else json.dumps(m) for m in messages)


def test_rules_and_a_descriptor_reach_the_helper(helper: Path) -> None:
    with libci.Sandbox(helper_dir=helper) as sandbox:
        rules = {"network_allow": ["example.org:443", "*.example.org"], "network_deny": ("10.0.0.0/8",)}
        with libci.Session(sandbox=sandbox, network="internet", **rules) as session:
            assert session.info()["network"]["allow"] == ["example.org:443", "*.example.org"]
    assert noted(helper) == {
        "network": [1],
        "allow": ["example.org:443", "*.example.org"],
        "deny": ["10.0.0.0/8"],
        "allow_list": [1],
        "fds": 2,
    }


@pytest.mark.parametrize(("allow", "listed"), [(None, []), ([], [1])])
def test_an_empty_list_is_told_from_none(helper: Path, allow: Any, listed: list[int]) -> None:
    with libci.Sandbox(helper_dir=helper) as sandbox:
        libci.Session(sandbox=sandbox, network="internet", network_allow=allow).close()
    assert (noted(helper)["allow"], noted(helper)["allow_list"]) == ([], listed)


def test_no_other_session_has_a_gateway(helper: Path) -> None:
    with libci.Sandbox(helper_dir=helper) as sandbox, pytest.raises(libci.Lost):
        libci.Session(sandbox=sandbox, network="host")
    assert (noted(helper)["fds"], noted(helper)["network"]) == (1, [2])


def test_refusals_come_with_the_result_of_their_run(helper: Path) -> None:
    log: list[tuple[str, str, str]] = []
    with libci.Sandbox(helper_dir=helper) as sandbox:
        keep = lambda level, domain, message: log.append((level, domain, message))  # noqa: E731
        with libci.Session(sandbox=sandbox, network="internet", log=keep) as session:
            dns = {"name": "evil.example", "protocol": "dns", "rule": "not in network_allow"}
            result = session.run_command(say(GOOD, dns, {**GOOD, "count": 2}, "{"))
            clean = session.run_command("")
    assert result.refusals == [
        libci.Refusal("tcp", None, "10.0.0.1", 80, "10.0.0.0/8 is private", 3, "tcp 10.0.0.1:80 (10.0.0.0/8 is private)"),
        libci.Refusal("dns", "evil.example", None, 0, "not in network_allow", 1, "dns evil.example (not in network_allow)"),
        result.refusals[2],
    ]
    assert "cannot be read" in result.refusals[2].rule and result.refusal_total == 5
    told = result.json()
    assert told["structuredContent"]["refusals"][0] == {**GOOD, "count": 3}
    assert "refused: tcp 10.0.0.1:80 (10.0.0.0/8 is private), 3 times\n" in told["content"][-1]["text"]
    assert ("warning", "network", "refused: dns evil.example (not in network_allow)") in log
    assert clean.refusals == [] and clean.refusal_total == 0 and "refusals" not in clean.json()["structuredContent"]


def test_what_was_refused_between_runs_comes_with_the_next(helper: Path) -> None:
    (helper / "first").write_text(say(GOOD))
    with libci.Sandbox(helper_dir=helper) as sandbox:
        with libci.Session(sandbox=sandbox, network="internet") as session:
            session.info()  # asks the sandbox too, but has no result
            with pytest.raises(libci.Lost):
                session.clear_context()
            assert [refusal.count for refusal in session.run_command("").refusals] == [1]


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_ci_run_tells_them_on_stderr(helper: Path, tmp_path: Path, options: list[str]) -> None:
    (tmp_path / "lib").mkdir()
    shutil.copy(BUILD / "lib/libci.so.0", tmp_path / "lib")  # beside which it finds its helper
    arguments = [*options, "--network", "internet", "--allow", "none", "--deny", "*:25", "-c", say(GOOD, GOOD)]
    done = subprocess.run(
        [BUILD / "bin/ci-run", *arguments],
        env={"PATH": "/usr/bin:/bin", "LD_LIBRARY_PATH": str(tmp_path / "lib")},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert b"ci-run: refused: tcp 10.0.0.1:80 (10.0.0.0/8 is private), 2 times\n" in done.stderr
    assert (noted(helper)["allow"], noted(helper)["allow_list"], noted(helper)["deny"]) == ([], [1], ["*:25"])
    assert done.returncode == 1 and done.stdout.count(b"\n") == len(options)


def test_the_gateway_ends_with_the_session(helper: Path) -> None:
    with libci.Sandbox(helper_dir=helper) as sandbox:
        session = libci.Session(sandbox=sandbox, network="internet")
        over = os.open(helper / "over", os.O_RDONLY | os.O_NONBLOCK)
        assert not select.select([over], [], [], 0)[0]
        session.shutdown()  # the handle and its descriptors are still there
        assert select.select([over], [], [], 20)[0]
        os.close(over)
        session.close()


@pytest.mark.parametrize("network", ["none", "host"])
@pytest.mark.parametrize("rules", [{"network_allow": []}, {"network_deny": ["*"]}])
def test_rules_are_for_the_internet_alone(network: str, rules: dict[str, list[str]]) -> None:
    with pytest.raises(libci.Invalid, match="only network CI_NETWORK_INTERNET has rules"):
        libci.Session(network=network, **rules)


def test_more_rules_than_fit_are_a_limit(helper: Path) -> None:
    with libci.Sandbox(helper_dir=helper) as sandbox, pytest.raises(libci.Limit, match="128 KiB of rules"):
        libci.Session(sandbox=sandbox, network="internet", network_deny=["10.0.0.0/8"] * 20000)


def test_one_rule_is_no_list_of_rules() -> None:
    with pytest.raises(TypeError, match="network_allow is a list"):
        libci.Session(network="internet", network_allow="example.org")
