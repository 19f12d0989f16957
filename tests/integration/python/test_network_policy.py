"""Rules: what a session may reach by name, address and port; what it is told, and what the host is told, of the rest."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from typing import Any

import libci
import pytest
from network import REFUSED, TIMEOUT, Guest, guest, host_reached, lab, names, netlab, open_guest, sandbox  # noqa: F401

Open = Callable[..., Guest]
Run = Callable[..., subprocess.CompletedProcess]
NOT_RESOLVED = "gaierror"
#: What is tried, in this order: a name that was resolved opens its addresses.
TRIES = {
    "WEB4": f"tcp({names.WEB4!r})",
    "WEB4:8080": f"tcp({names.WEB4!r}, 8080)",
    "WEB6": f"tcp({names.WEB6!r})",
    "OTHER4": f"tcp({names.OTHER4!r})",
    "10": "tcp('10.1.2.3')",
    "10:8080": "tcp('10.1.2.3', 8080)",
    "host": f"tcp({names.HOST_PRIVATE4!r})",
    "web": "tcp('web.example.com')",
    "web:8080": "tcp('web.example.com', 8080)",
    "deep": "tcp('deep.er.example.com')",
    "parent": "tcp('example.com')",
    "bad": "tcp('badexample.com')",
    "org": "tcp('example.org')",
}

#: allow, deny, what is reached of the above; nothing else is.
POLICIES = [
    (["web.example.com"], None, "web web:8080"),
    (["WEB.Example.COM."], None, "web web:8080"),
    (["*.example.com"], None, "web web:8080 deep"),
    (["*.example.com", "example.com"], None, "web web:8080 deep parent"),
    (["web.example.com:8080"], None, "web:8080"),
    (["*:8080"], None, "web:8080 WEB4:8080"),
    (["*"], None, "web web:8080 deep parent bad org WEB4 WEB4:8080 WEB6 OTHER4"),
    ([names.WEB4], None, "WEB4 WEB4:8080"),
    ([f"{names.WEB4}:80-90"], None, "WEB4"),
    (["93.184.216.0/24"], None, "WEB4 WEB4:8080"),
    (["93.184.216.0/24", names.OTHER4], None, "WEB4 WEB4:8080 OTHER4"),
    (["2606:2800:220::/48"], None, "WEB6"),
    ([f"[{names.WEB6}]:80"], None, "WEB6"),
    ([f"[{names.WEB6}]:81"], None, ""),
    (["10.0.0.0/8"], None, "10 10:8080"),
    (["10.0.0.0/8:8080"], None, "10:8080"),
    (["0.0.0.0/1"], None, "WEB4 WEB4:8080 OTHER4 10 10:8080"),
    (["192.0.0.0/2:80"], None, "host"),
    ([names.HOST_PRIVATE4], None, "host"),
    (["*", "10.1.2.3"], ["*.example.com"], "parent bad org WEB4 WEB4:8080 WEB6 OTHER4 10 10:8080"),
    (["*.example.com"], ["deep.er.example.com"], "web web:8080"),
    (["10.0.0.0/8"], ["10.1.0.0/16"], ""),
    (None, ["web.example.com"], "deep parent bad org WEB4 WEB4:8080 WEB6 OTHER4"),
    (None, ["*.example.com", "*.com"], "org WEB4 WEB4:8080 WEB6 OTHER4"),
    (None, [names.OTHER4], "web web:8080 parent WEB4 WEB4:8080 WEB6"),
    (None, [f"{names.OTHER4}:8080"], "web web:8080 deep parent bad org WEB4 WEB4:8080 WEB6 OTHER4"),
    (None, ["93.184.0.0/16:80"], "web web:8080 WEB4:8080 WEB6"),
    (None, ["*"], ""),
    (["*"], ["*"], ""),
    ([], None, ""),
    ([], ["web.example.com"], ""),
]


def is_reached(answer: object) -> bool:
    if isinstance(answer, bytes):
        return True
    assert answer in REFUSED | {NOT_RESOLVED}, answer  # an error, and at once
    return False


@pytest.mark.parametrize(("allow", "deny", "reached"), POLICIES)
def test_what_a_policy_lets_through(lab: netlab.Lab, open_guest: Open, allow: Any, deny: Any, reached: str) -> None:
    guest = open_guest(network_allow=allow, network_deny=deny)
    before = host_reached(lab)
    answers = dict(zip(TRIES, guest.ask(f"[{', '.join(TRIES.values())}]")))
    assert {name for name, answer in answers.items() if is_reached(answer)} == set(reached.split())
    if "host" not in reached.split():
        assert host_reached(lab) == before


def test_a_name_opens_no_address_that_is_not_public(lab: netlab.Lab, open_guest: Open) -> None:
    bad = [name for name in names.ZONE if name.endswith(".example.net") and not name.startswith(("mixed", "rebind"))]
    guest = open_guest(network_allow=[*bad, "cname-private.example.com", "rebind.example.net", "*.example.net:80"])
    before = host_reached(lab)
    for name in [*bad, "cname-private.example.com"]:
        assert guest.ask(f"tcp({name!r}, timeout=2)") in REFUSED | {NOT_RESOLVED, TIMEOUT}
    for _ in range(4):
        answer = guest.ask("tcp('rebind.example.net')")
        assert b"hello" in answer if isinstance(answer, bytes) else answer in REFUSED | {NOT_RESOLVED}
    assert host_reached(lab) == before


def test_another_name_of_an_allowed_one_works_and_opens_no_more(open_guest: Open) -> None:
    guest = open_guest(network_allow=["cname-out.example.com"])
    assert b"hello" in guest.ask("tcp('cname-out.example.com')")
    assert guest.ask("resolve('web.example.org')") == NOT_RESOLVED


def test_sessions_beside_each_other_are_each_held_to_its_own(open_guest: Open) -> None:
    policies: list[Any] = [["web.example.com"], ["example.org"], [], None, [names.OTHER4]]
    guests = [open_guest(network_allow=allow) for allow in policies]
    for _ in range(2):
        found = [
            [isinstance(guest.ask(TRIES[name]), bytes) for name in ("OTHER4", "web", "org", "host")] for guest in guests
        ]
        assert found[0] == [False, True, False, False]
        assert found[1][1:] == [False, True, False]
        assert found[2] == [False] * 4
        assert found[3] == [True, True, True, False]
        assert found[4] == [True, False, False, False]


# -- names under an allow-list


def test_no_name_outside_the_list_is_asked_for(lab: netlab.Lab, open_guest: Open) -> None:
    """However it is tried, nothing comes out of the session that way; the log of the name servers shows it."""
    guest = open_guest(network_allow=["web.example.com", names.WEB4])
    secret = "5ec4e7"
    before = len(lab.queries())
    assert guest.ask("resolve('web.example.com', socket.AF_INET)") == [names.WEB4]
    code = f"""
secret = {secret!r}
found = []
for n in range(20): found.append(resolve(f"{{secret}}-{{n}}.t.example.org"))
for name in (f"{{secret}}.web.example.com", f"web.example.com.{{secret}}.org", f"{{secret}}.example.com"):
    found.append(resolve(name))
for server in (None, {names.PUBLIC_RESOLVER4!r}, {names.PUBLIC_RESOLVER6!r}, {names.RESOLVER4!r}, {names.OTHER4!r}):
    for kind in (1, 28, 16, 10, 15, 255, 12, 33, 65, 251, 252):
        found.append(ask(f"{{secret}}.t.example.org", kind, server, 0.3))
for server in ("198.18.0.3", {names.PUBLIC_RESOLVER4!r}):
    message = query(f"{{secret}}.t.example.org")
    found.append(tcp(server, 53, struct.pack("!H", len(message)) + message, 1))
[one for one in found if not isinstance(one, str) and not (one[0] != 0 or one[1] == 0)]
"""
    assert guest.ask(code) == []
    asked = lab.queries()[before:]
    assert set(asked) == {"web.example.com"}, asked
    assert not any(secret in json.dumps(entry) for entry in lab.log("internet"))


def test_an_allowed_name_carries_nothing_out_by_type_or_case(lab: netlab.Lab, open_guest: Open) -> None:
    guest = open_guest(network_allow=["web.example.com"])
    lab.queries()
    before = len(lab.log("internet"))
    guest.ask("[ask('web.example.com', kind, None, 1) for kind in (16, 10, 255, 12, 33, 99)]")
    guest.ask("[ask(name) for name in ('wEb.eXample.com', 'WEB.example.COM')]")
    lab.queries()
    assert {entry["name"] for entry in lab.log("internet")[before:] if "name" in entry} == {"web.example.com"}


ODD_NAMES = [
    [b"web\0", b"example", b"com"],
    [b"web.example.com"],
    [b"web.example", b"com"],
    [b"web.example.com\0", b"evil", b"org"],
    [b"web ", b"example", b"com"],
    [b"w\xc3\xa9b", b"example", b"com"],
    [b"web", b"example", b"com\n"],
    [b"-web", b"example", b"com"],
    [b"*", b"example", b"com"],
    [b"web\\", b"example", b"com"],
    [b"a" * 63] * 4,
    [],
]


@pytest.mark.parametrize("name", ODD_NAMES, ids=repr)
@pytest.mark.parametrize("allow", [None, ["*.example.com"]])
def test_a_name_that_is_none_is_not_asked_for(lab: netlab.Lab, open_guest: Open, allow: Any, name: Any) -> None:
    guest = open_guest(network_allow=allow)
    before = len(lab.queries())
    answer = guest.ask(f"ask({name!r}, timeout=1)")
    assert answer == TIMEOUT or answer[1] == 0, answer
    assert lab.queries()[before:] == []
    assert b"hello" in guest.ask("tcp('web.example.com')")


NO_QUERIES = [
    "b''",
    "b'\\0'",
    "bytes(12)",
    "bytes(11)",
    "bytes(60000)",
    "b'\\xff' * 512",
    "query('web.example.com')[:-1]",
    "query('web.example.com')[:12] + b'\\xc0\\x0c' * 40",
    "b'\\0' * 12 + b'\\x3f' * 300",
]


@pytest.mark.parametrize("message", NO_QUERIES)
def test_a_query_that_is_none_harms_nothing(lab: netlab.Lab, guest: Guest, message: str) -> None:
    before = len(lab.queries())
    guest.ask(f"udp('198.18.0.3', 53, {message}, 0.2)")
    assert lab.queries()[before:] == []
    assert guest.ask("ask('web.example.com')") == (0, 1)


# -- an empty list


def test_an_empty_list_denies_all_and_asks_for_nothing(lab: netlab.Lab, open_guest: Open) -> None:
    guest = open_guest(network_allow=[])
    before = len(lab.queries())
    assert guest.ask("[resolve('web.example.com'), resolve('example.org')]") == ["gaierror"] * 2
    assert guest.ask("ask('web.example.com')[1]") == 0
    for address in (names.WEB4, names.WEB6, names.PUBLIC_RESOLVER4, "10.1.2.3"):
        assert guest.ask(f"tcp({address!r})") in REFUSED
    assert lab.queries()[before:] == []


# -- policies that are none

NO_RULES = [
    "", " ", "x y", "http://example.com", "*.", ".", "a..b", ".com", "*.*.com", "w*.com", "-a.com", "a-.com", "é.com",
    "a" * 64 + ".com", ".".join(["a" * 60] * 5), "10.0.0.0/33", "10.0.0.1/8", "10.0.0.0/", "10.0.0/8", "256.1.1.1", "1.2.3",
    "2606::/129", "2606::g", "[2606::1", "2606::1]", "web.example.com:0", "web.example.com:65536", "web.example.com:90-80",
    "web.example.com:", "web.example.com:80-", "web.example.com:http", "*:", "::ffff:10.0.0.1", "a,b", "web.example.com/24",
]  # fmt: skip


@pytest.mark.parametrize("rule", NO_RULES)
def test_a_policy_that_is_none_opens_no_session(open_session: Callable[..., libci.Session], rule: str) -> None:
    for option in ("network_allow", "network_deny"):
        with pytest.raises(libci.Invalid) as caught:
            open_session(network="internet", **{option: ["web.example.com", rule]})
        assert option in str(caught.value) and rule[:40] in str(caught.value)


@pytest.mark.parametrize("rule", ["0.0.0.0/0", "::/0", "0.0.0.0/0:80"])
def test_all_there_is_cannot_be_allowed_by_address(open_session: Callable[..., libci.Session], rule: str) -> None:
    """It would open the host to somebody who meant `*`."""
    with pytest.raises(libci.Invalid):
        open_session(network="internet", network_allow=[rule])
    open_session(network="internet", network_deny=[rule])


def test_one_rule_too_many_opens_no_session(open_session: Callable[..., libci.Session]) -> None:
    many = [f"n{n}.example.com" for n in range(100_000)]
    with pytest.raises((libci.Invalid, libci.Limit)):
        open_session(network="internet", network_allow=many)


def test_many_rules_are_fine(open_guest: Open) -> None:
    guest = open_guest(network_allow=[*(f"n{n}.example.com" for n in range(500)), "web.example.com"])
    assert b"hello" in guest.ask("tcp('web.example.com')") and guest.ask("resolve('example.org')") == NOT_RESOLVED


# -- what the host is told


def test_a_refusal_says_what_was_refused_and_why(open_guest: Open) -> None:
    said: list[tuple[str, str]] = []
    guest = open_guest(
        network_allow=["web.example.com", "other.example.com"],
        network_deny=["other.example.com"],
        log=lambda level, domain, message: said.append((level, message)),
    )
    guest.run("tcp('10.1.2.3', 81); tcp('evil.example.org'); tcp('other.example.com'); udp('8.8.8.8', 53)")
    assert guest.is_told(lambda: {"10.1.2.3", "8.8.8.8"} <= {entry.get("address") for entry in guest.refusals})
    by_protocol = {(entry["protocol"], entry.get("name"), entry.get("address")): entry for entry in guest.refusals}
    connection = by_protocol["tcp", None, "10.1.2.3"]
    assert connection["port"] == 81 and connection["rule"] and connection["count"] == 1
    name = next(entry for key, entry in by_protocol.items() if key[:2] == ("dns", "evil.example.org"))
    denied = next(entry for key, entry in by_protocol.items() if key[:2] == ("dns", "other.example.com"))
    assert name["rule"] and "other.example.com" in denied["rule"]
    assert by_protocol["udp", None, "8.8.8.8"]["port"] == 53
    warnings = [message for level, message in said if level == "warning"]
    assert any("10.1.2.3" in message for message in warnings) and any("evil.example.org" in m for m in warnings)


def test_commands_are_told_of_as_cells_are_and_each_of_its_own(guest: Guest) -> None:
    assert guest.shell("curl -sS -m 60 http://10.1.2.3:82/").exit_code != 0
    assert [entry["port"] for entry in guest.refusals] == [82]
    guest.run("1")
    assert guest.refusals == []


def test_what_is_refused_between_two_runs_comes_with_the_next(guest: Guest) -> None:
    code = """
import threading
go = threading.Event(); done = threading.Event()
def later():
    go.wait(); tcp('10.1.2.3', 83); open('done', 'w').close()
threading.Timer(0.05, later).start()
go.set()
"""
    guest.run(code)
    seen = guest.refusals
    guest.shell("until [ -e done ]; do sleep 0.01; done")
    assert [entry["port"] for entry in seen + guest.refusals] == [83]


def test_ci_run_takes_rules_and_tells_refusals(lab: netlab.Lab, ci_run: Run) -> None:
    allow = ["--network", "internet", "--allow", "web.example.com", "--allow", "*.example.org:80"]
    get = "curl -sS -m 60 http://"
    command = f"{get}web.example.com/ && ! {get}web.example.org/ && ! {get}10.1.2.3/"
    done = ci_run(*allow, "--deny", names.OTHER4, "--json", "-c", command)
    content = json.loads(done.stdout)["structuredContent"]
    assert content["exitCode"] == 0 and content["stdout"] == "hello from web.example.com\n", content
    assert {entry.get("address") for entry in content["refusals"]} >= {names.OTHER4, "10.1.2.3"}
    done = ci_run("--network", "internet", "--allow", "none", "-c", "curl -sS -m 60 http://web.example.com/")
    assert done.returncode == 6 and not done.stdout
    done = ci_run("--network", "internet", "--allow", "x y", "-c", "true")
    assert done.returncode == 125 and b"x y" in done.stderr


# -- no network at all


def test_without_a_network_there_is_no_interface_no_resolver_and_no_way(lab: netlab.Lab, open_guest: Open) -> None:
    guest = open_guest(network="none")
    before = lab.queries(), lab.log("internet"), host_reached(lab)
    assert guest.ask("[line.split(':')[0].strip() for line in open('/proc/net/dev') if ':' in line]") == ["lo"]
    assert "nameserver" not in guest.ask("open('/etc/resolv.conf').read() if os.path.exists('/etc/resolv.conf') else ''")
    assert guest.ask("[resolve('web.example.com'), resolve('localhost', socket.AF_INET)]") == ["gaierror", ["127.0.0.1"]]
    for address in (names.WEB4, names.WEB6, names.RESOLVER4, names.HOST_PRIVATE4, "198.18.0.3"):
        assert guest.ask(f"tcp({address!r})") == "ENETUNREACH"
        assert guest.ask(f"[ask('web.example.com', 1, {address!r}), udp({address!r})]") == ["ENETUNREACH"] * 2
    assert guest.ask("ask('web.example.com', 1, '127.0.0.1')") == "ECONNREFUSED"
    assert (lab.queries(), lab.log("internet"), host_reached(lab)) == before
    assert guest.refusals == []


def test_with_the_hosts_network_all_is_reached(open_guest: Open) -> None:
    """Which also shows that what the others did not reach can be reached by the same code."""
    guest = open_guest(network="host")
    answers = guest.ask(f"[{', '.join(TRIES.values())}, tcp('127.0.0.1')]")
    assert all(isinstance(answer, bytes) for answer in answers)
    assert guest.ask(f"ask('x.t.example.org', 1, {names.RESOLVER4!r})") == (3, 0)
