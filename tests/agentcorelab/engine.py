"""Sessions of libci for the stub: JSON lines in, JSON lines out. Ends with its input, and all sessions with it.

    {"id": 1, "session": NAME, "op": "open", …}    what follows the operation's name are arguments of its method below
    {"id": 1, "stream": "stdout", "text": …}       as it is printed
    {"id": 1, "done": {…}}                         or {"id": 1, "failed": MESSAGE, "kind": CLASS}

Requests run beside each other, a thread each.
"""

from __future__ import annotations

import base64
import json
import mimetypes
import os
import sys
import threading
from pathlib import Path
from typing import Any, Callable

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bindings/python"))

import libci  # noqa: E402

Output = Callable[[str, str], None]
SYNCHRONOUS_SECONDS = 15 * 60
IMAGES = ("image/png", "image/jpeg")


class Task:
    """A command in the background: all that it has printed, and how it stands."""

    def __init__(self, started: libci.Result) -> None:
        self.lock = threading.Lock()
        self.number, self.running, self.canceled = started.task_id, started.task_running, False
        self.exit_code, self.stdout, self.stderr = started.exit_code, "", ""

    def take(self, result: libci.Result) -> None:
        self.stdout += result.stdout
        self.stderr += result.stderr
        self.running, self.exit_code = result.task_running, result.exit_code

    def state(self) -> dict[str, Any]:
        status = "working" if self.running else "failed" if self.exit_code else "completed"
        return {
            "status": "canceled" if self.canceled else status,
            "stdout": self.stdout,
            "stderr": self.stderr,
            "exitCode": self.exit_code,
        }


class Session:
    """One session of the service. Each method is an operation."""

    def __init__(self, sandbox: libci.Sandbox, folders: list[str]) -> None:
        self.session = libci.Session(sandbox=sandbox, timeout=SYNCHRONOUS_SECONDS)
        self.tasks: dict[int, Task] = {}
        if folders:
            self.session.run_command("mkdir " + " ".join(folders))

    def run_code(self, output: Output, code: str, language: str, clear: bool) -> dict[str, Any]:
        # Nothing of ours is checked there, whatever is wanted here.
        return self.told(
            self.session.run_code(
                code, language=language, clear_context=clear, typecheck=False, on_output=self.printed(output)
            )
        )

    def run_command(self, output: Output, command: str, terminal: bool) -> dict[str, Any]:
        """On a terminal, both streams are one; what is left in the background ends with it."""
        result = self.session.run_command(
            f"exec 2>&1\n{command}" if terminal else command, on_output=self.printed(output)
        )
        if terminal and result.task_id:
            self.session.stop_task(result.task_id)
        return self.told(result)

    @staticmethod
    def printed(output: Output) -> Callable[[str, bytes], None]:
        def tell(stream: str, data: bytes) -> None:
            if stream in ("stdout", "stderr"):
                output(stream, data.decode("utf-8", "replace"))

        return tell

    @staticmethod
    def told(result: libci.Result) -> dict[str, Any]:
        refused = result.outcome is libci.Outcome.REFUSED
        return {
            "refused": result.error_message if refused else None,
            "ok": result.ok,
            "exitCode": result.exit_code,
            "executionTime": result.execution_time,
            "traceback": result.traceback or "",
            "images": [
                {"mimeType": item.mime_type, "data": base64.b64encode(item.data).decode()}
                for item in result.items
                if item.mime_type in IMAGES
            ],
        }

    def start_task(self, _output: Output, command: str) -> dict[str, Any]:
        task = Task(self.session.run_command(command, background=True))
        self.tasks[task.number] = task
        return {"task": task.number}

    def poll_task(self, _output: Output, task: int) -> dict[str, Any]:
        one = self.tasks[task]
        with one.lock:
            if one.running:
                one.take(self.session.poll_task(task))
            return one.state()

    def stop_task(self, _output: Output, task: int) -> dict[str, Any]:
        one = self.tasks[task]
        with one.lock:
            if one.running:
                one.take(self.session.stop_task(task))
                one.running, one.canceled = False, True
            return one.state()

    def read_files(self, _output: Output, paths: list[str]) -> dict[str, Any]:
        return {"files": [self.file(path, self.session.read_file(path)) for path in paths]}

    @staticmethod
    def file(path: str, data: bytes) -> dict[str, Any]:
        kind = mimetypes.guess_type(path)[0]
        try:
            if b"\0" in data:
                raise ValueError("a NUL is no text's")
            return {"path": path, "text": data.decode(), "mimeType": kind or "text/plain"}
        except ValueError:
            return {
                "path": path,
                "blob": base64.b64encode(data).decode(),
                "mimeType": kind or "application/octet-stream",
            }

    def write_files(self, _output: Output, files: list[dict[str, str]]) -> dict[str, Any]:
        for file in files:
            data = base64.b64decode(file["blob"], validate=True) if "blob" in file else file["text"].encode()
            self.session.write_file(file["path"], data)
        return {}

    def list_files(self, _output: Output, path: str) -> dict[str, Any]:
        found = self.session.list_files(path)
        return {
            "entries": [
                {
                    "name": os.path.basename(one.path),
                    "folder": one.kind is libci.FileKind.DIRECTORY,
                    "size": one.size,
                    "mimeType": mimetypes.guess_type(one.path)[0] or "application/octet-stream",
                }
                for one in found
            ]
        }

    def remove_files(self, _output: Output, paths: list[str]) -> dict[str, Any]:
        self.session.remove_files(*paths)
        return {}


class Engine:
    def __init__(self, sandbox: libci.Sandbox) -> None:
        self.sandbox = sandbox
        self.sessions: dict[str, Session] = {}
        self.writing = threading.Lock()

    def say(self, message: dict[str, Any]) -> None:
        line = json.dumps(message) + "\n"
        with self.writing:
            sys.stdout.write(line)
            sys.stdout.flush()

    def serve(self, request: dict[str, Any]) -> None:
        number, name, operation = request.pop("id"), request.pop("session"), request.pop("op")

        def output(stream: str, text: str) -> None:
            self.say({"id": number, "stream": stream, "text": text})

        try:
            if operation == "prepare":
                self.sandbox.prepare()
                done: dict[str, Any] = {}
            elif operation == "open":
                self.sessions[name] = Session(self.sandbox, **request)
                done = {}
            elif operation == "close":
                # Freed when the last call that it ends has let go of it.
                self.sessions.pop(name).session.shutdown()
                done = {}
            elif session := self.sessions.get(name):
                done = getattr(session, operation)(output, **request)
            else:
                raise libci.Closed("the session is over")
            self.say({"id": number, "done": done})
        except Exception as error:  # noqa: BLE001 - each is an answer
            self.say({"id": number, "failed": str(error), "kind": type(error).__name__})

    def run(self) -> None:
        for line in sys.stdin:
            threading.Thread(target=self.serve, args=[json.loads(line)], daemon=True).start()
        for session in list(self.sessions.values()):
            session.session.shutdown()


if __name__ == "__main__":
    libci.use_library(sys.argv[1])
    threading.stack_size(512 << 10)  # there may be hundreds
    with libci.Sandbox() as the_sandbox:
        Engine(the_sandbox).run()
    os._exit(0)  # threads may still be on their way out
