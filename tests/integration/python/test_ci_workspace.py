"""ci-workspace, as people and scripts use it: one table for workspaces in a folder and on servers of S3."""

from __future__ import annotations

import hashlib
import json
import os
import pty
import random
import re
import select
import signal
import socket
import subprocess
import termios
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fcntl import ioctl
from pathlib import Path
from struct import pack
from typing import Union


import pytest
from conftest import BUCKET, BUILD, Bucket, Folder
from moments import PATIENCE
from s3lab.client import Client

pytestmark = pytest.mark.s3
PROGRAM = BUILD / "bin/ci-workspace"
Place = Union[Folder, Bucket]
MEGABYTES = random.Random(1).randbytes(20 << 20)
KEYS = ["plain.txt", "a b/c+d=e&f%41.txt", "déjà/vü 漢字.txt", "deep/er/and/deep/er.bin", "'quoted' \"twice\" (!*).txt", "empty"]


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess]:
    """Runs ci-workspace in a folder of its own, which is where files are."""
    (tmp_path / "here").mkdir()

    def run_it(*arguments: object, stdin: bytes = b"", **environment: str) -> subprocess.CompletedProcess:
        command = [str(PROGRAM), *map(str, arguments)]
        env = {**os.environ, **environment}
        pipes = {"capture_output": True, "timeout": PATIENCE, "check": False}
        return subprocess.run(command, cwd=tmp_path / "here", input=stdin, env=env, **pipes)  # type: ignore

    return run_it


Run = Callable[..., subprocess.CompletedProcess]


@pytest.fixture
def here(tmp_path: Path, run: Run) -> Path:
    return tmp_path / "here"


def make(folder: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def files_in(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


def good(done: subprocess.CompletedProcess) -> str:
    assert (done.returncode, done.stderr) == (0, b""), (done.stdout, done.stderr)
    return done.stdout.decode()


def lines(done: subprocess.CompletedProcess) -> list[dict]:
    return [json.loads(line) for line in done.stdout.splitlines()]


# -- there and back


def test_files_of_any_name_go_there_and_come_back(run: Run, here: Path, place: Place) -> None:
    files = {key: key.encode() * 1000 if key != "empty" else b"" for key in KEYS}
    make(here / "data", files)
    assert good(run("put", place.name, "data/", "/")) == ""
    assert place.contents() == files
    assert good(run("list", place.name)).splitlines() == sorted(KEYS, key=str.encode)
    assert good(run("get", place.name, "/", "-o", "back")) == ""
    assert files_in(here / "back") == files
    assert good(run("rm", place.name, *KEYS[:2])) == ""
    assert sorted(place.contents()) == sorted(KEYS[2:])
    assert good(run("rm", "-r", place.name, "/")) == ""
    assert place.contents() == {}


def test_a_large_file_goes_there_and_comes_back(run: Run, here: Path, place: Place) -> None:
    make(here, {"large": MEGABYTES})
    good(run("put", place.name, "large"))
    good(run("get", place.name, "large", "-o", "back"))
    assert (here / "back").read_bytes() == MEGABYTES and place.unfinished() == []


def test_more_files_than_a_page_has(run: Run, here: Path, place: Place) -> None:
    count = 1050 if isinstance(place, Folder) else 50  # servers' own pages are the conformance suite's
    files = {f"{i:04}": b"%d" % i for i in range(count)}
    make(here / "many", files)
    good(run("put", "--parallel", "16", place.name, "many"))
    assert good(run("list", place.name)).splitlines() == [f"many/{name}" for name in files]
    good(run("get", place.name, "many/", "-o", "back"))
    assert files_in(here / "back") == files
    assert len(lines(run("--json", "rm", "-r", place.name, "many/"))) == count
    assert place.contents() == {}


@pytest.mark.parametrize(
    ("operands", "keys"),
    [
        (["one.txt"], ["one.txt"]),
        (["data/two.txt"], ["two.txt"]),
        (["one.txt", "x/y"], ["x/y"]),
        (["one.txt", "x/"], ["x/one.txt"]),
        (["data"], ["data/sub/three.txt", "data/two.txt"]),
        (["data/"], ["sub/three.txt", "two.txt"]),
        (["data/."], ["sub/three.txt", "two.txt"]),
        (["data", "x/"], ["x/data/sub/three.txt", "x/data/two.txt"]),
        (["data/", "one.txt", "x/"], ["x/one.txt", "x/sub/three.txt", "x/two.txt"]),
        (["one.txt", "data/two.txt", "/"], ["one.txt", "two.txt"]),
    ],
)
def test_where_files_are_put(run: Run, here: Path, place: Place, operands: list[str], keys: list[str]) -> None:
    make(here, {"one.txt": b"1", "data/two.txt": b"2", "data/sub/three.txt": b"3"})
    good(run("put", place.name, *operands))
    assert sorted(place.contents()) == keys


@pytest.mark.parametrize(
    ("operands", "files"),
    [
        (["a/one"], ["one"]),
        (["a/one", "-o", "x"], ["x"]),
        (["a/one", "-o", "x/"], ["x/one"]),
        (["a/one", "-o", "folder"], ["folder/one"]),
        (["a/one", "-o", "new/folder/file"], ["new/folder/file"]),
        (["a/one", "a/b/two"], ["one", "two"]),
        (["a/"], ["b/two", "one"]),
        (["a/", "-o", "new/folder"], ["new/folder/b/two", "new/folder/one"]),
        (["a/b/", "a/one", "-o", "x"], ["x/one", "x/two"]),
    ],
)
def test_where_files_are_fetched_to(run: Run, here: Path, place: Place, operands: list[str], files: list[str]) -> None:
    (here / "folder").mkdir()
    place.put("a/one", b"1")
    place.put("a/b/two", b"2")
    good(run("get", place.name, *operands))
    assert sorted(files_in(here)) == files


def test_standard_output_and_what_is_no_file_are_written_as_they_are(run: Run, here: Path, place: Place) -> None:
    place.put("one", b"1\0")
    place.put("two", b"2")
    assert run("get", place.name, "one", "two", "-o", "-").stdout == b"1\x002"
    good(run("get", place.name, "one", "-o", "/dev/null"))
    assert not Path("/dev/null").is_file()


def test_standard_input_is_stored_in_the_pieces_it_comes_in(run: Run, place: Place) -> None:
    command = [str(PROGRAM), "put", place.name, "-", "in/put"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        for start in range(0, len(MEGABYTES), 70001):
            process.stdin.write(MEGABYTES[start : start + 70001])
            process.stdin.flush()
        process.stdin.close()
        assert (process.wait(PATIENCE), process.stderr.read()) == (0, b"")
    content = place.contents()["in/put"]
    assert hashlib.sha256(content).digest() == hashlib.sha256(MEGABYTES).digest()


# -- what is told


def test_lists_tell_size_and_time_and_take_any_prefix(run: Run, place: Place) -> None:
    for key in ("a-b", "a.txt", "a/b", "a0"):
        place.put(key, key.encode())
    assert good(run("list", place.name, "a")).splitlines() == ["a-b", "a.txt", "a/b", "a0"]
    assert good(run("list", place.name, "a/")) == "a/b\n" and good(run("list", place.name, "b")) == ""
    assert re.fullmatch(r" +5  20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ  a\.txt\n", good(run("list", "-l", place.name, "a.")))
    (line,) = lines(run("--json", "list", place.name, "a."))
    assert (line["key"], line["size"]) == ("a.txt", 5) and line["modified"].endswith("Z") and line["etag"]


def test_json_tells_of_each_file(run: Run, here: Path, place: Place) -> None:
    make(here, {"data/one": b"1"})
    saved = {"status": "saved", "key": "x/one", "path": "data/one", "size": 1}
    assert lines(run("--json", "put", place.name, "data/", "x/")) == [saved]
    assert lines(run("--json", "get", place.name, "x/")) == [{**saved, "path": "one"}]
    done = run("--json", "rm", place.name, "x/one", "x/two")
    removed, failed = sorted(lines(done), key=lambda line: line["key"])
    assert removed == {"status": "removed", "key": "x/one"}
    assert (failed["status"], failed["key"]) == ("failed", "x/two") and failed["error"] and done.returncode == 1


def test_json_tells_names_that_are_not_utf8_each_in_its_own_way(run: Run, here: Path, tmp_path: Path) -> None:
    names = [b"\xff", rb"\xff", rb"\\xff", b"\xfe", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\\\xff", "é\\".encode()]
    for name in names:
        (here / os.fsdecode(name)).write_bytes(b"")
    told = lines(run("--json", "put", tmp_path / "workspace", "./", "/"))
    found = []
    for line in told:
        path = line["path"].removeprefix("./").encode()
        if line.get("path_escaped"):
            assert line["path"].isascii() and line["status"] == "failed"
            path = path.decode("unicode_escape").encode("latin-1")
        found.append(path)
    assert sorted(found) == sorted(names)


def test_one_that_fails_is_told_and_the_rest_goes_on(run: Run, here: Path, place: Place) -> None:
    make(here, {"data/good": b"1", "data/bad\tname": b"2"})
    (here / "data/link").symlink_to("good")
    os.mkfifo(here / "data/fifo")
    done = run("put", place.name, "data/", "missing", "x/")
    assert done.returncode == 1 and done.stdout == b"" and list(place.contents()) == ["x/good"]
    for text in (b"x/bad?name: ", b"data/link: a link: left out", b"data/fifo: ", b"missing: No such file"):
        assert text in done.stderr
    done = run("get", place.name, "x/none", "x/good", "nothing/")
    assert done.returncode == 1 and (here / "good").read_bytes() == b"1"
    assert b"x/none: " in done.stderr and b"nothing/: there is no file below it" in done.stderr
    done = run("rm", "-r", place.name, "none", "x/good", "nothing/")
    assert done.returncode == 1 and place.contents() == {} and b"none: " in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "a command"),
        (["list"], "a workspace"),
        (["lst", "W"], "list, get, put or rm"),
        (["list", "W", "a", "b"], "one PREFIX"),
        (["get", "W"], "a name after the workspace"),
        (["rm", "W", "a/"], "-r"),
        (["get", "W", ""], '"/"'),
        (["get", "W", "a/x", "b/x"], "both be written to x"),
        (["put", "a", "s3://bucket/b"], "comes first"),
        (["get", "--json", "W", "a", "-o", "-"], "standard output"),
        (["get", "-l", "W", "a"], "-l"),
        (["put", "-o", "x", "W", "a"], "-o"),
        (["put", "W", "-"], "a KEY"),
        (["put", "W", "/etc", "x"], "slash at its end"),
        (["put", "W", "a", "b", "x"], "slash at its end"),
        (["list", "--changed", "W"], "--changed"),
        (["list", "--parallel", "0", "W"], "1 to 64"),
        (["list", "--timeout", "soon", "W"], "--timeout: give seconds"),
        (["list", "--region", "", "W"], "empty"),
        (["list", "--region", "eu", "W"], "s3://"),
        (["list", "gs://bucket"], "s3://"),
        (["list", "--no-such-option", "W"], "--help"),
    ],
)
def test_wrong_use_is_told_and_ends_with_2(run: Run, tmp_path: Path, arguments: list[str], said: str) -> None:
    (tmp_path / "W").mkdir()
    done = run(*(str(tmp_path / "W") if argument == "W" else argument for argument in arguments))
    assert (done.returncode, done.stdout) == (2, b"") and said in done.stderr.decode(), done.stderr


def test_help_and_version(run: Run) -> None:
    page = good(run("--help"))
    for word in "list get put rm --endpoint --region --profile --ca-file --parallel --timeout --changed --json".split():
        assert word in page
    assert all(len(line) <= 120 for line in page.splitlines())
    assert good(run("--version")).startswith("libci ")
    assert b"standard output" in subprocess.run([PROGRAM, "--help"], stdout=Path("/dev/full").open("wb"), stderr=-1).stderr


def test_a_folder_that_is_not_there_is_made_by_put_alone(run: Run, here: Path) -> None:
    make(here, {"file": b"1"})
    for command in (["list"], ["get", "x"], ["rm", "x"]):
        assert run(command[0], "new", *command[1:]).returncode == 1 and not (here / "new").exists()
    good(run("put", "new", "file"))
    assert files_in(here / "new") == {"file": b"1"}


# -- files that would be in each other's place


def test_of_two_keys_with_one_path_the_second_is_told_and_not_written(run: Run, here: Path, place: Place) -> None:
    for key in ("p/same", "q/same", "q/other"):
        place.put(key, key.encode())
    for names in (["p/", "q/"], ["p/same", "q/"], ["--changed", "p/", "q/"]):
        done = run("--json", "get", place.name, *names, "-o", "out")
        assert done.returncode == 1 and b"q/same: p/same and q/same would both be written to same" in done.stderr
        assert [line["key"] for line in lines(done) if line["status"] == "failed"] == ["q/same"]
        assert files_in(here / "out") == {"same": b"p/same", "other": b"q/other"}
    done = run("--json", "get", place.name, "p/", "p/same", "p/", "-o", "once")
    assert good(done) and [line["key"] for line in lines(done)] == ["p/same"]


def test_a_path_that_is_a_file_and_a_folder_is_what_came_first(run: Run, here: Path, place: Place) -> None:
    for key in ("p/a", "p/a-b", "q/a/b/c", "q/z"):
        place.put(key, key.encode())
    rows = {("p/", "q/"): ["a", "a-b", "z"], ("q/", "p/"): ["a-b", "a/b/c", "z"]}
    for names, files in rows.items():
        for again in range(5):  # whichever download ends first
            folder = f"{names[0]}{again}"
            done = run("get", place.name, *names, "-o", folder)
            assert done.returncode == 1 and b'"a" is both a file and a folder there' in done.stderr
            assert len(done.stderr.splitlines()) == 1 and sorted(files_in(here / folder)) == files


def test_the_folder_is_made_with_the_first_file(run: Run, here: Path, place: Place) -> None:
    place.put("key", b"content")
    for names in (["none"], ["nothing/"]):
        assert run("get", place.name, *names, "-o", "new/folder/").returncode == 1 and not os.listdir(here)
    assert run("get", place.name, "none", "-o", "new/file").returncode == 1 and not os.listdir(here)
    make(here, {"file": b""})
    done = run("get", place.name, "/", "-o", "file")
    assert (done.returncode, done.stderr) == (1, b"ci-workspace: file: Not a directory\n")
    good(run("get", place.name, "key", "-o", "new/folder/"))
    assert files_in(here / "new") == {"folder/key": b"content"}


# -- what changed


def test_only_what_changed_is_sent_and_fetched(run: Run, here: Path, place: Place) -> None:
    make(here / "data", {"same": b"1", "size": b"2", "time": b"3"})
    for name in ("same", "size", "time"):  # servers tell times in seconds: what is as new as that is sent again
        os.utime(here / "data" / name, (1e9, 1e9))
    good(run("--changed", "put", place.name, "data/", "x/"))
    make(here / "data", {"size": b"22", "new": b"4"})
    os.utime(here / "data/time", (4e9, 4e9))
    found = {line["key"]: line["status"] for line in lines(run("--json", "--changed", "put", place.name, "data/", "x/"))}
    assert found == {"x/same": "unchanged", "x/size": "saved", "x/time": "saved", "x/new": "saved"}
    good(run("get", place.name, "x/", "-o", "back"))
    make(here / "back", {"size": b"2"})
    os.utime(here / "back/time", (1, 1))
    (here / "back/new").unlink()
    for names in (["x/"], ["x/same", "x/size", "x/time", "x/new"]):
        done = run("--json", "--changed", "get", place.name, *names, "-o", "back")
        assert {line["key"]: line["status"] for line in lines(done)} == found
        found = dict.fromkeys(found, "unchanged")
    assert files_in(here / "back") == {"same": b"1", "size": b"22", "time": b"3", "new": b"4"}


# -- nothing half done, nothing elsewhere


def test_a_file_is_replaced_whole_or_stays(run: Run, here: Path, place: Place) -> None:
    place.put("key", b"new")
    make(here, {"file": b"old content"})
    os.chmod(here / "file", 0o640)
    with (here / "file").open("rb") as reader:
        assert run("get", place.name, "missing", "-o", "file").returncode == 1
        assert files_in(here) == {"file": b"old content"}
        good(run("get", place.name, "key", "-o", "file"))
        assert reader.read() == b"old content"
    assert files_in(here) == {"file": b"new"} and (here / "file").stat().st_mode & 0o777 == 0o640


def test_links_are_not_followed(run: Run, here: Path, place: Place) -> None:
    for key in ("folder/file", "file", "good"):
        place.put(key, b"new")
    make(here, {"outside/file": b"old"})
    (here / "target").mkdir()
    (here / "target/folder").symlink_to("../outside")
    (here / "target/file").symlink_to("../outside/file")
    done = run("get", place.name, "/", "-o", "target")
    assert done.returncode == 1 and b"folder/file: the way to it leads through a link" in done.stderr
    assert files_in(here / "outside") == {"file": b"old"} and not (here / "target/file").is_symlink()
    assert (here / "target/good").read_bytes() == (here / "target/file").read_bytes() == b"new"


def test_a_file_that_is_full_is_told_and_gone(run: Run, here: Path, place: Place) -> None:
    place.put("key", b"content")
    done = run("get", place.name, "key", "-o", "/dev/full")
    assert done.returncode == 1 and b"key: No space left on device" in done.stderr


@contextmanager
def started(*arguments: object, **options: object) -> Iterator[subprocess.Popen]:
    with subprocess.Popen([str(PROGRAM), *map(str, arguments)], **options) as process:  # type: ignore
        yield process
        if process.poll() is None:
            process.kill()


def test_a_signal_ends_an_upload_and_nothing_of_it_is_left(place: Place) -> None:
    with started("put", place.name, "-", "key", stdin=subprocess.PIPE) as process:
        process.stdin.write(MEGABYTES)
        process.stdin.flush()
        while not place.unfinished():  # a temporary file; an upload in parts
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 128 + signal.SIGINT
    assert place.unfinished() == [] and place.contents() == {}


def test_a_signal_ends_a_download_and_nothing_of_it_is_left(run: Run, here: Path, place: Place) -> None:
    place.put("key", MEGABYTES)
    with started("get", place.name, "key", "-o", "file", cwd=here) as process:
        while process.poll() is None and not os.listdir(here):
            pass
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) in (0, 128 + signal.SIGTERM)
        left = files_in(here)  # it may come when the file is in its place already
        assert left == {"file": MEGABYTES} or (left == {} and process.returncode), left.keys()


def test_a_reader_that_goes_away_ends_a_list(run: Run, place: Place) -> None:
    for i in range(3):
        place.put(f"key{i}", b"")
    reading, writing = os.pipe()
    os.close(reading)
    with started("list", place.name, stdout=writing, stderr=subprocess.PIPE) as process:
        assert (process.wait(PATIENCE), process.stderr.read()) == (1, b"")
    os.close(writing)


@pytest.mark.parametrize("command", [["list"], ["--json", "put", "file"], ["get", "key", "-o", "-"], ["--help"]])
def test_a_closed_standard_output_is_a_failure_that_is_told(run: Run, here: Path, place: Place, command: list[str]) -> None:
    make(here, {"file": b"1"})
    place.put("key", b"content")
    at = next((i for i, word in enumerate(command) if word in ("list", "put", "get")), len(command)) + 1
    words = [str(PROGRAM), *command[:at], place.name, *command[at:]]
    done = subprocess.run(["sh", "-c", '"$0" "$@" >&-', *words], cwd=here, stderr=-1, timeout=PATIENCE, check=False)
    assert done.returncode == 1 and b"Bad file descriptor" in done.stderr
    assert place.contents() == {"key": b"content", **({"file": b"1"} if "put" in command else {})}


def test_closed_standard_streams_take_nothing_and_give_nothing(here: Path, place: Place) -> None:
    make(here, {"large": MEGABYTES, "data/one": b"1"})
    rows = ["put W - empty <&-", "put W large 2>&-", "put W data/ x/ <&- >&- 2>&-", "get W large -o back <&- >&- 2>&-"]
    for row in rows:
        words = ["sh", "-c", f'W=$1; exec "$0" {row.replace("W", chr(34) + "$W" + chr(34))}', str(PROGRAM), place.name]
        assert subprocess.run(words, cwd=here, timeout=PATIENCE, check=False).returncode == 0, row
    assert place.contents() == {"empty": b"", "large": MEGABYTES, "x/one": b"1"}
    assert files_in(here) == {"large": MEGABYTES, "data/one": b"1", "back": MEGABYTES}


# -- the line of progress


def test_progress_is_a_line_of_a_terminal_no_wider_than_it_and_gone_at_the_end(place: Place) -> None:
    ours, theirs = pty.openpty()
    ioctl(ours, termios.TIOCSWINSZ, pack("HHHH", 24, 30, 0, 0))
    shown = b""
    with started("put", place.name, "-", "k\x01", stdin=subprocess.DEVNULL, stderr=theirs) as process:
        assert process.wait(PATIENCE) == 1  # such a key is refused, and told without its control byte
    assert b"k?: " in os.read(ours, 4096)
    environment = {**os.environ, "TERM": "xterm"}
    with started("put", place.name, "-", "key", stdin=subprocess.PIPE, stderr=theirs, env=environment) as p:
        while shown.count(b"\r") < 3:
            p.stdin.write(bytes(50000))
            p.stdin.flush()
            if select.select([ours], [], [], 0.01)[0]:
                shown += os.read(ours, 4096)
        p.stdin.close()
        assert p.wait(PATIENCE) == 0
    while select.select([ours], [], [], 0)[0]:
        shown += os.read(ours, 4096)
    os.close(ours)
    os.close(theirs)
    *drawn, last = shown.split(b"\r\x1b[K")
    for text in b"".join(drawn).split(b"\r"):
        text = text.removesuffix(b"\x1b[K")
        assert len(text) < 30 and (not text or re.match(rb"put: [01] files, ", text)), text
    assert last.startswith(b"put: 1 files, ") and last.endswith(b"\r\n")


def test_without_a_terminal_there_is_no_progress(run: Run, here: Path, place: Place) -> None:
    make(here, {"large": MEGABYTES})
    good(run("put", place.name, "large"))  # nothing at all


# -- servers of S3


@pytest.mark.parametrize(
    "command",
    [["list"], ["get", "a/", "key"], ["put", "file"], ["put", "--changed", "file"], ["rm", "key"], ["rm", "-r", "a/"]],
)
def test_a_deadline_ends_what_a_server_does_not_answer(run: Run, here: Path, command: list[str]) -> None:
    make(here, {"file": b"1"})
    with socket.create_server(("127.0.0.1", 0)) as silent:  # connections stand, and nobody is there
        environment = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_REGION": "us-east-1"}
        endpoint = "http://127.0.0.1:%d" % silent.getsockname()[1]
        done = run("--endpoint", endpoint, "--timeout", "0.3", command[0], "s3://bucket", *command[1:], **environment)
        assert b": : " not in done.stderr  # each with its name
    assert done.returncode == 1 and b": time-out after 0.3 s" in done.stderr, done.stderr


def test_a_deadline_ends_an_upload_whose_input_does_not_come(place: Place) -> None:
    with started("put", "--timeout", "0.3", place.name, "-", "key", stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.wait(PATIENCE) == 1 and b"key: " in process.stderr.read()
    assert place.contents() == {} and place.unfinished() == []


def test_what_is_wrong_with_a_server_is_told_with_a_remedy(run: Run, server: Client) -> None:
    bucket = f"s3://{BUCKET}"
    tls, ca = os.environ["CI_TEST_S3_TLS"], os.environ["CI_TEST_S3_CA"]
    rows: list[tuple[list[str], dict[str, str], str]] = [
        (["s3://no-such-bucket-here"], {}, "make the bucket"),
        ([bucket], {"AWS_SECRET_ACCESS_KEY": "wrong"}, "ignature"),
        ([bucket, "--endpoint", "http://127.0.0.1:1"], {}, "127.0.0.1"),
        ([bucket, "--endpoint", "ftp://127.0.0.1"], {}, "endpoint"),
        ([bucket, "--profile", "nobody"], {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, "nobody"),
        (["s3://"], {}, "bucket"),
    ]
    if tls:
        rows.append(([bucket, "--endpoint", tls], {}, "certificate"))
        good(run("list", f"{bucket}/nothing", "--endpoint", tls, "--ca-file", ca))
    for arguments, environment, said in rows:
        done = run("list", *arguments, **environment)
        assert done.returncode == 1 and done.stdout == b"" and said in done.stderr.decode(), (arguments, done.stderr)
        assert b"wrong" not in done.stderr.replace(b"wrong use", b"") or said != "ignature", done.stderr


def test_keys_that_lead_out_are_told_and_not_written(run: Run, here: Path, place: Bucket, server: Client) -> None:
    place.put("x/../../evil", b"bad")
    place.put("x/good", b"good")
    done = run("get", place.name, "x/", "-o", "target")
    assert done.returncode == 1 and b"evil" in done.stderr
    assert files_in(here) == {"target/good": b"good"}
