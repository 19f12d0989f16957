"""Kernels for the tests: `kernel` is one of each front end, `ipython` and `plain` one of that kind."""

import sys
import threading

import pytest

sys.path.insert(0, __file__.rpartition("/")[0])
sys.dont_write_bytecode = True

from host import Forker  # noqa: E402


@pytest.fixture(scope="session")
def forkers():
    made = {}

    def get(mode):
        if mode not in made:
            made[mode] = Forker(mode)
        return made[mode]

    yield get
    for forker in made.values():
        forker.close()


@pytest.fixture(scope="session")
def font_cache(tmp_path_factory):
    """matplotlib's, which in a session comes with the home: each kernel would take seconds to make it anew."""
    return str(tmp_path_factory.mktemp("matplotlib"))


@pytest.fixture
def make(forkers, font_cache, tmp_path):
    """Starts kernels; they are ended with the test, also one that hangs."""
    kernels = []

    def start(mode="plain", cwd=None, **environment):
        if mode == "ipython":
            pytest.importorskip("IPython")
        environment = {"HOME": str(tmp_path), "MPLCONFIGDIR": font_cache, **environment}
        kernel = forkers(mode).kernel(cwd or tmp_path, **environment)
        kernels.append(kernel)
        return kernel

    yield start
    for kernel in kernels:
        if kernel.status is None:
            killer = threading.Timer(5, _kill, [kernel.pid])
            killer.start()
            kernel.end()
            killer.cancel()


def _kill(pid):
    import os

    os.kill(pid, 9)


@pytest.fixture(params=["ipython", "plain"])
def kernel(request, make):
    return make(request.param)


@pytest.fixture
def ipython(make):
    return make("ipython")


@pytest.fixture
def plain(make):
    return make("plain")
