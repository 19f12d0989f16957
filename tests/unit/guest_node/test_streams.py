"""Output: byte for byte, in order, whatever code does to its streams."""

import pytest
from node_host import OK


def test_streams_are_apart_and_complete(kernel):
    result = kernel.run("console.log('out', 1); console.error('err'); process.stdout.write('no newline')")
    assert (result.stdout, result.stderr) == (b"out 1\nno newline", b"err\n")


def test_bytes_are_written_as_they_are(kernel):
    result = kernel.run("process.stdout.write(Buffer.from([0, 255, 10, 128])); require('fs').writeSync(1, 'é'); 0")
    assert result.stdout == b"\x00\xff\n\x80\xc3\xa9"


def test_order_holds_with_children(kernel):
    text = (
        "const { execSync } = require('child_process'); for (let i = 0; i < 5; i++) {"
        " console.log('a' + i); execSync('echo b' + i, { stdio: 'inherit' }) }"
    )
    assert kernel.run(text).stdout == b"".join(b"a%d\nb%d\n" % (i, i) for i in range(5))


def test_much_output(kernel):
    result = kernel.run("for (let i = 0; i < 100000; i++) console.log('line ' + i); 'done'")
    assert result.value == "'done'" and result.stdout.endswith(b"line 99999\n")
    assert len(result.stdout.splitlines()) == 100000
    result = kernel.run("process.stdout.write('x'.repeat(50e6)); 0")
    assert len(result.stdout) == 50_000_000


def test_output_of_timers_after_a_cell_is_background(kernel, tmp_path):
    late = "if (require('fs').existsSync('go')) { clearInterval(timer); console.log('late') }"
    assert kernel.run("const timer = setInterval(() => { %s }, 5); console.log('now')" % late).stdout == b"now\n"
    (tmp_path / "go").touch()
    kernel.wait_for_output()
    assert kernel.run("console.log('next')").stdout == b"next\n"
    assert kernel._result.background == (b"late\n", b"")


def test_a_child_goes_on_after_its_cell(kernel, tmp_path):
    child = "until [ -e go ]; do sleep 0.01; done; echo child"
    text = "const c = require('child_process').spawn('sh', ['-c', '%s'], { stdio: 'inherit' })\nc.pid > 0" % child
    assert kernel.value(text) == "true"
    (tmp_path / "go").touch()
    kernel.wait_for_output()
    assert kernel.run("c.exitCode").background == (b"child\n", b"")


@pytest.mark.parametrize(
    "damage",
    [
        "delete globalThis.console",
        "console = null",
        "process.stdout.write = () => { throw new Error('no') }",
        "process.stdout.end()",
        "process.stdout.destroy(); process.stderr.destroy()",
        "process.stdout.emit = null",
        "process.stdout = null",
        "Object.defineProperty(process, 'stdout', { get() { throw 1 }, configurable: true })",
        "require('fs').closeSync(1)",
        "require('fs').closeSync(2); require('fs').closeSync(1); require('fs').openSync('/dev/null')",
        "JSON.stringify = JSON.parse = null",
        "globalThis.JSON = globalThis.Promise = globalThis.Map = globalThis.Uint8Array = globalThis.Error = null",
        "Array.prototype.map = Array.prototype.join = Array.prototype.filter = null",
        "Array.prototype[Symbol.iterator] = Object.entries = Object.keys = null",
        "String.prototype.split = String.prototype.slice = RegExp.prototype.exec = RegExp.prototype.test = null",
        "Promise.prototype.then = () => { throw 1 }",
        "Map.prototype.get = Map.prototype.set = Set.prototype.add = null",
        "Object.defineProperty(Object.prototype, 'result', { get() { throw 1 }, set() { throw 2 } })",
        "process.removeAllListeners(); process.exit = process.hrtime = process.cwd = null",
        "require('fs').writeSync = require('fs').fstatSync = null",
        "require('util').inspect = null",
        "globalThis.setImmediate = setTimeout = queueMicrotask = null",
        "Error.prepareStackTrace = () => { throw 1 }",
        "Error.stackTraceLimit = 0",
        "process.on('uncaughtException', () => {}); process.setUncaughtExceptionCaptureCallback(null)",
        "require('worker_threads').MessagePort.prototype.postMessage = null",
        "process.chdir('/proc')",
        "process.umask(0o777)",
        "for (const name of Object.getOwnPropertyNames(globalThis)) try { delete globalThis[name] } catch {}",
    ],
)
def test_the_next_cells_run_whatever_one_has_done(kernel, damage):
    kernel.run(damage)
    result = kernel.run("let x = [1, 'abc'.length]\nconsole.log('out')\nx")
    assert (result.outcome, result.value, result.stdout) == (OK, "[ 1, 3 ]", b"out\n"), result.traceback
    result = kernel.run("null.x")
    assert "Cannot read properties of null" in result.message
    assert "<cell 3>" in result.traceback or "Error." in damage
