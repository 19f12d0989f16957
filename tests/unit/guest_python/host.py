"""The host's end of a kernel: speaks the guest protocol as init does, and takes in what the kernel prints."""

import array
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.normpath(os.path.join(HERE, "..", "..", "..", "lib", "guest", "python"))

EXEC, ITEM_ACK, READY, ITEM, DONE = 1, 2, 16, 17, 18
TEXT, CWD, ENV, CALL, INFO, MIME, DATA = 1, 4, 5, 7, 10, 20, 21
OUTCOME, EXIT_CODE, VALUE, VALUE_TOTAL, ERROR_NAME, ERROR_MESSAGE, TRACEBACK, EXECUTION_US = range(30, 38)
ITEM_DROPPED = 41
OK, EXCEPTION, EXIT = 0, 1, 2

FRAME_MAX = 1 << 20
PATIENCE_S = 200  # what hangs is found by it; a busy machine is slower than one thinks
MEANWHILE_S = 0.1  # from a cell's word to its interrupt: as a rule the cell has got on with what is to be interrupted


def frames(kind, fields):
    payload = b"".join(struct.pack("<BI", key, len(data)) + data for key, data in fields)
    out = b""
    while True:
        piece, payload = payload[:FRAME_MAX], payload[FRAME_MAX:]
        out += struct.pack("<IBBH", len(piece), kind, 1 if payload else 0, 0) + piece
        if not payload:
            return out


class Lost(Exception):
    """The kernel closed its channel."""


class Result:
    """Of one run; missing texts are None."""

    def __init__(self):
        self.stdout, self.stderr = bytearray(), bytearray()
        self.items = []  # (MIME type, data, stdout bytes before it)
        self.background = (b"", b"")

    def take(self, fields):
        found = dict(fields)
        self.fields = found
        self.outcome = self._number(found, OUTCOME)
        self.exit_code = self._number(found, EXIT_CODE)
        self.value = self._text(found, VALUE)
        self.value_total = self._number(found, VALUE_TOTAL)
        self.error = self._text(found, ERROR_NAME)
        self.message = self._text(found, ERROR_MESSAGE)
        self.traceback = self._text(found, TRACEBACK)
        self.execution_us = self._number(found, EXECUTION_US)
        self.dropped = self._number(found, ITEM_DROPPED) or 0

    @staticmethod
    def _number(found, key):
        return struct.unpack("<q", found[key])[0] if key in found else None

    @staticmethod
    def _text(found, key):
        return found[key].decode() if key in found else None  # must be valid UTF-8

    def __repr__(self):
        return "<Result %s>" % {k: v for k, v in vars(self).items() if k != "fields" and v not in (None, b"", [])}


class Kernel:
    """A kernel whose process has been started by `start(channel, out, err)`, which returns its id."""

    def __init__(self, start, wait):
        self.socket, channel = socket.socketpair()
        pipes = os.pipe(), os.pipe()
        self.outputs = [pipes[0][0], pipes[1][0]]
        for fd in self.outputs:
            os.set_blocking(fd, False)
        given = channel.detach(), pipes[0][1], pipes[1][1]
        self.pid = start(*given)
        for fd in given:
            os.close(fd)
        self._wait = wait
        self.status = None
        self._interrupted = False
        self._input = b""
        self._result = Result()
        kind, fields = self._message()
        assert kind == READY
        self.info = json.loads(dict(fields)[INFO])

    def run(self, text, cwd=None, env=(), interrupts=(), on_item=None, answers=()):
        """interrupts: when SIGINT is sent: so many seconds after the start, whatever the cell does by then, or when it has
        printed these bytes. answers: pairs of what the cell prints to stdout and what is done when it is there. In order."""
        started = time.monotonic()
        result = self._result = Result()
        result.background = self.drain()
        result.stdout, result.stderr = bytearray(), bytearray()
        self.send(text, cwd, env)
        answers = [*answers, *((when, self._interrupt_soon) for when in interrupts if isinstance(when, bytes))]
        moments = [started + when for when in interrupts if not isinstance(when, bytes)]
        while True:
            wanted = answers[0][0] if answers else None
            message = self._message(expires=min(moments, default=None), wanted=wanted)
            if message is None:
                if wanted is not None and wanted in result.stdout:
                    answers.pop(0)[1]()
                else:
                    self.interrupt()
                    moments.remove(min(moments))
                continue
            kind, fields = message
            self.drain()
            if kind == ITEM:
                assert [key for key, _ in fields] == [MIME, DATA]
                result.items.append((fields[0][1].decode(), fields[1][1], len(result.stdout)))
                if on_item:
                    on_item()
                self.socket.sendall(frames(ITEM_ACK, []))
            else:
                assert kind == DONE
                result.take(fields)
                result.stdout, result.stderr = bytes(result.stdout), bytes(result.stderr)
                return result

    def interrupt(self):
        os.kill(self.pid, signal.SIGINT)
        self._interrupted = True

    def _interrupt_soon(self):
        time.sleep(MEANWHILE_S)
        self.interrupt()

    def send(self, text, cwd=None, env=(), call=7):
        fields = [(TEXT, text if isinstance(text, bytes) else text.encode())]
        if cwd is not None:
            fields.append((CWD, os.fsencode(cwd)))
        fields += [(ENV, os.fsencode(entry)) for entry in env]
        fields.append((CALL, struct.pack("<q", call)))
        if self._interrupted:
            self.settle()
        self.socket.sendall(frames(EXEC, fields))

    def settle(self, number=signal.SIGINT):
        """Waits, as init does, until the kernel has taken a signal that was meant for the cell before, or blocks it."""
        self._interrupted = False
        self.settle_one(self.pid, number)

    def settle_one(self, pid, number):
        bit = 1 << number - 1

        def has_taken_it():
            try:
                told = self.status_of(pid)
            except (FileNotFoundError, ProcessLookupError):
                return True
            pending = int(told["ShdPnd"], 16) & ~int(told["SigBlk"], 16)
            state = told["State"].split()[0]
            return state in "ZX" or not pending & bit and state != "R"

        self.wait_until(has_taken_it)

    @staticmethod
    def status_of(pid):
        with open("/proc/%d/status" % pid) as status:
            return dict(line.split(":", 1) for line in status)

    @staticmethod
    def wait_until(condition):
        end = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < end
            time.sleep(0.001)

    def wait_for_output(self, stream=0):
        """Until something of stdout, or of stderr, can be taken in."""
        assert select.select([self.outputs[stream]], [], [], PATIENCE_S)[0]

    def value(self, text, **kwargs):
        """The value of code that must run well."""
        result = self.run(text, **kwargs)
        assert result.outcome == OK, result.traceback
        return result.value

    def drain(self):
        """Takes what is in the pipes; returns all of the current run so far."""
        while self._take(self.outputs):
            pass
        return bytes(self._result.stdout), bytes(self._result.stderr)

    def _take(self, fds):
        """Takes a piece of each of some pipes. Returns whether there was any."""
        any_data = False
        for fd in fds:
            try:
                data = os.read(fd, 1 << 20)
            except BlockingIOError:
                continue
            if data:
                any_data = True
                taken = self._result.stdout if fd == self.outputs[0] else self._result.stderr
                taken += data
        return any_data

    def _message(self, expires=None, wanted=None):
        """The next message; output is taken in meanwhile. None at the moment `expires`, or when stdout has what is wanted."""
        end = time.monotonic() + PATIENCE_S
        while True:
            message = self._parse()
            if message is not None:
                return message
            if wanted is not None and wanted in self._result.stdout:
                return None
            left = (end if expires is None else expires) - time.monotonic()
            readable = select.select([self.socket, *self.outputs], [], [], max(left, 0))[0]
            if left <= 0:
                if expires is not None:
                    return None
                raise TimeoutError("no message from the kernel; it printed %r" % [text[-1000:] for text in self.drain()])
            self._take([fd for fd in readable if fd in self.outputs])
            if self.socket in readable:
                try:
                    data = self.socket.recv(1 << 20)
                except ConnectionResetError:
                    data = b""
                if not data:
                    self.status = self._wait(self.pid)
                    raise Lost()
                self._input += data

    def _parse(self):
        at, payload = 0, b""
        while len(self._input) >= at + 8:
            size, kind, flags, zero = struct.unpack_from("<IBBH", self._input, at)
            assert size <= FRAME_MAX and flags in (0, 1) and zero == 0
            if len(self._input) < at + 8 + size:
                return None
            payload += self._input[at + 8 : at + 8 + size]
            at += 8 + size
            if not flags:
                self._input = self._input[at:]
                return kind, list(_fields(payload))
        return None

    def end(self):
        """Closes the channel; returns the wait status."""
        self.socket.close()
        if self.status is None:
            try:
                os.kill(self.pid, signal.SIGCONT)
            except ProcessLookupError:
                pass
            self.status = self._wait(self.pid)
        for fd in self.outputs:
            os.close(fd)
        self.outputs = []
        return self.status


def _fields(payload):
    at = 0
    while at < len(payload):
        key, size = struct.unpack_from("<BI", payload, at)
        yield key, payload[at + 5 : at + 5 + size]
        at += 5 + size
    assert at == len(payload)


class Forker:
    """Forks kernels; see forker.py."""

    def __init__(self, mode):
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._process = subprocess.Popen(
            [sys.executable, os.path.join(HERE, "forker.py"), str(theirs.fileno()), mode],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            env=dict(os.environ, OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1", MPLBACKEND="agg"),
        )
        theirs.close()

    def kernel(self, cwd, **environment):
        def start(*fds):
            request = json.dumps({"cwd": str(cwd), "environment": environment}).encode()
            rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))
            self._socket.sendmsg([request], [rights])
            return json.loads(self._socket.recv(100))

        return Kernel(start, self._wait)

    def _wait(self, pid):
        self._socket.send(json.dumps({"wait": pid}).encode())
        return json.loads(self._socket.recv(100))

    def close(self):
        self._socket.close()
        self._process.wait(PATIENCE_S)


def fresh_kernel(cwd, arguments, python=sys.executable, **environment):
    """A kernel in an interpreter of its own: arguments follow the interpreter, {fd} stands for the channel."""
    processes = {}

    def start(channel, out, err):
        process = subprocess.Popen(
            [python, *(a.format(fd=channel) for a in arguments)],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            pass_fds=[channel],
            cwd=str(cwd),
            env=dict(os.environ, PYTHONPATH=ROOT, **environment),
        )
        processes[process.pid] = process
        return process.pid

    return Kernel(start, lambda pid: processes[pid].wait(PATIENCE_S))
