"""Installs the build into a fresh folder and uses it from there as others would: by pkg-config, from C and C++, by CMake's
find_package with the shared and the static library; and once more after the whole tree was moved.

usage: install.py CC CXX BUILD_FOLDER
"""
from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

SOURCE = Path(__file__).resolve().with_name("installed.c")
CMAKE_PROJECT = """
cmake_minimum_required(VERSION 3.20)
project(user LANGUAGES C)
find_package(libci 0.1 REQUIRED)
foreach(library ci ci_static)
  add_executable(with_${library} installed.c)
  target_link_libraries(with_${library} PRIVATE libci::${library})
endforeach()
"""


def run(*command: object, **options: object) -> str:
    done = subprocess.run([str(word) for word in command], text=True, capture_output=True, check=False, **options)
    if done.returncode not in (0, 77):
        sys.exit(f"{' '.join(map(str, command))}: status {done.returncode}\n{done.stdout}{done.stderr}")
    if done.returncode == 77:
        print(f"no session can be opened here: {done.stderr.strip()}")
    return done.stdout


def install(build: Path, prefix: Path) -> None:
    if os.access(build, os.W_OK):
        run("cmake", "--install", build, "--prefix", prefix)
        return
    # CMake lists what it installed in the build folder; somebody who may not write there has it done elsewhere.
    script = prefix.with_name("cmake_install.cmake")
    text = (build / "cmake_install.cmake").read_text()
    script.write_text(text.replace(f'"{build}/${{CMAKE_INSTALL_MANIFEST}}"', f'"{script}.list"'))
    run("cmake", f"-DCMAKE_INSTALL_PREFIX={prefix}", "-P", script)


def check(program: Path, library_dir: Path | None) -> None:
    environment = {"LD_LIBRARY_PATH": str(library_dir)} if library_dir else {}
    lines = run(program, env=environment, cwd="/").splitlines()
    assert lines[0].startswith("libci 0."), lines
    assert lines[1:] in (["42"], []), lines  # nothing: it said why it could not
    print(f"{program.name}: {' / '.join(lines)}")


def main() -> int:
    cc, cxx, build = sys.argv[1:4]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        prefix = folder / "prefix"
        install(Path(build), prefix)
        pc = next(prefix.rglob("libci.pc"))
        library_dir = pc.parent.parent
        expected = ["bin/ci-run", "bin/ci-workspace", "bin/ci-env", "share/libci/environments/core.txt", "include/ci/ci.h",
                    "include/ci/sys/sandbox.h", "libexec/libci/ci-supervisor",
                    "libexec/libci/guest/python/zygote.py", f"{library_dir.name}/libci.so"]
        missing = [path for path in expected if not (prefix / path).exists()]
        assert not missing, missing
        lists = prefix / "share/libci/environments"
        stray = [path for path in prefix.rglob("*") if path.is_file() and path.suffix in (".pyc", ".txt", ".md", ".in")
                 and path.parent != lists]
        assert not stray, stray

        environment = dict(os.environ, PKG_CONFIG_PATH=str(pc.parent))
        flags = run("pkg-config", "--cflags", "--libs", "libci", env=environment).split()
        assert any(flag.startswith("-I") and Path(flag[2:], "ci/ci.h").exists() for flag in flags), flags
        run(cc, "-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", SOURCE, "-o", folder / "c", *flags)
        run(cxx, "-std=c++11", "-Wall", "-Wextra", "-Werror", "-pedantic", "-x", "c++", SOURCE, "-o", folder / "cxx", *flags)
        check(folder / "c", library_dir)
        check(folder / "cxx", library_dir)

        user = folder / "user"
        user.mkdir()
        (user / "CMakeLists.txt").write_text(CMAKE_PROJECT)
        (user / "installed.c").write_text(SOURCE.read_text())
        run("cmake", "-S", user, "-B", user / "build", f"-DCMAKE_PREFIX_PATH={prefix}", f"-DCMAKE_C_COMPILER={cc}")
        run("cmake", "--build", user / "build")
        check(user / "build" / "with_ci", None)
        needed = run("readelf", "-d", user / "build" / "with_ci_static")
        assert "libci.so" not in needed, needed

        moved = folder / "moved"
        prefix.rename(moved)
        check(folder / "c", moved / library_dir.relative_to(prefix))
        environment["PKG_CONFIG_PATH"] = str(moved / pc.parent.relative_to(prefix))
        found = run("pkg-config", "--variable", "includedir", "libci", env=environment).strip()
        assert Path(found).resolve() == (moved / "include").resolve(), found
        groups = run("/usr/bin/python3", moved / "bin/ci-env", "groups", env={}, cwd="/")
        assert groups.startswith("core"), groups
        print(f"ci-run: {run(moved / 'bin/ci-run', '--version', env={}, cwd='/').strip()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
