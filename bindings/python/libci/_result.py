"""Results: what a run, a file operation or a push came to."""

from __future__ import annotations

import ctypes
import enum
import json
import os
import weakref
from ctypes import byref, c_size_t, c_void_p
from dataclasses import dataclass
from typing import Any, Optional

from . import _table
from ._errors import check
from ._library import library


class Outcome(enum.IntEnum):
    """How a run ended."""

    OK = 0
    EXCEPTION = 1
    EXIT = 2
    SIGNAL = 3
    TIMEOUT = 4
    INTERRUPTED = 5
    MEMORY_LIMIT = 6
    LOST = 7
    TYPE_ERROR = 8
    FAILED = 9
    REFUSED = 10


class FileKind(enum.IntEnum):
    """What a file is."""

    REGULAR = 1
    DIRECTORY = 2
    SYMLINK = 3
    OTHER = 4


class FileStatus(enum.IntEnum):
    """What became of a file."""

    OK = 0
    SAVED = 1
    UNCHANGED = 2
    SKIPPED = 3
    FAILED = 4
    PRELOADED = 5
    UNPACKED = 6
    CONFLICT = 7
    CREATED = 8
    CHANGED = 9
    DELETED = 10


@dataclass(frozen=True)
class FileInfo:
    """One file of a list in a result. Paths are decoded as os.fsdecode() does."""

    path: str
    key: Optional[str]
    target: Optional[str]
    sha256: Optional[str]
    mime_type: Optional[str]
    error: Optional[str]
    data: Optional[bytes]
    size: int
    modified_ms: int
    kind: FileKind
    status: FileStatus
    is_text: bool
    entry_count: int
    refused_count: int


@dataclass(frozen=True)
class Item:
    """One rich item: an image, an HTML table."""

    mime_type: str
    data: bytes
    stdout_offset: int


@dataclass(frozen=True)
class Diagnostic:
    """What TypeScript's check said of one place in the code."""

    code: int
    line: int
    column: int
    message: str


@dataclass(frozen=True)
class Refusal:
    """A connection, datagram or question for a name that the session's network refused; `text` is all of it but the
    count as one line."""

    protocol: str
    name: Optional[str]
    address: Optional[str]
    port: int
    rule: str
    count: int
    text: str


def _text(raw: Optional[bytes]) -> Optional[str]:
    return None if raw is None else raw.decode("utf-8", "replace")


def take_text(pointer: c_void_p) -> str:
    """Text that the library allocated."""
    try:
        return ctypes.string_at(pointer.value or 0).decode("utf-8", "replace")
    finally:
        library().ci_free(pointer)


class Result:
    """What a run came to; read only, independent of its session."""

    def __init__(self, handle: int) -> None:
        """Takes over a ci_result."""
        self._c = library()
        self._handle = c_void_p(handle)
        weakref.finalize(self, self._c.ci_result_free, self._handle)

    @property
    def outcome(self) -> Outcome:
        return Outcome(self._c.ci_result_outcome(self._handle))

    @property
    def ok(self) -> bool:
        return self.outcome is Outcome.OK

    @property
    def exit_code(self) -> int:
        """Exit status in the shell's terms: 124 is a time-out, 130 an interrupt, 137 the memory limit."""
        return self._c.ci_result_exit_code(self._handle)

    def _bytes(self, function: Any, *arguments: int) -> Optional[bytes]:
        size = c_size_t()
        pointer = function(self._handle, *arguments, byref(size))
        return None if pointer is None else ctypes.string_at(pointer, size.value)

    @property
    def stdout_bytes(self) -> bytes:
        return self._bytes(self._c.ci_result_stdout) or b""

    @property
    def stderr_bytes(self) -> bytes:
        return self._bytes(self._c.ci_result_stderr) or b""

    @property
    def stdout(self) -> str:
        """What was printed and only that; bytes that are no UTF-8 are replaced."""
        return self.stdout_bytes.decode("utf-8", "replace")

    @property
    def stderr(self) -> str:
        return self.stderr_bytes.decode("utf-8", "replace")

    @property
    def stdout_total(self) -> int:
        """How many bytes were printed, kept or not."""
        return self._c.ci_result_stream_total(self._handle, _table.STREAM_STDOUT)

    @property
    def stderr_total(self) -> int:
        return self._c.ci_result_stream_total(self._handle, _table.STREAM_STDERR)

    @property
    def stdout_kept(self) -> int:
        """How many bytes were kept: head and tail, when it was too much."""
        return self._c.ci_result_stream_kept(self._handle, _table.STREAM_STDOUT)

    @property
    def stderr_kept(self) -> int:
        return self._c.ci_result_stream_kept(self._handle, _table.STREAM_STDERR)

    @property
    def value(self) -> Optional[str]:
        """The last expression's value as text."""
        return _text(self._bytes(self._c.ci_result_value))

    @property
    def error_name(self) -> Optional[str]:
        return _text(self._c.ci_result_error_name(self._handle))

    @property
    def error_message(self) -> Optional[str]:
        return _text(self._c.ci_result_error_message(self._handle))

    @property
    def traceback(self) -> Optional[str]:
        return _text(self._c.ci_result_traceback(self._handle))

    @property
    def diagnostics(self) -> list[Diagnostic]:
        """What TypeScript's check found, when that is why the code did not run."""
        found = []
        for index in range(self._c.ci_result_diagnostic_count(self._handle)):
            one = _table.Diagnostic()
            check(self._c.ci_result_diagnostic(self._handle, index, byref(one)), c_void_p())
            found.append(Diagnostic(one.code, one.line, one.column, _text(one.message) or ""))
        return found

    @property
    def refusals(self) -> list[Refusal]:
        """What the session's network refused since the last result."""
        found = []
        for index in range(self._c.ci_result_refusal_count(self._handle)):
            one = _table.Refusal()
            check(self._c.ci_result_refusal(self._handle, index, byref(one)), c_void_p())
            found.append(
                Refusal(
                    protocol=_text(one.protocol) or "",
                    name=_text(one.name),
                    address=_text(one.address),
                    port=one.port,
                    rule=_text(one.rule) or "",
                    count=one.count,
                    text=_text(one.text) or "",
                )
            )
        return found

    @property
    def refusal_total(self) -> int:
        """How often something was refused, kept apart or not."""
        return self._c.ci_result_refusal_total(self._handle)

    @property
    def replaced(self) -> list[str]:
        """Modules that a kernel had loaded and that the call has replaced by installing, upgrading or removing a package:
        the old ones stay until the context is cleared."""
        count = self._c.ci_result_replaced_count(self._handle)
        return [_text(self._c.ci_result_replaced(self._handle, index)) or "" for index in range(count)]

    @property
    def execution_time(self) -> float:
        """Seconds that the code ran."""
        return self._c.ci_result_execution_us(self._handle) / 1e6

    @property
    def state_lost(self) -> bool:
        return bool(self._c.ci_result_state_lost(self._handle))

    @property
    def background(self) -> Optional[bytes]:
        """What earlier calls printed after their end."""
        return self._bytes(self._c.ci_result_background)

    @property
    def task_id(self) -> int:
        """The background task that this call started or left behind; 0 when there is none."""
        return self._c.ci_result_task_id(self._handle)

    @property
    def task_running(self) -> bool:
        return bool(self._c.ci_result_task_running(self._handle))

    @property
    def items(self) -> list[Item]:
        items = []
        for index in range(self._c.ci_result_item_count(self._handle)):
            item = _table.Item()
            check(self._c.ci_result_item(self._handle, index, byref(item)), c_void_p())
            items.append(
                Item(item.mime_type.decode(), ctypes.string_at(item.data or 0, item.data_size), item.stdout_offset)
            )
        return items

    @property
    def item_total(self) -> int:
        """How many rich items there were, kept or not."""
        return self._c.ci_result_item_total(self._handle)

    def _files(self, which: int) -> list[FileInfo]:
        files = []
        for index in range(self._c.ci_result_file_count(self._handle, which)):
            file = _table.FileInfo()
            check(self._c.ci_result_file(self._handle, which, index, byref(file)), c_void_p())
            files.append(
                FileInfo(
                    path=os.fsdecode(file.path or b""),
                    key=_text(file.key),
                    target=None if file.target is None else os.fsdecode(file.target),
                    sha256=_text(file.sha256),
                    mime_type=_text(file.mime_type),
                    error=_text(file.error),
                    data=None if file.data is None else ctypes.string_at(file.data, file.data_size),
                    size=file.size_bytes,
                    modified_ms=file.modified_ms,
                    kind=FileKind(file.kind or FileKind.REGULAR),
                    status=FileStatus(file.status),
                    is_text=bool(file.is_text),
                    entry_count=file.entry_count,
                    refused_count=file.refused_count,
                )
            )
        return files

    @property
    def files(self) -> list[FileInfo]:
        """What a file operation, saving or a push did."""
        return self._files(_table.FILES_MAIN)

    @property
    def preload(self) -> list[FileInfo]:
        """Uploads that appeared before this call."""
        return self._files(_table.FILES_PRELOAD)

    @property
    def changes(self) -> list[FileInfo]:
        """What the run created, changed and deleted, when that was asked for."""
        return self._files(_table.FILES_CHANGES)

    def json_text(self) -> str:
        """The result as an MCP client or AgentCore's caller gets it."""
        text = c_void_p()
        check(self._c.ci_result_json(self._handle, byref(text), None), c_void_p())
        return take_text(text)

    def json(self) -> dict[str, Any]:
        return json.loads(self.json_text())

    def __repr__(self) -> str:
        return f"<libci.Result {self.outcome.name.lower()} exit_code={self.exit_code}>"
