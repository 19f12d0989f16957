"""Rich items end to end: what is displayed in Python and JavaScript, and that the JSON is a CallToolResult of MCP."""

from __future__ import annotations

import base64
import json
import shutil
from typing import Any
from urllib.parse import urlsplit

import libci
import pytest

node = pytest.mark.skipif(shutil.which("node", path="/usr/local/bin:/usr/bin:/bin") is None, reason="no node")

CHART = "application/vnd.ci.chart+json"
TABLE = "application/vnd.dataresource+json"
HEAVY = ("matplotlib", "pandas", "numpy", "PIL", "plotly", "altair", "bokeh", "scipy", "sympy")


def refuse(constant: str) -> None:
    raise AssertionError(f"not JSON: {constant}")


def check_mcp(text: str) -> list[dict[str, Any]]:
    """Fails unless the text is a CallToolResult of MCP 2025-06-18. Returns its content."""
    result = json.loads(text, parse_constant=refuse)
    assert result.keys() <= {"content", "structuredContent", "isError", "_meta"}
    assert isinstance(result["content"], list)
    assert isinstance(result["structuredContent"], dict) and isinstance(result["isError"], bool)
    for block in result["content"]:
        assert isinstance(block.pop("_meta", {}), dict)
        if block["type"] == "text":
            assert block.keys() == {"type", "text"} and isinstance(block["text"], str)
        elif block["type"] == "image":
            assert block.keys() == {"type", "data", "mimeType"} and block["mimeType"].startswith("image/")
            assert base64.b64decode(block["data"], validate=True)
        else:
            assert block["type"] == "resource" and block.keys() == {"type", "resource"}
            check_resource(**block["resource"])
    return result["content"]


def check_resource(uri: str, mimeType: str, text: str | None = None, blob: str | None = None) -> None:
    assert urlsplit(uri).scheme
    assert (text is None) != (blob is None)
    assert blob is None or base64.b64decode(blob, validate=True)
    if mimeType.endswith(("/json", "+json")):
        assert text is not None
        json.loads(text, parse_constant=refuse)


def kinds(content: list[dict[str, Any]]) -> list[str]:
    """Types and MIME types of content blocks, in order."""
    return [block.get("mimeType") or block.get("resource", {}).get("mimeType") or "text" for block in content]


def test_python_items_are_content_for_mcp(session: libci.Session) -> None:
    result = session.run_code(
        "from IPython.display import *\nprint('a')\n"
        "display(HTML('<b>'), Markdown('*m*'), Latex('$l$'), SVG('<svg/>'), JSON({'k': [float('nan')]}),"
        " Image(data=b'png!', format='png'), Image(data=b'jpg!', format='jpeg'))\n"
        "display({'application/pdf': 'cGRm', 'text/html': 'lone \\ud800', 'application/x-raw': b'\\0\\xff',"
        " 'application/json': '{broken'}, raw=True)\nprint('b')"
    )
    assert result.ok, result.traceback
    assert [item.mime_type for item in result.items] == [
        "text/html",
        "text/markdown",
        "text/latex",
        "image/svg+xml",
        "application/json",
        "image/png",
        "image/jpeg",
        "text/html",
        "application/json",
        "application/pdf",
        "application/x-raw",
    ]
    assert {item.stdout_offset for item in result.items} == {2}
    content = check_mcp(result.json_text())
    assert kinds(content) == ["text", *(item.mime_type for item in result.items)]
    assert content[-1]["resource"]["blob"] == base64.b64encode(b"\0\xff").decode()


def test_charts_and_tables_are_content_for_mcp(session: libci.Session) -> None:
    result = session.run_code(
        "import pandas as pd\nfrom PIL import Image\nframe = pd.DataFrame({'day': ['mo', 'tu'], 'n': [1, 2]})\n"
        "frame.plot.bar(x='day')\nprint('é', end='')\ndisplay(Image.new('RGB', (2, 2)))\nframe"
    )
    assert result.ok, result.traceback
    content = check_mcp(result.json_text())
    assert kinds(content)[:2] == ["text", "image/png"]
    assert kinds(content)[-5:] == ["text/html", TABLE, "image/png", CHART, "text"]
    assert {item.stdout_offset for item in result.items} == {2}
    chart = json.loads(content[-2]["resource"]["text"])["axes"][0]
    assert (chart["type"], chart["x"]["label"]) == ("bar", "day")
    assert chart["series"][0]["points"] == [["mo", 1], ["tu", 2]]
    assert check_mcp(session.run_code("1").json_text()) == [{"type": "text", "text": "1"}]


def test_items_of_a_cell_that_fails_are_content_for_mcp(session: libci.Session) -> None:
    result = session.run_code("import matplotlib.pyplot as plt\nplt.plot([1, 2])\nprint('a')\n1 / 0")
    assert result.error_name == "ZeroDivisionError"
    assert kinds(check_mcp(result.json_text())) == ["text", "image/png", CHART, "text"]


@node
def test_javascript_items_are_content_for_mcp(session: libci.Session) -> None:
    result = session.run_code(
        "const png = Buffer.from('89504e470d0a1a0a', 'hex')\nconsole.log('a')\n"
        "display.html('<b>'); display.markdown('*m*'); display.latex('$l$'); display.svg('<svg/>')\n"
        "display.json({ k: [NaN, 'é'] }); display.png(png); display.jpeg(png.toString('base64')); display(png)\n"
        "display({ $schema: 'https://vega.github.io/schema/vega-lite/v5.json', mark: 'bar' })\n"
        "display({ 'application/vnd.plotly.v1+json': { data: [] }, 'application/x-raw': Uint8Array.of(0, 255) })\n"
        "console.log('b'); ({ value: [1] })",
        language="javascript",
    )
    assert result.ok, result.traceback
    assert result.stdout == "a\nb\n"
    assert [(item.mime_type, item.stdout_offset) for item in result.items] == [
        ("text/html", 2),
        ("text/markdown", 2),
        ("text/latex", 2),
        ("image/svg+xml", 2),
        ("application/json", 2),
        ("image/png", 2),
        ("image/jpeg", 2),
        ("image/png", 2),
        ("application/vnd.vegalite.v5+json", 2),
        ("application/vnd.plotly.v1+json", 2),
        ("application/x-raw", 2),
        ("application/json", 4),
    ]
    assert kinds(check_mcp(result.json_text())) == ["text", *(item.mime_type for item in result.items), "text"]


def loaded(session: libci.Session) -> str | None:
    return session.run_code(f"import sys\n[m for m in {HEAVY} if m in sys.modules]").value


def test_plain_code_imports_none_of_the_large_libraries(sandbox: libci.Sandbox, session: libci.Session) -> None:
    sandbox.prepare(60)
    assert loaded(session) == "[]"
    assert session.run_code("print('x')\n[1, {'a': 2}, {3}]").value == "[1, {'a': 2}, {3}]"
    assert session.run_code("1 / 0").error_name == "ZeroDivisionError"
    assert session.run_code("class R:\n    def _repr_html_(self): return '<b>'\ndisplay(R())\nR()").items
    assert loaded(session) == "[]"


def test_an_import_brings_no_other_library(session: libci.Session) -> None:
    session.run_code("import numpy\nnumpy.arange(3)")
    assert loaded(session) == "['numpy']"
    assert session.run_code("import pandas as pd\npd.DataFrame({'a': [1]})").ok
    assert session.run_code("pd.Series([1])").ok
    assert "'matplotlib'" not in loaded(session) and "'PIL'" not in loaded(session)


def test_a_chart_imports_no_other_library(session: libci.Session) -> None:
    result = session.run_code("import matplotlib.pyplot as plt\nplt.plot([1, 2])")
    assert [item.mime_type for item in result.items] == ["image/png", CHART]
    assert "'pandas'" not in loaded(session) and "'scipy'" not in loaded(session)
