"""Measures libci beside plain Python, bubblewrap and ipykernel, and beside the floor; prints a table, on request JSON.

All take turns in several rounds of one run, so that a busy moment of the machine hits everybody. Medians are compared.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

IMPORTS = "import numpy, pandas, matplotlib.pyplot; print(1)"
PYTHON = "/usr/bin/python3"
BWRAP = (
    "bwrap --unshare-all --die-with-parent --ro-bind /usr /usr --symlink usr/bin /bin --symlink usr/lib /lib "
    "--symlink usr/lib64 /lib64 --ro-bind /etc /etc --proc /proc --dev /dev --tmpfs /tmp --bind {fonts} {fonts} --"
)

#: Forks an interpreter that has imported the modules; the child prints. What no opening can be faster than.
FORK = (
    "import os, sys, time; import numpy, pandas, matplotlib.pyplot\n"
    "for line in sys.stdin:\n"
    "    taken = []\n"
    "    for _ in range(int(line)):\n"
    "        r, w = os.pipe(); start = time.perf_counter(); pid = os.fork()\n"
    "        if not pid: os.write(w, b'1'); os._exit(0)\n"
    "        os.read(r, 1); taken.append((time.perf_counter() - start) * 1e6)\n"
    "        os.waitpid(pid, 0); os.close(r); os.close(w)\n"
    "    print(*taken, flush=True)\n"
)


class Coprocess:
    """A program that is asked for so many measurements by a line and answers with a line of microseconds."""

    def __init__(self, *command: str) -> None:
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, question: str) -> list[float]:
        assert self.process.stdin and self.process.stdout
        print(question, file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline()
        if not answer.strip():
            sys.exit(f"bench: no answer to {question!r}")
        return [float(word) for word in answer.split()]

    def end(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait()


def command_us(command: list[str], count: int) -> list[float]:
    taken = []
    for _ in range(count):
        start = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
        taken.append((time.perf_counter() - start) * 1e6)
    return taken


class Kernel:
    """ipykernel, as a host drives it: by jupyter_client's blocking client."""

    def __init__(self) -> None:
        from jupyter_client.manager import start_new_kernel

        start = time.perf_counter()
        self.manager, self.client = start_new_kernel(kernel_name="python3")
        self.execute(IMPORTS)
        self.start_us = (time.perf_counter() - start) * 1e6

    def execute(self, code: str) -> float:
        """Runs code until its output, its reply and the kernel's idle message have come."""
        start = time.perf_counter()
        printed = []
        reply = self.client.execute_interactive(
            code, store_history=False, output_hook=lambda m: printed.append(m["content"].get("text", "")), timeout=60
        )
        taken = (time.perf_counter() - start) * 1e6
        if reply["content"]["status"] != "ok" or "".join(printed) != "1\n":
            sys.exit(f"bench: ipykernel: {reply['content']} {printed}")
        return taken

    def end(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


def machine() -> dict[str, object]:
    model = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "")
    memory = next(int(line.split()[1]) for line in open("/proc/meminfo") if line.startswith("MemTotal"))
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "memoryGiB": round(memory / (1 << 20), 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "user": "root" if os.getuid() == 0 else "ordinary",
    }


#: Group, row, of which row 0 is libci's; the factor that is wanted of a row against libci's.
ROWS = [
    ("open a session and print, numpy, pandas and matplotlib imported", "libci", None),
    ("", "ipykernel: start, import, print", 50.0),
    ("", "python3 -c: import, print", None),
    ("", "bwrap … python3 -c: import, print", None),
    ("", "floor: fork of an interpreter that has them", None),
    ("execute_code round trip", "libci", None),
    ("", "ipykernel", 10.0),
    ("", "floor: a byte over a socket and back", None),
    ('execute_command("true")', "libci", None),
    ("", "bwrap … true", 1.0),
    ("", "floor: sh -c true", None),
]


def measure(build: Path, rounds: int, fonts: str) -> list[list[float]]:
    os.environ.update(MPLCONFIGDIR=fonts, PYDEVD_DISABLE_FILE_VALIDATION="1")  # a font cache for all, found ready
    bwrap = BWRAP.format(fonts=fonts).split()
    command_us([PYTHON, "-c", IMPORTS], 1)
    libci = Coprocess(str(build / "tests/bench_libci"))
    fork = Coprocess(PYTHON, "-c", FORK)
    kernels: list[Kernel] = []

    def kernel_start() -> list[float]:
        if kernels:
            kernels.pop().end()
        kernels.append(Kernel())
        return [kernels[0].start_us]

    turns: list[Callable[[], list[float]]] = [
        lambda: libci.ask("open 20"),
        kernel_start,
        lambda: command_us([PYTHON, "-c", IMPORTS], 2),
        lambda: command_us([*bwrap, PYTHON, "-c", IMPORTS], 2),
        lambda: fork.ask("20"),
        lambda: libci.ask("code 500"),
        lambda: [kernels[0].execute("print(1)") for _ in range(100)],
        lambda: libci.ask("socket 500"),
        lambda: libci.ask("command 100"),
        lambda: command_us([*bwrap, "true"], 50),
        lambda: command_us(["sh", "-c", "true"], 50),
    ]
    samples: list[list[float]] = [[] for _ in turns]
    for turn in turns:  # once for nothing: caches are filled
        turn()
    for number in range(rounds):
        print(f"\rround {number + 1} of {rounds}", end="", file=sys.stderr, flush=True)
        for taken, turn in zip(samples, turns):
            taken += turn()
    print("\r" + " " * 20 + "\r", end="", file=sys.stderr)
    kernels.pop().end()
    fork.end()
    libci.end()
    return samples


def readable(us: float) -> str:
    return f"{us:.0f} µs" if us < 1000 else f"{us / 1000:.1f} ms" if us < 1e6 else f"{us / 1e6:.2f} s"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as fonts:
        samples = measure(options.build, options.rounds, fonts)
    about = machine()
    report = []
    print("| what | | median | against libci | wanted |\n|---|---|---:|---:|---|")
    missed = False
    base = 1.0
    for (group, name, wanted), taken in zip(ROWS, samples):
        median = statistics.median(taken)
        base = median if name == "libci" else base
        ratio = median / base
        met = wanted is None or ratio >= wanted
        missed = missed or not met
        says = "" if wanted is None else f"{wanted:g}× or more{'' if met else ': MISSED'}"
        print(f"| {group} | {name} | {readable(median)} | {'' if name == 'libci' else f'{ratio:.3g}×'} | {says} |")
        what = group or report[-1]["what"]
        report.append(
            {
                "what": what,
                "name": name,
                "medianUs": median,
                "ratio": ratio,
                "wanted": wanted,
                "met": met,
                "samples": len(taken),
            }
        )
    print("\n" + ", ".join(f"{name} {value}" for name, value in about.items()))
    if options.json:
        options.json.write_text(json.dumps({"machine": about, "rows": report}, indent=1) + "\n")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
