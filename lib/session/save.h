/* One file of the sandbox into the workspace, unless it has it already. */
#ifndef CII_SESSION_SAVE_H
#define CII_SESSION_SAVE_H

#include "session/lookup.h"
#include "session/object.h"
#include "session/transfer.h"

typedef struct cii_save {
    ci_session *session;
    bool uploads_too;         /* an upload nobody touched is saved like any other file */
    bool is_walked;           /* stamp is set */
    cii_stamp stamp;          /* as the walk saw it; activity 0: content has to be hashed */
    const cii_listed *listed; /* the object as a list told it; NULL: it is asked for */
    enum { CII_SAVE_KNOWN, CII_SAVE_HASH, CII_SAVE_STAT, CII_SAVE_DECIDE, CII_SAVE_WRITE } stage;
    char *path;
    char *key;
    ci_op *op;
    cii_transfer transfer;
    cii_known_file *entry; /* of session->known; NULL: not looked for yet, or not there */
    cii_known_file known;  /* a copy of it without its path */
    bool object_is_told;   /* there or not, by a list or by stat */
    bool object_is_asked;  /* by stat, which tells all there is to tell */
    bool object_is_there;
    bool object_is_hashed;
    uint64_t object_size;
    uint8_t object_sha256[32];
    char *object_etag;

    int32_t status; /* how it went: a CI_FILE_ status */
    char *name;     /* logical name of the object; NULL where there is none */
    ci_error *error;
    uint64_t size_bytes;
    uint8_t sha256[32];
    bool is_hashed;
    char *etag;           /* of the object with this content; NULL: unknown */
    uint64_t moved_bytes; /* written so far */
    bool is_missing;      /* it failed because the sandbox has no such file */
} cii_save;

/* path is normalized and relative. */
ci_status cii_save_start(cii_save *save, ci_session *session, const char *path, ci_error **ret_error);

/* 1: finished, well or not: status and error tell; 0; negative: nothing more can be saved (the session or memory is
 * gone). */
int cii_save_step(cii_save *save, cii_waits *waits, ci_error **ret_error);

/* The file's entry; strings live as long as save and hex. */
ci_file_info cii_save_info(const cii_save *save, char hex[65]);
void cii_save_free(cii_save *save); /* zeroed is fine */

/* A file that this session has pushed before, hashed before its turn to be saved: its content has to be compared whatever
 * the workspace is found to have. Any other is left alone. Zero it before the first step. */
typedef struct cii_ahead {
    cii_transfer transfer;
    bool is_begun;
    struct cii_hashed {
        cii_known_file *entry; /* as in cii_save */
        uint64_t size_bytes;
        uint8_t sha256[32];
        bool is_hashed;
    } found;
} cii_ahead;

/* 1: done; what failed is for the save to tell. 0; negative as above. */
int cii_ahead_step(cii_ahead *ahead, ci_session *session, const char *path, const cii_stamp *stamp, cii_waits *waits,
                   ci_error **ret_error);
void cii_ahead_free(cii_ahead *ahead); /* zeroed is fine */

/* Before the save's first step. */
void cii_save_take_ahead(cii_save *save, const struct cii_hashed *found);

#endif
