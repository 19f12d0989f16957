/* What people see on stderr: lines, and one line of progress that is rewritten in place and gone at the end. */
#ifndef EXAMPLES_NOTE_H
#define EXAMPLES_NOTE_H

#include <ci/error.h>

/** A line for people; control characters in it become '?'. A line of progress gives way to it. */
void note(const char *format, ...) __attribute__((format(printf, 1, 2)));

/** Says what failed, why, and what to do about it, in a line each that begins with `program`; frees the error. */
void note_error(const char *program, ci_error *error);

/** How far something is. A total of 0: not known. */
struct progress {
    const char *what; /* "upload" */
    uint64_t files_done, files_total;
    uint64_t bytes_done, bytes_total;
};

/**
 * Shows how far it is, in a line no wider than the terminal: when stderr is one, what is going on takes longer than a
 * moment, and it was not shown just now.
 */
void progress_show(const struct progress *progress);

/** Removes the line, where there is one. What is shown next is something else. */
void progress_end(void);

#endif
