"""The host's end of a Bash kernel: as the Python kernel's, but that an interrupt goes to the processes of the call."""

import os
import resource
import signal
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "guest_python"))

import host  # noqa: E402
from host import EXCEPTION, EXIT, OK, PATIENCE_S, Lost, frames  # noqa: E402, F401
from program import start_program  # noqa: E402

KERNEL = os.path.normpath(os.path.join(HERE, "..", "..", "..", "lib", "guest", "bash", "kernel.py"))
RLIMIT_LOCKS = 10


class Kernel(host.Kernel):
    def send(self, text, cwd=None, env=(), call=None):
        self.call = call if call is not None else os.getpid() * 1000 + id(self) % 1000  # a tag that is this kernel's
        super().send(text, cwd, env, self.call)

    def interrupt(self):
        super().interrupt()
        for pid in self.tagged():
            try:
                os.kill(pid, signal.SIGINT)
            except ProcessLookupError:
                pass

    def settle(self, number=signal.SIGINT):
        """The shell as well."""
        super().settle(number)
        for pid in self.tagged():
            self.settle_one(pid, number)

    def names(self):
        """Of the programs of the call."""
        found = []
        for pid in self.tagged():
            try:
                found.append(self.status_of(pid)["Name"].strip())
            except (FileNotFoundError, ProcessLookupError):
                pass
        return found

    def tagged(self):
        """The processes of the call, as init finds them."""
        found = []
        for name in os.listdir("/proc"):
            try:
                if name.isdigit() and resource.prlimit(int(name), RLIMIT_LOCKS)[0] == self.call:
                    found.append(int(name))
            except (ProcessLookupError, PermissionError):
                pass
        return found


def start_kernel(cwd, **environment):
    return start_program(Kernel, ["/usr/bin/python3", "-I", "-S", "-B", KERNEL], cwd, environment)
