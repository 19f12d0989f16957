/* --calls: tool calls, one a line, answered one a line. */
#ifndef CI_RUN_CALLS_H
#define CI_RUN_CALLS_H

#include "terminal.h"

/** Answers the lines of fd, the file at path, until its end. Returns 0, or the status that ci-run has to end with. */
int calls_answer(struct terminal *terminal, ci_session *session, const char *path, int fd);

#endif
