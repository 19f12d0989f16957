"""python3 -m s3lab rgw|swift COMMAND…: runs a command with a server's address and keys in its environment."""

import os
import subprocess
import sys

import s3lab

if len(sys.argv) < 2 or sys.argv[1] not in ("rgw", "swift"):
    sys.exit(f"usage: {__doc__.splitlines()[0].partition(':')[0]}")
with s3lab.start(sys.argv[1]) as server:
    environment = {**os.environ, **server.environment(), "CI_S3_TLS": server.tls_endpoint, "CI_S3_CA": server.ca_file}
    status = subprocess.run(sys.argv[2:] or ["bash"], env=environment).returncode
sys.exit(status)
