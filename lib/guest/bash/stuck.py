"""Shells that an interrupt has made hang.

When bash begins to wait for a child it sets a handler of SIGINT, and notes only then which was there before. In between,
the new handler cannot put that back, and sends the signal to its own process again: it runs anew before anything else
does, for ever. So it is from 4.4 to 5.3, in a shell as in its subshells. Of a signal like FREE, which ends a shell, the
second is answered at once, within the handler: where bash hangs, that does no harm.
"""

import os
import signal

FREE = signal.SIGSYS
LOOKS = 5  # that see it pending, in a row of looks at a hang; who gets no processor looks the same for a while
TOLD = "State:", "SigBlk", "SigCgt", "SigPnd", "ShdPnd"


def _bit(number):
    return 1 << (number - 1)


class Watch:
    """Of a shell and what it has started, for one cell."""

    def __init__(self, pid):
        self._pid = pid
        self._bash = _program(pid)
        self._seen = {}

    def look(self):
        """Returns who hangs, as seen LOOKS times since it was last returned."""
        seen = {}
        for pid in _family(self._pid):
            pending = self._sigint(pid)
            if pending is not None:
                seen[pid] = self._seen.get(pid, 0) + pending
        found = [pid for pid, times in seen.items() if times == LOOKS]
        self._seen = {pid: times % LOOKS for pid, times in seen.items()}
        return found

    def _sigint(self, pid):
        """Whether it is pending, in a shell that may hang; None: it does not. Between two of them it is blocked or not
        even that, as also where a shell forks or waits."""
        try:
            with open("/proc/%d/status" % pid) as status:
                told = {line[:6]: line[7:] for line in status if line[:6] in TOLD}
        except OSError:
            return None
        runs = told.pop("State:").startswith("R")
        masks = {name: int(mask, 16) for name, mask in told.items()}
        blocked, caught = masks["SigBlk"], masks["SigCgt"]
        pending = masks["SigPnd"] | masks.get("ShdPnd", 0)
        hangs = (
            runs
            and blocked & _bit(signal.SIGCHLD)  # it is about to wait
            and caught & _bit(signal.SIGINT)
            and not (blocked | pending) & _bit(FREE)  # it has not been told, or has seen it
            and _program(pid) == self._bash
        )
        return bool(pending & _bit(signal.SIGINT)) if hangs else None


def _program(pid):
    try:
        return os.readlink("/proc/%d/exe" % pid)
    except OSError:
        return None


def _family(pid):
    found = [pid]
    for parent in found:
        try:
            with open("/proc/%d/task/%d/children" % (parent, parent)) as children:
                found += map(int, children.read().split())
        except OSError:
            pass
    return found
