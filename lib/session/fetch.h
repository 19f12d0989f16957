/* One upload into the sandbox. */
#ifndef CII_SESSION_FETCH_H
#define CII_SESSION_FETCH_H

#include "session/object.h"
#include "session/transfer.h"

typedef struct cii_fetch {
    ci_session *session;
    enum { CII_FETCH_STAT, CII_FETCH_HASH_HERE, CII_FETCH_HASH_THERE, CII_FETCH_WRITE } stage;
    char *key;
    ci_op *op;
    ci_entry entry; /* what is there of that name */
    uint8_t here[32];
    cii_transfer transfer;

    int32_t status; /* how it went: CI_FILE_PRELOADED, CI_FILE_CONFLICT or CI_FILE_FAILED */
    char *path;     /* in the sandbox; NULL: the key gives none */
    ci_error *error;
    uint8_t sha256[32];
    bool is_hashed;
    cii_seen seen; /* the object that was read, which may be newer than the one that was listed */
    bool is_seen;
} cii_fetch;

/* key is below the prefix of uploads. */
ci_status cii_fetch_start(cii_fetch *fetch, ci_session *session, const char *key, ci_error **ret_error);

/* 1: finished, well or not: status and error tell; 0; negative: the session or memory is gone. */
int cii_fetch_step(cii_fetch *fetch, cii_waits *waits, ci_error **ret_error);

uint64_t cii_fetch_moved(const cii_fetch *fetch); /* bytes that it has written so far */
void cii_fetch_free(cii_fetch *fetch);            /* zeroed is fine */

#endif
