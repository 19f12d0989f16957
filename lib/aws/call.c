/* See call.h. */
#include "aws/call.h"

#include <time.h>

#include "aws/refusal.h"

void cii_aws_call_begin(cii_aws_call *call, cii_aws_login *login, _Atomic int64_t *clock_ahead_s) {
    call->login = login;
    call->clock_ahead_s = clock_ahead_s;
    call->corrections = call->correction = 0;
}

void cii_aws_call_free(cii_aws_call *call) {
    cii_sigv4_signed_free(&call->signed_request);
    cii_buf_free(&call->url);
}

ci_status cii_aws_call_sign(cii_aws_call *call, cii_sigv4 *signer, bool is_tls, const cii_sigv4_request *request,
                            cii_http_request *ret_request, ci_error **ret_error) {
    int64_t now_s = (int64_t)time(NULL) + atomic_load(call->clock_ahead_s);
    call->identity_number = call->login->number;
    call->correction = 0;
    ci_status status = cii_sigv4_sign(signer, request, cii_aws_identity_keys(call->login->identity), now_s,
                                      &call->signed_request, ret_error);
    if (status < 0)
        return status;
    cii_buf_clear(&call->url);
    if (cii_buf_printf(&call->url, "%s://%s%s", is_tls ? "https" : "http", request->host, call->signed_request.target) <
        0)
        return cii_error_nomem(ret_error);
    size_t count = 0;
    for (size_t i = 0; i < request->header_count; i++, count++)
        call->headers[count] = (cii_http_header){request->headers[i].name, request->headers[i].value};
    for (size_t i = 0; i < call->signed_request.header_count; i++, count++)
        call->headers[count] =
            (cii_http_header){call->signed_request.headers[i].name, call->signed_request.headers[i].value};
    *ret_request = (cii_http_request){
        .method = request->method, .url = call->url.data, .headers = call->headers, .header_count = count};
    return CI_OK;
}

static bool correct_clock(cii_aws_call *call, const cii_http_response *response) {
    const char *date = cii_http_header_value(response, "date");
    int64_t then_s = date ? cii_http_date_s(date) : -1;
    if (then_s < 0)
        return false;
    atomic_store(call->clock_ahead_s, then_s - (int64_t)time(NULL));
    return true;
}

bool cii_aws_call_correct(cii_aws_call *call, const cii_http_response *response, unsigned correction) {
    if (correction == 0 || (call->corrections & correction))
        return false;
    call->corrections |= correction;
    if (correction == CII_AWS_CORRECT_CLOCK && !correct_clock(call, response))
        return false;
    call->correction = correction;
    return true;
}

int32_t cii_aws_call_result(cii_aws_call *call, cii_http_exchange **exchange, ci_error **ret_error) {
    _cleanup_error_ ci_error *error = NULL;
    int32_t result = cii_http_exchange_result(*exchange, &error);
    if (result < 0 && call->correction) {
        cii_http_exchange_free(TAKE_PTR(*exchange));
        if (call->correction == CII_AWS_CORRECT_IDENTITY)
            cii_aws_login_reject(call->login, call->identity_number);
        call->correction = 0;
        return 0;
    }
    if (result < 0 && ret_error) {
        ci_error_free(*ret_error);
        *ret_error = TAKE_PTR(error);
    }
    return result;
}
