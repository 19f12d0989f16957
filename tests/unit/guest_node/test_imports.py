"""import and require: of Node's own modules, of files in the working folder and of packages there."""

import pytest
from node_host import EXCEPTION, OK


@pytest.fixture
def files(tmp_path):
    (tmp_path / "util.mjs").write_text("export const one = 1\nexport default class D {}\nexport { one as 'odd name' }")
    (tmp_path / "old.cjs").write_text("module.exports = { two: 2 }")
    (tmp_path / "data.json").write_text('{"three": 3}')
    package = tmp_path / "node_modules" / "pack"
    package.mkdir(parents=True)
    (package / "package.json").write_text('{"name": "pack", "exports": {"import": "./es.mjs", "require": "./cjs.cjs"}}')
    (package / "es.mjs").write_text("export const kind = 'es'")
    (package / "cjs.cjs").write_text("exports.kind = 'cjs'")


@pytest.mark.parametrize(
    "text, value",
    [
        ("import fs from 'fs'; typeof fs.readFileSync", "'function'"),
        ("import { sep as s, join } from 'node:path'\ns + typeof join", "'/function'"),
        ("import * as os from 'os'; os.EOL", "'\\n'"),
        ("import D, { one } from './util.mjs'; D.name + one", "'D1'"),
        ("import D, * as all from './util.mjs'; D.name + all.one", "'D1'"),
        ("import { 'odd name' as odd, default as D } from './util.mjs'; odd", "1"),
        ("import { one, } from './util.mjs'\none", "1"),
        ("import {\n  one,\n} from\n  './util.mjs'\none", "1"),
        ("import './util.mjs'", None),
        ("import { two } from './old.cjs'; two", "2"),
        ("import { kind } from 'pack'; kind", "'es'"),
        ("require('pack').kind", "'cjs'"),
        ("require('./data.json').three", "3"),
        ("require.resolve('./old.cjs').endsWith('old.cjs')", "true"),
        ("(await import('./util.mjs')).one", "1"),
        ("const load = n => import(n); (await load('./util.mjs')).one", "1"),
        ("const o = { import() { return 4 }, export: 5 }; o.import() + o.export", "9"),
        ("`${(await import('./util.mjs')).one} import('x')`", "\"1 import('x')\""),
        ("/import('x')/.test(\"import('x')\"), 'import x from y'", "'import x from y'"),
        ("import.meta.url.startsWith('file:///')", "true"),
        ("export const e = 1\nexport default function f() {}\nexport { e as g }\ne", "1"),
        ("// import x from 'nowhere'\n/* import y from 'nowhere' */ 1", "1"),
        ("const a = 4, g = 2; a /2/ g", "1"),
    ],
)
def test_imports(kernel, files, text, value):
    result = kernel.run(text)
    assert (result.outcome, result.value, result.stderr) == (OK, value, b""), result.traceback


def test_imported_names_persist_and_may_be_imported_again(kernel, files):
    kernel.run("import { one } from './util.mjs'")
    assert kernel.value("one") == "1"
    assert kernel.value("import { two as one } from './old.cjs'; one") == "2"


@pytest.mark.parametrize(
    "text, name, message",
    [
        ("import { nope } from 'fs'", "SyntaxError", "does not provide an export named 'nope'"),
        ("import x from './nowhere.mjs'", "Error", "Cannot find module"),
        ("import x from 'nowhere'", "Error", "Cannot find package 'nowhere'"),
        ("require('./nowhere')", "Error", "Cannot find module './nowhere'"),
        ("await import('./nowhere.mjs')", "Error", "Cannot find module"),
    ],
)
def test_imports_that_fail(kernel, text, name, message):
    result = kernel.run(text)
    assert (result.outcome, result.error) == (EXCEPTION, name)
    assert message in result.message


def test_a_cell_is_a_program_with_a_name(kernel, tmp_path):
    assert kernel.value("require.main === module") == "true"
    assert kernel.value("[__dirname, __filename, module.exports === exports]") == (
        f"[\n  {str(tmp_path)!r},\n  {str(tmp_path / 'cell.mjs')!r},\n  true\n]"
    )
    (tmp_path / "main.cjs").write_text("exports.main = require.main === module")
    assert kernel.value("require('./main.cjs').main") == "false"
    (tmp_path / "sub").mkdir()
    assert kernel.value("__dirname", cwd="sub") == repr(str(tmp_path / "sub"))


@pytest.mark.parametrize("how", ["const", "var", "let", ""])
def test_the_names_of_the_program_may_be_declared(kernel, how):
    assert kernel.value(f"{how} __dirname = require('path').dirname('/a/b'); __dirname") == "'/a'"
    assert kernel.value("__dirname") == "'/a'"
    assert kernel.value("const __dirname = 1; __dirname") == "1"


def test_the_folder_of_the_call_is_where_imports_look(kernel, tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "m.mjs").write_text("export default 'sub'")
    assert kernel.value("import m from './m.mjs'; m", cwd="sub") == "'sub'"
    assert kernel.run("import m from './m.mjs'").outcome == EXCEPTION
    kernel.run("process.chdir('sub')")
    assert kernel.value("(await import('./m.mjs')).default") == "'sub'"
