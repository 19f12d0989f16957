/* A terminal is one per process, and so is what is known of it. */
#include "note.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum { FIRST_SHOWN_MS = 300, SHOWN_EVERY_MS = 100 };

static struct {
    int64_t begun_ms, shown_ms; /* 0: not */
    int is_shown;
} line;

static void erase(void) {
    if (line.is_shown)
        dprintf(STDERR_FILENO, "\r\033[K");
    line.is_shown = 0;
}

void note(const char *format, ...) {
    char *text;
    va_list arguments;
    va_start(arguments, format);
    int size = vasprintf(&text, format, arguments);
    va_end(arguments);
    if (size < 0)
        return;
    for (int i = 0; i < size; i++)
        if ((unsigned char)text[i] < ' ' || text[i] == 0x7f)
            text[i] = '?';
    erase();
    dprintf(STDERR_FILENO, "%s\n", text);
    free(text);
}

void note_error(const char *program, ci_error *error) {
    note("%s: %s", program, ci_error_message(error));
    if (*ci_error_hint(error))
        note("%s: %s", program, ci_error_hint(error));
    ci_error_free(error);
}

/* ---- progress ---- */

static int is_shown_at_all(void) {
    static int known; /* 1: yes, -1: no */
    const char *kind = getenv("TERM");
    if (!known)
        known = isatty(STDERR_FILENO) && (!kind || strcmp(kind, "dumb") != 0) ? 1 : -1;
    return known > 0;
}

/* As many columns as can be written to without the cursor going to the next line. */
static int columns(void) {
    struct winsize size;
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1 ? size.ws_col - 1 : 79;
}

static void write_bytes(FILE *out, double bytes) {
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    size_t unit = 0;
    for (; bytes >= 1024 && unit < sizeof(units) / sizeof(units[0]) - 1; unit++)
        bytes /= 1024;
    fprintf(out, unit ? "%.1f %s" : "%.0f %s", bytes, units[unit]);
}

static void write_line(FILE *out, const struct progress *progress, double seconds) {
    fprintf(out, "%s: %llu", progress->what, (unsigned long long)progress->files_done);
    if (progress->files_total)
        fprintf(out, " of %llu", (unsigned long long)progress->files_total);
    fputs(" files, ", out);
    write_bytes(out, (double)progress->bytes_done);
    if (progress->bytes_total) {
        fputs(" of ", out);
        write_bytes(out, (double)progress->bytes_total);
    }
    fputs(", ", out);
    write_bytes(out, (double)progress->bytes_done / seconds);
    fputs("/s", out);
}

void progress_show(const struct progress *progress) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    int64_t now_ms = (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000;
    if (!line.begun_ms)
        line.begun_ms = now_ms;
    if (now_ms - line.begun_ms < FIRST_SHOWN_MS || now_ms - line.shown_ms < SHOWN_EVERY_MS || !is_shown_at_all())
        return;
    line.shown_ms = now_ms;
    char text[256] = "";
    FILE *out = fmemopen(text, sizeof(text), "w");
    if (!out)
        return;
    write_line(out, progress, (double)(now_ms - line.begun_ms) / 1000);
    fclose(out);
    dprintf(STDERR_FILENO, "\r%.*s\033[K", columns(), text);
    line.is_shown = 1;
}

void progress_end(void) {
    erase();
    line.begun_ms = line.shown_ms = 0;
}
