"""The channel: framing, hostile or broken input, bounds."""

import os
import struct
import subprocess

import pytest
from any_kernel import (  # noqa: F401
    test_a_request_in_single_bytes,
    test_the_call_is_echoed,
    test_unknown_fields_are_ignored,
    test_what_makes_no_sense_ends_the_kernel,
)
from host import EXEC, PATIENCE_S, ROOT, TEXT, Lost, frames, fresh_kernel

ASKED_BY_HANDLERS = """
import signal, socket, sys
sys.path.insert(0, sys.argv[1])
from ci_kernel.channel import Channel

def ask(*_):
    global times
    times += 1
    if times == 3000:
        signal.setitimer(signal.ITIMER_REAL, 0)
    assert not channel.has_request()

ours, theirs = socket.socketpair()
channel, times = Channel(ours.detach()), 0
signal.signal(signal.SIGALRM, ask)
signal.setitimer(signal.ITIMER_REAL, 1e-4, 1e-4)
while times < 3000:
    assert not channel.has_request()
theirs.send(b"x")
assert channel.has_request()
"""


def test_requests_that_come_together_run_in_order(kernel):
    kernel.socket.sendall(b"".join(frames(EXEC, [(TEXT, b"%d" % i)]) for i in range(5)))
    assert [dict(kernel._message()[1])[32] for _ in range(5)] == [b"%d" % i for i in range(5)]


def test_a_source_of_many_frames(kernel):
    text = "x = '" + "y" * (5 << 20) + "'\nlen(x)"
    assert kernel.value(text) == str(5 << 20)


def test_a_name_that_is_no_name_is_ignored_in_the_environment(kernel):
    assert kernel.value("1", env=["=x", "novalue", ""]) == "1"
    kernel.socket.sendall(frames(EXEC, [(TEXT, b"7"), (5, b"A=b\0c")]))
    _, fields = kernel._message()
    assert dict(fields)[34] == b"ValueError"
    assert kernel.value("2") == "2"


def test_handlers_of_signals_that_interrupt_each_other_ask_for_a_request():
    subprocess.run(["/usr/bin/python3", "-I", "-S", "-B", "-c", ASKED_BY_HANDLERS, ROOT], check=True, timeout=PATIENCE_S)


def test_few_descriptors_are_enough(tmp_path):
    limit = "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64)); "
    code = limit + "import sys; import ci_kernel; ci_kernel.serve(int(sys.argv[1]))"
    kernel = fresh_kernel(tmp_path, ["-c", code, "{fd}"])
    try:
        assert kernel.value("import os\nos.closerange(3, 30)\n1") == "1"
        assert kernel.value("2") == "2"
    finally:
        assert kernel.end() == 0


def test_a_message_beyond_the_limit_ends_the_kernel(plain):
    piece = struct.pack("<IBBH", 1 << 20, EXEC, 1, 0) + bytes(1 << 20)
    with pytest.raises((BrokenPipeError, ConnectionResetError)):
        for _ in range(400):
            plain.socket.sendall(piece)
    with pytest.raises(Lost):
        plain._message()
    assert os.WEXITSTATUS(plain.status) == 70
