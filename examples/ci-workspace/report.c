/* What became of files: lines of JSON on stdout when asked for, failures on stderr, progress. */
#include "program.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <yajl/yajl_gen.h>

static void put_string(yajl_gen json, const char *text) {
    yajl_gen_string(json, (const unsigned char *)text, strlen(text));
}

/* The size of the character that begins here; 0: it is no UTF-8. yajl's own check lets through what is too long, too large or
 * a surrogate. */
static size_t char_size(const unsigned char *c) {
    size_t size = *c < 0x80 ? 1 : *c < 0xc2 ? 0 : *c < 0xe0 ? 2 : *c < 0xf0 ? 3 : *c < 0xf5 ? 4 : 0;
    for (size_t i = 1; i < size; i++)
        if ((c[i] & 0xc0) != 0x80)
            return 0;
    int is_wrong = (c[0] == 0xe0 && c[1] < 0xa0) || (c[0] == 0xed && c[1] > 0x9f) || (c[0] == 0xf0 && c[1] < 0x90) ||
                   (c[0] == 0xf4 && c[1] > 0x8f);
    return is_wrong ? 0 : size;
}

static int is_utf8(const char *text) {
    const unsigned char *c = (const unsigned char *)text;
    for (size_t size; *c; c += size)
        if ((size = char_size(c)) == 0)
            return 0;
    return 1;
}

/* As \xNN what is not ASCII, and \ doubled. NULL: out of memory. */
static char *escape(const char *text) {
    char *escaped = malloc(4 * strlen(text) + 1), *to = escaped;
    for (; to && *text; text++)
        to += sprintf(to,
                      (unsigned char)*text >= 0x80 ? "\\x%02x"
                      : *text == '\\'              ? "\\%c"
                                                   : "%c",
                      (unsigned char)*text);
    if (to)
        *to = 0;
    return escaped;
}

static void put_text(yajl_gen json, const char *name, const char *text) {
    if (!text)
        return;
    put_string(json, name);
    if (is_utf8(text)) {
        put_string(json, text);
        return;
    }
    char *escaped = escape(text), flag[32];
    put_string(json, escaped ? escaped : "?");
    free(escaped);
    snprintf(flag, sizeof(flag), "%s_escaped", name);
    put_string(json, flag);
    yajl_gen_bool(json, 1);
}

static void put_number(yajl_gen json, const char *name, long long number) {
    put_string(json, name);
    yajl_gen_integer(json, number);
}

static yajl_gen begin(void) {
    yajl_gen json = yajl_gen_alloc(NULL);
    if (!json)
        return NULL;
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
