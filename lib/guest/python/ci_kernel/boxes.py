"""Box plots in matplotlib are lines that nothing holds together: two whiskers, two caps, a median, perhaps outliers,
one box after the other. This finds them again."""

from .private import BUILTINS as __builtins__  # noqa: F401


def find_boxes(lines, upright):
    """Returns the boxes, a list of {at, low, q1, median, q3, high, outliers, perhaps mean}, and their lines."""
    along, across = (1, 0) if upright else (0, 1)
    shapes = [_shape(line.get_xydata(), along, across) for line in lines]
    found, used = [], []
    at = 0
    while at + 5 <= len(lines):
        box = _box(shapes[at : at + 5])
        if box is None:
            at += 1
            continue
        first = at - 1 if at > 0 and _is_outline(lines[at - 1], box, along) else at
        at += 5
        marks = []
        while at < len(lines) and len(marks) < 2 and _is_marks(lines[at], box, across):
            marks.append(lines[at].get_xydata()[:, along])
            at += 1
        if len(marks) == 2 and len(marks[0]) == 1:
            box["mean"] = marks.pop(0)[0]
        if marks:
            box["outliers"] = marks[0]
        used += lines[first:at]
        found.append(box)
    return found, used


def _shape(points, along, across):
    """("along", place, from, to) of a stroke in the direction of the box, ("across", height, middle) of one that is at
    right angles to it, or None."""
    if points.shape != (2, 2):
        return None
    (x0, y0), (x1, y1) = points[:, [across, along]].tolist()
    if x0 == x1:
        return "along", x0, y0, y1
    return ("across", y0, (x0 + x1) / 2) if y0 == y1 else None


def _box(shapes):
    if None in shapes or [shape[0] for shape in shapes] != ["along"] * 2 + ["across"] * 3:
        return None
    (_, place, q1, low), (_, other, q3, high), lower_cap, upper_cap, median = shapes
    if place != other or (lower_cap[1], upper_cap[1]) != (low, high) or not low <= q1 <= median[1] <= q3 <= high:
        return None
    return {"at": place, "low": low, "q1": q1, "median": median[1], "q3": q3, "high": high, "outliers": _nothing()}


def _nothing():
    import numpy

    return numpy.empty(0)


def _is_outline(line, box, along):
    points = line.get_xydata()
    heights = points[:, along]
    return len(points) >= 5 and (heights.min(), heights.max()) == (box["q1"], box["q3"])


def _is_marks(line, box, across):
    """Markers without a line, at the box's place: its mean, or outliers, of which there may be none."""
    points = line.get_xydata()
    without = line.get_linestyle() in ("None", "none", " ", "")
    return without and bool((points[:, across] == box["at"]).all())
