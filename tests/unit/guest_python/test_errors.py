"""Exceptions and exits: what the result says of them, and that the kernel lives on."""

import sys

import pytest
from host import EXCEPTION, EXIT, OK


def test_a_traceback_shows_the_lines_of_this_and_earlier_cells(kernel):
    kernel.run("def half(x):\n    y = x / 0  # here\n    return y\n")
    result = kernel.run("print('before')\nz = 1\nhalf(z)  # call")
    assert (result.outcome, result.error, result.message) == (EXCEPTION, "ZeroDivisionError", "division by zero")
    assert (result.stdout, result.stderr, result.value) == (b"before\n", b"", None)
    lines = [line for line in result.traceback.split("\n") if set(line) - set(" ~^")]
    assert lines == [
        "Traceback (most recent call last):",
        '  File "<cell 2>", line 3, in <module>',
        "    half(z)  # call",
        '  File "<cell 1>", line 2, in half',
        "    y = x / 0  # here",
        "ZeroDivisionError: division by zero",
    ]
    assert kernel.value("z") == "1"


def test_a_traceback_goes_through_libraries(kernel):
    result = kernel.run("import json\njson.loads('{')")
    assert '"<cell 1>", line 2' in result.traceback and "json/decoder.py" in result.traceback
    assert result.error == "JSONDecodeError"


@pytest.mark.parametrize(
    "text",
    [
        "await f()",
        "import asyncio\nasyncio.run(f())",
        "eval('g()')",
        "try:\n    1 / 0\nexcept Exception:\n    g()",
        "try:\n    1 / 0\nexcept Exception as e:\n    raise KeyError('k') from e",
    ],
)
def test_a_traceback_shows_nothing_of_the_kernel(kernel, text):
    kernel.run("async def f():\n    raise KeyError('k')\ndef g():\n    raise KeyError('k')\n")
    result = kernel.run(text)
    assert (result.error, result.message) == ("KeyError", "'k'")
    assert "ci_kernel" not in result.traceback and "IPython" not in result.traceback and "\033" not in result.traceback
    assert "<cell 2>" in result.traceback


def test_a_traceback_starts_with_the_cell(kernel):
    kernel.run("async def f():\n    raise KeyError('k')\n")
    assert kernel.run("await f()").traceback.split("\n")[1] == '  File "<cell 2>", line 1, in <module>'


@pytest.mark.parametrize(
    "text, error",
    [
        ("x = = 1", "SyntaxError"),
        ("x = 'ab\n", "SyntaxError"),
        ("if True:\nx = 1", "IndentationError"),
        ("  x = 1\n y = 2", "IndentationError"),
        ("return 5", "SyntaxError"),
        ("x = '\0'", "SyntaxError"),
        (b"x = '\xff'", "SyntaxError"),
        ("print('a'", "SyntaxError"),
        ("(" * 5000, None),
        ("-" * 100_000 + "1", None),
        ("x = 0x" + "f" * 10 + "g", "SyntaxError"),
        ("nonlocal x", "SyntaxError"),
    ],
)
def test_source_that_does_not_compile(kernel, text, error):
    result = kernel.run(text)
    assert result.outcome == EXCEPTION
    assert result.error == error or error is None
    assert "ci_kernel" not in result.traceback and "Traceback" not in result.traceback
    assert (result.stdout, result.stderr) == (b"", b"")
    assert kernel.value("1") == "1"


def test_a_syntax_error_shows_its_place(kernel):
    result = kernel.run("y = 1\nx = = 1")
    assert result.traceback == '  File "<cell 1>", line 2\n    x = = 1\n        ^\nSyntaxError: invalid syntax\n'


def test_a_null_byte_or_bad_utf8_is_located(kernel):
    assert "null byte in line 2" in kernel.run("a = 1\nb = '\0'").message
    assert "not valid UTF-8: byte 0xff in line 2" in kernel.run(b"a = 1\nb = '\xff'").message


def test_a_compile_error_of_the_code_itself_has_its_frames(kernel):
    result = kernel.run("def f():\n    compile('x = =', 'inner', 'exec')\nf()")
    assert result.error == "SyntaxError" and '"<cell 1>", line 2, in f' in result.traceback


def test_deep_recursion(kernel):
    result = kernel.run("def f(n): return f(n + 1)\nx = 3\nf(0)")
    assert result.error == "RecursionError"
    assert len(result.traceback) < 100_000
    result = kernel.run("def a(n): return b(n)\ndef b(n): return a(n)\na(0)")
    assert result.error == "RecursionError"
    assert result.traceback.count("\n") < 450 and "lines left out" in result.traceback
    assert kernel.value("x") == "3"


def test_very_deep_recursion_is_reported_quickly(plain):
    if sys.version_info < (3, 11):
        pytest.skip("Python calls take C stack before 3.11")
    plain.run("import sys, time\nsys.setrecursionlimit(200_000)\ndef f(n): return f(n + 1)\nbefore = time.process_time()")
    assert plain.run("f(0)").error == "RecursionError"
    assert plain.value("time.process_time() - before < 5") == "True"


def test_a_low_recursion_limit_does_not_hurt_the_kernel(kernel):
    kernel.run("import sys\nsys.setrecursionlimit(60)\ndef f(n): return f(n + 1)\nf(0)")
    assert kernel.value("[1, 2]") == "[1, 2]"
    result = kernel.run("import sys\nsys.setrecursionlimit(60)\n1 / 0")
    assert result.error == "ZeroDivisionError"


def test_memory_error(kernel):
    assert kernel.run("x = 1\nraise MemoryError").error == "MemoryError"
    kernel.run("import resource\nresource.setrlimit(resource.RLIMIT_DATA, (3 << 29, 3 << 29))")
    result = kernel.run("b'x' * (1 << 40)")
    assert result.error == "MemoryError"
    result = kernel.run("l = []\nwhile True: l.append(b'x' * (64 << 20))")
    assert result.error == "MemoryError"
    assert kernel.value("len(l) > 5, l.clear(), x") == "(True, None, 1)"


@pytest.mark.parametrize(
    "body, message",
    [
        ("def __str__(self): raise ValueError", "<exception str() failed>"),
        ("def __str__(self): return 5", "<exception str() failed>"),
        ("def __repr__(self): raise ValueError", None),
        ("def __str__(self): return 'a\\ud800b'", "a\\ud800b"),
        ("def __str__(self): return 'x' * 10_000_000", "x" * (256 << 10)),
        ("__cause__ = property(lambda self: 1 / 0)", None),
        ("def __getattribute__(self, name): raise OSError(name)", None),
        ("def __eq__(self, other): raise OSError\n    __hash__ = None", ""),
    ],
)
def test_exceptions_that_are_hard_to_describe(kernel, body, message):
    result = kernel.run("class Odd(Exception):\n    %s\nx = 8\nraise Odd()" % body)
    assert (result.outcome, result.error) == (EXCEPTION, "Odd")
    assert result.message == message or message is None
    assert len(result.traceback.encode()) <= 256 << 10
    assert kernel.value("x") == "8"


def test_an_endless_exception_str_can_be_interrupted(kernel):
    result = kernel.run(
        "class Odd(Exception):\n    def __str__(self):\n        print('on')\n        while True: pass\nraise Odd()",
        interrupts=[b"on\n", b"on\non\n"],
    )
    assert (result.outcome, result.error) == (EXCEPTION, "Odd")


def test_chained_exceptions_and_groups(kernel):
    result = kernel.run("try:\n    1 / 0\nexcept ZeroDivisionError:\n    raise KeyError('k')")
    assert "During handling of the above exception" in result.traceback and "1 / 0" in result.traceback
    if sys.version_info >= (3, 11):
        result = kernel.run("raise ExceptionGroup('several', [ValueError('v'), TypeError('t')])")
        assert result.error == "ExceptionGroup"
        assert "ValueError: v" in result.traceback and "TypeError: t" in result.traceback


def test_a_base_exception_is_an_exception(kernel):
    assert kernel.run("class Mine(BaseException): pass\nraise Mine('m')").error == "Mine"
    assert kernel.run("raise GeneratorExit").error == "GeneratorExit"
    assert kernel.run("raise KeyboardInterrupt").error == "KeyboardInterrupt"
    assert kernel.run("import asyncio\nraise asyncio.CancelledError").error == "CancelledError"


@pytest.mark.parametrize(
    "text, outcome, code, stderr",
    [
        ("import sys; sys.exit()", OK, 0, b""),
        ("import sys; sys.exit(0)", OK, 0, b""),
        ("import sys; sys.exit(3)", EXIT, 3, b""),
        ("import sys; sys.exit(-1)", EXIT, 255, b""),
        ("import sys; sys.exit(True)", EXIT, 1, b""),
        ("import sys; sys.exit('sorry')", EXIT, 1, b"sorry\n"),
        ("exit()", OK, 0, b""),
        ("quit(4)", EXIT, 4, b""),
        ("raise SystemExit", OK, 0, b""),
        ("import asyncio\nasync def f(): exit(5)\nawait f()", EXIT, 5, b""),
    ],
)
def test_exits(kernel, text, outcome, code, stderr):
    kernel.run("kept = 1")
    result = kernel.run("print('printed')\n" + text + "\nkept = 2")
    assert (result.outcome, result.exit_code, result.stderr) == (outcome, code, stderr)
    assert (result.stdout, result.value, result.error) == (b"printed\n", None, None)
    assert kernel.value("kept") == "1"


def test_an_exit_value_whose_str_fails(kernel):
    result = kernel.run("class S:\n    def __str__(self): raise ValueError\nraise SystemExit(S())")
    assert (result.outcome, result.exit_code) == (EXIT, 1)


def test_warnings_name_the_line(kernel):
    result = kernel.run("import warnings\nwarnings.warn('careful')")
    assert result.stderr == b"<cell 1>:2: UserWarning: careful\n  warnings.warn('careful')\n"


def test_a_failed_import_is_found_when_the_module_has_come(kernel, tmp_path):
    assert kernel.run("import late_module").error == "ModuleNotFoundError"
    (tmp_path / "late_module.py").write_text("x = 5")
    assert kernel.value("import late_module\nlate_module.x") == "5"
    for i in range(20):
        (tmp_path / ("quick%d.py" % i)).write_text("x = %d" % i)
        assert kernel.value("import quick%d as q\nq.x" % i) == str(i)
