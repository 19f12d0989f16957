/* Makes the Nth allocation fail. A test that uses it is built with ci_failmalloc(TARGET), which redirects the
 * allocations of libci's own objects (not those of other libraries) to the ones here; so it works with sanitizers too. */
#ifndef FAILMALLOC_H
#define FAILMALLOC_H

#include <ci/error.h>

/* From now on the nth allocation (1: the next one) fails, and none after it. */
void failmalloc_at(size_t n);
/* No allocation fails any more. Whether one has failed: 1 or 0. */
int failmalloc_stop(void);

/* Runs the scenario with its first, its second, … allocation failing, until one run has met no failure. Each run must
 * end with CI_ERR_NOMEM or CI_OK, the last one with CI_OK. Returns how many allocations have failed. */
size_t failmalloc_each(ci_status (*scenario)(void *user), void *user);

#endif
