"""libci: a code interpreter to embed. Sessions run code and shell commands in a sandbox, with state that persists.

import libci

with libci.Session(workspace_dir="out") as session:
    session.run_code("x = 6")
    print(session.run_code("x * 7").value)
    print(session.run_command("uname -sr").stdout)
"""

from ._call import Call
from ._errors import (
    Busy,
    Cancelled,
    Closed,
    Condition,
    Error,
    Exists,
    Failed,
    Forked,
    InputOutput,
    Internal,
    Invalid,
    Limit,
    Lost,
    Mismatch,
    Missing,
    NoMemory,
    NotFound,
    NotSupported,
    Permission,
    Protocol,
    TimedOut,
)
from ._library import use_library
from ._result import Diagnostic, FileInfo, FileKind, FileStatus, Item, Outcome, Refusal, Result
from ._session import Context, Progress, Sandbox, Session, check_machine, tool_schemas, version
from ._storage import Incomplete, Object, Storage

__all__ = [
    "Busy",
    "Call",
    "Cancelled",
    "Closed",
    "Condition",
    "Context",
    "Diagnostic",
    "Error",
    "Exists",
    "Failed",
    "FileInfo",
    "FileKind",
    "FileStatus",
    "Forked",
    "Incomplete",
    "InputOutput",
    "Internal",
    "Invalid",
    "Item",
    "Limit",
    "Lost",
    "Mismatch",
    "Missing",
    "NoMemory",
    "NotFound",
    "NotSupported",
    "Object",
    "Outcome",
    "Permission",
    "Progress",
    "Protocol",
    "Refusal",
    "Result",
    "Sandbox",
    "Session",
    "Storage",
    "TimedOut",
    "check_machine",
    "tool_schemas",
    "use_library",
    "version",
]
