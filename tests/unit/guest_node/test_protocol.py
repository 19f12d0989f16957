"""The channel: framing, broken input, the end."""

import os
import socket
import struct
import time

import pytest
from node_host import Lost, frames

EXEC, TEXT, CALL, VALUE = 1, 1, 7, 32


def test_the_call_is_echoed(kernel):
    kernel.send("1", call=12345)
    assert dict(kernel._message(10)[1])[CALL] == struct.pack("<q", 12345)


def test_a_request_in_single_bytes(kernel):
    kernel.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    for byte in frames(EXEC, [(TEXT, b"'in pieces'")]):
        kernel.socket.sendall(bytes([byte]))
    assert dict(kernel._message(10)[1])[VALUE] == b"'in pieces'"


def test_requests_that_come_together_run_in_order(kernel):
    for i in range(5):
        kernel.socket.sendall(frames(EXEC, [(TEXT, b"%d" % i)]))
        assert dict(kernel._message(10)[1])[VALUE] == b"%d" % i


def test_a_source_of_many_frames(kernel):
    assert kernel.value("x = '" + "y" * (5 << 20) + "'\nx.length") == str(5 << 20)


def test_unknown_fields_are_ignored(kernel):
    kernel.socket.sendall(frames(EXEC, [(200, b"?"), (TEXT, b"6"), (9, b"")]))
    assert dict(kernel._message(10)[1])[VALUE] == b"6"


def test_any_text(kernel):
    for text in ["\0", "'a\0b'", "\ufeff1", "1\r\n+1\r\n", "1 // x\u2028+ 1"]:
        kernel.run(text)
    assert kernel.run(b"'\xff'").value == "'\ufffd'"
    assert kernel.value("2") == "2"


@pytest.mark.parametrize(
    "data",
    [
        struct.pack("<IBBH", 0, 99, 0, 0),
        struct.pack("<IBBH", (1 << 20) + 1, EXEC, 0, 0),
        struct.pack("<IBBH", 0, EXEC, 2, 0),
        struct.pack("<IBBH", 0, EXEC, 0, 1),
        struct.pack("<IBBH", 3, EXEC, 0, 0) + b"abc",
        struct.pack("<IBBH", 5, EXEC, 0, 0) + struct.pack("<BI", TEXT, 1),
    ],
)
def test_what_makes_no_sense_ends_the_kernel(kernel, data):
    kernel.socket.sendall(data)
    with pytest.raises(Lost):
        kernel._message(10)
    assert os.WEXITSTATUS(kernel.status) == 70


def test_the_end_of_the_channel_ends_an_idle_kernel_in_silence(kernel):
    kernel.value("setInterval(() => {}, 10); 1")
    out = kernel.outputs[1]
    kernel.socket.close()
    assert kernel._wait(kernel.pid) == 0
    kernel.status = 0
    assert os.read(out, 100) == b""


def test_the_end_of_the_channel_ends_a_busy_kernel(kernel):
    kernel.send("for (;;);")
    time.sleep(0.1)
    kernel.socket.close()
    kernel.status = kernel._wait(kernel.pid)
    assert os.WIFSIGNALED(kernel.status)


def test_children_do_not_get_the_channel(kernel):
    text = "require('child_process').execSync('ls -l /proc/self/fd').toString()"
    assert "3 -> socket" not in kernel.value(text)


def test_a_kernel_that_is_ended_from_within_is_noticed(kernel):
    kernel.send("process.kill(process.pid, 'SIGKILL')")
    with pytest.raises(Lost):
        kernel._message(10)
