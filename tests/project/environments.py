"""The lists of lib/environments: each names what it should, in exact versions that agree, one for each Python."""
from __future__ import annotations

import sys
from pathlib import Path

LIB = Path(__file__).resolve().parents[2] / "lib/environments"
sys.dont_write_bytecode = True
sys.path.insert(0, str(LIB))

import ci_env  # noqa: E402

PYTHONS = [(3, minor) for minor in range(10, 14)]
MACHINES = ["x86_64", "aarch64"]
DISTRIBUTIONS = 200  # at least
# What users of a code interpreter are told that they find.
PROMISED = """pandas numpy matplotlib plotly bokeh scipy statsmodels sympy scikit-learn torch torchvision torchaudio xgboost
spacy nltk textblob scikit-image cvxpy ortools pulp z3-solver networkx igraph openpyxl xlrd XlsxWriter python-docx
python-pptx PyPDF2 pdfplumber reportlab lxml beautifulsoup4 markitdown pillow opencv-python imageio moviepy pydub svgwrite
Wand duckdb SQLAlchemy pyarrow orjson ujson PyYAML requests httpx fastapi Flask Django pydantic Faker rich cryptography
qrcode boto3""".split()


def faults_of(groups: dict[str, ci_env.Group]) -> list[str]:
    faults = []
    lines: dict[str, set[tuple[ci_env.Pin, ...]]] = {}
    for group in groups.values():
        own: dict[str, list[ci_env.Pin]] = {}
        for pin in group.pins:
            own.setdefault(ci_env.normal(pin.name), []).append(pin)
        for name, pins in own.items():
            lines.setdefault(name, set()).add(tuple(pins))
        if group.name != ci_env.CORE:
            both = own.keys() & {ci_env.normal(pin.name) for pin in groups[ci_env.CORE].pins}
            faults += [f"{group.name}: {name} is in the core already" for name in sorted(both)]
    for name, variants in lines.items():
        if len(variants) > 1:
            faults.append(f"{name}: the lists do not agree")
        for python in PYTHONS:
            for machine in MACHINES:
                if sum(pin.fits(python, machine) for pin in next(iter(variants))) > 1:
                    faults.append(f"{name}: more than one version for Python {python} on {machine}")
    faults += [f"{name} is in no list" for name in PROMISED if ci_env.normal(name) not in lines]
    for python in PYTHONS:
        for machine in MACHINES:
            pins, unfit = ci_env.wanted_pins(groups.values(), ci_env.Interpreter("", "%d.%d" % python, machine))
            faults += [f"{pin.name}: none for {machine}" for pin in unfit]
            if len(pins) < DISTRIBUTIONS:
                faults.append(f"only {len(pins)} distributions for Python {python} on {machine}")
    return faults


def main() -> int:
    groups = ci_env.read_groups(LIB / "lists")
    faults = faults_of(groups)
    for fault in faults:
        print(fault)
    print(f"{len(groups)} groups, {sum(len(group.pins) for group in groups.values())} lines")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
