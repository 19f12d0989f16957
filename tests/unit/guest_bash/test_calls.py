"""What holds for one call only, output between cells, and rich output."""

import os

import pytest
from bash_host import EXCEPTION, start_kernel
from test_cells import out

PNG = b"\x89PNG\r\n\x1a\n rest"


def test_environment_of_a_call(kernel):
    out(kernel, "A=old; declare -a list=(1 2); export E=e")
    env = ["A=it's $x", "B=b", "E=other", "list=flat", "no-name=1"]
    assert out(kernel, 'echo "$A" $B $E $list; sh -c "echo \\$A \\$E"; A=changed B=changed', env=env) == (
        "it's $x b other flat\nit's $x other\n"
    )
    assert out(kernel, 'echo "$A" "${B-none}" $E ${list[1]}; env | grep -c ^A= || :') == "old none e 2\n0\n"
    assert kernel.run("exit 3", env=["B=b"]).exit_code == 3
    assert out(kernel, 'echo "${B-none}"') == "none\n"


def test_folder_of_a_call(kernel, tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b c").mkdir()
    out(kernel, "cd a")
    assert out(kernel, "pwd; cd /", cwd="b c") == "%s/b c\n" % tmp_path
    assert out(kernel, "pwd") == "%s/a\n" % tmp_path
    assert kernel.run("cd /; exit 1", cwd="b c").exit_code == 1
    assert out(kernel, "pwd") == "%s/a\n" % tmp_path
    result = kernel.run("echo ran", cwd="nowhere")
    assert (result.outcome, result.error, result.stdout) == (EXCEPTION, "WorkingFolder", b"")
    assert "nowhere: No such file or directory" in result.message


def test_a_folder_that_was_deleted(kernel, tmp_path):
    out(kernel, "mkdir gone; cd gone; rmdir ../gone")
    assert out(kernel, "pwd") == "%s\n" % tmp_path


def test_what_a_child_inherits(kernel):
    assert out(kernel, "ls /proc/self/fd | xargs") == "0 1 2 3\n"  # 3 is ls's own
    assert "__ci" not in out(kernel, "env")


def test_background_output_comes_between_cells(kernel, tmp_path):
    out(kernel, "{ read -r; echo later; } < <(until [ -e go ]; do sleep 0.01; done; echo) &")
    (tmp_path / "go").touch()
    kernel.wait_for_output()
    assert kernel.run(":").background == (b"later\n", b"")


def test_files_are_displayed_in_their_place(kernel, tmp_path):
    (tmp_path / "p").write_bytes(PNG)
    (tmp_path / "s.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    (tmp_path / "t.html").write_text("<b>x</b>")
    (tmp_path / "m.md").write_text("# x")
    (tmp_path / "j.json").write_text("[1]")
    (tmp_path / "v.json").write_text('{"$schema": "https://vega.github.io/schema/vega-lite/v5.json"}')
    result = kernel.run("echo one; display p s.svg; echo two; (mkdir d; cd d; display ../t.html); display m.md [jv].json")
    assert (result.outcome, result.stderr) == (0, b"")
    assert [(mime, at) for mime, _, at in result.items] == [
        ("image/png", 4),
        ("image/svg+xml", 4),
        ("text/html", 8),
        ("text/markdown", 8),
        ("application/json", 8),
        ("application/vnd.vegalite.v5+json", 8),
    ]
    assert result.items[0][1] == PNG


def test_what_cannot_be_displayed_is_told(kernel, tmp_path):
    (tmp_path / "bad.json").write_text("{")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo.html")
    result = kernel.run("display none.png; display bad.json; display folder; display; display fifo.html")
    assert result.items == []
    assert result.stderr.decode().splitlines() == [
        "display: none.png: No such file or directory",
        "display: bad.json: this is no kind of file that can be shown",
        "display: folder: Is a directory",
        "usage: display FILE…",
        "display: fifo.html: this is no regular file",
    ]


def test_too_many_items_are_counted(kernel, tmp_path):
    (tmp_path / "p").write_bytes(PNG)
    result = kernel.run("for i in {1..70}; do display p; done")
    assert (len(result.items), result.dropped) == (64, 6)


@pytest.mark.parametrize("report", ["E 5", "S", "R 1 2 x", "D 1 /etc", "D", "E", "X y z", "E 99999999999999999999"])
def test_what_a_cell_reports_itself_harms_nothing_else(kernel, report):
    kernel.run('printf "%s\\0" "' + report + '" >"$__ci_proc/${__ci_fds[0]}"; sleep 0.2')
    kernel.run("sleep 0.3")
    kernel.run("sleep 0.3")
    assert kernel.run("echo ${#report}; true").outcome is not None


def test_a_report_without_end_ends_the_kernel(kernel):
    kernel.send('while :; do printf %01000d 0; done >"$__ci_proc/${__ci_fds[0]}"')
    with pytest.raises(Exception):
        kernel._message()
    assert kernel.status is not None


def test_without_bash(tmp_path):
    kernel = start_kernel(tmp_path, PATH="/nowhere")
    result = kernel.run("echo")
    assert (result.error, result.message) == ("NoBash", "there is no bash in the session's PATH")
    assert kernel.end() == 0
