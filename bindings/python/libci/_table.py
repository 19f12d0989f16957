"""The public interface as ctypes sees it: constants, structs and functions, as in the headers (a test compares)."""

from __future__ import annotations

import ctypes
from ctypes import (
    CFUNCTYPE,
    POINTER,
    Structure,
    c_char_p,
    c_int32,
    c_int64,
    c_size_t,
    c_uint8,
    c_uint32,
    c_uint64,
    c_void_p,
)

SIZE_MAX = ctypes.c_size_t(-1).value
UINT32_MAX = (1 << 32) - 1
UINT64_MAX = (1 << 64) - 1

CALL_RUNNING = 0
CALL_DONE = 1

EVENT_STDOUT = 1
EVENT_STDERR = 2
EVENT_ITEM = 3

STREAM_STDOUT = 1
STREAM_STDERR = 2

FILES_MAIN = 0
FILES_PRELOAD = 1
FILES_CHANGES = 2

FILE_OP_READ = 1
FILE_OP_WRITE = 2
FILE_OP_LIST = 3
FILE_OP_REMOVE = 4

RUN_LIST_CHANGES = 1 << 0
RUN_SPILL_OUTPUT = 1 << 1
RUN_BACKGROUND = 1 << 2
RUN_NO_TYPECHECK = 1 << 3
RUN_CLEAR_CONTEXT = 1 << 4

SESSION_NO_PRELOAD = 1 << 0
SESSION_PRELOAD_ONCE = 1 << 1
SESSION_NO_UNPACK = 1 << 2
SESSION_PUSH_EVERYTHING = 1 << 3
SESSION_LEAVE_RUNNING = 1 << 4

PUSH_EVERYTHING = 1 << 0

S3_ADDRESSING_AUTO = 0
S3_ADDRESSING_PATH = 1
S3_ADDRESSING_VIRTUAL = 2

LOG_CB = CFUNCTYPE(None, c_void_p, c_int32, c_char_p, c_char_p)
OUTPUT_CB = CFUNCTYPE(c_int32, c_void_p, c_int32, c_char_p, c_void_p, c_size_t)
WRITE_CB = CFUNCTYPE(c_int32, c_void_p, c_void_p, c_size_t)
READ_CB = CFUNCTYPE(c_int64, c_void_p, c_void_p, c_size_t)
TRACE_CB = CFUNCTYPE(None, c_void_p, c_char_p, c_int64)


class Sized(Structure):
    """A struct that begins with its size; making one fills that in, all else is zero, which is the default."""

    def __init__(self, **fields: object) -> None:
        super().__init__(struct_size=ctypes.sizeof(self), **fields)


class FileInfo(Sized):
    _fields_ = [
        ("struct_size", c_size_t),
        ("path", c_char_p),
        ("key", c_char_p),
        ("target", c_char_p),
        ("sha256", c_char_p),
        ("mime_type", c_char_p),
        ("error", c_char_p),
        ("data", c_void_p),
        ("data_size", c_uint64),
        ("size_bytes", c_uint64),
        ("modified_ms", c_int64),
        ("kind", c_int32),
        ("status", c_int32),
        ("is_text", c_int32),
        ("entry_count", c_uint32),
        ("refused_count", c_uint32),
        ("reserved", c_int32),
    ]


class Item(Sized):
    _fields_ = [
        ("struct_size", c_size_t),
        ("mime_type", c_char_p),
        ("data", c_void_p),
        ("data_size", c_uint64),
        ("stdout_offset", c_uint64),
    ]


class Diagnostic(Sized):
    _fields_ = [
        ("struct_size", c_size_t),
        ("message", c_char_p),
        ("code", c_int32),
        ("line", c_int32),
        ("column", c_int32),
        ("reserved", c_int32),
    ]


class Refusal(Sized):
    _fields_ = [
        ("struct_size", c_size_t),
        ("name", c_char_p),
        ("address", c_char_p),
        ("protocol", c_char_p),
        ("rule", c_char_p),
        ("text", c_char_p),
        ("count", c_uint64),
        ("port", c_int32),
        ("reserved", c_int32),
    ]


class ContextInfo(Sized):
    _fields_ = [
        ("struct_size", c_size_t),
        ("language", c_char_p),
        ("context", c_char_p),
        ("running", c_int32),
        ("reserved", c_int32),
    ]


CONTEXT_CB = CFUNCTYPE(c_int32, c_void_p, POINTER(ContextInfo))


class SandboxLocalOptions(Sized):
    _fields_ = [
        ("struct_size", c_size_t),
        ("python", c_char_p),
        ("preload", c_char_p),
        ("helper_dir", c_char_p),
        ("env", POINTER(c_char_p)),
        ("log", LOG_CB),
        ("log_user", c_void_p),
        ("kernels", c_char_p),
        ("pip_config", c_char_p),
        ("npm_config", c_char_p),
        ("ca_file", c_char_p),
        ("package_cache", c_char_p),
        ("host_packages", c_int32),
        ("reserved", c_int32),
    ]


class SandboxAgentcoreOptions(Sized):
    _fields_ = [
        ("struct_size", c_size_t),
        ("interpreter", c_char_p),
        ("endpoint", c_char_p),
        ("region", c_char_p),
        ("profile", c_char_p),
        ("access_key_id", c_char_p),
        ("secret_access_key", c_char_p),
        ("session_token", c_char_p),
        ("ca_file", c_char_p),
        ("proxy", c_char_p),
        ("name", c_char_p),
        ("runtime", c_char_p),
        ("trace_id", c_char_p),
        ("trace_parent", c_char_p),
        ("part_bytes", c_uint64),
        ("event_bytes", c_uint64),
        ("session_timeout_s", c_uint32),
        ("attempts", c_uint32),
        ("connect_timeout_ms", c_uint32),
        ("idle_timeout_ms", c_uint32),
        ("network", c_int32),
        ("keep_sessions", c_int32),
        ("no_environment", c_int32),
        ("answer_timeout_ms", c_uint32),
    ]


class Progress(Sized):
    _fields_ = [
        ("struct_size", c_size_t),
        ("what", c_char_p),
        ("files_done", c_uint64),
        ("files_total", c_uint64),
        ("bytes_done", c_uint64),
        ("bytes_total", c_uint64),
    ]


PROGRESS_CB = CFUNCTYPE(None, c_void_p, POINTER(Progress))


class SessionOptions(Sized):
    _fields_ = [
        ("struct_size", c_size_t),
        ("sandbox", c_void_p),
        ("storage", c_void_p),
        ("workspace_dir", c_char_p),
        ("session_id", c_char_p),
        ("python", c_char_p),
        ("host_dir", c_char_p),
        ("rootfs", c_char_p),
        ("env", POINTER(c_char_p)),
        ("uploads_prefix", c_char_p),
        ("output_prefix", c_char_p),
        ("user", c_char_p),
        ("memory_bytes", c_uint64),
        ("workspace_bytes", c_uint64),
        ("workspace_inodes", c_uint64),
        ("archive_bytes", c_uint64),
        ("stream_bytes", c_uint64),
        ("timeout_ms", c_int64),
        ("grace_ms", c_int64),
        ("open_timeout_ms", c_int64),
        ("process_count", c_uint32),
        ("open_file_count", c_uint32),
        ("archive_entry_count", c_uint32),
        ("archive_ratio", c_uint32),
        ("network", c_int32),
        ("flags", c_uint32),
        ("log", LOG_CB),
        ("log_user", c_void_p),
        ("trace", TRACE_CB),
        ("trace_user", c_void_p),
        ("network_allow", POINTER(c_char_p)),
        ("network_deny", POINTER(c_char_p)),
        ("prefixes", POINTER(c_char_p)),
        ("manifest", c_char_p),
        ("progress", PROGRESS_CB),
        ("progress_user", c_void_p),
        ("attach_id", c_char_p),
    ]


class RunOptions(Sized):
    _fields_ = [
        ("struct_size", c_size_t),
        ("language", c_char_p),
        ("context", c_char_p),
        ("output_filename", c_char_p),
        ("cwd", c_char_p),
        ("env", POINTER(c_char_p)),
        ("timeout_ms", c_int64),
        ("stream_bytes", c_uint64),
        ("output", OUTPUT_CB),
        ("output_user", c_void_p),
        ("flags", c_uint32),
        ("reserved", c_int32),
    ]


class FileContent(Structure):
    _fields_ = [("path", c_char_p), ("data", c_void_p), ("size", c_size_t)]


class FileOpOptions(Sized):
    _fields_ = [
        ("struct_size", c_size_t),
        ("paths", POINTER(c_char_p)),
        ("path_count", c_size_t),
        ("content", POINTER(FileContent)),
        ("content_count", c_size_t),
        ("timeout_ms", c_int64),
        ("operation", c_int32),
        ("reserved", c_int32),
    ]


class StorageDirOptions(Sized):
    _fields_ = [("struct_size", c_size_t), ("no_create", c_int32), ("no_sync", c_int32)]


class StorageS3Options(Sized):
    _fields_ = [
        ("struct_size", c_size_t),
        ("endpoint", c_char_p),
        ("region", c_char_p),
        ("profile", c_char_p),
        ("access_key_id", c_char_p),
        ("secret_access_key", c_char_p),
        ("session_token", c_char_p),
        ("ca_file", c_char_p),
        ("proxy", c_char_p),
        ("part_bytes", c_uint64),
        ("parallel", c_uint32),
        ("attempts", c_uint32),
        ("connect_timeout_ms", c_uint32),
        ("idle_timeout_ms", c_uint32),
        ("addressing", c_int32),
        ("no_environment", c_int32),
    ]


class Object(Sized):
    _fields_ = [
        ("struct_size", c_size_t),
        ("key", c_char_p),
        ("etag", c_char_p),
        ("sha256", POINTER(c_uint8)),
        ("size_bytes", c_uint64),
        ("modified_ms", c_int64),
    ]


class StorageListOptions(Sized):
    _fields_ = [("struct_size", c_size_t), ("timeout_ms", c_int64), ("after", c_char_p), ("max_count", c_uint64)]


class StorageReadOptions(Sized):
    _fields_ = [
        ("struct_size", c_size_t),
        ("timeout_ms", c_int64),
        ("offset_bytes", c_uint64),
        ("length_bytes", c_uint64),
        ("if_etag", c_char_p),
    ]


class StorageWriteOptions(Sized):
    _fields_ = [
        ("struct_size", c_size_t),
        ("timeout_ms", c_int64),
        ("if_etag", c_char_p),
        ("mime_type", c_char_p),
        ("sha256", POINTER(c_uint8)),
        ("size_bytes", c_uint64),
        ("if_absent", c_int32),
        ("reserved", c_int32),
    ]


OBJECT_CB = CFUNCTYPE(c_int32, c_void_p, POINTER(Object))
REMOVED_CB = CFUNCTYPE(c_int32, c_void_p, c_char_p, c_int32, c_void_p)


class PushOptions(Sized):
    _fields_ = [
        ("struct_size", c_size_t),
        ("timeout_ms", c_int64),
        ("flags", c_uint32),
        ("reserved", c_int32),
        ("manifest", c_char_p),
    ]


class ToolOptions(Sized):
    _fields_ = [("struct_size", c_size_t), ("timeout_ms", c_int64), ("output", OUTPUT_CB), ("output_user", c_void_p)]


#: Structs by their names in C.
STRUCTS = {
    "ci_file_info": FileInfo,
    "ci_item": Item,
    "ci_diagnostic": Diagnostic,
    "ci_refusal": Refusal,
    "ci_context_info": ContextInfo,
    "ci_sandbox_local_options": SandboxLocalOptions,
    "ci_progress": Progress,
    "ci_session_options": SessionOptions,
    "ci_run_options": RunOptions,
    "ci_file_content": FileContent,
    "ci_file_op_options": FileOpOptions,
    "ci_storage_dir_options": StorageDirOptions,
    "ci_sandbox_agentcore_options": SandboxAgentcoreOptions,
    "ci_storage_s3_options": StorageS3Options,
    "ci_object": Object,
    "ci_storage_list_options": StorageListOptions,
    "ci_storage_read_options": StorageReadOptions,
    "ci_storage_write_options": StorageWriteOptions,
    "ci_push_options": PushOptions,
    "ci_tool_options": ToolOptions,
}

_HANDLE = c_void_p  # ci_session *, ci_call *, …
_RET = POINTER(c_void_p)  # out: a handle, an error, or text to be released with ci_free()
_SIZE = POINTER(c_size_t)  # out: a size
_PATHS = POINTER(c_char_p)
_CODE = [_HANDLE, c_char_p, c_size_t, POINTER(RunOptions)]
_COMMAND = [_HANDLE, c_char_p, POINTER(RunOptions)]
_CONTEXT = [_HANDLE, c_char_p, c_char_p]
_PUSH = [_HANDLE, _PATHS, c_size_t, POINTER(PushOptions)]
_TOOL = [_HANDLE, c_char_p, c_char_p, c_size_t, POINTER(ToolOptions)]
_GET = [_HANDLE, c_char_p, c_uint64, c_uint64, WRITE_CB, c_void_p]
_PUT = [_HANDLE, c_char_p, READ_CB, c_void_p]
_LIST = [_HANDLE, c_char_p, POINTER(StorageListOptions), OBJECT_CB, c_void_p]
_STAT = [_HANDLE, c_char_p, c_int64, OBJECT_CB, c_void_p]
_READ = [_HANDLE, c_char_p, POINTER(StorageReadOptions), WRITE_CB, OBJECT_CB, c_void_p]
_WRITE = [_HANDLE, c_char_p, POINTER(StorageWriteOptions), READ_CB, OBJECT_CB, c_void_p]
_REMOVE = [_HANDLE, _PATHS, c_size_t, c_int64, REMOVED_CB, c_void_p]

#: What each function returns and takes.
FUNCTIONS: dict[str, tuple[object, list[object]]] = {
    # version.h
    "ci_version_number": (c_int32, []),
    "ci_version_string": (c_char_p, []),
    "ci_free": (None, [c_void_p]),
    # error.h
    "ci_error_status": (c_int32, [_HANDLE]),
    "ci_error_message": (c_char_p, [_HANDLE]),
    "ci_error_hint": (c_char_p, [_HANDLE]),
    "ci_error_domain": (c_char_p, [_HANDLE]),
    "ci_error_errno": (c_int32, [_HANDLE]),
    "ci_error_http_status": (c_int32, [_HANDLE]),
    "ci_error_retryable": (c_int32, [_HANDLE]),
    "ci_error_handle_usable": (c_int32, [_HANDLE]),
    "ci_status_name": (c_char_p, [c_int32]),
    "ci_error_free": (None, [_HANDLE]),
    # call.h
    "ci_call_fd": (c_int32, [_HANDLE]),
    "ci_call_process": (c_int32, [_HANDLE]),
    "ci_call_wait": (c_int32, [_HANDLE, c_int64]),
    "ci_call_set_timeout": (c_int32, [_HANDLE, c_int64]),
    "ci_call_interrupt": (c_int32, [_HANDLE]),
    "ci_call_cancel": (c_int32, [_HANDLE]),
    "ci_call_take_result": (c_int32, [_HANDLE, _RET, _RET]),
    "ci_call_take_session": (c_int32, [_HANDLE, _RET, _RET]),
    "ci_call_take_status": (c_int32, [_HANDLE, _RET]),
    "ci_call_free": (None, [_HANDLE]),
    # result.h
    "ci_result_outcome": (c_int32, [_HANDLE]),
    "ci_outcome_name": (c_char_p, [c_int32]),
    "ci_result_exit_code": (c_int32, [_HANDLE]),
    "ci_result_stream": (c_void_p, [_HANDLE, c_int32, _SIZE]),
    "ci_result_stream_total": (c_uint64, [_HANDLE, c_int32]),
    "ci_result_stream_kept": (c_uint64, [_HANDLE, c_int32]),
    "ci_result_stdout": (c_void_p, [_HANDLE, _SIZE]),
    "ci_result_stderr": (c_void_p, [_HANDLE, _SIZE]),
    "ci_result_value": (c_void_p, [_HANDLE, _SIZE]),
    "ci_result_error_name": (c_char_p, [_HANDLE]),
    "ci_result_error_message": (c_char_p, [_HANDLE]),
    "ci_result_traceback": (c_char_p, [_HANDLE]),
    "ci_result_diagnostic_count": (c_size_t, [_HANDLE]),
    "ci_result_diagnostic": (c_int32, [_HANDLE, c_size_t, POINTER(Diagnostic)]),
    "ci_result_refusal_count": (c_size_t, [_HANDLE]),
    "ci_result_refusal_total": (c_uint64, [_HANDLE]),
    "ci_result_refusal": (c_int32, [_HANDLE, c_size_t, POINTER(Refusal)]),
    "ci_result_execution_us": (c_int64, [_HANDLE]),
    "ci_result_state_lost": (c_int32, [_HANDLE]),
    "ci_result_background": (c_void_p, [_HANDLE, _SIZE]),
    "ci_result_replaced_count": (c_size_t, [_HANDLE]),
    "ci_result_replaced": (c_char_p, [_HANDLE, c_size_t]),
    "ci_result_task_id": (c_uint64, [_HANDLE]),
    "ci_result_task_running": (c_int32, [_HANDLE]),
    "ci_result_item_count": (c_size_t, [_HANDLE]),
    "ci_result_item_total": (c_size_t, [_HANDLE]),
    "ci_result_item": (c_int32, [_HANDLE, c_size_t, POINTER(Item)]),
    "ci_result_file_count": (c_size_t, [_HANDLE, c_int32]),
    "ci_result_file": (c_int32, [_HANDLE, c_int32, c_size_t, POINTER(FileInfo)]),
    "ci_file_status_name": (c_char_p, [c_int32]),
    "ci_result_json": (c_int32, [_HANDLE, _RET, _SIZE]),
    "ci_result_free": (None, [_HANDLE]),
    # sandbox.h
    "ci_sandbox_agentcore_new": (c_int32, [POINTER(SandboxAgentcoreOptions), _RET, _RET]),
    "ci_sandbox_local_new": (c_int32, [POINTER(SandboxLocalOptions), _RET, _RET]),
    "ci_sandbox_prepare": (c_int32, [_HANDLE, c_int64, _RET]),
    "ci_sandbox_prepare_start": (c_int32, [_HANDLE, c_int64, _RET, _RET]),
    "ci_sandbox_local_check": (c_int32, [POINTER(SandboxLocalOptions), _RET, _RET]),
    "ci_sandbox_ref": (_HANDLE, [_HANDLE]),
    "ci_sandbox_free": (None, [_HANDLE]),
    # storage.h
    "ci_storage_dir_new": (c_int32, [c_char_p, POINTER(StorageDirOptions), _RET, _RET]),
    "ci_storage_s3_new": (c_int32, [c_char_p, POINTER(StorageS3Options), _RET, _RET]),
    "ci_storage_ref": (_HANDLE, [_HANDLE]),
    "ci_storage_free": (None, [_HANDLE]),
    # objects.h
    "ci_storage_list": (c_int32, [*_LIST, _RET]),
    "ci_storage_list_start": (c_int32, [*_LIST, _RET, _RET]),
    "ci_storage_stat": (c_int32, [*_STAT, _RET]),
    "ci_storage_stat_start": (c_int32, [*_STAT, _RET, _RET]),
    "ci_storage_read": (c_int32, [*_READ, _RET]),
    "ci_storage_read_start": (c_int32, [*_READ, _RET, _RET]),
    "ci_storage_write": (c_int32, [*_WRITE, _RET]),
    "ci_storage_write_start": (c_int32, [*_WRITE, _RET, _RET]),
    "ci_storage_remove": (c_int32, [*_REMOVE, _RET]),
    "ci_storage_remove_start": (c_int32, [*_REMOVE, _RET, _RET]),
    # session.h
    "ci_session_open": (c_int32, [POINTER(SessionOptions), _RET, _RET]),
    "ci_session_open_start": (c_int32, [POINTER(SessionOptions), _RET, _RET]),
    "ci_session_close": (None, [_HANDLE]),
    "ci_session_shutdown": (c_int32, [_HANDLE]),
    "ci_execute_code": (c_int32, [*_CODE, _RET, _RET]),
    "ci_execute_code_start": (c_int32, [*_CODE, _RET, _RET]),
    "ci_execute_command": (c_int32, [*_COMMAND, _RET, _RET]),
    "ci_execute_command_start": (c_int32, [*_COMMAND, _RET, _RET]),
    "ci_task_poll": (c_int32, [_HANDLE, c_uint64, _RET, _RET]),
    "ci_task_poll_start": (c_int32, [_HANDLE, c_uint64, _RET, _RET]),
    "ci_task_stop": (c_int32, [_HANDLE, c_uint64, _RET, _RET]),
    "ci_task_stop_start": (c_int32, [_HANDLE, c_uint64, _RET, _RET]),
    "ci_session_interrupt": (c_int32, [_HANDLE]),
    "ci_session_id": (c_char_p, [_HANDLE]),
    "ci_session_capabilities": (c_uint64, [_HANDLE]),
    "ci_session_info": (c_int32, [_HANDLE, _RET, _RET]),
    "ci_session_preload_report": (c_int32, [_HANDLE, _RET, _RET]),
    # context.h
    "ci_context_list": (c_int32, [_HANDLE, CONTEXT_CB, c_void_p, _RET]),
    "ci_context_clear": (c_int32, [*_CONTEXT, _RET]),
    "ci_context_clear_start": (c_int32, [*_CONTEXT, _RET, _RET]),
    "ci_context_remove": (c_int32, [*_CONTEXT, _RET]),
    "ci_context_remove_start": (c_int32, [*_CONTEXT, _RET, _RET]),
    # files.h
    "ci_file_op": (c_int32, [_HANDLE, POINTER(FileOpOptions), _RET, _RET]),
    "ci_file_op_start": (c_int32, [_HANDLE, POINTER(FileOpOptions), _RET, _RET]),
    "ci_file_get": (c_int32, [*_GET, _RET]),
    "ci_file_get_start": (c_int32, [*_GET, _RET, _RET]),
    "ci_file_put": (c_int32, [*_PUT, _RET]),
    "ci_file_put_start": (c_int32, [*_PUT, _RET, _RET]),
    # workspace.h
    "ci_push_to_workspace": (c_int32, [*_PUSH, _RET, _RET]),
    "ci_push_to_workspace_start": (c_int32, [*_PUSH, _RET, _RET]),
    "ci_workspace_list": (c_int32, [_HANDLE, c_char_p, _RET, _RET]),
    "ci_workspace_list_start": (c_int32, [_HANDLE, c_char_p, _RET, _RET]),
    "ci_workspace_stat": (c_int32, [_HANDLE, c_char_p, _RET, _RET]),
    "ci_workspace_stat_start": (c_int32, [_HANDLE, c_char_p, _RET, _RET]),
    "ci_workspace_read": (c_int32, [*_GET, _RET]),
    "ci_workspace_read_start": (c_int32, [*_GET, _RET, _RET]),
    "ci_workspace_write": (c_int32, [*_PUT, _RET]),
    "ci_workspace_write_start": (c_int32, [*_PUT, _RET, _RET]),
    "ci_workspace_remove": (c_int32, [_HANDLE, c_char_p, _RET]),
    "ci_workspace_remove_start": (c_int32, [_HANDLE, c_char_p, _RET, _RET]),
    # tools.h
    "ci_tool_call": (c_int32, [*_TOOL, _RET, _RET]),
    "ci_tool_call_start": (c_int32, [*_TOOL, _RET, _RET]),
    "ci_tool_schemas": (c_char_p, [c_int32]),
    "ci_tool_refuse": (c_int32, [c_char_p, _RET]),
}
