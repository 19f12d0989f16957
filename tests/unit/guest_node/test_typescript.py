"""TypeScript: cells are checked against those before them, then run with the variables of JavaScript."""

import json
import time

import pytest
from node_host import DIAGNOSTICS, EXCEPTION, NO_TYPECHECK, OK, TYPE_ERROR


def diagnostics(result):
    assert result.outcome == TYPE_ERROR, (result.outcome, result.traceback)
    return [(d["code"], d["line"], d["column"]) for d in json.loads(result.fields[DIAGNOSTICS])]


def test_a_type_error_is_a_result_and_the_cell_does_not_run(typed):
    result = typed.ts("console.log('no')\nlet x: number = 'text'")
    assert diagnostics(result) == [(2322, 2, 5)]
    text = "cell.ts(2,5): error TS2322: Type 'string' is not assignable to type 'number'."
    assert (result.error, result.message, result.traceback) == ("TypeCheck", text, text + "\n")
    assert result.stdout == b""
    assert typed.run("typeof x").value == "'undefined'"


def test_of_many_errors_the_first_are_told(typed):
    result = typed.ts("".join(f"let e{i}: string = {i}\n" for i in range(103)))
    assert diagnostics(result) == [(2322, line + 1, 5) for line in range(100)]
    lines = result.traceback.splitlines()
    assert (len(lines), lines[99][:15], lines[100]) == (101, "cell.ts(100,5):", "and 3 more")


def test_types_and_values_of_earlier_cells(typed):
    assert (
        typed.ts(
            "interface P { x: number }\nlet p: P = { x: 1 }\nfunction twice<T>(v: T): T[] { return [v, v] }\n"
            "type Id = string | number\nclass Q<T> { constructor(public v: T) {} }"
        ).outcome
        == OK
    )
    assert typed.ts("const q = new Q<Id>('a'); const r: P = p; twice(r.x + 1)").value == "[ 2, 2 ]"
    assert diagnostics(typed.ts("const s: P = { x: 'a' }")) == [(2322, 1, 16)]
    assert diagnostics(typed.ts("twice(1).nope")) == [(2339, 1, 10)]
    assert typed.ts("p = { x: 5 }; p.x").value == "5"
    assert diagnostics(typed.ts("q = null")) != []


def test_names_of_javascript_are_known_with_their_types(typed):
    typed.run(
        "const j = { k: [1, 2] }; let m = 5; function jf(s) { return s + '!' }; "
        "implicit = 1; class JC { go() { return 7 } }"
    )
    assert (
        typed.ts("j.k.map(n => n.toFixed(1)).join() + m.toFixed(1) + implicit + new JC().go() + jf('a')").outcome == OK
    )
    assert diagnostics(typed.ts("j.k.nope")) == [(2339, 1, 5)]
    assert typed.ts("const t: number = m").outcome == OK
    assert typed.run("t + 1").value == "6"


def test_javascript_from_before_the_first_typescript_is_known(make, typed):
    kernel = make()
    kernel.run("const early = [1]")
    assert diagnostics(kernel.ts("early.nope")) == [(2339, 1, 7)]


def test_a_name_declared_again_has_its_new_type(typed):
    typed.ts("let n: number = 1")
    assert typed.ts("let n: string = 'a'; n.length").value == "1"
    assert diagnostics(typed.ts("n.toFixed()"))[0][1:] == (1, 3)
    typed.run("const n = [1]")
    assert typed.ts("n.length").value == "1"
    assert typed.ts("enum n { A }").outcome == OK
    assert typed.ts("n.A").value == "0"


@pytest.mark.parametrize(
    "text, value",
    [
        ("enum E { A, B = 5 }; E.B + E[0]", "'5A'"),
        ("const enum C { A = 3 }; C.A", "3"),
        ("namespace N { export const z = 3; export type T = number }; const v: N.T = N.z; v", "3"),
        ("function dec(v: Function, c: ClassDecoratorContext) { console.log(c.name) }\n@dec class D {}; 1", "1"),
        ("abstract class A { abstract f(): number }; class B extends A { f() { return 2 } }; new B().f()", "2"),
        ("const f = <T,>(x: T): T => x; f(4)", "4"),
        ("const x = { a: 1 } satisfies Record<string, number>; x.a", "1"),
        (
            "import type { Stats } from 'fs'; import { statSync } from 'fs'; "
            "const s: Stats = statSync('/'); s.isDirectory()",
            "true",
        ),
        ("import * as path from 'node:path'; path.basename('/a/b')", "'b'"),
        ("import fs = require('fs'); typeof fs.statSync", "'function'"),
        ("await Promise.resolve(6) as number", "6"),
        ("const b: Buffer = Buffer.from('a'); b.length + new URL('http://a/b').pathname", "'1/b'"),
        ("export const e: number = 1; e", "1"),
        ("let u: string | undefined; u?.length ?? 'none'", "'none'"),
        ("declare const ghost: number; typeof ghost", "'undefined'"),
        ("class P { constructor(private readonly v = 8) {} get() { return this.v } }; new P().get()", "8"),
        ("display.html('<b>'); 1", "1"),
        (
            "function over(a: string): string; function over(a: number): number; "
            "function over(a: any) { return a }\nover(3)",
            "3",
        ),
    ],
)
def test_the_language(typed, text, value):
    result = typed.ts(text)
    assert (result.outcome, result.value) == (OK, value), result.traceback


def test_imported_names_and_types_persist(typed):
    typed.ts("import * as path from 'path'; import fs from 'fs'; import type { Stats } from 'fs'")
    assert typed.ts("const st: Stats = fs.statSync('/'); path.sep + st.isDirectory()").value == "'/true'"


def test_files_of_the_folder_and_packages_without_types(typed, tmp_path):
    (tmp_path / "util.mjs").write_text("export const one = 1")
    package = tmp_path / "node_modules" / "untyped"
    package.mkdir(parents=True)
    (package / "package.json").write_text('{"name": "untyped", "main": "main.js"}')
    (package / "main.js").write_text("module.exports = { two: 2 }")
    assert typed.ts("import { one } from './util.mjs'; import u from 'untyped'; one + u.two").value == "3"
    assert diagnostics(typed.ts("import { nope } from './util.mjs'")) == [(2305, 1, 10)]
    assert diagnostics(typed.ts("import x from './nowhere.mjs'")) == [(2307, 1, 15)]


def test_a_runtime_error_points_at_the_line_of_the_text(typed):
    text = (
        "interface Gone {\n  a: string\n}\ntype Also = Gone\n"
        "function f(x: number): never {\n  throw new Error('ts' + x)\n}\nf(3)"
    )
    result = typed.ts(text)
    assert (result.outcome, result.message) == (EXCEPTION, "ts3")
    assert result.traceback.startswith("<cell 1>:6:9\n  throw new Error('ts' + x)\n        ^\n")
    assert "at <cell 1>:8:1" in result.traceback


@pytest.mark.parametrize("text, code", [("let x = {", 1005), ("let x: = 1", 1110), ("`abc", 1160), ("/* open", 1010)])
def test_a_syntax_error_is_a_diagnostic(typed, text, code):
    assert diagnostics(typed.ts(text))[0][0] == code


def test_checking_can_be_turned_off(typed):
    result = typed.ts("const n: number = 'text' as any as string; n", flags=NO_TYPECHECK)
    assert (result.outcome, result.value) == (OK, "'text'")
    assert typed.ts("enum F { A = 2 }; nope; F.A", flags=NO_TYPECHECK).error == "ReferenceError"


def test_a_check_can_be_interrupted(make, typed):
    kernel = make()
    one = " | ".join("{ a: { p%d: 0 } }" % i for i in range(3000))
    other = " | ".join("{ a: { p%d: 0, q?: 0 } }" % i for i in reversed(range(3000)))  # each is compared with each
    result = kernel.ts("type One = %s\ntype Other = %s\nlet one!: One; let other: Other = one" % (one, other), interrupts=[0.2])
    assert result.error == "Interrupted"
    assert kernel.ts("const second = 2; second").value == "2"


def test_users_cannot_break_the_checker(typed):
    typed.run("Map.prototype.get = Array.prototype.map = JSON.parse = null")
    assert diagnostics(typed.ts("let x: number = ''")) == [(2322, 1, 5)]


def test_a_check_takes_a_small_part_of_the_first(make, typed):
    """Of a kernel's, which loads what all of them need."""
    kernel = make()

    def seconds(text):
        start = time.monotonic()
        assert kernel.ts(text).outcome == OK
        return time.monotonic() - start

    first = seconds("let a: number = 1")
    assert min(seconds("const b%d: number = a + %d; b%d" % (i, i, i)) for i in range(40)) * 10 < first
