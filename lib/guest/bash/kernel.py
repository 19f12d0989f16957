"""The Bash kernel: `python3 -I -S kernel.py`, with its channel as descriptor 3. See README.md.

A bash of its own runs the cells, one after the other, in one shell (shell.bash). This process speaks for it: it takes
requests, tells the shell by pipes, and sends what comes back. The shell's descriptors 0 to 2 are this process's own.
"""

import os
import re
import resource
import select
import shlex
import signal
import sys
import time
from stat import S_ISREG
from types import ModuleType

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
_package = sys.modules["ci_kernel"] = ModuleType("ci_kernel")  # for its channel alone
_package.__path__ = [os.path.join(HERE, "..", "python", "ci_kernel")]

from ci_kernel import channel as wire  # noqa: E402

from display import mime_of  # noqa: E402
from stuck import FREE, Watch  # noqa: E402

OK, EXCEPTION, EXIT = 0, 1, 2

CHANNEL_FD = 3
NO_MEMORY = 2  # how bash ends, its trap of EXIT unheard, when an allocation fails
RLIMIT_LOCKS = 10  # its soft limit is the tag of a call's processes (../README.md)
UNTAGGED = resource.RLIM_INFINITY
ITEMS_MAX = 64
REPORT_MAX = 1 << 16
LOOK_S = 0.05  # how often one looks after a shell that was interrupted and says nothing

# Line numbers in messages are counted from the line that runs the cell: the first. The inner loop is for a cell that says
# `break` or `continue` outside of its own.
RUN = 'builtin eval "$__ci_text"'
MAIN = """\
__ci_main=$BASH_EXECUTION_STRING __ci_run={run}; \
: "${{__ci_shell=0}}" "${{__ci_busy=0}}" "${{__ci_status=0}}" "${{__ci_xtrace=}}" "${{__ci_undo=}}" "${{__ci_trap_EXIT=}}"; \
: "${{__ci_trap_INT=}}" "${{__ci_trap_TERM=}}" "${{__ci_trap_DEBUG=}}" "${{__ci_trap_ERR=}}" "${{__ci_trap_RETURN=}}" "${{__ci_whole=}}" "${{__ci_inside=}}"; \
builtin shopt -s expand_aliases; \
if [[ -s {proc}/{state} ]]; then builtin unset -v PATH OLDPWD; \
{{ builtin mapfile -d '' __ci_cell <{proc}/{state}; builtin eval "${{__ci_cell[0]}}" && :; }} >/dev/null 2>&1; [[ -n $__ci_whole ]] || builtin exit 1; __ci_whole=; fi; \
__ci_proc={proc} __ci_bash={bash} __ci_python={python} __ci_pid=$$ __ci_fds=({report} {wake} {answer} {request} {errors} {state}); \
__ci_parse() {{ builtin local -; builtin eval "builtin set -n; $__ci_text"; }}; \
builtin . {script}; {{ __ci_begin && :; }} >/dev/null 2>&1; \
for ((;;)); do for __ci_cell in once; do {run_plain}; done; {{ __ci_turn "$?" && :; }} >/dev/null 2>&1; done"""

NAME = re.compile(rb"[A-Za-z_][A-Za-z0-9_]*\Z")
SUBSTITUTES = re.compile(rb"[$<>]\(|\$\{[ \t\n|]")
PLACE = re.compile(r"^.*?: (?:eval: )?line (\d+): ")


def find_bash():
    for folder in os.environ.get("PATH", "").split(":"):
        path = os.path.join(folder, "bash")
        if folder.startswith("/") and os.access(path, os.X_OK):
            return path
    return None


def _of_unix(text):
    """Without an editor's mark; with plain line ends where all are those of Windows, which bash takes for letters."""
    text = text[3:] if text.startswith(b"\xef\xbb\xbf") else text
    whole = text.count(b"\r\n") == text.count(b"\n") > 0
    return text.replace(b"\r\n", b"\n") if whole else text


class Request:
    """What EXEC says."""

    def __init__(self, fields):
        self.text, self.cwd, self.call, self.environment = b"", None, None, []
        for key, data in fields:
            if key == wire.TEXT:
                self.text = _of_unix(data)
            elif key == wire.CWD:
                self.cwd = data
            elif key == wire.CALL:
                self.call = data
            elif key == wire.ENV:
                self.environment.append(data.partition(b"=")[::2])


class Lost(Exception):
    """The shell has ended and told nothing of what it knew."""


class Shell:
    """The process, and what it is told and tells."""

    def __init__(self, bash):
        self._report, self._report_in = os.pipe()
        self._wake_out, self._wake = os.pipe()
        self._answer_out, self._answer = os.pipe()
        self._request, self._errors, self._state = (os.memfd_create(name) for name in ("cell", "errors", "state"))
        for fd in (self._report, self._report_in, self._answer_out):  # the shell opens its ends anew
            os.set_blocking(fd, False)
        self._bash = bash
        self._reports = b""
        self._number = 0  # of the shell, which counts itself
        self._watch = None
        self._streams = [_identity(os.stat(fd)) for fd in range(3)]
        self._home = os.getcwd().encode()
        self._main = MAIN.format(
            run=shlex.quote(RUN), run_plain=RUN, proc="/proc/%d/fd" % os.getpid(), bash=shlex.quote(bash),
            python=shlex.quote(sys.executable), script=shlex.quote(os.path.join(HERE, "shell.bash")),
            report=self._report_in, wake=self._wake_out, answer=self._answer_out,
            request=self._request, errors=self._errors, state=self._state,
        )  # fmt: skip
        self.start(dict(os.environ))

    def start(self, environment):
        arguments = ["bash", "--noprofile", "--norc", "-c", self._main, "bash"]
        try:
            self.pid = os.posix_spawn(self._bash, arguments, environment)
        except OSError as error:
            sys.exit(f"bash cannot be started: {error.strerror}")  # init tells it
        self.tag(UNTAGGED)
        self.end = os.pidfd_open(self.pid)

    def tag(self, number):
        try:
            resource.prlimit(self.pid, RLIMIT_LOCKS, (number, resource.RLIM_INFINITY))
        except OSError:
            pass  # it has ended

    def fileno(self):
        return self._report

    def reports(self):
        """Whole reports that have come: bytes each."""
        try:
            self._reports += os.read(self._report, 1 << 16)
        except BlockingIOError:
            pass
        *whole, self._reports = self._reports.split(b"\0")
        if len(self._reports) > REPORT_MAX:
            raise Lost()
        return whole

    def nudge(self):
        """An empty report, for who waits for one."""
        try:
            os.write(self._report_in, b"\0")
        except BlockingIOError:
            pass  # there are others

    def look_after(self):
        """The shell was interrupted and says nothing. It ends, by its trap of EXIT, when that made it or a subshell
        hang. A word in the file of state, which is empty while it runs, tells it why."""
        for pid in self._watch.look():
            leaves = os.fstat(self._state).st_size > 0
            if not leaves:
                self._fill(self._state, b"stuck")
            if pid == self.pid or not leaves:
                os.kill(self.pid, FREE)
            if pid != self.pid:
                os.kill(pid, signal.SIGKILL)

    def begin(self, request, cell):
        """Gives the shell a cell."""
        self._watch = Watch(self.pid)
        before = []
        for name, value in request.environment:
            if NAME.match(name):
                before.append(b"__ci_lend %s %s" % (name, _quote(value)))
        if request.cwd is not None:
            before.append(b"__ci_go %s %s" % (_quote(os.path.join(self._home, request.cwd)), _quote(self._home)))
        elif self._is_nowhere():
            before.insert(0, b"builtin cd -- " + _quote(self._home))
        how = b"fork" if SUBSTITUTES.search(request.text) else b""
        if b"extglob" in request.text:
            how += b" extglob"
        replaced = b"1" if self._streams_replaced() else b""
        for fd in (1, 2):
            os.set_blocking(fd, True)  # a child may have changed the pipe that it shares
        self._fill(self._request, b"\0".join((request.text, how, b"\n".join(before), replaced, b"%d" % cell, b"")))
        self.wake()

    def wake(self, number=0):
        """A shell that has been replaced meanwhile does not see it, nor does its successor."""
        os.write(self._wake, b"%d %d\0" % (self._number, number))

    def answer(self, text):
        os.write(self._answer, text[:1000].replace(b"\0", b"?") + b"\0")

    def forget_answers(self):
        """Nobody waits for one: who did has been interrupted."""
        self._drain(self._answer_out)

    def welcome(self, number, status):
        """A shell is up. status: what it shall find in `$?`."""
        self._number = number
        self.forget_answers()
        self.wake(status)

    def syntax_error(self):
        """What bash says of the text: without the place in its own code."""
        size = min(os.fstat(self._errors).st_size, wire.VALUE_MAX)
        lines = os.pread(self._errors, size, 0).decode("utf-8", "replace").splitlines()
        lines = [PLACE.sub(r"line \1: ", line).replace("`builtin set -n; ", "`") for line in lines]
        return "\n".join(line for line in lines if "warning: here-document" not in line)

    def reap(self):
        """The process has ended. Returns its wait status, and starts the next if it has left its state."""
        status = os.waitpid(self.pid, 0)[1]
        os.close(self.end)
        size = os.fstat(self._state).st_size
        if os.pread(self._state, 64, max(size - 64, 0)).endswith(b"__ci_whole=1\n"):
            self.start({})
            return status
        raise Lost(status)

    @staticmethod
    def _fill(fd, data):
        os.ftruncate(fd, 0)
        while data:
            at = os.fstat(fd).st_size
            data = data[os.pwrite(fd, data, at) :]

    @staticmethod
    def _drain(fd):
        try:
            while os.read(fd, 1 << 16):
                pass
        except BlockingIOError:
            pass

    def _streams_replaced(self):
        """Whether descriptors 0 to 2 are others than they were. While the shell waits, it has put 1 and 2 aside, as
        copies that are closed by an exec."""
        folder = "/proc/%d/fd" % self.pid
        missing = list(self._streams)
        try:
            for name in sorted(os.listdir(folder), key=int):
                found = _identity(os.stat("%s/%s" % (folder, name)))
                if found in missing and (name == "0" or int(name) >= 10 and self._is_put_aside(name)):
                    missing.remove(found)
        except OSError:
            pass
        return bool(missing)

    def _is_put_aside(self, name):
        with open("/proc/%d/fdinfo/%s" % (self.pid, name)) as info:
            return bool(int(info.read().split()[3], 8) & os.O_CLOEXEC)

    def _is_nowhere(self):
        """Its folder was deleted."""
        try:
            return os.stat("/proc/%d/cwd" % self.pid).st_nlink == 0
        except OSError:
            return False


def _identity(stat):
    return stat.st_dev, stat.st_ino, stat.st_rdev


def _quote(data):
    return b"'" + data.replace(b"'", b"'\\''") + b"'"


class Result:
    def __init__(self, outcome, *fields):
        self.outcome, self.fields = outcome, list(fields)


def _exit(code):
    return Result(EXIT if code else OK, (wire.EXIT_CODE, code))


def _exception(name, message, traceback=None):
    texts = (name, message, traceback if traceback is not None else "%s: %s\n" % (name, message))
    keys = wire.ERROR_NAME, wire.ERROR_MESSAGE, wire.TRACEBACK
    return Result(EXCEPTION, *((key, text.encode()[: wire.VALUE_MAX]) for key, text in zip(keys, texts)))


_INTERRUPTED = "Interrupted", "the cell was interrupted", "Interrupted\n"


class Kernel:
    def __init__(self):
        self._channel = wire.Channel(CHANNEL_FD)
        self._interrupted = False
        self._running = False
        signal.signal(signal.SIGINT, self._on_interrupt)
        self._channel.waker.arm()
        for number in (signal.SIGPIPE, signal.SIGXFSZ):  # the interpreter ignores them, and so its children would
            signal.signal(number, signal.SIG_DFL)
        bash = find_bash()
        self._shell = Shell(bash) if bash is not None else None
        self._version = None
        self._result = None
        self._ended = None  # exit status of a shell whose successor is not up yet
        self._cell = 0  # number of the last
        self._request = None
        self._items = self._dropped = 0

    def _on_interrupt(self, _number, _frame):
        """The shell and its children get the signal as well."""
        self._interrupted = self._running or self._channel.has_request()
        if self._running and self._shell is not None:
            self._shell.nudge()

    def serve(self):
        try:
            if self._shell is not None:
                while self._version is None:
                    self._attend()
            info = '{"bash": "%s"}' % self._version if self._version else '{"bash": null}'
            self._channel.send(wire.READY, [(wire.INFO, info.encode())])
            while True:
                self._idle()
                self._serve_one()
        except Lost as lost:
            _die(lost.args[0] if lost.args else 1 << 8)

    def _idle(self):
        while self._channel not in self._attend(self._channel):
            pass

    def _serve_one(self):
        kind, fields = self._channel.receive()
        if kind != wire.EXEC:
            self._channel.give_up()
        self._running = True
        self._channel.reading = False
        request = Request(fields)
        self._items = self._dropped = 0
        started = time.monotonic_ns()
        result = self._refuse(request) or self._run(request)
        took_us = (time.monotonic_ns() - started) // 1000
        self._running = self._interrupted = False
        answer = [(wire.OUTCOME, result.outcome), *result.fields, (wire.EXECUTION_US, took_us)]
        if self._dropped:
            answer.append((wire.ITEM_DROPPED, self._dropped))
        if request.call is not None:
            answer.append((wire.CALL, request.call))
        self._channel.send(wire.DONE, answer)

    def _refuse(self, request):
        if self._shell is None:
            return _exception("NoBash", "there is no bash in the session's PATH")
        if b"\0" in request.text:
            return _exception("SyntaxError", "a Bash cell cannot contain NUL")
        if request.cwd is not None:
            try:
                folder = os.open(request.cwd, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
                os.close(folder)
            except (OSError, ValueError) as error:
                shown = request.cwd.decode("utf-8", "replace")
                return _exception("WorkingFolder", "working folder %s: %s" % (shown, getattr(error, "strerror", error)))
        return None

    def _run(self, request):
        # The tag comes first: of an interrupt, which this process gets before the others, one of the two is told.
        self._shell.tag(wire.number(request.call) if request.call is not None else UNTAGGED)
        self._result = None
        if self._interrupted:
            self._result = _exception(*_INTERRUPTED)
        else:
            self._cell += 1
            self._request = request
            self._shell.begin(request, self._cell)
        while self._result is None:
            if self._channel in self._attend(self._channel):  # nothing comes now but the end
                os.kill(self._shell.pid, signal.SIGKILL)
                self._channel.receive()
                self._channel.give_up()
        self._shell.tag(UNTAGGED)
        return self._result

    # --- what the shell tells ------------------------------------------------------------------------------------

    def _attend(self, *others):
        """Waits for something to happen, and deals with it if it is the shell's. Returns what has something to say."""
        watched = [*others] if self._shell is None else [self._shell, self._shell.end, *others]
        looks = self._interrupted and self._running and self._shell is not None
        ready = select.select([self._channel.waker, *watched], [], [], LOOK_S if looks else None)[0]
        if self._channel.waker in ready:
            self._channel.waker.drain()
            return []
        if looks and not ready:
            self._shell.look_after()
        elif self._shell in ready:
            for report in self._shell.reports():
                self._on_report(report)
        elif self._shell is not None and self._shell.end in ready:
            # It has left its state and ended by itself: `exit` in a trap of EXIT, say. The next will report.
            status = self._shell.reap()
            self._ended = os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)
        return ready

    def _conclude(self, status, replaced):
        if self._interrupted and replaced:
            self._result = _exception(*_INTERRUPTED)
        else:
            self._result = _exit(status)

    def _on_report(self, report):
        kind, _, rest = report.partition(b" ")
        waiting = self._running and self._result is None
        if kind == b"D":
            pid, _, path = rest.partition(b" ")
            self._shell.answer(self._display(_integer(pid), path, waiting))
            return
        *numbers, version = rest.split(b" ") if kind == b"R" else (*rest.split(b" "), b"")
        numbers = [_integer(word) for word in numbers]
        if kind == b"R" and len(numbers) == 3:
            self._version = version.decode("ascii", "replace").replace('"', "")
            self._on_start(*numbers, waiting)
        elif kind == b"E" and len(numbers) == 2 and waiting and numbers[0] == self._cell:
            self._shell.forget_answers()
            self._conclude(numbers[1], False)
        elif kind == b"S" and waiting and numbers[0] == self._cell:
            self._result = _syntax_error(self._shell.syntax_error())

    def _on_start(self, shell, cell, status, waiting):
        """A shell is up, the first or one that has taken another's place, which ended within a cell or within none. It
        waits to be answered."""
        if self._ended is not None:
            status, self._ended = self._ended, None
        if waiting and (cell == self._cell or self._interrupted):
            self._conclude(status, True)
        self._shell.welcome(shell, status)
        if waiting and self._result is None:  # a late interrupt has hit the shell before the cell began
            self._shell.begin(self._request, self._cell)

    # --- display -------------------------------------------------------------------------------------------------

    def _display(self, pid, path, running):
        """Sends a file as an item. Returns what went wrong."""
        if not running:
            return b"no cell runs that would show it"
        try:
            data, size = self._read(os.path.join(b"/proc/%d/cwd" % pid, path))
        except (OSError, ValueError) as error:
            return (getattr(error, "strerror", None) or str(error)).encode()
        mime = mime_of(path, data)
        if mime is None:
            return b"this is no kind of file that can be shown"
        if self._items >= ITEMS_MAX or size > wire.ITEM_MAX:
            self._dropped += 1
            return b""
        self._items += 1
        self._channel.send(wire.ITEM, [(wire.MIME, mime.encode()), (wire.DATA, data)])
        if self._channel.receive()[0] != wire.ITEM_ACK:
            self._channel.give_up()
        self._channel.reading = False
        return b""

    @staticmethod
    def _read(path):
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
            status = os.fstat(file.fileno())
            if not S_ISREG(status.st_mode):
                raise ValueError("this is no regular file")
            size = status.st_size
            return file.read(wire.ITEM_MAX + 1), size


def _integer(text):
    return int(text[:10]) if text.isdigit() else 0


def _syntax_error(message):
    return _exception("SyntaxError", message.partition("\n")[0], message + "\n")


def _die(status):
    """As the shell did, so that init tells what happened."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        try:
            signal.signal(number, signal.SIG_DFL)
        except OSError:
            pass  # SIGKILL
        os.kill(os.getpid(), number)
    code = os.WEXITSTATUS(status)
    os._exit(wire.MEMORY_LOST if code == NO_MEMORY else code)


if __name__ == "__main__":
    Kernel().serve()
