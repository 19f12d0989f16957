"""What is exported is the same in four places: the headers' declarations, the version script, lib/abi/symbols.txt and
the library itself. And constants keep their values: lib/abi/constants.txt.

usage: symbols.py CC LIBRARY
"""
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import public_headers
from public_headers import HEADERS, INCLUDE, TOP, short

ABI = TOP / "lib" / "abi"


def script_nodes() -> dict[str, set[str]]:
    """The symbols of the version script by version."""
    text = re.sub(r"/\*.*?\*/", "", (ABI / "libci.map").read_text(), flags=re.S)
    nodes = {}
    for version, body in re.findall(r"LIBCI_([\d.]+)\s*\{(.*?)\}", text, re.S):
        names = body.split("local:")[0].replace("global:", "")
        nodes[version] = {name.strip() for name in names.split(";") if name.strip()}
    return nodes


def table(name: str) -> list[list[str]]:
    lines = (ABI / name).read_text().splitlines()
    return [line.split() for line in lines if line and not line.startswith("#")]


def exported_by(library: str) -> dict[str, str]:
    """Symbols that the library defines, each with its version."""
    done = subprocess.run(["nm", "-D", "--defined-only", "--with-symbol-versions", library], text=True,
                          capture_output=True, check=True)
    symbols = {}
    for line in done.stdout.splitlines():
        kind, name = line.split()[1:3]
        if kind != "A":  # the names of the versions themselves
            name, _, version = name.partition("@@")
            symbols[name] = version.removeprefix("LIBCI_")
    return symbols


def constants(cc: str) -> dict[str, str]:
    """Values of all public constants, by a program that prints them."""
    names = public_headers.read().constants
    lines = [f"#include <{short(header)}>" for header in HEADERS]
    lines += ["#include <stdio.h>", "int main(void) {"]
    lines += [f'printf("%s %lld\\n", "{name}", (long long)({name}));' for name in names]
    with tempfile.TemporaryDirectory() as folder:
        source, program = Path(folder, "constants.c"), Path(folder, "constants")
        source.write_text("\n".join(lines + ["return 0;", "}"]))
        subprocess.run([cc, f"-I{INCLUDE}", str(source), "-o", str(program)], check=True)
        done = subprocess.run([str(program)], text=True, capture_output=True, check=True)
    return dict(line.split() for line in done.stdout.splitlines())


def differences(what: str, wanted: dict[str, str], found: dict[str, str]) -> list[str]:
    faults = [f"{what}: lacks {name} ({wanted[name]})" for name in sorted(wanted.keys() - found.keys())]
    faults += [f"{what}: has {name} ({found[name]}), which the headers do not" for name in sorted(found.keys() - wanted.keys())]
    faults += [f"{what}: {name} is {found[name]}, not {wanted[name]}"
               for name in sorted(wanted.keys() & found.keys()) if wanted[name] != found[name]]
    return faults


def main() -> int:
    cc, library = sys.argv[1:3]
    declared = {function.name: re.search(r"@since (\d+\.\d+)", function.doc + "@since 0.0").group(1)
                for function in public_headers.read().functions}
    nodes = script_nodes()
    script = {name: version for version, names in nodes.items() for name in names}
    faults = differences("lib/abi/libci.map", declared, script)
    faults += differences("lib/abi/symbols.txt", declared, {name: since for name, since in table("symbols.txt")})
    faults += differences(Path(library).name, declared, exported_by(library))
    if sum(len(names) for names in nodes.values()) != len(script) or "*" in script:
        faults.append("lib/abi/libci.map: a symbol in two nodes, or a wildcard")
    now = constants(cc)
    now = {name: value for name, value in now.items() if not re.match(r"CI_VERSION_", name)}
    faults += differences("lib/abi/constants.txt", now, {name: value for name, value, _ in table("constants.txt")})
    print("\n".join(faults) or f"{len(declared)} symbols and {len(now)} constants agree")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
