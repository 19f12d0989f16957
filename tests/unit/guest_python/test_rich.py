"""What objects offer beside text: every MIME type, with IPython and without."""

import json

import pytest
from host import OK

TABLE = "application/vnd.dataresource+json"
ALL = """
class All:
    def __repr__(self): return 'all'
    def _repr_png_(self): return b'png'
    def _repr_jpeg_(self): return b'jpg'
    def _repr_svg_(self): return '<svg/>'
    def _repr_pdf_(self): return b'pdf'
    def _repr_html_(self): return '<b>', {'with': 'metadata'}
    def _repr_markdown_(self): return '*m*'
    def _repr_latex_(self): return '$l$'
    def _repr_json_(self): return {'k': [1]}
    def _repr_mimebundle_(self, include=None, exclude=None):
        return {'application/vnd.vega.v5+json': {'marks': []}, 'image/gif': 'R0lG', 'text/x-own': 'own'}
"""
ALL_ITEMS = [
    ("image/png", b"png"),
    ("image/svg+xml", b"<svg/>"),
    ("text/html", b"<b>"),
    ("text/markdown", b"*m*"),
    ("text/latex", b"$l$"),
    ("application/json", b'{"k": [1]}'),
    ("application/pdf", b"pdf"),
    ("application/vnd.vega.v5+json", b'{"marks": []}'),
    ("image/gif", b"GIF"),
    ("text/x-own", b"own"),
]


def refuse(constant):
    raise AssertionError("not JSON: " + constant)


def data(result, mime):
    return json.loads(next(found for kind, found, _ in result.items if kind == mime), parse_constant=refuse)


def test_every_form_comes_of_a_value_and_of_what_is_displayed(kernel):
    kernel.run(ALL)
    result = kernel.run("print('a')\nAll()")
    assert (result.outcome, result.value, result.stderr) == (OK, "all", b"")
    assert sorted(result.items) == sorted((mime, found, 2) for mime, found in ALL_ITEMS)
    assert [mime for mime, _, _ in result.items][:6] == [mime for mime, _ in ALL_ITEMS][:6]
    result = kernel.run("print('a')\ndisplay(All())\nprint('b')")
    assert sorted(result.items) == sorted((mime, found, 2) for mime, found in ALL_ITEMS)
    assert (result.stdout, result.value) == (b"a\nb\n", None)


def test_a_jpeg_comes_where_there_is_no_png(kernel):
    kernel.run(ALL + "class J(All):\n    def _repr_png_(self): return None\n    def _repr_jpeg_(self): return 'anBn'\n")
    assert kernel.run("J()").items[0] == ("image/jpeg", b"jpg", 0)


def test_several_things_displayed_at_once_keep_their_order(kernel):
    kernel.run("class H:\n    def __init__(self, s): self.s = s\n    def _repr_html_(self): return self.s")
    result = kernel.run("display(1, H('one'), 'two', H('three'))")
    assert result.stdout == b"1\n'two'\n"
    assert result.items == [("text/html", b"one", 2), ("text/html", b"three", 8)]


def test_a_form_that_fails_leaves_the_others(kernel):
    kernel.run(ALL)
    text = "class Half(All):\n    def %s: raise ValueError('no')\nHalf()"
    for broken, gone in (("_repr_svg_(self)", 1), ("_repr_json_(self)", 1), ("_repr_mimebundle_(self, **k)", 3)):
        result = kernel.run(text % broken)
        assert (result.outcome, result.value, len(result.items)) == (OK, "all", len(ALL_ITEMS) - gone)


@pytest.mark.parametrize(
    "value, found",
    [
        ("{'a': float('nan'), 'b': [float('inf')]}", {"a": None, "b": [None]}),
        ("{1: {'x'}, (2, 3): object}", {"1": "{'x'}", "(2, 3)": "<class 'object'>"}),
        ("{'\\ud800': 'ä'}", {"\ud800": "ä"}),
        ("'{\"text\": 1}'", {"text": 1}),
        ("'no json, but text'", "no json, but text"),
        ("'[NaN]'", "[NaN]"),
    ],
)
def test_json_is_strict(kernel, value, found):
    result = kernel.run("class J:\n    def _repr_mimebundle_(self, **k): return {'application/json': %s}\nJ()" % value)
    assert (result.outcome, data(result, "application/json")) == (OK, found)


def test_json_of_things_within_themselves_or_of_arrays(kernel):
    pytest.importorskip("numpy")
    kernel.run(
        "class J:\n    def __init__(self, d): self.d = d\n"
        "    def _repr_mimebundle_(self, **k): return {'a/x+json': self.d, 'application/json': self.d}\n"
        "loop = []; loop.append(loop)"
    )
    result = kernel.run("J(loop)")
    assert (result.outcome, result.stderr) == (OK, b"")
    data(result, "application/json")
    result = kernel.run("import numpy as np\nJ({'a': np.array([1.5, np.nan]), 'b': np.int64(3)})")
    assert data(result, "application/json") == {"a": [1.5, None], "b": 3}


@pytest.mark.parametrize("mime", ["'no type'", "'A/b\\n'", "5", "'text/' + 'x' * 200", "'text/ü'"])
def test_what_is_no_mime_type_is_not_sent(kernel, mime):
    result = kernel.run(
        "class M:\n    def _repr_mimebundle_(self, **k): return {%s: 'x', 'text/html': 'h'}\nM()" % mime
    )
    assert (result.outcome, result.items) == (OK, [("text/html", b"h", 0)])


def test_a_data_frame_is_text_html_and_data(kernel):
    pytest.importorskip("pandas")
    result = kernel.run("import pandas as pd\npd.DataFrame({'a': [1, 2], 'b': [0.5, None]})")
    assert (result.outcome, result.value) == (OK, "   a    b\n0  1  0.5\n1  2  NaN")
    assert [mime for mime, _, _ in result.items] == ["text/html", TABLE]
    assert b"<table" in result.items[0][1]
    assert data(result, TABLE) == {
        "profile": "tabular-data-resource",
        "schema": {
            "fields": [
                {"name": "a", "type": "integer", "dtype": "int64"},
                {"name": "b", "type": "number", "dtype": "float64"},
            ]
        },
        "data": [{"a": 1, "b": 0.5}, {"a": 2, "b": None}],
        "totalRows": 2,
        "totalColumns": 2,
    }
    result = kernel.run("display(pd.DataFrame({'a': [1]}))")
    assert result.stdout == b"   a\n0  1\n"
    assert [mime for mime, _, _ in result.items] == ["text/html", TABLE]
    result = kernel.run("pd.Series([1.5, 2], name='s')")
    assert [mime for mime, _, _ in result.items] == [TABLE]
    assert data(result, TABLE)["data"] == [{"s": 1.5}, {"s": 2}]


def test_the_types_of_a_tables_columns(plain):
    pytest.importorskip("pandas")
    result = plain.run(
        "import pandas as pd, datetime, decimal\n"
        "pd.DataFrame({'f': [1.5, float('inf')], 'b': [True, False], 'd': pd.to_datetime(['2020-01-01', None]),"
        " 't': pd.to_timedelta([1, 2], 's'), 'c': pd.Categorical(['x', 'y']), 'i': pd.array([1, None], 'Int64'),"
        " 's': pd.array(['x', None], 'string'), 'o': [decimal.Decimal('1.1'), {1}],"
        " 'z': pd.to_datetime(['2020-01-01 10:00', '2020-01-02 10:00']).tz_localize('Europe/Berlin')})"
    )
    found = data(result, TABLE)
    assert {field["name"]: field["type"] for field in found["schema"]["fields"]} == {
        "f": "number",
        "b": "boolean",
        "d": "datetime",
        "t": "duration",
        "c": "any",
        "i": "integer",
        "s": "string",
        "o": "any",
        "z": "datetime",
    }
    assert found["data"][0] == {
        "f": 1.5,
        "b": True,
        "d": "2020-01-01T00:00:00",
        "t": "P0DT0H0M1S",
        "c": "x",
        "i": 1,
        "s": "x",
        "o": "1.1",
        "z": "2020-01-01T10:00:00+01:00",
    }
    assert [found["data"][1][name] for name in "fdis"] == [None] * 4


def test_indexes_and_names_of_a_table(plain):
    pytest.importorskip("pandas")
    plain.run("import pandas as pd")
    found = data(plain.run("pd.DataFrame({'v': [1, 2]}, index=['p', 'q'])"), TABLE)
    assert found["schema"]["primaryKey"] == ["index"]
    assert found["data"] == [{"index": "p", "v": 1}, {"index": "q", "v": 2}]
    grouped = "pd.DataFrame({'g': [1, 1], 'h': [2, 3], 'v': [4, 5]}).groupby(['g', 'h']).agg({'v': ['sum', 'mean']})"
    found = data(plain.run(grouped), TABLE)
    assert found["schema"]["primaryKey"] == ["g", "h"]
    assert found["data"][1] == {"g": 1, "h": 3, "v, sum": 5, "v, mean": 5}
    found = data(plain.run("pd.DataFrame([[1, 2, 3]], columns=['a', 'a', 0])"), TABLE)
    assert found["data"] == [{"a": 1, "a_2": 2, "0": 3}]


def test_large_tables_are_cut_and_tell_their_size(plain):
    pytest.importorskip("pandas")
    result = plain.run(
        "import pandas as pd, numpy as np\npd.DataFrame(np.arange(500_000 * 4).reshape(-1, 4)).assign(t='x' * 5000)",
    )
    found = data(result, TABLE)
    assert (len(found["data"]), found["totalRows"], found["totalColumns"]) == (100, 500000, 5)
    assert len(found["data"][0]["t"]) == 1000
    found = data(plain.run("pd.DataFrame(np.zeros((2, 300)))"), TABLE)
    assert (len(found["schema"]["fields"]), found["totalColumns"]) == (100, 300)


def test_a_table_that_cannot_be_read_is_text(plain):
    pytest.importorskip("pandas")
    result = plain.run(
        "import pandas as pd\nclass Odd(pd.DataFrame):\n    @property\n    def iloc(self): raise ValueError('no')\n"
        "    def __repr__(self): return 'odd'\n    def _repr_html_(self): return None\nOdd({'a': [1]})"
    )
    assert (result.outcome, result.value, result.items) == (OK, "odd", [])


def test_pictures_of_pil(kernel):
    pytest.importorskip("PIL")
    result = kernel.run("from PIL import Image\nImage.new('RGB', (3, 2))")
    assert result.value.startswith("<PIL.Image.Image")
    png = next(found for mime, found, _ in result.items if mime == "image/png")
    assert (png[:4], png[16:24]) == (b"\x89PNG", b"\0\0\0\3\0\0\0\2")
    assert kernel.run("display(Image.new('RGB', (3, 2)))").items[0][0] == "image/png"


def test_formulas_are_text_and_latex(kernel):
    pytest.importorskip("sympy")
    result = kernel.run("import sympy\nsympy.Symbol('x') ** 2")
    assert (result.value, result.items) == ("x**2", [("text/latex", b"$\\displaystyle x^{2}$", 0)])


def test_what_is_updated_comes_in_its_last_state(ipython):
    result = ipython.run(
        "from IPython.display import HTML, update_display, clear_output\nh = display(HTML('0'), display_id=True)\n"
        "for i in range(1, 100): h.update(HTML(str(i)))\nprint('a')"
    )
    assert result.items == [("text/html", b"0", 0), ("text/html", b"99", 2)]
    result = ipython.run("update_display(HTML('x'), display_id=h.display_id)\n1 / 0")
    assert (result.error, result.items) == ("ZeroDivisionError", [("text/html", b"x", 0)])
    result = ipython.run("for i in range(3):\n    clear_output(wait=True)\n    print(i)")
    assert (result.stdout, result.items) == (b"0\n1\n2\n", [])
    assert ipython.run("1").items == []


def test_what_display_leaves_out_on_request(ipython):
    pytest.importorskip("pandas")
    ipython.run("import pandas as pd\nf = pd.DataFrame({'a': [1]})")
    assert [m for m, _, _ in ipython.run("display(f, include=['text/plain', 'text/html'])").items] == ["text/html"]
    assert [m for m, _, _ in ipython.run("display(f, exclude=['text/html'])").items] == [TABLE]


# --- libraries that Debian does not have -----------------------------------------------------------------------------


@pytest.mark.parametrize("ask", ["fig", "display(fig)", "fig.show()", "import plotly.io as pio\npio.show(fig)"])
def test_plotly(kernel, ask):
    pytest.importorskip("plotly")
    text = "import numpy, plotly.graph_objects as go\nfig = go.Figure(go.Bar(y=numpy.array([1.5, 3])))\n" + ask
    result = kernel.run(text)
    assert (result.outcome, result.stdout, result.stderr) == (OK, b"", b"")
    assert [mime for mime, _, _ in result.items] == ["text/html", "application/vnd.plotly.v1+json"]
    assert data(result, "application/vnd.plotly.v1+json")["data"][0]["y"] == [1.5, 3]
    assert len(result.items[0][1]) < 50000
    assert result.value == ("<plotly figure: bar>" if ask == "fig" else None)


@pytest.mark.parametrize("ask", ["chart", "display(chart)"])
def test_altair(kernel, ask):
    pytest.importorskip("altair")
    text = (
        "import altair as alt, pandas as pd\nchart = alt.Chart(pd.DataFrame({'a': [1]})).mark_bar().encode(x='a')\n"
        + ask
    )
    result = kernel.run(text)
    assert (result.outcome, result.stdout, result.stderr) == (OK, b"", b"")
    (mime,) = [mime for mime, _, _ in result.items if "vegalite" in mime]
    assert data(result, mime)["mark"] == {"type": "bar"}


@pytest.mark.parametrize("ask", ["p", "display(p)", "show(p)", "from bokeh.io import show\nshow(p)"])
def test_bokeh(kernel, ask):
    pytest.importorskip("bokeh")
    text = "from bokeh.plotting import figure, show\np = figure()\np.line([1, 2], [3, 4])\n" + ask
    result = kernel.run(text)
    assert (result.outcome, result.stdout, result.stderr) == (OK, b"", b"")
    assert [mime for mime, _, _ in result.items] == ["text/html", "application/vnd.bokeh.item+json"]
    assert b"<!DOCTYPE html>" in result.items[0][1]
    assert "doc" in data(result, "application/vnd.bokeh.item+json")
