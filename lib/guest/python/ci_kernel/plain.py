"""The plain interpreter: what the kernel asks of a front end, done without IPython."""

from .private import BUILTINS as __builtins__  # noqa: F401

import builtins

from .failure import name_of, text_of
from .figures import is_figure
from .libraries import extras
from .rich import representations


def safe_repr(value):
    """repr(value), or what stands for it when that raises."""
    try:
        return repr(value)
    except Exception as error:
        name = type.__dict__["__name__"].__get__(type(value))
        message = text_of(error, "<exception str() failed>")
        return "<%s object; repr() raised %s: %s>" % (name, name_of(error), message)


class Plain:
    """A front end: turns source that is not Python into Python, and values into what is shown of them."""

    version = None

    def __init__(self):
        self.outputs = {}  # Out
        self._items = self._figure_bundle = None
        self.updates = {}  # what is displayed anew at the end of the cell, by name
        builtins.display = self.display

    def attach(self, items, figure_bundle, after_command):
        """Connects it with the kernel that runs."""
        self._items = items
        self._figure_bundle = figure_bundle

    def publish(self, bundle):
        """Displays an object given by its representations."""
        self._items.publish(bundle)

    def publish_updates(self):
        """Displays the last state of what has been updated."""
        updates = list(self.updates.values())
        self.updates.clear()
        for bundle in updates:
            self.publish(bundle)

    def display(self, *values, **options):
        """Shows values with all their forms. What IPython's has for options is taken and left."""
        for value in values:
            bundle = self.bundle(value)
            if bundle.keys() - {"text/plain"} or not is_figure(value):
                self.publish(bundle)

    def transform(self, source):
        """Python for a text that is none, or None."""

    def transform_tree(self, tree):
        return tree

    def begin(self, text, count):
        """A cell is about to run."""

    def end(self):
        """A cell has run."""

    def forget(self):
        """The cell that has run was nobody's."""

    def take_failure(self):
        """An exception of the cell's code that has been caught on the way, or None."""

    def bundle(self, value):
        """A value's representations by MIME type."""
        figure = is_figure(value)
        bundle = self._figure_bundle(value) if figure else extras(value)
        if not figure and "text/plain" not in bundle:
            bundle = {**representations(value), **bundle}
        return {"text/plain": safe_repr(value), **bundle}
