"""What code does to the interpreter, to processes and to descriptors: the kernel lives on or ends cleanly."""

import os
import signal
import sys

import pytest
from host import EXCEPTION, OK, Lost


@pytest.mark.parametrize(
    "damage",
    [
        "import builtins\nbuiltins.print = None",
        "import builtins\nbuiltins.open = None",
        "import builtins\ndel builtins.len",
        "import builtins\nbuiltins.isinstance = builtins.getattr = builtins.type = None",
        "import builtins\nfor n in dir(builtins): setattr(builtins, n, None) if n != 'setattr' else None",
        "import builtins\nvars(builtins).clear()",
        "import builtins\nbuiltins.__import__ = None",
        "import builtins\nclass E:\n    def __eq__(self, o): raise ValueError\n"
        "builtins.extra = E(); builtins.len = E()",
        "del __builtins__",
        "__builtins__ = None",
        "import sys\nsys.modules.clear()",
        "import sys\nsys.modules = {}",
        "import sys\ndel sys.modules['__main__']",
        "import sys\nsys.path.clear()\nsys.path_importer_cache = None\nsys.meta_path = []",
        "import os\nos.read = os.write = os.getpid = os.close = os.dup2 = os._exit = os.getcwd = None",
        "import os\nos.environ = {}",
        "import time, signal, json, struct, io\n"
        "time.monotonic_ns = signal.signal = json.dumps = struct.pack = io.FileIO = None",
        "import linecache\nlinecache.cache = {}\nlinecache.getline = None",
        "import traceback, linecache\ntraceback.TracebackException = None\nlinecache.getlines = None",
        "import ast\nast.parse = ast.Expr = ast.Module = None",
        "import sys\nsys.settrace(lambda *a: 1 / 0)",
        "import sys\nsys.setprofile(lambda *a: 1 / 0)",
        "import sys\ndef t(*a): return t\nsys.settrace(t)\nsys.setprofile(t)",
        "import sys\nsys.excepthook = sys.displayhook = None",
        "import gc\ngc.disable()\ngc.collect()",
        "import threading\nthreading.current_thread = threading.main_thread = None",
        "globals().clear()",
        "import os\nos.mkdir('gone')\nos.chdir('gone')\nos.rmdir('../gone')",
        "import os\nos.chdir('/proc')",
        "import resource\nresource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))",
        "import resource\nresource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))",
        "import os\nos.environ.clear()",
        "import os\nos.umask(0o777)",
        "import locale\nlocale.setlocale(locale.LC_ALL, 'C')",
        "import os, signal\nos.kill(os.getpid(), signal.SIGINT)",
        "import os\nfor i in range(100): os.open('/dev/null', os.O_RDONLY)",
    ],
)
def test_the_next_cells_run_whatever_one_has_done(kernel, damage):
    kernel.run(damage)
    result = kernel.run("x = [1, len('abc')]\nprint('out')\nx")
    assert (result.outcome, result.value, result.stdout) == (OK, "[1, 3]", b"out\n"), result.traceback
    result = kernel.run("def f():\n    return 1 / 0\nf()")
    assert (result.outcome, result.error) == (EXCEPTION, "ZeroDivisionError")
    assert "<cell 3>" in result.traceback or "traceback" in damage
    assert kernel.value("__name__") == "'__main__'" or damage == "globals().clear()"


@pytest.mark.parametrize("name", ["print", "open", "len", "repr", "isinstance"])
def test_a_value_and_a_traceback_in_the_very_cell_that_broke_a_builtin(kernel, name):
    assert kernel.value("import builtins\ndel builtins.%s\n[1]" % name) == "[1]"
    result = kernel.run("import builtins\ndel builtins.%s\n1 / 0" % name)
    assert result.error == "ZeroDivisionError" and "<cell 2>" in result.traceback


def test_values_and_tracebacks_do_without_a_builtin_that_fails(kernel):
    kernel.run("import builtins\nbuiltins.len = builtins.isinstance = lambda *x: 1 / 0")
    assert kernel.value("[1, 3]") == "[1, 3]"
    result = kernel.run("{}['k']")
    assert (result.error, result.message) == ("KeyError", "'k'") and "<cell 3>" in result.traceback


def test_a_builtin_replaced_by_something_that_works_stays_replaced(kernel):
    kernel.run("import builtins\nold = builtins.print\nbuiltins.print = lambda *a: old('>', *a)")
    assert kernel.run("print(5)").stdout == b"> 5\n"


def test_a_profiler_goes_on_in_the_next_cell(kernel):
    kernel.run("import sys\nseen = set()\nsys.setprofile(lambda f, e, a: seen.add(f.f_code.co_filename))")
    kernel.run("def g(): pass\ng()")
    assert kernel.value("sys.setprofile(None)\n'<cell 2>' in seen") == "True"


def test_every_descriptor_closed_ends_the_process_with_70(kernel):
    with pytest.raises(Lost):
        kernel.run("import os\nos.closerange(0, 65536)")
    assert os.WIFEXITED(kernel.status) and os.WEXITSTATUS(kernel.status) == 70


@pytest.mark.parametrize(
    "text, code",
    [("import os; os._exit(5)", 5), ("import os; os.execv('/bin/sh', ['sh', '-c', 'exit 6'])", 6)],
)
def test_code_that_ends_the_process(kernel, text, code):
    with pytest.raises(Lost):
        kernel.run("print('before')\n" + text)
    assert os.WEXITSTATUS(kernel.status) == code
    assert kernel.drain()[0] == b"before\n"


def test_a_crash(kernel):
    with pytest.raises(Lost):
        kernel.run("import ctypes; ctypes.string_at(0)")
    assert os.WTERMSIG(kernel.status) == signal.SIGSEGV


def test_exec_closes_the_channel_though_the_process_lives(kernel):
    os.kill(kernel.pid, 0)
    kernel.send("import os; os.execv('/bin/sleep', ['sleep', '30'])")
    assert kernel.socket.recv(10) == b""
    os.kill(kernel.pid, signal.SIGKILL)


def test_the_end_of_the_channel_ends_the_process(kernel):
    kernel.run("import threading, time\nthreading.Thread(target=time.sleep, args=(60,)).start()")
    assert kernel.end() == 0


def test_a_child_that_comes_back_from_the_cell_ends_there(kernel):
    result = kernel.run("import os\npid = os.fork()\nprint('one', end='')\npid == 0 or os.waitpid(pid, 0)[1]")
    assert (result.value, sorted(result.stdout)) == ("0", sorted(b"oneone"))
    assert kernel.value("os.getpid() == %d" % kernel.pid) == "True"


@pytest.mark.parametrize(
    "text, code",
    [
        ("raise ValueError('child')", 1),
        ("import sys; sys.exit(4)", 4),
        ("import sys; sys.exit('bye')", 1),
        ("print('fine')", 0),
        ("await __import__('asyncio').sleep(0)", 0),
        ("import os; os.getpid = lambda: %d", 0),
        ("def f(): f()\nf()", 1),
    ],
)
def test_the_status_of_a_child_that_comes_back(kernel, text, code):
    kernel.run("import os\ndef wait(pid): return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])")
    if "%d" in text:
        text %= kernel.pid
    # The child leaves the first cell, by itself; the kernel waits in the second.
    result = kernel.run("pid = os.fork()\nif pid == 0:\n    %s" % text.replace("\n", "\n    "))
    assert result.outcome == OK
    result = kernel.run("wait(pid)")
    assert result.value == str(code)


def test_what_a_child_raises_is_on_stderr(kernel):
    result = kernel.run("import os\npid = os.fork()\nif pid == 0: raise ValueError('child')\nos.waitpid(pid, 0)\n1")
    assert result.outcome == OK
    assert b"ValueError: child" in result.stderr and b"ci_kernel" not in result.stderr


def test_a_child_made_behind_the_interpreters_back_ends_as_well(kernel):
    result = kernel.run("import ctypes, os\npid = ctypes.CDLL(None).fork()\npid and os.waitpid(pid, 0)[1]")
    assert (result.outcome, result.value) == (OK, "0")
    assert kernel.value("7") == "7"


def test_a_child_that_lives_on_does_not_hold_the_channel(kernel):
    text = "import os, time\nchild = os.fork()\nif child == 0:\n    time.sleep(600)\n    os._exit(0)\nchild"
    child = int(kernel.value(text))
    try:
        with pytest.raises(Lost):
            kernel.run("os._exit(3)")
        assert kernel.status_of(child)["State"].split()[0] not in "ZX"
    finally:
        os.kill(child, signal.SIGKILL)


def test_a_thread_may_fork(kernel):
    result = kernel.run(
        "import os, threading\ndef work():\n    pid = os.fork()\n"
        "    if pid == 0:\n        print('child')\n        return\n"
        "    os.waitpid(pid, 0)\nt = threading.Thread(target=work); t.start(); t.join()\n9"
    )
    assert (result.value, result.stdout) == ("9", b"child\n")


def test_multiprocessing_with_fork(kernel):
    result = kernel.run(
        "import multiprocessing as mp\ndef square(x):\n    print('in', x)\n    return x * x\n"
        "with mp.get_context('fork').Pool(2) as pool: r = pool.map(square, range(4))\nr",
    )
    assert (result.value, sorted(result.stdout.split())) == ("[0, 1, 4, 9]", sorted(b"in 0 in 1 in 2 in 3".split()))
    assert kernel.value("1") == "1"


def test_multiprocessing_with_spawn_runs_importable_functions(kernel):
    result = kernel.run(
        "import multiprocessing as mp, math\n"
        "with mp.get_context('spawn').Pool(1) as pool: r = pool.map(math.sqrt, [4, 9])\nr",
    )
    assert (result.value, result.stderr) == ("[2.0, 3.0]", b""), result.traceback


def test_concurrent_futures(kernel):
    result = kernel.run(
        "from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor\ndef f(x): return x + 1\n"
        "import multiprocessing as mp\n"
        "with ProcessPoolExecutor(2, mp_context=mp.get_context('fork')) as p, ThreadPoolExecutor(2) as t:\n"
        "    r = list(p.map(f, range(3))) + list(t.map(f, range(3)))\nr",
    )
    assert result.value == "[1, 2, 3, 1, 2, 3]"


def test_many_cells_leave_descriptors_as_they_were(kernel):
    count = "len(__import__('os').listdir('/proc/self/fd'))"
    kernel.run("import os\n1 / 0")
    before = kernel.value(count)
    for _ in range(100):
        kernel.run("print(1); raise ValueError")
    assert kernel.value(count) == before


def test_memory_of_a_failed_cell_is_released(kernel):
    kernel.run(
        "import weakref\nclass C: pass\nrefs = []\ndef f():\n    c = C()\n    refs.append(weakref.ref(c))\n    1 / 0\n"
    )
    kernel.run("f()")
    assert kernel.value("import gc\ngc.collect()\nrefs[0]() is None") == "True"


def test_the_kernels_own_descriptors_lie_high(kernel):
    result = kernel.value("import os\nsorted(int(f) for f in os.listdir('/proc/self/fd'))[:5]")
    numbers = [int(n) for n in result.strip("[]").split(", ")]
    assert numbers[:3] == [0, 1, 2] and all(n >= 900 or n == 3 for n in numbers[3:])  # 3: the listing itself


@pytest.mark.skipif(sys.version_info < (3, 9), reason="no os.pidfd_open")
def test_a_stopped_kernel_goes_on(kernel):
    kernel.send("import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)\n5")
    kernel.wait_until(lambda: kernel.status_of(kernel.pid)["State"].split()[0] == "T")
    os.kill(kernel.pid, signal.SIGCONT)
    _, fields = kernel._message()
    assert dict(fields)[32] == b"5"
