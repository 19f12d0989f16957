"""Storages: folders and buckets that keep workspaces, and their objects without a session."""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ctypes import byref, c_uint8, c_void_p
from dataclasses import dataclass
from typing import Any, BinaryIO, List, Optional, Union

from . import _table
from ._call import (
    Callbacks,
    Handle,
    Path,
    c_string,
    c_strings,
    deadline,
    milliseconds,
    reader_of,
    secret,
    start_call,
    take_status,
    unsigned,
)
from ._errors import Error, NotSupported, check, error_of
from ._library import library

#: Gets the key, and why the object is still there; None when it was removed.
OnRemoved = Callable[[str, Optional[Error]], object]

_ADDRESSING = {
    "auto": _table.S3_ADDRESSING_AUTO,
    "path": _table.S3_ADDRESSING_PATH,
    "virtual": _table.S3_ADDRESSING_VIRTUAL,
}


@dataclass(frozen=True)
class Object:
    """What is known of an object: ci_object."""

    key: str
    size: int
    modified_ms: int
    etag: Optional[str]
    sha256: Optional[str]


class Incomplete(NotSupported):
    """A list that leaves out what can be no object (links, names that are no keys, folders that cannot be read), of
    which the message names the first; `objects` is the list."""

    def __init__(self, why: NotSupported, objects: list[Object]) -> None:
        super().__init__(why.message, hint=why.hint, domain=why.domain, errno=why.errno, http_status=why.http_status)
        self.objects = objects


def _hash(sha256: Optional[str]) -> Any:
    raw = bytes.fromhex(sha256 or "")
    if sha256 is not None and len(raw) != 32:
        raise ValueError(f"sha256 has 64 hexadecimal digits, not {sha256!r}")
    return (c_uint8 * 32)(*raw) if raw else None


class _ObjectCallbacks(Callbacks):
    """Those of a call on a storage; `objects` is what it told of."""

    def __init__(self) -> None:
        super().__init__()
        self.objects: list[Object] = []

    def object(self) -> Any:
        def call(_user: Any, told: Any) -> int:
            o = told.contents
            sha256 = bytes(o.sha256[:32]).hex() if o.sha256 else None
            etag = None if o.etag is None else o.etag.decode("utf-8", "replace")
            self.objects.append(Object(os.fsdecode(o.key), o.size_bytes, o.modified_ms, etag, sha256))
            return 0

        return self.kept(_table.OBJECT_CB, call)

    def removed(self, on_removed: Optional[OnRemoved]) -> Any:
        if on_removed is None:
            return _table.REMOVED_CB()

        def call(_user: Any, key: bytes, status: int, error: Any) -> int:
            on_removed(os.fsdecode(key), error_of(status, error) if status < 0 else None)
            return 0

        return self.kept(_table.REMOVED_CB, call)


class Storage(Handle):
    """A place that keeps a workspace, made by dir() or s3(). Sessions may share it, and each has a share of its own: it
    may be closed before them, and while calls run. Calls may come from any number of threads.

    Keys are the storage's own, as in "code-interpreter/chart.png": no prefix of a session is put before them. A
    `timeout` covers the whole call, in seconds; None: none."""

    _release = "ci_storage_free"

    def __init__(self, handle: c_void_p) -> None:
        """Takes over a ci_storage."""
        super().__init__(handle)
        self._starting = threading.Lock()  # held while C takes its own share of the handle

    @classmethod
    def dir(cls, path: Path, *, create: bool = True, sync: bool = True) -> Storage:
        """A folder; with `create` it is made where there is none. Without `sync` writing is faster, and lost in a power
        failure."""
        options = _table.StorageDirOptions(no_create=not create, no_sync=not sync)
        storage, error = c_void_p(), c_void_p()
        check(library().ci_storage_dir_new(c_string(path), byref(options), byref(storage), byref(error)), error)
        return cls(storage)

    @classmethod
    def s3(
        cls,
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
        part_bytes: int = 0,
        parallel: int = 0,
        attempts: int = 0,
        connect_timeout: Optional[float] = None,
        idle_timeout: Optional[float] = None,
        addressing: str = "auto",
        environment: bool = True,
    ) -> Storage:
        """A bucket of S3, or of a server that speaks its protocol: "s3://BUCKET" or "s3://BUCKET/PREFIX". What is not
        given is looked for as AWS's own clients do, in environment variables and shared files, unless `environment` is
        false."""
        if addressing not in _ADDRESSING:
            raise ValueError(f"addressing is one of {', '.join(_ADDRESSING)}, not {addressing!r}")
        options = _table.StorageS3Options(
            endpoint=secret("endpoint", endpoint),
            region=c_string(region),
            profile=c_string(profile),
            access_key_id=secret("access_key_id", access_key_id),
            secret_access_key=secret("secret_access_key", secret_access_key),
            session_token=secret("session_token", session_token),
            ca_file=c_string(ca_file),
            proxy=secret("proxy", proxy),
            part_bytes=unsigned("part_bytes", part_bytes),
            parallel=unsigned("parallel", parallel, _table.UINT32_MAX),
            attempts=unsigned("attempts", attempts, _table.UINT32_MAX),
            connect_timeout_ms=min(milliseconds(connect_timeout), _table.UINT32_MAX),
            idle_timeout_ms=min(milliseconds(idle_timeout), _table.UINT32_MAX),
            addressing=_ADDRESSING[addressing],
            no_environment=not environment,
        )
        storage, error = c_void_p(), c_void_p()
        check(library().ci_storage_s3_new(c_string(url), byref(options), byref(storage), byref(error)), error)
        return cls(storage)

    @contextmanager
    def _held(self) -> Iterator[c_void_p]:
        """The ci_storage, which a close() in another thread leaves alone meanwhile."""
        with self._starting:
            yield self._handle

    def close(self) -> None:
        with self._starting:
            storage, self._raw = self._raw, c_void_p()
        self._c.ci_storage_free(storage)

    def list(
        self, prefix: str = "", after: Optional[str] = None, max_count: int = 0, *, timeout: Optional[float] = None
    ) -> List[Object]:
        """Objects whose keys begin with `prefix`, all levels, in byte order of their keys: those after the key `after`,
        and `max_count` at most (0: all). Fewer than asked for: that was the end. Raises Incomplete, with the list, when
        there is more that can be no object."""
        callbacks = _ObjectCallbacks()
        options = _table.StorageListOptions(
            timeout_ms=deadline(timeout), after=c_string(after), max_count=unsigned("max_count", max_count)
        )
        arguments = [c_string(prefix), byref(options), callbacks.object(), None]
        try:
            self._call(self._c.ci_storage_list_start, arguments, callbacks)
        except NotSupported as error:
            raise Incomplete(error, callbacks.objects) from None
        return callbacks.objects

    def stat(self, key: str, *, timeout: Optional[float] = None) -> Object:
        """What is known of one object."""
        callbacks = _ObjectCallbacks()
        arguments = [c_string(key), deadline(timeout), callbacks.object(), None]
        self._call(self._c.ci_storage_stat_start, arguments, callbacks)
        return callbacks.objects[-1]

    def read(
        self,
        key: str,
        offset: int = 0,
        length: Optional[int] = None,
        *,
        if_etag: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> bytes:
        """The content of an object, or a range of it; beyond its end there is nothing. With `if_etag` Condition is
        raised when the object has another etag."""
        chunks: List[bytes] = []
        self._read(key, chunks.append, offset, length, if_etag, timeout)
        return b"".join(chunks)

    def get(
        self,
        key: str,
        target: BinaryIO,
        offset: int = 0,
        length: Optional[int] = None,
        *,
        if_etag: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> Object:
        """Streams an object, or a range of it, into a binary file, in bounded memory. Says which object that was."""
        return self._read(key, target.write, offset, length, if_etag, timeout)

    def write(self, key: str, data: Union[str, bytes], **options: Any) -> Object:
        """Writes an object, whole or not at all. Options: those of put()."""
        raw = data.encode() if isinstance(data, str) else data
        return self._write(key, reader_of(raw), size=len(raw), **options)

    def put(self, key: str, source: BinaryIO, *, size: int = 0, **options: Any) -> Object:
        """Streams a binary file into an object, whole or not at all, in bounded memory; `size` bytes, 0 when that is not
        known. Options: if_absent, if_etag (Condition is raised when that does not hold), mime_type (by the key's suffix
        when there is none), sha256 (in hexadecimal; Invalid is raised when the content has another), timeout."""
        return self._write(key, source.read, size=size, **options)

    def remove(self, *keys: str, timeout: Optional[float] = None, on_removed: Optional[OnRemoved] = None) -> None:
        """Removes objects. One that cannot be removed does not keep the others from it: then the first failure is
        raised. `on_removed` is told of each."""
        callbacks = _ObjectCallbacks()
        arguments = [c_strings(keys), len(keys), deadline(timeout), callbacks.removed(on_removed), None]
        self._call(self._c.ci_storage_remove_start, arguments, callbacks)

    def _call(self, function: Any, arguments: List[Any], callbacks: _ObjectCallbacks) -> None:
        with self._held() as handle:
            call = start_call(function, [handle, *arguments], callbacks, take_status)
        call.result()

    def _read(
        self,
        key: str,
        write: Callable[[bytes], object],
        offset: int,
        length: Optional[int],
        if_etag: Optional[str],
        timeout: Optional[float],
    ) -> Object:
        callbacks = _ObjectCallbacks()
        options = _table.StorageReadOptions(
            timeout_ms=deadline(timeout),
            # To C no length is all there is; beyond every end there is nothing.
            offset_bytes=_table.UINT64_MAX if length == 0 else unsigned("offset", offset),
            length_bytes=unsigned("length", length or 0),
            if_etag=c_string(if_etag),
        )
        arguments = [c_string(key), byref(options), callbacks.writer(write), callbacks.object(), None]
        self._call(self._c.ci_storage_read_start, arguments, callbacks)
        return callbacks.objects[-1]

    def _write(
        self,
        key: str,
        read: Callable[[int], bytes],
        *,
        size: int,
        if_absent: bool = False,
        if_etag: Optional[str] = None,
        mime_type: Optional[str] = None,
        sha256: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> Object:
        callbacks = _ObjectCallbacks()
        options = _table.StorageWriteOptions(
            timeout_ms=deadline(timeout),
            if_etag=c_string(if_etag),
            mime_type=c_string(mime_type),
            sha256=_hash(sha256),
            size_bytes=unsigned("size", size),
            if_absent=if_absent,
        )
        arguments = [c_string(key), byref(options), callbacks.reader(read), callbacks.object(), None]
        self._call(self._c.ci_storage_write_start, arguments, callbacks)
        return callbacks.objects[-1]
