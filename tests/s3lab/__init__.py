"""Real S3 servers on loopback, which check signatures: Ceph's radosgw and OpenStack Swift, from the distribution's packages
(.ci/deps.sh s3).

    with s3lab.start("rgw") as server: …

A server is ready when it is handed out, with an empty store that goes with it. Nothing needs a privilege. Its processes end
with the block, or with this process however that ends. `python3 -m s3lab rgw COMMAND…` (in tests/) runs a command with a
server's address and keys in its environment.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from labs import Missing, Processes

__all__ = ["Missing", "Server", "start"]


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
