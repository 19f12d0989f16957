"""What IPython adds: magics, shell commands, display."""

import pytest
from host import EXCEPTION, OK

pytest.importorskip("IPython")


@pytest.mark.parametrize(
    "text, stdout, value",
    [
        ("!echo hi", b"hi\n", None),
        ("x = 5\n!echo {x} $x", b"5 5\n", None),
        ("if True:\n    !printf a\n    print('b')", b"ab\n", None),
        ("a = !printf 'x\\ny'\na", b"", "['x', 'y']"),
        ("print('a', end='')\n!printf b", b"ab", None),
        ("!exit 3\n_exit_code", b"", "3"),
        ("![ -n \"$BASH_VERSION\" ] && echo bash", b"bash\n", None),
        ("!echo out; echo err >&2", b"out\n", None),
        ("!sleep 0 & echo done", b"done\n", None),
        ("%%bash\nfor i in 1 2; do echo $i; done", b"1\n2\n", None),
        ("%%time\nx = 1\nprint('in')", None, None),
        ("%timeit -n1 -r1 pass", None, None),
        ("%%writefile f.txt\nhello", b"Writing f.txt\n", None),
        ("%env", None, None),
        ("len?", None, None),
        ("?len", None, None),
        ("%who", None, None),
        ("%%capture c\nprint('caught')", b"", None),
        ("%xmode Plain", None, None),
        ("%lsmagic", None, None),
        (">>> x = 3\n>>> x", b"", "3"),
        ("    x = 4\n    x", b"", "4"),
        ("%%html\n<b>x</b>", b"", None),
        ("%reset -f", b"", None),
        ("y = 3 %2\ny", b"", "1"),
        ("z = (7\n%4)\nz", b"", "3"),
        ("'''\n!not a command\n'''", b"", "'\\n!not a command\\n'"),
        ("%load_ext autoreload\n%autoreload 2", b"", None),
        ("%config Completer.use_jedi = False", b"", None),
        ("%matplotlib agg", None, None),
    ],
)
def test_what_is_not_quite_python(ipython, text, stdout, value):
    result = ipython.run(text)
    assert result.outcome == OK, result.traceback
    assert stdout is None or result.stdout == stdout
    assert value is None or result.value == value
    assert b"\033" not in result.stdout + result.stderr
    assert (result.stderr == b"err\n") == ("err" in text)
    assert ipython.value("1 + 1") == "2"


def test_a_magic_is_run_once_and_its_value_is_the_cells(ipython, tmp_path):
    assert ipython.value("%pwd") == repr(str(tmp_path))
    assert ipython.value("pwd") == repr(str(tmp_path))
    assert ipython.run("ls -a").stdout.split() == [b"./", b"../"]
    assert ipython.value("pwd = 7\npwd") == "7"
    assert ipython.value("pwd") == "7"


def test_errors_of_magics(ipython):
    assert ipython.run("%nosuch").error == "UsageError"
    assert ipython.run("%%nosuch\nx").error == "UsageError"
    result = ipython.run("%run nosuch.py")
    assert result.outcome == EXCEPTION
    result = ipython.run("%%bash\nexit 3")
    assert result.error == "CalledProcessError"


def test_code_that_fails_in_a_magic_fails_the_cell(ipython, tmp_path):
    result = ipython.run("%%time\ndef f():\n    1 / 0\nf()")
    assert (result.outcome, result.error, result.stderr) == (EXCEPTION, "ZeroDivisionError", b"")
    assert "in f" in result.traceback and "IPython" not in result.traceback and "\033" not in result.traceback
    (tmp_path / "s.py").write_text("import sys\ndef g():\n    {}['k']\ng()")
    result = ipython.run("%run s.py\nprint('next')")
    assert (result.error, result.stdout) == ("KeyError", b"next\n") and "s.py" in result.traceback
    (tmp_path / "e.py").write_text("import sys\nsys.exit(4)")
    assert ipython.run("%run e.py").exit_code == 4
    assert ipython.run("%run s.py\n[][1]").error == "IndexError"
    assert ipython.value("2") == "2"
    assert ipython.run("%timeit -n1 -r1 1 / 0").error == "ZeroDivisionError"
    assert ipython.run("%%time\nwhile True: pass", interrupts=[0.3]).error == "KeyboardInterrupt"
    assert ipython.value("1") == "1"


def test_output_of_commands_streams(ipython, tmp_path):
    go = tmp_path / "go"
    result = ipython.run("!echo now; until [ -e go ]; do sleep 0.01; done", answers=[(b"now\n", go.touch)])
    assert result.outcome == OK


def test_a_command_is_interrupted(ipython):
    result = ipython.run("!echo on; sleep 600", interrupts=[b"on\n"])
    assert result.error == "KeyboardInterrupt" and "<cell 1>" in result.traceback
    assert "IPython" not in result.traceback


def test_run_executes_a_file_in_the_namespace(ipython, tmp_path):
    (tmp_path / "s.py").write_text("made = 5\nprint('ran', __name__)")
    assert ipython.run("%run s.py").stdout == b"ran __main__\n"
    assert ipython.value("made") == "5"
    assert ipython.value("__name__") == "'__main__'"


def test_display_sends_all_rich_forms(ipython):
    result = ipython.run(
        "from IPython.display import *\nprint('a')\ndisplay(HTML('<b>'), Markdown('*m*'), Latex('$l$'), SVG('<svg/>'), "
        "JSON({'k': 1}), Image(data=b'png!', format='png'), Image(data=b'jpg!', format='jpeg'))\nprint('b')"
    )
    assert result.outcome == OK, result.traceback
    assert result.items == [
        ("text/html", b"<b>", 2),
        ("text/markdown", b"*m*", 2),
        ("text/latex", b"$l$", 2),
        ("image/svg+xml", b"<svg/>", 2),
        ("application/json", b'{"k": 1}', 2),
        ("image/png", b"png!", 2),
        ("image/jpeg", b"jpg!", 2),
    ]
    assert result.stdout == b"a\nb\n"


def test_display_prints_what_has_only_text(ipython):
    result = ipython.run("display(5, 'x', [1])\nfrom IPython.display import clear_output\nclear_output()")
    assert (result.stdout, result.items) == (b"5\n'x'\n[1]\n", [])


def test_publish_display_data(ipython):
    result = ipython.run(
        "from IPython.display import publish_display_data\n"
        "publish_display_data({'image/png': 'aGk=', 'text/plain': 'hi'})"
    )
    assert result.items == [("image/png", b"hi", 0)]


def test_display_from_a_thread(ipython):
    result = ipython.run(
        "import threading\nfrom IPython.display import HTML\ngo = threading.Event()\n"
        "def late():\n    go.wait()\n    display(HTML('late'))\n"
        "ts = [threading.Thread(target=lambda: [display(HTML('x' * 5000)) for _ in range(5)]) for _ in range(4)]\n"
        "[t.start() for t in ts]; [t.join() for t in ts]\nt = threading.Thread(target=late); t.start()"
    )
    assert [data for _, data, _ in result.items] == [b"x" * 5000] * 20
    result = ipython.run("go.set()\nt.join()")
    assert result.outcome == OK and len(result.items) <= 1
    assert ipython.run("1").items == []


def test_capture_takes_items_too(ipython):
    result = ipython.run("%%capture c\nfrom IPython.display import HTML\ndisplay(HTML('x'))\nprint('y')")
    assert (result.items, result.stdout) == ([], b"")
    assert ipython.value("c.stdout, len(c.outputs)") == r"('y\n', 1)"


def test_registered_formatters_are_heeded(ipython):
    ipython.run(
        "class A: pass\nf = get_ipython().display_formatter.formatters\n"
        "f['text/html'].for_type(A, lambda a: '<a>')\nf['text/plain'].for_type(A, lambda a, p, c: p.text('an A'))\n"
        "f['text/html'].for_type(int, lambda i: '<i>')\n1;"
    )
    result = ipython.run("A()")
    assert (result.value, result.items) == ("an A", [("text/html", b"<a>", 0)])
    assert ipython.run("5").items == [("text/html", b"<i>", 0)]


def test_ast_transformers_and_events_work(ipython):
    ipython.run(
        "import ast\nclass T(ast.NodeTransformer):\n    def visit_Constant(self, n):\n"
        "        return ast.copy_location(ast.Constant(n.value + 1), n) if type(n.value) is int else n\n"
        "get_ipython().events.register('post_run_cell', lambda r: print('ran'))\n"
        "get_ipython().ast_transformers.append(T())"
    )
    result = ipython.run("1")
    assert (result.value, result.stdout) == ("2", b"ran\n")


def test_history_is_in_memory(ipython, tmp_path):
    ipython.run("x = 1")
    assert ipython.value("In[1], In[-1]") == '(\'x = 1\', \'In[1], In[-1]\')'
    assert ipython.run("%history").stdout.startswith(b"x = 1\n")
    assert list(tmp_path.iterdir()) == []


def test_pip_is_the_sessions_interpreter(ipython):
    result = ipython.run("%pip --version")
    assert result.outcome == OK


def test_a_formatter_that_raises_shows_no_internals(ipython):
    result = ipython.run("class R:\n    def _repr_html_(self): raise ValueError('html!')\ndisplay(R())")
    assert result.outcome == OK
    assert b"ValueError: html!" in result.stderr and b"IPython" not in result.stderr and b"\033" not in result.stderr


def test_get_ipython_is_everywhere(ipython, tmp_path):
    (tmp_path / "m.py").write_text("def f(): return get_ipython()")
    assert ipython.value("import m\nm.f() is get_ipython()") == "True"
    assert ipython.value("from IPython import get_ipython as g\ng() is get_ipython()") == "True"
