"""What a result says of an exception: its name, its message, and a traceback that shows the user's code alone."""

from .private import BUILTINS as __builtins__  # noqa: F401

import sys
from os.path import dirname
from traceback import TracebackException

from .private import CELL_PREFIX, PACKAGE

_FRAMES_MAX = 1200
_LINES_MAX = 400


def text_of(value, fallback):
    """str(value), whatever its author made of it. An interrupt goes through."""
    try:
        return str(value)
    except Exception:
        return fallback


def name_of(exception):
    return text_of(type.__dict__["__name__"].__get__(type(exception)), "Exception")


def describe(exception, alone=False):
    """Returns name, message and traceback as text; alone: without any frames. May raise what code of the exception's
    author raises, or what comes of an interpreter in disorder."""
    traceback = "".join(_format(exception, alone))
    return name_of(exception), text_of(exception, "<exception str() failed>"), _shorten(traceback)


def describe_simply(exception, alone=False):
    """The same from nothing but the exception, for when the library that formats tracebacks is broken."""
    name, message = name_of(exception), text_of(exception, "<exception str() failed>")
    lines = []
    at = None if alone else BaseException.__dict__["__traceback__"].__get__(exception)
    while at is not None:
        code = at.tb_frame.f_code
        if not code.co_filename.startswith(PACKAGE):
            lines.append('  File "%s", line %d, in %s\n' % (code.co_filename, at.tb_lineno, code.co_name))
        at = at.tb_next
    return name, message, _shorten("".join([*lines, "%s: %s\n" % (name, message)]))


def _format(exception, alone):
    # A negative limit keeps the innermost frames.
    report = TracebackException(type(exception), exception, exception.__traceback__, limit=-_FRAMES_MAX)
    internal = _internal_places()
    seen = set()
    waiting = [report]
    while waiting:
        part = waiting.pop()
        if part is None or id(part) in seen:
            continue
        seen.add(id(part))
        if part.stack:
            part.stack[:] = _user_frames(part.stack, internal)
        waiting += [part.__cause__, part.__context__, *(getattr(part, "exceptions", None) or ())]
    chained = report.__cause__ or (report.__context__ and not report.__suppress_context__)
    if alone or not (report.stack or chained or getattr(report, "exceptions", None)):
        return list(report.format_exception_only())
    return list(report.format())


def _user_frames(stack, internal):
    """Frames from the first cell on, without those of the kernel and of IPython."""
    start = 0
    for index, frame in enumerate(stack):
        if frame.filename.startswith(CELL_PREFIX):
            start = index
            break
    return [frame for frame in stack[start:] if not frame.filename.startswith(internal)]


def _internal_places():
    places = [PACKAGE + "/"]
    ipython = sys.modules.get("IPython")
    file = getattr(ipython, "__file__", None)
    if isinstance(file, str):
        places.append(dirname(file) + "/")
    decorator = getattr(sys.modules.get("decorator"), "__file__", None)  # wraps IPython's magics
    if isinstance(decorator, str):
        places.append(decorator)
    return tuple(places)


def _shorten(text):
    lines = text.splitlines(True)
    if len(lines) <= _LINES_MAX:
        return text
    half = _LINES_MAX // 2
    left_out = len(lines) - 2 * half
    return "".join(lines[:half] + ["  [... %d lines left out ...]\n" % left_out] + lines[-half:])
