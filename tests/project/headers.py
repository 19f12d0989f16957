"""Each public header compiles alone, as C99, C11 and C++11, without a warning, and includes only what it may.
Initializers set every field of their struct. No public struct has padding: a field that takes its place later would not
change the size, and be read from an older caller's uninitialised memory.

usage: headers.py CC CXX
"""
import re
import subprocess
import sys

from public_headers import HEADERS, INCLUDE, TOP, short

ALLOWED = {"stddef.h", "stdint.h"} | {short(header) for header in HEADERS}
STRICT = ["-Wall", "-Wextra", "-pedantic", "-Werror", "-fsyntax-only", f"-I{INCLUDE}"]


def compile_alone(compiler: str, language: str, standard: str, header: str) -> str:
    # Twice, so that the guard is tried too; and nothing but the header.
    source = f"#include <{header}>\n#include <{header}>\nextern int not_empty;\n"
    done = subprocess.run([compiler, "-x", language, f"-std={standard}", *STRICT, "-"], input=source, text=True,
                          capture_output=True)
    return "" if done.returncode == 0 else f"{header} as {standard}:\n{done.stderr}"


def structs(compiler: str, language: str, standard: str) -> str:
    text = "".join(header.read_text() for header in HEADERS)
    names = re.findall(r"^(?:typedef )?struct (\w+) \{", text, re.M)
    initializers = re.findall(r"^#define (\w+_INIT)\b", text, re.M)
    assert names and initializers
    source = [f"#include <{short(header)}>" for header in HEADERS]
    source += [f"extern char size_of_{name}[sizeof(struct {name})];" for name in names]  # clang lays out what is used
    for name in initializers:
        struct = name.lower().removesuffix("_init")
        source.append(f"extern const {struct} default_{struct};\nconst {struct} default_{struct} = {name};")
    done = subprocess.run([compiler, "-x", language, f"-std={standard}", *STRICT, "-Wpadded", "-"], text=True,
                          input="\n".join(source) + "\n", capture_output=True)
    return "" if done.returncode == 0 else f"structs as {standard}:\n{done.stderr}"


def main() -> int:
    cc, cxx = sys.argv[1:3]
    faults = []
    modes = ((cc, "c", "c99"), (cc, "c", "c11"), (cxx, "c++", "c++11"))
    for header in HEADERS:
        for included in re.findall(r"^\s*#\s*include\s*[<\"]([^>\"]+)", header.read_text(), re.M):
            if included not in ALLOWED:
                faults.append(f"{short(header)} includes {included}")
        for compiler, language, standard in modes:
            fault = compile_alone(compiler, language, standard, short(header))
            if fault:
                faults.append(fault)
        if any(word in header.read_text() for word in ("stdbool", "time_t", "off_t", "ssize_t", "va_list")):
            faults.append(f"{short(header)}: a type that may not stand in the ABI")
        if re.search(r"\bbool\b(?! )", re.sub(r"/\*.*?\*/", "", header.read_text(), flags=re.S)):
            faults.append(f"{short(header)}: bool may not stand in the ABI")
    faults += filter(None, (structs(*mode) for mode in modes))
    print("\n".join(faults) or f"{len(HEADERS)} headers of {INCLUDE.relative_to(TOP)}/ compile alone")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
