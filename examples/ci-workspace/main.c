/*
 * ci-workspace: lists, fetches, stores and removes the files of a workspace, for people and for scripts. It uses the
 * public interface alone, so it also shows how a host drives many calls beside each other in one thread.
 */
#include "program.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

/* What a person likes to know at the end; a script has --json. */
static void tell_end(const struct program *program) {
    const struct progress *progress = &program->progress;
    if (!progress->what || !isatty(STDERR_FILENO) || jobs_signal())
        return;
    if (program->unchanged_count)
        note("%s: %llu files, %llu bytes; %llu unchanged", progress->what, (unsigned long long)progress->files_done,
             (unsigned long long)progress->bytes_done, (unsigned long long)program->unchanged_count);
    else
        note("%s: %llu files, %llu bytes", progress->what, (unsigned long long)progress->files_done,
             (unsigned long long)progress->bytes_done);
}

static int run(struct program *program) {
    static int (*const commands[])(struct program *) = {
        [COMMAND_LIST] = command_list,
        [COMMAND_GET] = command_get,
        [COMMAND_PUT] = command_put,
        [COMMAND_RM] = command_rm,
    };
    const struct options *options = program->options;
    ci_error *error = NULL;
    if (jobs_init())
        return STATUS_FAILED;
    program->storage = workspace_open(options->workspace, &options->server, options->command == COMMAND_PUT, &error);
    if (!program->storage) {
        note_error("ci-workspace", error);
        return STATUS_FAILED;
    }
    int status = commands[options->command](program);
    progress_end();
    report_flush(program);
    tell_end(program);
    ci_storage_free(program->storage);
    return jobs_signal() ? 128 + jobs_signal() : status ? status : program->failed ? STATUS_FAILED : 0;
}

/* Whoever started ci-workspace without stdin, stdout or stderr must not get a file of its own in their place. What is written
 * there fails: /dev/null is open for reading alone. */
static void fill_standard_streams(void) {
    int fd;
    while ((fd = open("/dev/null", O_RDONLY)) >= 0 && fd <= STDERR_FILENO)
        ;
    if (fd >= 0)
        close(fd);
}

int main(int argc, char **argv) {
    fill_standard_streams();
    struct options options;
    struct program program = {.options = &options};
    if (options_parse(&options, argc, argv))
        return STATUS_WRONG_USE;
    if (!options.help && !options.version)
        return run(&program);
    if (options.help)
        options_help();
    else
        puts(ci_version_string());
    report_flush(&program);
    return program.failed ? STATUS_FAILED : 0;
}
