/* Diagnostics of a result: what a checker said of places in the code. */
#ifndef CII_RESULT_DIAGNOSTICS_H
#define CII_RESULT_DIAGNOSTICS_H

#include <ci/result.h>

#include "base/json.h"

#define CII_DIAGNOSTICS_MAX 100

typedef struct cii_diagnostics {
    cii_json *root;       /* holds the messages; NULL: none */
    ci_diagnostic *items; /* whose messages are in root */
    size_t count;
} cii_diagnostics;

/* Reads a backend's JSON. What is not as it should be is left out: it comes from the guest. CI_ERR_NOMEM. */
ci_status cii_diagnostics_read(cii_diagnostics *ret_diagnostics, const char *json);
void cii_diagnostics_write(cii_json_writer *w, const cii_diagnostics *diagnostics); /* as an array */
void cii_diagnostics_free(cii_diagnostics *diagnostics);

#endif
