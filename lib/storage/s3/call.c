/* A signed request, and what its answer means.
 *
 *     start --step--> prepare, sign --> sent --> judge --> over
 *                        ^                         |
 *                        +-- again: lib/net's rule +-- corrected: another region, clock, identity; each once
 *
 * lib/net repeats what may pass. A correction is another exchange, begun at once: it costs no attempt and no wait. */
#include <ctype.h>
#include <stdio.h>

#include "aws/refusal.h"
#include "aws/xml.h"
#include "base/str.h"
#include "storage/s3/s3.h"

/* --- asking ------------------------------------------------------------------------------------------------------- */

void cii_s3_call_reset(cii_s3_call *call, const char *method, const char *key) {
    cii_http_exchange_free(call->exchange);
    cii_s3_call kept = *call;
    *call = (cii_s3_call){.method = method, .key = key, .aws = kept.aws, .path = kept.path};
}

void cii_s3_call_query(cii_s3_call *call, const char *name, const char *value) {
    call->query[call->query_count++] = (cii_aws_pair){name, value};
}

void cii_s3_call_header(cii_s3_call *call, const char *name, const char *value) {
    if (value)
        call->headers[call->header_count++] = (cii_aws_pair){name, value};
}

void cii_s3_call_start(cii_s3_task *task, cii_s3_call *call) {
    call->task = task;
    cii_aws_call_begin(&call->aws, &task->login, &task->s3->clock_ahead_s);
    task->busy = true;
}

void cii_s3_call_free(cii_s3_call *call) {
    cii_http_exchange_free(call->exchange);
    call->exchange = NULL;
    call->task = NULL;
    cii_aws_call_free(&call->aws);
    cii_buf_free(&call->path);
}

ci_status cii_s3_append_escaped(cii_buf *to, const char *text) {
    ci_status status = CI_OK;
    for (; *text && status == CI_OK; text++) {
        const char *name = *text == '&' ? "&amp;" : *text == '<' ? "&lt;" : *text == '>' ? "&gt;" : NULL;
        status = name ? cii_buf_append_str(to, name) : cii_buf_append(to, text, 1);
    }
    return status;
}

const cii_http_response *cii_s3_call_response(const cii_s3_call *call) {
    return cii_http_exchange_response(call->exchange);
}

/* --- before an attempt -------------------------------------------------------------------------------------------- */

static ci_status make_path(cii_s3_call *call) {
    const cii_s3 *s3 = call->task->s3;
    cii_buf_clear(&call->path);
    ci_status status = cii_buf_append_str(&call->path, call->place->path);
    if (status == CI_OK && (call->key || call->path.size == 0))
        status = cii_buf_append_str(&call->path, "/");
    if (status == CI_OK && call->key)
        status = cii_buf_append_str(&call->path, s3->prefix);
    return status == CI_OK && call->key ? cii_buf_append_str(&call->path, call->key) : status;
}

static ci_status prepare(void *user, unsigned attempt, uint64_t taken_bytes, cii_http_request *request,
                         ci_error **ret_error) {
    (void)attempt;
    cii_s3_call *call = user;
    call->place = cii_s3_place_now(call->task->s3);
    if (call->resume)
        call->resume(call->user, taken_bytes);
    if (make_path(call) < 0)
        return cii_error_nomem(ret_error);
    const cii_sigv4_request to_sign = {.method = call->method,
                                       .host = call->place->host,
                                       .path = call->path.data,
                                       .path_size = call->path.size,
                                       .query = call->query,
                                       .query_count = call->query_count,
                                       .headers = call->headers,
                                       .header_count = call->header_count,
                                       .payload_hash = call->body_hash};
    ci_status status =
        cii_aws_call_sign(&call->aws, call->place->signer, call->place->is_tls, &to_sign, request, ret_error);
    request->body = call->body;
    request->body_bytes = call->body_bytes;
    return status;
}

/* --- what an answer says ------------------------------------------------------------------------------------------ */

#define KEYS_HINT "see whether the access key id and the secret are right, and whose they are"

/* Codes in more than one server's words, and statuses that come without a code. */
static const cii_aws_meaning meanings[] = {
    {"NoSuchKey", 0, CI_ERR_NOTFOUND, false, 0, "there is no such object", NULL},
    {"NoSuchBucket", 0, CI_ERR_NOTFOUND, false, 0, "there is no such bucket", "make the bucket, or correct its name"},
    {"NoSuchUpload", 0, CI_ERR_NOTFOUND, false, 0, "there is no such upload", NULL},
    {"AccessDenied", 0, CI_ERR_PERMISSION, false, 0, "not allowed",
     "these credentials need s3:GetObject, s3:PutObject, s3:DeleteObject, s3:ListBucket and s3:AbortMultipartUpload there"},
    {"InvalidAccessKeyId", 0, CI_ERR_PERMISSION, false, 0, "there is no such access key", KEYS_HINT},
    {"SignatureDoesNotMatch", 0, CI_ERR_PERMISSION, false, 0, "the signature is not right", KEYS_HINT},
    {"InvalidToken", 0, CI_ERR_PERMISSION, false, CII_AWS_CORRECT_IDENTITY, "the session token is not right",
     KEYS_HINT},
    {"ExpiredToken", 0, CI_ERR_PERMISSION, false, CII_AWS_CORRECT_IDENTITY, "the credentials have expired",
     "get new ones"},
    {"ExpiredTokenException", 0, CI_ERR_PERMISSION, false, CII_AWS_CORRECT_IDENTITY, "the credentials have expired",
     "get new ones"},
    {"TokenRefreshRequired", 0, CI_ERR_PERMISSION, false, CII_AWS_CORRECT_IDENTITY, "the credentials have expired",
     "get new ones"},
    {"RequestTimeTooSkewed", 0, CI_ERR_PERMISSION, false, CII_AWS_CORRECT_CLOCK,
     "this machine's clock differs from the server's", "set this machine's clock"},
    {"PermanentRedirect", 0, CI_ERR_INVALID, false, CII_AWS_CORRECT_REGION, "the bucket is elsewhere",
     "give the bucket's region"},
    {"TemporaryRedirect", 0, CI_ERR_INVALID, true, CII_AWS_CORRECT_REGION, "the bucket is elsewhere",
     "give the bucket's region"},
    {"AuthorizationHeaderMalformed", 0, CI_ERR_INVALID, false, CII_AWS_CORRECT_REGION, "another region is expected",
     "give the bucket's region"},
    {"IllegalLocationConstraintException", 0, CI_ERR_INVALID, false, CII_AWS_CORRECT_REGION,
     "another region is expected", "give the bucket's region"},
    {"PreconditionFailed", 0, CI_ERR_CONDITION, false, 0, "a condition does not hold", NULL},
    {"InvalidRange", 0, CI_ERR_INVALID, false, 0, "there are not so many bytes", NULL},
    {"KeyTooLongError", 0, CI_ERR_INVALID, false, 0, "the key is too long", NULL},
    {"InvalidObjectName", 0, CI_ERR_INVALID, false, 0, "this cannot be a key there", NULL},
    {"EntityTooLarge", 0, CI_ERR_LIMIT, false, 0, "too large", NULL},
    {"QuotaExceeded", 0, CI_ERR_LIMIT, false, 0, "no more may be stored there", NULL},
    {"NotImplemented", 0, CI_ERR_NOTSUP, false, 0, "the server cannot do that", NULL},
    {"InvalidObjectState", 0, CI_ERR_NOTSUP, false, 0, "the object is in an archive", "restore it first"},
    {"BadDigest", 0, CI_ERR_IO, true, 0, "the bytes were damaged on their way", NULL},
    {"XAmzContentSHA256Mismatch", 0, CI_ERR_IO, true, 0, "the bytes were damaged on their way", NULL},
    {"IncompleteBody", 0, CI_ERR_IO, true, 0, "the bytes did not all come", NULL},
    {"SlowDown", 0, CI_ERR_BUSY, true, 0, "too many requests", "try again later"},
    {"ServiceUnavailable", 0, CI_ERR_BUSY, true, 0, "the server is busy", "try again later"},
    {"RequestLimitExceeded", 0, CI_ERR_BUSY, true, 0, "too many requests", "try again later"},
    {"BandwidthLimitExceeded", 0, CI_ERR_BUSY, true, 0, "too many bytes", "try again later"},
    {"InternalError", 0, CI_ERR_IO, true, 0, "the server failed", NULL},
    {"RequestTimeout", 0, CI_ERR_TIMEOUT, true, 0, "the bytes came too slowly", NULL},
    {"OperationAborted", 0, CI_ERR_BUSY, true, 0, "another operation is in its way", NULL},
    {"BrokenMPU", 0, CI_ERR_BUSY, true, 0, "another operation is in its way",
     NULL}, /* Swift: also a remove overtaken */
    {"ConditionalRequestConflict", 0, CI_ERR_BUSY, true, 0, "another operation is in its way", NULL},
    {NULL, 301, CI_ERR_INVALID, false, CII_AWS_CORRECT_REGION, "the bucket is elsewhere", "give the bucket's region"},
    {NULL, 304, CI_ERR_CONDITION, false, 0, "a condition does not hold", NULL},
    {NULL, 307, CI_ERR_INVALID, true, CII_AWS_CORRECT_REGION, "the bucket is elsewhere", "give the bucket's region"},
    {NULL, 400, CI_ERR_INVALID, false, CII_AWS_CORRECT_REGION, "the server does not understand the request", NULL},
    {NULL, 403, CI_ERR_PERMISSION, false, CII_AWS_CORRECT_REGION, "not allowed", KEYS_HINT},
    {NULL, 404, CI_ERR_NOTFOUND, false, 0, "there is no such object", NULL},
    {NULL, 412, CI_ERR_CONDITION, false, 0, "a condition does not hold", NULL},
    {NULL, 416, CI_ERR_INVALID, false, 0, "there are not so many bytes", NULL},
    {NULL, 501, CI_ERR_NOTSUP, false, 0, "the server cannot do that", NULL},
};

static const cii_aws_meaning *meaning_of(const char *code, int32_t http_status) {
    if (cii_str_starts(code, "Throttl")) /* Throttling, ThrottledException, … */
        code = "SlowDown";
    return cii_aws_meaning_find(meanings, CII_ELEMENTS(meanings), code, http_status);
}

/* What is of use in an answer's body; texts live as long as the document. */
typedef struct answer {
    cii_xml *xml;
    const char *code, *message, *request_id, *region;
} answer;

static const char *or_empty(const char *text) {
    return text ? text : "";
}

static void read_answer(const cii_http_response *response, answer *a) {
    const char *region = cii_http_header_value(response, "x-amz-bucket-region");
    const char *id = cii_http_header_value(response, "x-amz-request-id");
    *a = (answer){.code = "", .message = "", .request_id = or_empty(id), .region = or_empty(region)};
    if (response->body_bytes == 0 || cii_xml_new(NULL, NULL, &a->xml, NULL) < 0)
        return;
    /* A body may be cut, or be no XML: what was read until then counts. A long answer is none of an error. */
    if (cii_xml_feed(a->xml, response->body, CII_MIN(response->body_bytes, (size_t)16384), NULL) == CI_OK &&
        response->body_bytes <= 16384)
        (void)cii_xml_end(a->xml, NULL);
    const char *root = cii_xml_root(a->xml);
    if (!root || strcmp(root, "Error") != 0)
        return;
    a->code = or_empty(cii_xml_text(a->xml, "Code"));
    a->message = or_empty(cii_xml_text(a->xml, "Message"));
    if (*a->request_id == '\0')
        a->request_id = or_empty(cii_xml_text(a->xml, "RequestId"));
    if (*a->region == '\0')
        a->region = or_empty(cii_xml_text(a->xml, "Region"));
}

static ci_status make_error(const cii_s3_call *call, int32_t http_status, const answer *a, const cii_aws_meaning *m,
                            ci_error **ret_error) {
    const cii_aws_refusal refusal = {a->code, a->message, a->request_id, http_status};
    return cii_aws_refusal_error(&refusal, m, CII_S3_DOMAIN, cii_aws_identity_keys(call->task->login.identity),
                                 ret_error);
}

ci_status cii_s3_call_part_error(cii_s3_call *call, const char *code, const char *words, ci_error **ret_error) {
    const answer a = {.code = or_empty(code), .message = or_empty(words), .request_id = "", .region = ""};
    return make_error(call, 0, &a, meaning_of(a.code, 0), ret_error);
}

/* --- corrections -------------------------------------------------------------------------------------------------- */

/* Whether another attempt may go better now. */
static bool correct(cii_s3_call *call, const cii_http_response *response, const answer *a, unsigned what) {
    if (what == CII_AWS_CORRECT_REGION &&
        ((call->aws.corrections & what) || *a->region == '\0' || strcmp(a->region, call->place->region) == 0 ||
         cii_s3_place_move(call->task->s3, a->region, NULL) < 0))
        return false;
    return cii_aws_call_correct(&call->aws, response, what);
}

static cii_http_verdict judge_answer(cii_s3_call *call, const cii_http_response *response, const answer *a,
                                     ci_error **error) {
    bool good = response->status >= 200 && response->status <= 299;
    snprintf(call->code, sizeof call->code, "%s", a->code);
    if (good && !(a->xml && cii_xml_root(a->xml) && strcmp(cii_xml_root(a->xml), "Error") == 0))
        return CII_HTTP_DONE;
    const cii_aws_meaning *m = meaning_of(call->code, response->status);
    if (!m && *call->code == '\0' && response->status >= 500) {
        call->unsure = true;
        return CII_HTTP_BY_RULE; /* a proxy's answer perhaps: in lib/net's words */
    }
    (void)make_error(call, response->status, a, m, error);
    return m && correct(call, response, a, m->correction) ? CII_HTTP_FAIL : CII_HTTP_BY_RULE;
}

static cii_http_verdict judge(void *user, const cii_http_response *response, ci_error **error) {
    cii_s3_call *call = user;
    answer a;
    call->code[0] = '\0';
    call->http_status = response->status;
    if (*error) {
        call->unsure = true;
        return CII_HTTP_BY_RULE;
    }
    atomic_store(&call->task->s3->quiet_until_ms, 0); /* the server is there */
    read_answer(response, &a);
    cii_http_verdict verdict = judge_answer(call, response, &a, error);
    cii_xml_free(a.xml);
    return verdict;
}

/* --- going on ----------------------------------------------------------------------------------------------------- */

static ci_status on_head(void *user, const cii_http_response *response, ci_error **ret_error) {
    cii_s3_call *call = user;
    return call->head(call->user, response, ret_error);
}

static int32_t on_write(void *user, const void *data, size_t size) {
    cii_s3_call *call = user;
    return call->write(call->user, data, size);
}

static ci_status start_exchange(cii_s3_call *call, ci_error **ret_error) {
    const cii_http_plan plan = {.request = {.method = call->method},
                                .user = call,
                                .prepare = prepare,
                                .head = call->head ? on_head : NULL,
                                .write = call->write ? on_write : NULL,
                                .judge = judge,
                                .attempt_max = call->task->s3->attempts,
                                .timeout_ms = call->timeout_ms,
                                .body_max = call->answer_max,
                                .resumes = call->resume != NULL};
    call->task->busy = call->task->sent = true;
    return cii_http_exchange_start(call->task->lane, &plan, &call->exchange, ret_error);
}

bool cii_s3_call_was_refused(const cii_s3_call *call) {
    return !call->unsure && (!call->exchange || cii_http_exchange_result(call->exchange, NULL) < 0);
}

bool cii_s3_call_is_pending(const cii_s3_call *call) {
    return call->exchange && cii_http_exchange_result(call->exchange, NULL) == 0;
}

int32_t cii_s3_call_result(cii_s3_call *call, ci_error **ret_error) {
    cii_s3_task *task = call->task;
    if (!call->exchange) {
        ci_status status = cii_aws_login_good(&task->login) ? start_exchange(call, ret_error) : CI_OK;
        return status < 0 ? status : 0;
    }
    int32_t result = cii_aws_call_result(&call->aws, &call->exchange, ret_error);
    if (!call->exchange)
        task->busy = true;
    return result;
}
