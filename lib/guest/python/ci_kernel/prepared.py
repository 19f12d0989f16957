"""What a kernel is made of, as far as it can be made before a fork: to write to memory afterwards, if only to count
references, is to copy it page by page.
"""

from .private import BUILTINS as __builtins__  # noqa: F401

import builtins
import sys
import warnings
from time import time_ns
from types import ModuleType
from typing import Dict, List, Optional

from .figures import Figures
from .libraries import Shows
from .plain import Plain
from .private import Essentials
from .watch import Watcher


class Prepared:
    def __init__(self) -> None:
        self.since = time_ns()  # modules are not older
        self.main = ModuleType("__main__")
        vars(self.main)["__builtins__"] = builtins
        self.front_end: Optional[Plain] = None
        self.essentials: Optional[Essentials] = None
        self.figures: Optional[Figures] = None
        self.watcher = Watcher()
        self.loaded: List[str] = []
        self.failed: Dict[str, str] = {}  # modules that were to be loaded too, and why they are not

    def make_front_end(self) -> None:
        """IPython where it works, the plain interpreter otherwise."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                from .ishell import IPythonFrontEnd

                self.front_end = IPythonFrontEnd(self.main)
            except Exception:  # not installed, too old, too new
                self.front_end = Plain()

    def finish(self) -> None:
        """Remembers how things are, when everything has been imported."""
        self.figures = Figures(self.front_end.publish, self.watcher)
        Shows(self.front_end.publish, self.watcher)
        if "matplotlib.pyplot" in sys.modules:
            from . import charts  # noqa: F401
        if "pandas" in sys.modules:
            from . import tables  # noqa: F401
        self.essentials = Essentials(self.main)
