"""Sessions whose sandbox root is a folder of the host."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import libci
from libci import FileStatus, Outcome

OpenSession = Callable[..., libci.Session]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


def test_host_and_sandbox_see_the_same_files(open_session: OpenSession, root: Path) -> None:
    (root / "from_host").write_text("h")
    with open_session(host_dir=root, timeout=60) as session:
        assert session.run_code("open('from_code', 'w').write('c'); open('from_host').read()").value == "'h'"
        assert session.run_command("mkdir -p a/b && echo s > a/b/from_shell && rm from_host && pwd").stdout == "/workspace\n"
        session.write_file("from_file_op", "f")
        assert session.run_command("cat from_file_op").stdout == "f"
        assert (root / "from_code").read_text() == "c"
    assert sorted(os.listdir(root)) == ["a", "from_code", "from_file_op"]
    assert {path.stat().st_uid for path in (root, *root.rglob("*"))} == {os.getuid()}
    shutil.rmtree(root)


def test_uploads_and_archives_arrive_and_results_are_saved(
    open_session: OpenSession, root: Path, workspace: Path, tmp_path: Path
) -> None:
    (tmp_path / "packed/sub").mkdir(parents=True)
    (tmp_path / "packed/sub/b.csv").write_text("2")
    shutil.make_archive(str(workspace / "uploads/data"), "zip", tmp_path / "packed")
    (workspace / "uploads/a.csv").write_text("1")
    with open_session(host_dir=root, workspace_dir=workspace, timeout=60) as session:
        told = {(file.path, file.status) for file in session.preload_report()}
        assert told == {("a.csv", FileStatus.PRELOADED), ("data.zip", FileStatus.UNPACKED)}
        assert session.run_command("cat a.csv data/sub/b.csv").stdout == "12"
        result = session.run_code("open('out.txt', 'w').write('result')", output_filename="out.txt")
        assert result.outcome is Outcome.OK, result.error_message
        assert session.push().ok
    assert (workspace / "code-interpreter/out.txt").read_text() == "result"
    assert (root / "data/sub/b.csv").read_text() == "2"


def test_nothing_beside_the_folder_is_seen(open_session: OpenSession, root: Path) -> None:
    (root.parent / "secret").write_text("s")
    (root / "link").symlink_to(root.parent / "secret")
    with open_session(host_dir=root, timeout=60) as session:
        assert session.run_command("cat link ../secret 2>/dev/null; ls /workspace/..  | grep -c secret").stdout == "0\n"
        with pytest.raises(libci.Error):
            session.read_file("link")


@pytest.mark.parametrize("name", ["nowhere", "file"])
def test_a_folder_that_is_none_is_refused(open_session: OpenSession, tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(libci.Error, match=f"host_dir.*{name}"):
        open_session(host_dir=tmp_path / name)
