/* The parts of the S3 storage share this.
 *
 *     cii_s3           the storage: connections, credentials, where the bucket is, what was learned of the server
 *       cii_s3_task    one operation: a lane of its own, the identity it signs with, a step function
 *         cii_s3_call  one signed request with its repetitions; a put has several at once
 *
 * A call is signed anew for every attempt. What a server sets right (another region, another clock) and credentials that
 * have expired cost one more attempt, which is not counted. An upload that cannot be ended where it failed, since its
 * operation was freed or its process died, is left to a storage, whose next operation, or its end, aborts it. */
#ifndef CII_STORAGE_S3_S3_H
#define CII_STORAGE_S3_S3_H

#include <stdatomic.h>

#include <ci/sys/storage.h>

#include "aws/call.h"
#include "aws/endpoint.h"
#include "aws/http.h"
#include "base/buf.h"
#include "os/turns.h"

#define CII_S3_DOMAIN "s3"
#define CII_S3_KEY_MAX 1024u
#define CII_S3_ETAG_MAX 128u

/* --- storage ------------------------------------------------------------------------------------------------------ */

/* Where the bucket is believed to be. Made for each region that a server has named; lives as long as the storage. */
typedef struct cii_s3_place {
    struct cii_s3_place *next;
    char *region;
    char *host;
    char *path; /* not encoded: "" or "/BUCKET" */
    bool is_tls;
    cii_sigv4 *signer;
} cii_s3_place;

/* A multipart upload from before it is asked for until it has ended. */
typedef struct cii_s3_upload {
    struct cii_s3_upload *next; /* of those that are left */
    unsigned tries;
    int64_t again_ms; /* not before */
    char *id;         /* NULL: not known */
    int64_t begun_s;
    char nonce[27];      /* of its object, once it was asked to complete; "": not yet */
    int64_t completed_s; /* when that was */
    bool adopted;        /* of a process that died */
    bool awaited;        /* it was given up unanswered: the server may still be at it */
    char *prefix;        /* by which it is looked for */
    int record_fd;       /* -1: there is none */
    char record[27];     /* its name */
    pid_t pid;           /* whose record it is */
    char key[];
} cii_s3_upload;

typedef struct cii_s3_lock cii_s3_lock;
typedef struct cii_s3_page cii_s3_page;

typedef struct cii_s3 {
    cii_http_pool *pool;
    cii_aws_settings *settings;
    cii_aws_http *http; /* how credentials are asked for */
    cii_aws_credentials *credentials;
    cii_aws_endpoint endpoint; /* of the service; of AWS's own, made anew for another region */
    cii_aws_style style;
    char *bucket;
    char *prefix;  /* of all keys: "" or ending with "/" */
    char *name;    /* as it is described */
    char *records; /* the folder of records of uploads */
    uint64_t part_bytes;
    uint32_t parallel;
    uint32_t attempts;
    atomic_bool searched;           /* for old uploads */
    atomic_bool adopted;            /* what the records had when its first put began */
    atomic_bool lacks_records;      /* their folder cannot be used */
    _Atomic int64_t quiet_until_ms; /* the server did not answer: it is not asked for uploads until then */

    _Atomic int64_t clock_ahead_s; /* the server's before ours */
    atomic_bool lacks_if_absent;   /* a put's conditions that the server does not know */
    atomic_bool lacks_if_etag;
    atomic_bool wants_bare_etags; /* compares them without their quotes only */
    atomic_bool lacks_remove_many;

    /* Who may look at a key and then write it, where the server cannot do both in one; among the operations of this
     * storage. */
    cii_turns turns;

    pthread_mutex_t lock; /* of what follows; held for some instructions at a time */
    cii_s3_place *places; /* the first is the one in use */
    cii_s3_upload *leftovers;
    cii_s3_lock *locks;
    cii_s3_page *page; /* where the last full page of a list ended; list.c */
} cii_s3;

cii_s3_place *cii_s3_place_now(cii_s3 *s3);
/* Uses the region from now on. CI_ERR_INVALID: it cannot be one. */
ci_status cii_s3_place_move(cii_s3 *s3, const char *region, ci_error **ret_error);

/* --- operation ---------------------------------------------------------------------------------------------------- */

typedef struct cii_s3_task cii_s3_task;

typedef struct cii_s3_call {
    /* What is asked; borrowed until the call is over. */
    const char *method;
    const char *key; /* the storage's; NULL: the bucket itself */
    cii_aws_pair query[6];
    size_t query_count;
    cii_aws_pair headers[8];
    size_t header_count;
    const void *body;
    size_t body_bytes;
    const char *body_hash; /* hex; NULL: no body */
    size_t answer_max;
    int64_t timeout_ms;
    /* As in net/http.h, with this user. */
    void *user;
    ci_status (*head)(void *user, const cii_http_response *response, ci_error **ret_error);
    ci_op_write_cb write;
    /* Before each attempt: the headers that let it go on after so many bytes. NULL: it cannot. */
    void (*resume)(void *user, uint64_t taken_bytes);

    /* What came of it. */
    char code[64]; /* S3's; "": none */
    int32_t http_status;

    /* Inside call.c. */
    cii_s3_task *task;
    cii_http_exchange *exchange;
    cii_s3_place *place; /* of the last attempt */
    bool unsure;         /* of an attempt it is not known what became of it */
    cii_aws_call aws;
    cii_buf path;
} cii_s3_call;

struct cii_s3_task {
    ci_op op; /* first, so that the library's pointer is ours */
    cii_s3 *s3;
    const char *what; /* "put" */
    char *key;        /* as the caller knows it; of a list the prefix */
    /* Goes on: 1 done, 0 not yet, negative. Called with an identity and after the lane's turn. */
    int32_t (*step)(cii_s3_task *task, ci_error **ret_error);
    void (*release)(cii_s3_task *task);

    cii_http_lane *lane;
    cii_aws_login login; /* while it searches nothing else goes on */
    bool sent;           /* the lane has something to do */
    bool busy;           /* there is more to do at once */
    int wait_fd;         /* of a turn that is waited for; -1: none */

    cii_s3_upload *leftover; /* being aborted */
    cii_s3_call abort;
    unsigned swept;
    ci_status failed; /* the step has; told after the sweep */
    ci_error *error;
};

/* Fills the task, takes a lane, and hands it out as an operation; on failure releases it, but not its memory. key is
 * copied. */
ci_status cii_s3_task_start(cii_s3_task *task, cii_s3 *s3, const char *what, const char *key, ci_error **ret_error);
/* Allocates what begins with a task, after a look at the key; NULL with the error. */
void *cii_s3_task_alloc(const cii_s3 *s3, size_t size, const char *key, ci_status *ret_status, ci_error **ret_error);
ci_status cii_s3_key_too_long(const char *key, ci_error **ret_error);
/* CI_ERR_CANCELLED, with its words. */
ci_status cii_s3_stopped(ci_error **ret_error);

/* --- call --------------------------------------------------------------------------------------------------------- */

void cii_s3_call_query(cii_s3_call *call, const char *name, const char *value);
void cii_s3_call_header(cii_s3_call *call, const char *name, const char *value); /* value NULL: none */
/* Empties what a call asked before, keeping its room; and begins to ask: with the next step. */
void cii_s3_call_reset(cii_s3_call *call, const char *method, const char *key);
void cii_s3_call_start(cii_s3_task *task, cii_s3_call *call);
/* Whether it has certainly had no effect: it was not sent, or every attempt was answered so. */
bool cii_s3_call_was_refused(const cii_s3_call *call);
/* It has been sent, or will be, and there is no answer. */
bool cii_s3_call_is_pending(const cii_s3_call *call);
/* 1 answered well, 0 not yet, negative. After 1 or a failure the answer is there until the call is reset. */
int32_t cii_s3_call_result(cii_s3_call *call, ci_error **ret_error);
const cii_http_response *cii_s3_call_response(const cii_s3_call *call);
void cii_s3_call_free(cii_s3_call *call);
/* The error of one of several things a call asked for: its code and words; NULL: none. */
ci_status cii_s3_call_part_error(cii_s3_call *call, const char *code, const char *words, ci_error **ret_error);
/* Text as XML has it. */
ci_status cii_s3_append_escaped(cii_buf *to, const char *text);

/* --- objects ------------------------------------------------------------------------------------------------------ */

#define CII_S3_META_SHA256 "x-amz-meta-ci-sha256"
#define CII_S3_META_NONCE "x-amz-meta-ci-put"

/* What a head tells. */
typedef struct cii_s3_meta {
    char etag[CII_S3_ETAG_MAX + 1]; /* without its quotes; "": none, or too long */
    uint64_t size_bytes;            /* UINT64_MAX: it does not say */
    int64_t modified_ms;
    bool has_sha256;
    uint8_t sha256[32];
    bool has_own_key;  /* encrypted with one that is not the server's: the ETag tells nothing of the content */
    bool etag_is_md5;  /* of the content: as nobody says otherwise */
    const char *nonce; /* "": none; lives as long as the response */
} cii_s3_meta;

void cii_s3_meta_read(const cii_http_response *response, cii_s3_meta *ret_meta);
/* Without its quotes; "" when it does not fit. */
void cii_s3_etag_bare(const char *etag, char ret_bare[CII_S3_ETAG_MAX + 1]);
/* As a condition wants it. */
void cii_s3_etag_quote(const char *etag, char ret_quoted[CII_S3_ETAG_MAX + 3]);
/* Two digits; more may follow. */
bool cii_s3_hex_byte(const char *hex, uint8_t *ret_byte);
/* Just so many bytes. */
bool cii_s3_hex_read(const char *hex, uint8_t *ret_data, size_t size);
/* Milliseconds since 1970 of an HTTP date, 0 when it is none. */
int64_t cii_s3_date_ms(const char *date);
/* Hands the object to the callback, NULL allowed; CI_OK or CI_ERR_CANCELLED. */
ci_status cii_s3_tell(ci_object_cb object, void *user, const char *key, const cii_s3_meta *meta, ci_error **ret_error);

ci_status cii_s3_get(void *impl, const char *key, const char *if_etag, uint64_t offset, uint64_t length,
                     ci_op_write_cb write, ci_object_cb object, void *user, ci_op **ret_op, ci_error **ret_error);
ci_status cii_s3_stat(void *impl, const char *key, ci_object_cb object, void *user, ci_op **ret_op,
                      ci_error **ret_error);
ci_status cii_s3_remove(void *impl, const char *key, ci_op **ret_op, ci_error **ret_error);
ci_status cii_s3_remove_many(void *impl, const char *const *keys, size_t key_count, ci_removed_cb removed, void *user,
                             ci_op **ret_op, ci_error **ret_error);
ci_status cii_s3_put(void *impl, const ci_put_request *request, ci_op_read_cb read, ci_object_cb object, void *user,
                     ci_op **ret_op, ci_error **ret_error);
ci_status cii_s3_list(void *impl, const char *prefix, const char *after, uint32_t max, ci_object_cb object, void *user,
                      ci_op **ret_op, ci_error **ret_error);
void cii_s3_page_free(cii_s3_page *page);

/* --- uploads ------------------------------------------------------------------------------------------------------ */

#define CII_S3_UPLOAD_OLD_S (7 * 24 * 3600) /* nobody can still be sending it */

/* Before it is asked for; NULL without memory. */
cii_s3_upload *cii_s3_upload_begin(cii_s3 *s3, const char *key);
ci_status cii_s3_upload_name(cii_s3_upload *upload, const char *id);
/* It is about to be completed, by a request whose outcome may get lost; refused: it was not. A server that is at it would
 * damage the object if it were aborted now. */
void cii_s3_upload_complete(cii_s3_upload *upload, const char *nonce);
void cii_s3_upload_refused(cii_s3_upload *upload);
/* It has been completed, or never was. */
void cii_s3_upload_end(cii_s3 *s3, cii_s3_upload *upload);
/* For the next operation to abort. */
void cii_s3_upload_leave(cii_s3 *s3, cii_s3_upload *upload);
/* For the next operation to look for one of this key that has been begun now; key "": for all that are old. */
void cii_s3_upload_search(cii_s3 *s3, const char *key);
cii_s3_upload *cii_s3_upload_alloc(const char *key);

/* A task's part in it: 1 there is none any more, or enough was done; 0 not yet. */
int32_t cii_s3_sweep_step(cii_s3_task *task);
void cii_s3_sweep_stop(cii_s3_task *task);
/* Aborts what is left, until the time is over. */
void cii_s3_sweep(cii_s3 *s3, int64_t timeout_ms);

/* Below where $TMPDIR says, or NULL. malloc'd; NULL without memory. */
char *cii_s3_records_path(const char *where);
void cii_s3_record_make(cii_s3 *s3, cii_s3_upload *upload);
/* Its id is known, or will never be; and its nonce, after that. */
void cii_s3_record_name(const cii_s3_upload *upload);
void cii_s3_record_complete(const cii_s3_upload *upload);
void cii_s3_record_end(cii_s3 *s3, cii_s3_upload *upload, bool keep);
/* Leaves the uploads of processes that died to this storage. */
void cii_s3_records_adopt(cii_s3 *s3);
/* Whether an upload of that id may be another record's than this one's. */
bool cii_s3_records_claim(cii_s3 *s3, const cii_s3_upload *not_this, const char *id);

/* --- locks -------------------------------------------------------------------------------------------------------- */

ci_status cii_s3_lock_take(void *impl, const char *name, void **ret_lock, ci_error **ret_error);
void cii_s3_lock_give(void *impl, void *lock);

#endif
