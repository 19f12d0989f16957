"""What the README shows is true: its first C program compiles and runs, its commands are there."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from conftest import BUILD, SOURCE

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


@pytest.mark.parametrize("name", ["README.md", "bindings/python/README.md"])
def test_the_python_programs_run(name: str, tmp_path: Path) -> None:
    for number, program in enumerate(blocks("python", (SOURCE / name).read_text())):
        prelude = f"import sys; sys.path.insert(0, {str(SOURCE / 'bindings/python')!r}); import libci; libci.use_library({str(BUILD / 'lib/libci.so')!r})\n"
        (tmp_path / f"{number}.py").write_text(prelude + program)
        done = subprocess.run(
            ["/usr/bin/python3", "-B", f"{number}.py"], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout


def test_every_ci_run_line_is_accepted(tmp_path: Path) -> None:
    lines = [line for block in blocks("sh") for line in block.splitlines() if line.startswith("ci-run ")]
    assert len(lines) >= 4
    (tmp_path / "data.csv").write_text("a,b\n1,2\n")
    (tmp_path / "analyse.py").write_text("open('chart.png', 'w').write('x')")
    for line in lines:
        done = subprocess.run(
            ["bash", "-c", line], cwd=tmp_path, capture_output=True, timeout=60, check=False,
            env={"PATH": f"{BUILD}/bin:/usr/bin:/bin", "HOME": str(tmp_path), "TMPDIR": str(tmp_path)}, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert done.returncode == 0, (line, done.stderr)


def test_the_two_commands_and_the_linked_files_are_there() -> None:
    for command in ("./examples/quickstart.sh", "./tests/run.sh"):
        assert command in README and (SOURCE / command).stat().st_mode & 0o111
    for link in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (SOURCE / link).exists(), link
