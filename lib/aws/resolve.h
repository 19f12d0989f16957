/* One search for credentials, between the files of this room that take part in it. One thread. */
#ifndef CII_AWS_RESOLVE_H
#define CII_AWS_RESOLVE_H

#include "aws/credentials.h"
#include "aws/settings.h"
#include "base/json.h"

#define AWS_DOMAIN "aws"
#define AWS_ANSWER_MAX (64u << 10)
#define AWS_HOPS_MAX 8 /* roles, one assumed with the other's credentials */

/* What was found; strings malloc'd. */
typedef struct aws_found {
    char *id, *secret, *token;
    int64_t expires_s; /* 0: not known */
} aws_found;

typedef struct aws_resolver aws_resolver;

/* A place to get credentials from. start() either fills r->found, or begins an operation (r->op), after which answered() is
 * called, which may begin another; CI_ERR_NOTFOUND from start(): it is not set up, and the message says what is not. */
typedef struct aws_source {
    ci_status (*start)(aws_resolver *r, ci_error **ret_error);
    ci_status (*answered)(aws_resolver *r, ci_error **ret_error);
} aws_source;

struct aws_resolver {
    ci_op base;
    const cii_aws_credentials_options *options; /* borrowed */
    int64_t now_s;
    cii_aws_settings *settings; /* NULL until the files are needed */
    cii_buf tried;              /* "environment: … is not set; …" */
    char name[400];             /* of the source that is being tried: "profile 'x': process" */
    size_t link;                /* of the chain, the next one */
    const aws_source *source;   /* NULL: none is at work */
    const char *profile;        /* that the source belongs to; NULL: none */
    bool is_required;           /* the source was named or has begun: it is not passed over any more */
    int phase;                  /* of a source with several requests */
    const char *hops[AWS_HOPS_MAX];
    size_t hop_count; /* profiles whose roles are still to be assumed, the last one first */
    ci_op *op;        /* that the source waits for */
    cii_aws_fetch_response response;
    char imds_token[128];
    aws_found found;
};

extern const aws_source cii_process_source, cii_web_identity_source, cii_sso_source, cii_container_source,
    cii_imds_source, cii_assume_role_source;

/* --- chain.c ------------------------------------------------------------------------------------------------------ */

/* Searches: an operation, whose process() is 1 when `found` and `name` say what was found. options are borrowed until it is
 * freed by its ops. NULL without memory. */
aws_resolver *cii_resolve_new(const cii_aws_credentials_options *options, int64_t now_s);

/* A key of the profile that the source belongs to; NULL when not set. */
const char *cii_resolve_setting(const aws_resolver *r, const char *key);
const char *cii_resolve_env(const aws_resolver *r, const char *name);

/* --- answers.c ---------------------------------------------------------------------------------------------------- */

void cii_found_free(aws_found *found);
/* Copies, after checking that each can be sent in a header. token NULL or "": none. */
ci_status cii_found_set(aws_found *found, const char *id, const char *secret, const char *token, int64_t expires_s,
                        ci_error **ret_error);
/* The names of the fields in an answer. */
typedef struct aws_fields {
    const char *within; /* NULL: at the top */
    const char *id, *secret, *token, *expiration;
    bool has_version; /* which must be 1 */
    bool has_code;    /* "Success", or why not */
} aws_fields;
/* From a JSON answer, whose text is wiped. */
ci_status cii_found_of_json(aws_found *found, cii_buf *text, const aws_fields *fields, ci_error **ret_error);
/* Reads it where it lies, which is then to be wiped. Its error quotes nothing. */
ci_status cii_resolve_json_parse(char *text, size_t size, cii_json **ret_root, ci_error **ret_error);
/* "2026-11-27T05:10:45Z", fractions and offsets allowed. */
bool cii_aws_parse_time(const char *text, int64_t *ret_s);

/* By errno. That a file which somebody named is not there is not the same as that nobody named one. */
ci_status cii_resolve_file_error(const char *path, ci_error **ret_error);

/* Begins a request; r->response gets the answer. Without HTTP: CI_ERR_NOTSUP. */
ci_status cii_resolve_fetch(aws_resolver *r, const cii_aws_fetch_request *request, ci_error **ret_error);
ci_status cii_resolve_http_error(int32_t http_status, const char *message, ci_error **ret_error);
/* CI_OK when the answer's status is 200; else an error with the status and `what`. */
ci_status cii_resolve_check(const aws_resolver *r, const char *what, ci_error **ret_error);

/* --- process.c ---------------------------------------------------------------------------------------------------- */

/* Splits a command line as a shell does, quotes and backslashes honoured, nothing expanded. *ret_argv NULL-ended. */
ci_status cii_aws_split(const char *line, char ***ret_argv, ci_error **ret_error);

#endif
