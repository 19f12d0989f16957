"""The axes of matplotlib's charts: what their numbers mean. Nothing here imports matplotlib; who calls has it."""

from .private import BUILTINS as __builtins__  # noqa: F401

import sys
from functools import partial
from math import isfinite

TEXT_MAX = 500
NAMES_MAX = 200


def number(value):
    """A number as JSON has it: None for what is none, an integer where it is whole, and without the noise of binary
    fractions."""
    value = float(value)
    if not isfinite(value):
        return None
    return int(value) if value.is_integer() and abs(value) < 1e15 else float("%.12g" % value)


def numbers(values):
    """The same of an array. What is masked in it is None."""
    if hasattr(values, "filled"):
        values = values.astype(float).filled(float("nan"))
    return [number(value) for value in values.tolist()]


def text(value):
    """A text of a chart, or None of an empty one."""
    value = str(value).strip()
    return value[:TEXT_MAX] or None


def _dates(values):
    """ISO 8601 in UTC, no finer than it must be. A day's fraction as a float is exact to some microseconds."""
    import numpy

    micros = (numpy.asarray(values) * 8_640_000_000).round().astype("int64") * 10
    units = (("D", 86_400_000_000), ("s", 1_000_000), ("ms", 1000), ("us", 1))
    unit = next(unit for unit, size in units if not (micros % size).any())
    moments = numpy.datetime64(sys.modules["matplotlib.dates"].get_epoch(), "us") + micros.astype("timedelta64[us]")
    return moments.astype("datetime64[%s]" % unit).astype(str).tolist()


def _periods(frequency, values):
    period = sys.modules["pandas"].Period
    return [str(period(ordinal=int(value), freq=frequency)) for value in values]


def _times_of_day(values):
    return ["%02d:%02d:%02d" % (v // 3600, v // 60 % 60, v % 60) for v in values]


class Axis:
    """An axis of a chart, and values on it: kind is "number", "date" or "category"."""

    def __init__(self, axis):
        self._axis = axis
        self.kind = "number"
        self._names = {}  # by position
        self._by_hand = False  # the names are labels that somebody has put there
        self._convert = None
        self._find_kind()
        if self.kind == "number":
            self._find_labels()

    def _find_kind(self):
        axis = self._axis
        converter = axis.get_converter() if hasattr(axis, "get_converter") else axis.converter
        name = type(converter).__name__
        frequency = getattr(axis, "freq", None)
        if name == "StrCategoryConverter":
            self.kind = "category"
            self._names = {position: str(name)[:TEXT_MAX] for name, position in axis.units._mapping.items()}
        elif name == "PeriodConverter" and frequency is not None:
            self.kind, self._convert = "date", partial(_periods, frequency)
        elif name == "TimeConverter":
            self.kind, self._convert = "date", _times_of_day
        elif "Date" in name or "Date" in type(axis.get_major_formatter()).__name__:
            self.kind, self._convert = "date", _dates

    def _find_labels(self):
        """Labels that were set by hand, at the ticks."""
        formatter = self._axis.get_major_formatter()
        fixed = type(formatter).__name__ == "FixedFormatter" or isinstance(getattr(formatter, "func", None), partial)
        if not fixed:
            return
        labels = [label.get_text()[:TEXT_MAX] for label in self._axis.get_majorticklabels()]
        names = {number(at): label for at, label in zip(self._axis.get_majorticklocs(), labels) if label.strip()}
        names.pop(None, None)
        self._names, self._by_hand = names, True

    def values(self, values):
        """An array of positions as JSON has them."""
        if self._convert is not None:
            return self._converted(values)
        plain = numbers(values)
        if self._names and all(value in self._names for value in plain if value is not None):
            return [self._names[value] if value is not None else None for value in plain]
        return plain

    def _converted(self, values):
        if hasattr(values, "filled"):
            values = values.astype(float).filled(float("nan"))
        known = [value for value in values.tolist() if isfinite(value)]
        try:
            found = iter(self._convert(known))
        except (ValueError, OverflowError):  # before the year 1, say
            return numbers(values)
        return [next(found) if isfinite(value) else None for value in values.tolist()]

    def places(self, values):
        """Positions of things that stand beside each other, as bars do, by the names that they stand at. Bars of a
        group lie a little off their tick."""
        if not self._names:
            return self.values(values)
        found = []
        for value in numbers(values):
            nearest = min(self._names, key=lambda at: abs(at - value)) if value is not None else None
            near = nearest is not None and abs(nearest - value) < 0.5
            found.append(self._names[nearest] if near else value)
        return found

    def describe(self):
        axis = self._axis
        found = {"label": text(axis.get_label().get_text()), "kind": self.kind, "scale": axis.get_scale()}
        if self.kind == "category":
            found["categories"] = list(self._names.values())[:NAMES_MAX]
        else:
            import numpy

            found["limits"] = self._limits(numpy.asarray(axis.get_view_interval(), float))
        if self._by_hand:
            found["ticks"] = [[at, name] for at, name in list(self._names.items())[:NAMES_MAX]]
        return found

    def _limits(self, limits):
        return self.values(limits) if self._convert is not None else numbers(limits)
