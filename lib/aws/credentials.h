/* Credentials, from where AWS's clients find them, in their order:
 *
 *   1. keys given by option, and then nothing else
 *   2. the environment (not when a profile was given by option)
 *   3. the profile: a role to assume, with another profile's credentials or those of a source named there
 *   4. a web identity: of the environment, then of the profile
 *   5. the profile's SSO session, as `aws sso login` left it
 *   6. the profile's keys in the credentials file, its process, its keys in the config file
 *   7. a container's (ECS, EKS)
 *   8. an EC2 instance's, by IMDSv2
 *
 * A source that is not set up is passed over; one that is, and fails, ends the search: nobody shall work as somebody else
 * because of a misspelling. A profile that was named and is not there is such a failure. The error names what was tried,
 * and why each did not serve; never a secret.
 *
 * What was found is kept until it is about to expire. One caller then fetches anew, while the others go on with what there
 * is, as long as it is valid, and wait for that one when it is not. */
#ifndef CII_AWS_CREDENTIALS_H
#define CII_AWS_CREDENTIALS_H

#include "aws/fetch.h"

typedef struct cii_aws_credentials cii_aws_credentials; /* any thread */
typedef struct cii_aws_identity cii_aws_identity;       /* does not change; counted */

typedef struct cii_aws_credentials_options {
    const cii_aws_keys *keys;       /* NULL: search */
    const char *profile;            /* NULL: AWS_PROFILE, else "default" */
    const char *region;             /* of STS; NULL: AWS_REGION, AWS_DEFAULT_REGION, the profile's, us-east-1 */
    const char *const *environment; /* "NAME=value", NULL-ended; copied. Also what a credential process gets */
    cii_aws_fetch fetch;            /* NULL: sources that need HTTP fail */
    void *fetch_user;
    int64_t process_timeout_ms;   /* of a credential process; 0: a minute */
    int64_t (*now_s)(void *user); /* seconds since 1970; NULL: the system's clock */
    void *now_user;
} cii_aws_credentials_options;

ci_status cii_aws_credentials_new(const cii_aws_credentials_options *options, cii_aws_credentials **ret_credentials,
                                  ci_error **ret_error);
/* Operations still in progress keep what they need, and may go on; those of fetch as long as fetch_user lets them. */
void cii_aws_credentials_free(cii_aws_credentials *credentials);

/* CI_OK with *ret_identity, to be released; or with *ret_op, an operation (ci/sys/op.h) to be processed until it is done,
 * and then to ask again; the other one is NULL. An operation may wait for another caller's: should that one be given up, the next to ask takes
 * over. Any thread; does not block but for reading the shared files and starting a process. */
ci_status cii_aws_credentials_get(cii_aws_credentials *credentials, cii_aws_identity **ret_identity, ci_op **ret_op,
                                  ci_error **ret_error);
/* A server has said that these have expired, or are none: they are not handed out again, but for those given by option. */
void cii_aws_credentials_reject(cii_aws_credentials *credentials, const cii_aws_identity *identity);

const cii_aws_keys *cii_aws_identity_keys(const cii_aws_identity *identity);
const char *cii_aws_identity_source(const cii_aws_identity *identity); /* "environment", "profile 'x': process", … */
int64_t cii_aws_identity_expires_s(const cii_aws_identity *identity);  /* 0: not known */
void cii_aws_identity_unref(cii_aws_identity *identity);               /* the last one wipes */

static inline void cii_aws_identity_unref_p(cii_aws_identity **identity) {
    cii_aws_identity_unref(*identity);
}
#define _cleanup_identity_ _cleanup_(cii_aws_identity_unref_p)

#endif
