"""Standard input, output and error of a kernel.

Descriptors 0, 1 and 2 belong to cells, which may close, redirect or replace them and the objects of `sys`; before each
cell all are put back, from private duplicates. Output is line-buffered, so that a line is seen when it is printed, and
flushed before whatever else writes to the same pipe: a child, C code's own buffer, a rich item, the end of a cell.
"""

from .private import BUILTINS as __builtins__  # noqa: F401

import os
import sys
from functools import update_wrapper
from io import BufferedReader, BufferedWriter, FileIO, TextIOWrapper
from os import dup2, set_blocking

from .channel import high_duplicate

# Functions that start another program: (module, name).
_STARTERS = [
    ("_posixsubprocess", "fork_exec"),
    ("subprocess", "_fork_exec"),
    ("posix", "system"),
    ("posix", "posix_spawn"),
    ("posix", "posix_spawnp"),
    ("posix", "execv"),
    ("posix", "execve"),
]


def _text(fd):
    if fd == 0:
        raw = FileIO(0, "r", closefd=False)
        stream = TextIOWrapper(BufferedReader(raw), encoding="utf-8", errors="surrogateescape")
    else:
        raw = FileIO(fd, "w", closefd=False)
        stream = TextIOWrapper(
            BufferedWriter(raw), encoding="utf-8", errors="backslashreplace", newline="\n", line_buffering=True
        )
        stream.mode = "w"
    raw.name = ("<stdin>", "<stdout>", "<stderr>")[fd]
    return stream


def _is_open(stream):
    try:
        return not stream.closed
    except Exception:  # its buffer was detached
        return False


class _CStdio:
    """Standard output as C code in this process sees it."""

    def __init__(self):
        try:
            from ctypes import CDLL, c_int, c_size_t, c_void_p

            library = CDLL(None)
            self._stdout = c_void_p.in_dll(library, "stdout")
            library.setvbuf.argtypes = [c_void_p, c_void_p, c_int, c_size_t]
            library.setvbuf(self._stdout, None, 1, 0)  # _IOLBF
            self._fflush = library.fflush
            self._fflush.argtypes = [c_void_p]
        except (ImportError, AttributeError, OSError, ValueError):
            self._fflush = None

    def flush(self):
        if self._fflush is not None:
            self._fflush(self._stdout)


class Streams:
    NAMES = ("stdin", "stdout", "stderr")

    def __init__(self):
        self._duplicates = [high_duplicate(fd) for fd in range(3)]
        self._texts = [_text(fd) for fd in range(3)]
        self._old = [getattr(sys, name) for name in self.NAMES]  # never closed by a last reference
        self._c = _CStdio()
        self._publish()
        self._flush_before_starters()

    def restore(self):
        """Called before each cell."""
        self._restore_descriptors()
        self._publish()
        for fd in range(3):
            # Only now, because a replacement that has just been given up may have closed the buffer under it.
            if not _is_open(self._texts[fd]):
                self._texts[fd] = _text(fd)
                self._publish()

    def flush(self):
        """Writes out what is buffered. What a cell can no longer write, because it closed the descriptor, is written
        where it should have gone."""
        for text in self._texts[1:]:
            try:
                text.flush()
            except ValueError:
                pass  # closed by the cell
            except OSError:
                self._restore_descriptors()
                try:
                    text.flush()
                except OSError:
                    pass
        self._c.flush()

    def flush_replaced(self):
        """Flushes what a cell has put in the place of stdout and stderr: its code, which can do anything."""
        for name in self.NAMES[1:]:
            stream = getattr(sys, name, None)
            if stream is not None and not any(stream is text for text in self._texts):
                try:
                    stream.flush()
                except Exception:
                    pass

    def _restore_descriptors(self):
        for fd, duplicate in enumerate(self._duplicates):
            try:
                dup2(duplicate, fd)
                if fd:
                    set_blocking(fd, True)  # a child may have changed the pipe that it shares
            except OSError:
                pass  # the duplicate is gone as well, and so, as a rule, is the channel

    def _publish(self):
        for name, text in zip(self.NAMES, self._texts):
            setattr(sys, name, text)
            setattr(sys, "__%s__" % name, text)

    def _flush_before_starters(self):
        import _posixsubprocess  # noqa: F401  before subprocess, which may take its function by name
        import posix

        for module_name, name in _STARTERS:
            module = sys.modules.get(module_name)
            original = getattr(module, name, None)
            if original is None:
                continue
            wrapper = self._flushing(original)
            setattr(module, name, wrapper)
            if module is posix:
                setattr(os, name, wrapper)

    def _flushing(self, original):
        flush = self.flush

        def call(*args, **kwargs):
            flush()
            return original(*args, **kwargs)

        return update_wrapper(call, original)
