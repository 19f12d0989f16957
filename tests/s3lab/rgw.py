"""Ceph: one monitor, one object store in a file, and radosgw, twice: with and without TLS."""

from __future__ import annotations

import contextlib
import time
import uuid
from pathlib import Path

from labs import Processes, answers, free_ports, make_certificate, need
from s3lab import Server

DOMAIN = "s3.localhost"  # to OpenSSL "*.localhost" is no name of a certificate. Other names than this are buckets to radosgw
STORE_BYTES = 6 << 30  # of a file that has only what is written; a full store hangs instead of failing

CONFIG = """\
[global]
fsid = {fsid}
mon host = [v1:127.0.0.1:{mon}]
ms bind ipv4 = true
public addr = 127.0.0.1
cluster addr = 127.0.0.1
auth cluster required = none
auth service required = none
auth client required = none
run dir = {folder}
admin socket = {folder}/$name.asok
log file = {folder}/$name.ceph-log
pid file = {folder}/$name.pid
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 1
osd pool default pgp num = 1
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
osd crush update on start = false
osd class update on start = false
mon allow pool size one = true
mon warn on pool no redundancy = false
mon max pg per osd = 1000
osd objectstore = {kind}
bluestore block size = {store}
bluestore block create = true
memstore device bytes = {store}
osd memory target = 939524096
osd data = {folder}/osd
mon data = {folder}/mon
keyring = {folder}/keyring
rgw data = {folder}/rgw
rgw dns name = {domain}
rgw gc obj min wait = 1
rgw gc processor period = 2
rgw gc processor max time = 2
rgw enable usage log = false
rgw enable ops log = false
debug rgw = 0/0
debug ms = 0
[mon.a]
host = localhost
mon addr = v1:127.0.0.1:{mon}
"""


def ask(p: Processes, conf: Path, *command: str) -> str:
    """The monitor; on a busy machine it refuses, now and then, to say which commands it has."""
    for _ in range(20):
        with contextlib.suppress(RuntimeError):
            return p.run("ask", "ceph", "-c", str(conf), "--connect-timeout", "60", *command)
        time.sleep(0.2)
    return p.run("ask", "ceph", "-c", str(conf), *command)


def start(p: Processes, in_memory: bool = False) -> Server:
    need("s3", "ceph", "ceph-mon", "ceph-osd", "monmaptool", "openssl", "radosgw", "radosgw-admin")
    mon, http, https = free_ports(3)
    fsid, osd = str(uuid.uuid4()), str(uuid.uuid4())
    for name in ("mon", "osd", "rgw"):
        (p.folder / name).mkdir()
    (p.folder / "keyring").touch()
    conf = p.folder / "ceph.conf"
    kind = "memstore" if in_memory else "bluestore"
    conf.write_text(CONFIG.format(fsid=fsid, mon=mon, folder=p.folder, store=STORE_BYTES, domain=DOMAIN, kind=kind))
    options = ["-c", str(conf)]
    make_certificate(p, DOMAIN, f"*.{DOMAIN}")

    p.run("monmap", "monmaptool", "--create", "--clobber", "--fsid", fsid, "--addv", "a", f"[v1:127.0.0.1:{mon}]", "monmap")
    p.run("mon", "ceph-mon", *options, "-i", "a", "--mkfs", "--monmap", "monmap")
    p.start("ceph-mon", "ceph-mon", *options, "-i", "a", "-f")
    ask(p, conf, "osd", "new", osd)
    # Its place in the map is given to it: asking for one as it starts is a race that it can lose.
    ask(p, conf, "osd", "crush", "add", "osd.0", "1.0", "root=default", "host=localhost")
    p.run("osd", "ceph-osd", *options, "-i", "0", "--mkfs", "--osd-uuid", osd)
    p.start("ceph-osd", "ceph-osd", *options, "-i", "0", "-f")
    p.wait("ceph-osd", lambda: "1 up" in ask(p, conf, "osd", "stat"))
    p.start("rgw", "radosgw", *options, "-n", "client.rgw.a", "-f", "--rgw-frontends", f"beast endpoint=127.0.0.1:{http}")
    p.wait("radosgw", lambda: answers(http))
    p.start("rgw-tls", "radosgw", *options, "-n", "client.rgw.tls", "-f", "--rgw-frontends",
            f"beast ssl_endpoint=127.0.0.1:{https} ssl_certificate={p.folder}/tls.pem ssl_private_key={p.folder}/tls.key")
    server = Server(
        "radosgw",
        f"http://127.0.0.1:{http}",
        "CIACCESSKEY0000001",
        "s3cisecret/with+chars",
        tls_endpoint=f"https://127.0.0.1:{https}",
        ca_file=str(p.folder / "ca.pem"),
        domain=DOMAIN,
        front="rgw",
        collect=lambda: p.run("gc", "radosgw-admin", *options, "gc", "process", "--include-all"),
    )
    p.run("user", "radosgw-admin", *options, "user", "create", "--uid=ci", "--display-name=ci",
          f"--access-key={server.access_key_id}", f"--secret-key={server.secret_access_key}")
    return server
