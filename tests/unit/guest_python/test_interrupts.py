"""SIGINT ends the cell that runs, keeps what it defined, and never hits anything else."""

import os
import random
import signal
import time

import pytest
from host import EXCEPTION, OK


@pytest.mark.parametrize(
    "text",
    [
        "while True: pass",
        "import time\ntime.sleep(60)",
        "import subprocess\nsubprocess.run(['sleep', '60'])",
        "import asyncio\nawait asyncio.sleep(60)",
        "import asyncio\nasyncio.run(asyncio.sleep(60))",
        "import threading\nthreading.Event().wait()",
        "import threading\nt = threading.Thread(target=lambda: __import__('time').sleep(60))\nt.start()\nt.join()",
        "import os\nr, w = os.pipe()\nos.read(r, 1)",
        "import queue\nqueue.Queue().get()",
        "import itertools\nfor i in itertools.count(): str(i)",
        "def f():\n    try:\n        while True: pass\n    finally:\n        print('cleaned')\nf()",
        "import os\nwhile True: os.write(2, b'e' * 1000)",
        "while True: print('x' * 100)",
        "import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\nwhile True: pass",
        "while True:\n    try: raise ValueError\n    except ValueError: pass",
        "[i for i in iter(int, 1)]",
        "eval(compile('while True: pass', 'x', 'exec'))",
    ],
)
def test_code_that_is_interrupted(kernel, text):
    kernel.run("import asyncio, itertools, queue, threading\nkept = 1")  # so that it is the code that is interrupted
    result = kernel.run("mine = 2\nprint('on')\n" + text, interrupts=[b"on\n"])
    assert (result.outcome, result.error) == (EXCEPTION, "KeyboardInterrupt")
    assert "<cell 2>" in result.traceback
    assert kernel.value("kept, mine") == "(1, 2)"


def test_output_before_an_interrupt_is_kept(kernel):
    text = "import os\nprint('one', end='')\nos.write(1, b'on\\n')\nwhile True: pass"
    assert kernel.run(text, interrupts=[b"on\n"]).stdout == b"on\none"


def test_cleaning_up_is_awaited_after_an_interrupt(kernel):
    kernel.value("import asyncio\nawait asyncio.sleep(0, 1)")
    result = kernel.run(
        "try:\n    print('on')\n    await asyncio.sleep(60)\nfinally:\n    await asyncio.sleep(0.01)\n    print('cleaned')",
        interrupts=[b"on\n"],
    )
    assert (result.error, result.stdout) == ("KeyboardInterrupt", b"on\ncleaned\n")
    assert kernel.value("await asyncio.sleep(0, 3)") == "3"


def test_code_that_will_not_be_cancelled_is_left_to_later_cells(kernel):
    kernel.run("import asyncio\nkept = 1")
    text = "while True:\n    try: print('on'); await asyncio.sleep(600)\n    except asyncio.CancelledError: print('no')"
    result = kernel.run(text, interrupts=[b"on\n"])
    assert (result.error, result.stdout) == ("KeyboardInterrupt", b"on\nno\non\n")
    assert kernel.value("await asyncio.sleep(0, kept)") == "1"


def test_code_may_catch_the_interrupt(kernel):
    text = "import time\ntry: print('on'); time.sleep(60)\nexcept KeyboardInterrupt: print('caught')\n5"
    result = kernel.run(text, interrupts=[b"on\n"])
    assert (result.outcome, result.value, result.stdout) == (OK, "5", b"on\ncaught\n")


def test_a_second_interrupt_ends_code_that_caught_the_first(kernel):
    text = "import time\ntry: print('on'); time.sleep(600)\nexcept KeyboardInterrupt: print('caught'); time.sleep(600)"
    result = kernel.run(text, interrupts=[b"on\n", b"caught\n"])
    assert result.error == "KeyboardInterrupt"


def test_code_may_have_its_own_handler_until_the_cell_ends(kernel):
    text = (
        "import signal, time\ntaken = []\n"
        "signal.signal(signal.SIGINT, lambda *a: taken.append(print('mine')))\n"
        "print('on')\nwhile not taken: time.sleep(0.01)"
    )
    result = kernel.run(text, interrupts=[b"on\n"])
    assert (result.outcome, result.stdout) == (OK, b"on\nmine\n")
    kernel.interrupt()
    assert kernel.value("1") == "1"
    assert kernel.run("while True: pass", interrupts=[0.2]).error == "KeyboardInterrupt"


@pytest.mark.parametrize(
    "text",
    [
        "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)",
        "import signal\nsignal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])",
        "import ctypes\nctypes.CDLL(None).signal(2, 1)",
        "import signal\nsignal.signal = lambda *a: None\nsignal.signal(2, signal.SIG_IGN)",
    ],
)
def test_a_later_cell_can_be_interrupted_whatever_one_did_to_the_signal(kernel, text):
    kernel.run(text)
    assert kernel.run("while True: pass", interrupts=[0.2]).error == "KeyboardInterrupt"


def test_between_cells_interrupts_are_dropped(kernel):
    for i in range(50):
        kernel.interrupt()
        result = kernel.run("%d" % i)
        assert (result.outcome, result.value) == (OK, str(i))


def test_interrupts_at_any_moment_hit_the_running_cell_or_nothing(kernel):
    """Fires at random around the whole life of a cell: the kernel answers each one, and in order."""
    kernel.run("done = 0")
    hit = rounds = 0
    longest_s = 0.0012
    draw = random.Random(1)
    while rounds < 400 or hit <= 20:
        i = rounds = rounds + 1
        kernel.send("for _ in range(20000): pass\ndone = %d\n%d" % (i, i))
        deadline = time.monotonic() + draw.random() * longest_s
        while time.monotonic() < deadline:
            pass
        for _ in range(draw.randrange(1, 4)):
            kernel.interrupt()
        kind, fields = kernel._message()
        fields = dict(fields)
        interrupted = fields[30] == b"\1" + bytes(7)
        hit += interrupted
        longest_s *= 1.05 if interrupted else 0.95  # a cell's life is as long as the machine lets it be
        assert kind == 18
        if interrupted:
            assert fields[34] == b"KeyboardInterrupt"
        else:
            assert fields[32] == str(i).encode()
        result = kernel.run("'after'")
        assert (result.outcome, result.value) == (OK, "'after'")


def test_an_interrupt_right_after_the_request_is_not_lost(kernel):
    """It counts from the moment at which the request lies in the channel, whether or not the kernel has seen it."""
    for i in range(200):
        kernel.send("while True: pass")
        time.sleep(i % 4 / 10_000)
        kernel.interrupt()
        _, fields = kernel._message()
        assert dict(fields)[34] == b"KeyboardInterrupt"
        assert kernel.value("1") == "1"


def test_interrupts_do_not_cut_items_in_two(ipython):
    ipython.run("from IPython.display import display, Image")
    for i in range(60):
        result = ipython.run(
            "while True: display(Image(data=b'x' * 100_000, format='png'))", interrupts=[0.003 + i * 0.001]
        )
        assert result.error == "KeyboardInterrupt"
        assert all(len(data) == 100_000 for _, data, _ in result.items)
        assert ipython.value("1") == "1"


def test_an_interrupt_while_an_item_waits_for_its_answer(ipython):
    ipython.run("from IPython.display import display, Image")
    seen = []

    def on_item():
        if not seen:
            ipython.interrupt()
            ipython.settle()
        seen.append(1)

    result = ipython.run("while True: display(Image(data=b'x', format='png'))", on_item=on_item)
    assert (result.error, len(seen)) == ("KeyboardInterrupt", 1)


def test_an_alarm_that_a_cell_did_not_stop_does_not_go_off_later(kernel):
    kernel.run(
        "import signal\ndef bell(*a): raise TimeoutError('late')\nsignal.signal(signal.SIGALRM, bell)\n"
        "signal.setitimer(signal.ITIMER_REAL, 0.2)"
    )
    time.sleep(0.4)
    assert kernel.value("1") == "1"
    result = kernel.run("signal.setitimer(signal.ITIMER_REAL, 0.1)\nwhile True: pass")
    assert (result.error, result.message) == ("TimeoutError", "late")


def test_handlers_of_other_signals_that_raise_between_cells(kernel):
    kernel.run("import signal\ndef h(*a): raise OSError('between')\nsignal.signal(signal.SIGUSR1, h)")
    for _ in range(20):
        os.kill(kernel.pid, signal.SIGUSR1)
        kernel.settle(signal.SIGUSR1)
        assert kernel.value("5") == "5"


def test_numpy_is_interrupted(kernel):
    pytest.importorskip("numpy")
    kernel.run("import numpy as np\na = np.random.rand(300, 300)")
    assert kernel.run("while True: a @ a", interrupts=[0.3]).error == "KeyboardInterrupt"


UNLUCKY = """
import ctypes, functools, gc, os, signal
class Unlucky:
    '''A poll() that a signal comes just before: no Python runs between them.'''
    def __init__(self, real):
        self.real, self.steps = real, [functools.partial(ctypes.CDLL(None).kill, os.getpid(), signal.SIGINT)]
    def poll(self, timeout):
        steps = [*self.steps, functools.partial(self.real.poll, timeout)]
        self.steps = []
        return list(map(functools.partial.__call__, steps))[-1]
for one in gc.get_objects():
    if type(one).__name__ == "Channel":
        one._poll_idle = Unlucky(one._poll_idle)
"""


def test_an_interrupt_just_before_the_kernel_sleeps_hits_no_later_cell(kernel):
    for i in range(5):
        assert kernel.run(UNLUCKY).outcome == OK
        kernel.settle()
        assert kernel.value("%d" % i) == str(i)


def test_code_that_has_signals_told_is_told_of_those_between_cells(kernel):
    kernel.run(
        "import os, signal\nr, w = os.pipe2(os.O_NONBLOCK)\nsignal.set_wakeup_fd(w)\nsignal.signal(signal.SIGUSR1, print)"
    )
    os.kill(kernel.pid, signal.SIGUSR1)
    kernel.settle(signal.SIGUSR1)
    assert kernel.value("list(os.read(r, 9))") == "[%d]" % signal.SIGUSR1
    assert kernel.value("signal.set_wakeup_fd(-1) == w") == "True"


def test_a_kernel_goes_on_without_the_pipe_that_wakes_it(kernel):
    kernel.run(
        "import os\nfor fd in range(100, 1000):\n    try:\n        if os.readlink(f'/proc/self/fd/{fd}').startswith('pipe'):"
        " os.close(fd)\n    except OSError: pass"
    )
    kernel.interrupt()
    assert kernel.value("1") == "1"
