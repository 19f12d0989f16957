/* A put, as its three parts see it:
 *
 *     put.c         read; all of it in one part: one PUT
 *     multipart.c   more: CreateMultipartUpload, parts beside each other as they are read, CompleteMultipartUpload
 *     commit.c      the request by which it takes effect, PUT or Complete, and its conditions */
#ifndef CII_STORAGE_S3_PUT_H
#define CII_STORAGE_S3_PUT_H

#include "base/hash.h"
#include "storage/s3/s3.h"

#define CII_S3_PARTS_MAX 10000u

/* A buffer, and the request that sends it. */
typedef struct cii_s3_part {
    cii_s3_call call;
    cii_buf data;
    unsigned number; /* from 1; 0: free */
    char number_text[12];
    char sha256[65]; /* of what it holds, once that is all */
} cii_s3_part;

typedef struct cii_s3_put_op cii_s3_put_op;

struct cii_s3_put_op {
    cii_s3_task task;
    /* The request. */
    char if_etag[CII_S3_ETAG_MAX + 1];
    bool has_if_etag, if_absent, has_sha256;
    char *mime_type;
    uint8_t sha256[32];
    uint64_t size_bytes;
    ci_op_read_cb read;
    ci_object_cb object;
    void *user;

    int32_t (*go)(cii_s3_put_op *put, ci_error **ret_error); /* the state */

    uint64_t part_bytes;
    cii_s3_part *parts;
    size_t part_count;
    cii_s3_part *filling;
    uint64_t read_bytes;
    bool ended;            /* the source */
    cii_sha256 *part_hash; /* of what is in the part being filled */
    cii_sha256 *hash;      /* of several parts, where their hash was announced; else NULL */
    bool has_digest;       /* of all that was read */
    uint8_t digest[32];
    char digest_text[65];
    char md5_base64[25], md5[33]; /* of the only part; "": MD5 may not be used here */
    char nonce[27];               /* by which an object is known to be this put's */

    cii_s3_upload *upload; /* NULL: it is no multipart upload, or has ended */
    unsigned last_number;  /* of the parts begun */
    cii_buf etags;         /* of the parts, in rows of one size: each as received, NUL-ended */
    cii_buf body;          /* of Complete */
    char body_sha256[65];

    cii_s3_call call; /* Create, Complete, HEAD */
    char condition[CII_S3_ETAG_MAX + 3];
    cii_turn *turn;
    int64_t answered_ms; /* by the server's clock */
    bool sent_condition; /* with the last commit: not looked at before it */
    bool bare;           /* its etag without quotes */
    bool unchecked;      /* the server refuses one that holds: none is sent */
    ci_status refused;   /* the commit was, and error says why, while the object is looked at */
    ci_error *error;
};

/* The part being filled is all there: its hash is known then. */
ci_status cii_s3_put_end_part(cii_s3_put_op *put, ci_error **ret_error);
/* What came is what was announced; the digest is known then. */
ci_status cii_s3_put_check(cii_s3_put_op *put, ci_error **ret_error);
/* Headers that describe the object, of PUT and of Create; with the digest where it is known. */
void cii_s3_put_describe(const cii_s3_put_op *put, cii_s3_call *call, bool digest_known);
/* Needed where the outcome may have to be found out by a look. */
ci_status cii_s3_put_make_nonce(cii_s3_put_op *put, ci_error **ret_error);
/* Reads on into the part that is being filled: 1 it is full or the source has ended, 0 not yet, negative. */
int32_t cii_s3_put_read(cii_s3_put_op *put, ci_error **ret_error);

/* The states that begin what the other files do. */
int32_t cii_s3_multipart_begin(cii_s3_put_op *put, ci_error **ret_error);
/* Complete's body, and its hash. */
ci_status cii_s3_multipart_write_list(cii_s3_put_op *put, ci_error **ret_error);
int32_t cii_s3_commit_begin(cii_s3_put_op *put, ci_error **ret_error);
/* Whether Complete's ETag is of other parts than those that were sent; false where it is none that says so. */
bool cii_s3_multipart_differs(const cii_s3_put_op *put, const char *etag);
/* Gives an upload that is not complete to the storage. */
void cii_s3_multipart_abandon(cii_s3_put_op *put);

#endif
