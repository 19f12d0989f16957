"""Reads `ctest -V` from standard input, tells what happened in few lines, and adds up the tests inside the programs.

A CTest test is a program that holds many tests: cmocka's and pytest's own lines are counted; a program without such
lines counts as one. Output of what failed is shown, everything goes to the log. A skip that the list of expected skips
does not name is a failure, so that coverage cannot fade away unseen; so is a run that did not come to its end, or in
which there was nothing to run.
"""

from __future__ import annotations

import argparse
import fnmatch
import re
import sys
from dataclasses import dataclass, field

OUTPUT = re.compile(r"^(\d+): ?(.*)$")
START = re.compile(r"^\s*Start\s+(\d+): (\S+)")
END = re.compile(r"^\s*\d+/\d+ Test\s+#(\d+): (\S+) \.*\s*(\S.*?)\s+([\d.]+) sec")
CMOCKA = re.compile(r"^\[\s+(OK|FAILED|SKIPPED|PASSED)\s+\] (\w+)$")
OVER = re.compile(r"^\d+% tests passed, \d+ tests failed out of (\d+)$")
# Where a program says what was not as it should be: cmocka, pytest, a sanitizer.
CAUSE = re.compile(r"^\[\s+(ERROR|LINE)\s+\] -|^E  |ERROR: \w+Sanitizer|: runtime error: ")
PYTEST = re.compile(r"^(\S+::.+?) (PASSED|FAILED|SKIPPED|ERROR|XFAIL|XPASS)\b")


@dataclass
class Program:
    name: str
    lines: list[str] = field(default_factory=list)
    passed: set[str] = field(default_factory=set)
    failed: set[str] = field(default_factory=set)
    skipped: set[str] = field(default_factory=set)

    def take(self, line: str) -> None:
        self.lines.append(line)
        if match := CMOCKA.match(line):
            verdict, test = match.groups()
        elif match := PYTEST.match(line):
            test, verdict = match.group(1).split("::", 1)[1], match.group(2)
        else:
            return
        if verdict in ("OK", "PASSED", "XFAIL"):
            self.passed.add(test)
        elif verdict == "SKIPPED":
            self.skipped.add(test)
        else:
            self.failed.add(test)

    def end(self, status: str) -> None:
        """Takes CTest's own word: a program can fail beside its tests, by a crash or a time-out."""
        self.passed -= self.failed | self.skipped
        if status == "Passed":
            if not self.passed and not self.skipped:
                self.passed.add("")
        elif "Skipped" in status:
            if not self.skipped:
                self.skipped.add("")
        elif not self.failed:
            self.failed.add("")


def expected_skips(path: str, who: str) -> list[str]:
    """Lines `WHO PROGRAM/TEST reason…`, the first two with wildcards."""
    patterns = []
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            words = line.split()
            if len(words) >= 2 and not line.startswith("#") and fnmatch.fnmatch(who, words[0]):
                patterns.append(words[1])
    return patterns


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--who", required=True)
    parser.add_argument("--log", required=True)
    parser.add_argument("--expected", required=True)
    parser.add_argument("--counts", required=True)
    parser.add_argument("--failures", required=True, help="gets what failed once more, to be shown at the very end")
    options = parser.parse_args()
    patterns = expected_skips(options.expected, options.who)
    programs: dict[str, Program] = {}
    passed = failed = skipped = ended = announced = 0
    sys.stdin.reconfigure(encoding="utf-8", errors="replace")
    with open(options.log, "w", encoding="utf-8") as log, open(options.failures, "a", encoding="utf-8") as failures:
        for line in sys.stdin:
            log.write(line)
            line = line.rstrip("\r\n")
            if match := START.match(line):
                programs[match.group(1)] = Program(match.group(2))
            elif (match := OUTPUT.match(line)) and match.group(1) in programs:
                programs[match.group(1)].take(match.group(2))
            elif (match := END.match(line)) and match.group(1) in programs:
                program = programs.pop(match.group(1))
                program.end(match.group(3))
                ended += 1
                unexpected = sorted(
                    test
                    for test in program.skipped
                    if not any(fnmatch.fnmatch(f"{program.name}/{test}", pattern) for pattern in patterns)
                )
                passed += len(program.passed)
                failed += len(program.failed) + len(unexpected)
                skipped += len(program.skipped) - len(unexpected)
                print(
                    f"{program.name:<40} {len(program.passed):4} passed {len(program.failed):3} failed "
                    f"{len(program.skipped):3} skipped  {match.group(4)} s",
                    flush=True,
                )
                for test in unexpected:
                    print(f"   skipped, and not in expected-skips.txt: {program.name}/{test}")
                if program.failed or unexpected:
                    print("\n".join(f"   | {text}" for text in program.lines[-200:]), flush=True)
                    which = ", ".join(sorted(program.failed) + unexpected)
                    print(f"{program.name} ({options.who}): {which}", file=failures)
                    # What comes after the cause, as reports of leaks do, may be longer than all that is shown.
                    shown = [text for text in program.lines[:-40] if CAUSE.search(text)][:20] + program.lines[-40:]
                    print("\n".join(f"   | {text}" for text in shown), file=failures)
            elif match := OVER.match(line):
                announced = int(match.group(1))
    for program in programs.values():
        print(f"{program.name}: no end seen")
        failed += 1
    if ended == 0 and not programs:
        print("no test ran")
        failed += 1
    elif ended != announced and not programs:
        print("CTest did not come to its end")
        failed += 1
    with open(options.counts, "a", encoding="utf-8") as counts:
        print(passed, failed, skipped, file=counts)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
