"""The programs and modules that people use, against the lab's servers: certificates are verified, packages installed, and
what is dead is an error in time."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from network import Guest, lab, names, netlab, open_guest, sandbox  # noqa: F401

NODE = shutil.which("node", path="/usr/local/bin:/usr/bin:/bin")
CA = "/workspace/ca.pem"
#: What each program wants to be told of an authority by.
TRUST = {
    name: CA
    for name in "SSL_CERT_FILE CURL_CA_BUNDLE REQUESTS_CA_BUNDLE NODE_EXTRA_CA_CERTS GIT_SSL_CAINFO PIP_CERT "
    "npm_config_cafile".split()
}
QUIET = {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "npm_config_update_notifier": "false", "npm_config_fetch_retries": "0"}
INDEX = {"PIP_INDEX_URL": "https://index.example.com/simple/", "npm_config_registry": "https://index.example.com/npm/"}
HELLO = "hello from web.example.com\n"


@pytest.fixture
def trusting(lab: netlab.Lab, open_guest: Callable[..., Guest]) -> Guest:
    guest = open_guest(env={**TRUST, **QUIET, **INDEX})
    guest.session.write_file("ca.pem", lab.ca.read_bytes())
    return guest


@pytest.fixture
def doubting(open_guest: Callable[..., Guest]) -> Guest:
    return open_guest(env={**QUIET, **INDEX})


ASYNC = """
import asyncio, aiohttp
async def get():
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as client:
        async with client.get(URL) as answer:
            return await answer.text()
print(asyncio.run(get()), end="")
"""
GET = {
    "curl": "curl -sS -m 60 URL",
    "wget": "wget -q -T 10 -t 1 --ca-certificate=${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt} -O - URL",
    "urllib": "import urllib.request; print(urllib.request.urlopen(URL, timeout=60).read().decode(), end='')",
    "requests": "import requests; print(requests.get(URL, timeout=60).text, end='')",
    "httpx": "import httpx; print(httpx.get(URL, timeout=60).text, end='')",
    "aiohttp": ASYNC,
    "node": "await fetch(URL).then(answer => answer.text()).then(text => process.stdout.write(text)); undefined",
}


def get(guest: Guest, client: str, url: str) -> tuple[bool, str, str]:
    """Whether it went well, what came, and what was said about it."""
    if client == "node" and NODE is None:
        pytest.skip("no node")
    if client in ("curl", "wget"):
        result = guest.shell(GET[client].replace("URL", f"'{url}'"))
    else:
        language = "javascript" if client == "node" else "python"
        result = guest.session.run_code(GET[client].replace("URL", json.dumps(url)), language=language)
    return result.ok, result.stdout, result.stderr + (result.traceback or "")


@pytest.mark.parametrize("client", GET)
def test_a_page_by_http(doubting: Guest, client: str) -> None:
    assert get(doubting, client, "http://web.example.com/") == (True, HELLO, "")


@pytest.mark.parametrize("client", GET)
def test_a_page_by_https_of_an_authority_that_is_handed_in(trusting: Guest, client: str) -> None:
    assert get(trusting, client, "https://web.example.com/") == (True, HELLO, "")


@pytest.mark.parametrize("client", GET)
def test_a_certificate_of_an_unknown_authority_is_not_taken(lab: netlab.Lab, doubting: Guest, client: str) -> None:
    ok, out, said = get(doubting, client, "https://web.example.com/")
    assert not ok and out == "" and ("certificate" in said.lower() or client in ("node", "wget")), said
    if client == "node":
        assert "UNABLE_TO_VERIFY" in said or "SELF_SIGNED" in said or "fetch failed" in said


@pytest.mark.parametrize("client", GET)
def test_a_certificate_for_another_name_is_not_taken(trusting: Guest, client: str) -> None:
    ok, out, _ = get(trusting, client, "https://web.example.org/")
    assert not ok and out == ""


@pytest.mark.parametrize("client", GET)
def test_a_forbidden_page_is_an_error_at_once(lab: netlab.Lab, doubting: Guest, client: str) -> None:
    ok, out, _ = get(doubting, client, f"http://{names.HOST_PRIVATE4}/")
    assert not ok and out == ""
    assert lab.visitors(names.HOST_PRIVATE4) == []


@pytest.mark.parametrize(
    ("command", "statuses"),
    [
        ("curl -sS -m 1 http://web.example.com/stalls", [28]),
        (f"curl -sS -m 1 http://{names.WEB4}:{names.SILENT}/", [28]),
        ("curl -sS -m 1 http://drops.example.com/", [28]),
        (f"curl -sS -m 60 http://{names.WEB4}:{names.REFUSES}/", [7, 52, 56]),
        ("curl -sS -m 60 http://nowhere.example.com/", [6]),
        ("wget -q -T 1 -t 1 http://web.example.com/stalls", [4]),
        (f"wget -q -T 1 -t 1 http://{names.WEB4}:{names.SILENT}/", [4]),
        ("git clone -q http://nowhere.example.com/x.git", [128]),
        (f"git clone -q http://{names.WEB4}:{names.REFUSES}/x.git", [128]),
    ],
)
def test_the_dead_end_in_errors(doubting: Guest, command: str, statuses: list[int]) -> None:
    assert doubting.shell(command).exit_code in statuses


def test_requests_ends_in_its_own_errors(doubting: Guest) -> None:
    code = f"""
import requests
def error(url, read=60):
    try: requests.get(url, timeout=(60, read)); return "none"
    except requests.RequestException as error: return type(error).__name__
[error("http://{names.WEB4}:{names.SILENT}/", 1), error("http://nowhere.example.com/"), error("http://10.1.2.3/")]
"""
    assert doubting.ask(code) == ["ReadTimeout", "ConnectionError", "ConnectionError"]


def test_large_bodies_both_ways_over_tls(trusting: Guest) -> None:
    result = trusting.shell(
        "curl -sS -m 60 https://web.example.com/bytes/30000000 -o body && sha256sum < body | cut -d ' ' -f 1 && "
        "curl -sS -m 60 --data-binary @body https://web.example.com/"
    )
    mine, theirs = result.stdout.split()
    assert mine == theirs


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_git_clones(trusting: Guest, scheme: str) -> None:
    result = trusting.shell(f"git clone -q {scheme}://web.example.com/repository.git r && cat r/README")
    assert (result.exit_code, result.stdout) == (0, "cloned from the lab\n"), result.stderr


def test_git_does_not_take_an_unknown_authority(doubting: Guest) -> None:
    result = doubting.shell("git clone -q https://web.example.com/repository.git r")
    assert result.exit_code == 128 and "certificate" in result.stderr


def test_pip_installs_what_the_running_kernel_then_imports(trusting: Guest) -> None:
    result = trusting.shell("pip install -q labgreeting && pip list | grep -c '^lab'")
    assert (result.exit_code, result.stdout) == (0, "2\n"), result.stderr
    assert trusting.run("import labgreeting; labgreeting.greet()").value == "'hello from the index'"


def test_pip_does_not_take_an_unknown_authority(doubting: Guest) -> None:
    result = doubting.shell("pip install --retries 0 labgreeting")
    assert result.exit_code == 1 and "certificate" in (result.stdout + result.stderr).lower()


def test_pip_under_an_allow_list_gets_from_its_index_alone(lab: netlab.Lab, open_guest: Callable[..., Guest]) -> None:
    guest = open_guest(env={**TRUST, **QUIET, **INDEX}, network_allow=["index.example.com:443"])
    guest.session.write_file("ca.pem", lab.ca.read_bytes())
    assert guest.shell("pip install -q labgreeting").exit_code == 0
    other = "pip install -q --retries 0 --index-url https://web.example.com/simple/ --ignore-installed labgreeting"
    assert guest.shell(other).exit_code == 1
    assert guest.refusals


@pytest.mark.skipif(NODE is None, reason="no node")
def test_npm_installs_what_the_running_kernel_then_requires(trusting: Guest) -> None:
    result = trusting.shell("npm install --no-audit --no-fund labnode", timeout=60)
    assert result.exit_code == 0, result.stderr
    assert trusting.run("require('labnode')", language="javascript").value == "'from the registry'"


def test_the_skills_example_of_the_web(lab: netlab.Lab, ci_run: Callable[..., subprocess.CompletedProcess]) -> None:
    """Word for word, by its own name and with its certificate verified."""
    example = Path(__file__).parent / "skill/web.py"
    trust = f"import os\nos.environ['REQUESTS_CA_BUNDLE'] = {CA!r}"
    done = ci_run("--network", "internet", "--upload", lab.ca, "-e", trust, example)
    expected = "city sales 0 Lisbon 12 1 Oslo 7"
    assert (done.stdout.decode().split(), done.returncode) == (expected.split(), 0), done.stderr
    done = ci_run("--network", "internet", example)
    assert done.returncode == 1 and b"SSLError" in done.stderr
    assert b"ConnectionError" in ci_run(example).stderr
