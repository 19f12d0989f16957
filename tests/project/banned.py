"""No call in lib/ and include/ that must not be there: the library never ends or prints in the host's name, reaps no
child that is not its own, and uses no function that cannot know the size of its output."""
import re
import sys
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
ROOMS = ["base", "os", "wire", "net", "aws", "result", "archive", "sandbox", "storage", "session", "tools"]

EVERYWHERE = {  # also in the programs
    r"strcpy|stpcpy|strcat|strncat|sprintf|vsprintf|gets|scanf|tmpnam|mktemp|tempnam": "overruns, or can be raced",
    r"system|popen": "starts a shell",
    r"alloca": "may overrun the stack",
}
IN_THE_LIBRARY = {
    r"strtok|localtime|gmtime|asctime|ctime|strerror|getpwnam|getpwuid|inet_ntoa": "keeps state between threads",
    r"atoi|atol|atoll|atof": "cannot say that it failed",
    r"exit|abort|assert|quick_exit|err|errx|perror": "ends or prints in the host's name",
    r"printf|vprintf|puts|putchar|fputs|fprintf|syslog": "prints in the host's name",
    r"wait|wait3|wait4": "reaps any child",
    r"waitpid\s*\(\s*-1|waitid\s*\(\s*P_ALL": "reaps any child",
    r"signal|sigaction|setitimer|alarm|sigprocmask": "changes the host's signals",
    r"chdir|fchdir|umask|setlocale|setenv|putenv|unsetenv|clearenv|setuid|setgid|setresuid|setrlimit": "changes the host",
    r"getenv|secure_getenv": "is configured by the environment",
    r"fork|vfork|daemon|pthread_create|thrd_create|atexit|pthread_atfork": "hides a process or thread",
}
# What may stand where, and why.
EXCEPTIONS = {
    ("os/process.c", "sigaction"): "in the child, before exec",
    ("os/process.c", "sigprocmask"): "in the child, before exec",
    ("os/process.c", "chdir"): "in the child, before exec",
}


def code_of(path: Path) -> str:
    """The file without comments, strings and preprocessor lines; line numbers are kept."""
    def blank(match: re.Match[str]) -> str:
        return re.sub(r"[^\n]", " ", match.group())

    text = re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', blank, path.read_text(), flags=re.S)
    return re.sub(r"^[ \t]*#[^\n]*", blank, text, flags=re.M)


def main() -> int:
    faults = []
    count = 0
    for path in sorted((TOP / "lib").rglob("*.[ch]")):
        file = path.relative_to(TOP / "lib")
        rules = EVERYWHERE | (IN_THE_LIBRARY if file.parts[0] in ROOMS else {})
        code = code_of(path)
        count += 1
        for pattern, reason in rules.items():
            call = pattern if "(" in pattern else rf"(?:{pattern})\s*\("
            for match in re.finditer(rf"(?<![\w.>])(?:{call})", code):
                name = re.match(r"\w+", match.group()).group()
                # A declaration (a slot of a table, say) has a type before it; a call has not.
                before = code[: match.start()].rstrip(" ").rsplit("\n", 1)[-1].split()
                declared = before and re.fullmatch(r"\**\w+\**", before[-1]) and before[-1] not in ("return", "else", "do")
                if (str(file), name) not in EXCEPTIONS and not declared:
                    line = code.count("\n", 0, match.start()) + 1
                    faults.append(f"lib/{file}:{line}: {name}(): {reason}")
    print("\n".join(faults) or f"{count} files without a banned call")
    return 1 if faults or count == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
