"""python3 -m s3lab.programs rgw|swift PROGRAM…: starts a server once and runs test programs on it, one after the other, with
its address and keys in their environment, and nothing else there that AWS's clients read. Those that end in .py are pytest's,
of which it runs what is marked s3. Ends with 77 where the server is not installed, else with how many programs failed."""

import os
import sys
import tempfile

import s3lab
from labs import plain_environment


def environment(server: s3lab.Server, kind: str, home: str) -> dict[str, str]:
    return {
        **plain_environment(),
        **server.environment(),
        "HOME": home,
        "TMPDIR": home,
        "CI_TEST_S3": kind,
        "CI_TEST_S3_TLS": server.tls_endpoint,
        "CI_TEST_S3_CA": server.ca_file,
        "CI_TEST_S3_DOMAIN": server.domain,
        "CI_TEST_S3_ORDER": server.order,
        "CI_TEST_S3_PROCESS": str(server.processes.pid_file(server.front)),
    }


def commands(programs: list[str]) -> list[list[str]]:
    tests = [program for program in programs if program.endswith(".py")]
    pytest = [[sys.executable, "-B", "-m", "pytest", "-v", "-rs", "-p", "no:cacheprovider", *tests]] if tests else []
    return [[program] for program in programs if program not in tests] + pytest


def main() -> int:
    kind, *programs = sys.argv[1:]
    try:
        with s3lab.start(kind) as server, tempfile.TemporaryDirectory() as home:
            env = environment(server, kind, home)
            return sum(server.processes.run_reviving(server.front, command, env) != 0 for command in commands(programs))
    except s3lab.Missing as error:
        print(f"SKIPPED: {error}")
        return 77


sys.exit(main())
