/* The S3 storage and a server that misbehaves (tests/http): what breaks is gone on with or told, and nothing that is short or
 * damaged passes for whole. */
#include "../net/server.h"
#include "aws/resolve.h"
#include "base/clock.h"
#include "base/str.h"
#include "drive.h"

#define STALL_MS 500 /* where a stall is what is looked at; else it takes a minute, which no busy machine needs */

#define MD5_OF_PATTERN_1000 "a24f1e3ef66950e1327f210e3997ba2c"

static ci_storage *new_storage_within(const char *bucket, int64_t idle_timeout_ms) {
    ci_storage *storage = NULL;
    char url[64];
    ci_storage_s3_options options = CI_STORAGE_S3_OPTIONS_INIT;
    options.endpoint = http;
    options.access_key_id = "AKIDEXAMPLE";
    options.secret_access_key = "a-secret-of-some-length";
    options.session_token = "a-token-of-some-length";
    options.idle_timeout_ms = idle_timeout_ms;
    options.part_bytes = 5 << 20;
    options.no_environment = 1;
    snprintf(url, sizeof url, "s3://%s", bucket);
    assert_int_equal(ci_storage_s3_new(url, &options, &storage, NULL), CI_OK);
    return storage;
}

static ci_storage *new_storage(const char *bucket) {
    return new_storage_within(bucket, 0);
}

typedef struct outcome {
    ci_status status;
    ci_error *error;
    cii_buf data;
    unsigned objects;
} outcome;

static int32_t keep(void *user, const void *data, size_t size) {
    return cii_buf_append(&((outcome *)user)->data, data, size);
}

static int32_t count(void *user, const ci_object *object) {
    (void)object;
    ((outcome *)user)->objects++;
    return 0;
}

static void outcome_free(outcome *o) {
    ci_error_free(o->error);
    cii_buf_free(&o->data);
}
#define _cleanup_outcome_ _cleanup_(outcome_free)

static void end(outcome *o, ci_op *op) {
    o->status = drive(op, &o->error);
    assert_int_equal(ci_error_status(o->error), o->status);
    if (!o->error)
        return;
    assert_null(strstr(ci_error_message(o->error), "a-secret"));
    assert_null(strstr(ci_error_message(o->error), "a-token"));
}

static void get_by(ci_storage *s, const char *rules, uint64_t offset, uint64_t length, outcome *o) {
    ci_op *op = NULL;
    server_rules(rules);
    assert_int_equal(cii_storage_ops(s)->get(cii_storage_impl(s), "k", NULL, offset, length, keep, count, o, &op, NULL),
                     CI_OK);
    end(o, op);
    ci_storage_free(s);
}

static void get_it(const char *bucket, const char *rules, uint64_t offset, uint64_t length, outcome *o) {
    get_by(new_storage(bucket), rules, offset, length, o);
}

static void put_it(const char *bucket, const char *rules, size_t size, outcome *o) {
    ci_op *op = NULL;
    ci_storage *s = new_storage(bucket);
    _cleanup_free_ char *data = calloc(1, size);
    source from = {.data = data, .size = size};
    server_rules(rules);
    op = start_put(s, &PUT_REQUEST("k"), &from);
    end(o, op);
    ci_storage_free(s);
}

static void list_it(const char *bucket, const char *rules, outcome *o) {
    ci_op *op = NULL;
    ci_storage *s = new_storage(bucket);
    server_rules(rules);
    assert_int_equal(cii_storage_ops(s)->list(cii_storage_impl(s), "", NULL, 100, count, o, &op, NULL), CI_OK);
    end(o, op);
    ci_storage_free(s);
}

static bool says(const outcome *o, const char *text) {
    return o->error && strstr(ci_error_message(o->error), text);
}

static bool is_pattern(const cii_buf *data, size_t from, size_t size) {
    bool good = data->size == size;
    for (size_t i = 0; good && i < size; i++)
        good = (unsigned char)data->data[i] == (from + i) % 251;
    return good;
}

/* --- reading ------------------------------------------------------------------------------------------------------ */

static void a_read_that_breaks_goes_on_where_it_was(void **state) {
    (void)state;
    _cleanup_outcome_ outcome o = {0};
    get_it("resume",
           "1 GET /resume/k body/"
           "header-ETag=%22abc%22/length-1000/bytes-400\n"
           "1 GET /resume/k body/"
           "header-ETag=%22abc%22/status-206/header-Content-Range=bytes 400-999%2F1000/from-400/bytes-600\n",
           0, UINT64_MAX, &o);
    assert_int_equal(o.status, CI_OK);
    assert_true(is_pattern(&o.data, 0, 1000));
    assert_int_equal(o.objects, 1);
    assert_int_equal(log_count("/resume/k"), 2);
    assert_true(log_has("/resume/k", "Range: bytes=400-\n"));
    assert_true(log_has("/resume/k", "If-Match: \"abc\"\n"));
}

static void a_part_that_breaks_goes_on_within_the_part(void **state) {
    (void)state;
    _cleanup_outcome_ outcome o = {0};
    get_it(
        "resumepart",
        "1 GET /resumepart/k body/header-ETag=%22abc%22/status-206/header-Content-Range=bytes 100-299%2F1000/length-200/from-100/bytes-50\n"
        "1 GET /resumepart/k body/header-ETag=%22abc%22/status-206/header-Content-Range=bytes 150-299%2F1000/from-150/bytes-150\n",
        100, 200, &o);
    assert_int_equal(o.status, CI_OK);
    assert_true(is_pattern(&o.data, 100, 200));
    assert_true(log_has("/resumepart/k", "Range: bytes=100-299\n"));
    assert_true(log_has("/resumepart/k", "Range: bytes=150-299\n"));
}

static void a_read_never_joins_two_objects(void **state) {
    (void)state;
    static const char *const second[] = {
        "status-412", "header-ETag=%22other%22/status-206/header-Content-Range=bytes 400-999%2F1000/from-400/bytes-600",
        "header-ETag=%22abc%22/bytes-1000",
        "header-ETag=%22abc%22/status-206/header-Content-Range=bytes 0-599%2F1000/bytes-600",
        "header-ETag=%22abc%22/status-206/header-Content-Range=bytes 400-499%2F500/from-400/bytes-100"};
    for (size_t i = 0; i < CII_ELEMENTS(second); i++) {
        char rules[512];
        _cleanup_outcome_ outcome o = {0};
        snprintf(rules, sizeof rules,
                 "1 GET /join/k body/header-ETag=%%22abc%%22/length-1000/bytes-400\n9 GET /join/k %s\n", second[i]);
        get_it("join", rules, 0, UINT64_MAX, &o);
        assert_true(o.status == CI_ERR_IO || o.status == CI_ERR_PROTOCOL);
        assert_int_equal(o.data.size, 400);
    }
}

static void a_short_body_is_never_whole(void **state) {
    (void)state;
    _cleanup_outcome_ outcome o = {0};
    get_it("short", "9 GET /short/k body/header-ETag=%22abc%22/length-1000/bytes-0\n", 0, UINT64_MAX, &o);
    assert_int_equal(o.status, CI_ERR_IO);
    assert_int_equal(log_count("/short/k"), 3);
    _cleanup_outcome_ outcome chunked = {0};
    get_it("nolength", "9 GET /nolength/k body/header-ETag=%22abc%22/chunked/bytes-100\n", 0, UINT64_MAX, &chunked);
    assert_int_equal(chunked.status, CI_ERR_PROTOCOL);
}

static void what_is_read_is_checked(void **state) {
    (void)state;
    static const struct {
        const char *headers;
        const char *words; /* NULL: good */
    } cases[] = {
        {"header-ETag=%22" MD5_OF_PATTERN_1000 "%22", NULL},
        {"header-ETag=%22aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa%22", "MD5"},
        {"header-ETag=%22aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-2%22", NULL},
        {"header-ETag=%22aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa%22/header-x-amz-server-side-encryption=aws:kms", NULL},
        {"header-ETag=%22" MD5_OF_PATTERN_1000 "%22/header-x-amz-meta-ci-sha256="
         "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
         "SHA-256"},
    };
    for (size_t i = 0; i < CII_ELEMENTS(cases); i++) {
        char rules[512];
        _cleanup_outcome_ outcome o = {0};
        snprintf(rules, sizeof rules, "9 GET /checked/k body/%s/bytes-1000\n", cases[i].headers);
        get_it("checked", rules, 0, UINT64_MAX, &o);
        assert_int_equal(o.status, cases[i].words ? CI_ERR_IO : CI_OK);
        assert_true(!cases[i].words || says(&o, cases[i].words));
    }
}

static void a_server_that_stalls_does_not_hold_up_for_ever(void **state) {
    (void)state;
    _cleanup_outcome_ outcome o = {0};
    get_by(new_storage_within("stall", STALL_MS), "9 GET /stall/k body/stall\n", 0, UINT64_MAX, &o);
    assert_int_equal(o.status, CI_ERR_TIMEOUT);
    assert_true(ci_error_retryable(o.error));
}

/* --- repeating and correcting ------------------------------------------------------------------------------------- */

#define ERROR_TEXT(code) "text-<Error><Code>" code "<%2FCode><%2FError>"

static void what_passes_is_repeated(void **state) {
    (void)state;
    static const struct {
        const char *bucket, *steps;
    } cases[] = {{"slow", "status-503/" ERROR_TEXT("SlowDown")},
                 {"late", "status-400/" ERROR_TEXT("RequestTimeout")},
                 {"conflict", "status-409/" ERROR_TEXT("ConditionalRequestConflict")},
                 {"broken", "status-409/" ERROR_TEXT("BrokenMPU")},
                 {"throttled", "status-400/" ERROR_TEXT("ThrottlingException")},
                 {"reset", "reset"}};
    for (size_t i = 0; i < CII_ELEMENTS(cases); i++) {
        char rules[512], path[64];
        _cleanup_outcome_ outcome o = {0};
        snprintf(rules, sizeof rules, "2 PUT /%s/k body/%s\n", cases[i].bucket, cases[i].steps);
        snprintf(path, sizeof path, "/%s/k", cases[i].bucket);
        put_it(cases[i].bucket, rules, 1000, &o);
        /* The third is answered well, but without an ETag; then the object is looked at, of which nothing is known. */
        assert_int_equal(log_count(path), 4);
        assert_true(log_has(path, "HEAD "));
    }
}

static void what_lasts_is_told_at_once(void **state) {
    (void)state;
    static const struct {
        const char *bucket, *steps;
        ci_status status;
        const char *words;
    } cases[] = {
        {"denied",
         "body/status-403/"
         "text-<Error><Code>AccessDenied<%2FCode><Message>no%0Away<%2FMessage><RequestId>17<%2FRequestId><%2FError>",
         CI_ERR_PERMISSION, "S3: put \"k\": AccessDenied: no way (403, request 17)"},
        {"quota", "body/status-403/" ERROR_TEXT("QuotaExceeded"), CI_ERR_LIMIT, "QuotaExceeded"},
        {"bare", "body/status-403/text-x", CI_ERR_PERMISSION, "not allowed (403)"},
        {"html", "body/status-400/text-<html>what<br>", CI_ERR_INVALID, "(400)"},
        {"leak", "body/status-403/text-<Error><Code>X<%2FCode><Message>a-token-of-some-length<%2FMessage><%2FError>",
         CI_ERR_INVALID, "X: the server refused (403)"},
        {"wrongtag", "body/header-ETag=%22aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa%22", CI_ERR_IO, "its MD5 differs"},
    };
    for (size_t i = 0; i < CII_ELEMENTS(cases); i++) {
        char rules[512], path[64];
        _cleanup_outcome_ outcome o = {0};
        snprintf(rules, sizeof rules, "1 PUT /%s/k %s\n", cases[i].bucket, cases[i].steps);
        snprintf(path, sizeof path, "/%s/k", cases[i].bucket);
        put_it(cases[i].bucket, rules, 1000, &o);
        assert_int_equal(o.status, cases[i].status);
        if (!says(&o, cases[i].words))
            assert_string_equal(ci_error_message(o.error), cases[i].words);
        assert_int_equal(log_count(path), 1);
    }
}

static void a_put_that_was_taken_and_is_not_there_was_overtaken(void **state) {
    (void)state;
    static const struct {
        const char *bucket, *steps;
        ci_status status;
    } cases[] = {{"overtaken", "header-ETag=%22other%22", CI_OK},
                 {"removed", "status-404", CI_OK},
                 {"taken", "header-ETag=%22ours%22/length-1000/head", CI_OK},
                 {"notags", "status-200", CI_ERR_PROTOCOL}};
    for (size_t i = 0; i < CII_ELEMENTS(cases); i++) {
        char rules[512];
        _cleanup_outcome_ outcome o = {0};
        snprintf(rules, sizeof rules, "1 HEAD /%s/k %s\n", cases[i].bucket, cases[i].steps);
        put_it(cases[i].bucket, rules, 1000, &o);
        assert_int_equal(o.status, cases[i].status);
    }
}

/* A first attempt took effect, but its answer was lost, and the second is refused: the object tells whose it is. */
static ci_status put_twice(const char *bucket, const char *nonce) {
    char rules[512], path[64];
    ci_storage *s = new_storage(bucket);
    ci_put_request request = PUT_REQUEST("k");
    source from = {.data = "x", .size = 1};
    request.if_absent = 1;
    snprintf(path, sizeof path, "/%s/k", bucket);
    snprintf(rules, sizeof rules, "1 PUT /%s/k body/rules/reset\n", bucket);
    server_rules(rules);
    ci_op *op = start_put(s, &request, &from);
    _cleanup_free_ char *sent = NULL;
    while (!(sent = log_value(path, "> x-amz-meta-ci-put: ")))
        assert_int_equal(op->ops->process(op, NULL), 0);
    snprintf(rules, sizeof rules,
             "1 PUT /%1$s/k body/status-412\n"
             "1 HEAD /%1$s/k header-ETag=%%22abc%%22/header-x-amz-meta-ci-put=%2$s/length-1/head\n",
             bucket, nonce ? nonce : sent);
    server_rules(rules);
    ci_status status = drive(op, NULL);
    assert_int_equal(log_count(path), 3);
    ci_storage_free(s);
    return status;
}

static void a_put_whose_answer_was_lost_knows_its_own_object(void **state) {
    (void)state;
    assert_int_equal(put_twice("nonce", NULL), CI_OK);
    assert_int_equal(put_twice("others", "abcdefghijklmnopqrstuvwxyz"), CI_ERR_CONDITION);
}

static void a_proxy_is_asked_for_the_storages_own_url(void **state) {
    (void)state;
    ci_storage *s = NULL;
    _cleanup_buf_ cii_buf data = {0};
    ci_storage_s3_options options = CI_STORAGE_S3_OPTIONS_INIT;
    options.endpoint = "http://s3.invalid:9000";
    options.access_key_id = "AKIDEXAMPLE";
    options.secret_access_key = "a-secret";
    options.proxy = http;
    options.no_environment = 1;
    server_rules("9 GET *proxied/k body/bytes-4\n");
    assert_int_equal(ci_storage_s3_new("s3://proxied", &options, &s, NULL), CI_OK);
    assert_int_equal(get(s, "k", &data), CI_OK);
    assert_true(log_has("/proxied/k", "> Host: s3.invalid:9000\n"));
    ci_storage_free(s);
}

static void another_region_is_gone_to_once(void **state) {
    (void)state;
    _cleanup_outcome_ outcome o = {0};
    get_it("moved",
           "1 GET /moved/k body/status-301/header-x-amz-bucket-region=eu-central-1/text-x\n"
           "1 GET /moved/k body/header-ETag=%22abc%22/bytes-10\n",
           0, UINT64_MAX, &o);
    assert_int_equal(o.status, CI_OK);
    assert_true(log_has("/moved/k", "/us-east-1/s3/aws4_request"));
    assert_true(log_has("/moved/k", "/eu-central-1/s3/aws4_request"));
    _cleanup_outcome_ outcome again = {0};
    get_it(
        "moving",
        "9 GET /moving/k body/status-400/text-<Error><Code>AuthorizationHeaderMalformed<%2FCode><Region>eu-west-1<%2FRegion><%2FError>\n",
        0, UINT64_MAX, &again);
    assert_int_equal(again.status, CI_ERR_INVALID);
    assert_int_equal(log_count("/moving/k"), 2);
    _cleanup_outcome_ outcome hostile = {0};
    get_it("hostile", "9 GET /hostile/k body/status-301/header-x-amz-bucket-region=evil.example%2F/text-x\n", 0,
           UINT64_MAX, &hostile);
    assert_int_equal(log_count("/hostile/k"), 1);
}

static void another_clock_is_adopted_once(void **state) {
    (void)state;
    _cleanup_outcome_ outcome o = {0};
    get_it("skewed",
           "1 GET /skewed/k body/header-Date=Sun, 06 Nov 2044 08:00:00 GMT/status-403/" ERROR_TEXT(
               "RequestTimeTooSkewed") "\n"
                                       "1 GET /skewed/k body/header-ETag=%22abc%22/bytes-10\n",
           0, UINT64_MAX, &o);
    assert_int_equal(o.status, CI_OK);
    assert_true(log_has("/skewed/k", "X-Amz-Date: 20441106T08"));
    assert_int_equal(log_count("/skewed/k"), 2);
}

static void credentials_that_expire_are_asked_for_anew_once(void **state) {
    (void)state;
    _cleanup_outcome_ outcome o = {0};
    get_it("expired", "9 GET /expired/k body/status-400/" ERROR_TEXT("ExpiredToken") "\n", 0, UINT64_MAX, &o);
    assert_int_equal(o.status, CI_ERR_PERMISSION);
    assert_int_equal(log_count("/expired/k"), 2);
    assert_true(says(&o, "ExpiredToken: the credentials have expired"));
}

/* --- parts -------------------------------------------------------------------------------------------------------- */

#define CREATED "1 POST /%1$s/k?uploads=* text-<R><UploadId>u1<%%2FUploadId><%%2FR>\n"
#define PARTS "9 PUT /%1$s/k?* body/header-ETag=%%22part%%22\n"

static void put_parts(const char *bucket, const char *format, outcome *o) {
    char rules[2048];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(rules, sizeof rules, format, bucket);
#pragma GCC diagnostic pop
    put_it(bucket, rules, 12 << 20, o);
}

/* The library (--wrap) gives an instance's metadata service a second, which a busy machine may need. */
static bool is_patient;

ci_status __real_cii_resolve_fetch(aws_resolver *r, const cii_aws_fetch_request *request, ci_error **ret_error);
ci_status __wrap_cii_resolve_fetch(aws_resolver *r, const cii_aws_fetch_request *request, ci_error **ret_error);
ci_status __wrap_cii_resolve_fetch(aws_resolver *r, const cii_aws_fetch_request *request, ci_error **ret_error) {
    cii_aws_fetch_request same = *request;
    same.timeout_ms *= is_patient ? 100 : 1;
    return __real_cii_resolve_fetch(r, &same, ret_error);
}

/* Of an instance's metadata service, as the environment names it. */
static void get_by_instance(const char *bucket, const char *rules, outcome *o) {
    static const char *const names[] = {"AWS_EC2_METADATA_SERVICE_ENDPOINT", "AWS_ENDPOINT_URL_S3", "AWS_CONFIG_FILE",
                                        "AWS_SHARED_CREDENTIALS_FILE",       "AWS_ACCESS_KEY_ID",   "AWS_PROFILE"};
    const char *const values[CII_ELEMENTS(names)] = {URL("/%s-imds", bucket), http, "/nowhere", "/nowhere"};
    for (size_t i = 0; i < CII_ELEMENTS(names); i++)
        assert_int_equal(values[i] ? setenv(names[i], values[i], 1) : unsetenv(names[i]), 0);
    ci_storage *s = NULL;
    ci_op *op = NULL;
    server_rules(rules);
    _cleanup_free_ char *url = cii_str_printf("s3://%s", bucket);
    assert_int_equal(ci_storage_s3_new(url, NULL, &s, NULL), CI_OK);
    assert_int_equal(cii_storage_ops(s)->get(cii_storage_impl(s), "k", NULL, 0, UINT64_MAX, keep, count, o, &op, NULL),
                     CI_OK);
    end(o, op);
    ci_storage_free(s);
    for (size_t i = 0; i < CII_ELEMENTS(names); i++)
        unsetenv(names[i]);
}

static void keys_that_are_not_given_are_asked_for(void **state) {
    (void)state;
    _cleanup_outcome_ outcome o = {0};
    is_patient = true;
    get_by_instance("asks",
                    "1 PUT /asks-imds/latest/api/token text-T\n"
                    "1 GET /asks-imds/latest/*/security-credentials/ text-r\n"
                    "1 GET /asks-imds/latest/*/r text-{\"Code\":\"Success\",\"AccessKeyId\":\"AK\",\"SecretAccessKey\":"
                    "\"a-secret\",\"Token\":\"a-token\",\"Expiration\":\"2199-01-01T00:00:00Z\"}\n"
                    "1 GET /asks/k body/bytes-10\n",
                    &o);
    assert_int_equal(o.status, CI_OK);
    is_patient = false;
    assert_true(is_pattern(&o.data, 0, 10));
    assert_true(log_has("/asks/k", "X-Amz-Security-Token: a-token\n"));
    assert_true(log_has("/asks/k", "Credential=AK/"));
}

static void a_service_of_keys_that_stalls_does_not_hold_up_for_ever(void **state) {
    (void)state;
    _cleanup_outcome_ outcome o = {0};
    get_by_instance("noone", "9 PUT /noone-imds/latest/api/token stall\n", &o);
    assert_int_equal(o.status, CI_ERR_TIMEOUT);
    assert_true(says(&o, "instance metadata: "));
    assert_int_equal(log_count("/noone/k"), 0);
}

static void a_complete_that_fails_within_200_is_none(void **state) {
    (void)state;
    _cleanup_outcome_ outcome o = {0};
    put_parts("within",
              CREATED PARTS "9 POST /%1$s/k?uploadId=* body/text-  <Error><Code>InternalError<%%2FCode><%%2FError>\n",
              &o);
    assert_int_equal(o.status, CI_ERR_IO);
    assert_true(says(&o, "InternalError"));
    assert_true(log_has("/within/k", "DELETE 0"));
    _cleanup_outcome_ outcome good = {0};
    put_parts("after",
              CREATED PARTS "1 POST /%1$s/k?uploadId=* body/text-  <Error><Code>InternalError<%%2FCode><%%2FError>\n"
                            "1 POST /%1$s/k?uploadId=* body/text-<R><ETag>%%22x-3%%22<%%2FETag><%%2FR>\n",
              &good);
    assert_int_equal(good.status, CI_OK);
    assert_false(log_has("/after/k", "DELETE "));
}

static void a_part_that_fails_aborts_the_upload(void **state) {
    (void)state;
    _cleanup_outcome_ outcome o = {0};
    put_parts("part",
              CREATED
              "9 PUT /%1$s/k?partNumber=2* body/status-403/text-<Error><Code>AccessDenied<%%2FCode><%%2FError>\n" PARTS,
              &o);
    assert_int_equal(o.status, CI_ERR_PERMISSION);
    assert_true(says(&o, "part 2: AccessDenied"));
    assert_true(log_has("/part/k", "DELETE 0"));
    assert_true(log_has("/part/k", "> : /part/k?uploadId=u1\n"));
}

/* Its ETag is the MD5 of the parts' MD5s, and how many there are, where it is of that form. */
static void a_complete_of_other_parts_is_no_success(void **state) {
    (void)state;
    static const struct {
        const char *bucket, *etag, *header;
        ci_status status;
    } cases[] = {
        {"same", "97e32058b4799f62bfe26a57c5061d79-3", "", CI_OK},
        {"differs", "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb-3", "", CI_ERR_IO},
        {"form", "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb", "", CI_OK},
        {"keyed", "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb-3", "header-x-amz-server-side-encryption=aws:kms/", CI_OK},
    };
    for (size_t i = 0; i < CII_ELEMENTS(cases); i++) {
        char rules[2048];
        _cleanup_outcome_ outcome o = {0};
        snprintf(rules, sizeof rules,
                 "1 POST /%1$s/k?uploads=* text-<R><UploadId>u1<%%2FUploadId><%%2FR>\n"
                 "9 PUT /%1$s/k?* body/header-ETag=%%22aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa%%22\n"
                 "9 POST /%1$s/k?uploadId=* body/%2$stext-<R><ETag>%%22%3$s%%22<%%2FETag><%%2FR>\n",
                 cases[i].bucket, cases[i].header, cases[i].etag);
        put_it(cases[i].bucket, rules, 12 << 20, &o);
        assert_int_equal(o.status, cases[i].status);
        assert_int_equal(says(&o, "its parts differ"), cases[i].status < 0);
    }
}

static void a_complete_of_no_upload_is_no_success(void **state) {
    (void)state;
    _cleanup_outcome_ outcome o = {0};
    put_parts("gone",
              CREATED PARTS
              "9 POST /%1$s/k?uploadId=* body/status-404/text-<Error><Code>NoSuchUpload<%%2FCode><%%2FError>\n"
              "9 HEAD /%1$s/k header-ETag=%%22other%%22\n",
              &o);
    assert_int_equal(o.status, CI_ERR_NOTFOUND);
    assert_true(says(&o, "NoSuchUpload"));
    assert_true(log_has("/gone/k", "HEAD "));
}

/* --- lists -------------------------------------------------------------------------------------------------------- */

static void a_list_is_read_as_it_is_or_not_at_all(void **state) {
    (void)state;
    static const struct {
        const char *bucket, *text;
        ci_status status;
        unsigned objects;
    } cases[] = {
        {"good",
         "<ListBucketResult><EncodingType>url<%2FEncodingType><Contents><Key>a%252B+b<%2FKey><Size>1<%2FSize>"
         "<%2FContents><%2FListBucketResult>",
         CI_OK, 1},
        {"cut", "<ListBucketResult><Contents><Key>a<%2FKey><%2FContents>", CI_ERR_PROTOCOL, 1},
        {"html2", "<html><%2Fhtml>", CI_ERR_PROTOCOL, 0},
        {"text", "what", CI_ERR_PROTOCOL, 0},
        {"endless", "<ListBucketResult><IsTruncated>true<%2FIsTruncated><%2FListBucketResult>", CI_ERR_PROTOCOL, 0},
        {"nul",
         "<ListBucketResult><EncodingType>url<%2FEncodingType><Contents><Key>a%2500b<%2FKey><%2FContents>"
         "<%2FListBucketResult>",
         CI_ERR_PROTOCOL, 0},
        {"entity", "<!DOCTYPE x [<!ENTITY e \"a\">]><ListBucketResult><%2FListBucketResult>", CI_ERR_PROTOCOL, 0},
        {"within", "<Error><Code>InternalError<%2FCode><%2FError>", CI_ERR_IO, 0},
        {"nolist", "<Error><Code>NotImplemented<%2FCode><%2FError>", CI_ERR_PROTOCOL, 0}, /* else it would be whole */
    };
    for (size_t i = 0; i < CII_ELEMENTS(cases); i++) {
        char rules[512];
        _cleanup_outcome_ outcome o = {0};
        snprintf(rules, sizeof rules, "9 GET /%s?* text-%s\n", cases[i].bucket, cases[i].text);
        list_it(cases[i].bucket, rules, &o);
        if (o.status != cases[i].status || o.objects != cases[i].objects)
            fail_msg("%s: %d with %u objects", cases[i].bucket, (int)o.status, o.objects);
    }
}

static void a_page_that_breaks_is_asked_for_again(void **state) {
    (void)state;
    _cleanup_outcome_ outcome o = {0};
    list_it("breaks",
            "1 GET /breaks?* length-500/text-<ListBucketResult><Contents><Key>a<%2FKey><%2FContents>\n"
            "1 GET /breaks?* text-<ListBucketResult><Contents><Key>a<%2FKey><%2FContents><%2FListBucketResult>\n",
            &o);
    assert_int_equal(o.status, CI_OK);
    assert_int_equal(o.objects, 1);
}

/* --- removing many ------------------------------------------------------------------------------------------------ */

#define DELETED(key) "<Deleted><Key>" key "<%2FKey><%2FDeleted>"
#define NOT_DELETED(key, code) "<Error><Key>" key "<%2FKey><Code>" code "<%2FCode><Message>no way<%2FMessage><%2FError>"
#define ANSWER(rows) "body/text-<DeleteResult>" rows "<%2FDeleteResult>"

typedef struct removals {
    char text[512];
} removals;

static int32_t see_removal(void *user, const char *key, ci_status status, const ci_error *error) {
    removals *r = user;
    size_t size = strlen(r->text);
    assert_int_equal(ci_error_status(error), status);
    snprintf(r->text + size, sizeof r->text - size, "%s:%s%s ", key, ci_status_name(status),
             ci_error_retryable(error) ? "!" : "");
    return 0;
}

static ci_status remove_keys(ci_storage *s, size_t count, removals *r) {
    static const char *const keys[] = {"a", "b", "c"};
    ci_op *op = NULL;
    *r = (removals){0};
    ci_status status = cii_storage_ops(s)->remove_many(cii_storage_impl(s), keys, count, see_removal, r, &op, NULL);
    return status < 0 ? status : drive(op, NULL);
}

static void each_of_many_has_its_own_outcome(void **state) {
    (void)state;
    static const struct {
        const char *bucket, *steps;
        ci_status status;
        const char *outcomes;
    } cases[] = {
        {"all", ANSWER(DELETED("c") DELETED("a") DELETED("b")), CI_OK, "a:CI_OK b:CI_OK c:CI_OK "},
        {"some", ANSWER(DELETED("a") NOT_DELETED("b", "AccessDenied") NOT_DELETED("c", "InternalError")), CI_OK,
         "a:CI_OK b:CI_ERR_PERMISSION c:CI_ERR_IO! "},
        {"unnamed", ANSWER(DELETED("b") DELETED("B") NOT_DELETED("", "x")), CI_OK,
         "a:CI_ERR_PROTOCOL b:CI_OK c:CI_ERR_PROTOCOL "},
        {"both", ANSWER(DELETED("a") NOT_DELETED("a", "SlowDown") DELETED("b") DELETED("c")), CI_OK,
         "a:CI_ERR_BUSY! b:CI_OK c:CI_OK "},
        {"missing", ANSWER(DELETED("a") NOT_DELETED("b", "NoSuchKey") DELETED("c")), CI_OK,
         "a:CI_OK b:CI_ERR_NOTFOUND c:CI_OK "},
        {"manycut", "body/text-<DeleteResult>" DELETED("a"), CI_ERR_PROTOCOL, ""},
        {"nothing", "body/length-0", CI_ERR_PROTOCOL, ""},
        {"forbidden", "body/status-403/" ERROR_TEXT("AccessDenied"), CI_ERR_PERMISSION, ""},
        {"inner", "body/" ERROR_TEXT("AccessDenied"), CI_ERR_PERMISSION, ""},
    };
    for (size_t i = 0; i < CII_ELEMENTS(cases); i++) {
        char rules[1024], path[64];
        removals r;
        ci_storage *s = new_storage(cases[i].bucket);
        snprintf(rules, sizeof rules, "9 POST /%s?delete=* %s\n", cases[i].bucket, cases[i].steps);
        snprintf(path, sizeof path, "/%s", cases[i].bucket);
        server_rules(rules);
        if (remove_keys(s, 3, &r) != cases[i].status || strcmp(r.text, cases[i].outcomes) != 0)
            fail_msg("%s: %s", cases[i].bucket, r.text);
        assert_int_equal(log_count(path), 1);
        assert_true(log_has(path, "Content-MD5: "));
        ci_storage_free(s);
    }
}

static void what_an_attempt_without_an_answer_removed_is_removed(void **state) {
    (void)state;
    removals r;
    ci_storage *s = new_storage("lost");
    server_rules("1 POST /lost?delete=* body/reset\n"
                 "1 POST /lost?delete=* " ANSWER(NOT_DELETED("a", "NoSuchKey") DELETED("b")) "\n");
    assert_int_equal(remove_keys(s, 2, &r), CI_OK);
    assert_string_equal(r.text, "a:CI_OK b:CI_OK ");
    ci_storage_free(s);
}

static void a_server_that_cannot_remove_many_is_asked_once(void **state) {
    (void)state;
    static const char *const answers[][2] = {{"no501", "status-501"},
                                             {"no405", "status-405/" ERROR_TEXT("MethodNotAllowed")},
                                             {"no400", "status-400/" ERROR_TEXT("NotImplemented")}};
    for (size_t i = 0; i < CII_ELEMENTS(answers); i++) {
        char rules[256], path[64];
        removals r = {0};
        ci_storage *s = new_storage(answers[i][0]);
        snprintf(rules, sizeof rules, "9 POST /%s?delete=* body/%s\n", answers[i][0], answers[i][1]);
        snprintf(path, sizeof path, "/%s", answers[i][0]);
        server_rules(rules);
        const char *const keys[] = {"a", "b"};
        for (int round = 0; round < 2; round++)
            assert_int_equal(ci_storage_remove(s, keys, 2, 0, see_removal, &r, NULL), CI_OK);
        assert_int_equal(strlen(r.text), strlen("a:CI_OK b:CI_OK ") * 2);
        assert_int_equal(log_count(path), 1);
        snprintf(path, sizeof path, "/%s/b", answers[i][0]);
        assert_int_equal(log_count(path), 4); /* HEAD and DELETE, twice */
        ci_storage_free(s);
    }
}

static void many_that_fail_together_are_told_of_each(void **state) {
    (void)state;
    removals r = {0};
    const char *const keys[] = {"a", "b", "c"};
    ci_storage *s = new_storage("together");
    server_rules("9 POST /together?delete=* body/status-403/" ERROR_TEXT("AccessDenied") "\n");
    assert_int_equal(ci_storage_remove(s, keys, 3, 0, see_removal, &r, NULL), CI_ERR_PERMISSION);
    assert_string_equal(r.text, "a:CI_ERR_PERMISSION b:CI_ERR_PERMISSION c:CI_ERR_PERMISSION ");
    ci_storage_free(s);
}

/* A name may have what XML may not; and more keys than one request may have are several requests. */
static void what_one_request_cannot_hold_is_removed_all_the_same(void **state) {
    (void)state;
    removals r = {0};
    ci_storage *s = new_storage("holds");
    const char *const odd[] = {"a", "\xef\xbf\xbe"};
    server_rules("");
    assert_int_equal(ci_storage_remove(s, odd, 2, 0, see_removal, &r, NULL), CI_OK);
    assert_int_equal(log_count("/holds"), 0);
    static const char *keys[2001];
    for (size_t i = 0; i < CII_ELEMENTS(keys); i++)
        keys[i] = "a";
    server_rules("9 POST /holds?delete=* " ANSWER(DELETED("a")) "\n");
    assert_int_equal(ci_storage_remove(s, keys, CII_ELEMENTS(keys), 0, NULL, NULL, NULL), CI_OK);
    assert_int_equal(log_count("/holds"), 2);
    ci_op *op = NULL;
    assert_int_equal(
        cii_storage_ops(s)->remove_many(cii_storage_impl(s), keys, CI_REMOVE_MANY_MAX + 1, NULL, NULL, &op, NULL),
        CI_ERR_INVALID);
    ci_storage_free(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_read_that_breaks_goes_on_where_it_was),
        cmocka_unit_test(a_part_that_breaks_goes_on_within_the_part),
        cmocka_unit_test(a_read_never_joins_two_objects),
        cmocka_unit_test(a_short_body_is_never_whole),
        cmocka_unit_test(what_is_read_is_checked),
        cmocka_unit_test(a_server_that_stalls_does_not_hold_up_for_ever),
        cmocka_unit_test(what_passes_is_repeated),
        cmocka_unit_test(what_lasts_is_told_at_once),
        cmocka_unit_test(a_put_that_was_taken_and_is_not_there_was_overtaken),
        cmocka_unit_test(a_put_whose_answer_was_lost_knows_its_own_object),
        cmocka_unit_test(a_proxy_is_asked_for_the_storages_own_url),
        cmocka_unit_test(another_region_is_gone_to_once),
        cmocka_unit_test(another_clock_is_adopted_once),
        cmocka_unit_test(credentials_that_expire_are_asked_for_anew_once),
        cmocka_unit_test(keys_that_are_not_given_are_asked_for),
        cmocka_unit_test(a_service_of_keys_that_stalls_does_not_hold_up_for_ever),
        cmocka_unit_test(a_complete_that_fails_within_200_is_none),
        cmocka_unit_test(a_part_that_fails_aborts_the_upload),
        cmocka_unit_test(a_complete_of_other_parts_is_no_success),
        cmocka_unit_test(a_complete_of_no_upload_is_no_success),
        cmocka_unit_test(a_list_is_read_as_it_is_or_not_at_all),
        cmocka_unit_test(a_page_that_breaks_is_asked_for_again),
        cmocka_unit_test(each_of_many_has_its_own_outcome),
        cmocka_unit_test(what_an_attempt_without_an_answer_removed_is_removed),
        cmocka_unit_test(a_server_that_cannot_remove_many_is_asked_once),
        cmocka_unit_test(many_that_fail_together_are_told_of_each),
        cmocka_unit_test(what_one_request_cannot_hold_is_removed_all_the_same),
    };
    return cmocka_run_group_tests(tests, server_start, server_stop);
}
