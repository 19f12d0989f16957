"""Rich items: what display() sends, and where in the output they come."""

import json

import pytest
from node_host import EXCEPTION, OK

PNG = b"\x89PNG\r\n\x1a\n" + bytes(20)


def test_items_stand_in_order_with_output(kernel):
    result = kernel.run("console.log('a'); display.html('<b>'); console.log('bc'); display({ 'text/latex': 'x^2' })")
    assert result.stdout == b"a\nbc\n"
    assert result.items == [("text/html", b"<b>", 2), ("text/latex", b"x^2", 5)]


@pytest.mark.parametrize(
    "text, mime, data",
    [
        ("display(Buffer.from('%s', 'hex'))" % PNG.hex(), "image/png", PNG),
        ("display({ 'image/png': Buffer.from('%s', 'hex') })" % PNG.hex(), "image/png", PNG),
        ("display({ 'image/png': Buffer.from('%s', 'hex').toString('base64') })" % PNG.hex(), "image/png", PNG),
        ("display.svg('<svg/>')", "image/svg+xml", b"<svg/>"),
        ("display.markdown('# é')", "text/markdown", "# é".encode()),
        ("display.json({ a: [1] })", "application/json", b'{"a":[1]}'),
        ("display.json('[1, 2]')", "application/json", b"[1, 2]"),
        ("display.json('no json')", "application/json", b'"no json"'),
        ("display.json({ a: NaN })", "application/json", b'{"a":null}'),
        ("display({ 'application/pdf': Buffer.from('pdf').toString('base64') })", "application/pdf", b"pdf"),
        (
            "display({ 'application/vnd.plotly.v1+json': { data: [] } })",
            "application/vnd.plotly.v1+json",
            b'{"data":[]}',
        ),
        (
            "display({ $schema: 'https://vega.github.io/schema/vega-lite/v5.json', mark: 'bar' })",
            "application/vnd.vegalite.v5+json",
            None,
        ),
        ("display({ [Symbol.for('Jupyter.display')]() { return { 'text/html': '<i>' } } })", "text/html", b"<i>"),
        (
            "({ [Symbol.for('Jupyter.display')]: () => ({ 'text/html': '<i>', 'text/plain': 'i' }) })",
            "text/html",
            b"<i>",
        ),
    ],
)
def test_what_is_displayed(kernel, text, mime, data):
    result = kernel.run(text)
    assert (result.outcome, result.stdout) == (OK, b"")
    assert [item[0] for item in result.items] == [mime]
    assert data is None or result.items[0][1] == data


def test_other_values_are_printed(kernel):
    result = kernel.run("display('text'); display(5, [1]); display(new Map())")
    assert result.stdout == b"text\n5\n[ 1 ]\nMap(0) {}\n"
    assert [json.loads(data) for _, data, _ in result.items] == [[1]]


def test_too_many_and_too_large_items_are_counted(kernel):
    result = kernel.run("for (let i = 0; i < 70; i++) display.html('x')")
    assert (len(result.items), result.dropped) == (64, 6)
    assert kernel.run("display.html('x'.repeat(33 << 20))").dropped == 1


def test_display_between_cells_sends_nothing(kernel, tmp_path):
    late = "if (require('fs').existsSync('go')) { clearInterval(timer); display.html('x'); display('late') }"
    kernel.run("const timer = setInterval(() => { %s }, 5)" % late)
    (tmp_path / "go").touch()
    kernel.wait_for_output()
    result = kernel.run("1")
    assert (result.items, result.background[0]) == ([], b"late\n")


def test_a_display_that_fails_is_the_cells_own_failure(kernel):
    result = kernel.run("display({ [Symbol.for('Jupyter.display')]() { throw new Error('mine') } })")
    assert (result.outcome, result.message) == (EXCEPTION, "mine")


@pytest.mark.parametrize("data", ["{ a: 5n }", "(() => { const o = {}; o.o = o; return o })()"])
def test_a_value_that_json_cannot_say_is_text(kernel, data):
    result = kernel.run(
        "({ [Symbol.for('Jupyter.display')]: () => ({ 'application/json': %s, 'text/plain': 'said' }) })" % data
    )
    assert (result.outcome, result.value, result.items) == (OK, "said", [])
