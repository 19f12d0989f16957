"""Storages and their objects without a session: one table for folders and for servers of S3."""

from __future__ import annotations

import io
import os
import random
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any, Union

import pytest
from conftest import BUCKET, Bucket, Folder
from moments import PATIENCE
from s3lab.client import Client

import libci

Place = Union[Folder, Bucket]
MEGABYTES = random.Random(1).randbytes(20 << 20)
KEYS = ["plain.txt", "a b/c+d=e&f%41.txt", "déjà/vü 漢字.txt", "deep/er/er.bin", "'quoted' \"twice\" (!*).txt", "empty"]
SECRET = "wJalrXUtnFEMI+K7MDENG/bPxRfiCYEXAMPLEKEY"


def make_storage(place: Place) -> libci.Storage:
    return libci.Storage.s3(place.name) if isinstance(place, Bucket) else libci.Storage.dir(place.name, sync=False)


@pytest.fixture
def storage(place: Place) -> Iterator[libci.Storage]:
    with make_storage(place) as storage:
        yield storage


def keys_of(objects: list[libci.Object]) -> list[str]:
    return [one.key for one in objects]


# -- there and back


@pytest.mark.s3
def test_objects_of_any_key_go_there_and_come_back(storage: libci.Storage, place: Place) -> None:
    contents = {key: key.encode() * 1000 if key != "empty" else b"" for key in KEYS}
    for key, content in contents.items():
        written = storage.write(key, content)
        assert (written.key, written.size) == (key, len(content)) and written.etag
        found = storage.stat(key)
        assert (found.key, found.size, found.etag) == (key, len(content), written.etag)
        assert found.sha256 in (None, sha256(content).hexdigest()) and found.modified_ms > 1_700_000_000_000
        assert storage.read(key) == content
    assert place.contents() == contents
    assert keys_of(storage.list()) == sorted(KEYS, key=str.encode)
    storage.write("plain.txt", "as text: é")
    assert storage.read("plain.txt") == "as text: é".encode()
    storage.remove(*KEYS)
    assert place.contents() == {} and storage.list() == []


@pytest.mark.s3
def test_files_are_streamed(storage: libci.Storage, place: Place) -> None:
    written = storage.put("large", io.BytesIO(MEGABYTES), size=len(MEGABYTES), sha256=sha256(MEGABYTES).hexdigest())
    target = io.BytesIO()
    assert storage.get("large", target).etag == written.etag
    assert target.getvalue() == MEGABYTES
    assert storage.put("unknown", io.BytesIO(MEGABYTES)).size == len(MEGABYTES)
    assert place.contents("unknown")["unknown"] == MEGABYTES and place.unfinished() == []


@pytest.mark.s3
def test_a_range_is_read(storage: libci.Storage) -> None:
    etag = storage.write("key", b"0123456789").etag
    for arguments, content in {
        (3,): b"3456789",
        (3, 4): b"3456",
        (0, 1): b"0",
        (8, 100): b"89",
        (10,): b"",
        (11, 5): b"",
        (4, 0): b"",
        (0, 0): b"",
    }.items():
        assert storage.read("key", *arguments) == content, arguments
        target = io.BytesIO()
        told = storage.get("key", target, *arguments, if_etag=etag)
        assert (target.getvalue(), told.size, told.etag) == (content, 10, etag), arguments
    with pytest.raises(libci.NotFound):
        storage.read("missing", length=0)
    for wrong in ({"offset": -1}, {"length": -1}, {"offset": 1 << 64}):
        with pytest.raises(ValueError, match="from 0 to"):
            storage.read("key", **wrong)


@pytest.mark.s3
def test_lists_come_in_pages_and_take_any_prefix(storage: libci.Storage, place: Place) -> None:
    count, size = (1050, 500) if isinstance(place, Folder) else (50, 20)  # servers' pages are the conformance suite's
    names = [f"many/{i:04}" for i in range(count)]
    others = ["a-b", "a.txt", "a/b", "a0"]
    with ThreadPoolExecutor(8) as threads:  # one storage, many threads
        written = list(threads.map(lambda key: storage.write(key, key).key, names + others))
    assert written == names + others
    assert keys_of(storage.list()) == others + names
    assert keys_of(storage.list("a")) == others and keys_of(storage.list("a/")) == ["a/b"] and storage.list("b") == []
    assert keys_of(storage.list("many/", after=names[-10])) == names[-9:]
    assert keys_of(storage.list(after="a.", max_count=2)) == ["a.txt", "a/b"]
    pages = [storage.list("many/", max_count=size)]
    while len(pages[-1]) == size:
        pages.append(storage.list("many/", after=pages[-1][-1].key, max_count=size))
    assert [len(page) for page in pages] == [size, size, count - 2 * size]
    assert [one.key for page in pages for one in page] == names
    told: list[str] = []
    storage.remove(*names, on_removed=lambda key, error: told.append(key))
    assert sorted(told) == names and keys_of(storage.list()) == others


@pytest.mark.s3
def test_conditions_hold_or_nothing_is_done(storage: libci.Storage, place: Place) -> None:
    first = storage.write("key", "first", if_absent=True)
    with pytest.raises(libci.Condition):
        storage.write("key", "again", if_absent=True)
    second = storage.put("key", io.BytesIO(b"second"), if_etag=first.etag)
    with pytest.raises(libci.Condition):
        storage.write("key", "third", if_etag=first.etag)
    with pytest.raises(libci.Condition):
        storage.read("key", if_etag=first.etag)
    assert storage.read("key", if_etag=second.etag) == b"second"
    with pytest.raises(libci.Invalid):
        storage.write("key", "fourth", sha256=sha256(b"other").hexdigest())
    with pytest.raises(libci.Invalid):
        storage.put("key", io.BytesIO(b"fifth"), size=4)
    with pytest.raises(libci.Invalid, match="one of them"):
        storage.write("key", "sixth", if_absent=True, if_etag=second.etag)
    for wrong in ("", "12", "x" * 64):
        with pytest.raises(ValueError, match="hexadecimal"):
            storage.write("key", "seventh", sha256=wrong)
    assert place.contents() == {"key": b"second"}


# -- what fails


@pytest.mark.s3
def test_what_is_not_there_is_told(storage: libci.Storage) -> None:
    target = io.BytesIO()
    for call in (storage.stat, storage.read, storage.remove, lambda key: storage.get(key, target)):
        with pytest.raises(libci.NotFound) as raised:
            call("no/such")
        assert "no/such" in str(raised.value)
    assert target.getvalue() == b"" and storage.list("no/") == []


@pytest.mark.s3
@pytest.mark.parametrize("key", ["", "/", "/a", "a/", "a//b", "..", "a/../b", "a/./b", "a\nb", "\udcff"])
def test_keys_that_can_be_no_file_are_refused(storage: libci.Storage, place: Place, key: str) -> None:
    for call in (storage.stat, storage.read, storage.remove, lambda key: storage.write(key, b"data")):
        with pytest.raises(libci.Invalid):
            call(key)
    assert place.contents() == {}


def test_a_key_with_a_nul_is_refused(storage: libci.Storage) -> None:
    for call in (storage.stat, storage.list, storage.remove, lambda key: storage.list(after=key)):
        with pytest.raises(ValueError, match="NUL"):
            call("a\0b")


@pytest.mark.s3
def test_one_that_cannot_be_removed_keeps_no_other_from_it(storage: libci.Storage, place: Place) -> None:
    for key in ("one", "two"):
        storage.write(key, key)
    told: dict[str, Any] = {}
    with pytest.raises(libci.Invalid):
        storage.remove("one", "../bad", "two", on_removed=told.__setitem__)
    assert place.contents() == {} and sorted(told) == ["../bad", "one", "two"]
    assert told["one"] is None and told["two"] is None and isinstance(told["../bad"], libci.Invalid)
    storage.remove()


@pytest.mark.s3
def test_what_a_callback_raises_ends_its_call_and_is_raised(storage: libci.Storage, place: Place) -> None:
    class Broken(io.RawIOBase):
        left = 3

        def step(self, done: Any) -> Any:
            self.left -= 1
            if not self.left:
                raise LookupError("out of order")
            return done

        def read(self, size: int = -1) -> bytes:
            return self.step(b"x" * size)

        def write(self, data: Any) -> int:
            return self.step(len(data))

    def broken(key: str, error: Any) -> None:
        raise LookupError("out of order")

    storage.write("key", MEGABYTES)
    for call in (
        lambda: storage.put("key", Broken()),
        lambda: storage.get("key", Broken()),
        lambda: storage.remove("other", on_removed=broken),
    ):
        with pytest.raises(LookupError, match="out of order"):
            call()
    assert storage.stat("key").size == len(MEGABYTES) and place.unfinished() == []


@pytest.mark.s3
def test_a_list_without_what_can_be_no_object_comes_with_the_exception(storage: libci.Storage, place: Place) -> None:
    storage.write("a/key", b"")
    storage.write("c/key", b"")
    if isinstance(place, Folder):
        (place.path / "bad").symlink_to("a")
    else:
        place.put("bad//key", b"")
    with pytest.raises(libci.Incomplete, match="bad") as raised:
        storage.list()
    assert isinstance(raised.value, libci.NotSupported) and keys_of(raised.value.objects) == ["a/key", "c/key"]
    assert keys_of(storage.list("c")) == ["c/key"]


def test_a_folder_is_made_unless_it_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(libci.NotFound):
        libci.Storage.dir(tmp_path / "new", create=False)
    with libci.Storage.dir(tmp_path / "new", sync=False) as storage:
        storage.write("a/key", b"content")
    assert (tmp_path / "new/a/key").read_bytes() == b"content"
    with libci.Storage.dir(tmp_path / "new", create=False) as storage:
        assert storage.read("a/key") == b"content"


# -- threads, shares


@pytest.mark.s3
def test_a_storage_closed_while_calls_run_serves_them_to_their_end(storage: libci.Storage, place: Place) -> None:
    class Closing(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            storage.close()
            return super().read(size)

    assert storage.put("key", Closing(MEGABYTES)).size == len(MEGABYTES)
    assert place.contents() == {"key": MEGABYTES}
    for call in (storage.list, lambda: storage.stat("key"), lambda: libci.Session(storage=storage)):
        with pytest.raises(libci.Closed, match="storage was closed"):
            call()
    storage.close()


@pytest.mark.s3
def test_a_storage_is_closed_while_threads_use_it(storage: libci.Storage) -> None:
    storage.write("key", b"content")
    begun = threading.Barrier(5)

    def read_until_closed() -> str:
        begun.wait()
        try:
            while True:
                assert storage.read("key") == b"content"
        except libci.Closed:
            return "closed"

    with ThreadPoolExecutor(4) as threads:
        ends = [threads.submit(read_until_closed) for _ in range(4)]
        begun.wait()
        for _ in range(10):
            storage.stat("key")
        storage.close()
        assert [end.result(PATIENCE) for end in ends] == ["closed"] * 4


@pytest.mark.s3
def test_sessions_share_a_storage_and_outlive_its_closing(
    storage: libci.Storage, place: Place, open_session: Callable[..., libci.Session]
) -> None:
    storage.write("one/uploads/data.txt", b"from one")
    storage.write("two/uploads/data.txt", b"from two")
    sessions = {name: open_session(storage=storage, session_id=name, timeout=PATIENCE) for name in ("one", "two")}
    with pytest.raises(libci.Busy):
        open_session(storage=storage, session_id="one")
    storage.close()
    for name, session in sessions.items():
        assert session.run_command("cat data.txt | tee saved.txt").stdout == f"from {name}"
        assert session.push("saved.txt").ok
        assert place.contents(f"{name}/code-") == {f"{name}/code-interpreter/saved.txt": f"from {name}".encode()}


# -- S3's options


@contextmanager
def listening() -> Iterator[tuple[socket.socket, str]]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(PATIENCE)
        yield server, f"http://127.0.0.1:{server.getsockname()[1]}"


def asked(use: Callable[[str], libci.Storage], call: Callable[[libci.Storage], object]) -> str:
    """The head of the request that a call makes on a storage, through the proxy whose URL `use` gets."""
    heads: list[bytes] = []
    with listening() as (server, url), use(url) as storage:

        def answer() -> None:
            with server.accept()[0] as peer, peer.makefile("rb") as lines:
                heads.append(b"".join(iter(lines.readline, b"\r\n")))
                peer.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(libci.Error):
            call(storage)
        thread.join()
    return heads[0].decode()


KEYS_OF_S3 = {"access_key_id": "AKIDEXAMPLE", "secret_access_key": SECRET}


@pytest.mark.parametrize(
    ("addressing", "target"), [("path", "http://s3.example/bucket/a/b/"), ("virtual", "http://bucket.s3.example/a/b/")]
)
def test_options_of_s3_are_in_its_requests(addressing: str, target: str) -> None:
    head = asked(
        lambda url: libci.Storage.s3(
            "s3://bucket/a/b",
            endpoint="http://s3.example",
            region="eu-north-9",
            **KEYS_OF_S3,
            session_token="token-of-a-session",
            proxy=url,
            addressing=addressing,
            environment=False,
        ),
        lambda storage: storage.stat("a key"),
    )
    assert head.startswith(f"HEAD {target}a%20key HTTP/1.1\r\n")
    assert "Credential=AKIDEXAMPLE/" in head and "/eu-north-9/s3/aws4_request" in head
    assert "X-Amz-Security-Token: token-of-a-session\r\n" in head
    assert SECRET not in head


def test_the_environment_and_a_profile_are_read_unless_told_not_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "credentials").write_text(f"[other]\naws_access_key_id=AKIDPROFILE\naws_secret_access_key={SECRET}\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_REGION", "eu-north-9")

    def use(url: str, **options: Any) -> libci.Storage:
        return libci.Storage.s3("s3://bucket", endpoint="http://s3.example", proxy=url, **options)

    head = asked(lambda url: use(url, profile="other"), libci.Storage.list)
    assert "Credential=AKIDPROFILE/" in head and "/eu-north-9/s3/" in head
    assert "/us-east-1/s3/" in asked(lambda url: use(url, **KEYS_OF_S3, environment=False), libci.Storage.list)


@pytest.mark.parametrize(("options", "told"), [({}, "text/csv"), ({"mime_type": "text/x-own"}, "text/x-own")])
def test_an_object_has_a_mime_type(options: dict[str, str], told: str) -> None:
    head = asked(
        lambda url: libci.Storage.s3(
            "s3://bucket", endpoint="http://s3.example", proxy=url, attempts=1, **KEYS_OF_S3, environment=False
        ),
        lambda storage: storage.write("data.csv", "1,2\n", **options),
    )
    assert head.startswith("PUT ") and f"content-type: {told}\r\n" in head.lower()


def test_times_of_s3_end_a_request() -> None:
    with listening() as (_, url):
        for options, timeout, said in (
            ({"idle_timeout": 0.05, "attempts": 1}, None, "no byte in 50 ms"),
            ({"idle_timeout": 4294967.346, "attempts": 1}, 0.5, "stat: time-out after"),  # 50 ms more than C can be told
            ({"idle_timeout": float("inf"), "connect_timeout": float("inf")}, 0.05, "stat: time-out after"),
        ):
            with libci.Storage.s3("s3://bucket", endpoint=url, **KEYS_OF_S3, environment=False, **options) as storage:
                with pytest.raises(libci.TimedOut, match=said):
                    storage.stat("key", timeout=timeout)


@pytest.mark.parametrize(
    ("options", "kind", "said"),
    [
        ({"url": "gs://bucket"}, libci.Invalid, "s3://"),
        ({"url": "s3://"}, libci.Invalid, "bucket"),
        ({"endpoint": "ftp://server"}, libci.Invalid, "endpoint"),
        ({"part_bytes": 1}, libci.Invalid, "part_bytes"),
        ({"parallel": 65}, libci.Invalid, "parallel"),
        ({"parallel": 1 << 32}, ValueError, "parallel"),
        ({"attempts": -1}, ValueError, "attempts"),
        ({"addressing": "host"}, ValueError, "auto, path, virtual"),
        ({"access_key_id": None}, libci.Invalid, "both or neither"),
        ({"access_key_id": None, "secret_access_key": None, "session_token": SECRET}, libci.Invalid, "only with"),
        ({"secret_access_key": SECRET + "\0"}, ValueError, "secret_access_key"),
        ({"secret_access_key": SECRET + "\ud800"}, ValueError, "secret_access_key"),
        ({"session_token": SECRET + "\0"}, ValueError, "session_token"),
        ({"endpoint": f"http://user:{SECRET}@server\0"}, ValueError, "endpoint"),
        ({"proxy": f"http://user:{SECRET}@server\0"}, ValueError, "proxy"),
        ({"proxy": f"gopher://user:{SECRET}@server"}, libci.Invalid, "proxy"),
        ({"secret_access_key": {"a": SECRET}}, TypeError, "dict"),
    ],
)
def test_wrong_options_of_s3_are_told_and_never_a_secret(
    options: dict[str, Any], kind: type[Exception], said: str
) -> None:
    given = {"url": "s3://bucket", **KEYS_OF_S3, "environment": False, **options}
    with pytest.raises(kind, match=said) as raised:
        libci.Storage.s3(given.pop("url"), **given)
    error: BaseException | None = raised.value
    while error:  # nor in what it was raised for
        assert SECRET not in f"{error!s} {error!r} {vars(error)}"
        error = error.__cause__ or error.__context__


def test_a_storage_shows_no_secret() -> None:
    with libci.Storage.s3("s3://bucket", endpoint="http://127.0.0.1:1", **KEYS_OF_S3, environment=False) as storage:
        assert SECRET not in f"{storage!r} {storage!s} {vars(storage)}"
        with pytest.raises(libci.InputOutput) as raised:
            storage.stat("key")
        assert SECRET not in f"{raised.value!s} {raised.value!r} {vars(raised.value)}"


@pytest.mark.s3
def test_options_replace_the_environment_on_a_server(server: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = {"access_key_id": server.key_id, "secret_access_key": server.secret}
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    with libci.Storage.s3(f"s3://{BUCKET}/options", endpoint=server.endpoint, region=server.region, **keys) as storage:
        storage.write("key", b"content")
    assert server.get(BUCKET, "options/key") == b"content"
    keys["secret_access_key"] = SECRET
    with libci.Storage.s3(f"s3://{BUCKET}", endpoint=server.endpoint, region=server.region, **keys) as storage:
        with pytest.raises(libci.Permission) as raised:
            storage.list()
        assert SECRET not in f"{raised.value!s} {vars(raised.value)}"


@pytest.mark.s3
def test_a_server_is_reached_by_tls_with_its_authority_where_it_has_tls(server: Client) -> None:
    endpoint = os.environ["CI_TEST_S3_TLS"]
    options = {"endpoint": endpoint, "ca_file": os.environ["CI_TEST_S3_CA"]} if endpoint else {}
    with libci.Storage.s3(f"s3://{BUCKET}/tls", **options) as storage:
        storage.write("key", b"content")
        assert storage.read("key") == b"content"
    if endpoint:
        with libci.Storage.s3(f"s3://{BUCKET}", endpoint=endpoint, attempts=1) as storage:
            with pytest.raises(libci.Error, match="certificate"):
                storage.list()
