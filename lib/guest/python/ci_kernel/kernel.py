"""The kernel: takes cells from its channel, runs them in the namespace of `__main__`, and says what became of them.

Everything happens in the main thread. What belongs to a cell runs within Interrupts.run(), everything else outside.
"""

from .private import BUILTINS as __builtins__  # noqa: F401

import json
import sys
from os import _exit, chdir, environ, fsdecode, getcwd, getpid, register_at_fork
from os.path import join
from signal import ITIMER_REAL, setitimer
from sys import getprofile, getrecursionlimit, gettrace, setprofile, setrecursionlimit, settrace
from time import monotonic_ns

from . import channel as wire
from .failure import describe, describe_simply, name_of
from .interrupts import Interrupts
from .loop import EventLoop, awaits
from .packages import forget_folder
from .plain import Plain
from .rich import Items, to_bytes
from .source import Compiler
from .streams import Streams

OK, EXCEPTION, EXIT = 0, 1, 2

_OUTPUTS_MAX = 32  # values that Out keeps alive
_RECURSION_MIN = 400


def _cut(text, limit=wire.VALUE_MAX):
    """Text as UTF-8, at most limit bytes of it and never part of a character, and its size uncut."""
    if len(text) <= limit:
        data = to_bytes(text)
        total = len(data)
    else:
        data = to_bytes(text[:limit])
        step = 1 << 20  # not all at once: it may be a gigabyte
        total = sum(len(to_bytes(text[at : at + step])) for at in range(0, len(text), step))
    if len(data) > limit:
        end = limit
        while data[end] & 0xC0 == 0x80:
            end -= 1
        data = data[:end]
    return data, total


class Result:
    """What DONE will say."""

    def __init__(self):
        self.outcome = OK
        self.compiled = False
        self.fields = []

    def value(self, text):
        data, total = _cut(text)
        self.fields += [(wire.VALUE, data), (wire.VALUE_TOTAL, total)]

    def exit(self, code):
        self.outcome = EXIT if code else OK
        self.fields = [(wire.EXIT_CODE, code)]

    def exception(self, name, message, traceback):
        self.outcome = EXCEPTION
        texts = zip((wire.ERROR_NAME, wire.ERROR_MESSAGE, wire.TRACEBACK), (name, message, traceback))
        self.fields = [(key, _cut(text)[0]) for key, text in texts]


class Request:
    """What EXEC says."""

    def __init__(self, fields):
        self.text = b""
        self.cwd = None
        self.call = None
        self.environment = []
        for key, data in fields:
            if key == wire.TEXT:
                self.text = data
            elif key == wire.CWD:
                self.cwd = fsdecode(data)
            elif key == wire.CALL:
                self.call = data
            elif key == wire.ENV:
                name, equals, value = fsdecode(data).partition("=")
                if name and equals:
                    self.environment.append((name, value))


class Surroundings:
    """Environment and working folder of a call: set before it, and as they were after it."""

    def __init__(self):
        try:
            self._home = getcwd()
        except OSError:
            self._home = "/"
        self._environment = []
        self._cwd = None

    def enter(self, request):
        """Raises OSError or ValueError when that cannot be."""
        try:
            cwd = getcwd()
        except OSError:  # it was deleted
            cwd = self._home
            self._change(cwd)
        if request.cwd is not None:
            chdir(join(self._home, request.cwd))
            self._cwd = cwd
        for name, value in request.environment:
            self._environment.append((name, environ.get(name)))
            environ[name] = value
        forget_folder(getcwd())  # a file may have come in the same tick of the clock as the one before

    def leave(self):
        while self._environment:
            name, value = self._environment.pop()
            if value is None:
                environ.pop(name, None)
            else:
                environ[name] = value
        if self._cwd is not None:
            cwd, self._cwd = self._cwd, None
            self._change(cwd)

    def _change(self, cwd):
        for folder in (cwd, self._home, "/"):
            try:
                return chdir(folder)
            except OSError:
                continue


class Kernel:
    def __init__(self, channel_fd, prepared, packages):
        self._pid = getpid()
        self._preloaded, self._not_preloaded = prepared.loaded, prepared.failed
        self._essentials = prepared.essentials
        self._front_end = prepared.front_end
        self._figures, self._watcher = prepared.figures, prepared.watcher
        self._namespace = vars(prepared.main)
        self._channel = wire.Channel(channel_fd)
        self._interrupts = Interrupts(self._channel)
        self._streams = Streams()
        self._items = Items(self._channel, self._interrupts, self._streams.flush)
        self._packages = packages
        self._front_end.attach(self._items, self._figures.bundle, packages.look)
        self._compiler = Compiler(self._namespace, self._front_end)
        self._loop = EventLoop()
        self._surroundings = Surroundings()
        self._count = 0
        self._last = self._namespace.get("_")
        self._namespace["Out"] = self._front_end.outputs
        self._recursion_limit = getrecursionlimit()
        self._hooks = None, None
        register_at_fork(before=self._streams.flush, after_in_child=self._forget_channel)

    # --- the conversation ----------------------------------------------------------------------------------------

    def serve(self):
        self._warm_up()
        self._channel.send(wire.READY, [(wire.INFO, json.dumps(self._info()).encode())])
        while True:
            try:
                self._serve_one()
            except BaseException as error:  # a handler of another signal raised; the cell it was meant for is over
                self._leave_if_forked(None)
                self._channel.endure(error)

    def _warm_up(self):
        """Runs a cell of nothing: memory that is touched for the first time after a fork is copied page by page, which is
        better done before the first cell has come."""
        self._count = -1
        self._answer(Request([(wire.TEXT, b"None")]))
        self._front_end.forget()

    def _serve_one(self):
        kind, fields = self._channel.receive(idle=True)
        if kind == wire.CHECK:
            self._channel.reading = False
            return self._channel.send(wire.CHECKED, self._package_news())
        if kind != wire.EXEC:
            self._channel.give_up()
        self._interrupts.expect()
        self._channel.reading = False
        self._channel.trouble = None
        request = Request(fields)
        try:
            answer = self._answer(request)
        except BaseException as error:
            self._leave_if_forked(error)
            answer = self._emergency(error)
        self._channel.send(wire.DONE, answer)

    def _info(self):
        return {
            "python": sys.version.split()[0],
            "implementation": sys.implementation.name,
            "ipython": self._front_end.version,
            "preloaded": self._preloaded,
            "notPreloaded": self._not_preloaded,
        }

    def _answer(self, request):
        self._interrupts.install()
        self._essentials.restore()
        self._streams.restore()
        self._watcher.watch()
        self._figures.begin()
        self._count += 1
        result = Result()
        self._items.begin()
        started = monotonic_ns()
        try:
            self._surroundings.enter(request)
            self._packages.look()
            self._run(request.text, result)
        except (OSError, ValueError) as error:  # no such working folder
            result.exception(*describe(error, alone=True))
        finally:
            self._surroundings.leave()
        took_us = (monotonic_ns() - started) // 1000
        self._streams.flush()
        self._items.end()
        fields = [(wire.OUTCOME, result.outcome), *result.fields, (wire.EXECUTION_US, took_us), *self._package_news()]
        if self._items.dropped:
            fields.append((wire.ITEM_DROPPED, self._items.dropped))
        if request.call is not None:
            fields.append((wire.CALL, request.call))
        return fields

    def _package_news(self):
        try:
            replaced, installed = self._packages.news()
        except Exception:  # of an interpreter in disorder
            return []
        fields = [(wire.REPLACED, to_bytes(name)) for name in replaced]
        return fields + [(wire.INSTALLED, to_bytes(name)) for name in installed]

    def _emergency(self, error):
        self._items.end()
        self._surroundings.leave()
        self._streams.flush()
        result = Result()
        result.exception(*describe(error))
        return [(wire.OUTCOME, result.outcome), *result.fields, (wire.EXECUTION_US, 0)]

    # --- a cell --------------------------------------------------------------------------------------------------

    def _run(self, text, result):
        failure = self._guarded(self._execute, text, result)
        setitimer(ITIMER_REAL, 0)  # an alarm the code did not stop would hit whatever comes next
        self._leave_if_forked(failure)
        if issubclass(type(failure), KeyboardInterrupt):
            # What was being drawn is unfinished, and there may be no time left.
            self._guarded(self._figures.discard_all)
        else:
            if self._front_end.updates:
                self._guarded(self._front_end.publish_updates)
            trouble = self._guarded(self._figures.show_all)
            if issubclass(type(trouble), KeyboardInterrupt):
                self._guarded(self._figures.discard_all)
            failure = trouble or failure
        self._guarded(self._finish)
        if issubclass(type(failure), SystemExit):
            self._guarded(self._report_exit, failure, result)
        elif failure is not None:
            self._report_exception(failure, result)

    def _guarded(self, function, *args):
        """Calls a function that runs a cell's code, which may be interrupted and raise anything. Returns what it
        raised."""
        try:
            self._interrupts.run(function, *args)
            self._calm()
            return None
        except BaseException as error:
            self._calm()
            return error

    def _calm(self):
        """Takes back what a cell has set up that would act in the kernel's own code."""
        hooks = gettrace(), getprofile()
        if hooks != (None, None):
            self._hooks = hooks
            settrace(None)
            setprofile(None)
        if getrecursionlimit() < _RECURSION_MIN:
            setrecursionlimit(self._recursion_limit)

    def _execute(self, text, result):
        self._tell_front_end(self._front_end.begin, text, self._count)
        cell = self._compiler.compile(text, self._count)
        result.compiled = True
        self._resume_hooks()
        value = self._evaluate(cell)
        if value is not None:
            self._remember(value)
            if not cell.quiet:
                self._show(value, result)
        failure = self._front_end.take_failure()
        if failure is not None:
            raise failure

    def _resume_hooks(self):
        """A profiler or tracer that an earlier cell has started goes on."""
        trace, profile = self._hooks
        self._hooks = None, None
        if trace is not None:
            settrace(trace)
        if profile is not None:
            setprofile(profile)

    def _evaluate(self, cell):
        if awaits(cell):
            return self._loop.run(cell, self._namespace)
        if cell.body is not None:
            eval(cell.body, self._namespace)
        return None if cell.last is None else eval(cell.last, self._namespace)

    def _remember(self, value):
        """Sets `_`, unless the code uses that name itself, and `Out`."""
        namespace, outputs = self._namespace, self._front_end.outputs
        if value is outputs:
            return
        if "_" not in namespace or namespace["_"] is self._last:
            namespace["___"], namespace["__"], namespace["_"] = namespace.get("__"), self._last, value
            self._last = value
        outputs[self._count] = value
        while len(outputs) > _OUTPUTS_MAX:
            del outputs[next(iter(outputs))]

    def _show(self, value, result):
        try:
            bundle = self._front_end.bundle(value)
        except Exception:  # not of the value, which the front end guards against, but of an interpreter in disorder
            self._essentials.restore_builtins()
            bundle = Plain.bundle(self._front_end, value)
        text = bundle.get("text/plain")
        if text is not None:
            result.value(text if isinstance(text, str) else repr(text))
        self._items.send_all(bundle)

    def _finish(self):
        self._tell_front_end(self._front_end.end)
        self._streams.flush_replaced()

    def _tell_front_end(self, function, *args):
        """IPython swallows interrupts here, so that none must come; and it may fail in an interpreter in disorder."""
        self._interrupts.hold()
        try:
            function(*args)
        except Exception:
            self._essentials.restore_builtins()
        finally:
            self._interrupts.release()

    # --- how it ended --------------------------------------------------------------------------------------------

    def _report_exit(self, error, result):
        result.exit(1)
        code = error.code
        if code is None or isinstance(code, int):
            result.exit(int(code or 0) & 0xFF)
        else:
            print(code, file=sys.stderr)

    def _report_exception(self, failure, result):
        for how in (describe, describe, describe_simply):
            trouble = self._guarded(self._describe, how, failure, result)
            if trouble is None:
                return
            if type(trouble) is KeyboardInterrupt:
                break
            self._essentials.restore_builtins()  # the code may have broken what a traceback takes
        name = name_of(failure)
        result.exception(name, "", name + "\n")

    def _describe(self, how, failure, result):
        result.exception(*how(failure, not result.compiled))

    def _leave_if_forked(self, failure):
        """A child that comes back from the cell ends here: what it shares with the kernel is not its own."""
        if getpid() == self._pid:
            return
        code = 0
        try:
            if issubclass(type(failure), SystemExit):
                result = Result()
                self._report_exit(failure, result)
                code = dict(result.fields)[wire.EXIT_CODE]
            elif failure is not None:
                code = 1
                print(describe(failure)[2], end="", file=sys.stderr)
            self._streams.flush_replaced()
            self._streams.flush()
        finally:
            _exit(code)

    def _forget_channel(self):
        self._channel.close()
