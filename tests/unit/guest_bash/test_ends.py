"""exit, traps, interrupts, and shells that end for good."""

import os
import re
import select
import signal

import pytest
from bash_host import EXCEPTION, EXIT, OK, PATIENCE_S, Lost
from test_cells import out

SOURCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "..")
UNLUCKY = os.path.join(os.environ.get("CI_TEST_BUILD") or os.path.join(SOURCE, "build"), "tests", "libbash_unlucky.so")

def test_an_exit_ends_the_cell_and_nothing_else(kernel, tmp_path):
    (tmp_path / "folder").mkdir()
    out(kernel, "alias greet='echo hello'")
    out(kernel, "f() { greet; }; shopt -s nullglob; exec 5>file; pid=$$; set -- a 'b c'")
    result = kernel.run("x=$'new\\nline'; declare -A m=([k]='v w'); declare -r R=1; cd folder; exit 3; echo no")
    assert (result.outcome, result.exit_code, result.stdout, result.stderr) == (EXIT, 3, b"", b"")
    said = out(kernel, 'echo "$?" "$x" "${m[k]}" "$R" "${PWD##*/}" "$2"; f; greet; echo no*; echo five >&5; cat ../file')
    assert said == "3 new\nline v w 1 folder b c\nhello\nhello\n\nfive\n"
    assert out(kernel, "[[ $pid == $$ ]] && declare -p R") == 'declare -r R="1"\n'
    assert kernel.run("exit 0").outcome == OK
    assert kernel.run("exit 300").exit_code == 44


def test_environment_after_an_exit(make):
    kernel = make(FROM_OUTSIDE="1", PLAIN="2")
    out(kernel, "unset FROM_OUTSIDE; export NEW=3; export -n PLAIN; export -f trap; g() { echo g; }; export -f g")
    kernel.run("exit 1")
    assert out(kernel, "env | grep -E '^(FROM_OUTSIDE|NEW|PLAIN)'; echo $PLAIN; bash -c g") == "NEW=3\n2\ng\n"


def test_locals_of_a_function_that_exits_hide_nothing(kernel):
    out(kernel, "x=global; f() { local x=local; local -r only=1; g; }; g() { local x=inner; exit 2; }")
    assert kernel.run("f").exit_code == 2
    assert out(kernel, "echo $x; h() { local only=2; echo $only; }; h") == "global\n2\n"


def test_an_exit_in_a_deep_recursion_does_not_take_forever(kernel):
    out(kernel, "x=global; declare -a list=(a b); deep() { ((++depth < 2000)) || exit 3; deep; }; depth=0")
    assert kernel.run("f() { local x=1 list=(c); deep; }; f").exit_code == 3
    assert out(kernel, "echo $depth $x ${list[@]}") == "2000 global a b\n"


def test_the_users_exit_trap_runs_once(kernel):
    result = kernel.run("trap 'echo bye $?' EXIT; x=1; exit 5")
    assert (result.stdout, result.exit_code) == (b"bye 5\n", 5)
    assert out(kernel, "echo $x; trap") == "1\n"
    result = kernel.run("trap 'rc=$?; echo cleanup; exit $((rc + 1))' EXIT; y=2; set -e; false")
    assert (result.stdout, result.exit_code) == (b"cleanup\n", 2)
    assert out(kernel, "set +e; echo $y") == "2\n"
    out(kernel, "trap 'echo later' EXIT")
    assert out(kernel, "trap -p EXIT") == "trap -- 'echo later' EXIT\n"
    assert kernel.run("exit 1").stdout == b"later\n"
    out(kernel, "trap 'echo gone' EXIT; trap - EXIT")
    assert kernel.run("exit 1").stdout == b""


def test_traps_in_subshells_are_their_own(kernel):
    assert out(kernel, "(trap 'echo sub' EXIT; exit 0); x=$(trap 'echo captured' 0); echo $x") == "sub\ncaptured\n"
    assert out(kernel, "(trap); trap -p | cat; echo $(trap -p EXIT TERM)") == "\n"
    out(kernel, "trap 'echo bye' EXIT; trap 'echo term' TERM")
    assert out(kernel, "echo $(trap -p)") == "trap -- 'echo bye' EXIT trap -- 'echo term' SIGTERM\n"
    assert out(kernel, "(trap : USR1; trap); echo $(trap : USR2; trap)") == "trap -- ':' SIGUSR1\ntrap -- ':' SIGUSR2\n"


def test_a_trap_of_err_knows_the_line(kernel):
    assert kernel.run("trap 'echo $LINENO' ERR\n\nfalse\ntrue").stdout == b"3\n"
    assert kernel.run("\nfalse\ntrap - ERR").stdout == b"2\n"


def test_other_traps(kernel):
    out(kernel, "trap 'echo usr' USR1")
    assert out(kernel, "kill -USR1 $$; true") == "usr\n"
    kernel.run("exit 1")
    assert out(kernel, "kill -USR1 $$; true; trap") == "usr\ntrap -- 'echo usr' SIGUSR1\n"
    out(kernel, "trap - USR1; trap 'echo err' ERR")
    assert kernel.run("false").stdout == b"err\n"
    assert kernel.run("true").stdout == b""
    kernel.run("exit 1")
    assert kernel.run("false; true").stdout == b"err\n"
    out(kernel, "trap - ERR")
    assert kernel.run("false").stdout == b""
    assert out(kernel, "trap 'echo \"> $BASH_COMMAND\"' DEBUG\n:") == "> :\n"
    assert out(kernel, "echo a") == "> echo a\na\n"
    assert out(kernel, "trap - DEBUG\n:") == "> trap - DEBUG\n"
    assert out(kernel, ":") == ""


def test_a_signal_that_ends_a_shell_ends_the_cell(kernel):
    assert kernel.run("x=1; trap; kill $$; echo no").exit_code == 143
    assert kernel.run("trap 'echo bye $?' EXIT; kill $$").stdout == b"bye 143\n"
    assert out(kernel, "echo $? $x; x=$(kill $BASHPID; echo no); echo $?; trap") == "143 1\n143\n"
    out(kernel, "trap 'echo term' TERM")
    kernel.run("exit 1")
    assert out(kernel, "kill $$; trap") == "term\ntrap -- 'echo term' SIGTERM\n"
    assert kernel.run("trap - TERM; trap; kill $$; echo no").exit_code == 143
    assert out(kernel, "trap '' TERM; kill $$; trap; bash -c 'kill $$; echo on'") == "trap -- '' SIGTERM\non\n"


def test_a_command_that_is_killed_as_it_starts_ends(kernel):
    """With thousands of exported variables, which are counted again for it, its way to the exec is long."""
    out(kernel, "for ((i = 0; i < 3000; ++i)); do export FILLER_$i=$i; done")
    text = """
        for ((i = 0; i < 60; ++i)); do
            sleep 60 & job=$!
            for ((pause = 0; pause < 10 * i; ++pause)); do :; done
            kill $job
            wait $job && { echo "$i ran on"; break; }
        done; true"""
    assert out(kernel, text) == ""


@pytest.mark.parametrize(
    "text",
    [
        "while :; do :; done",
        "f() { local kept=2; while true; do ((i++)); done; }; f",
        "sleep 1000",
        "sleep 1000 | cat | cat",
        "(sleep 1000; sleep 1000)",
        "x=$(sleep 1000)",
        "mkfifo fifo; read -r x <fifo",
        "mkfifo fifo; exec 6<>fifo; read -r x <&6",
        "sleep 1000 & wait",
        "set -e; sleep 1000",
        "trap 'kept=3' EXIT; sleep 1000",
    ],
)
def test_an_interrupt_ends_the_cell_and_keeps_the_state(kernel, tmp_path, text):
    out(kernel, "kept=1")

    def interrupt():
        """When all programs run, or the shell waits: what was about to begin would not hear of it, and not be told again."""
        kernel.wait_until(lambda: kernel.names().count("cat") == text.count("cat"))
        kernel.wait_until(lambda: "sleep" not in text or "sleep" in kernel.names())
        kernel.wait_until(lambda: "fifo" not in text or (tmp_path / "fifo").exists() and kernel.names() == ["bash"])
        kernel.wait_until(lambda: "fifo" not in text or kernel.status_of(kernel.tagged()[0])["State"].split()[0] == "S")
        kernel._interrupt_soon()

    result = kernel.run("echo on\n" + text, answers=[(b"on\n", interrupt)])
    assert (result.outcome, result.error) == (EXCEPTION, "Interrupted"), result
    assert result.stderr == b""
    for pid in kernel.tagged():
        os.kill(pid, signal.SIGKILL)
    assert out(kernel, "set +e; echo $kept") == "1\n"


def test_a_trap_of_the_users_takes_the_interrupt(kernel):
    result = kernel.run("trap 'echo caught; stop=1' INT; echo on; until ((stop)); do :; done", interrupts=[b"on\n"])
    assert (result.outcome, result.stdout) == (OK, b"on\ncaught\n")
    kernel.run("exit 1")
    assert out(kernel, "trap; kill -INT $$; true") == "trap -- 'echo caught; stop=1' SIGINT\ncaught\n"
    kernel.run("trap - INT; exit 1")
    assert out(kernel, "trap") == ""


def test_interrupts_between_cells_do_nothing(kernel):
    out(kernel, "x=1")
    for _ in range(20):
        kernel.interrupt()
        assert out(kernel, "echo $x") == "1\n"


def test_interrupts_that_come_at_any_moment(kernel):
    out(kernel, "kept=1; a=(1 2); f() { local kept=2; sleep 0.004; }")
    texts = ["for i in 1 2 3; do echo $i; done", "f", "y=$(echo a | cat)", "trap 'echo bye' EXIT; sleep 0.003"]
    for i in range(100):
        result = kernel.run(texts[i % len(texts)], interrupts=[0.00012 * i])
        assert result.stderr == b""
        assert out(kernel, 'echo $kept ${a[1]} "$(ls / | grep -c tmp)"') == "1 2 1\n"


@pytest.mark.parametrize(
    "text",
    [
        "/bin/true; /bin/true; echo no",
        "f() { local kept=2; /bin/true; /bin/true; }; f >/dev/null; echo no",
        "trap 'echo bye' EXIT; /bin/true; /bin/true; echo no",
        "(/bin/true; /bin/true; echo no); echo no",
        "x=`/bin/true; /bin/true; echo no`; echo no",
        "x=$(echo no); echo no",
        "/bin/true | { /bin/true; /bin/true; echo no; } | cat; echo no",
    ],
)
def test_an_interrupt_that_makes_bash_hang(make, text):
    """See unlucky.c."""
    kernel = make(LD_PRELOAD=UNLUCKY)
    out(kernel, "kept=1; exec 5>file; umask 027; pid=$$")
    result = kernel.run(text, interrupts=[0.3])
    assert (result.outcome, result.error, result.stderr) == (EXCEPTION, "Interrupted", b""), result
    assert result.stdout == (b"bye\n" if "bye" in text else b"")
    assert out(kernel, "echo here >&5; echo $kept $((pid == $$)) $(umask) $(cat file)") == "1 1 0027 here\n"
    masks = out(kernel, "mapfile status </proc/$$/status; echo ${status[@]}; cat /proc/self/status")
    assert re.findall(r"SigBlk:\s*(\w+)", masks) == ["0" * 16] * 2
    until_it_sleeps = lambda: (kernel.wait_until(lambda: "sleep" in kernel.names()), kernel.interrupt())  # noqa: E731
    again = kernel.run("/bin/true; echo on; sleep 1000", answers=[(b"on\n", until_it_sleeps)])  # it hears as before
    assert (again.outcome, again.error) == (EXCEPTION, "Interrupted")
    assert out(kernel, "echo $kept") == "1\n"


@pytest.mark.parametrize("text, status", [("kill -9 $$", 9), ("exec true", 0), ("exec sh -c 'exit 3'", 3 << 8)])
def test_a_shell_that_ends_for_good_takes_the_kernel_with_it(kernel, text, status):
    kernel.send(text)
    with pytest.raises(Lost):
        kernel._message()
    assert kernel.status == status


def test_the_end_of_the_channel_ends_shell_and_kernel(make):
    for text in "true", "while :; do :; done":
        kernel = make()
        shell = int(out(kernel, "echo $$"))
        kernel.send(text)
        if text == "true":
            kernel._message()
        end = os.pidfd_open(shell)
        assert kernel.end() == 0
        assert select.select([end], [], [], PATIENCE_S)[0]
