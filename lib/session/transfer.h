/* Bytes from one operation to another in bounded memory: a storage's get into a sandbox's file_put, a file_get into a
 * put. The one side pauses while the buffer is full, the other while it is empty. */
#ifndef CII_SESSION_TRANSFER_H
#define CII_SESSION_TRANSFER_H

#include <ci/sys/storage.h>

#include "base/buf.h"
#include "base/hash.h"
#include "session/call.h"

/* What an object was when it was listed, read or written. */
typedef struct cii_seen {
    char *etag; /* NULL: not known */
    uint64_t size_bytes;
    int64_t modified_ms;
} cii_seen;

ci_status cii_seen_set(cii_seen *seen, const ci_object *object);
bool cii_seen_same(const cii_seen *a, const cii_seen *b);
void cii_seen_free(cii_seen *seen);

typedef struct cii_transfer {
    ci_op *source; /* started by the user of this with cii_transfer_write() */
    ci_op *sink;   /* likewise with cii_transfer_read(); NULL: bytes are only counted and hashed */
    bool has_sink;
    bool source_done;
    bool sink_done;
    ci_status source_status;
    ci_error *source_error;
    cii_buf buffer;
    cii_sha256 *hash;
    uint64_t size; /* bytes that went through */
    uint8_t sha256[32];
    cii_seen object; /* as cii_transfer_object() got it */
    bool has_object;
} cii_transfer;

ci_status cii_transfer_init(cii_transfer *transfer, bool has_sink, ci_error **ret_error);
void cii_transfer_free(cii_transfer *transfer); /* zeroed is fine */

/* The callbacks to start the operations with; user is the transfer. */
int32_t cii_transfer_write(void *user, const void *data, size_t size);
int64_t cii_transfer_read(void *user, void *buffer, size_t size);
int32_t cii_transfer_object(void *user, const ci_object *object);

/* 1: done, size and sha256 are set; 0; negative: the source's failure where it failed first, else the sink's. */
int cii_transfer_step(cii_transfer *transfer, cii_waits *waits, ci_error **ret_error);

#endif
