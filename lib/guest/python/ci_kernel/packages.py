"""Packages that a session installs: where they go, that they can be imported at once, and which modules they replace.

They go where an interpreter looks for its user's own, ~/.local. A virtual environment has no such place: there the
session gets an environment of its own in that very folder, in which the given one, which nobody can write, is found
behind it. So pip lists, replaces and removes packages as it does anywhere, with no option of libci's.
"""

from .private import BUILTINS as __builtins__  # noqa: F401

import os
import site
import sys
from importlib.machinery import PathFinder

_TOLD_MAX = 64
_DISTRIBUTIONS_MAX = 10000


def make_room():
    """Called in a session's first process, before there is any code of a user. Returns the folders that packages can
    appear in."""
    base, folder = site.getuserbase(), site.getusersitepackages()
    try:
        os.makedirs(folder, exist_ok=True)
        if sys.prefix != sys.base_prefix:
            _make_environment(base, folder)
    except OSError:  # no room left: then nothing can be installed either
        return []
    if folder not in sys.path:
        systems = [i for i, path in enumerate(sys.path) if _is_of_packages(path)]
        sys.path.insert(systems[0] if systems else len(sys.path), folder)
    return _writable_folders()


def _is_of_packages(path):
    return path.endswith(("site-packages", "dist-packages"))


def _writable_folders():
    """More than the one only where the system is the session's own (rootfs)."""
    return [path for path in sys.path if _is_of_packages(path) and os.access(path, os.W_OK)][:4]


def _make_environment(base, folder):
    """The folders of the given environment come by a .pth file, so that its own .pth files count as well."""
    os.makedirs(os.path.join(base, "bin"), exist_ok=True)
    program = os.path.join(base, "bin", "python")
    with open(os.path.join(sys.prefix, "pyvenv.cfg")) as source:
        configuration = source.read()
    below = [path for path in sys.path if _is_of_packages(path) and path.startswith(sys.prefix + os.sep)]
    with open(os.path.join(folder, "_environment.pth"), "w") as target:
        target.writelines("import site; site.addsitedir(%r)\n" % path for path in below)
    with open(os.path.join(base, "pyvenv.cfg"), "w") as target:
        target.write(configuration)
    for name in (program, program + "3"):
        os.symlink(os.path.realpath(sys.executable), name)
    sys.executable = program  # what starts `sys.executable -m pip` means this


class Packages:
    """What a kernel knows of them. since: when (in nanoseconds since 1970) the first of its modules was imported."""

    def __init__(self, since, imported):
        self._since = since
        self._imported = imported  # when modules were looked for, by name, as far as that is known
        self._folders = _writable_folders()
        self._times = self._look_at_folders()
        self._links = self._list(".pth")
        self._distributions = self._list(".dist-info")
        self._changed = False
        self._told = {}

    def look(self):
        """Makes importable what has been installed, also within the tick of the clock in which a folder was read."""
        for folder in self._folders:
            forget_folder(folder)
        times = self._look_at_folders()
        if times != self._times:
            self._times = times
            self._changed = True
            self._follow_links()

    def news(self):
        """What has been installed since the last time: names of modules that were loaded before and now have another
        file, or none, and of distributions, as "name-version"."""
        self.look()
        if not self._changed:
            return [], []
        self._changed = False
        found = self._replaced()
        replaced = sorted(name for name in found if self._told.get(name) != found[name])[:_TOLD_MAX]
        self._told.update((name, found[name]) for name in replaced)
        before, self._distributions = self._distributions, self._list(".dist-info")
        fresh = sorted(path for path in self._distributions - before if _is_from_index(path))
        return replaced, [os.path.basename(path)[: -len(".dist-info")] for path in fresh[:_TOLD_MAX]]

    def is_stale(self):
        """Whether a module that this process was forked with is not the one that is installed."""
        return any(os.listdir(folder) for folder in self._folders if os.path.isdir(folder)) and bool(self._replaced())

    def _look_at_folders(self):
        times = []
        for folder in self._folders:
            try:
                times.append(os.stat(folder).st_mtime_ns)
            except OSError:
                times.append(None)
        return times

    def _list(self, suffix):
        found = set()
        for folder in self._folders:
            try:
                names = os.listdir(folder)
            except OSError:
                continue
            found.update(os.path.join(folder, name) for name in names[:_DISTRIBUTIONS_MAX] if name.endswith(suffix))
        return found

    def _follow_links(self):
        links = self._list(".pth")
        for link in sorted(links - self._links):
            try:
                site.addpackage(*os.path.split(link), None)
            except BaseException:  # it can say anything; so could a module that is imported
                pass
        self._links = links

    def _newer(self, path, name):
        """When a file was put there, if that was after the module had been imported; -1: it was taken away; else 0."""
        try:
            time = os.stat(path).st_ctime_ns
        except OSError:
            return -1
        return time if time > self._imported.get(name, self._since) else 0

    def _is_installed(self, path):
        return any(path.startswith(folder + os.sep) for folder in self._folders)

    def _replaced(self):
        """Names of modules that are not what is installed, and since when that is so."""
        names = {}
        present = {entry.partition(".")[0] for entry in self._entries()}
        for name, module in sys.modules.copy().items():
            try:
                top = name.partition(".")[0]
                path = getattr(module, "__file__", None)
                if isinstance(path, str) and self._is_installed(path):
                    shown, time = top, self._newer(path, name)
                else:
                    shown, time = name, self._shadowed(name, path) if top in present else 0
                if time:
                    names[shown] = max(time, names.get(shown, time))
            except Exception:  # what code puts among the modules can be anything
                pass
        return names

    def _entries(self):
        for folder in self._folders:
            try:
                yield from os.listdir(folder)
            except OSError:
                pass

    def _shadowed(self, name, path):
        """Since when a module from elsewhere would be found in one of the folders; 0: it would not. What is in a package
        comes with the package, unless that is but a name that several distributions share."""
        parent = name.rpartition(".")[0]
        where = None
        if parent:
            package = sys.modules[parent]
            if getattr(package, "__file__", None) is not None:
                return 0
            where = package.__path__
        elif path is None:
            return 0
        spec = PathFinder.find_spec(name, where)
        origin = spec and spec.origin
        return self._newer(origin, name) if isinstance(origin, str) and self._is_installed(origin) else 0


def _is_from_index(path):
    return not os.path.exists(os.path.join(path, "direct_url.json"))


def forget_folder(folder):
    """Has the import system read a folder anew."""
    try:
        finder = sys.path_importer_cache[folder]
        if finder is None:
            del sys.path_importer_cache[folder]
        else:
            finder.invalidate_caches()
    except Exception:  # nothing was imported from there, or code has changed how things are imported
        pass
