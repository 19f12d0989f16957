"""Rich output: the items of a cell on their way to the host, and what objects offer beside their text."""

from .private import BUILTINS as __builtins__  # noqa: F401

from _thread import allocate_lock
from binascii import a2b_base64
from json import dumps, loads
from math import isfinite
from os import getpid
from re import ASCII
from re import compile as pattern

from . import channel as wire

CHART = "application/vnd.ci.chart+json"
TABLE = "application/vnd.dataresource+json"
COUNT_MAX = 64
EXTRAS_MAX = 32  # of these, how many may lie before data that explains another item

_METHODS = {
    "image/png": "_repr_png_",
    "image/jpeg": "_repr_jpeg_",
    "image/svg+xml": "_repr_svg_",
    "application/pdf": "_repr_pdf_",
    "text/html": "_repr_html_",
    "text/markdown": "_repr_markdown_",
    "text/latex": "_repr_latex_",
    "application/json": "_repr_json_",
}
# The first come first.
_ORDER = ("image/png", "image/jpeg", "image/svg+xml", CHART, "text/html", TABLE, *list(_METHODS)[5:])
_DEPTH_MAX = 100
_is_mime = pattern(r"[a-z]+/[\w.+-]{1,100}\Z", ASCII).match
_is_binary = pattern(r"(image/(?!svg)|audio/|video/|application/pdf)").match
_is_json = pattern(r"application/([\w.-]+\+)?json\Z").match
# Beside these the text of an object is not printed.
_is_picture = pattern(r"image/|application/vnd\.(plotly|vega|bokeh)").match
_says_nothing = pattern(r"<[\w.]+( object| at 0x[0-9a-f]+| object at 0x[0-9a-f]+)>\Z").match


def to_bytes(text):
    return text.encode("utf-8", "backslashreplace")


def to_json(data):
    """JSON that every reader takes: of what it cannot say, a number becomes null, and an object its text."""
    try:
        return dumps(data, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return dumps(_strict(data, 0), ensure_ascii=False, allow_nan=False)


def _strict(data, depth):
    if hasattr(data, "tolist"):  # numpy's
        data = data.tolist()
    if data is None or isinstance(data, (bool, int, str)):
        return data
    if isinstance(data, float):
        return data if isfinite(data) else None
    if depth < _DEPTH_MAX:
        if isinstance(data, dict):
            return {str(key): _strict(value, depth + 1) for key, value in data.items()}
        if isinstance(data, (list, tuple)):
            return [_strict(value, depth + 1) for value in data]
    return repr(data) if depth < _DEPTH_MAX else None


def encode(mime, data):
    """An item's bytes, or None when the data is of no use."""
    try:
        if _is_json(mime) and not isinstance(data, (bytes, bytearray, memoryview)):
            return to_bytes(data if isinstance(data, str) and _parses(data) else to_json(data))
        if isinstance(data, str):
            # Raw bytes come as base64 where they come as text.
            return a2b_base64(data) if _is_binary(mime) else to_bytes(data)
        return bytes(data) if isinstance(data, (bytes, bytearray, memoryview)) else None
    except (TypeError, ValueError, RecursionError):
        return None


def _parses(text):
    try:
        loads(text, parse_constant=_refuse)
        return True
    except (ValueError, RecursionError):
        return False


def _refuse(name):
    raise ValueError(name)


def representations(value):
    """What an object offers by methods, without IPython's help."""
    found = {}
    if isinstance(value, type):
        return found
    for mime, name in _METHODS.items():
        data = _ask(value, name)
        if data is not None:
            found[mime] = data
    bundle = _ask(value, "_repr_mimebundle_", include=None, exclude=None)
    if isinstance(bundle, dict):
        found.update(bundle)
    return found


def _ask(value, name, **arguments):
    method = getattr(type(value), name, None)
    try:
        data = None if method is None else method(value, **arguments)
    except Exception:
        return None
    return data[0] if isinstance(data, tuple) and data else data  # with metadata


def rich(bundle):
    """The MIME types of an object's forms beside the text, in order. One picture of each comes: what is a PNG is often a
    JPEG as well."""
    types = [mime for mime in bundle if isinstance(mime, str) and bundle[mime] is not None and mime != "text/plain"]
    if "image/png" in types and "image/jpeg" in types:
        types.remove("image/jpeg")
    return sorted(filter(_is_mime, types), key=lambda mime: _ORDER.index(mime) if mime in _ORDER else len(_ORDER))


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
        if self._count >= (EXTRAS_MAX if mime == CHART else COUNT_MAX) or len(data) > wire.ITEM_MAX:
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

    def send_all(self, bundle):
        """Sends all forms of an object but its text."""
        for mime in rich(bundle):
            self.send(mime, bundle[mime])

    def publish(self, bundle):
        """Displays an object given by its forms: sends those that are rich, and prints the text where it says something
        that no picture shows."""
        text = bundle.get("text/plain")
        types = rich(bundle)
        if isinstance(text, str) and not (types and (_says_nothing(text) or any(map(_is_picture, types)))):
            print(text)
        self.send_all(bundle)
