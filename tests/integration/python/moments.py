"""Moments that tests wait for, so that none has to guess how long something takes on a busy machine."""

from __future__ import annotations

import select
import threading
import time
from collections.abc import Callable
from typing import Any

import libci

#: Seconds after which what was to happen never will. A machine may be 20 times slower than one thinks.
PATIENCE = 200


def until(condition: Callable[[], Any], what: str = "it") -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"{what} does not come"
        time.sleep(0.01)


def once(seen: threading.Event, action: Callable[[], object]) -> threading.Thread:
    """Does something from another thread, when the code has said that it runs."""

    def wait_and_act() -> None:
        assert seen.wait(PATIENCE)
        action()

    thread = threading.Thread(target=wait_and_act)
    thread.start()
    return thread


def begun(start: Callable[..., libci.Call[libci.Result]], code: str, **options: Any) -> libci.Call[libci.Result]:
    """Starts a call; it has printed something when it is handed out."""
    said = threading.Event()
    call = start(code, on_output=lambda *_: said.set(), **options)
    waiting = select.poll()
    waiting.register(call.fileno(), select.POLLIN)
    while not said.is_set():
        assert not call.process() or said.is_set(), "it ended without a word"
        if not said.is_set():
            waiting.poll()
    return call


def late(start: Callable[..., libci.Call[libci.Result]], code: str, **options: Any) -> libci.Result:
    """The result of a call whose time is over when it has printed something, and not before."""
    call = begun(start, code, **options)
    call.set_timeout(0.001)
    return call.result()
