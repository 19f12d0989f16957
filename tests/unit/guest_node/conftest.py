"""Kernels for the tests."""

import os
import shutil
import sys

import pytest

sys.path.insert(0, __file__.rpartition("/")[0])
sys.dont_write_bytecode = True

from node_host import KERNEL, start_kernel  # noqa: E402
from program import ended_kernels  # noqa: E402


@pytest.fixture
def make(tmp_path):
    """Starts kernels."""
    if shutil.which("node") is None:
        pytest.skip("there is no node")
    with ended_kernels() as kernels:

        def start(*arguments, cwd=None, **environment):
            kernels.append(start_kernel(cwd or tmp_path, *arguments, HOME=str(tmp_path), **environment))
            return kernels[-1]

        yield start


@pytest.fixture
def kernel(make):
    return make()


@pytest.fixture
def typed(make):
    if not os.path.isdir(os.path.join(KERNEL, "node_modules", "typescript")):
        pytest.skip("the package typescript is not installed beside the kernel")
    return make("--typescript")
