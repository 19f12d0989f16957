"""Rich output: the items of a cell on their way to the host, and what objects offer beside their text."""

from .private import BUILTINS as __builtins__  # noqa: F401

from _thread import allocate_lock
from binascii import a2b_base64
from json import dumps
from os import getpid
from re import compile as pattern

from . import channel as wire

IMAGES = ("image/png", "image/jpeg", "image/svg+xml")
# Of a value these are sent, beside its text; of what is displayed all.
VALUE_TYPES = IMAGES + ("text/html",)
DISPLAY_TYPES = VALUE_TYPES + ("text/markdown", "text/latex", "application/json")
COUNT_MAX = 32

_METHODS = {
    "image/png": "_repr_png_",
    "image/jpeg": "_repr_jpeg_",
    "image/svg+xml": "_repr_svg_",
    "text/html": "_repr_html_",
}
_says_nothing = pattern(r"<[\w.]+ object( at 0x[0-9a-f]+)?>\Z").match


def to_bytes(text):
    return text.encode("utf-8", "backslashreplace")


def encode(mime, data):
    """An item's bytes, or None when the data is of no use."""
    try:
        if mime == "application/json" and not isinstance(data, (str, bytes)):
            return to_bytes(dumps(data, default=repr))
        if isinstance(data, str):
            # Images of raw bytes come as base64 where they come as text.
            return a2b_base64(data) if mime in ("image/png", "image/jpeg") else to_bytes(data)
        return bytes(data) if isinstance(data, (bytes, bytearray, memoryview)) else None
    except (TypeError, ValueError):
        return None


def representations(value):
    """What an object offers by methods, without IPython's help."""
    found = {}
    for mime, name in _METHODS.items():
        method = None if isinstance(value, type) else getattr(type(value), name, None)
        if method is None:
            continue
        try:
            data = method(value)
        except Exception:
            continue
        if isinstance(data, tuple) and data:  # with metadata
            data = data[0]
        if data is not None:
            found[mime] = data
    return found


class Items:
    """Sends the items of the cell that runs. May be called in any thread; at any other time and in any other process
    items are dropped in silence, for there is nobody who expects them."""

    def __init__(self, channel, interrupts, flush):
        self._channel = channel
        self._interrupts = interrupts
        self._flush = flush
        self._pid = getpid()
        self._lock = allocate_lock()
        self._open = False
        self._count = 0
        self.dropped = 0

    def begin(self):
        self._count = self.dropped = 0
        self._open = True

    def end(self):
        """Waits for an item that a thread is sending. No item is sent afterwards."""
        with self._lock:
            self._open = False

    def send(self, mime, data):
        if getpid() != self._pid or not self._open:
            return
        data = encode(mime, data)
        if data is None:
            return
        self._flush()
        self._interrupts.hold()
        try:
            with self._lock:
                if self._open:
                    self._send(mime, data)
        finally:
            self._interrupts.release()

    def _send(self, mime, data):
        if self._count >= COUNT_MAX or len(data) > wire.ITEM_MAX:
            self.dropped += 1
            return
        self._count += 1
        self._channel.send(wire.ITEM, [(wire.MIME, mime.encode()), (wire.DATA, data)])
        kind, _ = self._channel.receive()
        if kind != wire.ITEM_ACK:
            self._channel.give_up()
        trouble, self._channel.trouble = self._channel.trouble, None
        if trouble is not None:
            raise trouble

    def publish(self, bundle):
        """Displays an object given by its representations: sends those that are rich, and prints the text where it
        says something that no picture shows."""
        rich = [mime for mime in DISPLAY_TYPES if bundle.get(mime) is not None]
        text = bundle.get("text/plain")
        if isinstance(text, str) and not (rich and (rich[0] in IMAGES or _says_nothing(text))):
            print(text)
        for mime in rich:
            self.send(mime, bundle[mime])
