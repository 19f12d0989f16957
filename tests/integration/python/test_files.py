"""Files of a session: bytes, names, streams, and what the code inside plants."""

from __future__ import annotations

import hashlib
import io
import os

import pytest

import libci
from libci import FileKind, FileStatus, Outcome

NAMES = [
    "plain.txt",
    "with space",
    "new\nline",
    "tab\there",
    "-rf",
    "ünï☃cødé",
    "日本語/中",
    "quote'\"$`\\",
    "...",
    ".hidden",
    "a/b/c/d/e/f",
    "x" * 255,
    b"not-utf8-\xff\xfe",
    "trailing ",
    "*?[x]",
]


@pytest.mark.parametrize("name", NAMES, ids=lambda value: repr(value)[:30])
def test_files_of_every_legal_name_go_in_and_out(session: libci.Session, name: str | bytes) -> None:
    data = bytes(range(256)) * 10
    session.write_file(name, data)
    assert session.read_file(name) == data
    inside = session.run_code(f"import os\nprint(open({os.fsencode(name)!r}, 'rb').read() == bytes(range(256)) * 10)")
    assert inside.stdout == "True\n"
    folder, base = os.path.split(os.fsdecode(name))
    assert base in [os.path.basename(file.path) for file in session.list_files(folder or ".")]
    session.remove_files(name)
    with pytest.raises(libci.NotFound):
        session.read_file(name)


@pytest.mark.parametrize(
    "data", [b"", b"\0", b"text\r\nkept\n", b"\xff" * 100, "snow ☃".encode()], ids=lambda value: repr(value)[:30]
)
def test_content_is_never_changed(session: libci.Session, data: bytes) -> None:
    session.write_file("f", data)
    assert session.read_file("f") == data
    (file,) = session.file_op("read", ["f"]).files
    assert file.data == data and file.size == len(data)
    assert file.is_text == (data.find(b"\0") < 0 and data != b"\xff" * 100)


def test_what_python_writes_is_read_and_the_other_way_round(session: libci.Session) -> None:
    session.run_code("open('from_inside', 'wb').write(b'\\x00\\x01')")
    assert session.read_file("from_inside") == b"\0\1"
    session.write_file("sub/from_outside", "hello")
    assert (
        session.run_code("open('sub/from_outside', 'a').write('!')\nopen('sub/from_outside').read()").value
        == "'hello!'"
    )


def test_several_files_at_once_the_good_ones_are_done_each_bad_one_named(session: libci.Session) -> None:
    result = session.file_op("write", content={"a": "1", "b/c": b"2", "b": "a folder is there"})
    assert result.outcome is Outcome.FAILED
    assert [(file.path, file.status) for file in result.files] == [
        ("a", FileStatus.OK),
        ("b/c", FileStatus.OK),
        ("b", FileStatus.FAILED),
    ]
    result = session.file_op("read", ["a", "nothing", "b/c"])
    assert [(file.path, file.data) for file in result.files if file.status is FileStatus.OK] == [
        ("a", b"1"),
        ("b/c", b"2"),
    ]
    (bad,) = [file for file in result.files if file.status is FileStatus.FAILED]
    assert bad.path == "nothing" and bad.error


def test_links_within_the_workspace_and_to_the_system_are_read_through(session: libci.Session) -> None:
    session.run_command("mkdir d; printf content > d/f; ln -s d e; ln -s d/f g; ln -s e/../g h; ln -s /usr/bin/env p")
    for path in ("d/f", "e/f", "g", "h", "/workspace/d/../e/f"):
        assert session.read_file(path) == b"content", path
        assert session.read_file(path, offset=3, length=2) == b"te", path
        assert session.read_file(path, offset=7) == session.read_file(path, offset=99) == b"", path
    assert session.read_file("p", length=4) == b"\x7fELF"


def test_listing_shows_one_level_with_kinds_and_sizes(session: libci.Session) -> None:
    session.run_command("mkdir d; echo 12345 > f; ln -s f link; mkfifo pipe; touch d/inside")
    files = {file.path: file for file in session.list_files()}
    assert {path: file.kind for path, file in files.items()} == {
        "d": FileKind.DIRECTORY,
        "f": FileKind.REGULAR,
        "link": FileKind.SYMLINK,
        "pipe": FileKind.OTHER,
    }
    assert files["f"].size == 6


def test_removing_takes_folders_with_all_they_hold_and_links_alone(session: libci.Session) -> None:
    session.run_command("mkdir -p d/e; touch d/e/f kept; ln -s ../kept d/link; ln -s kept other")
    session.remove_files("d", "other")
    assert [file.path for file in session.list_files()] == ["kept"]
    with pytest.raises(libci.Failed, match="nothing"):
        session.remove_files("nothing")


@pytest.mark.parametrize(
    "path",
    [
        "../../../../../../etc/hostname-of-the-host",
        "/proc/self/environ",
        "/proc/1/root/etc/passwd",
        "/sys/kernel/uevent_helper",
        "/dev/mem",
        "/dev/null",
        "/proc/sys/kernel/core_pattern",
        "folder/core_pattern",
        ".",
        "",
    ],
)
def test_what_is_neither_the_sessions_nor_a_file_is_not_read_nor_written(session: libci.Session, path: str) -> None:
    session.run_command("ln -s /proc/sys/kernel folder")
    with pytest.raises(libci.Error):
        session.read_file(path)
    with pytest.raises(libci.Error):
        session.write_file(path, b"never")


@pytest.mark.parametrize("target", ["/proc/sys/kernel/core_pattern", "/etc/passwd", "name", "fifo"])
def test_what_stands_at_a_files_place_is_replaced_not_followed_and_never_hangs(
    session: libci.Session, target: str
) -> None:
    core_pattern = open("/proc/sys/kernel/core_pattern").read()
    session.run_command("mkfifo name" if target == "fifo" else f"ln -s {target} name")
    if target != "/etc/passwd":
        with pytest.raises(libci.Error):
            session.read_file("name")
    try:
        session.write_file("name", b"written")
        assert session.run_command("stat -c %F name; cat name").stdout == "regular file\nwritten"
    except libci.Error:
        pass
    assert open("/proc/sys/kernel/core_pattern").read() == core_pattern


def test_a_link_planted_by_the_code_leads_to_its_own_tree_only(session: libci.Session, tmp_path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("of the host")
    os.chmod(tmp_path, 0o755)
    session.run_command(f"ln -s {secret} link; ln -s {tmp_path} folder; ln -s / root")
    for path in ("link", "folder/secret", f"root{secret}"):
        with pytest.raises(libci.Error):
            session.read_file(path)
        try:
            session.write_file(path, b"from inside")
        except libci.Error:
            pass
    assert secret.read_text() == "of the host"
    assert os.listdir(tmp_path) == ["secret"]


def test_parts_of_a_file_are_read(session: libci.Session) -> None:
    session.write_file("f", bytes(range(100)))
    assert session.read_file("f", 10, 5) == bytes(range(10, 15))
    assert session.read_file("f", 95) == bytes(range(95, 100))
    assert session.read_file("f", 1000) == b""


def test_a_stream_that_stops_leaves_the_target_as_it_was(session: libci.Session) -> None:
    session.write_file("f", "as it was")

    class Broken(io.RawIOBase):
        pieces = 3

        def read(self, size: int = -1) -> bytes:
            self.pieces -= 1
            if self.pieces < 0:
                raise OSError("the source broke")
            return b"x" * 1000

    with pytest.raises(OSError, match="the source broke"):
        session.put("f", Broken())  # type: ignore[arg-type]
    assert session.read_file("f") == b"as it was"
    assert [file.path for file in session.list_files()] == ["f"]


class Pattern(io.RawIOBase):
    """Bytes that cost no memory, with their hash."""

    def __init__(self, size: int) -> None:
        self.left = size
        self.hash = hashlib.sha256()
        self.block = bytes(range(256)) * 4096

    def read(self, size: int = -1) -> bytes:
        data = self.block[: min(size, self.left)]
        self.left -= len(data)
        self.hash.update(data)
        return data


class Hash(io.RawIOBase):
    def __init__(self) -> None:
        self.hash = hashlib.sha256()

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self.hash.update(data)
        return len(data)


def peak_kib() -> int:
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def round_trip(session: libci.Session, size: int) -> None:
    with open("/proc/self/clear_refs", "w") as clear:
        clear.write("5")  # the peak starts anew
    before = peak_kib()
    source, target = Pattern(size), Hash()
    session.put("big", source)  # type: ignore[arg-type]
    inside = session.run_command("sha256sum < big").stdout.split()[0]
    session.get("big", target)  # type: ignore[arg-type]
    assert inside == source.hash.hexdigest() == target.hash.hexdigest()
    assert peak_kib() - before < 64 << 10


def test_a_large_file_goes_in_and_out_in_bounded_memory(session: libci.Session) -> None:
    round_trip(session, 200 << 20)


@pytest.mark.long
def test_a_gigabyte_goes_in_and_out_in_bounded_memory(session: libci.Session) -> None:
    round_trip(session, 1 << 30)


@pytest.mark.long
def test_a_gigabyte_printed_costs_bounded_memory(session: libci.Session) -> None:
    before = peak_kib()
    count = [0]

    def take(stream: str, data: bytes) -> None:
        count[0] += len(data)

    result = session.run_command("head -c 1073741824 /dev/zero", timeout=300, on_output=take)
    assert result.stdout_total == count[0] == 1 << 30
    assert peak_kib() - before < 64 << 10


def test_streams_that_take_or_give_a_little_at_a_time_lose_nothing(session: libci.Session) -> None:
    class Little(io.BytesIO):
        def read(self, size: int = -1) -> bytes:
            return super().read(min(size, 1000))

        def write(self, data: bytes) -> int:
            return super().write(data[:1000])

    data = bytes(range(256)) * 1000
    session.put("little", Little(data))
    target = Little()
    session.get("little", target)
    assert target.getvalue() == data


def test_text_and_more_than_was_asked_for_are_no_bytes_to_put(session: libci.Session) -> None:
    class Generous(io.BytesIO):
        def read(self, size: int = -1) -> bytes:
            return b"x" * (size + 1)

    with pytest.raises(TypeError):
        session.put("refused", io.StringIO("text"))
    with pytest.raises(ValueError, match="returned"):
        session.put("refused", Generous())
    assert session.list_files() == []


def test_one_call_reads_64_mib_and_names_what_is_beyond(session: libci.Session) -> None:
    session.run_command("for i in 1 2 3 4; do truncate -s 30M big$i; done; truncate -s 33M huge; echo 1 > small")
    result = session.file_op("read", ["big1", "huge", "big2", "big3", "big4", "small"])
    assert result.outcome is Outcome.FAILED
    assert [f.path for f in result.files if f.status is FileStatus.OK] == ["big1", "big2", "small"]
    assert {f.path: f.error for f in result.files if f.status is FileStatus.FAILED} == {
        "huge": "larger than 32 MiB: too large to be read whole",
        "big3": "more than 64 MiB in one call: read it in a call of its own",
        "big4": "more than 64 MiB in one call: read it in a call of its own",
    }


def test_a_large_folder_is_listed_bit_by_bit_in_byte_order(session: libci.Session) -> None:
    session.run_code("import os\nos.mkdir('d')\nfor i in range(20000):\n    open(f'd/{i * 7919 % 20000}', 'w').close()")
    names = [file.path for file in session.list_files("d")]
    assert names == sorted(f"d/{i}" for i in range(20000))
    result = session.file_op("list", ["d"], timeout=0.01)  # no step of it takes as long as the whole
    assert result.outcome is Outcome.TIMEOUT
