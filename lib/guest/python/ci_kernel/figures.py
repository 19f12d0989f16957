"""matplotlib's figures as PNG items. matplotlib is never imported here: this waits until the code does so.

`pyplot.show()` and `Figure.show()` are replaced when pyplot is imported, whatever the backend; what is still open at
the end of a cell is collected then. A figure comes once, and is closed when it has come.
"""

from .private import BUILTINS as __builtins__  # noqa: F401

import sys
from functools import update_wrapper
from importlib.machinery import PathFinder
from io import BytesIO
from weakref import WeakSet

_PYPLOT = "matplotlib.pyplot"


def is_figure(value):
    module = sys.modules.get("matplotlib.figure")
    return module is not None and isinstance(value, module.Figure)


class Figures:
    def __init__(self, publish):
        self._publish = publish
        self._delivered = WeakSet()
        if _PYPLOT in sys.modules:
            self._install(sys.modules[_PYPLOT])

    def watch(self):
        """Called before each cell: sees to it that an import of pyplot is noticed."""
        if self not in sys.meta_path:
            sys.meta_path.insert(0, self)

    def find_spec(self, name, path=None, target=None):
        """The import system's question. The answer is what it would find without us, with a loader that tells us."""
        if name != _PYPLOT:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is None or spec.loader is None:
            return None
        loader = spec.loader
        execute = loader.exec_module

        def exec_module(module):
            del loader.exec_module
            execute(module)
            self._install(module)

        loader.exec_module = exec_module
        return spec

    def render(self, figure):
        """A figure as PNG; it then counts as delivered."""
        out = BytesIO()
        figure.savefig(out, format="png", dpi=figure.dpi, bbox_inches="tight")
        self._delivered.add(figure)
        return out.getvalue()

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
        if figure in self._delivered or len(figure.get_children()) < 2:  # there is nothing but the background
            return
        self._publish({"image/png": self.render(figure)})

    def _install(self, pyplot):
        def show(*args, **kwargs):
            self.show_all()

        def show_figure(figure, warn=True):
            self._delivered.discard(figure)
            self._deliver(figure)
            manager = getattr(figure.canvas, "manager", None)
            if manager is not None and pyplot.fignum_exists(manager.num):
                pyplot.close(manager.num)

        pyplot.show = update_wrapper(show, pyplot.show)
        figure_class = sys.modules["matplotlib.figure"].Figure
        figure_class.show = update_wrapper(show_figure, figure_class.show)
