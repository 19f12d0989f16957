"""The languages of a session, as a table: how each says what test_languages.py wants said. A new language is a new row.

Phrases are code; those that take something are functions of it. What a language lacks is None, and the tests of that
are not made for it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from shlex import quote
from typing import Optional

from conftest import BUILD
from libci import Outcome

FLOOD = 50_000_000  # bytes that `flood` prints in lines of 64 KiB, after "head\n" and before "tail\n"
_LINE = 65536
_ROUNDS = (FLOOD - 10) // _LINE
_REST = FLOOD - 10 - _ROUNDS * _LINE

#: Waits for the file `go`, says so, and makes the file `done`: a program that outlives the cell that starts it.
LATE = "until [ -e go ]; do sleep 0.02; done; echo late; touch done"


@dataclass(frozen=True)
class Failure:
    """How a cell that fails ends: code, and what its result says. `place` is in the traceback or, where there is none, in
    what the cell printed to standard error."""

    code: str
    name: str
    message: str
    place: str
    outcome: Outcome = Outcome.EXCEPTION
    exit_code: int = 1


@dataclass(frozen=True)
class Language:
    name: str
    missing: Optional[str]  # why it cannot be tested here
    slow_start: bool  # a kernel takes more than a second to begin with
    suffixes: tuple[str, ...]  # of files that ci-run takes for it
    interpreter: str  # a command that starts what else would run such code, and ends
    # Names and values.
    define: Callable[[str, int], str]  # a name at the top level
    show: Callable[[str], str]  # prints what the name stands for
    again: tuple[tuple[str, str, str], ...]  # declares the name `again`; code that uses it; what that prints
    function: tuple[str, str]  # defines a function; prints what it makes of 21, which is 42
    value: Optional[tuple[str, str]]  # a cell with a value, and its text
    text_value: Optional[Callable[[str], tuple[str, str]]]  # the same, of a text of letters
    no_value: tuple[str, ...]  # cells without one
    unicode: str  # names and texts of all planes, prints "héllo ☃ 𝄞"
    awaited: Optional[str]  # waits for something at the top level, prints "awaited"
    comment: str
    # Output.
    say: Callable[[str], str]  # a text of letters and a newline to standard output
    begin_line: Callable[[str], str]  # the same without the newline
    complain: Callable[[str], str]  # a text and a newline to standard error
    all_bytes: str  # 0 to 255 to standard output, 255 to 0 to standard error, no newline
    flood: str
    close_output: tuple[str, ...]  # standard output and error are gone, or lead elsewhere
    item: Optional[str]  # shows "<b>" as text/html
    # Failures.
    failures: tuple[Failure, ...]  # of code that ran; the third line is to blame
    syntax: Failure  # of a text whose second line is wrong, and whose first would print "ran"
    exit: Callable[[int], str]
    exit_in_function: Callable[[int], str]
    die: Callable[[int], str]  # the kernel kills itself by a signal
    deadly: tuple[int, ...]  # signals that it does not survive
    exhaust: str  # takes memory without end
    no_memory: tuple[str, ...]  # names of errors that say there is none left
    # Time.
    loop: str
    sleep: str  # minutes, within the kernel
    stubborn: str  # goes on whatever interrupts it
    wait_for: Callable[[str], str]  # until a file is there
    late: str  # as LATE, by the kernel's own means after the cell's end
    # Processes, files, surroundings.
    child: Callable[[str], str]  # runs a shell command to its end, with the cell's streams
    start: Callable[[str], str]  # starts one and does not wait
    pid: str  # prints the kernel's
    write: Callable[[str, str], str]  # a file with a text
    read: Callable[[str], str]  # prints the text of a file
    environment: Callable[[str], str]  # prints a variable's value, or "unset"
    folder: str  # prints the working folder
    enter: Callable[[str], str]  # changes it
    stdin: str  # prints how many bytes standard input has


_PYTHON = Language(
    name="python",
    missing=None,
    slow_start=False,
    suffixes=(".py",),
    interpreter="python3 -c pass",
    define=lambda name, number: f"{name} = {number}",
    show=lambda name: f"print({name})",
    again=(
        ("again = 1", "print(again)", "1"),
        ("def again(): return 2", "print(again())", "2"),
        ("class again: number = 3", "print(again.number)", "3"),
        ("import math as again", "print(again.floor(4.5))", "4"),
    ),
    function=("def double(number):\n    return 2 * number", "print(double(21))"),
    value=("1 + 1\n[1, 'a'] * 2", "[1, 'a', 1, 'a']"),
    text_value=lambda text: (json.dumps(text, ensure_ascii=False), f"'{text}'"),
    no_value=("number = 5", "None", "print(end='')", "1;"),
    unicode="größe = 'héllo ☃ 𝄞'\nprint(größe)",
    awaited="import asyncio\nprint(await asyncio.sleep(0.01, 'awaited'))",
    comment="# nothing",
    say=lambda text: f"print({text!r})",
    begin_line=lambda text: f"print({text!r}, end='')",
    complain=lambda text: f"import sys\nprint({text!r}, file=sys.stderr)",
    all_bytes="import sys\nsys.stdout.buffer.write(bytes(range(256)))\n"
    "sys.stderr.buffer.write(bytes(range(255, -1, -1)));",
    flood=f"import sys\nprint('head')\nfor i in range({_ROUNDS}):\n    sys.stdout.write('x' * {_LINE - 1} + '\\n')\n"
    f"print('x' * {_REST}, end='')\nprint('tail')",
    close_output=(
        "import os; os.close(1); os.close(2)",
        "import sys; sys.stdout.close(); sys.stderr.close()",
        "import sys; sys.stdout = sys.stderr = open('/dev/null', 'w')",
        "import os; os.dup2(os.open('/dev/null', os.O_WRONLY), 1);",
    ),
    item="display({'text/html': '<b>'}, raw=True)",
    failures=(
        Failure("\n\nraise LookupError('went wrong')", "LookupError", "went wrong", "line 3"),
        Failure("\n\n1 / 0", "ZeroDivisionError", "division by zero", "line 3"),
        Failure("def f():\n\n    f()\nf()", "RecursionError", "maximum recursion depth exceeded", "line 3"),
    ),
    syntax=Failure("print('ran')\nx = = 1", "SyntaxError", "invalid syntax", "line 2"),
    exit=lambda status: f"import sys; sys.exit({status})",
    exit_in_function=lambda status: f"def leave():\n    raise SystemExit({status})\nleave()",
    die=lambda signal: f"import os; os.kill(os.getpid(), {signal})",
    deadly=(9, 11),
    exhaust="taken = []\nwhile True: taken.append(bytearray(16 << 20))",
    no_memory=("MemoryError",),
    loop="while True: pass",
    sleep="import time; time.sleep(600)",
    stubborn="import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\nprint('on', flush=True)\nwhile True: pass",
    wait_for=lambda path: f"import os, time\nwhile not os.path.exists({path!r}): time.sleep(0.01)",
    late="import os, threading, time\ndef late():\n    while not os.path.exists('go'): time.sleep(0.02)\n"
    "    print('late', flush=True)\n    open('done', 'w').close()\nthreading.Thread(target=late).start()",
    child=lambda command: f"import subprocess; subprocess.run({command!r}, shell=True);",
    start=lambda command: f"import subprocess; subprocess.Popen({command!r}, shell=True);",
    pid="import os; print(os.getpid())",
    write=lambda path, text: f"with open({path!r}, 'w') as file: file.write({text!r});",
    read=lambda path: f"print(open({path!r}).read(), end='')",
    environment=lambda name: f"import os; print(os.environ.get({name!r}, 'unset'))",
    folder="import os; print(os.getcwd())",
    enter=lambda path: f"import os; os.chdir({path!r})",
    stdin="import sys; print(len(sys.stdin.read()))",
)


def _js(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


_NODE_MISSING = None if shutil.which("node", path="/usr/local/bin:/usr/bin:/bin") else "no node"

_JAVASCRIPT = Language(
    name="javascript",
    missing=_NODE_MISSING,
    slow_start=False,
    suffixes=(".js", ".mjs"),
    interpreter="node -e 0",
    define=lambda name, number: f"const {name} = {number}",
    show=lambda name: f"console.log({name})",
    again=(
        ("const again = 1", "console.log(again)", "1"),
        ("let again = 2", "console.log(again)", "2"),
        ("function again() { return 3 }", "console.log(again())", "3"),
        ("class again { static number = 4 }", "console.log(again.number)", "4"),
        ("const { again } = { again: 5 }", "console.log(again)", "5"),
        ("import again from 'path'", "console.log(again.sep)", "/"),
    ),
    function=("function double(number) {\n    return 2 * number\n}", "console.log(double(21))"),
    value=("1 + 1\n;[1, 'a'].concat([2])", "[ 1, 'a', 2 ]"),
    text_value=lambda text: (_js(text), f"'{text}'"),
    no_value=("const number = 5", "undefined", "if (false) 1"),
    unicode="const größe = 'héllo ☃ 𝄞'\nconsole.log(größe)",
    awaited="console.log(await new Promise(done => setTimeout(done, 10, 'awaited')))",
    comment="// nothing",
    say=lambda text: f"console.log({_js(text)})",
    begin_line=lambda text: f"process.stdout.write({_js(text)})",
    complain=lambda text: f"console.error({_js(text)})",
    all_bytes="process.stdout.write(Buffer.from(Array.from({ length: 256 }, (_, i) => i)))\n"
    "process.stderr.write(Buffer.from(Array.from({ length: 256 }, (_, i) => 255 - i)))",
    flood=f"console.log('head')\nfor (let i = 0; i < {_ROUNDS}; i++) console.log('x'.repeat({_LINE - 1}))\n"
    f"process.stdout.write('x'.repeat({_REST}))\nconsole.log('tail')",
    close_output=(
        "require('fs').closeSync(1); require('fs').closeSync(2)",
        "process.stdout.end(); process.stderr.destroy()",
        "console.log = console.error = () => {}",
        "process.stdout.write = process.stderr.write = () => true",
        "process.stdout._write = () => {}; process.stdout.write('in the middle of it')",
        "process.stdout.cork()",
    ),
    item="display.html('<b>')",
    failures=(
        Failure("\n\nthrow new RangeError('went wrong')", "RangeError", "went wrong", "<cell N>:3:"),
        Failure("\n\nawait Promise.reject(new TypeError('late'))", "TypeError", "late", "<cell N>:3:"),
        Failure(
            "function f() {\n\n    f()\n}\nf()", "RangeError", "Maximum call stack size exceeded", "<cell N>:3:"
        ),
    ),
    syntax=Failure("console.log('ran')\nconst x = = 1", "SyntaxError", "Unexpected token '='", "<cell N>:2:11\n"),
    exit=lambda status: f"process.exit({status})",
    exit_in_function=lambda status: f"function leave() {{\n    process.exit({status})\n}}\nleave()",
    die=lambda signal: f"process.kill(process.pid, {signal})",
    deadly=(9, 11),
    exhaust="let taken = [Buffer.alloc(0)]\nfor (;;) taken.push(Buffer.alloc(16 << 20, 1))",
    no_memory=("RangeError",),
    loop="for (;;);",
    sleep="await new Promise(done => setTimeout(done, 600000))",
    stubborn="require('child_process').execSync(\"trap '' INT; echo on; while :; do sleep 1; done\","
    " { stdio: 'inherit' })",
    wait_for=lambda path: f"while (!require('fs').existsSync({_js(path)}))"
    " await new Promise(done => setTimeout(done, 10))",
    late="const timer = setInterval(() => {\n    const fs = require('fs')\n    if (!fs.existsSync('go')) return\n"
    "    clearInterval(timer)\n    console.log('late')\n    fs.writeFileSync('done', '')\n}, 20)",
    child=lambda command: f"require('child_process').execSync({_js(command)}, {{ stdio: 'inherit' }})",
    start=lambda command: f"require('child_process').spawn({_js(command)}, {{ shell: true, stdio: 'inherit' }}).pid",
    pid="console.log(process.pid)",
    write=lambda path, text: f"require('fs').writeFileSync({_js(path)}, {_js(text)})",
    read=lambda path: f"process.stdout.write(require('fs').readFileSync({_js(path)}, 'utf8'))",
    environment=lambda name: f"console.log(process.env[{_js(name)}] ?? 'unset')",
    folder="console.log(process.cwd())",
    enter=lambda path: f"process.chdir({_js(path)})",
    stdin="console.log(require('fs').readFileSync(0).length)",
)

_TYPESCRIPT = replace(
    _JAVASCRIPT,
    name="typescript",
    missing=_NODE_MISSING
    or (None if (BUILD / "libexec/libci/guest/node/typescript.stamp").exists() else "built without TypeScript"),
    slow_start=True,
    suffixes=(".ts",),
    function=("function double(number: number): number {\n    return 2 * number\n}", "console.log(double(21))"),
    value=("1 + 1\nconst list: (number | string)[] = [1, 'a']\nlist.concat([2])", "[ 1, 'a', 2 ]"),
    unicode="const größe: string = 'héllo ☃ 𝄞'\nconsole.log(größe)",
    failures=(
        *_JAVASCRIPT.failures,
        Failure(
            "\nconst count: number = 1\ncount.nope",
            "TypeCheck",
            "cell.ts(3,7): error TS2339: Property 'nope' does not exist on type 'number'.",
            "cell.ts(3,7)",
            Outcome.TYPE_ERROR,
        ),
    ),
    syntax=Failure(
        "console.log('ran')\nconst x = = 1",
        "TypeCheck",
        "cell.ts(2,11): error TS1109: Expression expected.",
        "cell.ts(2,11)",
        Outcome.TYPE_ERROR,
    ),
)


def _octal(values: range) -> str:
    return "".join(f"\\{value:03o}" for value in values)


_BASH = Language(
    name="bash",
    missing=None,
    slow_start=False,
    suffixes=(".sh",),
    interpreter="bash -c :",
    define=lambda name, number: f"{name}={number}",
    show=lambda name: f'echo "${{{name}}}"',
    again=(
        ("again=1", "echo $again", "1"),
        ("again() { echo 2; }", "again", "2"),
        ("again=(3 4)", "echo ${again[1]}", "4"),
        ("declare -i again=2+3", "echo $again", "5"),
    ),
    function=("double() {\n    echo $((2 * $1))\n}", "double 21"),
    value=None,
    text_value=None,
    no_value=("number=5", "echo -n ''", "true"),
    unicode="grüße() { echo 'héllo ☃ 𝄞'; }\ngrüße",
    awaited=None,
    comment="# nothing",
    say=lambda text: f"echo {quote(text)}",
    begin_line=lambda text: f"printf %s {quote(text)}",
    complain=lambda text: f"echo {quote(text)} >&2",
    all_bytes=f"printf '{_octal(range(256))}'\nprintf '{_octal(range(255, -1, -1))}' >&2",
    flood=f"line=$(head -c {_LINE - 1} /dev/zero | tr '\\0' x)\necho head\n"
    f'for ((i = 0; i < {_ROUNDS}; i++)); do echo "$line"; done\nprintf %s "${{line:0:{_REST}}}"\necho tail',
    close_output=("exec >&- 2>&-", "exec >/dev/null 2>&1"),
    item="printf '<b>' >item.html; display item.html",
    failures=(
        Failure("\n\necho ${nothing:?went wrong}", "Exit", "", "line 3: nothing: went wrong", Outcome.EXIT, 127),
        Failure("\n\nno_such_command", "Exit", "", "line 3: no_such_command: command not found", Outcome.EXIT, 127),
        Failure("\n\nbash -c 'kill -9 $$'", "Exit", "", "line 3: ", Outcome.EXIT, 137),
    ),
    syntax=Failure("echo ran\nif then", "SyntaxError", "syntax error near unexpected token `then'", "line 2: "),
    exit=lambda status: f"exit {status}",
    exit_in_function=lambda status: f"leave() {{\n    exit {status}\n}}\nleave",
    die=lambda signal: f"kill -{signal} $$",
    deadly=(9,),
    exhaust="for name in {a..z}; do printf -v $name %300000000s; done",
    no_memory=(),
    loop="while :; do :; done",
    sleep="exec {pipe}<> <(:)\nread -rt 600 -u $pipe",
    stubborn="trap '' INT\necho on\nwhile :; do :; done",
    wait_for=lambda path: f"until [ -e {quote(path)} ]; do sleep 0.02; done",
    late=f"({LATE}) &",
    child=lambda command: f"bash -c {quote(command)}",
    start=lambda command: f"bash -c {quote(command)} &",
    pid="echo $$",
    write=lambda path, text: f"printf %s {quote(text)} >{quote(path)}",
    read=lambda path: f"cat {quote(path)}",
    environment=lambda name: f"echo ${{{name}-unset}}",
    folder="pwd",
    enter=lambda path: f"cd {quote(path)}",
    stdin="wc -c",
)

LANGUAGES = [_PYTHON, _JAVASCRIPT, _TYPESCRIPT, _BASH]
