"""Measures libci's workspace in a bucket beside rclone, boto3, s3cmd and curl, and beside the floor, which is a bare libcurl
loop (bench_s3_floor.c). The server is Ceph's radosgw on this machine, its store in memory (tests/s3lab). Prints a table as
measure.py does, with what a client's process used, and writes its JSON.

Each client runs as a program, from its start to its end, and stores below a prefix of its own each time.
"""

from __future__ import annotations

import argparse
import itertools
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Optional

from measure import PYTHON, Coprocess, Row, Used, measure, report

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import s3lab  # noqa: E402

FILES, FILE_BYTES = 2000, 4096
LARGE_MIB = 512
KEYS = 10_000
NOT_SLOWER_BY = 1 / 1.2  # than the floor, whose figure is divided by libci's

BOTO = (
    "import boto3, concurrent.futures as f, os, sys\n"
    "s3 = boto3.client('s3', endpoint_url=os.environ['AWS_ENDPOINT_URL_S3'])\n"
    "what, *rest = sys.argv[1:]\n"
    "if what == 'put':\n"
    "    with f.ThreadPoolExecutor(10) as pool:\n"
    "        list(pool.map(lambda n: s3.upload_file(f'{rest[0]}/{n}', 'bench', rest[1] + n), os.listdir(rest[0])))\n"
    "elif what == 'put-file':\n"
    "    s3.upload_file(rest[0], 'bench', rest[1])\n"
    "else:\n"
    "    pages = s3.get_paginator('list_objects_v2').paginate(Bucket='bench', Prefix=rest[0])\n"
    "    print(sum(page['KeyCount'] for page in pages))\n"
)


class Program:
    """A client's command, of which PREFIX is replaced by a new one each time."""

    numbers = itertools.count()

    def __init__(self, lab: Lab, *command: str, memory_mib_max: Optional[float] = None) -> None:
        self.lab = lab
        self.command = command
        self.used = Used(memory_mib_max)

    def measure(self) -> list[float]:
        prefix = f"new/{next(Program.numbers)}"
        told = self.lab.work / "time"
        command = [word.replace("PREFIX", prefix) for word in self.command]
        start = time.perf_counter()
        done = subprocess.run(["time", "-o", str(told), "-f", "%U %S %M", *command], env=self.lab.environment,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True)
        taken = (time.perf_counter() - start) * 1e6
        if done.returncode != 0:
            sys.exit(f"bench: {' '.join(command)}: {done.stdout}{done.stderr}")
        user, system, kib = told.read_text().split()
        self.used.add(float(user) + float(system), int(kib) / 1024)
        return [taken]

    def measure_large(self) -> list[float]:
        """What was stored is removed, so that the store does not fill."""
        taken = self.measure()
        self.lab.remove(f"new/{next(Program.numbers) - 1}")
        return taken


class Lab:
    def __init__(self, server: s3lab.Server, build: Path, work: Path) -> None:
        self.server = server
        self.tests = build / "tests"
        self.workspace = build / "bin/ci-workspace"
        self.work = work
        host = server.endpoint.partition("//")[2]
        keep = {k: v for k, v in os.environ.items() if not k.startswith("AWS_") and not k.lower().endswith("_proxy")}
        self.environment = {
            **keep,
            **server.environment(),
            "HOME": str(work),
            "RCLONE_CONFIG_LAB_TYPE": "s3",
            "RCLONE_CONFIG_LAB_PROVIDER": "Ceph",
            "RCLONE_CONFIG_LAB_ENDPOINT": server.endpoint,
            "RCLONE_CONFIG_LAB_ENV_AUTH": "true",
        }
        self.s3cmd = ["s3cmd", "--config=/dev/null", "--no-ssl", f"--host={host}", f"--host-bucket={host}", "--quiet"]
        self.s3cmd += [f"--access_key={server.access_key_id}", f"--secret_key={server.secret_access_key}"]
        self.curl = ["curl", "--silent", "--show-error", "--fail", "--aws-sigv4", f"aws:amz:{server.region}:s3"]
        self.curl += ["--user", f"{server.access_key_id}:{server.secret_access_key}"]
        self.curl += ["--header", "x-amz-content-sha256: UNSIGNED-PAYLOAD"]
        self.run(*self.curl, "--request", "PUT", f"{server.endpoint}/bench")
        self.small, self.large = work / "small", work / "large"
        self.small.mkdir()
        for number in range(FILES):
            (self.small / f"{number:04}").write_bytes(os.urandom(FILE_BYTES))
        with self.large.open("wb") as file:
            for _ in range(LARGE_MIB):
                file.write(os.urandom(1 << 20))
        for number in range(KEYS // FILES):
            self.run(str(self.floor), "put", str(self.small), str(FILES), f"bench/list/{number}")

    @property
    def floor(self) -> Path:
        return self.tests / "bench_s3_floor"

    def run(self, *command: str) -> None:
        subprocess.run(command, env=self.environment, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

    def remove(self, key: str) -> None:
        self.run(*self.curl, "--request", "DELETE", f"{self.server.endpoint}/bench/{key}")
        self.server.collect()

    def row(self, group: str, name: str, wanted: Optional[float], *command: str, large: bool = False,
            memory_mib_max: Optional[float] = None) -> Row:
        program = Program(self, *command, memory_mib_max=memory_mib_max)
        return Row(group, name, wanted, program.measure_large if large else program.measure, program.used)

    def coprocess(self, *command: str) -> Coprocess:
        return Coprocess("env", *(f"{k}={v}" for k, v in self.server.environment().items()), *command)

    def small_rows(self) -> list[Row]:
        small, count = str(self.small), str(FILES)
        rclone = ["rclone", "copy", small, "lab:bench/PREFIX"]
        tuned = ["--transfers=16", "--s3-no-head", "--no-check-dest"]
        ours = [str(self.tests / "bench_s3"), "put", small, count, "s3://bench/PREFIX"]
        if self.workspace.exists():
            ours = [str(self.workspace), "put", "s3://bench/PREFIX", small]
        return [
            self.row(f"store {FILES:,} files of 4 KiB", "libci", None, *ours, memory_mib_max=20),
            self.row("", "rclone copy", 2.0, *rclone),
            self.row("", f"rclone copy {' '.join(tuned)}", None, *rclone, *tuned),
            self.row("", "boto3, 10 threads", None, PYTHON, "-c", BOTO, "put", small, "PREFIX/"),
            self.row("", "s3cmd put --recursive", None, *self.s3cmd, "put", "--recursive", f"{small}/", "s3://bench/PREFIX/"),
            self.row("", "floor: bare libcurl, 8 connections", NOT_SLOWER_BY, str(self.floor), "put", small, count, "bench/PREFIX"),
        ]

    def large_rows(self) -> list[Row]:
        large = str(self.large)
        ours = [str(self.tests / "bench_s3"), "put-file", large, "s3://bench", "PREFIX"]
        if self.workspace.exists():
            ours = [str(self.workspace), "put", "s3://bench", large, "PREFIX"]
        return [
            self.row(f"store one file of {LARGE_MIB} MiB", "libci", None, *ours, large=True, memory_mib_max=40),
            self.row("", "rclone copyto", None, "rclone", "copyto", large, "lab:bench/PREFIX", large=True),
            self.row("", "boto3", None, PYTHON, "-c", BOTO, "put-file", large, "PREFIX", large=True),
            self.row("", "s3cmd put", None, *self.s3cmd, "put", large, "s3://bench/PREFIX", large=True),
            self.row("", "floor: curl -T, no hash", NOT_SLOWER_BY, *self.curl, "--upload-file", large,
                     f"{self.server.endpoint}/bench/PREFIX", large=True),
        ]

    def list_rows(self) -> list[Row]:
        ours = [str(self.tests / "bench_s3"), "list", "s3://bench/list"]
        if self.workspace.exists():
            ours = [str(self.workspace), "list", "s3://bench/list"]
        return [
            self.row(f"list {KEYS:,} keys", "libci", None, *ours),
            self.row("", "rclone lsf --recursive --fast-list", None, "rclone", "lsf", "--recursive", "--fast-list", "lab:bench/list"),
            self.row("", "boto3", None, PYTHON, "-c", BOTO, "list", "list/"),
            self.row("", "s3cmd ls --recursive", None, *self.s3cmd, "ls", "--recursive", "s3://bench/list/"),
            self.row("", "floor: bare libcurl, keys counted", NOT_SLOWER_BY, str(self.floor), "list", "bench", "list/"),
        ]

    def push_rows(self) -> list[Row]:
        """A session whose root is the folder has pushed it once before."""
        session = self.coprocess(str(self.tests / "bench_s3"), "push", str(self.small), "s3://bench/push")
        session.ask("first")
        prefix = "push/code-interpreter/"
        floor = self.coprocess(str(self.floor), "unchanged", str(self.small), str(FILES), "bench", prefix)
        return [
            Row(f"push {FILES:,} files of 4 KiB, nothing changed", "libci", None, lambda: session.ask("again")),
            Row("", "floor: SHA-256 of each, and a list", 1.0, lambda: floor.ask("again")),
        ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as work, s3lab.start("rgw", in_memory=True) as server:
        lab = Lab(server, options.build, Path(work))
        rows = lab.small_rows() + lab.large_rows() + lab.list_rows() + lab.push_rows()
        samples = measure(rows, options.rounds)
    if options.json:
        options.json.unlink(missing_ok=True)
    return report(rows, samples, options.json)


if __name__ == "__main__":
    sys.exit(main())
