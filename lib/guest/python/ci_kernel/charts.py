"""A figure of matplotlib as data, so that a chart can be read and not only be looked at. ../README.md has the schema.

What is known is taken from the artists of a figure that has been drawn. Their data is cut before anything is made of
it, so that a chart of a million points costs little more than one of a thousand.
"""

from .private import BUILTINS as __builtins__  # noqa: F401

from .axes import Axis, text
from .series import Series

VERSION = 1
AXES_MAX = 64
LABELS_MAX = 100


def chart(figure):
    """The chart's data as what JSON can say, or None when it cannot be read."""
    try:
        return _chart(figure)
    except Exception:  # artists may be anybody's; there is the picture
        return None


def _chart(figure):
    series = Series()
    plots = [axes for axes in figure.axes if axes.get_visible() and not _is_colorbar(axes)]
    found = []
    for axes in plots[:AXES_MAX]:
        plot = _plot(axes, series)
        twin = next((i for i, other in enumerate(plots[: len(found)]) if _are_twins(axes, other)), None)
        if twin is not None:
            plot["twin"] = twin
        found.append(plot)
    title = getattr(figure, "_suptitle", None)
    data = {
        "version": VERSION,
        "type": found[0]["type"] if len(found) == 1 else "composite" if found else "unknown",
        "title": text(title.get_text()) if title is not None else None,
        "axes": found,
    }
    if len(plots) > AXES_MAX:
        data["axesTotal"] = len(plots)
    return data


def _is_colorbar(axes):
    return getattr(axes, "_colorbar", None) is not None or axes.get_label() == "<colorbar>"


def _are_twins(one, other):
    twins = getattr(one, "_twinned_axes", None)
    return twins is not None and twins.joined(one, other)


def _title(axes):
    titles = (text(axes.get_title(loc=place)) for place in ("center", "left", "right"))
    return next((title for title in titles if title), None)


def _plot(axes, series):
    across = [Axis(axis) for axis in _axis_objects(axes)]
    found, unread = series.of(axes, across)
    plot = {"type": _type(found), "title": _title(axes)}
    if axes.name != "rectilinear":
        plot["projection"] = axes.name
    if plot["type"] != "pie":
        for name, axis in zip("xyz", across):
            plot[name] = axis.describe()
    legend = _legend(axes)
    if legend is not None:
        plot["legend"] = legend
    plot["series"] = found
    if unread:
        plot["unread"] = unread
    return plot


def _type(found):
    kinds = {one["type"] for one in found}
    kinds = kinds - {"hline", "vline"} or kinds
    if kinds == {"line", "area"}:  # lines within bands, or areas with an outline
        return "area" if any(one["label"] for one in found if one["type"] == "area") else "line"
    return kinds.pop() if len(kinds) == 1 else "composite" if kinds else "unknown"


def _axis_objects(axes):
    return [axes.xaxis, axes.yaxis] + ([axes.zaxis] if axes.name == "3d" else [])


def _legend(axes):
    legend = axes.get_legend()
    if legend is None:
        return None
    labels = [text(label.get_text()) for label in legend.get_texts()[:LABELS_MAX]]
    return {"title": text(legend.get_title().get_text()), "labels": labels}
