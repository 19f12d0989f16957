"""The kernel's end of the guest protocol (lib/wire/wire.h): whole messages over one stream socket.

The descriptor lies high, out of the way of code that closes a range of descriptors. Without its channel a kernel is of
no use: when the other end is closed the process ends with 0, when the descriptor itself is gone or what comes makes no
sense, with 70.
"""

from .private import BUILTINS as __builtins__  # noqa: F401

from fcntl import F_DUPFD_CLOEXEC, fcntl
from os import _exit, close, read, write
from resource import RLIMIT_NOFILE, getrlimit
from struct import Struct

FRAME_MAX = 1 << 20
MESSAGE_MAX = 160 << 20
VALUE_MAX = 256 << 10
ITEM_MAX = 32 << 20

EXEC, ITEM_ACK = 1, 2
READY, ITEM, DONE = 16, 17, 18

TEXT, CWD, ENV, FLAGS, CALL, INFO = 1, 4, 5, 6, 7, 10
MIME, DATA = 20, 21
OUTCOME, EXIT_CODE, VALUE, VALUE_TOTAL, ERROR_NAME, ERROR_MESSAGE, TRACEBACK, EXECUTION_US = range(30, 38)
ITEM_DROPPED = 41

_MORE = 1
_HIGH = 900
_PROTOCOL_LOST = 70
_head = Struct("<IBBH")
_field = Struct("<BI")
_int = Struct("<q")


def high_duplicate(fd):
    """A close-on-exec duplicate at a high number."""
    limit = getrlimit(RLIMIT_NOFILE)[0]
    return fcntl(fd, F_DUPFD_CLOEXEC, _HIGH if limit < 0 or limit > _HIGH + 32 else max(limit - 32, 3))


def number(data):
    """The value of an integer field."""
    return _int.unpack(data)[0] if len(data) == 8 else 0


class Channel:
    """Used by one thread at a time; whoever sends an item holds on to it until the answer has come."""

    def __init__(self, fd):
        self._fd = high_duplicate(fd)
        close(fd)
        self._input = b""

    def close(self):
        close(self._fd)

    def give_up(self):
        """Ends the process: what came makes no sense."""
        _exit(_PROTOCOL_LOST)

    def receive(self):
        """Waits for a message. Returns its type and its fields, a list of (key, bytes)."""
        payload = []
        total = 0
        while True:
            size, kind, flags, zero = _head.unpack(self._take(_head.size))
            total += size
            if size > FRAME_MAX or total > MESSAGE_MAX or zero or flags & ~_MORE:
                self.give_up()
            payload.append(self._take(size))
            if not flags & _MORE:
                return kind, _split(b"".join(payload))

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
            self._put(_head.pack(len(piece), kind, more, 0) + piece)
            if not more:
                return

    def _take(self, size):
        pieces = []
        missing = size
        data = self._input
        while True:
            if len(data) >= missing:
                self._input = data[missing:]
                pieces.append(data[:missing])
                return b"".join(pieces)
            pieces.append(data)
            missing -= len(data)
            try:
                data = read(self._fd, 1 << 18)
            except OSError:
                _exit(_PROTOCOL_LOST)
            if not data:
                _exit(0)

    def _put(self, data):
        view = memoryview(data)
        while view:
            try:
                view = view[write(self._fd, view) :]
            except OSError:
                _exit(_PROTOCOL_LOST)


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
