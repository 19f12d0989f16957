"""stdout and stderr: byte for byte, in order, at once, and restored for the next cell."""

import os
import time

import pytest
from host import EXCEPTION, OK


def test_streams_are_told_apart(kernel):
    result = kernel.run("import sys\nprint('out')\nprint('err', file=sys.stderr)\nprint('end', end='')")
    assert (result.stdout, result.stderr) == (b"out\nend", b"err\n")


def test_nothing_is_printed_at_the_start(kernel):
    time.sleep(0.05)
    assert kernel.drain() == (b"", b"")


def test_children_and_c_code_print_in_order(kernel):
    result = kernel.run(
        "import ctypes, os, subprocess, sys\n"
        "libc = ctypes.CDLL(None)\n"
        "print('a', end='')\n"
        "os.system('printf b')\n"
        "print('c', end='')\n"
        "subprocess.run(['printf', 'd'])\n"
        "libc.printf(b'e')\n"
        "subprocess.run('printf f', shell=True)\n"
        "print('g', end='')\n"
        "if os.fork() == 0:\n"
        "    os.write(1, b'h')\n"
        "    os._exit(0)\n"
        "os.wait()\n"
        "os.posix_spawn('/bin/sh', ['sh', '-c', 'printf i'], {})\n"
        "os.wait()\n"
        "libc.printf(b'j\\n')\n"
        "libc.printf(b'k')"
    )
    assert result.stdout == b"abcdefghij\nk"


GO = "while not os.path.exists('go'): time.sleep(0.01)"


@pytest.mark.parametrize("text", ["ctypes.CDLL(None).printf(b'line\\n')", "print('line')"])
def test_a_whole_line_is_seen_at_once(kernel, tmp_path, text):
    """Or its cell would not end, which waits for what is made when the line is there."""
    kernel.run("import ctypes, os, time")
    result = kernel.run(text + "\n" + GO, answers=[(b"line\n", (tmp_path / "go").touch)])
    assert (result.outcome, result.stdout) == (OK, b"line\n")


def test_any_byte_and_any_text_can_be_written(kernel):
    result = kernel.run(
        "import sys\nsys.stdout.buffer.write(bytes(range(256)))\nsys.stdout.flush()\n"
        "print('ä€\\U0001f600\\ud800', end='\\r\\n')\nprint('\\udcff', file=sys.stderr)"
    )
    assert result.stdout == bytes(range(256)) + "ä€\U0001f600\\ud800\r\n".encode()
    assert result.stderr == b"\\udcff\n"


def test_megabytes_are_all_there(kernel):
    result = kernel.run("for i in range(200_000): print(i, 'x' * 40)")
    assert result.stdout == b"".join(b"%d %s\n" % (i, b"x" * 40) for i in range(200_000))


def test_a_million_prints_take_seconds_at_most(kernel):
    result = kernel.run("import time\nfor i in range(1_000_000): print(i)\nint(time.process_time())")
    assert len(result.stdout) == 6_888_890
    assert int(result.value) < 15


@pytest.mark.parametrize(
    "damage",
    [
        "import os; os.close(1); os.close(2)",
        "import os; os.close(0); os.close(1); os.close(2)",
        "import sys; sys.stdout.close(); sys.stderr.close(); sys.stdin.close()",
        "import sys; sys.stdout = sys.stderr = sys.stdin = None",
        "import sys; sys.__stdout__ = sys.__stderr__ = sys.stdout = None",
        "import sys; del sys.stdout, sys.stderr, sys.stdin",
        "import sys, io; sys.stdout = io.StringIO(); sys.stderr = io.BytesIO()",
        "import sys, io; sys.stdout = io.TextIOWrapper(sys.stdout.detach(), encoding='latin-1')",
        "import sys, io; sys.stdout = io.TextIOWrapper(sys.stdout.buffer, encoding='latin-1')",
        "import sys; sys.stdout.detach(); sys.stderr.detach()",
        "import os; os.dup2(os.open('file', os.O_CREAT | os.O_WRONLY), 1); os.dup2(1, 2)",
        "import os; os.closerange(3, 256)",
        "import os; os.closerange(0, 256)",
        "import os; os.set_blocking(1, False); os.set_blocking(2, False)",
        "import sys\nclass S:\n    def write(self, s): raise ValueError\n    flush = write\n"
        "sys.stdout = sys.stderr = S()",
    ],
)
def test_what_a_cell_does_to_its_streams_ends_with_it(kernel, damage):
    kernel.run(damage)
    result = kernel.run(
        "import os, subprocess, sys\nprint('out')\nprint('err', file=sys.stderr)\n"
        "subprocess.run('echo sub; echo suberr >&2', shell=True)\n"
        "os.write(1, b'x' * 300_000)\n"
        "sys.stdin.read(), sys.stdin.fileno(), sys.stdout.fileno(), sys.stderr.fileno(), sys.stdout is sys.__stdout__"
    )
    assert result.outcome == OK, result.traceback
    assert result.stdout == b"out\nsub\n" + b"x" * 300_000
    assert result.stderr == b"err\nsuberr\n"
    assert result.value == "('', 0, 1, 2, True)"


def test_what_was_printed_before_stdout_was_closed_is_not_lost(kernel):
    assert kernel.run("print('partial', end='')\nimport os\nos.close(1)").stdout == b"partial"
    assert kernel.run("print('next')").stdout == b"next\n"


def test_text_in_a_replaced_stdout_is_flushed(kernel):
    result = kernel.run(
        "import sys, io\nsys.stdout = io.TextIOWrapper(sys.stdout.buffer, encoding='latin-1')\nprint('ä', end='')"
    )
    assert result.stdout == b"\xe4"


def test_redirected_output_goes_where_the_cell_sends_it(kernel, tmp_path):
    result = kernel.run(
        "import contextlib, io, os\nwith contextlib.redirect_stdout(io.StringIO()) as s: print('in')\n"
        "os.dup2(os.open('file', os.O_CREAT | os.O_WRONLY), 1)\nprint('to file')\ns.getvalue()"
    )
    assert (result.value, result.stdout) == ("'in\\n'", b"")
    assert (tmp_path / "file").read_bytes() == b"to file\n"


def test_input_finds_the_end_of_stdin(kernel):
    result = kernel.run("input('name? ')")
    assert (result.outcome, result.error, result.stdout) == (EXCEPTION, "EOFError", b"name? ")


def test_a_thread_that_prints_late_disturbs_nothing(kernel, tmp_path):
    result = kernel.run(
        "import os, threading, time\n"
        "def late():\n    " + GO + "\n    print('late')\n"
        "t = threading.Thread(target=late)\nt.start()\nprint('first')"
    )
    assert result.stdout == b"first\n"  # and nobody has waited for the thread
    (tmp_path / "go").touch()
    kernel.wait_for_output()
    result = kernel.run("t.join()\nprint('second')")
    assert (result.background[0], result.stdout) == (b"late\n", b"second\n")


def test_threads_print_whole_lines_beside_each_other(kernel):
    result = kernel.run(
        "import threading\n"
        "def work(c):\n    for _ in range(300): print(c * 20)\n"
        "ts = [threading.Thread(target=work, args=(c,)) for c in 'abcd']\n"
        "[t.start() for t in ts]; [t.join() for t in ts];"
    )
    assert result.outcome == OK
    assert result.stdout.count(b"a") == 6000 and result.stdout.count(b"\n") == 1200


def test_a_slow_reader_stops_the_kernel_and_loses_nothing(kernel):
    kernel.send("import sys\nsys.stdout.write('y' * 1_000_000)\nNone")
    time.sleep(0.3)
    kind, _ = kernel._message()
    assert len(kernel.drain()[0]) == 1_000_000 and kind == 18
