"""ci-env: environments from lists of its own here, with wheels made on the spot and an index of files."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import platform
import pwd
import signal
import subprocess
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import BUILD
from moments import PATIENCE

PYTHON = "/usr/bin/python3"
CHUNK = 16  # as many are installed at once
Run = Callable[..., subprocess.CompletedProcess]


class Registry:
    """An index of files, and the lists that name what is to come from it."""

    def __init__(self, folder: Path, python: object = PYTHON) -> None:
        self.python = str(python)
        self.index, self.lists = folder / "index", folder / "lists"
        self.index.mkdir(parents=True)
        self.lists.mkdir()
        self.environ = {
            "PATH": "/usr/bin:/bin",
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_INDEX_URL": self.index.as_uri(),
            "PIP_CACHE_DIR": str(folder / "cache"),
            "PIP_RETRIES": "0",
        }

    def add(self, name: str, version: str, file: str, content: bytes) -> None:
        page = self.index / name.replace("_", "-") / "index.html"
        page.parent.mkdir(exist_ok=True)
        (page.parent / file).write_bytes(content)
        with page.open("a") as out:
            out.write(f'<a href="{file.replace("+", "%2B")}">{file}</a>\n')

    def wheel(self, name: str, text: str = "", version: str = "1.0", requires: str = "") -> None:
        info = f"{name}-{version}.dist-info"
        files = {
            f"{name}.py": text,
            f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
            + (f"Requires-Dist: {requires}\n" if requires else ""),
            f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        }
        record = ""
        for path, content in files.items():
            digest = base64.urlsafe_b64encode(hashlib.sha256(content.encode()).digest()).rstrip(b"=").decode()
            record += f"{path},sha256={digest},{len(content)}\n"
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            for path, content in {**files, f"{info}/RECORD": record + f"{info}/RECORD,,\n"}.items():
                archive.writestr(path, content)
        self.add(name, version, f"{name}-{version}-py3-none-any.whl", packed.getvalue())

    def source(self, name: str, backend: str) -> None:
        """A source distribution that builds itself by the backend given."""
        files = {
            "pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n',
            "backend.py": backend,
            "PKG-INFO": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        }
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz") as archive:
            for path, content in files.items():
                entry = tarfile.TarInfo(f"{name}-1.0/{path}")
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content.encode()))
        self.add(name, "1.0", f"{name}-1.0.tar.gz", packed.getvalue())

    def list(self, group: str, *pins: str, preload: str = "") -> None:
        (self.lists / f"{group}.txt").write_text(f"# For tests.\n# preload: {preload}\n\n" + "\n".join(pins) + "\n")

    def start(self, *arguments: object) -> subprocess.Popen:
        command = [PYTHON, BUILD / "bin/ci-env", *map(str, arguments)]
        if arguments[0] == "create":
            command += ["--lists", str(self.lists)]
            command += ["--python", self.python] if "--python" not in arguments else []
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=self.environ)

    def run(self, *arguments: object) -> subprocess.CompletedProcess:
        process = self.start(*arguments)
        out, err = process.communicate(timeout=300)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)


COPYING = """#!/bin/sh
case "$*" in
  "-I -m venv "*) exec cp -a "{made}/." "$4" ;;
esac
exec {python} "$@"
"""


@pytest.fixture(scope="module")
def quick_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The system's Python, but what its venv makes is a copy: pip is unpacked and compiled once, which takes longest."""
    folder = tmp_path_factory.mktemp("quick")
    subprocess.run([PYTHON, "-I", "-m", "venv", folder / "made"], check=True)
    python = folder / "python3"
    python.write_text(COPYING.format(made=folder / "made", python=PYTHON))
    python.chmod(0o755)
    return python


@pytest.fixture
def registry(quick_python: Path, tmp_path: Path) -> Registry:
    return Registry(tmp_path, quick_python)


def record_of(folder: Path) -> dict:
    return json.loads((folder / "ci-env.json").read_text())


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Registry, Path, subprocess.CompletedProcess]]:
    """An environment in which each kind of trouble has come up once."""
    folder = tmp_path_factory.mktemp("made")
    for path in (folder, folder.parent):
        path.chmod(0o755)  # a root's sandboxes are others
    registry = Registry(folder)
    registry.wheel("good", "value = 42")
    registry.wheel("named_otherwise", "raise RuntimeError('it is its module that counts')")
    registry.wheel("broken", "import not_there_at_all")
    registry.wheel("endless", "import threading; threading.Event().wait()")
    registry.wheel("crashing", "import os; os.abort()")
    registry.wheel("needy", "import good", requires="something-that-is-nowhere")
    registry.source("unbuildable", "raise SystemExit('no compiler for this')")
    registry.wheel("extra")
    registry.list(
        "core",
        "good==1.0",
        "named-otherwise==1.0  # import good",
        "absent==7.7",
        "broken==1.0",
        "crashing==1.0",
        "needy==1.0",
        'older==1.0 ; python_version < "3.0"',
        'good==2.0 ; python_version < "3.0"',
        preload="good csv",
    )
    registry.list(
        "more",
        "extra==1.0",
        "endless==1.0",
        "unbuildable==1.0",
        'elsewhere==1.0 ; platform_machine == "pdp11"',
        preload="extra",
    )
    yield registry, folder / "env", registry.run("create", folder / "env", "--group", "more", "--import-timeout", "12")


def test_what_is_lacking_is_named_with_the_reason_and_the_status_tells(made: tuple) -> None:
    _, folder, done = made
    assert done.returncode == 3, done
    lacking = {line.split(": ")[1]: line for line in done.stdout.splitlines() if line.startswith("lacking: ")}
    assert {name: why in lacking[name] for name, why in {
        "absent": "the registry has no 7.7 for this platform",
        "broken": "import broken: ModuleNotFoundError: No module named 'not_there_at_all'",
        "crashing": "import crashing: status -6",
        "elsewhere": "there is none for",
        "endless": "import endless takes longer than 12 s",
        "unbuildable": "it cannot be built or installed: no compiler for this",
    }.items()} == dict.fromkeys(lacking, True), lacking  # fmt: skip
    assert "without 6 of its libraries" in done.stdout and done.stderr == ""


def test_the_rest_is_there_and_the_record_tells_of_both(made: tuple) -> None:
    _, folder, _ = made
    record = record_of(folder)
    assert record["imported"] == ["extra", "good", "named-otherwise", "needy"]
    assert record["groups"] == ["core", "more"] and record["preload"] == {"core": ["good", "csv"], "more": ["extra"]}
    assert not (folder / "ci-env.partial").exists()


def test_progress_counts_what_is_done_of_all(made: tuple) -> None:
    _, _, done = made
    assert "installed 9 of 9: " in done.stdout and "imported 7 of 7: " in done.stdout, done.stdout


def test_the_same_command_tries_again_what_is_lacking_and_nothing_else(made: tuple) -> None:
    registry, folder, _ = made
    module = next(folder.glob("lib/python*/site-packages/good.py"))
    before = module.stat().st_mtime_ns, module.stat().st_ino
    registry.wheel("absent", version="7.7")
    done = registry.run("create", folder, "--import-timeout", "12")
    assert done.returncode == 3 and "lacking: absent" not in done.stdout, done
    assert "lacking: broken" in done.stdout and "installed 2 of 2: " in done.stdout
    assert (module.stat().st_mtime_ns, module.stat().st_ino) == before


def test_sessions_take_it_by_its_folder_or_interpreter(made: tuple, ci_run: Run) -> None:
    _, folder, _ = made
    for python in (folder, f"{folder}/", folder / "bin/python"):
        done = ci_run("--python", python, "-e", "import good, sys\ngood.value, sys.prefix")
        assert done.stdout == f"(42, '{folder}')\n".encode(), done
    relative = ci_run("--python", "./env", "-e", "import good\ngood.value", cwd=folder.parent)
    assert relative.stdout == b"42\n", relative


def test_a_groups_preload_list_is_imported_beforehand(made: tuple, ci_run: Run) -> None:
    _, folder, _ = made
    code = "import sys\n[m for m in ('good', 'csv', 'extra', 'needy') if m in sys.modules]"
    done = ci_run("--python", folder, "--preload", "group:core,needy", "-e", code)
    assert (done.stdout, done.stderr) == (b"['good', 'csv', 'needy']\n", b"")
    done = ci_run("--python", folder, "--preload", "group:less", "-e", "1")
    assert b"group:less: the environment has no such group; it has: core, more" in done.stderr, done
    done = ci_run("--preload", "group:core", "-e", "1")
    assert b"group:core: /usr is no environment of ci-env" in done.stderr, done


def test_check_says_what_is_in_it(made: tuple, ci_run: Run) -> None:
    _, folder, _ = made
    said = ci_run("--check", "--python", folder).stdout.decode()
    assert "groups core, more: " in said and "without broken, crashing, elsewhere, endless, unbuildable" in said, said


# -- broken off


BLOCKING = """
import os, sys
if os.path.exists("{folder}/go"):
    raise SystemExit("was let go")
open("{folder}/started", "w").close()
open("{folder}/hold").read()
"""


@pytest.fixture
def held(registry: Registry, tmp_path: Path) -> Iterator[tuple[Path, subprocess.Popen]]:
    """One that is being made, in the middle: some are installed, one is being built and does not get on."""
    for name in ("started", "hold"):
        os.mkfifo(tmp_path / name)
    for number in range(CHUNK):
        registry.wheel(f"wheel{number}")
    registry.source("last", BLOCKING.format(folder=tmp_path))
    registry.list("core", *(f"wheel{number}==1.0" for number in range(CHUNK)), "last==1.0")
    process = registry.start("create", tmp_path / "env")
    with open(tmp_path / "started"):  # opens when the builder does
        pass
    yield tmp_path / "env", process
    try:
        os.close(os.open(tmp_path / "hold", os.O_WRONLY | os.O_NONBLOCK))
    except OSError:
        pass  # the builder ended with the rest
    process.kill()
    process.communicate()


def pip_of(folder: Path) -> list[str]:
    """Processes of the environment's own interpreter that still live."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if words[0] == os.fsencode(folder / "bin/python") and b"pip" in words:
            found.append(entry.name)
    return found


def test_while_one_is_made_it_is_nobody_elses(
    held: tuple[Path, subprocess.Popen], registry: Registry, ci_run: Run
) -> None:
    folder, _ = held
    for command in ("create", "remove"):
        done = registry.run(command, folder)
        assert done.returncode == 1 and "another ci-env works on it" in done.stderr, done
    done = ci_run("--python", folder, "-e", "1")
    assert done.returncode == 125 and b"is not whole" in done.stderr and b"goes on with it" in done.stderr, done
    done = ci_run("--python", folder / "bin/python", "-e", "1")
    assert done.returncode == 125 and b"is not whole" in done.stderr, done


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM], ids=lambda end: end.name)
def test_one_that_was_broken_off_is_not_whole_and_goes_on(
    held: tuple[Path, subprocess.Popen], registry: Registry, tmp_path: Path, end: signal.Signals
) -> None:
    folder, process = held
    assert pip_of(folder)
    process.send_signal(end)
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == (-end if end == signal.SIGKILL else 130)
    assert end == signal.SIGKILL or "goes on" in err
    assert not (folder / "ci-env.json").exists()
    module = next(folder.glob("lib/python*/site-packages/wheel3.py"))
    before = module.stat().st_mtime_ns, module.stat().st_ino
    # What pip had begun with but not told of counts as not there.
    half = module.with_name("last-1.0.dist-info")
    half.mkdir()
    (half / "METADATA").write_text("Metadata-Version: 2.1\nName: last\nVersion: 1.0\n")
    registry.wheel("last", "value = 1")
    (tmp_path / "go").touch()
    done = registry.run("create", folder)
    assert done.returncode == 0 and "installed 1 of 1: last" in done.stdout, done
    assert record_of(folder)["distributions"]["last"] == "1.0"
    assert (module.stat().st_mtime_ns, module.stat().st_ino) == before
    assert pip_of(folder) == []


# -- versions, groups, builds for processors


def test_a_list_that_has_changed_brings_the_new_versions_and_groups_are_added(registry: Registry, tmp_path: Path) -> None:
    registry.wheel("first", "version = 1")
    registry.wheel("first", "version = 2", version="2.0")
    registry.wheel("second")
    registry.list("core", "first==1.0")
    registry.list("more", "second==1.0")
    assert registry.run("create", tmp_path / "env", "--group", "core").returncode == 0
    registry.list("core", "first==2.0")
    done = registry.run("create", tmp_path / "env", "--group", "more")
    assert done.returncode == 0 and record_of(tmp_path / "env")["distributions"] == {"first": "2.0", "second": "1.0"}
    said = subprocess.run(
        [tmp_path / "env/bin/python", "-m", "pip", "list", "--format", "freeze"], capture_output=True, text=True
    ).stdout
    assert "first==2.0" in said and "first==1.0" not in said
    done = registry.run("create", tmp_path / "env", "--group", "core")
    assert done.returncode == 0 and record_of(tmp_path / "env")["groups"] == ["core", "more"]


def test_builds_for_processors_come_from_an_index_of_their_own_and_those_for_cards_only_when_asked_for(
    registry: Registry, tmp_path: Path
) -> None:
    other = Registry(tmp_path / "other")
    other.wheel("fakenet", "cards = False", version="1.0+cpu")
    for name in ("fakenet", "fakevision"):
        registry.wheel(name, "import driver; cards = True", requires="driver")
    registry.wheel("driver")
    pins = [f'{name}==1.0+cpu ; platform_machine == "{platform.machine()}"' for name in ("fakenet", "fakevision")]
    registry.list("core", *pins)
    folder = tmp_path / "env"

    def cards(name: str) -> bool:
        return "cards = True" in next(folder.glob(f"lib/*/site-packages/{name}.py")).read_text()

    constraints = tmp_path / "constraints"  # as a host may have them, for the builds for cards
    constraints.write_text("fakevision<=1.0\n")
    registry.environ["PIP_CONSTRAINT"] = str(constraints)
    done = registry.run("create", folder)
    assert "lacking: fakevision: the registry has no CPU build of it" in done.stdout, done
    assert done.returncode == 3 and "lacking: fakenet: the registry has no CPU build of it" in done.stdout, done
    assert "--torch-index" in done.stdout and "--cuda" in done.stdout
    done = registry.run("create", folder, "--torch-index", other.index.as_uri())
    assert done.returncode == 3 and not cards("fakenet") and "lacking: fakenet" not in done.stdout, done
    assert not list(folder.glob("lib/*/site-packages/driver.py"))
    done = registry.run("create", folder, "--cuda")
    assert done.returncode == 0 and cards("fakevision") and not cards("fakenet"), done


# -- names, lists, mistakes


def test_by_name_it_is_listed_used_and_removed(registry: Registry, ci_run: Run) -> None:
    registry.wheel("good", "value = 42")
    registry.list("core", "good==1.0")
    name = f"ci-test-{os.getpid()}"
    try:
        home = Path(pwd.getpwuid(os.geteuid()).pw_dir)
    except KeyError:
        for done in (registry.run("create", name), registry.run("list"), registry.run("remove", name)):
            assert done.returncode == 1 and "no entry in the passwd file" in done.stderr, done
        assert b"name the environment by its path" in ci_run("--python", name, "-e", "1").stderr
        return
    try:
        assert registry.run("create", name).returncode == 0
        folder = home / ".local/share/libci/environments" / name
        assert record_of(folder)["imported"] == ["good"]
        (row,) = [line.split() for line in registry.run("list").stdout.splitlines() if line.startswith(name)]
        assert row[1:] == [row[1], "MiB", "core", "whole", str(folder)] and int(row[1]) > 5
        done = ci_run("--python", name, "-e", "import good\ngood.value")
        assert done.stdout == b"42\n", done
        done = ci_run("--python", name.upper() + "x", "-e", "1")
        assert done.returncode == 125 and f'did you mean "{name}"?'.encode() in done.stderr, done
        assert b"ci-env list" in done.stderr
        (folder / "ci-env.json").rename(folder / "ci-env.partial")
        assert "not whole" in [line for line in registry.run("list").stdout.splitlines() if line.startswith(name)][0]
    finally:
        done = registry.run("remove", name)
    assert done.returncode == 0 and name not in registry.run("list").stdout
    assert not folder.exists()


def test_a_registry_out_of_reach_is_no_reason_to_call_anything_lacking(registry: Registry, tmp_path: Path) -> None:
    registry.wheel("good")
    registry.list("core", "good==1.0")
    index = registry.environ["PIP_INDEX_URL"]
    registry.environ["PIP_INDEX_URL"] = "http://127.0.0.1:1/simple"
    done = registry.run("create", tmp_path / "env")
    assert done.returncode == 4 and "cannot be reached; later the same command goes on" in done.stderr, done
    assert not (tmp_path / "env/ci-env.json").exists()
    registry.environ["PIP_INDEX_URL"] = index
    assert registry.run("create", tmp_path / "env").returncode == 0


def test_mistakes_are_told_with_what_to_do(registry: Registry, tmp_path: Path) -> None:
    registry.list("core", "good==1.0")
    registry.list("documents", "good==1.0")
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "file").write_text("precious")
    bare = tmp_path / "bare-python"
    bare.write_text("#!/bin/sh\necho 3.12.1 x86_64\nexit 1\n")
    old = tmp_path / "old-python"
    old.write_text("#!/bin/sh\necho 3.9.2 x86_64\n")
    for program in (bare, old):
        program.chmod(0o755)
    new = tmp_path / "new"
    expected = {
        ("create", new, "--group", "document"): 'there is no group "document"; did you mean "documents"? There are: core',
        ("create", "no good name"): '"no good name" is no name',
        ("create", theirs): "was not made by ci-env",
        ("remove", theirs): "was not made by ci-env",
        ("remove", new): "there is none at",
        ("create", tmp_path / "a", "--python", bare): "install the package python3.12-venv",
        ("create", tmp_path / "b", "--python", old): "it is Python 3.9.2; the lists are for 3.10 and later",
        ("create", tmp_path / "c", "--python", "/no/python"): "No such file or directory",
        ("create", tmp_path / "d", "--python", "/bin/true"): "it is no Python interpreter",
        ("create", "/proc/none"): "/proc/none: ",
    }
    for arguments, sentence in expected.items():
        done = registry.run(*arguments)
        assert done.returncode == 1 and sentence in done.stderr and done.stderr.count("\n") == 1, (arguments, done)
    assert (theirs / "file").read_text() == "precious"
    registry.list("core", "good=1.0")
    assert "is no list of an environment: good=1.0" in registry.run("create", new).stderr


def test_usage_is_told(registry: Registry) -> None:
    assert registry.run("nonsense").returncode == 2
    page = registry.run("--help")
    assert page.returncode == 0 and all(word in page.stdout for word in ("create", "list", "groups", "remove"))
    groups = registry.run("groups").stdout
    assert groups.startswith("core") and "preload: numpy, pandas" in groups


def test_on_a_terminal_progress_is_one_line_that_changes(registry: Registry, tmp_path: Path) -> None:
    registry.wheel("good")
    registry.list("core", "good==1.0")
    master, slave = os.openpty()
    command = [PYTHON, BUILD / "bin/ci-env", "create", tmp_path / "env", "--lists", registry.lists]
    command += ["--python", registry.python]
    process = subprocess.Popen(command, stdout=slave, stderr=slave, env=registry.environ)
    os.close(slave)
    said = b""
    while True:
        try:
            said += os.read(master, 65536)
        except OSError:  # the terminal's other end is closed
            break
    os.close(master)
    assert process.wait(PATIENCE) == 0 and b"\r\033[Kinstalled 1 of 1: good\r\n" in said, said
