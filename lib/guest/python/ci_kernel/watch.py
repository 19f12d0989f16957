"""Notices that a library is imported, and when, and changes it then: nothing is imported for the sake of rich output."""

from .private import BUILTINS as __builtins__  # noqa: F401

import sys
from importlib.machinery import PathFinder
from time import time_ns


class Watcher:
    """A finder that finds nothing of its own."""

    def __init__(self):
        self._wanted = {}
        self.imported = {}  # when modules were looked for, by name: nanoseconds since 1970

    def add(self, name, function):
        """Calls the function with the module, now or when it has been imported."""
        self._wanted[name] = function
        if name in sys.modules:
            function(sys.modules[name])

    def watch(self):
        """Called before each cell, which may have thrown this out of the import system."""
        if self not in sys.meta_path:
            sys.meta_path.insert(0, self)

    def find_spec(self, name, path=None, target=None):
        """The import system's question. The answer is what it would find without us, with a loader that tells us."""
        self.imported[name] = time_ns()
        function = self._wanted.get(name)
        if function is None:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is None or spec.loader is None:
            return None
        loader = spec.loader
        execute = loader.exec_module

        def exec_module(module):
            del loader.exec_module
            execute(module)
            function(module)

        loader.exec_module = exec_module
        return spec
