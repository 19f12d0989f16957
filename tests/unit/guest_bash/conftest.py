"""Kernels for the tests."""

import sys

import pytest

sys.path.insert(0, __file__.rpartition("/")[0])
sys.dont_write_bytecode = True

from bash_host import start_kernel  # noqa: E402
from program import ended_kernels  # noqa: E402


@pytest.fixture
def make(tmp_path):
    """Starts kernels."""
    with ended_kernels() as kernels:

        def start(cwd=None, **environment):
            kernels.append(start_kernel(cwd or tmp_path, HOME=str(tmp_path), **environment))
            return kernels[-1]

        yield start


@pytest.fixture
def kernel(make):
    return make()
