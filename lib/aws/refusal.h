/* What a service refuses a request with, as an error: its code and its own words, and what the code means to us. What is
 * alike for the services; each has its table of codes. Without I/O. */
#ifndef CII_AWS_REFUSAL_H
#define CII_AWS_REFUSAL_H

#include "aws/sigv4.h"

/* Texts are "" where the service does not say. */
typedef struct cii_aws_refusal {
    const char *code, *words, *request_id;
    int32_t http_status; /* 0: it came within an answer */
} cii_aws_refusal;

/* What makes another attempt go better. */
enum { CII_AWS_CORRECT_REGION = 1, CII_AWS_CORRECT_CLOCK = 2, CII_AWS_CORRECT_IDENTITY = 4 };

typedef struct cii_aws_meaning {
    const char *code; /* NULL: of a refusal with this status and no code */
    int32_t http_status;
    ci_status status;
    bool retryable;
    unsigned correction;
    const char *text; /* when the service has no words of its own */
    const char *hint; /* NULL: none */
} cii_aws_meaning;

/* NULL: the table does not have it. */
const cii_aws_meaning *cii_aws_meaning_find(const cii_aws_meaning *meanings, size_t count, const char *code,
                                            int32_t http_status);

/* "AccessDenied: not allowed (403, request 17)"; of a refusal within an answer without the status. meaning NULL: by the
 * status. Returns its status. */
ci_status cii_aws_refusal_error(const cii_aws_refusal *refusal, const cii_aws_meaning *meaning, const char *domain,
                                const cii_aws_keys *keys, ci_error **ret_error);

/* A service's words; "" where they repeat a secret of the keys (NULL: there is none). */
const char *cii_aws_words(const cii_aws_keys *keys, const char *words);

#endif
