/* See s3_server.h. Requests are made with lib/net and lib/aws alone, so that they do not depend on what is tested. */
#include "s3_server.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include <cmocka.h>

#include "aws/endpoint.h"
#include "aws/sigv4.h"
#include "aws/xml.h"
#include "base/str.h"
#include "net/http.h"
#include "os/fd.h"

static int exchange(const cii_http_request *request, cii_buf *ret_body) {
    cii_http_pool *pool = NULL;
    cii_http_lane *lane = NULL;
    cii_http_exchange *x = NULL;
    const cii_http_plan plan = {.request = *request, .body_max = 1 << 20};
    assert_int_equal(cii_http_pool_new(NULL, &pool, NULL), CI_OK);
    assert_int_equal(cii_http_lane_take(pool, &lane, NULL), CI_OK);
    assert_int_equal(cii_http_exchange_start(lane, &plan, &x, NULL), CI_OK);
    while (cii_http_lane_process(lane, NULL) == CI_OK && cii_http_exchange_result(x, NULL) == 0)
        assert_true(cii_fd_wait(cii_http_lane_fd(lane), POLLIN, 60000) > 0);
    const cii_http_response *response = cii_http_exchange_response(x);
    int status = response->status;
    cii_buf_append(ret_body, response->body, response->body_bytes);
    cii_http_exchange_free(x);
    cii_http_lane_give(lane);
    cii_http_pool_free(pool);
    assert_int_not_equal(status, 0);
    return status;
}

int s3_ask(const char *method, const char *path, const char *parameter, const char *value, cii_buf *ret_body) {
    _cleanup_endpoint_ cii_aws_endpoint endpoint = {0};
    _cleanup_sigv4_ cii_sigv4 *signer = NULL;
    _cleanup_signed_ cii_sigv4_signed made = {0};
    const cii_aws_keys keys = {getenv("AWS_ACCESS_KEY_ID"), getenv("AWS_SECRET_ACCESS_KEY"), NULL};
    const cii_aws_pair query = {parameter, value};
    const cii_sigv4_request request = {
        .method = method, .path = path, .path_size = strlen(path), .query = &query, .query_count = parameter != NULL};
    cii_sigv4_request full = request;
    cii_http_header headers[5];
    assert_int_equal(cii_aws_endpoint_parse(getenv("AWS_ENDPOINT_URL_S3"), "endpoint", &endpoint, NULL), CI_OK);
    full.host = endpoint.host;
    assert_int_equal(cii_sigv4_new("us-east-1", "s3", CII_SIGV4_S3, &signer, NULL), CI_OK);
    assert_int_equal(cii_sigv4_sign(signer, &full, &keys, (int64_t)time(NULL), &made, NULL), CI_OK);
    for (size_t i = 0; i < made.header_count; i++)
        headers[i] = (cii_http_header){made.headers[i].name, made.headers[i].value};
    _cleanup_free_ char *url = cii_str_printf("http%s://%s%s", endpoint.is_tls ? "s" : "", endpoint.host, made.target);
    return exchange(&(cii_http_request){method, url, headers, made.header_count, NULL, 0, NULL, NULL}, ret_body);
}

void s3_make_bucket(void) {
    _cleanup_buf_ cii_buf body = {0};
    int status = s3_ask("PUT", "/" S3_BUCKET, NULL, NULL, &body);
    if (status != 200 && status != 409)
        fail_msg("the bucket cannot be made: %d %s", status, body.data);
}

void s3_new_url(char ret_url[64]) {
    char id[27];
    assert_int_equal(cii_id_random(id), CI_OK);
    snprintf(ret_url, 64, "s3://" S3_BUCKET "/%s", id);
}

static ci_status count_row(void *user, const cii_xml_row *row, ci_error **ret_error) {
    (void)ret_error;
    *(unsigned *)user += strcmp(row->name, "Upload") == 0;
    return CI_OK;
}

unsigned s3_count_uploads(void) {
    _cleanup_buf_ cii_buf body = {0};
    _cleanup_xml_ cii_xml *xml = NULL;
    unsigned count = 0;
    assert_int_equal(s3_ask("GET", "/" S3_BUCKET, "uploads", NULL, &body), 200);
    assert_int_equal(cii_xml_new(count_row, &count, &xml, NULL), CI_OK);
    assert_int_equal(cii_xml_feed(xml, body.data, body.size, NULL), CI_OK);
    assert_int_equal(cii_xml_end(xml, NULL), CI_OK);
    return count;
}
