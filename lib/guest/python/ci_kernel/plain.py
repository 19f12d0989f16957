"""The plain interpreter: what the kernel asks of a front end, done without IPython."""

from .private import BUILTINS as __builtins__  # noqa: F401

from .failure import name_of, text_of
from .figures import is_figure
from .rich import representations


def failed_repr(value, error):
    """What stands for a value whose repr() raised."""
    return "<%s object; repr() raised %s: %s>" % (
        type.__dict__["__name__"].__get__(type(value)),
        name_of(error),
        text_of(error, "<exception str() failed>"),
    )


class Plain:
    """A front end: turns source that is not Python into Python, and values into what is shown of them."""

    version = None

    def __init__(self):
        self.outputs = {}  # Out
        self._items = self._render_figure = None

    def attach(self, items, render_figure):
        """Connects it with the kernel that runs."""
        self._items = items
        self._render_figure = render_figure

    def publish(self, bundle):
        """Displays an object given by its representations."""
        self._items.publish(bundle)

    def transform(self, source):
        """Python for a text that is none, or None."""

    def transform_tree(self, tree):
        return tree

    def begin(self, text, count):
        """A cell is about to run."""

    def end(self):
        """A cell has run."""

    def bundle(self, value):
        """A value's representations by MIME type."""
        bundle = {"image/png": self._render_figure(value)} if is_figure(value) else representations(value)
        try:
            bundle["text/plain"] = repr(value)
        except Exception as error:
            bundle["text/plain"] = failed_repr(value, error)
        return bundle
