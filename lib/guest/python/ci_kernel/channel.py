"""The kernel's end of the guest protocol (lib/wire/wire.h): whole messages over one stream socket.

The descriptor lies high, out of the way of code that closes a range of descriptors. Without its channel a kernel is of
no use: when the other end is closed the process ends with 0, when the descriptor itself is gone or what comes makes no
sense, with 70.
"""

from .private import BUILTINS as __builtins__  # noqa: F401

from _signal import set_wakeup_fd
from fcntl import F_DUPFD_CLOEXEC, fcntl
from os import O_CLOEXEC, O_NONBLOCK, _exit, close, pipe2, read, write
from resource import RLIMIT_NOFILE, getrlimit
from select import POLLIN, poll, select
from struct import Struct

FRAME_MAX = 1 << 20
MESSAGE_MAX = 160 << 20
VALUE_MAX = 256 << 10
ITEM_MAX = 32 << 20

EXEC, ITEM_ACK, CHECK = 1, 2, 3
READY, ITEM, DONE, CHECKED = 16, 17, 18, 20

TEXT, CWD, ENV, FLAGS, CALL, INFO = 1, 4, 5, 6, 7, 10
MIME, DATA = 20, 21
OUTCOME, EXIT_CODE, VALUE, VALUE_TOTAL, ERROR_NAME, ERROR_MESSAGE, TRACEBACK, EXECUTION_US = range(30, 38)
ITEM_DROPPED = 41
REPLACED, INSTALLED = 45, 46

_MORE = 1
_HIGH = 900
_PROTOCOL_LOST = 70
MEMORY_LOST = 71  # init knows it
_SHORTAGES_MAX = 100
_head = Struct("<IBBH")
_field = Struct("<BI")
_int = Struct("<q")


def high_duplicate(fd):
    """A close-on-exec duplicate at a high number."""
    limit = getrlimit(RLIMIT_NOFILE)[0]
    return fcntl(fd, F_DUPFD_CLOEXEC, _HIGH if limit < 0 or limit > _HIGH + 32 else max(limit - 32, 3))


class Waker:
    """Keeps a wait from sleeping as long as the handler of a signal is to be called.

    The interpreter notes a signal, and calls its handler when it comes to that. Of one that it has noted just before poll()
    sleeps, the handler would be called when the next request has come, as if the signal belonged to it.
    """

    def __init__(self):
        ends = pipe2(O_CLOEXEC | O_NONBLOCK)
        self._read, self._write = map(high_duplicate, ends)
        for fd in ends:
            close(fd)
        self._theirs = -1
        self._numbers = b""

    def fileno(self):
        """Readable when a signal has come."""
        return self._read

    def arm(self):
        """In the main thread. What is noted before is dealt with when this returns. False: code has closed the pipe."""
        try:
            theirs = set_wakeup_fd(self._write, warn_on_full_buffer=False)
        except (OSError, ValueError):
            return False
        if theirs != self._write:
            self._theirs = theirs
        return True

    def drain(self):
        try:
            self._numbers = (self._numbers + read(self._read, 1 << 12))[-(1 << 12) :]
        except BlockingIOError:
            pass

    def disarm(self):
        """Code that has signals told in this way, as asyncio does, has them told again, and those that came meanwhile."""
        self.drain()
        theirs, numbers = self._theirs, self._numbers
        self._theirs, self._numbers = -1, b""
        try:
            set_wakeup_fd(theirs)
            if theirs >= 0 and numbers:
                write(theirs, numbers)
        except (OSError, ValueError):  # it is closed by now, or full
            pass


def number(data):
    """The value of an integer field."""
    return _int.unpack(data)[0] if len(data) == 8 else 0


class Channel:
    """Used by one thread at a time; whoever sends an item holds on to it until the answer has come.

    Handlers of signals may raise anything, here as elsewhere. Neither a message that is being sent nor what has been
    received is damaged by that; `trouble` keeps the exception for whom it may concern.
    """

    def __init__(self, fd):
        self._fd = high_duplicate(fd)
        close(fd)
        self._input = bytearray()
        self._pieces = []  # payloads of the frames that have come of a message
        self._total = 0
        self._poll, self._poll_in_handler = poll(), poll()  # an object serves one call at a time
        self._poll.register(self._fd, POLLIN)
        self._poll_in_handler.register(self._fd, POLLIN)
        self.waker = Waker()
        self._poll_idle = poll()
        self._poll_idle.register(self._fd, POLLIN)
        self._poll_idle.register(self.waker, POLLIN)
        self.reading = False  # from the first byte of a request on; its reader resets it
        self.trouble = None
        self.shortages = 0  # of memory, since the last message was sent
        self._chunk = 1 << 18

    def fileno(self):
        return self._fd

    def close(self):
        close(self._fd)

    def give_up(self):
        """Ends the process: what came makes no sense."""
        _exit(_PROTOCOL_LOST)

    def endure(self, error):
        """Goes on after an exception. Without memory for so much as a message the process ends, or it would try for ever."""
        self.trouble = error
        if issubclass(type(error), MemoryError):
            self._chunk = 1 << 12
            self.shortages += 1
            if self.shortages > _SHORTAGES_MAX:
                _exit(MEMORY_LOST)

    def has_request(self):
        """Whether a message has come, or part of one. For handlers of signals."""
        return self.reading or bool(self._ready(self._poll_in_handler, 0))

    def receive(self, idle=False):
        """Waits for a message; idle: in the main thread, for the next request. Returns its type and its fields, a list of
        (key, bytes)."""
        while True:
            message = self._parse()
            if message is not None:
                return message
            if idle and not self.reading:
                self._wait_idle()
            if not self.reading:
                self._wait()
            data = self._insist(read, self._chunk)
            if not data:
                _exit(0)
            self._input += data

    def send(self, kind, fields):
        """Sends a message; values are bytes or integers."""
        parts = []
        for key, value in fields:
            data = _int.pack(value) if isinstance(value, int) else value
            parts += _field.pack(key, len(data)), data
        payload = memoryview(b"".join(parts))
        start = 0
        while True:
            piece = payload[start : start + FRAME_MAX]
            start += len(piece)
            more = _MORE if start < len(payload) else 0
            out = memoryview(_head.pack(len(piece), kind, more, 0) + piece)
            while out:
                out = out[self._insist(write, out) :]
            if not more:
                self.shortages = 0
                return

    def _ready(self, poller, timeout, *others):
        """Which descriptors are, of the channel's and others."""
        try:
            return [fd for fd, _ in poller.poll(timeout)]
        # A cell has left no descriptors to open (RLIMIT_NOFILE of 0), or a signal has come while the handler of another
        # polls: select() minds neither.
        except (OSError, RuntimeError):
            return select((self._fd, *others), (), (), timeout)[0]

    def _wait(self):
        while not self.reading:
            try:
                self.reading = bool(self._ready(self._poll, None))
            except BaseException as error:
                self.endure(error)

    def _wait_idle(self):
        while not self.reading:
            try:
                if not self.waker.arm():
                    return  # one waits as at other times
                self.reading = self._fd in self._ready(self._poll_idle, None, self.waker.fileno())
                self.waker.drain()
            except BaseException as error:
                self.endure(error)
        self.waker.disarm()

    def _insist(self, function, argument):
        """read() or write() until it has happened."""
        done = []
        while not done:
            try:
                # By way of C code the result is in the list before the interpreter calls a signal's handler.
                done.extend(map(function, (self._fd,), (argument,)))
            except OSError as error:
                if error.errno is not None and not done:
                    _exit(_PROTOCOL_LOST)
                self.trouble = error
            except BaseException as error:
                self.endure(error)
                if argument > self._chunk and function is read:
                    argument = self._chunk
        return done[0]

    def _parse(self):
        """Takes frames off the input. Returns the message when it is whole, else None."""
        while len(self._input) >= _head.size:
            size, kind, flags, zero = _head.unpack_from(self._input)
            if size > FRAME_MAX or self._total + size > MESSAGE_MAX or zero or flags & ~_MORE:
                self.give_up()
            end = _head.size + size
            if len(self._input) < end:
                break
            self._total += size
            self._pieces.append(bytes(self._input[_head.size : end]))
            del self._input[:end]
            if not flags & _MORE:
                payload = b"".join(self._pieces)
                self._pieces.clear()
                self._total = 0
                return kind, _split(payload)
        return None


def _split(payload):
    fields = []
    at = 0
    while at < len(payload):
        if at + _field.size > len(payload):
            _exit(_PROTOCOL_LOST)
        key, size = _field.unpack_from(payload, at)
        at += _field.size
        if at + size > len(payload):
            _exit(_PROTOCOL_LOST)
        fields.append((key, payload[at : at + size]))
        at += size
    return fields
