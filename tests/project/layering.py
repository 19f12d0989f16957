"""Reads the #include lines of lib/ and fails on an arrow that points up or sideways (lib/README.md has the map)."""
import re
import sys
from pathlib import Path

LIB = Path(__file__).resolve().parents[2] / "lib"

# A room may include from rooms of a lower level, and from itself.
LEVELS = [["base"], ["os", "wire"], ["net"], ["aws"], ["result", "archive"], ["sandbox", "storage"], ["session"], ["tools"]]
LEVEL = {room: level for level, rooms in enumerate(LEVELS) for room in rooms}
# Programs of their own, which may use these rooms, and no other program.
PROGRAMS = {"supervisor": {"base", "os", "wire"}, "guest": {"base", "os", "wire"}}


def fault_of(file: Path, included: str) -> str:
    """Why file, a path below lib/, must not include what is named; "" when it may."""
    room, target = file.parts[0], Path(included).parts[0]
    if len(Path(included).parts) == 1:
        return "" if (LIB / file).with_name(included).exists() else "name it by its room: \"room/file.h\""
    if target == "ci":
        return "write <ci/...>, as every user does"
    if not (LIB / included).exists():
        return "there is no such file"
    if room == target:
        # A backend knows what all backends share, and no other one; what they share knows none.
        own = file.parts[1] if room in ("sandbox", "storage") and len(file.parts) > 2 else None
        other = Path(included).parts[1] if room in ("sandbox", "storage") and len(Path(included).parts) > 2 else None
        return "one backend must not know another" if other and other != own else ""
    if room in PROGRAMS:
        return "" if target in PROGRAMS[room] else f"the program {room} may use {', '.join(sorted(PROGRAMS[room]))} only"
    if target in PROGRAMS:
        return f"{target} is a program, not a part of the library"
    if LEVEL[target] >= LEVEL[room]:
        return f"{target} is not below {room}"
    if target in ("sandbox", "storage") and len(Path(included).parts) > 2:
        return "only the contracts, no backend by name"
    return ""


def main() -> int:
    faults = []
    count = 0
    for path in sorted(LIB.rglob("*.[ch]")):
        file = path.relative_to(LIB)
        if file.parts[0] not in LEVEL and file.parts[0] not in PROGRAMS:
            faults.append(f"lib/{file}: {file.parts[0]} is no room of the map")
            continue
        for number, line in enumerate(path.read_text().splitlines(), 1):
            match = re.match(r'\s*#\s*include\s*"([^"]+)"', line)
            if not match:
                continue
            count += 1
            fault = fault_of(file, match.group(1))
            if fault:
                faults.append(f'lib/{file}:{number}: #include "{match.group(1)}": {fault}')
    print("\n".join(faults) or f"{count} includes, all downwards")
    return 1 if faults or count == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
