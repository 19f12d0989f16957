"""Kernels for the tests."""

import os
import sys
import threading

import pytest

sys.path.insert(0, __file__.rpartition("/")[0])
sys.dont_write_bytecode = True

from bash_host import start_kernel  # noqa: E402


@pytest.fixture
def make(tmp_path):
    """Starts kernels; they are ended with the test, also one that hangs."""
    kernels = []

    def start(cwd=None, **environment):
        kernel = start_kernel(cwd or tmp_path, HOME=str(tmp_path), **environment)
        kernels.append(kernel)
        return kernel

    yield start
    for kernel in kernels:
        if kernel.status is None:
            killer = threading.Timer(5, os.kill, [kernel.pid, 9])
            killer.start()
            kernel.end()
            killer.cancel()


@pytest.fixture
def kernel(make):
    return make()
