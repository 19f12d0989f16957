"""The host's end of a Node kernel: as the Python kernel's, but that interrupts are messages, cells have a language."""

import os
import struct
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "guest_python"))

import host  # noqa: E402
from host import EXCEPTION, EXIT, OK, Lost, frames  # noqa: E402, F401
from program import start_program  # noqa: E402

KERNEL = os.environ.get(
    "CI_TEST_NODE_KERNEL", os.path.normpath(os.path.join(HERE, "..", "..", "..", "lib", "guest", "node"))
)
FLAGS_OF_NODE = ["--no-force-async-hooks-checks", "--experimental-import-meta-resolve"]
INTERRUPT, LANGUAGE, FLAGS, DIAGNOSTICS, WARM = 33, 2, 6, 42, 19
TYPE_ERROR = 8
NO_TYPECHECK = 1 << 3


class Kernel(host.Kernel):
    language, flags = "javascript", 0

    def _message(self, *arguments, **options):
        """WARM may come at any time."""
        while True:
            message = super()._message(*arguments, **options)
            if message is None or message[0] != WARM:
                return message

    def interrupt(self):
        self.socket.sendall(frames(INTERRUPT, []))

    def send(self, text, cwd=None, env=(), call=7):
        fields = [(host.TEXT, text if isinstance(text, bytes) else text.encode())]
        if cwd is not None:
            fields.append((host.CWD, os.fsencode(cwd)))
        fields += [(host.ENV, os.fsencode(entry)) for entry in env]
        fields += [(LANGUAGE, self.language.encode()), (FLAGS, struct.pack("<q", self.flags))]
        fields.append((host.CALL, struct.pack("<q", call)))
        self.socket.sendall(frames(host.EXEC, fields))

    def ts(self, text, flags=0, **kwargs):
        self.language, self.flags = "typescript", flags
        try:
            return self.run(text, **kwargs)
        finally:
            self.language, self.flags = "javascript", 0


def start_kernel(cwd, *arguments, node="node", **environment):
    command = [node, *FLAGS_OF_NODE, os.path.join(KERNEL, "main.js"), *arguments]
    return start_program(Kernel, command, cwd, environment)
