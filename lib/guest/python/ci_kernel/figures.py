"""matplotlib's figures as items: each a picture, and the data of its chart. matplotlib is never imported here: this
waits until the code does so.

`pyplot.show()` and `Figure.show()` are replaced when pyplot is imported, whatever the backend; what is still open at
the end of a cell is collected then. A figure comes once, and is closed when it has come; one that has changed since it
came, and is open, comes again.
"""

from .private import BUILTINS as __builtins__  # noqa: F401

import sys
from functools import update_wrapper
from io import BytesIO
from weakref import WeakKeyDictionary

from .rich import CHART

_PYPLOT = "matplotlib.pyplot"


def is_figure(value):
    module = sys.modules.get("matplotlib.figure")
    return module is not None and isinstance(value, module.Figure)


def _data(figure):
    """The chart as data, or None."""
    try:
        from .charts import chart  # takes time, which plain code shall not pay for
    except Exception:  # no memory, no descriptor; or code has changed how things are imported
        return None
    return chart(figure)


class Figures:
    def __init__(self, publish, watcher):
        self._publish = publish
        self._delivered = WeakKeyDictionary()  # figure: (the cell, a digest of the picture)
        self._cell = 0
        watcher.add(_PYPLOT, self._install)

    def begin(self):
        """A cell is about to run."""
        self._cell += 1

    def bundle(self, figure):
        """What is shown of a figure that was asked for; it then counts as delivered. Nothing when this very picture has
        come in this cell."""
        return self._new(figure, ever=False)

    def show_all(self):
        """Delivers the figures that are open, in the order of their numbers, and closes them. One that cannot be drawn
        is closed all the same; the first such failure is raised in the end."""
        pyplot = self._pyplot()
        failure = None
        for number, manager in sorted(pyplot._pylab_helpers.Gcf.figs.items()) if pyplot else ():
            try:
                self._deliver(manager.canvas.figure)
            except Exception as error:
                failure = failure or error
            finally:
                pyplot.close(number)
        if failure is not None:
            raise failure

    def discard_all(self):
        pyplot = self._pyplot()
        if pyplot:
            pyplot.close("all")

    def _pyplot(self):
        pyplot = sys.modules.get(_PYPLOT)
        return pyplot if pyplot is not None and pyplot._pylab_helpers.Gcf.figs else None

    def _deliver(self, figure):
        if len(figure.get_children()) < 2:  # there is nothing but the background
            return
        if figure in self._delivered and not figure.stale:
            return
        bundle = self._new(figure, ever=True)
        if bundle:
            self._publish(bundle)

    def _new(self, figure, ever):
        """The figure's forms, or none when the same picture has come already: in this cell, or ever."""
        picture = self._draw(figure)
        digest = hash(picture)
        cell, known = self._delivered.get(figure, (None, None))
        self._delivered[figure] = self._cell, digest
        if digest == known and (ever or cell == self._cell):
            return {}
        bundle = {"image/png": picture}
        data = _data(figure)
        if data is not None:
            bundle[CHART] = data
        return bundle

    @staticmethod
    def _draw(figure):
        out = BytesIO()
        figure.savefig(out, format="png", dpi=figure.dpi, bbox_inches="tight")
        figure.stale = False  # until it is changed, and not by having been drawn
        return out.getvalue()

    def _install(self, pyplot):
        def show(*args, **kwargs):
            self.show_all()

        def show_figure(figure, warn=True):
            bundle = self.bundle(figure)
            if bundle and len(figure.get_children()) > 1:
                self._publish(bundle)
            manager = getattr(figure.canvas, "manager", None)
            if manager is not None and pyplot.fignum_exists(manager.num):
                pyplot.close(manager.num)

        pyplot.show = update_wrapper(show, pyplot.show)
        figure_class = sys.modules["matplotlib.figure"].Figure
        figure_class.show = update_wrapper(show_figure, figure_class.show)
