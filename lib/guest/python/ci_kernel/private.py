"""What the kernel keeps for itself, so that code which changes the interpreter under it cannot break it.

Every module of the package begins with `from .private import BUILTINS as __builtins__`: functions look built-in names
up in their module's `__builtins__`, which thus is a copy that `del builtins.len` does not reach. For the same reason
functions of other modules are imported by name, at the top.
"""

import builtins
import os
import sys

__builtins__ = BUILTINS = vars(builtins).copy()

PACKAGE = os.path.dirname(__file__)  # as it stands in the file names of code
ROOT = os.path.dirname(PACKAGE)

# Marks the file names under which cells are compiled.
CELL_PREFIX = "<cell "


class Essentials:
    """The parts of the interpreter without which no cell can run, put back where a cell has taken them away.

    What code replaces by something that works stays replaced. Made before a fork where there is one, because to copy a
    dictionary is to write to every page that one of its values lies in.
    """

    def __init__(self, main):
        self.main = main
        self._builtins = vars(builtins).copy()
        self._checked = self._builtins.copy()
        self._modules = sys.modules
        self._loaded = self._modules.copy()

    def restore(self):
        """Called before each cell."""
        try:
            unchanged = vars(builtins) == self._checked
        except BaseException:  # an __eq__ of something put there
            unchanged = False
        if not unchanged:
            self.restore_builtins(only_broken=True)
        if sys.modules is not self._modules:
            sys.modules = self._modules
        if "sys" not in self._modules or "builtins" not in self._modules:
            for name, module in self._loaded.items():
                self._modules.setdefault(name, module)
        self._modules["__main__"] = self.main
        vars(self.main)["__builtins__"] = builtins

    def restore_builtins(self, only_broken=False):
        """Puts back the built-in names that are gone or can no longer be called, or else all of them."""
        current = vars(builtins)
        for name, value in self._builtins.items():
            if name not in current or not only_broken or (callable(value) and not callable(current[name])):
                current[name] = value
        self._checked = current.copy()
