/* The manifest of a push: an object that lists its files, written when all of them are there. */
#ifndef CII_SESSION_MANIFEST_H
#define CII_SESSION_MANIFEST_H

#include "base/buf.h"
#include "base/hash.h"
#include "session/object.h"

typedef struct cii_manifest_file {
    const char *name; /* NULL: there is none any more */
    const char *sha256;
    const char *etag; /* NULL: not known */
    uint64_t size_bytes;
} cii_manifest_file;

typedef struct cii_manifest {
    ci_session *session;
    cii_manifest_file (*next)(void *user); /* each call gives another file */
    void *user;
    cii_buf text; /* what was not written yet */
    uint64_t count;
    bool begun;
    bool ended;
    bool no_memory;
    uint64_t size_bytes; /* so far */
    cii_sha256 *hash;
    uint8_t sha256[32]; /* of all, when done */
    ci_op *op;
} cii_manifest;

ci_status cii_manifest_start(cii_manifest *manifest, ci_session *session, const char *key,
                             cii_manifest_file (*next)(void *user), void *user, ci_error **ret_error);
int cii_manifest_step(cii_manifest *manifest, cii_waits *waits, ci_error **ret_error); /* 1: it is there; 0; negative */
void cii_manifest_free(cii_manifest *manifest);                                        /* zeroed is fine */

#endif
