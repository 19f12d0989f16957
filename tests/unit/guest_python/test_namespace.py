"""What code finds around it: `__main__`, sys.path, environment, working folder, randomness."""

import os
import subprocess
import sys

import pytest
from host import EXCEPTION, OK, fresh_kernel


def test_the_namespace_is_main(kernel):
    kernel.run("import sys\nx = 5")
    assert kernel.value("__name__, sys.modules['__main__'].x, sys.modules['__main__'].__dict__ is globals()") == (
        "('__main__', 5, True)"
    )
    assert kernel.value("'__file__' in globals(), __builtins__ is __import__('builtins')") == "(False, True)"


def test_classes_of_a_cell_can_be_pickled(kernel):
    kernel.run("import dataclasses, pickle, typing")
    kernel.run("@dataclasses.dataclass\nclass P:\n    x: 'int' = 1\n    y: typing.ClassVar[int] = 2")
    assert kernel.value("pickle.loads(pickle.dumps(P(3)))") == "P(x=3)"
    assert kernel.value("typing.get_type_hints(P)['x']") in ("int", "<class 'int'>")


def test_the_source_of_functions_is_found(kernel):
    kernel.run("def f(a):\n    # comment\n    return a\n")
    kernel.run("def g(): pass")
    assert kernel.value("import inspect\ninspect.getsource(f)") == repr("def f(a):\n    # comment\n    return a\n")
    assert kernel.value("inspect.getsource(g)") == repr("def g(): pass")


def test_argv_and_path_are_those_of_an_interpreter_started_by_hand(kernel):
    expected = subprocess.run(
        [sys.executable, "-c", "import sys; print(sys.path)"], cwd="/", stdout=subprocess.PIPE, check=True
    ).stdout
    assert kernel.run("import sys\nprint(sys.path)").stdout == expected
    assert kernel.value("sys.argv, sys.flags.interactive") == "([''], 0)"


def test_modules_named_like_the_kernels_own_are_the_users(kernel, tmp_path):
    for name in ("channel", "kernel", "private", "host", "zygote", "figures", "forker"):
        (tmp_path / (name + ".py")).write_text("mine = True")
        assert kernel.value("import %s\n%s.mine" % (name, name)) == "True"


def test_the_environment_of_a_call(kernel):
    kernel.run("import os\nos.environ['OLD'] = 'old'")
    show = "os.environ.get('OLD'), os.environ.get('NEW'), os.popen('echo $OLD $NEW').read()"
    assert kernel.value(show, env=["OLD=changed", "NEW=a=b", "NEW2="]) == "('changed', 'a=b', 'changed a=b\\n')"
    assert kernel.value(show) == "('old', None, 'old\\n')"
    kernel.run("os.environ['NEW'] = 'set by code'; os.environ.pop('OLD'); 1 / 0", env=["OLD=x", "NEW=y"])
    assert kernel.value(show) == "('old', None, 'old\\n')"


def test_the_working_folder_of_a_call(kernel, tmp_path):
    (tmp_path / "in").mkdir()
    kernel.run("import os")
    assert kernel.value("os.getcwd()", cwd="in") == repr(str(tmp_path / "in"))
    assert kernel.value("os.getcwd()", cwd="/") == "'/'"
    assert kernel.value("os.getcwd()") == repr(str(tmp_path))
    kernel.run("os.chdir('/')", cwd="in")
    assert kernel.value("os.getcwd()") == repr(str(tmp_path))
    kernel.run("os.chdir('in')")
    assert kernel.value("os.getcwd()") == repr(str(tmp_path / "in"))
    assert kernel.value("os.getcwd()", cwd="in") == repr(str(tmp_path / "in"))  # relative to the first one
    assert kernel.value("os.getcwd()") == repr(str(tmp_path / "in"))


def test_a_working_folder_that_does_not_exist(kernel):
    result = kernel.run("print('ran')", cwd="missing", env=["A=1"])
    assert (result.outcome, result.error, result.stdout) == (EXCEPTION, "FileNotFoundError", b"")
    assert "missing" in result.message
    assert kernel.value("import os\n'A' in os.environ") == "False"


def test_a_deleted_working_folder_gives_way_to_the_first_one(kernel, tmp_path):
    kernel.run("import os\nos.mkdir('d')\nos.chdir('d')\nos.rmdir('../d')")
    assert kernel.value("os.getcwd()") == repr(str(tmp_path))


def test_modules_in_the_working_folder_are_found_at_once(kernel, tmp_path):
    (tmp_path / "m.py").write_text("def f():\n    return 1 / 0\n")
    result = kernel.run("import m\nm.f()")
    assert "m.py" in result.traceback and "return 1 / 0" in result.traceback


@pytest.mark.parametrize(
    "draw",
    ["random.random()", "numpy.random.rand()", "numpy.random.default_rng().random()", "ssl.RAND_bytes(8)"],
)
def test_kernels_draw_different_numbers(make, forkers, draw):
    module = draw.split(".")[0]
    pytest.importorskip(module)
    draw = "import %s\n%s" % (module, draw)
    assert len({make("data").value(draw) for _ in range(3)}) == 3


def test_kernels_know_nothing_of_each_other(make):
    one, two = make("plain"), make("plain")
    one.run("secret = 1")
    assert two.run("secret").error == "NameError"


def test_a_kernel_in_an_interpreter_of_its_own(tmp_path):
    kernel = fresh_kernel(tmp_path, ["-m", "ci_kernel", "{fd}"])
    try:
        assert kernel.value("1 + 1") == "2"
        assert kernel.run("import sys\nprint(sys.path[0] == '', sys.argv, 'python/' in str(sys.path))").stdout == (
            b"True [''] False\n"
        )
        assert kernel.value("__name__") == "'__main__'"
        assert kernel.drain() == (b"", b"")
    finally:
        assert kernel.end() == 0


@pytest.mark.parametrize("version", ["3.9", "3.10", "3.12", "3.13"])
def test_other_interpreters(tmp_path, version):
    import shutil

    python = _pyenv(version) or shutil.which("python" + version)
    if python is None or subprocess.run([python, "-c", ""], stderr=subprocess.DEVNULL).returncode:
        pytest.skip("no Python %s here" % version)
    kernel = fresh_kernel(tmp_path, ["-m", "ci_kernel", "{fd}"], python=python)
    try:
        assert kernel.info["python"].startswith(version + ".")
        assert kernel.value("import asyncio\nawait asyncio.sleep(0, [1])") == "[1]"
        assert kernel.run("print('a', end='')\nimport os\nos.system('printf b')").stdout == b"ab"
        result = kernel.run("def f():\n    1 / 0\nf()")
        assert "<cell 3>" in result.traceback and "1 / 0" in result.traceback and "ci_kernel" not in result.traceback
        assert kernel.run("x = = 1").error == "SyntaxError" and kernel.run("'\0'").error == "SyntaxError"
        assert kernel.run("while True: pass", interrupts=[0.2]).error == "KeyboardInterrupt"
        assert kernel.run("import os\nos.fork() or os._exit(0)\nos.wait(); 4").outcome == OK
        assert kernel.value("import subprocess\nsubprocess.run(['true']).returncode") == "0"
    finally:
        assert kernel.end() == 0
    assert kernel.status == 0


def _pyenv(version):
    root = os.path.expanduser("~/.pyenv/versions")
    for name in os.listdir(root) if os.path.isdir(root) else ():
        if name.startswith(version + "."):
            return os.path.join(root, name, "bin", "python")
    return None
