/* HTTP as sources of credentials need it: one small request, one bounded answer. The caller gives it: http.h has the real
 * one. */
#ifndef CII_AWS_FETCH_H
#define CII_AWS_FETCH_H

#include <ci/sys/op.h>

#include "aws/sigv4.h"

typedef struct cii_aws_fetch_request {
    const char *method;
    const char *url; /* to be sent as it is: no normalisation, no redirect followed */
    const cii_aws_pair *headers;
    size_t header_count;
    const char *body;
    size_t body_size;
    int64_t timeout_ms; /* of an attempt that gets nothing; and of all together so many times that */
    uint32_t attempts;  /* at most, where the answer is none or says that another may help; 1: no second one */
    size_t response_max;
    bool is_local; /* an address of this machine or link: past any proxy */
} cii_aws_fetch_request;

typedef struct cii_aws_fetch_response {
    int32_t status;
    cii_buf body;
} cii_aws_fetch_response;

/* Starts a request, which is copied. process() is 1 when an answer has come, of whatever status, and *response then holds
 * it; negative when none has: its error may name the host, and neither query, headers nor body. *response belongs to the
 * caller and outlives the operation. */
typedef ci_status (*cii_aws_fetch)(void *user, const cii_aws_fetch_request *request, cii_aws_fetch_response *response,
                                   ci_op **ret_op, ci_error **ret_error);

#endif
