"""The binding's table is what the headers say: each function, struct and constant."""

from __future__ import annotations

import ctypes
import functools
import re
import subprocess
from pathlib import Path

import pytest
from conftest import BUILD, SOURCE

from libci import _errors, _result, _table

HEADERS = sorted((SOURCE / "include/ci").glob("*.h"))
#: Declared in the headers of users, which the binding covers; those for authors of backends it leaves out.
TEXT = re.sub(r"/\*.*?\*/", "", "".join(header.read_text() for header in HEADERS), flags=re.S)
CALLBACKS = {
    "ci_log_cb": _table.LOG_CB,
    "ci_output_cb": _table.OUTPUT_CB,
    "ci_context_cb": _table.CONTEXT_CB,
    "ci_write_cb": _table.WRITE_CB,
    "ci_read_cb": _table.READ_CB,
    "ci_object_cb": _table.OBJECT_CB,
    "ci_removed_cb": _table.REMOVED_CB,
}
SCALARS = {
    "int32_t": ctypes.c_int32,
    "int64_t": ctypes.c_int64,
    "uint32_t": ctypes.c_uint32,
    "uint64_t": ctypes.c_uint64,
    "size_t": ctypes.c_size_t,
    "ci_status": ctypes.c_int32,
}
#: Text or bytes with a size of their own: a pointer, so that NULs inside do not end them.
SIZED = {"ci_result_stream", "ci_result_stdout", "ci_result_stderr", "ci_result_value", "ci_result_background"}


def expected(declared: str) -> object:
    """The ctypes type of a C type."""
    declared = " ".join(declared.replace("*", " * ").split())
    if declared in SCALARS:
        return SCALARS[declared]
    if declared in CALLBACKS:
        return CALLBACKS[declared]
    if declared == "void":
        return None
    if declared == "const char *":
        return ctypes.c_char_p
    if declared == "const char * const *":
        return ctypes.POINTER(ctypes.c_char_p)
    if declared == "size_t *":
        return ctypes.POINTER(ctypes.c_size_t)
    if declared.count("*") == 2:
        return ctypes.POINTER(ctypes.c_void_p)
    name = declared.replace("const ", "").replace(" *", "")
    if name in _table.STRUCTS:
        return ctypes.POINTER(_table.STRUCTS[name])
    assert name == "void" or re.search(rf"typedef struct {name} {name};", TEXT), f"what is {declared}?"
    return ctypes.c_void_p


@functools.cache
def declared_functions() -> dict[str, tuple[str, list[str]]]:
    functions = {}
    for returned, name, parameters in re.findall(r"CI_API\s+([^;()]*?)(ci_\w+)\(([^;]*)\);", TEXT):
        arguments = (
            [] if parameters.strip() == "void" else [re.sub(r"\w+$", "", p.strip()) for p in parameters.split(",")]
        )
        functions[name] = (returned, arguments)
    return functions


def test_every_function_of_the_headers_is_in_the_table_and_no_other() -> None:
    assert sorted(_table.FUNCTIONS) == sorted(declared_functions())


@pytest.mark.parametrize("name", sorted(_table.FUNCTIONS))
def test_function_takes_and_returns_what_the_header_says(name: str) -> None:
    returned, arguments = declared_functions()[name]
    restype = ctypes.c_void_p if name in SIZED else expected(returned)
    assert _table.FUNCTIONS[name] == (restype, [expected(argument) for argument in arguments])


def test_the_library_exports_every_function_of_the_table() -> None:
    lines = subprocess.run(
        ["nm", "-D", "--defined-only", BUILD / "lib/libci.so"], capture_output=True, text=True, check=True
    )
    exported = {line.split()[-1].split("@")[0] for line in lines.stdout.splitlines()}
    assert set(_table.FUNCTIONS) <= exported


def test_structs_lie_in_memory_as_the_compiler_lays_them(tmp_path: Path) -> None:
    prints = []
    for name, struct in _table.STRUCTS.items():
        prints.append(f'printf("{name} %zu\\n", sizeof({name}));')
        prints += [
            f'printf("{name}.{field[0]} %zu %zu\\n", offsetof({name}, {field[0]}), sizeof((({name} *)0)->{field[0]}));'
            for field in struct._fields_
        ]
    source = tmp_path / "layout.c"
    source.write_text(
        "#include <ci/ci.h>\n#include <stdio.h>\nint main(void) {\n" + "\n".join(prints) + "\nreturn 0;}\n"
    )
    subprocess.run(["gcc", f"-I{SOURCE}/include", source, "-o", tmp_path / "layout"], check=True)
    compiled = subprocess.run([tmp_path / "layout"], capture_output=True, text=True, check=True).stdout.splitlines()
    ours = []
    for name, struct in _table.STRUCTS.items():
        ours.append(f"{name} {ctypes.sizeof(struct)}")
        ours += [
            f"{name}.{field[0]} {getattr(struct, field[0]).offset} {getattr(struct, field[0]).size}"
            for field in struct._fields_
        ]
    assert ours == compiled


def test_structs_have_every_field_of_the_headers() -> None:
    for name, struct in _table.STRUCTS.items():
        body = re.search(rf"typedef struct {name} \{{(.*?)\}} {name};", TEXT, re.S)
        assert body, name
        fields = re.findall(r"(\w+)(?:\)\([^;]*\))?;", body.group(1))
        assert [field[0] for field in struct._fields_] == fields


def constants(prefix: str) -> dict[str, int]:
    return {name: eval(value) for name, value in re.findall(rf"\b{prefix}(\w+) = ([-\d<< ]+)", TEXT)}


def test_statuses_outcomes_and_kinds_have_the_headers_numbers() -> None:
    errors = constants("CI_ERR_")
    assert sorted(_errors.BY_STATUS) == sorted(errors.values())
    assert {o.name: o.value for o in _result.Outcome} == constants("CI_OUTCOME_")
    assert {kind.name: kind.value for kind in _result.FileKind} == constants("CI_KIND_")
    statuses = {name: value for name, value in constants("CI_FILE_").items() if not name.startswith("OP_")}
    assert {status.name: status.value for status in _result.FileStatus} == statuses


@pytest.mark.parametrize(
    "prefix", ["CALL_", "EVENT_", "STREAM_", "FILES_", "FILE_OP_", "RUN_", "SESSION_", "PUSH_", "S3_"]
)
def test_constants_have_the_headers_numbers(prefix: str) -> None:
    ours = {name: value for name, value in vars(_table).items() if name.startswith(prefix) and isinstance(value, int)}
    assert {name[len(prefix) :]: value for name, value in ours.items()} == constants(f"CI_{prefix}")
