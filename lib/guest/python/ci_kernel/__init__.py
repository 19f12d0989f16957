"""The Python kernel of a session. See ../README.md.

    prepare()    in a process that kernels will be forked from: imports what they shall find imported
    make_room()  in a session's first process: where it can install packages
    serve()      in the kernel's own process: runs cells until the channel is closed

`python -m ci_kernel FD` is a kernel without such a fork.
"""

from .private import BUILTINS as __builtins__  # noqa: F401

import gc
import importlib
import os
import sys
from typing import Any, Dict, List, NoReturn, Optional

from .channel import MEMORY_LOST
from .kernel import Kernel
from .packages import Packages, make_room
from .prepared import Prepared
from .private import ROOT

__all__ = ["make_room", "prepare", "serve"]


_prepared = Prepared()


def prepare(preload: Optional[List[str]], bare: bool = False) -> Dict[str, Any]:
    """Makes a process ready to be forked into kernels: IPython, then the modules of the list. bare: neither, so that
    kernels import IPython themselves. Returns {"loaded": [...], "failed": {module: why}, "ipython": bool}, of which
    kernels tell what "failed" holds when they are forked. A module that leaves threads behind counts as failed, and the
    process is then no good for forking."""
    failed = _prepared.failed
    if not bare:
        _prepared.make_front_end()
        for name in preload or []:
            why = _load(name)
            if why is None:
                _prepared.loaded.append(name)
            else:
                failed[name] = why
        _prepared.finish()
    for stream in (sys.stdout, sys.stderr):  # or every kernel would print what is in the buffer
        if stream is not None:
            stream.flush()
    gc.collect()
    gc.freeze()
    ipython = _prepared.front_end is not None and _prepared.front_end.version is not None
    return {"loaded": list(_prepared.loaded), "failed": failed, "ipython": ipython}


def serve(channel_fd: int) -> NoReturn:
    """Is a kernel, and never returns. Descriptors 0, 1 and 2, environment and working folder are the session's."""
    try:
        packages = Packages(_prepared.since, _prepared.watcher.imported)
        if packages.is_stale():
            _begin_anew(channel_fd)
        _reseed()
        _make_natural()
        if _prepared.front_end is None:
            _prepared.make_front_end()
            _prepared.finish()
        Kernel(channel_fd, _prepared, packages).serve()
    except MemoryError:  # not even one could be made
        os._exit(MEMORY_LOST)
    os._exit(0)


def _begin_anew(channel_fd: int) -> NoReturn:
    """A kernel in an interpreter that has imported nothing yet: what it was forked with has been replaced meanwhile."""
    os.set_inheritable(channel_fd, True)
    program = "import sys; sys.path[0] = %r; import ci_kernel; ci_kernel.serve(%d)" % (ROOT, channel_fd)
    os.execv(sys.executable, [sys.executable, "-c", program])


def _load(name: str) -> Optional[str]:
    """Imports a module. Returns why that failed."""
    before = _thread_count()
    try:
        importlib.import_module(name)
    except BaseException as error:
        return " ".join(("%s: %s" % (type(error).__name__, error)).split())[:300]
    return "it starts threads" if _thread_count() > max(before, 1) else None


def _thread_count() -> int:
    return len(os.listdir("/proc/self/task"))


def _reseed() -> None:
    """Forks of one process must not draw the same numbers."""
    if "random" in sys.modules:
        sys.modules["random"].seed()
    if "numpy.random" in sys.modules:
        sys.modules["numpy.random"].seed()
    # OpenSSL notices a fork by itself since 1.1.1, and to ask it for anything here costs milliseconds.
    if "ssl" in sys.modules and sys.modules["ssl"].OPENSSL_VERSION_INFO < (1, 1, 1):
        sys.modules["ssl"].RAND_add(os.urandom(32), 32.0)


def _make_natural() -> None:
    """sys.path and sys.argv as an interpreter has them that was started by hand, without a script."""
    sys.argv[:] = [""]
    sys.path[:] = ["", *(entry for entry in sys.path if entry not in ("", ROOT))]
