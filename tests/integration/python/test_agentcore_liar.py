"""AgentCore's sessions that lie: whoever runs code in one can answer in the place of the library's own script."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import agentcorelab
import libci
import pytest
from agentcorelab import liar
from libci import Outcome


@contextlib.contextmanager
def session_of(service: liar.Service, options: Any = None, **others: Any) -> Iterator[libci.Session]:
    key_id, secret, _ = agentcorelab.ROLE_KEY
    keys = {"access_key_id": key_id, "secret_access_key": secret, "region": agentcorelab.REGION, "environment": False}
    with libci.Sandbox.agentcore(endpoint=service.endpoint, **keys, **others) as sandbox:
        with libci.Session(sandbox=sandbox, **(options or {})) as session:
            yield session


def entry(name: bytes, size: int = 1) -> str:
    return f"n f {size} 1 1 420 {liar.text(name)}"


def refused(call: Any, service: liar.Service, operation: str) -> None:
    """It is not asked again and again."""
    with pytest.raises((libci.Error, libci.Failed), match="not told as it must be"):
        call()
    assert service.asked.count(operation) == 1


def test_a_list_that_promises_more_and_tells_nothing_is_refused() -> None:
    with liar.start(tree=lambda *words: ["m 0"]) as service, session_of(service) as session:
        refused(session.list_files, service, "tree")


def test_a_page_of_a_list_has_an_end() -> None:
    with liar.start(tree=lambda *words: [entry(b"x")] * 20001) as service, session_of(service) as session:
        refused(session.list_files, service, "tree")
    with liar.start(tree=lambda *words: [entry(b"x")] * 3 + ["m 0"]) as service, session_of(service) as session:
        refused(session.list_files, service, "tree")
    with liar.start(tree=lambda *words: [entry(b"x")] * 20000 + ["m x"]) as service, session_of(service) as session:
        refused(session.list_files, service, "tree")


def test_a_file_that_promises_more_and_tells_nothing_is_refused() -> None:
    for lines in (["s 5 1 1", "m"], ["m"], ["s -1 1 1"], ["s x 1 1"], ["s 5"]):
        with liar.start(read=lambda *words: lines) as service, session_of(service) as session:
            refused(lambda: session.read_file("x"), service, "read")


def test_a_file_is_read_as_far_as_it_was_announced() -> None:
    def read(path: bytes, offset: bytes, most: bytes) -> list[str]:
        return ["s 5000 1 1", "d " + liar.text(b"x" * min(4096, int(most))), "m"]

    with liar.start(read=read) as service, session_of(service, part_bytes=4096) as session:
        assert session.read_file("x") == b"x" * 5000


def test_a_command_whose_output_is_not_there_is_lost() -> None:
    for lines in (["o aGkK", f"x 0 0 1 {9 * 10**18} 0 0"], ["o aGkK", f"x 0 0 1 {10**9} 0 0"]):
        with liar.start(run=lambda *words: lines) as service, session_of(service) as session:
            result = session.run_command("true")
            assert result.outcome is Outcome.LOST and result.stdout == "hi\n"
            assert service.asked.count("read") <= 1


def test_what_a_command_could_not_keep_is_told_behind_the_rest() -> None:
    def read(path: bytes, offset: bytes, most: bytes) -> list[str]:
        return ["s 3", "d " + liar.text(b"abc")]

    lines = ["o aGkK", "O 7", "x 0 0 1 3 0 0"]
    with liar.start(run=lambda *words: lines, read=read) as service, session_of(service) as session:
        assert session.run_command("true").stdout == "hi\nabc[... 7 bytes omitted ...]\n"
    for lie in ("O 0", "O x", "E -1"):
        lines[1] = lie
        with liar.start(run=lambda *words: lines, read=read) as service, session_of(service) as session:
            assert session.run_command("true").outcome is Outcome.LOST


def test_memory_that_a_session_lacks_is_not_the_hosts() -> None:
    with liar.start(run=lambda *words: ["o aGkK", "! 12 x"], tree=lambda *words: ["! 12 x"]) as service:
        with session_of(service) as session:
            result = session.run_command("true")
            assert result.outcome is Outcome.LOST and result.stdout == "hi\n"
            with pytest.raises(libci.Failed, match="the session lacks memory"):
                session.list_files()


def test_a_command_ends_once() -> None:
    lines = ["o aGkK", "x 0 0 1 0 0 0", "x 5 0 1 0 0 0"]
    with liar.start(run=lambda *words: lines) as service, session_of(service) as session:
        assert session.run_command("true").outcome is Outcome.LOST


def test_a_push_of_a_forged_file_ends(tmp_path: Path) -> None:
    def read(path: bytes, offset: bytes, most: bytes) -> list[str]:
        return ["s 3 1 1", "d " + liar.text(b"x" * 4096), "m"]

    with liar.start(tree=lambda *words: [entry(b"a", 3)], read=read) as service:
        with session_of(service, {"workspace_dir": tmp_path}, part_bytes=4096) as session:
            session.push()
        assert service.asked.count("read") <= 2
