"""Exceptions: one class a status of ci/error.h, all of them libci.Error."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, ClassVar, Optional

from ._library import library

if TYPE_CHECKING:
    from ._result import Result


class Error(Exception):
    """A call that could not be carried out. Code that ran and failed is no error but a Result."""

    status: ClassVar[int] = 0

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        domain: str = "",
        errno: int = 0,
        http_status: int = 0,
        retryable: bool = False,
        handle_usable: bool = True,
    ) -> None:
        super().__init__(f"{message} ({hint})" if hint else message)
        self.message = message
        self.hint = hint
        self.domain = domain
        self.errno = errno
        self.http_status = http_status
        self.retryable = retryable
        self.handle_usable = handle_usable


class NoMemory(Error):
    status = -1


class Invalid(Error):
    status = -2


class NotSupported(Error):
    status = -3


class NotFound(Error):
    status = -4


class Exists(Error):
    status = -5


class Busy(Error):
    status = -6


class Closed(Error):
    status = -7


class Forked(Error):
    status = -8


class TimedOut(Error):
    status = -9


class Cancelled(Error):
    status = -10


class InputOutput(Error):
    status = -11


class Permission(Error):
    status = -12


class Limit(Error):
    status = -13


class Protocol(Error):
    status = -14


class Lost(Error):
    status = -15


class Condition(Error):
    status = -16


class Mismatch(Error):
    status = -17


class Missing(Error):
    status = -18


class Internal(Error):
    status = -19


BY_STATUS: dict[int, type[Error]] = {kind.status: kind for kind in Error.__subclasses__()}


class Failed(Exception):
    """A file operation that was carried out but failed for some file; `result` tells each."""

    def __init__(self, result: Result) -> None:
        super().__init__(result.error_message or "; ".join(f"{f.path}: {f.error}" for f in result.files if f.error))
        self.result = result


def error_of(status: int, error: Optional[ctypes.c_void_p]) -> Error:
    """The exception for what the library says, which keeps its error object."""
    c = library()
    kind = BY_STATUS.get(status, Error)
    if not error:
        return kind(c.ci_status_name(status).decode())
    return kind(
        c.ci_error_message(error).decode("utf-8", "replace"),
        hint=c.ci_error_hint(error).decode("utf-8", "replace"),
        domain=c.ci_error_domain(error).decode(),
        errno=c.ci_error_errno(error),
        http_status=c.ci_error_http_status(error),
        retryable=bool(c.ci_error_retryable(error)),
        handle_usable=bool(c.ci_error_handle_usable(error)),
    )


def check(status: int, error: ctypes.c_void_p) -> None:
    """Raises what a function of the library returned, and releases its error object."""
    if status >= 0:
        return
    try:
        raise error_of(status, error)
    finally:
        library().ci_error_free(error)
