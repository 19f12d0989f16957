"""Reads the public headers: functions, constants, structs, and the comments that document them."""
from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
INCLUDE = TOP / "include"
HEADERS = sorted((INCLUDE / "ci").rglob("*.h"))

COMMENT = re.compile(r"/\*.*?\*/", re.S)
TOKEN = re.compile(r"/\*\*<.*?\*/|/\*\*.*?\*/|/\*.*?\*/|[^/]+|/", re.S)


@dataclass
class Function:
    header: str
    name: str
    result: str
    parameters: list[str]
    doc: str  # "" when there is none


@dataclass
class Item:
    """An enumerator, a field, a macro or a type."""

    header: str
    name: str
    documented: bool


@dataclass
class Contents:
    functions: list[Function] = field(default_factory=list)
    items: list[Item] = field(default_factory=list)
    constants: list[str] = field(default_factory=list)


def short(header: Path) -> str:
    return str(header.relative_to(INCLUDE))


def parameters_of(text: str) -> list[str]:
    """Names of the parameters in a declaration's brackets."""
    if text.strip() in ("", "void"):
        return []
    return [re.search(r"(\w+)(?:\[\w*\])?$", part.strip()).group(1) for part in text.split(",")]


def functions_of(header: str, text: str) -> list[Function]:
    found = []
    pattern = re.compile(r"(?:(/\*\*(?:(?!\*/).)*\*/)\s*)?^CI_API\s+([^;]*?)\b(ci_\w+)\s*\(([^;]*)\);", re.S | re.M)
    for match in pattern.finditer(text):
        doc, result, name, parameters = match.groups()
        found.append(Function(header, name, " ".join(result.split()), parameters_of(parameters), doc or ""))
    return found


def members_of(header: str, prefix: str, body: str, separator: str) -> list[Item]:
    """Fields or enumerators: documented by a comment before, or by one after that begins with <."""
    items: list[Item] = []
    before = ""
    code = ""
    for token in TOKEN.findall(body):
        if token.startswith("/**<"):
            if code.strip():  # after the last member, which has no separator
                items.append(Item(header, prefix + name_of(code), True))
                code = ""
            elif items:
                items[-1].documented = True
        elif token.startswith("/**"):
            before = token
        elif not token.startswith("/*"):
            *done, code = (code + token).split(separator)
            for member in filter(str.strip, done):
                items.append(Item(header, prefix + name_of(member), bool(before)))
                before = ""
    if code.strip():
        items.append(Item(header, prefix + name_of(code), bool(before)))
    return items


def name_of(member: str) -> str:
    member = member.split("=")[0]
    pointer = re.search(r"\(\*(\w+)\)", member)
    return pointer.group(1) if pointer else re.search(r"(\w+)(?:\[\w*\])?\s*$", member.strip()).group(1)


def types_of(header: str, text: str) -> tuple[list[Item], list[str]]:
    """Everything but functions; and the names of the constants among it."""
    items: list[Item] = []
    constants: list[str] = []
    doc = r"(?:(/\*\*(?!<)(?:(?!\*/).)*\*/)\s*)?^"
    for match in re.finditer(doc + r"enum\s*(\w*)\s*\{(.*?)^\};", text, re.S | re.M):
        members = members_of(header, "", match.group(3), ",")
        items.append(Item(header, f"enum of {members[0].name}", bool(match.group(1))))
        items += members
        constants += [member.name for member in members]
    for match in re.finditer(doc + r"(?:typedef )?struct (\w+) \{(.*?)^\}", text, re.S | re.M):
        items.append(Item(header, match.group(2), bool(match.group(1))))
        items += members_of(header, match.group(2) + "::", match.group(3), ";")
    for match in re.finditer(doc + r"typedef (?!struct \w+ \{)([^;{]*);", text, re.S | re.M):
        items.append(Item(header, name_of(re.sub(r"\)\s*\(.*", ")", match.group(2), flags=re.S)), bool(match.group(1))))
    ignored = re.compile(r"CI_(API|BEGIN_DECLS|END_DECLS|\w+_H)$")
    for match in re.finditer(doc + r"#define (CI_\w+)[ \t]*((?:[^\\\n]|\\\n)*)$", text, re.S | re.M):
        name, value = match.group(2), match.group(3)
        if ignored.match(name):
            continue
        items.append(Item(header, name, bool(match.group(1)) or "/**<" in value))
        if "{" not in value:
            constants.append(name)
    return items, constants


def read(headers: list[Path] | None = None) -> Contents:
    contents = Contents()
    for header in headers or HEADERS:
        text = header.read_text()
        contents.functions += functions_of(short(header), text)
        items, constants = types_of(short(header), text)
        contents.items += items
        contents.constants += constants
    declared = sum(len(re.findall(r"^CI_API\b", header.read_text(), re.M)) for header in headers or HEADERS)
    assert len(contents.functions) == declared, "a declaration that this reader does not understand"
    return contents
