"""Runs tests/report.py on what CTest prints, and fails when a test that failed, or never came to its end, is not counted."""
import subprocess
import sys
import tempfile
from pathlib import Path

REPORT = Path(__file__).resolve().parents[1] / "report.py"
FIRST = "    Start  1: first\n1: [       OK ] works\n1: [       OK ] works_too\n1/2 Test  #1: first ........   Passed    0.10 sec\n"
SECOND = "    Start  2: second\n2: [  FAILED  ] breaks\n2/2 Test  #2: second .......***Failed    0.10 sec\n"
SKIPPING = "    Start  2: second\n2: [  SKIPPED ] {}\n2/2 Test  #2: second .......   Passed    0.10 sec\n"
CRASHING = "    Start  2: second\n2/2 Test  #2: second .......***Exception: SegFault  0.10 sec\n"
OVER = "\n{}% tests passed, {} tests failed out of 2\n"

# What CTest printed, and what is to be counted: passed, failed, skipped.
CASES = {
    "a failure": (FIRST + SECOND + OVER.format(50, 1), "2 1 0"),
    "a crash": (FIRST + CRASHING + OVER.format(50, 1), "2 1 0"),
    "a skip that is expected": (FIRST + SKIPPING.format("known") + OVER.format(100, 0), "2 0 1"),
    "a skip that is not": (FIRST + SKIPPING.format("unknown") + OVER.format(100, 0), "2 1 0"),
    "an end within a program": (FIRST + "    Start  2: second\n2: [       OK ] works\n", "2 1 0"),
    "an end between two programs": (FIRST, "2 1 0"),
    "an end before the first": ("", "0 1 0"),
    "nothing to run": ("No tests were found!!!\n", "0 1 0"),
}


def main() -> int:
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        expected, counts, failures = Path(folder, "expected"), Path(folder, "counts"), Path(folder, "failures")
        expected.write_text("* second/known why\n")
        for name, (text, wanted) in CASES.items():
            counts.write_text("")
            failures.write_text("")
            command = [sys.executable, "-B", REPORT, "--who", "self", "--log", f"{folder}/log"]
            command += ["--expected", expected, "--counts", counts, "--failures", failures]
            status = subprocess.run(command, input=text, text=True, stdout=subprocess.DEVNULL, check=False).returncode
            counted = counts.read_text().strip()
            if counted != wanted or (status != 0) != (wanted.split()[1] != "0"):
                print(f"{name}: counted {counted}, exit {status}; wanted {wanted}")
                wrong += 1
            ended_badly = "Test  #2" in text and wanted == "2 1 0"
            if failures.read_text().startswith("second (self): ") != ended_badly:
                print(f"{name}: told at the end: {failures.read_text()!r}")
                wrong += 1
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
