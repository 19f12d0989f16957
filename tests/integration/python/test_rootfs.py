"""Sessions on a system of their own: a folder that stays as it was, whatever a session does to it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import libci
import pytest

OpenSession = Callable[..., libci.Session]
PROGRAMS = ["python3", "sh", "cat", "ls", "rm", "touch", "mkdir", "id", "stat", "mv"]


def copy_with_libraries(program: str, root: Path) -> None:
    """A program at its place below root, and the shared objects it needs."""
    path = shutil.which(program, path="/usr/bin")
    assert path
    shutil.copy2(path, root / "usr/bin" / program)
    needed = subprocess.run(["ldd", path], capture_output=True, text=True, check=True).stdout
    for library in re.findall(r"(/\S+) \(0x", needed):
        target = root / os.path.realpath(os.path.dirname(library)).lstrip("/") / os.path.basename(library)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(library, target)


@pytest.fixture(scope="module")
def rootfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    root = tmp_path_factory.mktemp("system")
    for folder in ("usr/bin", "usr/lib", "usr/lib64", "etc", "var/lib/app", "opt/tool", "home/old", "root"):
        (root / folder).mkdir(parents=True)
    for link in ("bin", "lib", "lib64"):
        (root / link).symlink_to(f"usr/{link}")
    for program in PROGRAMS:
        copy_with_libraries(program, root)
    version = subprocess.run(
        ["/usr/bin/python3", "-c", "import sys; print('python%d.%d' % sys.version_info[:2])"],
        capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip
    skip = shutil.ignore_patterns("__pycache__", "test", "idlelib", "lib2to3", "dist-packages", "config-*")
    shutil.copytree(f"/usr/lib/{version}", root / "usr/lib" / version, symlinks=True, ignore=skip)
    for library in Path("/usr/lib", version, "lib-dynload").glob("*ctypes*"):
        copy_with_libraries_of(library, root)
    (root / "etc/release").write_text("a system of its own\n")
    (root / "etc/hostname").write_text("original\n")
    (root / "opt/tool/version").write_text("7\n")
    (root / "var/lib/app/data").write_text("old\n")
    yield root


def copy_with_libraries_of(library: Path, root: Path) -> None:
    needed = subprocess.run(["ldd", library], capture_output=True, text=True, check=True).stdout
    for path in re.findall(r"(/\S+) \(0x", needed):
        target = root / os.path.realpath(os.path.dirname(path)).lstrip("/") / os.path.basename(path)
        if not target.exists():
            shutil.copy2(path, target)


def contents(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for folder in ("etc", "var", "opt", "usr/bin")
        for path in (root / folder).rglob("*")
        if path.is_file()
    }


def test_code_and_commands_see_the_system_they_were_given(open_session: OpenSession, rootfs: Path) -> None:
    session = open_session(rootfs=rootfs, timeout=60)
    result = session.run_code("import os\nprint(open('/etc/release').read(), end='')\nsorted(os.listdir('/usr/bin'))")
    assert result.ok, result.traceback
    assert result.stdout == "a system of its own\n"
    assert result.value == repr(sorted(PROGRAMS))
    result = session.run_command("cat /opt/tool/version /etc/hostname; id -un; ls /home; ls -d /workspace")
    assert (result.stdout, result.stderr) == ("7\nci\nuser\nuser\n/workspace\n", "")


def test_the_system_can_be_written_and_stays_as_it_was(open_session: OpenSession, rootfs: Path) -> None:
    before = contents(rootfs)
    first = open_session(rootfs=rootfs, timeout=60)
    done = first.run_command(
        "echo new > /var/lib/app/data && echo more > /var/lib/app/more && rm /etc/release && mkdir /usr/share && "
        "mv /usr/bin/touch /usr/bin/tap && cat /var/lib/app/data"
    )
    assert (done.stdout, done.stderr) == ("new\n", "")
    assert first.run_code("import os\nos.path.exists('/etc/release'), os.listdir('/usr/share')").value == "(False, [])"
    assert first.read_file("/var/lib/app/more") == b"more\n"
    second = open_session(rootfs=rootfs, timeout=60)
    assert second.run_command("cat /var/lib/app/data /etc/release; ls /var/lib/app").stdout == (
        "old\na system of its own\ndata\n"
    )
    assert contents(rootfs) == before


def test_what_is_written_to_the_system_is_limited(open_session: OpenSession, rootfs: Path) -> None:
    session = open_session(rootfs=rootfs, timeout=60, workspace_bytes=8 << 20)
    result = session.run_code(
        "try:\n    with open('/usr/lib/big', 'wb') as f:\n        for _ in range(64): f.write(bytes(1 << 20))\n"
        "except OSError as e: print(e.strerror)"
    )
    assert result.stdout == "No space left on device\n"


def test_the_interpreter_in_use_cannot_be_written(open_session: OpenSession, rootfs: Path) -> None:
    session = open_session(rootfs=rootfs, timeout=60)
    result = session.run_code(
        "import os\nfor f in (lambda: os.chmod('/proc/self/exe', 0o777), lambda: open('/proc/self/exe', 'r+b')):\n"
        "    try: f(); print('worked')\n    except OSError as e: print(type(e).__name__)"
    )
    assert "worked" not in result.stdout
    assert len(result.stdout.split()) == 2


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda path: None, "No such file or directory"),
        (lambda path: path.write_text(""), "Not a directory"),
        (lambda path: path.mkdir(), "/usr/bin/python3"),
    ],
)
def test_what_is_no_system_is_refused(
    open_session: OpenSession, tmp_path: Path, make: Callable[[Path], object], says: str
) -> None:
    make(tmp_path / "system")
    with pytest.raises(libci.Error, match="rootfs") as caught:
        open_session(rootfs=tmp_path / "system")
    assert says in str(caught.value) and str(tmp_path) in str(caught.value)


def interpreters(root: Path) -> int:
    """How many processes on the machine run an interpreter of that system, which no other process has."""
    found, system = 0, os.stat(root / "usr/bin/python3")
    for process in Path("/proc").glob("[0-9]*/exe"):
        try:
            program = process.stat()
        except OSError:
            continue
        found += (program.st_dev, program.st_ino) == (system.st_dev, system.st_ino)
    return found


@pytest.mark.long
@pytest.mark.skipif(os.geteuid() != 0, reason="only root sees what other processes run")
def test_interpreters_of_a_system_end_when_nobody_uses_it(sandbox: libci.Sandbox, rootfs: Path) -> None:
    with libci.Session(sandbox=sandbox, rootfs=rootfs) as session:
        assert session.run_code("1").ok
        assert interpreters(rootfs) >= 2
    deadline = time.monotonic() + 100
    while interpreters(rootfs) > 0:
        assert time.monotonic() < deadline
        time.sleep(1)
    with libci.Session(sandbox=sandbox, rootfs=rootfs) as session:
        assert session.run_code("2").value == "2"
