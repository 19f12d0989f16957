/* HTTP/1.1 over libcurl's multi interface: bounded memory, deadlines, retries, streaming both ways, no thread waits.
 *
 *     cii_http_pool       one storage's or sandbox's settings, and the connections it keeps; any thread
 *       cii_http_lane     what one operation borrows for its life: a loop with connections of its own; one thread at a time
 *         cii_http_exchange   one request with its repetitions; several at once on a lane
 *
 * A caller's ci_op takes a lane, starts exchanges, and in its process():
 *
 *     status = cii_http_lane_process(lane, ret_error);             what can be done now, for all exchanges of the lane
 *     done = cii_http_exchange_result(exchange, ret_error);        1, 0 or a negative status; asks nobody
 *
 * Its fd() is cii_http_lane_fd(), which may be waited on after a process() that followed the last start. Its free() frees
 * the exchanges, which cancels what is unfinished, and gives the lane back with the connections that are still good.
 * Callbacks run within cii_http_lane_process() alone, with no lock held; they neither start nor free exchanges.
 *
 * After a fork the child gets CI_ERR_FORKED; free and give only close descriptors there. */
#ifndef CII_NET_HTTP_H
#define CII_NET_HTTP_H

#include <ci/sys/op.h>

#include "base/error.h"

/* --- pool --------------------------------------------------------------------------------------------------------- */

typedef struct cii_http_pool cii_http_pool;

/* Zero is the default of each. Strings are copied. The environment is never asked: that is the caller's affair. */
typedef struct cii_http_settings {
    const char *ca_file;          /* PEM file of those trusted to sign certificates; NULL: the system's */
    const char *proxy;            /* URL of an http, https or socks5h proxy, user and password in it; NULL: none */
    const char *no_proxy;         /* hosts that are reached without it, with commas between */
    uint32_t connect_ms;          /* until the connection stands, TLS and proxy included; 0: 10,000 */
    uint32_t idle_ms;             /* without a byte either way, the caller's pauses apart; 0: 60,000 */
    uint32_t retry_ms;            /* what a first repetition is put off by, at most (retry.h); 0: 100 */
    uint32_t kept_connection_max; /* connections kept for later; 0: 16 */
    uint32_t kept_ms;             /* and how long; 0: 60,000 */
    uint64_t seed;                /* of the jitter; 0: random */
} cii_http_settings;

/* settings NULL: defaults. CI_ERR_INVALID: a proxy of another kind. */
ci_status cii_http_pool_new(const cii_http_settings *settings, cii_http_pool **ret_pool, ci_error **ret_error);
void cii_http_pool_free(cii_http_pool *pool); /* when all its lanes are back */

typedef struct cii_http_lane cii_http_lane;

ci_status cii_http_lane_take(cii_http_pool *pool, cii_http_lane **ret_lane, ci_error **ret_error);
void cii_http_lane_give(cii_http_lane *lane); /* frees exchanges that are left */
int cii_http_lane_fd(const cii_http_lane *lane);
/* Negative: the lane itself failed, and with it all its exchanges. */
ci_status cii_http_lane_process(cii_http_lane *lane, ci_error **ret_error);

/* --- request and response ----------------------------------------------------------------------------------------- */

typedef struct cii_http_header {
    const char *name;
    const char *value;
} cii_http_header;

/* All is borrowed until the next prepare() or the exchange's end. Nothing is sent that is not here, but Host (unless it
 * is here) and Content-Length (with a body, or where POST, PUT and PATCH have none). */
typedef struct cii_http_request {
    const char *method;
    const char *url; /* http or https; sent as it is, dots and escapes too. Refused: a user, and what must be escaped */
    const cii_http_header *headers;
    size_t header_count;
    const void *body;    /* body_bytes bytes; or NULL, and they are read: */
    uint64_t body_bytes; /* exactly so many, or the exchange fails with CI_ERR_INVALID */
    ci_op_read_cb read;
    int32_t (*rewind)(void *user); /* lets read() begin anew; 0: done. NULL: cannot */
} cii_http_request;

/* Lives as long as the exchange; changes with its next attempt. */
typedef struct cii_http_response {
    int32_t status;       /* 0: no answer came */
    bool body_cut;        /* there was more than body_max of an error's body */
    const char *body;     /* what was not written: NUL-ended, never NULL */
    size_t body_bytes;    /* … */
    uint64_t taken_bytes; /* what write() has taken, in all attempts */
    const char *headers;  /* pairs of name and value, each NUL-ended, in the order they came */
    size_t headers_bytes; /* … */
} cii_http_response;

/* The first header of that name, in whichever case; NULL: none. */
const char *cii_http_header_value(const cii_http_response *response, const char *name);
/* One after the other: *at is 0 at first. False: no more. */
bool cii_http_header_next(const cii_http_response *response, size_t *at, cii_http_header *ret_header);
/* Seconds since 1970 of a header that tells a date (RFC 9110 5.6.7); -1: it is none. Only with a pool made before. */
int64_t cii_http_date_s(const char *date);

/* --- exchange ----------------------------------------------------------------------------------------------------- */

typedef struct cii_http_exchange cii_http_exchange;

/* What judge() makes of an attempt. */
typedef enum cii_http_verdict {
    CII_HTTP_BY_RULE, /* 2xx: done. 429, 500, 502, 503, 504 and what broke under way: again. Else: failed */
    CII_HTTP_DONE,    /* the exchange is done, whatever the status */
    CII_HTTP_AGAIN,   /* repeat it, if that can be done, else fail */
    CII_HTTP_FAIL,
} cii_http_verdict;

/* Zero is the default of each. Copied, but not what it points to. */
typedef struct cii_http_plan {
    cii_http_request request;
    void *user; /* of all callbacks */
    /* Before each attempt (1, 2, …): to sign anew. With `resumes`, taken_bytes is where to go on. */
    ci_status (*prepare)(void *user, unsigned attempt, uint64_t taken_bytes, cii_http_request *request,
                         ci_error **ret_error);
    /* The head of a 2xx answer is there, its body not yet. Negative: the exchange fails with it. */
    ci_status (*head)(void *user, const cii_http_response *response, ci_error **ret_error);
    /* Gets the body of a 2xx answer. NULL: it is kept in response.body, as that of every other answer is. */
    ci_op_write_cb write;
    /* After each attempt. *error is what went wrong under way, NULL if the answer is whole; judge() may put another in its
     * place, which the exchange fails with. NULL: by rule. */
    cii_http_verdict (*judge)(void *user, const cii_http_response *response, ci_error **error);
    uint32_t attempt_max; /* 0: 3 */
    int64_t timeout_ms;   /* for all attempts and the waits between; 0: none */
    uint32_t idle_ms;     /* without a byte either way; 0: the pool's */
    size_t body_max;      /* 0: 64 KiB. A 2xx body above it fails with CI_ERR_LIMIT, another is cut */
    bool body_is_secret;  /* a kept body stays in one place, where it is wiped: room for all of it is made first */
    /* Never sent whole twice, whatever became of it; what was sent and not refused (4xx, 503) is not retryable. */
    bool once;
    /* With `once`, of what comes to the same when it is done twice: what was refused is sent again by the rule, and what may have
     * been done stays retryable. */
    bool harmless;
    bool resumes; /* prepare() knows how to go on after bytes were taken; else nothing is repeated then */
} cii_http_plan;

/* Nothing is sent before the next cii_http_lane_process(). CI_ERR_INVALID for a request that cannot be sent. */
ci_status cii_http_exchange_start(cii_http_lane *lane, const cii_http_plan *plan, cii_http_exchange **ret_exchange,
                                  ci_error **ret_error);
/* 1: done; 0: not yet; negative: failed, and the error is handed over the first time. */
int32_t cii_http_exchange_result(cii_http_exchange *exchange, ci_error **ret_error);
const cii_http_response *cii_http_exchange_response(const cii_http_exchange *exchange);
void cii_http_exchange_free(cii_http_exchange *exchange);

#endif
