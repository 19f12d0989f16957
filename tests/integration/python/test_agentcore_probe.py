"""The probe by itself, where no session can be brought to what is asked of it."""

from __future__ import annotations

import base64
import subprocess
from pathlib import Path


def page(folder: Path, after: str) -> list[str]:
    """Three names that the probe tells of a tree after one."""
    words = [base64.b64encode(word.encode()).decode() or "=" for word in (str(folder), ".", "1", after, "3")]
    probe = Path(__file__).resolve().parents[3] / "lib/sandbox/agentcore/probe.py"
    command = ["/usr/bin/python3", "-I", "-S", str(probe), "NONCE", "-", words[0], "tree", *words[1:]]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    return [base64.b64decode(line.split()[-1]).decode() for line in lines if line.startswith("n ")]


def test_a_page_misses_nothing_when_what_came_before_has_gone(tmp_path: Path) -> None:
    for name in ("a/b/c", "a/b-d", "a/z", "a-b", "b"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert page(tmp_path, "") == ["a", "a/b", "a/b/c"]
    (tmp_path / "a/b/c").unlink()
    assert page(tmp_path, "a/b/c") == ["a/b-d", "a/z", "a-b"]
    assert page(tmp_path, "a-b") == ["b"]
    (tmp_path / "a-b").unlink()
    assert page(tmp_path, "a-b") == ["b"]
    assert page(tmp_path, "b") == []
