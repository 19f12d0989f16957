"""An interrupt ends the cell that runs, keeps what it defined, and never hits anything else."""

import random
import time

import pytest
from node_host import EXCEPTION, INTERRUPT, OK, frames


@pytest.mark.parametrize(
    "text",
    [
        "while (true);",
        "for (;;) { try { for (;;); } catch {} }",
        "try { for (;;); } finally { console.log('no') }",
        "await null; for (;;);",
        "await new Promise(r => setTimeout(r, 5)); for (;;);",
        "for (;;) await null",
        "await new Promise(() => {})",
        "await new Promise(r => setTimeout(r, 60000))",
        "setTimeout(() => { for (;;); }, 5); await new Promise(() => {})",
        "const tick = () => process.nextTick(tick); tick(); await new Promise(() => {})",
        "const turn = () => setImmediate(turn); turn(); await new Promise(() => {})",
        "Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)",
        "/(a+)+b/.exec('a'.repeat(50))",
        "[1].map(() => { for (;;); })",
        "for (;;) console.log('x'.repeat(100))",
        "for (;;) display.html('x')",
        "({ [Symbol.for('nodejs.util.inspect.custom')]() { for (;;); } })",
        "require('vm').runInNewContext('for (;;);')",
        "eval('for (;;);')",
        "(function* () { for (;;) yield 1 })().forEach?.(x => x) ?? [...function* () { for (;;) yield; }()]",
        "require('child_process').spawn('sleep', ['60']); await new Promise(() => {})",
    ],
)
def test_code_that_is_interrupted(kernel, text):
    kernel.run("kept = 1")
    result = kernel.run("mine = 2; console.log('at it');" + text, interrupts=[b"at it\n"])
    assert (result.outcome, result.error) == (EXCEPTION, "Interrupted")
    assert b"no" not in result.stdout
    assert kernel.value("kept + mine") == "3"


def test_what_is_awaited_for_ever_may_become_garbage(kernel):
    kernel.run("require('v8').setFlagsFromString('--expose-gc'); collect = require('vm').runInNewContext('gc')")
    text = "kept = 1; setInterval(() => { collect(); console.log('collected') }, 10); await new Promise(() => {})"
    result = kernel.run(text, interrupts=[b"collected\n"])
    assert (result.outcome, result.error) == (EXCEPTION, "Interrupted") and b"collected" in result.stdout
    assert kernel.value("collect(); kept") == "1"


def test_an_interrupt_between_cells_does_nothing(kernel):
    kernel.interrupt()
    assert kernel.value("let s = 0; for (let i = 0; i < 1e6; i++) s += i; s") == "499999500000"


def test_a_timer_of_an_earlier_cell_that_never_ends_is_ended(kernel, tmp_path):
    endless = "if (require('fs').existsSync('go')) { console.log('on'); for (;;); }"
    kernel.run("kept = 1; setInterval(() => { %s }, 1)" % endless)
    (tmp_path / "go").touch()
    kernel.wait_for_output()
    result = kernel.run("2", interrupts=[0.1])
    assert (result.outcome, result.error) == (EXCEPTION, "Interrupted")
    (tmp_path / "go").unlink()
    assert kernel.value("kept") == "1"


def test_interrupts_at_any_moment_never_damage_anything(kernel):
    generator = random.Random(4)
    for i in range(150):
        text = "n = %d; await null; for (let j = 0; j < 3e5; j++) n += 0; n" % i
        result = kernel.run(text, interrupts=[generator.uniform(0, 0.006)])
        assert (result.outcome, result.value) == (OK, str(i)) or result.error == "Interrupted"
        assert kernel.value("[%d]" % i) == "[ %d ]" % i


def test_an_interrupt_while_an_item_waits_for_its_answer(kernel):
    seen = []

    def on_item():
        if not seen:
            kernel.interrupt()
            time.sleep(0.5)
        seen.append(1)

    assert kernel.run("for (;;) display.html('x')", on_item=on_item).error == "Interrupted"


def test_an_interrupt_that_follows_its_request_at_once(kernel):
    for i in range(50):
        kernel.socket.sendall(frames(1, [(1, b"for (;;);")]) + frames(INTERRUPT, []))
        assert dict(kernel._message()[1])[34] == b"Interrupted"
    assert kernel.value("1") == "1"


def test_timers_of_earlier_cells_go_on_after_an_interrupt(kernel):
    kernel.run("const t = setInterval(() => console.log('tick'), 5)")
    assert kernel.run("for (;;);", interrupts=[0.1]).error == "Interrupted"
    kernel.drain()
    kernel.wait_for_output()
    assert kernel.run("clearInterval(t)").background[0].startswith(b"tick\n")
