"""ci-run, as people and scripts use it."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import pty
import re
import shutil
import signal
import subprocess
import termios
import zipfile
from collections.abc import Callable
from fcntl import ioctl
from pathlib import Path
from struct import pack

import pytest
from conftest import BUCKET, BUILD, SOURCE, Bucket
from moments import PATIENCE
from s3lab.client import Client
from s3lab.throttle import throttle

Run = Callable[..., subprocess.CompletedProcess]


def test_units_run_in_the_order_given_in_one_session(ci_run: Run, tmp_path: Path) -> None:
    (tmp_path / "two.py").write_text("x *= 7\nprint('file', x)\nx")
    done = ci_run(
        "-e", "x = 6", "-c", "echo shell > f", tmp_path / "two.py", "-", "-e", "x, open('f').read()", stdin=b"x += 1"
    )
    assert (done.stdout.decode(), done.stderr, done.returncode) == ("file 42\n(43, 'shell\\n')\n", b"", 0)


def test_the_program_comes_from_standard_input_when_none_is_named(ci_run: Run) -> None:
    assert ci_run(stdin=b"print(1)\n2").stdout == b"1\n"


def test_arguments_are_sys_argv_and_line_numbers_stay(ci_run: Run, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_bytes(b"\xef\xbb\xbfimport sys\nprint(sys.argv)\nprint('sys' in dir(), 'os' in dir())\n\n1 / 0\n")
    done = ci_run(script, "--", "-x", "a b", "é'\"\\\n", b"\xff".decode("utf-8", "surrogateescape"))
    assert (
        done.stdout.decode()
        == f"{[str(script), '-x', 'a b', 'é' + chr(39) + chr(34) + chr(92) + chr(10), chr(0xdcff)]!r}\nTrue False\n"
    )
    assert b"ZeroDivisionError" in done.stderr and b"5" in done.stderr and b"1 / 0" in done.stderr
    assert done.returncode == 1


def test_arguments_of_a_shell_script(ci_run: Run, tmp_path: Path) -> None:
    (tmp_path / "script.sh").write_text("printf '<%s>' \"$@\"; (exit 3)")
    done = ci_run(tmp_path / "script.sh", "--", "-x", "a b", "it's $HOME\n")
    assert (done.stdout, done.stderr, done.returncode) == (b"<-x><a b><it's $HOME\n>", b"", 3)


@pytest.mark.skipif(shutil.which("node", path="/usr/local/bin:/usr/bin:/bin") is None, reason="no node")
def test_arguments_of_a_script_of_node(ci_run: Run, tmp_path: Path) -> None:
    script = tmp_path / "script.js"
    script.write_text("\nconsole.log(JSON.stringify(process.argv.slice(1))); null.x")
    done = ci_run(script, "--", "-x", "a b", "é'\"\\\n")
    assert json.loads(done.stdout) == [str(script), "-x", "a b", "é'\"\\\n"]
    assert b":2:" in done.stderr and done.returncode == 1
    assert json.loads(ci_run(script).stdout) == [str(script)]


NODE = shutil.which("node", path="/usr/local/bin:/usr/bin:/bin")
TYPED = NODE and (BUILD / "libexec/libci/guest/node/typescript.stamp").exists()
LANGUAGES = {
    "python": ("print([1, 2] + [3])", "[1, 2, 3]\n"),
    "javascript": ("console.log([1, 2].concat(3).length === 3 && typeof require)", "function\n"),
    "typescript": ("const a: number = 4; console.log(a as unknown)", "4\n"),
    "bash": ("[[ x == x ]] && a=(5 6) && echo ${a[1]}", "6\n"),
}


@pytest.mark.parametrize(
    ("suffixes", "language"),
    [
        ([".py", ".txt", ""], "python"),
        ([".sh", ".bash"], "bash"),
        ([".js", ".mjs", ".cjs"], "javascript"),
        ([".ts", ".mts", ".cts"], "typescript"),
    ],
)
def test_a_files_suffix_says_its_language(ci_run: Run, tmp_path: Path, suffixes: list[str], language: str) -> None:
    if not {"javascript": NODE, "typescript": TYPED}.get(language, True):
        pytest.skip("no node" if not NODE else "built without TypeScript")
    code, said = LANGUAGES[language]
    files = []
    for suffix in suffixes:
        files.append(tmp_path / f"my.file{suffix}")
        files[-1].write_text(code)
    done = ci_run(*files)
    assert (done.stdout.decode(), done.stderr, done.returncode) == (said * len(files), b"", 0)


def test_a_language_that_is_named_counts_more_than_the_suffix(ci_run: Run, tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(LANGUAGES["bash"][0])
    assert ci_run("-l", "bash", tmp_path / "script.py").stdout.decode() == LANGUAGES["bash"][1]


def test_a_script_sees_no_name_it_did_not_import(ci_run: Run) -> None:
    assert ci_run("-e", "'sys' in dir()", "--", "a").stdout == b"False\n"


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["-e", "1"], 0),
        (["-e", "1 / 0"], 1),
        (["-e", "import sys; sys.exit(7)"], 7),
        (["-c", "exit 42"], 42),
        (["-c", "kill -SEGV $$"], 139),
        (["-e", "while True: pass", "--timeout", "0.3"], 124),
        (["-c", "sleep 10", "--timeout", "0.3"], 124),
        (["no-such-file.py"], 125),
        (["--memory", "many", "-e", "1"], 125),
        (["--memory", "-1", "-e", "1"], 125),
        (["--memory", "5 ", "-e", "1"], 125),
        (["--timeout", "soon", "-e", "1"], 125),
        (["--timeout", "1e-9", "-c", "sleep 10"], 124),
        (["--network", "some", "-e", "1"], 125),
        (["--processes", "0", "-e", "1"], 125),
        (["--no-such-option"], 125),
        (["-e"], 125),
        (["--push", "-e", "1"], 125),
        (["--output", "x", "-e", "1"], 125),
        (["--output", "", "--workspace", "/tmp", "-e", "1"], 125),
        (["--calls", "-", "-e", "1"], 125),
        (["--python", "/no/such/python", "-e", "1"], 125),
        (["--session", "a b", "-e", "1"], 125),
        (["--allow", "example.org", "-e", "1"], 125),
        (["--network", "host", "--deny", "*", "-e", "1"], 125),
        (["--network", "internet", "--allow", "", "-e", "1"], 125),
        (["--network", "internet", "--allow", "none", "--allow", "*", "-e", "1"], 125),
        (["-l", "cobol", "-e", "1"], 125),
    ],
)
def test_the_exit_status_tells(ci_run: Run, arguments: list[str], status: int) -> None:
    done = ci_run(*arguments)
    assert done.returncode == status, done.stderr
    if status in (124, 125):
        assert done.stderr.startswith(b"ci-run") and done.stderr.count(b"\n") <= 3, done.stderr


def test_rules_never_switch_the_network_on_themselves(ci_run: Run) -> None:
    for rule in ("--allow", "--deny"):
        done = ci_run(rule, "example.org", "-e", "1")
        assert done.stderr == b"ci-run: --allow and --deny are rules for --network internet: add it\n"


def test_the_first_failure_ends_the_run(ci_run: Run) -> None:
    done = ci_run("-e", "print(1)", "-c", "exit 3", "-e", "print(2)")
    assert (done.stdout, done.returncode) == (b"1\n", 3)


def test_output_streams_as_it_comes(ci_run_start: Callable[..., subprocess.Popen]) -> None:
    process = ci_run_start("-e", "import time\nprint('now', flush=True)\ntime.sleep(600)")
    assert process.stdout.readline() == b"now\n"
    assert process.poll() is None


def test_every_byte_of_both_streams_passes(ci_run: Run) -> None:
    done = ci_run("-e", "import os\nos.write(1, bytes(range(256)) * 1000)\nos.write(2, b'\\xff\\0');")
    assert (done.stdout, done.stderr) == (bytes(range(256)) * 1000, b"\xff\0")


def test_ctrl_c_interrupts_the_cell_and_twice_ends(ci_run_start: Callable[..., subprocess.Popen]) -> None:
    process = ci_run_start("-e", "print('on', flush=True)\nimport time\ntime.sleep(600)", "-e", "print('never')")
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    assert process.wait(PATIENCE) == 130 and process.stdout.read() == b""

    process = ci_run_start(
        "-e",
        "import time\ntry:\n    print('on', flush=True)\n    time.sleep(600)\n"
        "except KeyboardInterrupt:\n    print('caught', flush=True)\ntime.sleep(600)",
    )
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == b"caught\n"
    process.send_signal(signal.SIGINT)
    assert process.wait(PATIENCE) == 130


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_other_signals_end_it_and_leave_nothing(
    ci_run_start: Callable[..., subprocess.Popen], number: int, tmp_path: Path
) -> None:
    (tmp_path / "up").write_text("x")
    environment = {**os.environ, "TMPDIR": str(tmp_path / "tmp")}
    (tmp_path / "tmp").mkdir()
    process = ci_run_start(
        "--upload", tmp_path / "up", "-e", "print('on', flush=True)\nimport time\ntime.sleep(600)", env=environment
    )
    process.stdout.readline()
    process.send_signal(number)
    assert process.wait(PATIENCE) == 128 + number
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_a_signal_that_was_ignored_when_it_started_stays_ignored(
    ci_run_start: Callable[..., subprocess.Popen], number: int
) -> None:
    process = ci_run_start(
        "-e",
        "print('on', flush=True)\nimport time\ntime.sleep(0.5)\nprint('end')",
        preexec_fn=lambda: signal.signal(number, signal.SIG_IGN),
    )
    process.stdout.readline()
    process.send_signal(number)
    assert process.wait(PATIENCE) == 0 and process.stdout.read() == b"end\n"


def test_a_reader_that_leaves_ends_it(ci_run_start: Callable[..., subprocess.Popen]) -> None:
    process = ci_run_start("-e", "while True: print('y' * 1000)")
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(PATIENCE) == 128 + signal.SIGPIPE
    process.stdout = None


def test_closed_standard_streams_do_no_harm(ci_run: Run) -> None:
    command = f"{BUILD}/bin/ci-run -e \"open('x','w').write('1')\" -c 'cat x' 0<&- 1>&- 2>&-; echo $?"
    assert subprocess.run(["sh", "-c", command], capture_output=True, check=True).stdout == b"0\n"


@pytest.mark.parametrize("arguments", [["-e", "1"], ["--json", "-e", "1"], ["--help"], ["--version"], ["--check"]])
def test_output_that_cannot_be_written_is_a_failure_that_says_why(ci_run: Run, arguments: list[str]) -> None:
    command = ["sh", "-c", '"$0" "$@" >/dev/full', f"{BUILD}/bin/ci-run", *arguments]
    done = subprocess.run(command, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (125, b"ci-run: standard output: No space left on device\n")


def test_uploads_outputs_and_push(ci_run: Run, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "data.zip", "w") as archive:
        archive.writestr("in/side.txt", "inside")
        archive.writestr("../evil", "evil")
    (tmp_path / "folder/deep").mkdir(parents=True)
    (tmp_path / "folder/deep/file").write_text("deep")
    (tmp_path / "folder/link").symlink_to("/etc/passwd")
    out = tmp_path / "out"
    done = ci_run(
        *("--upload", tmp_path / "data.zip", "--upload", f"{tmp_path}/folder/", "--workspace", out),
        *("-c", "cat data/in/side.txt folder/deep/file; echo 1 > one; echo 2 > two; echo 3 > three"),
        *("--output", "one", "--output", "two"),
    )
    assert (done.stdout, done.returncode) == (b"insidedeep", 0)
    notes = done.stderr.decode()
    assert "data.zip" in notes and "evil" in notes and "link" in notes
    assert (out / "uploads/data.zip").exists() and (out / "uploads/folder/deep/file").read_text() == "deep"
    assert sorted(os.listdir(out / "code-interpreter")) == ["one", "two"]
    done = ci_run("--workspace", out, "-c", "echo 4 > four; cat data/in/side.txt", "--push")
    assert (done.stdout, done.returncode) == (b"inside", 0)
    assert sorted(os.listdir(out / "code-interpreter")) == ["four", "one", "two"]


def test_a_missing_output_is_an_error_and_the_others_are_saved(ci_run: Run, tmp_path: Path) -> None:
    done = ci_run("--workspace", tmp_path, "-c", "echo 1 > one", "--output", "nothing", "--output", "one")
    assert done.returncode == 1 and b"nothing" in done.stderr
    assert (tmp_path / "code-interpreter/one").exists()


def test_two_uploads_of_one_name_are_refused(ci_run: Run, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/x").write_text("1")
    (tmp_path / "x").write_text("2")
    done = ci_run("--upload", tmp_path / "a/x", "--upload", tmp_path / "x", "-e", "1")
    assert done.returncode == 125 and b"same name" in done.stderr
    assert ci_run("--upload", tmp_path / "nothing", "-e", "1").returncode == 125


def test_an_upload_that_is_neither_file_nor_folder_is_an_error_and_inside_a_folder_left_out(
    ci_run: Run, tmp_path: Path
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    os.mkfifo(folder / "fifo")
    done = ci_run("--upload", folder / "fifo", "-e", "1")
    assert (done.returncode, done.stdout) == (125, b"") and b"neither a file nor a folder" in done.stderr
    done = ci_run("--upload", folder, "-e", "1")
    assert (done.returncode, done.stdout) == (0, b"1\n") and b"left out" in done.stderr


def test_an_upload_that_cannot_be_read_says_why(ci_run: Run) -> None:
    done = ci_run("--upload", "/proc/self/mem", "-e", "1")
    assert (done.returncode, done.stderr) == (125, b"ci-run: --upload /proc/self/mem: Input/output error\n")


def test_a_named_output_that_is_skipped_is_a_failure(ci_run: Run, tmp_path: Path) -> None:
    arguments = ["--workspace", tmp_path, "-c", "mkdir d; touch a d/b; mkfifo f d/f"]
    assert ci_run(*arguments, "--output", "a", "--output", "d").returncode == 0
    assert ci_run(*arguments, "--output", "a", "--output", "f").returncode == 1


def test_a_session_id_names_a_part_of_the_workspace(ci_run: Run, tmp_path: Path) -> None:
    (tmp_path / "up").write_text("x")
    done = ci_run(
        "--workspace",
        tmp_path / "w",
        "--session",
        "s-1",
        "--upload",
        tmp_path / "up",
        "-c",
        "cp up down",
        "--output",
        "down",
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "w/s-1/uploads/up").exists() and (tmp_path / "w/s-1/code-interpreter/down").read_text() == "x"


def test_json_is_one_result_a_line_and_nothing_else(ci_run: Run, tmp_path: Path) -> None:
    done = ci_run(
        "--json",
        "-e",
        "print('é')\n6 * 7",
        "-c",
        "echo out; echo err >&2; touch f",
        "--workspace",
        tmp_path,
        "--output",
        "f",
    )
    first, second, third = map(json.loads, done.stdout.splitlines())
    assert first["structuredContent"]["stdout"] == "é\n" and first["structuredContent"]["result"] == "42"
    assert (second["structuredContent"]["stdout"], second["structuredContent"]["stderr"]) == ("out\n", "err\n")
    assert third["structuredContent"]["files"][0]["path"] == "f"
    failed = ci_run("--json", "-e", "1 / 0", "-e", "2")
    (line,) = failed.stdout.splitlines()
    assert json.loads(line)["isError"] is True and failed.returncode == 1


def test_images_are_announced(ci_run: Run) -> None:
    done = ci_run("-e", "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()")
    assert b"[image/png, " in done.stderr and done.returncode == 0


def test_limits_reach_the_session(ci_run: Run) -> None:
    done = ci_run("--disk", "4M", "-e", "open('x', 'wb').write(bytes(8 << 20))")
    assert done.returncode == 1 and b"No space" in done.stderr
    done = ci_run("--memory", "200M", "-e", "x = [bytearray(50 << 20) for _ in range(50)]")
    assert done.returncode in (1, 137), done.stderr


def test_the_host_network_is_there_when_asked_for_and_not_otherwise(ci_run: Run) -> None:
    code = "[line.split(':')[0].strip() for line in open('/proc/net/dev') if ':' in line]"
    host = [line.split(":")[0].strip() for line in Path("/proc/net/dev").read_text().splitlines() if ":" in line]
    assert ci_run("-e", code).stdout == b"['lo']\n"
    assert sorted(eval(ci_run("--network", "host", "-e", code).stdout)) == sorted(host)


def test_help_version_and_check(ci_run: Run) -> None:
    page = ci_run("--help").stdout.decode()
    for option in (
        "-e CODE -c COMMAND -l --upload --output --push --workspace --session --timeout --memory --disk --processes "
        "--endpoint --region --profile --user --uploads-prefix --output-prefix --prefix "
        "--network --allow --deny --python --preload --json --calls --check --version --help"
    ).split():
        assert option in page
    assert all(len(line) <= 120 for line in page.splitlines())
    assert ci_run("--version").stdout.startswith(b"libci 0.1.0")
    done = ci_run("--check")
    assert done.returncode == 0 and b"Sessions can run here." in done.stdout, done.stdout
    assert json.loads(ci_run("--check", "--json").stdout)["ok"] is True


def test_an_interpreter_is_found_from_the_working_folder(ci_run: Run, tmp_path: Path) -> None:
    subprocess.run(["/usr/bin/python3", "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    done = ci_run("--python", "venv/bin/python", "-e", "import sys\nsys.prefix", cwd=tmp_path)
    assert (done.stdout.decode(), done.stderr) == (f"{str(tmp_path / 'venv')!r}\n", b"")
    assert b"venv/bin/python" not in ci_run("--check", "--python", "venv/bin/python", cwd=tmp_path).stdout


def test_preloaded_modules_are_there(ci_run: Run) -> None:
    done = ci_run("--preload", "colorsys", "-e", "import sys\n'colorsys' in sys.modules")
    assert done.stdout == b"True\n"


def test_the_quickstart_program_does_the_main_job(tmp_path: Path) -> None:
    (tmp_path / "uploads").mkdir()
    make = [SOURCE / "examples/quickstart/make_data.py", tmp_path / "uploads/sales.zip"]
    subprocess.run(["/usr/bin/python3", *make], check=True)
    done = subprocess.run([BUILD / "bin/quickstart", tmp_path], capture_output=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert b"3024 rows" in done.stdout and b"Lisbon" in done.stdout and b"best month" in done.stdout
    assert (tmp_path / "code-interpreter/chart.png").read_bytes().startswith(b"\x89PNG")


# -- a workspace on S3

SINE = (  # as the skill has it
    "import matplotlib\nmatplotlib.use('Agg')\nimport matplotlib.pyplot as plt\nimport numpy as np\n"
    "x = np.linspace(0, 10, 100)\nplt.figure(figsize=(10,6))\nplt.plot(x, np.sin(x))\nplt.title('Sine Wave')\n"
    "plt.savefig('sine.png', dpi=300, bbox_inches='tight')\nprint('Done')"
)


def environment() -> list[str]:
    name = os.environ.get("CI_TEST_ENVIRONMENT")
    return ["--python", name] if name else []


@pytest.mark.s3
def test_the_skills_chart_ends_in_the_bucket_and_comes_back(ci_run: Run, place: Bucket, server: Client) -> None:
    done = ci_run("--workspace", place.name, "--output", "sine.png", *environment(), stdin=SINE.encode())
    assert (done.stdout, done.returncode) == (b"Done\n", 0), done.stderr
    assert b"workspace: saved code-interpreter/sine.png" in done.stderr
    chart = place.contents()["code-interpreter/sine.png"]
    assert chart.startswith(b"\x89PNG\r\n") and chart.endswith(b"IEND\xaeB`\x82")

    call = {"name": "workspace_read", "input": {"path": "code-interpreter/sine.png"}}
    done = ci_run("--workspace", place.name, "--calls", "-", stdin=json.dumps(call).encode())
    (item,) = [item for item in json.loads(done.stdout)["content"] if item["type"] in ("image", "resource")]
    assert base64.b64decode(item["data"] if item["type"] == "image" else item["resource"]["blob"]) == chart


@pytest.mark.s3
def test_the_skills_chart_by_a_tool_call(ci_run: Run, place: Bucket, server: Client) -> None:
    calls = [
        {"name": "execute_code", "input": {"code": SINE, "language": "python", "output_filename": "sine.png"}},
        {"name": "workspace_read", "input": {"path": "code-interpreter/sine.png"}},
        {"name": "workspace_list", "input": {}},
    ]
    text = "\n".join(json.dumps(call) for call in calls)
    done = ci_run("--workspace", place.name, "--calls", "-", *environment(), stdin=text.encode())
    made, read, listed = map(json.loads, done.stdout.splitlines())
    assert made["structuredContent"]["stdout"] == "Done\n" and read["isError"] is False, made
    assert [file["path"] for file in listed["structuredContent"]["files"]] == ["code-interpreter/sine.png"]
    (item,) = [item for item in read["content"] if item["type"] in ("image", "resource")]
    blob = item["data"] if item["type"] == "image" else item["resource"]["blob"]
    assert base64.b64decode(blob) == place.contents()["code-interpreter/sine.png"]


@pytest.mark.s3
def test_uploads_of_a_bucket_are_there_and_results_are_pushed(ci_run: Run, place: Bucket, server: Client) -> None:
    place.put("in/ann/data.csv", b"a,b\n1,2\n")
    prefixes = ["--user", "ann", "--uploads-prefix", "in/{user}/", "--output-prefix", "out/{user}/"]
    code = "open('copy.csv', 'w').write(open('data.csv').read())"
    done = ci_run("--workspace", place.name, "--push", *prefixes, "-e", code)
    assert done.returncode == 0, done.stderr
    assert b"\x1b" not in done.stderr and b"\r" not in done.stderr
    assert place.contents("out/") == {"out/ann/copy.csv": b"a,b\n1,2\n"}


@pytest.mark.s3
@pytest.mark.parametrize("what", ["uploads", "workspace"])
def test_a_slow_transfer_is_a_line_of_the_terminal_that_is_gone_at_the_end(
    ci_run_start: Callable[..., subprocess.Popen], place: Bucket, server: Client, what: str
) -> None:
    code = "open('large', 'wb').write(bytes(20 << 20))" if what == "workspace" else "open('large').seek(0, 2)"
    if what == "uploads":
        place.put("uploads/large", bytes(20 << 20))
    ours, theirs = pty.openpty()
    ioctl(ours, termios.TIOCSWINSZ, pack("HHHH", 24, 40, 0, 0))
    shown = b""
    with throttle(server.endpoint) as relay:
        env = {**os.environ, "TERM": "xterm", "AWS_ENDPOINT_URL_S3": relay.endpoint}
        process = ci_run_start("--workspace", place.name, "--push", "-e", code, stderr=theirs, env=env)
        os.close(theirs)
        with contextlib.suppress(OSError):  # the other end is closed
            while data := os.read(ours, 4096):
                shown += data
                if b": 0 of 1 files, " in shown:
                    relay.open_up()
        os.close(ours)
        assert (process.wait(PATIENCE), process.stdout.read()) == (0, b"20971520\n"), shown
    *drawn, last = re.findall(rb"\r([^\r\n]*)\x1b\[K", shown)
    assert re.fullmatch(what.encode() + rb": 0 of 1 files, \d+(\.\d .i)?B of 20.*", drawn[0]), shown
    assert last == b"" and all(len(line) < 40 for line in drawn), shown
    assert not re.search(rb"\r[^\r\n]+\x1b\[K[^\r]", shown), shown  # nothing is written behind it
    notes = {"uploads": b"uploads: 1 file in the sandbox", "workspace": b"workspace: saved code-interpreter/large (20971520 bytes)"}
    assert re.sub(rb"\r[^\r\n]*\x1b\[K", b"", shown) == notes[what] + b"\r\n"


@pytest.mark.s3
@pytest.mark.parametrize(
    ("name", "environment", "said"),
    [
        ("s3://no-such-bucket-here", {}, "make the bucket"),
        ("s3://", {}, "bucket"),
        (f"s3://{BUCKET}", {"AWS_SECRET_ACCESS_KEY": "other"}, "ignature"),
        (f"s3://{BUCKET}", {"AWS_ENDPOINT_URL_S3": "http://127.0.0.1:1"}, "127.0.0.1"),
    ],
)
def test_what_is_wrong_with_a_bucket_is_told(
    ci_run: Run, server: Client, name: str, environment: dict[str, str], said: str
) -> None:
    done = ci_run("--workspace", name, "-e", "1", env={**os.environ, **environment})
    assert (done.returncode, done.stdout) == (125, b"") and said in done.stderr.decode(), done.stderr


def test_a_server_without_a_bucket_is_told(ci_run: Run, tmp_path: Path) -> None:
    for arguments in (["--region", "x"], ["--region", "x", "--workspace", tmp_path], ["--workspace", "gs://bucket"]):
        done = ci_run(*arguments, "-e", "1")
        assert (done.returncode, done.stdout) == (125, b"") and b"s3://BUCKET/PREFIX" in done.stderr
