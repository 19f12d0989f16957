"""Sandboxes and sessions."""

from __future__ import annotations

import ctypes
import json
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from ctypes import byref, c_char_p, c_void_p
from dataclasses import dataclass
from typing import Any, BinaryIO, Optional, Union

from . import _table
from ._call import (
    Call,
    Callbacks,
    Handle,
    OnOutput,
    Path,
    c_string,
    c_strings,
    deadline,
    milliseconds,
    reader_of,
    secret,
    start_call,
    take_result,
    take_status,
    unsigned,
)
from ._errors import Failed, check
from ._library import library
from ._result import FileInfo, Result, take_text
from ._storage import Storage

#: Gets level ("error", "warning", "info", "debug"), domain and message.
Log = Callable[[str, str, str], object]

_NETWORKS = {"none": 0, "internet": 1, "host": 2}
_DIALECTS = {"mcp": 1, "anthropic": 2, "openai": 3}
_LEVELS = {1: "error", 2: "warning", 3: "info", 4: "debug"}


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


def _environment(env: Optional[Mapping[str, str]]) -> Any:
    return None if env is None else c_strings(f"{name}={value}" for name, value in env.items())


def _rules(name: str, rules: Optional[Iterable[str]]) -> Any:
    if isinstance(rules, (str, bytes)):  # which would be taken letter by letter
        raise TypeError(f"{name} is a list of rules, not {rules!r}")
    return None if rules is None else c_strings(rules)


def _log_callback(log: Optional[Log]) -> Any:
    if log is None:
        return _table.LOG_CB()

    def call(_user: Any, level: int, domain: bytes, message: bytes) -> None:
        log(_LEVELS.get(level, "debug"), domain.decode("utf-8", "replace"), message.decode("utf-8", "replace"))

    return _table.LOG_CB(call)


def _take_session(call: c_void_p) -> c_void_p:
    session, error = c_void_p(), c_void_p()
    check(library().ci_call_take_session(call, byref(session), byref(error)), error)
    return session


class Sandbox(Handle):
    """A local sandbox, or agentcore()'s, which many sessions may share. Code in a session can read whatever of pip_config, npm_config,
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
            python=c_string(python),
            preload=c_string(preload),
            kernels=c_string(kernels),
            helper_dir=c_string(helper_dir),
            env=_environment(env),
            pip_config=c_string(pip_config),
            npm_config=c_string(npm_config),
            ca_file=c_string(ca_file),
            package_cache=c_string(package_cache),
            host_packages=host_packages,
            log=_log_callback(log),
        )
        sandbox, error = c_void_p(), c_void_p()
        check(library().ci_sandbox_local_new(byref(options), byref(sandbox), byref(error)), error)
        super().__init__(sandbox, [options.log])

    @classmethod
    def agentcore(
        cls,
        *,
        interpreter: Optional[str] = None,
        endpoint: Optional[str] = None,
        region: Optional[str] = None,
        profile: Optional[str] = None,
        access_key_id: Optional[str] = None,
        secret_access_key: Optional[str] = None,
        session_token: Optional[str] = None,
        ca_file: Optional[Path] = None,
        proxy: Optional[str] = None,
        name: Optional[str] = None,
        runtime: Optional[str] = None,
        trace_id: Optional[str] = None,
        trace_parent: Optional[str] = None,
        part_bytes: int = 0,
        event_bytes: int = 0,
        session_timeout: int = 0,
        attempts: int = 0,
        connect_timeout: Optional[float] = None,
        idle_timeout: Optional[float] = None,
        answer_timeout: Optional[float] = None,
        network: str = "none",
        keep_sessions: bool = False,
        environment: bool = True,
    ) -> Sandbox:
        """AWS Bedrock AgentCore Code Interpreter. What is not given is looked for as AWS's own clients do, in environment
        variables and shared files, unless `environment` is false; `session_timeout` is in whole seconds."""
        if network not in _NETWORKS:
            raise ValueError(f"network is one of {', '.join(_NETWORKS)}, not {network!r}")
        options = _table.SandboxAgentcoreOptions(
            interpreter=c_string(interpreter),
            endpoint=secret("endpoint", endpoint),
            region=c_string(region),
            profile=c_string(profile),
            access_key_id=secret("access_key_id", access_key_id),
            secret_access_key=secret("secret_access_key", secret_access_key),
            session_token=secret("session_token", session_token),
            ca_file=c_string(ca_file),
            proxy=secret("proxy", proxy),
            name=c_string(name),
            runtime=c_string(runtime),
            trace_id=c_string(trace_id),
            trace_parent=c_string(trace_parent),
            part_bytes=unsigned("part_bytes", part_bytes),
            event_bytes=unsigned("event_bytes", event_bytes),
            session_timeout_s=unsigned("session_timeout", session_timeout, _table.UINT32_MAX),
            attempts=unsigned("attempts", attempts, _table.UINT32_MAX),
            connect_timeout_ms=min(milliseconds(connect_timeout), _table.UINT32_MAX),
            idle_timeout_ms=min(milliseconds(idle_timeout), _table.UINT32_MAX),
            answer_timeout_ms=min(milliseconds(answer_timeout), _table.UINT32_MAX),
            network=_NETWORKS[network],
            keep_sessions=keep_sessions,
            no_environment=not environment,
        )
        sandbox, error = c_void_p(), c_void_p()
        check(library().ci_sandbox_agentcore_new(byref(options), byref(sandbox), byref(error)), error)
        made = cls.__new__(cls)
        Handle.__init__(made, sandbox)
        return made

    def prepare(self, timeout: Optional[float] = None) -> None:
        """Waits until the preload list is ready, and a session with the kernels that are kept ready."""
        arguments = [self._handle, milliseconds(timeout)]
        start_call(self._c.ci_sandbox_prepare_start, arguments, None, take_status).result()


class Session(Handle):
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
        attach_id: Optional[str] = None,
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
            workspace_dir=c_string(workspace_dir),
            session_id=c_string(session_id),
            python=c_string(python),
            host_dir=c_string(host_dir),
            rootfs=c_string(rootfs),
            env=_environment(env),
            uploads_prefix=c_string(uploads_prefix),
            output_prefix=c_string(output_prefix),
            user=c_string(user),
            memory_bytes=memory_bytes,
            workspace_bytes=workspace_bytes,
            workspace_inodes=workspace_inodes,
            archive_bytes=archive_bytes,
            archive_entry_count=archive_entry_count,
            archive_ratio=archive_ratio,
            stream_bytes=stream_bytes,
            process_count=process_count,
            open_file_count=open_file_count,
            timeout_ms=milliseconds(timeout),
            grace_ms=milliseconds(grace),
            open_timeout_ms=milliseconds(open_timeout),
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
            prefixes=None if prefixes is None else c_strings(f"{name}={key}" for name, key in prefixes.items()),
            manifest=c_string(manifest),
            attach_id=c_string(attach_id),
            progress=_table.PROGRESS_CB(tell_progress) if progress else _table.PROGRESS_CB(),
        )
        with storage._held() if storage else nullcontext() as held:
            options.storage = held
            call = start_call(library().ci_session_open_start, [byref(options)], None, _take_session)
        # What the options refer to lives on with the session: callbacks must, and the sandbox may as well.
        super().__init__(call.result(), [options.log, options.trace, options.progress, sandbox])

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
        arguments = [self._handle, c_string(language), c_string(context)]
        return start_call(self._c.ci_context_clear_start, arguments, None, take_status)

    def remove_context(self, language: Optional[str] = None, context: Optional[str] = None) -> None:
        """Ends a context's kernel and forgets the context."""
        self.start_remove_context(language, context).result()

    def start_remove_context(self, language: Optional[str] = None, context: Optional[str] = None) -> Call[None]:
        """As remove_context(), without waiting."""
        arguments = [self._handle, c_string(language), c_string(context)]
        return start_call(self._c.ci_context_remove_start, arguments, None, take_status)

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
        callbacks = Callbacks()
        options = _table.RunOptions(
            language=c_string(language),
            context=c_string(context),
            output_filename=c_string(output_filename),
            cwd=c_string(cwd),
            env=_environment(env),
            timeout_ms=deadline(timeout),
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
        return start_call(function, [self._handle, *arguments, byref(options)], callbacks, take_result)

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
        return self._run(self._c.ci_execute_command_start, [c_string(command)], flags, on_output, **options)

    def run_command(
        self, command: str, *, background: bool = False, on_output: Optional[OnOutput] = None, **options: Any
    ) -> Result:
        """Runs a shell command; with `background` it becomes a task at once. Options as for run_code()."""
        return self.start_command(command, background=background, on_output=on_output, **options).result()

    def start_poll_task(self, task_id: int) -> Call[Result]:
        """As poll_task(), without waiting."""
        return start_call(self._c.ci_task_poll_start, [self._handle, task_id], None, take_result)

    def poll_task(self, task_id: int) -> Result:
        """What a task printed since the last poll, and whether it runs."""
        return self.start_poll_task(task_id).result()

    def start_stop_task(self, task_id: int) -> Call[Result]:
        """As stop_task(), without waiting."""
        return start_call(self._c.ci_task_stop_start, [self._handle, task_id], None, take_result)

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
        callbacks = Callbacks()
        options = _table.ToolOptions(timeout_ms=deadline(timeout), output=callbacks.output(on_output))
        arguments = [self._handle, c_string(name), raw, len(raw), byref(options)]
        return start_call(self._c.ci_tool_call_start, arguments, callbacks, take_result).result()

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
        names = c_strings(paths)
        data = [
            (c_string(path), value.encode() if isinstance(value, str) else bytes(value))
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
            timeout_ms=deadline(timeout),
            operation=operations[operation],
        )
        return start_call(self._c.ci_file_op_start, [self._handle, byref(options)], None, take_result).result()

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
        self._put(self._c.ci_file_put_start, path, reader_of(data))

    def get(self, path: Path, target: BinaryIO, offset: int = 0, length: Optional[int] = None) -> None:
        """Streams a file of the sandbox into a binary file of the host, in bounded memory."""
        self._get(self._c.ci_file_get_start, path, target.write, offset, length)

    def put(self, path: Path, source: BinaryIO) -> None:
        """Streams a binary file of the host into the sandbox, in bounded memory."""
        self._put(self._c.ci_file_put_start, path, source.read)

    def _get(
        self, function: Any, name: Path, write: Callable[[bytes], object], offset: int, length: Optional[int]
    ) -> None:
        callbacks = Callbacks()
        most = _table.UINT64_MAX if length is None else length
        arguments = [self._handle, c_string(name), offset, most, callbacks.writer(write), None]
        start_call(function, arguments, callbacks, take_status).result()

    def _put(self, function: Any, name: Path, read: Callable[[int], bytes]) -> None:
        callbacks = Callbacks()
        arguments = [self._handle, c_string(name), callbacks.reader(read), None]
        start_call(function, arguments, callbacks, take_status).result()

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
        names = c_strings(paths) if paths else None
        options = _table.PushOptions(
            timeout_ms=deadline(timeout),
            flags=_table.PUSH_EVERYTHING if everything else 0,
            manifest=c_string(manifest),
        )
        arguments = [self._handle, names, len(paths), byref(options)]
        return start_call(self._c.ci_push_to_workspace_start, arguments, None, take_result).result()

    def workspace_list(self, prefix: str = "") -> list[FileInfo]:
        arguments = [self._handle, c_string(prefix)]
        return self._files_of(start_call(self._c.ci_workspace_list_start, arguments, None, take_result).result())

    def workspace_stat(self, name: str) -> FileInfo:
        arguments = [self._handle, c_string(name)]
        return self._files_of(start_call(self._c.ci_workspace_stat_start, arguments, None, take_result).result())[0]

    def workspace_read(self, name: str, offset: int = 0, length: Optional[int] = None) -> bytes:
        chunks: list[bytes] = []
        self._get(self._c.ci_workspace_read_start, name, chunks.append, offset, length)
        return b"".join(chunks)

    def workspace_get(self, name: str, target: BinaryIO, offset: int = 0, length: Optional[int] = None) -> None:
        """Streams a file of the workspace into a binary file of the host."""
        self._get(self._c.ci_workspace_read_start, name, target.write, offset, length)

    def workspace_write(self, name: str, data: Union[str, bytes]) -> None:
        self._put(self._c.ci_workspace_write_start, name, reader_of(data))

    def workspace_put(self, name: str, source: BinaryIO) -> None:
        """Streams a binary file of the host into the workspace."""
        self._put(self._c.ci_workspace_write_start, name, source.read)

    def workspace_remove(self, name: str) -> None:
        start_call(self._c.ci_workspace_remove_start, [self._handle, c_string(name)], None, take_status).result()


def check_machine(*, python: Optional[Path] = None) -> dict[str, Any]:
    """What this machine gives a local sandbox, what is missing, and the remedy."""
    options = _table.SandboxLocalOptions(python=c_string(python))
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
