"""Sandboxes, sessions and calls."""

from __future__ import annotations

import ctypes
import json
import math
import os
import select
import threading
from collections.abc import Callable, Iterable, Mapping
from ctypes import byref, c_char_p, c_void_p
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, Generic, Optional, TypeVar, Union

from . import _table
from ._errors import Closed, Failed, check
from ._library import library
from ._result import FileInfo, Result, take_text

if TYPE_CHECKING:
    from ._storage import Storage

Path = Union[str, bytes, "os.PathLike[str]"]
#: Gets "stdout", "stderr" or the MIME type of a rich item, and the bytes.
OnOutput = Callable[[str, bytes], object]
#: Gets level ("error", "warning", "info", "debug"), domain and message.
Log = Callable[[str, str, str], object]
T = TypeVar("T")

_NETWORKS = {"none": 0, "internet": 1, "host": 2}
_DIALECTS = {"mcp": 1, "anthropic": 2, "openai": 3}
_LEVELS = {1: "error", 2: "warning", 3: "info", 4: "debug"}
_CHUNK = 1 << 20
_LONG = 1e12  # seconds; a time that C can count with


@dataclass(frozen=True)
class Progress:
    """How far a preload or a push has come: ci_progress."""

    what: str
    files_done: int
    files_total: int
    bytes_done: int
    bytes_total: int


@dataclass(frozen=True)
class Context:
    """A context of a session. "javascript" stands for TypeScript too, which shares its variables."""

    language: str
    name: str
    running: bool


def _bytes(text: Union[Path, None]) -> Optional[bytes]:
    """A string for C. One that C would see cut short is refused."""
    if text is None:
        return None
    raw = os.fsencode(text)
    if b"\0" in raw:
        raise ValueError(f"embedded NUL in {text!r}")
    return raw


def _strings(texts: Iterable[Path]) -> Any:
    """A NULL-ended array of strings."""
    raw = [_bytes(text) for text in texts]
    return (c_char_p * (len(raw) + 1))(*raw, None)


def _environment(env: Optional[Mapping[str, str]]) -> Any:
    return None if env is None else _strings(f"{name}={value}" for name, value in env.items())


def _rules(name: str, rules: Optional[Iterable[str]]) -> Any:
    if isinstance(rules, (str, bytes)):  # which would be taken letter by letter
        raise TypeError(f"{name} is a list of rules, not {rules!r}")
    return None if rules is None else _strings(rules)


def _milliseconds(seconds: Optional[float]) -> int:
    """Seconds for C, where 0 is the default, for None; a time that is over is still one, and math.inf a long one."""
    return 0 if seconds is None else max(1, round(min(seconds, _LONG) * 1000))


def _deadline(seconds: Optional[float]) -> int:
    """A call's deadline for C, where 0 is the session's, for None, and a negative one is none."""
    return -1 if seconds is not None and (seconds == math.inf or seconds < 0) else _milliseconds(seconds)


def _log_callback(log: Optional[Log]) -> Any:
    if log is None:
        return _table.LOG_CB()

    def call(_user: Any, level: int, domain: bytes, message: bytes) -> None:
        log(_LEVELS.get(level, "debug"), domain.decode("utf-8", "replace"), message.decode("utf-8", "replace"))

    return _table.LOG_CB(call)


class _Callbacks:
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

    def __init__(self, handle: c_void_p, callbacks: _Callbacks, take: Callable[[c_void_p], T]) -> None:
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
        check(self._c.ci_call_set_timeout(self._handle, _deadline(timeout)), c_void_p())

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


def _take_result(call: c_void_p) -> Result:
    result, error = c_void_p(), c_void_p()
    check(library().ci_call_take_result(call, byref(result), byref(error)), error)
    return Result(result.value or 0)


def _take_session(call: c_void_p) -> c_void_p:
    session, error = c_void_p(), c_void_p()
    check(library().ci_call_take_session(call, byref(session), byref(error)), error)
    return session


def _take_status(call: c_void_p) -> None:
    error = c_void_p()
    check(library().ci_call_take_status(call, byref(error)), error)


def _start(
    function: Any, arguments: list[Any], callbacks: Optional[_Callbacks], take: Callable[[c_void_p], T]
) -> Call[T]:
    call, error = c_void_p(), c_void_p()
    check(function(*arguments, byref(call), byref(error)), error)
    return Call(call, callbacks or _Callbacks(), take)


def _transfer(function: Any, arguments: list[Any], callbacks: _Callbacks) -> None:
    """A call that has no outcome but success; what a callback raised counts more than that the call was stopped by it."""
    try:
        _start(function, arguments, callbacks, _take_status).result()
    except Exception:
        if callbacks.error is not None:
            raise callbacks.error from None
        raise


class _Handle:
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


class Sandbox(_Handle):
    """A local sandbox, which many sessions may share. Code in a session can read whatever of pip_config, npm_config,
    ca_file and host_packages is handed in."""

    _release = "ci_sandbox_free"

    def __init__(
        self,
        *,
        python: Optional[Path] = None,
        preload: Optional[str] = None,
        kernels: Optional[str] = None,
        helper_dir: Optional[Path] = None,
        env: Optional[Mapping[str, str]] = None,
        pip_config: Optional[Path] = None,
        npm_config: Optional[Path] = None,
        ca_file: Optional[Path] = None,
        package_cache: Optional[Path] = None,
        host_packages: bool = False,
        log: Optional[Log] = None,
    ) -> None:
        options = _table.SandboxLocalOptions(
            python=_bytes(python),
            preload=_bytes(preload),
            kernels=_bytes(kernels),
            helper_dir=_bytes(helper_dir),
            env=_environment(env),
            pip_config=_bytes(pip_config),
            npm_config=_bytes(npm_config),
            ca_file=_bytes(ca_file),
            package_cache=_bytes(package_cache),
            host_packages=host_packages,
            log=_log_callback(log),
        )
        sandbox, error = c_void_p(), c_void_p()
        check(library().ci_sandbox_local_new(byref(options), byref(sandbox), byref(error)), error)
        super().__init__(sandbox, [options.log])

    def prepare(self, timeout: Optional[float] = None) -> None:
        """Waits until the preload list is ready, and a session with the kernels that are kept ready."""
        arguments = [self._handle, _milliseconds(timeout)]
        _start(self._c.ci_sandbox_prepare_start, arguments, None, _take_status).result()


class Session(_Handle):
    """A session: variables and files persist from call to call. Options are those of ci_session_options; times are in
    seconds. Opening blocks until the session is ready.

    The `timeout` of a call is its deadline; None: the session's; math.inf or a negative one: none, whatever the session
    has."""

    _release = "ci_session_close"

    def __init__(
        self,
        *,
        sandbox: Optional[Sandbox] = None,
        storage: Optional[Storage] = None,
        workspace_dir: Optional[Path] = None,
        session_id: Optional[str] = None,
        python: Optional[Path] = None,
        host_dir: Optional[Path] = None,
        rootfs: Optional[Path] = None,
        env: Optional[Mapping[str, str]] = None,
        uploads_prefix: Optional[str] = None,
        output_prefix: Optional[str] = None,
        user: Optional[str] = None,
        memory_bytes: int = 0,
        workspace_bytes: int = 0,
        workspace_inodes: int = 0,
        archive_bytes: int = 0,
        archive_entry_count: int = 0,
        archive_ratio: int = 0,
        stream_bytes: int = 0,
        process_count: int = 0,
        open_file_count: int = 0,
        timeout: Optional[float] = None,
        grace: Optional[float] = None,
        open_timeout: Optional[float] = None,
        network: str = "none",
        network_allow: Optional[Iterable[str]] = None,
        network_deny: Optional[Iterable[str]] = None,
        preload: bool = True,
        preload_once: bool = False,
        unpack: bool = True,
        push_everything: bool = False,
        log: Optional[Log] = None,
        trace: Optional[Callable[[str, float], object]] = None,
        prefixes: Optional[Mapping[str, str]] = None,
        manifest: Optional[str] = None,
        progress: Optional[Callable[[Progress], object]] = None,
    ) -> None:
        if network not in _NETWORKS:
            raise ValueError(f"network is one of {', '.join(_NETWORKS)}, not {network!r}")

        def tell(_user: Any, event: bytes, microseconds: int) -> None:
            trace(event.decode(), microseconds / 1e6)  # type: ignore[misc]

        def tell_progress(_user: Any, state: Any) -> None:
            s = state.contents
            made = Progress(s.what.decode(), s.files_done, s.files_total, s.bytes_done, s.bytes_total)
            progress(made)  # type: ignore[misc]

        options = _table.SessionOptions(
            sandbox=sandbox._handle if sandbox else None,
            storage=storage._handle if storage else None,
            workspace_dir=_bytes(workspace_dir),
            session_id=_bytes(session_id),
            python=_bytes(python),
            host_dir=_bytes(host_dir),
            rootfs=_bytes(rootfs),
            env=_environment(env),
            uploads_prefix=_bytes(uploads_prefix),
            output_prefix=_bytes(output_prefix),
            user=_bytes(user),
            memory_bytes=memory_bytes,
            workspace_bytes=workspace_bytes,
            workspace_inodes=workspace_inodes,
            archive_bytes=archive_bytes,
            archive_entry_count=archive_entry_count,
            archive_ratio=archive_ratio,
            stream_bytes=stream_bytes,
            process_count=process_count,
            open_file_count=open_file_count,
            timeout_ms=_milliseconds(timeout),
            grace_ms=_milliseconds(grace),
            open_timeout_ms=_milliseconds(open_timeout),
            network=_NETWORKS[network],
            network_allow=_rules("network_allow", network_allow),
            network_deny=_rules("network_deny", network_deny),
            flags=(
                (0 if preload else _table.SESSION_NO_PRELOAD)
                | (_table.SESSION_PRELOAD_ONCE if preload_once else 0)
                | (0 if unpack else _table.SESSION_NO_UNPACK)
                | (_table.SESSION_PUSH_EVERYTHING if push_everything else 0)
            ),
            log=_log_callback(log),
            trace=_table.TRACE_CB(tell) if trace else _table.TRACE_CB(),
            prefixes=None if prefixes is None else _strings(f"{name}={key}" for name, key in prefixes.items()),
            manifest=_bytes(manifest),
            progress=_table.PROGRESS_CB(tell_progress) if progress else _table.PROGRESS_CB(),
        )
        call = _start(library().ci_session_open_start, [byref(options)], None, _take_session)
        # What the options refer to lives on with the session: callbacks must, and sandbox and storage may as well.
        super().__init__(call.result(), [options.log, options.trace, options.progress, sandbox, storage])

    # -- about the session

    @property
    def id(self) -> str:
        return self._c.ci_session_id(self._handle).decode()

    @property
    def capabilities(self) -> int:
        """CI_CAP_ bits of ci/sys/sandbox.h."""
        return self._c.ci_session_capabilities(self._handle)

    def info(self) -> dict[str, Any]:
        text, error = c_void_p(), c_void_p()
        check(self._c.ci_session_info(self._handle, byref(text), byref(error)), error)
        return json.loads(take_text(text))

    def preload_report(self) -> list[FileInfo]:
        """What became of the uploads at opening."""
        result, error = c_void_p(), c_void_p()
        check(self._c.ci_session_preload_report(self._handle, byref(result), byref(error)), error)
        return Result(result.value or 0).preload

    def interrupt(self) -> None:
        """Interrupts all that runs; from any thread."""
        check(self._c.ci_session_interrupt(self._handle), c_void_p())

    def shutdown(self) -> None:
        """Ends the session for every thread; their calls raise Closed."""
        check(self._c.ci_session_shutdown(self._handle), c_void_p())

    # -- contexts

    def contexts(self) -> list[Context]:
        """The contexts that live, in the order in which they began."""
        found: list[Context] = []

        def take(_user: Any, info: Any) -> int:
            one = info.contents
            found.append(Context(one.language.decode(), one.context.decode(), bool(one.running)))
            return 0

        error = c_void_p()
        check(self._c.ci_context_list(self._handle, _table.CONTEXT_CB(take), None, byref(error)), error)
        return found

    def clear_context(self, language: Optional[str] = None, context: Optional[str] = None) -> None:
        """Starts a context's kernel anew: variables are lost, files stay."""
        self.start_clear_context(language, context).result()

    def start_clear_context(self, language: Optional[str] = None, context: Optional[str] = None) -> Call[None]:
        """As clear_context(), without waiting."""
        arguments = [self._handle, _bytes(language), _bytes(context)]
        return _start(self._c.ci_context_clear_start, arguments, None, _take_status)

    def remove_context(self, language: Optional[str] = None, context: Optional[str] = None) -> None:
        """Ends a context's kernel and forgets the context."""
        self.start_remove_context(language, context).result()

    def start_remove_context(self, language: Optional[str] = None, context: Optional[str] = None) -> Call[None]:
        """As remove_context(), without waiting."""
        arguments = [self._handle, _bytes(language), _bytes(context)]
        return _start(self._c.ci_context_remove_start, arguments, None, _take_status)

    # -- running

    def _run(
        self,
        function: Any,
        arguments: list[Any],
        flags: int,
        on_output: Optional[OnOutput],
        *,
        language: Optional[str] = None,
        context: Optional[str] = None,
        output_filename: Optional[Path] = None,
        cwd: Optional[Path] = None,
        env: Optional[Mapping[str, str]] = None,
        timeout: Optional[float] = None,
        stream_bytes: int = 0,
        list_changes: bool = False,
        spill_output: bool = False,
        clear_context: bool = False,
        typecheck: bool = True,
    ) -> Call[Result]:
        callbacks = _Callbacks()
        options = _table.RunOptions(
            language=_bytes(language),
            context=_bytes(context),
            output_filename=_bytes(output_filename),
            cwd=_bytes(cwd),
            env=_environment(env),
            timeout_ms=_deadline(timeout),
            stream_bytes=stream_bytes,
            output=callbacks.output(on_output),
            flags=(
                flags
                | (_table.RUN_LIST_CHANGES if list_changes else 0)
                | (_table.RUN_SPILL_OUTPUT if spill_output else 0)
                | (_table.RUN_CLEAR_CONTEXT if clear_context else 0)
                | (0 if typecheck else _table.RUN_NO_TYPECHECK)
            ),
        )
        return _start(function, [self._handle, *arguments, byref(options)], callbacks, _take_result)

    def start_code(
        self, code: Union[str, bytes], *, on_output: Optional[OnOutput] = None, **options: Any
    ) -> Call[Result]:
        """As run_code(), without waiting."""
        raw = code.encode("utf-8", "surrogateescape") if isinstance(code, str) else code
        return self._run(self._c.ci_execute_code_start, [raw, len(raw)], 0, on_output, **options)

    def run_code(self, code: Union[str, bytes], *, on_output: Optional[OnOutput] = None, **options: Any) -> Result:
        """Runs code in a kernel that keeps its state. Options: language, context, output_filename, cwd, env, timeout,
        stream_bytes, list_changes, spill_output, clear_context, typecheck."""
        return self.start_code(code, on_output=on_output, **options).result()

    def start_command(
        self, command: str, *, background: bool = False, on_output: Optional[OnOutput] = None, **options: Any
    ) -> Call[Result]:
        """As run_command(), without waiting."""
        flags = _table.RUN_BACKGROUND if background else 0
        return self._run(self._c.ci_execute_command_start, [_bytes(command)], flags, on_output, **options)

    def run_command(
        self, command: str, *, background: bool = False, on_output: Optional[OnOutput] = None, **options: Any
    ) -> Result:
        """Runs a shell command; with `background` it becomes a task at once. Options as for run_code()."""
        return self.start_command(command, background=background, on_output=on_output, **options).result()

    def start_poll_task(self, task_id: int) -> Call[Result]:
        """As poll_task(), without waiting."""
        return _start(self._c.ci_task_poll_start, [self._handle, task_id], None, _take_result)

    def poll_task(self, task_id: int) -> Result:
        """What a task printed since the last poll, and whether it runs."""
        return self.start_poll_task(task_id).result()

    def start_stop_task(self, task_id: int) -> Call[Result]:
        """As stop_task(), without waiting."""
        return _start(self._c.ci_task_stop_start, [self._handle, task_id], None, _take_result)

    def stop_task(self, task_id: int) -> Result:
        """Kills a task and all it started."""
        return self.start_stop_task(task_id).result()

    def tool_call(
        self,
        name: str,
        tool_input: Union[str, bytes, Mapping[str, Any]],
        *,
        timeout: Optional[float] = None,
        on_output: Optional[OnOutput] = None,
    ) -> Result:
        """Calls a tool as a model does; the input is a mapping, or JSON text."""
        if isinstance(tool_input, Mapping):
            tool_input = json.dumps(tool_input)
        raw = tool_input.encode() if isinstance(tool_input, str) else tool_input
        callbacks = _Callbacks()
        options = _table.ToolOptions(timeout_ms=_deadline(timeout), output=callbacks.output(on_output))
        arguments = [self._handle, _bytes(name), raw, len(raw), byref(options)]
        return _start(self._c.ci_tool_call_start, arguments, callbacks, _take_result).result()

    # -- files

    def file_op(
        self,
        operation: str,
        paths: Iterable[Path] = (),
        content: Optional[Mapping[Path, Union[str, bytes]]] = None,
        timeout: Optional[float] = None,
    ) -> Result:
        """Reads, writes, lists or removes several files; the result tells each."""
        operations = {
            "read": _table.FILE_OP_READ,
            "write": _table.FILE_OP_WRITE,
            "list": _table.FILE_OP_LIST,
            "remove": _table.FILE_OP_REMOVE,
        }
        if operation not in operations:
            raise ValueError(f"operation is one of {', '.join(operations)}, not {operation!r}")
        names = _strings(paths)
        data = [
            (_bytes(path), value.encode() if isinstance(value, str) else bytes(value))
            for path, value in (content or {}).items()
        ]
        entries = (_table.FileContent * max(1, len(data)))(
            *((path, ctypes.cast(c_char_p(value), c_void_p), len(value)) for path, value in data)
        )
        options = _table.FileOpOptions(
            paths=names,
            path_count=len(names) - 1,
            content=entries,
            content_count=len(data),
            timeout_ms=_deadline(timeout),
            operation=operations[operation],
        )
        return _start(self._c.ci_file_op_start, [self._handle, byref(options)], None, _take_result).result()

    @staticmethod
    def _files_of(result: Result) -> list[FileInfo]:
        if not result.ok:
            raise Failed(result)
        return result.files

    def list_files(self, path: Path = ".") -> list[FileInfo]:
        """One level of a folder."""
        return self._files_of(self.file_op("list", [path]))

    def remove_files(self, *paths: Path) -> None:
        """Removes files, and folders with all they hold."""
        self._files_of(self.file_op("remove", paths))

    def read_file(self, path: Path, offset: int = 0, length: Optional[int] = None) -> bytes:
        chunks: list[bytes] = []
        self._get(self._c.ci_file_get_start, path, chunks.append, offset, length)
        return b"".join(chunks)

    def write_file(self, path: Path, data: Union[str, bytes]) -> None:
        """Writes a file, whole or not at all; missing folders are made."""
        self._put(self._c.ci_file_put_start, path, _reader_of(data))

    def get(self, path: Path, target: BinaryIO, offset: int = 0, length: Optional[int] = None) -> None:
        """Streams a file of the sandbox into a binary file of the host, in bounded memory."""
        self._get(self._c.ci_file_get_start, path, target.write, offset, length)

    def put(self, path: Path, source: BinaryIO) -> None:
        """Streams a binary file of the host into the sandbox, in bounded memory."""
        self._put(self._c.ci_file_put_start, path, source.read)

    def _get(
        self, function: Any, name: Path, write: Callable[[bytes], object], offset: int, length: Optional[int]
    ) -> None:
        callbacks = _Callbacks()
        most = _table.UINT64_MAX if length is None else length
        _transfer(function, [self._handle, _bytes(name), offset, most, callbacks.writer(write), None], callbacks)

    def _put(self, function: Any, name: Path, read: Callable[[int], bytes]) -> None:
        callbacks = _Callbacks()
        _transfer(function, [self._handle, _bytes(name), callbacks.reader(read), None], callbacks)

    # -- workspace

    def push(
        self,
        *paths: Path,
        everything: bool = False,
        timeout: Optional[float] = None,
        manifest: Optional[str] = None,
    ) -> Result:
        """Saves files and folders to the workspace; without paths all there is. With `everything` no folder is skipped
        by its name. `manifest` names the list that is written when all files are there; None: the session's, "": none."""
        names = _strings(paths) if paths else None
        options = _table.PushOptions(
            timeout_ms=_deadline(timeout),
            flags=_table.PUSH_EVERYTHING if everything else 0,
            manifest=_bytes(manifest),
        )
        arguments = [self._handle, names, len(paths), byref(options)]
        return _start(self._c.ci_push_to_workspace_start, arguments, None, _take_result).result()

    def workspace_list(self, prefix: str = "") -> list[FileInfo]:
        arguments = [self._handle, _bytes(prefix)]
        return self._files_of(_start(self._c.ci_workspace_list_start, arguments, None, _take_result).result())

    def workspace_stat(self, name: str) -> FileInfo:
        arguments = [self._handle, _bytes(name)]
        return self._files_of(_start(self._c.ci_workspace_stat_start, arguments, None, _take_result).result())[0]

    def workspace_read(self, name: str, offset: int = 0, length: Optional[int] = None) -> bytes:
        chunks: list[bytes] = []
        self._get(self._c.ci_workspace_read_start, name, chunks.append, offset, length)
        return b"".join(chunks)

    def workspace_get(self, name: str, target: BinaryIO, offset: int = 0, length: Optional[int] = None) -> None:
        """Streams a file of the workspace into a binary file of the host."""
        self._get(self._c.ci_workspace_read_start, name, target.write, offset, length)

    def workspace_write(self, name: str, data: Union[str, bytes]) -> None:
        self._put(self._c.ci_workspace_write_start, name, _reader_of(data))

    def workspace_put(self, name: str, source: BinaryIO) -> None:
        """Streams a binary file of the host into the workspace."""
        self._put(self._c.ci_workspace_write_start, name, source.read)

    def workspace_remove(self, name: str) -> None:
        _start(self._c.ci_workspace_remove_start, [self._handle, _bytes(name)], None, _take_status).result()


def _reader_of(data: Union[str, bytes]) -> Callable[[int], bytes]:
    raw = memoryview(data.encode() if isinstance(data, str) else data)
    position = 0

    def read(size: int) -> bytes:
        nonlocal position
        chunk = bytes(raw[position : position + size])
        position += len(chunk)
        return chunk

    return read


def check_machine(*, python: Optional[Path] = None) -> dict[str, Any]:
    """What this machine gives a local sandbox, what is missing, and the remedy."""
    options = _table.SandboxLocalOptions(python=_bytes(python))
    text, error = c_void_p(), c_void_p()
    check(library().ci_sandbox_local_check(byref(options), byref(text), byref(error)), error)
    return json.loads(take_text(text))


def tool_schemas(dialect: str = "mcp") -> list[dict[str, Any]]:
    """Descriptions of the seven tools for a model: "mcp", "anthropic" or "openai"."""
    if dialect not in _DIALECTS:
        raise ValueError(f"dialect is one of {', '.join(_DIALECTS)}, not {dialect!r}")
    return json.loads(library().ci_tool_schemas(_DIALECTS[dialect]))


def version() -> str:
    """The library's version and features, in one line."""
    return library().ci_version_string().decode()
