"""What the README shows is true: its first C program compiles and runs, its commands are there."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
from conftest import BUILD, SOURCE

from s3lab.client import Client

TYPESCRIPT = 1 << 5  # CI_CAP_TYPESCRIPT
README = (SOURCE / "README.md").read_text()


def blocks(language: str, text: str = README) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.S | re.M)


def test_the_first_c_program_is_short_compiles_and_runs(tmp_path: Path) -> None:
    program = blocks("c")[0]
    assert program.count("\n") <= 15
    (tmp_path / "first.c").write_text(program)
    command = ["gcc", "-std=c99", "-Wall", "-Wextra", "-pedantic", "-Werror", "first.c", "-o", "first"]
    paths = [f"-I{SOURCE}/include", f"-L{BUILD}/lib", f"-Wl,-rpath,{BUILD}/lib", "-lci"]
    subprocess.run([*command, *paths], cwd=tmp_path, check=True)
    done = subprocess.run(["./first"], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("hello from the sandbox\n", "", 0)


def run(command: list[str], folder: Path, **environment: str) -> subprocess.CompletedProcess:
    environment = {**os.environ, "HOME": str(folder), "TMPDIR": str(folder), **environment}
    pipes = {"stdin": subprocess.DEVNULL, "capture_output": True, "text": True}
    return subprocess.run(command, cwd=folder, env=environment, timeout=60, check=False, **pipes)  # type: ignore


@pytest.mark.parametrize("name", ["README.md", "bindings/python/README.md"])
def test_the_python_programs_run(name: str, tmp_path: Path) -> None:
    for program in blocks("python", (SOURCE / name).read_text()):
        prelude = f"import libci; libci.use_library({str(BUILD / 'lib/libci.so')!r})\n"
        (tmp_path / "program.py").write_text(prelude + program)
        done = run(["/usr/bin/python3", "-B", "program.py"], tmp_path, PYTHONPATH=f"{SOURCE}/bindings/python")
        assert done.returncode == 0 and done.stdout, done.stderr


def test_the_cells_give_what_the_table_says(session: libci.Session) -> None:
    rows = re.findall(r"^\| (\w+) \| `(.+)` \| `(.+)` \| `(.+)` \|$", README, re.M)
    assert [row[0] for row in rows] == ["python", "javascript", "typescript", "bash"]
    for language, cell, following, gives in rows:
        if language.endswith("script") and not session.capabilities & TYPESCRIPT:
            continue
        session.run_code(cell, language=language)
        result = session.run_code(following, language=language)
        assert gives in (result.value, (result.traceback or "").strip(), result.stdout.strip()), language


def test_every_ci_run_line_is_accepted(tmp_path: Path) -> None:
    lines = [line for block in blocks("sh") for line in block.splitlines() if "ci-run " in line]
    assert len(lines) >= 5
    (tmp_path / "data.csv").write_text("a,b\n1,2\n")
    (tmp_path / "analyse.py").write_text("open('chart.png', 'w').write('x')")
    for line in lines:
        done = run(["bash", "-c", line], tmp_path, PATH=f"{BUILD}/bin:{os.environ['PATH']}")
        assert done.returncode == 0, (line, done.stderr)


def test_the_two_commands_and_the_linked_files_are_there() -> None:
    for command in ("./examples/quickstart.sh", "./tests/run.sh"):
        assert command in README and (SOURCE / command).stat().st_mode & 0o111
    for link in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (SOURCE / link).exists(), link


@pytest.mark.s3
def test_what_is_said_of_buckets_works(server: Client, tmp_path: Path) -> None:
    server.make_bucket("bucket")
    for name in ("data/one.csv", "src/one.c", "data.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("a,b\n1,2\n")
    (tmp_path / "analyse.py").write_text("open('chart.png', 'w').write('x')")
    paths = {"PATH": f"{BUILD}/bin:{os.environ['PATH']}", "PYTHONPATH": f"{SOURCE}/bindings/python"}
    for block in blocks("bash"):
        script = "set -eo pipefail\n" + block.replace("https://s3.example.org:9000", server.endpoint)
        done = run(["bash", "-c", script], tmp_path, **paths)
        assert done.returncode == 0, (block, done.stderr)
    assert server.get("bucket", "team/code-interpreter/chart.png") == b"x"
    assert (tmp_path / "results/one.csv").exists() and (tmp_path / "out/uploads/src.tar").exists()
    program = f"import libci; libci.use_library({str(BUILD / 'lib/libci.so')!r})\n" + blocks("py")[0]
    done = run(["/usr/bin/python3", "-B", "-c", program], tmp_path, **paths)
    assert done.stdout.split() == ["data.csv", "one.csv"], done.stderr
