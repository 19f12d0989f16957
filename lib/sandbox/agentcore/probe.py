"""Does in a session what the service has no tool for. It comes with each request, on the standard input of a bare python3:

    NONCE LITTER ROOT OPERATION ARGUMENT...    or @FILE in place of the last ones, which is read and removed

Arguments are base64. Answers are lines of ASCII, so that a terminal does them no harm: "ci:NONCE", then a letter and fields,
then "."; an errno that ends the operation is a line "! ERRNO TEXT".

Each request starts it anew, so it imports no more than it needs: subprocess, signal, base64 and shutil take longer than all
the rest of it."""
import _signal as signal
import binascii
import os
import stat
import sys
import time

CHUNK = 48 << 10
SINGLE_ARGUMENT = 128 << 10  # Linux takes no longer one
GRACE = 1.0
LOG = 1 << 20  # bytes in a file of a task's log
OWN = "/tmp/.ci-own"


def say(tag, *fields):
    print(tag, *fields, flush=True)


def text(data):
    return binascii.b2a_base64(data, newline=False).decode() or "="


def data(text):
    return binascii.a2b_base64(text)


def place(nonce):
    return "/tmp/ci-" + nonce


# Files.


def tell(name, status):
    kinds = {stat.S_IFREG: "f", stat.S_IFDIR: "d", stat.S_IFLNK: "l"}
    kind = kinds.get(stat.S_IFMT(status.st_mode), "o")
    say("n", kind, status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_mode & 0o7777, text(name))


def is_part(name):
    """Of a file under way: ".ci-NONCE." and more."""
    return name.startswith(b".ci-") and name[30:31] == b"."


def tree(folder, deep, hides, after, failed):
    """What comes after a path, which need not be there any more; b"": all. Folders before what they hold, names in order. The errno
    of what cannot be looked at goes to a list."""
    passed = after.split(b"/") if after else []

    def below(at, shown):
        names = [name for name in sorted(os.listdir(at), reverse=True) if not is_part(name)]
        return [(os.path.join(at, name), shown + name) for name in names]

    left = below(folder, b"")
    while left:
        path, shown = left.pop()
        parts = shown.split(b"/") if passed else []
        if parts < passed[: len(parts)]:
            continue
        try:
            status = os.lstat(path)
        except FileNotFoundError:
            continue  # gone meanwhile
        except OSError as error:  # a path that is too long
            failed.append(error.errno)
            continue
        if hides(shown, status):
            continue
        if not passed or parts > passed:
            yield shown, status
        if deep and stat.S_ISDIR(status.st_mode):
            try:
                left += below(path, shown + b"/")
            except FileNotFoundError:
                pass
            except OSError as error:
                failed.append(error.errno)


def op_tree(folder, deep, after, most, before=b"0"):
    """What cannot be looked at fails it when all else was told: its errno, or 0, goes from page to page."""
    hides = Own().hides if int(deep) and folder == b"." else lambda *_: False
    failed = [int(before)] if int(before) else []
    for count, (shown, status) in enumerate(tree(folder, int(deep), hides, after, failed)):
        if count == int(most):
            return say("m", failed[0] if failed else 0)
        tell(shown, status)
    if failed:
        raise OSError(failed[0], "")


class Own:
    """What the service has in the root, of which no walk of the whole tells: its folders but for what was put there, and its
    files as long as nobody has changed them. Written down in the session, for whoever attaches to it."""

    def __init__(self):
        self.folders, self.files, self.put = set(), {}, []
        for entry in content(OWN, 0, 1 << 20).split(b"\0"):
            kind, _, name = entry.partition(b" ")
            if kind == b"d":
                self.folders.add(name)
            elif kind == b"u":
                self.put.append(name)
            elif kind.isdigit():
                self.files[name] = int(kind)

    def hides(self, path, status):
        if path.partition(b"/")[0] in self.folders:
            return not any(name == path or name.startswith(path + b"/") for name in self.put)
        return self.files.get(path) == status.st_ctime_ns


def write_own(entries, flags):
    try:
        fd = os.open(OWN, os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC | flags, 0o600)
    except OSError:
        return  # it is there, or there is no room: then more is saved than need be
    with open(fd, "wb") as file:
        file.write(b"".join(entry + b"\0" for entry in entries))


def begin_own(fresh):
    """In a session that another client has started, all may be the user's that has not a name which only the service gives."""
    names = {b"nodejs-js-execution": b"d", b"nodejs-ts-execution": b"d"}
    if fresh:
        for one in os.scandir(b"."):
            is_folder = one.is_dir(follow_symlinks=False)
            names[one.name] = b"d" if is_folder else b"%d" % one.stat(follow_symlinks=False).st_ctime_ns
    else:
        names[b".ipython"] = b"d"
    write_own([kind + b" " + name for name, kind in names.items()], os.O_CREAT | os.O_EXCL)


def op_hello(fresh):
    begin_own(int(fresh))
    say("r", text(os.getcwdb()))
    for name in Own().folders:
        say("n", text(name))


def op_stat(path):
    tell(os.path.basename(path) or path, os.stat(path))


def op_read(path, offset, most):
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        raise OSError(21 if stat.S_ISDIR(status.st_mode) else 22, "not a regular file")
    say("s", status.st_size, status.st_ino & (2**63 - 1), status.st_mtime_ns)
    at, end = int(offset), int(offset) + int(most)
    while at < end:
        chunk = os.pread(fd, min(CHUNK, end - at), at)
        if not chunk:
            return
        say("d", text(chunk))
        at += len(chunk)
    if at < status.st_size:
        say("m")


def op_sum(path, offset, size):
    """Of what was read of a file that grew meanwhile."""
    number, left = 0, int(size)
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb", 0) as file:
        file.seek(int(offset))
        while left and (chunk := file.read(min(left, 1 << 20))):
            number, left = binascii.crc32(chunk, number), left - len(chunk)
    say("k", number)


def op_join(path, *parts):
    import shutil

    if path.partition(b"/")[0] in Own().folders:
        write_own([b"u " + path], os.O_APPEND)
    path = os.path.realpath(path)  # a link stays one
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(parts[0], "r+b") as to:
        to.seek(0, os.SEEK_END)
        for part in parts[1:]:
            with open(part, "rb") as source:
                shutil.copyfileobj(source, to, 1 << 20)
            os.unlink(part)
    if os.path.exists(path):
        shutil.copymode(path, parts[0])
    try:
        os.replace(parts[0], path)
    except OSError as error:
        if error.errno != 18:
            raise
        move(parts[0], path)


def move(part, path):
    """To another file system, where a link tells of the copy as long as it is not the file."""
    import shutil

    whole, link = os.path.join(os.path.dirname(path), part + b".whole"), part + b".at"
    os.symlink(whole, link)
    shutil.copy(part, whole)
    os.replace(whole, path)
    op_drop(link, part)


def op_drop(*paths):
    for path in paths:
        try:
            os.unlink(path)
        except FileNotFoundError:
            pass


def op_mkdir(path):
    os.makedirs(path, exist_ok=True)


def op_remove(path):
    import shutil

    if os.path.realpath(path) == os.getcwdb() and not os.path.islink(path):
        raise OSError(16, "the root of the session")
    if stat.S_ISDIR(os.lstat(path).st_mode):
        shutil.rmtree(path)
    else:
        os.unlink(path)


# Commands.


def enter(folder):
    """Whether there is such a working folder."""
    try:
        os.chdir(folder)
        return True
    except OSError as error:
        say("c", text(folder + b": " + os.strerror(error.errno).encode()))
        return False


def start(where, command, env, out, err):
    """The process, a session of its own."""
    shell = "/bin/bash" if os.path.exists("/bin/bash") else "/bin/sh"
    words = [shell, b"-c", command]
    if len(command) >= SINGLE_ARGUMENT:
        words = [shell, where + "/c"]
        with open(where + "/c", "wb") as file:
            file.write(command)
    whole = dict(os.environb)
    whole.update(pair.split(b"=", 1) for pair in env)
    streams = [(os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0)]
    streams += [(os.POSIX_SPAWN_DUP2, out, 1), (os.POSIX_SPAWN_DUP2, err, 2)]
    rest = {"file_actions": streams, "setsigdef": [signal.SIGPIPE, signal.SIGXFSZ]}  # Python ignores these
    try:
        pid = os.posix_spawn(shell, words, whole, setsid=True, **rest)
    except NotImplementedError:  # a Python that was built with an older libc: a process group must do
        pid = os.posix_spawn(shell, words, whole, setpgroup=0, **rest)
    try:
        with open(where + "/p", "w") as file:
            file.write(str(pid))
    except OSError:
        pass  # there is no room, or it has removed the folder already
    if os.path.exists(where + "/over"):
        signal_group(pid, signal.SIGKILL)
    return pid


def exit_code(pid, flags):
    """Negative: a signal's number. None: it runs."""
    gone, status = os.waitpid(pid, flags)
    return None if not gone else os.WEXITSTATUS(status) if os.WIFEXITED(status) else -os.WTERMSIG(status)


class Run:
    """A command that runs: what it prints goes to take(TAG, BYTES)."""

    def __init__(self, where, command, env, take):
        import select

        wake, waker = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        (out, out_end), (err, err_end) = os.pipe2(os.O_CLOEXEC), os.pipe2(os.O_CLOEXEC)
        self.take, self.pid, self.code = take, start(where, command, env, out_end, err_end), None
        os.close(out_end)
        os.close(err_end)
        self.pipes = {out: "o", err: "e"}
        self.poller = select.poll()
        for fd in [wake, *self.pipes]:
            self.poller.register(fd, select.POLLIN)

    def ended(self):
        """Whether; then code is known."""
        if self.code is None:
            self.code = exit_code(self.pid, os.WNOHANG)
        return self.code is not None

    def read(self, seconds):
        """Whether anything came."""
        ready = [fd for fd, _ in self.poller.poll(None if seconds is None else max(seconds, 0) * 1000)]
        printed = [fd for fd in ready if fd in self.pipes]
        for fd in ready:
            chunk = os.read(fd, CHUNK)
            if fd in self.pipes and chunk:
                self.take(self.pipes[fd], chunk)
            elif fd in self.pipes:
                self.poller.unregister(fd)
                del self.pipes[fd]
        return bool(printed)

    def read_rest(self):
        """What there is once the shell has ended: what it left running may print on, and is not waited for."""
        for _ in range(64):
            if not self.read(0):
                break


def content(path, offset, most):
    """Of a file that anybody may have put there: nothing when it is none."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        with open(fd, "rb") as file:
            return os.pread(fd, most, offset) if stat.S_ISREG(os.fstat(fd).st_mode) else b""
    except OSError:
        return b""


def append(path, data):
    """To such a file: how many bytes found room."""
    flags, done = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC, 0
    try:
        with open(os.open(path, flags, 0o600), "wb", 0) as file:
            while done < len(data):
                done += os.write(file.fileno(), data[done:])
    except OSError:
        pass
    return done


def kept(path):
    """A number in such a file; None: there is none."""
    try:
        return int(content(path, 0, 9))
    except ValueError:
        return None


def signal_group(group, number):
    """Whether there was somebody to signal."""
    try:
        os.killpg(group, number)
        return True
    except OSError:
        return False


def kill(where, number):
    group = kept(where + "/p") or 0
    return group > 1 and signal_group(group, number)


def drop(path):
    """A file, where there is one that can be removed."""
    try:
        os.unlink(path)
    except OSError:
        pass


def forget(where):
    try:
        for name in os.listdir(where):
            drop(where + "/" + name)
        os.rmdir(where)
    except OSError:
        pass  # it is not there, or not ours, or over


class Output:
    """What a command prints: told at once, and beyond a size kept in files, to be read later. What finds no room is counted."""

    def __init__(self, where, room):
        self.where, self.room, self.kept, self.gone = where, room, {"o": 0, "e": 0}, {"o": 0, "e": 0}

    def take(self, tag, chunk):
        now = b"" if self.kept[tag] else chunk[: self.room]
        self.room -= len(now)
        if now:
            say(tag, text(now))
        rest = chunk[len(now) :]
        if rest:
            done = 0 if self.gone[tag] else append(f"{self.where}/{tag}", rest)
            self.kept[tag] += done
            self.gone[tag] += len(rest) - done


def op_run(nonce, room, cwd, command, *more):
    *env, milliseconds = more
    where, began = place(nonce.decode()), time.monotonic()
    if not enter(cwd):
        return
    os.mkdir(where, 0o700)
    output = Output(where, int(room))
    run = Run(where, command, env, output.take)
    due, late = (began + int(milliseconds) / 1000 if int(milliseconds) else None), 0
    while not run.ended():
        run.read(None if due is None else due - time.monotonic())
        if due is not None and time.monotonic() >= due and not run.ended():
            signal_group(run.pid, signal.SIGKILL if late else signal.SIGINT)
            late, due = late + 1, time.monotonic() + GRACE
    run.read_rest()
    if late:
        signal_group(run.pid, signal.SIGKILL)
    took = int((time.monotonic() - began) * 1e6)
    for tag, count in output.gone.items():
        if count:
            say(tag.upper(), count)
    ended(run.code, took, output.kept["o"], output.kept["e"], int(late > 0))
    if not any(output.kept.values()):
        forget(where)


def ended(code, *more):
    say("x", max(code, 0), max(-code, 0), *more)


class Log:
    """What a task prints, each stream in files of LOG bytes at most, named by where they begin, of which the last two are kept. What
    finds no room is left out: the next file begins behind it."""

    def __init__(self, where):
        self.where, self.size, self.room = where, {"o": 0, "e": 0}, {"o": 0, "e": 0}
        self.files = {"o": [], "e": []}

    def begin(self, tag):
        files = self.files[tag]
        files.append(f"{self.where}/{tag}.{self.size[tag]}")
        append(files[-1], b"")
        self.room[tag] = LOG
        if len(files) > 2:
            drop(files.pop(0))

    def take(self, tag, chunk):
        while chunk:
            if not self.room[tag]:
                self.begin(tag)
            now, chunk = chunk[: self.room[tag]], chunk[self.room[tag] :]
            done = append(self.files[tag][-1], now)
            if not done and self.room[tag] == LOG:  # the file is empty
                drop(self.files[tag].pop())
            self.size[tag] += len(now)
            self.room[tag] -= len(now)
            if done < len(now):
                self.begin(tag)


def tell_log(where, tag, at, most):
    """Whether there may be more. What is gone is told as its count, by the tag in upper case; what follows a gap within is left
    for the next look."""
    names = [name[2:] for name in os.listdir(where) if name.startswith(tag + ".")]
    told = 0
    for begin in sorted(int(number) for number in names if number.isdecimal()):
        first = max(at, begin)
        chunk = content(f"{where}/{tag}.{begin}", first - begin, max(min(LOG - (first - begin), most - told), 0))
        if first == at and not chunk:
            continue
        if first > at and told:
            return True
        if first > at:
            say(tag.upper(), first - at)
        for piece in range(0, len(chunk), CHUNK):
            say(tag, text(chunk[piece : piece + CHUNK]))
        at, told = first + len(chunk), told + len(chunk)
        if told == most:
            return True
    return False


def op_task(nonce, cwd, command, *env):
    """Runs as long as the task, and whatever it leaves with its streams: what is printed is read, so that nobody waits for that."""
    where = place(nonce.decode())
    os.mkdir(where, 0o700)
    log, run, code = Log(where), None, 1
    try:
        os.chdir(cwd)
    except OSError as error:
        log.take("e", cwd + b": " + os.strerror(error.errno).encode() + b"\n")
    else:
        run = Run(where, command, env, log.take)
        while not run.ended():
            run.read(None)
        run.read_rest()
        code = run.code
    try:
        with open(where + "/x.new", "w") as file:
            file.write(f"{code}")
        os.rename(where + "/x.new", where + "/x")
    except OSError:
        pass
    while run and run.pipes:
        run.read(None)


def op_look(nonce, out_at, err_at, most, stop):
    """What a task has printed, and how it stands: x ended, r running, g gone without a word; m is said of more."""
    where = place(nonce.decode())
    until = time.monotonic() + 1
    if int(stop) and kill(where, signal.SIGKILL):
        while kept(where + "/x") is None and time.monotonic() < until:
            time.sleep(0.005)
    code = kept(where + "/x")  # before the streams, which are whole by then
    more = False
    for tag, at in (("o", int(out_at)), ("e", int(err_at))):
        try:
            more = tell_log(where, tag, at, int(most)) or more
        except OSError:
            pass
    if more:
        say("m")
    if code is None:
        say("r" if kill(where, 0) else "g")
    else:
        ended(code)


def tidy(nonces):
    """Of operations that were given up. What begins only now finds its place taken; what has begun and not said yet what to kill
    finds that it is over. A nonce behind "-" is of a run that has ended."""
    for nonce in nonces:
        where = place(nonce.lstrip("-"))
        if nonce.startswith("-"):
            forget(where)
            continue
        try:
            os.makedirs(where + "/over")
        except OSError:
            pass
        kill(where, signal.SIGKILL)
        forget(where)
        for name in os.listdir("."):
            if name.startswith(".ci-" + nonce):
                if os.path.islink(name):
                    drop(os.readlink(name))
                drop(name)


def main():
    _, nonce, litter, root, operation, *words = sys.argv
    os.chdir(data(root) or b".")
    if words and words[-1].startswith("@"):
        path = data(words[-1][1:])
        with open(path) as file:
            words = words[:-1] + file.read().split()
        os.unlink(path)
    say("ci:" + nonce)
    try:
        tidy([each for each in litter.split(",") if each.strip("-")])
        globals()["op_" + operation](*[data(word) for word in words])
    except OSError as error:
        say("!", error.errno or 5, text(os.strerror(error.errno or 5).encode()))
    say(".")


main()
