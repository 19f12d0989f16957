"""Measures libci beside plain Python, bubblewrap, ipykernel, Node, tsc and deno, and beside the floor; prints a table, on
request JSON.

All take turns in several rounds of one run, so that a busy moment of the machine hits everybody. Medians are compared.
"""

from __future__ import annotations

import argparse
import atexit
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Optional

IMPORTS = "import numpy, pandas, matplotlib.pyplot; print(1)"
PYTHON = "/usr/bin/python3"
SOURCE = Path(__file__).resolve().parents[2]
BWRAP = (
    "bwrap --unshare-all --die-with-parent --ro-bind /usr /usr --symlink usr/bin /bin --symlink usr/lib /lib "
    "--symlink usr/lib64 /lib64 --ro-bind /etc /etc --proc /proc --dev /dev --tmpfs /tmp --bind {fonts} {fonts} --"
)

SCRIPT = "console.log(6 * 7)"
TYPED = "const n: number = 6 * 7; console.log(n)"

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


class Used:
    """What a program used each time, and how much memory it may."""

    def __init__(self, memory_mib_max: Optional[float] = None) -> None:
        self.memory_mib_max = memory_mib_max
        self.processor_s: list[float] = []
        self.memory_mib: list[float] = []

    def add(self, processor_s: float, memory_mib: float) -> None:
        self.processor_s.append(processor_s)
        self.memory_mib.append(memory_mib)

    @property
    def met(self) -> bool:
        return self.memory_mib_max is None or max(self.memory_mib) < self.memory_mib_max

    def columns(self) -> str:
        limit = "" if self.memory_mib_max is None else f", below {self.memory_mib_max:.0f}{'' if self.met else ': MISSED'}"
        return f" {statistics.median(self.processor_s):.2f} s | {max(self.memory_mib):.1f} MiB{limit} |"


class Row(NamedTuple):
    """What is measured. The first row of a group is libci's; `wanted` is a row's factor against it, `us_max` a time."""

    group: str
    name: str
    wanted: Optional[float]
    measure: Callable[[], list[float]]
    used: Optional[Used] = None
    us_max: Optional[float] = None


def node_rows(libci: Coprocess, guest: Path, deno: Optional[Path], work: Path) -> list[Row]:
    """tsc knows Node's types, as our cells do. Deno checks only what is new to it, so that it gets a text of its own each
    time."""
    (work / "cell.ts").write_text(TYPED + "\n")
    (work / "cell.js").write_text(TYPED.replace(": number", "") + "\n")
    modules = guest / "node_modules"
    node, script = ["node"], str(work / "cell.ts")
    tsc = ["node", str(modules / "typescript/lib/tsc.js"), "--noEmit", "--strict", "--types", "node"]
    tsc += ["--typeRoots", str(modules / "@types"), script]

    def tsc_and_node() -> list[float]:
        return [sum(command_us(command, 1)[0] for command in (tsc, [*node, str(work / "cell.js")]))]

    def deno_checked() -> list[float]:
        (work / "deno.ts").write_text(f"{TYPED} // {time.perf_counter_ns()}\n")
        return command_us([str(deno), "run", "--check", "--quiet", str(work / "deno.ts")], 1)

    eval_row = Row("", "deno eval", None, lambda: command_us([str(deno), "eval", SCRIPT], 5))
    check_row = Row("", "deno run --check", None, deno_checked)

    return [
        Row("JavaScript cell", "libci", None, lambda: libci.ask("javascript 200")),
        Row("", "node -e", 30.0, lambda: command_us([*node, "-e", SCRIPT], 5)),
        *([eval_row] if deno else []),
        Row("TypeScript cell, checked", "libci", None, lambda: libci.ask("typescript 20")),
        Row("", "tsc --noEmit, then node", 15.0, tsc_and_node),
        *([check_row] if deno else []),
        Row("first TypeScript cell of a session, checked", "libci", None, lambda: libci.ask("typescript-first 1")),
        Row("", "tsc --noEmit, then node", 1.0, tsc_and_node),
        Row("the same, the kernel kept ready", "libci", None, lambda: libci.ask("typescript-ready 1")),
        Row("", "tsc --noEmit, then node", 5.0, tsc_and_node),
    ]


def make_wheel(folder: Path) -> None:
    """Of pure Python, as large as usual."""
    info = "measured-1.0.dist-info"
    lines = "".join(f"def function_{i}(x):\n    return x + {i}\n" for i in range(100))
    files = {f"measured/module_{i}.py": lines for i in range(100)}
    files["measured/__init__.py"] = ""
    files[f"{info}/METADATA"] = "Metadata-Version: 2.1\nName: measured\nVersion: 1.0\n"
    files[f"{info}/WHEEL"] = "Wheel-Version: 1.0\nGenerator: bench\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    files[f"{info}/RECORD"] = "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(folder / "measured-1.0-py3-none-any.whl", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(name, text)


def pip_rows(build: Path, work: Path) -> list[Row]:
    sys.path.insert(0, str(SOURCE / "bindings/python"))
    import libci

    libci.use_library(str(build / "lib/libci.so"))
    cache, home = work / "cache", work / "home"
    (cache / "wheels").mkdir(parents=True)
    home.mkdir()
    work.chmod(0o755)
    make_wheel(cache / "wheels")
    session = libci.Session(sandbox=libci.Sandbox(package_cache=cache))
    atexit.register(session.close)
    install = "pip install --no-index --no-deps --force-reinstall measured"

    def inside() -> list[float]:
        start = time.perf_counter()
        result = session.run_command(install)
        assert result.ok, result.stderr
        return [(time.perf_counter() - start) * 1e6]

    outside = ["env", "-i", f"HOME={home}", "PATH=/usr/bin:/bin", "LANG=C.UTF-8", "PIP_BREAK_SYSTEM_PACKAGES=1"]
    outside += [f"PIP_FIND_LINKS={cache}/wheels", "PIP_USER=1", "PIP_ROOT_USER_ACTION=ignore"]
    outside += ["PIP_DISABLE_PIP_VERSION_CHECK=1", PYTHON, "-m", *install.split()]
    return [
        Row("pip install of a wheel of the cache", "libci", None, inside),
        Row("", "pip outside", 1 / 1.2, lambda: command_us(outside, 1)),
    ]


def all_rows(build: Path, deno: Optional[Path], work: Path, libci: Coprocess, fork: Coprocess) -> list[Row]:
    bwrap = BWRAP.format(fonts=work).split()
    kernels: list[Kernel] = []

    def end_kernel() -> None:
        if kernels:
            kernels.pop().end()

    def kernel_start() -> list[float]:
        end_kernel()
        kernels.append(Kernel())
        return [kernels[0].start_us]

    atexit.register(end_kernel)

    rows = [
        Row("open a session and print, numpy, pandas and matplotlib imported", "libci", None, lambda: libci.ask("open 20")),
        Row("", "ipykernel: start, import, print", 50.0, kernel_start),
        Row("", "python3 -c: import, print", None, lambda: command_us([PYTHON, "-c", IMPORTS], 2)),
        Row("", "bwrap … python3 -c: import, print", None, lambda: command_us([*bwrap, PYTHON, "-c", IMPORTS], 2)),
        Row("", "floor: fork of an interpreter that has them", None, lambda: fork.ask("20")),
        Row("execute_code round trip", "libci", None, lambda: libci.ask("code 500")),
        Row("", "ipykernel", 10.0, lambda: [kernels[0].execute("print(1)") for _ in range(100)]),
        Row("", "floor: a byte over a socket and back", None, lambda: libci.ask("socket 500")),
        Row('execute_command("true")', "libci", None, lambda: libci.ask("command 100")),
        Row("", "bwrap … true", 1.0, lambda: command_us([*bwrap, "true"], 50)),
        Row("", "floor: sh -c true", None, lambda: command_us(["sh", "-c", "true"], 50)),
    ]
    guest = build / "libexec/libci/guest/node"
    if shutil.which("node") and (guest / "typescript.stamp").exists():
        rows += node_rows(libci, guest, deno, work)
    return rows + pip_rows(build, work)


def measure(rows: list[Row], rounds: int) -> list[list[float]]:
    samples: list[list[float]] = [[] for _ in rows]
    for row in rows:  # once for nothing: caches are filled
        row.measure()
    for number in range(rounds):
        print(f"\rround {number + 1} of {rounds}", end="", file=sys.stderr, flush=True)
        for taken, row in zip(samples, rows):
            taken += row.measure()
    print("\r" + " " * 20 + "\r", end="", file=sys.stderr)
    return samples


def readable(us: float) -> str:
    return f"{us:.0f} µs" if us < 1000 else f"{us / 1000:.1f} ms" if us < 1e6 else f"{us / 1e6:.2f} s"


def report(rows: list[Row], samples: list[list[float]], json_file: Optional[Path]) -> int:
    """Prints the table, adds it to the file; 1 when a factor that is wanted was missed."""
    about = machine()
    told = []
    with_used = any(row.used for row in rows)
    print("| what | | median | against libci | wanted |" + (" processor | memory |" if with_used else ""))
    print("|---|---|---:|---:|---|" + ("---:|---:|" if with_used else ""))
    missed = False
    base = 1.0
    for (group, name, wanted, _, used, us_max), taken in zip(rows, samples):
        median = statistics.median(taken)
        base = median if name == "libci" else base
        ratio = median / base
        met = (wanted is None or ratio >= wanted) and (us_max is None or median < us_max)
        missed = missed or not met or (used is not None and not used.met)
        says = "" if wanted is None else f"{wanted:.3g}× or more"
        says += "" if us_max is None else f"below {readable(us_max)}"
        says += "" if met else ": MISSED"
        more = used.columns() if used else " | |" if with_used else ""
        print(f"| {group} | {name} | {readable(median)} | {'' if name == 'libci' else f'{ratio:.3g}×'} | {says} |{more}")
        told.append(
            {
                "what": group or told[-1]["what"],
                "name": name,
                "medianUs": median,
                "ratio": ratio,
                "wanted": wanted,
                "met": met,
                "samples": len(taken),
                **({"processorS": statistics.median(used.processor_s), "memoryMiB": max(used.memory_mib)} if used else {}),
            }
        )
    print("\n" + ", ".join(f"{name} {value}" for name, value in about.items()))
    if json_file:
        before = json.loads(json_file.read_text())["rows"] if json_file.exists() else []
        json_file.write_text(json.dumps({"machine": about, "rows": before + told}, indent=1) + "\n")
    return 1 if missed else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", type=Path, required=True)
    parser.add_argument("--deno", type=Path, help="the program, when it is to be measured too")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        os.environ.update(MPLCONFIGDIR=work, DENO_DIR=work, PYDEVD_DISABLE_FILE_VALIDATION="1")  # caches found ready
        command_us([PYTHON, "-c", IMPORTS], 1)
        libci, fork = Coprocess(str(options.build / "tests/bench_libci")), Coprocess(PYTHON, "-c", FORK)
        rows = all_rows(options.build, options.deno, Path(work), libci, fork)
        samples = measure(rows, options.rounds)
        fork.end()
        libci.end()
    if options.json:
        options.json.unlink(missing_ok=True)
    return report(rows, samples, options.json)


if __name__ == "__main__":
    sys.exit(main())
