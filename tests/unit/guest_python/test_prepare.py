"""prepare(): what a process imports before kernels are forked from it."""

import json
import subprocess
import sys

import pytest
from host import ROOT, fresh_kernel

FRESH = "import sys; sys.path.insert(0, %r); import ci_kernel; " % ROOT


def python(code, cwd, **environment):
    """Runs code; returns what it prints, as JSON."""
    done = subprocess.run(
        [sys.executable, "-c", FRESH + "import json, os; " + code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=str(cwd),
        env={"HOME": str(cwd), "PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1", **environment},
        check=True,
    )
    assert done.stderr == b""
    return json.loads(done.stdout)


def test_the_import_is_cheap(tmp_path):
    loaded = python("print(json.dumps([sorted(sys.modules), len(os.listdir('/proc/self/task'))]))", tmp_path)
    heavy = {"IPython", "numpy", "pandas", "matplotlib", "asyncio", "inspect", "subprocess", "threading", "ctypes"}
    assert not heavy & set(loaded[0])
    assert loaded[1] == 1


def test_bare_imports_nothing(tmp_path):
    report, loaded = python("print(json.dumps([ci_kernel.prepare(None, bare=True), sorted(sys.modules)]))", tmp_path)
    assert report == {"loaded": [], "failed": {}, "ipython": False}
    assert "IPython" not in loaded


def test_ipython_alone(tmp_path):
    pytest.importorskip("IPython")
    code = (
        "r = ci_kernel.prepare(None); threads = len(os.listdir('/proc/self/task')); "
        "print(json.dumps([r, 'IPython' in sys.modules, __name__, threads]))"
    )
    report, is_loaded, name, threads = python(code, tmp_path)
    assert report == {"loaded": [], "failed": {}, "ipython": True}
    assert (is_loaded, name, threads) == (True, "__main__", 1)


def test_nothing_is_written(tmp_path):
    python("ci_kernel.prepare(['json']); print(1)", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_modules_are_reported_one_by_one(tmp_path):
    (tmp_path / "broken.py").write_text("1 / 0")
    (tmp_path / "leaving.py").write_text("import sys; sys.exit(3)")
    (tmp_path / "loud.py").write_text("print('loud', end='')")
    start = "threading.Thread(target=time.sleep, args=(9,), daemon=True).start()"
    (tmp_path / "threads.py").write_text("import threading, time\n" + start)
    report = python(
        "sys.path.insert(0, ''); out = sys.stdout; sys.stdout = sys.stderr = open(os.devnull, 'w'); "
        "r = ci_kernel.prepare(['json.tool', 'broken', 'nowhere', 'leaving', 'loud', 'threads', 'csv']); "
        "print(json.dumps(r), file=out); out.flush(); os._exit(0)",
        tmp_path,
    )
    assert report["loaded"] == ["json.tool", "loud", "csv"]
    assert report["failed"] == {
        "broken": "ZeroDivisionError: division by zero",
        "nowhere": "ModuleNotFoundError: No module named 'nowhere'",
        "leaving": "SystemExit: 3",
        "threads": "it starts threads",
    }


def test_a_kernel_of_a_bare_process_imports_ipython_itself(make):
    pytest.importorskip("IPython")
    kernel = make("bare")
    assert kernel.info["ipython"] is not None
    assert kernel.value("get_ipython() is not None") == "True"
    assert kernel.drain() == (b"", b"")


def test_a_kernel_says_what_it_is(make):
    assert make("plain").info == {
        "python": sys.version.split()[0],
        "implementation": "cpython",
        "ipython": None,
        "preloaded": [],
        "notPreloaded": {},
    }


def test_preloaded_modules_are_there_and_named(make):
    pytest.importorskip("numpy")
    kernel = make("data")
    assert "numpy" in kernel.info["preloaded"] and "ssl" in kernel.info["preloaded"]
    assert kernel.value("import sys\n'numpy' in sys.modules, 'numpy' in globals()") == "(True, False)"


@pytest.mark.parametrize("why", ["None", "0"])
def test_without_a_working_ipython_the_plain_interpreter_serves(tmp_path, why):
    """0: an IPython that is there and does not work."""
    hide = "sys.modules['IPython'] = %s; " % why
    kernel = fresh_kernel(tmp_path, ["-c", FRESH + hide + "ci_kernel.serve(int(sys.argv[1]))", "{fd}"])
    try:
        assert kernel.info["ipython"] is None
        assert kernel.value("[1]") == "[1]"
        assert kernel.run("get_ipython").error == "NameError"
        assert kernel.run("!ls").error == "SyntaxError"
    finally:
        assert kernel.end() == 0
