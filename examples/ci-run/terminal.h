/* The side of ci-run that faces its user: output, notes, signals, and waiting for a call while minding them. */
#ifndef CI_RUN_TERMINAL_H
#define CI_RUN_TERMINAL_H

#include "../common/note.h"

#include <ci/ci.h>

enum { STATUS_FAILED = 125 }; /* ci-run or libci could not do its part */

struct terminal {
    int signal_fd;     /* SIGINT, SIGTERM and SIGHUP arrive here and nowhere else */
    int signal_count;  /* since the wait began */
    int end_status;    /* not 0: ci-run has to end, with this */
    int interruptible; /* the call that is waited for runs code */
    ci_call *call;     /* that is waited for */
};

/** Takes over signals. Returns 0, or -1 after a sentence on stderr. */
int terminal_open(struct terminal *terminal);

/** Writes all of it. Returns 0; -1 when nobody reads any more, or ci-run has to end. */
int terminal_put(struct terminal *terminal, int fd, const void *data, size_t size);

/** Writes one result as a line of JSON to stdout. Returns as terminal_put(). */
int terminal_put_json(struct terminal *terminal, const ci_result *result);

/** Says that something failed, why, and what to do about it; frees the error. Returns STATUS_FAILED. */
int terminal_fail(ci_error *error);

/** Tells what became of uploads. */
void terminal_note_preload(const ci_result *result);

/** A ci_output_cb whose user is the terminal: output to stdout and stderr as it comes. */
int32_t terminal_output(void *user, int32_t event, const char *mime_type, const void *data, size_t size);

/** A ci_log_cb: warnings and errors as notes. */
void terminal_log(void *user, int32_t level, const char *domain, const char *message);

/** What ci_session_options::progress gets: a line on a terminal's stderr that is rewritten, and gone when it is done. */
void terminal_progress(void *user, const ci_progress *progress);

/** Waits until fd can be read. Returns 0; -1 when ci-run has to end. */
int terminal_await(struct terminal *terminal, int fd);

/**
 * Waits until the call is done. A first Ctrl-C interrupts a run, a second one, and any other signal, cancels the call
 * and sets end_status.
 */
void terminal_wait(struct terminal *terminal, ci_call *call, int interruptible);

#endif
