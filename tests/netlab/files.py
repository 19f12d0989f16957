"""What the lab's web server has: a certificate of the lab's own authority, a package index, a registry, a repository."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import subprocess
import tarfile
import zipfile
from pathlib import Path

import names

SUBJECTS = f"DNS:example.com,DNS:*.example.com,DNS:*.example.net,IP:{names.WEB4},IP:{names.WEB6}"


def make(folder: Path) -> None:
    (folder / "www").mkdir()
    make_certificates(folder)
    make_index(folder / "www")
    make_registry(folder / "www")
    make_repository(folder)


def run(*command: object, **options: object) -> None:
    subprocess.run([str(word) for word in command], check=True, stdout=subprocess.DEVNULL, **options)  # type: ignore


def make_certificates(folder: Path) -> None:
    ca = ["-CA", folder / "ca.pem", "-CAkey", folder / "ca.key"]
    new = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", 2]
    quiet = {"stderr": subprocess.DEVNULL}
    run(*new, "-subj", "/CN=lab authority", "-keyout", folder / "ca.key", "-out", folder / "ca.pem", **quiet)
    extensions = ["-addext", f"subjectAltName={SUBJECTS}", "-addext", "basicConstraints=critical,CA:FALSE"]
    run(*new, *ca, "-subj", "/CN=lab", *extensions, "-keyout", folder / "web.key", "-out", folder / "web.pem", **quiet)


def wheel(folder: Path, name: str, requires: str, code: str) -> str:
    info = f"{name}-1.0.dist-info"
    contents = {
        f"{name}.py": code,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
        + (f"Requires-Dist: {requires}\n" if requires else ""),
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: lab\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }

    def line(path: str, text: str) -> str:
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        return f"{path},sha256={digest},{len(text)}\n"

    record = "".join(line(path, text) for path, text in contents.items())
    file = f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(folder / file, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, text in {**contents, f"{info}/RECORD": record + f"{info}/RECORD,,\n"}.items():
            archive.writestr(path, text)
    return file


def make_index(www: Path) -> None:
    """The simple index: labgreeting, which needs labwords."""
    (www / "wheels").mkdir()
    for name, requires, code in (
        ("labgreeting", "labwords", "import labwords\n\ndef greet():\n    return ' '.join(labwords.WORDS)\n"),
        ("labwords", "", "WORDS = ['hello', 'from', 'the', 'index']\n"),
    ):
        file = wheel(www / "wheels", name, requires, code)
        digest = hashlib.sha256((www / "wheels" / file).read_bytes()).hexdigest()
        (www / "simple" / name).mkdir(parents=True)
        (www / "simple" / name / "index.html").write_text(
            f'<!DOCTYPE html><html><body><a href="/wheels/{file}#sha256={digest}">{file}</a></body></html>\n'
        )


def make_registry(www: Path) -> None:
    """A registry for npm, with one package."""
    package = {"name": "labnode", "version": "1.0.0", "main": "index.js"}
    tarball = io.BytesIO()
    with tarfile.open(fileobj=tarball, mode="w:gz") as archive:
        contents = {"package.json": json.dumps(package), "index.js": "module.exports = 'from the registry';\n"}
        for name, text in contents.items():
            entry = tarfile.TarInfo(f"package/{name}")
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
    (www / "npm").mkdir()
    (www / "npm/labnode-1.0.0.tgz").write_bytes(tarball.getvalue())
    integrity = "sha512-" + base64.b64encode(hashlib.sha512(tarball.getvalue()).digest()).decode()
    dist = {"tarball": "https://index.example.com/npm/labnode-1.0.0.tgz", "integrity": integrity}
    version = {**package, "dist": dist}
    packument = {"name": "labnode", "dist-tags": {"latest": "1.0.0"}, "versions": {"1.0.0": version}}
    (www / "npm/labnode").write_text(json.dumps(packument))


def make_repository(folder: Path) -> None:
    """A repository that a plain web server can serve."""
    work, bare = folder / "work", folder / "www/repository.git"
    who = {"GIT_AUTHOR_NAME": "lab", "GIT_AUTHOR_EMAIL": "lab@example.com"}
    who |= {key.replace("AUTHOR", "COMMITTER"): value for key, value in who.items()}
    environment = {**os.environ, **who, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}
    run("git", "init", "-q", "-b", "main", work, env=environment)
    (work / "README").write_text("cloned from the lab\n")
    run("git", "-C", work, "add", "README", env=environment)
    run("git", "-C", work, "commit", "-q", "-m", "first", env=environment)
    run("git", "clone", "-q", "--bare", work, bare, env=environment)
    run("git", "-C", bare, "update-server-info", env=environment)
