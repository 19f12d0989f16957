"""Finds and loads the shared library, once, at first use."""

from __future__ import annotations

import ctypes
import ctypes.util
import threading
from pathlib import Path
from typing import Optional

from . import _table

_lock = threading.Lock()
_chosen: Optional[str] = None
_loaded: Optional[ctypes.CDLL] = None


def use_library(path: str) -> None:
    """Names the shared library to load, before anything else is used. Without this it is looked for beside this
    package, in the build folder of a source tree that this package stands in, then where the system keeps libraries."""
    global _chosen
    if _loaded is not None:
        raise RuntimeError("the library is loaded already")
    _chosen = str(path)


def _candidates() -> list[str]:
    if _chosen:
        return [_chosen]
    here = Path(__file__).resolve().parent
    found = [
        path for path in (*sorted(here.glob("libci.so*")), here.parents[2] / "build/lib/libci.so") if path.exists()
    ]
    system = ctypes.util.find_library("ci")
    return [str(path) for path in found] + ([system] if system else [])


def library() -> ctypes.CDLL:
    """The loaded library, its functions declared."""
    global _loaded
    with _lock:
        if _loaded is None:
            candidates = _candidates()
            if not candidates:
                raise OSError("libci's shared library was not found; name it with libci.use_library(path)")
            loaded = ctypes.CDLL(candidates[0])
            for name, (restype, argtypes) in _table.FUNCTIONS.items():
                function = getattr(loaded, name)
                function.restype = restype
                function.argtypes = argtypes
            _loaded = loaded
        return _loaded
