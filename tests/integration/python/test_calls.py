"""ci-run --calls: a conversation in tool calls; every example of the skill, and lines that are none."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from conftest import BUILD
from moments import PATIENCE, until

Start = Callable[..., subprocess.Popen]


class Conversation:
    def __init__(self, process: subprocess.Popen) -> None:
        self.process = process

    def say(self, line: bytes) -> dict[str, Any]:
        """One line there, one line back."""
        self.process.stdin.write(line + b"\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        assert answer.endswith(b"\n"), self.process.stderr.read()
        return json.loads(answer)

    def call(self, name: str, **tool_input: Any) -> dict[str, Any]:
        return self.say(json.dumps({"name": name, "input": tool_input}).encode())

    def text(self, name: str, **tool_input: Any) -> str:
        answer = self.call(name, **tool_input)
        assert answer["isError"] is False, answer
        return answer["structuredContent"]["stdout"]

    def end(self) -> int:
        self.process.stdin.close()
        return self.process.wait(PATIENCE)


@contextmanager
def conversation(workspace: Path, *arguments: object) -> Iterator[Conversation]:
    command = [BUILD / "bin/ci-run", "--calls", "-", "--workspace", workspace, "--timeout", PATIENCE, *arguments]
    process = subprocess.Popen(list(map(str, command)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    yield Conversation(process)
    process.stdin.close()
    assert process.wait(PATIENCE) == 0
    process.stdout.close()
    process.stderr.close()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Conversation]:
    """One conversation for the whole file, as this mode is meant to live long."""
    with conversation(tmp_path_factory.mktemp("shared")) as talk:
        yield talk


@pytest.fixture(scope="module")
def skill(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Conversation]:
    """Likewise, with the core environment, which run.sh makes where there is a package registry; else without it."""
    environment = os.environ.get("CI_TEST_ENVIRONMENT")
    with conversation(tmp_path_factory.mktemp("skill"), *(["--python", environment] if environment else [])) as talk:
        yield talk


@pytest.fixture
def talk(ci_run_start: Start) -> Callable[..., Conversation]:
    return lambda *arguments: Conversation(ci_run_start("--calls", "-", *arguments))


# -- the skill's examples, as written


def test_example_text_output(skill: Conversation) -> None:
    code = "import pandas as pd\ndf = pd.DataFrame({'A': [1,2,3], 'B': [4,5,6]})\nprint(df.describe())"
    assert "mean   2.0  5.0" in skill.text("execute_code", code=code, language="python")


def test_example_generate_chart(skill: Conversation) -> None:
    code = (
        "import matplotlib\nmatplotlib.use('Agg')\nimport matplotlib.pyplot as plt\nimport numpy as np\n"
        "x = np.linspace(0, 10, 100)\nplt.figure(figsize=(10,6))\nplt.plot(x, np.sin(x))\nplt.title('Sine Wave')\n"
        "plt.savefig('sine.png', dpi=300, bbox_inches='tight')\nprint('Done')"
    )
    answer = skill.call("execute_code", code=code, language="python", output_filename="sine.png")
    assert answer["structuredContent"]["stdout"] == "Done\n" and answer["isError"] is False
    assert answer["structuredContent"]["files"][0]["key"] == "code-interpreter/sine.png"
    read = skill.call("workspace_read", path="code-interpreter/sine.png")
    (blob,) = [item["resource"]["blob"] for item in read["content"] if item["type"] == "resource"] or [
        item["data"] for item in read["content"] if item["type"] == "image"
    ]
    assert base64.b64decode(blob).startswith(b"\x89PNG")


def test_example_check_environment(skill: Conversation) -> None:
    out = skill.text("execute_command", command="python --version && pip list | head -20")
    assert out.startswith("Python 3.") and "Package" in out


def test_example_file_operations(skill: Conversation) -> None:
    write = skill.call(
        "file_operations", operation="write", content=[{"path": "config.json", "text": '{"key": "value"}'}]
    )
    assert write["isError"] is False
    listed = skill.call("file_operations", operation="list", paths=["."])
    assert "config.json" in [file["path"] for file in listed["structuredContent"]["files"]]
    skill.text("execute_code", code="open('output.csv', 'w').write('a,b\\n1,2\\n');")
    read = skill.call("file_operations", operation="read", paths=["output.csv"])
    (resource,) = [item["resource"] for item in read["content"] if item["type"] == "resource"]
    assert resource["text"] == "a,b\n1,2\n"


def test_example_push_and_read_back(skill: Conversation) -> None:
    skill.text(
        "execute_code", code="open('chart.png', 'wb').write(b'\\x89PNG\\xff'); open('results.json', 'w').write('{}');"
    )
    answer = skill.call("ci_push_to_workspace", paths=["chart.png", "results.json"])
    assert [file["status"] for file in answer["structuredContent"]["files"]] == ["saved", "saved"]
    assert skill.call("ci_push_to_workspace")["isError"] is False
    read = skill.call("workspace_read", path="code-interpreter/results.json")
    assert "{}" in json.dumps(read["content"])
    listed = skill.call("workspace_list", path="code-interpreter/")
    assert {"code-interpreter/chart.png", "code-interpreter/results.json"} <= {
        file["path"] for file in listed["structuredContent"]["files"]
    }


#: The usage patterns, word for word, stand in skill/: what they need, what they print, what they save.
PATTERNS = {
    "analysis": ("pandas", "Profit Margin:", ""),
    "visualization": ("matplotlib", "Dashboard saved", "dashboard.png"),
    "machine_learning": ("sklearn", "versicolor", ""),
    "sql": ("duckdb", "Customer_19", ""),
}


@pytest.mark.parametrize("pattern", PATTERNS)
def test_usage_pattern(skill: Conversation, pattern: str) -> None:
    library, expected, output = PATTERNS[pattern]
    code = f"import importlib.util\nprint(importlib.util.find_spec({library!r}) is not None)"
    if skill.text("execute_code", code=code) != "True\n":
        pytest.skip(f"{library} is not installed")
    extra = {"output_filename": output} if output else {}
    code = (Path(__file__).parent / "skill" / f"{pattern}.py").read_text()
    assert expected in skill.text("execute_code", code=code, **extra)


def test_usage_pattern_multi_step_workflow(skill: Conversation) -> None:
    skill.text(
        "execute_code",
        code="import pandas as pd\ndf = pd.DataFrame({'k': list('abca'), 'v': [1, 2, None, 4]}).dropna()",
    )
    chart = skill.call(
        "execute_code",
        code="ax = df.groupby('k').v.sum().plot.bar()\nax.figure.savefig('multi.png')",
        output_filename="multi.png",
    )
    assert chart["isError"] is False
    skill.text("execute_code", code="df.to_csv('multi.csv', index=False)")
    read = skill.call("file_operations", operation="read", paths=["multi.csv"])
    assert "k,v\na,1.0\nb,2.0\na,4.0\n" in [
        item["resource"]["text"] for item in read["content"] if item["type"] == "resource"
    ]


def test_show_instead_of_savefig_gives_the_picture_all_the_same(skill: Conversation) -> None:
    answer = skill.call("execute_code", code="import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()")
    (image,) = [item for item in answer["content"] if item["type"] == "image"]
    assert image["mimeType"] == "image/png" and base64.b64decode(image["data"]).startswith(b"\x89PNG")


# -- the conversation itself


def test_failing_code_is_an_answer_with_all_there_is_to_know(shared: Conversation) -> None:
    answer = shared.call("execute_code", code="print('before')\n1 / 0")
    content = answer["structuredContent"]
    assert answer["isError"] is True and content["outcome"] == "exception" and content["exitCode"] == 1
    assert content["stdout"] == "before\n" and content["error"]["name"] == "ZeroDivisionError"
    assert any("1 / 0" in item.get("text", "") for item in answer["content"])


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"   ",
        b"nonsense",
        b"{",
        b"[]",
        b"7",
        b'"execute_code"',
        b"null",
        b"{}",
        b'{"name": 7, "input": {}}',
        b'{"name": null}',
        b'{"name": {"a": 1}, "input": {}}',
        b'{"name": "execute_cod", "input": {"code": "1"}}',
        b'{"name": "exec\\u0000ute_code", "input": {}}',
        b'{"name": "execute_code"}',
        b'{"name": "execute_code", "input": []}',
        b'{"name": "execute_code", "input": "code"}',
        b'{"name": "execute_code", "input": 12}',
        b'{"name": "execute_code", "input": null}',
        b'{"name": "execute_code", "input": {"code": 7}}',
        b'{"name": "execute_code", "input": {"cod": "1"}}',
        b'{"name": "execute_code", "input": {"code": "1", "timeout": "soon"}}',
        b'{"name": "execute_code", "input": {"code": "1"}} trailing',
        b'{"name": "execute_code", "input": {"code": "1"}',
        b'{"name": "execute_code", "input": {"code": "\xff"}}',
        b'{"name": "file_operations", "input": {"operation": "delete"}}',
        b'{"name": "workspace_read", "input": {"path": "../../etc/passwd"}}',
        b"[" * 100_000,
        b'{"input": {"a": ' * 5_000,
        b"\x00\xff\xfe",
    ],
    ids=lambda line: repr(line[:40]),
)
def test_a_line_that_is_no_call_gets_an_error_result_and_no_exit(shared: Conversation, line: bytes) -> None:
    answer = shared.say(line)
    assert answer["isError"] is True
    assert answer["content"][0]["type"] == "text" and len(answer["content"][0]["text"]) > 10
    assert shared.text("execute_code", code="print('still here')") == "still here\n"


def test_an_unknown_tool_is_answered_with_what_was_probably_meant(shared: Conversation) -> None:
    answer = shared.call("execute_comand", command="ls")
    assert "execute_command" in answer["content"][0]["text"]
    answer = shared.call("execute_code", cod="1")
    assert "code" in answer["content"][0]["text"]


@pytest.mark.parametrize(
    "line",
    [
        b'{"input":{"code":"print(\'odd\')"},"name":"execute_code"}',
        b' {"id": [1, {"name": "x"}], "name" : "execute_code" , "input"\t:\t{"code": "print(\'odd\')"} , "z": 0} \r',
        b'{"name": "execute_command", "name": "execute_code", "input": 1, "input": {"code": "print(\'odd\')"}}',
        b'{"n\\u0061me": "execute_code", "input": {"code": "print(\'o\\u0064d\')"}}',
    ],
)
def test_forms_of_a_line_that_are_fine(shared: Conversation, line: bytes) -> None:
    assert shared.say(line)["structuredContent"]["stdout"] == "odd\n"


def test_a_call_of_megabytes_passes(shared: Conversation) -> None:
    text = "é" * 4_000_000
    write = shared.call("file_operations", operation="write", content=[{"path": "long.txt", "text": text}])
    assert write["isError"] is False
    assert shared.text("execute_command", command="wc -c < long.txt") == "8000000\n"
    blob = base64.b64encode(bytes(range(256)) * 4096).decode()
    assert shared.call("file_operations", operation="write", content=[{"path": "b", "blob": blob}])["isError"] is False
    assert shared.text("execute_command", command="wc -c < b") == "1048576\n"


def test_times_are_in_seconds(shared: Conversation) -> None:
    answer = shared.call("execute_code", code="while True: pass", timeout=0.3)
    assert answer["structuredContent"]["outcome"] == "timeout" and answer["structuredContent"]["exitCode"] == 124


def test_without_a_workspace_there_is_one_for_as_long_as_the_conversation_lasts(
    talk: Callable[..., Conversation], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    conversation = talk("--preload", "none")
    answer = conversation.call("execute_code", code="open('a', 'w').write('1');", output_filename="a")
    assert answer["structuredContent"]["files"][0]["key"] == "code-interpreter/a", answer
    assert "1" in json.dumps(conversation.call("workspace_read", path="code-interpreter/a")["content"])
    assert conversation.call("ci_push_to_workspace")["isError"] is False
    assert conversation.end() == 0
    assert list(tmp_path.iterdir()) == []


def test_timeout_is_the_default_of_each_call(talk: Callable[..., Conversation]) -> None:
    conversation = talk("--timeout", "3", "--preload", "none")
    assert conversation.call("execute_command", command="sleep 600")["structuredContent"]["outcome"] == "timeout"
    assert conversation.text("execute_code", code="print(1)", timeout=PATIENCE) == "1\n"
    assert conversation.end() == 0


def test_calls_come_from_a_file_too_the_last_line_without_newline(ci_run: Callable, tmp_path: Path) -> None:
    lines = [{"name": "execute_code", "input": {"code": f"x = {i}\nprint(x)"}} for i in range(3)]
    (tmp_path / "calls").write_text("\n".join(map(json.dumps, lines)))
    done = ci_run("--calls", tmp_path / "calls", "--preload", "none")
    assert [json.loads(line)["structuredContent"]["stdout"] for line in done.stdout.splitlines()] == [
        "0\n",
        "1\n",
        "2\n",
    ]
    assert done.returncode == 0


def test_a_line_that_breaks_off_is_told_by_where(shared: Conversation) -> None:
    line = b'{"name": "execute_code", "input": {"code": "1"'
    assert f"(after {len(line)} bytes)" in shared.say(line)["content"][0]["text"]


def test_an_editors_mark_before_the_first_line_is_no_part_of_it(ci_run: Callable, tmp_path: Path) -> None:
    (tmp_path / "calls").write_bytes(b'\xef\xbb\xbf{"name": "execute_code", "input": {"code": "print(1)"}}\n')
    done = ci_run("--calls", tmp_path / "calls", "--preload", "none")
    assert json.loads(done.stdout)["structuredContent"]["stdout"] == "1\n"


def test_calls_that_cannot_be_read_are_a_failure_that_says_why(ci_run: Callable, tmp_path: Path) -> None:
    done = ci_run("--calls", tmp_path, "--preload", "none")
    assert (done.returncode, done.stderr) == (125, f"ci-run: --calls {tmp_path}: Is a directory\n".encode())


def test_the_data_libraries_are_imported_already(shared: Conversation) -> None:
    out = shared.text(
        "execute_code", code="import sys; print('numpy' in sys.modules, 'pandas' in sys.modules)", context="fresh"
    )
    assert out == "True True\n"


def test_a_line_beyond_all_bounds_is_refused_and_the_next_is_fine(talk: Callable[..., Conversation]) -> None:
    conversation = talk("--preload", "none")
    piece = b"x" * (1 << 20)
    for _ in range(161):
        conversation.process.stdin.write(piece)
    answer = conversation.say(b"")
    assert answer["isError"] is True and "160 MiB" in answer["content"][0]["text"]
    assert conversation.text("execute_code", code="print(1)") == "1\n"
    assert conversation.end() == 0


def first_word(pid: str) -> bytes:
    """Of a process's command line."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().partition(b"\0")[0]
    except OSError:
        return b""  # it has ended meanwhile


def test_ctrl_c_interrupts_a_call_and_ends_an_idle_conversation(talk: Callable[..., Conversation]) -> None:
    conversation = talk("--preload", "none")
    assert conversation.text("execute_code", code="x = 1") == ""
    process = conversation.process
    mark = uuid.uuid4().hex
    process.stdin.write(b'{"name": "execute_command", "input": {"command": "exec -a %s sleep 600"}}\n' % mark.encode())
    process.stdin.flush()
    until(lambda: any(first_word(pid) == mark.encode() for pid in filter(str.isdigit, os.listdir("/proc"))))
    process.send_signal(signal.SIGINT)
    assert json.loads(process.stdout.readline())["structuredContent"]["outcome"] == "interrupted"
    assert conversation.text("execute_code", code="print(x)") == "1\n"
    process.send_signal(signal.SIGINT)
    assert process.wait(PATIENCE) == 130


def test_a_reader_that_leaves_ends_the_conversation(talk: Callable[..., Conversation]) -> None:
    conversation = talk("--preload", "none")
    conversation.process.stdout.close()
    try:
        for _ in range(20):
            conversation.process.stdin.write(b'{"name": "execute_code", "input": {"code": "print(1)"}}\n')
        conversation.process.stdin.flush()
    except BrokenPipeError:
        pass
    assert conversation.process.wait(PATIENCE) == 128 + signal.SIGPIPE
    conversation.process.stdout = None
    try:
        conversation.process.stdin.close()
    except BrokenPipeError:
        pass
