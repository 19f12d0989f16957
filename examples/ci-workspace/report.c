/* What became of files: lines of JSON on stdout when asked for, failures on stderr, progress. */
#include "program.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <yajl/yajl_gen.h>

static void put_text(yajl_gen json, const char *name, const char *text) {
    if (!text)
        return;
    yajl_gen_string(json, (const unsigned char *)name, strlen(name));
    if (yajl_gen_string(json, (const unsigned char *)text, strlen(text)) == yajl_gen_status_ok)
        return;
    char *copy = strdup(text); /* a name of a file that is no UTF-8 */
    for (char *c = copy; c && *c; c++)
        if ((unsigned char)*c >= 0x80)
            *c = '?';
    const char *shown = copy ? copy : "?";
    yajl_gen_string(json, (const unsigned char *)shown, strlen(shown));
    free(copy);
}

static void put_number(yajl_gen json, const char *name, long long number) {
    yajl_gen_string(json, (const unsigned char *)name, strlen(name));
    yajl_gen_integer(json, number);
}

static yajl_gen begin(void) {
    yajl_gen json = yajl_gen_alloc(NULL);
    if (!json)
        return NULL;
    yajl_gen_config(json, yajl_gen_validate_utf8, 1);
    yajl_gen_map_open(json);
    return json;
}

static void end(yajl_gen json) {
    const unsigned char *text;
    size_t size;
    yajl_gen_map_close(json);
    if (yajl_gen_get_buf(json, &text, &size) == yajl_gen_status_ok) {
        fwrite(text, 1, size, stdout);
        putchar('\n');
    }
    yajl_gen_free(json);
}

static void write_line(const char *status, const char *key, const char *path, uint64_t size_bytes, const char *why) {
    yajl_gen json = begin();
    if (!json)
        return;
    put_text(json, "status", status);
    put_text(json, "key", key);
    put_text(json, "path", path);
    if (size_bytes != UINT64_MAX)
        put_number(json, "size", (long long)size_bytes);
    put_text(json, "error", why);
    end(json);
}

void report_done(struct program *program, const char *status, const char *key, const char *path, uint64_t size_bytes) {
    if (strcmp(status, "unchanged") == 0)
        program->unchanged_count++;
    else
        program->progress.files_done++;
    if (program->options->json)
        write_line(status, key, path, size_bytes, NULL);
    progress_show(&program->progress);
}

void report_failure(struct program *program, const char *key, const char *path, const char *sentence) {
    program->failed = 1;
    if (jobs_signal()) /* what was cancelled by it needs no telling */
        return;
    if (program->options->json)
        write_line("failed", key, path, UINT64_MAX, sentence);
    note("ci-workspace: %s: %s", key ? key : path, sentence);
}

void report_error(struct program *program, const char *key, const char *path, ci_error *error) {
    report_failure(program, key, path, ci_error_message(error));
    static char last[256]; /* advice is given once: a wrong secret makes every file fail */
    const char *hint = ci_error_hint(error);
    if (*hint && strncmp(hint, last, sizeof(last) - 1) != 0 && !jobs_signal()) {
        note("ci-workspace: %s", hint);
        snprintf(last, sizeof(last), "%s", hint);
    }
    ci_error_free(error);
}

void report_object(struct program *program, const ci_object *object) {
    char time[32] = "";
    time_t seconds = object->modified_ms / 1000;
    struct tm parts;
    if (program->options->json || program->options->long_format)
        if (gmtime_r(&seconds, &parts))
            strftime(time, sizeof(time), "%Y-%m-%dT%H:%M:%SZ", &parts);
    if (program->options->json) {
        yajl_gen json = begin();
        if (!json)
            return;
        put_text(json, "key", object->key);
        put_number(json, "size", (long long)object->size_bytes);
        put_text(json, "modified", time);
        put_text(json, "etag", object->etag);
        end(json);
    } else if (program->options->long_format) {
        printf("%12llu  %s  %s\n", (unsigned long long)object->size_bytes, time, object->key);
    } else {
        fputs(object->key, stdout);
        putchar('\n');
    }
}

void report_flush(struct program *program) {
    if (fflush(stdout) == 0 && !ferror(stdout))
        return;
    if (!program->failed && !jobs_signal() && errno != EPIPE)
        note("ci-workspace: standard output: %s", strerror(errno));
    program->failed = 1;
}

void report_progress(struct program *program, uint64_t bytes) {
    program->progress.bytes_done += bytes;
    progress_show(&program->progress);
}
