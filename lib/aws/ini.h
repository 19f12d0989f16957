/* The files that AWS's clients keep their settings in (~/.aws/config, ~/.aws/credentials), as those clients read them:
 *
 *     [profile x]                     a section; white space and quotes in its name are brought to one form
 *     region = eu-west-1              a key, in lower case, up to "=" or ":"; the rest of the line is the value
 *     # or ; at a line's start        a comment; behind a value it is none
 *     services = one
 *     [services one]
 *     s3 =                            without a value of its own: what is indented below it are keys within it
 *       endpoint_url = http://…
 *
 * What is indented below a value goes on with it, a new line between. LF or CRLF, with or without a byte-order mark. A
 * section or key that comes again adds to, or replaces, what was there. Bytes in, answers out; secrets may be in it, so it is
 * wiped when it is freed, and errors name lines and never quote them. */
#ifndef CII_AWS_INI_H
#define CII_AWS_INI_H

#include "base/error.h"

#define CII_INI_SIZE_MAX (1u << 20)

typedef struct cii_ini cii_ini; /* does not change: any number of threads at once */

/* CI_ERR_INVALID: what it is not, with the line. CI_ERR_LIMIT: more than CII_INI_SIZE_MAX. */
ci_status cii_ini_parse(const char *text, size_t size, cii_ini **ret_ini, ci_error **ret_error);
void cii_ini_free(cii_ini *ini);

/* section as "profile x". The strings live as long as the object; NULL when there is none. */
bool cii_ini_has(const cii_ini *ini, const char *section);
const char *cii_ini_get(const cii_ini *ini, const char *section, const char *key);
const char *cii_ini_get_within(const cii_ini *ini, const char *section, const char *key, const char *inner_key);

static inline void cii_ini_free_p(cii_ini **ini) {
    cii_ini_free(*ini);
}
#define _cleanup_ini_ _cleanup_(cii_ini_free_p)

#endif
