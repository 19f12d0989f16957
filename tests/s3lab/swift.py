"""OpenStack Swift with its S3 interface: other code than Ceph's, strict where that is lax."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from labs import Processes, answers, free_ports, need
from s3lab import Server

NAME = "s3lab"  # of whoever runs it; nameless.py knows it

RING = """\
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
workers = 1
user = {user}
swift_dir = {folder}
devices = {folder}/srv
mount_check = false
disable_fallocate = true
log_level = WARNING
[pipeline:main]
pipeline = {name}-server
[app:{name}-server]
use = egg:swift#{name}
"""

PROXY = """\
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
workers = 2
user = {user}
swift_dir = {folder}
[pipeline:main]
pipeline = {pipeline} proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
allow_account_management = true
[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:{memcached}
[filter:s3api]
use = egg:swift#s3api
location = us-east-1
allow_multipart_uploads = true
allow_no_owner = true
[filter:tempauth]
use = egg:swift#tempauth
user_ci_tester = s3cisecret .admin
"""

PIPELINE = (
    "catch_errors gatekeeper healthcheck cache listing_formats bulk tempurl s3api tempauth copy slo dlo versioned_writes"
)
CONFIGURED = ("cache", "s3api", "tempauth")

COMMON = """\
[swift-hash]
swift_hash_path_suffix = ci
swift_hash_path_prefix = ci
[storage-policy:0]
name = gold
default = yes
"""


def serve(p: Processes, name: str, config: Path) -> None:
    p.start(name, sys.executable, "-B", str(Path(__file__).with_name("nameless.py")), f"swift-{name}-server", str(config))


def make_ring(p: Processes, name: str, port: int) -> Path:
    config = p.folder / f"{name}-server.conf"
    config.write_text(RING.format(name=name, port=port, folder=p.folder, user=NAME))
    builder = f"{name}.builder"
    p.run(name, "swift-ring-builder", builder, "create", "6", "1", "0")
    p.run(name, "swift-ring-builder", builder, "add", "--region", "1", "--zone", "1", "--ip", "127.0.0.1", "--port",
          str(port), "--device", "d1", "--weight", "1")
    p.run(name, "swift-ring-builder", builder, "rebalance")
    return config


def start(p: Processes) -> Server:
    servers = (f"swift-{name}-server" for name in ("account", "container", "object", "proxy"))
    need("s3", "memcached", "swift-ring-builder", *servers)
    proxy, memcached, *ports = free_ports(5)
    (p.folder / "srv/d1").mkdir(parents=True)
    (p.folder / "swift.conf").write_text(COMMON)
    as_self = ["-u", "root"] if os.getuid() == 0 else []
    p.start("memcached", "memcached", *as_self, "-l", "127.0.0.1", "-p", str(memcached), "-m", "64")
    for name, port in zip(("object", "container", "account"), ports):
        serve(p, name, make_ring(p, name, port))
    filters = "".join(f"[filter:{name}]\nuse = egg:swift#{name}\n" for name in PIPELINE.split() if name not in CONFIGURED)
    config = p.folder / "proxy-server.conf"
    config.write_text(
        PROXY.format(port=proxy, user=NAME, folder=p.folder, pipeline=PIPELINE, memcached=memcached) + filters
    )
    serve(p, "proxy", config)
    p.wait("swift", lambda: answers(proxy, "/healthcheck"))
    return Server("swift", f"http://127.0.0.1:{proxy}", "ci:tester", "s3cisecret", order="start", front="proxy")
