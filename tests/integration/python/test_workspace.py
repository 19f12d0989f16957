"""The workspace on disk: saving, pushing, what is unchanged, session ids, the calls on its files."""

from __future__ import annotations

import hashlib
import json
import math
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from moments import PATIENCE, until

import libci
from libci import FileStatus, Outcome

OpenSession = Callable[..., libci.Session]


def statuses(result: libci.Result) -> dict[str, FileStatus]:
    return {file.path: file.status for file in result.files}


def saved(workspace: Path) -> dict[str, bytes]:
    root = workspace / "code-interpreter"
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_output_filename_is_saved_after_the_run(open_session: OpenSession, workspace: Path) -> None:
    session = open_session(workspace_dir=workspace)
    result = session.run_code("open('chart.png', 'wb').write(b'\\x89PNG');", output_filename="chart.png")
    assert result.ok and statuses(result) == {"chart.png": FileStatus.SAVED}
    (file,) = result.files
    assert file.key == "code-interpreter/chart.png" and file.size == 4
    assert file.sha256 == hashlib.sha256(b"\x89PNG").hexdigest()
    assert saved(workspace) == {"chart.png": b"\x89PNG"}


def test_a_missing_output_file_is_an_error_that_names_what_was_written(
    open_session: OpenSession, workspace: Path
) -> None:
    session = open_session(workspace_dir=workspace)
    result = session.run_code("print('ran')\nopen('chart1.png', 'w').close()", output_filename="chart.png")
    assert result.outcome is Outcome.FAILED and result.stdout == "ran\n"
    assert "chart.png" in (result.error_message or "") and "chart1.png" in result.json_text()


def test_saving_comes_also_after_code_that_failed(open_session: OpenSession, workspace: Path) -> None:
    session = open_session(workspace_dir=workspace)
    result = session.run_code("open('half', 'w').write('x')\n1 / 0", output_filename="half")
    assert result.outcome is Outcome.EXCEPTION
    assert saved(workspace) == {"half": b"x"}


def test_push_saves_everything_in_root_and_folders(open_session: OpenSession, workspace: Path) -> None:
    session = open_session(workspace_dir=workspace)
    session.run_code(
        "import os\nos.makedirs('a/b')\nopen('a/data.csv', 'w').write('1')\nopen('a/b/data.csv', 'w').write('2')\n"
        "open('data.csv', 'w').write('3')\nopen('ünï ☃.txt', 'w').write('u')\n"
        "open('big', 'wb').write(bytes(9 << 20))\nopen('empty', 'w').close()"
    )
    result = session.push()
    assert result.ok, result.error_message
    assert {f.path: f.status for f in result.files} == dict.fromkeys(
        ["a/b/data.csv", "a/data.csv", "big", "data.csv", "empty", "ünï ☃.txt"], FileStatus.SAVED
    )
    files = saved(workspace)
    assert files.pop("big") == bytes(9 << 20)
    assert files == {"a/b/data.csv": b"2", "a/data.csv": b"1", "data.csv": b"3", "empty": b"", "ünï ☃.txt": b"u"}


def test_a_second_push_saves_only_what_changed(open_session: OpenSession, workspace: Path) -> None:
    session = open_session(workspace_dir=workspace)
    session.run_command("echo 1 > a; echo 1 > b; echo 1 > c")
    session.push()
    assert set(statuses(session.push()).values()) == {FileStatus.UNCHANGED}
    # The same size and time prove nothing.
    session.run_code(
        "import os\ns = os.stat('a')\nopen('a', 'w').write('2\\n')\nos.utime('a', ns=(s.st_atime_ns, s.st_mtime_ns))"
    )
    session.run_command("rm c")
    assert statuses(session.push()) == {"a": FileStatus.SAVED, "b": FileStatus.UNCHANGED}
    assert saved(workspace) == {"a": b"2\n", "b": b"1\n", "c": b"1\n"}


def test_a_write_through_a_mapping_is_noticed(open_session: OpenSession, workspace: Path) -> None:
    session = open_session(workspace_dir=workspace)
    session.run_code("import mmap\nf = open('m', 'w+b'); f.write(b'1111'); f.flush()\nm = mmap.mmap(f.fileno(), 4)")
    assert statuses(session.push()) == {"m": FileStatus.SAVED}
    session.run_code("m[0:4] = b'2222'")
    assert statuses(session.push()) == {"m": FileStatus.SAVED}
    assert saved(workspace) == {"m": b"2222"}


def test_push_of_named_paths_and_folders_names_what_is_missing(open_session: OpenSession, workspace: Path) -> None:
    session = open_session(workspace_dir=workspace)
    session.run_command("mkdir d; echo 1 > d/x; echo 2 > y; echo 3 > z")
    result = session.push("d", "nothing", "y")
    assert result.outcome is Outcome.FAILED
    assert statuses(result) == {"d/x": FileStatus.SAVED, "nothing": FileStatus.FAILED, "y": FileStatus.SAVED}
    assert sorted(saved(workspace)) == ["d/x", "y"]


def test_push_skips_what_cannot_or_should_not_be_saved_and_says_why(open_session: OpenSession, workspace: Path) -> None:
    session = open_session(workspace_dir=workspace)
    session.run_command(
        "echo 1 > good; ln -s good link; ln -s /etc/passwd out; mkfifo fifo; mkdir -p node_modules/x __pycache__ src\n"
        "echo 1 > node_modules/x/y; echo 1 > __pycache__/z; echo 1 > src/code"
    )
    session.write_file(b"bad-\xff", "1")
    result = session.push()
    by_status = {status: {f.path for f in result.files if f.status is status} for status in FileStatus}
    assert by_status[FileStatus.SAVED] == {"good", "src/code"}
    assert {"link", "out", "fifo", os.fsdecode(b"bad-\xff")} <= by_status[FileStatus.SKIPPED]
    assert all(f.error for f in result.files if f.status is FileStatus.SKIPPED)
    assert not by_status[FileStatus.FAILED]
    everything = open_session(workspace_dir=workspace, session_id="everything", push_everything=True)
    everything.run_command("mkdir node_modules; echo 1 > node_modules/x")
    assert statuses(everything.push()) == {"node_modules/x": FileStatus.SAVED}


def test_one_push_of_everything(open_session: OpenSession, workspace: Path) -> None:
    session = open_session(workspace_dir=workspace)
    session.run_command("mkdir node_modules; echo 1 > node_modules/x")
    assert statuses(session.push()) == {"node_modules": FileStatus.SKIPPED}
    assert statuses(session.push(everything=True, timeout=PATIENCE)) == {"node_modules/x": FileStatus.SAVED}
    assert statuses(session.push()) == {"node_modules": FileStatus.SKIPPED}


def test_push_says_what_lies_too_deep_to_be_saved(open_session: OpenSession, workspace: Path) -> None:
    session = open_session(workspace_dir=workspace)
    session.run_code(
        "import os\nhere = os.getcwd()\nopen('top', 'w').close()\n"
        "for _ in range(300):\n    os.mkdir('d'); os.chdir('d')\nopen('f', 'w').close(); os.chdir(here)"
    )
    result = session.push()
    assert result.outcome is Outcome.FAILED
    assert statuses(result) == {"top": FileStatus.SAVED, ".": FileStatus.FAILED}
    assert "folders deep" in (result.error_message or "")


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every folder")
def test_a_folder_that_cannot_be_read_is_told(open_session: OpenSession, workspace: Path) -> None:
    session = open_session(workspace_dir=workspace)
    make = "mkdir shut; echo x > shut/f; echo y > open; chmod 0 shut"
    result = session.run_command(f"echo ran; {make}", list_changes=True)
    assert result.ok and result.stdout == "ran\n"
    assert {file.path: file.status for file in result.changes} == {
        "open": FileStatus.CREATED,
        ".": FileStatus.FAILED,
    }
    result = session.push()
    assert statuses(result) == {"open": FileStatus.SAVED, ".": FileStatus.FAILED}
    assert "shut: Permission denied" in (result.error_message or "")


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every folder")
def test_listing_changes_never_loses_the_result(open_session: OpenSession, workspace: Path) -> None:
    session = open_session(workspace_dir=workspace)
    result = session.run_command("echo ran; chmod 0 .", list_changes=True)
    assert result.ok and result.stdout == "ran\n"
    assert [file.status for file in result.changes] == [FileStatus.FAILED]


def test_one_failure_does_not_stop_the_rest(open_session: OpenSession, workspace: Path) -> None:
    session = open_session(workspace_dir=workspace)
    (workspace / "code-interpreter/b").mkdir(parents=True)  # a folder stands where a file is to go
    session.run_command("echo 1 > a; echo 1 > b; echo 1 > c")
    result = session.push()
    assert result.outcome is Outcome.FAILED
    assert statuses(result) == {"a": FileStatus.SAVED, "b": FileStatus.FAILED, "c": FileStatus.SAVED}


def test_without_a_workspace_pushing_is_a_clear_error(session: libci.Session) -> None:
    with pytest.raises(libci.NotSupported, match="workspace"):
        session.push()


def test_sessions_with_ids_have_their_own_part(open_session: OpenSession, workspace: Path) -> None:
    (workspace / "one/uploads").mkdir(parents=True)
    (workspace / "one/uploads/mine").write_text("1")
    one = open_session(workspace_dir=workspace, session_id="one")
    two = open_session(workspace_dir=workspace, session_id="two")
    assert (one.run_command("ls").stdout, two.run_command("ls").stdout) == ("mine\n", "")
    two.run_command("echo 2 > out")
    assert two.push().files[0].key == "code-interpreter/out"
    assert (workspace / "two/code-interpreter/out").read_text() == "2\n"
    assert [f.path for f in one.workspace_list()] == ["uploads/mine"]
    assert [f.path for f in two.workspace_list("code-interpreter/")] == ["code-interpreter/out"]


def test_a_host_adds_prefixes_of_its_own(open_session: OpenSession, workspace: Path) -> None:
    (workspace / "office/ann").mkdir(parents=True)
    (workspace / "office/ann/plan.txt").write_text("plan")
    session = open_session(workspace_dir=workspace, user="ann", prefixes={"documents/": "office/{user}/"})
    assert session.run_command("ls").stdout == ""
    assert [file.path for file in session.workspace_list()] == ["documents/plan.txt"]
    assert session.workspace_read("documents/plan.txt") == b"plan"
    assert "plan" in session.tool_call("workspace_read", {"path": "documents/plan.txt"}).json_text()
    session.tool_call("workspace_write", {"path": "documents/new.txt", "text": "new"})
    assert (workspace / "office/ann/new.txt").read_text() == "new"
    with pytest.raises(libci.Invalid, match="begins with none of .*documents/"):
        session.workspace_read("office/ann/plan.txt")


def test_a_reader_of_the_manifest_sees_all_of_a_push(open_session: OpenSession, workspace: Path) -> None:
    session = open_session(workspace_dir=workspace, session_id="me", manifest="manifest.json")
    session.run_command("mkdir d; echo 1 > d/a; echo 22 > b")
    result = session.push()
    assert statuses(result)["manifest.json"] is FileStatus.SAVED and result.ok
    root = workspace / "me/code-interpreter"
    manifest = json.loads((root / "manifest.json").read_text())
    assert manifest["version"] == 1 and manifest["session"] == "me"
    files = {file["name"]: (file["size"], file["sha256"]) for file in manifest["files"]}
    assert files == {
        name: ((root / name).stat().st_size, hashlib.sha256((root / name).read_bytes()).hexdigest())
        for name in ("d/a", "b")
    }
    session.run_command("echo 3 > manifest.json")
    result = session.push()
    assert result.outcome is Outcome.FAILED and json.loads((root / "manifest.json").read_text()) == manifest
    assert "manifest" in next(file.error or "" for file in result.files if file.path == "manifest.json")
    assert "manifest.json" in statuses(session.push("manifest.json", manifest=""))
    assert (root / "manifest.json").read_text() == "3\n"


def test_progress_ends_with_all_that_was_transferred(open_session: OpenSession, workspace: Path) -> None:
    (workspace / "uploads/up").write_bytes(bytes(1 << 20))
    told: list[libci.Progress] = []
    session = open_session(workspace_dir=workspace, progress=told.append)
    assert told[-1] == libci.Progress("preload", 1, 1, 1 << 20, 1 << 20)
    session.run_command("echo 1 > a; head -c 3000000 /dev/zero > b")
    session.push()
    assert told[-1] == libci.Progress("push", 3, 3, 3000002, 3000002)
    told.clear()
    session.push()
    assert all(state.bytes_done == 0 for state in told)


def test_two_live_sessions_on_one_id_the_second_is_busy(open_session: OpenSession, workspace: Path) -> None:
    first = open_session(workspace_dir=workspace, session_id="same")
    with pytest.raises(libci.Busy):
        open_session(workspace_dir=workspace, session_id="same")
    first.close()
    open_session(workspace_dir=workspace, session_id="same")


@pytest.mark.parametrize("session_id", ["", "a b", "../x", "x" * 65, "ü", "a/b"])
def test_an_id_of_other_characters_is_refused(open_session: OpenSession, workspace: Path, session_id: str) -> None:
    with pytest.raises(libci.Invalid):
        open_session(workspace_dir=workspace, session_id=session_id)


def test_the_workspace_outlives_the_session(open_session: OpenSession, workspace: Path) -> None:
    session = open_session(workspace_dir=workspace)
    session.run_code("open('result.json', 'w').write('{}');", output_filename="result.json")
    session.close()
    later = open_session(workspace_dir=workspace)
    assert later.workspace_read("code-interpreter/result.json") == b"{}"
    assert later.run_command("ls").stdout == ""


def test_the_calls_on_workspace_files(open_session: OpenSession, workspace: Path) -> None:
    session = open_session(workspace_dir=workspace)
    session.workspace_write("code-interpreter/notes/ünï.txt", "0123456789")
    session.workspace_write("code-interpreter/notes/empty", b"")
    assert [(f.path, f.size) for f in session.workspace_list("code-interpreter/notes/")] == [
        ("code-interpreter/notes/empty", 0),
        ("code-interpreter/notes/ünï.txt", 10),
    ]
    assert session.workspace_read("code-interpreter/notes/ünï.txt", 3, 4) == b"3456"
    assert session.workspace_stat("code-interpreter/notes/ünï.txt").size == 10
    session.workspace_write("code-interpreter/notes/ünï.txt", "again")
    assert session.workspace_read("code-interpreter/notes/ünï.txt") == b"again"
    session.workspace_remove("code-interpreter/notes/ünï.txt")
    for call in (session.workspace_read, session.workspace_stat, session.workspace_remove):
        with pytest.raises(libci.NotFound):
            call("code-interpreter/notes/ünï.txt")


@pytest.mark.parametrize(
    "name",
    [
        "../outside",
        "uploads/../../outside",
        "uploads/..",
        "/etc/passwd",
        "code-interpreter/a/../../../outside",
        "",
        ".",
        "uploads//b",
        "uploads/",
        "other/b",
    ],
)
def test_no_name_leads_out_of_the_workspace(open_session: OpenSession, workspace: Path, name: str) -> None:
    session = open_session(workspace_dir=workspace)
    (workspace.parent / "outside").write_text("outside")
    with pytest.raises(libci.Error):
        session.workspace_read(name)
    with pytest.raises(libci.Error):
        session.workspace_write(name, "evil")
    assert (workspace.parent / "outside").read_text() == "outside"


def test_no_link_leads_out_of_the_workspace(open_session: OpenSession, workspace: Path) -> None:
    (workspace.parent / "outside").mkdir()
    (workspace.parent / "outside/secret").write_text("secret")
    (workspace / "uploads/link").symlink_to(workspace.parent / "outside")
    (workspace / "code-interpreter").symlink_to(workspace.parent / "outside")
    session = open_session(workspace_dir=workspace)
    assert "secret" not in session.run_command("ls -R").stdout
    session.run_command("echo evil > file")
    try:
        assert session.push().outcome is Outcome.FAILED
    except libci.Error:
        pass
    assert os.listdir(workspace.parent / "outside") == ["secret"]


def test_a_transfer_that_stops_leaves_the_old_file(open_session: OpenSession, workspace: Path) -> None:
    session = open_session(workspace_dir=workspace)
    session.workspace_write("uploads/f", "old")

    class Broken:
        left = 2

        def read(self, size: int) -> bytes:
            self.left -= 1
            if self.left < 0:
                raise OSError("the source broke")
            return b"x"

    with pytest.raises(OSError, match="the source broke"):
        session.workspace_put("uploads/f", Broken())  # type: ignore[arg-type]
    assert session.workspace_read("uploads/f") == b"old"
    assert os.listdir(workspace / "uploads") == ["f"]


def activity(session: libci.Session) -> int:
    """The session's number, when the kernel has come to rest after its last cell."""
    before, now = -1, session.info()["sandbox"]["guest"]["activity"]
    while now != before:
        time.sleep(0.05)
        before, now = now, session.info()["sandbox"]["guest"]["activity"]
    return now


def at_rest(session: libci.Session) -> int:
    """The same, when it has been so four times in a row: others may keep the kernel from running, and so from resting."""
    seen: set[int] = set()
    until(lambda: seen.clear() or seen.update(activity(session) for _ in range(4)) or len(seen) == 1, "rest")
    return seen.pop()


def test_a_session_knows_whether_anything_can_have_written(session: libci.Session) -> None:
    session.run_code("import os, threading, time")
    first = at_rest(session)
    assert first > 0
    session.run_command("true")
    second = activity(session)
    assert second > first
    session.run_code(
        "def now_and_then():\n    while not os.path.exists('stop'): time.sleep(0.5); open('late', 'w').close()\n"
        "thread = threading.Thread(target=now_and_then)\nthread.start()"
    )
    third = activity(session)
    assert third > second
    until(lambda: activity(session) > third, "what the thread did")
    session.write_file("stop", "")
    session.run_code("thread.join()\nimport subprocess; child = subprocess.Popen(['sleep', '1000'])")
    assert activity(session) == 0
    session.run_code("child.kill(); child.wait()")
    assert activity(session) > third
    task = session.run_command("sleep 1000 &").task_id
    assert activity(session) == 0
    session.stop_task(task)
    call = session.start_code("while not os.path.exists('go'): time.sleep(0.01)")
    assert activity(session) == 0
    session.write_file("go", "")
    assert call.result().ok


def test_a_push_after_which_nothing_ran_reads_no_file(open_session: OpenSession, workspace: Path) -> None:
    session = open_session(workspace_dir=workspace)
    session.run_code("open('big', 'wb').truncate(256 << 20)")
    session.push()
    unread = math.inf
    for _ in range(6):  # on a busy machine it may be in doubt, and then reads
        start = time.process_time()
        assert statuses(session.push()) == {"big": FileStatus.UNCHANGED}
        unread = min(unread, time.process_time() - start)
    session.run_command("true")
    start = time.process_time()
    assert statuses(session.push()) == {"big": FileStatus.UNCHANGED}
    read = time.process_time() - start
    assert unread < read / 5


def test_a_writable_mapping_is_not_missed(open_session: OpenSession, workspace: Path) -> None:
    session = open_session(workspace_dir=workspace)
    session.run_code(
        "import mmap, threading\nopen('f', 'wb').write(b'a' * 4096)\nf = open('f', 'r+b')\nm = mmap.mmap(f.fileno(), 0)\n"
        "m[0]\nwake = threading.Event()"
    )
    session.push()
    assert statuses(session.push()) == {"f": FileStatus.UNCHANGED}
    session.run_code("threading.Timer(0.3, lambda: m.__setitem__(0, 98)).start()")
    until(lambda: session.push().ok and saved(workspace)["f"].startswith(b"ba"), "what was written")


def test_a_named_path_that_is_a_link_or_leads_through_one_is_skipped(
    open_session: OpenSession, workspace: Path
) -> None:
    session = open_session(workspace_dir=workspace, timeout=PATIENCE)
    session.run_command("mkdir d d/e; echo 1 > d/f; ln -s / x; ln -s /etc/passwd p; ln -s ../f d/e/up; ln -s d/f good")
    result = session.push("x", "x/etc", "x/etc/passwd", "p", "d/e/up", "good", "d/f", "/workspace/p")
    assert result.ok
    skipped = {f.path: f.error for f in result.files if f.status is FileStatus.SKIPPED}
    assert skipped == {
        "x": "a link",
        "x/etc": "leads through a link",
        "x/etc/passwd": "leads through a link",
        "p": "a link",
        "d/e/up": "a link",
        "good": "a link",
    }
    assert saved(workspace) == {"d/f": b"1\n"}


@pytest.mark.parametrize("name", ["p", "x/etc/passwd"])
def test_a_link_named_as_output_is_a_failure_that_says_so(
    open_session: OpenSession, workspace: Path, name: str
) -> None:
    session = open_session(workspace_dir=workspace)
    result = session.run_command("echo ran; ln -s /etc/passwd p; ln -s / x", output_filename=name)
    assert result.outcome is Outcome.FAILED and result.stdout == "ran\n"
    assert statuses(result) == {name: FileStatus.FAILED}
    assert "link" in (result.error_message or "")
    assert saved(workspace) == {}


def test_a_path_above_the_sandbox_root_is_refused_not_bent(open_session: OpenSession, workspace: Path) -> None:
    session = open_session(workspace_dir=workspace, timeout=PATIENCE)
    session.run_command("echo 1 > x; mkdir d")
    result = session.push("../x", "d/../../x", "d/../x")
    assert statuses(result) == {"../x": FileStatus.FAILED, "d/../../x": FileStatus.FAILED, "x": FileStatus.SAVED}
    assert "leads above the sandbox root" in (result.error_message or "")
    with pytest.raises(libci.Invalid, match="output_filename: .*leads above the sandbox root"):
        session.run_command("echo ran > ran", output_filename="../x")
    refused = [
        session.tool_call("file_operations", {"operation": "read", "paths": ["x", "../x"]}),
        session.tool_call("file_operations", {"operation": "write", "content": {"path": "../x", "text": "2"}}),
    ]
    for result in refused:
        assert result.outcome is Outcome.REFUSED and "leads above the sandbox root" in (result.error_message or "")
    assert sorted(file.path for file in session.list_files()) == ["d", "x"]


def test_sparse_files_do_not_fill_the_workspace(open_session: OpenSession, workspace: Path) -> None:
    session = open_session(workspace_dir=workspace, workspace_bytes=8 << 20, timeout=PATIENCE)
    session.run_command("echo 1 > small; for i in $(seq 10); do truncate -s 7M sparse$i; done")
    result = session.push()
    assert result.outcome is Outcome.FAILED
    kept = [f.path for f in result.files if f.status is FileStatus.SAVED]
    assert len(kept) == 2 and "small" in kept
    assert all("more than the sandbox root can" in (f.error or "") for f in result.files if f.path not in kept)
    assert sum(map(len, saved(workspace).values())) < 8 << 20
    left = next(f.path for f in result.files if f.path not in kept)
    assert statuses(session.push(left)) == {left: FileStatus.SAVED}


@pytest.mark.parametrize("name", [".", "d/..", "/workspace", "new\nline"])
def test_an_output_name_that_can_never_be_saved_is_refused_before_the_run(
    open_session: OpenSession, workspace: Path, name: str
) -> None:
    session = open_session(workspace_dir=workspace)
    with pytest.raises(libci.Invalid, match="output_filename: "):
        session.run_command("echo ran > ran", output_filename=name)
    assert session.list_files() == []


def test_a_workspace_that_is_no_folder_is_named_once(open_session: OpenSession, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(libci.Error) as caught:
        open_session(workspace_dir=tmp_path / "file")
    assert str(caught.value).count("workspace:") == 1
    assert f"open session: workspace: folder {tmp_path}/file: Not a directory" in str(caught.value)
