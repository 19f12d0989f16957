"""What is drawn in the axes of a matplotlib chart, as series: {"type", "label", "columns", "points", …}. Nothing here
imports matplotlib; who calls has it.
"""

from .private import BUILTINS as __builtins__  # noqa: F401

from .axes import number, numbers, text
from .boxes import find_boxes

POINTS_MAX = 1000  # of a series
ALL_POINTS_MAX = 5000  # of a chart
SERIES_MAX = 100  # of a chart
CELLS_MAX = 2500  # of a heat map
OUTLIERS_MAX = 100  # of a box


def _label(artist):
    """The label somebody has given it, or None."""
    label = artist.get_label()
    return None if label is None or str(label).startswith("_") else text(label)


def _scale(artist):
    """What the colour bar says of an artist's values."""
    colorbar = getattr(artist, "colorbar", None)
    label = text(colorbar.ax.get_ylabel() or colorbar.ax.get_xlabel()) if colorbar is not None else None
    return {"valueLabel": label} if label is not None else {}


def _is_upright(vertices):
    """Whether an area lies between two heights, not between two widths."""
    half = (len(vertices) - 3) // 2
    return bool((vertices[1 : half + 1, 0] == vertices[half + 2 : 2 * half + 2, 0][::-1]).all())


class Series:
    """Reads axes, one after the other, within bounds that hold for the whole chart."""

    def __init__(self):
        import numpy

        self._numpy = numpy
        self._points_left = ALL_POINTS_MAX
        self._series_left = SERIES_MAX

    def of(self, axes, across):
        """The series of axes, across which lie the axis objects, and how many artists could not be read."""
        self._axes, self._x, self._y = axes, across[0], across[1]
        self._z = across[2] if len(across) > 2 else None
        self._found, self._unread, self._done = [], 0, set()
        # Bars first: their error bars are theirs.
        for container in sorted(axes.containers, key=lambda c: type(c).__name__):
            if id(container) not in self._done:
                self._read(self._container, container)
        self._read(self._boxes, list(axes.lines))
        for artists, function in (
            (axes.lines, self._line),
            (axes.collections, self._collection),
            (self._wedges(), self._pie),
            (axes.patches, self._patch),
            (axes.images, self._image),
        ):
            for artist in artists:
                if id(artist) not in self._done and (isinstance(artist, list) or artist.get_visible()):
                    self._read(function, artist)
        return self._found, self._unread

    def _read(self, function, artist):
        if self._series_left <= 0:
            self._unread += 1
            return
        try:
            function(artist)
        except Exception:  # of a kind, a version or a class that is not known
            self._unread += 1

    def _use(self, *artists):
        self._done.update(map(id, artists))

    def _add(self, kind, label, columns, arrays, readers=(), **more):
        """A series of points; arrays are their columns, readers make JSON of these where they are not mere numbers."""
        total = len(arrays[0])
        if total == 0:
            return
        series = {"type": kind, "label": label, "columns": columns, "total": total, **more}
        readers = [*readers, *[numbers] * (len(arrays) - len(readers))]
        keep = max(min(POINTS_MAX, self._points_left), 2)
        if total > keep:
            series["ranges"] = {
                c: self._range(a, r) for c, a, r in zip(columns, arrays, readers) if a.dtype.kind in "fiu"
            }
            index = self._numpy.linspace(0, total - 1, keep).astype(int)
            arrays = [array[index] for array in arrays]
        self._points_left -= len(arrays[0])
        self._series_left -= 1
        made = [reader(array) for reader, array in zip(readers, arrays)]
        series["points"] = [list(point) for point in zip(*made)]
        self._found.append(series)

    def _range(self, array, reader):
        numpy = self._numpy
        array = array[numpy.isfinite(array)]
        return reader(numpy.array([array.min(), array.max()])) if len(array) else None

    # --- containers ------------------------------------------------------------------------------------------------

    def _container(self, container):
        kind = type(container).__name__
        if kind == "BarContainer":
            self._use(*container.patches, container.errorbar)
            self._bars(container)
        elif kind == "ErrorbarContainer":
            line, caps, bars = container.lines
            self._use(*caps, *bars, *([line] if line is not None else []))
            self._errorbar(container, line, list(bars))
        elif kind == "StemContainer":
            self._use(container.markerline, container.stemlines, container.baseline)
            self._add("stem", _label(container), ["x", "y"], self._xy(container.markerline), self._readers())

    def _readers(self):
        return [self._x.values, self._y.values]

    def _bars(self, container):
        numpy, patches = self._numpy, container.patches
        total = len(patches)
        if total > POINTS_MAX:
            patches = [patches[i] for i in numpy.linspace(0, total - 1, POINTS_MAX).astype(int)]
        upright = getattr(container, "orientation", None) != "horizontal"
        boxes = numpy.array([[*p.get_xy(), p.get_width(), p.get_height()] for p in patches], float).reshape(-1, 4)
        x, y, width, height = boxes.T
        at, wide, base, length = (x, width, y, height) if upright else (y, height, x, width)
        label = _label(container) or (_label(container.patches[0]) if total else None)
        axis, other = (self._x, self._y) if upright else (self._y, self._x)
        along = axis.kind == "number" and self._is_histogram(at, wide)
        if along:
            more = {} if upright else {"orientation": "horizontal"}
            self._add("histogram", label, ["from", "to", "count"], [at, at + wide, length], [axis.values] * 2, **more)
        else:
            columns, arrays = (["x", "y"] if upright else ["y", "x"]), [at + wide / 2, base + length]
            extra = [("base", base)] if base.any() else []
            extra += self._bar_errors(container, upright, at + wide / 2)
            columns += [name for name, _ in extra]
            arrays += [array for _, array in extra]
            readers = [axis.places, *[other.values] * (len(arrays) - 1)]
            self._add("bar" if upright else "barh", label, columns, arrays, readers)
        if total > len(patches) and self._found:
            self._found[-1]["total"] = total

    def _bar_errors(self, container, upright, at):
        """The ends of error bars: the bars' own, or strokes that somebody has put on them, as seaborn does."""
        across = 1 if upright else 0
        if container.errorbar is not None:
            self._use(*container.errorbar.lines[1], *container.errorbar.lines[2])
            ends = self._ends(container.errorbar.lines[2][0], across)
            return [("low", ends[0]), ("high", ends[1])] if len(ends[0]) == len(at) else []
        strokes = {}
        for line in self._axes.lines:
            points = line.get_xydata()
            if points.shape == (2, 2) and points[0, 1 - across] == points[1, 1 - across] and _label(line) is None:
                strokes[number(points[0, 1 - across])] = line, sorted(points[:, across].tolist())
        found = [strokes.get(number(place)) for place in at]
        if not any(found):
            return []
        self._use(*(stroke[0] for stroke in found if stroke))
        ends = self._numpy.array([stroke[1] if stroke else [float("nan")] * 2 for stroke in found])
        return [("low", ends[:, 0]), ("high", ends[:, 1])]

    @staticmethod
    def _is_histogram(at, wide):
        """Bars that touch each other, without names."""
        if len(at) < 2:
            return False
        gaps = abs(at[:-1] + wide[:-1] - at[1:])
        return bool((gaps <= 1e-6 * abs(wide[:-1])).all())

    def _ends(self, collection, coordinate):
        """Both ends of every error bar, as two arrays."""
        nothing = [[float("nan")] * 2] * 2
        ends = [s if len(s) == 2 else nothing for s in collection.get_segments()]
        array = self._numpy.array(ends, float).reshape(-1, 2, 2)
        return array[:, 0, coordinate], array[:, 1, coordinate]

    def _errorbar(self, container, line, bars):
        columns, arrays, readers = ["x", "y"], None, self._readers()
        if line is not None:
            arrays = self._xy(line)
        else:  # only the bars are drawn: their middles
            x, y = self._ends(bars[0], 0), self._ends(bars[0], 1)
            arrays = [(x[0] + x[1]) / 2, (y[0] + y[1]) / 2]
        for name, has, coordinate in (("x", container.has_xerr, 0), ("y", container.has_yerr, 1)):
            if has and bars:
                ends = self._ends(bars.pop(0), coordinate)
                if len(ends[0]) == len(arrays[0]):
                    columns += [name + "_low", name + "_high"]
                    arrays += ends
                    readers += [readers[coordinate]] * 2
        self._add("errorbar", _label(container), columns, arrays, readers)

    # --- lines -----------------------------------------------------------------------------------------------------

    def _boxes(self, lines):
        """Box plots: their parts are lines like others."""
        for upright in (True, False):
            boxes, used = find_boxes([line for line in lines if id(line) not in self._done], upright)
            if not boxes:
                continue
            self._use(*used)
            self._use(*(p for p in self._axes.patches if type(p).__name__ == "PathPatch"))  # boxes that are filled
            axis = self._x if upright else self._y
            places = axis.places(self._numpy.array([box["at"] for box in boxes]))
            columns = ["at", "low", "q1", "median", "q3", "high"]
            more = {"orientation": "vertical" if upright else "horizontal"}
            more["outliers"] = [numbers(box["outliers"][:OUTLIERS_MAX]) for box in boxes]
            columns += ["mean"] if all("mean" in box for box in boxes) else []
            rows = self._numpy.array([[box[c] for c in columns[1:]] for box in boxes])
            self._add("box", None, columns, [self._numpy.array(places, object), *rows.T], [list], **more)

    def _xy(self, line):
        data = line.get_xydata()
        return [data[:, 0], data[:, 1]]

    def _line(self, line):
        if hasattr(line, "get_data_3d"):
            arrays = [self._numpy.asarray(a, float) for a in line.get_data_3d()]
            return self._add("line", _label(line), ["x", "y", "z"], arrays, [*self._readers(), self._z.values])
        transform, arrays = line.get_transform(), self._xy(line)
        if transform == self._axes.get_yaxis_transform(which="grid"):
            return self._add("hline", _label(line), ["y"], [arrays[1][:1]], [self._y.values])
        if transform == self._axes.get_xaxis_transform(which="grid"):
            return self._add("vline", _label(line), ["x"], [arrays[0][:1]], [self._x.values])
        if not transform.contains_branch(self._axes.transData):
            raise ValueError("not in the axes' own coordinates")
        if line.get_linestyle() in ("None", "none", " ", ""):
            kind = "scatter"
        else:
            kind = "step" if line.get_drawstyle().startswith("steps") else "line"
        return self._add(kind, _label(line), ["x", "y"], arrays, self._readers())

    # --- collections -----------------------------------------------------------------------------------------------

    def _collection(self, artist):
        kind = type(artist).__name__
        if kind in ("PathCollection", "Path3DCollection"):
            self._scatter(artist, "scatter")
        elif kind == "QuadMesh":
            self._mesh(artist)
        elif kind == "LineCollection":
            self._segments(artist)
        elif kind in ("PolyCollection", "FillBetweenPolyCollection"):
            if len(artist.get_offsets()) > 1:
                self._scatter(artist, "hexbin")
            else:
                self._areas(artist)
        else:
            raise ValueError(kind)

    def _scatter(self, artist, kind):
        if hasattr(artist, "_offsets3d"):
            columns, arrays = ["x", "y", "z"], [self._numpy.ma.asarray(a) for a in artist._offsets3d]
        else:
            if kind == "scatter" and not artist.get_offset_transform().contains_branch(self._axes.transData):
                raise ValueError("shapes, not points")
            offsets = artist.get_offsets()
            columns, arrays = ["x", "y"], [offsets[:, 0], offsets[:, 1]]
        readers = [*self._readers(), *([self._z.values] if len(columns) > 2 else [])]
        for name, more in (("value", artist.get_array()), ("size", artist.get_sizes())):
            if more is not None and len(more) == len(arrays[0]) > 1 and getattr(more, "ndim", 1) == 1:
                columns.append(name)
                arrays.append(self._numpy.ma.asarray(more))
        self._add(kind, _label(artist), columns, arrays, readers, **_scale(artist))

    def _segments(self, artist):
        segments = [s for s in artist.get_segments() if len(s) == 2]
        points = self._numpy.array(segments, float).reshape(-1, 4)
        self._add("segments", _label(artist), ["x1", "y1", "x2", "y2"], list(points.T), self._readers() * 2)

    def _areas(self, artist):
        for path in artist.get_paths():
            vertices = path.vertices
            half = (len(vertices) - 3) // 2
            if half < 1:
                continue
            upright = _is_upright(vertices)
            if not upright and not _is_upright(vertices[:, ::-1]):
                raise ValueError("not between two lines")
            along, across = (0, 1) if upright else (1, 0)
            there, back = vertices[1 : half + 1], vertices[half + 2 : 2 * half + 2][::-1]
            readers = self._readers() if upright else self._readers()[::-1]
            columns = ["x", "low", "high"] if upright else ["y", "low", "high"]
            low = self._numpy.minimum(there[:, across], back[:, across])
            high = self._numpy.maximum(there[:, across], back[:, across])
            self._add("area", _label(artist), columns, [there[:, along], low, high], readers + readers[1:])

    # --- patches ---------------------------------------------------------------------------------------------------

    def _wedges(self):
        """The pie's slices, as one thing to be read."""
        wedges = [p for p in self._axes.patches if type(p).__name__ == "Wedge"]
        self._use(*wedges)
        return [wedges] if wedges else []

    def _pie(self, wedges):
        numpy = self._numpy
        shares = numpy.array([(wedge.theta2 - wedge.theta1) / 360 for wedge in wedges])
        labels = numpy.array([_label(wedge) for wedge in wedges], object)
        self._add("pie", None, ["label", "share"], [labels, shares], [list, lambda a: numbers(a.round(6))])

    def _patch(self, patch):
        kind = type(patch).__name__
        if kind == "StepPatch":
            values, edges, _ = patch.get_data()
            arrays = [self._numpy.asarray(a, float) for a in (edges[:-1], edges[1:], values)]
            self._steps(patch, "step", "value", arrays, patch.orientation == "vertical")
        elif kind == "Polygon":
            self._outline(patch, patch.get_xy())
        else:
            raise ValueError("a shape")

    def _steps(self, patch, kind, name, arrays, upright):
        along, across = self._readers() if upright else self._readers()[::-1]
        more = {} if upright else {"orientation": "horizontal"}
        self._add(kind, _label(patch), ["from", "to", name], arrays, [along, along, across], **more)

    def _outline(self, patch, points):
        """The outline of a histogram: (edge, base), (edge, count), (next edge, count), (next edge, next count) …, and
        for one that is filled the way back."""
        upright = points[0, 0] == points[1, 0]
        along, across = points.T if upright else points.T[::-1]
        if patch.get_fill():
            there = len(points) // 4 * 2 + 2
            along, across = along[:there], across[:there]
        edges, counts = along[::2], across[1:-1:2]
        if len(along) < 4 or len(along) % 2 or (edges != along[1::2]).any() or (counts != across[2::2]).any():
            raise ValueError("a shape")
        self._steps(patch, "histogram", "count", [edges[:-1], edges[1:], counts], upright)

    # --- images ----------------------------------------------------------------------------------------------------

    def _image(self, image):
        array = image.get_array()
        if array.ndim == 3:  # colours: a photograph, say
            self._series_left -= 1
            self._found.append({"type": "image", "label": _label(image), "shape": list(array.shape)})
        else:
            self._grid(image, array, extent=numbers(self._numpy.array(image.get_extent(), float)))

    def _mesh(self, mesh):
        array = mesh.get_array()
        if array.ndim == 1:
            coordinates = mesh._coordinates
            array = array.reshape(coordinates.shape[0] - 1, coordinates.shape[1] - 1)
        self._grid(mesh, array)

    def _grid(self, artist, array, **more):
        numpy = self._numpy
        if array.dtype.kind not in "fiub":
            raise ValueError("not numbers")
        rows, columns = array.shape
        known = numpy.ma.masked_invalid(array).compressed()
        grid = {"type": "heatmap", "label": _label(artist), "shape": [rows, columns], **more, **_scale(artist)}
        if len(known):
            grid["range"] = [number(known.min()), number(known.max())]
        every = [1, 1]
        while -(-rows // every[0]) * -(-columns // every[1]) > CELLS_MAX:
            every[0 if rows / every[0] >= columns / every[1] else 1] += 1
        if every != [1, 1]:
            grid["every"] = every
        grid["values"] = [numbers(row) for row in array[:: every[0], :: every[1]]]
        self._series_left -= 1
        self._found.append(grid)
