/* What this machine gives the local sandbox: each check is tried, not guessed. */
#include <stdio.h>
#include <sys/utsname.h>

#include "base/json.h"
#include "base/str.h"
#include "os/fd.h"
#include "sandbox/local/local.h"
#include "sandbox/sandbox.h"

typedef struct report {
    cii_json_writer *json;
    bool failed;
} report;

static void add(report *r, const char *name, const char *status, const char *detail, const char *remedy) {
    cii_json_begin_object(r->json);
    cii_json_key_string(r->json, "name", name);
    cii_json_key_string(r->json, "status", status);
    cii_json_key_string(r->json, "detail", detail);
    if (remedy != NULL && *remedy != 0)
        cii_json_key_string(r->json, "remedy", remedy);
    cii_json_end_object(r->json);
    r->failed |= strcmp(status, "error") == 0;
}

static void add_error(report *r, const char *name, const ci_error *error) {
    add(r, name, "error", ci_error_message(error), ci_error_hint(error));
}

static void check_kernel(report *r) {
    struct utsname name;
    int major = 0, minor = 0;
    if (uname(&name) < 0 || sscanf(name.release, "%d.%d", &major, &minor) != 2)
        return;
    bool good = major > 5 || (major == 5 && minor >= 14);
    add(r, "kernel", good ? "ok" : "error", name.release, good ? NULL : "Linux 5.14 or later is needed");
}

/* --- a session of its own ----------------------------------------------------------------------------------------------- */

typedef struct answer {
    cii_buf output;
    int32_t outcome;
} answer;

static void on_output(void *user, int32_t stream, const void *data, size_t size) {
    if (stream == CI_STREAM_STDOUT)
        cii_buf_append(&((answer *)user)->output, data, size);
}
static void on_item(void *user _unused_, const char *mime _unused_, const void *data _unused_, size_t size _unused_,
                    uint64_t offset _unused_) {}
static void on_background(void *user _unused_, const void *data _unused_, size_t size _unused_) {}
static void on_done(void *user, const ci_run_outcome *outcome) {
    ((answer *)user)->outcome = outcome->outcome;
}
static void on_refusal(void *user _unused_, const ci_refusal *refusal _unused_) {}
static void no_log(void *user _unused_, int32_t level _unused_, const char *domain _unused_,
                   const char *message _unused_) {}

static ci_status finish(ci_op *op, ci_error **ret_error) {
    int32_t result;
    while ((result = op->ops->process(op, ret_error)) == 0)
        if (cii_fd_wait(op->ops->fd(op), 1 /* POLLIN */, 30000) <= 0) {
            result = cii_error_set(ret_error, CI_ERR_TIMEOUT, LOCAL_DOMAIN, "no answer within 30 s");
            break;
        }
    op->ops->free(op);
    return result > 0 ? CI_OK : result;
}

/* Prints a line for each thing that is there. */
static const char probe[] = "import importlib.util as u, json, shutil, sys\n"
                            "print('python', sys.version.split()[0])\n"
                            "try:\n"
                            "    e = json.load(open(sys.prefix + '/ci-env.json'))\n"
                            "    without = '; without ' + ', '.join(e['lacking']) if e['lacking'] else ''\n"
                            "    print('environment groups', ', '.join(e['groups']) + ':', len(e['distributions']),\n"
                            "          'distributions' + without)\n"
                            "except OSError: pass\n"
                            "for n in ('IPython', 'pip', 'matplotlib', 'numpy', 'pandas'):\n"
                            "    print(n, 'yes' if u.find_spec(n) else 'no')\n"
                            "print('node', shutil.which('node') or 'no')\n"
                            "print('bash', shutil.which('bash') or 'no')\n";

#define PYTHON_PACKAGE "install the package python3-"

static bool has_line(const char *text, const char *name, const char **ret_value) {
    size_t size = strlen(name);
    for (const char *at = text; at != NULL && *at != 0; at = strchr(at, '\n') != NULL ? strchr(at, '\n') + 1 : NULL)
        if (strncmp(at, name, size) == 0 && at[size] == ' ') {
            *ret_value = at + size + 1;
            return true;
        }
    return false;
}

/* An environment of ci-env tells what is in it; what it lacks is to be told of, but hinders nothing. */
static bool add_environment(report *r, const char *text) {
    const char *value;
    if (!has_line(text, "environment", &value))
        return false;
    _cleanup_free_ char *detail = strndup(value, strcspn(value, "\n"));
    bool lacks = detail != NULL && strstr(detail, "; without ") != NULL;
    add(r, "environment", lacks ? "warning" : "ok", detail != NULL ? detail : "",
        lacks ? "`ci-env create` with its name tries again, and says why" : NULL);
    return true;
}

static void add_parts(report *r, const char *text, bool environment) {
    static const struct {
        const char *name, *purpose, *remedy;
    } parts[] = {
        {"IPython", "magics, rich display", PYTHON_PACKAGE "ipython"},
        {"pip", "installing packages", PYTHON_PACKAGE "pip"},
        {"matplotlib", "charts", PYTHON_PACKAGE "matplotlib"},
        {"numpy", "data", PYTHON_PACKAGE "numpy"},
        {"pandas", "data", PYTHON_PACKAGE "pandas"},
        {"node", "JavaScript, TypeScript", "install Node 18 or later (the package nodejs)"},
        {"bash", "Bash, and the shell (sh is used without it)", "install the package bash"},
    };
    for (size_t i = 0; i < CII_ELEMENTS(parts); i++) {
        const char *value = "no";
        bool there = has_line(text, parts[i].name, &value) && strncmp(value, "no\n", 3) != 0;
        _cleanup_free_ char *detail = cii_str_printf("%s: for %s", there ? "present" : "missing", parts[i].purpose);
        const char *remedy = environment && cii_str_starts(parts[i].remedy, PYTHON_PACKAGE)
                                 ? "install it into the environment, with its own pip"
                                 : parts[i].remedy;
        add(r, parts[i].name, there ? "ok" : "warning", detail, there ? NULL : remedy);
    }
}

static void check_code(report *r, const ci_sandbox_ops *ops, void *session) {
    _cleanup_error_ ci_error *error = NULL;
    answer got = {.outcome = -1};
    const ci_sink sink = {sizeof sink, &got, on_output, on_item, on_background, on_done, on_refusal};
    const ci_run_request request = {.struct_size = sizeof request,
                                    .kind = CI_RUN_KIND_CODE,
                                    .language = "python",
                                    .context = "",
                                    .text = probe,
                                    .text_size = strlen(probe)};
    ci_op *op = NULL;
    const char *version;
    ci_status status = ops->run(session, &request, &sink, &op, &error);
    if (status == CI_OK)
        status = finish(op, &error);
    if (status != CI_OK)
        add_error(r, "python", error);
    else if (got.outcome != CI_OUTCOME_OK || got.output.data == NULL || !has_line(got.output.data, "python", &version))
        add(r, "python", "error", "the interpreter does not run in the sandbox", "install the package python3");
    else {
        _cleanup_free_ char *text = strndup(version, strcspn(version, "\n"));
        add(r, "python", "ok", text, NULL);
        add_parts(r, got.output.data, add_environment(r, got.output.data));
    }
    cii_buf_free(&got.output);
}

static void check_limits(report *r, const local_session *s) {
    bool memory = s->limits & CII_LIMIT_MEMORY_CGROUP, processes = s->limits & CII_LIMIT_PIDS_CGROUP;
    const char *remedy = "run as root, or in a delegated cgroup (systemd-run --user --scope -p Delegate=yes …)";
    add(r, "memory limit", memory ? "ok" : "warning",
        memory ? "by cgroup, for the whole session" : "by rlimit, for each process", memory ? NULL : remedy);
    add(r, "process limit", "ok", processes ? "by cgroup" : "by rlimit, in the session's user namespace", NULL);
    add(r, "identity", "ok",
        s->uid == geteuid() ? "sessions run as your own user, without privileges" : "each session has an id of its own",
        NULL);
}

static void check_session(report *r, ci_sandbox *sandbox) {
    _cleanup_error_ ci_error *error = NULL;
    const ci_sandbox_ops *ops = cii_sandbox_ops(sandbox);
    const ci_sandbox_request request = {.struct_size = sizeof request,
                                        .session_id = "check",
                                        .memory_bytes = UINT64_C(1) << 30,
                                        .workspace_bytes = UINT64_C(64) << 20,
                                        .workspace_inodes = 10000,
                                        .process_count = 64,
                                        .open_file_count = 1024,
                                        .log = no_log};
    void *session = NULL;
    ci_op *op = NULL;
    ci_status status = ops->open(cii_sandbox_impl(sandbox), &request, &session, &op, &error);
    if (status == CI_OK)
        status = finish(op, &error);
    if (status != CI_OK) {
        add_error(r, "session", error);
        return;
    }
    add(r, "session", "ok", "namespaces, mounts and the system call filter work", NULL);
    check_limits(r, session);
    check_code(r, ops, session);
    ops->close(session);
}

ci_status ci_sandbox_local_check(const ci_sandbox_local_options *options, char **ret_report, ci_error **ret_error) {
    _cleanup_error_ ci_error *error = NULL;
    report r = {.json = cii_json_writer_new()};
    ci_sandbox *sandbox = NULL;
    cii_json_begin_object(r.json);
    cii_json_key(r.json, "checks");
    cii_json_begin_array(r.json);
    check_kernel(&r);
    if (ci_sandbox_local_new(options, &sandbox, &error) != CI_OK)
        add_error(&r, "sandbox", error);
    else
        check_session(&r, sandbox);
    ci_sandbox_free(sandbox);
    cii_json_end_array(r.json);
    cii_json_key_bool(r.json, "ok", !r.failed);
    cii_json_end_object(r.json);
    char *text = cii_json_take(r.json, NULL);
    if (text == NULL)
        return cii_error_nomem(ret_error);
    *ret_report = text;
    return CI_OK;
}
