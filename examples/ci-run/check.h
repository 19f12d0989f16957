/* --check: what this machine gives a local sandbox. */
#ifndef CI_RUN_CHECK_H
#define CI_RUN_CHECK_H

/** Prints the report, as JSON if asked. Returns 0 when sessions can run, 1 when not, 125 when there is no report. */
int check_print(const char *python, int json);

#endif
