"""SIGINT: raises KeyboardInterrupt in the code of a cell, and nowhere else.

From the moment at which the request lies in the channel to the end of its code an interrupt counts; one that comes
before the code begins is kept for it. One that comes when the code is done, or while there is no request, is dropped:
it belongs to what has ended. (A signal carries no call id: init sends the next request when the kernel has taken the
signal.) A message to the host is never cut in two: while it is being sent, interrupts are kept too.
"""

from .private import BUILTINS as __builtins__  # noqa: F401

# Not the module `signal`: its functions turn every argument and result into enums.
from _signal import SIG_UNBLOCK, SIGINT, pthread_sigmask, signal
from _thread import get_ident

_IDLE, _EXPECTING, _ARMED = range(3)


class Interrupts:
    def __init__(self, channel):
        self._channel = channel
        self._state = _IDLE
        self._holds = 0
        self._kept = False
        self._main_thread = get_ident()
        self._own_code = Interrupts.run.__code__
        self._handler_code = Interrupts._on_signal.__code__
        self._handler = self._on_signal
        self.install()

    def install(self):
        """Takes the signal back from code that had it."""
        signal(SIGINT, self._handler)
        pthread_sigmask(SIG_UNBLOCK, (SIGINT,))

    def expect(self):
        """The request has been read."""
        self._state = _EXPECTING

    def run(self, function, *args):
        """Calls a function that can be interrupted. After it has ended, in whatever way, interrupts are dropped."""
        self._state = _ARMED
        try:
            if self._kept:
                raise KeyboardInterrupt
            return function(*args)
        finally:
            self._state = _IDLE
            self._kept = False

    def hold(self):
        """Keeps interrupts until release(). Only the main thread gets any."""
        if get_ident() == self._main_thread:
            self._holds += 1

    def release(self):
        if get_ident() == self._main_thread:
            self._holds -= 1
            if self._kept and not self._holds and self._state == _ARMED:
                self._kept = False
                raise KeyboardInterrupt

    def _on_signal(self, _number, frame):
        if self._state == _IDLE:
            self._kept = self._channel.has_request()
            return
        if self._holds or self._state == _EXPECTING:
            self._kept = True
            return
        while frame is not None and frame.f_code is self._handler_code:  # a signal within this very function
            frame = frame.f_back
        if frame is not None and frame.f_code is self._own_code:
            # run() itself was hit, perhaps where it no longer or not yet has its `finally`.
            self._state = _IDLE
        raise KeyboardInterrupt
