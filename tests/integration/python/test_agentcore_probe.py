"""The probe by itself, where no session of the service can be brought to what is asked of it: in the root of a local session."""

from __future__ import annotations

import base64
import errno
import os
import shlex
from collections.abc import Iterator
from pathlib import Path

import libci
import pytest

PROBE = (Path(__file__).resolve().parents[3] / "lib/sandbox/agentcore/probe.py").read_bytes()
NONCE = "N" * 26


@pytest.fixture
def at(sandbox: libci.Sandbox) -> Iterator[libci.Session]:
    with libci.Session(sandbox=sandbox) as session:
        session.write_file("/tmp/probe.py", PROBE)
        yield session


def command(operation: str, *arguments: str, litter: str = "-") -> str:
    words = [base64.b64encode(os.fsencode(word)).decode() or "=" for word in (".", *arguments)]
    return shlex.join(["python3", "-I", "-S", "/tmp/probe.py", NONCE, litter, words[0], operation, *words[1:]])


def ask(
    session: libci.Session, operation: str, *arguments: str, litter: str = "-", before: str = ""
) -> list[list[str]]:
    """The lines that it tells, in words."""
    lines = session.run_command(before + command(operation, *arguments, litter=litter)).stdout.splitlines()
    assert lines[0] == f"ci:{NONCE}" and lines[-1] == ".", lines
    return [line.split() for line in lines[1:-1]]


def page(session: libci.Session, folder: str, after: str, most: int) -> list[str]:
    """What it tells of a tree after one name."""
    lines = ask(session, "tree", folder, "1", after, str(most))
    return [base64.b64decode(line[-1]).decode() for line in lines if line[0] == "n"]


def files(session: libci.Session, folder: str = ".") -> list[str]:
    return session.run_command(f"cd {folder} && find . -type f -o -type l | sort").stdout.split()


def test_a_page_misses_nothing_when_what_came_before_has_gone(at: libci.Session) -> None:
    at.run_command("mkdir -p t/a/b; touch t/a/b/c t/a/b-d t/a/z t/a-b t/b")
    assert page(at, "t", "", 3) == ["a", "a/b", "a/b/c"]
    at.remove_files("t/a/b/c")
    assert page(at, "t", "a/b/c", 3) == ["a/b-d", "a/z", "a-b"]
    assert page(at, "t", "a-b", 3) == ["b"]
    at.remove_files("t/a-b")
    assert page(at, "t", "a-b", 3) == ["b"]
    assert page(at, "t", "b", 3) == []


def test_the_services_files_are_told_when_they_have_changed_and_its_folders_when_something_was_put_there(
    at: libci.Session,
) -> None:
    at.run_command("mkdir -p log run; touch log/own run/own package.json package-lock.json; echo {} > part")
    ask(at, "hello", "1")
    at.run_command("rm part; echo {} > package.json; touch log/late; mkdir nodejs-js-execution src; echo 1 > part")
    assert page(at, ".", "", 99) == ["package.json", "part", "src"]
    assert ask(at, "join", "log/d/put", "part") == []
    assert page(at, ".", "", 99) == ["log", "log/d", "log/d/put", "package.json", "src"]
    ask(at, "hello", "0")
    assert page(at, ".", "log/d", 99) == ["log/d/put", "package.json", "src"]
    assert page(at, "log", "", 99) == ["d", "d/put", "late", "own"]


def test_of_another_clients_session_what_may_be_the_users_is_told(at: libci.Session) -> None:
    at.run_command("mkdir -p log .ipython nodejs-ts-execution; touch log/x .ipython/y nodejs-ts-execution/z package.json")
    ask(at, "hello", "0")
    assert page(at, ".", "", 99) == ["log", "log/x", "package.json"]


def test_what_a_file_is_put_together_of_is_gone_when_that_was_killed(at: libci.Session) -> None:
    first, second = f".ci-{NONCE}.0", f".ci-{NONCE}.1"
    at.run_command(f"echo 1 > {first}; mkfifo {second}")
    at.run_command(f"echo $$ > pid; exec {command('join', 'd/whole', first, second)}", background=True)
    killed = "kill -9 $p; while kill -0 $p; do :; done"
    at.run_command(f"exec 3> {second}; p=$(cat pid); rm pid; {killed}")  # it is open when both ends are
    ask(at, "tree", ".", "1", "", "9", litter=NONCE)
    assert files(at) == []


def test_a_file_whose_first_part_is_gone_is_not_put_together(at: libci.Session) -> None:
    first, second = f".ci-{NONCE}.0", f".ci-{NONCE}.1"
    at.run_command(f"echo 2 > {second}")
    assert ask(at, "join", "whole", first, second)[0][:2] == ["!", str(errno.ENOENT)]
    assert files(at) == [f"./{second}"]


def test_a_file_goes_to_another_file_system_and_leaves_nothing_there_either(at: libci.Session) -> None:
    part = f".ci-{NONCE}.0"
    at.run_command(f"echo 1 > {part}")
    assert at.run_code(f"import os; os.rename('{part}', '/dev/shm/x')").error_message.startswith("[Errno 18]")
    assert ask(at, "join", "/dev/shm/whole", part) == []
    assert at.run_command("cat /dev/shm/whole").stdout == "1\n"
    assert files(at) == [] and files(at, "/dev/shm") == ["./whole"]
    at.run_command(f"rm /dev/shm/whole; echo 1 > {part}; mkdir /dev/shm/whole")  # which no rename replaces
    assert ask(at, "join", "/dev/shm/whole", part)[0][0] == "!"
    assert files(at, "/dev/shm") != []
    ask(at, "tree", ".", "1", "", "9", litter=NONCE)
    assert files(at) == [] and files(at, "/dev/shm") == []


def test_a_path_that_is_too_long_fails_a_walk_when_all_else_was_told(at: libci.Session) -> None:
    deep = "import os\nfor _ in range(17):\n    os.mkdir('d' * 250)\n    os.chdir('d' * 250)"
    at.run_command(f"mkdir t; cd t; touch z; {shlex.join(['python3', '-c', deep])}")
    *_, last, error = ask(at, "tree", "t", "1", "", "99")
    assert base64.b64decode(last[-1]) == b"z" and error[:2] == ["!", str(errno.ENAMETOOLONG)]


def test_what_an_earlier_page_could_not_look_at_fails_the_last(at: libci.Session) -> None:
    deep = "import os\nfor _ in range(17):\n    os.mkdir('d' * 250)\n    os.chdir('d' * 250)"
    at.run_command(f"mkdir t; cd t; touch y z; {shlex.join(['python3', '-c', deep])}")
    error = str(errno.ENAMETOOLONG)
    *_, y, more = ask(at, "tree", "t", "1", "", "17")
    assert base64.b64decode(y[-1]) == b"y" and more == ["m", error]
    z, last = ask(at, "tree", "t", "1", "y", "17", more[1])
    assert base64.b64decode(z[-1]) == b"z" and last[:2] == ["!", error]


# -- commands and tasks


PLACE = f"/tmp/ci-{NONCE}"


def run(session: libci.Session, text: str, before: str = "") -> list[list[str]]:
    return ask(session, "run", NONCE, "100", ".", text, "0", before=before)


def test_a_command_that_begins_when_it_was_given_up_does_not(at: libci.Session) -> None:
    assert ask(at, "mkdir", "d", litter=f",{NONCE}") == []
    assert run(at, "touch ran")[0][:2] == ["!", "17"]
    assert files(at) == []


def test_a_command_that_is_given_up_while_it_begins_is_killed(at: libci.Session) -> None:
    at.run_command(f"mkdir -p {PLACE}/over")
    ended = at.run_code(
        "import os; names = {}; exec(open('/tmp/probe.py').read().rpartition('main()')[0], names)\n"
        f"pid = names['start']('{PLACE}', b'sleep 1000', [], 1, 2); print(os.WTERMSIG(os.waitpid(pid, 0)[1]))",
        timeout=30,
    )
    assert ended.stdout == "9\n"


def test_what_cannot_be_removed_of_litter_holds_nothing_up(at: libci.Session) -> None:
    at.run_command(f"mkdir .ci-{NONCE}.0; touch .ci-{NONCE}.1")
    assert ask(at, "mkdir", "d", litter=f",{NONCE}") == []
    assert at.run_command("ls").stdout == "d\n" and files(at) == []


def test_a_full_disk_ends_no_command_and_what_finds_no_room_is_counted(at: libci.Session) -> None:
    told, gone, end = run(at, "printf %01500d 0; exit 3", before="ulimit -f 1; ")  # 1024 bytes in any file
    assert base64.b64decode(told[1]) == b"0" * 100 and gone == ["O", "376"]
    assert end[:3] == ["x", "3", "0"] and end[4:] == ["1024", "0", "0"]
    at.run_command(f"rm -r {PLACE}")
    said, end = run(at, "echo said", before="ulimit -f 0; ")
    assert base64.b64decode(said[1]) == b"said\n" and end[:3] == ["x", "0", "0"]


def look(session: libci.Session, begin: int) -> list[list[str]]:
    return ask(session, "look", NONCE, str(begin), "0", "100000", "0")


def printed(data: bytes) -> list[str]:
    return ["o", base64.b64encode(data).decode()]


def test_what_of_a_task_finds_no_room_is_told_and_no_more(at: libci.Session) -> None:
    task = f"printf %01500d 0; until [ -e {PLACE}/o.1500 ]; do sleep 0.01; done; printf again"
    assert ask(at, "task", NONCE, ".", task, before="ulimit -f 1; ") == []
    assert look(at, 0) == [printed(b"0" * 1024), ["m"], ["x", "0", "0"]]
    assert look(at, 1024) == [["O", "476"], printed(b"again"), ["x", "0", "0"]]


def test_a_full_disk_does_not_drive_out_what_a_task_printed_before(at: libci.Session) -> None:
    wait = "until [ -e o.$at ]; do sleep 0.01; done"
    spoil = f"for at in 1500 1501 1502 1503; do {wait}; rm o.$at; mkdir o.$at; printf x; done; at=1504; {wait}"
    assert ask(at, "task", NONCE, ".", f"cd {PLACE}; printf %01500d 0; {spoil}", before="ulimit -f 1; ") == []
    assert look(at, 0)[0] == printed(b"0" * 1024)
