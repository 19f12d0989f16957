"""Tests of the channel that hold for the kernel of any language: each test_protocol.py takes them in by name."""

import os
import socket
import struct

import pytest
from host import CALL, EXEC, TEXT, VALUE, Lost, frames


def test_the_call_is_echoed(kernel):
    kernel.send("1", call=12345)
    assert dict(kernel._message()[1])[CALL] == struct.pack("<q", 12345)


def test_a_request_in_single_bytes(kernel):
    kernel.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    for byte in frames(EXEC, [(TEXT, b"'in pieces'")]):
        kernel.socket.sendall(bytes([byte]))
    assert dict(kernel._message()[1])[VALUE] == b"'in pieces'"


def test_unknown_fields_are_ignored(kernel):
    kernel.socket.sendall(frames(EXEC, [(200, b"?"), (TEXT, b"6"), (9, b"")]))
    assert dict(kernel._message()[1])[VALUE] == b"6"


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
        kernel._message()
    assert os.WEXITSTATUS(kernel.status) == 70
