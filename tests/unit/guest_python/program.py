"""Kernels that are programs of their own, started as a session's init starts them, and ended with their test."""

import os
import subprocess
import threading
from contextlib import contextmanager

from host import PATIENCE_S


def start_program(kernel_class, command, cwd, environment):
    processes = {}

    def start(channel, out, err):
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            pass_fds=[3],
            preexec_fn=lambda: os.dup2(channel, 3),
            cwd=str(cwd),
            env=dict(os.environ, **environment),
        )
        processes[process.pid] = process
        return process.pid

    def wait(pid):
        status = processes[pid].wait(PATIENCE_S)
        return -status if status < 0 else status << 8

    return kernel_class(start, wait)


@contextmanager
def ended_kernels():
    """A list of kernels, which are ended with it, also one that hangs."""
    kernels = []
    yield kernels
    for kernel in kernels:
        if kernel.status is None:
            killer = threading.Timer(5, os.kill, [kernel.pid, 9])
            killer.start()
            kernel.end()
            killer.cancel()
