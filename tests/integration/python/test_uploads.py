"""Uploads: in the sandbox before the first call, archives unpacked, hostile ones tamed, the guest's own files kept."""

from __future__ import annotations

import io
import json
import os
import stat
import subprocess
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

import libci
from libci import FileStatus

OpenSession = Callable[..., libci.Session]


def make_zip(path: Path, entries: dict[str, bytes | str]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries.items():
            archive.writestr(zipfile.ZipInfo(name, (2025, 1, 1, 0, 0, 0)), data)


def tree(session: libci.Session) -> dict[str, str]:
    """Regular files below the root, with their first bytes."""
    code = (
        "import json, os\nfound = {}\nfor folder, _, names in os.walk('.'):\n    for name in names:\n"
        "        path = os.path.relpath(os.path.join(folder, name))\n"
        "        if os.path.isfile(path) and not os.path.islink(path):\n"
        "            found[path] = open(path, 'rb').read(100).decode('latin-1')\nprint(json.dumps(found))"
    )
    return json.loads(session.run_code(code).stdout)


def test_uploads_are_there_before_the_first_call_with_their_folders(open_session: OpenSession, workspace: Path) -> None:
    (workspace / "uploads/data.csv").write_text("a,b\n1,2\n")
    (workspace / "uploads/sub/deep").mkdir(parents=True)
    (workspace / "uploads/sub/deep/x.bin").write_bytes(b"\0\xff")
    session = open_session(workspace_dir=workspace)
    assert tree(session) == {"data.csv": "a,b\n1,2\n", "sub/deep/x.bin": "\0\xff"}
    assert {(f.path, f.status) for f in session.preload_report()} == {
        ("data.csv", FileStatus.PRELOADED),
        ("sub/deep/x.bin", FileStatus.PRELOADED),
    }
    assert session.run_code("open('data.csv', 'a').write('3,4')").ok  # they are the session's own


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz", "tar.bz2", "tar.xz", "tgz", "7z"])
def test_archives_are_unpacked_into_a_folder_of_their_name(
    open_session: OpenSession, workspace: Path, tmp_path: Path, kind: str
) -> None:
    content = tmp_path / "content"
    (content / "in").mkdir(parents=True)
    (content / "in/run.sh").write_text("#!/bin/sh\necho ran\n")
    (content / "in/run.sh").chmod(0o6755)
    (content / "ünï.txt").write_text("text")
    target = workspace / f"uploads/box.{kind}"
    commands = {"zip": ["zip", "-qr", target, "."], "7z": ["7z", "a", "-bd", target, "."]}
    subprocess.run(commands.get(kind, ["tar", "-caf", target, "."]), cwd=content, check=True, capture_output=True)
    session = open_session(workspace_dir=workspace)
    files = tree(session)
    assert set(files) == {"box/in/run.sh", "box/ünï.txt", f"box.{kind}"}
    (unpacked,) = [f for f in session.preload_report() if f.status is FileStatus.UNPACKED]
    assert (unpacked.path, unpacked.target, unpacked.refused_count) == (f"box.{kind}", "box", 0)
    if kind != "7z":  # which keeps no modes
        assert session.run_command("box/in/run.sh").stdout == "ran\n"
    mode = int(session.run_code("import os; os.stat('box/in/run.sh').st_mode").value or 0)
    assert not mode & (stat.S_ISUID | stat.S_ISGID)


def test_a_taken_folder_name_gets_a_number(open_session: OpenSession, workspace: Path) -> None:
    make_zip(workspace / "uploads/a.zip", {"f": "zip"})
    (workspace / "uploads/a").mkdir()
    (workspace / "uploads/a/own").write_text("own")
    session = open_session(workspace_dir=workspace)
    files = tree(session)
    assert files["a/own"] == "own" and files["a (2)/f"] == "zip"


def test_an_archive_inside_an_archive_stays_a_file(open_session: OpenSession, workspace: Path) -> None:
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("f", "x")
    make_zip(workspace / "uploads/outer.zip", {"inner.zip": inner.getvalue()})
    assert sorted(tree(open_session(workspace_dir=workspace))) == ["outer.zip", "outer/inner.zip"]


def refusals(session: libci.Session) -> list[str]:
    """Archives that were not unpacked, and entries that were not."""
    return [f.path for f in session.preload_report() if f.error]


@pytest.mark.parametrize(
    "name",
    ["../evil", "/etc/evil", "a/../../evil", "ok/../../../evil", "a\\..\\..\\evil" if os.name == "nt" else "..", "."],
)
def test_an_entry_that_would_leave_the_folder_is_refused_alone(
    open_session: OpenSession, workspace: Path, name: str
) -> None:
    make_zip(workspace / "uploads/bad.zip", {"good1": "1", name: "evil", "good2": "2"})
    session = open_session(workspace_dir=workspace)
    files = tree(session)
    assert files["bad/good1"] == "1" and files["bad/good2"] == "2"
    assert not any("evil" in path for path in files if path not in ("bad.zip", "bad/etc/evil"))
    assert session.run_command("ls /etc/evil /evil ../evil 2>/dev/null").stdout == ""


def test_links_out_of_the_folder_and_devices_are_refused_sound_ones_kept(
    open_session: OpenSession, workspace: Path
) -> None:
    with tarfile.open(workspace / "uploads/t.tar", "w") as archive:

        def add(name: str, kind: bytes, link: str = "", data: bytes = b"") -> None:
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname, entry.size = kind, link, len(data)
            archive.addfile(entry, io.BytesIO(data))

        add("dir/file", tarfile.REGTYPE, data=b"sound")
        add("dir/inside", tarfile.SYMTYPE, "file")
        add("out", tarfile.SYMTYPE, "../../../etc/passwd")
        add("absolute", tarfile.SYMTYPE, "/etc/passwd")
        add("hard", tarfile.LNKTYPE, "/etc/passwd")
        add("through", tarfile.SYMTYPE, "..")
        add("through/evil", tarfile.REGTYPE, data=b"evil")
        add("fifo", tarfile.FIFOTYPE)
        add("null", tarfile.CHRTYPE)
        add("disk", tarfile.BLKTYPE)
        add("last", tarfile.REGTYPE, data=b"sound too")
    session = open_session(workspace_dir=workspace)
    assert session.run_command("cat t/dir/file t/dir/inside t/last").stdout == "soundsoundsound too"
    assert session.run_command("ls t/out t/absolute t/hard t/fifo t/null t/disk evil 2>/dev/null").stdout == ""
    report = session.preload_report()
    (unpacked,) = [f for f in report if f.status is FileStatus.UNPACKED]
    assert unpacked.refused_count >= 7
    assert len([f for f in report if f.error and f is not unpacked]) >= 7


def test_an_archive_that_promises_less_than_it_holds_is_stopped_and_removed(
    open_session: OpenSession, workspace: Path
) -> None:
    make_zip(workspace / "uploads/bomb.zip", {"zeros": bytes(64 << 20)})
    session = open_session(workspace_dir=workspace, archive_bytes=8 << 20)
    assert sorted(tree(session)) == ["bomb.zip"]
    assert refusals(session) == ["bomb.zip"]
    assert session.run_code("1 + 1").value == "2"


def test_too_many_entries_are_stopped_and_removed(open_session: OpenSession, workspace: Path) -> None:
    make_zip(workspace / "uploads/many.zip", {f"f{i}": b"" for i in range(300)})
    session = open_session(workspace_dir=workspace, archive_entry_count=100)
    assert sorted(tree(session)) == ["many.zip"]
    assert refusals(session) == ["many.zip"]


def test_a_damaged_archive_gives_what_is_sound(open_session: OpenSession, workspace: Path, tmp_path: Path) -> None:
    make_zip(tmp_path / "whole.zip", {f"f{i}": os.urandom(5000) for i in range(20)})
    data = bytearray((tmp_path / "whole.zip").read_bytes())
    data[50_000:50_010] = b"0123456789"
    (workspace / "uploads/damaged.zip").write_bytes(data)
    (workspace / "uploads/cut.zip").write_bytes(data[:60_000])
    (workspace / "uploads/nonsense.zip").write_bytes(b"PK\x03\x04 and nothing of the kind")
    (workspace / "uploads/empty.zip").write_bytes(b"")
    session = open_session(workspace_dir=workspace)
    files = tree(session)
    assert {"damaged.zip", "cut.zip", "nonsense.zip", "empty.zip"} <= set(files)
    assert "damaged/f0" in files and "cut/f0" in files
    assert session.run_code("1 + 1").value == "2"
    assert {"nonsense.zip"} <= set(refusals(session))
    damaged = next(f for f in session.preload_report() if f.path == "damaged.zip")
    assert damaged.status is FileStatus.UNPACKED and (damaged.entry_count, damaged.refused_count) == (19, 1)


def test_an_encrypted_archive_stays_a_file_and_is_reported(
    open_session: OpenSession, workspace: Path, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("secret")
    subprocess.run(
        ["zip", "-q", "-P", "password", workspace / "uploads/locked.zip", "secret"], cwd=tmp_path, check=True
    )
    session = open_session(workspace_dir=workspace)
    assert "locked.zip" in tree(session) and "locked/secret" not in tree(session)
    assert any("locked" in path or path == "secret" for path in refusals(session))


def test_new_uploads_appear_before_the_next_call(open_session: OpenSession, workspace: Path) -> None:
    session = open_session(workspace_dir=workspace)
    assert tree(session) == {}
    session.workspace_write("uploads/new.txt", "new")
    result = session.run_code("open('new.txt').read()")
    assert result.value == "'new'"
    assert [(f.path, f.status) for f in result.preload] == [("new.txt", FileStatus.PRELOADED)]
    assert result.json()["structuredContent"]["preload"]
    (workspace / "uploads/later.txt").write_text("later")
    assert session.run_command("cat later.txt").stdout == "later"
    assert session.run_command("true").preload == []


def test_a_changed_upload_is_brought_in_again_but_not_over_the_guests_change(
    open_session: OpenSession, workspace: Path
) -> None:
    (workspace / "uploads/mine").write_text("1")
    (workspace / "uploads/theirs").write_text("1")
    session = open_session(workspace_dir=workspace)
    session.run_command("echo -n guest > theirs")
    (workspace / "uploads/mine").write_text("22")
    (workspace / "uploads/theirs").write_text("22")
    result = session.run_command("cat mine theirs")
    assert result.stdout == "22guest"
    assert {(f.path, f.status) for f in result.preload} == {
        ("mine", FileStatus.PRELOADED),
        ("theirs", FileStatus.CONFLICT),
    }
    assert session.run_command("cat mine theirs").preload == []  # told once


def test_what_the_guest_made_is_not_overwritten(open_session: OpenSession, workspace: Path) -> None:
    session = open_session(workspace_dir=workspace)
    session.run_command("echo -n guest > taken; mkdir folder; touch folder/own")
    for name in ("taken", "folder", "new"):
        (workspace / "uploads" / name).write_text("upload")
    result = session.run_command("cat taken new; ls folder")
    assert result.stdout == "guestuploadown\n"
    assert {f.path: f.status for f in result.preload} == {
        "taken": FileStatus.CONFLICT,
        "folder": FileStatus.CONFLICT,
        "new": FileStatus.PRELOADED,
    }


def test_a_link_that_the_guest_planted_leads_no_upload_out(open_session: OpenSession, workspace: Path) -> None:
    (workspace.parent / "outside").mkdir(mode=0o777)
    session = open_session(workspace_dir=workspace)
    session.run_command(f"ln -s {workspace.parent}/outside link")
    (workspace / "uploads/link").mkdir()
    (workspace / "uploads/link/file").write_text("upload")
    assert session.run_command("echo on").stdout == "on\n"
    assert os.listdir(workspace.parent / "outside") == []


def test_preloading_and_unpacking_can_be_turned_off(open_session: OpenSession, workspace: Path) -> None:
    make_zip(workspace / "uploads/a.zip", {"f": "x"})
    assert tree(open_session(workspace_dir=workspace, preload=False, session_id=None)) == {}


def test_archives_stay_files_on_request(open_session: OpenSession, workspace: Path) -> None:
    make_zip(workspace / "uploads/a.zip", {"f": "x"})
    assert list(tree(open_session(workspace_dir=workspace, unpack=False))) == ["a.zip"]


def test_untouched_uploads_are_unchanged_for_a_push(open_session: OpenSession, workspace: Path) -> None:
    make_zip(workspace / "uploads/a.zip", {"f": "x", "g": "y"})
    (workspace / "uploads/kept").write_text("kept")
    session = open_session(workspace_dir=workspace)
    session.run_command("echo changed > a/g; echo new > new")
    result = session.push()
    assert {f.path for f in result.files if f.status is FileStatus.SAVED} == {"a/g", "new"}
    assert not (workspace / "code-interpreter/kept").exists()


def test_what_there_was_no_room_for_comes_once_there_is(open_session: OpenSession, workspace: Path) -> None:
    session = open_session(workspace_dir=workspace, workspace_bytes=8 << 20, timeout=60)
    session.run_command("head -c 5M /dev/zero > fill")
    (workspace / "uploads/large").write_bytes(bytes(6 << 20))
    assert [(f.path, f.status) for f in session.run_command("true").preload] == [("large", FileStatus.FAILED)]
    for _ in range(3):  # told once
        assert not session.run_command("true").preload
    session.run_command("rm fill")
    result = session.run_command("stat -c %s large")
    assert result.stdout == "6291456\n"
    assert [(f.path, f.status) for f in result.preload] == [("large", FileStatus.PRELOADED)]
    assert not session.run_command("true").preload


def test_uploads_that_cannot_be_brought_are_told_once(open_session: OpenSession, workspace: Path) -> None:
    (workspace / "uploads/good").write_text("good")
    (workspace / "uploads/link").symlink_to("good")
    session = open_session(workspace_dir=workspace)
    assert tree(session) == {"good": "good"}
    report = {f.path: (f.status, f.error) for f in session.preload_report()}
    assert report["good"][0] is FileStatus.PRELOADED
    assert report["uploads/"] == (FileStatus.FAILED, '"uploads/link": a link, and links are not followed')
    assert not session.run_command("true").preload
    (workspace / os.fsdecode(b"uploads/bad-\xff")).write_text("bad")
    (told,) = session.run_command("true").preload
    assert told.path == "uploads/" and "1 more are left out" in (told.error or "")
    files = {f.path: f.status for f in session.workspace_list()}
    assert files == {"uploads/good": FileStatus.OK, "uploads/": FileStatus.SKIPPED}
