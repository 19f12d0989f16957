/* Seconds as they are written on a command line. */
#ifndef EXAMPLES_SECONDS_H
#define EXAMPLES_SECONDS_H

#include <stdint.h>

/** What is said of a text that is none. */
#define SECONDS_WANTED "give seconds, as in 10 or 0.5; 0 is no deadline"

/** Reads them; fractions are fine. Returns 0, or -1. */
int parse_seconds(const char *text, int64_t *ret_ms);

#endif
