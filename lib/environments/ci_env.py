#!/usr/bin/python3
"""ci-env: builds the Python environments that sessions run in, from the pinned lists beside this program.

An environment is a folder made by venv with one file more, the record: which groups and distributions are in it, which
are lacking and why, what each group names to be preloaded. While it is being made the record is called ci-env.partial;
only when all has been installed and imported once does it become ci-env.json. So what was broken off never looks whole,
and the same command goes on where it ended. The folder itself is the lock.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import ctypes
import dataclasses
import difflib
import fcntl
import json
import os
import platform
import pwd
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable, Optional

WHOLE = "ci-env.json"  # lib/sandbox/local/python.c and lib/guest/python/zygote.py know these two
PARTIAL = "ci-env.partial"
CORE = "core"
CHUNK = 16  # distributions for each run of pip: what a broken-off run has to do again at most
PYTHON_MINIMUM = (3, 10)
EXIT_FAILED, EXIT_LACKING, EXIT_UNREACHABLE = 1, 3, 4  # 2 is wrong use, of argparse
PR_SET_PDEATHSIG = 1


class Failure(Exception):
    """Ends the program with a sentence."""

    def __init__(self, sentence: str, status: int = EXIT_FAILED) -> None:
        super().__init__(sentence)
        self.status = status


# ---- the lists ----


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@dataclasses.dataclass(frozen=True)
class Pin:
    """One line of a list: `pillow==12.3.0 ; python_version >= "3.11"  # import PIL`."""

    name: str
    version: str
    module: str
    conditions: tuple[tuple[str, str, str], ...]

    def fits(self, version: tuple[int, ...], machine: str) -> bool:
        def holds(what: str, operator: str, value: str) -> bool:
            if what == "platform_machine":
                return (machine == value) == (operator == "==")
            wanted = tuple(map(int, value.split(".")))
            return {"<": version < wanted, ">=": version >= wanted, "==": version == wanted}[operator]

        return all(holds(*condition) for condition in self.conditions)

    @property
    def of_machine(self) -> bool:
        return any(what == "platform_machine" for what, _, _ in self.conditions)


@dataclasses.dataclass
class Group:
    name: str
    purpose: str
    preload: list[str]
    pins: list[Pin]


PIN = re.compile(r"([A-Za-z0-9._-]+)==([A-Za-z0-9.+!]+)(?:\s*;\s*([^#]*?))?(?:\s*#\s*import\s+([\w.]+))?")
CONDITION = re.compile(r'(python_version|platform_machine)\s*(<|>=|==|!=)\s*"([\w.]+)"')


def parse_pin(line: str) -> Pin:
    match = PIN.fullmatch(line)
    conditions = [CONDITION.fullmatch(part.strip()) for part in match[3].split(" and ")] if match and match[3] else []
    if not match or not all(conditions):
        raise ValueError(line)
    module = match[4] or normal(match[1]).replace("-", "_")
    return Pin(match[1], match[2], module, tuple(c.groups() for c in conditions if c))  # type: ignore[misc]


def read_group(path: Path) -> Group:
    """A list opens with two lines of its own: what the group is for, and what it names to be preloaded."""
    lines = path.read_text(encoding="utf-8").splitlines()
    try:
        purpose, preload = lines[0].removeprefix("# "), lines[1].removeprefix("# preload: ").split()
        pins = [parse_pin(line) for line in lines[2:] if line and not line.startswith("#")]
    except (IndexError, ValueError) as error:
        raise Failure(f"{path}: this is no list of an environment: {error}") from error
    return Group(path.stem, purpose, preload, pins)


def read_groups(folder: Path) -> dict[str, Group]:
    groups = {path.stem: read_group(path) for path in sorted(folder.glob("*.txt"))}
    if CORE not in groups:
        raise Failure(f"{folder}: there is no {CORE}.txt; the lists belong beside this program")
    return {CORE: groups.pop(CORE), **groups}


def own_lists() -> Path:
    """In the build folder and where it is installed alike."""
    return Path(os.path.realpath(__file__)).parents[1] / "share/libci/environments"


def chosen_groups(groups: dict[str, Group], names: Optional[list[str]]) -> list[str]:
    """The core and what was asked for; all when nothing was."""
    wanted = [name for text in names or [] for name in text.split(",") if name] or list(groups)
    for name in wanted:
        if name not in groups:
            near = difflib.get_close_matches(name, groups, 1)
            meant = f'; did you mean "{near[0]}"?' if near else ";"
            raise Failure(f'--group: there is no group "{name}"{meant} There are: {", ".join(groups)}')
    return [name for name in groups if name == CORE or name in wanted]


# ---- environments on disk ----


def data_folder() -> Path:
    """By the passwd file, as libci looks for it, which reads no environment variables."""
    try:
        return Path(pwd.getpwuid(os.geteuid()).pw_dir) / ".local/share/libci/environments"
    except KeyError:
        raise Failure(
            f"user {os.geteuid()} has no entry in the passwd file, so no home: name the environment by its path"
        ) from None


def folder_of(name: str) -> Path:
    if "/" in name:
        return Path(os.path.abspath(name))
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name):
        raise Failure(f'"{name}" is no name: 1 to 64 of A-Z a-z 0-9 . _ -; a path has a slash in it')
    return data_folder() / name


@dataclasses.dataclass
class Record:
    """What the file of an environment says."""

    python: str
    version: str
    groups: list[str]
    preload: dict[str, list[str]]
    ready: bool = False  # venv has done its part
    distributions: dict[str, str] = dataclasses.field(default_factory=dict)
    imported: list[str] = dataclasses.field(default_factory=list)  # those of which the module was imported
    lacking: dict[str, str] = dataclasses.field(default_factory=dict)

    def save(self, folder: Path, name: str = PARTIAL) -> None:
        fresh = folder / f"{name}.new"
        with open(fresh, "w", encoding="utf-8") as file:
            json.dump(dataclasses.asdict(self), file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(folder / name)

    def finish(self, folder: Path) -> None:
        self.save(folder)
        (folder / PARTIAL).rename(folder / WHOLE)


def load(folder: Path) -> tuple[Optional[Record], bool]:
    """The record of an environment, and whether it is whole; None where there is none."""
    for name in (PARTIAL, WHOLE):  # a half that was there first counts
        try:
            return Record(**json.loads((folder / name).read_text(encoding="utf-8"))), name == WHOLE
        except FileNotFoundError:
            continue
        except (OSError, ValueError, TypeError) as error:
            raise Failure(f"{folder / name}: it cannot be read: {error}") from error
    return None, False


@contextmanager
def locked(folder: Path, name: str) -> Iterator[int]:
    """Holds the folder; its descriptor is for children to hold it too, should this process be killed before them."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Failure(f"{name}: another ci-env works on it just now") from None
        if not folder.exists() or not os.path.samestat(os.fstat(fd), folder.stat()):
            raise Failure(f"{name}: it was removed just now")
        yield fd
    finally:
        os.close(fd)


# ---- what is told while it works ----


class Progress:
    """`[ 12/280] what`: one line that changes on a terminal; elsewhere a line when a tenth more is done."""

    def __init__(self, title: str, total: int) -> None:
        self.title, self.total, self.done, self.told = title, total, 0, 0
        self.terminal = sys.stdout.isatty()

    def show(self, what: str, done: int = 0) -> None:
        self.done += done
        text = f"{self.title} {self.done} of {self.total}: {what}"
        if self.terminal:
            width = shutil.get_terminal_size().columns - 1
            print("\r\033[K" + text[:width], end="\n" if self.done == self.total else "", flush=True)
        elif self.done == self.total or self.done >= self.told + self.total / 10:
            self.told = self.done
            print(text, flush=True)

    def end(self) -> None:
        if self.terminal and self.done < self.total:
            print(flush=True)


# ---- children ----


def die_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def start(command: list[str], lock: int) -> subprocess.Popen[str]:
    """A child in a group of its own with the host's settings of pip, but nothing that changes what Python imports."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    environment["PYTHONUTF8"] = "1"
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        cwd="/",
        env=environment,
        start_new_session=True,
        pass_fds=[lock],
        preexec_fn=die_with_parent,
    )


def stop(child: subprocess.Popen[str]) -> None:
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    child.wait()


def run(command: list[str], lock: int, line: Callable[[str], None] = lambda _: None) -> tuple[int, list[str]]:
    """Its status and the last lines that it printed, each told as it comes."""
    child = start(command, lock)
    lines: list[str] = []
    try:
        for text in child.stdout or ():
            line(text.rstrip())
            lines = [*lines[-999:], text.rstrip()]
        return child.wait(), lines
    finally:
        stop(child)


# ---- making the environment ----


@dataclasses.dataclass
class Interpreter:
    path: str
    version: str
    machine: str

    @property
    def short(self) -> tuple[int, ...]:
        return tuple(map(int, self.version.split(".")[:2]))


def look_at(python: str) -> Interpreter:
    """What it is, and whether it can make virtual environments with pip."""
    probe = "import platform; print(platform.python_version(), platform.machine()); import venv, ensurepip"
    try:
        done = subprocess.run([python, "-I", "-c", probe], capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Failure(f"--python {python}: {getattr(error, 'strerror', None) or error}") from error
    words = done.stdout.split()
    if len(words) != 2:
        raise Failure(f"--python {python}: it is no Python interpreter: {done.stderr.strip()[-200:]}")
    found = Interpreter(python, words[0], words[1])
    if found.short < PYTHON_MINIMUM:
        raise Failure(f"--python {python}: it is Python {found.version}; the lists are for 3.10 and later")
    if done.returncode:
        package = "python3-venv" if python == "/usr/bin/python3" else f"python{found.short[0]}.{found.short[1]}-venv"
        raise Failure(f"--python {python}: it cannot make virtual environments; install the package {package}")
    return found


def make_venv(folder: Path, python: str, lock: int) -> None:
    """Anew: whatever an earlier attempt has left in it is of no use."""
    for entry in folder.iterdir():
        if entry.name != PARTIAL:
            shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
    status, lines = run([python, "-I", "-m", "venv", str(folder)], lock)
    if status:
        raise Failure(f"venv failed: {last_error(chr(10).join(lines))}")


# What pip says, some of it only when it is asked to say more.
NETWORK = re.compile(
    r"\s*(?:Could not fetch URL|WARNING: Retrying|ERROR: ).*(?:connection broken|connection error|establish|name resolution|"
    r"timed out|ProxyError|SSLError|ssl certificate|: (?:401|407|429|5\d\d) )",
    re.I,
)
NO_SPACE = re.compile(r"No space left on device|Disk quota exceeded")
BUILDER = re.compile(r"Running command [^\n]*\n(.*?)\n\s*error: subprocess-exited", re.S)


def last_error(text: str) -> str:
    """The line that says most, of what pip or a failing import has printed."""
    told = BUILDER.findall(text)
    lines = [line.strip() for line in (told[-1] if told else text).splitlines() if line.strip()]
    errors = [line for line in lines if re.match(r"(?:ERROR: |[\w.]+(?:Error|Exception|Exit)\b)", line)]
    return (errors or lines or [""])[-1].removeprefix("ERROR: ")[:300]


class Installer:
    """Runs pip of the environment, many distributions at a time, each alone where that fails."""

    def __init__(self, folder: Path, record: Record, lock: int, options: argparse.Namespace) -> None:
        self.folder, self.record, self.lock = folder, record, lock
        self.torch_index: Optional[str] = options.torch_index
        self.cuda: bool = options.cuda
        self.python = str(folder / "bin/python")

    def install(self, pins: list[Pin], resumed: bool) -> None:
        if resumed:
            self.remove_halves(pins)
        progress = Progress("installed", len(pins))
        special = [pin for pin in pins if self.is_special(pin)]
        rest = [pin for pin in pins if not self.is_special(pin)]
        chunks = [rest[at : at + CHUNK] for at in range(0, len(rest), CHUNK)] + [[pin] for pin in special]
        try:
            for chunk in chunks:
                if self.try_pip(chunk, progress):
                    for pin in chunk if len(chunk) > 1 else []:
                        self.try_pip([pin], progress)
                progress.show(chunk[-1].name, len(chunk))
                self.record.save(self.folder)
        finally:
            progress.end()

    def is_special(self, pin: Pin) -> bool:
        """A build for processors alone, which an index of its own has."""
        return pin.version.endswith("+cpu")

    def try_pip(self, pins: list[Pin], progress: Progress) -> Optional[str]:
        """Installs them; otherwise why not, also in the record when it is but one."""
        why = self.pip(pins, progress)
        for pin in pins if not why else []:
            self.record.distributions[normal(pin.name)] = pin.version
            self.record.lacking.pop(pin.name, None)
        if why and len(pins) == 1:
            self.record.lacking[pins[0].name] = why
        return why

    def pip(self, pins: list[Pin], progress: Progress) -> Optional[str]:
        """Dependencies are in the lists too. The exception has those of the cards in its own."""
        special = self.is_special(pins[0])
        arguments = ["--no-input", "--disable-pip-version-check", "install", "--use-pep517", "--prefer-binary"]
        arguments += ["--no-warn-script-location", "--progress-bar", "off"]
        if not (special and self.cuda):
            arguments.append("--no-deps")
        if len(pins) == 1:
            arguments.append("-vv")  # that an index does not answer is not told otherwise
        if special and self.torch_index:
            arguments += ["--extra-index-url", self.torch_index]
        wanted = [f"{pin.name}=={pin.version.removesuffix('+cpu') if self.cuda else pin.version}" for pin in pins]

        def line(text: str) -> None:
            if len(pins) == 1 and NETWORK.match(text):
                sentence = f"the package registry cannot be reached; later the same command goes on: {text.strip()[:300]}"
                raise Failure(sentence, EXIT_UNREACHABLE)
            if text.startswith(("Collecting ", "Building wheel", "Installing collected")):
                progress.show(text.split(":")[0].split("==")[0].removeprefix("Collecting "))

        status, lines = run([self.python, "-I", "-m", "pip", *arguments, *wanted], self.lock, line)
        return self.reason(pins, lines) if status else None

    def reason(self, pins: list[Pin], lines: list[str]) -> str:
        """Why pip failed, in a sentence. What would be so for all the others as well ends the program."""
        text = "\n".join(lines)
        if NO_SPACE.search(text):
            raise Failure(f"{self.folder}: no space left on the device; with more the same command goes on")
        if "No matching distribution" not in text and "conflicting dependencies" not in text:
            return f"it cannot be built or installed: {last_error(text)}"
        if self.is_special(pins[0]) and not self.cuda:
            return (
                "the registry has no CPU build of it; name the index of PyTorch's CPU builds by --torch-index, or take "
                "the builds for NVIDIA cards, of several gigabytes, by --cuda"
            )
        return f"the registry has no {pins[0].version} for this platform"

    def remove_halves(self, pins: list[Pin]) -> None:
        """What pip had begun with when it was killed must not count as installed."""
        names = {normal(pin.name) for pin in pins}
        for info in self.folder.glob("lib/python*/site-packages/*.dist-info"):
            if normal(info.name.split("-")[0]) in names:
                shutil.rmtree(info)


def verify(folder: Path, record: Record, pins: list[Pin], timeout: float, lock: int) -> None:
    """Imports the module of each distribution, in a process of its own."""
    progress = Progress("imported", len(pins))

    def imported(pin: Pin) -> Optional[str]:
        child = start([str(folder / "bin/python"), "-I", "-c", f"import {pin.module}"], lock)
        try:
            output, _ = child.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            return f"import {pin.module} takes longer than {timeout:g} s"
        finally:
            stop(child)
        return f"import {pin.module}: {last_error(output) or f'status {child.returncode}'}" if child.returncode else None

    pool = concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 1)
    waiting = {pool.submit(imported, pin): pin for pin in pins}
    try:
        for future in concurrent.futures.as_completed(waiting):
            pin, why = waiting[future], future.result()
            if why:
                record.lacking[pin.name] = why
            else:
                record.lacking.pop(pin.name, None)
                record.imported.append(normal(pin.name))
            progress.show(pin.module, 1)
    finally:
        pool.shutdown(cancel_futures=True)
        progress.end()


def wanted_pins(groups: Iterable[Group], interpreter: Interpreter) -> tuple[list[Pin], list[Pin]]:
    """The pins for this interpreter and machine, and those that no line fits on this kind of machine."""
    fitting: dict[str, Pin] = {}
    others: dict[str, Pin] = {}
    for pin in (pin for group in groups for pin in group.pins):
        if pin.fits(interpreter.short, interpreter.machine):
            fitting[normal(pin.name)] = pin
        elif pin.of_machine:
            others[normal(pin.name)] = pin
    return list(fitting.values()), [pin for name, pin in others.items() if name not in fitting]


def open_environment(folder: Path, name: str) -> None:
    """Its folder, where there is none yet."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Failure(f"{name}: {folder}: {error.strerror}") from error
    if any(folder.iterdir()) and load(folder)[0] is None:
        raise Failure(f"{name}: {folder} is there already, and was not made by ci-env")


def begin(folder: Path, name: str, groups: dict[str, Group], chosen: list[str], options: argparse.Namespace) -> Record:
    """The record to go on with: a new one, or what is there with the groups that are asked for besides."""
    found = look_at(options.python)
    old, _ = load(folder)
    if old and (old.python, old.version.rsplit(".", 1)[0]) != (found.path, found.version.rsplit(".", 1)[0]):
        raise Failure(
            f"{name}: it was made with {old.python} {old.version}, this is {found.path} {found.version}; "
            f"remove it first: ci-env remove {name}"
        )
    both = [group for group in groups if group in chosen or (old and group in old.groups)]
    record = old or Record(found.path, found.version, both, {})
    record.groups = both
    record.preload = {group: groups[group].preload for group in both}
    if (folder / WHOLE).exists():
        (folder / WHOLE).rename(folder / PARTIAL)
    record.save(folder)
    return record


def build(folder: Path, record: Record, groups: dict[str, Group], options: argparse.Namespace, lock: int) -> None:
    """All that is not there yet."""
    interpreter = Interpreter(record.python, record.version, platform.machine())
    resumed = bool(record.distributions) or record.ready
    if not record.ready:
        make_venv(folder, record.python, lock)
        record.ready = True
        record.save(folder)
    pins, unfit = wanted_pins((groups[name] for name in record.groups), interpreter)
    have = record.distributions
    record.imported = [name for name in record.imported if name in have]
    missing = [pin for pin in pins if have.get(normal(pin.name)) != pin.version]
    for pin in missing:  # until it is there as it should be, it is not there
        have.pop(normal(pin.name), None)
        if normal(pin.name) in record.imported:
            record.imported.remove(normal(pin.name))
    record.save(folder)
    if missing:
        Installer(folder, record, lock, options).install(missing, resumed)
    for pin in unfit:
        record.lacking[pin.name] = f"there is none for {interpreter.machine}"
    unproven = [pin for pin in pins if normal(pin.name) in have and normal(pin.name) not in record.imported]
    if unproven:
        verify(folder, record, unproven, options.import_timeout, lock)
    record.imported.sort()
    record.lacking = dict(sorted(record.lacking.items()))


def create(options: argparse.Namespace) -> int:
    groups = read_groups(options.lists)
    chosen = chosen_groups(groups, options.group)
    folder, begun = folder_of(options.name), time.monotonic()
    open_environment(folder, options.name)
    with locked(folder, options.name) as lock:
        record = begin(folder, options.name, groups, chosen, options)
        print(f"{folder}: Python {record.version}, groups {', '.join(record.groups)}", flush=True)
        build(folder, record, groups, options, lock)
        record.finish(folder)
    print(f"{len(record.distributions)} distributions, {human(size_of(folder))}, {time.monotonic() - begun:.0f} s")
    for name, why in record.lacking.items():
        print(f"lacking: {name}: {why}")
    if record.lacking:
        print(f"The environment is without {len(record.lacking)} of its libraries; the same command tries them again.")
    return EXIT_LACKING if record.lacking else 0


# ---- the other commands ----


def size_of(folder: Path) -> int:
    total = 0
    for parent, folders, files in os.walk(folder):
        total += sum(os.lstat(os.path.join(parent, name)).st_blocks * 512 for name in folders + files)
    return total


def human(size: int) -> str:
    return f"{size / 2**20:.0f} MiB" if size < 10 * 2**30 else f"{size / 2**30:.1f} GiB"


def state_of(record: Record, whole: bool) -> str:
    if not whole:
        return "not whole: ci-env create goes on with it"
    return f"without {', '.join(record.lacking)}" if record.lacking else "whole"


def show_list(options: argparse.Namespace) -> int:
    folder = data_folder()
    rows = []
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        record, whole = load(path) if path.is_dir() else (None, False)
        if record:
            rows.append((path.name, human(size_of(path)), ",".join(record.groups), state_of(record, whole), str(path)))
    if not rows:
        print(f"There are none in {folder}. ci-env create NAME makes one.")
        return 0
    rows.insert(0, ("NAME", "SIZE", "GROUPS", "STATE", "PATH"))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    for row in rows:
        print("  ".join([*(text.ljust(width) for text, width in zip(row, widths)), row[4]]))
    return 0


def remove(options: argparse.Namespace) -> int:
    folder = folder_of(options.name)
    if not folder.is_dir():
        raise Failure(f"{options.name}: there is none at {folder}; ci-env list shows those with a name")
    if load(folder)[0] is None:
        raise Failure(f"{options.name}: {folder} was not made by ci-env")
    with locked(folder, options.name):
        if (folder / WHOLE).exists():  # what is half removed is no longer whole
            (folder / WHOLE).rename(folder / PARTIAL)
        for entry in folder.iterdir():
            if entry.name != PARTIAL:
                shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
        (folder / PARTIAL).unlink()
        folder.rmdir()
    return 0


def show_groups(options: argparse.Namespace) -> int:
    for group in read_groups(options.lists).values():
        names = {normal(pin.name) for pin in group.pins}
        print(f"{group.name:<14} {len(names):>3} distributions  {group.purpose}")
        print(f"{'':<14} preload: {', '.join(group.preload)}")
    return 0


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="ci-env",
        description="Builds the Python environments that sessions run in, from pinned lists of libraries.",
        epilog="Exit status: 0 whole; 3 made, but without the libraries that are named; 4 the registry cannot be reached, "
        "1 not done, and after a failure the same command goes on; 2 wrong use. Sessions take an environment by "
        "ci-run --python NAME, or the option `python`.",
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def command(name: str, action: Callable[[argparse.Namespace], int], text: str, *, named: bool) -> Any:
        made = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        made.set_defaults(action=action)
        if named:
            made.add_argument("name", metavar="NAME|PATH", help="a name, or a folder: what has a slash in it")
        return made

    lists = {"type": Path, "default": own_lists(), "metavar": "DIR", "help": "the folder of the lists (those of libci)"}
    made = command("create", create, "make an environment, go on with one, or add groups to it", named=True)
    text = "add this group to core, repeatable; without it all of them: 4.1 GiB, a quarter of an hour"
    made.add_argument("--group", action="append", metavar="G", help=text)
    made.add_argument("--python", default="/usr/bin/python3", metavar="PATH", help="the interpreter (/usr/bin/python3)")
    made.add_argument("--torch-index", metavar="URL", help="an index with CPU builds of torch and its companions")
    made.add_argument("--cuda", action="store_true", help="torch for NVIDIA cards where there is no CPU build")
    made.add_argument("--import-timeout", type=float, default=120, metavar="S", help="seconds for each import (120)")
    made.add_argument("--lists", **lists)
    command("list", show_list, "show the environments that have a name, their size and state", named=False)
    command("groups", show_groups, "show the groups there are", named=False).add_argument("--lists", **lists)
    command("remove", remove, "remove an environment", named=True)
    options = parser.parse_args(arguments)
    if getattr(options, "python", "/").find("/") > 0:
        options.python = os.path.abspath(options.python)
    return options


def main() -> int:
    def end(*_: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, end)
    options = parse(sys.argv[1:])
    try:
        return options.action(options)
    except Failure as error:
        print(f"ci-env: {error}", file=sys.stderr)
        return error.status
    except OSError as error:
        print(f"ci-env: {error.filename or ''}: {error.strerror}", file=sys.stderr)
    except KeyboardInterrupt:
        print("\nci-env: interrupted; the same command goes on", file=sys.stderr)
        return 130
    return EXIT_FAILED


if __name__ == "__main__":
    sys.exit(main())
