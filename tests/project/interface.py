"""Prototypes, callback types and struct fields are those of the last release, lib/abi/interface.txt: nothing changed,
nothing gone, fields only appended. (abi.sh compares what the compiler made of them; this compares what stands there,
which abidiff takes to be harmless in part: a narrower return type, a renamed field.)

usage: interface.py [--update]
"""
from __future__ import annotations

import re
import sys

from public_headers import HEADERS, TOP

BASELINE = TOP / "lib" / "abi" / "interface.txt"


def statements() -> dict[str, list[str]]:
    """By name: a function's or type's declaration as one string, a struct's fields as many."""
    found: dict[str, list[str]] = {}
    for header in HEADERS:
        text = re.sub(r"/\*.*?\*/", " ", header.read_text(), flags=re.S)
        text = re.sub(r"^[ \t]*#(?:[^\\\n]|\\\n)*$|^CI_(?:BEGIN|END)_DECLS$", "", text, flags=re.M)
        text = " ".join(re.sub(r'extern "C" \{', "", text).split())
        for body in re.findall(r"struct (\w+ \{[^}]*)\}", text):
            name, fields = body.split(" {", 1)
            found[f"struct {name}"] = [field.strip() for field in fields.split(";") if field.strip()]
        text = re.sub(r"\s*\{[^}]*\}", "", text)
        for statement in text.split(";"):
            statement = statement.strip().removeprefix("CI_API ")
            name = re.search(r"\(\*(\w+)\)\(", statement) or re.search(r"(\w+)\s*(?:\(.*\))?$", statement)
            if name and not re.fullmatch(r"enum|(typedef )?struct \w+( \w+)?", statement):
                found[name.group(1)] = [statement]
    return found


def written() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in BASELINE.read_text().splitlines():
        if line.startswith("    "):
            list(found.values())[-1].append(line.strip())
        elif line and not line.startswith("#"):
            found[line.removesuffix(":")] = []
    return found


def main() -> int:
    now = statements()
    if sys.argv[1:] == ["--update"]:
        lines = ["# The public interface of the last release; tests/project/interface.py compares, and writes it."]
        for name in sorted(now):
            lines += [f"{name}:", *(f"    {part}" for part in now[name])]
        BASELINE.write_text("\n".join(lines) + "\n")
        return 0
    faults = []
    before = written()
    for name, parts in before.items():
        if name not in now:
            faults.append(f"{name} is gone")
        elif now[name][: len(parts)] != parts:
            changed = [f"{old!r} -> {new!r}" for old, new in zip(parts, now[name] + [""] * len(parts)) if old != new]
            faults.append(f"{name}: {changed[0]}")
    print("\n".join(faults) or f"{len(before)} declarations are as they were")
    return 1 if faults or not before else 0


if __name__ == "__main__":
    sys.exit(main())
