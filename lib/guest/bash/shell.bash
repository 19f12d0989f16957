# The kernel's part inside the shell; all but `trap` and `display` is called __ci_…. kernel.py starts bash with a few
# variables, this file, and a loop that runs one cell after the other at the top level:
#
#   __ci_proc      /proc/PID/fd of kernel.py, whose pipes and files are opened by name for each use: what a cell starts
#                  inherits none of them
#   __ci_fds       their numbers: report, wake, answer, request, errors, state
#   __ci_python    what runs kernel.py
#   __ci_pid       of this shell, which is not that of a subshell
#   __ci_parse     a function that parses a text and runs nothing: `set -n` ends with it, by `local -`
#
# Reports are single strings, NUL-ended: R SHELL CELL STATUS VERSION (a shell is up, the one before ended within that
# cell), E CELL STATUS (the cell's end), S CELL (a syntax error; the message is in the file of errors), D PID FILE
# (display it). Shells and cells have numbers, so that what crosses on its way is not taken for something else.

__ci_report() {
    builtin printf '\0%s\0' "$1" >|"$__ci_proc/${__ci_fds[0]}" # one of its own, whatever got in before
}

# Without kernel.py there is nothing to live for.
__ci_orphan() {
    builtin trap - EXIT
    builtin exit 0
}

# The cell has ended with status $1: says so and waits for the next, which it leaves in __ci_text. Returns the status.
__ci_turn() {
    __ci_status=$1 __ci_inside=
    __ci_calm
    __ci_take_back
    __ci_report "E $__ci_busy $1" || __ci_orphan
    __ci_busy=0
    __ci_wait
    return "$__ci_status"
}

# The first turn of a shell: what was left of the one before it, if anything, has been read from the file of state.
__ci_begin() {
    [[ -n $__ci_trap_TERM ]] || builtin trap -- "$__ci_on_term" TERM # first, or what it is for a child is bash's handler
    builtin trap -- "$__ci_on_exit" EXIT
    [[ -z $__ci_trap_ERR ]] || __ci_trap_failures
    [[ -z $__ci_trap_RETURN ]] || builtin trap -- "$__ci_trap_RETURN" RETURN
    __ci_take_back
    builtin printf '' >|"$__ci_proc/${__ci_fds[5]}" || __ci_orphan
    ((++__ci_shell))
    __ci_report "R $__ci_shell $__ci_busy $__ci_status $BASH_VERSION" || __ci_orphan
    __ci_busy=0
    __ci_listen
    __ci_status=${__ci_cell[0]#* }
    __ci_wait
    return "$__ci_status"
}

# Waits for a word to this shell: its number, a space, a second number, NUL. An interrupt may have cut the first short.
__ci_listen() {
    while :; do
        builtin mapfile -d '' -n 1 __ci_cell <"$__ci_proc/${__ci_fds[1]}" || __ci_orphan
        ((${#__ci_cell[@]})) || __ci_orphan
        [[ ${__ci_cell[0]} != "$__ci_shell "* ]] || builtin return 0
    done
}

__ci_wait() {
    while :; do
        __ci_listen
        builtin mapfile -d '' __ci_cell <"$__ci_proc/${__ci_fds[3]}" || __ci_orphan
        __ci_text=${__ci_cell[0]} __ci_streams=${__ci_cell[3]}
        if __ci_check "${__ci_cell[1]}"; then
            builtin break
        fi
        __ci_status=2
        __ci_report "S ${__ci_cell[4]}" || __ci_orphan
    done
    builtin eval "${__ci_cell[2]}"
    __ci_busy=${__ci_cell[4]} __ci_inside=1
    __ci_cell=()
    if [[ -n $__ci_streams$__ci_xtrace$__ci_trap_DEBUG ]]; then
        __ci_text="__ci_resume; $__ci_text"
    fi
}

# --- is it a program? ------------------------------------------------------------------------------------------------

# By __ci_parse, which is among the variables, on line 1. $1 says whether to fork, because an error within a substitution
# ends a shell, and whether the text is going to want extended patterns.
__ci_check() {
    if [[ $1 == *extglob* ]] && ! builtin shopt -q extglob; then
        builtin shopt -s extglob
        __ci_check "${1/extglob}"
        set -- $?
        builtin shopt -u extglob
        return "$1"
    fi
    if [[ $1 == *fork* || -o posix ]]; then
        (__ci_parse 2>|"$__ci_proc/${__ci_fds[4]}")
    else
        __ci_parse 2>|"$__ci_proc/${__ci_fds[4]}"
    fi
}

# --- what would act in the kernel's own code -------------------------------------------------------------------------

__ci_calm() {
    if [[ $- == *x* ]]; then
        builtin set +x
        __ci_xtrace=1
    fi
    if [[ -n $__ci_trap_DEBUG ]]; then
        builtin trap : DEBUG
    fi
}

# Called by the cell's own text, where its redirections stay.
__ci_resume() {
    if [[ -n $__ci_streams ]]; then
        exec 0</dev/null 1>|"$__ci_proc/1" 2>|"$__ci_proc/2"
    fi
    {
        if [[ -n $__ci_trap_DEBUG ]]; then
            builtin trap -- "$__ci_trap_DEBUG" DEBUG
        fi
        if [[ -n $__ci_xtrace ]]; then
            __ci_xtrace=
            builtin set -x
        fi
        [[ $- != *e* ]] || builtin return 0
        builtin return "$__ci_status"
    } >/dev/null 2>&1
}

# --- for one call only: environment and folder -----------------------------------------------------------------------

__ci_lend() {
    if [[ -v $1 || -n ${!1@a} ]]; then
        __ci_old=$1
        [[ ${!1@a} != *[aA]* ]] || __ci_old="$1[@]"
        __ci_old=${!__ci_old@A}
        [[ $__ci_old != "declare -"* ]] || __ci_old="declare -g${__ci_old#declare -}"
        __ci_undo="builtin unset -v $1; $__ci_old"$'\n'"$__ci_undo"
    else
        __ci_undo="builtin unset -v $1"$'\n'"$__ci_undo"
    fi
    builtin export "$1=$2"
}

__ci_go() {
    __ci_undo+="builtin cd -- ${PWD@Q} || builtin cd -- ${2@Q}"$'\n'"OLDPWD=${OLDPWD@Q}"$'\n'
    builtin cd -- "$1"
}

__ci_take_back() {
    if [[ -n $__ci_undo ]]; then
        builtin eval "$__ci_undo"
        __ci_undo=
    fi
}

# --- a shell that ends, and the one that takes its place -------------------------------------------------------------

# What TERM does unless the user traps it. With a trap of EXIT, bash handles the signals that end a shell, and its children
# still do when they are about to exec: one that comes then is forgotten, and a command that was killed runs on. With a trap
# of the signal itself such a child ends, but only since 5.1.12; before, it would be forgotten more often than without.
if ((BASH_VERSINFO[0] * 10000 + BASH_VERSINFO[1] * 1000 + BASH_VERSINFO[2] >= 51012)); then
    __ci_on_term='builtin exit 143'
else
    __ci_on_term=-
fi

# What EXIT always does in this shell: `trap` keeps the user's own apart. The group is silent. From its beginning on
# interrupts are ignored, also in children: one more would end the shell, with what it knows.
__ci_on_exit='{ __ci_status=$?; builtin trap "" INT; __ci_leave "$@" && :; } >/dev/null 2>&1; __ci_replace'

__ci_leave() {
    if [[ $BASHPID != "$__ci_pid" ]]; then # a child that was hit before it had given up the trap
        builtin trap - EXIT
        builtin exit "$__ci_status"
    fi
    builtin echo # what the interrupted command had in its buffer goes here, to nobody
    __ci_at_exit= __ci_text= __ci_freed=
    [[ ! -s $__ci_proc/${__ci_fds[5]} ]] || __ci_freed=1
    if [[ -n $__ci_inside ]]; then
        __ci_at_exit=$__ci_trap_EXIT __ci_trap_EXIT=
    fi
    __ci_inside=
    builtin trap - EXIT # or the next shell would leave before it knows all
    __ci_calm
    {
        builtin trap -p
        builtin printf '%s\n' "builtin trap ${__ci_trap_INT:--} INT"
        builtin printf 'builtin cd -- %q\n' "$PWD"
        if [[ ${FUNCNAME[*]} == __ci_leave ]]; then
            builtin declare -p
            builtin printf 'builtin set --'
            (($# == 0)) || builtin printf ' %q' "$@"
            builtin printf '\n'
        else
            __ci_globals
        fi
        builtin alias -p
        builtin umask -p
        builtin shopt -p
        # What functions contain was expanded when they were defined.
        builtin printf 'builtin shopt -u expand_aliases\nbuiltin shopt -s extglob\n'
        builtin set +o
        builtin declare -f
        builtin declare -F
        builtin printf 'builtin '
        builtin shopt -p expand_aliases
        builtin printf 'builtin '
        builtin shopt -p extglob
        builtin printf '__ci_whole=1\n'
    } >|"$__ci_proc/${__ci_fds[5]}"
}

# The shell ends within functions, whose variables hide others. What all see; then of the names that had hidden one what
# they stand for without the innermost, and so on: the later counts. That is quick also where a recursion was endless.
__ci_globals() {
    (
        builtin set +eu
        builtin mapfile -t __ci_cell < <(builtin declare -p)
        __ci_put_globals "${__ci_cell[@]}"
        builtin mapfile -t __ci_cell < <(builtin compgen -A variable)
        set -- "${__ci_cell[@]}" # no variable: they all go
        __ci_level=${#FUNCNAME[@]}
        while (($# > 0 && __ci_level-- > 0)); do
            __ci_cell=()
            for __ci_name; do
                case $__ci_name in __ci_* | _ | PIPESTATUS) builtin continue ;; esac # they come back by themselves
                builtin unset -v "$__ci_name" || builtin continue
                [[ -v $__ci_name || -n ${!__ci_name@a} ]] || builtin continue
                __ci_cell+=("$__ci_name")
                [[ ${!__ci_name@a} != *[aA]* ]] || __ci_name+="[@]"
                __ci_put_globals "${!__ci_name@A}"
            done
            set -- "${__ci_cell[@]}"
        done
    )
}

# A `readonly` of a function must not become one of all.
__ci_put_globals() {
    for __ci_line; do
        if [[ $__ci_line =~ ^(declare -[a-zA-Z]*)r([a-zA-Z]* .*)$ ]]; then
            __ci_line=${BASH_REMATCH[1]}g${BASH_REMATCH[2]}
        fi
        builtin printf '%s\n' "$__ci_line"
    done
}

# The user's own trap, if there is one, then the same process once more, as a new shell. Descriptors and children stay.
__ci_replace() {
    builtin trap - INT
    if [[ -n $__ci_at_exit ]]; then
        __ci_return "$__ci_status" && :
        builtin eval "$__ci_at_exit"
    fi
    builtin set -- --noprofile --norc -c "$__ci_main" bash
    [[ -z $__ci_freed ]] || builtin exec -c "$__ci_python" -I -S -c "$__ci_unblock" "$__ci_bash" bash "$@"
    builtin exec -c -a bash "$__ci_bash" "$@"
}

# One that hung (stuck.py) does all this within handlers of signals, which are blocked there, and would be in the next.
__ci_unblock='
import os, signal, sys
for number in (signal.SIGINT, signal.SIGPIPE, signal.SIGXFSZ):
    signal.signal(number, signal.SIG_DFL)
signal.pthread_sigmask(signal.SIG_SETMASK, ())
os.execv(sys.argv[1], sys.argv[2:])'

__ci_return() {
    builtin return "$1"
}

# --- what a user sees ------------------------------------------------------------------------------------------------

# With a cell the `eval` fails as well, and what hands its status to the next. The user's text begins on the first line,
# from which LINENO counts on.
__ci_trap_failures() {
    builtin trap -- 'case $BASH_COMMAND in "$__ci_run" | "builtin return \"\$__ci_status\"") ;; *) '"$__ci_trap_ERR"'
;; esac' ERR
}

# EXIT is the kernel's, which runs the user's first; and what a function does to ERR, DEBUG and RETURN is undone at its
# end where it takes a trap away, so there is one that does nothing.
trap() {
    {
        builtin local -
        builtin set +x
    } 2>/dev/null
    if (($# == 0)) || [[ $1 == -[lpP]* ]]; then
        __ci_list_traps "$@"
        builtin return
    fi
    if [[ $BASHPID != "$__ci_pid" ]]; then
        __ci_trapper=$BASHPID
        builtin trap "$@"
        builtin return
    fi
    [[ $1 != -- ]] || builtin shift
    builtin local __ci_action=- __ci_name __ci_pseudo __ci_failed=0
    __ci_pseudo=()
    if (($# > 1)) && [[ $1 != +([0-9]) ]]; then
        __ci_action=$1
        builtin shift
    fi
    for __ci_name; do
        case ${__ci_name^^} in
        EXIT | SIGEXIT | 0)
            case $__ci_action in # at once: an interrupt may come in between
            -) __ci_trap_EXIT= ;;
            *) __ci_trap_EXIT=${__ci_action:-:} ;;
            esac
            ;;
        INT | SIGINT | 2)
            __ci_trap_INT="-- ${__ci_action@Q}"
            [[ $__ci_action != - ]] || __ci_trap_INT=
            builtin trap -- "$__ci_action" INT
            ;;
        TERM | SIGTERM | 15)
            if [[ $__ci_action == - ]]; then
                __ci_trap_TERM=
                builtin trap -- "$__ci_on_term" TERM
            else
                __ci_trap_TERM=1
                builtin trap -- "$__ci_action" TERM
            fi
            ;;
        ERR | SIGERR | DEBUG | SIGDEBUG | RETURN | SIGRETURN)
            __ci_name=${__ci_name^^}
            __ci_pseudo+=("${__ci_name#SIG}")
            if [[ $__ci_action == - ]]; then
                builtin printf -v "__ci_trap_${__ci_name#SIG}" ''
            else
                builtin printf -v "__ci_trap_${__ci_name#SIG}" '%s' "$__ci_action"
            fi
            ;;
        *) builtin trap -- "$__ci_action" "$__ci_name" || __ci_failed=1 ;;
        esac
    done
    if ((${#__ci_pseudo[@]} == 0)); then
        builtin return "$__ci_failed"
    fi
    if [[ " ${__ci_pseudo[*]} " == *" ERR "* && -n $__ci_trap_ERR ]]; then
        __ci_trap_failures
        [[ ${#__ci_pseudo[@]} != 1 ]] || builtin return "$__ci_failed"
        __ci_pseudo=("${__ci_pseudo[@]/#ERR/RETURN}")
    fi
    [[ $__ci_action != - ]] || __ci_action=:
    builtin trap -- "$__ci_action" "${__ci_pseudo[@]}" # the last: DEBUG acts at once
}

# A subshell lists those of its shell until it has one of its own.
__ci_list_traps() {
    if [[ ${1-} == -l* || ${__ci_trapper-} == "$BASHPID" ]]; then
        builtin trap "$@"
        builtin return
    fi
    [[ ${1-} != -p ]] || builtin shift
    builtin local __ci_name __ci_kept
    for __ci_name in EXIT DEBUG ERR RETURN; do
        __ci_kept=__ci_trap_$__ci_name
        if (($# == 0)) || [[ " ${*^^} " == *" $__ci_name "* ]]; then
            [[ -z ${!__ci_kept} ]] || builtin printf 'trap -- %s %s\n' "${!__ci_kept@Q}" "$__ci_name"
        fi
    done
    if (($# == 0)); then
        for ((__ci_name = 1; __ci_name <= 64; ++__ci_name)); do
            set -- "$@" "$__ci_name"
        done
    fi
    for __ci_name; do
        case ${__ci_name^^} in
        EXIT | SIGEXIT | 0 | DEBUG | ERR | RETURN) ;;
        TERM | SIGTERM | 15) [[ -z $__ci_trap_TERM ]] || builtin trap -p TERM ;;
        *) builtin trap -p "$__ci_name" ;;
        esac
    done
}

# Shows files in the result: images, SVG, HTML, Markdown, LaTeX, JSON, Vega charts.
display() {
    builtin local __ci_file __ci_answer __ci_failed=0
    if (($# == 0)); then
        builtin printf 'usage: display FILE…\n' >&2
        builtin return 2
    fi
    for __ci_file; do
        __ci_report "D $BASHPID $__ci_file" || builtin return
        builtin mapfile -d '' -n 1 __ci_answer <"$__ci_proc/${__ci_fds[2]}"
        if [[ -n ${__ci_answer[0]-} ]]; then
            builtin printf 'display: %s: %s\n' "$__ci_file" "${__ci_answer[0]}" >&2
            __ci_failed=1
        fi
    done
    builtin return "$__ci_failed"
}
