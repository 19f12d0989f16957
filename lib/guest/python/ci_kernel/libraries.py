"""What is known of other libraries' objects beyond what they say of themselves. None of these is imported here."""

from .private import BUILTINS as __builtins__  # noqa: F401

import sys
from functools import update_wrapper

from .rich import TABLE

_PLOTLY = "application/vnd.plotly.v1+json"
_BOKEH = "application/vnd.bokeh.item+json"


def _of_pandas(value):
    from .tables import table  # takes time, which plain code shall not pay for

    found = table(value)
    return {} if found is None else {TABLE: found}


def _of_altair(value):
    """The chart's specification: by itself it offers a page that loads a program from elsewhere."""
    to_dict = getattr(value, "to_dict", None)
    if to_dict is None or not hasattr(value, "to_json"):
        return {}
    chart = to_dict()
    version = str(chart.get("$schema", "")).rpartition("/v")[2].partition(".")[0]
    return {"application/vnd.vegalite.v%s+json" % version: chart} if version.isdigit() else {}


def _of_plotly(value):
    """All there is of a chart: by itself it asks for a browser, or for packages that notebooks need."""
    if not isinstance(value, sys.modules["plotly.basedatatypes"].BaseFigure):
        return {}
    return {
        _PLOTLY: _readable(value.to_plotly_json()),
        "text/html": value.to_html(full_html=False, include_plotlyjs="cdn"),
        "text/plain": "<plotly figure: %s>" % ", ".join(trace.type for trace in value.data[:20]),
    }


def _readable(data):
    """Arrays are packed as base64 where numpy made them; as lists they can be read by anybody."""
    if isinstance(data, dict):
        if data.keys() <= {"dtype", "bdata", "shape"} and "bdata" in data:
            return _unpacked(**data)
        return {key: _readable(value) for key, value in data.items()}
    return [_readable(value) for value in data] if isinstance(data, (list, tuple)) else data


def _unpacked(dtype, bdata, shape=None):
    from base64 import b64decode

    import numpy

    array = numpy.frombuffer(b64decode(bdata), dtype)
    return (array if shape is None else array.reshape([int(n) for n in str(shape).split(",")])).tolist()


def _of_bokeh(value):
    """A page, and the document that pages are made of: by itself it offers a list of its properties."""
    model = sys.modules["bokeh.models"].LayoutDOM
    if not isinstance(value, model):
        return {}
    from bokeh.embed import file_html, json_item

    return {_BOKEH: json_item(value), "text/html": file_html(value), "text/plain": repr(value)}


_KNOWN = {"pandas": _of_pandas, "altair": _of_altair, "plotly": _of_plotly, "bokeh": _of_bokeh}


def extras(value):
    """More forms of an object, by MIME type. Where the text is among them, they are all there are."""
    try:
        for cls in type.mro(type(value)):
            function = _KNOWN.get(cls.__module__.partition(".")[0])
            if function is not None:
                return function(value)
    except Exception:  # of an object, a version or a class that is not known
        pass
    return {}


class Shows:
    """Replaces what these libraries have to open a browser."""

    def __init__(self, publish, watcher):
        self._publish = publish
        for name in ("plotly.io._renderers", "bokeh.io.showing"):
            watcher.add(name, self._install)

    def _install(self, module):
        module.show = update_wrapper(self._instead(module.show), module.show)

    def _instead(self, show):
        def show_here(value, *args, **kwargs):
            if args or kwargs.get("renderer") is not None:
                return show(value, *args, **kwargs)
            bundle = extras(value)
            if not bundle:
                return show(value, **kwargs)
            self._publish(bundle)

        return show_here
