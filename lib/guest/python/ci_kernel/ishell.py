"""IPython as a front end: its shell supplies magics, `!command`, `?`, display and the formatting of values, while cells
are run by this package. Nothing is read from or written to IPython's folders, and no thread is started.

Importing this module imports IPython.
"""

from .private import BUILTINS as __builtins__  # noqa: F401

import builtins
import os
import subprocess
import sys

import IPython
from IPython.core import interactiveshell
from IPython.core.displaypub import DisplayPublisher
from IPython.core.formatters import DisplayFormatter
from IPython.core.interactiveshell import InteractiveShell
from IPython.core.profiledir import ProfileDir
from traitlets import observe
from traitlets.config import Config

from .failure import describe
from .figures import is_figure
from .libraries import extras
from .plain import Plain, safe_repr

# Objects of exactly these types have nothing but text, unless somebody registers more for them.
_TEXT_ONLY = {int, float, complex, bool, str, bytes, list, tuple, dict, set, frozenset}


class _NoProfile(ProfileDir):
    @observe("location")
    def _location_changed(self, change):
        """Makes no folders."""


class _Publisher(DisplayPublisher):
    def publish(self, data, metadata=None, source=None, *, transient=None, update=False, **kwargs):
        """There is no screen on which a thing could be changed: of its updates the last one is shown, when the cell
        ends."""
        name = (transient or {}).get("display_id")
        if update and name is not None:
            self.shell.updates[name] = data
        else:
            self.shell.updates.pop(name, None)
            self.shell.publish_bundle(data)

    def clear_output(self, wait=False):
        """Nor can it be cleared."""


class _Formatter(DisplayFormatter):
    def format(self, obj, include=None, exclude=None):
        figure = is_figure(obj)
        more = self.parent.figure_bundle(obj) if figure else extras(obj)
        if figure or "text/plain" in more:  # IPython has nothing to add
            return ({"text/plain": repr(obj), **more} if more else {}), {}
        bundle, metadata = super().format(obj, include=include, exclude=exclude)
        for mime in more:
            if (not include or mime in include) and (not exclude or mime not in exclude):
                bundle[mime] = more[mime]
        return bundle, metadata


class Shell(InteractiveShell):
    """The shell; a process has one."""

    publish_bundle = staticmethod(lambda bundle: None)  # these are set when a kernel runs
    figure_bundle = staticmethod(lambda figure: {})
    after_command = staticmethod(lambda: None)
    updates = None
    trapped = None  # where a list, exceptions of formatters are put there instead of being shown
    failure = None  # the exception of code that a magic has run

    @observe("ipython_dir")
    def _ipython_dir_changed(self, change):
        """Makes no folder."""

    def init_profile_dir(self, profile_dir):
        self.profile_dir = _NoProfile(location=os.path.join(self.ipython_dir, "profile_default"))

    def init_virtualenv(self):
        """sys.path is the interpreter's own."""

    def init_sys_modules(self):
        """The kernel makes its module `__main__`."""

    def init_user_ns(self):
        super().init_user_ns()
        for name in ("exit", "quit"):  # Python's own end the cell
            self.user_ns.pop(name, None)

    def init_display_formatter(self):
        self.display_formatter = _Formatter(parent=self)
        self.configurables.append(self.display_formatter)

    def enable_gui(self, gui=None):
        """There is no screen."""

    def system(self, command):
        """Runs a shell command with the streams of the cell."""
        shell = next(filter(os.path.exists, (os.environ.get("SHELL", ""), "/bin/bash", "/bin/sh")), None)
        command = self.var_expand(command, depth=1)
        self.user_ns["_exit_code"] = subprocess.call(command, shell=True, executable=shell)
        self.after_command()

    system_piped = system_raw = system

    def showtraceback(self, exc_tuple=None, *args, **kwargs):
        """Formatters come with an exception. Magics that run code, `%%time` and `%run`, come without, and what they
        have caught is how the cell ends."""
        if exc_tuple is None:
            self.failure = sys.exc_info()[1]
        elif self.trapped is not None:
            self.trapped.append(exc_tuple[1])
        else:
            print(describe(exc_tuple[1])[2], end="", file=sys.stderr)

    def showsyntaxerror(self, *args, **kwargs):
        self.showtraceback()


def _show_in_pager(_shell, data, *args, **kwargs):
    print(data.get("text/plain", "") if isinstance(data, dict) else data)


def make_shell(main):
    """Makes the shell for the module whose namespace cells run in."""
    config = Config()
    config.HistoryManager.enabled = False
    config.HistoryManager.hist_file = ":memory:"
    config.InteractiveShell.colors = "NoColor" if IPython.version_info[0] < 9 else "nocolor"
    config.InteractiveShell.display_pub_class = _Publisher
    # The shell's small data base, a folder, becomes a dictionary.
    database = getattr(interactiveshell, "PickleShareDB", None)
    interactiveshell.PickleShareDB = lambda folder: {}
    try:
        shell = Shell.instance(
            config=config, user_module=main, ipython_dir=os.path.join(os.path.expanduser("~"), ".ipython")
        )
    finally:
        interactiveshell.PickleShareDB = database
    shell.display_pub = _Publisher(parent=shell, shell=shell)
    shell.set_hook("show_in_pager", _show_in_pager)
    # For as long as cells run, not only while IPython itself runs one.
    builtins.get_ipython = shell.get_ipython
    shell.builtin_trap.auto_builtins = {}
    return shell


class IPythonFrontEnd(Plain):
    version = IPython.__version__

    def __init__(self, main):
        super().__init__()
        self.shell = make_shell(main)
        self.outputs = self.shell.history_manager.output_hist
        self._warm_up()

    def attach(self, items, figure_bundle, after_command):
        super().attach(items, figure_bundle, after_command)
        self.shell.after_command = after_command
        self.shell.publish_bundle = items.publish
        self.shell.figure_bundle = figure_bundle
        self.shell.updates = self.updates

    def publish(self, bundle):
        self.shell.display_pub.publish(bundle)  # which `%%capture` replaces

    def transform(self, source):
        try:
            return self.shell.transform_cell(source)
        except Exception:  # then the error of the text as it stands is the one to report
            return None

    def transform_tree(self, tree):
        return self.shell.transform_ast(tree) if self.shell.ast_transformers else tree

    def begin(self, text, count):
        shell = self.shell
        shell.failure = None
        shell.execution_count = count
        history = shell.history_manager
        source = text.decode("utf-8", "replace")
        history.input_hist_raw.append(source)
        history.input_hist_parsed.append(source)
        self._trigger("pre_execute")
        self._trigger("pre_run_cell", source)

    def end(self):
        self._trigger("post_execute")
        self._trigger("post_run_cell", None)

    def forget(self):
        history = self.shell.history_manager
        history.input_hist_raw.pop()
        history.input_hist_parsed.pop()

    def take_failure(self):
        failure, self.shell.failure = self.shell.failure, None
        return failure

    def _trigger(self, event, argument=None):
        """Extensions hook in here: autoreload, say. Their callbacks get what IPython gives them."""
        callbacks = self.shell.events.callbacks.get(event)
        if not callbacks:
            return
        if event == "pre_run_cell":
            arguments = [interactiveshell.ExecutionInfo(argument, False, False, True, None)]
        elif event == "post_run_cell":
            info = interactiveshell.ExecutionInfo("", False, False, True, None)
            arguments = [interactiveshell.ExecutionResult(info)]
        else:
            arguments = []
        self.shell.events.trigger(event, *arguments)

    def bundle(self, value):
        shell = self.shell
        shell.trapped = trapped = []
        try:
            formatter = shell.display_formatter
            if type(value) in _TEXT_ONLY and not self._has_more(type(value)):
                text = formatter.formatters["text/plain"](value)
                bundle = {} if text is None else {"text/plain": text}
            else:
                bundle, _ = formatter.format(value)
        finally:
            shell.trapped = None
        if "text/plain" not in bundle and (trapped or is_figure(value)):
            bundle["text/plain"] = safe_repr(value)
        return bundle

    def _has_more(self, cls):
        formatters = self.shell.display_formatter.formatters
        return any(cls in formatter.type_printers for mime, formatter in formatters.items() if mime != "text/plain")

    def _warm_up(self):
        """Does once, before a fork, what is slow the first time."""
        self.transform("!x\n%y\n")
        self.bundle([1, "a", {2.5: None}])
