"""What sandboxes, storages and sessions have in common: calls in progress, handles, and how values go to C."""

from __future__ import annotations

import ctypes
import math
import os
import select
import threading
from collections.abc import Callable, Iterable
from ctypes import byref, c_char_p, c_void_p
from typing import Any, Generic, Optional, TypeVar, Union

from . import _table
from ._errors import Closed, check
from ._library import library
from ._result import Result

Path = Union[str, bytes, "os.PathLike[str]"]
#: Gets "stdout", "stderr" or the MIME type of a rich item, and the bytes.
OnOutput = Callable[[str, bytes], object]
T = TypeVar("T")

_CHUNK = 1 << 20
_LONG = 1e12  # seconds; a time that C can count with


def c_string(text: Union[Path, None]) -> Optional[bytes]:
    """A string for C. One that C would see cut short is refused."""
    if text is None:
        return None
    raw = os.fsencode(text)
    if b"\0" in raw:
        raise ValueError(f"embedded NUL in {text!r}")
    return raw


def c_strings(texts: Iterable[Path]) -> Any:
    """A NULL-ended array of strings."""
    raw = [c_string(text) for text in texts]
    return (c_char_p * (len(raw) + 1))(*raw, None)


def secret(name: str, text: Optional[Union[str, bytes]]) -> Optional[bytes]:
    """A string for C that no exception tells of."""
    try:
        return c_string(text)
    except ValueError:  # what cannot be encoded among them
        pass
    raise ValueError(f"{name} has a NUL, or what is no text")


def unsigned(name: str, value: int, most: int = _table.UINT64_MAX) -> int:
    """A number for C, which would see another one where it is negative or too large."""
    if not 0 <= value <= most:
        raise ValueError(f"{name} is from 0 to {most}, not {value!r}")
    return value


def milliseconds(seconds: Optional[float]) -> int:
    """Seconds for C, where 0 is the default, for None; a time that is over is still one, and math.inf a long one."""
    return 0 if seconds is None else max(1, round(min(seconds, _LONG) * 1000))


def deadline(seconds: Optional[float]) -> int:
    """A call's deadline for C, where 0 is the session's (without a session: none), for None; a negative one is none."""
    return -1 if seconds is not None and (seconds == math.inf or seconds < 0) else milliseconds(seconds)


def reader_of(data: Union[str, bytes]) -> Callable[[int], bytes]:
    raw = memoryview(data.encode() if isinstance(data, str) else data)
    position = 0

    def read(size: int) -> bytes:
        nonlocal position
        chunk = bytes(raw[position : position + size])
        position += len(chunk)
        return chunk

    return read


class Callbacks:
    """Python functions for one call. What one raises is kept, ends its part of the call, and is raised at the end."""

    def __init__(self) -> None:
        self.error: Optional[BaseException] = None
        self.keep: list[Any] = []  # what C refers to while the call lives

    def kept(self, kind: Any, function: Callable[..., int]) -> Any:
        """The function as C calls it; -1, which ends its part of the call, where it raises."""

        def call(*arguments: Any) -> int:
            try:
                return function(*arguments)
            except BaseException as error:  # noqa: BLE001 - must not run into C
                self.error = self.error or error
                return -1

        callback = kind(call)
        self.keep.append(callback)
        return callback

    def output(self, on_output: Optional[OnOutput]) -> Any:
        if on_output is None:
            return _table.OUTPUT_CB()
        names = {_table.EVENT_STDOUT: "stdout", _table.EVENT_STDERR: "stderr"}

        def call(_user: Any, event: int, mime_type: Optional[bytes], data: Any, size: int) -> int:
            on_output(names.get(event) or (mime_type or b"").decode(), ctypes.string_at(data or 0, size))
            return 0

        return self.kept(_table.OUTPUT_CB, call)

    def writer(self, write: Callable[[bytes], object]) -> Any:
        def call(_user: Any, data: Any, size: int) -> int:
            rest = ctypes.string_at(data, size)
            while rest:
                written = write(rest)  # an unbuffered file may take less than all of it
                if written == 0:
                    raise BlockingIOError("write() took nothing")
                rest = rest[written:] if isinstance(written, int) else b""
            return 0

        return self.kept(_table.WRITE_CB, call)

    def reader(self, read: Callable[[int], bytes]) -> Any:
        def call(_user: Any, buffer: Any, size: int) -> int:
            most = min(size, _CHUNK)
            data = bytes(memoryview(read(most)))  # text, which ctypes would take as wide characters, has no such view
            if len(data) > most:
                raise ValueError(f"read({most}) returned {len(data)} bytes")
            ctypes.memmove(buffer, data, len(data))
            return len(data)

        return self.kept(_table.READ_CB, call)


class Call(Generic[T]):
    """A call in progress. `fileno()` makes it fit for select, poll and asyncio's add_reader(); `process()` then does
    what can be done; `result()` waits for the end. interrupt() and cancel() may come from any thread."""

    def __init__(self, handle: c_void_p, callbacks: Callbacks, take: Callable[[c_void_p], T]) -> None:
        self._c = library()
        self._handle = handle
        self._callbacks = callbacks
        self._take = take
        self._freed = threading.Lock()  # held while C has the handle in its hands from another thread

    def fileno(self) -> int:
        fd = self._c.ci_call_fd(self._handle)
        check(fd, c_void_p())
        return fd

    def process(self) -> bool:
        """Does what can be done now, never blocking; True when the call is done."""
        state = self._c.ci_call_process(self._handle)
        check(state, c_void_p())
        if self._callbacks.error is not None:
            self.interrupt()
        return state == _table.CALL_DONE

    def set_timeout(self, timeout: Optional[float]) -> None:
        """Another deadline, in seconds since the call's start; None, math.inf or a negative one: none."""
        check(self._c.ci_call_set_timeout(self._handle, deadline(timeout)), c_void_p())

    def interrupt(self) -> None:
        with self._freed:
            if self._handle:
                check(self._c.ci_call_interrupt(self._handle), c_void_p())

    def cancel(self) -> None:
        with self._freed:
            if self._handle:
                check(self._c.ci_call_cancel(self._handle), c_void_p())

    def result(self) -> T:
        """Waits until the call is done and takes its outcome, once. A KeyboardInterrupt cancels it."""
        if not self._handle:
            raise Closed("the outcome was taken before")
        try:
            waiting = select.poll()
            waiting.register(self.fileno(), select.POLLIN)
            while not self.process():
                waiting.poll()
            if self._callbacks.error is not None:
                raise self._callbacks.error
            return self._take(self._handle)
        except Exception:
            if self._callbacks.error is not None:
                raise self._callbacks.error from None
            raise
        finally:
            self.free()

    def free(self) -> None:
        """Releases the call; an unfinished one is cancelled."""
        with self._freed:
            handle, self._handle = self._handle, c_void_p()
        self._c.ci_call_free(handle)

    def __del__(self) -> None:
        if getattr(self, "_handle", None):
            self.free()


def take_result(call: c_void_p) -> Result:
    result, error = c_void_p(), c_void_p()
    check(library().ci_call_take_result(call, byref(result), byref(error)), error)
    return Result(result.value or 0)


def take_status(call: c_void_p) -> None:
    error = c_void_p()
    check(library().ci_call_take_status(call, byref(error)), error)


def start_call(
    function: Any, arguments: list[Any], callbacks: Optional[Callbacks], take: Callable[[c_void_p], T]
) -> Call[T]:
    call, error = c_void_p(), c_void_p()
    check(function(*arguments, byref(call), byref(error)), error)
    return Call(call, callbacks or Callbacks(), take)


class Handle:
    """What is closed once, by close(), a with statement, or the garbage collector."""

    _release = ""

    def __init__(self, handle: c_void_p, keep: Iterable[Any] = ()) -> None:
        self._c = library()
        self._raw = handle
        self._keep = list(keep)  # callbacks that live as long

    @property
    def _handle(self) -> c_void_p:
        if not self._raw:
            raise Closed(f"the {type(self).__name__.lower()} was closed")
        return self._raw

    def close(self) -> None:
        raw, self._raw = self._raw, c_void_p()
        getattr(self._c, self._release)(raw)

    def __enter__(self: T) -> T:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()  # type: ignore[attr-defined]

    def __del__(self) -> None:
        if getattr(self, "_raw", None):
            self.close()
