"""The objects of a storage without a session, by the binding: one table for folders and servers of S3."""

from __future__ import annotations

import io

import libci
import pytest
from conftest import Bucket, Folder

pytestmark = pytest.mark.s3


@pytest.fixture
def storage(place: Folder | Bucket) -> libci.Storage:
    return libci.DirStorage(place.path) if isinstance(place, Folder) else libci.S3Storage(place.name)


def test_objects_are_stored_told_of_fetched_and_removed(storage: libci.Storage, place: Folder | Bucket) -> None:
    with storage:
        stored = storage.put("a/ü.txt", b"0123456789")
        found = storage.stat("a/ü.txt")
        assert (found.key, found.size, found.etag) == ("a/ü.txt", 10, stored.etag) and place.contents() == {
            "a/ü.txt": b"0123456789"
        }
        target = io.BytesIO()
        assert storage.get("a/ü.txt", target, offset=2, length=3).size == 10 and target.getvalue() == b"234"
        storage.put("b", io.BytesIO(b"x" * 100000))
        assert [o.key for o in storage.list()] == ["a/ü.txt", "b"]
        assert [o.size for o in storage.list("b")] == [100000] and list(storage.list("", after="b")) == []
        storage.remove("b")
        with pytest.raises(libci.NotFound):
            storage.remove("missing", "a/ü.txt")
        assert place.contents() == {}


def test_conditions_hold_and_callbacks_may_raise(storage: libci.Storage, place: Folder | Bucket) -> None:
    with storage:
        first = storage.put("k", b"one", if_absent=True)
        with pytest.raises(libci.Condition):
            storage.put("k", b"two", if_absent=True)
        second = storage.put("k", b"three", if_etag=first.etag)
        with pytest.raises(libci.Condition):
            storage.put("k", b"four", if_etag=first.etag)
        with pytest.raises(libci.Condition):
            storage.get("k", io.BytesIO(), if_etag=first.etag)
        assert second.etag != first.etag

        class Broken(io.RawIOBase):
            def read(self, _size: int = -1) -> bytes:
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            storage.put("k", Broken())
        assert place.contents() == {"k": b"three"}
