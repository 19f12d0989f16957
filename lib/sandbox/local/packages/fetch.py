"""Fills a package cache: run by the library, outside of any sandbox, as `fetch.py FOLDER HOST`.

What sessions have installed comes by descriptor 3, a line each, "name-version": a hint that an attacker may have
written, no more. Each is downloaded here, from where the host's own configuration says, as a wheel of exactly that name
and version and without running anything of it. Never a byte comes from a session.

Ends at end-of-file, but finishes first, in bounded time, what is there to be downloaded: or a program that has but one
session would never fill the cache. HOST is that program's process id: where it has to reap this one, nothing is finished.
"""

import os
import re
import select
import shutil
import subprocess
import sys
import tempfile
import time

NAME = re.compile(r"([A-Za-z0-9](?:[A-Za-z0-9._-]{0,98}[A-Za-z0-9])?)-([0-9][A-Za-z0-9.+!_]{0,60})")
QUEUE_MAX = 256
SEEN_MAX = 4096
COUNT_MAX = 1000
BYTES_MAX = 2 << 30
ONE_BYTES_MAX = 256 << 20
TIMEOUT_S = 120
LINGER_S = 30


class Hints:
    """Lines that come while nobody waits for them. What is beyond the bounds is dropped: it is only a cache."""

    def __init__(self, fd, host):
        self._fd = fd
        self._host = host
        self._rest = b""
        self.ended = False  # end-of-file
        self._ended_at = 0.0
        self.queue = []
        self._seen = set()

    def over(self):
        """Whether it is time to end."""
        return self.ended and (os.getppid() == self._host or time.monotonic() > self._ended_at + LINGER_S)

    def read(self, timeout_s):
        """Waits for more."""
        if self.ended:
            time.sleep(timeout_s)
            return
        if not select.select([self._fd], [], [], timeout_s)[0]:
            return
        data = os.read(self._fd, 65536)
        if not data:
            self.ended, self._ended_at = True, time.monotonic()
        *lines, self._rest = (self._rest + data).split(b"\n")
        self._rest = self._rest[-1024:]
        for line in lines:
            match = NAME.fullmatch(line.decode("ascii", "replace"))
            wanted = match and "%s==%s" % match.groups()
            if wanted and wanted not in self._seen and len(self.queue) < QUEUE_MAX and len(self._seen) < SEEN_MAX:
                self._seen.add(wanted)
                self.queue.append(wanted)


def environment(with_host):
    """Without the host's configuration sessions must not get at what only that one reaches: a private index, say."""
    if with_host:
        return None
    return {**{k: v for k, v in os.environ.items() if not k.startswith("PIP_")}, "PIP_CONFIG_FILE": os.devnull}


def download(wanted, folder, hints):
    """Runs pip, until it has ended, takes too long, or nobody wants it any more."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input", "--disable-pip-version-check"]
    command += ["--no-deps", "--only-binary=:all:", "--dest", folder, wanted]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, stdin=quiet, stdout=quiet, stderr=quiet, env=hints.environment) as pip:
        deadline = time.monotonic() + TIMEOUT_S
        while pip.poll() is None:
            hints.read(0.1)
            if hints.over() or time.monotonic() > deadline or size_of(folder) > ONE_BYTES_MAX:
                pip.kill()
        return pip.returncode == 0


def wheels_of(folder):
    """From the one that has lain there longest: path, size."""
    found = []
    for entry in os.scandir(folder):
        if entry.name.endswith(".whl") and entry.is_file(follow_symlinks=False):
            status = entry.stat(follow_symlinks=False)
            found.append((status.st_mtime, entry.path, status.st_size))
    return [(path, size) for _, path, size in sorted(found)]


def size_of(folder):
    total = 0
    for entry in os.scandir(folder):
        try:
            total += entry.stat(follow_symlinks=False).st_size
        except OSError:  # gone meanwhile
            pass
    return total


def normalized(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def has(wheels, wanted):
    name, version = wanted.split("==")
    for entry in os.listdir(wheels):
        parts = entry.split("-")
        if len(parts) >= 5 and (normalized(parts[0]), parts[1]) == (normalized(name), version):
            return True
    return False


def preferred(wheel):
    """The name under which pip takes it: of equal files it would take the one that is farther away, were it not for the
    build tag, which decides between files of one version."""
    parts = wheel.split("-")
    if len(parts) == 5:
        parts.insert(2, "0")
    parts[2] += "cached"
    return "-".join(parts)


def make_room(wheels):
    left = wheels_of(wheels)
    while len(left) > COUNT_MAX or sum(size for _, size in left) > BYTES_MAX:
        os.unlink(left.pop(0)[0])


def fetch(wanted, root, hints):
    wheels = os.path.join(root, "wheels")
    if has(wheels, wanted):
        return
    folder = tempfile.mkdtemp(dir=root, prefix=".fetch-")
    try:
        if download(wanted, folder, hints):
            for path, size in wheels_of(folder):
                if size <= ONE_BYTES_MAX:
                    os.chmod(path, 0o644)
                    os.utime(path)
                    os.replace(path, os.path.join(wheels, preferred(os.path.basename(path))))
            make_room(wheels)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def remove_left(root):
    """What one that was killed has left."""
    for entry in os.scandir(root):
        try:
            if entry.name.startswith(".fetch-") and time.time() - entry.stat(follow_symlinks=False).st_mtime > 3600:
                shutil.rmtree(entry.path, ignore_errors=True)
        except OSError:  # another's, which has just ended
            pass


def main():
    os.umask(0o022)
    os.nice(10)
    remove_left(sys.argv[1])
    hints = Hints(3, int(sys.argv[2]))
    hints.environment = environment(sys.argv[3:] == ["--host"])
    while not hints.over() and not (hints.ended and not hints.queue):
        if not hints.queue:
            hints.read(None)
            continue
        try:
            fetch(hints.queue.pop(0), sys.argv[1], hints)
        except OSError:  # a full disk, a folder that is gone: it is only a cache
            pass


if __name__ == "__main__":
    main()
