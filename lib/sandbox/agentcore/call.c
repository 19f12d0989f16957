/* A signed request, and what its answer means.
 *
 *     start --> prepare, sign --> sent --> judge --> over
 *                  ^                         |
 *                  +-- again: lib/net's rule +-- corrected: another clock, identity; each once
 *
 * An Invoke is answered by a stream of events, each of which is read where it lies and handed on when it is whole; nothing of
 * the stream is kept. What it was that an answer refused is told by aws/rest_json.h. */
#include <stdio.h>

#include "base/str.h"
#include "sandbox/agentcore/agentcore.h"

#define CONTROL_TIMEOUT_MS 60000 /* of what no session answers, all attempts together */
#define STOP_ATTEMPTS 10         /* a session that is not ended is paid for until its time is over */
#define ANSWER_TIMES 10          /* answer_timeout_ms, until all is answered that runs nothing */
#define ATTEMPTS 3
#define ROOM_ATTEMPTS 1000 /* of what finds no room in its session, where its time ends it before */
#define SESSION_HEADER "x-amzn-code-interpreter-session-id"

static const struct operation {
    const char *method;
    const char *path;
    const char *action;
} operations[] = {
    [CII_AGENTCORE_START] = {"PUT", "/sessions/start", "bedrock-agentcore:StartCodeInterpreterSession"},
    [CII_AGENTCORE_INVOKE] = {"POST", "/tools/invoke", "bedrock-agentcore:InvokeCodeInterpreter"},
    [CII_AGENTCORE_GET] = {"GET", "/sessions/get", "bedrock-agentcore:GetCodeInterpreterSession"},
    [CII_AGENTCORE_STOP] = {"PUT", "/sessions/stop", "bedrock-agentcore:StopCodeInterpreterSession"},
};

/* --- before an attempt -------------------------------------------------------------------------------------------- */

static size_t own_headers(const cii_agentcore_call *call, cii_aws_pair headers[4]) {
    const cii_agentcore *core = call->op->core;
    size_t count = 0;
    if (call->body)
        headers[count++] = (cii_aws_pair){"content-type", "application/json"};
    if (call->operation == CII_AGENTCORE_INVOKE)
        headers[count++] = (cii_aws_pair){SESSION_HEADER, call->session_id};
    if (call->operation != CII_AGENTCORE_GET && core->trace_parent)
        headers[count++] = (cii_aws_pair){"traceparent", core->trace_parent};
    if (call->operation != CII_AGENTCORE_GET && core->trace_id)
        headers[count++] = (cii_aws_pair){"X-Amzn-Trace-Id", core->trace_id};
    return count;
}

static ci_status prepare(void *user, unsigned attempt, uint64_t taken_bytes, cii_http_request *request,
                         ci_error **ret_error) {
    (void)attempt;
    (void)taken_bytes;
    cii_agentcore_call *call = user;
    const cii_agentcore *core = call->op->core;
    const struct operation *operation = &operations[call->operation];
    cii_aws_pair headers[4];
    const cii_aws_pair session = {"sessionId", call->session_id};
    if (call->operation == CII_AGENTCORE_INVOKE)
        call->was_refused = false;
    cii_buf_clear(&call->path);
    if (cii_buf_printf(&call->path, "%s%s", core->path, operation->path) < 0)
        return cii_error_nomem(ret_error);
    const cii_sigv4_request to_sign = {
        .method = operation->method,
        .host = core->endpoint.host,
        .path = call->path.data,
        .path_size = call->path.size,
        .query = &session,
        .query_count = call->operation == CII_AGENTCORE_GET || call->operation == CII_AGENTCORE_STOP,
        .headers = headers,
        .header_count = own_headers(call, headers),
        .payload_hash = call->body ? call->body_hash : NULL,
    };
    ci_status status = cii_aws_call_sign(&call->aws, core->signer, core->endpoint.is_tls, &to_sign, request, ret_error);
    request->body = call->body;
    request->body_bytes = call->body_bytes;
    return status;
}

/* --- an answer ------------------------------------------------------------------------------------------------------ */

static cii_rest_json_call asked(const cii_agentcore_call *call) {
    return (cii_rest_json_call){.domain = CII_AGENTCORE_DOMAIN,
                                .action = operations[call->operation].action,
                                .is_of_session = call->operation != CII_AGENTCORE_START,
                                .keys = cii_aws_identity_keys(call->op->login.identity)};
}

static ci_status on_message(void *user, const cii_event_message *message, ci_error **ret_error) {
    cii_agentcore_call *call = user;
    cii_event event;
    ci_status status = cii_event_read(message, &event, ret_error);
    if (status < 0)
        return status;
    if (event.kind != CII_EVENT_EVENT) {
        const cii_rest_json_call about = asked(call);
        const char *id = cii_http_header_value(cii_http_exchange_response(call->exchange), "x-amzn-requestid");
        return cii_rest_json_event_error(&about, &event, id, NULL, ret_error);
    }
    if (strcmp(event.name, "result") != 0)
        return CI_OK;
    cii_agentcore_result result;
    status = cii_agentcore_result_read(message->payload, message->payload_size, &result, ret_error);
    if (status < 0)
        return status;
    call->result_count++;
    status = call->result(call->user, &result, ret_error);
    cii_agentcore_result_free(&result);
    return status;
}

static ci_status on_head(void *user, const cii_http_response *response, ci_error **ret_error) {
    cii_agentcore_call *call = user;
    const char *type = cii_http_header_value(response, "content-type");
    if (!type || strncasecmp(type, "application/vnd.amazon.eventstream", 34) != 0)
        return cii_error_set(ret_error, CI_ERR_PROTOCOL, CII_AGENTCORE_DOMAIN,
                             "the answer is no stream of events; see whether the endpoint is right");
    const cii_event_limits limits = {.message_size = call->op->core->event_bytes};
    cii_event_stream_free(TAKE_PTR(call->stream));
    call->result_count = 0;
    return cii_event_stream_new(&limits, on_message, call, &call->stream, ret_error);
}

static int32_t on_bytes(void *user, const void *data, size_t size) {
    cii_agentcore_call *call = user;
    return cii_event_stream_feed(call->stream, data, size, &call->refused) < 0 ? -1 : 0;
}

static void put_refused(cii_agentcore_call *call, ci_error **error) {
    ci_error_free(*error);
    *error = TAKE_PTR(call->refused);
}

/* A whole answer that is no refusal. */
static cii_http_verdict judge_good(cii_agentcore_call *call, ci_error **error) {
    if (call->operation != CII_AGENTCORE_INVOKE)
        return CII_HTTP_DONE;
    if (cii_event_stream_end(call->stream, &call->refused) == CI_OK && call->result_count == 0)
        cii_error_set(&call->refused, CI_ERR_PROTOCOL, CII_AGENTCORE_DOMAIN, "the answer has no result");
    if (!call->refused)
        return CII_HTTP_DONE;
    put_refused(call, error);
    return CII_HTTP_FAIL;
}

/* An Invoke that finds no room has done nothing, and is asked again until its time is over; of other failures there are fewer. */
static cii_http_verdict judge_failure(cii_agentcore_call *call, int32_t http_status) {
    uint32_t most = call->op->core->attempts ? call->op->core->attempts : ATTEMPTS;
    if (call->operation != CII_AGENTCORE_INVOKE)
        return CII_HTTP_BY_RULE;
    if (http_status == 402)
        return CII_HTTP_AGAIN;
    return ++call->failure_count >= most ? CII_HTTP_FAIL : CII_HTTP_BY_RULE;
}

static cii_http_verdict judge(void *user, const cii_http_response *response, ci_error **error) {
    cii_agentcore_call *call = user;
    unsigned correction = 0;
    if (call->refused) {
        put_refused(call, error);
        return CII_HTTP_FAIL;
    }
    if (*error)
        return judge_failure(call, 0);
    if (response->status >= 200 && response->status <= 299)
        return judge_good(call, error);
    if (call->operation == CII_AGENTCORE_INVOKE)
        call->was_refused = response->status <= 499 || response->status == 503;
    const cii_rest_json_call about = asked(call);
    (void)cii_rest_json_error(&about, response, &correction, error);
    return cii_aws_call_correct(&call->aws, response, correction) ? CII_HTTP_FAIL
                                                                  : judge_failure(call, response->status);
}

/* --- life ----------------------------------------------------------------------------------------------------------- */

static ci_status start_exchange(cii_agentcore_call *call, ci_error **ret_error) {
    bool is_invoke = call->operation == CII_AGENTCORE_INVOKE;
    bool is_stop = call->operation == CII_AGENTCORE_STOP;
    uint32_t attempts = call->op->core->attempts;
    uint32_t answer_ms = call->is_run ? 0 : call->op->core->answer_ms;
    const cii_http_plan plan = {.request = {.method = operations[call->operation].method},
                                .user = call,
                                .prepare = prepare,
                                .head = is_invoke ? on_head : NULL,
                                .write = is_invoke ? on_bytes : NULL,
                                .judge = judge,
                                .attempt_max = is_stop                      ? STOP_ATTEMPTS
                                               : is_invoke && attempts != 1 ? ROOM_ATTEMPTS
                                                                            : attempts,
                                .timeout_ms = is_invoke ? (int64_t)answer_ms * ANSWER_TIMES : CONTROL_TIMEOUT_MS,
                                .idle_ms = answer_ms,
                                .once = is_invoke,
                                .harmless = !call->once};
    call->op->busy = true;
    return cii_http_exchange_start(call->op->lane, &plan, &call->exchange, ret_error);
}

static void clear_call(cii_agentcore_call *call) {
    cii_http_exchange_free(TAKE_PTR(call->exchange));
    cii_event_stream_free(TAKE_PTR(call->stream));
    ci_error_free(TAKE_PTR(call->refused));
    free(TAKE_PTR(call->body));
    call->result_count = 0;
    call->failure_count = 0;
    call->once = call->is_run = false;
}

void cii_agentcore_call_free(cii_agentcore_call *call) {
    clear_call(call);
    cii_aws_call_free(&call->aws);
    cii_buf_free(&call->path);
}

ci_status cii_agentcore_call_start(cii_agentcore_op *op, cii_agentcore_operation operation, const char *session_id,
                                   char *body, size_t body_bytes, ci_error **ret_error) {
    cii_agentcore_call *call = &op->call;
    clear_call(call);
    call->op = op;
    cii_aws_call_begin(&call->aws, &op->login, &op->core->clock_ahead_s);
    call->operation = operation;
    call->body = body;
    call->body_bytes = body_bytes;
    snprintf(call->session_id, sizeof call->session_id, "%s", session_id ? session_id : "");
    if ((!body && operation != CII_AGENTCORE_GET) || (body && cii_sigv4_hash(body, body_bytes, call->body_hash) < 0))
        return cii_error_nomem(ret_error);
    op->busy = true;
    return CI_OK;
}

int32_t cii_agentcore_call_result(cii_agentcore_op *op, ci_error **ret_error) {
    cii_agentcore_call *call = &op->call;
    if (!call->exchange) {
        ci_status status = cii_aws_login_good(&op->login) ? start_exchange(call, ret_error) : CI_OK;
        return status < 0 ? status : 0;
    }
    int32_t result = cii_aws_call_result(&call->aws, &call->exchange, ret_error);
    if (!call->exchange)
        op->busy = true;
    return result;
}

const cii_http_response *cii_agentcore_call_response(const cii_agentcore_op *op) {
    return cii_http_exchange_response(op->call.exchange);
}
