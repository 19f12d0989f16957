/* What is known of the content of files in the sandbox: what the preload put there, what a push saved. Paths are
 * relative to the sandbox root. Used under the session's lock. What is known of a file keeps its place until the end. */
#ifndef CII_SESSION_KNOWN_H
#define CII_SESSION_KNOWN_H

#include "base/error.h"

/* When content was hashed, and of what it was told apart then. */
typedef struct cii_stamp {
    uint64_t activity; /* of the backend and of the host's own writing; 0: not to be relied on */
    uint64_t writes;
    uint64_t size_bytes;
    uint64_t version;
    int64_t modified_ns;
} cii_stamp;

typedef struct cii_known_file {
    char *path;
    char *etag;            /* of the object that a push wrote; NULL: unknown */
    uint8_t preloaded[32]; /* content as the preload wrote it */
    uint8_t pushed[32];    /* content as it was saved */
    uint8_t hash[32];      /* content when stamp was made */
    cii_stamp stamp;
    bool is_preloaded;
    bool is_pushed;
    bool is_hashed;
} cii_known_file;

typedef struct cii_known {
    void *root; /* tsearch(3) */
} cii_known;

cii_known_file *cii_known_find(cii_known *known, const char *path); /* NULL: nothing known */
cii_known_file *cii_known_add(cii_known *known, const char *path);  /* finds or makes; NULL without memory */
void cii_known_free(cii_known *known);

#endif
