/* Refusals of a result: what the session's network policy did not let through. */
#ifndef CII_RESULT_REFUSALS_H
#define CII_RESULT_REFUSALS_H

#include <ci/result.h>

#include "base/buf.h"
#include "base/json.h"

#define CII_REFUSALS_MAX 64 /* that are kept apart */

typedef struct cii_refusals {
    ci_refusal *items; /* the strings of each are one block, which begins with text */
    size_t count;
    uint64_t kept;  /* refusals that items stand for */
    uint64_t total; /* refusals that there were */
} cii_refusals;

/* Copies one that a backend tells; the same as one before only adds to its count. CI_ERR_NOMEM leaves all as it was. */
ci_status cii_refusals_add(cii_refusals *refusals, const ci_refusal *refusal);
/* The first `most` in words, a line each, "refused: " before it; and a line about how many more there are. */
ci_status cii_refusals_say(const cii_refusals *refusals, size_t most, cii_buf *text);
void cii_refusals_write(cii_json_writer *w, const cii_refusals *refusals); /* as an array */
void cii_refusals_free(cii_refusals *refusals);

#endif
