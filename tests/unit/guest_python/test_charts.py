"""The data of charts that matplotlib draws, which comes with their pictures."""

import json

import pytest
from host import OK

pytest.importorskip("matplotlib")
pytest.importorskip("pandas")

CHART = "application/vnd.ci.chart+json"
IMPORTS = "import matplotlib.pyplot as plt, numpy as np, pandas as pd, datetime as dt\n"


def refuse(constant):
    raise AssertionError("not JSON: " + constant)


@pytest.fixture(scope="module")
def plot(forkers, tmp_path_factory):
    """Runs a cell that draws one figure and returns its data."""
    folder = tmp_path_factory.mktemp("charts")
    kernel = forkers("data").kernel(folder, HOME=str(folder), MPLBACKEND="agg")

    def run(text):
        result = kernel.run(IMPORTS + text + ";")
        assert result.outcome == OK, result.traceback
        assert [mime for mime, _, _ in result.items] == ["image/png", CHART], result
        data = json.loads(result.items[1][1], parse_constant=refuse)
        assert data["version"] == 1
        return data

    yield run
    kernel.end()


@pytest.fixture
def axes(plot):
    def run(text):
        data = plot(text)
        assert len(data["axes"]) == 1 and data["type"] == data["axes"][0]["type"]
        return data["axes"][0]

    return run


def test_a_line_says_all_there_is_of_it(axes):
    found = axes(
        "plt.plot([1, 2, 3], [0.1 + 0.2, float('nan'), float('inf')], label='one')\nplt.axhline(2)\nplt.yscale('log')\n"
        "plt.title('Title'); plt.xlabel('time (s)'); plt.legend(title='kinds'); plt.xlim(0, 4)"
    )
    assert (found["type"], found["title"]) == ("line", "Title")
    assert found["x"] == {"label": "time (s)", "kind": "number", "scale": "linear", "limits": [0, 4]}
    assert (found["y"]["label"], found["y"]["scale"]) == (None, "log")
    assert found["legend"] == {"title": "kinds", "labels": ["one"]}
    assert found["series"] == [
        {"type": "line", "label": "one", "columns": ["x", "y"], "total": 3, "points": [[1, 0.3], [2, None], [3, None]]},
        {"type": "hline", "label": None, "columns": ["y"], "total": 1, "points": [[2]]},
    ]


@pytest.mark.parametrize(
    "text, kind, columns, points",
    [
        ("plt.scatter([1, 2], [3, 4])", "scatter", ["x", "y"], [[1, 3], [2, 4]]),
        ("plt.scatter([1, 2], [3, 4], c=[5, 6])", "scatter", ["x", "y", "value"], [[1, 3, 5], [2, 4, 6]]),
        ("plt.plot([1, 2], [3, 4], 'o')", "scatter", ["x", "y"], [[1, 3], [2, 4]]),
        ("plt.bar(['a', 'b'], [3, 4])", "bar", ["x", "y"], [["a", 3], ["b", 4]]),
        ("plt.bar(['a', 'b'], [3, 4], bottom=[1, 2])", "bar", ["x", "y", "base"], [["a", 4, 1], ["b", 6, 2]]),
        ("plt.bar(['a'], [3], yerr=[1])", "bar", ["x", "y", "low", "high"], [["a", 3, 2, 4]]),
        ("plt.bar([0], [3]); plt.plot([0, 0], [2, 5])", "bar", ["x", "y", "low", "high"], [[0, 3, 2, 5]]),
        ("plt.barh(['a', 'b'], [3, 4])", "barh", ["y", "x"], [["a", 3], ["b", 4]]),
        ("plt.hist([1, 1, 2, 5], bins=2)", "histogram", ["from", "to", "count"], [[1, 3, 3], [3, 5, 1]]),
        (
            "plt.hist([1, 1, 2, 5], bins=2, histtype='step')",
            "histogram",
            ["from", "to", "count"],
            [[1, 3, 3], [3, 5, 1]],
        ),
        (
            "plt.hist([1, 1, 2, 5], bins=2, histtype='stepfilled', orientation='horizontal')",
            "histogram",
            ["from", "to", "count"],
            [[1, 3, 3], [3, 5, 1]],
        ),
        ("plt.stairs([3, 1], [0, 1, 2])", "step", ["from", "to", "value"], [[0, 1, 3], [1, 2, 1]]),
        ("plt.step([1, 2], [3, 4])", "step", ["x", "y"], [[1, 3], [2, 4]]),
        ("plt.pie([1, 3], labels=['a', 'b'])", "pie", ["label", "share"], [["a", 0.25], ["b", 0.75]]),
        ("plt.stem([1, 2], [3, 4])", "stem", ["x", "y"], [[1, 3], [2, 4]]),
        ("plt.vlines([1, 2], 0, [3, 4])", "segments", ["x1", "y1", "x2", "y2"], [[1, 0, 1, 3], [2, 0, 2, 4]]),
        ("plt.fill_between([1, 2], [3, 4], [5, 7])", "area", ["x", "low", "high"], [[1, 3, 5], [2, 4, 7]]),
        (
            "plt.errorbar([1, 2], [3, 4], yerr=[[1, 2], [0.5, 0.5]], xerr=1)",
            "errorbar",
            ["x", "y", "x_low", "x_high", "y_low", "y_high"],
            [[1, 3, 0, 2, 2, 3.5], [2, 4, 1, 3, 2, 4.5]],
        ),
        (
            "plt.boxplot([[1, 2, 3, 4, 50], [2, 3, 4]]); plt.xticks([1, 2], ['u', 'v'])",
            "box",
            ["at", "low", "q1", "median", "q3", "high"],
            [["u", 1, 2, 3, 4, 4], ["v", 2, 2.5, 3, 3.5, 4]],
        ),
        (
            "plt.boxplot([[1, 2, 3, 4, 50]], vert=False, patch_artist=True, notch=True, showmeans=True)",
            "box",
            ["at", "low", "q1", "median", "q3", "high", "mean"],
            [["1", 1, 2, 3, 4, 4, 12]],
        ),
        ("plt.hexbin([0, 0, 1], [0, 0, 1], gridsize=2)", "hexbin", ["x", "y", "value"], None),
        ("plt.subplot(projection='3d').scatter([1], [2], [3])", "scatter", ["x", "y", "z"], [[1, 2, 3]]),
        ("plt.subplot(projection='3d').plot([1, 4], [2, 5], [3, 6])", "line", ["x", "y", "z"], [[1, 2, 3], [4, 5, 6]]),
    ],
)
def test_kinds_of_charts(axes, text, kind, columns, points):
    found = axes(text)
    assert found["type"] == kind and "unread" not in found
    (series,) = found["series"]
    assert (series["type"], series["columns"]) == (kind, columns)
    assert points is None or (series["points"], series["total"]) == (points, len(points))


@pytest.mark.parametrize(
    "text, points",
    [
        ("plt.plot([dt.date(2020, 1, 1), dt.date(2020, 1, 2)], [1, 2])", [["2020-01-01", 1], ["2020-01-02", 2]]),
        ("plt.scatter([dt.datetime(2020, 1, 1, 10, 30)], [1])", [["2020-01-01T10:30:00", 1]]),
        ("plt.plot(np.array(['2020-01-01T00:00:00.123456', 'NaT'], 'M8[us]'), [1, 2])", None),
        ("pd.Series([1, 2], index=pd.date_range('2020', periods=2)).plot()", [["2020-01-01", 1], ["2020-01-02", 2]]),
        (
            "pd.Series([1, 2], index=pd.period_range('2020-01', periods=2, freq='M')).plot()",
            [["2020-01", 1], ["2020-02", 2]],
        ),
        (
            "pd.Series([1, 2], index=pd.to_datetime(['2020-01-01', '2020-03-05'])).plot()",
            [["2020-01-01", 1], ["2020-03-05", 2]],
        ),
        ("plt.bar([dt.date(2020, 1, 1)], [1])", [["2020-01-01", 1]]),
    ],
)
def test_dates_are_iso(axes, text, points):
    found = axes(text)
    assert found["x"]["kind"] == "date" and all(isinstance(limit, str) for limit in found["x"]["limits"])
    assert found["series"][0]["points"] == (points or [["2020-01-01T00:00:00.123460", 1], [None, 2]])


def test_categories_and_labels_put_at_ticks_are_names(axes):
    found = axes("plt.scatter(['a', 'b', 'a'], [1, 2, 3])")
    assert (found["x"]["kind"], found["x"]["categories"]) == ("category", ["a", "b"])
    assert found["series"][0]["points"] == [["a", 1], ["b", 2], ["a", 3]]
    found = axes("pd.DataFrame({'p': [1, 2], 'q': [3, 4]}, index=['r', 's']).plot.bar()")
    assert found["x"]["ticks"] == [[0, "r"], [1, "s"]] and found["legend"]["labels"] == ["p", "q"]
    assert [(s["label"], s["points"]) for s in found["series"]] == [
        ("p", [["r", 1], ["s", 2]]),
        ("q", [["r", 3], ["s", 4]]),
    ]
    found = axes("plt.plot([0, 1, 2], [5, 6, 7]); plt.xticks([0, 2], ['first', 'last'])")
    assert found["series"][0]["points"] == [[0, 5], [1, 6], [2, 7]]
    assert found["x"]["ticks"] == [[0, "first"], [2, "last"]]


@pytest.mark.parametrize(
    "text, kind",
    [
        ("pd.DataFrame({'a': [1, 2, 9]}).plot.box()", "box"),
        ("pd.DataFrame({'a': [1, 2, 9]}).plot.hist(bins=3)", "histogram"),
        ("pd.DataFrame({'a': [1, 2, 9], 'b': [1, 2, 3]}).plot.scatter(x='a', y='b')", "scatter"),
        ("pd.DataFrame({'a': [1, 2, 9]}).plot.area()", "area"),
        ("pd.Series([1, 2], index=['k', 'l']).plot.pie()", "pie"),
        ("pd.Series([1, 2], index=['k', 'l']).plot.barh()", "barh"),
    ],
)
def test_plots_of_pandas(axes, text, kind):
    assert axes(text)["type"] == kind


def test_images_and_heat_maps(axes):
    found = axes("plt.imshow([[1, np.nan, 3], [4, 5, 6]]); plt.colorbar(label='heat')")
    (grid,) = found["series"]
    assert (grid["type"], grid["shape"], grid["range"], grid["valueLabel"]) == ("heatmap", [2, 3], [1, 6], "heat")
    assert grid["values"] == [[1, None, 3], [4, 5, 6]]
    assert axes("plt.pcolormesh([[1, 2], [3, 4]])")["series"][0]["values"] == [[1, 2], [3, 4]]
    large = axes("plt.imshow(np.arange(300 * 400).reshape(300, 400))")["series"][0]
    assert (large["shape"], large["range"]) == ([300, 400], [0, 119999])
    assert large["values"][1][1] == large["every"][0] * 400 + large["every"][1]
    assert len(large["values"]) * len(large["values"][0]) <= 2500
    assert axes("plt.imshow(np.zeros((2, 2, 3)))")["series"] == [{"type": "image", "label": None, "shape": [2, 2, 3]}]


def test_several_axes(plot):
    data = plot(
        "plt.subplots(1, 2); plt.suptitle('both'); plt.plot([1, 2]); plt.title('right'); plt.twinx().bar([0], [1])"
    )
    assert (data["type"], data["title"]) == ("composite", "both")
    assert [(a["type"], a["title"], a.get("twin")) for a in data["axes"]] == [
        ("unknown", None, None),
        ("line", "right", None),
        ("bar", None, 1),
    ]
    assert plot("plt.plot([1]); plt.bar([0], [1])")["type"] == "composite"


def test_points_and_series_are_bounded(axes):
    (series,) = axes("plt.plot(np.arange(10**6) % 1000)")["series"]
    assert (series["total"], len(series["points"]), series["ranges"]) == (
        10**6,
        1000,
        {"x": [0, 999999], "y": [0, 999]},
    )
    assert (series["points"][0], series["points"][-1]) == ([0, 0], [999999, 999])
    found = axes("for i in range(150): plt.plot(np.arange(100))")
    assert (len(found["series"]), found["unread"]) == (100, 50)
    assert sum(len(series["points"]) for series in found["series"]) < 5500
    found = axes("plt.bar(np.arange(2000), np.arange(2000), 0.5)")
    assert (found["series"][0]["total"], len(found["series"][0]["points"])) == (2000, 1000)
    assert len(axes("plt.plot([1]); plt.title('i' * 2000, fontsize=1)")["title"]) == 500
    (series,) = axes("plt.rcParams['xtick.labelsize'] = 0.1\nplt.bar(['i' * 9000], [1]); plt.rcdefaults()")["series"]
    assert series["points"] == [["i" * 500, 1]]


def test_what_is_not_known_is_counted(axes):
    found = axes("plt.plot([1, 2]); plt.gca().add_patch(plt.Circle((0, 0), 1))")
    assert (found["type"], len(found["series"]), found["unread"]) == ("line", 1, 1)
    found = axes("plt.contourf([[1, 2], [3, 4]])")
    assert (found["type"], found["series"]) == ("unknown", []) and found["unread"] > 0


def test_a_chart_that_cannot_be_read_is_a_picture(make):
    kernel = make("data", MPLBACKEND="agg")
    odd = (
        "class Odd(plt.Axes):\n    name = 'odd'\n    def get_title(self, loc='center'): raise %s('no')\n"
        "from matplotlib.projections import register_projection\nregister_projection(Odd)\n"
        "plt.subplot(projection='odd').plot([1])\nprint('end')"
    )
    result = kernel.run(IMPORTS + odd % "RuntimeError")
    assert (result.outcome, result.stderr, [mime for mime, _, _ in result.items]) == (OK, b"", ["image/png"])
    assert kernel.run("plt.plot([1]);").items[1][0] == CHART


def test_data_is_read_only_of_charts_that_are_shown(make):
    kernel = make("data", MPLBACKEND="agg")
    kernel.run(
        IMPORTS
        + "asked = []\nget = plt.Axes.get_title\nplt.Axes.get_title = lambda *a, **k: asked.append(1) or get(*a, **k)"
    )
    kernel.run("plt.plot([1]); plt.savefig('f.png'); plt.close()")
    assert kernel.value("len(asked)") == "0"
    kernel.run("plt.plot([1]);")
    assert kernel.value("len(asked) > 0") == "True"
