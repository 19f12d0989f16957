/* The whole of a stream that a result has to cut, by way of an unnamed file of the host's into the sandbox root. */
#ifndef CII_SESSION_SPILL_H
#define CII_SESSION_SPILL_H

#include "session/object.h"

typedef struct cii_spill {
    int fds[2]; /* stdout, stderr */
    bool is_open[2];
    int error_number[2]; /* why the whole could not be kept; 0: it was */
    char name[2][40];
    uint64_t sizes[2];
    uint64_t offset;
    unsigned at; /* which one is being written */
    ci_op *op;
} cii_spill;

int cii_spill_write(void *user, int32_t stream, const void *data, size_t size); /* a cii_spill_cb */
/* Writes the files, and tells of them in the result. */
int cii_spill_step(cii_spill *spill, ci_session *session, ci_result *result, cii_waits *waits, ci_error **ret_error);
void cii_spill_free(cii_spill *spill); /* zeroed is fine */

#endif
