"""Storages: the places that keep workspaces, and their objects without a session."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from ctypes import byref, c_void_p
from dataclasses import dataclass
from typing import Any, BinaryIO, Optional, Union

from . import _table
from ._call import (
    Callbacks,
    Handle,
    Path,
    c_string,
    c_strings,
    milliseconds,
    reader_of,
    start_call,
    take_status,
)
from ._errors import check
from ._library import library

_PAGE = 1000


@dataclass(frozen=True)
class Object:
    """What is known of an object: ci_object. `modified` is in seconds since 1970; sha256, as hexadecimal digits, and
    etag are None where the storage does not tell them."""

    key: str
    size: int
    modified: float
    etag: Optional[str]
    sha256: Optional[str]


class Storage(Handle):
    """A place that keeps workspaces, which many sessions may share. Its methods work on objects by their whole keys,
    without a session; times are in seconds."""

    _release = "ci_storage_free"

    def list(self, prefix: str = "", *, after: Optional[str] = None, timeout: Optional[float] = None) -> Iterator[Object]:
        """Objects whose keys begin with prefix, in byte order, a page at a time."""
        while True:
            page: list[Object] = []
            callbacks = Callbacks()
            options = _table.StorageListOptions(timeout_ms=milliseconds(timeout), after=c_string(after), max_count=_PAGE)
            arguments = [self._handle, c_string(prefix), byref(options), _objects(callbacks, page), None]
            try:
                start_call(self._c.ci_storage_list_start, arguments, callbacks, take_status).result()
            finally:  # what can be no object is told of when all else was
                yield from page
            if len(page) < _PAGE:
                return
            after = page[-1].key

    def stat(self, key: str, *, timeout: Optional[float] = None) -> Object:
        found: list[Object] = []
        callbacks = Callbacks()
        arguments = [self._handle, c_string(key), milliseconds(timeout), _objects(callbacks, found), None]
        start_call(self._c.ci_storage_stat_start, arguments, callbacks, take_status).result()
        return found[0]

    def get(
        self,
        key: str,
        target: BinaryIO,
        *,
        offset: int = 0,
        length: int = 0,
        if_etag: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> Object:
        """Streams an object, or a range of it (length 0: to the end), into a binary file, in bounded memory."""
        found: list[Object] = []
        callbacks = Callbacks()
        options = _table.StorageReadOptions(
            timeout_ms=milliseconds(timeout), offset_bytes=offset, length_bytes=length, if_etag=c_string(if_etag)
        )
        functions = [callbacks.writer(target.write), _objects(callbacks, found), None]
        start_call(self._c.ci_storage_read_start, [self._handle, c_string(key), byref(options), *functions], callbacks, take_status).result()
        return found[0]

    def put(
        self,
        key: str,
        source: Union[BinaryIO, bytes],
        *,
        if_absent: bool = False,
        if_etag: Optional[str] = None,
        mime_type: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> Object:
        """Stores bytes, or what a binary file has, in bounded memory; the object appears whole or not at all."""
        found: list[Object] = []
        callbacks = Callbacks()
        options = _table.StorageWriteOptions(
            timeout_ms=milliseconds(timeout),
            if_etag=c_string(if_etag),
            mime_type=c_string(mime_type),
            if_absent=if_absent,
        )
        read = reader_of(source) if isinstance(source, (bytes, bytearray)) else source.read
        functions = [callbacks.reader(read), _objects(callbacks, found), None]
        start_call(self._c.ci_storage_write_start, [self._handle, c_string(key), byref(options), *functions], callbacks, take_status).result()
        return found[0]

    def remove(self, *keys: str, timeout: Optional[float] = None) -> None:
        """Removes objects. One that cannot be removed does not keep the others from it; the first such is raised."""
        arguments = [self._handle, c_strings(keys), len(keys), milliseconds(timeout), _table.REMOVED_CB(), None]
        start_call(self._c.ci_storage_remove_start, arguments, Callbacks(), take_status).result()


def _objects(callbacks: Callbacks, found: list[Object]) -> Any:
    def call(_user: Any, pointer: Any) -> int:
        o = pointer.contents
        sha256 = ctypes.string_at(o.sha256, 32).hex() if o.sha256 else None
        etag = None if o.etag is None else o.etag.decode()
        found.append(Object(o.key.decode(), o.size_bytes, o.modified_ms / 1000, etag, sha256))
        return 0

    return callbacks.kept(_table.OBJECT_CB, call)


class DirStorage(Storage):
    """A folder."""

    def __init__(self, path: Path, *, create: bool = True, sync: bool = True) -> None:
        options = _table.StorageDirOptions(no_create=not create, no_sync=not sync)
        storage, error = c_void_p(), c_void_p()
        check(library().ci_storage_dir_new(c_string(path), byref(options), byref(storage), byref(error)), error)
        super().__init__(storage)


class S3Storage(Storage):
    """A bucket of S3, or of a server that speaks its protocol: "s3://BUCKET/PREFIX". What is not given is found as AWS's
    own clients find it."""

    def __init__(
        self,
        url: str,
        *,
        endpoint: Optional[str] = None,
        region: Optional[str] = None,
        profile: Optional[str] = None,
        access_key_id: Optional[str] = None,
        secret_access_key: Optional[str] = None,
        session_token: Optional[str] = None,
        ca_file: Optional[Path] = None,
        proxy: Optional[str] = None,
    ) -> None:
        options = _table.StorageS3Options(
            endpoint=c_string(endpoint),
            region=c_string(region),
            profile=c_string(profile),
            access_key_id=c_string(access_key_id),
            secret_access_key=c_string(secret_access_key),
            session_token=c_string(session_token),
            ca_file=c_string(ca_file),
            proxy=c_string(proxy),
        )
        storage, error = c_void_p(), c_void_p()
        check(library().ci_storage_s3_new(c_string(url), byref(options), byref(storage), byref(error)), error)
        super().__init__(storage)
