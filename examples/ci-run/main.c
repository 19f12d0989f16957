/*
 * ci-run: runs Python and shell commands in a libci session, for people and for scripts. It uses the public interface
 * alone, so it also shows how a host drives calls from its own poll(2) loop.
 */
#include "calls.h"
#include "check.h"
#include "nowhere.h"
#include "options.h"
#include "terminal.h"
#include "uploads.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The text of a unit. */
struct source {
    char *text;
    size_t size;
};

struct program {
    const struct options *options;
    struct terminal terminal;
    struct source *sources; /* one a unit */
    ci_sandbox *sandbox;
    ci_storage *storage; /* of S3; a folder is the session's own to open */
    ci_session *session;
    char *temporary;  /* workspace folder to be removed at the end */
    int preload_told; /* the opening's uploads, which the first result lists once more */
};

/* ---- what is to be run ---- */

static int read_all(int fd, struct source *ret) {
    size_t capacity = 0;
    for (;;) {
        if (capacity - ret->size < 4096) {
            char *text = realloc(ret->text, capacity = 2 * capacity + 8192);
            if (!text)
                return -1;
            ret->text = text;
        }
        ssize_t size = read(fd, ret->text + ret->size, capacity - ret->size);
        if (size == 0)
            return 0;
        if (size > 0)
            ret->size += (size_t)size;
        else if (errno != EINTR)
            return -1;
    }
}

static int read_source(const char *path, struct source *ret) {
    int fd = strcmp(path, "-") == 0 ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC);
    int failed = fd < 0 || read_all(fd, ret);
    if (failed)
        note("ci-run: %s: %s", path, strerror(errno));
    if (fd >= 0)
        close(fd);
    if (!failed && ret->size >= 3 && memcmp(ret->text, "\xef\xbb\xbf", 3) == 0) /* an editor's mark, no code */
        memmove(ret->text, ret->text + 3, ret->size -= 3);
    return failed ? STATUS_FAILED : 0;
}

static int read_sources(struct program *program) {
    const struct options *options = program->options;
    program->sources = calloc(options->unit_count + 1, sizeof(*program->sources));
    if (!program->sources)
        return STATUS_FAILED;
    for (size_t i = 0; i < options->unit_count; i++)
        if (options->units[i].kind == UNIT_FILE && read_source(options->units[i].argument, &program->sources[i]))
            return STATUS_FAILED;
    return 0;
}

/* By -l, or else by the file's suffix. */
static const char *language_of(const struct options *options, const struct unit *unit) {
    static const char *const by_suffix[][2] = {{".js", "javascript"}, {".mjs", "javascript"}, {".cjs", "javascript"},
                                               {".ts", "typescript"}, {".mts", "typescript"}, {".cts", "typescript"},
                                               {".sh", "bash"},       {".bash", "bash"}};
    const char *suffix = unit->kind == UNIT_FILE ? strrchr(unit->argument, '.') : NULL;
    if (options->language)
        return options->language;
    for (size_t i = 0; suffix && i < sizeof(by_suffix) / sizeof(by_suffix[0]); i++)
        if (strcmp(suffix, by_suffix[i][0]) == 0)
            return by_suffix[i][1];
    return "python";
}

/* ---- opening ---- */

/* Takes the outcome of a wait that is over: an error is told, but not one that the user asked for by a signal. */
static int fail(struct program *program, ci_error *error) {
    if (!program->terminal.end_status)
        return terminal_fail(error);
    ci_error_free(error);
    return program->terminal.end_status;
}

static int make_agentcore(struct program *program) {
    const struct options *options = program->options;
    ci_sandbox_agentcore_options agentcore = CI_SANDBOX_AGENTCORE_OPTIONS_INIT;
    agentcore.interpreter = options->interpreter;
    agentcore.endpoint = options->service;
    agentcore.region = options->server.region;
    agentcore.profile = options->server.profile;
    agentcore.session_timeout_s = (uint32_t)((options->session_time_ms + 999) / 1000);
    agentcore.network = options->network;
    agentcore.keep_sessions = options->keep;
    ci_error *error = NULL;
    return ci_sandbox_agentcore_new(&agentcore, &program->sandbox, &error) ? terminal_fail(error) : 0;
}

static int make_sandbox(struct program *program) {
    const struct options *options = program->options;
    if (options->sandbox && strcmp(options->sandbox, "agentcore") == 0)
        return make_agentcore(program);
    ci_sandbox_local_options local = CI_SANDBOX_LOCAL_OPTIONS_INIT;
    local.python = options->python;
    local.preload = options->preload ? options->preload : options->calls ? "data" : NULL;
    local.kernels = options->kernels;
    local.pip_config = options->pip_config;
    local.npm_config = options->npm_config;
    local.ca_file = options->ca_file;
    local.package_cache = options->package_cache;
    local.host_packages = options->host_packages;
    local.log = terminal_log;
    ci_error *error = NULL;
    if (ci_sandbox_local_new(&local, &program->sandbox, &error))
        return terminal_fail(error);
    if (!local.preload && !local.kernels)
        return 0;
    ci_call *call = NULL; /* the one session there is should have modules and kernels, so it waits for them */
    if (ci_sandbox_prepare_start(program->sandbox, 0, &call, &error) == CI_OK) {
        terminal_wait(&program->terminal, call, 0);
        ci_call_take_status(call, &error);
        ci_call_free(call);
    }
    return error ? fail(program, error) : 0;
}

/* Which part of which workspace, and who is told of it. */
static ci_session_options options_of_workspace(const struct program *program, const char *workspace) {
    const struct options *options = program->options;
    ci_session_options session = CI_SESSION_OPTIONS_INIT;
    session.workspace_dir = program->storage ? NULL : workspace;
    session.storage = program->storage;
    session.session_id = options->session_id;
    session.user = options->user;
    session.uploads_prefix = options->uploads_prefix;
    session.output_prefix = options->output_prefix;
    session.prefixes = options->prefixes.count ? options->prefixes.items : NULL;
    session.progress = terminal_progress;
    session.timeout_ms = options->timeout_ms;
    session.log = terminal_log;
    return session;
}

static int open_session(struct program *program, const ci_session_options *session) {
    ci_error *error = NULL;
    ci_call *call = NULL;
    if (ci_session_open_start(session, &call, &error) == CI_OK) {
        terminal_wait(&program->terminal, call, 0);
        ci_call_take_session(call, &program->session, &error);
        ci_call_free(call);
    }
    return error ? fail(program, error) : 0;
}

static int open_to_run(struct program *program, const char *workspace) {
    static const char *const nothing[] = {NULL};
    const struct options *options = program->options;
    ci_session_options session = options_of_workspace(program, workspace);
    session.sandbox = program->sandbox;
    session.attach_id = options->attach;
    session.memory_bytes = options->memory_bytes;
    session.workspace_bytes = options->disk_bytes;
    session.process_count = (uint32_t)options->process_count;
    session.network = options->network;
    session.network_allow = options->allow_nothing ? nothing : options->allow.count ? options->allow.items : NULL;
    session.network_deny = options->deny.count ? options->deny.items : NULL;
    return open_session(program, &session);
}

/* By a session of its own, which runs nothing: that in which something runs finds all of them when it is opened. */
static int store_uploads(struct program *program, const char *workspace) {
    ci_session_options session = options_of_workspace(program, workspace);
    ci_error *error = NULL;
    if (nowhere_new(&session.sandbox, &error))
        return terminal_fail(error);
    session.flags = CI_SESSION_NO_PRELOAD;
    int status = open_session(program, &session);
    if (status == 0)
        status = uploads_store(&program->terminal, program->session, &program->options->uploads);
    ci_session_close(program->session);
    program->session = NULL;
    ci_sandbox_free(session.sandbox);
    return program->terminal.end_status ? program->terminal.end_status : status;
}

/*
 * Opens the session, uploads already in its workspace. Uploads need a workspace, and so do most of the tools: where none is
 * named it is a temporary one.
 */
static int open_with_uploads(struct program *program) {
    const struct options *options = program->options;
    const char *workspace = options->workspace;
    if ((options->uploads.count || options->calls) && !workspace) {
        const char *folder = getenv("TMPDIR");
        if (asprintf(&program->temporary, "%s/ci-run-XXXXXX", folder && *folder ? folder : "/tmp") < 0 ||
            !mkdtemp(program->temporary)) {
            note("ci-run: temporary workspace: %s", strerror(errno));
            return STATUS_FAILED;
        }
        workspace = program->temporary;
    }
    if (workspace && workspace_is_s3(workspace)) {
        ci_error *error = NULL;
        program->storage = workspace_open(workspace, &options->server, 0, &error);
        if (!program->storage)
            return terminal_fail(error);
    }
    int status = options->uploads.count ? store_uploads(program, workspace) : 0;
    return status ? status : open_to_run(program, workspace);
}

static void tell_preload(struct program *program) {
    ci_result *report;
    if (ci_session_preload_report(program->session, &report, NULL) == CI_OK) {
        terminal_note_preload(report);
        ci_result_free(report);
    }
    program->preload_told = 1;
}

/* Uploads that came later. */
static void tell_later_preload(struct program *program, const ci_result *result) {
    if (!program->preload_told)
        terminal_note_preload(result);
    program->preload_told = 0;
}

/* ---- running ---- */

/* What the streams did not tell: the value of -e, the traceback, the reason. */
static void show_end(struct program *program, const struct unit *unit, const ci_result *result) {
    struct terminal *terminal = &program->terminal;
    size_t size;
    const char *value = ci_result_value(result, &size);
    int32_t outcome = ci_result_outcome(result);
    if (value && unit->kind == UNIT_CODE && terminal_put(terminal, STDOUT_FILENO, value, size) == 0)
        terminal_put(terminal, STDOUT_FILENO, "\n", 1);
    const char *traceback = ci_result_traceback(result);
    const char *message = ci_result_error_message(result);
    if (traceback && outcome == CI_OUTCOME_EXCEPTION) {
        size = strlen(traceback);
        terminal_put(terminal, STDERR_FILENO, traceback, size);
        if (size && traceback[size - 1] != '\n')
            terminal_put(terminal, STDERR_FILENO, "\n", 1);
    } else if (outcome != CI_OUTCOME_OK && outcome != CI_OUTCOME_EXIT) {
        note("ci-run: %s", message ? message : ci_outcome_name(outcome));
    }
}

/* Takes the result of a call that is done and shows it. Returns the exit status it stands for. */
static int take_result(struct program *program, ci_call *call, const struct unit *unit) {
    ci_error *error = NULL;
    ci_result *result = NULL;
    ci_call_take_result(call, &result, &error);
    ci_call_free(call);
    if (error)
        return fail(program, error);
    int status = ci_result_exit_code(result);
    tell_later_preload(program, result);
    if (program->options->json)
        terminal_put_json(&program->terminal, result);
    else
        show_end(program, unit, result);
    ci_result_free(result);
    return program->terminal.end_status ? program->terminal.end_status : status;
}

/* Sets sys.argv as Python itself would; no name is left behind. */
static void write_python_arguments(FILE *out, const struct options *options, const char *name) {
    fputs("__import__('sys').argv = [__import__('os').fsdecode(a) for a in [", out);
    for (size_t i = 0; i <= options->argument_count; i++) {
        fputs("b'", out);
        for (const char *c = i ? options->arguments[i - 1] : name; *c; c++)
            fprintf(out, "\\x%02x", (unsigned char)*c);
        fputs("', ", out);
    }
    fputs("]]", out);
}

/* Sets process.argv as Node itself would. */
static void write_node_arguments(FILE *out, const struct options *options, const char *name) {
    fputs("process.argv.splice(1, Infinity, ...[", out);
    for (size_t i = 0; i <= options->argument_count; i++) {
        fputs("'", out);
        for (const char *c = i ? options->arguments[i - 1] : name; *c; c++)
            fprintf(out, "%02x", (unsigned char)*c);
        fputs("', ", out);
    }
    fputs("].map((text) => Buffer.from(text, 'hex').toString()))", out);
}

/* Sets $1 and so on. */
static void write_bash_arguments(FILE *out, const struct options *options) {
    fputs("set --", out);
    for (size_t i = 0; i < options->argument_count; i++) {
        fputs(" '", out);
        for (const char *c = options->arguments[i]; *c; c++)
            fputs(*c == '\'' ? "'\\''" : (const char[]){*c, 0}, out);
        fputs("'", out);
    }
}

static int is_node(const char *language) {
    return strcmp(language, "javascript") == 0 || strcmp(language, "typescript") == 0;
}

/* In a cell of its own, so that line numbers stay. */
static int set_arguments(struct program *program, const char *language, const char *name) {
    char *code = NULL;
    size_t size;
    FILE *out = open_memstream(&code, &size);
    if (!out)
        return STATUS_FAILED;
    ci_run_options run = CI_RUN_OPTIONS_INIT;
    run.language = is_node(language) ? "javascript" : language;
    if (is_node(language))
        write_node_arguments(out, program->options, name);
    else if (strcmp(language, "bash") == 0)
        write_bash_arguments(out, program->options);
    else
        write_python_arguments(out, program->options, name);
    ci_error *error = NULL;
    ci_call *call = NULL;
    if (fclose(out) == 0 && ci_execute_code_start(program->session, code, size, &run, &call, &error) == CI_OK) {
        terminal_wait(&program->terminal, call, 0);
        ci_result *result = NULL;
        ci_call_take_result(call, &result, &error);
        if (result)
            tell_later_preload(program, result);
        ci_result_free(result);
        ci_call_free(call);
    }
    free(code);
    return error ? fail(program, error) : program->terminal.end_status;
}

static int run_unit(struct program *program, const struct unit *unit, const struct source *source) {
    const struct options *options = program->options;
    ci_run_options run = CI_RUN_OPTIONS_INIT;
    if (!options->json) {
        run.output = terminal_output;
        run.output_user = &program->terminal;
    }
    ci_error *error = NULL;
    ci_call *call = NULL;
    if (unit->kind == UNIT_COMMAND) {
        ci_execute_command_start(program->session, unit->argument, &run, &call, &error);
    } else {
        int is_file = unit->kind == UNIT_FILE;
        run.language = language_of(options, unit);
        int knows_its_name = strcmp(run.language, "python") == 0 || is_node(run.language);
        int wants_arguments = (is_file && knows_its_name) || options->argument_count;
        int status = wants_arguments ? set_arguments(program, run.language, is_file ? unit->argument : "-c") : 0;
        if (status)
            return status;
        ci_execute_code_start(program->session, is_file ? source->text : unit->argument,
                              is_file ? source->size : SIZE_MAX, &run, &call, &error);
    }
    if (error)
        return terminal_fail(error);
    terminal_wait(&program->terminal, call, 1);
    return take_result(program, call, unit);
}

static int run_units(struct program *program) {
    int status = 0;
    for (size_t i = 0; status == 0 && i < program->options->unit_count; i++)
        status = run_unit(program, &program->options->units[i], &program->sources[i]);
    return status;
}

/* ---- saving ---- */

static int is_named(const struct list *names, const char *path) {
    for (size_t i = 0; names && i < names->count; i++)
        if (strcmp(names->items[i], path) == 0)
            return 1;
    return 0;
}

static int push(struct program *program, const struct list *names) {
    ci_error *error = NULL;
    ci_call *call = NULL;
    ci_result *result = NULL;
    if (ci_push_to_workspace_start(program->session, names ? names->items : NULL, names ? names->count : 0, NULL, &call,
                                   &error) == CI_OK) {
        terminal_wait(&program->terminal, call, 0);
        ci_call_take_result(call, &result, &error);
        ci_call_free(call);
    }
    if (error)
        return fail(program, error);
    int status = ci_result_exit_code(result);
    size_t count = ci_result_file_count(result, CI_FILES_MAIN);
    for (size_t i = 0; i < count; i++) {
        ci_file_info file = CI_FILE_INFO_INIT;
        if (ci_result_file(result, CI_FILES_MAIN, i, &file) || file.status == CI_FILE_UNCHANGED)
            continue;
        if (file.status == CI_FILE_SAVED)
            note("workspace: saved %s (%llu bytes)", file.key, (unsigned long long)file.size_bytes);
        else
            note("workspace: %s %s: %s", ci_file_status_name(file.status), file.path, file.error ? file.error : "");
        if (file.status == CI_FILE_SKIPPED && status == 0 && is_named(names, file.path))
            status = 1; /* a FIFO, say: fine to meet in a folder, but this one was asked for */
    }
    if (program->options->json && !program->options->calls)
        terminal_put_json(&program->terminal, result);
    ci_result_free(result);
    return program->terminal.end_status ? program->terminal.end_status : status;
}

/* Saves what was asked for, also after code that failed: what it made before is still of use. */
static int save(struct program *program) {
    const struct options *options = program->options;
    int status = options->outputs.count ? push(program, &options->outputs) : 0;
    if (options->push && !program->terminal.end_status) {
        int pushed = push(program, NULL);
        status = status ? status : pushed;
    }
    return status;
}

/* ---- */

/* The id by which --attach has the session again. */
static void tell_kept(struct program *program) {
    static const char key[] = "\"sessionId\":\"";
    char *info = NULL;
    if (ci_session_info(program->session, &info, NULL) < 0)
        return;
    const char *id = strstr(info, key);
    if (id)
        note("session: kept; go on with --attach %.*s", (int)strcspn(id + strlen(key), "\""), id + strlen(key));
    ci_free(info);
}

static int answer_calls(struct program *program) {
    const char *path = program->options->calls;
    int fd = strcmp(path, "-") == 0 ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        note("ci-run: --calls %s: %s", path, strerror(errno));
        return STATUS_FAILED;
    }
    int status = calls_answer(&program->terminal, program->session, path, fd);
    close(fd);
    return status;
}

static int work(struct program *program) {
    int status = make_sandbox(program);
    if (status == 0)
        status = open_with_uploads(program);
    if (status)
        return status;
    if (program->options->keep)
        tell_kept(program);
    if (program->options->calls) {
        status = answer_calls(program);
    } else {
        tell_preload(program);
        status = run_units(program);
    }
    if (program->terminal.end_status)
        return program->terminal.end_status;
    int saved = save(program);
    return status ? status : saved;
}

int main(int argc, char **argv) {
    struct options options;
    struct program program = {.options = &options};
    static struct unit standard_input = {UNIT_FILE, "-"};
    int status = STATUS_FAILED;
    if (options_parse(&options, argc, argv)) {
        options_free(&options);
        return STATUS_FAILED;
    }
    if (options.unit_count == 0 && !options.calls)
        options.units[options.unit_count++] = standard_input;
    if (options.help) {
        options_help();
        status = 0;
    } else if (options.version) {
        puts(ci_version_string());
        status = 0;
    } else if (options.check) {
        status = check_print(options.python, options.json);
    } else if (read_sources(&program) == 0 && terminal_open(&program.terminal) == 0) {
        status = work(&program);
    }
    if (fflush(stdout) || ferror(stdout)) { /* where --help and its like print */
        note("ci-run: standard output: %s", strerror(errno));
        status = STATUS_FAILED;
    }
    ci_session_close(program.session);
    ci_storage_free(program.storage);
    ci_sandbox_free(program.sandbox);
    if (program.temporary)
        uploads_remove_folder(program.temporary);
    free(program.temporary);
    for (size_t i = 0; program.sources && i < options.unit_count; i++)
        free(program.sources[i].text);
    free(program.sources);
    options_free(&options);
    return status;
}
