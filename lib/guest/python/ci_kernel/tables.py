"""pandas' tables as data: Tabular Data Resources of the Frictionless standards, which front ends know how to show, with
the first rows and how many there are in all. pandas is never imported here.
"""

from .private import BUILTINS as __builtins__  # noqa: F401

import sys
from math import isfinite
from numbers import Integral, Real

ROWS_MAX = 100
COLUMNS_MAX = 100
TEXT_MAX = 1000
_TYPES = {"i": "integer", "u": "integer", "f": "number", "b": "boolean", "M": "datetime", "m": "duration"}


def table(value):
    """A data frame's or a series' data as what JSON can say, or None when it is neither or cannot be read."""
    pandas = sys.modules.get("pandas")
    if pandas is None or not isinstance(value, (pandas.DataFrame, pandas.Series)):
        return None
    is_series = isinstance(value, pandas.Series)
    rows, columns = len(value), 1 if is_series else len(value.columns)
    if is_series:
        part = value.iloc[:ROWS_MAX].to_frame("values" if value.name is None else value.name)
    else:
        part = value.iloc[:ROWS_MAX, :COLUMNS_MAX]
    names, key, series = [], [], []
    if not _only_counts(pandas, part.index):
        for level, name in enumerate(part.index.names):
            default = "index" if part.index.nlevels == 1 else "level_%d" % level
            key.append(_unique(default if name is None else name, names))
            series.append(part.index.get_level_values(level))
    for at, name in enumerate(part.columns):
        _unique(name, names)
        series.append(part.iloc[:, at])
    fields = [{"name": n, "type": _type(s.dtype), "dtype": str(s.dtype)[:TEXT_MAX]} for n, s in zip(names, series)]
    data = zip(*([_cell(cell) for cell in one.tolist()] for one in series))
    schema = {"fields": fields, **({"primaryKey": key} if key else {})}
    return {
        "profile": "tabular-data-resource",
        "schema": schema,
        "data": [dict(zip(names, row)) for row in data],
        "totalRows": rows,
        "totalColumns": columns,
    }


def _only_counts(pandas, index):
    return isinstance(index, pandas.RangeIndex) and index.start == 0 and index.step == 1 and index.name is None


def _unique(name, names):
    """Adds a column's name to the others, made to differ from them."""
    plain = ", ".join(map(str, name)) if isinstance(name, tuple) else str(name)
    plain = found = plain[:TEXT_MAX]
    count = 1
    while found in names:
        count += 1
        found = "%s_%d" % (plain, count)
    names.append(found)
    return found


def _type(dtype):
    """The Table Schema's name of a column's type."""
    name = str(dtype).lower()
    if name in ("string", "category", "str") or name.startswith("string["):
        return "string" if name != "category" else "any"
    if name.startswith("datetime64"):
        return "datetime"
    if name == "boolean":
        return "boolean"
    return _TYPES.get(getattr(dtype, "kind", "O"), "any")


def _cell(value):
    """A cell as JSON has it; what is missing is None."""
    if value is None or isinstance(value, (bool, str)):
        return value[:TEXT_MAX] if isinstance(value, str) else value
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return float(value) if isfinite(value) else None
    text = str(value.isoformat()) if hasattr(value, "isoformat") else str(value)
    return None if text in ("NaT", "<NA>") else text[:TEXT_MAX]
