/* Refusals of services that speak REST-JSON, as AgentCore does: the answer to a request, or a message of an event stream.
 * Without I/O.
 *
 * What went wrong is named by the header x-amzn-errortype, or the body's `code`, or its `__type`; of a message by its own
 * headers. Statuses: CI_ERR_BUSY throttled, or a conflict; CI_ERR_LIMIT a quota; CI_ERR_PERMISSION not allowed, or not
 * these credentials; CI_ERR_NOTFOUND, CI_ERR_LOST what it was for is not there; CI_ERR_INVALID, with the fields that are
 * wrong; CI_ERR_IO the service failed. What may be repeated unchanged is retryable, whether that be wise or not: of what
 * may have run already lib/net takes that back (`once`). Credentials are never told. */
#ifndef CII_AWS_REST_JSON_H
#define CII_AWS_REST_JSON_H

#include "aws/event_stream.h"
#include "aws/refusal.h"
#include "net/http.h"

/* What was asked for. Borrowed. */
typedef struct cii_rest_json_call {
    const char *domain;       /* of the error */
    const char *action;       /* what a policy must allow: "bedrock-agentcore:InvokeCodeInterpreter"; or NULL */
    bool is_of_session;       /* what is not found is the session, so CI_ERR_LOST, and the handle cannot be used */
    const cii_aws_keys *keys; /* it was signed with; or NULL */
} cii_rest_json_call;

/* Of an answer that is not a 2xx. *ret_correction (or NULL): CII_AWS_CORRECT_…, 0: none would help. */
ci_status cii_rest_json_error(const cii_rest_json_call *call, const cii_http_response *response,
                              unsigned *ret_correction, ci_error **ret_error);
/* Of an exception or error within an answer, whose x-amzn-requestid is request_id (or NULL). */
ci_status cii_rest_json_event_error(const cii_rest_json_call *call, const cii_event *event, const char *request_id,
                                    unsigned *ret_correction, ci_error **ret_error);

#endif
