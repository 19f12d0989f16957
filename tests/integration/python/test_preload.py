"""What kernels have imported when they start, and what is said of modules that they cannot."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import libci
import pytest

STARTS_A_THREAD = "import threading, time\nthreading.Thread(target=time.sleep, args=(600,), daemon=True).start()\n"


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An interpreter with modules of its own."""
    folder = tmp_path_factory.mktemp("venv")
    folder.chmod(0o755)  # a root's sandboxes are others
    subprocess.run(["/usr/bin/python3", "-m", "venv", "--without-pip", folder], check=True)
    modules = next(folder.glob("lib/python*/site-packages"))
    (modules / "good.py").write_text("")
    (modules / "broken.py").write_text("raise RuntimeError('one line\\nand another')")
    (modules / "restless.py").write_text(STARTS_A_THREAD)
    yield folder / "bin/python"


def test_modules_that_cannot_be_preloaded_are_named_and_the_others_are_there(environment: Path) -> None:
    said: list[tuple[str, str]] = []
    names = "good,broken,restless,nowhere,csv"
    with libci.Sandbox(python=environment, preload=names, log=lambda level, _, text: said.append((level, text))) as box:
        box.prepare(60)
        with libci.Session(sandbox=box, timeout=60) as session:
            loaded = session.run_code(f"import sys\n[m for m in '{names}'.split(',') if m in sys.modules]").value
            assert loaded == "['good', 'csv']"
            assert session.run_code("import threading\nthreading.active_count()").value == "1"
            result = session.run_code("import restless\nthreading.active_count()")
            assert result.value == "2", result.traceback
            kernel = session.info()["sandbox"]["guest"]["kernels"][0]["kernel"]
    expected = {
        "broken": "RuntimeError: one line and another",
        "restless": "it starts threads",
        "nowhere": "ModuleNotFoundError: No module named 'nowhere'",
    }
    assert kernel["preloaded"] == ["good", "csv"]
    assert kernel["notPreloaded"] == expected
    assert sorted(said) == sorted(("warning", f"preload: {name}: {why}") for name, why in expected.items())
