/* A request to a service that is signed anew for each attempt, and begun once more when what made the service refuse it can be
 * set right: credentials that have expired, a clock that differs. What is alike for the services; whoever calls has the exchange.
 * One thread. */
#ifndef CII_AWS_CALL_H
#define CII_AWS_CALL_H

#include <stdatomic.h>

#include "aws/login.h"
#include "net/http.h"

#define CII_AWS_CALL_HEADERS_MAX 16

/* Zero it before the first use. */
typedef struct cii_aws_call {
    cii_aws_login *login;           /* whose identity signs */
    _Atomic int64_t *clock_ahead_s; /* the service's clock before ours, as it has told any call */
    unsigned identity_number;       /* of the last attempt */
    unsigned corrections;           /* bits of refusal.h: each is made once */
    unsigned correction;            /* of the attempt that has just ended; 0: none */
    cii_sigv4_signed signed_request;
    cii_buf url;
    cii_http_header headers[CII_AWS_CALL_HEADERS_MAX]; /* the caller's, 11 at most, and those of signing */
} cii_aws_call;

/* Another call in the same room; both arguments are borrowed until it is over. */
void cii_aws_call_begin(cii_aws_call *call, cii_aws_login *login, _Atomic int64_t *clock_ahead_s);
void cii_aws_call_free(cii_aws_call *call);

/* Before an attempt: its method, URL and headers, which live as long as the attempt. */
ci_status cii_aws_call_sign(cii_aws_call *call, cii_sigv4 *signer, bool is_tls, const cii_sigv4_request *request,
                            cii_http_request *ret_request, ci_error **ret_error);
/* After a refusal: whether another attempt goes better with that correction, where there is one (0: none), and it was not made
 * before. The attempt is then to be failed. A region the caller has set right by then. */
bool cii_aws_call_correct(cii_aws_call *call, const cii_http_response *response, unsigned correction);
/* 1 answered well, 0 not yet, negative. After a correction 0 as well: the exchange is gone and *exchange NULL, and another is to
 * be begun at once. */
int32_t cii_aws_call_result(cii_aws_call *call, cii_http_exchange **exchange, ci_error **ret_error);

#endif
