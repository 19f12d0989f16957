"""pip and npm in sessions: from an index that the test serves on loopback, with packages that it makes."""

from __future__ import annotations

import base64
import hashlib
import http.server
import io
import json
import os
import shutil
import socket
import subprocess
import tarfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Optional

import libci
import pytest
from moments import PATIENCE

OpenSession = Callable[..., libci.Session]


def wheel(name: str, version: str, files: Optional[dict[str, str]] = None) -> tuple[str, bytes]:
    """A wheel of one module, which knows its version, and of a command of the same name."""
    info = f"{name}-{version}.dist-info"
    contents = files or {f"{name}.py": f"VERSION = {version!r}\n\n\ndef main():\n    print({name!r}, VERSION)\n"}
    contents = {
        **contents,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[console_scripts]\n{name} = {name}:main\n",
    }
    record = "".join(f"{path},,\n" for path in [*contents, f"{info}/RECORD"])
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for path, text in {**contents, f"{info}/RECORD": record}.items():
            archive.writestr(path, text)
    return f"{name}-{version}-py3-none-any.whl", data.getvalue()


WHEELS = dict(
    wheel(name, version)
    for name in ("tiny_one", "tiny_two", "tiny_three", "tiny_old")
    for version in ("1.0", "2.0")
)


class Index:
    """Serves files by path; remembers what was asked for."""

    def __init__(self, pages: dict[str, bytes]) -> None:
        asked = self.asked = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append(self.path)
                page = pages.get(self.path)
                self.send_response(200 if page is not None else 404)
                self.send_header("Content-Type", "application/json" if page and page[:1] == b"{" else "text/html")
                self.send_header("Content-Length", str(len(page or b"")))
                self.end_headers()
                self.wfile.write(page or b"")

            def log_message(self, *_: Any) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self._thread = threading.Thread(target=self.server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self._thread.join()
        self.server.server_close()


@pytest.fixture(scope="module")
def index() -> Iterator[Index]:
    pages: dict[str, bytes] = {}
    for file, data in WHEELS.items():
        page = f"/simple/{file.partition('-')[0].replace('_', '-')}/"
        pages[page] = pages.get(page, b"") + f'<a href="/files/{file}">{file}</a><br>'.encode()
        pages[f"/files/{file}"] = data
    index = Index(pages)
    yield index
    index.close()


@pytest.fixture(scope="module")
def pip_config(index: Index, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("config") / "pip.conf"
    # What pip says of conflicts between all that is installed is not ours, and takes as long as all the rest.
    file.write_text(f"[global]\nindex-url = {index.url}/simple\n[install]\nno-warn-conflicts = true\n")
    file.chmod(0o600)  # the host's own: its sessions get a copy
    return file


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with a package of its own in it."""
    folder = tmp_path_factory.mktemp("venv")
    folder.chmod(0o755)
    subprocess.run(
        ["/usr/bin/python3", "-m", "venv", "--without-pip", "--system-site-packages", folder], check=True
    )
    modules = next(folder.glob("lib/python*/site-packages"))
    zipfile.ZipFile(io.BytesIO(WHEELS["tiny_old-1.0-py3-none-any.whl"])).extractall(modules)
    return folder


@pytest.fixture(scope="module", params=["system", "environment"])
def sandbox(request: pytest.FixtureRequest, pip_config: Path) -> Iterator[libci.Sandbox]:
    python = None
    if request.param == "environment":
        python = request.getfixturevalue("environment") / "bin/python"
    with libci.Sandbox(python=python, pip_config=pip_config, preload="tiny_old" if python else "six") as sandbox:
        sandbox.prepare(60)
        yield sandbox


@pytest.fixture
def online(open_session: OpenSession) -> libci.Session:
    """A session that reaches the index."""
    return open_session(network="host", timeout=PATIENCE)


WAYS = {
    "command": (None, "pip install -q {}"),
    "module": (None, "python3 -m pip install -q {}"),
    "magic": ("%pip install -q {}", None),
    "shell": ("!pip install -q {}", None),
    "program": ("import subprocess as s, sys\ns.run([sys.executable, '-m', 'pip', 'install', '-q', '{}'])", None),
}


@pytest.mark.parametrize("way", WAYS)
def test_what_pip_installs_can_be_imported_at_once(online: libci.Session, way: str) -> None:
    assert online.run_code("import tiny_one").error_name == "ModuleNotFoundError"
    cell, command = WAYS[way]
    if cell:
        result = online.run_code(cell.format("tiny-one") + "\nimport tiny_one\ntiny_one.VERSION")
        assert result.value == "'2.0'", (result.stdout, result.stderr, result.traceback)
    else:
        result = online.run_command(command.format("tiny-one"))
        assert result.ok, result.stderr
        assert online.run_code("import tiny_one\ntiny_one.VERSION").value == "'2.0'"
    assert result.replaced == []
    assert "Name: tiny_one\nVersion: 2.0\n" in online.run_command("pip show tiny-one").stdout
    assert online.run_command("tiny_one").stdout == "tiny_one 2.0\n"


def test_what_is_installed_is_the_sessions_alone(open_session: OpenSession, workspace: Path) -> None:
    with libci.Storage.dir(workspace) as storage:
        one = open_session(network="host", timeout=PATIENCE, storage=storage)
        other = open_session(network="host", timeout=PATIENCE)
        assert one.run_command("pip install -q tiny-one && echo mine > mine.txt").ok
        assert [file.path for file in one.push().files] == ["mine.txt"]
        assert other.run_code("import tiny_one").error_name == "ModuleNotFoundError"
        assert "tiny" not in other.run_command("pip list | grep -v old").stdout


def test_packages_are_shown_removed_and_installed_from_lists(online: libci.Session) -> None:
    online.write_file("requirements.txt", "tiny-one==1.0\ntiny-two\n")
    assert online.run_command("pip install -q -r requirements.txt").ok
    assert "Version: 1.0" in online.run_command("pip show tiny-one").stdout
    result = online.run_command("pip install -q -U tiny-one && tiny_one && pip uninstall -qy tiny-two")
    assert result.stdout == "tiny_one 2.0\n"
    assert online.run_command("pip list 2>&1 | grep -c tiny.one").stdout == "1\n"
    assert online.run_code("import tiny_two").error_name == "ModuleNotFoundError"
    assert not online.run_command("command -v tiny_two").ok


def test_a_package_in_development_can_be_imported(online: libci.Session) -> None:
    setup = "from setuptools import setup\nsetup(name='devel', version='1', py_modules=['devel'])\n"
    online.write_file("project/setup.py", setup)
    online.write_file("project/devel.py", "X = 1\n")
    result = online.run_command("pip install -q --no-build-isolation --no-index -e project 2>&1")
    assert result.ok, result.stdout
    assert online.run_code("import devel\ndevel.X").value == "1"


@pytest.mark.parametrize("way", ["command", "shell"])
def test_a_replaced_module_is_named_and_new_at_the_next_start(online: libci.Session, way: str) -> None:
    assert online.run_command("pip install -q tiny-one==1.0").ok
    assert online.run_code("import tiny_one, tiny_one as mine\nmine.VERSION").value == "'1.0'"
    cell, command = WAYS[way]
    result = online.run_code(cell.format("-U tiny-one")) if cell else online.run_command(command.format("-U tiny-one"))
    assert result.ok and result.replaced == ["tiny_one"], result.stderr
    told = result.json()
    assert told["structuredContent"]["replaced"] == ["tiny_one"]
    assert any("tiny_one: replaced" in item.get("text", "") for item in told["content"])
    again = online.run_code("import tiny_one\ntiny_one.VERSION")
    assert (again.value, again.replaced) == ("'1.0'", [])
    online.clear_context("python")
    assert online.run_code("import tiny_one\ntiny_one.VERSION").value == "'2.0'"
    assert online.run_command("pip uninstall -qy tiny-one").replaced == ["tiny_one"]


def test_a_preloaded_module_is_new_at_the_next_start(session: libci.Session) -> None:
    loaded = session.run_code("import sys\n[name for name in ('six', 'tiny_old') if name in sys.modules]").value
    if loaded == "[]":
        pytest.skip("six is not installed")
    if loaded == "['six']":
        name, version = "six", "import six\nsix.__version__"
        file, data = wheel("six", "99.0", {"six.py": "__version__ = '99.0'\n"})
        before, after = session.run_code(version).value, "'99.0'"
    else:
        assert "tiny_old" in loaded
        name, version = "tiny_old", "import tiny_old\ntiny_old.VERSION"
        file, data = "tiny_old-2.0-py3-none-any.whl", WHEELS["tiny_old-2.0-py3-none-any.whl"]
        before, after = "'1.0'", "'2.0'"
    session.write_file(file, data)
    result = session.run_command(f"pip install -q --no-index -U ./{file}")
    assert result.ok and result.replaced == [name], result.stderr
    assert session.run_code(version).value == before
    session.clear_context("python")
    assert session.run_code(version).value == after
    assert session.run_code("x = 1", context="second").ok
    assert session.run_code(version, context="second").value == after


def test_a_module_that_is_imported_after_it_was_installed_is_not_named(online: libci.Session) -> None:
    result = online.run_code("!pip install -q tiny-one==1.0\nimport tiny_one\n!pip install -q tiny-two\nimport tiny_two")
    assert result.ok and result.replaced == []
    result = online.run_code("!pip install -q -U tiny-one\nimport importlib\nimportlib.reload(tiny_one).VERSION")
    assert (result.value, result.replaced) == ("'2.0'", [])


def test_every_kernel_is_asked_and_one_that_is_busy_says_so_itself(online: libci.Session) -> None:
    assert online.run_command("pip install -q tiny-one==1.0").ok
    online.run_code("import tiny_one", context="second")
    online.run_code("import tiny_one, os, time", context="busy")
    call = online.start_code("while not os.path.exists('installed'): time.sleep(0.01)", context="busy")
    assert online.run_command("pip install -q -U tiny-one && touch installed").replaced == ["tiny_one"]
    assert call.result().replaced == ["tiny_one"]


# -- what the host hands in


def test_a_configuration_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(libci.Error, match="pip_config: .*nowhere.*No such file"):
        libci.Sandbox(pip_config=tmp_path / "nowhere")
    for text, line in (("s3cret\n", 1), ("[global]\ntoken s3cret\n", 2), ("[global]\na=1\na=s3cret\n", 3)):
        (tmp_path / "bad").write_text(text)
        with pytest.raises(libci.Error, match=f"pip_config: .*/bad, line {line}") as raised:
            libci.Sandbox(pip_config=tmp_path / "bad")
        assert "s3cret" not in str(raised.value)
    with pytest.raises(libci.Error, match="ca_file: .*no certificate in it"):
        libci.Sandbox(ca_file=tmp_path / "bad")
    with pytest.raises(libci.Error, match='ca_file: "ca.pem" is not an absolute path'):
        libci.Sandbox(ca_file="ca.pem")


def test_folders_that_are_too_wide_are_not_shown(tmp_path: Path) -> None:
    (tmp_path / "pip.conf").write_text("[install]\nfind-links = / /root /home\n  /proc /etc\n")
    with libci.Sandbox(pip_config=tmp_path / "pip.conf") as box, libci.Session(sandbox=box, timeout=PATIENCE) as session:
        assert session.run_command("ls /root 2>&1; ls /home").stdout.endswith("No such file or directory\nuser\n")
        assert not session.run_command("cat /etc/shadow").ok


def test_the_hosts_own_configuration_works_inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.chmod(0o755)
    wheels = tmp_path / "wheels"
    wheels.mkdir(mode=0o755)
    (wheels / "tiny_three-1.0-py3-none-any.whl").write_bytes(WHEELS["tiny_three-1.0-py3-none-any.whl"])
    (tmp_path / "limits.txt").write_text("tiny-three<2\n")
    (tmp_path / "pip.conf").write_text(
        f"[global]\nno-index = true\nconstraint = {tmp_path}/limits.txt\n[install]\nfind-links = {wheels}\n"
    )
    (tmp_path / "npmrc").write_text("registry=http://127.0.0.1:9/\n//127.0.0.1:9/:_authToken=${A_TOKEN}\neditor=vi\n")
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    monkeypatch.setenv("NPM_CONFIG_USERCONFIG", str(tmp_path / "npmrc"))
    monkeypatch.setenv("A_TOKEN", "word")
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    with libci.Sandbox(host_packages=True) as box, libci.Session(sandbox=box, timeout=PATIENCE) as session:
        result = session.run_command("pip install -q tiny-three && tiny_three")
        assert result.stdout == "tiny_three 1.0\n", result.stderr
        assert not session.run_command(f"touch {wheels}/x").ok
        assert session.run_command("echo $https_proxy $HTTPS_PROXY").stdout == "http://127.0.0.1:9 http://127.0.0.1:9\n"
        npmrc = session.run_command("cat $NPM_CONFIG_GLOBALCONFIG").stdout.splitlines()
    assert "registry=http://127.0.0.1:9/" in npmrc and "//127.0.0.1:9/:_authToken=word" in npmrc
    assert not any(line.startswith("editor") for line in npmrc)


def make_certificates(folder: Path) -> None:
    run = {"check": True, "cwd": folder, "capture_output": True}
    new = ["openssl", "req", "-newkey", "rsa:2048", "-nodes"]
    subprocess.run([*new, "-x509", "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=test", "-days", "2"], **run)
    subprocess.run([*new, "-keyout", "key.pem", "-out", "asked.pem", "-subj", "/CN=localhost"], **run)
    (folder / "names").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    subprocess.run(
        ["openssl", "x509", "-req", "-in", "asked.pem", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"]
        + ["-out", "cert.pem", "-days", "2", "-extfile", "names"],
        **run,
    )


@pytest.mark.skipif(not shutil.which("openssl"), reason="openssl makes the certificates")
def test_certificates_that_are_handed_in_are_trusted_by_all(tmp_path: Path) -> None:
    import ssl

    make_certificates(tmp_path)
    index = Index({"/": b"hello"})
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    index.server.socket = context.wrap_socket(index.server.socket, server_side=True)
    url = index.url.replace("http:", "https:")
    programs = {
        "python": f"python3 -c \"import urllib.request as u; print(u.urlopen('{url}').read().decode(), end='')\"",
        "bare": f"env -i python3 -c \"import urllib.request as u; print(u.urlopen('{url}').read().decode(), end='')\"",
        "curl": f"curl -s {url}",
        "node": f"node -e \"require('https').get('{url}', r => r.pipe(process.stdout))\"",
    }
    there = {name: program for name, program in programs.items() if name in ("python", "bare") or shutil.which(name)}
    try:
        for file, expected in ((tmp_path / "ca.pem", "hello"), (None, "")):
            with libci.Sandbox(ca_file=file) as box, libci.Session(sandbox=box, timeout=PATIENCE, network="host") as session:
                for name, program in there.items():
                    assert session.run_command(program).stdout == expected, name
                assert not session.run_command("echo x >> /etc/ssl/certs/ca-certificates.crt").ok
    finally:
        index.close()


def registry_addresses() -> set[str]:
    """Of the index that pip asks by default: behind some walls they are not public."""
    code = "from pip._internal.models.index import PyPI as p; print(p.netloc, p.file_storage_domain)"
    names = subprocess.run(["/usr/bin/python3", "-c", code], capture_output=True, text=True, check=True).stdout.split()
    return {entry[4][0] for name in names for entry in socket.getaddrinfo(name, 443, proto=socket.IPPROTO_TCP)}


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The one that the host uses."""
    download = ["/usr/bin/python3", "-m", "pip", "download", "-q", "--no-deps", "--retries=0", "--no-cache-dir"]
    folder = tmp_path_factory.mktemp("download")
    if subprocess.run([*download, "--dest", folder, "iniconfig"], capture_output=True, timeout=PATIENCE).returncode:
        pytest.skip("no package registry can be reached")


@pytest.mark.parametrize("network", ["host", "internet"])
@pytest.mark.usefixtures("registry")
def test_the_registry_that_the_host_uses_can_be_used(network: str) -> None:
    options: dict[str, Any] = {"network": network}
    if network == "internet":
        options["network_allow"] = ["*", *registry_addresses()]
    with libci.Sandbox(host_packages=True) as box, libci.Session(sandbox=box, timeout=PATIENCE, **options) as session:
        result = session.run_command("pip install -q --ignore-installed iniconfig")
        assert result.ok, result.stderr
        assert (session.run_code("import iniconfig\niniconfig.__file__").value or "").startswith("'/home/user/")


def await_file(path: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} does not come"
        time.sleep(0.05)


def test_what_was_installed_once_comes_from_disk(
    index: Index, pip_config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tmp_path.chmod(0o755)
    cache = tmp_path / "cache"
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_INDEX_URL", f"{index.url}/simple")
    local, data = wheel("tiny_local", "1.0")
    with pytest.raises(libci.Invalid, match="package_cache and pip_config: .*take the place"):
        libci.Sandbox(pip_config=pip_config, package_cache=cache)
    with libci.Sandbox(host_packages=True, package_cache=cache) as box:
        with libci.Session(sandbox=box, network="host", timeout=PATIENCE) as session:
            session.write_file(local, data)
            assert session.run_command(f"pip install -q ./{local}").ok
            assert session.run_command("pip install -q tiny-two==1.0").ok
            await_file(cache / "wheels/tiny_two-1.0-0cached-py3-none-any.whl")
        index.asked.clear()
        with libci.Session(sandbox=box, network="host", timeout=PATIENCE) as session:
            assert session.run_command("pip install -q tiny-two==1.0 && tiny_two").stdout == "tiny_two 1.0\n"
            asked = list(index.asked)
            assert not session.run_command("touch /opt/libci/wheels/x || rm /opt/libci/wheels/*").ok
        with libci.Session(sandbox=box, timeout=PATIENCE) as session:  # without a network
            assert session.run_command("pip install -q --no-index tiny-two && tiny_two").stdout == "tiny_two 1.0\n"
            session.write_file("tiny_three-2.0-py3-none-any.whl", WHEELS["tiny_three-2.0-py3-none-any.whl"])
            assert session.run_command("pip install -q --no-index --find-links . tiny-three").ok  # is no hint
        with libci.Session(sandbox=box, network="host", timeout=PATIENCE) as session:
            assert session.run_command("pip install -q tiny-one==1.0").ok
            await_file(cache / "wheels/tiny_one-1.0-0cached-py3-none-any.whl")
    assert [path for path in asked if path.startswith("/files/")] == []
    kept = sorted(path.name for path in (cache / "wheels").iterdir())
    assert kept == ["tiny_one-1.0-0cached-py3-none-any.whl", "tiny_two-1.0-0cached-py3-none-any.whl"]


# -- npm


def package(name: str, version: str, main: str, text: str) -> tuple[bytes, str]:
    described = json.dumps({"name": name, "version": version, "main": main})
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as archive:
        for path, content in (("package/package.json", described), (f"package/{main}", text)):
            entry = tarfile.TarInfo(path)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content.encode()))
    raw = data.getvalue()
    return raw, "sha512-" + base64.b64encode(hashlib.sha512(raw).digest()).decode()


@pytest.fixture
def npm(tmp_path: Path) -> Iterator[libci.Sandbox]:
    if not shutil.which("npm"):
        pytest.skip("npm is not installed")
    pages: dict[str, bytes] = {}
    index = Index(pages)
    for name in ("tiny-js", "tiny-more"):
        raw, integrity = package(name, "1.0.0", "lib/main.js", f"module.exports = '{name}'")
        pages[f"/{name}.tgz"] = raw
        dist = {"tarball": f"{index.url}/{name}.tgz", "integrity": integrity}
        one = {"name": name, "version": "1.0.0", "main": "lib/main.js", "dist": dist}
        all_versions = {"name": name, "dist-tags": {"latest": "1.0.0"}, "versions": {"1.0.0": one}}
        pages[f"/{name}"] = json.dumps(all_versions).encode()
    (tmp_path / "npmrc").write_text(f"registry={index.url}/\naudit=false\n")
    with libci.Sandbox(npm_config=tmp_path / "npmrc") as box:
        yield box
    index.close()


def test_npm_installs_into_the_session_and_leaves_no_files(npm: libci.Sandbox, workspace: Path) -> None:
    with libci.Session(sandbox=npm, network="host", timeout=PATIENCE, workspace_dir=workspace) as session:
        missing = session.run_code("try { require('tiny-js') } catch (e) { e.code }", language="javascript")
        assert missing.value == "'MODULE_NOT_FOUND'"
        result = session.run_command("npm install tiny-more")
        assert result.ok, result.stderr
        for code in ("require('tiny-js')", "await import('tiny-js')"):
            missing = session.run_code(f"try {{ {code} }} catch (e) {{ e.message }}", language="javascript")
            assert "Cannot find" in (missing.value or "")
        assert session.run_code("require('tiny-more')", language="javascript").value == "'tiny-more'"
        assert session.run_command("npm install tiny-js").ok
        assert session.run_code("require('tiny-js')", language="javascript").value == "'tiny-js'"
        assert session.run_code("(await import('tiny-js')).default", language="javascript").value == "'tiny-js'"
        assert session.run_command("ls node_modules && npm ls --parseable | wc -l").stdout == "tiny-js\ntiny-more\n3\n"
        assert [file.path for file in session.push().files if file.status != libci.FileStatus.SKIPPED] == []
        result = session.run_command("npm install --global tiny-js && ls ~/.local/lib/node_modules")
        assert result.stdout.endswith("tiny-js\n")


def test_npm_keeps_a_package_json_of_the_users(npm: libci.Sandbox, workspace: Path) -> None:
    with libci.Session(sandbox=npm, network="host", timeout=PATIENCE, workspace_dir=workspace) as session:
        session.write_file("package.json", '{"name": "mine"}')
        assert session.run_command("npm install tiny-js").ok
        assert json.loads(session.run_command("cat package.json").stdout)["dependencies"] == {"tiny-js": "^1.0.0"}
        saved = [file.path for file in session.push().files if file.status == libci.FileStatus.SAVED]
        assert sorted(saved) == ["package-lock.json", "package.json"]
