"""Every public symbol is documented: functions with @brief, each @param, @return and @since; constants, fields, types."""
import re
import sys

import public_headers
from public_headers import HEADERS, short


def faults_of(function: public_headers.Function) -> list[str]:
    doc = function.doc
    if not doc:
        return ["has no documentation"]
    faults = []
    named = [name for names in re.findall(r"@param(?:\[out\])?\s+([\w,]+)", doc) for name in names.split(",")]
    faults += [f"does not document parameter {name}" for name in function.parameters if name not in named]
    faults += [f"documents {name}, which is not a parameter" for name in named if name not in function.parameters]
    faults += [f"names {name} twice" for name in set(named) if named.count(name) > 1]
    outputs = [name for name in function.parameters if name.startswith("ret_")]
    marked = [name for names in re.findall(r"@param\[out\]\s+([\w,]+)", doc) for name in names.split(",")]
    faults += [f"does not mark {name} as [out]" for name in outputs if name in named and name not in marked]
    if "@brief" not in doc:
        faults.append("has no @brief")
    if ("@return" in doc) != (function.result != "void"):
        faults.append("has no @return" if function.result != "void" else "has an @return and returns nothing")
    if not re.search(r"@since \d+\.\d+\b", doc):
        faults.append("has no @since")
    return faults


def main() -> int:
    contents = public_headers.read()
    faults = [f"{f.header}: {f.name} {fault}" for f in contents.functions for fault in faults_of(f)]
    faults += [f"{i.header}: {i.name} is not documented" for i in contents.items if not i.documented]
    for header in HEADERS:
        if not re.match(r"/\*\*\n \* @file " + re.escape(short(header)) + r"\n \* @brief ", header.read_text()):
            faults.append(f"{short(header)}: does not open with its @file and @brief")
    print("\n".join(faults) or f"{len(contents.functions)} functions, {len(contents.items)} other symbols: all documented")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
