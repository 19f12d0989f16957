"""Measures a session's network beside slirp4netns and pasta, and beside the floor, which is the host's own: the same client,
the same server, in the tests' lab (tests/netlab). Prints a table as measure.py does, and adds to its JSON.

slirp4netns and pasta run with the options that container engines give them. Both need /dev/net/tun: where the user may not
open it, their rows are missing.
"""

from __future__ import annotations

import argparse
import atexit
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from measure import PYTHON, Coprocess, Row, measure, report

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS.parent / "bindings/python")]

import libci  # noqa: E402
import netlab  # noqa: E402
from netlab import names  # noqa: E402

CLIENT = Path(__file__).with_name("network_client.py")
SERVER = [names.WEB4, str(names.FAST), str(names.FLOOD)]
MIBS = 256
SLIRP = "slirp4netns --configure --mtu=65520 --disable-host-loopback --enable-sandbox --enable-seccomp --enable-ipv6"
PASTA = "pasta --config-net --quiet --foreground -t none -u none -T none -U none"

#: What is measured, and how it is asked of the client.
MEASURES = [
    (f"download of {MIBS} MiB, 1 stream", f"down1 {MIBS}"),
    (f"download of {MIBS} MiB, 8 streams", f"down8 {MIBS}"),
    (f"upload of {MIBS} MiB, 1 stream", f"up1 {MIBS}"),
    (f"upload of {MIBS} MiB, 8 streams", f"up8 {MIBS}"),
    ("HTTP request on a kept connection", "kept 1000"),
    ("HTTP request, each on a new connection", "new 300"),
]


def client(*inside: str, quiet: bool = False) -> Coprocess:
    command = [*inside, PYTHON, "-B", str(CLIENT), *SERVER]
    return Coprocess(*(["sh", "-c", 'exec "$@" 2>/dev/null', "sh"] if quiet else []), *command)


def in_slirp4netns() -> Coprocess:
    """In a network namespace of its own, to which slirp4netns is attached when it is there."""
    user = [] if os.getuid() == 0 else ["--user", "--map-root-user"]
    coprocess = client("unshare", *user, "--net", "--")
    own = os.readlink("/proc/self/ns/net")
    pid = coprocess.process.pid
    while os.readlink(f"/proc/{pid}/ns/net") == own:
        os.sched_yield()
    ready, told = os.pipe()
    command = [*SLIRP.split(), f"--ready-fd={told}", str(pid), "tap0"]
    slirp = subprocess.Popen(command, pass_fds=[told], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    atexit.register(slirp.wait)
    atexit.register(slirp.terminate)
    os.close(told)
    os.read(ready, 1)
    os.close(ready)
    return coprocess


def in_pasta() -> Coprocess:
    return client(*PASTA.split(), *(["--runas", "0"] if os.getuid() == 0 else []), "--", quiet=True)


def in_session(session: libci.Session, question: str) -> list[float]:
    result = session.run_command(" ".join([PYTHON, "-B", CLIENT.name, *SERVER, question]))
    if not result.ok:
        sys.exit(f"bench: {result.stdout}{result.stderr}")
    return [float(word) for word in result.stdout.split()]


def peers() -> dict[str, Callable[[str], list[float]]]:
    found = {}
    if os.access("/dev/net/tun", os.R_OK | os.W_OK):
        found = {"slirp4netns": in_slirp4netns().ask, "pasta": in_pasta().ask}
    else:
        print("bench: /dev/net/tun cannot be opened: no slirp4netns, no pasta", file=sys.stderr)
    return {**found, "floor: the host's own network": client().ask}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    libci.use_library(str(options.build / "lib/libci.so"))
    with netlab.enter(), libci.Session(network="internet") as session:
        session.write_file(CLIENT.name, CLIENT.read_bytes())
        others = peers()
        rows = []
        for name, question in MEASURES:
            rows.append(Row(name, "libci", None, lambda question=question: in_session(session, question)))
            for peer, ask in others.items():
                wanted = 1.0 if peer == "slirp4netns" else None
                rows.append(Row("", peer, wanted, lambda ask=ask, question=question: ask(question)))
        samples = measure(rows, options.rounds)
    return report(rows, samples, options.json)


if __name__ == "__main__":
    sys.exit(main())
