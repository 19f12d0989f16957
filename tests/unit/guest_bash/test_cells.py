"""What a cell is, and what lives on."""

import pytest
from bash_host import EXCEPTION, EXIT, OK


def out(kernel, text, **kwargs):
    result = kernel.run(text, **kwargs)
    assert (result.outcome, result.stderr) == (OK, b""), result
    return result.stdout.decode()


def test_state_lives_on(kernel, tmp_path):
    (tmp_path / "folder").mkdir()
    out(kernel, "x=1; a=(1 '2 3'); declare -A m=([k]=v); export E=e; f() { local x=2; echo f$x$1; }; cd folder")
    out(kernel, "alias greet='echo hello'; set -o noglob; shopt -s nullglob; umask 027; set -- p 'q r'")
    said = out(kernel, "echo $x ${a[1]} ${m[k]} $(env | grep ^E=) $(f 3) ${PWD##*/}; greet; echo * $(umask) $# $2")
    assert said == "1 2 3 v E=e f23 folder\nhello\n* 0027 2 q r\n"
    assert out(kernel, "shopt nullglob") == "nullglob       \ton\n"


def test_descriptors_jobs_and_coprocesses_live_on(kernel):
    out(kernel, "exec 5>file; coproc cat; sleep 0.1 & j=$!")
    out(kernel, 'echo text >&5; echo ping >&"${COPROC[1]}"; read -r answer <&"${COPROC[0]}"; wait $j')
    assert out(kernel, "echo $answer; cat file") == "ping\ntext\n"


def test_a_status_is_an_exit(kernel):
    assert kernel.run("false").outcome == EXIT
    assert kernel.run("(exit 7)").exit_code == 7
    assert out(kernel, "echo $?") == "7\n"
    assert kernel.run("true").outcome == OK
    assert kernel.run("no-such-command").exit_code == 127


def test_whole_scripts(kernel):
    text = "cat <<E\nhere $((1 + 1))\nE\nfor i in 1 2; do\n  echo $i\ndone\ncase x in x) echo case ;; esac\n# the end"
    assert out(kernel, text) == "here 2\n1\n2\ncase\n"
    assert out(kernel, "") == out(kernel, "# nothing") == out(kernel, "\n\n") == ""


def test_runtime_errors_have_the_line_of_the_cell(kernel):
    assert kernel.run("true\n\nnonsense").stderr == b"bash: line 3: nonsense: command not found\n"


@pytest.mark.parametrize(
    "text, line",
    [
        ("touch ran\necho )", 2),
        ("touch ran\n}\necho", 2),
        ("touch ran\nif true; then\n", 3),
        ("touch ran; echo 'open", 1),
        ("touch ran\necho $(for)", 2),
        ('touch ran\necho "$(if)"', 2),
        ("touch ran\ncat <(done)", 2),
        ("touch ran; shopt -s extglob\n)", 2),
    ],
)
def test_of_a_syntax_error_nothing_runs(kernel, tmp_path, text, line):
    out(kernel, "kept=1; sleep 100 & job=$!")
    result = kernel.run(text)
    assert (result.outcome, result.error, result.stdout, result.stderr) == (EXCEPTION, "SyntaxError", b"", b"")
    assert result.message.startswith("line %d: " % line) and "set -n" not in result.traceback
    assert not (tmp_path / "ran").exists()
    assert out(kernel, 'echo $? $kept; kill $job; wait $job || echo "$?"') == "2 1\n143\n"


def test_what_is_no_syntax_error(kernel):
    assert kernel.run("cat <<E\nopen").stdout == b"open\n"
    assert out(kernel, "shopt -s extglob\ntouch abc\necho !(x*)") == "abc\n"
    assert out(kernel, "set +n; echo 'a ) b' $(echo ok)") == "a ) b ok\n"


def test_a_text_with_nul_is_refused(kernel):
    result = kernel.run(b"echo a\0b")
    assert (result.outcome, result.error) == (EXCEPTION, "SyntaxError")
    assert out(kernel, "echo b") == "b\n"


def test_any_other_bytes(kernel):
    assert kernel.run(b"printf '\xff\xc3%s' \xe2\x82\xac").stdout == b"\xff\xc3\xe2\x82\xac"
    assert kernel.run(r"printf '\0\1\r\n'").stdout == b"\0\1\r\n"


def test_a_large_text_and_large_output(kernel):
    text = "x='" + "y" * (1 << 20) + "'\necho ${#x}"
    assert out(kernel, text) == "1048576\n"
    assert len(out(kernel, "for i in 1 2 3 4; do printf %s $x; done")) == 4 << 20


def test_break_and_continue_outside_a_loop_end_the_cell(kernel):
    out(kernel, "x=1")
    for text in "break", "continue", "break 9":
        assert out(kernel, "echo a; " + text) == "a\n"
        assert out(kernel, "echo $x; for i in 1 2; do continue; done; while :; do break; done") == "1\n"


def test_standard_input_is_empty(kernel):
    assert out(kernel, "cat; read x || echo end") == "end\n"


def test_redirected_streams_are_put_back(kernel, tmp_path):
    out(kernel, "exec >log 2>&1 </dev/zero; echo hidden")
    assert out(kernel, "echo seen; cat; cat log") == "seen\nhidden\n"
    kernel.run("exec >&- 2>&-")
    assert out(kernel, "echo seen") == "seen\n"


def test_options(kernel):
    assert kernel.run("set -u; echo $unknown").exit_code == 127
    assert out(kernel, "set +u; echo $unknown") == "\n"
    assert kernel.run("set -e; false; echo not reached").stdout == b""
    assert kernel.run("echo $-; false; echo not reached").stdout.startswith(b"e")
    out(kernel, "set +e")
    assert kernel.run("set -x\n: a").stderr == b"++ : a\n"
    assert kernel.run("false").stderr == b"++ false\n"
    assert kernel.run("set +x").stderr == b"++ set +x\n"
    assert out(kernel, "set -o pipefail -o noclobber; set -f; IFS=:; false | true || echo one") == "one\n"
    assert out(kernel, "set -o posix; echo $?") == "0\n"
    assert out(kernel, "TMOUT=1; readonly IFS; unset PATH; echo on") == "on\n"
    assert out(kernel, "echo on") == "on\n"


def test_builtins_may_be_redefined(kernel):
    out(kernel, "".join("%s() { echo no; }\n" % name for name in "printf eval read set mapfile exec return".split()))
    assert out(kernel, "printf x") == "no\n"
    assert kernel.run("x=1; exit 3").exit_code == 3
    assert out(kernel, "echo $x; printf x") == "1\nno\n"


def test_ten_thousand_cells_leave_nothing_behind(kernel):
    def size():
        with open("/proc/%s/status" % out(kernel, "echo $$").strip()) as status:
            return int(next(line for line in status if line.startswith("VmRSS:")).split()[1])

    for _ in range(1000):
        kernel.run("x=$((x + 1))")
    before = size()
    for _ in range(9000):
        kernel.run("x=$((x + 1))")
    assert out(kernel, "echo $x") == "10000\n"
    assert size() < before + 1024
