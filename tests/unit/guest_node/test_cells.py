"""State, values, errors: what a cell leaves to the next, and what its result says."""

import json
import time

import pytest
from node_host import EXCEPTION, EXIT, OK


def test_names_persist(kernel):
    kernel.value(
        "const a = 1; let { b, c: [d] } = { b: 2, c: [3] }; class K { v() { return 4 } }\nfunction f() { return 5 }"
    )
    assert kernel.value("[a, b, d, new K().v(), f()]") == "[ 1, 2, 3, 4, 5 ]"


KINDS = [
    "const n = %d",
    "let n = %d",
    "var n = %d",
    "function n() { return %d }",
    "class n { static v = %d }",
    "const { n } = { n: %d }",
    "async function n() { return %d }",
    "for (var n = %d; false;);",
]


@pytest.mark.parametrize("first", KINDS)
@pytest.mark.parametrize("second", KINDS)
def test_names_may_be_declared_again(kernel, first, second):
    assert kernel.run(first % 1).outcome == OK
    result = kernel.run(second % 2 + "\nString(typeof n === 'function' ? n.v ?? 'f' : n)")
    assert (result.outcome, result.value) == (OK, "'f'" if "function" in second else "'2'"), result.traceback
    assert kernel.run(second % 3).outcome == OK


def test_a_name_declared_twice_in_one_cell_is_an_error(kernel):
    result = kernel.run("let a = 1\nlet a = 2")
    assert (result.error, result.message) == ("SyntaxError", "Identifier 'a' has already been declared")


@pytest.mark.parametrize("declaration", ["let", "const"])
def test_a_failed_cell_leaves_its_names_usable(kernel, declaration):
    result = kernel.run(
        "%s before = 1, z = (() => { throw new Error('x') })(); %s after = 2" % (declaration, declaration)
    )
    assert result.outcome == EXCEPTION
    assert kernel.value("[before, z, after]") == "[ 1, undefined, undefined ]"
    assert kernel.value("z = 3; after = 4; z + after") == "7"
    assert kernel.value("%s z = 5; z" % declaration) == "5"


def test_a_failure_costs_no_more_after_many_declarations(kernel):
    def cost(text):
        """Of the run that other programs disturbed least."""
        times = []
        for _ in range(21):
            started = time.monotonic()
            kernel.run(text)
            times.append(time.monotonic() - started)
        return min(times)

    for number in range(800):
        kernel.run(f"let again = {number}")
    assert cost("throw 1") < 12 * cost("1")


def test_await_at_the_top_level(kernel):
    assert kernel.value("const v = await new Promise(r => setTimeout(r, 5, 6)); v + await 1") == "7"
    assert kernel.value("for await (const x of [1, 2]) v2 = x; v2") == "2"


@pytest.mark.parametrize(
    "text, value",
    [
        ("1 + 1", "2"),
        ("'a\\'b'", '"a\'b"'),
        ("undefined", None),
        ("let x = 1", None),
        ("", None),
        ("// only a comment", None),
        ("null", "null"),
        ("-0", "-0"),
        ("NaN", "NaN"),
        ("10n ** 20n", "100000000000000000000n"),
        ("Symbol('s')", "Symbol(s)"),
        ("[10n, Symbol.iterator]", "[ 10n, Symbol(Symbol.iterator) ]"),
        ("const c = { n: 1 }; c.self = c; c", "<ref *1> { n: 1, self: [Circular *1] }"),
        ("({ get x() { throw new Error('no') } })", "{ x: [Getter] }"),
        ("new Proxy({ a: 1 }, { get() { throw 1 }, ownKeys() { throw 2 } })", "{ a: 1 }"),
        ("new Map([[1, { a: 2 }]])", "Map(1) { 1 => { a: 2 } }"),
        ("(function named() {})", "[Function: named]"),
        ("Promise.resolve(4)", "Promise { 4 }"),
        ("Object.create(null)", "[Object: null prototype] {}"),
        ("new Error('shown, not thrown').message", "'shown, not thrown'"),
        ("'\\u{1f600}\\ud800'.length", "3"),
    ],
)
def test_the_last_value_as_text(kernel, text, value):
    result = kernel.run(text)
    assert (result.outcome, result.value) == (OK, value)


def test_plain_data_comes_as_json_too(kernel):
    result = kernel.run("({ a: [1, 'b', null, { c: true }] })")
    assert [(mime, json.loads(data)) for mime, data, _ in result.items] == [
        ("application/json", {"a": [1, "b", None, {"c": True}]})
    ]


@pytest.mark.parametrize(
    "text",
    [
        "1",
        "'s'",
        "({ a: 1n })",
        "[NaN]",
        "[Symbol()]",
        "[() => 1]",
        "new Map()",
        "new Date()",
        "new (class K {})",
        "({ get a() { return 1 } })",
        "let l = []; l.push(l); l",
        "new Proxy({}, {})",
        "[new Array(1e8)]",
        "let deep = []; for (let i = 0; i < 1e5; i++) deep = [deep]; deep",
    ],
)
def test_what_json_does_not_say_comes_as_text_alone(kernel, text):
    result = kernel.run(text)
    assert (result.outcome, result.items) == (OK, [])
    assert result.value


def test_a_value_that_cannot_be_shown_is_no_failure(kernel):
    result = kernel.run("({ [Symbol.for('nodejs.util.inspect.custom')]() { throw new Error('not me') } })")
    assert result.outcome == OK and "not me" in result.value


def test_a_long_value_is_cut(kernel):
    result = kernel.run("'é'.repeat(1 << 20)")
    assert len(result.value.encode()) <= 256 << 10
    assert result.value_total == (2 << 20) + 2 or "more characters" in result.value


def test_an_error_points_at_its_line(kernel):
    result = kernel.run("function f() {\n  throw new TypeError('oops')\n}\n\nf()")
    assert (result.outcome, result.error, result.message) == (EXCEPTION, "TypeError", "oops")
    assert result.traceback == (
        "<cell 1>:2:9\n  throw new TypeError('oops')\n        ^\n\n"
        "TypeError: oops\n    at f (<cell 1>:2:9)\n    at <cell 1>:5:1\n"
    )


def test_an_error_in_a_function_of_an_earlier_cell(kernel):
    kernel.run("const f = () => {\n  null.x }")
    result = kernel.run("\n\nf()")
    assert result.traceback.startswith("<cell 1>:2:8\n  null.x }\n       ^\n")
    assert "at <cell 2>:3:1" in result.traceback


def test_an_error_after_an_import_points_at_its_column(kernel):
    result = kernel.run("import fs from 'fs'; fs.nope()\n")
    assert result.traceback.startswith("<cell 1>:1:25\n"), result.traceback


@pytest.mark.parametrize(
    "text, place, message",
    [
        ("x = {", "<cell 1>:1:6", "Unexpected end of input"),
        ("let a = 1\nlet 5", "<cell 1>:2:5", "Unexpected number"),
        ("return 1", "<cell 1>:1:1", "Illegal return statement"),
        ("'abc", "<cell 1>:1:1", "Invalid or unexpected token"),
    ],
)
def test_a_syntax_error_points_at_its_place(kernel, text, place, message):
    result = kernel.run(text)
    assert (result.outcome, result.error, result.message) == (EXCEPTION, "SyntaxError", message)
    assert result.traceback.startswith(place + "\n"), result.traceback


def test_causes_and_properties_of_an_error_are_shown(kernel):
    result = kernel.run("const e = new Error('outer', { cause: new RangeError('inner') }); e.code = 'E1'; throw e")
    assert "code: 'E1'" in result.traceback and "RangeError: inner" in result.traceback
    assert "node:inspector" not in result.traceback and "evaluate.js" not in result.traceback


@pytest.mark.parametrize("text", ["5", "'text'", "null", "undefined", "{ a: 1 }", "Symbol('s')", "new Proxy({}, {})"])
def test_anything_may_be_thrown(kernel, text):
    result = kernel.run("throw (%s)" % text if "{" in text else "throw " + text)
    assert (result.outcome, result.error) == (EXCEPTION, "Uncaught")


def test_an_error_that_breaks_its_reader(kernel):
    result = kernel.run(
        "const e = new Error(); for (const n of ['name', 'message', 'stack'])"
        " Object.defineProperty(e, n, { get() { throw 1 } }); throw e"
    )
    assert result.outcome == EXCEPTION
    assert kernel.value("1") == "1"


@pytest.mark.parametrize(
    "text",
    [
        "Promise.reject(new Error('r'))",
        "Promise.reject(new Error('r')); 1",
        "(async () => { throw new Error('r') })(); 1",
        "setTimeout(() => { throw new Error('r') }, 1); await new Promise(() => {})",
    ],
)
def test_what_nobody_catches_fails_the_cell(kernel, text):
    result = kernel.run(text)
    assert (result.outcome, result.error, result.message) == (EXCEPTION, "Error", "r")
    assert kernel.value("1") == "1"


def test_what_nobody_catches_between_cells_is_told_on_stderr(kernel, tmp_path):
    late = "if (require('fs').existsSync('go')) { clearInterval(timer); throw new Error('late') }"
    kernel.run("const timer = setInterval(() => { %s }, 5)" % late)
    (tmp_path / "go").touch()
    kernel.wait_for_output(1)
    result = kernel.run("1")
    assert (result.outcome, result.value) == (OK, "1")
    assert b"Error: late" in result.background[1] and b"<cell 1>" in result.background[1]


@pytest.mark.parametrize(
    "text, outcome, code",
    [
        ("process.exit(3)", EXIT, 3),
        ("process.exit()", OK, 0),
        ("process.exitCode = 4; process.exit()", EXIT, 4),
        ("try { process.exit(5) } finally { console.log('no') }", EXIT, 5),
        ("setTimeout(() => process.exit(6), 5); await new Promise(() => {})", EXIT, 6),
        ("await 1; process.exit(7)", EXIT, 7),
        ("require('process').reallyExit(8)", EXIT, 8),
    ],
)
def test_exit_ends_the_cell_and_keeps_the_state(kernel, text, outcome, code):
    kernel.run("kept = 1")
    result = kernel.run("mine = 2; " + text)
    assert (result.outcome, result.exit_code, result.stdout) == (outcome, code, b"")
    assert kernel.value("kept + mine") == "3"


def test_environment_and_folder_of_a_call(kernel, tmp_path):
    (tmp_path / "below").mkdir()
    text = "[process.env.A, process.env.HOME, process.cwd()].join()"
    assert kernel.value(text, cwd="below", env=["A=é", "HOME=/x"]) == "'é,/x,%s/below'" % tmp_path
    assert kernel.value(text) == "',%s,%s'" % (tmp_path, tmp_path)
    assert kernel.run("1", cwd="nowhere").error == "Error"
    kernel.run("process.chdir('below')")
    assert kernel.value("process.cwd()") == "'%s/below'" % tmp_path
    kernel.run("require('fs').rmdirSync('../below')")
    assert kernel.value("process.cwd()") == "'%s'" % tmp_path
