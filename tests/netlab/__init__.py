"""A lab of two network namespaces: "the host", which the calling process moves into, and "the internet", which answers at
every address that there is. All traffic stays in them.

    with netlab.enter() as lab: …

As root, the process is back where it was at the end. An ordinary user makes a user namespace for it, which a process
cannot leave: it stays in the lab, without any privilege and as the user it was, until it ends. The process must have but
one thread. `python3 -m netlab COMMAND…` (in tests/) runs a command in the lab.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import ipaddress
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import files  # noqa: E402
import names  # noqa: E402

CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWNET = 0x20000, 0x10000000, 0x40000000
MS_BIND, MS_REC, MS_PRIVATE = 4096, 16384, 1 << 18
PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, PR_CAP_AMBIENT_CLEAR_ALL = 47, 2, 4
LINUX_CAPABILITY_VERSION_3 = 0x20080522
#: For the programs that set the namespaces up: CAP_DAC_OVERRIDE, CAP_NET_ADMIN and CAP_SYS_ADMIN.
SETUP_CAPABILITIES = [1, 12, 21]
TRIES_MAX = 100_000

_c = ctypes.CDLL(None, use_errno=True)


def _call(name: str, *arguments: object) -> None:
    if getattr(_c, name)(*arguments) < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def _set_capabilities(mask: int) -> None:
    header = (ctypes.c_uint32 * 2)(LINUX_CAPABILITY_VERSION_3, 0)
    low, high = mask & 0xFFFFFFFF, mask >> 32
    _call("capset", header, (ctypes.c_uint32 * 6)(low, low, low, high, high, high))


def _own_user_namespace() -> None:
    """In which the user is who it was, with the privileges that the set-up needs, for the programs that it starts, too."""
    uid, gid = os.getuid(), os.getgid()
    _call("unshare", CLONE_NEWUSER)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
    Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")
    _set_capabilities(sum(1 << capability for capability in SETUP_CAPABILITIES))
    for capability in SETUP_CAPABILITIES:
        _call("prctl", PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0)


def _drop_privileges() -> None:
    _call("prctl", PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    _set_capabilities(0)


def _ip(text: str, *, family: str = "-4", pid: int | None = None) -> None:
    inside = [] if pid is None else ["nsenter", f"--net=/proc/{pid}/ns/net", "--"]
    subprocess.run([*inside, "ip", family, "-batch", "-"], input=text, text=True, check=True)


HOST_SIDE = f"""
    link set lo up
    link set {names.HOST_INTERFACE} addrgenmode none
    link set {names.HOST_INTERFACE} up
    addr add {names.HOST4}/24 dev {names.HOST_INTERFACE}
    addr add {names.HOST_PRIVATE4}/32 dev lo
    addr add {names.HOST_LINK4}/32 dev lo
    route add default via {names.GATEWAY4} dev {names.HOST_INTERFACE} src {names.HOST4}
    route add unreachable {names.UNREACHABLE4}
"""
HOST_SIDE6 = f"""
    addr add {names.HOST6}/128 dev {names.HOST_INTERFACE} nodad
    addr add {names.HOST_PRIVATE6}/128 dev lo nodad
    addr add {names.HOST_LINK6}/64 dev {names.HOST_INTERFACE} nodad
    route add default via {names.GATEWAY6} dev {names.HOST_INTERFACE} src {names.HOST6}
"""
#: Every address is its own, but those of the host: a table of their ways comes before that of local addresses.
INTERNET_SIDE = f"""
    link set lo up
    link set uplink addrgenmode none
    link set uplink up
    route add {names.HOST4} dev uplink table 50
    route add local default dev lo table local
    route add blackhole {names.DROPS4} table local
    rule add pref 10 to {names.HOST4} lookup 50
    rule add pref 100 lookup local
    rule del pref 0
"""
INTERNET_SIDE6 = f"""
    addr add {names.GATEWAY6}/64 dev uplink nodad
    route add {names.HOST6} dev uplink table 50
    route add fe80::/64 dev uplink table 50
    route add local default dev lo table local
    rule add pref 10 to {names.HOST6} lookup 50
    rule add pref 11 to {names.HOST_LINK6} lookup 50
    rule add pref 100 lookup local
    rule del pref 0
"""
#: Servers have no privileges.
LOW_PORTS = "echo 0 >/proc/sys/net/ipv4/ip_unprivileged_port_start; exec "


class Side:
    """The servers of one side. They end when this process does."""

    def __init__(self, name: str, folder: Path, *, own_network: bool) -> None:
        command = f'{LOW_PORTS} /usr/bin/python3 -B "$@"'
        inside = ["unshare", "--net", "--"] if own_network else []
        arguments = [str(HERE / "services.py"), name, str(folder)]
        self.process = subprocess.Popen(
            [*inside, "sh", "-c", command, "sh", *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.expect("here")

    def expect(self, word: str) -> None:
        assert self.process.stdout
        line = self.process.stdout.readline()
        if line != word + "\n":
            raise RuntimeError(f"a server of the lab ended before it was {word}: {line!r}")

    def start(self) -> None:
        assert self.process.stdin
        print(file=self.process.stdin, flush=True)
        self.expect("ready")

    def end(self) -> None:
        assert self.process.stdin and self.process.stdout
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


class Administrator:
    """A shell on the host's side that keeps the privileges of the set-up."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(["sh"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(self, command: str) -> None:
        assert self.process.stdin and self.process.stdout
        print(f"({command}) </dev/null >&2; echo $?", file=self.process.stdin, flush=True)
        if self.process.stdout.readline() != "0\n":
            raise RuntimeError(f"on the lab's host: {command} failed")

    def end(self) -> None:
        self.process.communicate()


class Lab:
    """What tests ask of it. `ca` is the certificate of the lab's authority."""

    def __init__(self, folder: Path, administrator: Administrator) -> None:
        self.folder = folder
        self.ca = folder / "ca.pem"
        self._administrator = administrator
        self._hosts = set(names.HOST_ADDRESSES)
        self._logged: dict[str, list[dict]] = {"host": [], "internet": []}

    @contextlib.contextmanager
    def changed(self, command: str, back: str, *hosts: str) -> Iterator[None]:
        """Meanwhile the host's network is as a command has made it and another undoes; `hosts` then answer there."""
        self._administrator.run(command)
        self._hosts.update(hosts)
        try:
            yield
        finally:
            self._hosts.difference_update(hosts)
            self._administrator.run(back)

    def log(self, side: str) -> list[dict]:
        """All that came to the servers of "host" or "internet", but for this object's own calls."""
        return [entry for entry in self._everything(side) if "own" not in entry]

    def has_open(self, port: int, count: int) -> bool:
        """Whether a server of the internet comes to have so many connections."""
        return self._control("internet", f"open {port} {count}")

    def go(self) -> None:
        """Servers that wait for it go on."""
        self._control("internet", "go")

    def _control(self, side: str, question: str) -> Any:
        address = "127.0.0.1" if side == "host" else names.WEB4
        with socket.create_connection((address, names.CONTROL), 200) as s:
            s.sendall(question.encode() + b"\n")
            return json.loads(s.makefile("rb").read())

    def _everything(self, side: str) -> list[dict]:
        logged = self._logged[side]
        logged += self._control(side, f"log {len(logged)}")
        return logged

    def _knock(self, address: str, port: int, protocol: str) -> None:
        """Calls a server and waits until that stands in its log: what came before does, too."""
        side = "host" if address in self._hosts else "internet"
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        scope = "%" + names.HOST_INTERFACE if address.startswith("fe80") else ""
        known = len(self._everything(side))
        with socket.socket(family, socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM) as s:
            s.settimeout(60)
            s.connect(socket.getaddrinfo(address + scope, port, family)[0][4])
            if protocol == "udp":
                s.send(b"")
            mine = [s.getsockname()[0].split("%")[0], s.getsockname()[1]], port
            for _ in range(TRIES_MAX):
                for entry in self._everything(side)[known:]:
                    if (entry["peer"], entry["port"]) == mine:
                        entry["own"] = True
                        return
        raise RuntimeError(f"{address}, {protocol} port {port}, was called, and nothing stands in its log")

    def visitors(self, address: str, port: int = names.HTTP, protocol: str = "tcp") -> list[dict]:
        """Who else has come to a server, which can be reached: it has just been."""
        self._knock(address, port, protocol)
        side = "host" if address in self._hosts else "internet"
        wanted = ipaddress.ip_address(address)
        return [
            entry
            for entry in self.log(side)
            if (ipaddress.ip_address(entry["address"]), entry["port"], entry["protocol"]) == (wanted, port, protocol)
        ]

    def queries(self) -> list[str]:
        """The names that the lab's name servers were asked for, in order, in lower case."""
        self._knock(names.RESOLVER4, names.DNS, "udp")
        return [entry["name"].lower() for entry in self.log("internet") if "name" in entry]


def _enter(stack: contextlib.ExitStack) -> Lab:
    folder = Path(tempfile.mkdtemp(prefix="ci-netlab-"))
    stack.callback(shutil.rmtree, folder, ignore_errors=True)
    files.make(folder)
    (folder / "resolv.conf").write_text(f"nameserver {names.RESOLVER4}\noptions timeout:1 attempts:2\n")
    if os.getuid() == 0:
        for kind, flag in (("net", CLONE_NEWNET), ("mnt", CLONE_NEWNS)):
            fd = os.open(f"/proc/self/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC)
            stack.callback(os.close, fd)
            stack.callback(_call, "setns", fd, flag)
    else:
        _own_user_namespace()
    internet = Side("internet", folder, own_network=True)
    stack.callback(internet.end)
    _call("unshare", CLONE_NEWNET | CLONE_NEWNS)
    _call("mount", b"none", b"/", None, MS_REC | MS_PRIVATE, None)
    _call("mount", os.fsencode(folder / "resolv.conf"), b"/etc/resolv.conf", None, MS_BIND, None)
    pid = internet.process.pid
    _ip(f"link add {names.HOST_INTERFACE} type veth peer name uplink netns {pid}\n" + HOST_SIDE)
    _ip(HOST_SIDE6, family="-6")
    _ip(INTERNET_SIDE, pid=pid)
    _ip(INTERNET_SIDE6, family="-6", pid=pid)
    host = Side("host", folder, own_network=False)
    stack.callback(host.end)
    administrator = Administrator()
    stack.callback(administrator.end)
    if os.getuid() != 0:
        _drop_privileges()
    internet.start()
    host.start()
    return Lab(folder, administrator)


_stays = contextlib.ExitStack()
_lab: list[Lab] = []  # that an ordinary user's process is in for good


@contextlib.contextmanager
def enter() -> Iterator[Lab]:
    if os.getuid() == 0:
        with contextlib.ExitStack() as stack:
            yield _enter(stack)
    else:
        if not _lab:
            atexit.register(_stays.close)
            _lab.append(_enter(_stays))
        yield _lab[0]
