"""The interpreter that sessions are forked from.

Started by the supervisor inside a read-only root with two descriptors (3: the supervisor, 4: the system call filter) as
`zygote.py LIBRARY PRELOAD`. PRELOAD is "bare" (nothing but this), "" (IPython) or module names by comma; "group:NAME" is
what the environment that this interpreter belongs to, one of ci-env's (lib/environments), names for that group. It imports,
says that it is ready, and forks whenever the supervisor asks. A process with threads cannot be forked: where a module has
left some behind it begins anew without it. The fork becomes the session's init, in libci_guest.so; it
comes back here only to fork kernels, because only the interpreter knows how to fork itself.
"""

import ctypes
import gc
import json
import os
import struct
import sys

DATA_LIBRARIES = ["numpy", "pandas", "matplotlib", "matplotlib.pyplot", "scipy", "sklearn"]


def load_kernel():
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[0] = here
    import ci_kernel

    sys.path.remove(here)
    return ci_kernel


def group_list(name):
    """What a group of the environment wants preloaded."""
    try:
        with open(os.path.join(sys.prefix, "ci-env.json"), encoding="utf-8") as file:
            groups = json.load(file)["preload"]
    except FileNotFoundError:
        raise LookupError("%s is no environment of ci-env" % sys.prefix)
    if name not in groups:
        raise LookupError("the environment has no such group; it has: %s" % ", ".join(groups))
    return [str(module) for module in groups[name]]


def preload_list(text):
    """The modules, and what is none: the reason by its name."""
    names, failed = [], {}
    for name in filter(None, (part.strip() for part in text.split(","))):
        kind, _, group = name.partition(":")
        if kind != "group":
            names.extend(DATA_LIBRARIES if name == "data" else [name])
            continue
        try:
            names.extend(group_list(group))
        except Exception as error:
            failed[name] = str(error)
    return list(dict.fromkeys(names)), failed


def prepare(kernel, preload):
    if preload == "bare":
        return kernel.prepare(None, bare=True)
    names, failed = preload_list(preload)
    report = kernel.prepare(names)
    report["failed"].update(failed)
    if "data" in preload.split(","):
        # Of this list only what is installed is meant.
        for name in DATA_LIBRARIES:
            why = report["failed"].get(name, "")
            if "No module named" in why:
                del report["failed"][name]
    return report


def begin_anew(report):
    """The same program with what can be loaded; what cannot comes as an argument, so that it is told."""
    names, failed = ",".join(report["loaded"]), json.dumps(report["failed"])
    os.execv(sys.executable, [sys.executable, *sys.argv[:2], names, failed])


def be_session(library, kernel):
    library.ci_guest_session_enter()
    for folder in kernel.make_room():
        library.ci_guest_session_packages(os.fsencode(folder))
    index = 0
    while True:
        entry = library.ci_guest_session_env(index)
        if entry is None:
            break
        name, _, value = entry.partition(b"=")
        if name:
            os.environb[name] = value
        index += 1
    while True:
        library.ci_guest_session_serve()
        try:
            pid = os.fork()
        except OSError:  # no process or memory left: the call is told, the session goes on
            pid = -1
        if pid == 0:
            kernel.serve(library.ci_guest_kernel_enter())
            os._exit(1)
        library.ci_guest_kernel_forked(pid)


def refuse(why):
    """Tells the supervisor why there will be no sessions: REFUSED with MESSAGE, as lib/wire/setup.h has them."""
    text = why.encode("utf-8", "replace")[:1000]
    fields = struct.pack("<BI", 78, len(text)) + text
    os.write(3, struct.pack("<IBBH", len(fields), 66, 0, 0) + fields)
    os._exit(1)


def main():
    try:
        library = ctypes.PyDLL(sys.argv[1])
        kernel = load_kernel()
    except Exception as error:  # an interpreter too old, another C library
        refuse("the interpreter cannot be a kernel: %s: %s" % (type(error).__name__, error))
    library.ci_guest_session_env.restype = ctypes.c_char_p
    report = prepare(kernel, sys.argv[2])
    if len(sys.argv) > 3:
        report["failed"].update(json.loads(sys.argv[3]))
    elif len(os.listdir("/proc/self/task")) > 1:
        begin_anew(report)
    gc.collect()
    gc.freeze()
    if library.ci_guest_zygote_start(json.dumps(report).encode()) < 0:
        os._exit(1)
    while library.ci_guest_zygote_next():
        pid = os.fork()
        if pid == 0:
            try:
                be_session(library, kernel)
            finally:
                os._exit(1)
        if library.ci_guest_zygote_forked(pid) < 0:
            break


main()
