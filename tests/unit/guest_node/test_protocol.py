"""The channel: framing, broken input, the end."""

import os

import pytest
from any_kernel import (  # noqa: F401
    test_a_request_in_single_bytes,
    test_the_call_is_echoed,
    test_unknown_fields_are_ignored,
    test_what_makes_no_sense_ends_the_kernel,
)
from node_host import Lost, frames

EXEC, TEXT, VALUE = 1, 1, 32


def test_requests_that_come_together_run_in_order(kernel):
    for i in range(5):
        kernel.socket.sendall(frames(EXEC, [(TEXT, b"%d" % i)]))
        assert dict(kernel._message()[1])[VALUE] == b"%d" % i


def test_a_source_of_many_frames(kernel):
    assert kernel.value("x = '" + "y" * (5 << 20) + "'\nx.length") == str(5 << 20)


def test_any_text(kernel):
    for text in ["\0", "'a\0b'", "\ufeff1", "1\r\n+1\r\n", "1 // x\u2028+ 1"]:
        kernel.run(text)
    assert kernel.run(b"'\xff'").value == "'\ufffd'"
    assert kernel.value("2") == "2"


def test_the_end_of_the_channel_ends_an_idle_kernel_in_silence(kernel):
    kernel.value("setInterval(() => {}, 10); 1")
    out = kernel.outputs[1]
    kernel.socket.close()
    assert kernel._wait(kernel.pid) == 0
    kernel.status = 0
    assert os.read(out, 100) == b""


def test_the_end_of_the_channel_ends_a_busy_kernel(kernel):
    kernel.send("console.log('on'); for (;;);")
    kernel.wait_for_output()
    kernel.socket.close()
    kernel.status = kernel._wait(kernel.pid)
    assert os.WIFSIGNALED(kernel.status)


def test_children_do_not_get_the_channel(kernel):
    text = "require('child_process').execSync('ls -l /proc/self/fd').toString()"
    assert "3 -> socket" not in kernel.value(text)


def test_a_kernel_that_is_ended_from_within_is_noticed(kernel):
    kernel.send("process.kill(process.pid, 'SIGKILL')")
    with pytest.raises(Lost):
        kernel._message()
